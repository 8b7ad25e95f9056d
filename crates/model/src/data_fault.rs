use std::fmt;

use crate::Timestamp;

/// What is wrong with a data file, or a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataFault {
    /// There is no such file.
    Missing,
    /// It is shorter or longer than it was written.
    Length,
    /// The footer's bytes are not those that were written.
    Footer,
    /// Bytes of one of its row groups are not those that were written.
    Rows { group: usize },
    /// The disk answers with an error.
    Disk,
    /// A file without checksums that does not decode.
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

/// Rows that an answer lacks because what holds them cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingRows {
    pub table: String,
    /// The table's folder and the file's name; never a path of the server.
    pub file: String,
    pub rows: u64,
    /// When the first and the last of the file's rows were stored.
    pub first: Timestamp,
    pub last: Timestamp,
}

impl fmt::Display for MissingRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, file, rows, first, last } = self;
        write!(f, "{rows} rows of `{table}`, stored from {first} to {last}, are missing: `{file}` cannot be read")
    }
}
