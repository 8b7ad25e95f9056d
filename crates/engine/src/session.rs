//! The DataFusion session, reduced to the needs of our plans: no catalog, no SQL, no analyzer (types are already resolved), and only useful
//! optimizer rules. Planning a small query must take a few milliseconds at most.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::common::Result;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SendableRecordBatchStream, SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::common_subexpr_eliminate::CommonSubexprEliminate;
use datafusion::optimizer::eliminate_filter::EliminateFilter;
use datafusion::optimizer::eliminate_limit::EliminateLimit;
use datafusion::optimizer::eliminate_outer_join::EliminateOuterJoin;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::propagate_empty_relation::PropagateEmptyRelation;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::push_down_limit::PushDownLimit;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::combine_partial_final_agg::CombinePartialFinalAggregate;
use datafusion::physical_optimizer::ensure_coop::EnsureCooperative;
use datafusion::physical_optimizer::ensure_requirements::EnsureRequirements;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_optimizer::join_selection::JoinSelection;
use datafusion::physical_optimizer::limit_pushdown::LimitPushdown;
use datafusion::physical_optimizer::projection_pushdown::ProjectionPushdown;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion::prelude::SessionConfig;
use kql::watch::Watch;

use crate::bounded::BoundProjections;
use crate::direct::Footers;
use crate::memory::{QueryPool, SharedMemory};
use crate::node::OpPlanner;
use crate::order::KeepOrderPlanner;
use crate::planning::{Stoppable, StoppableStep, watched};
use crate::stored_literals::TablesAs;

/// Execution options. Query results must not depend on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// If false, only the required optimizer rules run.
    pub optimize: bool,
    /// Rows per batch.
    pub batch_size: usize,
    /// Threads per query.
    pub partitions: usize,
    /// How literal rows and inline tables are stored; anything but the default is for tests.
    pub tables: TablesAs,
    /// For tests: plans whose rows are all in memory are run by the interpreter instead of DataFusion.
    pub interpret: bool,
}

impl Default for Options {
    fn default() -> Self {
        let partitions = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(8);
        Self { optimize: true, batch_size: 8192, partitions, tables: TablesAs::Inline, interpret: false }
    }
}

/// Memory that a sort reserves for merging spilled runs; less if the query's limit is small.
const MERGE_MEMORY: usize = 10 << 20;

/// State shared by all queries.
pub(crate) struct Sessions {
    /// Cache of file footers.
    pub footers: Footers,
    pub options: Options,
    /// Spill folder.
    pub folder: PathBuf,
    state: SessionState,
    runtime: Arc<RuntimeEnv>,
    optimizer: Option<Optimizer>,
    planner: DefaultPhysicalPlanner,
    /// Memory limit of all queries together.
    memory: Arc<SharedMemory>,
    /// Number of queries that still hold memory.
    alive: Arc<AtomicUsize>,
}

/// The spill folder. Leftovers of earlier processes are removed on start, the folder itself at the end.
pub(crate) struct Temporary(PathBuf);

impl Temporary {
    /// Uses `folder`, or a new one in the system's temporary directory.
    pub(crate) fn begin(folder: Option<&Path>) -> std::io::Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let own = || {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            std::env::temp_dir().join(format!("bartizan-{}-{count}", std::process::id()))
        };
        let folder = folder.map_or_else(own, Path::to_owned);
        match std::fs::remove_dir_all(&folder) {
            Err(why) if why.kind() != std::io::ErrorKind::NotFound => return Err(why),
            _ => {}
        }
        std::fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // On failure it is removed on the next start.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Rows per batch if memory is short.
const FRUGAL_ROWS: usize = 2048;

impl Sessions {
    /// `disk` bytes may be spilled to `folder`; `memory` is the limit of all queries together.
    pub(crate) fn new(options: Options, folder: &Path, disk: u64, memory: usize) -> Result<Self> {
        let mut config = SessionConfig::new()
            .with_batch_size(options.batch_size.max(1))
            .with_target_partitions(options.partitions.max(1))
            .with_create_default_catalog_and_schema(false)
            .with_information_schema(false)
            // Preserve row order: partitions are created by scans, joins and groups only.
            .with_round_robin_repartition(false);
        let settings = config.options_mut();
        settings.optimizer.max_passes = 2;
        settings.optimizer.skip_failed_rules = false;
        settings.execution.parquet.pushdown_filters = false;
        settings.execution.collect_statistics = false;
        let mode = DiskManagerMode::Directories(vec![folder.to_owned()]);
        let disk = DiskManagerBuilder::default().with_mode(mode).with_max_temp_directory_size(disk);
        let runtime = RuntimeEnvBuilder::new().with_disk_manager_builder(disk).build_arc()?;
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime.clone())
            .with_analyzer_rules(vec![])
            .with_optimizer_rules(vec![])
            .with_physical_optimizer_rules(physical_rules(options.optimize))
            .build();
        let optimizer = options.optimize.then(|| Optimizer::with_rules(logical_rules()));
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(OpPlanner), Arc::new(KeepOrderPlanner)]);
        let memory = Arc::new(SharedMemory::new(memory));
        let (footers, folder) = (Footers::default(), folder.to_owned());
        Ok(Self { footers, options, folder, state, runtime, optimizer, planner, memory, alive: Arc::default() })
    }

    fn partitions(&self) -> usize {
        self.options.partitions.max(1)
    }

    /// The session of one query with a limit of `memory` bytes, and its cancellation handle.
    pub(crate) fn session(&self, memory: usize) -> Result<(SessionState, Watch)> {
        let pool = Arc::new(QueryPool::new(memory, &self.memory, &self.alive));
        let watch = Watch::with_budget(memory, pool.clone());
        let runtime = RuntimeEnvBuilder::from_runtime_env(&self.runtime).with_memory_pool(pool).build_arc()?;
        let mut config = self.state.config().clone();
        config.options_mut().execution.sort_spill_reservation_bytes = MERGE_MEMORY.min(memory / (8 * self.partitions()));
        let stoppable = |rule: &Arc<_>| Arc::new(StoppableStep { rule: Arc::clone(rule), watch: watch.clone() }) as Arc<_>;
        let rules = self.state.physical_optimizers().iter().map(stoppable).collect();
        let session = SessionStateBuilder::new_from_existing(self.state.clone())
            .with_config(config)
            .with_runtime_env(runtime)
            .with_physical_optimizer_rules(rules)
            .build();
        Ok((session, watch))
    }

    /// The session for retrying a query that ran out of memory: joins are sort-merge joins, whose sorts can spill.
    pub(crate) fn merging(&self, session: &SessionState) -> SessionState {
        let mut config = session.config().clone();
        config.options_mut().optimizer.prefer_hash_join = false;
        // DataFusion uses sort-merge joins only with more than one partition.
        config.options_mut().execution.target_partitions = self.partitions().max(2);
        // A merge holds one or two batches of each run: with smaller batches more runs fit, and a single large batch has less effect.
        let config = config.with_batch_size(session.config().batch_size().min(FRUGAL_ROWS));
        SessionStateBuilder::new_from_existing(session.clone()).with_config(config).build()
    }

    /// The memory pool of a query's session.
    pub(crate) fn pool(session: &SessionState) -> Option<&QueryPool> {
        session.runtime_env().memory_pool.downcast_ref::<QueryPool>()
    }

    /// Number of queries that hold memory.
    pub(crate) fn alive(&self) -> usize {
        self.alive.load(Ordering::SeqCst)
    }

    /// Memory held by running queries, in bytes.
    pub(crate) fn in_memory(&self) -> usize {
        self.memory.used()
    }

    /// Bytes that running queries have spilled.
    pub(crate) fn on_disk(&self) -> u64 {
        self.runtime.disk_manager.used_disk_space()
    }

    pub(crate) async fn plan(&self, session: &SessionState, watch: &Watch, plan: LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = match &self.optimizer {
            Some(optimizer) => {
                let _entered = watch.enter();
                optimizer.optimize(plan, session, |_, _| {})?
            }
            None => plan,
        };
        let physical = watched(watch, self.planner.create_physical_plan(&plan, session)).await?;
        tracing::trace!(plan = %datafusion::physical_plan::displayable(physical.as_ref()).indent(false), "planned");
        Ok(physical)
    }

    pub(crate) fn start(session: &SessionState, plan: Arc<dyn ExecutionPlan>) -> Result<SendableRecordBatchStream> {
        execute_stream(plan, session.task_ctx())
    }
}

fn logical_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = vec![
        Arc::new(SimplifyExpressions::new()),
        Arc::new(EliminateFilter::new()),
        Arc::new(EliminateLimit::new()),
        Arc::new(PropagateEmptyRelation::new()),
        Arc::new(EliminateOuterJoin::new()),
        Arc::new(PushDownLimit::new()),
        Arc::new(PushDownFilter::new()),
        Arc::new(CommonSubexprEliminate::new()),
        Arc::new(OptimizeProjections::new()),
    ];
    rules.into_iter().map(|rule| Arc::new(Stoppable(rule)) as Arc<_>).collect()
}

fn physical_rules(optimize: bool) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    if !optimize {
        return vec![
            Arc::new(JoinSelection::new()),
            Arc::new(EnsureRequirements::new()),
            Arc::new(EnsureCooperative::new()),
            Arc::new(BoundProjections),
        ];
    }
    vec![
        Arc::new(JoinSelection::new()),
        Arc::new(FilterPushdown::new()),
        Arc::new(EnsureRequirements::new()),
        Arc::new(CombinePartialFinalAggregate::new()),
        Arc::new(LimitPushdown::new()),
        Arc::new(ProjectionPushdown::new()),
        Arc::new(EnsureCooperative::new()),
        Arc::new(FilterPushdown::new_post_optimization()),
        Arc::new(BoundProjections),
    ]
}
