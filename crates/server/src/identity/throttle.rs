//! Delays guessing: after several failures, further attempts are refused for a while. Counted per account and address, and per account.
//!
//! Entra's smart lockout (learn.microsoft.com/entra/identity/authentication/howto-password-smart-lockout) locks for one minute after ten
//! failures, longer after more, and tracks familiar locations apart from others. Here an account is locked for the address that guessed, and
//! for all addresses only after many more failures, so that a stranger cannot lock out the administrator at once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use model::{Span, Timestamp};

/// Failures of one account from one address before it is locked for that address.
pub const MAX_FAILURES: u32 = 10;
/// Failures of one account from all addresses, or of one address on all accounts, before it is locked.
pub const MAX_FAILURES_TOGETHER: u32 = 100;
/// First lock; doubled with each further failure, up to [`LONGEST_LOCK`].
pub const FIRST_LOCK: Span = Span::MINUTE;
pub const LONGEST_LOCK: Span = Span(60 * Span::MINUTE.0);
/// Failures are forgotten after this time without one.
const MEMORY: Span = Span(24 * 60 * Span::MINUTE.0);
/// Maximum number of counters; beyond it the ones not locked are dropped.
const MAX_COUNTERS: usize = 50_000;

#[derive(Clone, Copy, Debug)]
struct Counter {
    failures: u32,
    last: Timestamp,
    locked_until: Timestamp,
}

/// Counters of failures.
#[derive(Debug, Default)]
pub struct Throttle(Mutex<HashMap<String, Counter>>);

impl Throttle {
    /// Seconds to wait, if one of the keys is locked.
    pub fn check(&self, account: &str, address: &str, now: Timestamp) -> Result<(), u64> {
        let counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let until = keys(account, address).iter().filter_map(|(key, _)| counters.get(key)).map(|counter| counter.locked_until).max();
        match until.filter(|until| *until > now) {
            Some(until) => Err((until.ticks() - now.ticks()).unsigned_abs().div_ceil(Span::SECOND.ticks().unsigned_abs())),
            None => Ok(()),
        }
    }

    pub fn failed(&self, account: &str, address: &str, now: Timestamp) {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counters.len() >= MAX_COUNTERS {
            counters.retain(|_, counter| counter.locked_until > now);
        }
        for (key, most) in keys(account, address) {
            let counter = counters.entry(key).or_insert(Counter { failures: 0, last: now, locked_until: Timestamp::MIN });
            if counter.last + MEMORY < now {
                counter.failures = 0;
            }
            counter.failures = counter.failures.saturating_add(1);
            counter.last = now;
            if counter.failures >= most {
                let doublings = (counter.failures - most).min(10);
                let lock = Span(FIRST_LOCK.ticks() << doublings);
                counter.locked_until = now + if lock > LONGEST_LOCK { LONGEST_LOCK } else { lock };
            }
        }
    }

    /// Forgets the failures of this account from this address.
    pub fn succeeded(&self, account: &str, address: &str) {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [(pair, _), ..] = keys(account, address);
        counters.remove(&pair);
    }
}

fn keys(account: &str, address: &str) -> [(String, u32); 3] {
    [
        (format!("both {account} {address}"), MAX_FAILURES),
        (format!("account {account}"), MAX_FAILURES_TOGETHER),
        (format!("address {address}"), MAX_FAILURES_TOGETHER),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_is_locked_for_the_address_that_guesses_and_longer_each_time() {
        let (throttle, now) = (Throttle::default(), Timestamp::UNIX_EPOCH);
        for _ in 0..MAX_FAILURES {
            assert_eq!(throttle.check("admin", "a", now), Ok(()));
            throttle.failed("admin", "a", now);
        }
        assert_eq!(throttle.check("admin", "a", now), Err(60));
        assert_eq!(throttle.check("admin", "b", now), Ok(()));
        assert_eq!(throttle.check("admin", "a", now + Span::MINUTE), Ok(()));
        throttle.failed("admin", "a", now + Span::MINUTE);
        assert_eq!(throttle.check("admin", "a", now + Span::MINUTE), Err(120));
        throttle.succeeded("admin", "a");
        assert_eq!(throttle.check("admin", "a", now + Span::MINUTE), Ok(()));
        for at in 0..MAX_FAILURES_TOGETHER {
            throttle.failed("admin", &format!("10.0.0.{at}"), now);
        }
        assert!(throttle.check("admin", "c", now).is_err());
    }
}
