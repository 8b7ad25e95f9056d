//! Scalar expressions: columns, variables, operators. Calls are in `calls`.

use model::Type;

use super::scope::{Binding, Cx, Scalar};
use super::{Binder, casts, diagnostics as code};
use crate::Value;
use crate::plan::{Expr, ExprKind as Bound, Extent, Field, Rel, RelOp, Subquery, SubqueryKind};
use crate::syntax::ast::{self, ExprKind, Name, Place};

impl Binder<'_> {
    pub(super) fn scalar(&mut self, expr: &ast::Expr, cx: &mut Cx) -> Scalar {
        if !self.enter(&expr.place) {
            return Self::unknown_scalar();
        }
        let bound = self.scalar_inner(expr, cx);
        self.leave();
        self.saw_scalar(&expr.place, &bound);
        bound
    }

    fn scalar_inner(&mut self, expr: &ast::Expr, cx: &mut Cx) -> Scalar {
        match &expr.kind {
            ExprKind::Literal(value) => Scalar::known(Expr::constant(value.clone())),
            ExprKind::Dynamic(text) if text.trim() == "null" => Scalar::known(Expr::constant(Value::Null(Type::Dynamic))),
            ExprKind::Dynamic(text) => Scalar::known(Expr::constant(Value::Dynamic(text.clone()))),
            ExprKind::Name(name) => self.name(name, cx),
            ExprKind::Call(call) => self.call(call, &expr.place, cx),
            ExprKind::Member { object, name } => self.member(object, name, &expr.place, cx),
            ExprKind::MemberCall { call, .. } => {
                self.unsupported(&expr.place, &format!("a call of `{}` elsewhere", call.name.text));
                Self::unknown_scalar()
            }
            ExprKind::Index { object, index } => {
                let object_value = self.scalar(object, cx);
                let index_value = self.scalar(index, cx);
                self.judged_operator("[]", vec![object_value, index_value], &[object.place.clone(), index.place.clone()], &expr.place)
            }
            ExprKind::Unary { op, operand } => self.unary(op, operand, &expr.place, cx),
            ExprKind::Binary { op, .. } if matches!(*op, "and" | "or") => self.connective(op, expr, cx),
            ExprKind::Binary { op, left, right, .. } if matches!(left.kind, ExprKind::Star) => {
                self.in_some_column(op, right, &expr.place, cx)
            }
            ExprKind::Binary { .. } => self.binary(expr, cx),
            ExprKind::In { op, left, list } => self.member_of(op, left, list, &expr.place, cx),
            ExprKind::Between { negated, operand, low, high } => self.between(*negated, [operand, low, high], &expr.place, cx),
            ExprKind::Named { value, .. } => self.scalar(value, cx),
            ExprKind::Paren(inner) => self.scalar(inner, cx),
            ExprKind::ToScalar(inner) => self.to_scalar(inner, cx),
            ExprKind::List(items) => {
                let values: Vec<Scalar> = items.iter().map(|item| self.scalar(item, cx)).collect();
                let places: Vec<Place> = items.iter().map(|item| item.place.clone()).collect();
                self.operator("pack_array", values, &places, &expr.place)
            }
            ExprKind::Star | ExprKind::Wildcard(_) => {
                self.report(code::SCALAR_WANTED, &expr.place, "`*` cannot stand here");
                Self::unknown_scalar()
            }
            ExprKind::Pipe { .. }
            | ExprKind::Source(_)
            | ExprKind::Materialize(_)
            | ExprKind::DataTable { .. }
            | ExprKind::ExternalData { .. } => {
                self.report_with(
                    code::SCALAR_WANTED,
                    &expr.place,
                    "a table cannot stand here",
                    Some("`toscalar(…)` takes its first value".to_owned()),
                );
                Self::unknown_scalar()
            }
            ExprKind::Error => Self::unknown_scalar(),
        }
    }

    /// Resolves `name` to a column or a variable; columns take precedence.
    fn name(&mut self, name: &Name, cx: &mut Cx) -> Scalar {
        if let Some(field) = find(cx.fields, &name.text) {
            self.saw_column(&name.place, field);
            return self.column(field);
        }
        if let Some(element) = self.element(name, cx) {
            return self.whole_element(element, &name.place, cx);
        }
        match cx.env.get(&name.text) {
            Some(Binding::Scalar(value)) => {
                let value = value.clone();
                return if self.afford(&value.expr, &name.place) { value } else { Self::unknown_scalar() };
            }
            Some(Binding::Function(function)) if !function.tabular => {
                let function = function.clone();
                return self.scalar_user_call(&function, &[], &name.place, cx);
            }
            Some(_) => {
                self.report_with(
                    code::SCALAR_WANTED,
                    &name.place,
                    format!("`{}` is a table or a function, not a value", name.text),
                    Some("`toscalar(…)` takes the first value of a table".to_owned()),
                );
                return Self::unknown_scalar();
            }
            None => {}
        }
        if let Some((right, _)) = cx.right
            && let Some(field) = find(right, &name.text)
        {
            self.saw_column(&name.place, field);
            return self.column(field);
        }
        if self.strict && cx.open && self.schema.table(&name.text).is_some() {
            self.report(code::SCALAR_WANTED, &name.place, format!("`{}` is a table, not a value", name.text));
            return Self::unknown_scalar();
        }
        if !cx.open && !cx.right.is_some_and(|(_, open)| open) {
            if self.diagnostics.len() >= code::MOST_SUGGESTIONS {
                self.report(code::UNKNOWN_NAME, &name.place, format!("there is no column or variable `{}`", name.text));
                return Self::unknown_scalar();
            }
            let variables = cx.env.names().filter(|(_, binding)| matches!(binding, Binding::Scalar(_))).map(|(name, _)| name);
            let near = code::did_you_mean(
                &name.text,
                cx.fields.iter().filter(|field| !field.is_hidden()).map(|field| &*field.name).chain(variables),
            );
            let here = self.elements_here(cx).unwrap_or_else(|| code::columns_here(cx.fields));
            let help = near.map_or(here.clone(), |near| format!("{near} {here}"));
            self.report_with(code::UNKNOWN_NAME, &name.place, format!("there is no column or variable `{}`", name.text), Some(help));
        }
        Self::unknown_scalar()
    }

    /// Counts the copy of a variable's value against the limit: chained `let`s can double it thirty times.
    fn afford(&mut self, expr: &Expr, place: &Place) -> bool {
        let Extent { depth, calls, .. } = expr.extent();
        if depth > super::DEEPEST_VALUE {
            self.report(code::TOO_DEEP, place, format!("this value is nested more than {} levels deep", super::DEEPEST_VALUE));
            return false;
        }
        if !self.count_calls(calls, place) {
            return false;
        }
        let mut size = 0;
        expr.walk(&mut |part| size += 1 + part.as_const().and_then(Value::as_str).map_or(0, |text| text.len() / 1024));
        self.work += size / 16;
        self.work <= super::LARGEST || self.count(place)
    }

    /// `a.b`: a property of a dynamic, a side of a join, the state of a `scan` step.
    fn member(&mut self, object: &ast::Expr, name: &Name, place: &Place, cx: &mut Cx) -> Scalar {
        if let ExprKind::Name(side) = &object.kind {
            if let Some(element) = self.element(side, cx) {
                return self.element_property(side, element, name, cx);
            }
            let fields = match side.text.as_str() {
                "$left" => Some((cx.fields, cx.open)),
                "$right" => cx.right,
                _ => None,
            };
            if let Some((fields, open)) = fields {
                return self.side(fields, open, side, name);
            }
            if let Some(steps) = &mut cx.steps
                && let Some(step) = steps.names.iter().position(|step| *step == side.text)
            {
                if let Some(index) = steps.fields.iter().position(|field| *field.name == name.text) {
                    let used = steps.used.iter().find(|(s, f, _)| (*s, *f) == (step, index)).map(|(_, _, id)| *id);
                    let id = used.unwrap_or_else(|| {
                        let id = self.fresh();
                        steps.used.push((step, index, id));
                        id
                    });
                    return Scalar::known(Expr { kind: Bound::Column(id), ty: steps.fields[index].ty });
                }
                let help = code::columns_here(&steps.fields);
                self.report_with(
                    code::UNKNOWN_NAME,
                    &name.place,
                    format!("step `{}` has no column `{}`", side.text, name.text),
                    Some(help),
                );
                return Self::unknown_scalar();
            }
        }
        let value = self.scalar(object, cx);
        let key = Scalar::known(Expr::constant(Value::String(name.text.clone())));
        if self.strict && !value.known {
            return Self::unknown_scalar();
        }
        if value.known && value.ty() != Type::Dynamic {
            let help = "only a dynamic has properties; `parse_json(…)` makes one of a string".to_owned();
            self.report_with(code::WRONG_TYPE, place, format!("a {} has no property `{}`", value.ty(), name.text), Some(help));
            return Self::unknown_scalar();
        }
        if self.strict && self.nature(&value.expr) == super::judge::Nature::Array {
            return self.opaque(Type::Dynamic, super::judge::Nature::Any, false);
        }
        self.operator("[]", vec![value, key], &[object.place.clone(), name.place.clone()], place)
    }

    fn side(&mut self, fields: &[Field], open: bool, side: &Name, name: &Name) -> Scalar {
        if let Some(field) = find(fields, &name.text) {
            self.saw_column(&name.place, field);
            return self.column(field);
        }
        if !open {
            let near = code::did_you_mean(&name.text, fields.iter().map(|field| &*field.name));
            let help = near.unwrap_or_else(|| code::columns_here(fields));
            self.report_with(code::UNKNOWN_NAME, &name.place, format!("`{}` has no column `{}`", side.text, name.text), Some(help));
        }
        Self::unknown_scalar()
    }

    fn unary(&mut self, op: &str, operand: &ast::Expr, place: &Place, cx: &mut Cx) -> Scalar {
        let value = self.scalar(operand, cx);
        if op == "+" {
            return value;
        }
        match value.expr.as_const() {
            Some(Value::Int(n)) => Scalar::known(Expr::constant(n.checked_neg().map_or(Value::Null(Type::Int), Value::Int))),
            Some(Value::Long(n)) => Scalar::known(Expr::constant(Value::Long(n.wrapping_neg()))),
            Some(Value::Real(n)) => Scalar::known(Expr::constant(Value::Real(-n))),
            Some(Value::Timespan(n)) => Scalar::known(Expr::constant(Value::Timespan(n.wrapping_neg()))),
            _ => self.judged_operator("neg", vec![value], &[operand.place.clone()], place),
        }
    }

    /// Binds a chain of `and` or `or` as a balanced tree.
    fn connective(&mut self, op: &'static str, expr: &ast::Expr, cx: &mut Cx) -> Scalar {
        let mut chain = Vec::new();
        let mut left = expr;
        while let ExprKind::Binary { op: inner, left: next, right, .. } = &left.kind
            && *inner == op
        {
            chain.push(&**right);
            left = next;
        }
        chain.push(left);
        let mut values: Vec<(Scalar, Place)> = chain.into_iter().rev().map(|part| (self.scalar(part, cx), part.place.clone())).collect();
        while values.len() > 1 {
            let mut paired = Vec::with_capacity(values.len().div_ceil(2));
            let mut rest = values.into_iter();
            while let Some((left, left_place)) = rest.next() {
                paired.push(match rest.next() {
                    Some((right, right_place)) => {
                        let place = left_place.start..right_place.end;
                        (self.judged_operator(op, vec![left, right], &[left_place, right_place], &place), place)
                    }
                    None => (left, left_place),
                });
            }
            values = paired;
        }
        values.pop().map_or_else(Self::unknown_scalar, |(value, _)| value)
    }

    /// Binds a chain of binary operators from its left end, without recursion.
    fn binary(&mut self, expr: &ast::Expr, cx: &mut Cx) -> Scalar {
        let mut chain = Vec::new();
        let mut left = expr;
        while let ExprKind::Binary { op, left: next, right, .. } = &left.kind
            && !matches!(*op, "and" | "or")
        {
            chain.push((*op, &**right, &left.place));
            left = next;
        }
        if chain.len() > super::DEEPEST {
            self.report(code::TOO_DEEP, &expr.place, format!("more than {} operators in a row", super::DEEPEST));
            return Self::unknown_scalar();
        }
        let mut value = self.operand(left, cx);
        let mut start = left.place.clone();
        for (op, right, place) in chain.into_iter().rev() {
            let other = self.operand(right, cx);
            let op = if op == "<>" { "!=" } else { op };
            let dynamic = value.known && other.known && value.ty() == Type::Dynamic && other.ty() == Type::Dynamic;
            let compares = matches!(op, "==" | "!=" | "<" | "<=" | ">" | ">=");
            if dynamic && (compares || !self.strict && matches!(op, "+" | "-" | "*" | "/" | "%")) {
                let help = "cast them first, as with `tostring(…)` or `tolong(…)`".to_owned();
                self.report_with(code::WRONG_TYPE, place, format!("`{op}` cannot take two dynamics"), Some(help));
                return Self::unknown_scalar();
            }
            // Recorded: a dynamic may be the text searched, but not the search term.
            if other.known && other.ty() == Type::Dynamic && is_search(op) {
                let help = "`tostring(…)` makes it text".to_owned();
                self.report_with(code::WRONG_TYPE, &right.place, format!("`{op}` looks for a string, this is a dynamic"), Some(help));
                return Self::unknown_scalar();
            }
            let (left_value, other) = match op {
                "==" | "!=" if !self.strict => self.comparable(value, other),
                _ => (value, other),
            };
            value = self.judged_operator(op, vec![left_value, other], &[start, right.place.clone()], place);
            start = place.clone();
        }
        value
    }

    /// A string compared with another type is parsed as that type; a constant integer is converted to text instead, which is faster and
    /// equivalent. Published rules rely on this (`ResultType == 0`, `EventID == "4625"`).
    fn comparable(&mut self, left: Scalar, right: Scalar) -> (Scalar, Scalar) {
        let (a, b) = (left.ty(), right.ty());
        let mixed = |text: Type, other: Type| text == Type::String && !matches!(other, Type::String | Type::Dynamic);
        if !left.known || !right.known || !(mixed(a, b) || mixed(b, a)) {
            return (left, right);
        }
        let (text, other, flipped) = if a == Type::String { (left, right, false) } else { (right, left, true) };
        let (text, other) = self.read_as(text, other);
        if flipped { (other, text) } else { (text, other) }
    }

    /// Converts `text` and `other` to one type.
    fn read_as(&mut self, text: Scalar, other: Scalar) -> (Scalar, Scalar) {
        if let (Some(Value::Int(_) | Value::Long(_)), None) = (other.expr.as_const(), text.expr.as_const()) {
            let other = self.call_as("tostring", vec![other], Type::String);
            return (text, other);
        }
        let reader = match other.ty() {
            Type::Bool => "tobool",
            Type::Int => "toint",
            Type::Long => "tolong",
            Type::Real => "todouble",
            Type::Decimal => "todecimal",
            Type::Datetime => "todatetime",
            Type::Timespan => "totimespan",
            Type::Guid => "toguid",
            Type::String | Type::Dynamic => return (text, other),
        };
        let ty = other.ty();
        (self.call_as(reader, vec![text], ty), other)
    }

    /// Binds a side of a comparison. In a check, `*` means all columns, and the columns decide what they can be compared with.
    fn operand(&mut self, expr: &ast::Expr, cx: &mut Cx) -> Scalar {
        if self.strict && matches!(expr.kind, ExprKind::Star) { Self::unknown_scalar() } else { self.scalar(expr, cx) }
    }

    fn between(&mut self, negated: bool, [operand, low, high]: [&ast::Expr; 3], place: &Place, cx: &mut Cx) -> Scalar {
        let value = self.scalar(operand, cx);
        let from = self.scalar(low, cx);
        let mut to = self.scalar(high, cx);
        if self.strict {
            let name = if negated { "!between" } else { "between" };
            let places = [operand.place.clone(), low.place.clone(), high.place.clone()];
            return self.judged_operator(name, vec![value, from, to], &places, place);
        }
        // `between (start .. 1d)`: the end is relative to the start.
        if from.known && to.known && from.ty() == Type::Datetime && to.ty() == Type::Timespan {
            to = self.operator("+", vec![from.clone(), to], &[low.place.clone(), high.place.clone()], place);
        }
        let name = if negated { "!between" } else { "between" };
        self.operator(name, vec![value, from, to], &[operand.place.clone(), low.place.clone(), high.place.clone()], place)
    }

    /// `in`, `has_any` and related operators.
    fn member_of(&mut self, op: &'static str, left: &ast::Expr, list: &[ast::Expr], place: &Place, cx: &mut Cx) -> Scalar {
        let value = self.scalar(left, cx);
        if self.strict {
            return self.judged_member(op, value, list, place, cx);
        }
        let places = [left.place.clone(), list.first().map_or(place.clone(), |item| item.place.clone())];
        if let [only] = list
            && self.is_table_in(only, cx)
        {
            let set = self.set(only, cx);
            if let Bound::Subquery(index) = set.expr.kind
                && let Some(column) = self.subqueries.get(index).and_then(|subquery| subquery.rel.fields.first()).cloned()
                && self.refuse_members(op, &value, &column, &only.place)
            {
                return Self::unknown_scalar();
            }
            let value = if value.known && value.ty() == Type::Dynamic { self.cast(value, Type::String) } else { value };
            return self.operator(op, vec![value, set], &places, place);
        }
        let mut items = Vec::with_capacity(list.len());
        for item in list {
            let bound = self.scalar(item, cx);
            items.push((bound, item.place.clone()));
        }
        let words = matches!(op, "has_any" | "has_all");
        if !words && !items.iter().any(|(item, _)| item.ty() == Type::Dynamic || !item.known) {
            return self.typed_in(op, value, items, &places, place);
        }
        if let [(only, _)] = &items[..]
            && (only.ty() == Type::Dynamic || !only.known)
        {
            let value = if value.known && value.ty() == Type::Dynamic { self.cast(value, Type::String) } else { value };
            return self.operator(op, vec![value, only.clone()], &places, place);
        }
        let array = self.array(items, place);
        let value = if value.known && value.ty() == Type::Dynamic { self.cast(value, Type::String) } else { value };
        self.operator(op, vec![value, array], &places, place)
    }

    /// Recorded: the first column of a table after `in` must have the type of the value; other columns are ignored.
    fn refuse_members(&mut self, op: &str, value: &Scalar, column: &Field, place: &Place) -> bool {
        let (left, right) = (value.ty(), column.ty);
        let meets = left == right || left == Type::Dynamic || right == Type::Dynamic || left.is_numeric() && right.is_numeric();
        if !value.known || meets {
            return false;
        }
        let message = format!("`{op}` compares a {left} with column `{}`, which is a {right}", column.name);
        self.report(code::WRONG_TYPE, place, message);
        true
    }

    /// `in` and related operators in a check: each element must be a value; the result depends on the left side only.
    fn judged_member(&mut self, op: &'static str, value: Scalar, list: &[ast::Expr], place: &Place, cx: &mut Cx) -> Scalar {
        for item in list {
            if self.is_table_in(item, cx) {
                let relation = self.table(item, cx.env);
                if let (Some(column), false) = (relation.visible().next().cloned(), relation.open)
                    && !self.unknown.contains(&column.id)
                    && self.refuse_members(op, &value, &column, &item.place)
                {
                    return Self::unknown_scalar();
                }
            } else {
                self.scalar(item, cx);
            }
        }
        self.judged_operator(op, vec![value], &[place.clone()], place)
    }

    /// `x in (a, b)` with elements of scalar types: they are converted to the type of `x`, or all to a common numeric type.
    fn typed_in(&mut self, op: &'static str, mut value: Scalar, items: Vec<(Scalar, Place)>, places: &[Place], place: &Place) -> Scalar {
        let mut target = value.ty();
        if value.known && target == Type::Dynamic {
            target = items.first().map_or(Type::String, |(item, _)| item.ty());
        }
        for (item, _) in &items {
            if item.ty().is_numeric() && target.is_numeric() {
                target = wider(target, item.ty());
            }
        }
        let mut args = Vec::with_capacity(items.len() + 1);
        if value.known && value.ty() != target {
            value = self.cast(value, target);
        }
        let known = value.known;
        args.push(value);
        for (item, at) in items {
            if known && item.known && target == Type::String && matches!(item.expr.as_const(), Some(Value::Int(_) | Value::Long(_))) {
                args.push(self.call_as("tostring", vec![item], Type::String));
                continue;
            }
            if known && item.known && item.ty() == Type::String && item.expr.as_const().is_some() && target.is_numeric() {
                let stand_in = Scalar::known(Self::null(target));
                let (read, _) = self.read_as(item, stand_in);
                args.push(read);
                continue;
            }
            if known && item.known && !casts::fits(item.ty(), target) {
                // Microsoft's parser accepts this, and the semantics in its engine are undocumented.
                self.postpone(code::WRONG_TYPE, &at, format!("`{op}` compares a {target} with a {}", item.ty()));
                return Scalar { expr: Self::null(Type::Bool), known: true };
            }
            args.push(if known { self.cast(item, target) } else { item });
        }
        self.operator(op, args, places, place)
    }

    /// Concatenates elements and arrays into one dynamic array.
    fn array(&mut self, items: Vec<(Scalar, Place)>, place: &Place) -> Scalar {
        let places: Vec<Place> = items.iter().map(|(_, place)| place.clone()).collect();
        let mut arrays: Vec<Scalar> = Vec::new();
        let mut loose: Vec<Scalar> = Vec::new();
        for (item, _) in items {
            if item.ty() == Type::Dynamic && item.known {
                if !loose.is_empty() {
                    let packed = self.operator("pack_array", std::mem::take(&mut loose), &places, place);
                    arrays.push(packed);
                }
                arrays.push(item);
            } else {
                loose.push(item);
            }
        }
        if !loose.is_empty() {
            let packed = self.operator("pack_array", loose, &places, place);
            arrays.push(packed);
        }
        match arrays.len() {
            1 => arrays.swap_remove(0),
            _ => self.operator("array_concat", arrays, &places, place),
        }
    }

    /// All values of the first column of a table.
    pub(super) fn set(&mut self, table: &ast::Expr, cx: &Cx) -> Scalar {
        self.subquery(table, SubqueryKind::Set, cx)
    }

    fn to_scalar(&mut self, inner: &ast::Expr, cx: &mut Cx) -> Scalar {
        if self.is_table_in(inner, cx) {
            return self.subquery(inner, SubqueryKind::Scalar, cx);
        }
        self.scalar(inner, &mut Cx::constant(cx.env))
    }

    fn subquery(&mut self, table: &ast::Expr, kind: SubqueryKind, cx: &Cx) -> Scalar {
        let relation = self.table(table, cx.env);
        let Some(first) = relation.visible().next().cloned() else {
            if !relation.open {
                self.report(code::SCALAR_WANTED, &table.place, "a table without columns has no value");
            }
            return Self::unknown_scalar();
        };
        let value = self.column(&first);
        if relation.open || !value.known {
            return Scalar { known: kind == SubqueryKind::Set, ..Self::unknown_scalar() };
        }
        if reads_group(&relation.rel) {
            let help = "`partition` without `hint.strategy` lets a part have a name; or `join` with what is asked for".to_owned();
            self.report_with(code::UNSUPPORTED, &table.place, "a part of the rows cannot be asked for as a whole here", Some(help));
            return Self::unknown_scalar();
        }
        let ty = if kind == SubqueryKind::Set { Type::Dynamic } else { first.ty };
        let rel = self.project(relation, vec![(first.name.clone(), value)]).rel;
        self.subqueries.push(Subquery { rel, kind, ty });
        Scalar::known(Expr { kind: Bound::Subquery(self.subqueries.len() - 1), ty })
    }

    /// A call of one of our operators or functions with bound arguments.
    pub(super) fn operator(&mut self, name: &str, args: Vec<Scalar>, places: &[Place], place: &Place) -> Scalar {
        match crate::functions::find(name) {
            Some(function) => self.apply(function, args, places, place),
            None => {
                self.unsupported(place, &format!("`{name}`"));
                Self::unknown_scalar()
            }
        }
    }

    /// Binds a condition: a bool, or a dynamic converted to bool.
    pub(super) fn condition(&mut self, expr: &ast::Expr, cx: &mut Cx) -> Scalar {
        let value = self.scalar(expr, cx);
        self.as_condition(value, &expr.place)
    }

    pub(super) fn as_condition(&mut self, value: Scalar, place: &Place) -> Scalar {
        match value.ty() {
            Type::Bool => value,
            _ if !value.known => value,
            Type::Dynamic if !self.strict => self.cast(value, Type::Bool),
            other => {
                self.report(code::WRONG_TYPE, place, format!("a condition must be a bool, this is a {other}"));
                Self::unknown_scalar()
            }
        }
    }

    /// Binds an expression that must be constant, as a `ty`.
    pub(super) fn constant(&mut self, expr: &ast::Expr, ty: Type, what: &str, env: &super::scope::Env) -> Scalar {
        // The checker accepts columns where a row count is expected; no engine can evaluate them.
        let around = if self.strict { self.around.clone() } else { Vec::new() };
        let value = self.scalar(expr, &mut Cx { fields: &around, ..Cx::constant(env) });
        self.constant_as(value, ty, what, &expr.place)
    }

    pub(super) fn constant_as(&mut self, value: Scalar, ty: Type, what: &str, place: &Place) -> Scalar {
        if !value.known {
            return value;
        }
        let fits = if self.strict && ty == Type::Long { matches!(value.ty(), Type::Int | Type::Long) } else { casts::fits(value.ty(), ty) };
        if !fits {
            self.report(code::WRONG_TYPE, place, format!("{what} must be a {ty}, this is a {}", value.ty()));
            return Self::unknown_scalar();
        }
        self.cast(value, ty)
    }

    /// A constant text.
    pub(super) fn text(&mut self, expr: &ast::Expr, what: &str, env: &super::scope::Env) -> Option<String> {
        // Options are often written as bare words.
        if let ExprKind::Name(name) = &expr.kind
            && env.get(&name.text).is_none()
        {
            return Some(name.text.clone());
        }
        let value = self.scalar(expr, &mut Cx::constant(env));
        match value.expr.as_const() {
            Some(Value::String(text)) => Some(text.clone()),
            _ if !value.known || (self.strict && value.ty() == Type::String && self.is_fixed(&value.expr)) => None,
            _ => {
                self.report(code::NOT_CONSTANT, &expr.place, format!("{what} must be a constant string"));
                None
            }
        }
    }
}

/// Operators that reject a dynamic as the search term; published rules pass one to `contains` and `startswith`.
fn is_search(op: &str) -> bool {
    let op = op.trim_start_matches('!').trim_end_matches("_cs");
    op == "has"
}

/// True if it reads the group of an enclosing operator.
fn reads_group(rel: &Rel) -> bool {
    let mut waiting = vec![rel];
    while let Some(rel) = waiting.pop() {
        match &rel.op {
            RelOp::Group => return true,
            RelOp::Shared { input, .. } => waiting.push(input),
            // The subquery reads its own groups.
            RelOp::Apply { input, .. } => waiting.push(input),
            _ => waiting.extend(rel.inputs()),
        }
    }
    false
}

/// The numeric type that can represent both.
pub(super) fn wider(a: Type, b: Type) -> Type {
    let rank = |ty: Type| match ty {
        Type::Int => 0,
        Type::Long => 1,
        Type::Real => 2,
        _ => 3,
    };
    if rank(a) >= rank(b) { a } else { b }
}

pub(super) fn find<'f>(fields: &'f [Field], name: &str) -> Option<&'f Field> {
    fields.iter().find(|field| &*field.name == name && !field.is_hidden())
}
