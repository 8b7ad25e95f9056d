//! Preserves an order that KQL guarantees.
//!
//! DataFusion removes a sort that no operator above requires; KQL's `sort` determines the order for all following operators (`take`,
//! windows, `make_list`, the result). A sort that matters therefore gets a node above it whose only purpose is to require its order.
//!
//! A node without an order cuts a long chain of projections: DataFusion recomputes statistics from the bottom for every node, and this node
//! has none. A node with fenced columns keeps filters above large expressions (see `lower/inlined.rs`).

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchemaRef, Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, SortExpr, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
use datafusion::physical_expr::{LexOrdering, OrderingRequirements, PhysicalExpr, create_physical_sort_exprs};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, PlanProperties};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

/// Logical plan node that requires an order of its input.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd)]
pub(crate) struct KeepOrder {
    input: LogicalPlan,
    order: Vec<SortExpr>,
    /// Columns whose filters must stay above.
    fenced: BTreeSet<String>,
}

impl KeepOrder {
    pub(crate) fn plan(input: LogicalPlan, order: Vec<SortExpr>) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(Self { input, order, fenced: BTreeSet::new() }) })
    }

    /// Requires no order; filters that read one of `fenced` are not pushed below it.
    pub(crate) fn fence(input: LogicalPlan, fenced: BTreeSet<String>) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(Self { input, order: Vec::new(), fenced }) })
    }
}

impl fmt::Debug for KeepOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeepOrder")
    }
}

impl UserDefinedLogicalNodeCore for KeepOrder {
    fn name(&self) -> &str {
        "KeepOrder"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        self.order.iter().map(|key| key.expr.clone()).collect()
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        // A sort with a limit blocks predicates itself.
        self.fenced.iter().cloned().collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "KeepOrder: {:?}", self.order)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Some(input) = inputs.pop() else { return internal_err!("`KeepOrder` has one input") };
        let order = exprs.into_iter().zip(&self.order).map(|(expr, key)| SortExpr { expr, ..key.clone() }).collect();
        Ok(Self { input, order, fenced: self.fenced.clone() })
    }

    fn necessary_children_exprs(&self, wanted: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![wanted.to_vec()])
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }
}

/// Plans [`KeepOrder`] as [`KeepOrderExec`].
pub(crate) struct KeepOrderPlanner;

#[async_trait]
impl ExtensionPlanner for KeepOrderPlanner {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let (Some(node), [input]) = (node.as_any().downcast_ref::<KeepOrder>(), inputs) else { return Ok(None) };
        let order = create_physical_sort_exprs(&node.order, node.input.schema(), session.execution_props(), context)?;
        Ok(Some(Arc::new(KeepOrderExec { input: input.clone(), order: LexOrdering::new(order) })))
    }
}

/// Physical plan node that requires an order of its input and passes its rows through.
#[derive(Debug)]
struct KeepOrderExec {
    input: Arc<dyn ExecutionPlan>,
    order: Option<LexOrdering>,
}

impl DisplayAs for KeepOrderExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.order {
            Some(order) => write!(f, "KeepOrderExec: {order}"),
            None => write!(f, "KeepOrderExec"),
        }
    }
}

impl ExecutionPlan for KeepOrderExec {
    fn name(&self) -> &str {
        "KeepOrderExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![if self.order.is_some() { Distribution::SinglePartition } else { Distribution::UnspecifiedDistribution }]
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![self.order.clone().map(OrderingRequirements::from)]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(&self, f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        for key in self.order.iter().flat_map(|order| order.iter()) {
            if f(&key.expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(input) = children.pop() else { return internal_err!("`KeepOrderExec` has one input") };
        Ok(Arc::new(Self { input, order: self.order.clone() }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }
}
