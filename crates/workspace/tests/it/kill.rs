//! kill -9 at random moments: the child process appends and reports acknowledgements, the parent verifies them.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::ByteSize;
use testkit::Random;
use workspace::{SystemDisk, Workspace, WorkspaceConfig};

use crate::support::{HandClock, add, define, open, seed, stored, trials};

const FOLDER: &str = "BARTIZAN_KILL_FOLDER";
const FIRST: &str = "BARTIZAN_KILL_FIRST";
const SENDERS: i64 = 4;
const ROWS: i64 = 7;

fn config() -> WorkspaceConfig {
    WorkspaceConfig { log_file_size: ByteSize(64 << 10), log_size: ByteSize(256 << 10), small_files: 3, ..WorkspaceConfig::default() }
}

fn open_real(folder: &Path) -> Workspace {
    open(folder, Arc::new(SystemDisk), HandClock::new(), config()).unwrap()
}

/// The child process; it runs until killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the child of the test below"]
async fn child() {
    let (Ok(folder), Ok(first)) = (std::env::var(FOLDER), std::env::var(FIRST)) else { return };
    let first: i64 = first.parse().unwrap();
    let workspace = Arc::new(open_real(Path::new(&folder)));
    define(&workspace).await.unwrap();
    let senders = (0..SENDERS).map(|sender| {
        let workspace = workspace.clone();
        tokio::spawn(async move {
            for n in 0.. {
                let from = first + (n * SENDERS + sender) * 10;
                say(&format!("try {from}"));
                add(&workspace, from, ROWS).await.unwrap();
                say(&format!("ack {from}"));
            }
        })
    });
    for sender in senders.collect::<Vec<_>>() {
        sender.await.unwrap();
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "\n{line}");
    let _ = out.flush();
}

/// Reference: the set of acknowledged appends reported by the child.
#[tokio::test]
async fn kill_loses_and_duplicates_no_acknowledged_rows() {
    let seed = seed();
    let mut random = Random::new(seed);
    let folder = tempfile::tempdir().unwrap();
    let (mut expected, mut acknowledged) = (0, 0);
    let count = trials("BARTIZAN_KILLS", 10);
    for trial in 0..count {
        let life = Duration::from_millis(30 + random.below(400));
        let (tried, acked) = kill_after(folder.path().to_owned(), trial as i64 * 1_000_000_000, life);
        let workspace = open_real(folder.path());
        define(&workspace).await.unwrap();
        let found = stored(&workspace);
        for from in &acked {
            for n in *from..from + ROWS {
                assert_eq!(found.get(&n), Some(&1), "BARTIZAN_SEED={seed}, trial {trial}: acknowledged row {n}");
            }
        }
        assert!(found.values().all(|count| *count == 1), "BARTIZAN_SEED={seed}, trial {trial}: a row is stored twice");
        for from in tried.iter().filter(|from| !acked.contains(from)) {
            add(&workspace, *from, ROWS).await.unwrap();
        }
        expected += tried.len() * ROWS as usize;
        acknowledged += acked.len();
        let found = stored(&workspace);
        assert_eq!(found.len(), expected, "BARTIZAN_SEED={seed}, trial {trial}: after sending again");
        assert!(found.values().all(|count| *count == 1), "BARTIZAN_SEED={seed}, trial {trial}: sent again and stored twice");
    }
    println!("{count} kills, {acknowledged} acknowledged appends");
    assert!(acknowledged > 0);
}

fn kill_after(folder: PathBuf, first: i64, life: Duration) -> (Vec<i64>, Vec<i64>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child", "--ignored", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut tried, mut acked) = (Vec::new(), Vec::new());
    // The timer starts with the first append; before it the child is only starting.
    let mut killed = None;
    let (alarm, killer) = std::sync::mpsc::channel::<()>();
    let pid_killer = {
        let mut child = child;
        std::thread::spawn(move || {
            let _ = killer.recv();
            let end = Instant::now() + life;
            // Sleeping is intended: the moment of the kill is the random input of the test.
            std::thread::sleep(end.saturating_duration_since(Instant::now()));
            let _ = child.kill();
            let _ = child.wait();
        })
    };
    for line in lines.map_while(Result::ok) {
        if killed.is_none() && line.starts_with("try") {
            killed = Some(alarm.send(()));
        }
        match line.split_once(' ') {
            Some(("try", n)) => tried.extend(n.parse::<i64>()),
            Some(("ack", n)) => acked.extend(n.parse::<i64>()),
            _ => {}
        }
    }
    drop(alarm);
    pid_killer.join().unwrap();
    (tried, acked)
}
