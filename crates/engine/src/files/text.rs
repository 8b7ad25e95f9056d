//! CSV and TSV.

use std::io::BufRead;
use std::path::Path;
use std::sync::atomic::Ordering;

use model::Type;

use super::cells::{Cell, column_type};
use super::{FileError, Progress};

/// Texts by column, over all CSV and TSV files of a table.
#[derive(Default)]
pub(super) struct Texts {
    pub names: Vec<String>,
    pub columns: Vec<Vec<String>>,
    rows: usize,
}

impl Texts {
    pub(super) fn read(&mut self, path: &Path, reader: Box<dyn BufRead>, delimiter: u8, progress: &Progress) -> Result<(), FileError> {
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(reader);
        let bad = |line: usize, why: csv::Error| FileError::Line { path: path.to_owned(), line, message: why.to_string() };
        let mut indexes = Vec::new();
        for name in reader.headers().map_err(|why| bad(1, why))?.iter() {
            // Remove a byte order mark written by some editors.
            let name = name.trim_start_matches('\u{feff}');
            let known = self.names.iter().position(|known| known == name).filter(|index| !indexes.contains(index));
            indexes.push(known.unwrap_or_else(|| {
                self.names.push(name.to_owned());
                self.columns.push(vec![String::new(); self.rows]);
                self.names.len() - 1
            }));
        }
        for (number, record) in reader.records().enumerate() {
            let record = record.map_err(|why| bad(number + 2, why))?;
            for (position, index) in indexes.iter().enumerate() {
                self.columns[*index].push(record.get(position).unwrap_or_default().to_owned());
            }
            self.rows += 1;
            progress.rows.fetch_add(1, Ordering::Relaxed);
        }
        self.columns.iter_mut().for_each(|texts| texts.resize(self.rows, String::new()));
        Ok(())
    }
}

/// Converts texts to cells; numbers and booleans only if all values are.
pub(super) fn typed(texts: Vec<String>) -> Vec<Cell> {
    let cell = |text: &str| -> Cell {
        let number = text.strip_prefix('-').unwrap_or(text);
        let padded = number.len() > 1 && number.starts_with('0') && !number.starts_with("0.");
        match text {
            "" => Cell::Missing,
            "true" | "True" | "TRUE" => Cell::Bool(true),
            "false" | "False" | "FALSE" => Cell::Bool(false),
            _ if padded => Cell::Text(text.to_owned()),
            _ => match (text.parse::<i64>(), text.parse::<f64>()) {
                (Ok(n), _) => Cell::Long(n),
                (_, Ok(n)) if n.is_finite() => Cell::Real(n),
                _ => Cell::Text(text.to_owned()),
            },
        }
    };
    let cells: Vec<Cell> = texts.iter().map(|text| cell(text)).collect();
    let plain = matches!(column_type(cells.iter()), Type::Bool | Type::Long | Type::Real | Type::Datetime);
    if plain { cells } else { texts.into_iter().map(Cell::Text).collect() }
}
