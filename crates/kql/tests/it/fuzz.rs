//! Replays the seeds and corpora of `fuzz/`: texts that once broke the parser, the binder or a kernel, and one query per language feature.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kql::check::{TableSchemas, check};
use kql::syntax::lexer::lex;
use model::Timestamp;

fn folder(name: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz").join(name);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).expect("a folder of ours").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    files
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// Our own queries, one per file.
fn seeds() -> Vec<(String, String)> {
    folder("seeds").iter().map(|path| (path.display().to_string(), read(path))).collect()
}

/// Inputs found by fuzzing, one JSON string per line.
fn corpus() -> Vec<(String, String)> {
    let lines = |path: &PathBuf| {
        let texts = read(path);
        let text =
            |(number, line): (usize, &str)| (format!("{}:{}", path.display(), number + 1), serde_json::from_str(line).expect("a text"));
        texts.lines().enumerate().map(text).collect::<Vec<_>>()
    };
    folder("corpus").iter().flat_map(lines).collect()
}

/// The schema used by the fuzz targets.
fn schemas() -> TableSchemas {
    let text = r#"{"Events": [["TimeGenerated", "datetime"], ["User", "string"], ["IP", "string"], ["Port", "int"], ["Bytes", "long"],
        ["Score", "real"], ["Ok", "bool"], ["Id", "guid"], ["Took", "timespan"], ["Price", "decimal"], ["More", "dynamic"]],
        "Users": [["User", "string"], ["Team", "string"], ["Since", "datetime"]]}"#;
    serde_json::from_str(text).expect("a schema of ours")
}

#[test]
fn fuzz_corpus_is_handled() {
    let schemas = schemas();
    let (mut all, seeds) = (corpus(), seeds());
    assert!(seeds.len() > 50 && all.len() > 2000, "{} seeds, {} texts", seeds.len(), all.len());
    all.extend(seeds);
    // Use a stack as small as that of server threads.
    let replay = move || {
        for (file, text) in &all {
            let started = Instant::now();
            let (tokens, _) = lex(text);
            let mut at = 0;
            for token in &tokens {
                assert!(at <= token.start && token.start <= token.end && token.end <= text.len(), "{file}: {token:?}");
                at = token.end;
            }
            for wrong in check(text, &schemas, Timestamp::UNIX_EPOCH).diagnostics {
                assert!(wrong.start <= wrong.end && wrong.end <= text.len(), "{file}: {wrong:?}");
            }
            assert!(started.elapsed() < Duration::from_secs(5), "{file}: {:?}", started.elapsed());
        }
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(replay).expect("a thread").join().expect("no panic");
}
