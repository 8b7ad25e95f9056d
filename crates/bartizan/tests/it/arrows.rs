//! Dependency rules of ARCHITECTURE.md. Each rule is a sentence, which the test prints on failure.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Allowed dependencies among our crates.
const MAY: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("kql", &["model"]),
    ("workspace", &["model"]),
    ("store", &["model"]),
    ("engine", &["kql", "workspace", "model"]),
    ("pipeline", &["kql", "store", "model"]),
    ("detection", &["kql", "store", "model"]),
    ("incidents", &["kql", "store", "model"]),
    ("oncall", &["store", "model"]),
    ("documents", &["pipeline", "detection", "oncall", "kql", "store", "model"]),
    ("connectors", &["kql", "model"]),
    ("server", &["documents", "pipeline", "detection", "incidents", "oncall", "kql", "store", "model"]),
    ("simulators", &["model"]),
    ("testkit", &["kql", "model"]),
    ("dev", &["bartizan", "engine", "oncall", "testkit", "kql", "model"]),
];

/// Libraries and the only crates that may depend on them.
const DOORS: &[(&str, &[&str])] = &[
    ("datafusion", &["engine"]),
    ("object_store", &["engine"]),
    ("parquet", &["workspace", "engine"]),
    ("sqlx", &["store"]),
    ("axum", &["server"]),
    ("hyper", &["server"]),
    ("rcgen", &["server"]),
    ("clap", &["bartizan", "dev"]),
    ("anyhow", &["bartizan", "dev"]),
    ("lettre", &["oncall"]),
    // Not linked into what is shipped.
    ("testkit", &["dev"]),
    ("jiff", &["model", "oncall", "connectors"]),
    ("reqwest", &["bartizan", "simulators", "server"]),
];

/// Normal dependencies of each of our crates.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(super::shared::root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    packages
        .iter()
        .map(|package| {
            let normal = package["dependencies"].as_array().expect("a list").iter().filter(|dependency| dependency["kind"].is_null());
            let names = normal.map(|dependency| dependency["name"].as_str().expect("a name").to_owned()).collect();
            (package["name"].as_str().expect("a name").to_owned(), names)
        })
        .collect()
}

#[test]
fn arrows_point_down() {
    let dependencies = dependencies();
    let ours: BTreeSet<&String> = dependencies.keys().collect();
    let mut broken = Vec::new();
    for (name, wanted) in &dependencies {
        if name == "bartizan" {
            continue; // the composition root depends on all crates
        }
        let Some((_, may)) = MAY.iter().find(|(crate_name, _)| crate_name == name) else {
            broken.push(format!("`{name}` is not in the table of arrows: say what it may depend on"));
            continue;
        };
        for dependency in wanted.iter().filter(|dependency| ours.contains(dependency) && !may.contains(&dependency.as_str())) {
            broken.push(format!("`{name}` must not depend on `{dependency}`: arrows point down only"));
        }
    }
    for (library, doors) in DOORS {
        for (name, wanted) in &dependencies {
            if wanted.contains(*library) && !doors.contains(&name.as_str()) {
                broken.push(format!("`{library}` is named in `{name}`, but only {doors:?} may open that door"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn there_is_one_arrow_and_one_datafusion() {
    let lock = std::fs::read_to_string(super::shared::root().join("Cargo.lock")).expect("Cargo.lock is committed");
    for library in ["arrow", "arrow-array", "parquet", "datafusion", "object_store", "tokio", "rustls"] {
        let versions = lock.matches(&format!("\nname = \"{library}\"\n")).count();
        assert_eq!(versions, 1, "`{library}` is linked {versions} times: pin one version in the root manifest");
    }
}
