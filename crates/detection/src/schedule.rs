//! Computes the due windows of a rule. Pure functions of the rule's kind, its run state, and the time.
//!
//! Windows are half-open on the left, `(from, until]`, over ingestion time. The runs of a rule tile the timeline: each starts where the
//! previous one ended (a longer `queryPeriod` only looks further back). The time of day is not used, so a clock that jumps forward makes
//! one window longer, and one that jumps back makes nothing due until it has caught up.

use model::{Span, Timestamp, Window};
use serde::{Deserialize, Serialize};

use crate::rule::Kind;

/// Maximum missed runs that are caught up individually; the rest are merged into one longer window, so that nothing is skipped.
pub const MAX_CATCH_UP: usize = 24;

/// Run state of a rule. Written in the transaction that adds a run's alerts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// Rows ingested until here have been processed.
    pub seen_until: Timestamp,
    /// End of suppression after an alert.
    #[serde(default)]
    pub silent_until: Option<Timestamp>,
    /// Consecutive failures, and the reason of the last one.
    #[serde(default)]
    pub failures: u32,
    #[serde(default)]
    pub last_error: Option<String>,
    /// Earliest retry after a failure.
    #[serde(default)]
    pub retry_at: Option<Timestamp>,
    /// Start of the last successful run.
    #[serde(default)]
    pub last_run: Option<Timestamp>,
}

impl RunState {
    /// State of a rule created at `now`. A scheduled rule is due at once and looks back its whole period, then each time its frequency has
    /// passed, as Microsoft documents for a rule without a start time ("The rule will run for the first time immediately upon being created",
    /// learn.microsoft.com/azure/sentinel/scheduled-rules-overview). A near-real-time rule processes rows ingested from now on.
    pub fn starting(kind: Kind, now: Timestamp) -> Self {
        let seen_until = match kind {
            Kind::NearRealTime => now,
            Kind::Scheduled { frequency, .. } => now - frequency,
        };
        Self { seen_until, silent_until: None, failures: 0, last_error: None, retry_at: None, last_run: None }
    }
}

/// A due run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The part of the timeline that belongs to this run; tiles are contiguous.
    pub tile: Window,
    /// The window of the query: the tile, or further back if `queryPeriod` is longer than `queryFrequency`.
    pub sees: Window,
}

/// The due runs, oldest first, if all rows ingested until `complete` are visible.
///
/// A scheduled rule is due once its frequency has passed since its last window; a near-real-time rule whenever rows may have arrived.
pub fn due(kind: Kind, state: &RunState, complete: Timestamp) -> Vec<Run> {
    let from = state.seen_until;
    if complete <= from {
        return Vec::new();
    }
    match kind {
        Kind::NearRealTime => vec![run(from, complete, Span::ZERO)],
        Kind::Scheduled { frequency, period, .. } => {
            let further_back = Span(period.ticks() - frequency.ticks());
            let passed = (complete - from).ticks() / frequency.ticks();
            let ticks = usize::try_from(passed).unwrap_or(usize::MAX);
            if ticks == 0 {
                return Vec::new();
            }
            let mut runs = Vec::with_capacity(ticks.min(MAX_CATCH_UP));
            let mut start = from;
            if ticks > MAX_CATCH_UP {
                // The oldest missed runs are merged into one longer window.
                let merged = Span(frequency.ticks() * (ticks - MAX_CATCH_UP + 1) as i64);
                runs.push(run(start, start + merged, further_back));
                start = start + merged;
            }
            while (complete - start) >= frequency {
                runs.push(run(start, start + frequency, further_back));
                start = start + frequency;
            }
            runs
        }
    }
}

fn run(from: Timestamp, until: Timestamp, further_back: Span) -> Run {
    let tile = Window { from, until };
    Run { tile, sees: Window { from: from - further_back, until } }
}

/// When a scheduled rule is next due; `None` for a near-real-time rule, which waits for a notification.
pub fn next(kind: Kind, state: &RunState) -> Option<Timestamp> {
    let due = match kind {
        Kind::NearRealTime => None,
        Kind::Scheduled { frequency, .. } => Some(state.seen_until + frequency),
    };
    match (due, state.retry_at) {
        (Some(due), Some(retry)) => Some(due.max(retry)),
        (due, retry) => due.or(retry),
    }
}

/// Retry delay after `failures` consecutive failures: doubles from ten seconds to an hour, spread by `jitter` (0 to 1) so that rules that
/// failed together are not retried together.
pub fn back_off(failures: u32, jitter: f64) -> Span {
    let base = Span::seconds(10).ticks().saturating_mul(1 << failures.saturating_sub(1).min(9));
    let capped = base.min(Span::HOUR.ticks());
    Span((capped as f64 * (0.75 + 0.5 * jitter.clamp(0.0, 1.0))) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::{Trigger, TriggerOperator};

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + Span(minutes * model::TICKS_PER_MINUTE)
    }

    fn every(frequency: i64, period: i64) -> Kind {
        let minutes = |n: i64| Span(n * model::TICKS_PER_MINUTE);
        Kind::Scheduled {
            frequency: minutes(frequency),
            period: minutes(period),
            trigger: Trigger { operator: TriggerOperator::GreaterThan, threshold: 0 },
        }
    }

    #[test]
    fn a_new_rule_runs_at_once_over_its_period_and_then_each_frequency() {
        let kind = every(5, 60);
        let state = RunState::starting(kind, at(0));
        assert_eq!(next(kind, &state), Some(at(0)));
        let runs = due(kind, &state, at(0));
        assert_eq!(runs, [Run { tile: Window { from: at(-5), until: at(0) }, sees: Window { from: at(-60), until: at(0) } }]);
        let state = RunState { seen_until: runs[0].tile.until, ..state };
        assert_eq!((due(kind, &state, at(4)), next(kind, &state)), (vec![], Some(at(5))));
        assert_eq!(due(Kind::NearRealTime, &RunState::starting(Kind::NearRealTime, at(0)), at(0)), []);
    }

    /// A rule that has processed everything until then.
    fn seen(until: Timestamp) -> RunState {
        RunState::starting(Kind::NearRealTime, until)
    }

    #[test]
    fn a_run_sees_its_period_and_owns_its_frequency() {
        let state = seen(at(0));
        assert_eq!(due(every(5, 60), &state, at(4)), []);
        let runs = due(every(5, 60), &state, at(5));
        assert_eq!(runs, [Run { tile: Window { from: at(0), until: at(5) }, sees: Window { from: at(-55), until: at(5) } }]);
    }

    #[test]
    fn a_long_outage_is_caught_up_in_few_runs_without_a_gap() {
        let runs = due(every(5, 5), &seen(at(0)), at(5 * 1000 + 3));
        assert_eq!(runs.len(), MAX_CATCH_UP);
        assert_eq!(runs[0].tile.from, at(0));
        assert_eq!(runs.last().unwrap().tile.until, at(5000));
        assert!(runs.windows(2).all(|pair| pair[0].tile.until == pair[1].tile.from));
    }

    #[test]
    fn nothing_is_due_while_the_clock_is_behind() {
        assert_eq!(due(Kind::NearRealTime, &seen(at(10)), at(9)), []);
        assert_eq!(due(every(5, 5), &seen(at(10)), at(2)), []);
    }

    #[test]
    fn back_off_doubles_and_has_an_end() {
        assert_eq!(back_off(1, 0.5), Span::seconds(10));
        assert_eq!(back_off(2, 0.5), Span::seconds(20));
        assert_eq!(back_off(40, 0.5), Span::HOUR);
        assert!(back_off(3, 0.0) < back_off(3, 1.0));
    }
}
