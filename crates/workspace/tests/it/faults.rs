//! A disk that is full, out of inodes, read-only or broken: appends are refused while the fault lasts, accepted afterwards, and no
//! acknowledged row is lost.

use std::path::Path;
use std::sync::Arc;

use model::{AppendError, Catalog, CatalogError, HealthRegister, TableName};
use testkit::{Fault, Random, SimDisk};

use crate::support::{HandClock, add, define, open, open_with, seed, small, stored};

const DATA: &str = "/data";

fn names(health: &HealthRegister) -> Vec<String> {
    health.conditions().into_iter().map(|each| each.name).collect()
}

#[tokio::test]
async fn each_disk_fault_is_reported_and_survived() {
    for fault in [Fault::Full, Fault::NoInodes, Fault::ReadOnly, Fault::Broken] {
        let (disk, health) = (SimDisk::new(1), HealthRegister::default());
        let workspace = open_with(Path::new(DATA), Arc::new(disk.clone()), HandClock::new(), small(), health.clone()).unwrap();
        define(&workspace).await.unwrap();
        add(&workspace, 0, 5).await.unwrap();
        let mut stored_rows = 5;
        for round in 1..4 {
            // Rows not yet in a data file.
            add(&workspace, round * 100_000 + 90_000, 5).await.unwrap();
            stored_rows += 5;
            disk.set_fault(Some(fault));
            let mut refused = 0;
            // Without free inodes the open log file is used until it is full.
            for n in 0..200 {
                let first = round * 100_000 + n * 10;
                match add(&workspace, first, 5).await {
                    Ok(_) => stored_rows += 5,
                    Err(AppendError::Busy { retry_after_seconds, .. }) => {
                        assert!(retry_after_seconds <= 10);
                        refused += 1;
                    }
                    Err(other) => panic!("{fault:?}: {other}"),
                }
                if refused == 3 {
                    break;
                }
            }
            assert!(refused > 0, "{fault:?}");
            assert!(names(&health).contains(&"log-write-failed".to_owned()), "{fault:?}: {:?}", names(&health));
            assert_eq!(stored(&workspace).len(), stored_rows, "{fault:?}: reads go on");
            assert!(workspace.flush().await.is_err(), "{fault:?}");
            assert!(names(&health).contains(&"files-write-failed".to_owned()), "{fault:?}: {:?}", names(&health));
            let made = workspace.define(&TableName::new("New_CL"), vec![]).await;
            assert!(matches!(made, Err(CatalogError::Write(_))), "{fault:?}");

            disk.set_fault(None);
            add(&workspace, round * 100_000 + 50_000, 5).await.expect("the first append after the disk was healed");
            stored_rows += 5;
            workspace.flush().await.unwrap();
            assert!(names(&health).is_empty(), "{fault:?}: {:?}", names(&health));
        }
        drop(workspace);
        let health = HealthRegister::default();
        let workspace = open_with(Path::new(DATA), Arc::new(disk.clone()), HandClock::new(), small(), health.clone()).unwrap();
        let found = stored(&workspace);
        assert_eq!((found.len(), found.values().all(|count| *count == 1), names(&health)), (stored_rows, true, vec![]), "{fault:?}");
    }
}

/// Stored rows are served even if the disk accepts no writes.
#[tokio::test]
async fn a_workspace_opens_on_a_disk_with_each_fault() {
    for fault in [Fault::Full, Fault::NoInodes, Fault::ReadOnly, Fault::Broken] {
        let disk = SimDisk::new(1);
        let workspace = open(Path::new(DATA), Arc::new(disk.clone()), HandClock::new(), small()).unwrap();
        define(&workspace).await.unwrap();
        add(&workspace, 0, 5).await.unwrap();
        workspace.flush().await.unwrap();
        add(&workspace, 10, 5).await.unwrap();
        drop(workspace);
        disk.set_fault(Some(fault));
        let workspace = open(Path::new(DATA), Arc::new(disk.clone()), HandClock::new(), small()).unwrap();
        assert_eq!(stored(&workspace).len(), 10, "{fault:?}");
        assert!(matches!(add(&workspace, 20, 5).await, Err(AppendError::Busy { .. })), "{fault:?}");
        disk.set_fault(None);
        add(&workspace, 20, 5).await.unwrap();
        assert_eq!(stored(&workspace).len(), 15, "{fault:?}");
    }
}

/// Random faults with restarts: every acknowledged append is stored exactly once.
#[tokio::test]
async fn random_faults_lose_no_acknowledged_rows() {
    let seed = seed();
    for story in 0..6 {
        let (mut random, disk) = (Random::new(seed.wrapping_add(story)), SimDisk::new(seed));
        let mut acknowledged = Vec::new();
        let mut workspace = open(Path::new(DATA), Arc::new(disk.clone()), HandClock::new(), small()).unwrap();
        define(&workspace).await.unwrap();
        for n in 0..120 {
            let fault = match random.below(12) {
                0 => Some(Fault::Full),
                1 => Some(Fault::NoInodes),
                2 => Some(Fault::ReadOnly),
                3 => Some(Fault::Broken),
                _ => None,
            };
            disk.set_fault(fault);
            match random.below(8) {
                0 => drop(workspace.flush().await),
                1 => {
                    drop(workspace);
                    workspace = open(Path::new(DATA), Arc::new(disk.clone()), HandClock::new(), small()).unwrap();
                }
                _ => {
                    if add(&workspace, n * 10, 3).await.is_ok() {
                        acknowledged.push(n * 10);
                    }
                }
            }
        }
        disk.set_fault(None);
        drop(workspace);
        let health = HealthRegister::default();
        let workspace = open_with(Path::new(DATA), Arc::new(disk.clone()), HandClock::new(), small(), health.clone()).unwrap();
        let found = stored(&workspace);
        let context = format!("BARTIZAN_SEED={seed}, story {story}");
        for first in &acknowledged {
            assert!((*first..first + 3).all(|n| found.get(&n) == Some(&1)), "{context}: {first}");
        }
        assert!(found.values().all(|count| *count == 1), "{context}");
        let lost: Vec<String> = names(&health).into_iter().filter(|name| name.contains("lost") || name.contains("damaged")).collect();
        assert!(lost.is_empty(), "{context}: {lost:?}");
    }
}
