//! Tables on a terminal, JSON for programs.

use std::io::{self, Write};

use serde_json::Value;

/// How answers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Columns under each other.
    Table,
    Json,
}

/// Writes `value` as JSON.
pub fn json(value: &Value) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string_pretty(value)?)?;
    Ok(())
}

/// Writes rows under a header; columns are as wide as their widest cell. An empty table is printed as a word.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> anyhow::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    out.write_all(render(header, rows).as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Writes lines, with control characters removed.
pub fn lines(lines: &[String]) -> anyhow::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in lines {
        writeln!(out, "{}", line.replace(|c: char| c.is_control(), " "))?;
    }
    out.flush()?;
    Ok(())
}

fn render(header: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return "(none)\n".to_owned();
    }
    let clean = |cell: &str| cell.replace(|c: char| c.is_control(), " ");
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| clean(cell)).collect()).collect();
    let widths: Vec<usize> = header
        .iter()
        .enumerate()
        .map(|(at, name)| {
            rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).chain([name.chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells.zip(&widths).map(|(cell, &width)| format!("{cell}{}", " ".repeat(width.saturating_sub(cell.chars().count()))));
        format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    let mut text = line(&mut header.iter().copied());
    text += &format!("{}\n", widths.iter().map(|&width| "─".repeat(width)).collect::<Vec<_>>().join("  "));
    for row in &rows {
        text += &line(&mut row.iter().map(String::as_str));
    }
    text
}

/// A field of a response as text; empty if missing.
pub fn text(value: &Value, field: &str) -> String {
    match &value[field] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A time of a response as wall-clock time in the zone.
pub fn time(value: &Value, field: &str, zone: &str) -> String {
    let text = text(value, field);
    model::Timestamp::parse_iso(&text).map_or(text, |time| oncall::when::local(time, zone))
}

/// Entries of a list in a response.
pub fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other_and_control_characters_do_not_reach_the_terminal() {
        let rows = vec![vec!["ann".into(), "layer \u{1b}[31mprimary".into()], vec!["bø".into(), "x".into()]];
        assert_eq!(render(&["who", "why"], &rows), "who  why\n───  ──────────────────\nann  layer  [31mprimary\nbø   x\n");
        assert_eq!(render(&["who"], &[]), "(none)\n");
    }
}
