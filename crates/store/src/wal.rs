//! Validates SQLite's write-ahead log before SQLite opens it: SQLite silently stops at the first frame with a wrong checksum, so changes
//! behind a damaged byte would be lost unnoticed.
//!
//! The format is documented and stable: <https://sqlite.org/fileformat2.html#the_write_ahead_log>.

const HEAD: usize = 32;
const FRAME_HEAD: usize = 24;
const MARK_LITTLE: u32 = 0x377f_0682;
const MARK_BIG: u32 = 0x377f_0683;

/// State of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Every change in it can be read, or it is empty.
    Whole,
    /// Ends with an incomplete change, as after a crash while writing. Such a change was never acknowledged.
    Torn,
    /// SQLite reads this many changes; at least this many after them are lost.
    Damaged { read: usize, lost: usize },
}

/// How SQLite will interpret the log `bytes`.
pub(crate) fn inspect(bytes: &[u8]) -> Verdict {
    if bytes.is_empty() {
        return Verdict::Whole;
    }
    let Some(head) = Head::read(bytes) else { return Verdict::Damaged { read: 0, lost: 1 } };
    let mut sums = head.sums;
    let (mut read, mut open, mut at) = (0, false, HEAD);
    while at + FRAME_HEAD + head.page <= bytes.len() {
        let frame = &bytes[at..at + FRAME_HEAD + head.page];
        let (Some(commit), true) = (big(frame, 4), frame[8..16] == head.salt) else { break };
        let next = head.add(head.add(sums, &frame[..8]), &frame[FRAME_HEAD..]);
        if (big(frame, 16), big(frame, 20)) != (Some(next.0), Some(next.1)) {
            break;
        }
        sums = next;
        open = commit == 0;
        read += usize::from(!open);
        at += frame.len();
    }
    // Frames of this generation after the end were cut off by a damaged byte, or by a crash within a change of several frames. Frames with
    // another salt are left over from before the log was reset.
    let (mut lost, mut behind) = (0, at);
    while behind + FRAME_HEAD + head.page <= bytes.len() && head.is_ours(&bytes[behind..]) {
        lost += usize::from(big(bytes, behind + 4).is_some_and(|commit| commit != 0));
        behind += FRAME_HEAD + head.page;
    }
    let cut = bytes.len() > behind && head.is_ours(&bytes[behind..]);
    match (lost, open || cut || behind > at) {
        (0, false) => Verdict::Whole,
        (0, true) => Verdict::Torn,
        (lost, _) => Verdict::Damaged { read, lost },
    }
}

struct Head {
    page: usize,
    salt: [u8; 8],
    sums: (u32, u32),
    /// Whether checksums use big-endian words.
    big: bool,
}

impl Head {
    fn read(bytes: &[u8]) -> Option<Self> {
        let big_words = match big(bytes, 0)? {
            MARK_LITTLE => false,
            MARK_BIG => true,
            _ => return None,
        };
        let page = big(bytes, 8)? as usize;
        if !page.is_power_of_two() || !(512..=65_536).contains(&page) {
            return None;
        }
        let mut head = Self { page, salt: bytes.get(16..24)?.try_into().ok()?, sums: (0, 0), big: big_words };
        head.sums = head.add((0, 0), &bytes[..24]);
        (big(bytes, 24)? == head.sums.0 && big(bytes, 28)? == head.sums.1).then_some(head)
    }

    /// Whether a frame's salt is this generation's, allowing for one damaged byte. Salts of an earlier generation differ in all four random
    /// bytes.
    fn is_ours(&self, frame: &[u8]) -> bool {
        frame.get(8..16).is_some_and(|salt| salt.iter().zip(&self.salt).filter(|(a, b)| a != b).count() <= 1)
    }

    fn add(&self, (mut first, mut second): (u32, u32), bytes: &[u8]) -> (u32, u32) {
        let word = |part: &[u8]| {
            let part: [u8; 4] = part.try_into().unwrap_or_default();
            if self.big { u32::from_be_bytes(part) } else { u32::from_le_bytes(part) }
        };
        for pair in bytes.chunks_exact(8) {
            first = first.wrapping_add(word(&pair[..4])).wrapping_add(second);
            second = second.wrapping_add(word(&pair[4..])).wrapping_add(first);
        }
        (first, second)
    }
}

fn big(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OnCallObject, Store};
    use model::Timestamp;

    /// A log written by SQLite, with changes of one and of many frames; copied while open, as after a crash.
    async fn log() -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let store = Store::open(&path).await.unwrap();
        for n in 0..6 {
            let mut change = store.begin().await.unwrap();
            let body = serde_json::json!({ "text": "x".repeat(if n % 2 == 0 { 10 } else { 20_000 }) });
            let object =
                OnCallObject { kind: "users".into(), name: n.to_string(), etag: uuid::Uuid::nil(), modified: Timestamp::UNIX_EPOCH, body };
            change.put_oncall_object(&object).await.unwrap();
            change.commit().await.unwrap();
        }
        std::fs::read(folder.path().join("state.db-wal")).unwrap()
    }

    #[tokio::test]
    async fn a_flipped_byte_anywhere_in_the_log_is_noticed() {
        let log = log().await;
        assert_eq!(inspect(&log), Verdict::Whole);
        let mut missed = Vec::new();
        let page = big(&log, 8).unwrap() as usize;
        // The header, all frame headers, and a sample of the pages.
        let in_head = |at: usize| at < HEAD || (at - HEAD) % (FRAME_HEAD + page) < FRAME_HEAD;
        let positions = (0..log.len()).filter(|at| (in_head(*at) && at % 11 == 0) || at % 2999 == 0);
        for at in positions {
            let mut damaged = log.clone();
            damaged[at] ^= 0x10;
            if inspect(&damaged) == Verdict::Whole {
                missed.push(at);
            }
        }
        // The checkpoint number is covered by the header's checksum too, so that every byte is relevant.
        assert!(missed.is_empty(), "{missed:?}");
    }

    #[tokio::test]
    async fn a_cut_log_is_torn_unless_it_ends_with_a_change() {
        let log = log().await;
        let page = big(&log, 8).unwrap() as usize;
        for end in (HEAD + 1..log.len()).step_by(3001) {
            // A frame that ends within its salt cannot be attributed.
            let rest = (end - HEAD) % (FRAME_HEAD + page);
            assert!(rest < 16 || inspect(&log[..end]) != Verdict::Whole, "cut at {end}");
        }
        assert_eq!(inspect(&vec![0; log.len()]), Verdict::Damaged { read: 0, lost: 1 });
        assert_eq!(inspect(&[]), Verdict::Whole);
    }

    /// Frames after the end of a reset log belong to the previous generation.
    #[tokio::test]
    async fn frames_of_an_earlier_generation_are_no_damage() {
        let log = log().await;
        let page = big(&log, 8).unwrap() as usize;
        let mut renewed = log.clone();
        for at in (HEAD..log.len()).step_by(FRAME_HEAD + page) {
            (renewed[at + 11], renewed[at + 12], renewed[at + 14]) = (renewed[at + 11] ^ 1, !renewed[at + 12], !renewed[at + 14]);
        }
        assert_eq!(inspect(&renewed), Verdict::Whole);
    }
}
