//! Output formats of results.

use std::io::{self, IsTerminal, Write};

use arrow::record_batch::RecordBatch;
use kql::Value;
use model::{Answer, Column, Type};
use serde_json::Value as Json;

use super::chart::{self, Style};

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Columns under each other.
    Table,
    /// One array of objects.
    Json,
    /// With a header line.
    Csv,
    /// One object a line.
    Ndjson,
    /// Drawn as `render` says, or as the answer's columns suggest.
    Chart,
}

/// Rows, cell by cell.
pub fn cells<'a>(columns: &'a [Column], batches: &'a [RecordBatch]) -> impl Iterator<Item = Vec<Value>> {
    let row = move |(batch, row): (&RecordBatch, usize)| {
        columns.iter().zip(batch.columns()).map(|(column, array)| Value::from_cell(array, row, column.ty)).collect()
    };
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| (batch, row))).map(row)
}

/// One table without its name; several with their names, which `ndjson` has in each line.
pub fn print(answer: &Answer, format: Format) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let first = Shown { name: answer.name.as_deref().unwrap_or("PrimaryResult"), columns: &answer.columns, batches: &answer.batches };
    let further = answer.more.iter().map(|table| Shown { name: &table.name, columns: &table.columns, batches: &table.batches });
    let tables: Vec<Shown> = std::iter::once(first).chain(further).collect();
    let several = tables.len() > 1;
    if format == Format::Chart {
        match chart::draw(answer, &Style::of_stdout()) {
            Some(lines) => lines.iter().try_for_each(|line| writeln!(out, "{line}"))?,
            None => {
                eprintln!("note: nothing here can be drawn: a chart wants a column of numbers");
                tables.first().map_or(Ok(()), |shown| table(shown, &mut out))?;
            }
        }
        return out.flush();
    }
    if format == Format::Json {
        let objects = |shown: &Shown| -> Json { shown.rows().map(|row| shown.object(&row)).collect() };
        let json = match tables.as_slice() {
            [only] => objects(only),
            _ => tables.iter().map(|shown| serde_json::json!({ "name": shown.name, "rows": objects(shown) })).collect(),
        };
        writeln!(out, "{}", serde_json::to_string_pretty(&json)?)?;
        return out.flush();
    }
    for (index, shown) in tables.iter().enumerate() {
        if several && format != Format::Ndjson {
            writeln!(out, "{}{}", if index > 0 { "\n" } else { "" }, shown.name)?;
        }
        match format {
            Format::Ndjson => {
                for row in shown.rows() {
                    let object = shown.object(&row);
                    let line = if several { serde_json::json!({ "table": shown.name, "row": object }) } else { object };
                    writeln!(out, "{line}")?;
                }
            }
            Format::Csv => {
                let line = |cells: &mut dyn Iterator<Item = String>| cells.map(|cell| quoted(&cell)).collect::<Vec<_>>().join(",");
                writeln!(out, "{}", line(&mut shown.columns.iter().map(|column| column.name.clone())))?;
                for row in shown.rows() {
                    writeln!(out, "{}", line(&mut row.iter().map(Value::to_text)))?;
                }
            }
            Format::Table | Format::Json | Format::Chart => table(shown, &mut out)?,
        }
    }
    out.flush()
}

/// A table of a result.
struct Shown<'a> {
    name: &'a str,
    columns: &'a [Column],
    batches: &'a [RecordBatch],
}

impl Shown<'_> {
    fn rows(&self) -> impl Iterator<Item = Vec<Value>> {
        cells(self.columns, self.batches)
    }

    fn object(&self, row: &[Value]) -> Json {
        let members = self.columns.iter().zip(row).map(|(column, value)| (column.name.clone(), value.to_json()));
        members.collect::<serde_json::Map<_, _>>().into()
    }
}

/// A CSV cell (RFC 4180).
fn quoted(cell: &str) -> String {
    if cell.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

/// Wider cells are truncated on a terminal.
const WIDEST: usize = 60;

fn table(answer: &Shown, out: &mut dyn Write) -> io::Result<()> {
    let cut = io::stdout().is_terminal();
    let shown = |value: &Value| {
        let text = value.to_text().replace(['\n', '\r', '\t'], " ");
        if cut && text.chars().count() > WIDEST { text.chars().take(WIDEST - 1).chain(['…']).collect() } else { text }
    };
    let rows: Vec<Vec<String>> = answer.rows().map(|row| row.iter().map(shown).collect()).collect();
    let width =
        |index: usize, name: &str| rows.iter().map(|row| row[index].chars().count()).chain([name.chars().count()]).max().unwrap_or(0);
    let widths: Vec<usize> = answer.columns.iter().enumerate().map(|(index, column)| width(index, &column.name)).collect();
    let numeric = |ty: Type| ty.is_numeric();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).zip(answer.columns).map(|((cell, &width), column)| {
            let fill = " ".repeat(width - cell.chars().count().min(width));
            if numeric(column.ty) { format!("{fill}{cell}") } else { format!("{cell}{fill}") }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    writeln!(out, "{}", line(answer.columns.iter().map(|column| column.name.as_str()).collect()))?;
    writeln!(out, "{}", widths.iter().map(|&width| "─".repeat(width)).collect::<Vec<_>>().join("  "))?;
    for row in &rows {
        writeln!(out, "{}", line(row.iter().map(String::as_str).collect()))?;
    }
    if rows.is_empty() {
        writeln!(out, "(no rows)")?;
    }
    Ok(())
}
