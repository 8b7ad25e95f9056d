//! Published queries must parse. The expected results are those of Microsoft's parser and engine, recorded in the rows.

use kql::syntax::parse;

use crate::shared;

/// Valid queries that do not parse, with the reason; empty on success.
fn refused(rows: &[serde_json::Value]) -> Vec<String> {
    rows.iter()
        .filter_map(|row| {
            let parsed = parse(shared::query(row));
            parsed.diagnostics.first().map(|wrong| format!("{} at {}: {} {}", row["id"], wrong.start, wrong.code, wrong.message))
        })
        .collect()
}

#[test]
fn valid_published_queries_parse() {
    let Some(rows) = shared::corpus() else { return };
    let clean: Vec<_> = rows.into_iter().filter(|row| row["official"]["errors"].as_array().is_some_and(Vec::is_empty)).collect();
    let refused = refused(&clean);
    println!("read {} of {} clean queries", clean.len() - refused.len(), clean.len());
    assert!(clean.len() > 300 && refused.is_empty(), "{refused:#?}");
}

#[test]
fn nearly_all_published_queries_parse() {
    // Names missing from the schema make most queries invalid; the syntax is valid in all but a few, which lack three brackets, a quote and
    // a semicolon.
    let Some(rows) = shared::corpus() else { return };
    let refused = refused(&rows);
    println!("read {} of {} published queries", rows.len() - refused.len(), rows.len());
    assert!(refused.len() <= 3, "{refused:#?}");
}

#[test]
fn queries_run_by_the_engine_parse() {
    for file in ["conformance/kql/documented.jsonl", "conformance/kql/measured.jsonl"] {
        let Some(rows) = shared::rows(file) else { return };
        let answered: Vec<_> = rows.into_iter().filter(|row| row["error"] != true).collect();
        let refused = refused(&answered);
        assert!(answered.len() > 300 && refused.is_empty(), "{file}: {refused:#?}");
    }
}
