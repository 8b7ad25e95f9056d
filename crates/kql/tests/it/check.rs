//! Verdicts and result columns against those of the language's own binder, recorded beside each published query.

use kql::check::{TableSchemas, check};
use model::Timestamp;

use crate::shared;

/// Agreement that must not be lost again, in percent.
const VERDICTS: usize = 85;
const COLUMNS: usize = 95;

#[test]
fn published_queries_get_the_official_verdict_and_columns() {
    let Some(schema) = shared::text("schemas/tables.json") else { return };
    let schemas: TableSchemas = serde_json::from_str(&schema).expect("a table schema");
    let Some(rows) = shared::corpus() else { return };
    let (mut judged, mut agreed, mut shaped, mut same) = (0, 0, 0, 0);
    let mut wrong = Vec::new();
    for row in &rows {
        let bound = check(shared::query(row), &schemas, Timestamp::UNIX_EPOCH);
        let Some(errors) = row["official"]["errors"].as_array() else { continue };
        judged += 1;
        if errors.is_empty() == bound.diagnostics.is_empty() {
            agreed += 1;
        } else {
            wrong.push(format!("{}: official {:?}, ours {:?}", row["id"], errors.first(), bound.diagnostics.first().map(|d| &d.message)));
        }
        let (true, Some(columns)) = (errors.is_empty() && bound.diagnostics.is_empty(), row["official"]["columns"].as_array()) else {
            continue;
        };
        // Where the official binder does not know a type, the schema is open at that point.
        let Some(ours) = &bound.columns else { continue };
        shaped += 1;
        let official: Vec<_> =
            columns.iter().map(|column| (column[0].as_str().unwrap_or_default(), column[1].as_str().unwrap_or_default())).collect();
        let fits = official.len() == ours.len()
            && official.iter().zip(ours).all(|((name, ty), (our_name, our_type))| {
                name == our_name && (*ty == "unknown" || our_type.is_none_or(|our_type| our_type.name() == *ty))
            });
        if fits {
            same += 1;
        } else {
            wrong.push(format!("{}: official {official:?}, ours {ours:?}", row["id"]));
        }
    }
    println!("verdicts: {agreed} of {judged} agree; columns: {same} of {shaped}");
    for line in wrong.iter().take(40) {
        println!("  {}", line.chars().take(400).collect::<String>());
    }
    assert!(agreed * 100 >= judged * VERDICTS && same * 100 >= shaped * COLUMNS);
}
