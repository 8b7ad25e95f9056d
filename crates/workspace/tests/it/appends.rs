//! Guarantees of an acknowledgement, and changes of tables.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringViewArray};
use futures::{FutureExt, StreamExt};
use model::{Append, AppendError, ByteSize, Catalog, CatalogError, Column, INGESTION_TIME, Span, TableName, TableWriter, Type};
use testkit::SimDisk;
use workspace::{Snapshots, SystemDisk, Workspace, WorkspaceConfig};

use crate::support::{HandClock, TABLE, add, batch, define, numbers, open, small, stored};

fn data() -> &'static Path {
    Path::new("/data")
}

async fn fresh(disk: &SimDisk, clock: &Arc<HandClock>) -> Workspace {
    let workspace = open(data(), Arc::new(disk.clone()), clock.clone(), small()).unwrap();
    define(&workspace).await.unwrap();
    workspace
}

#[tokio::test]
async fn acknowledged_rows_are_visible_and_keys_deduplicate() {
    let (disk, clock) = (SimDisk::new(1), HandClock::new());
    let workspace = fresh(&disk, &clock).await;
    let first = add(&workspace, 0, 5).await.unwrap();
    assert_eq!((first.sequence, first.duplicate), (1, false));
    assert_eq!(stored(&workspace).len(), 5);
    let again = add(&workspace, 0, 5).await.unwrap();
    assert_eq!((again.sequence, again.ingested, again.duplicate), (first.sequence, first.ingested, true));
    let third = add(&workspace, 10, 5).await.unwrap();
    assert_eq!(third.sequence, 2);
    assert!(third.ingested > first.ingested);
    // The key survives a restart, a flush and the removal of its log file.
    workspace.flush().await.unwrap();
    add(&workspace, 20, 5).await.unwrap();
    drop(workspace);
    let workspace = fresh(&disk, &clock).await;
    for from in [0, 10, 20] {
        assert!(add(&workspace, from, 5).await.unwrap().duplicate);
    }
    assert_eq!(stored(&workspace).len(), 15);
    // It expires after its window.
    clock.advance(Span(2 * Span::DAY.0));
    add(&workspace, 30, 1).await.unwrap();
    assert!(!add(&workspace, 0, 5).await.unwrap().duplicate);
}

#[tokio::test]
async fn senders_share_syncs_and_each_gets_its_own_sequence() {
    let (disk, clock) = (SimDisk::new(1), HandClock::new());
    let workspace = fresh(&disk, &clock).await;
    let before = disk.steps();
    // Syncs are blocked until all senders have submitted: the first append may sync alone, the others must share.
    let held = disk.hold_syncs();
    let mut appends = futures::future::join_all((0..200).map(|n| add(&workspace, n * 10, 2)));
    assert!((&mut appends).now_or_never().is_none());
    drop(held);
    let acks = appends.await;
    let mut sequences: Vec<u64> = acks.into_iter().map(|ack| ack.unwrap().sequence).collect();
    sequences.sort();
    assert_eq!(sequences, (1..=200).collect::<Vec<_>>());
    // A sync and a write per append would be 400 operations. The count includes creating the first log file and its index.
    assert!(disk.steps() - before < 26, "{} disk operations for 200 appends", disk.steps() - before);
    // The same key twice concurrently: one append is stored.
    let twins = futures::future::join_all([add(&workspace, 5000, 1), add(&workspace, 5000, 1)]).await;
    let duplicates = twins.into_iter().filter(|ack| ack.as_ref().unwrap().duplicate).count();
    assert_eq!((duplicates, stored(&workspace).len()), (1, 401));
}

#[tokio::test]
async fn positions_are_stored_with_their_rows() {
    let (disk, clock) = (SimDisk::new(1), HandClock::new());
    let workspace = fresh(&disk, &clock).await;
    let at =
        |first: i64, cursor: &str| model::Append { position: Some(("mail".to_owned(), cursor.as_bytes().to_vec())), ..numbers(first, 1) };
    workspace.append(at(0, "a")).await.unwrap();
    workspace.flush().await.unwrap();
    workspace.append(at(10, "b")).await.unwrap();
    assert_eq!(workspace.position("mail").as_deref(), Some(b"b".as_slice()));
    drop(workspace);
    let workspace = fresh(&disk, &clock).await;
    assert_eq!(workspace.position("mail").as_deref(), Some(b"b".as_slice()));
    workspace.flush().await.unwrap();
    drop(workspace);
    assert_eq!(fresh(&disk, &clock).await.position("mail").as_deref(), Some(b"b".as_slice()));
}

#[tokio::test]
async fn files_are_flushed_merged_and_expired() {
    let (disk, clock) = (SimDisk::new(1), HandClock::new());
    let workspace = fresh(&disk, &clock).await;
    let mut old = None;
    for n in 0..4 {
        add(&workspace, n * 10, 5).await.unwrap();
        workspace.flush().await.unwrap();
        old = old.or_else(|| workspace.snapshot(TABLE));
    }
    let old = old.unwrap();
    workspace.maintain().await.unwrap();
    let now = workspace.snapshot(TABLE).unwrap();
    assert!(now.files.len() <= 2 && now.memory.is_empty(), "{:?}", now.files);
    assert_eq!((old.rows(), now.rows(), stored(&workspace).len()), (5, 20, 20));
    // A file referenced by an old snapshot exists until the snapshot is dropped.
    let path = old.files[0].path.clone();
    assert!(!now.files.iter().any(|file| file.path == path));
    assert!(disk.files().contains(&path));
    drop(old);
    workspace.maintain().await.unwrap();
    assert!(!disk.files().contains(&path));
    // The rows are from 2026-03-01 and expire under the new retention.
    workspace.set_retention(&TableName::new(TABLE), Some(Span(7 * Span::DAY.0))).await.unwrap();
    clock.advance(Span(8 * Span::DAY.0));
    workspace.maintain().await.unwrap();
    assert_eq!(stored(&workspace).len(), 0);
    assert_eq!(workspace.retention(TABLE), Some(Span(7 * Span::DAY.0)));
}

#[tokio::test]
async fn logs_shrink_once_their_rows_are_in_files() {
    let (disk, clock) = (SimDisk::new(1), HandClock::new());
    let workspace = fresh(&disk, &clock).await;
    for n in 0..60 {
        add(&workspace, n * 100, 20).await.unwrap();
    }
    let logs = || disk.files().iter().filter(|path| path.extension().is_some_and(|extension| extension == "log")).count();
    assert!(logs() > 2);
    workspace.flush().await.unwrap();
    // The next append is queued behind the truncation.
    add(&workspace, 90_000, 1).await.unwrap();
    assert!(logs() <= 2, "{} log files", logs());
    drop(workspace);
    assert_eq!(stored(&fresh(&disk, &clock).await).len(), 1201);
}

#[tokio::test]
async fn recreated_table_does_not_contain_old_rows() {
    let (disk, clock) = (SimDisk::new(1), HandClock::new());
    let workspace = fresh(&disk, &clock).await;
    add(&workspace, 0, 5).await.unwrap();
    workspace.drop_table(&TableName::new(TABLE)).await.unwrap();
    assert!(workspace.table(TABLE).is_none());
    assert!(matches!(add(&workspace, 10, 5).await, Err(AppendError::NoTable(_))));
    assert!(matches!(workspace.drop_table(&TableName::new("Syslog")).await, Err(CatalogError::BuiltIn(_))));
    define(&workspace).await.unwrap();
    add(&workspace, 20, 5).await.unwrap();
    drop(workspace);
    let mut numbers: Vec<i64> = stored(&fresh(&disk, &clock).await).into_keys().collect();
    numbers.sort();
    assert_eq!(numbers, [20, 21, 22, 23, 24]);
}

#[tokio::test]
async fn rows_carry_their_table_and_arrival() {
    let (disk, clock) = (SimDisk::new(1), HandClock::new());
    let workspace = fresh(&disk, &clock).await;
    let ack = add(&workspace, 0, 2).await.unwrap();
    for flushed in [false, true] {
        if flushed {
            workspace.flush().await.unwrap();
        }
        let rows = &workspace.rows(TABLE).unwrap()[0];
        assert_eq!(rows.column_by_name("Type").unwrap().as_string_view().value(1), TABLE);
        assert_eq!(rows.column_by_name("TenantId").unwrap().as_string_view().value(1), "00000000-0000-0000-0000-00000000000a");
        let arrival = rows.column_by_name(INGESTION_TIME).unwrap().as_primitive::<arrow::datatypes::Int64Type>().value(0);
        assert_eq!(arrival, ack.ingested.ticks());
    }
    let wrong = model::Append {
        rows: vec![model::Rows { table: TableName::new("Syslog"), batch: batch(0, 1, ack.ingested) }],
        ..Default::default()
    };
    let error = workspace.append(wrong).await.unwrap_err();
    assert_eq!(error.to_string(), "table `Syslog` has no column `N` of type Int64");
}

#[tokio::test]
async fn columns_are_added_to_rows_that_lack_them() {
    let (disk, clock) = (SimDisk::new(1), HandClock::new());
    let workspace = fresh(&disk, &clock).await;
    add(&workspace, 0, 2).await.unwrap();
    let schema = workspace.define(&TableName::new(TABLE), vec![Column::new("n", Type::Real)]).await.unwrap();
    assert_eq!(schema.columns.last().unwrap(), &Column::new("n", Type::Real));
    let snapshot = workspace.snapshot(TABLE).unwrap();
    assert_eq!(snapshot.physical_name("n"), Some("n$2"));
    add(&workspace, 10, 2).await.unwrap();
    assert_eq!(stored(&workspace).len(), 4);
}

#[tokio::test]
async fn listeners_receive_the_newest_arrival_per_table() {
    let (disk, clock) = (SimDisk::new(1), HandClock::new());
    let workspace = fresh(&disk, &clock).await;
    add(&workspace, 0, 1).await.unwrap();
    let mut arrivals = workspace.arrivals();
    assert!(arrivals.next().now_or_never().is_none(), "only from now on");
    let mut last = add(&workspace, 10, 1).await.unwrap();
    for n in 2..50 {
        last = add(&workspace, n * 10, 1).await.unwrap();
    }
    let mut heard = arrivals.next().await.unwrap();
    while let Some(Some(next)) = arrivals.next().now_or_never() {
        heard = next;
    }
    assert_eq!((heard.table.as_str(), heard.ingested), (TABLE, last.ingested));
}

/// Reference: the promise itself. No row stored after `complete_until` returned may be at or below the returned instant, regardless of the
/// clock.
#[tokio::test]
async fn completeness_promise_holds() {
    let (disk, clock) = (SimDisk::new(1), HandClock::new());
    let mut promised = None;
    for start in 0..6 {
        let workspace = fresh(&disk, &clock).await;
        for n in 0..10 {
            clock.advance(Span(if n % 4 == 3 { -Span::HOUR.0 } else { 90 * Span::SECOND.0 }));
            let until = workspace.complete_until();
            assert!(promised.is_none_or(|before| until >= before), "a promise shrank");
            promised = Some(until);
            let ack = add(&workspace, start * 1000 + n * 10, 1).await.unwrap();
            assert!(ack.ingested > until, "{} is not after {until}", ack.ingested);
        }
        clock.advance(Span::MINUTE);
        let until = workspace.complete_until();
        promised = promised.max(Some(until));
        clock.advance(Span(-2 * Span::HOUR.0));
    }
}

#[tokio::test]
async fn a_full_disk_refuses_and_recovers_without_a_restart() {
    let (disk, clock) = (SimDisk::new(1), HandClock::new());
    let workspace = fresh(&disk, &clock).await;
    add(&workspace, 0, 5).await.unwrap();
    disk.set_capacity(Some(disk.used() + 50));
    for _ in 0..5 {
        assert!(matches!(add(&workspace, 10, 5).await, Err(AppendError::Busy { .. })));
        assert_eq!(stored(&workspace).len(), 5, "reads go on");
    }
    assert!(workspace.flush().await.is_err());
    assert_eq!(stored(&workspace).len(), 5);
    disk.set_capacity(None);
    assert!(!add(&workspace, 10, 5).await.unwrap().duplicate);
    workspace.flush().await.unwrap();
    drop(workspace);
    let found = stored(&fresh(&disk, &clock).await);
    assert!(found.len() == 10 && found.values().all(|count| *count == 1));
}

#[tokio::test]
async fn failed_sync_is_never_retried() {
    let (disk, clock) = (SimDisk::new(1), HandClock::new());
    let workspace = fresh(&disk, &clock).await;
    add(&workspace, 0, 5).await.unwrap();
    disk.fail_syncs(1);
    assert!(matches!(add(&workspace, 10, 5).await, Err(AppendError::Busy { .. })));
    assert_eq!(stored(&workspace).len(), 5);
    // New rows reuse the sequences of the failed append; the failed frames must not be replayed instead.
    add(&workspace, 20, 5).await.unwrap();
    add(&workspace, 10, 5).await.unwrap();
    drop(workspace);
    let found = stored(&fresh(&disk, &clock).await);
    assert!(found.len() == 15 && found.values().all(|count| *count == 1), "{found:?}");
}

#[tokio::test]
async fn memory_is_bounded() {
    let (disk, clock) = (SimDisk::new(1), HandClock::new());
    let config = WorkspaceConfig { memory: ByteSize(20_000), ..small() };
    let workspace = open(data(), Arc::new(disk.clone()), clock, config).unwrap();
    define(&workspace).await.unwrap();
    // Append faster than files can be written.
    let mut refused = 0;
    for n in 0..400 {
        refused += u64::from(matches!(add(&workspace, n * 100, 50).await, Err(AppendError::Busy { .. })));
    }
    let held: usize = workspace.snapshot(TABLE).unwrap().memory.iter().map(|batch| batch.bytes).sum();
    // The limit plus the one append that exceeded it.
    assert!(held < 40_000, "{held} bytes");
    assert!(refused > 0);
    workspace.flush().await.unwrap();
    assert!(!add(&workspace, 100_000, 50).await.unwrap().duplicate, "room again");
}

/// Measures restart time with a million rows, in the worst case all still in the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn million_rows_recover_within_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let most = ByteSize(1 << 30);
    let config = WorkspaceConfig { memory: ByteSize(4 << 30), flush_size: most, log_size: most, ..WorkspaceConfig::default() };
    let start = || open(folder.path(), Arc::new(SystemDisk), HandClock::new(), config.clone()).unwrap();
    let workspace = start();
    define(&workspace).await.unwrap();
    let begun = Instant::now();
    for n in 0..200 {
        add(&workspace, n * 5000, 5000).await.unwrap();
    }
    let appended = begun.elapsed();
    drop(workspace);
    let begun = Instant::now();
    let workspace = start();
    let opened = begun.elapsed();
    assert_eq!(workspace.snapshot(TABLE).unwrap().rows(), 1_000_000);
    println!("appended in {appended:?}, reopened in {opened:?}, {} rows from the log", workspace.recovery().rows);
    assert!(opened.as_secs_f64() < 3.0, "{opened:?}");
}

#[tokio::test]
async fn a_published_table_is_created_by_its_first_rows() {
    const PUBLISHED: &str = "StorageBlobLogs";
    let (disk, clock) = (SimDisk::new(1), HandClock::new());
    let workspace = fresh(&disk, &clock).await;
    let listed = |workspace: &Workspace| workspace.tables().iter().any(|table| table.name.as_str() == PUBLISHED);
    // It can be queried, and is not listed.
    let schema = workspace.table(PUBLISHED).unwrap();
    let empty = workspace.snapshot(PUBLISHED).unwrap();
    assert_eq!((empty.rows(), empty.schema.as_ref()), (0, schema.as_ref()));
    assert!(workspace.snapshots(&[PUBLISHED, "Nowhere_CL"]).iter().map(Option::is_some).eq([true, false]));
    assert!(!listed(&workspace) && !workspace.is_created(PUBLISHED) && workspace.published_tables().contains(PUBLISHED));
    assert!(workspace.table("storagebloblogs").is_none());
    assert!(workspace.retention(PUBLISHED).is_some());

    let version = workspace.version();
    let texts: ArrayRef = Arc::new(StringViewArray::from(vec!["GetBlob", "PutBlob"]));
    let rows = RecordBatch::try_from_iter([("OperationName", texts)]).unwrap();
    let append = || Append { rows: vec![model::Rows { table: TableName::new(PUBLISHED), batch: rows.clone() }], ..Default::default() };
    workspace.append(append()).await.unwrap();
    assert!(listed(&workspace) && workspace.is_created(PUBLISHED) && workspace.version() > version);
    assert_eq!(workspace.snapshot(PUBLISHED).unwrap().rows(), 2);
    assert!(matches!(workspace.drop_table(&TableName::new(PUBLISHED)).await, Err(CatalogError::BuiltIn(_))));
    // A power cut keeps the table and its rows.
    drop(workspace);
    disk.restart();
    let workspace = fresh(&disk, &clock).await;
    assert!(listed(&workspace));
    workspace.append(append()).await.unwrap();
    let found = workspace.rows(PUBLISHED).unwrap();
    assert_eq!(found.iter().map(RecordBatch::num_rows).sum::<usize>(), 4);
    let sizes = found[0].column_by_name("_BilledSize").unwrap().as_primitive::<arrow::datatypes::Float64Type>().clone();
    assert_eq!(sizes.value(0), ("GetBlob".len() + "00000000-0000-0000-0000-00000000000a".len()) as f64);
    assert_eq!(found[0].column_by_name("_IsBillable").unwrap().as_string_view().value(1), "True");
}

#[tokio::test]
async fn a_saved_function_hides_a_published_table_without_rows() {
    const PUBLISHED: &str = "StorageBlobLogs";
    let (disk, clock) = (SimDisk::new(1), HandClock::new());
    let workspace = fresh(&disk, &clock).await;
    let search = model::SavedSearch {
        name: "f".to_owned(),
        query: "print 1".to_owned(),
        function_alias: PUBLISHED.to_owned(),
        ..Default::default()
    };
    workspace.save_search(search).await.unwrap();
    assert!(workspace.table(PUBLISHED).is_none() && workspace.function(PUBLISHED).is_some());
    workspace.set_retention(&TableName::new(PUBLISHED), Some(Span::DAY)).await.unwrap();
    assert!(workspace.table(PUBLISHED).is_some());
}
