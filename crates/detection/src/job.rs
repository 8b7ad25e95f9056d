//! Runs the due windows of one rule: query, alerts, and one transaction with the alerts, the run state and the row of `SentinelHealth`.

use std::sync::Arc;
use std::time::Duration;

use model::{Limits, Query, QueryClass, QueryError, Scope, Span, TableName, Timestamp, chain};
use store::StoreError;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::alerts::alerts;
use crate::columns::missing;
use crate::guard::{RunGuard, Withheld};
use crate::health::{self, NRT_REPORT, Report, Totals};
use crate::rule::{AnalyticsRule, Kind, RuleError};
use crate::schedule::{Run, RunState, back_off};
use crate::task::Detection;

/// A query that has not ended this long after its time limit is abandoned.
const STUCK: Duration = Duration::from_secs(10);

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("the query does not run")]
    Query(#[from] QueryError),
    #[error("the query did not end within its limit of time, {0}")]
    Stuck(Span),
    #[error("the store does not take the alerts")]
    Store(#[from] StoreError),
    #[error("the run broke: {0}")]
    Panic(String),
    #[error("the rule is not run")]
    Withheld(#[from] Withheld),
    #[error("the rule cannot run")]
    Rule(#[from] RuleError),
}

/// Recent reports of a rule.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reported {
    /// Time of its last row of `SentinelHealth`, and whether that was a success.
    pub last: Option<(Timestamp, bool)>,
    /// Successful runs since then.
    pub since: Totals,
}

/// Work for one rule, taken from the loop's table.
pub struct Job {
    pub key: String,
    pub rule: Arc<AnalyticsRule>,
    pub state: RunState,
    pub reported: Reported,
    /// Oldest first.
    pub runs: Vec<Run>,
    /// Catalog version when the job began.
    pub version: u64,
    /// Whether the tables that its query reads must be determined (again).
    pub ask_reads: bool,
    /// Whether to check that its query binds and returns the referenced columns.
    pub check: bool,
}

/// Results of a job for the loop's table.
pub struct Done {
    pub key: String,
    pub state: RunState,
    pub reported: Reported,
    pub reads: Option<Reads>,
    pub failed: bool,
    /// The catalog version for which its query did not bind.
    pub unbound: Option<u64>,
    pub took: Duration,
}

/// The tables that a query reads, for a catalog version.
#[derive(Clone, Debug)]
pub struct Reads {
    pub version: u64,
    /// `None` if the query does not bind.
    pub tables: Option<Vec<TableName>>,
}

impl Detection {
    /// Runs all due windows of one rule, oldest first, until one fails.
    pub(crate) async fn run_job(self: Arc<Self>, mut job: Job, cancel: CancellationToken) -> Done {
        let began = self.clock.monotonic();
        let mut failed = false;
        let mut unbound = None;
        if job.check && !self.check(&job.rule, job.state.failures).await {
            unbound = Some(job.version);
        }
        for run in std::mem::take(&mut job.runs) {
            let started = self.clock.now();
            match self.run_once(&mut job, run, started, &cancel).await {
                Ok(state) => {
                    job.state = state;
                    unbound = None;
                    self.succeeded(&job.rule);
                }
                // The service is stopping: the run stays due.
                Err(RunError::Query(QueryError::Cancelled)) if cancel.is_cancelled() => break,
                Err(error) => {
                    self.failed(&job.rule, &mut job.state, &mut job.reported, Some((run, started)), &error).await;
                    failed = true;
                    unbound = matches!(error, RunError::Query(QueryError::Wrong(_))).then_some(job.version);
                    break;
                }
            }
        }
        let reads = match job.ask_reads {
            true => Some(self.reads(&job.rule, job.version).await),
            false => None,
        };
        let took = self.clock.monotonic().saturating_sub(began);
        Done { key: job.key, state: job.state, reported: job.reported, reads, failed, unbound, took }
    }

    async fn run_once(&self, job: &mut Job, run: Run, started: Timestamp, cancel: &CancellationToken) -> Result<RunState, RunError> {
        let began = self.clock.monotonic();
        let (rule, state) = (&job.rule, &job.state);
        let silent = state.silent_until.is_some_and(|until| run.tile.until <= until);
        let (mut found, mut rows) = (Vec::new(), 0);
        if !silent {
            let answer = self.ask(rule, run, cancel).await?;
            rows = answer.rows();
            let rule = rule.clone();
            // Thousands of rows may become alerts, so this runs on a blocking thread.
            let made = tokio::task::spawn_blocking(move || alerts(&rule, run, started, &answer));
            found = made.await.map_err(|error| RunError::Panic(error.to_string()))?;
        }
        let fired = !found.is_empty();
        let state = RunState {
            seen_until: run.tile.until,
            silent_until: match rule.suppression() {
                Some(span) if fired => Some(run.tile.until + span),
                _ => state.silent_until,
            },
            failures: 0,
            last_error: None,
            retry_at: None,
            last_run: Some(started),
        };
        let totals = job.reported.since.and(Totals::of(run.tile, rows, &found));
        let ended = self.clock.now();
        let report = is_worth_a_row(rule.kind, &job.reported, ended);
        let mut change = self.store.begin().await?;
        for alert in &found {
            change.add_alert(alert).await?;
        }
        change.put_rule_run_state(&rule.id, &state).await?;
        if report {
            let report = Report { rule, totals, started, ended, error: None };
            change.send_row("SentinelHealth", &health::row(&report, &self.ids)).await?;
        }
        change.commit().await?;
        job.reported = match report {
            true => Reported { last: Some((ended, true)), since: Totals::default() },
            false => Reported { since: totals, ..job.reported },
        };
        metrics::counter!("bartizan_rule_runs_total", "kind" => rule.kind_name(), "result" => "ok").increment(1);
        metrics::counter!("bartizan_alerts_total").increment(found.len() as u64);
        metrics::histogram!("bartizan_rule_run_seconds").record((self.clock.monotonic().saturating_sub(began)).as_secs_f64());
        if fired {
            tracing::info!(rule = rule.properties.display_name, alerts = found.len(), "A rule fired.");
        }
        Ok(state)
    }

    async fn ask(&self, rule: &AnalyticsRule, run: Run, cancel: &CancellationToken) -> Result<model::Answer, RunError> {
        self.guard.before(rule)?;
        let _running = Running { guard: self.guard.as_ref(), rule };
        // `now()` is the end of the window, so that a late run returns the same as a punctual one.
        let scope = Scope { now: Some(run.tile.until), ingested: Some(run.sees), ..Scope::default() };
        let mut query = Query::new(&rule.properties.query).with_class(QueryClass::Rule).with_scope(scope);
        query.limits = Limits { time: Some(self.config.time), ..Limits::default() };
        query.cancel = cancel.child_token();
        let patience = self.config.time.to_std() + STUCK;
        let answered = tokio::time::timeout(patience, self.engine.query(query)).await;
        Ok(answered.map_err(|_| RunError::Stuck(self.config.time))??)
    }

    /// Reports errors of a rule before its first run, which for a daily rule may be a day away. Returns false if its query does not bind.
    async fn check(&self, rule: &AnalyticsRule, failures: u32) -> bool {
        let (name, title) = (columns_condition(&rule.id), &rule.properties.display_name);
        let columns = match self.engine.check(&Query::new(&rule.properties.query).with_class(QueryClass::Rule)).await {
            Ok(columns) => columns,
            Err(error) => {
                tracing::warn!(rule = title, error = %chain(&error), "This rule's query does not bind yet.");
                let error = RunError::Query(error);
                let summary = format!("the rule `{title}` fails: {}", health::Failure::of(&error).description);
                self.health.set_error(&condition(&rule.id), model::ConditionSeverity::Degraded, summary, &error);
                failing(rule, 1.0);
                return false;
            }
        };
        if failures == 0 {
            self.succeeded(rule);
        }
        match columns.map(|columns| missing(rule, &columns)).filter(|missing| !missing.is_empty()) {
            Some(missing) => {
                let missing = missing.join("; ");
                tracing::warn!(rule = title, columns = missing, "This rule names columns that its query does not return.");
                let summary = format!("the rule `{title}` names columns that its query does not return");
                self.health.set_detail(&name, model::ConditionSeverity::Degraded, summary, missing);
            }
            None => {
                self.health.remove(&name);
            }
        }
        true
    }

    fn succeeded(&self, rule: &AnalyticsRule) {
        if self.health.remove(&condition(&rule.id)) {
            tracing::info!(rule = rule.properties.display_name, "The rule runs again.");
            failing(rule, 0.0);
        }
    }

    /// Reports the failure and schedules the retry.
    pub(crate) async fn failed(
        &self,
        rule: &AnalyticsRule,
        state: &mut RunState,
        reported: &mut Reported,
        run: Option<(Run, Timestamp)>,
        error: &RunError,
    ) {
        let text = chain(error);
        let failures = state.failures.saturating_add(1);
        let jitter = f64::from(Uuid::new_v4().as_bytes()[0]) / 255.0;
        let now = self.clock.now();
        state.failures = failures;
        state.retry_at = Some(now + back_off(failures, jitter));
        state.last_error = Some(text.clone());
        metrics::counter!("bartizan_rule_runs_total", "kind" => rule.kind_name(), "result" => "failed").increment(1);
        let failure = health::Failure::of(error);
        metrics::counter!("bartizan_rule_failures_total", "rule" => rule.id.clone(), "reason" => failure.reason).increment(1);
        failing(rule, 1.0);
        let summary = format!("the rule `{}` fails: {}", rule.properties.display_name, failure.description);
        self.health.set_detail(&condition(&rule.id), model::ConditionSeverity::Degraded, summary, text.clone());
        tracing::warn!(rule = rule.properties.display_name, failures, error = text, "A rule failed; its window stays due.");
        let kept = async {
            let mut change = self.store.begin().await?;
            change.put_rule_run_state(&rule.id, state).await?;
            if let Some((run, started)) = run {
                let totals = Totals { runs: 1, window: Some(run.tile), ..Totals::default() };
                let report = Report { rule, totals, started, ended: now, error: Some(error) };
                change.send_row("SentinelHealth", &health::row(&report, &self.ids)).await?;
                reported.last = Some((now, false));
            }
            change.commit().await
        };
        if let Err(error) = kept.await {
            let error: &StoreError = &error;
            tracing::error!(error = %chain(error), "Cannot keep a rule's failure.");
        }
    }

    /// Determines the tables that the rule's query reads.
    pub(crate) async fn reads(&self, rule: &AnalyticsRule, version: u64) -> Reads {
        let tables = match self.engine.tables_read(&Query::new(&rule.properties.query).with_class(QueryClass::Rule)).await {
            Ok(tables) => Some(tables),
            Err(error) => {
                tracing::warn!(rule = rule.properties.display_name, error = %chain(&error), "This rule's query does not bind; it is tried again as rows arrive.");
                None
            }
        };
        Reads { version, tables }
    }
}

/// Name of a rule's failure condition in the health register.
pub fn condition(rule: &str) -> String {
    format!("rule.{rule}")
}

/// Name of the condition of a rule that refers to columns its query does not return.
pub fn columns_condition(rule: &str) -> String {
    format!("rule-columns.{rule}")
}

/// Calls the guard's `after` when the query ends in any way.
struct Running<'a> {
    guard: &'a dyn RunGuard,
    rule: &'a AnalyticsRule,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.guard.after(self.rule);
    }
}

fn failing(rule: &AnalyticsRule, value: f64) {
    metrics::gauge!("bartizan_rule_failing", "rule" => rule.id.clone(), "name" => rule.properties.display_name.clone()).set(value);
}

/// Whether a success gets a row of its own: always for a scheduled rule; for a near-real-time one, after a minute of successes since its
/// last row, or after a failure.
fn is_worth_a_row(kind: Kind, reported: &Reported, now: Timestamp) -> bool {
    match (kind, reported.last) {
        (Kind::NearRealTime, Some((at, true))) => now - at >= NRT_REPORT || now < at,
        _ => true,
    }
}
