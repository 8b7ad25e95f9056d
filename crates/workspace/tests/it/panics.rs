//! A panic in a thread of the workspace, at each operation of the disk: every sender gets an answer, no acknowledged row is lost, no row is
//! stored twice, and the workspace goes on without a restart.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use model::{AppendError, ConditionSeverity, Disk, DiskFile, HealthRegister};
use testkit::SimDisk;
use workspace::Workspace;

use crate::support::{HandClock, add, define, open, open_with, small, stored};

const DATA: &str = "/data";

/// Panics at the operation of a thread that is counted down to.
#[derive(Clone)]
struct Panicking {
    disk: SimDisk,
    thread: &'static str,
    /// Operations until the panic; negative: none.
    left: Arc<AtomicI64>,
}

struct PanickingFile(Box<dyn DiskFile>, Panicking);

impl Panicking {
    fn step(&self) {
        if std::thread::current().name() == Some(self.thread) && self.left.fetch_sub(1, Ordering::SeqCst) == 0 {
            panic!("injected by a test");
        }
    }
}

impl Disk for Panicking {
    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.step();
        Ok(Box::new(PanickingFile(self.disk.append(path)?, self.clone())))
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.disk.replace(path, bytes)?;
        self.step();
        Ok(())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.step();
        self.disk.read(path)
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        self.disk.length(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step();
        self.disk.remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.step();
        self.disk.sync_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        self.disk.list(path)
    }
}

impl DiskFile for PanickingFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.1.step();
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()?;
        // Durable, not acknowledged.
        self.1.step();
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.0.truncate(length)
    }

    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }
}

/// Sends rows again until they are stored, as senders do.
async fn add_again(workspace: &Workspace, first: i64) {
    for _ in 0..100 {
        let answer = tokio::time::timeout(Duration::from_secs(20), add(workspace, first, 5)).await.expect("each sender gets an answer");
        match answer {
            Ok(_) => return,
            Err(AppendError::Busy { .. }) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(other) => panic!("{other}"),
        }
    }
    panic!("the rows are never taken");
}

async fn flush_again(workspace: &Workspace) {
    for _ in 0..10 {
        if tokio::time::timeout(Duration::from_secs(20), workspace.flush()).await.expect("each caller gets an answer").is_ok() {
            return;
        }
    }
    panic!("the rows are never written");
}

/// Whether the panic happened.
async fn panic_at(thread: &'static str, operation: i64) -> bool {
    let (disk, health) = (SimDisk::new(1), HealthRegister::default());
    let panicking = Panicking { disk: disk.clone(), thread, left: Arc::new(AtomicI64::new(-1)) };
    let workspace = open_with(Path::new(DATA), Arc::new(panicking.clone()), HandClock::new(), small(), health.clone()).unwrap();
    define(&workspace).await.unwrap();
    add(&workspace, 0, 5).await.unwrap();
    panicking.left.store(operation, Ordering::SeqCst);
    for round in 1..4 {
        add_again(&workspace, round * 100).await;
        add_again(&workspace, round * 100 + 10).await;
        flush_again(&workspace).await;
    }
    let whole = |workspace: &Workspace| {
        let found = stored(workspace);
        (found.len(), found.values().all(|count| *count == 1))
    };
    assert_eq!(whole(&workspace), (35, true), "{thread} {operation}");
    let condition = health.condition(&format!("task.{thread}"));
    let panicked = panicking.left.load(Ordering::SeqCst) < 0;
    let severity = condition.map(|condition| condition.severity);
    assert_eq!(severity, panicked.then_some(ConditionSeverity::Degraded), "{thread} {operation}");
    drop(workspace);
    let workspace = open(Path::new(DATA), Arc::new(disk), HandClock::new(), small()).unwrap();
    assert_eq!(whole(&workspace), (35, true), "{thread} {operation}, after a restart");
    panicked
}

#[tokio::test]
async fn the_log_goes_on_after_a_panic_at_any_operation() {
    let mut panics = 0;
    while panics < 16 && panic_at("log", panics).await {
        panics += 1;
    }
    assert!(panics > 4, "{panics}");
}

#[tokio::test]
async fn files_are_written_after_a_panic_at_any_operation() {
    let mut panics = 0;
    while panics < 16 && panic_at("files", panics).await {
        panics += 1;
    }
    assert!(panics > 4, "{panics}");
}
