//! Frequent pattern mining for `basket`, `autocluster` and `diffpatterns`.
//!
//! A pattern fixes the values of some columns and leaves the others open. Rows are dictionary-encoded per column; at the end only values
//! that may occur in a pattern are kept, rows that agree in them are merged, and each value has a bitmap of the remaining rows. A pattern
//! is *closed* if no further column has the same value in all of its rows: the plug-ins report only closed patterns, like the tables in the
//! public KQL reference (`basket-plugin`), because the others are redundant.
//!
//! Cost: four bytes per cell and sixteen per row while rows are read. A distinct value costs a few bytes and is stored only once its count
//! is frequent so far: any value that is frequent in the end is frequent at its last occurrence.

use arrow::array::ArrayRef;
use arrow::row::{RowConverter, SortField};
use hashbrown::{HashMap, HashSet};
use model::Type;
use xxhash_rust::xxh64::xxh64;

use super::EvalError;
use super::layout::run;
use crate::Value;

/// Weights of rows in the two sets being compared; a single set is the first.
pub type Weights = [f64; 2];

/// Code of an absent cell: the text has no word at this position.
const NOTHING: u32 = u32::MAX;

/// Maximum bitmap words a search may touch, which takes some seconds.
const MOST_WORK: u64 = 8_000_000_000;

/// Maximum number of patterns a search may find.
const MOST_PATTERNS: usize = 50_000;

/// Maximum bits of all bitmaps: 256 MiB.
const MOST_BITS: usize = 1 << 31;

/// Maximum number of values of one column in patterns.
const MOST_ITEMS: usize = u16::MAX as usize - 1;

/// Rows while being read.
pub struct Rows {
    columns: Vec<Dictionary>,
    /// Codes of all cells, row by row.
    codes: Vec<u32>,
    weights: Vec<Weights>,
    /// Number of words per row, if the columns are words.
    lengths: Vec<u8>,
    total: Weights,
    /// Minimum share of a value in either set.
    least: f64,
    bytes: usize,
}

struct Dictionary {
    ty: Type,
    /// `None` if the values are the words of a text.
    converter: Option<RowConverter>,
    codes: HashMap<u64, u32>,
    weights: Vec<Weights>,
    values: HashMap<u32, Value>,
}

impl Rows {
    /// Rows with columns of these types.
    pub fn new(types: &[Type], least: f64) -> Result<Self, EvalError> {
        let column = |ty: &Type| Ok((*ty, Some(RowConverter::new(vec![SortField::new(ty.arrow())]).map_err(run)?)));
        Ok(Self::of(types.iter().map(column).collect::<Result<Vec<_>, EvalError>>()?, least))
    }

    /// Rows of `count` words.
    pub fn words(count: usize, least: f64) -> Self {
        Self::of((0..count).map(|_| (Type::String, None)).collect(), least)
    }

    fn of(columns: Vec<(Type, Option<RowConverter>)>, least: f64) -> Self {
        let dictionary = |(ty, converter)| Dictionary { ty, converter, codes: HashMap::new(), weights: Vec::new(), values: HashMap::new() };
        let columns = columns.into_iter().map(dictionary).collect();
        Self { columns, codes: Vec::new(), weights: Vec::new(), lengths: Vec::new(), total: [0.0; 2], least, bytes: 0 }
    }

    /// Bytes held, doubled to account for the final conversion.
    pub fn size(&self) -> usize {
        2 * (self.bytes + self.codes.capacity() * size_of::<u32>() + self.weights.capacity() * size_of::<Weights>())
    }

    /// Adds the rows of `columns` with a positive weight.
    pub fn add(&mut self, columns: &[ArrayRef], weights: &[Weights]) -> Result<(), EvalError> {
        let converted = self.columns.iter().zip(columns).map(|(dictionary, column)| match &dictionary.converter {
            Some(converter) => converter.convert_columns(std::slice::from_ref(column)).map_err(run),
            None => Err(EvalError::Run("columns of words come as words".to_owned())),
        });
        let converted = converted.collect::<Result<Vec<_>, EvalError>>()?;
        for (row, weight) in weights.iter().enumerate().filter(|(_, weight)| weight.iter().sum::<f64>() > 0.0) {
            self.begin(*weight);
            for ((dictionary, cells), column) in self.columns.iter_mut().zip(&converted).zip(columns) {
                let hash = xxh64(cells.row(row).as_ref(), 0);
                let ty = dictionary.ty;
                let code = dictionary.code(hash, *weight, self.total, self.least, &mut self.bytes, || Value::from_cell(column, row, ty));
                self.codes.push(code);
            }
        }
        Ok(())
    }

    /// Adds a row of words; words beyond the number of columns are ignored.
    pub fn add_words<'t>(&mut self, words: impl Iterator<Item = &'t str>, weight: Weights) {
        self.begin(weight);
        let mut words = words;
        let mut length = 0;
        for dictionary in &mut self.columns {
            let code = words.next().map_or(NOTHING, |word| {
                length += 1;
                let value = || Value::String(word.to_owned());
                dictionary.code(xxh64(word.as_bytes(), 0), weight, self.total, self.least, &mut self.bytes, value)
            });
            self.codes.push(code);
        }
        self.lengths.push(length + u8::from(words.next().is_some()));
    }

    fn begin(&mut self, weight: Weights) {
        self.weights.push(weight);
        self.total = plus(self.total, weight);
    }

    /// The rows reduced to frequent values.
    pub fn finish(self) -> Result<Transactions, EvalError> {
        let width = self.columns.len();
        let mut values = Vec::with_capacity(width);
        let mut items: Vec<HashMap<u32, u16>> = Vec::with_capacity(width);
        for mut dictionary in self.columns {
            let counts = |code: &u32| is_share(dictionary.weights[*code as usize], self.total, self.least);
            let mut kept: Vec<(u32, Value)> = dictionary.values.drain().filter(|(code, _)| counts(code)).collect();
            // Numbers values independently of the order of rows.
            kept.sort_by_cached_key(|(_, value)| (value.is_null(), value.to_text()));
            kept.truncate(MOST_ITEMS);
            items.push(kept.iter().enumerate().map(|(item, (code, _))| (*code, item as u16 + 1)).collect());
            values.push(kept.into_iter().map(|(_, value)| value).collect::<Vec<_>>());
        }
        let mut merged: HashMap<Box<[u16]>, (Weights, u8)> = HashMap::new();
        for (row, weight) in self.weights.iter().enumerate() {
            let codes = &self.codes[row * width..(row + 1) * width];
            let cells: Box<[u16]> = codes.iter().zip(&items).map(|(code, items)| items.get(code).copied().unwrap_or(0)).collect();
            let (sum, longest) = merged.entry(cells).or_insert(([0.0; 2], 0));
            *sum = plus(*sum, *weight);
            *longest = (*longest).max(self.lengths.get(row).copied().unwrap_or(0));
        }
        let mut rows: Vec<(Box<[u16]>, (Weights, u8))> = merged.into_iter().collect();
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        Transactions::new(rows, values, self.total)
    }
}

impl Dictionary {
    fn code(&mut self, hash: u64, weight: Weights, total: Weights, least: f64, bytes: &mut usize, value: impl FnOnce() -> Value) -> u32 {
        let code = *self.codes.entry(hash).or_insert_with(|| {
            self.weights.push([0.0; 2]);
            *bytes += 48;
            (self.weights.len() - 1) as u32
        });
        let sum = &mut self.weights[code as usize];
        *sum = plus(*sum, weight);
        if is_share(*sum, total, least) && !self.values.contains_key(&code) {
            let value = value();
            *bytes += size_of::<Value>() + value.as_str().map_or(0, str::len);
            self.values.insert(code, value);
        }
        code
    }
}

fn plus(a: Weights, b: Weights) -> Weights {
    [a[0] + b[0], a[1] + b[1]]
}

/// True if `part` is at least this share of either set.
pub fn is_share(part: Weights, whole: Weights, least: f64) -> bool {
    // Avoids losing a share that equals the minimum to rounding.
    (0..2).any(|side| whole[side] > 0.0 && part[side] >= least * whole[side] * (1.0 - 1e-12))
}

/// Distinct rows of frequent values.
pub struct Transactions {
    /// The values of each column; a pattern refers to them by number, starting at 1.
    pub values: Vec<Vec<Value>>,
    pub total: Weights,
    weights: Vec<Weights>,
    lengths: Vec<u8>,
    rows: Vec<Box<[u16]>>,
    /// For each column and value, a bitmap of its rows.
    bits: Vec<Vec<Box<[u64]>>>,
}

/// For each column the number of a value, or 0 if the column is open.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern {
    pub items: Box<[u16]>,
    pub weights: Weights,
}

impl Pattern {
    /// Number of fixed columns.
    pub fn fixed(&self) -> usize {
        fixed(&self.items)
    }

    /// True if one of the two patterns contains the other.
    pub fn is_comparable(&self, other: &Pattern) -> bool {
        let within = |a: &Pattern, b: &Pattern| a.items.iter().zip(&b.items).all(|(a, b)| *a == 0 || a == b);
        within(self, other) || within(other, self)
    }
}

fn fixed(items: &[u16]) -> usize {
    items.iter().filter(|item| **item > 0).count()
}

/// Limits the cost of a search.
struct Budget(u64);

impl Budget {
    fn spend(&mut self, words: usize) -> Result<(), EvalError> {
        self.0 = self.0.saturating_sub(words as u64);
        if self.0 == 0 { Err(too_much()) } else { Ok(()) }
    }
}

fn too_much() -> EvalError {
    let help = "`project` fewer columns, ask for patterns of more rows (a higher threshold) or of fewer columns, or `sample` the rows";
    EvalError::Run(format!("the rows have too many patterns to look at; {help}"))
}

impl Transactions {
    fn new(rows: Vec<(Box<[u16]>, (Weights, u8))>, values: Vec<Vec<Value>>, total: Weights) -> Result<Self, EvalError> {
        let (rows, sums): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        let (weights, lengths): (Vec<_>, Vec<_>) = sums.into_iter().unzip();
        let words = rows.len().div_ceil(64);
        let items: usize = values.iter().map(Vec::len).sum();
        if items.saturating_mul(words * 64) > MOST_BITS {
            return Err(too_much());
        }
        let mut bits: Vec<Vec<Box<[u64]>>> = values.iter().map(|values| vec![vec![0u64; words].into_boxed_slice(); values.len()]).collect();
        for (row, cells) in rows.iter().enumerate() {
            for (column, item) in cells.iter().enumerate().filter(|(_, item)| **item > 0) {
                bits[column][usize::from(*item) - 1][row / 64] |= 1 << (row % 64);
            }
        }
        Ok(Self { values, total, weights, lengths, rows, bits })
    }

    fn item(&self, column: usize, item: u16) -> &[u64] {
        &self.bits[column][usize::from(item) - 1]
    }

    fn all(&self) -> Vec<u64> {
        let mut all = vec![u64::MAX; self.rows.len().div_ceil(64)];
        if let Some(last) = all.last_mut()
            && !self.rows.len().is_multiple_of(64)
        {
            *last = (1 << (self.rows.len() % 64)) - 1;
        }
        all
    }

    /// The rows of a pattern.
    fn matching(&self, items: &[u16]) -> Vec<u64> {
        let mut rows = self.all();
        for (column, item) in items.iter().enumerate().filter(|(_, item)| **item > 0) {
            rows.iter_mut().zip(self.item(column, *item)).for_each(|(row, bits)| *row &= bits);
        }
        rows
    }

    fn weigh(&self, rows: &[u64]) -> Weights {
        let mut sum = [0.0; 2];
        for (index, word) in rows.iter().enumerate() {
            let mut word = *word;
            while word != 0 {
                sum = plus(sum, self.weights[index * 64 + word.trailing_zeros() as usize]);
                word &= word - 1;
            }
        }
        sum
    }

    /// Fixes every column that has one value in all of `rows`.
    fn close(&self, items: &mut [u16], rows: &[u64]) {
        // A value common to all rows is that of the first row.
        let Some((index, word)) = rows.iter().enumerate().find(|(_, word)| **word != 0) else { return };
        let first = &self.rows[index * 64 + word.trailing_zeros() as usize];
        for (column, item) in items.iter_mut().enumerate() {
            let candidate = first[column];
            if *item == 0 && candidate > 0 && rows.iter().zip(self.item(column, candidate)).all(|(rows, bits)| rows & !bits == 0) {
                *item = candidate;
            }
        }
    }

    /// All closed patterns accepted by `counts`, which must be monotonic (true for every more general pattern), and that are generated by
    /// at most `most` columns. Excludes the empty pattern.
    pub fn closed(&self, most: usize, counts: &dyn Fn(Weights) -> bool) -> Result<Vec<Pattern>, EvalError> {
        let mut budget = Budget(MOST_WORK);
        let width = self.values.len();
        let mut root = vec![0u16; width].into_boxed_slice();
        let all = self.all();
        self.close(&mut root, &all);
        let mut found = Vec::new();
        if fixed(&root) > 0 && counts(self.total) {
            found.push(Pattern { items: root.clone(), weights: self.total });
        }
        let mut seen: HashSet<Box<[u16]>> = HashSet::from_iter([root.clone()]);
        let mut level = vec![root];
        for _ in 0..most.min(width) {
            let mut next = Vec::new();
            for pattern in &level {
                let rows = self.matching(pattern);
                budget.spend(rows.len() * (1 + fixed(pattern)))?;
                for column in (0..width).filter(|column| pattern[*column] == 0) {
                    for item in 1..=self.values[column].len() as u16 {
                        budget.spend(rows.len() * 4)?;
                        let narrowed: Vec<u64> = rows.iter().zip(self.item(column, item)).map(|(a, b)| a & b).collect();
                        let weights = self.weigh(&narrowed);
                        if weights.iter().sum::<f64>() <= 0.0 || !counts(weights) {
                            continue;
                        }
                        let mut items = pattern.clone();
                        items[column] = item;
                        self.close(&mut items, &narrowed);
                        if seen.insert(items.clone()) {
                            if seen.len() > MOST_PATTERNS {
                                return Err(too_much());
                            }
                            next.push(items.clone());
                            found.push(Pattern { items, weights });
                        }
                    }
                }
            }
            level = next;
        }
        Ok(found)
    }

    /// For each of `seeds` rows, the pattern with the best score on the path from no fixed column to all fixed, fixing next the column that
    /// keeps most rows. The heaviest rows are the first seeds; the rest is spread evenly.
    pub fn expand(&self, seeds: usize, score: &dyn Fn(&Pattern) -> f64) -> Result<Vec<Pattern>, EvalError> {
        let mut budget = Budget(MOST_WORK);
        let width = self.values.len();
        let mut found: Vec<Pattern> = Vec::new();
        for seed in self.seeds(seeds) {
            let seed = &self.rows[seed];
            let mut rows = self.all();
            let mut items = vec![0u16; width].into_boxed_slice();
            let mut best: Option<(f64, Pattern)> = None;
            loop {
                let mut widest: Option<(f64, usize, Vec<u64>)> = None;
                for column in (0..width).filter(|column| items[*column] == 0 && seed[*column] > 0) {
                    budget.spend(rows.len() * 4)?;
                    let narrowed: Vec<u64> = rows.iter().zip(self.item(column, seed[column])).map(|(a, b)| a & b).collect();
                    let weight = self.weigh(&narrowed)[0];
                    if widest.as_ref().is_none_or(|(most, ..)| weight > *most) {
                        widest = Some((weight, column, narrowed));
                    }
                }
                let Some((weight, column, narrowed)) = widest else { break };
                rows = narrowed;
                items[column] = seed[column];
                self.close(&mut items, &rows);
                let pattern = Pattern { items: items.clone(), weights: [weight, 0.0] };
                let worth = score(&pattern);
                if best.as_ref().is_none_or(|(most, _)| worth > *most) {
                    best = Some((worth, pattern));
                }
            }
            if let Some((_, pattern)) = best
                && !found.contains(&pattern)
            {
                found.push(pattern);
            }
        }
        Ok(found)
    }

    fn seeds(&self, count: usize) -> Vec<usize> {
        let mut rows: Vec<usize> = (0..self.rows.len()).collect();
        rows.sort_by(|a, b| self.weights[*b][0].total_cmp(&self.weights[*a][0]).then(a.cmp(b)));
        if rows.len() <= count {
            return rows;
        }
        let (first, rest) = rows.split_at(count.div_ceil(2));
        let spread = count - first.len();
        first.iter().copied().chain((0..spread).map(|n| rest[n * rest.len() / spread])).collect()
    }

    /// The `patterns`, in this order, for which more than half of the weight is not covered by earlier ones.
    pub fn apart(&self, patterns: Vec<Pattern>) -> Vec<Pattern> {
        let mut covered = vec![0u64; self.rows.len().div_ceil(64)];
        let mut kept: Vec<Pattern> = Vec::new();
        for pattern in patterns {
            let rows = self.matching(&pattern.items);
            let fresh: Vec<u64> = rows.iter().zip(&covered).map(|(rows, covered)| rows & !covered).collect();
            if 2.0 * self.weigh(&fresh)[0] > pattern.weights[0] {
                covered.iter_mut().zip(&rows).for_each(|(covered, rows)| *covered |= rows);
                kept.push(pattern);
            }
        }
        kept
    }

    /// Number of words of the longest row of a pattern.
    pub fn longest(&self, pattern: &Pattern) -> usize {
        let rows = self.matching(&pattern.items);
        let there = |row: &usize| rows[row / 64] & (1 << (row % 64)) != 0;
        (0..self.rows.len()).filter(there).map(|row| usize::from(self.lengths[row])).max().unwrap_or(0)
    }

    /// The values of a column over `patterns`.
    pub fn column(&self, patterns: &[Pattern], column: usize, ty: Type, open: &Value) -> ArrayRef {
        let value = |pattern: &Pattern| match pattern.items[column] {
            0 => open.clone(),
            item => self.values[column][usize::from(item) - 1].clone(),
        };
        Value::array(&patterns.iter().map(value).collect::<Vec<_>>(), ty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deterministic pseudo-random numbers.
    fn draws(seed: u64) -> impl FnMut(u64) -> u64 {
        let mut state = seed;
        move |below| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        }
    }

    fn rows(table: &[Vec<u64>], least: f64) -> Transactions {
        let width = table[0].len();
        let mut rows = Rows::new(&vec![Type::Long; width], least).unwrap();
        let cells = |column: usize| table.iter().map(|row| Value::Long(row[column] as i64)).collect::<Vec<_>>();
        let columns: Vec<ArrayRef> = (0..width).map(|column| Value::array(&cells(column), Type::Long)).collect();
        rows.add(&columns, &vec![[1.0, 0.0]; table.len()]).unwrap();
        rows.finish().unwrap()
    }

    /// The definition, applied to every possible pattern.
    fn all_closed(table: &[Vec<u64>], least: f64, values: u64) -> Vec<(Vec<Option<u64>>, f64)> {
        let width = table[0].len();
        let mut found = Vec::new();
        for number in 0..(values + 1).pow(width as u32) {
            let digit = |column: usize| number / (values + 1).pow(column as u32) % (values + 1);
            let pattern: Vec<Option<u64>> = (0..width).map(|column| digit(column).checked_sub(1)).collect();
            let fits = |row: &&Vec<u64>| row.iter().zip(&pattern).all(|(cell, want)| want.is_none_or(|want| want == *cell));
            let with: Vec<&Vec<u64>> = table.iter().filter(fits).collect();
            let shared = |column: usize| with.iter().all(|row| row[column] == with[0][column]);
            let frequent = with.len() as f64 >= least * table.len() as f64 && !with.is_empty();
            if frequent && number > 0 && (0..width).all(|column| pattern[column].is_some() || !shared(column)) {
                found.push((pattern, with.len() as f64));
            }
        }
        found
    }

    #[test]
    fn closed_patterns_match_the_definition() {
        for seed in 0..20 {
            let mut draw = draws(seed);
            let table: Vec<Vec<u64>> = (0..40).map(|_| vec![draw(2), draw(3), draw(3), draw(2)]).collect();
            let least = 0.1;
            let transactions = rows(&table, least);
            let value = |column: usize, item: u16| match item {
                0 => None,
                item => transactions.values[column][usize::from(item) - 1].as_i64().map(|n| n as u64),
            };
            let found = transactions.closed(4, &|weights| is_share(weights, transactions.total, least)).unwrap();
            let shown = |pattern: &Pattern| (0..4).map(|column| value(column, pattern.items[column])).collect::<Vec<_>>();
            let mut found: Vec<_> = found.iter().map(|pattern| (shown(pattern), pattern.weights[0])).collect();
            let mut wanted = all_closed(&table, least, 3);
            found.sort_by(|a, b| a.0.cmp(&b.0));
            wanted.sort_by(|a, b| a.0.cmp(&b.0));
            assert_eq!(found, wanted, "seed {seed}");
        }
    }

    #[test]
    fn frequent_value_is_kept_at_any_position() {
        // Forty values once each, then one that makes up half of all rows.
        let table: Vec<Vec<u64>> = (0..80).map(|row| vec![if row < 40 { row } else { 1000 }]).collect();
        let transactions = rows(&table, 0.3);
        assert_eq!(transactions.values, [[Value::Long(1000)]]);
        assert_eq!(transactions.closed(1, &|_| true).unwrap()[0].weights, [40.0, 0.0]);
    }

    #[test]
    fn too_many_patterns_are_rejected() {
        // Every subset of 24 columns is a closed pattern.
        let table: Vec<Vec<u64>> = (0..24).map(|row| (0..24).map(|column| u64::from(row == column)).collect()).collect();
        let transactions = rows(&table, 0.04);
        let why = transactions.closed(24, &|_| true).unwrap_err().to_string();
        assert!(why.contains("too many patterns"), "{why}");
    }
}
