//! Damaged and missing data files of a table: a result lacks their rows and says so, and is otherwise correct. Expected results: those over
//! the same rows without the damaged file's.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringViewArray};
use arrow::record_batch::RecordBatch;
use engine::{Engine, Options, Store, SystemClock};
use model::{
    Answer, Append, Catalog, Column, HealthRegister, Query, QueryEngine, QueryError, Rows, TableName, TableWriter, Type, WorkspaceName,
    arrow_schema,
};
use workspace::{Snapshots, SystemDisk, Workspace, WorkspaceConfig};

use super::{block_on, printed};

/// Number of batches; each has its own file except the last, which is in memory.
const BATCHES: i64 = 4;
const ROWS: i64 = 3000;

/// Queries that cover each way of reading files. `{}` is replaced by a filter that excludes the rows of a batch.
const QUERIES: [&str; 7] = [
    "T_CL {} | summarize count(), sum(N), dcount(Text) by Batch | sort by Batch asc",
    "T_CL {} | where Text has 'word7' | summarize n = count(), s = sum(N)",
    "T_CL {} | sort by N desc, Batch asc | take 9",
    "T_CL {} | where N == 1234 | project Batch, Text | sort by Batch asc",
    "T_CL {} | join kind=inner (T_CL {} | where N < 20 | project N, Other = Text) on N | count",
    "T_CL {} | summarize n = count(), late = countif(ingestion_time() > now(1h)) by Batch | sort by Batch asc",
    "T_CL {} | summarize arg_max(N, Text) by Batch | sort by Batch asc | project Batch, N, Text",
];

struct World {
    _folder: tempfile::TempDir,
    workspace: Arc<Workspace>,
    files: Vec<PathBuf>,
    health: HealthRegister,
}

async fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let health = HealthRegister::default();
    let options = workspace::Options {
        name: WorkspaceName::new("w"),
        config: WorkspaceConfig { small_files: 1000, ..WorkspaceConfig::default() },
        id: None,
        disk: Arc::new(SystemDisk),
        clock: Arc::new(SystemClock::default()),
        health: health.clone(),
    };
    let workspace = Arc::new(Workspace::open(folder.path(), options).unwrap());
    let columns = [Column::new("Batch", Type::Long), Column::new("N", Type::Long), Column::new("Text", Type::String)];
    workspace.define(&TableName::new("T_CL"), columns.to_vec()).await.unwrap();
    for batch in 0..BATCHES {
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_value(batch, ROWS as usize)),
            Arc::new(Int64Array::from_iter_values(0..ROWS)),
            Arc::new(StringViewArray::from_iter_values((0..ROWS).map(|n| format!("a word{} of batch {batch}", n * 7919 % 61)))),
        ];
        let rows = Rows { table: TableName::new("T_CL"), batch: RecordBatch::try_new(arrow_schema(&columns), arrays).unwrap() };
        workspace.append(Append { rows: vec![rows], key: None, position: None }).await.unwrap();
        if batch + 1 < BATCHES {
            workspace.flush().await.unwrap();
        }
    }
    let files = workspace.snapshot("T_CL").unwrap().files.iter().map(|file| file.path.clone()).collect::<Vec<_>>();
    assert_eq!(files.len() as i64, BATCHES - 1);
    World { _folder: folder, workspace, files, health }
}

/// Engines cache footers, so each damage is tested with new engines.
fn engines(world: &World) -> Vec<Engine> {
    let store = Store { catalog: world.workspace.clone(), snapshots: world.workspace.clone() };
    let options = [(true, 512, 2), (false, 8192, 1)].map(|(optimize, batch_size, partitions)| Options {
        optimize,
        batch_size,
        partitions,
        ..Options::default()
    });
    options.map(|options| Engine::new(Some(store.clone()), Arc::new(SystemClock::default()), options).unwrap()).into()
}

fn all(query: &str) -> String {
    query.replace("{}", "")
}

/// Computes the expected rows differently from the tested query: by row number instead of `take`.
fn without(query: &str, batch: usize) -> String {
    query
        .replace("{}", &format!("| where Batch != {batch}"))
        .replace("| take 9", "| serialize rank = row_number() | where rank <= 9 | project-away rank")
}

/// Asserts that the result is complete, or lacks exactly one file's rows and names the file.
fn check(world: &World, answer: &Answer, damaged: usize, whole: &[String], rest: &[String], context: &str) -> bool {
    match &answer.partial {
        None => {
            assert_eq!(printed(answer), whole, "{context}: a silently different answer");
            false
        }
        Some(QueryError::Missing(missing)) => {
            assert_eq!(printed(answer), rest, "{context}");
            let name = world.files[damaged].file_name().unwrap().to_string_lossy().into_owned();
            assert_eq!(missing.len(), 1, "{context}");
            assert_eq!(
                (missing[0].table.as_str(), missing[0].rows, missing[0].file.ends_with(&name)),
                ("T_CL", ROWS as u64, true),
                "{context}"
            );
            let text = answer.partial.as_ref().unwrap().to_string();
            assert!(!text.contains(&*world._folder.path().to_string_lossy()), "{context}: a path of the server: {text}");
            true
        }
        Some(other) => panic!("{context}: {other}"),
    }
}

/// Before checksums were introduced, 21 of 24 flipped bits silently gave wrong results.
#[test]
fn no_flipped_bit_gives_a_wrong_answer() {
    block_on(async {
        let world = world().await;
        let engine = &engines(&world)[0];
        let ask = async |kql: String| printed(&engine.query(Query::new(kql.clone())).await.unwrap_or_else(|why| panic!("{kql}: {why}")));
        let mut expected = Vec::new();
        for query in QUERIES {
            let mut rest = Vec::new();
            for batch in 0..BATCHES as usize - 1 {
                rest.push(ask(without(query, batch)).await);
            }
            expected.push((ask(all(query)).await, rest));
        }
        let (mut noticed, mut asked) = (0, 0);
        for flip in 0..24_usize {
            let damaged = flip % world.files.len();
            let path = &world.files[damaged];
            let bytes = std::fs::read(path).unwrap();
            let mut rotten = bytes.clone();
            // Spread over the file: dictionaries, pages, indexes and footer.
            let at = 4 + (rotten.len() - 5) * flip / 23;
            rotten[at] ^= 1 << (flip % 8);
            std::fs::write(path, rotten).unwrap();
            let engines = engines(&world);
            for (query, (whole, rest)) in QUERIES.iter().zip(&expected) {
                for engine in &engines {
                    let context = format!("byte {at} of {} in file {damaged}: {query}", bytes.len());
                    let answer = engine.query(Query::new(all(query))).await.unwrap_or_else(|why| panic!("{context}: {why}"));
                    noticed += usize::from(check(&world, &answer, damaged, whole, &rest[damaged], &context));
                    asked += 1;
                }
            }
            std::fs::write(path, bytes).unwrap();
            world.workspace.damaged_files().clear(path);
            assert!(world.health.conditions().is_empty());
        }
        println!("{noticed} of {asked} answers were partial");
        assert!(noticed * 4 > asked, "{noticed} of {asked} answers were partial");
    });
}

#[test]
fn missing_or_truncated_file_costs_only_its_rows() {
    block_on(async {
        let world = world().await;
        for damaged in 0..world.files.len() {
            let path = &world.files[damaged];
            let bytes = std::fs::read(path).unwrap();
            let harms: [&dyn Fn(); 4] = [
                &|| std::fs::remove_file(path).unwrap(),
                &|| std::fs::write(path, []).unwrap(),
                &|| std::fs::write(path, vec![0; bytes.len()]).unwrap(),
                &|| std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap(),
            ];
            for (number, harm) in harms.into_iter().enumerate() {
                let whole: Vec<String> = printed(&engines(&world)[0].query(Query::new("T_CL | count")).await.unwrap());
                harm();
                let rest = [((BATCHES - 1) * ROWS).to_string()];
                let answer = engines(&world)[0].query(Query::new("T_CL | summarize count()")).await.unwrap();
                assert!(check(&world, &answer, damaged, &whole, &rest, &format!("harm {number} of file {damaged}")));
                std::fs::write(path, &bytes).unwrap();
                world.workspace.damaged_files().clear(path);
            }
        }
    });
}
