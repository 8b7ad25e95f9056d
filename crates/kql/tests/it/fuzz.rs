//! Replays the seeds and corpora of `fuzz/`: what once broke the parser, the binder or a kernel, and one query for each part of the language.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kql::check::{TableSchemas, check};
use kql::syntax::lexer::lex;
use model::Timestamp;

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// The texts of `fuzz/<folder>`, with their files.
fn texts(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz").join(folder), &mut found);
    found.sort();
    let read =
        |path: PathBuf| (path.display().to_string(), String::from_utf8_lossy(&std::fs::read(&path).expect("a readable file")).into_owned());
    found.into_iter().map(read).collect()
}

/// The schema that the targets bind against.
fn schemas() -> TableSchemas {
    let text = r#"{"Events": [["TimeGenerated", "datetime"], ["User", "string"], ["IP", "string"], ["Port", "int"], ["Bytes", "long"],
        ["Score", "real"], ["Ok", "bool"], ["Id", "guid"], ["Took", "timespan"], ["Price", "decimal"], ["More", "dynamic"]],
        "Users": [["User", "string"], ["Team", "string"], ["Since", "datetime"]]}"#;
    serde_json::from_str(text).expect("a schema of ours")
}

#[test]
fn what_fuzzing_found_is_survived() {
    let schemas = schemas();
    let mut all = texts("corpus");
    let seeds = texts("seeds");
    assert!(seeds.len() > 50, "{} seeds", seeds.len());
    all.extend(seeds);
    // On a stack as small as threads of a server have.
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
