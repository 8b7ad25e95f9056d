//! Adapts every [`AggregateFn`] to DataFusion's `AggregateUDF`.
//!
//! Grouped aggregation uses [`Groups`] directly; an aggregation without keys is a single group.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};

use datafusion::arrow::array::{ArrayRef, BooleanArray, new_empty_array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility};
use kql::Value;
use kql::aggregates::{AggregateFn, Emit, Groups, Start};
use kql::watch::{Entered, Watch};
use model::Type;

use crate::node::run_error;

/// A call of one aggregate with resolved types.
#[derive(Clone)]
pub(crate) struct Call {
    name: String,
    function: &'static AggregateFn,
    types: Vec<Type>,
    constants: Vec<Option<Value>>,
    returns: Type,
    signature: Signature,
    /// The result depends on the order of the input rows, and that order is guaranteed.
    reads_order: bool,
    watch: Option<Watch>,
}

impl Call {
    /// DataFusion cannot call an aggregate without arguments, so such a call gets a constant argument, which is removed before our
    /// accumulator sees it.
    pub(crate) fn udf(
        function: &'static AggregateFn,
        types: Vec<Type>,
        constants: Vec<Option<Value>>,
        returns: Type,
        reads_order: bool,
    ) -> AggregateUDF {
        let names: Vec<&str> = types.iter().map(|ty| ty.name()).collect();
        let name = format!("kql:{}({}):{returns}", function.name, names.join(","));
        let signature = Signature::any(types.len().max(1), Volatility::Immutable);
        AggregateUDF::new_from_impl(Self { name, function, types, constants, returns, signature, reads_order, watch: Watch::current() })
    }

    /// True if an aggregate of a plan depends on a guaranteed input order.
    pub(crate) fn reads_order(function: &AggregateUDF) -> bool {
        function.inner().downcast_ref::<Self>().is_some_and(|call| call.reads_order)
    }

    fn begin(&self) -> Start<'_> {
        Start { types: &self.types, constants: &self.constants, returns: self.returns }
    }

    fn start(&self) -> Result<Adapter> {
        let groups =
            (self.function.start)(&self.begin()).map_err(|why| DataFusionError::Execution(format!("`{}`: {why}", self.function.name)))?;
        Ok(Adapter { groups, call: self.clone(), total: 0 })
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.constants == other.constants
    }
}

impl Eq for Call {}

impl Hash for Call {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl AggregateUDFImpl for Call {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.returns.arrow())
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        // If the order matters, the plan below preserves it.
        AggregateOrderSensitivity::Insensitive
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let types = (self.function.state)(&self.begin());
        let fields = types.into_iter().enumerate();
        Ok(fields.map(|(i, ty)| Arc::new(Field::new(format_state_name(args.name, &i.to_string()), ty, true))).collect())
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OneGroup(Mutex::new(self.start()?))))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(self.start()?))
    }
}

struct Adapter {
    groups: Box<dyn Groups>,
    call: Call,
    /// Number of groups seen and not yet emitted.
    total: usize,
}

impl Adapter {
    /// Enters the query's cancellation scope, unless the query was cancelled.
    fn enter(&self) -> Result<Option<Entered>> {
        let Some(watch) = &self.call.watch else { return Ok(None) };
        watch.check().map_err(run_error)?;
        Ok(Some(watch.enter()))
    }

    fn emitted(&mut self, which: Emit) -> usize {
        let count = match which {
            Emit::All => self.total,
            Emit::First(n) => n.min(self.total),
        };
        self.total -= count;
        count
    }
}

fn emit(to: EmitTo) -> Emit {
    match to {
        EmitTo::All => Emit::All,
        EmitTo::First(n) => Emit::First(n),
    }
}

impl GroupsAccumulator for Adapter {
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        let _entered = self.enter()?;
        self.total = total;
        self.groups.update(&values[..self.call.types.len()], groups, filter, total);
        Ok(())
    }

    fn evaluate(&mut self, to: EmitTo) -> Result<ArrayRef> {
        let _entered = self.enter()?;
        let which = emit(to);
        let expected = self.emitted(which);
        let answer = self.groups.evaluate(which);
        if answer.len() != expected || answer.data_type() != &self.call.returns.arrow() {
            return exec_err!("`{}` gave {} values of {} for {expected} groups", self.call.name, answer.len(), answer.data_type());
        }
        Ok(answer)
    }

    fn state(&mut self, to: EmitTo) -> Result<Vec<ArrayRef>> {
        let _entered = self.enter()?;
        let which = emit(to);
        self.emitted(which);
        Ok(self.groups.state(which))
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        let _entered = self.enter()?;
        self.total = total;
        self.groups.merge(values, groups, total);
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |array| array.len());
        let mut single = self.call.start()?;
        single.update_batch(values, &(0..rows).collect::<Vec<_>>(), filter, rows)?;
        single.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.groups.size()
    }
}

/// The single group of an aggregation without keys. The lock is never contended: DataFusion requires `Sync` but uses `&mut`.
struct OneGroup(Mutex<Adapter>);

impl OneGroup {
    fn get(&mut self) -> &mut Adapter {
        self.0.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl fmt::Debug for OneGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneGroup")
    }
}

impl Accumulator for OneGroup {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let rows = values.first().map_or(0, |array| array.len());
        self.get().update_batch(values, &vec![0; rows], None, 1)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.touch()?;
        let answer = self.get().evaluate(EmitTo::All)?;
        ScalarValue::try_from_array(&answer, 0)
    }

    fn size(&self) -> usize {
        self.0.lock().map_or(0, |adapter| adapter.size()) + size_of::<Self>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.touch()?;
        self.get().state(EmitTo::All)?.iter().map(|array| ScalarValue::try_from_array(array, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let rows = states.first().map_or(0, |array| array.len());
        self.get().merge_batch(states, &vec![0; rows], 1)
    }
}

impl OneGroup {
    /// Without keys there is one group even if the input is empty.
    fn touch(&mut self) -> Result<()> {
        let adapter = self.get();
        if adapter.total > 0 {
            return Ok(());
        }
        let none: Vec<ArrayRef> = adapter.call.types.iter().map(|ty| new_empty_array(&ty.arrow())).collect();
        adapter.update_batch(&none, &[], None, 1)
    }
}
