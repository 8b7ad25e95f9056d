//! The detection loop: starts due rules; each rule runs in its own task and reports its state to the loop.
//!
//! Crash-safe: a run that was not committed is repeated over the same window and creates alerts with the same ids. A rule that is slow,
//! fails or panics does not block others.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use model::{Catalog, Clock, ConditionSeverity, HealthRegister, QueryEngine, Span, TableName, Timestamp, Window, chain};
use store::{AnalyticsRuleRecord, Store, StoreError, Topic};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::DetectionConfig;
use crate::guard::RunGuard;
use crate::health::WorkspaceIds;
use crate::job::{Done, Job, Reads, Reported, RunError, columns_condition, condition};
use crate::pool::{Going, Load, SLOW};
use crate::rule::{AnalyticsRule, Kind};
use crate::schedule::{RunState, due, next};

/// Polling interval without notifications.
const HEARTBEAT: Span = Span(model::TICKS_PER_SECOND);
/// Polling interval if a rule is due but rows of its window are not visible yet, or the pool is full.
const SOON: Span = Span(model::TICKS_PER_SECOND / 20);
/// How long runs may take to end when the service stops.
const STOPPING: Duration = Duration::from_secs(5);

/// Runs analytics rules until cancelled.
pub struct Detection {
    pub store: Store,
    pub engine: Arc<dyn QueryEngine>,
    pub catalog: Arc<dyn Catalog>,
    pub clock: Arc<dyn Clock>,
    pub config: DetectionConfig,
    pub ids: WorkspaceIds,
    pub health: HealthRegister,
    pub guard: Arc<dyn RunGuard>,
}

/// A loaded rule with the tables it reads.
struct Loaded {
    rule: Arc<AnalyticsRule>,
    etag: Uuid,
    /// Tables that wake a near-real-time rule; unknown until determined.
    reads: Option<Reads>,
    state: RunState,
    reported: Reported,
    /// Rows may have arrived since its last run.
    woken: bool,
    /// When its current run began, on the monotonic clock.
    running: Option<Duration>,
    /// Its last run was slow.
    slow: bool,
    /// Its query has not been checked yet.
    unchecked: bool,
    /// The catalog version for which its query did not bind: retried with the next version.
    unbound: Option<u64>,
}

impl Loaded {
    /// Whether rows of this table may affect the rule. The tables it reads are known for one catalog version only: a changed function or a
    /// new table may affect them.
    fn may_read(&self, table: &TableName, version: u64) -> bool {
        match &self.reads {
            Some(Reads { version: asked, tables: Some(tables) }) if *asked == version => tables.contains(table),
            _ => true,
        }
    }

    /// It did not bind, and tables or functions have changed since.
    fn may_bind_now(&self, version: u64) -> bool {
        self.unbound.is_some_and(|unbound| unbound != version)
    }

    fn is_ready(&self, now: Timestamp, complete: Timestamp, version: u64) -> bool {
        self.running.is_none()
            && (self.state.retry_at.is_none_or(|retry| retry <= now) || self.may_bind_now(version))
            && (self.woken || !matches!(self.rule.kind, Kind::NearRealTime))
            && !due(self.rule.kind, &self.state, complete).is_empty()
    }
}

/// The loop's table of rules, by lower-case id.
type Rules = HashMap<String, Loaded>;

impl Detection {
    /// Runs until `stop`. Store errors are logged and retried.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut arrivals = self.catalog.arrivals();
        let mut changes = self.store.listen(Topic::AnalyticsRules);
        let mut rules = Rules::new();
        let mut running: JoinSet<Done> = JoinSet::new();
        let mut keys: HashMap<tokio::task::Id, String> = HashMap::new();
        let mut reload = true;
        while !stop.is_cancelled() {
            if reload {
                match self.reload(&mut rules).await {
                    Ok(()) => reload = false,
                    Err(error) => tracing::error!(error = %chain(&error), "Cannot read analytics rules; trying again."),
                }
            }
            let complete = self.complete_until().await;
            let crowded = self.start(&mut rules, complete, &mut running, &mut keys, &stop);
            let wait = if crowded { SOON } else { self.until_next(&rules, complete) };
            tokio::select! {
                () = stop.cancelled() => break,
                changed = changes.changed() => reload |= changed.is_ok(),
                Some(ended) = running.join_next_with_id() => self.ended(&mut rules, &mut keys, ended).await,
                arrival = arrivals.next() => {
                    let Some(arrival) = arrival else { break };
                    let version = self.catalog.version();
                    wake(&mut rules, &arrival.table, version);
                    // Coalesce further arrivals into one run.
                    while let Some(Some(more)) = futures::FutureExt::now_or_never(arrivals.next()) {
                        wake(&mut rules, &more.table, version);
                    }
                }
                () = self.clock.sleep(wait) => {}
            }
        }
        let all_ended = async { while running.join_next().await.is_some() {} };
        if tokio::time::timeout(STOPPING, all_ended).await.is_err() {
            tracing::warn!("rules were still running when the service had to stop; their windows stay due");
        }
    }

    /// [`Catalog::complete_until`] may block on disk I/O.
    async fn complete_until(&self) -> Timestamp {
        let catalog = self.catalog.clone();
        tokio::task::spawn_blocking(move || catalog.complete_until()).await.unwrap_or(Timestamp::MIN)
    }

    /// Reloads the rules; unchanged ones keep their state.
    async fn reload(&self, rules: &mut Rules) -> Result<(), StoreError> {
        let records = self.store.analytics_rules().list().await?;
        let mut present = HashSet::new();
        for record in records.iter().filter(|record| record.enabled) {
            let key = record.id.to_lowercase();
            present.insert(key.clone());
            if rules.get(&key).is_some_and(|known| known.etag == record.etag) {
                continue;
            }
            let known = rules.get(&key).map(|known| known.running);
            match self.load(record, known.is_some()).await? {
                Some(loaded) => {
                    rules.insert(key, Loaded { running: known.flatten(), ..loaded });
                }
                None => {
                    rules.remove(&key);
                }
            }
        }
        rules.retain(|key, _| present.contains(key));
        let enabled = records.iter().filter(|record| record.enabled);
        let conditions: HashSet<String> = enabled.flat_map(|record| [condition(&record.id), columns_condition(&record.id)]).collect();
        self.health.retain("rule.", |name| conditions.contains(name));
        self.health.retain("rule-columns.", |name| conditions.contains(name));
        metrics::gauge!("bartizan_analytics_rules").set(rules.len() as f64);
        Ok(())
    }

    async fn load(&self, record: &AnalyticsRuleRecord, changed: bool) -> Result<Option<Loaded>, StoreError> {
        let rule = match AnalyticsRule::from_properties(&record.id, &record.kind, &record.properties) {
            Ok(rule) => Arc::new(rule),
            Err(error) => {
                tracing::warn!(rule = record.display_name(), error = %chain(&error), "This rule cannot run.");
                let summary = format!("the rule `{}` cannot run", record.display_name());
                self.health.set_error(&condition(&record.id), ConditionSeverity::Degraded, summary, &error);
                return Ok(None);
            }
        };
        // Conditions of its previous version no longer apply.
        self.health.remove(&condition(&record.id));
        self.health.remove(&columns_condition(&record.id));
        let state = match self.store.analytics_rules().run_state::<RunState>(&record.id).await? {
            Some(state) => state,
            None => {
                // Stored immediately, so that a crash before the first run does not move the start.
                let state = RunState::starting(rule.kind, self.complete_until().await);
                let mut change = self.store.begin().await?;
                change.put_rule_run_state(&record.id, &state).await?;
                change.commit().await?;
                state
            }
        };
        if state.failures > 0 {
            let summary = format!("the rule `{}` failed {} times in a row", rule.properties.display_name, state.failures);
            self.health.set_detail(
                &condition(&rule.id),
                ConditionSeverity::Degraded,
                summary,
                state.last_error.clone().unwrap_or_default(),
            );
        }
        // A changed rule is retried at once, since the change may fix the failure.
        let state = RunState { retry_at: state.retry_at.filter(|_| !changed), ..state };
        Ok(Some(Loaded {
            rule,
            etag: record.etag,
            reads: None,
            state,
            reported: Reported::default(),
            woken: true,
            running: None,
            slow: false,
            unchecked: true,
            unbound: None,
        }))
    }

    /// Starts everything that is due and fits the limits, the longest overdue first. Returns true if something has to wait.
    fn start(
        self: &Arc<Self>,
        rules: &mut Rules,
        complete: Timestamp,
        running: &mut JoinSet<Done>,
        keys: &mut HashMap<tokio::task::Id, String>,
        stop: &CancellationToken,
    ) -> bool {
        let (now, clock) = (self.clock.now(), self.clock.monotonic());
        let going = |loaded: &Loaded| loaded.running.map(|since| Going { for_: clock.saturating_sub(since), slow: loaded.slow });
        let mut load = Load::of(rules.values().filter_map(going));
        let version = self.catalog.version();
        let mut waiting: Vec<(&String, &mut Loaded, bool)> = rules
            .iter_mut()
            .map(|(key, loaded)| {
                let ready = loaded.is_ready(now, complete, version);
                (key, loaded, ready)
            })
            .filter(|(_, loaded, ready)| *ready || (loaded.running.is_none() && (loaded.unchecked || loaded.may_bind_now(version))))
            .collect();
        waiting.sort_by_key(|(_, loaded, ready)| (!ready, loaded.state.seen_until));
        let mut crowded = false;
        for (key, loaded, ready) in waiting {
            // Checks leave capacity for rules that become due meanwhile.
            let room = if ready { self.config.concurrency } else { self.config.concurrency / 2 };
            if !load.admit(loaded.slow, room) {
                crowded = true;
                continue;
            }
            loaded.running = Some(clock);
            let known = loaded.reads.as_ref().is_some_and(|reads| reads.version == version && reads.tables.is_some());
            let job = Job {
                key: key.clone(),
                rule: loaded.rule.clone(),
                state: loaded.state.clone(),
                reported: loaded.reported,
                runs: if ready { due(loaded.rule.kind, &loaded.state, complete) } else { Vec::new() },
                version,
                ask_reads: ready && !known && loaded.rule.kind == Kind::NearRealTime,
                check: std::mem::take(&mut loaded.unchecked) || loaded.may_bind_now(version),
            };
            if ready {
                loaded.woken = false;
                if let Some(at) = next(loaded.rule.kind, &loaded.state) {
                    metrics::histogram!("bartizan_rule_start_delay_seconds").record((now - at).max(Span::ZERO).ticks() as f64 / 1e7);
                }
            }
            let task = running.spawn(self.clone().run_job(job, stop.clone()));
            keys.insert(task.id(), key.clone());
        }
        crowded
    }

    /// Updates the state of a rule after its runs.
    async fn ended(
        &self,
        rules: &mut Rules,
        keys: &mut HashMap<tokio::task::Id, String>,
        ended: Result<(tokio::task::Id, Done), tokio::task::JoinError>,
    ) {
        match ended {
            Ok((id, done)) => {
                keys.remove(&id);
                let Some(loaded) = rules.get_mut(&done.key) else { return };
                loaded.running = None;
                loaded.slow = done.took > SLOW;
                loaded.state = done.state;
                loaded.reported = done.reported;
                loaded.woken |= done.failed;
                loaded.unbound = done.unbound;
                if done.reads.is_some() {
                    loaded.reads = done.reads;
                }
            }
            Err(error) => {
                // A panic affects only this run of this rule.
                let key = keys.remove(&error.id());
                let Some(loaded) = key.and_then(|key| rules.get_mut(&key)) else { return };
                loaded.running = None;
                loaded.woken = true;
                // Runs before the failed one may have been committed.
                if let Ok(Some(state)) = self.store.analytics_rules().run_state::<RunState>(&loaded.rule.id).await {
                    loaded.state = state;
                }
                let now = self.clock.now();
                let broken = due(loaded.rule.kind, &loaded.state, self.complete_until().await).first().map(|run| (*run, now));
                let rule = loaded.rule.clone();
                let error = RunError::Panic(error.to_string());
                self.failed(&rule, &mut loaded.state, &mut loaded.reported, broken, &error).await;
            }
        }
    }

    /// Time until the next rule is due.
    fn until_next(&self, rules: &Rules, complete: Timestamp) -> Span {
        let now = self.clock.now();
        let idle = rules.values().filter(|loaded| loaded.running.is_none());
        match idle.filter_map(|loaded| next(loaded.rule.kind, &loaded.state)).min() {
            Some(at) if at > now => (at - now).min(HEARTBEAT),
            // Due, but its window is not complete yet.
            Some(at) if at > complete => SOON,
            _ => HEARTBEAT,
        }
    }
}

fn wake(rules: &mut Rules, table: &TableName, version: u64) {
    for loaded in rules.values_mut() {
        loaded.woken |= loaded.may_read(table, version);
    }
}

/// The window of a run that ends at `until`, for previews of a rule.
pub fn preview_window(rule: &AnalyticsRule, until: Timestamp) -> Window {
    let back = match rule.kind {
        Kind::Scheduled { period, .. } => period,
        Kind::NearRealTime => Span::MINUTE,
    };
    Window { from: until - back, until }
}
