//! Reserved disk space for starting on a full disk: a few files in `D/reserve/` that are deleted as needed when a start finds no space.
//!
//! A start needs some space even without changes: SQLite's shared memory, a lock, `connect.json`. Otherwise the service could not start to
//! report why the disk is full.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use model::{Clock, Condition, ConditionSeverity, HealthRegister, Span};
use tokio_util::sync::CancellationToken;

use super::keeper::create_private_folder;

const FILES: usize = 16;
const FILE_BYTES: usize = 512 << 10;
/// Bytes and number of files that a start must be able to write.
const NEEDED: usize = 768 << 10;
const NEEDED_FILES: usize = 4;
const USED: &str = "disk-reserve-used";
/// How often an incomplete reserve is checked.
const EVERY: Span = Span(30 * Span::SECOND.0);

/// Ensures that there is space to start, deleting as little of the reserve as necessary.
pub fn make_room(data_dir: &Path, health: &HealthRegister) {
    let mut given = 0;
    while let Err(cause) = probe(data_dir) {
        if !matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            tracing::warn!(error = %cause, "the data directory does not take files");
            break;
        }
        let Some(file) = files(data_dir).pop() else {
            tracing::error!("the disk is full and the reserve is used up; starting all the same");
            break;
        };
        if let Err(cause) = fs::remove_file(&file) {
            tracing::error!(error = %cause, "cannot give up a file of the reserve");
            break;
        }
        given += 1;
    }
    if given > 0 {
        let condition = Condition::new(USED, "", ConditionSeverity::Degraded)
            .summary(format!("the disk is full: {} KiB set aside for starting were given up", given * FILE_BYTES / 1024))
            .action("make room on the disk of the data directory; the reserve is filled up again by itself");
        tracing::error!("{}; {}", condition.summary, condition.action);
        health.report(condition);
    }
}

/// Refills the reserve periodically, but not while writes fail for lack of space.
pub async fn keep(data_dir: std::path::PathBuf, health: HealthRegister, clock: std::sync::Arc<dyn Clock>, stop: CancellationToken) {
    loop {
        let troubled = health.conditions().iter().any(|condition| condition.name.ends_with("-write-failed"));
        if !troubled && files(&data_dir).len() < FILES {
            let folder = data_dir.clone();
            let filled = tokio::task::spawn_blocking(move || fill(&folder)).await;
            match filled {
                Ok(Ok(())) => {
                    health.clear(USED, "");
                }
                Ok(Err(cause)) => tracing::debug!(error = %cause, "the reserve is not whole"),
                Err(_) => {}
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.sleep(EVERY) => {}
        }
    }
}

fn fill(data_dir: &Path) -> io::Result<()> {
    let folder = data_dir.join("reserve");
    create_private_folder(&folder)?;
    // Incompressible bytes, so that file systems store them in full.
    let mut word = 0x9e37_79b9_7f4a_7c15_u64;
    let bytes: Vec<u8> = (0..FILE_BYTES / 8)
        .flat_map(|_| {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            word.to_le_bytes()
        })
        .collect();
    for number in 0..FILES {
        let path = folder.join(format!("{number:02}"));
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == FILE_BYTES as u64) {
            continue;
        }
        let written = File::create(&path).and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()));
        if let Err(cause) = written {
            let _ = fs::remove_file(&path);
            return Err(cause);
        }
    }
    Ok(())
}

fn files(data_dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(data_dir.join("reserve")).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
    files.sort();
    files
}

fn probe(data_dir: &Path) -> io::Result<()> {
    let names: Vec<_> = (0..NEEDED_FILES).map(|n| data_dir.join(format!(".room-{n}-{}", uuid::Uuid::new_v4().simple()))).collect();
    let written = names.iter().try_for_each(|path| {
        let mut file = File::options().write(true).create_new(true).open(path)?;
        file.write_all(&vec![0x5a; NEEDED / NEEDED_FILES])?;
        file.sync_all()
    });
    for path in names {
        let _ = fs::remove_file(path);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_filled_and_room_needs_none_of_it() {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path()).unwrap();
        assert_eq!(files(folder.path()).len(), FILES);
        fs::remove_file(folder.path().join("reserve/03")).unwrap();
        fs::write(folder.path().join("reserve/05"), "cut").unwrap();
        fill(folder.path()).unwrap();
        let health = HealthRegister::default();
        make_room(folder.path(), &health);
        assert!(files(folder.path()).len() == FILES && health.conditions().is_empty());
        let bytes: u64 = files(folder.path()).iter().map(|file| fs::metadata(file).unwrap().len()).sum();
        assert_eq!(bytes, (FILES * FILE_BYTES) as u64);
    }
}
