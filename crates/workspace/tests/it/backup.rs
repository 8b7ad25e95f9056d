//! Files held for a backup beside a running workspace: copied, they open as a workspace with every row that was acknowledged before.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use model::HealthRegister;
use workspace::{HeldContent, SystemDisk, hold};

use crate::support::{HandClock, add, define, open_with, small, stored};

fn copy(held: &workspace::HeldFiles, to: &Path) {
    for file in &held.files {
        let path = to.join(&file.name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        match &file.content {
            HeldContent::Bytes(bytes) => std::fs::write(path, bytes).unwrap(),
            HeldContent::Link(link) => drop(std::fs::copy(link, path).unwrap()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_copy_made_while_rows_are_written_has_every_row_acknowledged_before() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let health = HealthRegister::default();
    let workspace = Arc::new(open_with(&data, Arc::new(SystemDisk), HandClock::new(), small(), health.clone()).unwrap());
    define(&workspace).await.unwrap();
    let (next, acknowledged) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(0)));
    let writer = tokio::spawn({
        let (workspace, next, acknowledged) = (workspace.clone(), next.clone(), acknowledged.clone());
        async move {
            loop {
                let first = next.fetch_add(10, Ordering::SeqCst);
                add(&workspace, first, 10).await.unwrap();
                acknowledged.store(first + 10, Ordering::SeqCst);
                if first % 100 == 90 {
                    // Small files are merged, and log files removed, all the time.
                    workspace.flush().await.unwrap();
                }
            }
        }
    });
    for round in 0..8 {
        while acknowledged.load(Ordering::SeqCst) < (round + 1) * 150 {
            tokio::task::yield_now().await;
        }
        let before = acknowledged.load(Ordering::SeqCst);
        let target = folder.path().join(format!("copy-{round}"));
        let (from, to) = (data.clone(), target.clone());
        tokio::task::spawn_blocking(move || {
            let held = hold(&from).unwrap();
            assert!(held.missing.is_empty(), "{:?}", held.missing);
            // What is held stays, whatever is merged meanwhile.
            std::thread::sleep(std::time::Duration::from_millis(50));
            copy(&held, &to);
        })
        .await
        .unwrap();
        let health = HealthRegister::default();
        let restored = open_with(&target, Arc::new(SystemDisk), HandClock::new(), small(), health.clone()).unwrap();
        let found = stored(&restored);
        assert!((0..before).all(|n| found.get(&n) == Some(&1)), "round {round}: {} of {before} rows", found.len());
        assert!(found.values().all(|count| *count == 1), "round {round}: no row is there twice");
        let named: Vec<_> = health.conditions().into_iter().map(|condition| condition.name).collect();
        assert_eq!(named, Vec::<String>::new(), "round {round}: a restored workspace is whole");
    }
    writer.abort();
    assert!(std::fs::read_dir(data.join("tmp")).map_or(0, Iterator::count) == 0, "no link is left");
}
