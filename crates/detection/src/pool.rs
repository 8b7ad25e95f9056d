//! Concurrency limits of rule runs. Pure: depends only on the running jobs and their start times.
//!
//! Three limits keep slow rules from delaying the others:
//!
//! * runs in their first second ([`QUICK`]) are limited by `concurrency`, because most are done by then;
//! * longer runs no longer count there, but all runs are limited to [`ALL`] times that number;
//! * rules whose last run was slow ([`SLOW`]) get at most half of that total, so that capacity is left for others.

use std::time::Duration;

/// Younger runs count as starting.
pub const QUICK: Duration = Duration::from_secs(1);
/// A rule whose last run took longer is slow.
pub const SLOW: Duration = Duration::from_secs(10);
/// Total concurrent runs, as a multiple of starting ones.
pub const ALL: usize = 4;

/// A run in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Going {
    pub for_: Duration,
    /// Its last run was slow.
    pub slow: bool,
}

/// Counts of runs in progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    quick: usize,
    slow: usize,
    all: usize,
}

impl Load {
    pub fn of(going: impl Iterator<Item = Going>) -> Self {
        going.fold(Self::default(), |load, run| Self {
            quick: load.quick + usize::from(run.for_ < QUICK && !run.slow),
            slow: load.slow + usize::from(run.slow),
            all: load.all + 1,
        })
    }

    /// Counts one more run if the limits allow it.
    pub fn admit(&mut self, slow: bool, concurrency: usize) -> bool {
        let concurrency = concurrency.max(1);
        let all = concurrency * ALL;
        if self.all >= all || if slow { self.slow >= all / 2 } else { self.quick >= concurrency } {
            return false;
        }
        *self = Self { quick: self.quick + usize::from(!slow), slow: self.slow + usize::from(slow), all: self.all + 1 };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn going(count: usize, seconds: u64, slow: bool) -> Vec<Going> {
        vec![Going { for_: Duration::from_secs(seconds), slow }; count]
    }

    #[test]
    fn runs_that_take_long_make_room_for_others() {
        let mut load = Load::of(going(8, 0, false).into_iter());
        assert!(!load.admit(false, 8), "eight begin at once");
        let mut load = Load::of(going(8, 2, false).into_iter());
        assert!((0..8).all(|_| load.admit(false, 8)), "after a second the next eight may begin");
        assert!(!load.admit(false, 8));
    }

    #[test]
    fn slow_rules_never_take_everything() {
        let mut load = Load::default();
        assert_eq!((0..100).filter(|_| load.admit(true, 8)).count(), 16);
        assert!((0..8).all(|_| load.admit(false, 8)), "the others still begin at once");
        let mut load = Load::of(going(32, 60, false).into_iter());
        assert!(!load.admit(false, 8), "the total has a bound");
    }
}
