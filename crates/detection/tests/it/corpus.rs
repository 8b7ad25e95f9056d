//! Every published rule loads. The rules are public content next to the checkout; ours are in `content/rules`.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn our_rules_load_without_warnings() {
    let mut count = 0;
    for entry in std::fs::read_dir(root().join("content/rules")).unwrap() {
        let path = entry.unwrap().path();
        let loaded = detection::yaml::parse(&path.to_string_lossy(), &std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(loaded.warnings, Vec::<String>::new());
        count += 1;
    }
    assert!(count >= 3);
}

#[test]
fn published_rules_load() {
    let shared = std::env::var_os("BARTIZAN_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    let Ok(text) = std::fs::read_to_string(shared.join("corpus/analytics_rules.jsonl")) else {
        println!("skipped: published_rules_load: there is no folder `shared` beside the checkout");
        return;
    };
    let (mut loaded, mut refused) = (0, Vec::new());
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let mut rule: Map<String, Value> = row["rule"].as_object().unwrap().clone();
        rule.insert("query".to_owned(), row["query"].clone());
        // Written back as YAML, like the original.
        let yaml = serde_yaml_ng::to_string(&rule).unwrap();
        match detection::yaml::parse(row["path"].as_str().unwrap(), &yaml) {
            Ok(_) => loaded += 1,
            Err(error) => refused.push(error.to_string()),
        }
    }
    println!("{loaded} rules load, {} are refused:\n{}", refused.len(), refused.join("\n"));
    // The rejected ones are indeed invalid: no name, no schedule, a period shorter than the frequency, an unknown identifier.
    assert!(loaded * 100 >= (loaded + refused.len()) * 96, "{} of {} refused", refused.len(), loaded + refused.len());
}
