//! Limits on one upload and on all uploads together, checked before anything is decoded.
//!
//! The size in bytes does not predict the cost: `[1,1,…]` takes two bytes per element, and `{}` in a table of 300 columns becomes 300
//! cells. One allocation-free pass over the bytes counts elements and nesting depth, which bound the memory of the decoded rows.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::RuntimeFlavor;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::decode::BodyError;

/// Maximum nesting depth of brackets.
pub const MAX_DEPTH: usize = 64;
/// Maximum records per upload.
pub const MAX_RECORDS: usize = 1_000_000;
/// Maximum cells per upload: records times columns of the stream.
pub const MAX_CELLS: usize = 16_000_000;
/// Maximum number of array elements that are not objects. Each becomes a dead letter, so a large number would be an attack rather than a
/// mistake.
pub const MAX_STRAYS: usize = 1_000;
/// Memory limit for the decoded rows of all concurrent uploads.
pub const MEMORY: usize = 512 << 20;
/// How long an upload waits for its share of that memory.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes per cell: a string view, or the widest number.
const CELL: usize = 16;
/// Bytes per record in addition to its cells.
const RECORD: usize = 64;
/// Allocation granularity of the memory limit.
const UNIT: usize = 64 << 10;

/// Bodies of at least this size are processed in `block_in_place`.
const LARGE: usize = 256 << 10;

/// Runs `work` on a body of `bytes` bytes without blocking other tasks of this thread.
pub fn beside<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let has_others = tokio::runtime::Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread);
    if bytes >= LARGE && has_others { tokio::task::block_in_place(work) } else { work() }
}

/// Structure of a body, derived from brackets and commas only. Does not validate JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    pub depth: usize,
    /// Number of elements of the outermost array.
    pub elements: usize,
    /// Number of elements that do not start as objects.
    pub strays: usize,
}

/// Surveys a JSON body in one allocation-free pass; stops early if a limit is exceeded.
pub fn survey(body: &[u8]) -> Survey {
    let mut found = Survey::default();
    let (mut depth, mut inside, mut escaped) = (0usize, false, false);
    // True if the next non-blank byte starts an element of the outermost array.
    let mut expects_element = false;
    for byte in body {
        if inside {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => inside = false,
                _ => {}
            }
            continue;
        }
        if byte.is_ascii_whitespace() {
            continue;
        }
        if expects_element && *byte != b']' {
            expects_element = false;
            found.elements += 1;
            found.strays += usize::from(*byte != b'{');
            if found.strays > MAX_STRAYS || found.elements > MAX_RECORDS {
                return found;
            }
        }
        match byte {
            b'"' => inside = true,
            b'[' | b'{' => {
                depth += 1;
                found.depth = found.depth.max(depth);
                if depth > MAX_DEPTH {
                    return found;
                }
                expects_element = depth == 1 && *byte == b'[';
            }
            b']' | b'}' => {
                expects_element = false;
                depth = depth.saturating_sub(1);
            }
            b',' if depth == 1 => expects_element = true,
            _ => {}
        }
    }
    found
}

impl Survey {
    /// Checks the limits for a stream with this many columns.
    pub fn check(&self, columns: usize) -> Result<(), BodyError> {
        match () {
            () if self.depth > MAX_DEPTH => Err(BodyError::TooDeep),
            () if self.strays > MAX_STRAYS => Err(BodyError::TooManyStrays),
            () if self.elements > MAX_RECORDS => Err(BodyError::TooManyRecords),
            () if self.elements.saturating_mul(columns) > MAX_CELLS => Err(BodyError::TooManyCells { records: self.elements, columns }),
            () => Ok(()),
        }
    }

    /// Upper bound of the memory of the decoded rows, excluding the body itself.
    fn memory(&self, body: usize, columns: usize) -> usize {
        self.elements.saturating_mul(columns * CELL + RECORD).saturating_add(body)
    }
}

/// Memory for decoded rows, shared by all uploads.
#[derive(Debug)]
pub struct Memory(Arc<Semaphore>);

impl Default for Memory {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MEMORY / UNIT)))
    }
}

impl Memory {
    /// Waits until memory for the rows is available; `None` on timeout.
    pub async fn hold(&self, survey: &Survey, body: usize, columns: usize) -> Option<OwnedSemaphorePermit> {
        // A single upload fits by the limits above; a request is capped so that it never waits for more than the total.
        let units = survey.memory(body, columns).div_ceil(UNIT).min(MEMORY / UNIT);
        let waiting = Arc::clone(&self.0).acquire_many_owned(u32::try_from(units).unwrap_or(u32::MAX));
        tokio::time::timeout(PATIENCE, waiting).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_elements_are_counted() {
        let of = |body: &str| {
            let found = survey(body.as_bytes());
            (found.elements, found.strays, found.depth)
        };
        assert_eq!(of("[]"), (0, 0, 1));
        assert_eq!(of(" [ ] "), (0, 0, 1));
        assert_eq!(of("[{}]"), (1, 0, 2));
        assert_eq!(of(r#"[{"a":[1,2,{"b":3}]}, {"c":"],[{,\"]"} ,1,"x, y",[4,5],null]"#), (6, 4, 4));
        assert_eq!(of("{\"a\":1,\"b\":2}"), (1, 1, 1), "not an array: the decoder reports it");
        assert_eq!(survey(&b"[".repeat(100_000)).depth, MAX_DEPTH + 1);
        // Counts all elements even if invalid data follows: the upload is over the limit either way.
        let many = [b"[1".to_vec(), b",1".repeat(1_000_000)].concat();
        assert_eq!(survey(&many).strays, MAX_STRAYS + 1);
    }

    #[test]
    fn rows_times_columns_are_bounded() {
        let check = |elements: usize, columns: usize| Survey { depth: 2, elements, strays: 0 }.check(columns);
        assert!(check(MAX_RECORDS, 16).is_ok());
        assert_eq!(check(MAX_RECORDS + 1, 1), Err(BodyError::TooManyRecords));
        assert_eq!(check(100_000, 300), Err(BodyError::TooManyCells { records: 100_000, columns: 300 }));
        assert_eq!(Survey { depth: 65, ..Survey::default() }.check(1), Err(BodyError::TooDeep));
        assert_eq!(Survey { strays: MAX_STRAYS + 1, ..Survey::default() }.check(1), Err(BodyError::TooManyStrays));
    }

    #[tokio::test]
    async fn upload_at_the_limits_is_accepted() {
        let memory = Memory::default();
        let largest = Survey { depth: 2, elements: MAX_RECORDS, strays: 0 };
        let held = memory.hold(&largest, 64 << 20, MAX_CELLS / MAX_RECORDS).await.unwrap();
        assert!(held.num_permits() < MEMORY / UNIT);
        assert_eq!(largest.memory(64 << 20, 16).div_ceil(UNIT), held.num_permits());
    }
}
