use std::fmt;

use crate::Timestamp;

/// Damage of a data file or a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataFault {
    /// The file does not exist.
    Missing,
    /// Its length is not the one written.
    Length,
    /// The checksum of the footer does not match.
    Footer,
    /// The checksum of a row group does not match.
    Rows { group: usize },
    /// An I/O error.
    Disk,
    /// A file without checksums that cannot be decoded.
    Content,
}

impl fmt::Display for DataFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DataFault::Missing => "is missing",
            DataFault::Length => "does not have the length it was written with",
            DataFault::Footer | DataFault::Rows { .. } => "is damaged (a checksum is wrong)",
            DataFault::Disk => "cannot be read from the disk",
            DataFault::Content => "is damaged",
        })
    }
}

/// Rows missing from a result because their file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingRows {
    pub table: String,
    /// The table's folder and the file name; never an absolute path.
    pub file: String,
    pub rows: u64,
    /// When the first and the last row of the file were stored.
    pub first: Timestamp,
    pub last: Timestamp,
}

impl fmt::Display for MissingRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, file, rows, first, last } = self;
        write!(f, "{rows} rows of `{table}`, stored from {first} to {last}, are missing: `{file}` cannot be read")
    }
}
