//! One run of a rule outside the service, over given tables, with the same logic.

use std::sync::Arc;

use detection::alerts::alerts;
use detection::schedule::Run;
use detection::{AnalyticsRule, Kind};
use model::{Alert, Query, QueryEngine, QueryError, Scope, Span, StoredFunction, Timestamp, Window};

/// The run of a rule that ends at `at`.
pub fn run_at(rule: &AnalyticsRule, at: Timestamp) -> Run {
    let (frequency, period) = match rule.kind {
        Kind::Scheduled { frequency, period, .. } => (frequency, period),
        // A near-real-time rule runs every minute over newly ingested rows.
        Kind::NearRealTime => (Span::MINUTE, Span::MINUTE),
    };
    Run { tile: Window { from: at - frequency, until: at }, sees: Window { from: at - period, until: at } }
}

/// The window of a rule in tests: a near-real-time rule sees all rows of its test, regardless of their time.
pub fn seen_in_tests(rule: &AnalyticsRule, at: Timestamp) -> Window {
    match rule.kind {
        Kind::Scheduled { .. } => run_at(rule, at).sees,
        Kind::NearRealTime => Window { from: at - detection::rule::LONGEST_PERIOD, until: at },
    }
}

/// The alerts of a run, and the number of result rows.
pub async fn evaluate(
    engine: &dyn QueryEngine,
    rule: &AnalyticsRule,
    functions: &[Arc<StoredFunction>],
    at: Timestamp,
    window: Option<Window>,
) -> Result<(Vec<Alert>, usize), QueryError> {
    let scope = Scope { now: Some(at), functions: functions.to_vec(), window, ..Scope::default() };
    let answer = engine.query(Query::new(&rule.properties.query).with_scope(scope)).await?;
    if let Some(why) = answer.partial {
        return Err(why);
    }
    let rows = answer.rows();
    Ok((alerts(rule, run_at(rule, at), at, &answer), rows))
}
