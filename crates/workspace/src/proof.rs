//! Checksums of data files: one per column chunk, in the footer; one for the footer, in the manifest.
//!
//! Parquet's page checksums are optional and the `parquet` crate writes none, so a flipped bit in a page would be an undetected wrong
//! value. Readers here fetch whole column chunks, so verifying a checksum per chunk costs one pass over compressed bytes. Files written
//! before checksums were introduced are read without them (docs/adr/0030).

use model::DataFault;
use parquet::file::metadata::{FileMetaData, KeyValue, ParquetMetaData, RowGroupMetaData};
use serde::{Deserialize, Serialize};

/// Footer key of the column-chunk checksums: eight hexadecimal digits (CRC-32) per chunk, row group by row group.
const CHUNK_SUMS: &str = "bartizan.chunk-crc32";

/// Checksum of everything after the last column chunk: indexes and footer. Together with the checksums in the footer it covers the whole
/// file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailProof {
    /// Number of bytes covered, at the end of the file.
    pub bytes: u64,
    pub crc32: u32,
}

impl TailProof {
    /// Computes the proof of a finished file whose last column chunk ends at `chunks_end`.
    pub(crate) fn of(file: &[u8], chunks_end: usize) -> Self {
        let tail = file.get(chunks_end..).unwrap_or_default();
        Self { bytes: tail.len() as u64, crc32: crc32fast::hash(tail) }
    }

    /// True if `tail`, the last [`TailProof::bytes`] of the file, matches the checksum.
    pub fn proves(&self, tail: &[u8]) -> bool {
        tail.len() as u64 == self.bytes && crc32fast::hash(tail) == self.crc32
    }
}

/// The checksums of a file's column chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkSums {
    sums: Vec<u32>,
    columns: usize,
}

impl ChunkSums {
    /// Reads the checksums from the footer; `None` for files of an earlier version.
    pub fn read(footer: &FileMetaData, groups: usize) -> Option<Self> {
        let text = footer.key_value_metadata()?.iter().find(|pair| pair.key == CHUNK_SUMS)?.value.as_deref()?;
        let digits = text.as_bytes().chunks(8).map(|digits| u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        let sums = digits.collect::<Option<Vec<u32>>>()?;
        let columns = footer.schema_descr().num_columns();
        (sums.len() == columns * groups).then_some(Self { sums, columns })
    }

    /// True if `bytes` match the checksum of leaf `column` in row group `group`.
    pub fn proves(&self, group: usize, column: usize, bytes: &[u8]) -> bool {
        column < self.columns && self.sums.get(group * self.columns + column) == Some(&crc32fast::hash(bytes))
    }
}

/// The footer entry for the chunks of `groups` in `file`, and the end offset of the last chunk.
pub(crate) fn chunk_sums(groups: &[RowGroupMetaData], file: &[u8]) -> (KeyValue, usize) {
    let (mut text, mut end) = (String::new(), 0);
    for chunk in groups.iter().flat_map(RowGroupMetaData::columns) {
        let (start, length) = chunk.byte_range();
        let range = start as usize..(start + length) as usize;
        end = end.max(range.end);
        let crc32 = crc32fast::hash(file.get(range).unwrap_or_default());
        text.push_str(&format!("{crc32:08x}"));
    }
    (KeyValue::new(CHUNK_SUMS.to_owned(), text), end)
}

/// Verifies a whole file that has checksums: its tail, then every column chunk.
pub(crate) fn check_tail(proof: Option<TailProof>, file: &[u8]) -> Result<(), DataFault> {
    let Some(proof) = proof else { return Ok(()) };
    let start = file.len().checked_sub(proof.bytes as usize).ok_or(DataFault::Length)?;
    if proof.proves(&file[start..]) { Ok(()) } else { Err(DataFault::Footer) }
}

/// Verifies every column chunk of a file against the checksums in the footer.
pub(crate) fn check_chunks(footer: &ParquetMetaData, file: &[u8]) -> Result<(), DataFault> {
    let Some(sums) = ChunkSums::read(footer.file_metadata(), footer.num_row_groups()) else { return Ok(()) };
    for (group, row_group) in footer.row_groups().iter().enumerate() {
        for (column, chunk) in row_group.columns().iter().enumerate() {
            let (start, length) = chunk.byte_range();
            let bytes = file.get(start as usize..(start + length) as usize).ok_or(DataFault::Length)?;
            if !sums.proves(group, column, bytes) {
                return Err(DataFault::Rows { group });
            }
        }
    }
    Ok(())
}
