//! `set name = value`: query options. Most Kusto options configure its cluster; here only those of `bin_auto` have an effect, and values of
//! the wrong type are rejected as by Kusto. Source of truth: the options and types of Microsoft's parser, and recorded results (a timespan
//! may be text: `'0s'`, `'-0s'`; a sign before a literal is rejected; only a bool may be omitted).

use model::Type;

use super::scope::{Cx, Scalar};
use super::{Binder, diagnostics as code};
use crate::Value;
use crate::syntax::ast::{Expr, ExprKind, Name};
use crate::value::text;

/// Options and their value types.
const OPTIONS: &[(&str, Type)] = &[
    ("best_effort", Type::Bool),
    ("deferpartialqueryfailures", Type::Bool),
    ("max_memory_consumption_per_query_per_node", Type::Long),
    ("maxmemoryconsumptionperiterator", Type::Long),
    ("maxoutputcolumns", Type::Long),
    ("norequesttimeout", Type::Bool),
    ("notruncation", Type::Bool),
    ("push_selection_through_aggregation", Type::Bool),
    ("query_cursor_after_default", Type::String),
    ("query_cursor_before_or_at_default", Type::String),
    ("query_cursor_current", Type::String),
    ("query_cursor_disabled", Type::Bool),
    ("query_datascope", Type::String),
    ("query_datetimescope_column", Type::String),
    ("query_datetimescope_from", Type::Datetime),
    ("query_datetimescope_to", Type::Datetime),
    ("query_distribution_nodes_span", Type::Int),
    ("query_fanout_nodes_percent", Type::Int),
    ("query_fanout_threads_percent", Type::Int),
    ("query_force_row_level_security", Type::Bool),
    ("query_language", Type::String),
    ("query_log_query_parameters", Type::Bool),
    ("query_max_entities_in_union", Type::Long),
    ("query_now", Type::Datetime),
    ("query_results_apply_getschema", Type::Bool),
    ("query_results_cache_force_refresh", Type::Bool),
    ("query_results_cache_max_age", Type::Timespan),
    ("query_results_cache_per_shard", Type::Bool),
    ("query_take_max_records", Type::Long),
    ("query_weakconsistency_session_id", Type::String),
    ("request_app_name", Type::String),
    ("request_block_row_level_security", Type::Bool),
    ("request_callout_disabled", Type::Bool),
    ("request_cross_cluster_token", Type::String),
    ("request_description", Type::String),
    ("request_external_data_disabled", Type::Bool),
    ("request_external_table_disabled", Type::Bool),
    ("request_impersonation_disabled", Type::Bool),
    ("request_readonly", Type::Bool),
    ("request_readonly_hardline", Type::Bool),
    ("request_remote_entities_disabled", Type::Bool),
    ("request_sandboxed_execution_disabled", Type::Bool),
    ("request_user", Type::String),
    ("results_error_reporting_placement", Type::String),
    ("results_v2_fragment_primary_tables", Type::Bool),
    ("results_v2_newlines_between_frames", Type::Bool),
    ("servertimeout", Type::Timespan),
    ("truncationmaxrecords", Type::Long),
    ("truncationmaxsize", Type::Long),
    ("validate_permissions", Type::Bool),
];

/// Values of `query_bin_auto_size` and `query_bin_auto_at`.
#[derive(Clone, Default)]
pub(super) struct BinAuto {
    pub size: Option<Scalar>,
    pub at: Option<Scalar>,
}

impl Binder<'_> {
    /// `set query_bin_auto_size = 1h`
    pub(super) fn set_property(&mut self, name: &Name, value: Option<&Expr>, cx: &mut Cx) {
        let wanted = OPTIONS.iter().find(|(known, _)| *known == name.text).map(|(_, ty)| *ty);
        let Some(value) = value else {
            if let Some(ty) = wanted.filter(|ty| *ty != Type::Bool) {
                self.report(code::BAD_OPTION, &name.place, format!("option `{}` needs a {ty}", name.text));
            }
            return;
        };
        if matches!(value.kind, ExprKind::Unary { .. }) {
            self.report(code::BAD_OPTION, &value.place, "the value of an option must be a literal or a name");
            return;
        }
        match name.text.as_str() {
            "query_bin_auto_size" => self.bin_auto.size = Some(self.scalar(value, cx)),
            "query_bin_auto_at" => self.bin_auto.at = Some(self.scalar(value, cx)),
            _ => {
                if let (Some(ty), ExprKind::Literal(literal)) = (wanted, &value.kind)
                    && !suits(literal, ty)
                {
                    let message = format!("option `{}` needs a {ty}, this is a {}", name.text, literal.ty());
                    self.report(code::BAD_OPTION, &value.place, message);
                }
            }
        }
    }
}

fn suits(literal: &Value, ty: Type) -> bool {
    match (literal, ty) {
        (Value::String(text), Type::Timespan) => text::parse_timespan(text).is_some(),
        _ => super::judge::promotes(literal.ty(), ty) || (literal.ty(), ty) == (Type::Long, Type::Int),
    }
}
