//! Percentiles in bounded memory: a merging t-digest (Dunning and Ertl, "Computing extremely accurate quantiles using t-digests", 2019),
//! exact for few distinct values.
//!
//! Distinct values are kept with their weights, up to [`MOST`] of them. Beyond that, adjacent values are merged into centroids, finer at
//! both ends than in the middle: a centroid at quantile q holds at most a fraction 4·q·(1-q)/[`COMPRESSION`] of the weight.
//!
//! The JSON layout is that of Kusto: an array of a type, values and weights. Kusto's type numbers are unpublished, so the type's name is
//! used instead.

use std::cmp::Ordering;

use model::{Timestamp, Type};

use crate::Value;
use crate::dynamic::{Kind, elements, kind, push_real, unquote};

/// Maximum number of centroids, and of buffered values before they are merged.
const MOST: usize = 1024;
const COMPRESSION: f64 = 512.0;

/// A number with an order and a weighted mean.
pub trait Number: Copy {
    fn order(a: &Self, b: &Self) -> Ordering;
    /// The mean of `a` with weight `m` and `b` with weight `n`.
    fn mean(a: Self, m: i64, b: Self, n: i64) -> Self;
}

impl Number for i64 {
    fn order(a: &Self, b: &Self) -> Ordering {
        a.cmp(b)
    }

    fn mean(a: Self, m: i64, b: Self, n: i64) -> Self {
        // Interpolates from `a` towards `b`, because their weighted sum could overflow.
        let step = (i128::from(b) - i128::from(a)) * i128::from(n) / (i128::from(m) + i128::from(n));
        (i128::from(a) + step) as i64
    }
}

impl Number for f64 {
    fn order(a: &Self, b: &Self) -> Ordering {
        a.total_cmp(b)
    }

    fn mean(a: Self, m: i64, b: Self, n: i64) -> Self {
        a + (b - a) * (n as f64 / (m as f64 + n as f64))
    }
}

#[derive(Clone, Debug, Default)]
struct Body<N> {
    /// Sorted.
    centroids: Vec<(N, i64)>,
    /// Buffered values, unsorted.
    fresh: Vec<(N, i64)>,
}

impl<N: Number> Body<N> {
    fn add(&mut self, value: N, weight: i64) {
        self.fresh.push((value, weight));
        if self.fresh.len() >= MOST {
            self.settle();
        }
    }

    /// Merges the buffered values, and compresses the digest if it is too large.
    fn settle(&mut self) {
        if self.fresh.is_empty() {
            return;
        }
        let mut all = std::mem::take(&mut self.centroids);
        all.append(&mut self.fresh);
        all.sort_by(|a, b| N::order(&a.0, &b.0));
        all.dedup_by(|next, kept| {
            let same = N::order(&next.0, &kept.0).is_eq();
            if same {
                kept.1 = kept.1.saturating_add(next.1);
            }
            same
        });
        if all.len() > MOST {
            all = join(all);
        }
        self.centroids = all;
    }
}

fn total<N>(centroids: &[(N, i64)]) -> i64 {
    centroids.iter().fold(0i64, |sum, (_, weight)| sum.saturating_add(*weight))
}

fn join<N: Number>(all: Vec<(N, i64)>) -> Vec<(N, i64)> {
    let whole = total(&all) as f64;
    let mut joined: Vec<(N, i64)> = Vec::with_capacity(MOST);
    let mut before = 0.0;
    for (value, weight) in all {
        if let Some(last) = joined.last_mut() {
            let together = last.1 as f64 + weight as f64;
            let q = (before + together / 2.0) / whole;
            if together <= 4.0 * whole * q * (1.0 - q) / COMPRESSION {
                *last = (N::mean(last.0, last.1, value, weight), last.1.saturating_add(weight));
                continue;
            }
            before += last.1 as f64;
        }
        joined.push((value, weight));
    }
    joined
}

#[derive(Clone, Debug)]
enum Content {
    Whole(Body<i64>),
    Real(Body<f64>),
}

/// A t-digest of values of one type.
#[derive(Clone, Debug)]
pub struct Digest {
    ty: Type,
    content: Content,
}

impl Digest {
    /// For values of type `ty`: a number, datetime or timespan. Decimals are stored as reals.
    pub fn new(ty: Type) -> Self {
        let (ty, content) = match ty {
            Type::Real | Type::Decimal => (Type::Real, Content::Real(Body::default())),
            Type::Datetime | Type::Timespan => (ty, Content::Whole(Body::default())),
            _ => (Type::Long, Content::Whole(Body::default())),
        };
        Self { ty, content }
    }

    pub fn add_whole(&mut self, value: i64, weight: i64) {
        match &mut self.content {
            Content::Whole(body) => body.add(value, weight),
            Content::Real(body) => body.add(value as f64, weight),
        }
    }

    pub fn add_real(&mut self, value: f64, weight: i64) {
        match &mut self.content {
            Content::Whole(body) => body.add(value as i64, weight),
            Content::Real(body) => body.add(value, weight),
        }
    }

    /// Merges `other`. Integers and reals combine to reals; other types cannot be mixed, and the first is kept.
    pub fn merge(&mut self, other: &Digest) {
        if self.ty == Type::Long && other.ty == Type::Real {
            let mut real = Digest::new(Type::Real);
            real.merge(self);
            *self = real;
        }
        let mixed = self.ty == Type::Real && other.ty == Type::Long;
        if self.ty != other.ty && !mixed {
            return;
        }
        match &other.content {
            Content::Whole(body) => body.centroids.iter().chain(&body.fresh).for_each(|(value, weight)| self.add_whole(*value, *weight)),
            Content::Real(body) => body.centroids.iter().chain(&body.fresh).for_each(|(value, weight)| self.add_real(*value, *weight)),
        }
    }

    pub fn settle(&mut self) {
        match &mut self.content {
            Content::Whole(body) => body.settle(),
            Content::Real(body) => body.settle(),
        }
    }

    /// The value at a percentage from 0 to 100, by nearest rank. The digest must be settled.
    pub fn percentile(&self, p: f64) -> Value {
        fn at<N: Number>(centroids: &[(N, i64)], p: f64) -> Option<N> {
            let target = (p / 100.0 * total(centroids) as f64).ceil().max(1.0);
            let mut seen = 0.0;
            let found = centroids.iter().find(|(_, weight)| {
                seen += *weight as f64;
                seen >= target
            });
            found.or(centroids.last()).map(|(value, _)| *value)
        }
        match &self.content {
            Content::Real(body) => at(&body.centroids, p).map_or(Value::Null(self.ty), Value::Real),
            Content::Whole(body) => at(&body.centroids, p).map_or(Value::Null(self.ty), |n| match self.ty {
                Type::Datetime => Value::Datetime(n),
                Type::Timespan => Value::Timespan(n),
                _ => Value::Long(n),
            }),
        }
    }

    /// The number of values not greater than `value`, and the total. `None` if the value has another type.
    pub fn rank(&self, value: &Value) -> Option<(f64, f64)> {
        fn count<N: Number>(centroids: &[(N, i64)], greater: impl Fn(&N) -> bool) -> (f64, f64) {
            let until = centroids.partition_point(|(value, _)| !greater(value));
            (total(&centroids[..until]) as f64, total(centroids) as f64)
        }
        match (&self.content, value) {
            (Content::Whole(body), Value::Datetime(n)) if self.ty == Type::Datetime => Some(count(&body.centroids, |x| x > n)),
            (Content::Whole(body), Value::Timespan(n)) if self.ty == Type::Timespan => Some(count(&body.centroids, |x| x > n)),
            (Content::Whole(body), Value::Int(_) | Value::Long(_)) if self.ty == Type::Long => {
                let n = value.as_i64()?;
                Some(count(&body.centroids, |x| *x > n))
            }
            (Content::Whole(body), Value::Real(x)) if self.ty == Type::Long => Some(count(&body.centroids, |n| *n as f64 > *x)),
            (Content::Real(body), Value::Int(_) | Value::Long(_) | Value::Real(_)) => {
                let x = value.as_f64()?;
                Some(count(&body.centroids, |y| *y > x))
            }
            _ => None,
        }
    }

    /// Heap size in bytes.
    pub fn size(&self) -> usize {
        match &self.content {
            Content::Whole(body) => (body.centroids.capacity() + body.fresh.capacity()) * size_of::<(i64, i64)>(),
            Content::Real(body) => (body.centroids.capacity() + body.fresh.capacity()) * size_of::<(f64, i64)>(),
        }
    }

    /// The dynamic value returned by `tdigest()`. The digest must be settled.
    pub fn to_json(&self) -> String {
        use std::fmt::Write;
        let mut out = format!("[[\"{}\"],[", self.ty.name());
        let (mut values, mut weights) = (String::new(), String::new());
        // Writing to a string cannot fail.
        let mut each = |at: usize, weight: i64, value: &mut dyn FnMut(&mut String)| {
            let comma = if at > 0 { "," } else { "" };
            values.push_str(comma);
            value(&mut values);
            let _ = write!(weights, "{comma}{weight}");
        };
        match &self.content {
            Content::Real(body) => {
                body.centroids.iter().enumerate().for_each(|(at, (x, weight))| each(at, *weight, &mut |out| push_real(out, *x)))
            }
            Content::Whole(body) => body.centroids.iter().enumerate().for_each(|(at, (n, weight))| {
                each(at, *weight, &mut |out| {
                    let _ = match self.ty {
                        Type::Datetime => write!(out, "\"{}\"", Timestamp::clamp_ticks(*n)),
                        _ => write!(out, "{n}"),
                    };
                });
            }),
        }
        out.push_str(&values);
        out.push_str("],[");
        out.push_str(&weights);
        out.push_str("]]");
        out
    }

    /// Parses the output of [`Self::to_json`]; `None` for anything else.
    pub fn from_json(json: &str) -> Option<Self> {
        let mut parts = elements(json)?;
        let (ty, values, weights) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let name = unquote(elements(ty)?.next()?);
        let ty = Type::parse(&name).filter(|ty| matches!(ty, Type::Long | Type::Real | Type::Datetime | Type::Timespan))?;
        let mut digest = Digest::new(ty);
        let (mut values, mut weights) = (elements(values)?, elements(weights)?);
        loop {
            let (value, weight) = match (values.next(), weights.next()) {
                (Some(value), Some(weight)) => (value, weight),
                (None, None) => break,
                _ => return None,
            };
            let Kind::Long(weight @ 1..) = kind(weight) else { return None };
            match (ty, kind(value)) {
                (Type::Long | Type::Timespan, Kind::Long(n)) => digest.add_whole(n, weight),
                (Type::Real, Kind::Long(n)) => digest.add_real(n as f64, weight),
                (Type::Real, Kind::Real(x)) => digest.add_real(x, weight),
                (Type::Real, Kind::String) => digest.add_real(
                    match &*unquote(value) {
                        "NaN" => f64::NAN,
                        "Infinity" => f64::INFINITY,
                        "-Infinity" => f64::NEG_INFINITY,
                        _ => return None,
                    },
                    weight,
                ),
                (Type::Datetime, Kind::String) => digest.add_whole(Timestamp::parse_iso(&unquote(value))?.ticks(), weight),
                _ => return None,
            }
        }
        digest.settle();
        Some(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl Iterator<Item = i64>) -> Digest {
        let mut digest = Digest::new(Type::Long);
        values.for_each(|n| digest.add_whole(n, 1));
        digest.settle();
        digest
    }

    // The rank error is bounded by the compression and close to zero at the ends.
    #[test]
    fn percentiles_of_many_values_are_close() {
        let n = 200_000i64;
        let digest = of((0..n).map(|k| k * 7919 % n));
        for p in [0.0, 0.01, 0.1, 1.0, 10.0, 50.0, 90.0, 99.0, 99.9, 100.0] {
            let Value::Long(got) = digest.percentile(p) else { panic!("no value") };
            let (want, q) = (p / 100.0 * n as f64, p / 100.0);
            let slack = 4.0 * n as f64 * q * (1.0 - q) / COMPRESSION + 16.0;
            assert!((got as f64 - want).abs() <= slack, "{p}: {got} for {want}, off by more than {slack}");
        }
        assert!(digest.to_json().len() < 64 * MOST);
        assert_eq!(digest.rank(&Value::Long(n)).unwrap(), (n as f64, n as f64));
    }

    // The reference, `rank-tdigest-function`: in a sorted list (1-1000), the rank of 685 is its index.
    #[test]
    fn few_values_are_exact() {
        let digest = of(1..=1000);
        assert_eq!(digest.rank(&Value::Long(685)), Some((685.0, 1000.0)));
        assert_eq!(digest.percentile(50.0), Value::Long(500));
    }

    #[test]
    fn digests_round_trip_through_json() {
        for mut digest in
            [of(0..5), of(0..5000), of([i64::MIN, 0, i64::MAX].into_iter()), Digest::new(Type::Real), Digest::new(Type::Datetime)]
        {
            digest.add_whole(17, 3);
            digest.settle();
            let json = digest.to_json();
            assert_eq!(Digest::from_json(&json).unwrap().to_json(), json);
        }
        for bad in [
            "",
            "[]",
            "null",
            "[[1],[2],[3]]",
            r#"[["long"],[1],[0]]"#,
            r#"[["long"],[1],[]]"#,
            r#"[["string"],[],[]]"#,
            r#"[["long"],["a"],[1]]"#,
        ] {
            assert!(Digest::from_json(bad).is_none(), "{bad}");
        }
    }
}
