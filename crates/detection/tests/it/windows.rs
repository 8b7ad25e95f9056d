//! R13: over random histories of clock, outages and failures, the windows of a rule tile the timeline: concatenated, the tiles of all runs
//! cover it without gap and overlap.

use detection::rule::{Kind, Trigger, TriggerOperator};
use detection::schedule::{MAX_CATCH_UP, RunState, due};
use model::{Span, TICKS_PER_SECOND, Timestamp};

const HISTORIES: u64 = 10_000;

/// A small generator (xorshift64*), so that a failing history can be reproduced by its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn between(&mut self, low: i64, high: i64) -> i64 {
        low + (self.roll() % (high - low) as u64) as i64
    }
}

fn kind(dice: &mut Dice) -> Kind {
    if dice.between(0, 4) == 0 {
        return Kind::NearRealTime;
    }
    let frequency = dice.between(5, 1440) * 60 * TICKS_PER_SECOND;
    Kind::Scheduled {
        frequency: Span(frequency),
        period: Span(frequency * dice.between(1, 4)),
        trigger: Trigger { operator: TriggerOperator::GreaterThan, threshold: 0 },
    }
}

/// Clock steps in seconds: mostly small, sometimes an outage, sometimes backwards.
fn clock_step(dice: &mut Dice) -> i64 {
    match dice.between(0, 10) {
        0 => dice.between(3_600, 2_000_000),
        1 => dice.between(-7_200, 0),
        _ => dice.between(0, 900),
    }
}

#[test]
fn windows_tile() {
    for history in 1..=HISTORIES {
        let mut dice = Dice(history.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let kind = kind(&mut dice);
        let start = Timestamp::UNIX_EPOCH + Span(1_000_000 * TICKS_PER_SECOND);
        let (mut now, mut state, mut reached) = (start, RunState::starting(kind, start), start);
        if let Kind::Scheduled { frequency, .. } = kind {
            reached = start - frequency;
        }
        for _ in 0..dice.between(1, 40) {
            now = now + Span(clock_step(&mut dice) * TICKS_PER_SECOND);
            // Sometimes the process is killed after a few runs, before the next one is committed.
            let kill_after = if dice.between(0, 5) == 0 { dice.between(0, 5) as usize } else { usize::MAX };
            let runs = due(kind, &state, now);
            assert!(runs.len() <= MAX_CATCH_UP, "history {history}");
            for run in runs.into_iter().take(kill_after) {
                assert_eq!(run.tile.from, reached, "a gap or an overlap in history {history}");
                assert!(run.tile.until > run.tile.from && run.tile.until <= now, "history {history}");
                assert_eq!(run.sees.until, run.tile.until, "history {history}");
                if let Kind::Scheduled { frequency, period, .. } = kind {
                    assert!(run.tile.until - run.tile.from >= frequency, "history {history}");
                    assert_eq!((run.tile.from - run.sees.from).ticks(), period.ticks() - frequency.ticks(), "history {history}");
                }
                reached = run.tile.until;
                state.seen_until = run.tile.until;
            }
            if let Kind::Scheduled { frequency, .. } = kind {
                assert!(kill_after != usize::MAX || (now - reached) < frequency, "something due was left in history {history}");
            }
        }
    }
}
