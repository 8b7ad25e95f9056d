//! Checks calls with the rules of Kusto's checker: matches the arguments to the call signatures of [`shapes`].
//!
//! The best signature is chosen as in that checker: by the number of arguments, then by how many of them match, then by the quality of the
//! worst and the best match. Arguments of unknown type match everything.

use model::Type;

use super::scope::Scalar;
use super::shapes::{Kind, Known, Parameter, Returns, Rule, Shape};
use super::{Binder, diagnostics as code};
use crate::Value;
use crate::plan::{Expr, ExprKind as Bound};
use crate::syntax::ast::{self, ExprKind, Place};

/// Known content kind of a dynamic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    Any,
    Array,
    Bag,
    Single,
}

/// An argument as seen by the call check.
pub(super) struct Seen {
    pub ty: Type,
    pub known: bool,
    pub nature: Nature,
    pub form: Form,
    /// Known before the first row.
    pub fixed: bool,
    pub text: Option<String>,
    pub place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Star,
    Column,
    Literal,
    Typeof,
    Table,
    Other,
}

/// The result type of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Gives(Type, Nature),
    /// Depends on an argument of unknown type.
    Unknown,
    /// The result type of our own signature.
    Ours,
}

/// Match quality, from none to exact.
type Rank = u8;
const NONE: Rank = 0;
const UNKNOWN: Rank = 1;
const DYNAMIC: Rank = 2;
const PROMOTED: Rank = 4;
const NOT_TYPE: Rank = 5;
const ONE_OF_MANY: Rank = 6;
const SCALAR: Rank = 7;
const SUMMABLE: Rank = 8;
const ORDERABLE: Rank = 9;
const NUMBER: Rank = 10;
const INTEGER: Rank = 11;
const EXACT: Rank = 16;

/// Date parts, for functions that take one as their first argument.
const UNITS: &[&str] = &["year", "quarter", "month", "week", "day", "hour", "minute", "second", "millisecond", "microsecond", "nanosecond"];
const PARTS: &[&str] = &[
    "year",
    "quarter",
    "month",
    "week_of_year",
    "day",
    "dayofyear",
    "hour",
    "minute",
    "second",
    "millisecond",
    "microsecond",
    "nanosecond",
];

pub(super) fn is_summable(ty: Type) -> bool {
    ty.is_numeric() || matches!(ty, Type::Datetime | Type::Timespan)
}

pub(super) fn is_orderable(ty: Type) -> bool {
    is_summable(ty) || matches!(ty, Type::String | Type::Bool)
}

/// True if `from` equals `to` or can be widened to it.
pub(super) fn promotes(from: Type, to: Type) -> bool {
    match to {
        _ if from == to => true,
        Type::Long => from == Type::Int,
        Type::Real => matches!(from, Type::Int | Type::Long),
        Type::Decimal => matches!(from, Type::Int | Type::Long | Type::Real),
        Type::String => from == Type::Dynamic,
        _ => false,
    }
}

/// Like [`promotes`]; a known array or bag does not match a string.
fn promoted(arg: &Seen, to: Type) -> bool {
    promotes(arg.ty, to) && (arg.ty != Type::Dynamic || to == Type::Dynamic || matches!(arg.nature, Nature::Any | Nature::Single))
}

/// The common type of two types.
pub(super) fn meeting(a: Type, b: Type) -> Option<Type> {
    match () {
        () if a == Type::Dynamic || b == Type::Dynamic => Some(Type::Dynamic),
        () if promotes(a, b) => Some(b),
        () if promotes(b, a) => Some(a),
        () => None,
    }
}

/// The type of a percentile of values of type `ty`.
pub(super) fn percentile(ty: Type) -> Type {
    match ty {
        Type::Int => Type::Long,
        Type::Decimal => Type::Real,
        other => other,
    }
}

impl Binder<'_> {
    /// Describes `arg` and the value it was bound to for the call check.
    pub(super) fn seen(&self, arg: &ast::Expr, value: &Scalar) -> Seen {
        let form = match unwrapped(arg) {
            ExprKind::Literal(_) | ExprKind::Dynamic(_) => Form::Literal,
            ExprKind::Unary { operand, .. } if matches!(operand.kind, ExprKind::Literal(_)) => Form::Literal,
            ExprKind::Name(_) if value.expr.as_const().is_some() => Form::Literal,
            ExprKind::Name(_) | ExprKind::Member { .. } if matches!(value.expr.kind, Bound::Column(_)) => Form::Column,
            ExprKind::Call(call) if call.name.text == "typeof" => Form::Typeof,
            ExprKind::Star => Form::Star,
            _ => Form::Other,
        };
        Seen {
            ty: value.ty(),
            known: value.known,
            nature: self.nature(&value.expr),
            form,
            fixed: self.is_fixed(&value.expr),
            text: value.expr.as_const().and_then(Value::as_str).map(str::to_owned),
            place: arg.place.clone(),
        }
    }

    /// True if the value is the same for all rows. Parameters are, while a function is bound without a call.
    pub(super) fn is_fixed(&self, expr: &Expr) -> bool {
        let mut fixed = true;
        expr.walk(&mut |part| match part.kind {
            Bound::Column(id) => fixed &= self.parameters.contains(&id),
            Bound::Window { .. } => fixed = false,
            _ => {}
        });
        fixed
    }

    /// The content kind of a dynamic value, if known.
    pub(super) fn nature(&self, expr: &Expr) -> Nature {
        match &expr.kind {
            Bound::Column(id) => self.natures.get(id).copied().unwrap_or(Nature::Any),
            Bound::Const(Value::Dynamic(json)) => match json.trim_start().as_bytes().first() {
                Some(b'[') => Nature::Array,
                Some(b'{') => Nature::Bag,
                Some(b'n') | None => Nature::Any,
                Some(_) => Nature::Single,
            },
            Bound::Call { function, .. } if expr.ty == Type::Dynamic => {
                let known = super::shapes::scalar(function.name);
                match known.and_then(|known| known.shapes.first()).map(|shape| shape.returns) {
                    Some(Returns::Array) => Nature::Array,
                    Some(Returns::Bag) => Nature::Bag,
                    _ => Nature::Any,
                }
            }
            _ => Nature::Any,
        }
    }

    /// Checks a call of `name`, and reports errors.
    pub(super) fn judge(&mut self, name: &str, known: &Known, args: &[Seen], place: &Place) -> Option<Verdict> {
        let Some(shape) = choose(&known.shapes, args) else {
            let unknown = args.iter().any(|arg| !arg.known);
            if known.shapes.iter().any(|shape| shape.takes(args.len())) {
                if unknown {
                    return Some(Verdict::Unknown);
                }
                let types: Vec<&str> = args.iter().map(|arg| arg.ty.name()).collect();
                self.report(code::WRONG_TYPE, place, format!("`{name}` has no form that takes ({})", types.join(", ")));
                return None;
            }
            self.wrong_count(name, &known.shapes, args.len(), place);
            return None;
        };
        if !shape.takes(args.len()) {
            self.wrong_count(name, &known.shapes, args.len(), place);
            return None;
        }
        let parameters = shape.assigned(args);
        if let Some(extra) = args.get(parameters.len()) {
            self.report(code::WRONG_TYPE, &extra.place, format!("`{name}` takes no {} here", extra.ty));
            return None;
        }
        let common = shape.common(args);
        if common.is_none() && parameters.iter().any(|parameter| parameter.kind.is_common()) && args.iter().all(|arg| arg.known) {
            let types: Vec<&str> = args.iter().map(|arg| arg.ty.name()).collect();
            self.report(code::WRONG_TYPE, place, format!("the arguments of `{name}` have no type in common: {}", types.join(", ")));
            return None;
        }
        for (index, (parameter, arg)) in parameters.iter().zip(args).enumerate() {
            if !self.fits_parameter(name, index, parameter, arg, common) {
                return None;
            }
        }
        Some(shape.gives(args, common))
    }

    fn wrong_count(&mut self, name: &str, shapes: &[Shape], got: usize, place: &Place) {
        let least = shapes.iter().map(Shape::least).min().unwrap_or(0);
        let most = shapes.iter().map(Shape::most).max().unwrap_or(0);
        let plural = |n: usize| if n == 1 { "argument" } else { "arguments" };
        let wants = match most {
            usize::MAX => format!("at least {least} {}", plural(least)),
            _ if least == most => format!("{least} {}", plural(least)),
            _ => format!("{least} to {most} arguments"),
        };
        self.report(code::ARGUMENT_COUNT, place, format!("`{name}` wants {wants}, got {got}"));
    }

    fn fits_parameter(&mut self, name: &str, index: usize, parameter: &Parameter, arg: &Seen, common: Option<Type>) -> bool {
        let number = index + 1;
        if arg.form == Form::Star {
            let fits = matches!(parameter.rule, Rule::Star | Rule::StarAllowed);
            if !fits {
                self.report(code::SCALAR_WANTED, &arg.place, "`*` cannot stand here");
            }
            return fits;
        }
        if parameter.least == 0 && arg.text.as_deref() == Some("~") {
            // For plug-ins this means "as if omitted".
            return true;
        }
        if arg.known && parameter.kind.rank(arg, common) == NONE {
            let got = if arg.form == Form::Table { "a table" } else { arg.ty.name() };
            let wants = parameter.kind.wants(common);
            self.report(code::WRONG_TYPE, &arg.place, format!("`{name}` wants {wants} for argument {number}, got {got}"));
            return false;
        }
        let wants = match parameter.rule {
            Rule::Constant if !arg.fixed => "a constant",
            Rule::Literal if parameter.kind != Kind::Typeof && arg.form != Form::Literal => "a literal",
            Rule::Column | Rule::ColumnOfTable if arg.form != Form::Column && arg.known => "a column",
            Rule::Aggregate if arg.form == Form::Column => "an aggregate",
            _ => "",
        };
        if !wants.is_empty() {
            self.report(code::NOT_CONSTANT, &arg.place, format!("`{name}` wants {wants} for argument {number}"));
            return false;
        }
        if index == 0
            && let ("datetime_diff" | "datetime_add" | "datetime_part" | "datepart", Some(text)) = (name, &arg.text)
        {
            let part = text.to_ascii_lowercase();
            let parts = if matches!(name, "datetime_part" | "datepart") { PARTS } else { UNITS };
            if !parts.contains(&part.as_str()) {
                self.report(code::BAD_OPTION, &arg.place, format!("`{text}` is not a part of a date: {}", parts.join(", ")));
                return false;
            }
        }
        if (name, index) == ("countof", 2) && arg.text.as_deref().is_some_and(|kind| !matches!(kind, "normal" | "regex")) {
            self.report(code::BAD_OPTION, &arg.place, "`countof` counts `normal` or `regex`");
            return false;
        }
        true
    }
}

/// The best signature for the arguments; `None` if none takes this many, or several match equally well.
fn choose<'s>(shapes: &'s [Shape], args: &[Seen]) -> Option<&'s Shape> {
    if let [only] = shapes {
        return Some(only);
    }
    let counted = |shape: &Shape| shape.ranks(args).iter().filter(|rank| **rank != NONE).count();
    let mut candidates: Vec<&Shape> = shapes.iter().filter(|shape| shape.takes(args.len())).collect();
    let most = candidates.iter().map(|shape| counted(shape)).max()?;
    candidates.retain(|shape| counted(shape) == most);
    let quality = |shape: &Shape| {
        let ranks = shape.ranks(args);
        (ranks.iter().min().copied().unwrap_or(EXACT), ranks.iter().max().copied().unwrap_or(NONE))
    };
    let best = candidates.iter().map(|shape| quality(shape)).max()?;
    candidates.retain(|shape| quality(shape) == best);
    match candidates[..] {
        [only] => Some(only),
        _ => None,
    }
}

impl Shape {
    /// `case(b, x, b, x, y)`, `bag_pack(k, v, k, v)`: the first two parameters alternate.
    fn alternates(&self) -> bool {
        self.parameters.len() > 1 && self.parameters[..2].iter().all(|parameter| parameter.most > 1 && parameter.least == 1)
    }

    fn least(&self) -> usize {
        self.parameters.iter().map(|parameter| parameter.least).sum()
    }

    fn most(&self) -> usize {
        self.parameters.iter().map(|parameter| parameter.most).fold(0, usize::saturating_add)
    }

    pub(super) fn takes(&self, count: usize) -> bool {
        let whole = !self.alternates() || (count - (self.parameters.len() - 2).min(count)).is_multiple_of(2);
        whole && (self.least()..=self.most()).contains(&count)
    }

    /// The parameter of each argument.
    fn assigned(&self, args: &[Seen]) -> Vec<&Parameter> {
        let count = args.len();
        if self.alternates() {
            let last = if self.parameters.len() > 2 { count.saturating_sub(1) } else { count };
            return (0..count).filter_map(|at| self.parameters.get(if at >= last { 2 } else { at % 2 })).collect();
        }
        let mut assigned = Vec::with_capacity(count);
        for (at, parameter) in self.parameters.iter().enumerate() {
            // Leave an argument for each required later parameter.
            let later: usize = self.parameters[at + 1..].iter().map(|later| later.least).sum();
            let mut free = count.saturating_sub(assigned.len()).saturating_sub(later).min(parameter.most);
            if at + 1 < self.parameters.len() && self.is_mixed() {
                // Only its type decides which parameter an argument belongs to.
                let fitting = args[assigned.len()..].iter().take(free).take_while(|arg| parameter.accepts(arg)).count();
                free = fitting.max(parameter.least);
            }
            assigned.extend(std::iter::repeat_n(parameter, free.min(count - assigned.len().min(count))));
        }
        assigned
    }

    /// True if a repeated parameter is followed by others.
    fn is_mixed(&self) -> bool {
        let many = |parameter: &Parameter| parameter.most > 8;
        self.parameters.split_last().is_some_and(|(_, before)| before.iter().any(many))
    }

    fn ranks(&self, args: &[Seen]) -> Vec<Rank> {
        let common = self.common(args);
        let rank = |(parameter, arg): (&Parameter, &Seen)| match (arg.known, arg.form) {
            (false, _) => UNKNOWN,
            (_, Form::Star) if matches!(parameter.rule, Rule::Star | Rule::StarAllowed) => EXACT,
            (_, Form::Star) => NONE,
            _ if parameter.rule == Rule::Star => NONE,
            _ => parameter.kind.rank(arg, common),
        };
        self.assigned(args).into_iter().zip(args).map(rank).collect()
    }

    /// The common type of the arguments whose parameters require one.
    fn common(&self, args: &[Seen]) -> Option<Type> {
        let mut common: Option<Type> = None;
        let mut dynamic = false;
        for (parameter, arg) in self.assigned(args).into_iter().zip(args) {
            let counts = match parameter.kind {
                Kind::Common | Kind::CommonOrDynamic => true,
                Kind::CommonOrderable => is_orderable(arg.ty),
                _ => false,
            };
            if !counts || !arg.known {
                continue;
            }
            if parameter.kind == Kind::CommonOrDynamic && arg.ty == Type::Dynamic {
                dynamic = true;
                continue;
            }
            common = match common {
                None => Some(arg.ty),
                Some(so_far) => match meeting(so_far, arg.ty) {
                    None if parameter.kind == Kind::CommonOrDynamic => Some(Type::Dynamic),
                    None => return None,
                    met => met,
                },
            };
        }
        common.or(dynamic.then_some(Type::Dynamic))
    }

    fn gives(&self, args: &[Seen], common: Option<Type>) -> Verdict {
        let argument = |index: usize| match args.get(index) {
            Some(arg) if arg.known => Verdict::Gives(arg.ty, arg.nature),
            _ => Verdict::Unknown,
        };
        let plain = |ty: Type| Verdict::Gives(ty, Nature::Any);
        match self.returns {
            Returns::Type(ty) => plain(ty),
            Returns::Array => Verdict::Gives(Type::Dynamic, Nature::Array),
            Returns::Bag => Verdict::Gives(Type::Dynamic, Nature::Bag),
            Returns::Argument(index) => argument(index),
            Returns::Promoted => match argument(0) {
                Verdict::Gives(Type::Int, nature) => Verdict::Gives(Type::Long, nature),
                given => given,
            },
            Returns::Percentile => match argument(0) {
                Verdict::Gives(ty, nature) => Verdict::Gives(percentile(ty), nature),
                given => given,
            },
            Returns::Common | Returns::Widest if args.iter().any(|arg| !arg.known) => Verdict::Unknown,
            Returns::Common => common.map_or(Verdict::Ours, plain),
            Returns::Widest => args.iter().map(|arg| arg.ty).reduce(|a, b| meeting(a, b).unwrap_or(a)).map_or(Verdict::Ours, plain),
            Returns::Typed => {
                let named = args.iter().find(|arg| arg.form == Form::Typeof).and_then(|arg| arg.text.as_deref());
                named.and_then(Type::parse).map_or(Verdict::Ours, plain)
            }
            Returns::Ours => Verdict::Ours,
        }
    }
}

impl Parameter {
    fn accepts(&self, arg: &Seen) -> bool {
        let ruled = match self.rule {
            Rule::Constant => arg.fixed,
            Rule::Literal => arg.form == Form::Literal,
            Rule::Column | Rule::ColumnOfTable => arg.form == Form::Column,
            _ => true,
        };
        !arg.known || (ruled && self.kind.rank(arg, None) != NONE)
    }
}

impl Kind {
    fn is_common(self) -> bool {
        matches!(self, Kind::Common | Kind::CommonOrderable | Kind::CommonOrDynamic)
    }

    fn rank(self, arg: &Seen, common: Option<Type>) -> Rank {
        let when = |fits: bool, rank: Rank| if fits { rank } else { NONE };
        let (ty, nature) = (arg.ty, arg.nature);
        if arg.form == Form::Table {
            return when(matches!(self, Kind::Table | Kind::Any), EXACT);
        }
        if arg.form == Form::Typeof {
            return when(matches!(self, Kind::Typeof | Kind::Any), EXACT);
        }
        match self {
            Kind::Any => UNKNOWN,
            Kind::Scalar => SCALAR,
            Kind::Types(types) if types.contains(&ty) => EXACT,
            Kind::Types(types) => when(types.iter().any(|to| promoted(arg, *to)), PROMOTED),
            Kind::Typeof | Kind::Table => NONE,
            Kind::Integer => when(matches!(ty, Type::Int | Type::Long), INTEGER),
            Kind::StringOrDynamic => when(matches!(ty, Type::String | Type::Dynamic), ONE_OF_MANY),
            Kind::StringOrArray => when(ty == Type::String || (ty == Type::Dynamic && nature != Nature::Bag), ONE_OF_MANY),
            Kind::IntegerOrArray => {
                when(matches!(ty, Type::Int | Type::Long) || (ty == Type::Dynamic && nature != Nature::Bag), ONE_OF_MANY)
            }
            Kind::Array => when(ty == Type::Dynamic && matches!(nature, Nature::Any | Nature::Array), ONE_OF_MANY),
            Kind::Bag => when(ty == Type::Dynamic && matches!(nature, Nature::Any | Nature::Bag), ONE_OF_MANY),
            Kind::Number => when(ty.is_numeric(), NUMBER),
            Kind::NumberOrBool => when(ty.is_numeric() || ty == Type::Bool, NUMBER),
            Kind::Summable => when(is_summable(ty), SUMMABLE),
            Kind::Orderable => when(is_orderable(ty), ORDERABLE),
            Kind::NotBool => when(ty != Type::Bool, NOT_TYPE),
            Kind::NotRealOrBool => when(!matches!(ty, Type::Real | Type::Bool), NOT_TYPE),
            Kind::NotDynamic => when(ty != Type::Dynamic, NOT_TYPE),
            Kind::CommonOrDynamic if ty == Type::Dynamic => DYNAMIC,
            Kind::CommonOrderable if !is_orderable(ty) => NONE,
            Kind::Common | Kind::CommonOrderable | Kind::CommonOrDynamic => match common {
                Some(common) if common == ty => EXACT,
                Some(common) if promoted(arg, common) => PROMOTED,
                Some(Type::Dynamic) if self == Kind::CommonOrDynamic => DYNAMIC,
                _ => NONE,
            },
        }
    }

    /// Describes the expected argument.
    fn wants(self, common: Option<Type>) -> &'static str {
        match self {
            Kind::Any | Kind::Scalar => "a value",
            Kind::Types(types) => types.first().map_or("a value", |ty| ty.name()),
            Kind::Typeof => "`typeof(…)`",
            Kind::Table => "a table",
            Kind::Integer => "int or long",
            Kind::StringOrDynamic => "string or dynamic",
            Kind::StringOrArray => "string or a dynamic array",
            Kind::IntegerOrArray => "int, long or a dynamic array",
            Kind::Array => "a dynamic array",
            Kind::Bag => "a dynamic bag",
            Kind::Number => "a number",
            Kind::NumberOrBool => "a number or a bool",
            Kind::Summable => "number, datetime or timespan",
            Kind::Orderable => "number, datetime, timespan, string or bool",
            Kind::NotBool => "anything but bool",
            Kind::NotRealOrBool => "anything but real and bool",
            Kind::NotDynamic => "anything but dynamic",
            Kind::Common | Kind::CommonOrderable | Kind::CommonOrDynamic => common.map_or("the type of the others", Type::name),
        }
    }
}

fn unwrapped(expr: &ast::Expr) -> &ExprKind {
    match &expr.kind {
        ExprKind::Paren(inner) => unwrapped(inner),
        ExprKind::Named { value, .. } => unwrapped(value),
        kind => kind,
    }
}

/// The result type of an operator on these operand types, as in the checker; `None` if it is not defined for them.
pub(super) fn operator(op: &str, operands: &[(Type, Nature)]) -> Option<Type> {
    use Type::{Bool, Datetime, Dynamic, Int, Real, String, Timespan};
    let number = |ty: Type| ty.is_numeric();
    let text = |ty: Type| matches!(ty, String | Dynamic);
    // A known array or bag is not a string.
    let needle = |(ty, nature): (Type, Nature)| ty == String || (ty == Dynamic && matches!(nature, Nature::Any | Nature::Single));
    let long = |ty: Type| if ty == Int { Type::Long } else { ty };
    let whole = |a: Type, b: Type| meeting(a, b).map(long);
    match (op, operands) {
        ("==" | "!=" | "<>" | "in" | "!in", _) => Some(Bool),
        ("in~" | "!in~" | "has_any" | "has_all", [(left, _), ..]) => text(*left).then_some(Bool),
        ("and" | "or", [(a, _), (b, _)]) => [a, b].iter().all(|ty| matches!(ty, Bool | Dynamic)).then_some(Bool),
        ("<" | "<=" | ">" | ">=", [(a, _), (b, _)]) => match (*a, *b) {
            (Bool, b) => number(b) || b == Bool,
            (a, Bool) => number(a),
            (Timespan, Timespan) | (Datetime, Datetime) | (Dynamic, Dynamic) => true,
            (Dynamic, other) | (other, Dynamic) => number(other),
            (a, b) => number(a) && number(b),
        }
        .then_some(Bool),
        ("+" | "-" | "*" | "/" | "%", [(a, _), (b, _)]) => match (*a, op, *b) {
            (a, _, b) if number(a) && number(b) => whole(a, b),
            (Dynamic, _, Dynamic) => Some(Dynamic),
            (Timespan, "/", Timespan) | (Datetime, "/", Datetime | Timespan) => Some(Real),
            (Timespan, _, Timespan) => Some(Timespan),
            (Datetime, "+", Datetime | Timespan) | (Timespan, "+" | "-", Datetime) | (Datetime, "-", Timespan) => Some(Datetime),
            (Datetime, "-" | "%", Datetime) | (Datetime, "%", Timespan) => Some(Timespan),
            (Datetime, "-", Dynamic) | (Dynamic, "-", Datetime) => Some(Timespan),
            (Datetime | Timespan, "*" | "/" | "%", b) if number(b) => Some(*a),
            (a, "*", Datetime | Timespan) if number(a) => Some(*b),
            (Dynamic, "+" | "-", other) | (other, "+" | "-", Dynamic) if is_summable(other) => Some(long(other)),
            (Dynamic, _, other) | (other, _, Dynamic) if number(other) => Some(long(other)),
            _ => None,
        },
        ("neg", [(a, _)]) => (is_summable(*a) || *a == Dynamic).then_some(long(*a)),
        ("[]", [(Dynamic, nature), (index, _)]) => match nature {
            Nature::Array => matches!(index, Int | Type::Long),
            _ => matches!(index, Int | Type::Long | String | Dynamic),
        }
        .then_some(Dynamic),
        ("[]", _) => None,
        ("between" | "!between", [(a, _), (b, _), (c, _)]) => match (*a, *b, *c) {
            (a, b, c) if number(a) && number(b) && number(c) => true,
            (Datetime, Datetime, Datetime | Timespan) | (Timespan, Timespan, Timespan) => true,
            (a, Dynamic, Dynamic) => number(a),
            (Dynamic, b, c) => number(b) && b == c,
            _ => false,
        }
        .then_some(Bool),
        // `has`, `contains`, `=~`, `matches regex` and related operators.
        (op, [(a, _), right]) => {
            let whole_word = op.trim_start_matches('!').starts_with("has");
            (text(*a) && if whole_word { needle(*right) } else { text(right.0) }).then_some(Bool)
        }
        _ => None,
    }
}

impl Binder<'_> {
    /// Binds the operator `op`, with the checker's rules in a check.
    pub(super) fn judged_operator(&mut self, op: &str, args: Vec<Scalar>, places: &[Place], place: &Place) -> Scalar {
        if !self.strict {
            return self.operator(op, args, places, place);
        }
        let seen: Vec<(Type, Nature)> = args.iter().map(|arg| (arg.ty(), self.nature(&arg.expr))).collect();
        if args.iter().any(|arg| !arg.known) {
            // Arithmetic on an unknown type has an unknown type; other operators have a fixed one.
            return match op {
                "+" | "-" | "*" | "/" | "%" | "neg" | "[]" => Self::unknown_scalar(),
                _ => self.opaque(Type::Bool, Nature::Any, false),
            };
        }
        let Some(ty) = operator(op, &seen) else {
            let types: Vec<&str> = seen.iter().map(|(ty, _)| ty.name()).collect();
            self.report(code::WRONG_TYPE, place, format!("`{op}` is not defined for {}", types.join(" and ")));
            return Self::unknown_scalar();
        };
        let fixed = args.iter().all(|arg| self.is_fixed(&arg.expr));
        let runs = crate::functions::find(op).is_some_and(|function| {
            matches!(super::casts::fit(&function.signature, &args), super::casts::Fit::Exact(resolved) if resolved.returns == ty)
        });
        if runs {
            return self.operator(op, args, places, place);
        }
        self.opaque(ty, Nature::Any, fixed)
    }

    /// A valid value that cannot be computed here: it has only a type.
    pub(super) fn opaque(&mut self, ty: Type, nature: Nature, fixed: bool) -> Scalar {
        self.postpone(code::UNSUPPORTED, &(0..0), "part of this is judged only and cannot run here");
        let id = self.fresh();
        if fixed {
            self.parameters.insert(id);
        }
        if nature != Nature::Any {
            self.natures.insert(id, nature);
        }
        Scalar::known(Expr { kind: Bound::Column(id), ty })
    }
}
