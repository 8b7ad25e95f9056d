//! `series_fit_line_dynamic`, `series_fit_2lines_dynamic`, `series_fit_poly`, and the filters `series_fir` and `series_iir`. Source of
//! truth: the public KQL reference, one page each. Variances are sample variances, as in the example of `series_fit_line`; the split of two
//! lines is the index of the second line's first element, and x-coordinates of each line start at its first element.

use std::ops::Range;

use model::Type;

use super::bags::Bag;
use super::series::{complete, numbers, push_numbers};
use super::signatures::{all, some};
use super::{Family, PrepareError, ScalarFn, kernel};
use crate::Value;
use crate::dynamic::push_real;
use crate::watch;

pub static FAMILY: Family = &[&FIT_LINE, &FIT_2LINES, &FIT_POLY, &FIR, &IIR];

static FIT_LINE: ScalarFn = ScalarFn {
    name: "series_fit_line_dynamic",
    summary: "The straight line that fits a series best, as a bag: r-square, slope, variance, residual variance, interception, the line",
    signature: all(&[("series", Type::Dynamic)], Type::Dynamic),
    examples: &[
        ("series_fit_line_dynamic(dynamic([2,5,8])).slope", "3.0"),
        ("series_fit_line_dynamic(dynamic([2,5,8])).line_fit", "[2.0,5.0,8.0]"),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let series = args.texts(0);
            args.map_json(|row, out| {
                let all = numbers(series.opt(row)?)?;
                let fit = Sums::of(&all, 0..all.len()).fit().filter(|fit| fit.count >= 2.0)?;
                let mut bag = Bag::new(out);
                put(&mut bag, "rsquare", fit.r_square());
                put(&mut bag, "slope", fit.slope);
                put(&mut bag, "variance", fit.variance());
                put(&mut bag, "rvariance", fit.residual_variance());
                put(&mut bag, "interception", fit.interception);
                put_list(&mut bag, "line_fit", (0..all.len()).map(|at| fit.at(at)));
                bag.close()
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static FIT_2LINES: ScalarFn = ScalarFn {
    name: "series_fit_2lines_dynamic",
    summary: "The two straight lines, one behind the other, that fit a series best, as a bag: r-square, where the second begins, both lines",
    signature: all(&[("series", Type::Dynamic)], Type::Dynamic),
    examples: &[
        ("series_fit_2lines_dynamic(dynamic([1,2,3,4,4,3,2,1])).split_idx", "4"),
        ("series_fit_2lines_dynamic(dynamic([1,2,3,4,4,3,2,1])).right.slope", "-1.0"),
        ("series_fit_2lines_dynamic(dynamic([1,2,3,4,4,3,2,1])).line_fit", "[1.0,2.0,3.0,4.0,4.0,3.0,2.0,1.0]"),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let series = args.texts(0);
            args.map_json(|row, out| {
                let all = numbers(series.opt(row)?)?;
                let whole = Sums::of(&all, 0..all.len()).fit()?;
                let (split, left, right) = two_lines(&all)?;
                let residual = left.residual + right.residual;
                let mut bag = Bag::new(out);
                put(&mut bag, "rsquare", if whole.total == 0.0 { 1.0 } else { 1.0 - residual / whole.total });
                bag.put("split_idx", &split.to_string());
                put(&mut bag, "variance", whole.variance());
                put(&mut bag, "rvariance", residual / (whole.count - 1.0));
                put_list(&mut bag, "line_fit", (0..all.len()).map(|at| if at < split { left.at(at) } else { right.at(at - split) }));
                for (key, side) in [("right", &right), ("left", &left)] {
                    let mut inner = String::new();
                    let mut part = Bag::new(&mut inner);
                    put(&mut part, "rsquare", side.r_square());
                    put(&mut part, "slope", side.slope);
                    put(&mut part, "interception", side.interception);
                    put(&mut part, "variance", side.variance());
                    put(&mut part, "rvariance", side.residual_variance());
                    part.close();
                    bag.put(key, &inner);
                }
                bag.close()
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

fn put(bag: &mut Bag, key: &str, x: f64) {
    let mut text = String::new();
    push_real(&mut text, x);
    bag.put(key, &text);
}

fn put_list(bag: &mut Bag, key: &str, list: impl Iterator<Item = f64>) {
    let mut text = String::new();
    push_numbers(&mut text, list.map(Some));
    bag.put(key, &text);
}

/// A line fitted to a part of a series, with x-coordinates starting at 0, as `series_fit_line` of that part returns it.
struct Fit {
    count: f64,
    slope: f64,
    interception: f64,
    /// Sums of squared deviations: from the mean, and from the line.
    total: f64,
    residual: f64,
}

impl Fit {
    fn at(&self, at: usize) -> f64 {
        self.interception + self.slope * at as f64
    }

    fn r_square(&self) -> f64 {
        if self.total == 0.0 { 1.0 } else { 1.0 - self.residual / self.total }
    }

    fn variance(&self) -> f64 {
        if self.count > 1.0 { self.total / (self.count - 1.0) } else { 0.0 }
    }

    fn residual_variance(&self) -> f64 {
        if self.count > 1.0 { self.residual / (self.count - 1.0) } else { 0.0 }
    }
}

/// Centred sums for fitting a line.
#[derive(Clone, Copy, Default)]
struct Sums {
    count: f64,
    mean_x: f64,
    mean_y: f64,
    sxx: f64,
    sxy: f64,
    syy: f64,
}

impl Sums {
    /// Of the elements in `range`, with x-coordinates relative to its start.
    fn of(series: &[Option<f64>], range: Range<usize>) -> Self {
        let mut sums = Sums::default();
        for (at, y) in series.get(range).unwrap_or_default().iter().enumerate() {
            if let Some(y) = y {
                sums.add(at as f64, *y);
            }
        }
        sums
    }

    /// Welford's update, which avoids differences of large sums of squares.
    fn add(&mut self, x: f64, y: f64) {
        self.count += 1.0;
        let (dx, dy) = (x - self.mean_x, y - self.mean_y);
        self.mean_x += dx / self.count;
        self.mean_y += dy / self.count;
        self.sxx += dx * (x - self.mean_x);
        self.sxy += dx * (y - self.mean_y);
        self.syy += dy * (y - self.mean_y);
    }

    fn fit(&self) -> Option<Fit> {
        if self.count == 0.0 {
            return None;
        }
        let slope = if self.sxx > 0.0 { self.sxy / self.sxx } else { 0.0 };
        let residual = (self.syy - slope * self.sxy).max(0.0);
        // Residuals within rounding error are zero.
        let residual = if residual <= 1e-14 * self.syy { 0.0 } else { residual };
        Some(Fit { count: self.count, slope, interception: self.mean_y - slope * self.mean_x, total: self.syy, residual })
    }

    /// The line with x-coordinates relative to `shift`.
    fn shifted(&self, shift: f64) -> Option<Fit> {
        self.fit().map(|fit| Fit { interception: fit.interception + fit.slope * shift, ..fit })
    }
}

/// The start of the second line, and both lines: at least two elements each, with minimal total residual.
fn two_lines(series: &[Option<f64>]) -> Option<(usize, Fit, Fit)> {
    let n = series.len();
    // Sums are accumulated from both ends, so that each split takes constant time.
    let mut lefts = vec![Sums::default(); n + 1];
    for (at, y) in series.iter().enumerate() {
        lefts[at + 1] = lefts[at];
        if let Some(y) = y {
            lefts[at + 1].add(at as f64, *y);
        }
    }
    let mut best: Option<(usize, f64, Sums)> = None;
    let mut right = Sums::default();
    for split in (2..n).rev() {
        if let Some(y) = series[split] {
            right.add(split as f64, y);
        }
        let (Some(a), Some(b)) = (lefts[split].fit(), right.fit()) else { continue };
        if a.count < 2.0 || b.count < 2.0 {
            continue;
        }
        let residual = a.residual + b.residual;
        // The first of equal splits wins.
        if best.as_ref().is_none_or(|(_, least, _)| residual <= *least) {
            best = Some((split, residual, right));
        }
    }
    let (split, _, right) = best?;
    Some((split, lefts[split].fit()?, right.shifted(split as f64)?))
}

/// `$…`: the binder makes columns from the bag, see `bind::spread`.
static FIT_POLY: ScalarFn = ScalarFn {
    name: "$series_fit_poly",
    summary: "The polynomial that fits a series best, as a bag: r-square, coefficients, variance, residual variance, the curve",
    signature: some(&[("y_series", Type::Dynamic), ("x_series", Type::Dynamic), ("degree", Type::Long)], 1, Type::Dynamic),
    prepare: |prepare| {
        if let Some(Some(Value::Long(degree))) = prepare.constants.get(2)
            && !(0..=MOST_DEGREE).contains(degree)
        {
            return Err(PrepareError::Constant(format!("the degree must be from 0 to {MOST_DEGREE}, it is {degree}")));
        }
        Ok(kernel(|args| {
            args.map_json(|row, out| {
                let y = numbers(args.texts(0).opt(row)?)?;
                let x = match args.len() > 1 {
                    true => numbers(args.texts(1).opt(row)?)?,
                    false => (1..=y.len()).map(|at| Some(at as f64)).collect(),
                };
                let degree = if args.len() > 2 { args.longs(2).get(row)? } else { 1 };
                let degree = usize::try_from(degree).ok().filter(|_| degree <= MOST_DEGREE)?;
                if x.len() != y.len() {
                    return None;
                }
                let known: Vec<(f64, f64)> = x.iter().zip(&y).filter_map(|(x, y)| Some(((*x)?, (*y)?))).collect();
                let polynomial = Polynomial::fit(&known, degree)?;
                let n = known.len() as f64;
                let mean = known.iter().map(|(_, y)| y).sum::<f64>() / n;
                let (total, residual) = known
                    .iter()
                    .fold((0.0, 0.0), |(total, residual), (x, y)| (total + (y - mean).powi(2), residual + (y - polynomial.at(*x)).powi(2)));
                let spread = (n - 1.0).max(1.0);
                let mut bag = Bag::new(out);
                put(&mut bag, "rsquare", if total == 0.0 { 1.0 } else { 1.0 - residual / total });
                put_list(&mut bag, "coefficients", polynomial.coefficients().into_iter());
                put(&mut bag, "variance", total / spread);
                put(&mut bag, "rvariance", residual / spread);
                let mut curve = String::new();
                push_numbers(&mut curve, x.iter().map(|x| Some(polynomial.at((*x)?))));
                bag.put("poly_fit", &curve);
                bag.close()
            })
        }))
    },
    deterministic: false,
    ..ScalarFn::DEFAULT
};

/// Maximum degree of a polynomial; reals cannot represent higher powers accurately.
const MOST_DEGREE: i64 = 32;

/// A polynomial in t = (x - centre) / scale, which ranges from -1 to 1 over the points, for numerical stability.
struct Polynomial {
    centre: f64,
    scale: f64,
    /// From the constant term upwards.
    terms: Vec<f64>,
}

impl Polynomial {
    /// Least-squares fit; `None` if there are fewer distinct x-coordinates than terms.
    fn fit(points: &[(f64, f64)], degree: usize) -> Option<Self> {
        let columns = degree + 1;
        if points.len() < columns {
            return None;
        }
        let (low, high) = points.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (x, _)| (low.min(*x), high.max(*x)));
        let centre = (low + high) / 2.0;
        let scale = if high > low { (high - low) / 2.0 } else { 1.0 };
        // Rows of powers and values, reduced to triangular form by Householder reflections.
        let width = columns + 1;
        let mut matrix: Vec<f64> = Vec::with_capacity(points.len() * width);
        for (x, y) in points {
            let t = (x - centre) / scale;
            let mut power = 1.0;
            for _ in 0..columns {
                matrix.push(power);
                power *= t;
            }
            matrix.push(*y);
        }
        let rows = points.len();
        let mut diagonal = vec![0.0; columns];
        for column in 0..columns {
            let norm = (column..rows).map(|row| matrix[row * width + column].powi(2)).sum::<f64>().sqrt();
            let head = matrix[column * width + column];
            let alpha = if head > 0.0 { -norm } else { norm };
            if norm <= 1e-13 * (rows as f64).sqrt() {
                return None;
            }
            matrix[column * width + column] = head - alpha;
            let square: f64 = (column..rows).map(|row| matrix[row * width + column].powi(2)).sum();
            for other in column + 1..width {
                if watch::stopped() {
                    return None;
                }
                let dot: f64 = (column..rows).map(|row| matrix[row * width + column] * matrix[row * width + other]).sum();
                let times = 2.0 * dot / square;
                for row in column..rows {
                    matrix[row * width + other] -= times * matrix[row * width + column];
                }
            }
            diagonal[column] = alpha;
        }
        let mut terms = vec![0.0; columns];
        for row in (0..columns).rev() {
            let known: f64 = (row + 1..columns).map(|column| matrix[row * width + column] * terms[column]).sum();
            terms[row] = (matrix[row * width + columns] - known) / diagonal[row];
        }
        Some(Self { centre, scale, terms })
    }

    fn at(&self, x: f64) -> f64 {
        let t = (x - self.centre) / self.scale;
        self.terms.iter().rev().fold(0.0, |sum, term| sum * t + term)
    }

    /// Coefficients of the powers of x, highest first.
    fn coefficients(&self) -> Vec<f64> {
        // Horner's scheme with polynomials: multiply by (x - centre) / scale, add the next term.
        let mut powers = vec![0.0; self.terms.len()];
        for (added, term) in self.terms.iter().rev().enumerate() {
            for power in (0..=added.min(powers.len() - 1)).rev() {
                let lower = if power > 0 { powers[power - 1] } else { 0.0 };
                powers[power] = (lower - self.centre * powers[power]) / self.scale;
            }
            powers[0] += term;
        }
        powers.reverse();
        powers
    }
}

/// Longer filters check for cancellation at each element.
const LONG_FILTER: usize = 1024;

static FIR: ScalarFn = ScalarFn {
    name: "series_fir",
    summary: "The series filtered: each element becomes a weighted sum of itself and those before it (or around it), by default normalised",
    signature: some(
        &[("series", Type::Dynamic), ("filter", Type::Dynamic), ("normalize", Type::Bool), ("center", Type::Bool)],
        2,
        Type::Dynamic,
    ),
    examples: &[
        ("series_fir(dynamic([1,2,3,4]), dynamic([1,1]), false)", "[1.0,3.0,5.0,7.0]"),
        ("series_fir(dynamic([2,4,6]), dynamic([1,1,1]), false, true)", "[6.0,12.0,10.0]"),
        ("series_fir(dynamic([2,4,6]), dynamic([1,-1]))", "[2.0,2.0,2.0]"),
        ("series_fir(dynamic([2,4,6]), dynamic([1,-1]), true)", ""),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let (series, filter) = (args.texts(0), args.texts(1));
            args.map_json(|row, out| {
                let (series, filter) = (numbers(series.opt(row)?)?, numbers(filter.opt(row)?)?);
                let mut weights: Vec<f64> = filter.into_iter().collect::<Option<_>>()?;
                let sum: f64 = weights.iter().sum();
                // A filter with negative weights is not normalised by default; normalising it explicitly gives null. Documented in the
                // reference.
                let positive = weights.iter().all(|weight| *weight >= 0.0);
                let normalize = if args.len() > 2 { args.bools(2).get(row)? } else { positive };
                if normalize && !positive {
                    return None;
                }
                // A filter whose sum is zero cannot be normalised.
                if normalize && sum != 0.0 {
                    weights.iter_mut().for_each(|weight| *weight /= sum);
                }
                let center = args.len() > 3 && args.bools(3).get(row)?;
                let ahead = if center { weights.len() / 2 } else { 0 };
                let at = |at: usize| {
                    if (weights.len() > LONG_FILTER || at % LONG_FILTER == 0) && watch::stopped() {
                        return None;
                    }
                    // Elements beyond the ends are zero.
                    let (last, first) = (at + ahead, (at + ahead).saturating_sub(weights.len() - 1));
                    let elements = series.get(first..=last.min(series.len() - 1)).unwrap_or_default();
                    // Weights from the last element backwards.
                    let skipped = last - last.min(series.len() - 1);
                    Some(
                        elements
                            .iter()
                            .rev()
                            .zip(weights.iter().skip(skipped))
                            .map(|(element, weight)| weight * element.unwrap_or(0.0))
                            .sum(),
                    )
                };
                if weights.is_empty() {
                    push_numbers(out, series.iter().map(|_| Some(0.0)));
                } else {
                    push_numbers(out, (0..series.len()).map(at));
                }
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static IIR: ScalarFn = ScalarFn {
    name: "series_iir",
    summary: "The series through a recursive filter: each element is a weighted sum of itself, those before it, and the answers before it",
    signature: all(&[("series", Type::Dynamic), ("numerators", Type::Dynamic), ("denominators", Type::Dynamic)], Type::Dynamic),
    examples: &[
        ("series_iir(dynamic([1,2,3,4]), dynamic([1]), dynamic([1,-1]))", "[1.0,3.0,6.0,10.0]"),
        ("series_iir(dynamic([1,2,3]), dynamic([1]), dynamic([0,1]))", ""),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            args.map_json(|row, out| {
                let series = numbers(args.texts(0).opt(row)?)?;
                let (above, below) = (complete(args.texts(1).opt(row))?, complete(args.texts(2).opt(row))?);
                let first = below.first().copied().filter(|first| *first != 0.0)?;
                let mut answers: Vec<f64> = Vec::with_capacity(series.len());
                for at in 0..series.len() {
                    if (above.len() + below.len() > LONG_FILTER || at % LONG_FILTER == 0) && watch::stopped() {
                        return None;
                    }
                    // Elements before the start are zero.
                    let back = |weights: &[f64], from: usize, of: &dyn Fn(usize) -> f64| -> f64 {
                        weights
                            .iter()
                            .enumerate()
                            .skip(from)
                            .take_while(|(back, _)| *back <= at)
                            .map(|(back, weight)| weight * of(at - back))
                            .sum()
                    };
                    let forward = back(&above, 0, &|place| series[place].unwrap_or(0.0));
                    let recursive = back(&below, 1, &|place| answers[place]);
                    answers.push((forward - recursive) / first);
                }
                push_numbers(out, answers.into_iter().map(Some));
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

#[cfg(test)]
mod tests {
    use super::*;

    // Expected: numpy.polyfit(x, y, 3) and its curve.
    #[test]
    fn polynomials_match_least_squares() {
        let points: Vec<(f64, f64)> = (0..20).map(|t| (t as f64 * 0.5, ((t * 7919) % 101) as f64)).collect();
        let polynomial = Polynomial::fit(&points, 3).unwrap();
        for (got, want) in polynomial.coefficients().iter().zip(POLYFIT) {
            assert!((got - want).abs() < 1e-9 * want.abs().max(1.0), "{got} for {want}");
        }
        assert!(Polynomial::fit(&points[..3], 3).is_none());
        assert!(Polynomial::fit(&[(1.0, 2.0), (1.0, 3.0), (1.0, 4.0)], 1).is_none());
        // An exact polynomial: 2x³ - x + 5.
        let exact: Vec<(f64, f64)> = (1..9).map(|x| f64::from(x)).map(|x| (x, 2.0 * x.powi(3) - x + 5.0)).collect();
        for (got, want) in Polynomial::fit(&exact, 3).unwrap().coefficients().iter().zip([2.0, 0.0, -1.0, 5.0]) {
            assert!((got - want).abs() < 1e-9, "{got} for {want}");
        }
    }

    const POLYFIT: [f64; 4] = [0.2834428549868035, -4.13110898613657, 18.248193140372415, 23.017278373800178];
}
