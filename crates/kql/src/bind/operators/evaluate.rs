//! `evaluate`: plug-ins.

use std::sync::Arc;

use model::Type;

use crate::bind::judge::{Form, Seen};
use crate::bind::naming::name_of;
use crate::bind::scope::{Aggregates, Cx, Env, Relation};
use crate::bind::{Binder, diagnostics as code, shapes};
use crate::ops::plugins::{self, Argument, Plugin, PluginError, Shape};
use crate::plan::{Field, OrderKey, Rel, RelOp, TableRef};
use crate::syntax::ast::{Call, Expr, ExprKind, Name, Place};

impl Binder<'_> {
    pub(super) fn evaluate(
        &mut self,
        call: &Call,
        schema: Option<&[(Name, model::Type)]>,
        schema_star: bool,
        input: Relation,
        env: &Env,
        place: &Place,
    ) -> Relation {
        if call.name.text == "preview" && !self.strict {
            return self.preview(call, input, env, place);
        }
        if !self.strict && self.refused_plugin(&call.name) {
            return Relation::unknown();
        }
        if !self.strict {
            return self.evaluated(call, schema, schema_star, input, env, place);
        }
        let name = call.name.text.as_str();
        let Some(known) = shapes::plugin(name) else { return self.evaluated(call, schema, schema_star, input, env, place) };
        let seen = self.seen_plugin_arguments(call, &input, env);
        if self.judge(name, known, &seen, &call.name.place).is_none() {
            return Relation::unknown();
        }
        if let Some(columns) = schema {
            self.postpone(code::UNSUPPORTED, place, format!("`{name}` is judged only"));
            let mut fields: Vec<Field> = if schema_star { input.visible().cloned().collect() } else { Vec::new() };
            fields.extend(columns.iter().map(|(name, ty)| self.typed(&name.text, *ty)));
            let open = input.open && schema_star;
            return Relation { rel: Rel { fields, ..Relation::unknown().rel }, open };
        }
        if plugins::find(name).is_none() {
            self.postpone(code::UNSUPPORTED, &call.name.place, format!("the plug-in `{name}` is not supported here yet"));
            let mut answer = Relation::unknown();
            if matches!(name, "autocluster" | "basket") {
                answer.rel.fields = [("SegmentId", Type::Long), ("Count", Type::Long), ("Percent", Type::Real)]
                    .map(|(name, ty)| self.typed(name, ty))
                    .into();
                answer.rel.fields.extend(input.visible().cloned());
                answer.open = input.open;
            }
            return answer;
        }
        // A valid call that does not match our signature cannot run here.
        let before = self.diagnostics.len();
        let answer = self.evaluated(call, schema, schema_star, input, env, place);
        let Some(first) = self.diagnostics.drain(before..).next() else { return answer };
        self.open.get_or_insert(first);
        Relation::unknown()
    }

    /// Describes a plug-in's arguments for the call check; columns are those of the table argument, if there is one.
    fn seen_plugin_arguments(&mut self, call: &Call, input: &Relation, env: &Env) -> Vec<Seen> {
        let mut table: Option<Relation> = None;
        let mut seen = Vec::with_capacity(call.args.len());
        for arg in &call.args {
            let cx = Cx::row(env, input);
            if self.is_table_in(arg, &cx) {
                let found = self.table(arg, env);
                let mut one = self.seen(arg, &Self::unknown_scalar());
                (one.known, one.form) = (true, Form::Table);
                seen.push(one);
                table.get_or_insert(found);
                continue;
            }
            let mut collected = Aggregates::default();
            let of_table = match (&arg.kind, &table) {
                (ExprKind::Name(name), Some(table)) => input.find(&name.text).is_none() && (table.open || table.find(&name.text).is_some()),
                _ => false,
            };
            let row = if of_table { table.as_ref().unwrap_or(input) } else { input };
            let value = self.scalar(arg, &mut Cx { aggregates: Some(&mut collected), ..Cx::row(env, row) });
            seen.push(self.seen(arg, &value));
        }
        seen
    }

    fn evaluated(
        &mut self,
        call: &Call,
        schema: Option<&[(Name, model::Type)]>,
        schema_star: bool,
        input: Relation,
        env: &Env,
        place: &Place,
    ) -> Relation {
        let Some(plugin) = plugins::find(&call.name.text) else {
            let help = code::did_you_mean(&call.name.text, plugins::PLUGINS.iter().map(|plugin| plugin.name));
            self.report_with(code::UNKNOWN_FUNCTION, &call.name.place, format!("there is no plug-in `{}` here", call.name.text), help);
            return Relation::unknown();
        };
        let errors = self.diagnostics.len();
        let Some((args, table, places)) = self.plugin_arguments(plugin, call, &input, env, place) else { return Relation::unknown() };
        if self.diagnostics.len() > errors {
            return Relation::unknown();
        }
        let declared: Option<Vec<(String, model::Type)>> =
            schema.map(|columns| columns.iter().map(|(name, ty)| (name.text.clone(), *ty)).collect());
        let unknown = input.open || input.visible().any(|field| self.unknown.contains(&field.id));
        let mut input = input;
        let mut rows = None;
        if declared.is_none() && (plugin.needs_rows || unknown) {
            match self.rows_of(&input, place) {
                Some((number, batches)) if !unknown => {
                    let columns = input.rel.fields.iter().map(|field| field.id.to_string()).collect();
                    input.rel.op = RelOp::Scan { table: TableRef { name: "input".to_owned(), computed: Some(number) }, columns };
                    rows = Some(batches);
                }
                _ => return self.unevaluated(plugin, &args, input),
            }
        }
        let mut next = self.next_column;
        let mut fresh = || {
            next += 1;
            crate::plan::ColumnId(next - 1)
        };
        let fields: Vec<Field> = input.visible().cloned().collect();
        let bound = (plugin.bind)(plugins::Call {
            args: &args,
            input: &fields,
            rows: rows.as_deref(),
            schema: declared.as_deref(),
            schema_star,
            fresh: &mut fresh,
            runtime: self.runtime,
        });
        self.next_column = next;
        match bound {
            Ok(bound) => {
                let (order, serialized) = (input.rel.order.clone(), input.rel.serialized);
                let inputs = std::iter::once(input.rel).chain(table.map(|table| table.rel)).collect();
                let op: Arc<dyn crate::ops::TableOp> = Arc::from(bound.op);
                // A plug-in that reads rows in order preserves it, as far as the sort columns are still present.
                let there = |key: &OrderKey| key.expr.columns().iter().all(|id| bound.fields.iter().any(|field| field.id == *id));
                let order = if op.ordered() { order.into_iter().take_while(there).collect() } else { Vec::new() };
                let serialized = op.ordered() && serialized;
                let rel = Rel { op: RelOp::Op { op, inputs }, fields: bound.fields, order, serialized };
                Relation { rel, open: false }
            }
            Err(error) => {
                let at = match &error {
                    PluginError::Argument { index, .. } => places.get(*index).unwrap_or(place),
                    PluginError::Columns(_) => place,
                };
                self.report(code::WRONG_TYPE, at, format!("`{}`: {error}", plugin.name));
                Relation::unknown()
            }
        }
    }

    /// Reports a plug-in that is not available here; returns true if it did.
    pub(super) fn refused_plugin(&mut self, name: &Name) -> bool {
        let Some(refused) = plugins::refused::find(&name.text) else { return false };
        let message = format!("`{}` {}", refused.name, refused.why);
        self.report_with(code::UNSUPPORTED, &name.place, message, Some(refused.instead.to_owned()));
        true
    }

    /// The rows of `input`, if the query is run.
    pub(super) fn rows_of(&mut self, input: &Relation, place: &Place) -> Option<(u32, Vec<arrow::record_batch::RecordBatch>)> {
        if self.trials > 0 || !self.diagnostics.is_empty() || self.open.is_some() || input.open {
            return None;
        }
        match self.schema.run(&input.rel, &self.subqueries) {
            Ok(rows) => rows,
            Err(message) => {
                self.report(code::RUN, place, message);
                None
            }
        }
    }

    /// The known part of a plug-in's output if the rows of its input are unknown: columns that are not arguments are passed through.
    fn unevaluated(&mut self, plugin: &Plugin, args: &[Option<Argument>], input: Relation) -> Relation {
        self.postpone(code::RUN, &(0..0), format!("the columns of `{}` are known only when it runs", plugin.name));
        let mut open = Relation::unknown();
        if plugin.name == "bag_unpack" {
            let used: Vec<_> = args
                .iter()
                .flatten()
                .flat_map(|arg| match arg {
                    Argument::Expr { expr, .. } => expr.columns(),
                    _ => Vec::new(),
                })
                .collect();
            open.rel.fields = input.visible().filter(|field| !used.contains(&field.id)).cloned().collect();
        }
        open
    }

    #[allow(clippy::type_complexity)]
    fn plugin_arguments(
        &mut self,
        plugin: &'static Plugin,
        call: &Call,
        input: &Relation,
        env: &Env,
        place: &Place,
    ) -> Option<(Vec<Option<Argument>>, Option<Relation>, Vec<Place>)> {
        let mut given: Vec<Option<&Expr>> = Vec::new();
        for arg in &call.args {
            match &arg.kind {
                ExprKind::Named { names, value }
                    if names.len() == 1 && plugin.args.iter().any(|known| known.name.eq_ignore_ascii_case(&names[0].text)) =>
                {
                    let index = plugin.args.iter().position(|known| known.name.eq_ignore_ascii_case(&names[0].text)).unwrap_or(0);
                    given.resize(given.len().max(index + 1), None);
                    given[index] = Some(value);
                }
                _ => given.push(Some(arg)),
            }
        }
        if given.len() > plugin.args.len() && !plugin.repeats || given.iter().take(plugin.required).flatten().count() < plugin.required {
            let message =
                format!("`{}` wants {} to {} arguments, got {}", plugin.name, plugin.required, plugin.args.len(), call.args.len());
            self.report(code::ARGUMENT_COUNT, place, message);
            return None;
        }
        let mut args = Vec::with_capacity(given.len());
        let mut places = Vec::with_capacity(given.len());
        let mut table: Option<Relation> = None;
        for (index, arg) in given.into_iter().enumerate() {
            let Some(arg) = arg else {
                args.push(None);
                places.push(place.clone());
                continue;
            };
            let named = arg;
            let arg = match &arg.kind {
                ExprKind::Named { value, .. } => value,
                _ => arg,
            };
            let shape = match plugin.args.get(index).or(plugin.args.last())?.shape {
                Shape::ExprOrTable if self.is_table_in(arg, &Cx::row(env, input)) => Shape::Table,
                Shape::ExprOrTable => Shape::Expr,
                shape => shape,
            };
            places.push(arg.place.clone());
            args.push(Some(match shape {
                Shape::Expr | Shape::ExprOrTable => {
                    let value = self.scalar(arg, &mut Cx::row(env, input));
                    Argument::Expr { expr: value.expr, name: name_of(named).unwrap_or_default() }
                }
                Shape::Const(ty) => {
                    let value = self.constant(arg, ty, &format!("`{}`", plugin.args[index.min(plugin.args.len() - 1)].name), env);
                    match value.expr.as_const() {
                        Some(constant) => Argument::Const(constant.clone()),
                        None => {
                            if value.known {
                                self.report(code::NOT_CONSTANT, &arg.place, format!("`{}` wants a constant here", plugin.name));
                            }
                            return None;
                        }
                    }
                }
                Shape::Aggregate => {
                    let aggregate = self.lone_aggregate(arg, input, env)?;
                    Argument::Aggregate { call: aggregate, name: name_of(named).unwrap_or_default() }
                }
                Shape::Table => {
                    let relation = self.table(arg, env);
                    let fields = relation.visible().cloned().collect();
                    table = Some(relation);
                    Argument::Table(fields)
                }
                Shape::TableColumn => {
                    let relation = table.take()?;
                    let value = self.scalar(arg, &mut Cx::row(env, &relation));
                    table = Some(relation);
                    Argument::Expr { expr: value.expr, name: name_of(named).unwrap_or_default() }
                }
            }));
        }
        Some((args, table, places))
    }
}
