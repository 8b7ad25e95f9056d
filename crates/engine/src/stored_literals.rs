//! Stores literal rows of a query as tables before it runs, so that tests of literals also cover stored tables: `datatable`, `print`, short
//! ranges and inline tables become several Parquet files or in-memory batches, one of them empty, and are read like those of a workspace.
//!
//! The rewrite operates on plans, not text, and keeps the rows and their order. Used by tests only ([`crate::Options::tables`]).

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::record_batch::RecordBatch;
use kql::Value;
use kql::plan::{ColumnId, Field, Rel, RelOp, TableRef};
use model::{Column, QueryError, TableName, arrow_schema};
use uuid::Uuid;
use workspace::{DetachedPart, Snapshot, detached};

use crate::range::Bounds;
use crate::run::Run;
use crate::values::rows_to_batch;

/// How literal rows of a query are stored while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TablesAs {
    /// Unchanged, in the plan.
    #[default]
    Inline,
    /// In Parquet files.
    Parquet,
    /// In memory batches, like rows not yet in a file.
    Memory,
    /// The first parts in files, the others in memory.
    Mixed,
}

/// Number of parts with rows; there is one more without.
const PARTS: usize = 3;

/// Longer ranges are not stored.
const LONGEST_RANGE: usize = 1_000;

/// The stored tables of one query.
pub(crate) struct StoredLiterals {
    layout: TablesAs,
    /// Created with the first file, removed at the end.
    folder: PathBuf,
    tables: Mutex<Vec<Stored>>,
}

struct Stored {
    source: Source,
    /// The table's column names, by position.
    names: Vec<String>,
    snapshot: Arc<Snapshot>,
}

/// Identifies the source of a table's rows, so that each literal is stored once.
enum Source {
    Rows(Arc<Vec<Vec<Value>>>),
    Inline(String),
    Range,
}

impl Source {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Source::Rows(a), Source::Rows(b)) => Arc::ptr_eq(a, b),
            (Source::Inline(a), Source::Inline(b)) => a == b,
            _ => false,
        }
    }
}

/// Prefix of the names of these tables; not allowed in user tables.
const PREFIX: &str = "$stored";

impl StoredLiterals {
    pub(crate) fn new(layout: TablesAs, folder: &Path) -> Self {
        Self { layout, folder: folder.join(format!("literals-{}", Uuid::new_v4().simple())), tables: Mutex::default() }
    }

    fn tables(&self) -> MutexGuard<'_, Vec<Stored>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn snapshot(&self, table: &str) -> Option<Arc<Snapshot>> {
        let number: usize = table.strip_prefix(PREFIX)?.parse().ok()?;
        self.tables().get(number).map(|stored| stored.snapshot.clone())
    }

    /// Replaces literal rows in `rel` by stored tables.
    pub(crate) fn rewrite(&self, run: &Run, rel: &mut Rel) -> Result<(), QueryError> {
        if self.layout == TablesAs::Inline {
            return Ok(());
        }
        let mut waiting = vec![rel];
        while let Some(rel) = waiting.pop() {
            if let Some(op) = self.stored(run, rel)? {
                rel.op = op;
            }
            if matches!(rel.op, RelOp::Shared { .. }) {
                let RelOp::Shared { input, .. } = &mut rel.op else { continue };
                waiting.push(Arc::make_mut(input));
                continue;
            }
            waiting.extend(rel.inputs_mut());
        }
        Ok(())
    }

    /// The scan of a stored table equivalent to `rel`; `None` if `rel` has no literal rows.
    fn stored(&self, run: &Run, rel: &Rel) -> Result<Option<RelOp>, QueryError> {
        match &rel.op {
            RelOp::Values { rows } => {
                let batch = rows_to_batch(&rel.fields, rows).map_err(crate::lower::broken)?;
                self.scan(run, Source::Rows(rows.clone()), &rel.fields, vec![batch]).map(Some)
            }
            RelOp::Range { from, to, step } => {
                let Some(field) = rel.fields.first() else { return Ok(None) };
                let Ok(bounds) = Bounds::new(field.ty, from, to, step, &run.runtime) else { return Ok(None) };
                let values = bounds.chunk(0, LONGEST_RANGE + 1, field.ty);
                if values.len() > LONGEST_RANGE {
                    return Ok(None);
                }
                let batch = RecordBatch::try_new(crate::values::schema_of(&rel.fields), vec![values]);
                self.scan(run, Source::Range, &rel.fields, vec![batch.map_err(|why| QueryError::Internal(why.to_string()))?]).map(Some)
            }
            RelOp::Scan { table, columns } if table.computed.is_none() => {
                let Some(inline) = run.inline_rows(&table.name) else { return Ok(None) };
                let source = Source::Inline(table.name.clone());
                let number = match self.known(&source) {
                    Some(number) => number,
                    None => {
                        let all = inline.schema.columns.clone();
                        let fields: Vec<Field> = (0..).zip(&all).map(|(id, column)| field(id, column)).collect();
                        let place = |batch: &RecordBatch, at: usize| batch.schema_ref().index_of(&all[at].name).ok();
                        let batches = crate::scan::rename(&inline.batches, &fields, place)?;
                        self.add(run, source, all.clone(), &batches)?
                    }
                };
                Ok(Some(RelOp::Scan { table: named(number), columns: columns.clone() }))
            }
            _ => Ok(None),
        }
    }

    fn known(&self, source: &Source) -> Option<usize> {
        self.tables().iter().position(|stored| stored.source.is(source))
    }

    fn scan(&self, run: &Run, source: Source, fields: &[Field], batches: Vec<RecordBatch>) -> Result<RelOp, QueryError> {
        if let Some(number) = self.known(&source) {
            return Ok(RelOp::Scan { table: named(number), columns: self.tables()[number].names.clone() });
        }
        // Use the column's name if available.
        let mut names: Vec<String> = Vec::new();
        for (at, field) in fields.iter().enumerate() {
            let own = !field.is_hidden() && !names.iter().any(|known| **known == *field.name);
            names.push(if own { field.name.to_string() } else { format!("$column{at}") });
        }
        let columns: Vec<Column> = names.iter().zip(fields).map(|(name, field)| Column::new(name, field.ty)).collect();
        let number = self.add(run, source, columns, &batches)?;
        Ok(RelOp::Scan { table: named(number), columns: names })
    }

    fn add(&self, run: &Run, source: Source, columns: Vec<Column>, batches: &[RecordBatch]) -> Result<usize, QueryError> {
        let internal = |why: &dyn std::error::Error| QueryError::Internal(model::chain(why));
        let schema = arrow_schema(&columns);
        let places: Vec<usize> = (0..columns.len()).collect();
        let named: Result<Vec<RecordBatch>, _> = batches.iter().map(|batch| crate::values::with_columns(batch, &schema, &places)).collect();
        let named = named.map_err(|why| internal(&why))?;
        let whole = crate::together::together(&named).map_err(|why| internal(&why))?.unwrap_or_else(|| RecordBatch::new_empty(schema));
        if self.layout != TablesAs::Memory {
            std::fs::create_dir_all(&self.folder).map_err(|why| internal(&why))?;
        }
        let names = columns.iter().map(|column| column.name.clone()).collect();
        let parts = self.parts(&whole);
        let mut tables = self.tables();
        let name = TableName::new(format!("{PREFIX}{}", tables.len()));
        let snapshot = detached(&self.folder, &name, columns, &parts, run.runtime.now).map_err(|why| internal(&why))?;
        tables.push(Stored { source, names, snapshot: Arc::new(snapshot) });
        Ok(tables.len() - 1)
    }

    /// Splits the rows, in order, into parts, including an empty one.
    fn parts(&self, whole: &RecordBatch) -> Vec<DetachedPart> {
        let rows = whole.num_rows();
        let share = rows.div_ceil(PARTS).max(1);
        let mut slices: Vec<RecordBatch> = (0..rows).step_by(share).map(|from| whole.slice(from, share.min(rows - from))).collect();
        slices.insert(slices.len().min(1), whole.slice(0, 0));
        let in_files = match self.layout {
            TablesAs::Inline | TablesAs::Memory => 0,
            TablesAs::Parquet => slices.len(),
            TablesAs::Mixed => slices.len().div_ceil(2),
        };
        let part = |(at, rows)| if at < in_files { DetachedPart::File(rows) } else { DetachedPart::Memory(rows) };
        slices.into_iter().enumerate().map(part).collect()
    }
}

fn field(id: u32, column: &Column) -> Field {
    Field { id: ColumnId(id), name: column.name.as_str().into(), ty: column.ty }
}

fn named(number: usize) -> TableRef {
    TableRef { name: format!("{PREFIX}{number}"), computed: None }
}

impl Drop for StoredLiterals {
    fn drop(&mut self) {
        if self.layout != TablesAs::Inline {
            // On failure it is removed with the engine's folder.
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}
