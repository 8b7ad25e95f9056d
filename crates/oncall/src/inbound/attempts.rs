//! Limits on wrong reply codes, to prevent guessing.
//!
//! A code has four digits. Guessing is limited per origin: the network address of a mail, or the number of a text message. Sender addresses
//! and numbers can be forged, so wrong codes in a user's name have little effect on that user: after a few they cannot close with a code
//! alone, and only after many are codes rejected. Reply addresses of mails, links and calls always work.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use model::{Span, Timestamp};

/// Wrong codes per hour from one network address before it is ignored.
pub const OF_SOURCE: usize = 5;
/// Wrong codes per hour in one name before a code alone can no longer close.
pub const BEFORE_CARE: usize = 5;
/// Wrong codes per hour in one name before codes are rejected: the chance to guess one of 9,000 stays below 1 in 180.
pub const OF_NAME: usize = 50;
/// Maximum names and addresses tracked; beyond it the oldest are evicted.
const REMEMBERED: usize = 10_000;

/// Wrong codes of the last hour, by network address and by name.
#[derive(Debug, Default)]
pub struct Attempts(Mutex<HashMap<String, Vec<Timestamp>>>);

/// What an answer by code may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    All,
    /// Anything but closing.
    NotClosing,
    Nothing,
}

impl Attempts {
    /// What a code may do that claims to come from `name` (an email address, a number) and comes from `source`, if known.
    pub fn allowed(&self, name: &str, source: Option<&str>, now: Timestamp) -> Allowed {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut count = |key: String| {
            let times = known.get_mut(&key)?;
            times.retain(|at| now.ticks().saturating_sub(at.ticks()) < Span::HOUR.ticks());
            Some(times.len())
        };
        let of_source = source.and_then(|source| count(from(source))).unwrap_or_default();
        let of_name = count(named(name)).unwrap_or_default();
        match (of_source, of_name) {
            (OF_SOURCE.., _) | (_, OF_NAME..) => Allowed::Nothing,
            (_, BEFORE_CARE..) => Allowed::NotClosing,
            _ => Allowed::All,
        }
    }

    /// Records a wrong code.
    pub fn note(&self, name: &str, source: Option<&str>, now: Timestamp) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for key in source.map(from).into_iter().chain([named(name)]) {
            if known.len() >= REMEMBERED
                && !known.contains_key(&key)
                && let Some(oldest) = known.iter().min_by_key(|(_, times)| times.last().copied()).map(|(key, _)| key.clone())
            {
                known.remove(&oldest);
            }
            let times = known.entry(key).or_default();
            times.push(now);
            if times.len() > OF_NAME {
                times.remove(0);
            }
        }
    }
}

fn from(source: &str) -> String {
    format!("from {source}")
}

fn named(name: &str) -> String {
    format!("in the name of {}", name.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_guesses_is_stopped_and_whom_they_name_is_not() {
        let (attempts, now) = (Attempts::default(), Timestamp::UNIX_EPOCH);
        for _ in 0..OF_SOURCE {
            assert_ne!(attempts.allowed("ann", Some("192.0.2.1"), now), Allowed::Nothing);
            attempts.note("ann", Some("192.0.2.1"), now);
        }
        assert_eq!(attempts.allowed("ann", Some("192.0.2.1"), now), Allowed::Nothing, "the guesser");
        assert_eq!(attempts.allowed("bo", Some("192.0.2.1"), now), Allowed::Nothing, "in another name too");
        assert_eq!(attempts.allowed("Ann", Some("198.51.100.7"), now), Allowed::NotClosing, "the owner, from elsewhere");
        assert_eq!(attempts.allowed("ann", None, now), Allowed::NotClosing);
        for _ in BEFORE_CARE..OF_NAME {
            attempts.note("ann", None, now);
        }
        assert_eq!(attempts.allowed("ann", None, now), Allowed::Nothing);
        let later = Timestamp::from_ticks(now.ticks() + Span::HOUR.ticks()).unwrap();
        assert_eq!(attempts.allowed("ann", Some("192.0.2.1"), later), Allowed::All);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (attempts, now) = (Attempts::default(), Timestamp::UNIX_EPOCH);
        for n in 0..REMEMBERED + 10 {
            attempts.note(&n.to_string(), None, now);
        }
        assert_eq!(attempts.0.lock().unwrap().len(), REMEMBERED);
    }
}
