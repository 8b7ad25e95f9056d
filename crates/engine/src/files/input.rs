//! Inputs: their format, by name, and their bytes, decompressed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::FileError;

/// Format of an input file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    Csv,
    Tsv,
    /// One object per line, or one array of objects.
    Json,
    Parquet,
}

impl FileFormat {
    /// Determines the format from the file extension, ignoring that of a compression format.
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let name = [".gz", ".zst", ".zstd"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
        Some(match name.rsplit_once('.')?.1 {
            "csv" => FileFormat::Csv,
            "tsv" => FileFormat::Tsv,
            "json" | "ndjson" | "jsonl" => FileFormat::Json,
            "parquet" => FileFormat::Parquet,
            _ => return None,
        })
    }
}

/// Progress of reading. Clones share their counters.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Bytes as stored, before decompression.
    pub bytes: Arc<AtomicU64>,
    pub rows: Arc<AtomicU64>,
}

/// A reader that counts the bytes read.
struct Counted<R> {
    inner: R,
    bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.bytes.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// Source of rows.
#[derive(Clone, Debug)]
pub enum Input {
    File(PathBuf),
    Stdin(FileFormat),
}

impl Input {
    pub(super) fn path(&self) -> &Path {
        match self {
            Input::File(path) => path,
            Input::Stdin(_) => Path::new("standard input"),
        }
    }
}

/// Opens an input, decompressing it if it starts with a known magic.
pub(super) fn opened(input: &Input, progress: &Progress) -> Result<Box<dyn BufRead>, FileError> {
    let raw: Box<dyn Read> = match input {
        Input::File(path) => Box::new(File::open(path).map_err(read_error(path))?),
        Input::Stdin(_) => Box::new(io::stdin().lock()),
    };
    let counted = Counted { inner: raw, bytes: progress.bytes.clone() };
    let mut reader = BufReader::with_capacity(1 << 16, counted);
    let start = reader.fill_buf().map_err(read_error(input.path()))?;
    Ok(match start {
        [0x1f, 0x8b, ..] => Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(reader))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let decoder = zstd::stream::read::Decoder::with_buffer(reader).map_err(read_error(input.path()))?;
            Box::new(BufReader::new(decoder))
        }
        _ => Box::new(reader),
    })
}

/// The file name without extensions, with `_` for characters not allowed in table names.
pub fn table_name(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let lower = name.to_ascii_lowercase();
    let bare = [".gz", ".zst", ".zstd"]
        .iter()
        .find(|ending| lower.ends_with(*ending))
        .map_or(name.as_str(), |ending| &name[..name.len() - ending.len()]);
    let stem = Path::new(bare).file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    stem.chars().map(|c| if c.is_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

pub(super) fn read_error(path: &Path) -> impl Fn(io::Error) -> FileError {
    let path = path.to_owned();
    move |cause| FileError::Read { path: path.clone(), cause }
}
