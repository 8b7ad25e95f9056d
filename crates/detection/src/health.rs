//! Rows of `SentinelHealth` for rule runs, and descriptions of failures. Pure functions.
//!
//! Columns, operation names, statuses, descriptions and extended properties: learn.microsoft.com/azure/sentinel/health-table-reference and
//! …/azure/sentinel/monitor-analytics-rule-integrity.

use model::{Alert, QueryError, Span, Timestamp, Window, chain};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::job::RunError;
use crate::rule::{AnalyticsRule, Kind};

/// Reporting interval of a successful near-real-time rule, as for a rule that runs every minute.
pub const NRT_REPORT: Span = Span::MINUTE;

/// Identifiers of the workspace.
#[derive(Clone, Debug, Default)]
pub struct WorkspaceIds {
    /// The workspace (customer) id.
    pub workspace_id: String,
    /// The resource id.
    pub resource_id: String,
}

/// Results of one run, or of several successful ones of a near-real-time rule.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    pub runs: u64,
    pub rows: u64,
    pub alerts: u64,
    pub entities: u64,
    /// From the start of the first window to the end of the last.
    pub window: Option<Window>,
}

impl Totals {
    pub fn of(window: Window, rows: usize, alerts: &[Alert]) -> Self {
        let entities = alerts.iter().map(|alert| alert.entities.len() as u64).sum();
        Self { runs: 1, rows: rows as u64, alerts: alerts.len() as u64, entities, window: Some(window) }
    }

    pub fn and(self, next: Self) -> Self {
        let window = match (self.window, next.window) {
            (Some(first), Some(last)) => Some(Window { from: first.from.min(last.from), until: first.until.max(last.until) }),
            (window, None) | (None, window) => window,
        };
        Self {
            runs: self.runs + next.runs,
            rows: self.rows + next.rows,
            alerts: self.alerts + next.alerts,
            entities: self.entities + next.entities,
            window,
        }
    }
}

/// A run to report.
pub struct Report<'a> {
    pub rule: &'a AnalyticsRule,
    pub totals: Totals,
    pub started: Timestamp,
    pub ended: Timestamp,
    pub error: Option<&'a RunError>,
}

/// The row of `SentinelHealth`.
pub fn row(report: &Report<'_>, ids: &WorkspaceIds) -> Map<String, Value> {
    let Report { rule, totals, started, ended, error } = report;
    let properties = &rule.properties;
    let (operation, trigger_type) = match rule.kind {
        Kind::Scheduled { .. } => ("Scheduled analytics rule run", "Scheduled"),
        Kind::NearRealTime => ("NRT analytics rule run", "NrtRun"),
    };
    let correlation = Uuid::new_v4();
    let mut extended = json!({
        "RuleId": rule.id,
        "CorrelationId": correlation,
        "TriggerType": trigger_type,
        "AggregationKind": properties.event_grouping_settings.aggregation_kind,
        "AlertsGeneratedAmount": totals.alerts,
        "EntitiesGeneratedAmount": totals.entities,
        "EntitiesDroppedDueToMappingIssuesAmount": 0,
        "QueryResultAmount": totals.rows,
        "QueryStartTimeUTC": totals.window.map(|window| window.from),
        "QueryEndTimeUTC": totals.window.map(|window| window.until),
        "ExecutionStart": started,
        "SuppressionEnabled": properties.suppression_enabled,
        "SuppressionDuration": properties.suppression_duration.map(|span| span.to_string()),
        "Issues": error.iter().map(|error| chain(error)).collect::<Vec<_>>(),
        "QueryPerformanceIndicators": json!({ "ExecutionTime": (*ended - *started).to_string(), "Runs": totals.runs }).to_string(),
    });
    if let Kind::Scheduled { frequency, period, trigger } = rule.kind {
        extended["QueryFrequency"] = json!(frequency.to_string());
        extended["QueryPeriod"] = json!(period.to_string());
        extended["TriggerOperator"] = json!(trigger.operator);
        extended["TriggerThreshold"] = json!(trigger.threshold);
    }
    let (status, reason, description) = match error {
        Some(error) => {
            let failure = Failure::of(error);
            ("Failure", failure.reason, failure.description.to_owned())
        }
        None => ("Success", "", success(rule, totals)),
    };
    let row = json!({
        "TimeGenerated": ended,
        "OperationName": operation,
        "SentinelResourceId": format!("{}/providers/Microsoft.SecurityInsights/alertRules/{}", ids.resource_id, rule.id),
        "SentinelResourceName": properties.display_name,
        "SentinelResourceType": "Analytics Rule",
        "SentinelResourceKind": rule.kind_name(),
        "Status": status,
        "Reason": reason,
        "Description": description,
        "RecordId": correlation,
        "WorkspaceId": ids.workspace_id,
        "TenantId": ids.workspace_id,
        "SourceSystem": "Sentinel",
        "Type": "SentinelHealth",
        "ExtendedProperties": extended,
    });
    match row {
        Value::Object(row) => row,
        _ => Map::new(),
    }
}

fn success(rule: &AnalyticsRule, totals: &Totals) -> String {
    match rule.kind {
        Kind::Scheduled { trigger, .. } if totals.alerts == 0 && totals.rows > 0 => {
            format!("Rule executed successfully, but didn't reach the threshold ({}) required to generate an alert.", trigger.threshold)
        }
        _ => format!("Rule executed successfully, generating {} alerts.", totals.alerts),
    }
}

/// Why a run failed, for people and for queries over the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// A short code for aggregation.
    pub reason: &'static str,
    pub description: &'static str,
}

impl Failure {
    pub fn of(error: &RunError) -> Self {
        let (reason, description) = match error {
            RunError::Query(QueryError::Wrong(found)) => match found.first() {
                Some(first) if first.kind == model::DiagnosticKind::Syntax => {
                    ("SyntaxError", "A syntax error occurred while running the query.")
                }
                _ => ("SemanticError", "A semantic error occurred while running the query."),
            },
            RunError::Query(QueryError::Time(_) | QueryError::Planning(_)) | RunError::Stuck(_) => {
                ("QueryTimeout", "The query execution timed out.")
            }
            RunError::Query(
                QueryError::Memory(_) | QueryError::SharedMemory(_) | QueryError::Disk(_) | QueryError::Rows(_) | QueryError::Bytes(_),
            ) => ("QueryTooExpensive", "The query used too many system resources and was prevented from running."),
            RunError::Query(QueryError::Run(_)) => ("QueryFailed", "The query failed while it ran."),
            RunError::Query(QueryError::Busy(_)) => ("Busy", "The query had to wait too long for other queries."),
            RunError::Query(QueryError::Missing(_)) => ("MissingData", "Rows that the query reads are damaged or missing."),
            RunError::Query(QueryError::EndedProcess(_)) => ("Withheld", "The query ended the service before and is not run for a while."),
            RunError::Query(QueryError::Cancelled) => ("Cancelled", "The query was cancelled."),
            RunError::Query(QueryError::Internal(_)) | RunError::Panic(_) => {
                ("InternalError", "An internal server error occurred while running the query.")
            }
            RunError::Store(_) => ("AlertsNotStored", "The alerts of the run could not be stored."),
            RunError::Withheld(_) => ("Withheld", "The rule was kept from running."),
            RunError::Rule(_) => ("InvalidRule", "The rule is invalid and cannot run."),
        };
        Self { reason, description }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(kind: &str) -> AnalyticsRule {
        let properties = json!({"displayName": "Many tries", "query": "T", "severity": "High", "queryFrequency": "PT5M",
            "queryPeriod": "PT1H", "triggerOperator": "GreaterThan", "triggerThreshold": 3});
        AnalyticsRule::from_properties("r1", kind, properties.as_object().unwrap()).unwrap()
    }

    fn report<'a>(rule: &'a AnalyticsRule, error: Option<&'a RunError>) -> Map<String, Value> {
        let at = |seconds| Timestamp::UNIX_EPOCH + Span::seconds(seconds);
        let totals = Totals { runs: 1, rows: 2, window: Some(Window { from: at(0), until: at(300) }), ..Totals::default() };
        let ids = WorkspaceIds { workspace_id: "w".to_owned(), resource_id: "/subscriptions/s".to_owned() };
        row(&Report { rule, totals, started: at(301), ended: at(302), error }, &ids)
    }

    #[test]
    fn a_run_is_reported_under_microsofts_names() {
        let row = report(&rule("Scheduled"), None);
        assert_eq!(row["OperationName"], "Scheduled analytics rule run");
        assert_eq!((&row["Status"], &row["SentinelResourceName"]), (&json!("Success"), &json!("Many tries")));
        assert_eq!(row["SentinelResourceId"], "/subscriptions/s/providers/Microsoft.SecurityInsights/alertRules/r1");
        assert_eq!(row["Description"], "Rule executed successfully, but didn't reach the threshold (3) required to generate an alert.");
        let extended = &row["ExtendedProperties"];
        assert_eq!((&extended["QueryFrequency"], &extended["QueryPeriod"]), (&json!("00:05:00"), &json!("01:00:00")));
        assert_eq!((&extended["QueryResultAmount"], &extended["TriggerThreshold"]), (&json!(2), &json!(3)));
        assert!(extended["QueryStartTimeUTC"].as_str().unwrap().starts_with("1970-01-01T00:00:00"), "{extended}");
    }

    #[test]
    fn a_failure_says_why() {
        let error = RunError::Query(QueryError::Time(Span::seconds(5)));
        let row = report(&rule("NRT"), Some(&error));
        assert_eq!((&row["OperationName"], &row["SentinelResourceKind"]), (&json!("NRT analytics rule run"), &json!("NRT")));
        assert_eq!((&row["Status"], &row["Reason"]), (&json!("Failure"), &json!("QueryTimeout")));
        assert_eq!(row["Description"], "The query execution timed out.");
        assert!(row["ExtendedProperties"]["Issues"][0].as_str().unwrap().contains("limit of time"), "{row:?}");
    }

    #[test]
    fn totals_of_several_runs_add_up() {
        let at = |seconds| Timestamp::UNIX_EPOCH + Span::seconds(seconds);
        let one = |from, until| Totals { runs: 1, rows: 1, window: Some(Window { from: at(from), until: at(until) }), ..Totals::default() };
        let both = one(0, 5).and(one(5, 9));
        assert_eq!((both.runs, both.rows, both.window), (2, 2, Some(Window { from: at(0), until: at(9) })));
    }
}
