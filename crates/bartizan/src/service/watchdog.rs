//! Detects blocked runtime threads, which block all other tasks on them.
//!
//! A dedicated thread reads the runtime's metrics. A worker that is awake and whose busy time does not grow is inside one poll: tokio
//! updates the busy time at least every 61 polls, and when the worker parks.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use model::{ConditionSeverity, HealthRegister};
use tokio::runtime::{Handle, RuntimeMetrics};

/// A worker that is inside one poll for longer is reported.
pub const LIMIT: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(200);
/// How long the condition stays after the last stall, so that it is visible to people and scrapers.
const SHOWN: Duration = Duration::from_secs(60);
/// If all workers are blocked this long, only a restart helps.
const HOPELESS: Duration = Duration::from_secs(60);
const CONDITION: &str = "runtime.blocked";

/// Watches until dropped.
pub struct Watchdog {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Watches the calling runtime.
    pub fn start(health: HealthRegister) -> std::io::Result<Self> {
        let metrics = Handle::current().metrics();
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || watch(&metrics, &health, &stopped))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Last observed metrics of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    parks: u64,
    busy: Duration,
}

/// State of one worker.
#[derive(Debug)]
struct Worker {
    seen: Seen,
    since: Instant,
    reported: bool,
}

impl Worker {
    fn new(seen: Seen, now: Instant) -> Self {
        Self { seen, since: now, reported: false }
    }

    /// How long the worker has been inside one poll; `None` while it is parked or makes progress. An even number of parks means that the
    /// worker is awake.
    fn look(&mut self, seen: Seen, now: Instant) -> Option<Duration> {
        if seen != self.seen || seen.parks % 2 == 1 {
            *self = Worker::new(seen, now);
            return None;
        }
        Some(now.duration_since(self.since))
    }
}

fn watch(metrics: &RuntimeMetrics, health: &HealthRegister, stopped: &mpsc::Receiver<()>) {
    let seen = |worker: usize| Seen { parks: metrics.worker_park_unpark_count(worker), busy: metrics.worker_total_busy_duration(worker) };
    let began = Instant::now();
    let mut workers: Vec<Worker> = (0..metrics.num_workers()).map(|worker| Worker::new(seen(worker), began)).collect();
    let mut last: Option<Instant> = None;
    loop {
        match stopped.recv_timeout(LOOK) {
            Err(RecvTimeoutError::Timeout) => {}
            _ => return,
        }
        let now = Instant::now();
        let blocked: Vec<Duration> = workers.iter_mut().enumerate().filter_map(|(index, worker)| worker.look(seen(index), now)).collect();
        let longest = blocked.iter().max().copied().unwrap_or_default();
        metrics::gauge!("bartizan_runtime_blocked_seconds").set(if longest > LIMIT { longest.as_secs_f64() } else { 0.0 });
        for worker in workers.iter_mut().filter(|worker| !worker.reported) {
            let long = now.duration_since(worker.since) > LIMIT && worker.seen.parks % 2 == 0;
            if long {
                worker.reported = true;
                metrics::counter!("bartizan_runtime_blocked_total").increment(1);
                tracing::error!(
                    limit_ms = LIMIT.as_millis() as u64,
                    "a thread of the runtime is blocked: something works there that must not"
                );
            }
        }
        if longest > LIMIT {
            last = Some(now);
            let hopeless = blocked.len() == workers.len() && blocked.iter().all(|time| *time > HOPELESS);
            let severity = if hopeless { ConditionSeverity::Broken } else { ConditionSeverity::Degraded };
            let summary = format!("a thread of the runtime is blocked for {:.1} s; answers may be late", longest.as_secs_f64());
            health.set(CONDITION, severity, summary);
        } else if last.is_some_and(|last| now.duration_since(last) > SHOWN) {
            last = None;
            health.remove(CONDITION);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_worker_that_is_awake_and_makes_no_progress_is_blocked() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let seen = |parks, busy| Seen { parks, busy: Duration::from_secs(busy) };
        let mut worker = Worker::new(seen(2, 5), start);
        assert_eq!(worker.look(seen(2, 5), start + second), Some(second));
        assert_eq!(worker.look(seen(2, 6), start + 2 * second), None, "its busy time grew");
        assert_eq!(worker.look(seen(3, 7), start + 3 * second), None, "it parked");
        assert_eq!(worker.look(seen(3, 7), start + 9 * second), None, "it is parked");
    }

    #[test]
    fn a_blocked_thread_is_reported() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let health = HealthRegister::default();
        let watchdog = runtime.block_on(async { Watchdog::start(health.clone()).unwrap() });
        let blocked = runtime.spawn(async { std::thread::sleep(LIMIT + Duration::from_millis(700)) });
        runtime.block_on(blocked).unwrap();
        let condition = health.condition(CONDITION).expect("the stall was seen while it lasted");
        assert_eq!(condition.severity, ConditionSeverity::Degraded);
        drop(watchdog);
    }
}
