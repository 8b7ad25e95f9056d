//! JSON: one object a line, or one array of objects.

use std::io::{BufRead, Read};
use std::path::Path;
use std::sync::atomic::Ordering;

use model::surrogates;
use serde_json::Value as Json;

use super::cells::Cell;
use super::input::read_error;
use super::{FileError, Progress};

/// Cells by column, over all JSON files of a table.
#[derive(Default)]
pub(super) struct Objects {
    pub names: Vec<String>,
    pub columns: Vec<Vec<Cell>>,
    pub rows: usize,
}

impl Objects {
    pub(super) fn read(&mut self, path: &Path, mut reader: Box<dyn BufRead>, progress: &Progress) -> Result<(), FileError> {
        let bad = |line: usize, why: serde_json::Error| FileError::Line { path: path.to_owned(), line, message: why.to_string() };
        let start = loop {
            let buffer = reader.fill_buf().map_err(read_error(path))?;
            match buffer.first() {
                Some(byte) if byte.is_ascii_whitespace() => reader.consume(1),
                other => break other.copied(),
            }
        };
        if start == Some(b'[') {
            let mut document = Vec::new();
            reader.read_to_end(&mut document).map_err(read_error(path))?;
            let records: Vec<serde_json::Map<String, Json>> =
                serde_json::from_slice(&surrogates::replaced(&document)).map_err(|why| bad(why.line(), why))?;
            records.into_iter().for_each(|record| self.add(record, progress));
        } else {
            for (index, line) in reader.lines().enumerate() {
                let line = line.map_err(read_error(path))?;
                if !line.trim().is_empty() {
                    let record = serde_json::from_slice(&surrogates::replaced(line.as_bytes()));
                    self.add(record.map_err(|why| bad(index + 1, why))?, progress);
                }
            }
        }
        self.columns.iter_mut().for_each(|cells| cells.resize(self.rows, Cell::Missing));
        Ok(())
    }

    pub(super) fn add(&mut self, record: serde_json::Map<String, Json>, progress: &Progress) {
        for (name, value) in record {
            let index = self.names.iter().position(|known| *known == name).unwrap_or_else(|| {
                self.names.push(name);
                self.columns.push(Vec::new());
                self.names.len() - 1
            });
            self.columns[index].resize(self.rows, Cell::Missing);
            self.columns[index].push(json_cell(value));
        }
        self.rows += 1;
        progress.rows.fetch_add(1, Ordering::Relaxed);
    }
}

fn json_cell(value: Json) -> Cell {
    match value {
        Json::Null => Cell::Missing,
        Json::Bool(b) => Cell::Bool(b),
        Json::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(n), _) => Cell::Long(n),
            (None, Some(n)) => Cell::Real(n),
            (None, None) => Cell::Missing,
        },
        Json::String(text) => Cell::Text(text),
        other => Cell::Dynamic(other.to_string()),
    }
}
