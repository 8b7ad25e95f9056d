//! Calls: functions of the language, aggregates and windows where they are allowed, `let` functions and stored functions.

use std::rc::Rc;

use model::Type;

use super::casts::{self, Fit};
use super::relation::INGESTION_TIME;
use super::scope::{Binding, Cx, Env, Lazy, Relation, Scalar, UserFunction, WindowCall};
use super::{Binder, diagnostics as code};
use crate::aggregates::{self, AggregateFn};
use crate::functions::{self, ScalarFn};
use crate::plan::{AggregateCall, Expr, ExprKind as Bound, Field};
use crate::syntax::ast::{self, ExprKind, ParameterType, Place};
use crate::windows::{self, WindowFn};

/// Levels that a call of a function written in KQL counts for.
const CALL_DEPTH: usize = 3;

const TYPES_UNKNOWN: &str = "the types of some columns are known only when it runs";

impl Binder<'_> {
    pub(super) fn call(&mut self, call: &ast::Call, place: &Place, cx: &mut Cx) -> Scalar {
        let name = call.name.text.as_str();
        if let Some(Binding::Function(function)) = cx.env.get(name) {
            let function = function.clone();
            return self.scalar_user_call(&function, &call.args, place, cx);
        }
        match name {
            "column_ifexists" | "columnifexists" => return self.column_if_exists(call, place, cx),
            "ingestion_time" => return self.ingestion_time(cx),
            "pack_all" => return self.pack_all(call, place, cx),
            "estimate_data_size" => return self.estimate_data_size(call, place, cx),
            "typeof" => return self.type_of(call, place),
            "entity_group" => {
                let help = "name the tables of this workspace: `union withsource=T A, B | …`".to_owned();
                let message = "`entity_group` names clusters and databases, and there is one workspace here";
                self.report_with(code::UNSUPPORTED, &call.name.place, message, Some(help));
                return Self::unknown_scalar();
            }
            _ => {}
        }
        if cx.graph.is_some()
            && let Some(value) = self.graph_call(call, place, cx)
        {
            return value;
        }
        if let Some(answer) = self.answered(call, place, cx) {
            return answer;
        }
        if cx.aggregates.is_some()
            && let Some(aggregate) = aggregates::find(name)
        {
            return self.aggregate(aggregate, call, place, cx);
        }
        if let Some(window) = windows::find(name) {
            return self.window(window, call, place, cx);
        }
        if let Some(function) = functions::find(name).filter(|_| name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')) {
            let (args, places) = self.arguments(&call.args, cx);
            return self.apply(function, args, &places, place);
        }
        if let Some(function) = self.stored(name) {
            return self.scalar_user_call(&function, &call.args, place, cx);
        }
        self.unknown_call(call, cx);
        // What is inside may be wrong too.
        let mut inner = Cx { aggregates: None, windows: None, steps: None, graph: cx.graph.as_deref_mut(), right: cx.right, ..*cx };
        for arg in &call.args {
            if !matches!(arg.kind, ExprKind::Star) && !self.is_table_in(arg, &inner) {
                self.scalar(arg, &mut inner);
            }
        }
        Self::unknown_scalar()
    }

    fn unknown_call(&mut self, call: &ast::Call, cx: &Cx) {
        let name = call.name.text.as_str();
        if aggregates::find(name).is_some() {
            let help = "aggregates stand in `summarize`, and in `make-series` and `top-nested`".to_owned();
            self.report_with(
                code::MISPLACED_AGGREGATE,
                &call.name.place,
                format!("`{name}` is an aggregate and cannot stand here"),
                Some(help),
            );
            return;
        }
        if super::spread::names().any(|several| several == name) {
            let help = format!("`extend (a, b) = {name}(…)` names them");
            let message = format!("`{name}` gives several columns: it stands by itself in `extend`, `project` or `print`");
            self.report_with(code::SCALAR_WANTED, &call.name.place, message, Some(help));
            return;
        }
        let ours = functions::all().map(|function| function.name).chain(aggregates::all().map(|aggregate| aggregate.name));
        let ours: Vec<&str> = ours.filter(|name| !name.starts_with('$')).chain(super::spread::names()).collect();
        let theirs = cx.env.names().filter(|(_, binding)| matches!(binding, Binding::Function(_))).map(|(name, _)| name);
        let help = code::did_you_mean(name, theirs.chain(ours));
        self.report_with(code::UNKNOWN_FUNCTION, &call.name.place, format!("there is no function `{name}` here"), help);
    }

    pub(super) fn arguments(&mut self, args: &[ast::Expr], cx: &mut Cx) -> (Vec<Scalar>, Vec<Place>) {
        let mut values = Vec::with_capacity(args.len());
        for arg in args {
            // A table where a function wants a set of values: `has_any_index(x, T)`, `set_has_element(…)` take none; say so below.
            values.push(self.scalar(arg, cx));
        }
        (values, args.iter().map(|arg| arg.place.clone()).collect())
    }

    /// A call of `function`, its arguments cast to what it wants.
    pub(super) fn apply(&mut self, function: &'static ScalarFn, args: Vec<Scalar>, places: &[Place], place: &Place) -> Scalar {
        match casts::fit(&function.signature, &args) {
            Fit::Exact(resolved) => {
                let args = args.into_iter().zip(resolved.args).map(|(arg, ty)| self.cast(arg, ty).expr).collect();
                Scalar::known(self.folded(Expr::call(function, args, resolved.returns)))
            }
            Fit::Unknown(Some(ty)) => Scalar { expr: Expr { kind: Bound::Column(self.fresh()), ty }, known: true }.unplanned(self),
            Fit::Unknown(None) => Self::unknown_scalar(),
            Fit::Wrong(error) => {
                self.report_fit(function.shown(), &error, &args, places, place);
                Self::unknown_scalar()
            }
        }
    }

    // ---- aggregates and windows

    /// The call of an aggregate that gives one column.
    fn aggregate(&mut self, aggregate: &'static AggregateFn, call: &ast::Call, place: &Place, cx: &mut Cx) -> Scalar {
        let mut inner = Cx { aggregates: None, windows: None, steps: None, graph: cx.graph.as_deref_mut(), right: cx.right, ..*cx };
        let (args, places) = self.arguments(&call.args, &mut inner);
        match self.aggregate_of(aggregate, args, &places, place) {
            Some((bound, known)) => self.collect_aggregate(bound, known, cx),
            None => Self::unknown_scalar(),
        }
    }

    /// Notes an aggregate call; gives its column.
    pub(super) fn collect_aggregate(&mut self, call: AggregateCall, known: bool, cx: &mut Cx) -> Scalar {
        let Some(collector) = cx.aggregates.as_mut() else { return Self::unknown_scalar() };
        if let Some((_, field)) =
            collector.calls.iter().find(|(other, _)| std::ptr::eq(other.function, call.function) && other.args == call.args)
        {
            return Scalar { expr: Expr::column(field), known };
        }
        let field = Field { id: self.fresh(), name: "".into(), ty: call.ty };
        if !known {
            self.unknown.insert(field.id);
        }
        if matches!(call.function.name, "hll" | "hll_if" | "hll_merge" | "tdigest" | "tdigest_merge") {
            self.sketches.insert(field.id);
        }
        let expr = Expr::column(&field);
        collector.calls.push((call, field));
        Scalar { expr, known }
    }

    /// Fits arguments to an aggregate. The flag is false where the type of the answer is not known.
    pub(super) fn aggregate_of(
        &mut self,
        aggregate: &'static AggregateFn,
        args: Vec<Scalar>,
        places: &[Place],
        place: &Place,
    ) -> Option<(AggregateCall, bool)> {
        match casts::fit(&aggregate.signature, &args) {
            Fit::Exact(resolved) => {
                let args = args.into_iter().zip(resolved.args).map(|(arg, ty)| self.cast(arg, ty).expr).collect();
                Some((AggregateCall { function: aggregate, args, ty: resolved.returns }, true))
            }
            Fit::Unknown(ty) => {
                self.postpone(code::RUN, place, TYPES_UNKNOWN);
                let args = args.into_iter().map(|arg| arg.expr).collect();
                Some((AggregateCall { function: aggregate, args, ty: ty.unwrap_or(Type::Dynamic) }, ty.is_some()))
            }
            Fit::Wrong(error) => {
                self.report_fit(aggregate.name, &error, &args, places, place);
                None
            }
        }
    }

    fn window(&mut self, window: &'static WindowFn, call: &ast::Call, place: &Place, cx: &mut Cx) -> Scalar {
        let (args, places) = self.arguments(&call.args, cx);
        let Some(collector) = cx.windows.as_mut() else {
            let help = "put `sort by …` or `serialize` before".to_owned();
            self.report_with(code::NOT_SERIALIZED, &call.name.place, format!("`{}` needs rows in an order", window.name), Some(help));
            return Self::unknown_scalar();
        };
        match casts::fit(&window.signature, &args) {
            Fit::Exact(resolved) => {
                let args: Vec<Expr> = args.into_iter().zip(resolved.args).map(|(arg, ty)| self.cast(arg, ty).expr).collect();
                let level = collector.level(&args);
                let expr = Expr { kind: Bound::Window { function: window, args }, ty: resolved.returns };
                if let Some(known) = collector.calls.iter().find(|known| known.expr == expr) {
                    return Scalar::known(Expr::column(&known.field));
                }
                let field = Field { id: self.fresh(), name: "".into(), ty: resolved.returns };
                let column = Expr::column(&field);
                collector.calls.push(WindowCall { expr, field, level });
                Scalar::known(column)
            }
            Fit::Unknown(Some(ty)) => Scalar { expr: Expr { kind: Bound::Column(self.fresh()), ty }, known: true }.unplanned(self),
            Fit::Unknown(None) => Self::unknown_scalar(),
            Fit::Wrong(error) => {
                self.report_fit(window.name, &error, &args, &places, place);
                Self::unknown_scalar()
            }
        }
    }

    // ---- functions that look at the row's columns

    /// `column_ifexists("name", default)`
    fn column_if_exists(&mut self, call: &ast::Call, place: &Place, cx: &mut Cx) -> Scalar {
        let [name, default] = &call.args[..] else {
            self.report(code::ARGUMENT_COUNT, place, format!("`{}` wants 2 arguments, got {}", call.name.text, call.args.len()));
            return Self::unknown_scalar();
        };
        let wanted = match &name.kind {
            ExprKind::Name(name) if super::scalar::find(cx.fields, &name.text).is_some() => Some(name.text.clone()),
            _ => self.text(name, "the name of the column", cx.env),
        };
        let fallback = self.scalar(default, cx);
        let Some(wanted) = wanted else { return fallback };
        match super::scalar::find(cx.fields, &wanted).cloned() {
            Some(field) => self.column(&field),
            None if cx.open => Self::unknown_scalar(),
            None => fallback,
        }
    }

    /// `typeof(long)` as an argument: the name of the type.
    fn type_of(&mut self, call: &ast::Call, place: &Place) -> Scalar {
        let ty = match &call.args[..] {
            [ast::Expr { kind: ExprKind::Name(name), .. }] => Type::parse(&name.text),
            _ => None,
        };
        match ty {
            Some(ty) => Scalar::known(Expr::constant(crate::Value::String(ty.name().to_owned()))),
            None => {
                self.report(code::WRONG_TYPE, place, "`typeof` wants the name of a type here");
                Self::unknown_scalar()
            }
        }
    }

    /// When the row came into its table; null where that is not known.
    fn ingestion_time(&mut self, cx: &Cx) -> Scalar {
        self.ingestion_wanted = true;
        match cx.fields.iter().find(|field| &*field.name == INGESTION_TIME) {
            Some(field) => Scalar::known(Expr::column(field)),
            None => Scalar::known(Self::null(Type::Datetime)),
        }
    }

    /// `pack_all([ignore_null_empty])`: a bag of all columns.
    /// `*` stands for every column. A sketch is refused: ours has another layout than Kusto's, and its size would mislead who plans by it.
    fn estimate_data_size(&mut self, call: &ast::Call, place: &Place, cx: &mut Cx) -> Scalar {
        let (mut args, mut places) = (Vec::new(), Vec::new());
        for arg in &call.args {
            let values = match arg.kind {
                ExprKind::Star if cx.open => {
                    let long = Expr { kind: Bound::Column(self.fresh()), ty: Type::Long };
                    return Scalar { expr: long, known: true }.unplanned(self);
                }
                ExprKind::Star => cx.fields.iter().filter(|field| !field.is_hidden()).map(|field| self.column(field)).collect(),
                _ => vec![self.scalar(arg, cx)],
            };
            for value in values {
                if value.ty() == Type::Dynamic && value.expr.columns().iter().any(|id| self.sketches.contains(id)) {
                    let help = "`dcount_hll(…)` and `percentile_tdigest(…)` read sketches".to_owned();
                    let message =
                        "the size of a result of `hll` or `tdigest` is not what it is in Kusto: the sketch has another layout here";
                    self.report_with(code::UNSUPPORTED, &arg.place, message, Some(help));
                    return Self::unknown_scalar();
                }
                args.push(value);
                places.push(arg.place.clone());
            }
        }
        self.operator("estimate_data_size", args, &places, place)
    }

    fn pack_all(&mut self, call: &ast::Call, place: &Place, cx: &mut Cx) -> Scalar {
        let ignore = match call.args.first() {
            None => false,
            Some(arg) => {
                let value = self.scalar(arg, cx);
                match value.expr.as_const() {
                    Some(crate::Value::Bool(ignore)) => *ignore,
                    _ => {
                        self.report(code::NOT_CONSTANT, &arg.place, "`pack_all` wants a constant bool");
                        return Self::unknown_scalar();
                    }
                }
            }
        };
        if cx.open {
            return Scalar { known: true, ..Self::unknown_scalar() }.unplanned(self);
        }
        let mut args = Vec::new();
        if ignore {
            // A bag of its own for each column, or none where it is empty, all merged.
            let mut bags = vec![Scalar::known(Expr::constant(crate::Value::Dynamic("{}".to_owned())))];
            for field in cx.fields.iter().filter(|field| !field.is_hidden()) {
                let value = self.column(field);
                let name = Scalar::known(Expr::constant(crate::Value::String(field.name.to_string())));
                let places = vec![place.clone(); 3];
                let text = self.operator("tostring", vec![value.clone()], &places, place);
                let empty = self.operator("isempty", vec![text], &places, place);
                let bag = self.operator("bag_pack", vec![name, value], &places, place);
                let none = Scalar::known(Expr::constant(crate::Value::Dynamic("{}".to_owned())));
                bags.push(self.operator("iff", vec![empty, none, bag], &places, place));
            }
            let places = vec![place.clone(); bags.len()];
            return self.operator("bag_merge", bags, &places, place);
        }
        for field in cx.fields.iter().filter(|field| !field.is_hidden()) {
            args.push(Scalar::known(Expr::constant(crate::Value::String(field.name.to_string()))));
            args.push(self.column(field));
        }
        let places = vec![place.clone(); args.len()];
        self.operator("bag_pack", args, &places, place)
    }

    // ---- functions written in KQL

    /// The stored function `name`, parsed.
    pub(super) fn stored(&mut self, name: &str) -> Option<Rc<UserFunction>> {
        if let Some(known) = self.stored.get(name) {
            return known.clone();
        }
        let function = self.schema.function(name).map(|stored| {
            let text = format!("let f = ({}) {{ {}\n}};", stored.parameters, stored.body);
            let parsed = crate::syntax::parse(&text);
            let function = parsed.script.statements.into_iter().find_map(|statement| match statement.kind {
                ast::StatementKind::Let { value: ast::LetValue::Function(function), .. } => Some(function),
                _ => None,
            });
            (function, parsed.diagnostics)
        });
        let bound = match function {
            Some((Some(function), diagnostics)) if diagnostics.is_empty() => {
                let env = Env::default();
                // While it is not known, a function that calls itself is taken for a table.
                let tabular = self.body_is_table(&function, &env);
                Some(Rc::new(UserFunction { name: name.to_owned(), function, env, tabular, stored: true }))
            }
            Some((_, diagnostics)) => {
                let why = diagnostics.first().map_or("it is no function", |first| first.message.as_str()).to_owned();
                self.report(code::UNKNOWN_FUNCTION, &(0..0), format!("the text of function `{name}` is wrong: {why}"));
                None
            }
            None => None,
        };
        self.stored.insert(name.to_owned(), bound.clone());
        bound
    }

    pub(super) fn scalar_user_call(&mut self, function: &Rc<UserFunction>, args: &[ast::Expr], place: &Place, cx: &mut Cx) -> Scalar {
        if function.tabular {
            let help = "`toscalar(…)` takes the first value of a table".to_owned();
            self.report_with(code::SCALAR_WANTED, place, format!("`{}` gives a table, not a value", function.name), Some(help));
            return Self::unknown_scalar();
        }
        let Some(env) = self.parameters(function, args, None, place, cx) else { return Self::unknown_scalar() };
        if !self.begin_call(function, place) {
            return Self::unknown_scalar();
        }
        let (env, last) = self.statements(&function.function.body, env);
        let value = match last {
            Some(body) => self.scalar(body, &mut Cx::constant(&env)),
            None => {
                self.report(code::NO_QUERY, place, format!("function `{}` has no value", function.name));
                Self::unknown_scalar()
            }
        };
        self.end_call(function);
        value
    }

    /// The table that a call of a function written in KQL gives. `piped` is the table before `invoke`.
    pub(super) fn table_user_call(
        &mut self,
        function: &Rc<UserFunction>,
        args: &[ast::Expr],
        piped: Option<Relation>,
        place: &Place,
        cx: &mut Cx,
    ) -> Relation {
        let Some(env) = self.parameters(function, args, piped, place, cx) else { return Relation::unknown() };
        if !self.begin_call(function, place) {
            return Relation::unknown();
        }
        let (env, last) = self.statements(&function.function.body, env);
        let relation = match last {
            Some(body) => self.relation(body, &env),
            None => {
                self.report(code::NO_QUERY, place, format!("function `{}` has no value", function.name));
                Relation::unknown()
            }
        };
        self.end_call(function);
        relation
    }

    fn begin_call(&mut self, function: &UserFunction, place: &Place) -> bool {
        if !self.count(place) {
            return false;
        }
        // A call costs more stack than an expression.
        if self.depth + CALL_DEPTH > super::DEEPEST {
            self.report(code::TOO_DEEP, place, format!("nested more than {} levels deep", super::DEEPEST));
            return false;
        }
        if function.stored {
            if self.calling.iter().any(|(name, _)| *name == function.name) {
                self.report(code::RECURSION, place, format!("function `{}` calls itself", function.name));
                return false;
            }
            // Inside a stored function's text, calls keep the place of the outermost one.
            let at = self.calling.last().map_or_else(|| place.clone(), |(_, at)| at.clone());
            self.calling.push((function.name.clone(), at));
        }
        self.depth += CALL_DEPTH;
        true
    }

    fn end_call(&mut self, function: &UserFunction) {
        self.depth -= CALL_DEPTH;
        if function.stored {
            self.calling.pop();
        }
    }

    /// The names inside a function's body: those of its definition, and its parameters.
    fn parameters(
        &mut self,
        function: &Rc<UserFunction>,
        args: &[ast::Expr],
        piped: Option<Relation>,
        place: &Place,
        cx: &mut Cx,
    ) -> Option<Env> {
        let parameters = &function.function.parameters;
        let mut given: Vec<Option<&ast::Expr>> = vec![None; parameters.len()];
        let first = usize::from(piped.is_some());
        for arg in args {
            let (index, value) = match &arg.kind {
                ExprKind::Named { names, value } if names.len() == 1 => {
                    let found = parameters.iter().position(|parameter| parameter.name.text == names[0].text);
                    let Some(index) = found else {
                        let help = code::did_you_mean(&names[0].text, parameters.iter().map(|parameter| parameter.name.text.as_str()));
                        self.report_with(
                            code::UNKNOWN_NAME,
                            &names[0].place,
                            format!("`{}` has no parameter `{}`", function.name, names[0].text),
                            help,
                        );
                        return None;
                    };
                    (index, &**value)
                }
                // The first that has none yet: one before may have been given by name.
                _ => ((first..given.len()).find(|index| given[*index].is_none()).unwrap_or(given.len()), arg),
            };
            match given.get_mut(index) {
                Some(slot) => *slot = Some(value),
                None => {
                    self.report(
                        code::ARGUMENT_COUNT,
                        place,
                        format!("`{}` takes {} arguments, got {}", function.name, parameters.len(), args.len()),
                    );
                    return None;
                }
            }
        }
        let mut env = function.env.clone();
        let mut piped = piped;
        for (parameter, arg) in parameters.iter().zip(given) {
            let name = parameter.name.text.as_str();
            let binding = match (&parameter.ty, arg) {
                (ParameterType::Table(columns), arg) => {
                    let relation_binding = if let Some(relation) = piped.take() {
                        self.check_columns(&relation, columns.as_deref(), &function.name, place);
                        let shared = self.share(relation);
                        Binding::Shared(Rc::new(shared))
                    } else if let Some(arg) = arg {
                        let relation = self.trial(|binder| binder.table(arg, cx.env));
                        self.check_columns(&relation, columns.as_deref(), &function.name, &arg.place);
                        Binding::Table(Rc::new(Lazy { expr: Rc::new(arg.clone()), env: cx.env.clone(), shared: Default::default() }))
                    } else {
                        self.report(code::ARGUMENT_COUNT, place, format!("`{}` wants a table for `{name}`", function.name));
                        return None;
                    };
                    relation_binding
                }
                (ParameterType::Scalar(ty), Some(arg)) => {
                    let mut inner =
                        Cx { aggregates: None, steps: None, graph: cx.graph.as_deref_mut(), right: cx.right, windows: None, ..*cx };
                    let value = self.scalar(arg, &mut inner);
                    if value.known && !casts::fits(value.ty(), *ty) {
                        let message = format!("`{}` wants a {ty} for `{name}`, got a {}", function.name, value.ty());
                        self.report(code::WRONG_TYPE, &arg.place, message);
                        return None;
                    }
                    Binding::Scalar(self.cast(value, *ty))
                }
                (ParameterType::Scalar(ty), None) => match &parameter.default {
                    Some(default) => {
                        let value = self.scalar(default, &mut Cx::constant(&function.env));
                        Binding::Scalar(self.cast(value, *ty))
                    }
                    None => {
                        self.report(code::ARGUMENT_COUNT, place, format!("`{}` wants a {ty} for `{name}`", function.name));
                        return None;
                    }
                },
            };
            env = env.with(name, binding);
        }
        if piped.is_some() {
            self.report(code::ARGUMENT_COUNT, place, format!("`{}` takes no table", function.name));
            return None;
        }
        Some(env)
    }

    fn check_columns(&mut self, relation: &Relation, columns: Option<&[(ast::Name, Type)]>, function: &str, place: &Place) {
        if relation.open {
            return;
        }
        for (name, ty) in columns.into_iter().flatten() {
            match relation.find(&name.text) {
                Some(field) if field.ty == *ty || self.unknown.contains(&field.id) => {}
                Some(field) => {
                    let message = format!("`{function}` wants a table whose `{}` is a {ty}, here it is a {}", name.text, field.ty);
                    self.report(code::WRONG_TYPE, place, message);
                }
                None => {
                    let help = Some(code::columns_here(&relation.rel.fields));
                    self.report_with(code::UNKNOWN_NAME, place, format!("`{function}` wants a table with a column `{}`", name.text), help);
                }
            }
        }
    }
}

impl Scalar {
    /// A value whose type is known though it cannot be computed before a run: there will be no plan.
    pub(super) fn unplanned(self, binder: &mut Binder) -> Self {
        binder.postpone(code::RUN, &(0..0), TYPES_UNKNOWN);
        self
    }
}
