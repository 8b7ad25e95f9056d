//! The log's index, `wal/<workspace>/index.json`: the log files and the appends they hold, used to detect missing log files.
//!
//! The index is written after a log file is created and before anything in it is acknowledged, and after log files are removed. An indexed
//! file that is missing was therefore deleted externally, unless all its appends are already in data files.

use serde::{Deserialize, Serialize};

/// The index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogIndex {
    pub version: u32,
    /// Oldest first.
    pub files: Vec<IndexedFile>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexedFile {
    pub name: String,
    /// Sequence of its first append.
    pub first: u64,
    /// Its newest sequence, once the file is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u64>,
}

/// Acknowledged appends that are in no file any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostAppends {
    /// The log file that held them.
    pub file: String,
    pub first: u64,
    /// `None` if only the lost file recorded it.
    pub last: Option<u64>,
    /// True if the file itself is missing.
    pub missing: bool,
}

/// A log file after reading.
pub struct ReadFile<'a> {
    pub name: &'a str,
    pub first: Option<u64>,
    /// Sequences of its appends, in order.
    pub sequences: Vec<u64>,
}

/// Returns the appends after `through` that are missing from the log. Log files are in order.
pub fn lost(index: &LogIndex, files: &[ReadFile<'_>], through: u64) -> Vec<LostAppends> {
    // Start of each file, from the index or its own header, and the last sequence known to be in it.
    let mut known: Vec<IndexedFile> = index.files.clone();
    for file in files {
        if !known.iter().any(|each| each.name == file.name)
            && let Some(first) = file.first
        {
            known.push(IndexedFile { name: file.name.to_owned(), first, last: None });
        }
    }
    known.sort_by(|a, b| a.name.cmp(&b.name));
    let mut lost = Vec::new();
    for (at, file) in known.iter().enumerate() {
        let read = files.iter().find(|read| read.name == file.name);
        let sequences = read.map(|read| read.sequences.as_slice()).unwrap_or_default();
        // Everything before the start of the next file was acknowledged.
        let next = known.get(at + 1).map(|next| next.first.saturating_sub(1));
        let last = next.or(file.last).map(|last| last.max(file.last.unwrap_or(0)));
        let newest = sequences.iter().copied().max();
        let unknown = read.is_none() && last.is_none();
        let end = last.or(newest).unwrap_or(file.first);
        let mut expected = file.first.max(through + 1);
        for sequence in sequences.iter().copied().filter(|sequence| *sequence > through).chain([end + 1]) {
            if sequence > expected {
                let missing = read.is_none();
                lost.push(LostAppends { file: file.name.clone(), first: expected, last: Some(sequence - 1), missing });
            }
            expected = expected.max(sequence + 1);
        }
        if unknown && lost.last().is_none_or(|each| each.file != file.name) && file.first > through {
            lost.push(LostAppends { file: file.name.clone(), first: file.first, last: None, missing: true });
        }
        if unknown && let Some(each) = lost.last_mut().filter(|each| each.file == file.name) {
            each.last = None;
        }
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, first: u64, last: Option<u64>) -> IndexedFile {
        IndexedFile { name: name.to_owned(), first, last }
    }

    fn read<'a>(name: &'a str, first: u64, sequences: impl IntoIterator<Item = u64>) -> ReadFile<'a> {
        ReadFile { name, first: Some(first), sequences: sequences.into_iter().collect() }
    }

    fn of(file: &str, first: u64, last: Option<u64>, missing: bool) -> LostAppends {
        LostAppends { file: file.to_owned(), first, last, missing }
    }

    #[test]
    fn lost_appends_are_reported() {
        let index = LogIndex { version: 1, files: vec![file("1", 1, Some(5)), file("2", 6, Some(9)), file("3", 10, None)] };
        let whole = || vec![read("1", 1, 1..=5), read("2", 6, 6..=9), read("3", 10, 10..=12)];
        assert_eq!(lost(&index, &whole(), 0), []);
        // Missing in turn: a middle file, the first and the newest.
        assert_eq!(lost(&index, &[read("1", 1, 1..=5), read("3", 10, 10..=12)], 0), [of("2", 6, Some(9), true)]);
        assert_eq!(lost(&index, &[read("2", 6, 6..=9), read("3", 10, 10..=12)], 3), [of("1", 4, Some(5), true)]);
        assert_eq!(lost(&index, &[read("1", 1, 1..=5), read("2", 6, 6..=9)], 0), [of("3", 10, None, true)]);
        // A truncated file, and one with a gap.
        assert_eq!(
            lost(&index, &[read("1", 1, 1..=3), read("2", 6, 6..=9), read("3", 10, [10, 12])], 0),
            [of("1", 4, Some(5), false), of("3", 11, Some(11), false)]
        );
        // A zeroed file: nothing in it is readable.
        let zeroed = ReadFile { name: "2", first: None, sequences: vec![] };
        assert_eq!(lost(&index, &[read("1", 1, 1..=5), zeroed, read("3", 10, 10..=12)], 0), [of("2", 6, Some(9), false)]);
    }

    #[test]
    fn flushed_appends_are_not_reported_lost() {
        let index = LogIndex { version: 1, files: vec![file("1", 1, Some(5)), file("2", 6, Some(9))] };
        assert_eq!(lost(&index, &[], 9), []);
        assert_eq!(lost(&index, &[read("2", 6, 6..=9)], 5), []);
        assert_eq!(lost(&index, &[], 7), [of("2", 8, Some(9), true)]);
        // Files missing from the index, as after an upgrade.
        assert_eq!(lost(&LogIndex::default(), &[read("1", 4, 4..=5), read("2", 7, 7..=8)], 0), [of("1", 6, Some(6), false)]);
    }
}
