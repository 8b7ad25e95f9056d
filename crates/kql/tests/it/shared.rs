//! Published content for tests. It is outside the repository: if it is absent, tests print a message and pass.

use std::path::PathBuf;

use serde_json::Value;

/// The folder of shared data, if there is one.
fn folder() -> Option<PathBuf> {
    let folder = match std::env::var_os("BARTIZAN_SHARED") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
    };
    folder.is_dir().then_some(folder)
}

/// The text of a shared file; `None`, with a message, if it is absent.
pub fn text(path: &str) -> Option<String> {
    let text = folder().and_then(|folder| std::fs::read_to_string(folder.join(path)).ok());
    if text.is_none() {
        println!("skipped: there is no shared {path}");
    }
    text
}

/// The rows of a shared JSON-lines file.
pub fn rows(path: &str) -> Option<Vec<Value>> {
    let text = text(path)?;
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{path}: {error}"))).collect())
}

/// Both published collections, concatenated.
pub fn corpus() -> Option<Vec<Value>> {
    let mut all = rows("corpus/analytics_rules.jsonl")?;
    all.extend(rows("corpus/queries.jsonl")?);
    Some(all)
}

/// The text of the query in a row.
pub fn query(row: &Value) -> &str {
    row["query"].as_str().unwrap_or_default()
}
