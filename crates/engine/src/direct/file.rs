//! A Parquet file, opened once: its footer is kept in memory, its rows are not.
//!
//! Text columns whose pages are all dictionary-encoded are read as codes and a dictionary, so that expressions over them are evaluated once
//! per distinct value. Column chunks that fell back to plain pages are read as plain text: rebuilding a dictionary would cost more than it
//! saves.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use bytes::Bytes;
use datafusion::common::DataFusionError;
use model::DataFault;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::basic::Encoding;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::statistics::Statistics;
use workspace::{ChunkSums, DataFile, fault_of};

/// A file and its footer.
#[derive(Debug)]
pub(crate) struct ParquetFile {
    path: PathBuf,
    footer: ArrowReaderMetadata,
    /// Position of each column: among the fields, and among the leaves if it is one.
    places: HashMap<String, (usize, Option<usize>)>,
    bytes: u64,
    /// Checksums of the column chunks, if the file has them.
    sums: Option<ChunkSums>,
    /// Set for files of the workspace.
    data: Option<Arc<DataFile>>,
}

/// A row group of a workspace file is unreadable. The query is retried without it.
#[derive(Debug, thiserror::Error)]
#[error("`{}` {fault}", workspace::inside(&.file.path))]
pub(crate) struct Damaged {
    pub file: Arc<DataFile>,
    pub fault: DataFault,
}

impl ParquetFile {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let footer = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())?;
        Ok(Self::of(path, bytes, footer, None))
    }

    /// Opens a workspace file; verifies the footer if there is a checksum.
    pub(crate) fn open_data(data: &Arc<DataFile>) -> std::result::Result<Self, OpenError> {
        let io = |cause: io::Error| fault_of(&cause).map_or(OpenError::Disk(cause.kind()), OpenError::Damaged);
        let file = File::open(&data.path).map_err(io)?;
        let bytes = file.metadata().map_err(io)?.len();
        if bytes != data.bytes {
            return Err(OpenError::Damaged(DataFault::Length));
        }
        let footer = match data.proof {
            Some(proof) => {
                let start = bytes.checked_sub(proof.bytes).ok_or(OpenError::Damaged(DataFault::Length))?;
                let mut tail = vec![0; usize::try_from(proof.bytes).map_err(|_| OpenError::Damaged(DataFault::Length))?];
                file.read_exact_at(&mut tail, start).map_err(io)?;
                if !proof.proves(&tail) {
                    return Err(OpenError::Damaged(DataFault::Footer));
                }
                ArrowReaderMetadata::load(&Chunks { length: bytes, parts: vec![(start, Bytes::from(tail))] }, ArrowReaderOptions::new())
            }
            None => ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()),
        };
        let footer = footer.map_err(|_| OpenError::Damaged(DataFault::Content))?;
        Ok(Self::of(&data.path, bytes, footer, Some(data.clone())))
    }

    fn of(path: &Path, bytes: u64, footer: ArrowReaderMetadata, data: Option<Arc<DataFile>>) -> Self {
        let mut places = HashMap::new();
        for (at, field) in footer.schema().fields().iter().enumerate() {
            let leaf = footer.parquet_schema().columns().iter().position(|leaf| leaf.path().parts() == [field.name().clone()]);
            places.entry(field.name().clone()).or_insert((at, leaf));
        }
        let metadata = footer.metadata();
        // Files from other writers are not covered by our checksums.
        let sums = data.as_ref().and_then(|_| ChunkSums::read(metadata.file_metadata(), metadata.num_row_groups()));
        Self { path: path.to_owned(), footer, places, bytes, sums, data }
    }

    /// Classifies an error while row group `group` was read: a workspace file is damaged, unless the system was only out of file handles or
    /// memory.
    pub(crate) fn failure(&self, group: usize, why: ParquetError) -> DataFusionError {
        let Some(file) = &self.data else { return DataFusionError::ParquetError(Box::new(why)) };
        let fault = match &why {
            ParquetError::External(cause) => match (cause.downcast_ref::<WrongSum>(), cause.downcast_ref::<io::Error>()) {
                (Some(_), _) => Some(DataFault::Rows { group }),
                (_, Some(cause)) => fault_of(cause),
                _ => None,
            },
            // Bytes with a valid checksum that do not decode are a bug, not damage.
            _ if self.sums.is_some() => None,
            _ => Some(DataFault::Rows { group }),
        };
        match fault {
            Some(fault) => DataFusionError::External(Box::new(Damaged { file: file.clone(), fault })),
            None => DataFusionError::ParquetError(Box::new(why)),
        }
    }

    /// Like [`ParquetFile::failure`], for decoding errors.
    pub(crate) fn decode_failure(&self, group: usize, why: ArrowError) -> DataFusionError {
        match (&self.data, &self.sums) {
            (Some(file), None) => DataFusionError::External(Box::new(Damaged { file: file.clone(), fault: DataFault::Rows { group } })),
            _ => DataFusionError::ArrowError(Box::new(why), None),
        }
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        self.footer.schema()
    }

    pub(crate) fn groups(&self) -> &[RowGroupMetaData] {
        self.footer.metadata().row_groups()
    }

    pub(crate) fn has(&self, column: &str) -> bool {
        self.places.contains_key(column)
    }

    fn chunk(&self, group: usize, column: &str) -> Option<&ColumnChunkMetaData> {
        let (_, leaf) = self.places.get(column)?;
        self.groups().get(group)?.columns().get((*leaf)?)
    }

    /// Compressed size in bytes of these columns in a row group.
    pub(crate) fn size(&self, group: usize, columns: &[&str]) -> u64 {
        columns.iter().filter_map(|column| self.chunk(group, column)).map(|chunk| chunk.compressed_size().max(0) as u64).sum()
    }

    /// Time unit of a datetime column.
    pub(crate) fn unit(&self, column: &str) -> Option<TimeUnit> {
        let (at, _) = self.places.get(column)?;
        match self.schema().field(*at).data_type() {
            DataType::Timestamp(unit, _) => Some(*unit),
            _ => None,
        }
    }

    /// Minimum and maximum of an integer column in a row group.
    pub(crate) fn longs(&self, group: usize, column: &str) -> Option<(i64, i64)> {
        let (at, _) = self.places.get(column)?;
        let signed = DataType::is_signed_integer(self.schema().field(*at).data_type()) || self.unit(column).is_some();
        if !signed {
            return None;
        }
        match self.chunk(group, column)?.statistics()? {
            Statistics::Int32(known) => Some((i64::from(*known.min_opt()?), i64::from(*known.max_opt()?))),
            Statistics::Int64(known) => Some((*known.min_opt()?, *known.max_opt()?)),
            _ => None,
        }
    }

    /// True if a column is known to have no nulls in a row group.
    pub(crate) fn is_full(&self, group: usize, column: &str) -> bool {
        self.chunk(group, column).and_then(|chunk| chunk.statistics()?.null_count_opt()) == Some(0)
    }

    /// Bounds of a text column in a row group: no value is less than the first or greater than the second. They may be truncated and need
    /// not occur.
    pub(crate) fn texts(&self, group: usize, column: &str) -> Option<(&[u8], &[u8])> {
        let statistics = self.chunk(group, column)?.statistics()?;
        match statistics {
            // The deprecated statistics were compared as signed bytes.
            Statistics::ByteArray(known) if !statistics.is_min_max_deprecated() => Some((known.min_bytes_opt()?, known.max_bytes_opt()?)),
            _ => None,
        }
    }

    /// Reads columns of one row group, in file order.
    pub(crate) fn read(
        &self,
        group: usize,
        columns: &[&str],
        selection: Option<RowSelection>,
        batch: usize,
    ) -> Result<ParquetRecordBatchReader> {
        let mut fields: Vec<Arc<Field>> = self.schema().fields().iter().cloned().collect();
        let mut roots = Vec::new();
        let mut ranges = Vec::new();
        for column in columns {
            let Some((at, leaf)) = self.places.get(*column) else { continue };
            roots.push(*at);
            if let (Some(leaf), Some(ty)) = (leaf, fields.get(*at).map(|field| field.data_type()))
                && let Some(chunk) = self.groups().get(group).and_then(|group| group.columns().get(*leaf))
            {
                ranges.push((*leaf, chunk.byte_range()));
                if is_text(ty) {
                    let ty = if is_dictionary(chunk) {
                        DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
                    } else {
                        DataType::Utf8View
                    };
                    fields[*at] = Arc::new(fields[*at].as_ref().clone().with_data_type(ty));
                }
            }
        }
        let schema = Arc::new(Schema::new_with_metadata(fields, self.schema().metadata().clone()));
        let metadata = self.footer.metadata();
        let hinted = ArrowReaderMetadata::try_new(metadata.clone(), ArrowReaderOptions::new().with_schema(schema))?;
        let source = Chunks::load(&self.path, self.bytes, group, ranges, self.sums.as_ref())?;
        let mask = ProjectionMask::roots(metadata.file_metadata().schema_descr(), roots);
        let mut builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(source, hinted).with_row_groups(vec![group]).with_projection(mask);
        if let Some(selection) = selection {
            builder = builder.with_row_selection(selection);
        }
        builder.with_batch_size(batch.max(1)).build()
    }
}

/// The checksum of a column chunk does not match.
#[derive(Debug, thiserror::Error)]
#[error("a checksum is wrong")]
struct WrongSum;

/// Why a workspace file cannot be opened.
pub(crate) enum OpenError {
    Damaged(DataFault),
    /// Temporary: out of file handles or memory.
    Disk(io::ErrorKind),
}

/// Cache of footers. Workspace files are immutable.
#[derive(Default)]
pub(crate) struct Footers(Mutex<HashMap<PathBuf, Arc<ParquetFile>>>);

/// Maximum number of cached footers.
const MOST_FOOTERS: usize = 4096;

impl Footers {
    pub(crate) fn open(&self, data: &Arc<DataFile>) -> std::result::Result<Arc<ParquetFile>, OpenError> {
        if let Some(known) = self.known().get(&data.path) {
            return Ok(known.clone());
        }
        let file = Arc::new(ParquetFile::open_data(data)?);
        let mut known = self.known();
        if known.len() >= MOST_FOOTERS {
            known.clear();
        }
        known.insert(data.path.clone(), file.clone());
        Ok(file)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<PathBuf, Arc<ParquetFile>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_text(ty: &DataType) -> bool {
    match ty {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, of) => is_text(of),
        _ => false,
    }
}

fn is_dictionary(chunk: &ColumnChunkMetaData) -> bool {
    chunk.dictionary_page_offset().is_some()
        && chunk
            .page_encoding_stats_mask()
            .is_some_and(|mask| mask.is_only(Encoding::PLAIN_DICTIONARY) || mask.is_only(Encoding::RLE_DICTIONARY))
}

/// The column chunks needed by one read, each fetched at once.
struct Chunks {
    length: u64,
    parts: Vec<(u64, Bytes)>,
}

impl Chunks {
    /// Fetches leaves of a row group by byte range and verifies their checksums.
    fn load(path: &Path, length: u64, group: usize, ranges: Vec<(usize, (u64, u64))>, sums: Option<&ChunkSums>) -> Result<Self> {
        let file = File::open(path)?;
        let mut parts = Vec::with_capacity(ranges.len());
        for (leaf, (start, size)) in ranges {
            // A damaged footer may hold offsets beyond the end of the file.
            if start.checked_add(size).is_none_or(|end| end > length) {
                return Err(ParquetError::General(format!("a column chunk ends beyond the file of {length} bytes")));
            }
            let mut bytes = vec![0; usize::try_from(size).map_err(|why| ParquetError::External(Box::new(why)))?];
            file.read_exact_at(&mut bytes, start)?;
            if sums.is_some_and(|sums| !sums.proves(group, leaf, &bytes)) {
                return Err(ParquetError::External(Box::new(WrongSum)));
            }
            parts.push((start, Bytes::from(bytes)));
        }
        Ok(Self { length, parts })
    }

    fn from(&self, start: u64) -> Result<Bytes> {
        let part = self.parts.iter().find_map(|(from, bytes)| {
            let skip = usize::try_from(start.checked_sub(*from)?).ok()?;
            (skip < bytes.len()).then(|| bytes.slice(skip..))
        });
        part.ok_or_else(|| ParquetError::EOF(format!("nothing was fetched at {start}")))
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Chunks {
    type T = Cursor;

    fn get_read(&self, start: u64) -> Result<Cursor> {
        Ok(Cursor(self.from(start)?))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let rest = self.from(start)?;
        if rest.len() < length {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} are not in the column chunk")));
        }
        Ok(rest.slice(..length))
    }
}

/// A reader over the rest of a column chunk.
struct Cursor(Bytes);

impl Read for Cursor {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let size = out.len().min(self.0.len());
        out[..size].copy_from_slice(&self.0.split_to(size));
        Ok(size)
    }
}
