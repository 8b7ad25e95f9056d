//! Shrinks queries: without a stage, without an item of a list, with fewer rows.

use kql::syntax::lexer::{TokenKind, lex};

use super::templates::literal_tables;

/// Candidates to try instead of `text`, the largest reductions first.
pub fn simpler(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let stages = cut(text, "|");
    for at in 1..stages.len() {
        found.push(without(&stages, at, "|"));
    }
    for table in literal_tables(text) {
        let width = table.columns.len().max(1);
        let rows: Vec<&[String]> = table.cells.chunks(width).collect();
        let with = |rows: &[&[String]]| {
            let cells: Vec<&str> = rows.iter().flat_map(|row| row.iter().map(String::as_str)).collect();
            format!("{}{}{}", &text[..table.values.start], cells.join(", "), &text[table.values.end..])
        };
        if rows.len() > 1 {
            let half = rows.len() / 2;
            found.push(with(&rows[..half]));
            found.push(with(&rows[half..]));
        }
        for at in 0..rows.len() {
            let others: Vec<&[String]> = rows.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, row)| *row).collect();
            found.push(with(&others));
        }
        // An unused column.
        for at in 0..width.min(table.columns.len()) {
            let declared = table.columns.iter().enumerate().filter(|(other, _)| *other != at);
            let declared: Vec<String> = declared.map(|(_, (name, ty))| format!("{name}: {}", ty.name())).collect();
            let cells = rows.iter().flat_map(|row| row.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, cell)| cell.as_str()));
            let start = text[..table.values.start].rfind("datatable").unwrap_or(0);
            if !declared.is_empty() {
                let cells: Vec<&str> = cells.collect();
                let rest = &text[(table.values.end + 1).min(text.len())..];
                found.push(format!("{}datatable({})[{}]{rest}", &text[..start], declared.join(", "), cells.join(", ")));
            }
        }
    }
    for (at, stage) in stages.iter().enumerate().skip(1) {
        let items = cut(stage, ",");
        if items.len() < 2 {
            continue;
        }
        let keyword = items[0].trim_start().split_whitespace().next().unwrap_or_default().to_owned();
        for item in 0..items.len() {
            let mut shorter = without(&items, item, ",");
            if item == 0 {
                shorter = format!(" {keyword} {}", shorter.trim_start());
            }
            let mut all = stages.clone();
            all[at] = shorter;
            found.push(all.join("|"));
        }
    }
    found
}

/// Splits `text` at top-level occurrences of `sign`.
fn cut(text: &str, sign: &str) -> Vec<String> {
    let mut depth = 0usize;
    let mut found = Vec::new();
    let mut from = 0;
    for token in lex(text).0 {
        match token.kind {
            TokenKind::Sign("(" | "[" | "{") => depth += 1,
            TokenKind::Sign(")" | "]" | "}") => depth = depth.saturating_sub(1),
            TokenKind::Sign(other) if depth == 0 && other == sign => {
                found.push(text[from..token.start].to_owned());
                from = token.end;
            }
            _ => {}
        }
    }
    found.push(text[from..].to_owned());
    found
}

fn without(parts: &[String], at: usize, sign: &str) -> String {
    let others: Vec<&str> = parts.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, part)| part.as_str()).collect();
    others.join(sign)
}
