//! Idempotency keys of senders, remembered within a window of time and count.
//!
//! A key is stored as 122 bits of its SHA-1 (a version-5 UUID), so that long keys cost no memory. On startup the window is rebuilt from the
//! checkpoint file named by the manifest and the log frames after it.

use std::collections::{HashMap, VecDeque};

use model::{Span, Timestamp};
use uuid::Uuid;

/// The append that used a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub sequence: u64,
    pub ingested: Timestamp,
}

/// The deduplication window.
#[derive(Debug)]
pub struct Keys {
    window: Span,
    most: usize,
    seen: HashMap<u128, Seen>,
    /// Oldest first.
    order: VecDeque<(u128, Seen)>,
}

/// Size in bytes of a checkpoint entry: key, sequence, ticks.
const ENTRY: usize = 32;
const MARK: [u8; 4] = *b"BZKY";

pub fn hash(key: &str) -> u128 {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, key.as_bytes()).as_u128()
}

impl Keys {
    pub fn new(window: Span, most: usize) -> Self {
        Self { window, most, seen: HashMap::new(), order: VecDeque::new() }
    }

    pub fn get(&self, key: u128) -> Option<Seen> {
        self.seen.get(&key).copied()
    }

    /// Adds a key and evicts expired and excess ones. Sequences must increase from call to call.
    pub fn insert(&mut self, key: u128, seen: Seen) {
        self.seen.insert(key, seen);
        self.order.push_back((key, seen));
        let oldest = seen.ingested - self.window;
        while let Some((key, old)) = self.order.front().copied()
            && (old.ingested < oldest || self.order.len() > self.most)
        {
            self.order.pop_front();
            if self.seen.get(&key) == Some(&old) {
                self.seen.remove(&key);
            }
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Encodes the checkpoint file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(12 + self.order.len() * ENTRY);
        bytes.extend_from_slice(&MARK);
        bytes.extend_from_slice(&[0; 4]);
        for (key, seen) in &self.order {
            bytes.extend_from_slice(&key.to_le_bytes());
            bytes.extend_from_slice(&seen.sequence.to_le_bytes());
            bytes.extend_from_slice(&seen.ingested.ticks().to_le_bytes());
        }
        let crc = crc32fast::hash(&bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Loads a checkpoint file into an empty window; returns false if the file is damaged.
    pub fn load(&mut self, bytes: &[u8]) -> bool {
        let Some((head, entries)) = bytes.split_at_checked(8) else { return false };
        if head[..4] != MARK || head[4..] != crc32fast::hash(entries).to_le_bytes() || entries.len() % ENTRY != 0 {
            return false;
        }
        for entry in entries.chunks_exact(ENTRY) {
            let word = |at: usize| entry[at..at + 8].try_into().map(u64::from_le_bytes).unwrap_or_default();
            let key = entry[..16].try_into().map(u128::from_le_bytes).unwrap_or_default();
            self.insert(key, Seen { sequence: word(16), ingested: Timestamp::clamp_ticks(word(24) as i64) });
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(n: i64) -> Seen {
        Seen { sequence: n as u64, ingested: Timestamp::UNIX_EPOCH + Span::seconds(n) }
    }

    #[test]
    fn keys_expire_by_age_and_count() {
        let mut keys = Keys::new(Span::seconds(10), 3);
        for n in 0..3 {
            keys.insert(n as u128, seen(n));
        }
        keys.insert(3, seen(3));
        assert_eq!((keys.get(0), keys.get(1)), (None, Some(seen(1))));
        keys.insert(9, seen(13));
        assert_eq!((keys.get(2), keys.get(3), keys.len()), (None, Some(seen(3)), 2));
    }

    #[test]
    fn checkpoint_round_trips_and_damage_is_detected() {
        let mut keys = Keys::new(Span::DAY, 100);
        (0..5).for_each(|n| keys.insert(hash(&n.to_string()), seen(n)));
        let bytes = keys.to_bytes();
        let mut again = Keys::new(Span::DAY, 100);
        assert!(again.load(&bytes));
        assert_eq!(again.get(hash("4")), Some(seen(4)));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            assert!(!Keys::new(Span::DAY, 100).load(&damaged), "byte {at}");
        }
    }
}
