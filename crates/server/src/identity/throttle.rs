//! Slows down guessing of passwords and codes, per account and per network address.
//!
//! An attempt counts before it is checked, so that parallel attempts gain nothing. After a number of free attempts each further one must
//! wait twice as long as the one before, up to a limit. Counts decrease with time. A success clears the count of the account but not of the
//! address: otherwise a guesser with an account of his own could clear it.
//!
//! The counts are kept in two arrays of fixed size, indexed by a keyed hash, so memory is bounded and nothing is evicted: an attacker with
//! many names or addresses cannot make the service forget. Two keys may share a slot; then they also share their waits.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::{Span, Timestamp};

use crate::serve::Peer;

/// Slots of each array.
const SLOTS: usize = 1 << 14;

/// How attempts are limited.
struct Rule {
    /// Attempts without a wait.
    free: u32,
    /// Wait after the first attempt that is not free; doubles with each further one.
    first_wait: Span,
    longest_wait: Span,
    /// After this time an attempt no longer counts.
    forget: Span,
}

const ACCOUNT: Rule =
    Rule { free: 5, first_wait: Span::SECOND, longest_wait: Span(15 * Span::MINUTE.0), forget: Span(30 * Span::MINUTE.0) };
/// Several people may share an address, so it has more free attempts.
const ADDRESS: Rule =
    Rule { free: 30, first_wait: Span::SECOND, longest_wait: Span(15 * Span::MINUTE.0), forget: Span(5 * Span::MINUTE.0) };

/// Attempts counted for one key.
#[derive(Clone, Copy, Default)]
struct Slot {
    attempts: u32,
    /// Ticks of the last attempt.
    last: i64,
}

impl Slot {
    fn elapsed(&self, now: Timestamp) -> i64 {
        now.ticks().saturating_sub(self.last).max(0)
    }

    /// Attempts that still count.
    fn counting(&self, rule: &Rule, now: Timestamp) -> u32 {
        let forgotten = u32::try_from(self.elapsed(now) / rule.forget.ticks()).unwrap_or(u32::MAX);
        self.attempts.saturating_sub(forgotten)
    }

    /// How long the next attempt must wait.
    fn wait(&self, rule: &Rule, now: Timestamp) -> Span {
        let Some(over) = self.counting(rule, now).checked_sub(rule.free) else { return Span::ZERO };
        let wait = rule.first_wait.ticks().saturating_mul(1 << over.min(30)).min(rule.longest_wait.ticks());
        // A clock that was set back does not extend the wait beyond its length.
        Span((wait - self.elapsed(now)).max(0))
    }

    fn count(&mut self, rule: &Rule, now: Timestamp) {
        *self = Self { attempts: self.counting(rule, now).saturating_add(1), last: now.ticks() };
    }
}

/// The counts. All methods are fast and never block for long.
pub struct Throttle {
    keys: RandomState,
    slots: Mutex<Slots>,
}

struct Slots {
    accounts: Vec<Slot>,
    addresses: Vec<Slot>,
}

impl Default for Throttle {
    fn default() -> Self {
        let empty = vec![Slot::default(); SLOTS];
        Self { keys: RandomState::new(), slots: Mutex::new(Slots { accounts: empty.clone(), addresses: empty }) }
    }
}

impl Throttle {
    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn places(&self, account: &str, address: IpAddr) -> (usize, usize) {
        // IPv6 hosts have a /64 to themselves, so it counts as one address.
        let network = Peer::of(SocketAddr::new(address, 0));
        let place = |hash: u64| usize::try_from(hash % SLOTS as u64).unwrap_or(0);
        (place(self.keys.hash_one(account)), place(self.keys.hash_one(network)))
    }

    /// Counts an attempt for the account with that normal form of its name, from that address. Fails with the time to wait, and counts
    /// nothing, if it comes too early.
    pub fn begin(&self, account: &str, address: IpAddr, now: Timestamp) -> Result<(), Span> {
        let (account, address) = self.places(account, address);
        let mut slots = self.slots();
        let wait = slots.accounts[account].wait(&ACCOUNT, now).max(slots.addresses[address].wait(&ADDRESS, now));
        if wait > Span::ZERO {
            return Err(wait);
        }
        let Slots { accounts, addresses } = &mut *slots;
        accounts[account].count(&ACCOUNT, now);
        addresses[address].count(&ADDRESS, now);
        Ok(())
    }

    /// Takes back an attempt that decided nothing: the password was right but a code is still missing, or the server was busy.
    pub fn take_back(&self, account: &str, address: IpAddr) {
        let (account, address) = self.places(account, address);
        let mut slots = self.slots();
        let Slots { accounts, addresses } = &mut *slots;
        for slot in [&mut accounts[account], &mut addresses[address]] {
            slot.attempts = slot.attempts.saturating_sub(1);
        }
    }

    /// Clears the count of the account, and takes back the attempt of the address.
    pub fn succeeded(&self, account: &str, address: IpAddr) {
        let (account, address) = self.places(account, address);
        let mut slots = self.slots();
        slots.accounts[account] = Slot::default();
        let slot = &mut slots.addresses[address];
        slot.attempts = slot.attempts.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noon() -> Timestamp {
        Timestamp::parse_iso("2026-11-20T12:00:00Z").unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Fails `count` times, waiting as told; returns the time that took.
    fn fail(throttle: &Throttle, account: &str, from: impl Fn(u32) -> IpAddr, count: u32) -> Span {
        let mut now = noon();
        for attempt in 0..count {
            while let Err(wait) = throttle.begin(account, from(attempt), now) {
                now = now + wait;
            }
        }
        Span(now.ticks() - noon().ticks())
    }

    #[test]
    fn waits_double_up_to_a_limit() {
        let throttle = Throttle::default();
        let here = |_| address("192.0.2.1");
        assert_eq!(fail(&throttle, "ann", here, 5), Span::ZERO);
        let throttle = Throttle::default();
        assert_eq!(fail(&throttle, "ann", here, 9), Span::seconds(1 + 2 + 4 + 8));
        // An attempt that comes too early neither counts nor extends the wait.
        let now = noon() + Span::seconds(15);
        assert_eq!(throttle.begin("ann", address("192.0.2.1"), now), Err(Span::seconds(16)));
        assert_eq!(throttle.begin("ann", address("192.0.2.1"), now + Span::seconds(15)), Err(Span::SECOND));
        assert!(throttle.begin("bo", address("192.0.2.1"), now).is_ok());
        // A day has room for less than 200 guesses.
        let throttle = Throttle::default();
        let spread = |attempt: u32| IpAddr::from(attempt.to_be_bytes());
        assert!(fail(&throttle, "ann", spread, 200) > Span::DAY);
    }

    #[test]
    fn one_address_is_limited_over_all_accounts_and_a_network_is_one_address() {
        let throttle = Throttle::default();
        for attempt in 0..30 {
            let from = address(&format!("2001:db8::{attempt:x}"));
            throttle.begin(&format!("user {attempt}"), from, noon()).unwrap();
        }
        assert!(throttle.begin("another", address("2001:db8:0:0:ffff::1"), noon()).is_err());
        assert!(throttle.begin("another", address("2001:db8:0:1::1"), noon()).is_ok());
        // RFC 4291 §2.5.5.2: an IPv4 address mapped into IPv6 is the same host.
        for attempt in 0..30 {
            throttle.begin(&format!("guest {attempt}"), address("::ffff:192.0.2.1"), noon()).unwrap();
        }
        assert!(throttle.begin("another guest", address("192.0.2.1"), noon()).is_err());
    }

    #[test]
    fn success_clears_the_account_but_not_the_address() {
        let throttle = Throttle::default();
        let here = address("192.0.2.1");
        for _ in 0..5 {
            throttle.begin("ann", here, noon()).unwrap();
        }
        throttle.succeeded("ann", here);
        for _ in 0..5 {
            throttle.begin("ann", here, noon()).unwrap();
        }
        throttle.take_back("ann", here);
        throttle.begin("ann", here, noon()).unwrap();
        assert!(throttle.begin("ann", here, noon()).is_err());
        for attempt in 0..21 {
            throttle.begin(&format!("user {attempt}"), here, noon()).unwrap();
        }
        assert!(throttle.begin("bo", here, noon()).is_err());
        // Attempts are forgotten in time.
        assert!(throttle.begin("ann", here, noon() + Span::DAY).is_ok());
    }
}
