//! Flipped bytes and truncated files: every intact frame is kept, the rest is quarantined, no wrong row is served.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Disk;
use testkit::{Random, SimDisk};

use crate::support::{HandClock, add, define, open, seed, small, stored, trials};

const APPENDS: i64 = 8;

async fn filled() -> (SimDisk, PathBuf, Vec<u8>) {
    let disk = SimDisk::new(1);
    let config = workspace::WorkspaceConfig::default();
    let workspace = open(Path::new("/data"), Arc::new(disk.clone()), HandClock::new(), config).unwrap();
    define(&workspace).await.unwrap();
    for n in 0..APPENDS {
        add(&workspace, n * 10, 3).await.unwrap();
    }
    drop(workspace);
    let log = disk.files().into_iter().find(|path| path.extension().is_some_and(|extension| extension == "log")).unwrap();
    let bytes = disk.read(&log).unwrap();
    (disk, log, bytes)
}

/// Reference: what each append wrote. A damaged log may lack appends, but never returns other rows or partial appends.
async fn check(disk: &SimDisk, context: &str, lost_at_most: usize) {
    let workspace = open(Path::new("/data"), Arc::new(disk.clone()), HandClock::new(), small()).expect(context);
    let found = stored(&workspace);
    let whole = (0..APPENDS).filter(|n| (n * 10..n * 10 + 3).all(|row| found.get(&row) == Some(&1))).count();
    assert_eq!(found.len(), whole * 3, "{context}: rows that nobody sent, or parts of an append");
    assert!(whole + lost_at_most >= APPENDS as usize, "{context}: {whole} of {APPENDS} appends are left");
    if whole < APPENDS as usize {
        assert!(!workspace.recovery().quarantined.is_empty(), "{context}: damage was not reported");
        let copy = workspace.recovery().quarantined[0].copy.clone().expect(context);
        assert!(disk.read(&copy).is_ok(), "{context}");
    }
}

#[tokio::test]
async fn a_flipped_byte_anywhere_costs_at_most_its_append() {
    let seed = seed();
    let mut random = Random::new(seed);
    let (disk, log, bytes) = filled().await;
    for trial in 0..trials("BARTIZAN_FLIPS", 300) {
        let at = random.below(bytes.len() as u64) as usize;
        let bit = 1u8 << random.below(8);
        disk.tamper(&log, |file| {
            *file = bytes.clone();
            file[at] ^= bit;
        });
        check(&disk, &format!("BARTIZAN_SEED={seed}, trial {trial}: byte {at} flipped"), 1).await;
    }
}

#[tokio::test]
async fn truncation_keeps_earlier_appends() {
    let (disk, log, bytes) = filled().await;
    let step = (bytes.len() / 200).max(1);
    for length in (0..bytes.len()).step_by(step) {
        disk.tamper(&log, |file| *file = bytes[..length].to_vec());
        let before = APPENDS as usize - length * APPENDS as usize / bytes.len();
        check_cut(&disk, length, before).await;
    }
}

async fn check_cut(disk: &SimDisk, length: usize, lost: usize) {
    let workspace = open(Path::new("/data"), Arc::new(disk.clone()), HandClock::new(), small()).unwrap();
    let found = stored(&workspace);
    assert_eq!(found.len() % 3, 0, "cut at {length}");
    // Appends have about equal length: those before the cut must be present, except possibly the one it hits.
    let whole = found.len() / 3;
    assert!(whole + lost >= APPENDS as usize - 1 && whole <= APPENDS as usize, "cut at {length}: {whole} appends");
    // The remaining appends are a prefix without gaps.
    assert!((0..whole as i64).all(|n| found.contains_key(&(n * 10))), "cut at {length}");
    // The workspace accepts new appends.
    drop(workspace);
}

/// A damaged manifest is an error: serving half a table would be wrong data.
#[tokio::test]
async fn damaged_manifest_prevents_opening() {
    let (disk, ..) = filled().await;
    let workspace = open(Path::new("/data"), Arc::new(disk.clone()), HandClock::new(), small()).unwrap();
    workspace.flush().await.unwrap();
    drop(workspace);
    let manifest = Path::new("/data/tables/main/manifest.json");
    let bytes = disk.read(manifest).unwrap();
    for at in (0..bytes.len()).step_by(37) {
        disk.tamper(manifest, |file| {
            *file = bytes.clone();
            file[at] ^= 1;
        });
        match open(Path::new("/data"), Arc::new(disk.clone()), HandClock::new(), small()) {
            Err(error) => assert!(model::chain(&error).contains("manifest.json"), "{error}"),
            Ok(workspace) => assert_eq!(stored(&workspace).len(), APPENDS as usize * 3, "byte {at}"),
        }
    }
}
