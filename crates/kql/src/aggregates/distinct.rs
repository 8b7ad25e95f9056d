//! Distinct values per group, in order of first appearance: the state of `make_set` and `count_distinct`.
//!
//! Each value is stored once across groups, and a group holds value numbers. A lookup costs two hash probes per row.

use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, ListArray, StringViewArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field};
use hashbrown::{DefaultHashBuilder, HashSet, HashTable};

use super::Emit;

/// Type of the state column: a list of texts per group.
pub fn state_type() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Utf8View, true)))
}

#[derive(Default)]
pub struct Distinct {
    texts: Texts,
    /// Group (numbered from the first ever created) and value.
    members: HashSet<(u64, u32)>,
    groups: Vec<Vec<u32>>,
    /// Number of groups removed so far.
    gone: u64,
    held: usize,
}

/// Numbers distinct texts.
#[derive(Default)]
struct Texts {
    all: String,
    ends: Vec<usize>,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Texts {
    fn get<'a>(all: &'a str, ends: &[usize], id: u32) -> &'a str {
        let id = id as usize;
        let start = if id == 0 { 0 } else { ends[id - 1] };
        all.get(start..ends[id]).unwrap_or("")
    }

    fn id(&mut self, text: &str) -> u32 {
        let Self { all, ends, table, hasher } = self;
        let hash = hasher.hash_one(text);
        if let Some(id) = table.find(hash, |id| Self::get(all, ends, *id) == text) {
            return *id;
        }
        let id = ends.len() as u32;
        all.push_str(text);
        ends.push(all.len());
        table.insert_unique(hash, id, |id| hasher.hash_one(Self::get(all, ends, *id)));
        id
    }
}

impl Distinct {
    pub fn resize(&mut self, total: usize) {
        self.groups.resize(total, Vec::new());
    }

    pub fn len(&self, group: usize) -> usize {
        self.groups[group].len()
    }

    pub fn add(&mut self, group: usize, text: &str) {
        let id = self.texts.id(text);
        if self.members.insert((self.gone + group as u64, id)) {
            self.groups[group].push(id);
            self.held += 1;
        }
    }

    /// Adds the values of a state column, up to `limit` per group.
    pub fn merge(&mut self, state: &ArrayRef, groups: &[usize], limit: usize) {
        let lists = state.as_list::<i32>();
        let texts = lists.values().as_string_view();
        for (row, group) in groups.iter().enumerate() {
            let (from, until) = (lists.value_offsets()[row] as usize, lists.value_offsets()[row + 1] as usize);
            for at in from..until {
                if self.len(*group) >= limit {
                    break;
                }
                self.add(*group, texts.value(at));
            }
        }
    }

    /// Removes and returns the values of the emitted groups.
    pub fn take(&mut self, which: Emit) -> Vec<Vec<u32>> {
        let taken = which.take(&mut self.groups);
        self.held -= taken.iter().map(Vec::len).sum::<usize>();
        if self.groups.is_empty() {
            self.members.clear();
        } else {
            for (group, ids) in taken.iter().enumerate() {
                for id in ids {
                    self.members.remove(&(self.gone + group as u64, *id));
                }
            }
        }
        self.gone += taken.len() as u64;
        taken
    }

    pub fn text(&self, id: u32) -> &str {
        Texts::get(&self.texts.all, &self.texts.ends, id)
    }

    pub fn state(&mut self, which: Emit) -> ArrayRef {
        let taken = self.take(which);
        let mut offsets = Vec::with_capacity(taken.len() + 1);
        offsets.push(0i32);
        let mut length = 0i32;
        for ids in &taken {
            // The memory limit is reached long before 2^31 values.
            length = length.saturating_add(i32::try_from(ids.len()).unwrap_or(i32::MAX));
            offsets.push(length);
        }
        let values = StringViewArray::from_iter_values(taken.iter().flatten().map(|id| self.text(*id)));
        let field = Arc::new(Field::new_list_field(DataType::Utf8View, true));
        Arc::new(ListArray::new(field, OffsetBuffer::new(ScalarBuffer::from(offsets)), Arc::new(values), None))
    }

    pub fn size(&self) -> usize {
        self.texts.all.capacity()
            + self.texts.ends.capacity() * (size_of::<usize>() + 2 * size_of::<u32>())
            + self.members.capacity() * size_of::<(u64, u32)>()
            + self.groups.capacity() * size_of::<Vec<u32>>()
            + 2 * self.held * size_of::<u32>()
    }
}
