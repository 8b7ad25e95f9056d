//! Calls: built-in functions, aggregates and windows where allowed, `let` functions and stored functions.

use std::rc::Rc;

use model::Type;

use super::casts::{self, Fit};
use super::judge::{Form, Nature, Seen, Verdict};
use super::relation::INGESTION_TIME;
use super::scope::{Binding, Cx, Env, Lazy, Relation, Scalar, Use, UserFunction, WindowCall};
use super::shapes::{self, Known};
use super::{Binder, diagnostics as code};
use crate::aggregates::{self, AggregateFn};
use crate::functions::{self, ScalarFn};
use crate::plan::{AggregateCall, Expr, ExprKind as Bound, Field};
use crate::syntax::ast::{self, ExprKind, ParameterType, Place};
use crate::windows::{self, WindowFn};

/// Nesting levels counted for a call of a function written in KQL.
const CALL_DEPTH: usize = 3;

/// Functions whose text argument must be a string, with its index. `strlen`, `tolower`, `substring`, `split` and others convert it.
/// Recorded for dynamics in four of them; the others are in the same families, and published rules convert their arguments.
const TEXT_ONLY: &[(&str, usize)] = &[
    ("countof", 0),
    ("extract", 2),
    ("replace", 2),
    ("replace_regex", 0),
    ("replace_string", 0),
    ("replace_strings", 0),
    ("trim", 1),
    ("trim_end", 1),
    ("trim_start", 1),
    ("url_decode", 0),
    ("url_encode", 0),
];

/// Functions and operators whose constant patterns or formats may be invalid.
const COMPILED: &[&str] = &[
    "extract",
    "extract_all",
    "format_datetime",
    "format_timespan",
    "indexof_regex",
    "matches regex",
    "replace",
    "replace_regex",
    "trim",
    "trim_end",
    "trim_start",
];

const TYPES_UNKNOWN: &str = "the types of some columns are known only when it runs";

impl Binder<'_> {
    pub(super) fn call(&mut self, call: &ast::Call, place: &Place, cx: &mut Cx) -> Scalar {
        let name = call.name.text.as_str();
        if let Some(Binding::Function(function)) = cx.env.get(name) {
            let function = function.clone();
            return self.scalar_user_call(&function, &call.args, place, cx);
        }
        match name {
            "ingestion_time" | "pack_all" | "estimate_data_size" if self.strict && !self.fits_shape(call, cx) => {
                return Self::unknown_scalar();
            }
            "pack_all" if self.strict => return self.opaque(Type::Dynamic, Nature::Bag, false),
            "estimate_data_size" if self.strict => return self.opaque(Type::Long, Nature::Any, false),
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
        if cx.aggregates.is_some()
            && self.strict
            && let Some(known) = shapes::aggregate(name)
        {
            return self.absent_aggregate(known, call, place, cx);
        }
        if let Some(window) = windows::find(name) {
            return self.window(window, call, place, cx);
        }
        if self.strict
            && let Some(known) = shapes::scalar(name)
        {
            return self.judged(known, call, place, cx);
        }
        if let Some(function) = functions::find(name).filter(|_| name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')) {
            let (args, places) = self.arguments(&call.args, cx);
            if self.refuses_other(function.name, &args, &places) {
                return Self::unknown_scalar();
            }
            return self.apply(function, args, &places, place);
        }
        if let Some(function) = self.stored(name) {
            return self.scalar_user_call(&function, &call.args, place, cx);
        }
        if let Some(function) = functions::transformation::find(name).filter(|_| self.schema.is_transformation()) {
            let (args, places) = self.arguments(&call.args, cx);
            return self.apply(function, args, &places, place);
        }
        self.unknown_call(call, cx);
        // Also check the arguments.
        let mut inner = Cx { aggregates: None, windows: None, steps: None, graph: cx.graph.as_deref_mut(), right: cx.right, ..*cx };
        for arg in &call.args {
            if !matches!(arg.kind, ExprKind::Star) && !self.is_table_in(arg, &inner) {
                self.scalar(arg, &mut inner);
            }
        }
        Self::unknown_scalar()
    }

    /// A call of a scalar function, checked with the rules of Kusto's checker. A call that it accepts and we cannot run gets a type and no
    /// plan.
    fn judged(&mut self, known: &Known, call: &ast::Call, place: &Place, cx: &mut Cx) -> Scalar {
        let name = call.name.text.as_str();
        let (args, places, seen) = self.seen_arguments(&call.args, cx);
        if let ("not", [number], Some(function)) = (name, &args[..], functions::find(name))
            && number.known
            && matches!(number.ty(), Type::Int | Type::Long)
        {
            return self.apply(function, args, &places, place);
        }
        let Some(verdict) = self.judge(name, known, &seen, &call.name.place) else { return Self::unknown_scalar() };
        let ours = functions::find(name).map(|function| (function, casts::fit(&function.signature, &args)));
        if let Some((function, _)) = &ours
            && self.refuses_other(function.name, &args, &places)
        {
            return Self::unknown_scalar();
        }
        match (ours, verdict) {
            (Some((function, Fit::Exact(resolved))), Verdict::Ours) => self.called(function, resolved, args, place),
            (Some((function, Fit::Exact(resolved))), Verdict::Gives(ty, _)) if resolved.returns == ty => {
                self.called(function, resolved, args, place)
            }
            (Some((_, Fit::Unknown(Some(ty)))), Verdict::Ours) => self.absent(ty, Nature::Any, &seen, place),
            (Some(_), Verdict::Unknown) => Self::unknown_scalar(),
            // For these functions Kusto's checker accepts arguments of different types, its engine does not (recorded).
            (Some((function, Fit::Wrong(error))), _) if matches!(function.name, "iff" | "case" | "coalesce") => {
                self.report_fit(function.name, &error, &args, &places, place);
                Self::unknown_scalar()
            }
            (ours, verdict) => {
                if let (Some((function, Fit::Wrong(error))), _) = (&ours, verdict) {
                    self.postpone_fit(function.name, error, &args, &places, place);
                }
                match verdict {
                    Verdict::Gives(ty, nature) => self.absent(ty, nature, &seen, place),
                    Verdict::Unknown => Self::unknown_scalar(),
                    Verdict::Ours => self.absent(Type::Dynamic, Nature::Any, &seen, place),
                }
            }
        }
    }

    /// Rejects values that a text function does not convert.
    fn refuses_other(&mut self, name: &str, args: &[Scalar], places: &[Place]) -> bool {
        let Some((_, index)) = TEXT_ONLY.iter().find(|(known, _)| *known == name) else { return false };
        let Some(at) = places.get(*index).filter(|_| args[*index].known && args[*index].ty() != Type::String) else { return false };
        let got = args[*index].ty();
        let help = "`tostring(…)` makes it one".to_owned();
        self.report_with(code::WRONG_TYPE, at, format!("`{name}` wants a string for argument {}, got {got}", index + 1), Some(help));
        true
    }

    /// Binds arguments and describes them for the call check, including tables.
    pub(super) fn seen_arguments(&mut self, args: &[ast::Expr], cx: &mut Cx) -> (Vec<Scalar>, Vec<Place>, Vec<Seen>) {
        let mut values = Vec::with_capacity(args.len());
        let mut seen = Vec::with_capacity(args.len());
        for arg in args {
            let table = self.is_table_in(arg, cx);
            let value = match &arg.kind {
                ExprKind::Star => Self::unknown_scalar(),
                _ if table => {
                    self.table(arg, cx.env);
                    self.opaque(Type::Dynamic, Nature::Any, true)
                }
                _ => self.scalar(arg, cx),
            };
            let mut one = self.seen(arg, &value);
            if table {
                one.form = Form::Table;
            }
            seen.push(one);
            values.push(value);
        }
        (values, args.iter().map(|arg| arg.place.clone()).collect(), seen)
    }

    fn called(&mut self, function: &'static ScalarFn, resolved: functions::Resolved, args: Vec<Scalar>, place: &Place) -> Scalar {
        let args = args.into_iter().zip(resolved.args).map(|(arg, ty)| self.cast(arg, ty).expr).collect();
        let call = Expr::call(function, args, resolved.returns);
        self.check_constants(&call, place);
        Scalar::known(self.folded(call))
    }

    /// Compiles the constant patterns and formats of a call, as at the start of a run, so that a check rejects what a run rejects.
    fn check_constants(&mut self, call: &Expr, place: &Place) {
        let Bound::Call { function, args } = &call.kind else { return };
        if !self.strict || !COMPILED.contains(&function.name) {
            return;
        }
        let constants: Vec<Option<crate::Value>> = args.iter().map(|arg| arg.as_const().cloned()).collect();
        let types: Vec<Type> = args.iter().map(|arg| arg.ty).collect();
        let prepare = functions::Prepare { constants: &constants, types: &types, returns: call.ty, now: self.runtime.now };
        if let Err(functions::PrepareError::Constant(message)) = (function.prepare)(&prepare) {
            self.report(code::BAD_OPTION, place, format!("`{}`: {message}", function.shown()));
        }
    }

    /// A valid call that cannot run here: it has a type and no value.
    fn absent(&mut self, ty: Type, nature: Nature, args: &[Seen], place: &Place) -> Scalar {
        self.postpone(code::UNSUPPORTED, place, "this call cannot run here");
        self.opaque(ty, nature, args.iter().all(|arg| arg.fixed))
    }

    /// An aggregate that Kusto has and we do not: checked, and collected under another name.
    fn absent_aggregate(&mut self, known: &Known, call: &ast::Call, place: &Place, cx: &mut Cx) -> Scalar {
        let mut inner = Cx { aggregates: None, windows: None, steps: None, graph: cx.graph.as_deref_mut(), right: cx.right, ..*cx };
        let (args, _) = self.arguments(&call.args, &mut inner);
        let seen: Vec<Seen> = call.args.iter().zip(&args).map(|(arg, value)| self.seen(arg, value)).collect();
        let Some(verdict) = self.judge(&call.name.text, known, &seen, &call.name.place) else { return Self::unknown_scalar() };
        self.postpone(code::UNSUPPORTED, place, format!("`{}` is not supported here yet", call.name.text));
        let (ty, known) = match verdict {
            Verdict::Gives(ty, _) => (ty, true),
            Verdict::Ours => (Type::Dynamic, true),
            Verdict::Unknown => (Type::Dynamic, false),
        };
        let Some(stand_in) = aggregates::find("take_any") else { return Self::unknown_scalar() };
        // Distinguished from other calls by a column of its own.
        let own = Expr { kind: Bound::Column(self.fresh()), ty };
        self.collect_aggregate(AggregateCall { function: stand_in, args: vec![own], ty }, known, cx)
    }

    fn unknown_call(&mut self, call: &ast::Call, cx: &Cx) {
        let name = call.name.text.as_str();
        if aggregates::find(name).is_some() || shapes::aggregate(name).is_some() {
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
        let ours = functions::all().map(|function| function.name).chain(shapes::names());
        let theirs = cx.env.names().filter(|(_, binding)| matches!(binding, Binding::Function(_))).map(|(name, _)| name);
        let all: Vec<&str> = theirs.chain(ours.map(|name| -> &str { name })).collect();
        let help = code::did_you_mean(name, all.into_iter());
        self.report_with(code::UNKNOWN_FUNCTION, &call.name.place, format!("there is no function `{name}` here"), help);
    }

    pub(super) fn arguments(&mut self, args: &[ast::Expr], cx: &mut Cx) -> (Vec<Scalar>, Vec<Place>) {
        let mut values = Vec::with_capacity(args.len());
        for arg in args {
            // The call check decides where `*` is allowed.
            values.push(if self.strict && matches!(arg.kind, ExprKind::Star) { Self::unknown_scalar() } else { self.scalar(arg, cx) });
        }
        (values, args.iter().map(|arg| arg.place.clone()).collect())
    }

    /// A call of `function`, with arguments cast to the parameter types.
    pub(super) fn apply(&mut self, function: &'static ScalarFn, args: Vec<Scalar>, places: &[Place], place: &Place) -> Scalar {
        if !self.count_calls(1, place) {
            return Self::unknown_scalar();
        }
        match casts::fit(&function.signature, &args) {
            Fit::Exact(resolved) => self.called(function, resolved, args, place),
            Fit::Unknown(Some(ty)) => Scalar { expr: Expr { kind: Bound::Column(self.fresh()), ty }, known: true }.unplanned(self),
            Fit::Unknown(None) => Self::unknown_scalar(),
            Fit::Wrong(error) => {
                self.report_fit(function.shown(), &error, &args, places, place);
                Self::unknown_scalar()
            }
        }
    }

    // ---- aggregates and windows

    /// A call of an aggregate that produces one column.
    fn aggregate(&mut self, aggregate: &'static AggregateFn, call: &ast::Call, place: &Place, cx: &mut Cx) -> Scalar {
        let mut inner = Cx { aggregates: None, windows: None, steps: None, graph: cx.graph.as_deref_mut(), right: cx.right, ..*cx };
        let (args, places) = self.arguments(&call.args, &mut inner);
        let mut verdict = Verdict::Ours;
        if self.strict
            && let Some(known) = shapes::aggregate(&call.name.text)
        {
            let seen: Vec<Seen> = call.args.iter().zip(&args).map(|(arg, value)| self.seen(arg, value)).collect();
            match self.judge(&call.name.text, known, &seen, &call.name.place) {
                Some(found) => verdict = found,
                None => return Self::unknown_scalar(),
            }
        }
        match self.aggregate_of(aggregate, args, &places, place) {
            Some((mut bound, mut known)) => {
                match verdict {
                    Verdict::Gives(ty, _) => {
                        bound.ty = ty;
                        known = true;
                    }
                    Verdict::Unknown => known = false,
                    Verdict::Ours => {}
                }
                let value = self.collect_aggregate(bound, known, cx);
                if let (Verdict::Gives(_, nature), Bound::Column(id)) = (verdict, &value.expr.kind)
                    && nature != Nature::Any
                {
                    self.natures.insert(*id, nature);
                }
                value
            }
            None => Self::unknown_scalar(),
        }
    }

    /// Registers an aggregate call; returns its column.
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

    /// Matches arguments to an aggregate. The flag is false if the result type is unknown.
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
            Fit::Wrong(error) if self.strict => {
                // Errors, if any, were reported by the call check.
                self.postpone_fit(aggregate.name, &error, &args, places, place);
                let args = args.into_iter().map(|arg| arg.expr).collect();
                Some((AggregateCall { function: aggregate, args, ty: Type::Dynamic }, true))
            }
            Fit::Wrong(error) => {
                self.report_fit(aggregate.name, &error, &args, places, place);
                None
            }
        }
    }

    fn window(&mut self, window: &'static WindowFn, call: &ast::Call, place: &Place, cx: &mut Cx) -> Scalar {
        let (args, places) = self.arguments(&call.args, cx);
        let mut verdict = Verdict::Ours;
        if self.strict
            && let Some(known) = shapes::scalar(&call.name.text)
        {
            let seen: Vec<Seen> = call.args.iter().zip(&args).map(|(arg, value)| self.seen(arg, value)).collect();
            match self.judge(&call.name.text, known, &seen, &call.name.place) {
                Some(found) => verdict = found,
                None => return Self::unknown_scalar(),
            }
        }
        if cx.windows.is_none()
            && self.strict
            && let Verdict::Gives(ty, nature) = verdict
        {
            return self.absent(ty, nature, &[], place);
        }
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
            Fit::Wrong(error) if self.strict => {
                self.postpone_fit(window.name, &error, &args, &places, place);
                match verdict {
                    Verdict::Gives(ty, nature) => self.absent(ty, nature, &[], place),
                    Verdict::Ours | Verdict::Unknown => Self::unknown_scalar(),
                }
            }
            Fit::Wrong(error) => {
                self.report_fit(window.name, &error, &args, &places, place);
                Self::unknown_scalar()
            }
        }
    }

    // ---- functions of the row's columns

    /// `column_ifexists("name", default)`
    fn column_if_exists(&mut self, call: &ast::Call, place: &Place, cx: &mut Cx) -> Scalar {
        let [name, default] = &call.args[..] else {
            self.report(code::ARGUMENT_COUNT, place, format!("`{}` wants 2 arguments, got {}", call.name.text, call.args.len()));
            return Self::unknown_scalar();
        };
        if self.strict {
            return self.judged_if_exists(call, place, cx);
        }
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

    /// Checks a call of a function with its own binding rules.
    fn fits_shape(&mut self, call: &ast::Call, cx: &mut Cx) -> bool {
        let (_, _, seen) = self.seen_arguments(&call.args, cx);
        shapes::scalar(&call.name.text).is_none_or(|known| self.judge(&call.name.text, known, &seen, &call.name.place).is_some())
    }

    /// In a check: has the type of the default value, whether the column exists or not.
    fn judged_if_exists(&mut self, call: &ast::Call, place: &Place, cx: &mut Cx) -> Scalar {
        let (args, _, seen) = self.seen_arguments(&call.args, cx);
        let Some(known) = shapes::scalar(&call.name.text) else { return Self::unknown_scalar() };
        if self.judge(&call.name.text, known, &seen, &call.name.place).is_none() {
            return Self::unknown_scalar();
        }
        let there = seen.first().and_then(|name| name.text.as_deref()).and_then(|name| super::scalar::find(cx.fields, name));
        match (there, args.get(1)) {
            (Some(field), Some(default)) if default.known && field.ty == default.ty() => self.column(&field.clone()),
            (_, Some(default)) if default.known => self.absent(default.ty(), Nature::Any, &seen, place),
            _ => Self::unknown_scalar(),
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

    /// The ingestion time of the row; null if unknown.
    fn ingestion_time(&mut self, cx: &Cx) -> Scalar {
        self.ingestion_wanted = true;
        match cx.fields.iter().find(|field| &*field.name == INGESTION_TIME) {
            Some(field) => Scalar::known(Expr::column(field)),
            None => Scalar::known(Self::null(Type::Datetime)),
        }
    }

    /// `pack_all([ignore_null_empty])`: a bag of all columns. `*` means every column. Sketches are rejected: our layout differs from
    /// Kusto's, so their size would be misleading.
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
            // One bag per column, empty if the value is, all merged.
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
            let parsed = super::stored::parse(&stored);
            (parsed.function.clone(), parsed.diagnostics.clone())
        });
        let bound = match function {
            Some((Some(function), diagnostics)) if diagnostics.is_empty() => {
                let env = Env::default();
                // Before its type is known, a recursive function is assumed to be tabular.
                let tabular = self.body_is_table(&function, &env);
                Some(Rc::new(UserFunction { name: name.to_owned(), function, env, tabular, stored: true, use_of: Use::default() }))
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
        function.use_of.set();
        let Some(env) = self.parameters(function, args, None, place, cx) else { return Self::unknown_scalar() };
        if !self.begin_call(function, place) {
            return Self::unknown_scalar();
        }
        let before = self.diagnostics.len();
        let (env, last) = self.statements(&function.function.body, env);
        let value = match last {
            Some(body) => self.scalar(body, &mut Cx::constant(&env)),
            None => {
                self.report(code::NO_QUERY, place, format!("function `{}` has no value", function.name));
                Self::unknown_scalar()
            }
        };
        self.end_call(function);
        self.forgive(function, before);
        value
    }

    /// A check reports errors of a function at its definition, not at its calls.
    fn forgive(&mut self, function: &UserFunction, before: usize) {
        if self.strict
            && !function.use_of.is_held()
            && let Some(first) = self.diagnostics.drain(before..).next()
        {
            self.open.get_or_insert(first);
        }
    }

    /// The table returned by a call of a function written in KQL. `piped` is the input of `invoke`.
    pub(super) fn table_user_call(
        &mut self,
        function: &Rc<UserFunction>,
        args: &[ast::Expr],
        piped: Option<Relation>,
        place: &Place,
        cx: &mut Cx,
    ) -> Relation {
        function.use_of.set();
        let Some(env) = self.parameters(function, args, piped, place, cx) else { return Relation::unknown() };
        if !self.begin_call(function, place) {
            return Relation::unknown();
        }
        let before = self.diagnostics.len();
        let (env, last) = self.statements(&function.function.body, env);
        let relation = match last {
            Some(body) => self.relation(body, &env),
            None => {
                self.report(code::NO_QUERY, place, format!("function `{}` has no value", function.name));
                Relation::unknown()
            }
        };
        self.end_call(function);
        self.forgive(function, before);
        relation
    }

    fn begin_call(&mut self, function: &UserFunction, place: &Place) -> bool {
        if !self.count(place) {
            return false;
        }
        // A call needs more stack than an expression.
        if self.depth + CALL_DEPTH > super::DEEPEST {
            self.report(code::TOO_DEEP, place, format!("nested more than {} levels deep", super::DEEPEST));
            return false;
        }
        if function.stored {
            if self.calling.iter().any(|(name, _)| *name == function.name) {
                self.report(code::RECURSION, place, format!("function `{}` calls itself", function.name));
                return false;
            }
            // Inside a stored function, calls have the location of the outermost call.
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

    /// The environment of a function's body: that of its definition, plus parameters.
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
                // The first parameter without a value: an earlier one may have been passed by name.
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
                        if !function.stored {
                            self.saw_table(&parameter.name, &relation);
                        }
                        let shared = self.share(relation);
                        Binding::Shared(Rc::new(shared))
                    } else if let Some(arg) = arg {
                        let relation = self.trial(|binder| binder.table(arg, cx.env));
                        self.check_columns(&relation, columns.as_deref(), &function.name, &arg.place);
                        if !function.stored {
                            self.saw_table(&parameter.name, &relation);
                        }
                        Binding::Table(Rc::new(Lazy::new(arg, cx.env)))
                    } else {
                        self.report(code::ARGUMENT_COUNT, place, format!("`{}` wants a table for `{name}`", function.name));
                        return None;
                    };
                    relation_binding
                }
                (ParameterType::Scalar(ty), Some(arg)) => {
                    let mut inner =
                        Cx { aggregates: None, steps: None, graph: cx.graph.as_deref_mut(), right: cx.right, windows: None, ..*cx };
                    if self.strict && self.is_table_in(arg, &inner) {
                        self.table(arg, cx.env);
                        env = env.with(name, Binding::Scalar(self.opaque(*ty, Nature::Any, true)));
                        continue;
                    }
                    let value = self.scalar(arg, &mut inner);
                    if self.strict && value.ty() != *ty {
                        // The checker leaves the conversion to the engine.
                        let fixed = self.is_fixed(&value.expr);
                        env = env.with(name, Binding::Scalar(self.opaque(*ty, Nature::Any, fixed)));
                        continue;
                    }
                    // Published queries pass a datetime to a `timespan` parameter, and the checker accepts it.
                    let is_time = (value.ty(), *ty) == (Type::Datetime, Type::Timespan);
                    if value.known && !casts::fits(value.ty(), *ty) && !is_time {
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
    /// A value with a known type that cannot be computed before a run: there will be no plan.
    pub(super) fn unplanned(self, binder: &mut Binder) -> Self {
        binder.postpone(code::RUN, &(0..0), TYPES_UNKNOWN);
        self
    }
}
