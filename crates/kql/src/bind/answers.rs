//! Functions evaluated at bind time because they do not depend on rows: `bin_auto`, `bag_pack_columns`, `assert`, `iscolumnexists`,
//! `column_names_of`, and those about the cluster. Source of truth: the public KQL reference, one page each.
//!
//! Functions about a Kusto cluster, its nodes, extents and cursors are evaluated if they have a meaningful value without one (`extent_id`
//! of a row in no extent is the empty guid); the others pass a check and are rejected with a reason at run time.

use model::Type;

use super::naming::name_of;
use super::scope::{Cx, Scalar};
use super::{Binder, diagnostics as code};
use crate::Value;
use crate::plan::Expr as Bound;
use crate::syntax::ast::{Call, ExprKind, Place};

/// Name, type, and the reason why there is no value.
const ELSEWHERE: &[(&str, Type, &str)] = &[
    ("current_cluster_endpoint", Type::String, "asks for the address of a Kusto cluster; this is none"),
    ("current_database", Type::String, "asks for the name of the database; a query is not told it here"),
    ("current_principal", Type::String, "asks who runs the query; a query is not told it here"),
    ("current_principal_details", Type::Dynamic, "asks who runs the query; a query is not told it here"),
    ("current_principal_is_member_of", Type::Bool, "asks who runs the query; a query is not told it here"),
    ("current_node_id", Type::String, "asks for the node of a Kusto cluster; this is none"),
    ("row_id", Type::String, "asks for the place of a row in a Kusto cluster; this is none"),
    ("rowstore_ordinal_range", Type::Dynamic, "asks for the row store of a Kusto cluster; this is none"),
    ("cursor_after", Type::Bool, CURSORS),
    ("cursor_before_or_at", Type::Bool, CURSORS),
    ("cursor_current", Type::String, CURSORS),
    ("current_cursor", Type::String, CURSORS),
];

const CURSORS: &str = "needs database cursors, which are not kept here; `ingestion_time()` says when a row came";

/// Tables that exist only in a Kusto cluster: name, and their source.
pub(super) const TABLES_ELSEWHERE: &[(&str, &str)] = &[
    ("stored_query_result", "stored query results are not kept here"),
    ("materialized_view", "there are no materialized views here"),
    ("external_table", "there are no external tables here; `externaldata` names its source in the query"),
];

impl Binder<'_> {
    /// Evaluates a call if it is one of these functions.
    pub(super) fn answered(&mut self, call: &Call, place: &Place, cx: &mut Cx) -> Option<Scalar> {
        let name = call.name.text.as_str();
        Some(match name {
            "bin_auto" => self.bin_auto(call, place, cx),
            "bag_pack_columns" => self.bag_pack_columns(call, place, cx),
            "assert" => self.assertion(call, place, cx),
            "iscolumnexists" => self.is_column(call, place, cx),
            "column_names_of" => self.column_names(call, place, cx),
            "extent_id" | "extentid" => self.of_no_shard(call, place, Value::Guid("00000000-0000-0000-0000-000000000000".to_owned())),
            "extent_tags" => self.of_no_shard(call, place, Value::Null(Type::Dynamic)),
            _ => {
                let (_, ty, why) = *ELSEWHERE.iter().find(|(known, _, _)| *known == name)?;
                self.arguments(&call.args, cx);
                self.postpone(code::UNSUPPORTED, place, format!("`{name}` {why}"));
                Scalar { expr: Bound { kind: crate::plan::ExprKind::Column(self.fresh()), ty }, known: true }
            }
        })
    }

    fn bin_auto(&mut self, call: &Call, place: &Place, cx: &mut Cx) -> Scalar {
        let (mut args, mut places) = self.arguments(&call.args, cx);
        if args.len() != 1 {
            return self.wants_so_many("bin_auto", 1, &args, place);
        }
        let super::options::BinAuto { size, at } = self.bin_auto.clone();
        let Some(size) = size else {
            let help = "put `set query_bin_auto_size = 1h;` before the query".to_owned();
            self.report_with(code::NOT_CONSTANT, place, "`bin_auto` wants to be told the size of a bin", Some(help));
            return Self::unknown_scalar();
        };
        args.push(size);
        let function = if at.is_some() { "bin_at" } else { "bin" };
        args.extend(at);
        places.resize(args.len(), place.clone());
        self.operator(function, args, &places, place)
    }

    fn bag_pack_columns(&mut self, call: &Call, place: &Place, cx: &mut Cx) -> Scalar {
        let (mut args, mut places) = (Vec::new(), Vec::new());
        for arg in &call.args {
            let value = self.scalar(arg, cx);
            let is_column = !value.known || matches!(value.expr.kind, crate::plan::ExprKind::Column(_));
            let Some(name) = name_of(arg).filter(|_| is_column && matches!(arg.kind, ExprKind::Name(_))) else {
                self.report(code::UNKNOWN_NAME, &arg.place, "`bag_pack_columns` wants columns");
                return Self::unknown_scalar();
            };
            args.extend([Scalar::known(Bound::constant(Value::String(name))), value]);
            places.extend([arg.place.clone(), arg.place.clone()]);
        }
        self.operator("bag_pack", args, &places, place)
    }

    /// True, or an error with the message given in the query.
    fn assertion(&mut self, call: &Call, place: &Place, cx: &mut Cx) -> Scalar {
        let (args, _) = self.arguments(&call.args, cx);
        let [condition, message] = &args[..] else { return self.wants_so_many("assert", 2, &args, place) };
        let truth = Scalar::known(Bound::constant(Value::Bool(true)));
        if !condition.known || !message.known {
            return truth;
        }
        match (condition.expr.as_const(), message.expr.as_const()) {
            (Some(Value::Bool(true)), Some(Value::String(_))) => {}
            (Some(Value::Bool(false) | Value::Null(_)), Some(Value::String(message))) => {
                self.report(code::ASSERTION, place, format!("`assert` failed with the message: {message}"));
            }
            // Function parameters are known only at the call.
            _ if self.trials > 0 => {}
            (condition, _) => {
                let (at, what) = if condition.is_none_or(|value| value.ty() != Type::Bool) { (0, "bool") } else { (1, "string") };
                self.report(code::NOT_CONSTANT, &call.args[at].place, format!("`assert` wants a constant {what} for argument {}", at + 1));
            }
        }
        truth
    }

    fn is_column(&mut self, call: &Call, place: &Place, cx: &mut Cx) -> Scalar {
        let [name] = &call.args[..] else {
            let (args, _) = self.arguments(&call.args, cx);
            return self.wants_so_many("iscolumnexists", 1, &args, place);
        };
        let name = match &name.kind {
            ExprKind::Name(name) if super::scalar::find(cx.fields, &name.text).is_some() => Some(name.text.clone()),
            _ => self.text(name, "the name of the column", cx.env),
        };
        let Some(name) = name else { return Self::unknown_scalar() };
        let there = super::scalar::find(cx.fields, &name).is_some();
        if !there && cx.open {
            let expr = Bound { kind: crate::plan::ExprKind::Column(self.fresh()), ty: Type::Bool };
            return Scalar { expr, known: true }.unplanned(self);
        }
        Scalar::known(Bound::constant(Value::Bool(there)))
    }

    fn column_names(&mut self, call: &Call, place: &Place, cx: &mut Cx) -> Scalar {
        let [table] = &call.args[..] else {
            self.report(code::ARGUMENT_COUNT, place, format!("`column_names_of` wants 1 argument, got {}", call.args.len()));
            return Self::unknown_scalar();
        };
        let relation = self.trial(|binder| binder.table(table, cx.env));
        if relation.open {
            let expr = Bound { kind: crate::plan::ExprKind::Column(self.fresh()), ty: Type::Dynamic };
            return Scalar { expr, known: true }.unplanned(self);
        }
        let names: Vec<String> = relation.visible().map(|field| field.name.to_string()).collect();
        Scalar::known(Bound::constant(Value::Dynamic(serde_json::Value::from(names).to_string())))
    }

    /// Rows here belong to no extent; the reference defines this case for calculated rows.
    fn of_no_shard(&mut self, call: &Call, place: &Place, value: Value) -> Scalar {
        if !call.args.is_empty() {
            self.report(code::ARGUMENT_COUNT, place, format!("`{}` wants 0 arguments, got {}", call.name.text, call.args.len()));
        }
        Scalar::known(Bound::constant(value))
    }

    fn wants_so_many(&mut self, name: &str, wanted: usize, args: &[Scalar], place: &Place) -> Scalar {
        let plural = if wanted == 1 { "argument" } else { "arguments" };
        self.report(code::ARGUMENT_COUNT, place, format!("`{name}` wants {wanted} {plural}, got {}", args.len()));
        Self::unknown_scalar()
    }
}
