//! Half-open intervals of time, and sets of them. A set is sorted, and its members neither overlap nor touch.

use model::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Interval {
    pub from: Timestamp,
    pub to: Timestamp,
}

impl Interval {
    pub fn new(from: Timestamp, to: Timestamp) -> Self {
        Self { from, to }
    }

    pub fn is_empty(self) -> bool {
        self.from >= self.to
    }

    /// An empty interval overlaps nothing.
    pub fn meets(self, other: Interval) -> bool {
        !self.intersect(other).is_empty()
    }

    pub fn intersect(self, other: Interval) -> Interval {
        Interval::new(self.from.max(other.from), self.to.min(other.to))
    }
}

/// A set from intervals in any order.
pub(super) fn union(intervals: impl IntoIterator<Item = Interval>) -> Vec<Interval> {
    let mut sorted: Vec<Interval> = intervals.into_iter().filter(|interval| !interval.is_empty()).collect();
    sorted.sort_unstable();
    let mut set: Vec<Interval> = Vec::with_capacity(sorted.len());
    for next in sorted {
        match set.last_mut() {
            Some(last) if next.from <= last.to => last.to = last.to.max(next.to),
            _ => set.push(next),
        }
    }
    set
}

/// The parts of `interval` within the set.
pub(super) fn within(interval: Interval, set: &[Interval]) -> impl Iterator<Item = Interval> {
    let first = set.partition_point(|member| member.to <= interval.from);
    set[first..].iter().take_while(move |member| member.from < interval.to).map(move |member| interval.intersect(*member))
}

/// The parts of `interval` outside the set.
pub(super) fn outside(interval: Interval, set: &[Interval]) -> Vec<Interval> {
    let mut rest = Vec::new();
    let mut from = interval.from;
    for covered in within(interval, set) {
        rest.push(Interval::new(from, covered.from));
        from = covered.to;
    }
    rest.push(Interval::new(from, interval.to));
    rest.retain(|part| !part.is_empty());
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: i64) -> Timestamp {
        Timestamp::clamp_ticks(n)
    }

    fn set(pairs: &[(i64, i64)]) -> Vec<Interval> {
        pairs.iter().map(|(from, to)| Interval::new(at(*from), at(*to))).collect()
    }

    // Expected: by hand, from the definition of half-open intervals.
    #[test]
    fn a_union_joins_what_overlaps_or_touches() {
        assert_eq!(union(set(&[(5, 7), (0, 2), (2, 3), (6, 9), (4, 4)])), set(&[(0, 3), (5, 9)]));
    }

    #[test]
    fn an_empty_interval_meets_nothing() {
        let (empty, whole) = (Interval::new(at(5), at(5)), Interval::new(at(0), at(9)));
        assert!(!empty.meets(whole) && !whole.meets(empty) && whole.meets(whole));
        assert!(!whole.meets(Interval::new(at(9), at(12))));
    }

    #[test]
    fn inside_and_outside_share_an_interval_between_them() {
        let members = set(&[(0, 3), (5, 9), (12, 13)]);
        let whole = Interval::new(at(2), at(12));
        assert_eq!(within(whole, &members).collect::<Vec<_>>(), set(&[(2, 3), (5, 9)]));
        assert_eq!(outside(whole, &members), set(&[(3, 5), (9, 12)]));
        assert_eq!(outside(Interval::new(at(6), at(8)), &members), []);
        assert_eq!(outside(Interval::new(at(9), at(11)), &members), set(&[(9, 11)]));
    }
}
