//! docs/reference/documents.md.

use std::fmt::Write as _;

const INTRODUCTION: &str = "A document is YAML or JSON. Its top-level keys are kinds, below them names, below them bodies; docs/guide/documents.md shows them at work. Spans are
ISO 8601 or a number and a unit (`90s`, `10m`, `8h`, `1d`).
";

pub fn page() -> String {
    let mut text = format!("# Documents: kinds and fields\n\n{}{INTRODUCTION}", super::made_from("the types"));
    let _ = writeln!(text, "\n## Kinds\n\n| kind | what | role for writing |\n|---|---|---|");
    for kind in documents::describe() {
        let _ = writeln!(text, "| `{}` | {} | {} |", kind.kind, super::cell(kind.summary), kind.role);
    }
    text + &super::schema::page("The document", &documents::document_schema())
}
