//! The parts of a table — row groups of files, batches in memory — and how one is read: first the columns used by filters, then the other
//! columns for the remaining rows.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, Int8Array, Int64Array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field, Int8Type, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use datafusion::common::{DataFusionError, Result};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::reassign_expr_columns;
use model::{Type, UNIX_EPOCH_TICKS};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, RowSelection, RowSelector};

use super::bounds::{Bound, Exact, ends};
use super::column::{Col, Dictionary, Memo, Program, Root, Rows, trues};
use super::file::ParquetFile;
use crate::internal::fill;

/// Rows read at a time.
const CHUNK: usize = 32 * 1024;

/// All parts of a table, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    pub parts: Vec<Part>,
}

#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// A row group of a file.
    Group {
        file: Arc<ParquetFile>,
        group: usize,
        rows: usize,
        exact: Arc<[Exact]>,
    },
    Memory(RecordBatch),
}

impl Parts {
    /// Adds the row groups of a file except those for which `leave_out` returns true.
    pub(crate) fn add(&mut self, file: &Arc<ParquetFile>, exact: Vec<Exact>, leave_out: impl Fn(usize) -> bool) {
        let exact: Arc<[Exact]> = exact.into();
        for (group, known) in file.groups().iter().enumerate().filter(|(group, _)| !leave_out(*group)) {
            let rows = usize::try_from(known.num_rows()).unwrap_or(0);
            self.parts.push(Part::Group { file: file.clone(), group, rows, exact: exact.clone() });
        }
    }
}

impl Part {
    pub(crate) fn rows(&self) -> usize {
        match self {
            Part::Group { rows, .. } => *rows,
            Part::Memory(batch) => batch.num_rows(),
        }
    }

    /// Minimum and maximum of a column; `None` if some rows have no value.
    pub(crate) fn ends(&self, column: &ScanColumn) -> Option<(i64, i64)> {
        match self {
            Part::Group { file, group, .. } if file.is_full(*group, column.physical.as_deref()?) => ends(column, file, *group),
            _ => None,
        }
    }

    /// Returns false if no row of the part can pass.
    pub(crate) fn may_hold(&self, columns: &[ScanColumn], bounds: &[Bound]) -> bool {
        match self {
            Part::Group { file, group, exact, .. } => bounds.iter().all(|bound| bound.may_hold(file, *group, columns, exact)),
            Part::Memory(batch) => batch.num_rows() > 0,
        }
    }
}

/// A column of the scan.
#[derive(Clone, Debug)]
pub(crate) struct ScanColumn {
    /// Its name in memory batches.
    pub name: String,
    /// Its name in the files; `None` if no file contains it.
    pub physical: Option<String>,
    /// The companion column of a datetime: tenths of a microsecond.
    pub tenth: Option<String>,
    pub ty: Type,
}

impl ScanColumn {
    pub(crate) fn of_file(name: &str, ty: Type) -> Self {
        Self { name: name.to_owned(), physical: Some(name.to_owned()), tenth: None, ty }
    }

    fn names<'a>(&'a self, file: &ParquetFile) -> impl Iterator<Item = &'a str> {
        let there = self.physical.as_deref().filter(|name| file.has(name));
        let tenth = self.tenth.as_deref().filter(|name| there.is_some() && file.has(name));
        there.into_iter().chain(tenth)
    }
}

/// What to read from a part: the columns of the scan, the output columns, and the filter.
#[derive(Clone)]
pub(crate) struct Plan {
    pub columns: Vec<ScanColumn>,
    pub wanted: Vec<usize>,
    pub conditions: Vec<Root>,
    pub partners: Vec<Partner>,
}

impl Plan {
    fn takes_all(&self) -> bool {
        self.conditions.is_empty() && self.partners.is_empty()
    }
}

/// A text column with a dynamic filter from a join, known once the build side has been read.
#[derive(Clone)]
pub(crate) struct Partner {
    root: Root,
    schema: SchemaRef,
    knows: Arc<dyn PhysicalExpr>,
}

impl Partner {
    /// `name` is the column's name in `knows`, which reads no other column.
    pub(crate) fn new(root: Root, name: &str, knows: Arc<dyn PhysicalExpr>) -> Result<Self> {
        let schema = Arc::new(Schema::new(vec![Field::new(name, DataType::Utf8View, true)]));
        let knows = reassign_expr_columns(knows, &schema)?;
        Ok(Self { root, schema, knows })
    }

    /// Returns the rows that may have a match.
    fn truth(&self, program: &Program, rows: &Rows, memo: &mut Memo, known: &mut Option<(u64, Vec<bool>)>) -> Result<BooleanBuffer> {
        let coded = match program.eval(&self.root, rows, memo)? {
            Col::Coded(coded) if coded.values.len() / 2 <= rows.len => coded,
            col => return self.ask(col.array()?),
        };
        if known.as_ref().is_none_or(|(stamp, _)| *stamp != coded.stamp) {
            *known = Some((coded.stamp, self.ask(coded.values.clone())?.iter().collect()));
        }
        let truth = known.as_ref().map(|(_, truth)| truth.as_slice()).unwrap_or_default();
        Ok(BooleanBuffer::collect_bool(rows.len, |row| truth.get(coded.codes[row] as usize) == Some(&true)))
    }

    fn ask(&self, texts: ArrayRef) -> Result<BooleanBuffer> {
        let rows = texts.len();
        let batch = RecordBatch::try_new(self.schema.clone(), vec![fill(texts)])?;
        let answer = self.knows.evaluate(&batch)?.into_array(rows)?;
        Ok(trues(answer.as_boolean()))
    }
}

/// Statistics of a read.
#[derive(Clone, Copy, Default)]
pub(crate) struct Read {
    pub rows: usize,
    pub bytes: usize,
}

/// Per-thread dictionaries and cached results.
#[derive(Default)]
pub(crate) struct Worker {
    pub memo: Memo,
    dictionaries: Vec<Dictionary>,
    partners: Vec<Option<(u64, Vec<bool>)>>,
    stamps: u64,
    pub read: Read,
}

/// Reads one part in chunks of rows.
pub(crate) struct PartReader<'a> {
    plan: &'a Plan,
    program: &'a Program,
    part: &'a Part,
    state: State,
    /// Index of the next row within the part.
    next: usize,
}

enum State {
    Start,
    /// All columns are read together, and filters are applied to each batch.
    Whole {
        reader: ParquetRecordBatchReader,
        columns: Vec<usize>,
    },
    /// Filters have been applied: their columns are in `kept`, the other columns are read for the remaining rows only.
    Late {
        kept: Vec<(usize, Col)>,
        positions: Vec<u32>,
        reader: ParquetRecordBatchReader,
        columns: Vec<usize>,
        /// Number of remaining rows already emitted.
        done: usize,
    },
    Done,
}

/// Rows that passed, with their indices within the part.
pub(crate) struct Passed {
    pub rows: Rows,
    pub positions: Positions,
}

pub(crate) enum Positions {
    /// Consecutive rows from this index.
    From(u32),
    At(Vec<u32>),
}

impl Positions {
    pub(crate) fn at(&self, row: usize) -> u32 {
        match self {
            Positions::From(first) => first + row as u32,
            Positions::At(places) => places[row],
        }
    }
}

fn decode_failure(part: &Part, why: ArrowError) -> DataFusionError {
    match part {
        Part::Group { file, group, .. } => file.decode_failure(*group, why),
        Part::Memory(_) => DataFusionError::ArrowError(Box::new(why), None),
    }
}

impl<'a> PartReader<'a> {
    pub(crate) fn new(plan: &'a Plan, program: &'a Program, part: &'a Part) -> Self {
        Self { plan, program, part, state: State::Start, next: 0 }
    }

    /// Returns the next passing rows; `None` at the end of the part.
    pub(crate) fn next(&mut self, worker: &mut Worker) -> Result<Option<Passed>> {
        loop {
            match &mut self.state {
                State::Done => return Ok(None),
                State::Start => {
                    worker.read.rows += self.part.rows();
                    match self.part {
                        Part::Memory(batch) => {
                            self.state = State::Done;
                            return self.memory(batch, worker);
                        }
                        Part::Group { file, group, rows, .. } => self.state = self.start(file, *group, *rows, worker)?,
                    }
                }
                State::Whole { reader, columns } => {
                    let Some(batch) = reader.next().transpose().map_err(|why| decode_failure(self.part, why))? else {
                        self.state = State::Done;
                        continue;
                    };
                    let columns = std::mem::take(columns);
                    let rows = self.rows(&batch, &columns, worker)?;
                    let first = self.next;
                    self.next += batch.num_rows();
                    if let State::Whole { columns: place, .. } = &mut self.state {
                        *place = columns;
                    }
                    if self.plan.takes_all() {
                        return Ok(Some(Passed { rows, positions: Positions::From(first as u32) }));
                    }
                    let mask = self.mask(&rows, worker)?;
                    if let Some(passed) = passed(rows, mask, first, &self.plan.wanted)? {
                        return Ok(Some(passed));
                    }
                }
                State::Late { kept, positions, reader, columns, done } => {
                    let from = *done;
                    let batch = reader.next().transpose().map_err(|why| decode_failure(self.part, why))?;
                    let Some(batch) = batch.filter(|batch| from + batch.num_rows() <= positions.len()) else {
                        self.state = State::Done;
                        continue;
                    };
                    let len = batch.num_rows();
                    *done += len;
                    let places = Positions::At(positions[from..from + len].to_vec());
                    let kept: Vec<(usize, Col)> = kept.iter().map(|(at, col)| (*at, col.slice(from, len))).collect();
                    let columns = columns.clone();
                    let mut rows = self.rows(&batch, &columns, worker)?;
                    for (at, col) in kept {
                        rows.columns[at] = Some(col);
                    }
                    return Ok(Some(Passed { rows, positions: places }));
                }
            }
        }
    }

    fn start(&self, file: &ParquetFile, group: usize, rows: usize, worker: &mut Worker) -> Result<State> {
        let mut first = Vec::new();
        let partners = self.plan.partners.iter().map(|partner| &partner.root);
        self.plan.conditions.iter().chain(partners).for_each(|root| self.program.reads(root, &mut first));
        let others: Vec<usize> = self.plan.wanted.iter().copied().filter(|at| !first.contains(at)).collect();
        if first.is_empty() || others.is_empty() {
            let mut all = first;
            all.extend(others);
            return Ok(State::Whole { reader: self.open(file, group, &all, None, worker)?, columns: all });
        }
        let reader = self.open(file, group, &first, None, worker)?;
        let mut bits = BooleanBufferBuilder::new(rows);
        let keep: Vec<usize> = first.iter().copied().filter(|at| self.plan.wanted.contains(at)).collect();
        let mut parts: Vec<Vec<Col>> = vec![Vec::new(); keep.len()];
        for batch in reader {
            let read = self.rows(&batch.map_err(|why| file.decode_failure(group, why))?, &first, worker)?;
            let mask = self.mask(&read, worker)?;
            if mask.has_true() {
                for (at, parts) in keep.iter().zip(&mut parts) {
                    if let Some(Some(col)) = read.columns.get(*at) {
                        parts.push(col.filter(&BooleanArray::new(mask.clone(), None))?);
                    }
                }
            }
            bits.append_buffer(&mask);
        }
        let bits = bits.finish();
        let positions: Vec<u32> = bits.set_indices_u32().collect();
        if positions.is_empty() {
            return Ok(State::Done);
        }
        let kept = keep.into_iter().zip(&parts).map(|(at, parts)| Ok((at, Col::concat(parts)?))).collect::<Result<Vec<_>>>()?;
        let selection = selection(&bits, positions.len());
        let reader = self.open(file, group, &others, selection, worker)?;
        Ok(State::Late { kept, positions, reader, columns: others, done: 0 })
    }

    fn open(
        &self,
        file: &ParquetFile,
        group: usize,
        columns: &[usize],
        selection: Option<RowSelection>,
        worker: &mut Worker,
    ) -> Result<ParquetRecordBatchReader> {
        let names: Vec<&str> = columns.iter().flat_map(|at| self.plan.columns[*at].names(file)).collect();
        worker.read.bytes += file.size(group, &names) as usize;
        file.read(group, &names, selection, CHUNK).map_err(|why| file.failure(group, why))
    }

    /// Converts a batch as read to columns of the scan.
    fn rows(&self, batch: &RecordBatch, columns: &[usize], worker: &mut Worker) -> Result<Rows> {
        let mut rows = Rows { len: batch.num_rows(), columns: vec![None; self.plan.columns.len()] };
        worker.dictionaries.resize_with(self.plan.columns.len(), Dictionary::default);
        for at in columns {
            let column = &self.plan.columns[*at];
            let array = column.physical.as_ref().and_then(|name| batch.column_by_name(name));
            rows.columns[*at] = Some(match array {
                None => Col::Plain(crate::values::null(column.ty).to_array_of_size(rows.len)?),
                Some(array) if column.ty == Type::Datetime && column.tenth.is_some() => {
                    let tenths = column.tenth.as_ref().and_then(|name| batch.column_by_name(name));
                    Col::Plain(ticks(array, tenths.and_then(|tenths| tenths.as_primitive_opt::<Int8Type>())))
                }
                Some(array) => worker.dictionaries[*at].column(array, column.ty, &mut worker.stamps)?,
            });
        }
        Ok(rows)
    }

    fn mask(&self, rows: &Rows, worker: &mut Worker) -> Result<BooleanBuffer> {
        let mut mask: Option<BooleanBuffer> = None;
        for condition in &self.plan.conditions {
            let truth = self.program.truth(condition, rows, &mut worker.memo)?;
            mask = Some(match mask {
                Some(mask) => &mask & &truth,
                None => truth,
            });
        }
        worker.partners.resize(self.plan.partners.len(), None);
        for (partner, known) in self.plan.partners.iter().zip(&mut worker.partners) {
            let truth = partner.truth(self.program, rows, &mut worker.memo, known)?;
            mask = Some(match mask {
                Some(mask) => &mask & &truth,
                None => truth,
            });
        }
        Ok(mask.unwrap_or_else(|| BooleanBuffer::new_set(rows.len)))
    }

    fn memory(&self, batch: &RecordBatch, worker: &mut Worker) -> Result<Option<Passed>> {
        let len = batch.num_rows();
        let columns = self.plan.columns.iter().map(|column| {
            Ok(Some(Col::Plain(match batch.column_by_name(&column.name) {
                Some(values) if values.data_type() == &column.ty.arrow() && column.ty == Type::String => fill(values.clone()),
                Some(values) if values.data_type() == &column.ty.arrow() => values.clone(),
                _ => crate::values::null(column.ty).to_array_of_size(len)?,
            })))
        });
        let rows = Rows { len, columns: columns.collect::<Result<_>>()? };
        if self.plan.takes_all() {
            return Ok(Some(Passed { rows, positions: Positions::From(0) }));
        }
        let mask = self.mask(&rows, worker)?;
        passed(rows, mask, 0, &self.plan.wanted)
    }
}

/// Applies `mask` to rows; `first` is the index of the first row.
fn passed(rows: Rows, mask: BooleanBuffer, first: usize, wanted: &[usize]) -> Result<Option<Passed>> {
    let len = mask.count_set_bits();
    if len == 0 {
        return Ok(None);
    }
    if len == rows.len {
        return Ok(Some(Passed { rows, positions: Positions::From(first as u32) }));
    }
    let places = mask.set_indices_u32().map(|at| at + first as u32).collect();
    let keep = BooleanArray::new(mask, None);
    let mut columns = vec![None; rows.columns.len()];
    for at in wanted {
        if let Some(Some(col)) = rows.columns.get(*at) {
            columns[*at] = Some(col.filter(&keep)?);
        }
    }
    Ok(Some(Passed { rows: Rows { len, columns }, positions: Positions::At(places) }))
}

/// Converts a mask to a row selection; `None` if all rows are selected.
fn selection(bits: &BooleanBuffer, set: usize) -> Option<RowSelection> {
    if set == bits.len() {
        return None;
    }
    Some(RowSelection::from_filters(&[BooleanArray::new(bits.clone(), None)]))
}

/// Selects exactly the rows at `places`, which must be ascending.
pub(crate) fn select(places: &[u32], rows: usize) -> RowSelection {
    let mut selectors = Vec::new();
    let mut next = 0;
    for place in places {
        let place = *place as usize;
        if place > next {
            selectors.push(RowSelector::skip(place - next));
        }
        selectors.push(RowSelector::select(1));
        next = place + 1;
    }
    if next < rows {
        selectors.push(RowSelector::skip(rows - next));
    }
    RowSelection::from(selectors)
}

/// Reads columns of selected rows of a part, in order.
pub(crate) fn fetch(plan: &Plan, program: &Program, part: &Part, columns: &[usize], places: &[u32], worker: &mut Worker) -> Result<Rows> {
    let reading = PartReader::new(plan, program, part);
    match part {
        Part::Memory(_) => {
            let keep: BooleanBuffer = BooleanBuffer::collect_bool(part.rows(), |row| places.binary_search(&(row as u32)).is_ok());
            let bare = Plan { columns: plan.columns.clone(), wanted: columns.to_vec(), conditions: Vec::new(), partners: Vec::new() };
            let Some(all) = PartReader::new(&bare, program, part).next(worker)? else {
                return Ok(Rows { len: 0, columns: vec![None; plan.columns.len()] });
            };
            let some = passed(all.rows, keep, 0, columns)?;
            Ok(some.map_or_else(|| Rows { len: 0, columns: vec![None; plan.columns.len()] }, |some| some.rows))
        }
        Part::Group { file, group, rows, .. } => {
            let reader = reading.open(file, *group, columns, Some(select(places, *rows)), worker)?;
            let mut parts = Vec::new();
            let mut len = 0;
            for batch in reader {
                let read = reading.rows(&batch.map_err(|why| file.decode_failure(*group, why))?, columns, worker)?;
                len += read.len;
                parts.push(read);
            }
            let mut all = Rows { len, columns: vec![None; plan.columns.len()] };
            for at in columns {
                let cols: Vec<Col> = parts.iter().filter_map(|part| part.columns.get(*at).cloned().flatten()).collect();
                if !cols.is_empty() {
                    all.columns[*at] = Some(Col::concat(&cols)?);
                }
            }
            Ok(all)
        }
    }
}

/// Combines microseconds since 1970 and tenths into ticks since year 1.
fn ticks(micros: &ArrayRef, tenths: Option<&Int8Array>) -> ArrayRef {
    let Some(micros) = micros.as_primitive_opt::<TimestampMicrosecondType>() else {
        return arrow::array::new_null_array(&DataType::Int64, micros.len());
    };
    match tenths.filter(|tenths| tenths.null_count() < tenths.len()) {
        None => Arc::new(micros.unary::<_, Int64Type>(|micros| micros.saturating_mul(10).saturating_add(UNIX_EPOCH_TICKS))),
        Some(tenths) => {
            let whole = micros.iter().zip(tenths.iter());
            Arc::new(
                whole
                    .map(|(micros, tenth)| {
                        Some(micros?.saturating_mul(10).saturating_add(UNIX_EPOCH_TICKS) + i64::from(tenth.unwrap_or(0)))
                    })
                    .collect::<Int64Array>(),
            )
        }
    }
}

/// Converts an integer in the file's time unit to ticks since year 1.
pub(crate) fn to_ticks(unit: TimeUnit, value: i64) -> i64 {
    let since = match unit {
        TimeUnit::Second => value.saturating_mul(10_000_000),
        TimeUnit::Millisecond => value.saturating_mul(10_000),
        TimeUnit::Microsecond => value.saturating_mul(10),
        TimeUnit::Nanosecond => value.div_euclid(100),
    };
    since.saturating_add(UNIX_EPOCH_TICKS)
}
