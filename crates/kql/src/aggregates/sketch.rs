//! Approximate distinct counts in bounded memory: HyperLogLog, exact for few values.
//!
//! Up to an eighth of the number of registers, hashes are stored and counted exactly; beyond that registers are used, with Ertl's estimator
//! ("New cardinality estimation algorithms for HyperLogLog sketches", 2017, algorithm 6), which needs no correction tables. Kusto's
//! accuracies 0 to 4 are 2^12, 2^14, 2^16, 2^17, 2^18 registers (the public reference, "estimation accuracy").

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hashbrown::HashSet;
use xxhash_rust::xxh64::xxh64;

/// The default accuracy.
pub const ACCURACY: i64 = 1;

/// The binary logarithm of the number of registers for an accuracy.
pub fn precision(accuracy: i64) -> Option<u8> {
    [12, 14, 16, 17, 18].get(usize::try_from(accuracy).ok()?).copied()
}

/// The hash of a value; `bytes` must be equal for equal values.
pub fn hash(bytes: &[u8]) -> u64 {
    xxh64(bytes, 0)
}

#[derive(Clone, Debug)]
pub struct Sketch {
    precision: u8,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Hashes(HashSet<u64>),
    Registers(Box<[u8]>),
}

impl Sketch {
    pub fn new(precision: u8) -> Self {
        Self { precision, content: Content::Hashes(HashSet::new()) }
    }

    pub fn is_empty(&self) -> bool {
        matches!(&self.content, Content::Hashes(hashes) if hashes.is_empty())
    }

    /// True once registers are used; their size is fixed.
    pub fn is_full(&self) -> bool {
        matches!(&self.content, Content::Registers(_))
    }

    pub fn add(&mut self, hash: u64) {
        let precision = self.precision;
        match &mut self.content {
            Content::Registers(registers) => raise(registers, precision, hash),
            Content::Hashes(hashes) => {
                hashes.insert(hash);
                if hashes.len() > (1 << precision) / 8 {
                    let mut registers = vec![0; 1 << precision].into_boxed_slice();
                    hashes.iter().for_each(|hash| raise(&mut registers, precision, *hash));
                    self.content = Content::Registers(registers);
                }
            }
        }
    }

    /// Merges `other`. The result has the lower precision of the two.
    pub fn merge(&mut self, other: &Sketch) {
        if other.precision < self.precision {
            let mut coarse = other.clone();
            coarse.absorb(self);
            *self = coarse;
        } else {
            self.absorb(other);
        }
    }

    fn absorb(&mut self, other: &Sketch) {
        match &other.content {
            Content::Hashes(hashes) => hashes.iter().for_each(|hash| self.add(*hash)),
            Content::Registers(theirs) => {
                let mut registers = match std::mem::replace(&mut self.content, Content::Hashes(HashSet::new())) {
                    Content::Registers(registers) => registers,
                    Content::Hashes(hashes) => {
                        let mut registers = vec![0; 1 << self.precision].into_boxed_slice();
                        hashes.iter().for_each(|hash| raise(&mut registers, self.precision, *hash));
                        registers
                    }
                };
                let finer = other.precision - self.precision;
                for (index, rank) in theirs.iter().enumerate().filter(|(_, rank)| **rank > 0) {
                    // The extra index bits of the finer sketch are leading bits of the rank here.
                    let (at, below) = (index >> finer, index & ((1 << finer) - 1));
                    let rank = if below == 0 { rank + finer } else { finer - below.ilog2() as u8 };
                    registers[at] = registers[at].max(rank);
                }
                self.content = Content::Registers(registers);
            }
        }
    }

    /// The number of distinct values; exact for few values.
    pub fn count(&self) -> i64 {
        match &self.content {
            Content::Hashes(hashes) => hashes.len() as i64,
            Content::Registers(registers) => estimate(registers, self.precision).round() as i64,
        }
    }

    /// The sizes of the intersections of the first one, two, three … of `sets`: exact while all are small, otherwise by
    /// inclusion–exclusion, which is affordable for up to sixteen sets.
    pub fn common(sets: &[Sketch]) -> Vec<i64> {
        let hashes: Option<Vec<&HashSet<u64>>> = sets
            .iter()
            .map(|set| match &set.content {
                Content::Hashes(hashes) => Some(hashes),
                Content::Registers(_) => None,
            })
            .collect();
        let mut counts = match hashes {
            Some(hashes) => {
                let Some((first, others)) = hashes.split_first() else { return Vec::new() };
                let mut both: Vec<u64> = first.iter().copied().collect();
                let mut counts = vec![both.len() as i64];
                for other in others {
                    both.retain(|hash| other.contains(hash));
                    counts.push(both.len() as i64);
                }
                return counts;
            }
            None => vec![0i64; sets.len()],
        };
        // A union whose last set is `n` contributes to the first `n` sets and to all larger prefixes.
        fn add(sets: &[Sketch], from: usize, union: Option<&Sketch>, sign: i64, counts: &mut [i64]) {
            for (at, set) in sets.iter().enumerate().skip(from) {
                let mut wider = set.clone();
                union.into_iter().for_each(|union| wider.merge(union));
                let count = sign * wider.count();
                counts[at..].iter_mut().for_each(|sum| *sum += count);
                add(sets, at + 1, Some(&wider), -sign, counts);
            }
        }
        add(sets, 0, None, 1, &mut counts);
        // Estimation errors add up, so clamp: counts are not negative and do not increase.
        let mut most = i64::MAX;
        for count in &mut counts {
            *count = (*count).clamp(0, most.max(0));
            most = *count;
        }
        counts
    }

    /// Heap size in bytes.
    pub fn size(&self) -> usize {
        match &self.content {
            Content::Hashes(hashes) => hashes.capacity() * (size_of::<u64>() + 1),
            Content::Registers(registers) => registers.len(),
        }
    }

    /// Layout: precision, a tag, the content.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.precision];
        match &self.content {
            Content::Hashes(hashes) => {
                bytes.push(0);
                let mut sorted: Vec<u64> = hashes.iter().copied().collect();
                sorted.sort_unstable();
                sorted.iter().for_each(|hash| bytes.extend(hash.to_le_bytes()));
            }
            Content::Registers(registers) => {
                bytes.push(1);
                bytes.extend(registers.iter());
            }
        }
        bytes
    }

    /// Parses the output of [`Self::to_bytes`]; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (precision, tag, rest) = (*bytes.first()?, *bytes.get(1)?, bytes.get(2..)?);
        if !(12..=18).contains(&precision) {
            return None;
        }
        let content = match tag {
            0 if rest.len() % 8 == 0 && rest.len() <= 1 << precision => {
                Content::Hashes(rest.as_chunks::<8>().0.iter().map(|chunk| u64::from_le_bytes(*chunk)).collect())
            }
            1 if rest.len() == 1 << precision && rest.iter().all(|rank| *rank <= 65 - precision) => Content::Registers(rest.into()),
            _ => return None,
        };
        Some(Self { precision, content })
    }

    /// The dynamic value returned by `hll()`: an array of one text.
    pub fn to_json(&self) -> String {
        format!("[\"{}\"]", STANDARD.encode(self.to_bytes()))
    }

    /// Parses the output of [`Self::to_json`]; `None` for anything else.
    pub fn from_json(json: &str) -> Option<Self> {
        let text = json.trim_ascii().strip_prefix("[\"")?.strip_suffix("\"]")?;
        Self::from_bytes(&STANDARD.decode(text).ok()?)
    }
}

fn raise(registers: &mut [u8], precision: u8, hash: u64) {
    let index = (hash >> (64 - precision)) as usize;
    // The bit set below the hash limits the run of zeros to 64 - precision.
    let rank = ((hash << precision) | 1 << (precision - 1)).leading_zeros() as u8 + 1;
    registers[index] = registers[index].max(rank);
}

fn estimate(registers: &[u8], precision: u8) -> f64 {
    let m = registers.len() as f64;
    let q = 64 - usize::from(precision);
    let mut counts = [0u32; 66];
    registers.iter().for_each(|rank| counts[usize::from(*rank).min(q + 1)] += 1);
    let mut z = m * tau(1.0 - f64::from(counts[q + 1]) / m);
    for k in (1..=q).rev() {
        z = 0.5 * (z + f64::from(counts[k]));
    }
    z += m * sigma(f64::from(counts[0]) / m);
    m * m / (2.0 * std::f64::consts::LN_2 * z)
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(range: std::ops::Range<u64>, accuracy: i64) -> Sketch {
        let mut sketch = Sketch::new(precision(accuracy).unwrap());
        range.for_each(|n| sketch.add(hash(&n.to_le_bytes())));
        sketch
    }

    // The bounds are three times the error documented in the public reference for each accuracy.
    #[test]
    fn estimates_are_within_documented_error() {
        for (accuracy, error) in [(0, 0.016), (1, 0.008), (2, 0.004), (3, 0.0028), (4, 0.002)] {
            for n in [1u64, 100, 5_000, 60_000, 400_000] {
                let got = of(0..n, accuracy).count() as f64;
                assert!((got - n as f64).abs() <= 3.0 * error * n as f64, "accuracy {accuracy}: {got} for {n}");
            }
        }
        assert_eq!(of(0..512, 0).count(), 512);
    }

    #[test]
    fn merging_counts_each_value_once() {
        for (a, b, accuracy) in [(0..100, 50..150, 1), (0..30_000, 20_000..90_000, 1), (0..10, 0..90_000, 0)] {
            let (mut left, right) = (of(a.clone(), accuracy), of(b.clone(), accuracy));
            left.merge(&right);
            assert_eq!(left.count(), of(a.start..b.end, accuracy).count());
        }
        // A finer sketch folds into the registers of a coarser one.
        for n in [10, 100_000] {
            let mut fine = of(0..n, 4);
            fine.merge(&of(0..3, 0));
            assert_eq!(fine.to_bytes(), of(0..n, 0).to_bytes());
        }
    }

    #[test]
    fn sketches_round_trip_through_json() {
        for n in [0, 5, 100_000] {
            let sketch = of(0..n, 1);
            assert_eq!(Sketch::from_json(&sketch.to_json()).unwrap().to_bytes(), sketch.to_bytes());
        }
        for bad in ["", "[]", "[\"\"]", "[\"DQI=\"]", "[\"////\"]", "null"] {
            assert!(Sketch::from_json(bad).is_none(), "{bad}");
        }
    }
}
