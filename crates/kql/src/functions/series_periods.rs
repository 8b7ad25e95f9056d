//! `series_periods_detect`, `series_periods_validate`: period detection, also used by `series_decompose`.
//!
//! The public KQL reference specifies the properties of a score (0 to 1, a period from 4 elements to half the series, harmonics not
//! reported) but not its computation. Here a score is the autocorrelation of the series at the period or at twice the period, whichever is
//! less, because a pattern that repeats once by chance rarely repeats twice. This reproduces the results in the reference: 0.84 for a
//! period of 14 and 0 for one of 10 in the example of `series_periods_validate`, `[14, 0]` in that of `series_periods_detect`, periods of
//! 6, 5 and none in that of `series_seasonal`.
//!
//! A trend hides periods, so a fitted line that explains a significant part of the variance is subtracted first.

use model::Type;

use super::bags::Bag;
use super::series::{numbers, push_numbers};
use super::series_fft::transform;
use super::signatures::{all, count, wants};
use super::{Family, Resolved, ScalarFn, Signature, kernel};

pub static FAMILY: Family = &[&DETECT, &VALIDATE];

/// Minimum period.
const SHORTEST: usize = 4;
/// Maximum number of periods of `series_periods_validate` (the reference).
const MOST_VALIDATED: usize = 16;
/// Maximum number of periods returned by `series_periods_detect`.
const MOST_DETECTED: i64 = 1024;
/// A fitted line is subtracted if it explains at least this fraction of the variance.
const TREND: f64 = 0.15;
/// A multiple of a period is reported only if its score is higher by more than this.
const HARMONIC: f64 = 0.05;
/// Longer series use Fourier transforms for the autocorrelation.
const LONG: usize = 512;

static DETECT: ScalarFn = ScalarFn {
    name: "$series_periods_detect",
    summary: "The periods with which a series repeats itself, best first, with their scores, as a bag of two arrays filled up with zeros",
    signature: all(
        &[("series", Type::Dynamic), ("min_period", Type::Real), ("max_period", Type::Real), ("num_periods", Type::Long)],
        Type::Dynamic,
    ),
    prepare: |_| {
        Ok(kernel(|args| {
            let (series, least, most, wanted) = (args.texts(0), args.reals(1), args.reals(2), args.longs(3));
            args.map_json(|row, out| {
                let series = numbers(series.opt(row)?)?;
                let (least, most) = (least.get(row)?, most.get(row)?);
                let wanted = wanted.get(row).filter(|wanted| (0..=MOST_DETECTED).contains(wanted))? as usize;
                let found = detect(&series, least, most);
                let filled = || found.iter().copied().chain(std::iter::repeat((0, 0.0))).take(wanted);
                write(out, filled().map(|(period, _)| period as f64), filled().map(|(_, score)| score))
            })
        }))
    },
    deterministic: false,
    ..ScalarFn::DEFAULT
};

static VALIDATE: ScalarFn = ScalarFn {
    name: "$series_periods_validate",
    summary: "How well a series repeats itself with each of some periods, as a bag of the periods and their scores",
    signature: Signature::Custom(|args| {
        count(args, 2, Some(1 + MOST_VALIDATED))?;
        if args[0].ty != Type::Dynamic {
            return Err(wants(0, "dynamic"));
        }
        if let Some(index) = args.iter().skip(1).position(|arg| !arg.ty.is_numeric()) {
            return Err(wants(index + 1, "a number"));
        }
        let types = std::iter::once(Type::Dynamic).chain(std::iter::repeat(Type::Real)).take(args.len());
        Ok(Resolved { args: types.collect(), returns: Type::Dynamic })
    }),
    prepare: |_| {
        Ok(kernel(|args| {
            args.map_json(|row, out| {
                let series = numbers(args.texts(0).opt(row)?)?;
                let periods = (1..args.len()).map(|index| args.reals(index).get(row)).collect::<Option<Vec<f64>>>()?;
                let correlation = Correlation::of(&series);
                let score = |period: &f64| if (1.0..1e9).contains(period) { correlation.score(period.round() as usize) } else { 0.0 };
                write(out, periods.iter().copied(), periods.iter().map(score))
            })
        }))
    },
    deterministic: false,
    ..ScalarFn::DEFAULT
};

fn write(out: &mut String, periods: impl Iterator<Item = f64>, scores: impl Iterator<Item = f64>) -> Option<()> {
    let mut bag = Bag::new(out);
    let mut list = String::new();
    push_numbers(&mut list, periods.map(Some));
    bag.put("periods", &list);
    list.clear();
    push_numbers(&mut list, scores.map(Some));
    bag.put("scores", &list);
    bag.close()
}

/// The periods between `least` and `most` with their scores, best first.
pub(super) fn detect(series: &[Option<f64>], least: f64, most: f64) -> Vec<(usize, f64)> {
    let correlation = Correlation::of(series);
    let mut found: Vec<(usize, f64)> = correlation
        .peaks()
        .into_iter()
        .filter(|period| (least..=most).contains(&(*period as f64)))
        .map(|period| (period, correlation.score(period)))
        .filter(|(_, score)| *score > 0.0)
        .collect();
    found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let all = found.clone();
    found.retain(|(period, score)| {
        !all.iter().any(|(shorter, better)| {
            let times = (period + shorter / 2) / shorter;
            times >= 2 && period.abs_diff(times * shorter) <= times / 2 && *better >= score - HARMONIC
        })
    });
    found
}

/// The autocorrelation of a series.
struct Correlation {
    /// One value per lag; empty for a constant series.
    at: Vec<f64>,
}

impl Correlation {
    fn of(series: &[Option<f64>]) -> Self {
        let n = series.len();
        let none = Self { at: Vec::new() };
        if n < 2 * SHORTEST {
            return none;
        }
        let known: Vec<(f64, f64)> = series.iter().enumerate().filter_map(|(t, x)| Some((t as f64, (*x)?))).collect();
        let count = known.len() as f64;
        let (mean_t, mean) = known.iter().fold((0.0, 0.0), |(t, x), point| (t + point.0 / count, x + point.1 / count));
        let (stt, stx, sxx) = known.iter().fold((0.0, 0.0, 0.0), |(stt, stx, sxx), (t, x)| {
            (stt + (t - mean_t).powi(2), stx + (t - mean_t) * (x - mean), sxx + (x - mean).powi(2))
        });
        // Variation within rounding error is treated as none.
        let size = known.iter().fold(0.0f64, |size, (_, x)| size.max(x.abs()));
        let varies = |sum: f64| sum > count * (1e-10 * size).powi(2);
        if !varies(sxx) || stt == 0.0 {
            return none;
        }
        let slope = if stx * stx >= TREND * stt * sxx { stx / stt } else { 0.0 };
        // Missing elements are replaced by the mean.
        let off: Vec<f64> = series.iter().enumerate().map(|(t, x)| x.map_or(0.0, |x| x - mean - slope * (t as f64 - mean_t))).collect();
        let sums = products(&off);
        let Some(variance) = sums.first().filter(|sum| varies(**sum)).map(|sum| sum / n as f64) else { return none };
        Self { at: sums.iter().enumerate().map(|(lag, sum)| sum / (n - lag) as f64 / variance).collect() }
    }

    /// From 0 to 1; 0 for a period that is too short or too long.
    fn score(&self, period: usize) -> f64 {
        if period < SHORTEST {
            return 0.0;
        }
        match (self.at.get(period), self.at.get(2 * period)) {
            (Some(once), Some(twice)) => once.min(*twice).clamp(0.0, 1.0),
            _ => 0.0,
        }
    }

    /// Lags whose autocorrelation exceeds that of all others within a fifth of the lag.
    fn peaks(&self) -> Vec<usize> {
        let at = &self.at;
        // The nearest lags on either side that are not less, computed with a monotonic stack.
        let (mut before, mut behind) = (vec![0usize; at.len()], vec![at.len(); at.len()]);
        let mut stack: Vec<usize> = Vec::new();
        for lag in 1..at.len() {
            while let Some(last) = stack.pop_if(|last| at[*last] < at[lag]) {
                behind[last] = lag;
            }
            before[lag] = stack.last().copied().unwrap_or(0);
            stack.push(lag);
        }
        let reach = |lag: usize| (lag / 5).max(1);
        let alone = |lag: &usize| before[*lag] + reach(*lag) < *lag && behind[*lag] > lag + reach(*lag);
        (SHORTEST..at.len().div_ceil(2)).filter(alone).filter(|lag| at[*lag] > 0.0).collect()
    }
}

/// For each lag, the sum of products of elements that far apart.
fn products(series: &[f64]) -> Vec<f64> {
    let n = series.len();
    if n < LONG {
        return (0..n).map(|lag| dot(&series[lag..], series)).collect();
    }
    let m = (2 * n).next_power_of_two();
    let (mut re, mut im) = (vec![0.0; m], vec![0.0; m]);
    re[..n].copy_from_slice(series);
    transform(&mut re, &mut im, false);
    for (x, y) in re.iter_mut().zip(&mut im) {
        (*x, *y) = (*x * *x + *y * *y, 0.0);
    }
    transform(&mut re, &mut im, true);
    re.truncate(n);
    re
}

/// The dot product over the common length, in four independent sums.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len().min(b.len());
    let (a, b) = (&a[..n], &b[..n]);
    let (mut first, mut second, mut third, mut fourth) = (0.0, 0.0, 0.0, 0.0);
    let mut at = 0;
    while at + 4 <= n {
        first += a[at] * b[at];
        second += a[at + 1] * b[at + 1];
        third += a[at + 2] * b[at + 2];
        fourth += a[at + 3] * b[at + 3];
        at += 4;
    }
    while at < n {
        first += a[at] * b[at];
        at += 1;
    }
    (first + second) + (third + fourth)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(numbers: &[f64]) -> Vec<Option<f64>> {
        numbers.iter().copied().map(Some).collect()
    }

    // From the reference, `series-seasonal-function`: detected periods at its threshold of 0.7.
    #[test]
    fn reference_periods_are_detected() {
        let first = [2, 5, 3, 4, 3, 2, 1, 2, 3, 4, 3, 2, 1, 2, 3, 4, 3, 2, 1, 2, 3, 4, 3, 2, 1].map(f64::from);
        let second = [8, 12, 14, 12, 10, 10, 12, 14, 12, 10, 10, 12, 14, 12, 10, 10, 12, 14, 12, 10].map(f64::from);
        let third = [1, 3, 5, 2, 4, 6, 1, 3, 5, 2, 4, 6].map(f64::from);
        let best =
            |series: &[f64]| detect(&of(series), 0.0, series.len() as f64).first().filter(|found| found.1 >= 0.7).map(|found| found.0);
        assert_eq!((best(&first), best(&second), best(&third)), (Some(6), Some(5), None));
    }

    #[test]
    fn direct_and_fft_products_agree() {
        let series: Vec<f64> = (0..700).map(|t| (t * 7919 % 101) as f64 - 50.0).collect();
        for (lag, sum) in products(&series).iter().enumerate() {
            let slow: f64 = series[lag..].iter().zip(&series).map(|(a, b)| a * b).sum();
            assert!((sum - slow).abs() < 1e-6, "{lag}: {sum} for {slow}");
        }
    }

    #[test]
    fn constant_series_has_no_period() {
        for series in [vec![], of(&[1.0; 3]), of(&[0.1; 200]), vec![None; 50], of(&(0..100).map(|t| 0.1 * t as f64).collect::<Vec<_>>())] {
            assert_eq!(detect(&series, 0.0, 1e9), Vec::new());
        }
    }
}
