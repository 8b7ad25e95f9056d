//! Supervises the threads of a workspace: a panic is counted, reported as the health condition `task.<thread>`, and the loop goes on after
//! a back-off, as the tasks of the service do.
//!
//! The channels of the threads live as long as the workspace. A thread that ended would close its channel, and every later append would be
//! refused until a restart.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use model::{ConditionSeverity, HealthRegister};

/// The first and the longest pause after a panic.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// After this long without a panic the condition is cleared and the back-off reset.
const STEADY: Duration = Duration::from_secs(60);
/// After this many panics in a row the service is no longer ready.
const MANY_PANICS: u32 = 5;

/// One supervised thread.
pub struct Supervised {
    name: &'static str,
    health: HealthRegister,
    panics: u32,
    last: Option<Instant>,
}

impl Supervised {
    pub fn new(name: &'static str, health: HealthRegister) -> Self {
        metrics::gauge!("bartizan_task_up", "task" => name).set(1.0);
        Self { name, health, panics: 0, last: None }
    }

    /// The result of `body`. If it panics, reports that and returns the pause before the next call.
    pub fn run<T>(&mut self, body: impl FnOnce() -> T) -> Result<T, Duration> {
        self.clear_if_steady();
        catch_unwind(AssertUnwindSafe(body)).map_err(|panic| self.panicked(&message(panic.as_ref())))
    }

    /// Time until the condition can be cleared; `None` if there is none.
    pub fn until_steady(&self) -> Option<Duration> {
        self.last.map(|last| STEADY.saturating_sub(last.elapsed()))
    }

    /// Clears the condition if the last panic is long ago.
    pub fn clear_if_steady(&mut self) {
        if self.last.is_some_and(|last| last.elapsed() >= STEADY) {
            (self.panics, self.last) = (0, None);
            self.health.remove(&self.condition());
            tracing::info!(task = self.name, "the task runs again");
        }
    }

    /// Reports that the thread cannot go on, so that `/healthz` asks for a restart.
    pub fn report_broken(&self, why: &str) {
        metrics::gauge!("bartizan_task_up", "task" => self.name).set(0.0);
        tracing::error!(task = self.name, why, "a task cannot go on; the service must be restarted");
        let summary = format!("the task `{}` panicked and cannot go on: {why}; a restart repairs it", self.name);
        self.health.set(&self.condition(), ConditionSeverity::Broken, summary);
    }

    fn panicked(&mut self, message: &str) -> Duration {
        self.panics += 1;
        self.last = Some(Instant::now());
        let pause = back_off(self.panics);
        metrics::counter!("bartizan_task_restarts_total", "task" => self.name, "reason" => "panic").increment(1);
        tracing::error!(task = self.name, restarts = self.panics, ?pause, error = message, "a task panicked; it is started again");
        let severity = if self.panics >= MANY_PANICS { ConditionSeverity::Failing } else { ConditionSeverity::Degraded };
        let summary = format!("the task `{}` panicked and is started again ({} times in a row)", self.name, self.panics);
        self.health.set_detail(&self.condition(), severity, summary, message);
        pause
    }

    fn condition(&self) -> String {
        format!("task.{}", self.name)
    }
}

fn back_off(panics: u32) -> Duration {
    (FIRST_PAUSE * (1 << panics.saturating_sub(1).min(10))).min(LONGEST_PAUSE)
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_are_reported_and_pauses_double_up_to_a_limit() {
        let health = HealthRegister::default();
        let mut supervised = Supervised::new("files", health.clone());
        assert_eq!(supervised.run(|| 7), Ok(7));
        assert_eq!(health.condition("task.files"), None);
        let pauses: Vec<_> = (0..MANY_PANICS).map(|_| supervised.run(|| panic!("out of luck")).unwrap_err()).collect();
        assert_eq!((pauses[0], pauses[1]), (FIRST_PAUSE, FIRST_PAUSE * 2));
        let condition = health.condition("task.files").unwrap();
        assert_eq!((condition.severity, condition.detail.as_str()), (ConditionSeverity::Failing, "out of luck"));
        assert_eq!(back_off(60), LONGEST_PAUSE);
        supervised.report_broken("rows are visible in part");
        assert_eq!(health.worst(), Some(ConditionSeverity::Broken));
    }
}
