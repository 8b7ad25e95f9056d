//! Removes, empties, zeroes, truncates and bit-flips every file of a workspace in turn: nothing else is lost, the loss is reported by name,
//! and the rest is served.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Catalog, Column, Disk, HealthRegister, SavedSearch, TableName, Type};
use testkit::SimDisk;
use workspace::Workspace;

use crate::support::{HandClock, TABLE, add, define, open, open_with, small, stored};

const DATA: &str = "/data";
/// Rows per append.
const ROWS: i64 = 5;

/// A stopped workspace: appends 0 to 3 in a data file, 4 and 5 in two log files.
async fn filled() -> SimDisk {
    let disk = SimDisk::new(1);
    let start = || open(Path::new(DATA), Arc::new(disk.clone()), HandClock::new(), small()).unwrap();
    let workspace = start();
    define(&workspace).await.unwrap();
    for n in 0..4 {
        add(&workspace, n * 10, ROWS).await.unwrap();
    }
    workspace.flush().await.unwrap();
    for n in 4..6 {
        add(&workspace, n * 10, ROWS).await.unwrap();
        // Forces the next append into another log file.
        disk.fail_syncs(1);
        assert!(add(&workspace, 999, 1).await.is_err());
    }
    drop(workspace);
    disk
}

fn files(disk: &SimDisk) -> Vec<PathBuf> {
    disk.files().into_iter().filter(|path| !path.starts_with("/data/quarantine")).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

#[derive(Clone, Copy, Debug)]
enum Harm {
    Remove,
    Empty,
    Zero,
    Cut,
    Flip,
}

impl Harm {
    const ALL: [Harm; 5] = [Harm::Remove, Harm::Empty, Harm::Zero, Harm::Cut, Harm::Flip];

    fn harm(self, disk: &SimDisk, path: &Path) {
        match self {
            Harm::Remove => disk.remove(path).unwrap(),
            Harm::Empty => disk.tamper(path, Vec::clear),
            Harm::Zero => disk.tamper(path, |bytes| bytes.fill(0)),
            Harm::Cut => disk.tamper(path, |bytes| bytes.truncate(bytes.len() / 2)),
            Harm::Flip => disk.tamper(path, |bytes| {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 0x10;
            }),
        }
    }
}

/// The active health conditions, one per line.
fn conditions(health: &HealthRegister) -> Vec<String> {
    health.conditions().into_iter().map(|each| format!("{} {}: {}", each.name, each.subject, each.summary)).collect()
}

fn appends(workspace: &Workspace) -> Vec<i64> {
    let found = stored(workspace);
    (0..6).filter(|n| (n * 10..n * 10 + ROWS).all(|row| found.get(&row) == Some(&1))).collect()
}

#[tokio::test]
async fn intact_directory_reports_nothing() {
    let disk = filled().await;
    for _ in 0..2 {
        let health = HealthRegister::default();
        let workspace = open_with(Path::new(DATA), Arc::new(disk.clone()), HandClock::new(), small(), health.clone()).unwrap();
        assert_eq!((appends(&workspace), conditions(&health)), ((0..6).collect(), vec![]));
    }
}

/// Reference: what each file contained. Losing a data file costs the appends in it, losing a log file those not yet in data files, losing
/// any other file nothing.
#[tokio::test]
async fn each_missing_file_is_reported_and_costs_only_its_rows() {
    let paths = files(&filled().await);
    let kinds = ["catalog.json", "catalog.copy.json", "manifest.json", "manifest.copy.json", "table.json", "index.json"];
    for kind in kinds {
        assert!(paths.iter().any(|path| name(path) == kind), "{kind} of {paths:?}");
    }
    for path in &paths {
        for harm in Harm::ALL {
            let context = format!("{harm:?} {}", path.display());
            let disk = filled().await;
            // File names contain random parts, but sort in the same order.
            let now = files(&disk);
            let path = &now[paths.iter().position(|each| each == path).unwrap()];
            let extension = path.extension().unwrap().to_string_lossy().into_owned();
            harm.harm(&disk, path);
            let before: Vec<(PathBuf, Vec<u8>)> =
                now.iter().filter(|each| *each != path).map(|each| (each.clone(), disk.read(each).unwrap())).collect();

            let health = HealthRegister::default();
            let workspace = open_with(Path::new(DATA), Arc::new(disk.clone()), HandClock::new(), small(), health.clone()).expect(&context);
            let found = appends(&workspace);
            assert!(conditions(&health).iter().any(|line| line.contains(&name(path))), "{context}: {:?}", conditions(&health));
            for (other, bytes) in &before {
                if matches!(other.extension().and_then(|e| e.to_str()), Some("parquet" | "log")) {
                    assert_eq!(disk.read(other).ok().as_ref(), Some(bytes), "{context}: {} is not what it was", other.display());
                }
            }
            let lost: Vec<i64> = match extension.as_str() {
                "parquet" => vec![0, 1, 2, 3],
                "log" => (0..6).filter(|n| !found.contains(n)).inspect(|n| assert!(*n >= 4, "{context}: append {n}")).collect(),
                _ => vec![],
            };
            assert!(lost.len() <= 1 || extension == "parquet", "{context}: {lost:?}");
            assert_eq!(found, (0..6).filter(|n| !lost.contains(n)).collect::<Vec<_>>(), "{context}");

            // The workspace accepts new appends, and nothing is lost later.
            add(&workspace, 100, ROWS).await.expect(&context);
            workspace.flush().await.expect(&context);
            drop(workspace);
            let workspace = open(Path::new(DATA), Arc::new(disk.clone()), HandClock::new(), small()).expect(&context);
            let again = stored(&workspace);
            assert!(
                found.iter().chain([&10]).all(|n| (n * 10..n * 10 + ROWS).all(|row| again.get(&row) == Some(&1))),
                "{context}: {again:?}"
            );
        }
    }
}

/// The catalog and its copy are removed, as by `rm *.json`. Regression: startup used to delete the data files of all custom tables.
#[tokio::test]
async fn lost_catalog_is_rebuilt_from_folders() {
    let disk = filled().await;
    let parquet = |disk: &SimDisk| files(disk).into_iter().filter(|path| path.extension().is_some_and(|e| e == "parquet")).count();
    let before = parquet(&disk);
    for name in ["catalog.json", "catalog.copy.json"] {
        disk.remove(&Path::new(DATA).join("tables/main").join(name)).unwrap();
    }
    let health = HealthRegister::default();
    let workspace = open_with(Path::new(DATA), Arc::new(disk.clone()), HandClock::new(), small(), health.clone()).unwrap();
    assert!(conditions(&health).iter().any(|line| line.starts_with("state-file-lost catalog.json")), "{:?}", conditions(&health));
    assert_eq!((appends(&workspace), parquet(&disk)), ((0..6).collect(), before));
    // A folder without a marker belongs to no table and is kept.
    drop(workspace);
    for path in files(&disk).into_iter().filter(|path| ["catalog.json", "catalog.copy.json", "table.json"].contains(&name(path).as_str())) {
        disk.remove(&path).unwrap();
    }
    let health = HealthRegister::default();
    let workspace = open_with(Path::new(DATA), Arc::new(disk.clone()), HandClock::new(), small(), health.clone()).unwrap();
    assert!(conditions(&health).iter().any(|line| line.starts_with("table-unknown Numbers_CL.")), "{:?}", conditions(&health));
    assert!(workspace.table(TABLE).is_none());
    workspace.flush().await.unwrap();
    assert_eq!(parquet(&disk), before);
    // A new table of that name gets its own folder.
    define(&workspace).await.unwrap();
    assert!(stored(&workspace).is_empty());
}

#[tokio::test]
async fn lost_manifest_quarantines_data_files() {
    let disk = filled().await;
    let parquet: Vec<Vec<u8>> =
        files(&disk).iter().filter(|path| path.extension().is_some_and(|e| e == "parquet")).map(|path| disk.read(path).unwrap()).collect();
    for name in ["manifest.json", "manifest.copy.json"] {
        disk.remove(&Path::new(DATA).join("tables/main").join(name)).unwrap();
    }
    let health = HealthRegister::default();
    let workspace = open_with(Path::new(DATA), Arc::new(disk.clone()), HandClock::new(), small(), health.clone()).unwrap();
    let lines = conditions(&health);
    assert!(lines.iter().any(|line| line.starts_with("state-file-lost manifest.json")), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("data-file-set-aside")), "{lines:?}");
    for bytes in parquet {
        assert!(disk.files().iter().any(|path| path.starts_with("/data/quarantine") && disk.read(path).unwrap() == bytes));
    }
    assert!(appends(&workspace).ends_with(&[4, 5]));
}

/// Only the copy shows that the first file is outdated: restoring last week's catalog must not delete tables created since.
#[tokio::test]
async fn restored_old_catalog_keeps_data_files() {
    let disk = filled().await;
    let catalog = Path::new(DATA).join("tables/main/catalog.json");
    let old = {
        let empty = SimDisk::new(2);
        drop(open(Path::new(DATA), Arc::new(empty.clone()), HandClock::new(), small()).unwrap());
        empty.read(&catalog).unwrap()
    };
    disk.tamper(&catalog, |bytes| *bytes = old);
    let before: Vec<PathBuf> = files(&disk).into_iter().filter(|path| path.extension().is_some_and(|e| e == "parquet")).collect();
    let workspace = open(Path::new(DATA), Arc::new(disk.clone()), HandClock::new(), small()).unwrap();
    drop(workspace);
    for path in before {
        assert!(disk.read(&path).is_ok(), "{}", path.display());
    }
}

#[tokio::test]
async fn saved_searches_survive_the_loss_of_one_catalog() {
    let disk = filled().await;
    let workspace = open(Path::new(DATA), Arc::new(disk.clone()), HandClock::new(), small()).unwrap();
    let columns = vec![Column::new("A", Type::String)];
    workspace.define(&TableName::new("Other_CL"), columns).await.unwrap();
    workspace.save_search(SavedSearch { name: "kept".to_owned(), ..SavedSearch::default() }).await.unwrap();
    drop(workspace);
    disk.remove(&Path::new(DATA).join("tables/main/catalog.json")).unwrap();
    let workspace = open(Path::new(DATA), Arc::new(disk), HandClock::new(), small()).unwrap();
    assert_eq!(workspace.saved_searches().len(), 1);
    assert!(workspace.table("Other_CL").is_some());
}
