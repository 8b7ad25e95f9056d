//! The loop that runs rules: sees what is due, asks the engine, writes alerts and the place where the rule stands in one transaction.
//!
//! Killed anywhere, it starts over from the store: a run that was not committed is run again over the same window and gives alerts with the
//! same ids. A rule that fails backs off by itself and never holds up another.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use model::{Catalog, Clock, Query, QueryClass, QueryEngine, Scope, Span, TableName, Timestamp, Window};
use store::{AnalyticsRuleRecord, Store, StoreError, Topic};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::alerts::alerts;
use crate::rule::{AnalyticsRule, Kind};
use crate::schedule::{Run, RunState, back_off, due, next};

/// Rules that run at the same time.
pub const CONCURRENCY: usize = 4;
/// How often rules are looked at when no bell rings.
const HEARTBEAT: Span = Span(model::TICKS_PER_SECOND);

/// Runs analytics rules until cancelled.
pub struct Detection {
    pub store: Store,
    pub engine: Arc<dyn QueryEngine>,
    pub catalog: Arc<dyn Catalog>,
    pub clock: Arc<dyn Clock>,
}

/// Why a run did not end well.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("the query does not run")]
    Query(#[from] model::QueryError),
    #[error("the store does not take the alerts")]
    Store(#[from] StoreError),
}

/// A rule as it is loaded: with what its query reads.
struct Loaded {
    rule: AnalyticsRule,
    etag: Uuid,
    /// Tables whose arrivals wake a near-real-time rule; nothing where the query does not bind yet.
    reads: Option<Vec<TableName>>,
    state: RunState,
    /// Rows may have arrived since it last ran.
    woken: bool,
}

impl Detection {
    /// Runs until `stop`. Store errors are logged and tried again: the loop never gives up.
    pub async fn run(self, stop: CancellationToken) {
        let mut arrivals = self.catalog.arrivals();
        let mut changes = self.store.listen(Topic::AnalyticsRules);
        let mut rules: HashMap<String, Loaded> = HashMap::new();
        let mut reload = true;
        while !stop.is_cancelled() {
            if reload {
                match self.reload(&mut rules).await {
                    Ok(()) => reload = false,
                    Err(error) => tracing::error!(error = %model::chain(&error), "Cannot read analytics rules; trying again."),
                }
            }
            self.turn(&mut rules).await;
            let wait = if reload { HEARTBEAT } else { self.until_next(&rules) };
            tokio::select! {
                () = stop.cancelled() => break,
                changed = changes.changed() => reload |= changed.is_ok(),
                arrival = arrivals.next() => {
                    let Some(arrival) = arrival else { break };
                    wake(&mut rules, &arrival.table);
                    // What else has arrived meanwhile is one run, not many.
                    while let Some(Some(more)) = futures::FutureExt::now_or_never(arrivals.next()) {
                        wake(&mut rules, &more.table);
                    }
                }
                () = self.clock.sleep(wait) => {}
            }
        }
    }

    /// Reads the rules anew; one that did not change keeps what is known of it.
    async fn reload(&self, rules: &mut HashMap<String, Loaded>) -> Result<(), StoreError> {
        let records = self.store.analytics_rules().list().await?;
        let mut present = HashSet::new();
        for record in records.iter().filter(|record| record.enabled) {
            let key = record.id.to_lowercase();
            present.insert(key.clone());
            if rules.get(&key).is_some_and(|known| known.etag == record.etag) {
                continue;
            }
            match self.load(record).await? {
                Some(loaded) => {
                    rules.insert(key, loaded);
                }
                None => {
                    rules.remove(&key);
                }
            }
        }
        rules.retain(|key, _| present.contains(key));
        metrics::gauge!("bartizan_analytics_rules").set(rules.len() as f64);
        Ok(())
    }

    async fn load(&self, record: &AnalyticsRuleRecord) -> Result<Option<Loaded>, StoreError> {
        let rule = match AnalyticsRule::from_properties(&record.id, &record.kind, &record.properties) {
            Ok(rule) => rule,
            Err(error) => {
                tracing::warn!(rule = record.display_name(), error = %model::chain(&error), "This rule cannot run.");
                return Ok(None);
            }
        };
        let state = match self.store.analytics_rules().run_state::<RunState>(&record.id).await? {
            Some(state) => state,
            None => {
                // Kept at once: a crash before the first run must not move the beginning.
                let state = RunState::starting(self.catalog.complete_until());
                let mut change = self.store.begin().await?;
                change.put_rule_run_state(&record.id, &state).await?;
                change.commit().await?;
                state
            }
        };
        let reads = self.tables_read(&rule).await;
        Ok(Some(Loaded { rule, etag: record.etag, reads, state, woken: true }))
    }

    async fn tables_read(&self, rule: &AnalyticsRule) -> Option<Vec<TableName>> {
        match self.engine.tables_read(&Query::new(&rule.properties.query).with_class(QueryClass::Rule)).await {
            Ok(tables) => Some(tables),
            Err(error) => {
                tracing::warn!(rule = rule.properties.display_name, error = %model::chain(&error), "This rule's query does not bind; it is tried again as rows arrive.");
                None
            }
        }
    }

    /// Runs everything that is due, a few rules at a time.
    async fn turn(&self, rules: &mut HashMap<String, Loaded>) {
        let now = self.clock.now();
        let complete = self.catalog.complete_until();
        let mut ready: Vec<&mut Loaded> = rules
            .values_mut()
            .filter(|loaded| loaded.state.retry_at.is_none_or(|retry| retry <= now))
            .filter(|loaded| loaded.woken || !matches!(loaded.rule.kind, Kind::NearRealTime))
            .filter(|loaded| !due(loaded.rule.kind, &loaded.state, complete).is_empty())
            .collect();
        ready.sort_by_key(|loaded| loaded.state.seen_until);
        let mut waiting = ready.into_iter();
        let mut running = FuturesUnordered::new();
        for loaded in waiting.by_ref().take(CONCURRENCY) {
            running.push(self.run_due(loaded, complete));
        }
        while running.next().await.is_some() {
            if let Some(loaded) = waiting.next() {
                running.push(self.run_due(loaded, complete));
            }
        }
    }

    /// All due runs of one rule, oldest first, until one fails.
    async fn run_due(&self, loaded: &mut Loaded, complete: Timestamp) {
        loaded.woken = false;
        for run in due(loaded.rule.kind, &loaded.state, complete) {
            match self.run_once(&loaded.rule, &loaded.state, run).await {
                Ok(state) => loaded.state = state,
                Err(error) => {
                    self.failed(loaded, &error).await;
                    return;
                }
            }
        }
        if loaded.reads.is_none() {
            loaded.reads = self.tables_read(&loaded.rule).await;
        }
    }

    async fn run_once(&self, rule: &AnalyticsRule, state: &RunState, run: Run) -> Result<RunState, RunError> {
        let began = self.clock.monotonic();
        let silent = state.silent_until.is_some_and(|until| run.tile.until <= until);
        let now = self.clock.now();
        let mut found = Vec::new();
        if !silent {
            // `now()` is the end of the window, so that a late run asks what a punctual one would have asked.
            let scope = Scope { now: Some(run.tile.until), ingested: Some(run.sees), ..Scope::default() };
            let answer = self.engine.query(Query::new(&rule.properties.query).with_class(QueryClass::Rule).with_scope(scope)).await?;
            found = alerts(rule, run, now, &answer);
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
            last_run: Some(now),
        };
        let mut change = self.store.begin().await?;
        for alert in &found {
            change.add_alert(alert).await?;
        }
        change.put_rule_run_state(&rule.id, &state).await?;
        change.commit().await?;
        metrics::counter!("bartizan_rule_runs_total", "kind" => rule.kind_name(), "result" => "ok").increment(1);
        metrics::counter!("bartizan_alerts_total").increment(found.len() as u64);
        metrics::histogram!("bartizan_rule_run_seconds").record((self.clock.monotonic() - began).as_secs_f64());
        if fired {
            tracing::info!(rule = rule.properties.display_name, alerts = found.len(), "A rule fired.");
        }
        Ok(state)
    }

    /// Keeps the failure where people can see it, and waits before the next try.
    async fn failed(&self, loaded: &mut Loaded, error: &RunError) {
        let text = model::chain(error);
        let failures = loaded.state.failures.saturating_add(1);
        let jitter = f64::from(Uuid::new_v4().as_bytes()[0]) / 255.0;
        loaded.state.failures = failures;
        loaded.state.retry_at = Some(self.clock.now() + back_off(failures, jitter));
        loaded.state.last_error = Some(text.clone());
        loaded.woken = true;
        metrics::counter!("bartizan_rule_runs_total", "kind" => loaded.rule.kind_name(), "result" => "failed").increment(1);
        tracing::warn!(rule = loaded.rule.properties.display_name, failures, error = text, "A rule failed; its window stays due.");
        let kept = async {
            let mut change = self.store.begin().await?;
            change.put_rule_run_state(&loaded.rule.id, &loaded.state).await?;
            change.commit().await
        };
        if let Err(error) = kept.await {
            tracing::error!(error = %model::chain(&error), "Cannot keep a rule's failure.");
        }
    }

    /// How long nothing will be due by time alone.
    fn until_next(&self, rules: &HashMap<String, Loaded>) -> Span {
        let now = self.clock.now();
        let soonest = rules.values().filter_map(|loaded| next(loaded.rule.kind, &loaded.state)).min();
        match soonest {
            Some(at) if at > now => (at - now).min(HEARTBEAT),
            _ => HEARTBEAT,
        }
    }
}

fn wake(rules: &mut HashMap<String, Loaded>, table: &TableName) {
    for loaded in rules.values_mut() {
        loaded.woken |= loaded.reads.as_ref().is_none_or(|tables| tables.contains(table));
    }
}

/// The rows that a rule would see in a run that ends at `until`; for people who try a rule before they enable it.
pub fn preview_window(rule: &AnalyticsRule, until: Timestamp) -> Window {
    let back = match rule.kind {
        Kind::Scheduled { period, .. } => period,
        Kind::NearRealTime => Span::MINUTE,
    };
    Window { from: until - back, until }
}
