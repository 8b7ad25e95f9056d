//! Simulates a power cut at every step of a short workload, on a disk that keeps only synced data.

use std::path::Path;

use testkit::{Random, SimDisk};

use crate::support::{HandClock, add, define, open, seed, small, stored, trials};

/// What a workload did before the power cut.
#[derive(Default)]
struct Life {
    acknowledged: Vec<i64>,
    /// Appends sent without an acknowledgement, or with an error.
    open: Vec<i64>,
}

/// Appends, flushes and restarts at random until the power fails or the workload ends.
async fn live(disk: &SimDisk, random: &mut Random, life: &mut Life, from: i64) {
    let clock = HandClock::new();
    let mut at = from;
    for _start in 0..2 {
        let Ok(workspace) = open(Path::new("/data"), std::sync::Arc::new(disk.clone()), clock.clone(), small()) else { return };
        if define(&workspace).await.is_err() {
            return;
        }
        for _ in 0..6 {
            match random.below(5) {
                0 => drop(workspace.flush().await),
                1 => disk.fail_syncs(u32::from(random.below(3) == 0)),
                _ => {
                    let first = at;
                    at += 10;
                    match add(&workspace, first, 3).await {
                        Ok(_) => life.acknowledged.push(first),
                        Err(_) => life.open.push(first),
                    }
                }
            }
        }
        disk.fail_syncs(0);
    }
}

/// Reference: acknowledged rows are stored exactly once; unacknowledged rows at most once, and exactly once after a retry.
#[tokio::test]
async fn power_cut_loses_no_acknowledged_rows() {
    let seed = seed();
    let (mut cuts, mut resent) = (0, 0);
    for story in 0..trials("BARTIZAN_POWER_SEEDS", 12) {
        let story_seed = seed.wrapping_add(story);
        let whole = SimDisk::new(story_seed);
        live(&whole, &mut Random::new(story_seed), &mut Life::default(), 0).await;
        let steps = whole.steps();
        // Testing every step in each run takes too long; the stride varies by seed, so that all steps are covered over time.
        let stride = 1 + steps / 24;
        for cut in (1 + story % stride..=steps).step_by(stride as usize) {
            let context = format!("BARTIZAN_SEED={seed}, story {story}, power cut at step {cut} of {steps}");
            let disk = SimDisk::new(story_seed);
            let mut life = Life::default();
            disk.fail_power_at(cut);
            live(&disk, &mut Random::new(story_seed), &mut life, 0).await;
            disk.restart();
            cuts += 1;
            let workspace = open(Path::new("/data"), std::sync::Arc::new(disk.clone()), HandClock::new(), small()).expect(&context);
            define(&workspace).await.expect(&context);
            let found = stored(&workspace);
            for first in &life.acknowledged {
                for n in *first..first + 3 {
                    assert_eq!(found.get(&n), Some(&1), "{context}: acknowledged row {n}");
                }
            }
            assert!(found.values().all(|count| *count == 1), "{context}: a row is stored twice: {found:?}");
            for first in &life.open {
                let whole = (*first..first + 3).filter(|n| found.contains_key(n)).count();
                assert!(whole == 0 || whole == 3, "{context}: append {first} is stored in part");
                add(&workspace, *first, 3).await.expect(&context);
                resent += 1;
            }
            workspace.flush().await.expect(&context);
            drop(workspace);
            let workspace = open(Path::new("/data"), std::sync::Arc::new(disk), HandClock::new(), small()).expect(&context);
            let found = stored(&workspace);
            let expected = (life.acknowledged.len() + life.open.len()) * 3;
            assert_eq!((found.len(), found.values().all(|count| *count == 1)), (expected, true), "{context}");
        }
    }
    println!("{cuts} power cuts, {resent} appends sent again");
    assert!(cuts > 100 && resent > 0);
}
