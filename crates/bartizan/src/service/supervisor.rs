//! Supervises the tasks of the service: a task that panics or returns is logged, counted, reported as a health condition and restarted with
//! exponential back-off.
//!
//! Tasks load their state when started, so restarting one is the same as restarting the service.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use model::{Clock, ConditionSeverity, HealthRegister, Span, TICKS_PER_SECOND};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::faults;

/// The first and the longest pause before a restart.
const FIRST_PAUSE: Span = Span(TICKS_PER_SECOND / 4);
const LONGEST_PAUSE: Span = Span(30 * TICKS_PER_SECOND);
/// After running this long, a restarted task is healthy: its condition is cleared and its back-off reset.
const STEADY: Duration = Duration::from_secs(60);
/// After this many consecutive restarts the service is no longer ready.
const MANY_RESTARTS: u32 = 5;

/// The tasks of a service.
pub struct Supervisor {
    health: HealthRegister,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
    tasks: Vec<(String, JoinHandle<()>)>,
}

/// How a task ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// As requested.
    Stopped,
    /// Returned unexpectedly.
    Returned,
    Panicked(String),
}

impl Supervisor {
    pub fn new(health: HealthRegister, clock: Arc<dyn Clock>, stop: CancellationToken) -> Self {
        Self { health, clock, stop, tasks: Vec::new() }
    }

    /// Runs the future of `start` until the service stops. `start` is called again after each end; its future must end soon after the given
    /// token is cancelled.
    pub fn spawn<F, T>(&mut self, name: impl Into<String>, mut start: F)
    where
        F: FnMut(CancellationToken) -> T + Send + 'static,
        T: Future<Output = ()> + Send,
    {
        let name = name.into();
        let watched = Watched { name: name.clone(), health: self.health.clone(), clock: self.clock.clone(), stop: self.stop.clone() };
        let task = tokio::spawn(async move {
            let mut restarts = 0;
            loop {
                metrics::gauge!("bartizan_task_up", "task" => watched.name.clone()).set(1.0);
                let end = watched.run_once(&mut restarts, &mut start).await;
                if end == End::Stopped || !watched.pause(end, &mut restarts).await {
                    break;
                }
            }
            metrics::gauge!("bartizan_task_up", "task" => watched.name.clone()).set(0.0);
        });
        self.tasks.push((name, task));
    }

    /// Waits until all tasks have ended; the token must be cancelled before.
    pub async fn join(self) {
        for (name, task) in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(task = name, error = error.to_string(), "a task did not end cleanly");
            }
        }
    }
}

struct Watched {
    name: String,
    health: HealthRegister,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
}

impl Watched {
    fn condition(&self) -> String {
        format!("task.{}", self.name)
    }

    async fn run_once<F, T>(&self, restarts: &mut u32, start: &mut F) -> End
    where
        F: FnMut(CancellationToken) -> T,
        T: Future<Output = ()>,
    {
        // A panic while creating the future counts as a panic of the task.
        let run = AssertUnwindSafe(async {
            tokio::select! {
                () = start(self.stop.clone()) => {}
                () = faults::panic_in(&self.name) => {}
            }
        })
        .catch_unwind();
        let mut run = std::pin::pin!(run);
        let mut steady = std::pin::pin!(tokio::time::sleep(STEADY));
        let mut is_steady = *restarts == 0;
        let ended = loop {
            tokio::select! {
                ended = &mut run => break ended,
                () = &mut steady, if !is_steady => {
                    is_steady = true;
                    *restarts = 0;
                    self.health.remove(&self.condition());
                    tracing::info!(task = self.name, "the task runs again");
                }
            }
        };
        match ended {
            Ok(()) if self.stop.is_cancelled() => End::Stopped,
            Ok(()) => End::Returned,
            Err(panic) => End::Panicked(message(panic.as_ref())),
        }
    }

    /// Reports the end and waits before the next start; returns false if the service stops meanwhile.
    async fn pause(&self, end: End, restarts: &mut u32) -> bool {
        *restarts += 1;
        let (how, reason, detail) = match end {
            End::Stopped => return false,
            End::Returned => ("ended by itself", "ended", String::new()),
            End::Panicked(message) => ("panicked", "panic", message),
        };
        let pause = back_off(*restarts, f64::from(Uuid::new_v4().as_bytes()[0]) / 255.0);
        metrics::counter!("bartizan_task_restarts_total", "task" => self.name.clone(), "reason" => reason).increment(1);
        metrics::gauge!("bartizan_task_up", "task" => self.name.clone()).set(0.0);
        tracing::error!(task = self.name, restarts = *restarts, pause = %pause, error = detail, "a task {how}; it is started again");
        let severity = if *restarts >= MANY_RESTARTS { ConditionSeverity::Failing } else { ConditionSeverity::Degraded };
        let summary = format!("the task `{}` {how} and is started again ({restarts} times in a row)", self.name);
        self.health.set_detail(&self.condition(), severity, summary, detail);
        tokio::select! {
            () = self.stop.cancelled() => false,
            () = self.clock.sleep(pause) => true,
        }
    }
}

/// The pause before restart number `restarts`, spread by `jitter` (0 to 1) so that tasks that failed together do not restart together.
fn back_off(restarts: u32, jitter: f64) -> Span {
    let doubled = FIRST_PAUSE.ticks() << restarts.saturating_sub(1).min(10);
    Span((doubled.min(LONGEST_PAUSE.ticks()) as f64 * (0.75 + 0.5 * jitter.clamp(0.0, 1.0))) as i64)
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without a message".to_owned())
}

/// Logs panics with their location instead of printing them to standard error, and counts them. Call once per process.
pub fn log_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            metrics::counter!("bartizan_panics_total").increment(1);
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            let thread = std::thread::current();
            let text = message(info.payload());
            tracing::error!(thread = thread.name().unwrap_or("unnamed"), place, error = text, "a panic");
        }));
    });
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use engine::SystemClock;

    use super::*;

    #[test]
    fn pauses_double_and_have_an_end() {
        assert_eq!(back_off(1, 0.5), FIRST_PAUSE);
        assert_eq!(back_off(3, 0.5), Span::SECOND);
        assert_eq!(back_off(60, 0.5), LONGEST_PAUSE);
        assert!(back_off(4, 0.0) < back_off(4, 1.0));
    }

    #[tokio::test]
    async fn a_task_that_panics_or_returns_is_started_again_and_named() {
        let health = HealthRegister::default();
        let stop = CancellationToken::new();
        let mut supervisor = Supervisor::new(health.clone(), Arc::new(SystemClock::default()), stop.clone());
        let starts = Arc::new(AtomicU32::new(0));
        let counted = starts.clone();
        supervisor.spawn("flaky", move |stop| {
            let start = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                match start {
                    0 => panic!("out of luck"),
                    1 => {}
                    _ => stop.cancelled().await,
                }
            }
        });
        supervisor.spawn("well", |stop| async move { stop.cancelled().await });
        let patience = tokio::time::timeout(Duration::from_secs(30), async {
            while starts.load(Ordering::SeqCst) < 3 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        patience.await.expect("the task is started a third time");
        let condition = health.condition("task.flaky").expect("the condition stays for a while after the restart");
        assert_eq!(condition.severity, ConditionSeverity::Degraded);
        assert!(condition.summary.contains("`flaky` ended by itself"), "{}", condition.summary);
        assert_eq!(health.condition("task.well"), None);
        stop.cancel();
        supervisor.join().await;
    }
}
