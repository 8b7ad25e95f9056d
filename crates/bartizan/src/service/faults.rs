//! Fault injection for tests of the running service. Debug builds only.
//!
//! The environment variable `BARTIZAN_FAULTS` names a folder. A file `panic-<task>` in it makes that task, or that thread of the workspace
//! (`log`, `files`), panic once; `block-runtime` blocks a runtime thread for two seconds. The file is removed when the fault occurs.

#[cfg(not(debug_assertions))]
pub use self::none::*;
#[cfg(debug_assertions)]
pub use self::some::*;

#[cfg(debug_assertions)]
mod disk;

#[cfg(not(debug_assertions))]
mod none {
    use std::sync::Arc;

    use model::Disk;

    pub fn disk() -> Arc<dyn Disk> {
        Arc::new(workspace::SystemDisk)
    }

    pub async fn panic_in(_: &str) {
        std::future::pending::<()>().await;
    }

    pub async fn block_runtime(stop: tokio_util::sync::CancellationToken) {
        stop.cancelled().await;
    }
}

#[cfg(debug_assertions)]
mod some {
    use std::path::PathBuf;
    use std::sync::{Arc, OnceLock};
    use std::time::Duration;

    use model::Disk;
    use tokio_util::sync::CancellationToken;

    const LOOK: Duration = Duration::from_millis(50);
    const BLOCKED: Duration = Duration::from_secs(2);

    pub(super) fn folder() -> Option<&'static PathBuf> {
        static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
        FOLDER.get_or_init(|| std::env::var_os("BARTIZAN_FAULTS").map(PathBuf::from)).as_ref()
    }

    /// The disk of the tables.
    pub fn disk() -> Arc<dyn Disk> {
        if folder().is_some() { Arc::new(super::disk::FaultyDisk) } else { Arc::new(workspace::SystemDisk) }
    }

    /// Returns when the file exists, and removes it.
    async fn asked(name: &str) {
        let Some(folder) = folder() else { return std::future::pending().await };
        let path = folder.join(name);
        while tokio::fs::remove_file(&path).await.is_err() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Panics when the test requests it.
    pub async fn panic_in(task: &str) {
        asked(&format!("panic-{task}")).await;
        panic!("injected by a test");
    }

    /// Blocks a runtime thread each time the test requests it, until stopped.
    pub async fn block_runtime(stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = asked("block-runtime") => std::thread::sleep(BLOCKED),
            }
        }
    }
}
