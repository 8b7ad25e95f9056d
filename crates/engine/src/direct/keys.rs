//! Group keys: each distinct key value gets a number, and a group is identified by a tuple of numbers.
//!
//! Coded columns are looked up once per dictionary entry. Groups are numbered in order of first appearance.

use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, StringViewArray};
use arrow::datatypes::{Int32Type, Int64Type};
use datafusion::common::{Result, internal_err};
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use model::Type;

use super::column::{Coded, Col};

/// True for types supported as keys here.
pub(crate) fn is_key(ty: Type) -> bool {
    !matches!(ty, Type::Real | Type::Decimal)
}

/// Group numbers, and the key values they stand for.
pub(crate) struct Keys {
    types: Vec<Type>,
    columns: Vec<Values>,
    /// Maps a pair of numbers to one number, for each key after the first.
    pairs: Vec<HashMap<u64, u32>>,
    /// The last pair seen and its number, for each of `pairs`.
    last: Vec<(u64, u32)>,
    /// For each group, the number of each key value.
    groups: Vec<u32>,
    count: usize,
}

const UNASSIGNED: u32 = u32::MAX;

impl Keys {
    pub(crate) fn new(types: &[Type]) -> Self {
        let pairs = types.len().saturating_sub(1);
        Self {
            types: types.to_vec(),
            columns: types.iter().map(|ty| Values::new(*ty)).collect(),
            pairs: vec![HashMap::new(); pairs],
            last: vec![(u64::MAX, UNASSIGNED); pairs],
            groups: Vec::new(),
            count: if types.is_empty() { 1 } else { 0 },
        }
    }

    /// Number of groups so far.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Returns the group of each row.
    pub(crate) fn groups(&mut self, columns: &[Col], rows: usize) -> Result<Vec<usize>> {
        let mut numbers = Vec::with_capacity(columns.len());
        for (values, col) in self.columns.iter_mut().zip(columns) {
            numbers.push(values.numbers(col)?);
        }
        let Some((first, rest)) = numbers.split_first() else { return Ok(vec![0; rows]) };
        if rest.is_empty() {
            for number in first {
                if *number as usize >= self.count {
                    self.groups.push(*number);
                    self.count += 1;
                }
            }
            return Ok(first.iter().map(|number| *number as usize).collect());
        }
        let mut groups: Vec<u32> = first.clone();
        let deepest = rest.len() - 1;
        for (depth, (others, (pairs, last))) in rest.iter().zip(self.pairs.iter_mut().zip(&mut self.last)).enumerate() {
            for row in 0..rows {
                let pair = u64::from(groups[row]) << 32 | u64::from(others[row]);
                if pair != last.0 {
                    let next = pairs.len() as u32;
                    let number = *pairs.entry(pair).or_insert(next);
                    if number == next && depth == deepest {
                        self.groups.extend(numbers.iter().map(|numbers| numbers[row]));
                        self.count += 1;
                    }
                    *last = (pair, number);
                }
                groups[row] = last.1;
            }
        }
        Ok(groups.into_iter().map(|group| group as usize).collect())
    }

    /// Returns the keys of all groups, one column per key.
    pub(crate) fn arrays(&self) -> Vec<ArrayRef> {
        let width = self.types.len();
        let of = |at: usize| self.groups.iter().skip(at).step_by(width.max(1)).copied();
        self.columns.iter().enumerate().map(|(at, values)| values.array(of(at), self.types[at])).collect()
    }

    pub(crate) fn size(&self) -> usize {
        let pairs: usize = self.pairs.iter().map(|pairs| pairs.capacity() * 2 * size_of::<u64>()).sum();
        self.columns.iter().map(Values::size).sum::<usize>() + pairs + self.groups.capacity() * size_of::<u32>()
    }
}

/// Distinct values of one key.
enum Values {
    Text(Texts),
    Long(Longs),
}

impl Values {
    fn new(ty: Type) -> Self {
        match ty {
            Type::String | Type::Guid | Type::Dynamic => Values::Text(Texts::new(ty)),
            _ => Values::Long(Longs::default()),
        }
    }

    fn numbers(&mut self, col: &Col) -> Result<Vec<u32>> {
        match self {
            Values::Text(texts) => match col {
                Col::Coded(coded) => texts.coded(coded),
                Col::Plain(array) => match array.as_string_view_opt() {
                    Some(array) => Ok(texts.plain(array)),
                    None => internal_err!("a key of texts is {}", array.data_type()),
                },
            },
            Values::Long(longs) => {
                let array = col.array()?;
                if let Some(array) = array.as_primitive_opt::<Int64Type>() {
                    Ok(longs.numbers(array.len(), |row| array.is_valid(row).then(|| array.value(row))))
                } else if let Some(array) = array.as_primitive_opt::<Int32Type>() {
                    Ok(longs.numbers(array.len(), |row| array.is_valid(row).then(|| i64::from(array.value(row)))))
                } else if let Some(array) = array.as_boolean_opt() {
                    Ok(longs.numbers(array.len(), |row| array.is_valid(row).then(|| i64::from(array.value(row)))))
                } else {
                    internal_err!("a key of numbers is {}", array.data_type())
                }
            }
        }
    }

    fn array(&self, numbers: impl Iterator<Item = u32>, ty: Type) -> ArrayRef {
        match self {
            Values::Text(texts) => Arc::new(numbers.map(|number| texts.get(number)).collect::<StringViewArray>()),
            Values::Long(longs) => {
                let values = numbers.map(|number| longs.values.get(number as usize).copied().flatten());
                match ty {
                    Type::Int => Arc::new(values.map(|value| value.map(|value| value as i32)).collect::<Int32Array>()),
                    Type::Bool => Arc::new(values.map(|value| value.map(|value| value != 0)).collect::<BooleanArray>()),
                    _ => Arc::new(values.collect::<Int64Array>()),
                }
            }
        }
    }

    fn size(&self) -> usize {
        match self {
            Values::Text(texts) => texts.size(),
            Values::Long(longs) => longs.values.capacity() * 16 + longs.table.capacity() * 17,
        }
    }
}

/// Numbers distinct texts.
#[derive(Default)]
pub(crate) struct Texts {
    all: String,
    ends: Vec<usize>,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// The number assigned to null.
    null: Option<u32>,
    /// True if null is treated as empty text.
    filled: bool,
    /// The number of each entry of the current dictionary.
    map: Vec<u32>,
    stamp: Option<u64>,
}

impl Texts {
    pub(crate) fn new(ty: Type) -> Self {
        Self { filled: ty == Type::String, ..Self::default() }
    }

    /// Number of distinct texts so far.
    pub(crate) fn count(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn size(&self) -> usize {
        self.all.capacity() + (self.ends.capacity() + self.map.capacity()) * 8 + self.table.capacity() * 5
    }

    fn get(&self, number: u32) -> Option<&str> {
        if self.null == Some(number) { None } else { Some(text(&self.all, &self.ends, number)) }
    }

    fn number(&mut self, value: Option<&str>) -> u32 {
        let value = match value {
            None if !self.filled => {
                return *self.null.get_or_insert_with(|| {
                    self.ends.push(self.all.len());
                    (self.ends.len() - 1) as u32
                });
            }
            value => value.unwrap_or(""),
        };
        let Self { all, ends, table, hasher, null, .. } = self;
        let hash = hasher.hash_one(value);
        if let Some(number) = table.find(hash, |number| Some(*number) != *null && text(all, ends, *number) == value) {
            return *number;
        }
        let number = ends.len() as u32;
        all.push_str(value);
        ends.push(all.len());
        table.insert_unique(hash, number, |number| hasher.hash_one(text(all, ends, *number)));
        number
    }

    /// Returns the number of each row's text.
    pub(crate) fn coded(&mut self, coded: &Coded) -> Result<Vec<u32>> {
        let Some(values) = coded.values.as_string_view_opt() else {
            return internal_err!("a key of texts is {}", coded.values.data_type());
        };
        if self.stamp != Some(coded.stamp) {
            self.map.clear();
            self.map.resize(values.len(), UNASSIGNED);
            self.stamp = Some(coded.stamp);
        }
        let mut numbers = Vec::with_capacity(coded.codes.len());
        for code in coded.codes.iter() {
            let code = *code as usize;
            let mut number = self.map[code];
            if number == UNASSIGNED {
                number = self.number(values.is_valid(code).then(|| values.value(code)));
                self.map[code] = number;
            }
            numbers.push(number);
        }
        Ok(numbers)
    }

    fn plain(&mut self, array: &StringViewArray) -> Vec<u32> {
        (0..array.len()).map(|row| self.number(array.is_valid(row).then(|| array.value(row)))).collect()
    }
}

fn text<'a>(all: &'a str, ends: &[usize], number: u32) -> &'a str {
    let number = number as usize;
    let start = if number == 0 { 0 } else { ends[number - 1] };
    all.get(start..ends[number]).unwrap_or("")
}

/// Numbers distinct integers, datetimes or booleans.
#[derive(Default)]
struct Longs {
    values: Vec<Option<i64>>,
    table: HashMap<i64, u32>,
    null: Option<u32>,
    last: Option<(i64, u32)>,
}

impl Longs {
    fn numbers(&mut self, rows: usize, value: impl Fn(usize) -> Option<i64>) -> Vec<u32> {
        (0..rows).map(|row| self.number(value(row))).collect()
    }

    fn number(&mut self, value: Option<i64>) -> u32 {
        let next = self.values.len() as u32;
        let Some(value) = value else {
            return *self.null.get_or_insert_with(|| {
                self.values.push(None);
                next
            });
        };
        // Rows are in time order, so adjacent values are often equal.
        if let Some((last, number)) = self.last
            && last == value
        {
            return number;
        }
        let number = *self.table.entry(value).or_insert_with(|| {
            self.values.push(Some(value));
            next
        });
        self.last = Some((value, number));
        number
    }
}
