//! Single-threaded `summarize` with groups in order of first appearance: inside subqueries of a group, and if the next operator depends on
//! the order of its rows (`summarize c = count() by x, y | summarize make_list(c) by x` lists the counts in the order in which the groups
//! appeared).

use std::collections::HashMap;

use arrow::array::ArrayRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use arrow::row::{OwnedRow, RowConverter, SortField};
use kql::Value;
use kql::aggregates::{AggregateFn, Emit, Groups, Start};
use kql::eval::{EvalError, Evaluator, Runtime};
use kql::ops::{OpState, TableOp};
use kql::plan::{AggregateCall, Expr, Field};
use model::Type;

use crate::expr::constant;
use crate::unique::{ALLOCATED, Keys, arrow_error};
use crate::values::schema_of;

#[derive(Clone, Debug)]
pub(crate) struct SummarizeOp {
    pub keys: Vec<Expr>,
    pub aggregates: Vec<AggregateCall>,
}

impl TableOp for SummarizeOp {
    fn name(&self) -> &'static str {
        "summarize"
    }

    fn exprs(&self) -> Vec<&Expr> {
        self.keys.iter().chain(self.aggregates.iter().flat_map(|call| &call.args)).collect()
    }

    fn map_exprs(&self, f: &mut dyn FnMut(&Expr) -> Expr) -> Box<dyn TableOp> {
        let keys = self.keys.iter().map(&mut *f).collect();
        let aggregates = self.aggregates.iter().map(|call| AggregateCall { args: call.args.iter().map(&mut *f).collect(), ..call.clone() });
        Box::new(Self { keys, aggregates: aggregates.collect() })
    }

    fn per_row(&self) -> bool {
        false
    }

    fn start(&self, inputs: &[Vec<Field>], outputs: &[Field], runtime: &Runtime) -> Result<Box<dyn OpState>, EvalError> {
        let fields = inputs.first().map(Vec::as_slice).unwrap_or_default();
        let grouping = Grouping::compile(&self.keys, &self.aggregates, fields, outputs, runtime)?;
        Ok(Box::new(Running { state: grouping.start()?, grouping }))
    }
}

/// Compiled keys and aggregates.
pub(crate) struct Grouping {
    keys: Vec<Expr>,
    inputs: Vec<Field>,
    runtime: Runtime,
    calls: Vec<Call>,
    fields: Vec<Field>,
}

struct Call {
    function: &'static AggregateFn,
    args: Vec<Evaluator>,
    types: Vec<Type>,
    constants: Vec<Option<Value>>,
    returns: Type,
}

impl Grouping {
    pub(crate) fn compile(
        keys: &[Expr],
        aggregates: &[AggregateCall],
        inputs: &[Field],
        fields: &[Field],
        runtime: &Runtime,
    ) -> Result<Self, EvalError> {
        let calls = aggregates.iter().map(|call| {
            Ok(Call {
                function: call.function,
                args: call.args.iter().map(|arg| Evaluator::new(arg, inputs, runtime)).collect::<Result<_, _>>()?,
                types: call.args.iter().map(|arg| arg.ty).collect(),
                constants: call.args.iter().map(|arg| constant(arg, runtime)).collect(),
                returns: call.ty,
            })
        });
        let calls = calls.collect::<Result<_, EvalError>>()?;
        Ok(Self { keys: keys.to_vec(), inputs: inputs.to_vec(), runtime: *runtime, calls, fields: fields.to_vec() })
    }

    pub(crate) fn start(&self) -> Result<Grouped, EvalError> {
        let groups = self.calls.iter().map(|call| {
            let start = Start { types: &call.types, constants: &call.constants, returns: call.returns };
            (call.function.start)(&start).map_err(|why| EvalError::Prepare { function: call.function.name, message: why.to_string() })
        });
        Ok(Grouped {
            keys: Keys::new(&self.keys, &self.inputs, &self.runtime)?,
            index: HashMap::new(),
            firsts: Vec::new(),
            groups: groups.collect::<Result<_, _>>()?,
            bytes: 0,
        })
    }

    pub(crate) fn push(&self, state: &mut Grouped, batch: &RecordBatch) -> Result<(), EvalError> {
        kql::watch::check()?;
        let members: Vec<usize> = if self.keys.is_empty() {
            vec![0; batch.num_rows()]
        } else {
            let (_, rows) = state.keys.rows(batch)?;
            rows.iter().map(|row| state.group(row.owned())).collect()
        };
        let total = if self.keys.is_empty() { 1 } else { state.firsts.len() };
        for (call, groups) in self.calls.iter().zip(&mut state.groups) {
            let args = call.args.iter().map(|arg| arg.eval(batch)).collect::<Result<Vec<_>, _>>()?;
            groups.update(&args, &members, None, total);
        }
        Ok(())
    }

    pub(crate) fn finish(&self, mut state: Grouped) -> Result<RecordBatch, EvalError> {
        let mut columns: Vec<ArrayRef> = Vec::new();
        let total = if self.keys.is_empty() { 1 } else { state.firsts.len() };
        if !self.keys.is_empty() {
            let converter = RowConverter::new(self.keys.iter().map(|key| SortField::new(key.ty.arrow())).collect()).map_err(arrow_error)?;
            let parser = converter.parser();
            columns = converter.convert_rows(state.firsts.iter().map(|row| parser.parse(row.row().data()))).map_err(arrow_error)?;
        }
        for (call, groups) in self.calls.iter().zip(&mut state.groups) {
            if self.keys.is_empty() {
                // One group even without rows.
                let none: Vec<ArrayRef> = call.types.iter().map(|ty| arrow::array::new_empty_array(&ty.arrow())).collect();
                groups.update(&none, &[], None, total);
            }
            columns.push(groups.evaluate(Emit::All));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(total));
        RecordBatch::try_new_with_options(schema_of(&self.fields), columns, &options).map_err(arrow_error)
    }
}

/// Groups so far.
pub(crate) struct Grouped {
    keys: Keys,
    index: HashMap<OwnedRow, usize>,
    /// Key of each group, in order of first appearance.
    firsts: Vec<OwnedRow>,
    groups: Vec<Box<dyn Groups>>,
    bytes: usize,
}

impl Grouped {
    fn group(&mut self, row: OwnedRow) -> usize {
        if let Some(&group) = self.index.get(&row) {
            return group;
        }
        self.bytes += 2 * (row.row().data().len() + ALLOCATED + size_of::<OwnedRow>());
        let group = self.firsts.len();
        self.firsts.push(row.clone());
        self.index.insert(row, group);
        group
    }

    fn size(&self) -> usize {
        self.bytes + self.groups.iter().map(|groups| groups.size()).sum::<usize>()
    }
}

struct Running {
    grouping: Grouping,
    state: Grouped,
}

impl OpState for Running {
    fn push(&mut self, _: usize, batch: &RecordBatch, _: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        self.grouping.push(&mut self.state, batch)
    }

    fn finish(&mut self, out: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        let state = std::mem::replace(&mut self.state, self.grouping.start()?);
        out.push(self.grouping.finish(state)?);
        Ok(())
    }

    fn size(&self) -> usize {
        self.state.size()
    }

    fn peak(&self) -> usize {
        // Results are built while the states still exist.
        2 * self.state.size()
    }
}
