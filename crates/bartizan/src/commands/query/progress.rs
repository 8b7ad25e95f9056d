//! Progress display of long queries on a terminal: rows and bytes read so far.

use std::io::IsTerminal;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use engine::Progress;
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

/// Delay before progress is shown.
const PATIENCE: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(150);

/// Shows progress until dropped. Only on a terminal.
pub struct Shown {
    progress: Progress,
    worker: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Shown {
    pub fn start() -> Self {
        let progress = Progress::default();
        let worker = std::io::stderr().is_terminal().then(|| {
            let (stop, stopped) = channel::<()>();
            let seen = progress.clone();
            let worker = std::thread::spawn(move || {
                let began = Instant::now();
                if stopped.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                let bar = ProgressBar::new_spinner();
                if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                    bar.set_style(style);
                }
                loop {
                    bar.set_message(line(seen.rows.load(Ordering::Relaxed), seen.bytes.load(Ordering::Relaxed), began.elapsed()));
                    bar.tick();
                    if stopped.recv_timeout(TICK) != Err(RecvTimeoutError::Timeout) {
                        break;
                    }
                }
                bar.finish_and_clear();
            });
            (stop, worker)
        });
        Self { progress, worker }
    }

    pub fn progress(&self) -> &Progress {
        &self.progress
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some((stop, worker)) = self.worker.take() {
            drop(stop);
            let _ = worker.join();
        }
    }
}

fn line(rows: u64, bytes: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    match bytes {
        0 => format!("working, {seconds} s"),
        _ => format!("{} rows, {} read, {seconds} s", HumanCount(rows), HumanBytes(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_bytes_are_told() {
        assert_eq!(line(12_345, 3 << 20, Duration::from_secs(4)), "12,345 rows, 3.00 MiB read, 4 s");
        assert_eq!(line(0, 0, Duration::from_secs(3)), "working, 3 s");
    }
}
