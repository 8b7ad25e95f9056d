//! Column representations during a scan, and expressions over them.
//!
//! A text column may be *coded*: codes and a dictionary. An expression over a single coded column (`has`, `extract`, `parse_json(x).a.b`,
//! `strlen`) is evaluated on the dictionary, once for as long as the dictionary does not change, and its result uses the same codes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, StringArray, StringViewArray, UInt32Array, new_null_array};
use arrow::buffer::{BooleanBuffer, ScalarBuffer};
use arrow::compute::{cast, concat, filter, take};
use arrow::datatypes::{DataType, Field as ArrowField, Int32Type, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::Result;
use kql::Value;
use kql::eval::{Evaluator, Runtime};
use kql::plan::{ColumnId, Expr, ExprKind, Field};
use model::Type;

use crate::expr::constant;
use crate::internal::fill;
use crate::node::run_error;
use crate::values::schema_of;

/// A column of a batch.
#[derive(Clone, Debug)]
pub(crate) enum Col {
    /// One value per row, in the representation of [`Type::arrow`].
    Plain(ArrayRef),
    Coded(Coded),
}

/// The value of row `i` is `values[codes[i]]`.
#[derive(Clone, Debug)]
pub(crate) struct Coded {
    pub codes: ScalarBuffer<i32>,
    pub values: ArrayRef,
    /// Identifies the dictionary from which `values` was computed: equal stamps mean equal dictionaries.
    pub stamp: u64,
}

impl Col {
    pub(crate) fn len(&self) -> usize {
        match self {
            Col::Plain(array) => array.len(),
            Col::Coded(coded) => coded.codes.len(),
        }
    }

    pub(crate) fn array(&self) -> Result<ArrayRef> {
        match self {
            Col::Plain(array) => Ok(array.clone()),
            Col::Coded(Coded { codes, values, .. }) => Ok(take(values, &Int32Array::new(codes.clone(), None), None)?),
        }
    }

    /// Returns the values at `rows`.
    pub(crate) fn array_at(&self, rows: &UInt32Array) -> Result<ArrayRef> {
        match self {
            Col::Plain(array) => Ok(take(array, rows, None)?),
            Col::Coded(Coded { codes, values, .. }) => {
                let codes: Vec<i32> = rows.values().iter().map(|row| codes[*row as usize]).collect();
                Ok(take(values, &Int32Array::from(codes), None)?)
            }
        }
    }

    pub(crate) fn filter(&self, keep: &BooleanArray) -> Result<Self> {
        Ok(match self {
            Col::Plain(array) => Col::Plain(filter(array, keep)?),
            Col::Coded(Coded { codes, values, stamp }) => {
                let kept = filter(&Int32Array::new(codes.clone(), None), keep)?;
                Col::Coded(Coded { codes: kept.as_primitive::<Int32Type>().values().clone(), values: values.clone(), stamp: *stamp })
            }
        })
    }

    pub(crate) fn slice(&self, from: usize, rows: usize) -> Self {
        match self {
            Col::Plain(array) => Col::Plain(array.slice(from, rows)),
            Col::Coded(coded) => Col::Coded(Coded { codes: coded.codes.slice(from, rows), ..coded.clone() }),
        }
    }

    /// Concatenates columns.
    pub(crate) fn concat(parts: &[Col]) -> Result<Self> {
        match parts {
            [one] => return Ok(one.clone()),
            [Col::Coded(first), rest @ ..] if rest.iter().all(|part| matches!(part, Col::Coded(next) if next.stamp == first.stamp)) => {
                let mut codes: Vec<i32> = Vec::with_capacity(parts.iter().map(Col::len).sum());
                for part in parts {
                    if let Col::Coded(coded) = part {
                        codes.extend_from_slice(&coded.codes);
                    }
                }
                return Ok(Col::Coded(Coded { codes: codes.into(), ..first.clone() }));
            }
            _ => {}
        }
        let arrays = parts.iter().map(Col::array).collect::<Result<Vec<_>>>()?;
        let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
        Ok(Col::Plain(concat(&arrays)?))
    }
}

/// Caches the dictionary of a column from one batch to the next.
#[derive(Default)]
pub(crate) struct Dictionary {
    /// The dictionary as read; keeping it alive prevents its address from being reused.
    read: Option<StringArray>,
    nulls: bool,
    values: Option<ArrayRef>,
    stamp: u64,
}

impl Dictionary {
    /// Converts a text column as read. `stamps` counts dictionaries.
    pub(crate) fn column(&mut self, array: &ArrayRef, ty: Type, stamps: &mut u64) -> Result<Col> {
        let Some(coded) = array.as_any_dictionary_opt() else {
            return Ok(Col::Plain(crate::files::convert(array, ty)?));
        };
        let (Some(texts), Some(keys)) = (coded.values().as_string_opt::<i32>(), coded.keys().as_primitive_opt::<Int32Type>()) else {
            return Ok(Col::Plain(crate::files::convert(array, ty)?));
        };
        let nulls = keys.null_count() > 0;
        let same = self.read.as_ref().is_some_and(|known| {
            known.len() == texts.len()
                && known.values().as_ptr() == texts.values().as_ptr()
                && known.offsets().inner().as_ptr() == texts.offsets().inner().as_ptr()
        });
        let values = match &self.values {
            Some(values) if same && (self.nulls || !nulls) => values.clone(),
            _ => {
                let mut values = cast(texts, &DataType::Utf8View)?;
                if nulls {
                    // The last code represents null, which a string column does not have.
                    let null = if ty == Type::String {
                        Arc::new(StringViewArray::from_iter_values([""])) as ArrayRef
                    } else {
                        new_null_array(&DataType::Utf8View, 1)
                    };
                    values = concat(&[&values, &null])?;
                }
                *stamps += 1;
                (self.read, self.nulls, self.stamp) = (Some(texts.clone()), nulls, *stamps);
                self.values = Some(values.clone());
                values
            }
        };
        let codes = if nulls {
            let null = texts.len() as i32;
            keys.iter().map(|key| key.unwrap_or(null)).collect::<Vec<i32>>().into()
        } else {
            keys.values().clone()
        };
        Ok(Col::Coded(Coded { codes, values, stamp: self.stamp }))
    }
}

/// Rows during a scan: one column per scan column that has been read.
pub(crate) struct Rows {
    pub len: usize,
    pub columns: Vec<Option<Col>>,
}

/// A compiled expression.
#[derive(Clone, Debug)]
pub(crate) enum Root {
    /// An array of length one.
    Const(ArrayRef),
    Column(usize),
    Unit(usize),
    Mixed(usize),
}

/// An expression over a single column.
struct Unit {
    expr: Expr,
    column: usize,
    schema: SchemaRef,
    evaluator: Evaluator,
}

/// An expression over columns and units.
struct Mixed {
    expr: Expr,
    inputs: Vec<Root>,
    schema: SchemaRef,
    evaluator: Evaluator,
}

/// Ids of units count down from here; ids of the plan count up from 0.
const LAST_ID: u32 = u32::MAX;

/// Compiled expressions over the columns of one scan.
pub(crate) struct Program {
    fields: Vec<Field>,
    runtime: Runtime,
    units: Vec<Unit>,
    mixed: Vec<Mixed>,
}

impl Program {
    pub(crate) fn new(fields: Vec<Field>, runtime: Runtime) -> Self {
        Self { fields, runtime, units: Vec::new(), mixed: Vec::new() }
    }

    pub(crate) fn compile(&mut self, expr: &Expr) -> Result<Root> {
        if let Some(value) = constant(expr, &self.runtime) {
            return Ok(Root::Const(match &value {
                Value::Null(_) => crate::values::null(expr.ty).to_array_of_size(1)?,
                value => Value::array(std::slice::from_ref(value), expr.ty),
            }));
        }
        if let Some(root) = self.small(expr)? {
            return Ok(root);
        }
        if let Some(known) = self.mixed.iter().position(|mixed| mixed.expr == *expr) {
            return Ok(Root::Mixed(known));
        }
        let mut inputs = Vec::new();
        let mut fields = Vec::new();
        let rewritten = self.rewrite(expr, &mut inputs, &mut fields)?;
        let evaluator = Evaluator::new(&rewritten, &fields, &self.runtime).map_err(run_error)?;
        self.mixed.push(Mixed { expr: expr.clone(), inputs, schema: schema_of(&fields), evaluator });
        Ok(Root::Mixed(self.mixed.len() - 1))
    }

    /// Compiles a column, or an expression over a single column.
    fn small(&mut self, expr: &Expr) -> Result<Option<Root>> {
        if let ExprKind::Column(id) = expr.kind {
            return Ok(self.fields.iter().position(|field| field.id == id).map(Root::Column));
        }
        let [id] = expr.columns()[..] else { return Ok(None) };
        let Some(column) = self.fields.iter().position(|field| field.id == id) else { return Ok(None) };
        if let Some(known) = self.units.iter().position(|unit| unit.expr == *expr) {
            return Ok(Some(Root::Unit(known)));
        }
        let fields = std::slice::from_ref(&self.fields[column]);
        let evaluator = Evaluator::new(expr, fields, &self.runtime).map_err(run_error)?;
        self.units.push(Unit { expr: expr.clone(), column, schema: schema_of(fields), evaluator });
        Ok(Some(Root::Unit(self.units.len() - 1)))
    }

    /// Replaces subexpressions of `expr` over a single text column by columns of their own.
    fn rewrite(&mut self, expr: &Expr, inputs: &mut Vec<Root>, fields: &mut Vec<Field>) -> Result<Expr> {
        let one_text = match expr.columns()[..] {
            [id] => self.fields.iter().any(|field| field.id == id && is_text(field.ty)),
            _ => false,
        };
        match &expr.kind {
            ExprKind::Column(id) => {
                if !fields.iter().any(|field| field.id == *id)
                    && let Some(at) = self.fields.iter().position(|field| field.id == *id)
                {
                    inputs.push(Root::Column(at));
                    fields.push(self.fields[at].clone());
                }
                Ok(expr.clone())
            }
            ExprKind::Call { .. } if one_text => {
                let Some(Root::Unit(unit)) = self.small(expr)? else { return Ok(expr.clone()) };
                let id = ColumnId(LAST_ID - u32::try_from(unit).unwrap_or(0));
                let field = Field { id, name: id.to_string().into(), ty: expr.ty };
                if !fields.iter().any(|known| known.id == id) {
                    inputs.push(Root::Unit(unit));
                    fields.push(field.clone());
                }
                Ok(Expr::column(&field))
            }
            ExprKind::Call { function, args } => {
                let args = args.iter().map(|arg| self.rewrite(arg, inputs, fields)).collect::<Result<_>>()?;
                Ok(Expr::call(function, args, expr.ty))
            }
            _ => Ok(expr.clone()),
        }
    }

    /// Collects the scan columns that `root` reads.
    pub(crate) fn reads(&self, root: &Root, into: &mut Vec<usize>) {
        let at = match root {
            Root::Const(_) => return,
            Root::Column(at) => *at,
            Root::Unit(unit) => self.units[*unit].column,
            Root::Mixed(mixed) => {
                self.mixed[*mixed].inputs.iter().for_each(|input| self.reads(input, into));
                return;
            }
        };
        if !into.contains(&at) {
            into.push(at);
        }
    }
}

fn is_text(ty: Type) -> bool {
    matches!(ty, Type::String | Type::Guid | Type::Dynamic)
}

/// Results computed from the current dictionaries: the value of each unit, and for filters the truth value of each code.
#[derive(Default)]
pub(crate) struct Memo {
    units: Vec<Option<(u64, ArrayRef)>>,
    truths: Vec<Option<(u64, Vec<bool>)>>,
}

impl Program {
    pub(crate) fn eval(&self, root: &Root, rows: &Rows, memo: &mut Memo) -> Result<Col> {
        match root {
            Root::Const(one) => Ok(Col::Plain(kql::eval::repeat(one, rows.len))),
            Root::Column(at) => self.column(*at, rows),
            Root::Unit(at) => {
                let unit = &self.units[*at];
                match self.column(unit.column, rows)? {
                    Col::Coded(Coded { codes, values, stamp }) => {
                        memo.units.resize(self.units.len(), None);
                        if let Some((known, answer)) = &memo.units[*at]
                            && *known == stamp
                        {
                            return Ok(Col::Coded(Coded { codes, values: answer.clone(), stamp }));
                        }
                        if values.len() / 2 > rows.len {
                            // Fewer rows remain than the dictionary has entries.
                            let some = take(&values, &Int32Array::new(codes, None), None)?;
                            return Ok(Col::Plain(unit.run(some)?));
                        }
                        let answer = unit.run(values)?;
                        memo.units[*at] = Some((stamp, answer.clone()));
                        Ok(Col::Coded(Coded { codes, values: answer, stamp }))
                    }
                    Col::Plain(array) => Ok(Col::Plain(unit.run(array)?)),
                }
            }
            Root::Mixed(at) => {
                let mixed = &self.mixed[*at];
                let arrays = mixed.inputs.iter().map(|input| self.eval(input, rows, memo)?.array()).collect::<Result<Vec<_>>>()?;
                let options = RecordBatchOptions::new().with_row_count(Some(rows.len));
                let batch = RecordBatch::try_new_with_options(mixed.schema.clone(), arrays, &options)?;
                Ok(Col::Plain(mixed.evaluator.eval(&batch).map_err(run_error)?))
            }
        }
    }

    fn column(&self, at: usize, rows: &Rows) -> Result<Col> {
        match rows.columns.get(at) {
            Some(Some(column)) => Ok(column.clone()),
            _ => datafusion::common::internal_err!("column {at} has not been read"),
        }
    }

    /// Evaluates a condition to a mask; null is false.
    pub(crate) fn truth(&self, root: &Root, rows: &Rows, memo: &mut Memo) -> Result<BooleanBuffer> {
        let (coded, unit) = match (self.eval(root, rows, memo)?, root) {
            (Col::Coded(coded), Root::Unit(unit)) => (coded, *unit),
            (col, _) => return Ok(trues(col.array()?.as_boolean())),
        };
        memo.truths.resize(self.units.len(), None);
        if memo.truths[unit].as_ref().is_none_or(|(known, _)| *known != coded.stamp) {
            let truth = trues(coded.values.as_boolean());
            memo.truths[unit] = Some((coded.stamp, truth.iter().collect()));
        }
        let truth = memo.truths[unit].as_ref().map(|(_, truth)| truth.as_slice()).unwrap_or_default();
        if !truth.contains(&true) {
            return Ok(BooleanBuffer::new_unset(rows.len));
        }
        Ok(BooleanBuffer::collect_bool(rows.len, |row| truth.get(coded.codes[row] as usize) == Some(&true)))
    }
}

/// Converts to a mask; null is false.
pub(crate) fn trues(array: &BooleanArray) -> BooleanBuffer {
    match array.nulls() {
        Some(nulls) => array.values() & nulls.inner(),
        None => array.values().clone(),
    }
}

impl Unit {
    fn run(&self, array: ArrayRef) -> Result<ArrayRef> {
        let batch = RecordBatch::try_new(self.schema.clone(), vec![array])?;
        self.evaluator.eval(&batch).map_err(run_error)
    }
}

/// Evaluates `roots` to a batch; strings have no nulls.
pub(crate) fn batch(
    program: &Program,
    roots: &[Root],
    types: &[Type],
    schema: &SchemaRef,
    rows: &Rows,
    memo: &mut Memo,
) -> Result<RecordBatch> {
    let arrays = roots.iter().zip(types).map(|(root, ty)| {
        let array = program.eval(root, rows, memo)?.array()?;
        Ok(if *ty == Type::String { fill(array) } else { array })
    });
    let arrays = arrays.map(|array| array.map(compact)).collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len));
    Ok(RecordBatch::try_new_with_options(schema.clone(), arrays, &options)?)
}

/// Copies short results so that they do not keep whole pages alive.
fn compact(array: ArrayRef) -> ArrayRef {
    let Some(texts) = array.as_string_view_opt() else { return array };
    let held: usize = texts.data_buffers().iter().map(|buffer| buffer.len()).sum();
    if held < 1 << 16 {
        return array;
    }
    let used: usize = texts.lengths().map(|length| length as usize).sum();
    if held / 4 > used { Arc::new(texts.gc()) } else { array }
}

/// A schema of columns named `c0`, `c1`, … with these types.
pub(crate) fn positional(types: &[Type]) -> SchemaRef {
    let fields = types.iter().enumerate().map(|(at, ty)| ArrowField::new(format!("c{at}"), ty.arrow(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
