//! Names the data files of every table and the log position they include. Stored in `manifest.json`, which is replaced atomically.
//!
//! Publishing the manifest is the only step that moves rows from the log to data files: a file it does not name is ignored, and log frames
//! at or below `flushed` of their table, or at or below `through`, are not replayed.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::proof::TailProof;
use crate::snapshot::{DataFile, TimeRange};

/// A data file as recorded in the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Relative to the table's folder.
    pub name: String,
    pub bytes: u64,
    pub rows: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<TimeRange>,
    pub ingested: TimeRange,
    pub columns: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<TailProof>,
}

impl FileEntry {
    pub fn of(file: &DataFile) -> Self {
        Self {
            name: file.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            bytes: file.bytes,
            rows: file.rows,
            time: file.time,
            ingested: file.ingested,
            columns: file.columns.clone(),
            proof: file.proof,
        }
    }

    pub fn open(self, folder: &Path) -> DataFile {
        let Self { name, bytes, rows, time, ingested, columns, proof } = self;
        DataFile { path: folder.join(name), bytes, rows, time, ingested, columns, proof }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableEntry {
    /// The newest sequence whose rows of this table are in data files.
    pub flushed: u64,
    pub files: Vec<FileEntry>,
}

/// The manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub version: u32,
    /// The newest sequence when the manifest was written: keys and positions are complete up to here.
    pub sequence: u64,
    /// Frames at or below this sequence are completely in data files; their log files may already be removed.
    pub through: u64,
    /// Ingestion times at or below this instant are never assigned again.
    pub lease: Timestamp,
    /// Checkpoint file of [`crate::keys::Keys`], in the same folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<String>,
    /// Cursors of sources, in hexadecimal.
    pub positions: BTreeMap<String, String>,
    /// Keyed by folder.
    pub tables: BTreeMap<String, TableEntry>,
    /// True if written by a version that maintains a log index.
    #[serde(default)]
    pub log_index: bool,
}

/// Why a state file is unusable.
#[derive(Debug, thiserror::Error)]
pub enum StateFileError {
    #[error("cannot read `{path}`")]
    Read {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("`{path}` is damaged: its checksum is wrong; restore it from a copy")]
    Checksum { path: PathBuf },
    #[error("`{path}` is not what this version writes")]
    Shape {
        path: PathBuf,
        #[source]
        cause: serde_json::Error,
    },
}

#[derive(Serialize)]
struct Sealed<'a> {
    crc32: u32,
    content: &'a RawValue,
}

#[derive(Deserialize)]
struct Opened<'a> {
    crc32: u32,
    #[serde(borrow)]
    content: &'a RawValue,
}

/// Encodes a state file: the content with a checksum.
pub fn seal(content: &impl Serialize) -> io::Result<Vec<u8>> {
    let content = serde_json::value::to_raw_value(content).map_err(io::Error::other)?;
    let crc32 = crc32fast::hash(content.get().as_bytes());
    serde_json::to_vec(&Sealed { crc32, content: &content }).map_err(io::Error::other)
}

/// Reads the content of a state file; `None` if there is no file.
pub fn unseal<T: for<'de> Deserialize<'de>>(disk: &dyn model::Disk, path: &Path) -> Result<Option<T>, StateFileError> {
    let bytes = match disk.read(path) {
        Ok(bytes) => bytes,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(StateFileError::Read { path: path.to_owned(), cause }),
    };
    unseal_bytes(&bytes, path).map(Some)
}

/// Reads the content of a state file from its bytes; `path` is for errors.
pub fn unseal_bytes<T: for<'de> Deserialize<'de>>(bytes: &[u8], path: &Path) -> Result<T, StateFileError> {
    let shape = |cause| StateFileError::Shape { path: path.to_owned(), cause };
    let opened: Opened<'_> = serde_json::from_slice(bytes).map_err(shape)?;
    if opened.crc32 != crc32fast::hash(opened.content.get().as_bytes()) {
        return Err(StateFileError::Checksum { path: path.to_owned() });
    }
    serde_json::from_str(opened.content.get()).map_err(shape)
}

pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let byte = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    (digits.len() % 2 == 0).then(|| digits.chunks(2).map(byte).collect())?
}
