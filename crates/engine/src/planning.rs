//! Limits planning time, and wraps DataFusion rules so that they stop when the query is cancelled.
//!
//! Parsing, binding and lowering check the query's [`Watch`] themselves. DataFusion's rules do not, but logical rules are called per plan
//! node and physical rules are few, and between those checks they ask our functions for types and names, which check it too.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use datafusion::physical_optimizer::{PhysicalOptimizerContext, PhysicalOptimizerRule};
use datafusion::physical_plan::ExecutionPlan;
use kql::eval::EvalError;
use kql::watch::{self, Watch};

use crate::node::run_error;

/// Planning time of a query so far. Execution during binding, such as of the input of `bag_unpack`, does not count.
#[derive(Debug, Default)]
pub(crate) struct PlanningTime(Mutex<Spent>);

#[derive(Debug, Default)]
struct Spent {
    /// Start of the current interval.
    since: Option<Instant>,
    before: Duration,
}

impl PlanningTime {
    fn spent(&self) -> MutexGuard<'_, Spent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Total of all intervals so far.
    pub(crate) fn total(&self) -> Duration {
        let spent = self.spent();
        spent.before + spent.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Counts until the guard is dropped.
    pub(crate) fn count(&self) -> Stretch<'_> {
        let before = self.set(true);
        Stretch { time: self, before }
    }

    /// Pauses counting until the guard is dropped.
    pub(crate) fn pause(&self) -> Stretch<'_> {
        let before = self.set(false);
        Stretch { time: self, before }
    }

    /// Starts or stops counting; returns the previous state.
    fn set(&self, counts: bool) -> bool {
        let mut spent = self.spent();
        let before = spent.since.take();
        if let Some(since) = before {
            spent.before += since.elapsed();
        }
        spent.since = counts.then(Instant::now);
        before.is_some()
    }
}

/// Restores the previous state on drop.
pub(crate) struct Stretch<'a> {
    time: &'a PlanningTime,
    before: bool,
}

impl Drop for Stretch<'_> {
    fn drop(&mut self) {
        self.time.set(self.before);
    }
}

/// Runs a future with `watch` as the watch of the thread that polls it.
pub(crate) async fn watched<T>(watch: &Watch, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let _entered = watch.enter();
        future.as_mut().poll(cx)
    })
    .await
}

fn stopped() -> datafusion::common::DataFusionError {
    run_error(EvalError::Stopped)
}

/// A logical optimizer rule that stops if the current query is cancelled.
#[derive(Debug)]
pub(crate) struct Stoppable(pub Arc<dyn OptimizerRule + Send + Sync>);

impl OptimizerRule for Stoppable {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if watch::stopped() { Err(stopped()) } else { self.0.rewrite(plan, config) }
    }
}

/// A physical optimizer rule that stops if its query is cancelled.
#[derive(Debug)]
pub(crate) struct StoppableStep {
    pub rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>,
    pub watch: Watch,
}

impl PhysicalOptimizerRule for StoppableStep {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if self.watch.is_stopped() { Err(stopped()) } else { self.rule.optimize(plan, config) }
    }

    fn optimize_with_context(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        context: &dyn PhysicalOptimizerContext,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if self.watch.is_stopped() { Err(stopped()) } else { self.rule.optimize_with_context(plan, context) }
    }

    fn name(&self) -> &str {
        self.rule.name()
    }

    fn schema_check(&self) -> bool {
        self.rule.schema_check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_planning_time_is_counted() {
        let time = PlanningTime::default();
        let wait = || std::thread::sleep(Duration::from_millis(5));
        wait();
        assert_eq!(time.total(), Duration::ZERO);
        let counted = time.count();
        wait();
        let before = {
            let _paused = time.pause();
            let before = time.total();
            wait();
            assert_eq!(time.total(), before);
            before
        };
        wait();
        drop(counted);
        let after = time.total();
        assert!(before >= Duration::from_millis(5) && after >= before + Duration::from_millis(5));
        wait();
        assert_eq!(time.total(), after);
    }
}
