//! Text prefilter: finds the few texts of a column that may contain some words by searching the column's buffers.
//!
//! A text column consists of a few large buffers of consecutive texts. If the words are rare, one vectorised search over a buffer is much
//! faster than one call per text; a text is examined only if a word was found in it. The words are ASCII; case folding is done block by
//! block, in memory that stays in the CPU cache.

use aho_corasick::packed::{Config, MatchKind, Searcher};
use arrow::array::{Array, ArrayRef, BooleanArray, BooleanBufferBuilder, StringViewArray};
use memchr::memmem;
use std::sync::Arc;

/// Bytes folded and searched at a time.
const BLOCK: usize = 16 * 1024;

/// Texts of up to this many bytes are stored inline in the view.
const INLINE: usize = 12;

pub(super) struct Sieve {
    finder: Finder,
    cased: bool,
    /// Bytes of the longest and the shortest word.
    longest: usize,
    shortest: usize,
}

enum Finder {
    One(memmem::Finder<'static>),
    /// Vectorised search for several words; the instruction set is detected at run time.
    Few(Box<Searcher>),
}

impl Finder {
    fn find(&self, hay: &[u8]) -> Option<usize> {
        match self {
            Finder::One(finder) => finder.find(hay),
            Finder::Few(searcher) => searcher.find(hay).map(|found| found.start()),
        }
    }
}

impl Sieve {
    /// `None` if the words are not supported: too many, not ASCII, or empty.
    pub(super) fn new(words: &[&str], cased: bool) -> Option<Self> {
        if words.is_empty() || words.iter().any(|word| word.is_empty() || !word.is_ascii()) {
            return None;
        }
        let words: Vec<String> = words.iter().map(|word| if cased { (*word).to_owned() } else { word.to_ascii_lowercase() }).collect();
        let (longest, shortest) = (words.iter().map(String::len).max()?, words.iter().map(String::len).min()?);
        if longest > BLOCK / 4 {
            return None;
        }
        let finder = match &words[..] {
            [word] => Finder::One(memmem::Finder::new(word).into_owned()),
            _ => Finder::Few(Box::new(Config::new().match_kind(MatchKind::LeftmostFirst).builder().extend(&words).build()?)),
        };
        Some(Self { finder, cased, longest, shortest })
    }

    /// Evaluates `holds` for each text; `holds` must be false for texts without any of the words.
    pub(super) fn rows(&self, array: &StringViewArray, holds: impl Fn(&str) -> bool) -> ArrayRef {
        let rows = array.len();
        let mut found = BooleanBufferBuilder::new(rows);
        found.append_n(rows, false);
        let views = array.views();
        let mut scratch = Vec::new();
        let mut next = 0;
        while next < rows {
            let (length, buffer, start) = place(views[next]);
            if length <= INLINE {
                if length >= self.shortest && array.is_valid(next) && holds(array.value(next)) {
                    found.set_bit(next, true);
                }
                next += 1;
                continue;
            }
            // A run of consecutive texts in one buffer.
            let first = next;
            let (mut end, mut used) = (start, 0);
            while next < rows {
                let (length, other, at) = place(views[next]);
                if length > INLINE {
                    if other != buffer || at < end {
                        break;
                    }
                    end = at + length;
                    used += length;
                } else if length >= self.shortest && array.is_valid(next) && holds(array.value(next)) {
                    found.set_bit(next, true);
                }
                next += 1;
            }
            let bytes = array.data_buffers().get(buffer).and_then(|buffer| buffer.as_slice().get(start..end));
            match bytes {
                Some(bytes) if (end - start) / 2 <= used => {
                    self.run(bytes, start, views, first, next, &mut scratch, |row| {
                        if array.is_valid(row) && holds(array.value(row)) {
                            found.set_bit(row, true);
                        }
                    });
                }
                _ => {
                    for row in first..next {
                        if place(views[row]).0 > INLINE && array.is_valid(row) && holds(array.value(row)) {
                            found.set_bit(row, true);
                        }
                    }
                }
            }
        }
        Arc::new(BooleanArray::new(found.finish(), None))
    }

    /// Calls `look` for each row in whose text a word was found. `bytes` start at `start` of the buffer and contain the rows
    /// `first..until`.
    #[allow(clippy::too_many_arguments)]
    fn run(
        &self,
        bytes: &[u8],
        start: usize,
        views: &[u128],
        first: usize,
        until: usize,
        scratch: &mut Vec<u8>,
        mut look: impl FnMut(usize),
    ) {
        let mut row = first;
        // Bounds of the current block, and the start of the unsearched part.
        let (mut block, mut folded) = (0, 0);
        let mut from = 0;
        while from + self.shortest <= bytes.len() {
            if from + self.shortest > folded || folded == 0 {
                block = from;
                folded = (from + BLOCK).min(bytes.len());
                if !self.cased {
                    scratch.clear();
                    scratch.extend_from_slice(&bytes[block..folded]);
                    scratch.make_ascii_lowercase();
                }
            }
            let hay = if self.cased { &bytes[from..folded] } else { &scratch[from - block..] };
            let Some(at) = self.finder.find(hay) else {
                if folded == bytes.len() {
                    return;
                }
                // A word may span two blocks.
                from = (folded + 1).saturating_sub(self.longest).max(from + 1);
                folded = 0;
                continue;
            };
            let at = start + from + at;
            // The first row that ends after the position.
            while row < until {
                let (length, _, offset) = place(views[row]);
                if length > INLINE && offset + length > at {
                    break;
                }
                row += 1;
            }
            if row == until {
                return;
            }
            let (length, _, offset) = place(views[row]);
            if at < offset {
                // The position is between texts.
                from = offset - start;
                continue;
            }
            look(row);
            from = offset + length - start;
        }
    }
}

/// Length, buffer and offset; only the length is meaningful if the text is inline.
fn place(view: u128) -> (usize, usize, usize) {
    (view as u32 as usize, (view >> 64) as u32 as usize, (view >> 96) as u32 as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::AsArray;
    use arrow::compute::take;

    /// Expected: the result of examining each text.
    #[test]
    fn prefilter_matches_per_text_search() {
        let texts: Vec<String> = (0..4000u32)
            .map(|n| match n % 7 {
                0 => format!("some longer text number {n} with a Needle in it"),
                1 => "short".to_owned(),
                2 => format!("Word{n}"),
                3 => String::new(),
                4 => format!("{}needl", "x".repeat((n % 90) as usize)),
                5 => format!("e and {} more", n * 7919),
                _ => format!("wORD at the start of a text of some length {n}"),
            })
            .collect();
        let array = StringViewArray::from_iter_values(&texts);
        let some: arrow::array::UInt32Array = (0..4000).rev().step_by(3).collect();
        let thinned = take(&array, &some, None).unwrap();
        for words in [vec!["needle"], vec!["needle", "word"], vec!["needle", "word", "more", "x"]] {
            for cased in [true, false] {
                let sieve = Sieve::new(&words, cased).unwrap();
                let holds = |text: &str| {
                    words.iter().any(|word| if cased { text.contains(word) } else { text.to_ascii_lowercase().contains(word) })
                };
                for array in [&array, thinned.as_string_view(), &array.slice(17, 900)] {
                    let expected: Vec<bool> = array.iter().map(|text| text.is_some_and(holds)).collect();
                    let found: Vec<bool> = sieve.rows(array, holds).as_boolean().values().iter().collect();
                    assert_eq!(found, expected, "{words:?} {cased}");
                }
            }
        }
    }

    #[test]
    fn a_word_across_two_blocks_is_found() {
        for at in BLOCK - 20..BLOCK + 20 {
            let text = format!("{}needle{}", "x".repeat(at), "y".repeat(BLOCK));
            let array = StringViewArray::from_iter_values([text.as_str(), "a text that holds nothing of the kind"]);
            let sieve = Sieve::new(&["needle"], false).unwrap();
            let found: Vec<bool> = sieve.rows(&array, |text| text.contains("needle")).as_boolean().values().iter().collect();
            assert_eq!(found, [true, false], "{at}");
        }
    }
}
