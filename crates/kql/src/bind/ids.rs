//! A set of column ids, which are small, as a bitmap.

use crate::plan::ColumnId;

#[derive(Default)]
pub(super) struct ColumnSet(Vec<u64>);

impl ColumnSet {
    /// Returns false if it was already present.
    pub fn insert(&mut self, ColumnId(id): ColumnId) -> bool {
        let (word, bit) = (id as usize / 64, 1 << (id % 64));
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        let fresh = self.0[word] & bit == 0;
        self.0[word] |= bit;
        fresh
    }

    pub fn contains(&self, ColumnId(id): &ColumnId) -> bool {
        self.0.get(*id as usize / 64).is_some_and(|word| word & 1 << (id % 64) != 0)
    }
}

impl Extend<ColumnId> for ColumnSet {
    fn extend<I: IntoIterator<Item = ColumnId>>(&mut self, ids: I) {
        for id in ids {
            self.insert(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_contains_inserted_ids() {
        let mut set = ColumnSet::default();
        assert!(!set.contains(&ColumnId(70)));
        assert!(set.insert(ColumnId(70)));
        assert!(!set.insert(ColumnId(70)));
        set.extend([ColumnId(0), ColumnId(63)]);
        let inside: Vec<u32> = (0..200).filter(|id| set.contains(&ColumnId(*id))).collect();
        assert_eq!(inside, [0, 63, 70]);
    }
}
