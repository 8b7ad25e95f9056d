//! Which rules may begin now. Pure: nothing but what runs and since when.
//!
//! Three bounds keep one slow rule, or many of them, from delaying the others:
//!
//! * so many rules begin within a second ([`QUICK`]), because most are done by then;
//! * rules that run longer no longer count there, but at most [`ALL`] times as many run in total;
//! * rules whose last run took long ([`SLOW`]) get at most half of that total, so that the rest is always left for the others.

use std::time::Duration;

/// A run that has begun within this time counts as one that begins.
pub const QUICK: Duration = Duration::from_secs(1);
/// A rule whose last run took longer is a slow one.
pub const SLOW: Duration = Duration::from_secs(10);
/// Runs at the same time, as a multiple of those that begin.
pub const ALL: usize = 4;

/// A run that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Going {
    pub for_: Duration,
    /// Its last run was a slow one.
    pub slow: bool,
}

/// The runs that go on, counted.
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

    /// Counts one more run if it may begin.
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
