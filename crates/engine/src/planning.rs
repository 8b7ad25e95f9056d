//! The time that a query takes before it runs, and its end: rules of DataFusion that notice when the query is stopped.
//!
//! Parsing, binding and lowering ask the query's [`Watch`] themselves. DataFusion's rules know nothing of it, but they are handed a plan node
//! by node (the logical ones) or are few (the physical ones), so each is asked before it begins.

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

/// How long a query has been planned so far. What it runs meanwhile, such as the rows whose columns `bag_unpack` needs, does not count.
#[derive(Debug, Default)]
pub(crate) struct PlanningTime(Mutex<Spent>);

#[derive(Debug, Default)]
struct Spent {
    /// When the stretch at hand began.
    since: Option<Instant>,
    before: Duration,
}

impl PlanningTime {
    fn spent(&self) -> MutexGuard<'_, Spent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All stretches so far.
    pub(crate) fn total(&self) -> Duration {
        let spent = self.spent();
        spent.before + spent.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Counts until the guard is dropped.
    pub(crate) fn count(&self) -> Stretch<'_> {
        let before = self.set(true);
        Stretch { time: self, before }
    }

    /// Does not count until the guard is dropped.
    pub(crate) fn pause(&self) -> Stretch<'_> {
        let before = self.set(false);
        Stretch { time: self, before }
    }

    /// Counts from now on, or does not; whether it did before.
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

/// Goes on as it was before when dropped.
pub(crate) struct Stretch<'a> {
    time: &'a PlanningTime,
    before: bool,
}

impl Drop for Stretch<'_> {
    fn drop(&mut self) {
        self.time.set(self.before);
    }
}

fn stopped() -> datafusion::common::DataFusionError {
    run_error(EvalError::Stopped)
}

/// A logical rule that ends with the query whose watch the thread has entered.
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

/// A physical rule that ends with its query.
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
    fn only_planning_counts() {
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
