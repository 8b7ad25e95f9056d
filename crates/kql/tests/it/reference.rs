//! The reference page is generated from the tables; `BLESS=1` rewrites it.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;

use kql::editor::reference::{self, Entry};

fn page() -> String {
    let mut text = String::from(
        "# Functions and operators of KQL\n\n\
         Printed from the tables that run them (`BLESS=1 cargo test -p kql --test it reference` writes this page anew). Every example is run as \
         a test: of a function its value, of everything else the last cell of the last row, both as `tostring` prints them.\n\n\
         Parameters in `[…]` may be left out; `…` says that the one before may come again.\n",
    );
    let all: Vec<Entry> = reference::all().collect();
    for (kind, title, lead) in [
        ("tabular operator", "Tabular operators", "Each takes the rows before its `|` and gives rows."),
        ("function", "Scalar functions", "Each takes values and gives one."),
        ("operator", "Operators between values", "Written between their operands."),
        ("aggregate", "Aggregates", "They stand in `summarize`, `make-series` and `top-nested`."),
        ("window function", "Window functions", "They look at neighbouring rows, which must have an order (`sort`, `serialize`)."),
        ("plug-in", "Plug-ins", "Called by `evaluate`."),
        ("form", "Forms of the language", "Calls whose arguments are no plain values."),
    ] {
        let mut entries: Vec<Entry> = all.iter().copied().filter(|entry| entry.kind() == kind).collect();
        entries.sort_by_key(|entry| entry.name());
        let _ = write!(text, "\n## {title}\n\n{lead} ({})\n", entries.len());
        for entry in entries {
            let _ = write!(text, "\n### `{}`\n\n", entry.name());
            for signature in entry.signatures() {
                let _ = writeln!(text, "`{signature}`  ");
            }
            let _ = write!(text, "\n{}.", entry.summary());
            if !entry.aliases().is_empty() {
                let names = entry.aliases().iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
                let _ = write!(text, " Also called {}.", names.join(", "));
            }
            text.push('\n');
            for (index, (example, answer)) in entry.examples().iter().enumerate() {
                let lead = if index == 0 { "\n" } else { "" };
                let _ = writeln!(text, "{lead}- {} → {}", quoted(example), quoted(answer));
            }
        }
    }
    text
}

/// Formats as code, even if the text contains backquotes (CommonMark: the fence is longer than any run inside).
fn quoted(text: &str) -> String {
    let text = text.replace('\n', " ");
    if text.is_empty() {
        return "(nothing)".to_owned();
    }
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    if longest > 0 { format!("{fence} {text} {fence}") } else { format!("`{text}`") }
}

#[test]
fn the_reference_is_current() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/kql-functions.md");
    let page = page();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &page).expect("the page can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = page.lines().zip(written.lines()).find(|(ours, theirs)| ours != theirs);
    assert!(page == written, "docs/reference/kql-functions.md is not current, first at {differs:?}: run this test with BLESS=1");
}

#[test]
fn everything_has_a_summary_and_a_signature() {
    let mut names = BTreeSet::new();
    for entry in reference::all() {
        let name = entry.name();
        assert!(names.insert((entry.kind(), name)), "`{name}` stands twice");
        let summary = entry.summary();
        assert!(!summary.is_empty() && !summary.ends_with('.'), "`{name}` has a summary without a full stop: {summary:?}");
        let signatures = entry.signatures();
        assert!(!signatures.is_empty() && signatures.iter().all(|signature| !signature.is_empty()), "`{name}` has no signature");
    }
}
