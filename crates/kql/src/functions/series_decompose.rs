//! `series_decompose`, `series_decompose_anomalies`, `series_decompose_forecast`, `series_outliers`, `series_seasonal`: decomposition of a
//! series into seasonal, trend and residual components, and anomaly detection.
//!
//! Source of truth: the public KQL reference, one page each (order of the steps, defaults, components), and for the scores statements by
//! Kusto's authors: percentiles are interpolated, and a score is the distance beyond the percentile in units of the distance between both
//! percentiles, scaled so that for a normal distribution 1.5 has the same meaning as with quartiles (stackoverflow.com/q/75264555, with a
//! complete result of the engine; github.com/microsoft/Kusto-Query-Language/issues/136).
//!
//! Missing elements are ignored and are never anomalies.

use model::Type;

use super::bags::Bag;
use super::series::{numbers, push_numbers};
use super::series_periods::detect;
use super::signatures::{count, some, wants};
use super::{Arg, Args, Family, Prepare, PrepareError, Resolved, ScalarFn, Signature, SignatureError, kernel};
use crate::Value;

pub static FAMILY: Family = &[&DECOMPOSE, &ANOMALIES, &FORECAST, &FORECAST_PARTS, &OUTLIERS, &SEASONAL];

const SEASONALITY_THRESHOLD: f64 = 0.6;
/// Threshold of `series_seasonal`.
const SEASONAL_THRESHOLD: f64 = 0.7;
const ANOMALY_THRESHOLD: f64 = 1.5;

/// `$…`: the binder makes columns from the bag, see `bind::spread`.
static DECOMPOSE: ScalarFn = ScalarFn {
    name: "$series_decompose",
    summary: "The baseline of a series, its season, its trend, and what is left, as a bag of series",
    signature: some(
        &[
            ("series", Type::Dynamic),
            ("period", Type::Long),
            ("trend", Type::String),
            ("test_points", Type::Long),
            ("seasonality_threshold", Type::Real),
        ],
        1,
        Type::Dynamic,
    ),
    prepare: |prepare| {
        check(prepare, 2, TRENDS)?;
        Ok(kernel(|args| args.map_json(|row, out| decomposed(args, row, [1, 2, 3, 4], out))))
    },
    deterministic: false,
    ..ScalarFn::DEFAULT
};

/// Like `$series_decompose`, with the number of points to forecast.
static FORECAST_PARTS: ScalarFn = ScalarFn {
    name: "$series_decompose_forecast",
    summary: "The forecast of the last points of a series, with its season, its trend, and what is left, as a bag of series",
    signature: FORECAST_SIGNATURE,
    prepare: |prepare| {
        check(prepare, 3, TRENDS)?;
        Ok(kernel(|args| args.map_json(|row, out| decomposed(args, row, [2, 3, 1, 4], out))))
    },
    deterministic: false,
    ..ScalarFn::DEFAULT
};

const FORECAST_SIGNATURE: Signature = some(
    &[
        ("series", Type::Dynamic),
        ("test_points", Type::Long),
        ("period", Type::Long),
        ("trend", Type::String),
        ("seasonality_threshold", Type::Real),
    ],
    2,
    Type::Dynamic,
);

static FORECAST: ScalarFn = ScalarFn {
    name: "series_decompose_forecast",
    summary: "The series as its season and its trend foretell it; the last points are not learnt from",
    signature: FORECAST_SIGNATURE,
    examples: &[
        (r#"tostring(series_decompose_forecast(dynamic([1,2,3,4,0,0]), 2, 0, "linefit"))"#, "[1.0,2.0,3.0,4.0,5.0,6.0]"),
        ("tostring(series_decompose_forecast(dynamic([1,3,1,3,null,null]), 2, 2))", "[1.0,3.0,1.0,3.0,1.0,3.0]"),
    ],
    prepare: |prepare| {
        check(prepare, 3, TRENDS)?;
        Ok(kernel(|args| {
            args.map_json(|row, out| {
                let parts = Request::read(args, row, [2, 3, 1, 4])?.decompose();
                push_numbers(out, parts.baseline);
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static ANOMALIES: ScalarFn = ScalarFn {
    name: "$series_decompose_anomalies",
    summary: "Which elements of a series are anomalies (1 up, -1 down), how much so, and the baseline, as a bag of series",
    signature: some(
        &[
            ("series", Type::Dynamic),
            ("threshold", Type::Real),
            ("period", Type::Long),
            ("trend", Type::String),
            ("test_points", Type::Long),
            ("method", Type::String),
            ("seasonality_threshold", Type::Real),
        ],
        1,
        Type::Dynamic,
    ),
    prepare: |prepare| {
        check(prepare, 3, TRENDS)?;
        check(prepare, 5, METHODS)?;
        Ok(kernel(|args| {
            args.map_json(|row, out| {
                let request = Request::read(args, row, [2, 3, 4, 6])?;
                let threshold = if args.len() > 1 { args.reals(1).get(row)? } else { ANOMALY_THRESHOLD };
                let fences = if args.len() > 5 { Fences::named(args.texts(5).get(row))? } else { Fences::CUSTOM };
                let parts = request.decompose();
                let learnt = parts.residual.len() - request.test_points;
                let scores = fences.scores(&parts.residual, learnt, request.size());
                let mut bag = Bag::new(out);
                let mut list = String::from("[");
                for (at, score) in scores.iter().enumerate() {
                    if at > 0 {
                        list.push(',');
                    }
                    list.push_str(if *score > threshold {
                        "1"
                    } else if *score < -threshold {
                        "-1"
                    } else {
                        "0"
                    });
                }
                list.push(']');
                bag.put("ad_flag", &list);
                put(&mut bag, "ad_score", scores.into_iter().map(Some));
                put(&mut bag, "baseline", parts.baseline);
                bag.close()
            })
        }))
    },
    deterministic: false,
    ..ScalarFn::DEFAULT
};

static OUTLIERS: ScalarFn = ScalarFn {
    name: "series_outliers",
    summary: "How far each element of a series is out of the ordinary, by Tukey's test: above 1.5 it is much more, below -1.5 much less",
    signature: Signature::Custom(outliers_signature),
    examples: &[
        // A result of Microsoft's engine, see the head of this file.
        ("series_outliers(dynamic([-3,2.4,15,3.9,5,6,4.5,5.2,3,4,5,16,7,5,5,4]))[11]", "1.6702443406674186"),
        (r#"series_outliers(dynamic([1,2,3,4,10]), "tukey")"#, "[-0.5,0.0,0.0,0.0,3.0]"),
    ],
    prepare: |prepare| {
        check(prepare, 1, METHODS)?;
        for (index, what) in [(3, "min_percentile"), (4, "max_percentile")] {
            if let Some(Some(Value::Real(p))) = prepare.constants.get(index)
                && !(2.0..=98.0).contains(p)
            {
                return Err(PrepareError::Constant(format!("`{what}` must be from 2 to 98, it is {p}")));
            }
        }
        Ok(kernel(|args| {
            args.map_json(|row, out| {
                let mut series = numbers(args.texts(0).opt(row)?)?;
                let mut fences = if args.len() > 1 { Fences::named(args.texts(1).get(row))? } else { Fences::CUSTOM };
                if args.len() > 2
                    && let Some(ignored) = args.reals(2).get(row)
                {
                    series.iter_mut().for_each(|x| *x = x.filter(|x| *x != ignored));
                }
                if fences == Fences::CUSTOM && args.len() > 3 {
                    let low = args.reals(3).get(row)?;
                    fences = Fences { low, high: if args.len() > 4 { args.reals(4).get(row)? } else { fences.high } };
                }
                if !(2.0..fences.high).contains(&fences.low) || fences.high > 98.0 {
                    return None;
                }
                let tests = if args.len() > 5 { usize::try_from(args.longs(5).get(row)?).ok()? } else { 0 };
                let learnt = series.len().checked_sub(tests)?;
                let scores = fences.scores(&series, learnt, size(&series));
                push_numbers(out, scores.into_iter().map(Some));
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

fn outliers_signature(args: &[Arg]) -> Result<Resolved, SignatureError> {
    count(args, 1, Some(6))?;
    let wanted = [Type::Dynamic, Type::String, Type::Real, Type::Real, Type::Real, Type::Long];
    for (index, (arg, want)) in args.iter().zip(wanted).enumerate() {
        let fits = arg.ty == want || arg.ty == Type::Dynamic && index > 0 || arg.ty.is_numeric() && want.is_numeric();
        if !fits {
            return Err(wants(index, if want.is_numeric() { "a number" } else { want.name() }));
        }
    }
    Ok(Resolved { args: wanted[..args.len()].to_vec(), returns: Type::Dynamic })
}

static SEASONAL: ScalarFn = ScalarFn {
    name: "series_seasonal",
    summary: "The seasonal part of a series with a period, or with the one that is found: at each place the median of all places as far into \
              their period",
    signature: some(&[("series", Type::Dynamic), ("period", Type::Long)], 1, Type::Dynamic),
    examples: &[
        ("series_seasonal(dynamic([1,3,5,1,3,5,2,4,6]), 3)", "[1.0,3.0,5.0,1.0,3.0,5.0,1.0,3.0,5.0]"),
        ("series_seasonal(dynamic([1,3,5,2,4,6]), 3)", "[1.5,3.5,5.5,1.5,3.5,5.5]"),
        // Both from the reference: a period of 5 is detected, and none.
        (
            "series_seasonal(dynamic([8,12,14,12,10,10,12,14,12,10,10,12,14,12,10,10,12,14,12,10]))",
            "[10.0,12.0,14.0,12.0,10.0,10.0,12.0,14.0,12.0,10.0,10.0,12.0,14.0,12.0,10.0,10.0,12.0,14.0,12.0,10.0]",
        ),
        ("series_seasonal(dynamic([1,3,5,2,4,6,1,3,5,2,4,6]))", "[0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0]"),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            args.map_json(|row, out| {
                let series = numbers(args.texts(0).opt(row)?)?;
                let period = if args.len() > 1 { args.longs(1).get(row)? } else { -1 };
                match period_of(&series, period, SEASONAL_THRESHOLD) {
                    Some(period) => push_numbers(out, season(&series, period, series.len())),
                    None => push_numbers(out, series.iter().map(|_| Some(0.0))),
                }
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

const TRENDS: &[&str] = &["avg", "linefit", "none"];
const METHODS: &[&str] = &["ctukey", "tukey"];

/// Rejects a constant argument other than these words.
fn check(prepare: &Prepare, index: usize, words: &[&str]) -> Result<(), PrepareError> {
    match prepare.constants.get(index) {
        Some(Some(Value::String(word))) if !words.contains(&word.as_str()) => {
            Err(PrepareError::Constant(format!("`{word}` is none of `{}`", words.join("`, `"))))
        }
        _ => Ok(()),
    }
}

fn put(bag: &mut Bag, key: &str, series: impl IntoIterator<Item = Option<f64>>) {
    let mut list = String::new();
    push_numbers(&mut list, series);
    bag.put(key, &list);
}

fn decomposed(args: &Args, row: usize, places: [usize; 4], out: &mut String) -> Option<()> {
    let parts = Request::read(args, row, places)?.decompose();
    let mut bag = Bag::new(out);
    put(&mut bag, "baseline", parts.baseline);
    put(&mut bag, "seasonal", parts.seasonal);
    put(&mut bag, "trend", parts.trend);
    put(&mut bag, "residual", parts.residual);
    bag.close()
}

#[derive(Clone, Copy)]
enum Trend {
    Average,
    Line,
    None,
}

/// What to decompose, and how.
struct Request {
    series: Vec<Option<f64>>,
    /// Greater than zero; `None` if there is no season.
    period: Option<usize>,
    trend: Trend,
    /// Number of elements at the end excluded from training; less than the total.
    test_points: usize,
}

struct Parts {
    baseline: Vec<Option<f64>>,
    seasonal: Vec<Option<f64>>,
    trend: Vec<Option<f64>>,
    residual: Vec<Option<f64>>,
}

impl Request {
    /// `places` are the indices of the arguments period, trend, number of test points, and seasonality threshold.
    fn read(args: &Args, row: usize, places: [usize; 4]) -> Option<Self> {
        let [period, trend, test_points, threshold] = places;
        let series = numbers(args.texts(0).opt(row)?)?;
        let trend = if args.len() > trend {
            match args.texts(trend).get(row) {
                "avg" => Trend::Average,
                "linefit" => Trend::Line,
                "none" => Trend::None,
                _ => return None,
            }
        } else {
            Trend::Average
        };
        let test_points = if args.len() > test_points { usize::try_from(args.longs(test_points).get(row)?).ok()? } else { 0 };
        if test_points > 0 && test_points >= series.len() {
            return None;
        }
        let threshold = if args.len() > threshold { args.reals(threshold).get(row)? } else { SEASONALITY_THRESHOLD };
        let period = if args.len() > period { args.longs(period).get(row)? } else { -1 };
        let period = period_of(series.get(..series.len() - test_points)?, period, threshold);
        Some(Self { series, period, trend, test_points })
    }

    fn decompose(&self) -> Parts {
        let n = self.series.len();
        let learnt = &self.series[..n - self.test_points];
        let seasonal = match self.period {
            Some(period) => season(learnt, period, n),
            None => vec![Some(0.0); n],
        };
        let rest: Vec<(f64, f64)> = learnt
            .iter()
            .zip(&seasonal)
            .enumerate()
            .filter_map(|(at, (x, season))| Some((at as f64, (*x)? - season.unwrap_or(0.0))))
            .collect();
        let (intercept, slope) = match self.trend {
            Trend::None => (0.0, 0.0),
            Trend::Average => (mean(rest.iter().map(|(_, x)| *x)), 0.0),
            Trend::Line => line(&rest),
        };
        let trend: Vec<Option<f64>> = (0..n).map(|at| Some(intercept + slope * at as f64)).collect();
        let baseline: Vec<Option<f64>> = seasonal.iter().zip(&trend).map(|(season, trend)| Some((*season)? + (*trend)?)).collect();
        let residual = self.series.iter().zip(&baseline).map(|(x, base)| Some((*x)? - (*base)?)).collect();
        Parts { baseline, seasonal, trend, residual }
    }

    fn size(&self) -> f64 {
        size(&self.series)
    }
}

/// The greatest absolute value, used as the scale of rounding errors.
fn size(series: &[Option<f64>]) -> f64 {
    series.iter().flatten().fold(0.0f64, |size, x| size.max(x.abs()))
}

/// The requested period: a number of elements, -1 for detection, any other value for none.
fn period_of(series: &[Option<f64>], period: i64, threshold: f64) -> Option<usize> {
    match period {
        -1 => detect(series, 0.0, series.len() as f64).first().filter(|(_, score)| *score >= threshold).map(|(period, _)| *period),
        period => usize::try_from(period).ok().filter(|period| *period > 0),
    }
}

/// The medians of all elements at the same position of their period, repeated to `length`.
fn season(series: &[Option<f64>], period: usize, length: usize) -> Vec<Option<f64>> {
    let mut phase: Vec<f64> = Vec::new();
    let medians: Vec<Option<f64>> = (0..period.min(series.len()))
        .map(|start| {
            phase.clear();
            phase.extend(series.iter().skip(start).step_by(period).flatten());
            median(&mut phase)
        })
        .collect();
    // With a period longer than the training data, later positions have no median.
    (0..length).map(|at| medians.get(at % period).copied().flatten()).collect()
}

fn median(numbers: &mut [f64]) -> Option<f64> {
    numbers.sort_unstable_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    let upper = *numbers.get(middle)?;
    Some(if numbers.len() % 2 == 1 { upper } else { (numbers[middle - 1] + upper) / 2.0 })
}

fn mean(numbers: impl Iterator<Item = f64>) -> f64 {
    let (count, sum) = numbers.fold((0.0, 0.0), |(count, sum), x| (count + 1.0, sum + x));
    if count > 0.0 { sum / count } else { 0.0 }
}

/// Intercept and slope of the least-squares line.
fn line(points: &[(f64, f64)]) -> (f64, f64) {
    let (mean_x, mean_y) = (mean(points.iter().map(|(x, _)| *x)), mean(points.iter().map(|(_, y)| *y)));
    let (sxx, sxy) = points.iter().fold((0.0, 0.0), |(sxx, sxy), (x, y)| (sxx + (x - mean_x).powi(2), sxy + (x - mean_x) * (y - mean_y)));
    let slope = if sxx > 0.0 { sxy / sxx } else { 0.0 };
    (mean_y - slope * mean_x, slope)
}

/// The percentiles that bound normal values.
#[derive(Clone, Copy, PartialEq)]
struct Fences {
    low: f64,
    high: f64,
}

impl Fences {
    const CUSTOM: Fences = Fences { low: 10.0, high: 90.0 };
    const QUARTILES: Fences = Fences { low: 25.0, high: 75.0 };

    fn named(method: &str) -> Option<Self> {
        match method {
            "ctukey" => Some(Self::CUSTOM),
            "tukey" => Some(Self::QUARTILES),
            _ => None,
        }
    }

    /// The distance of each element beyond the percentiles of the first `learnt` elements. `size` is the scale of the original series:
    /// smaller differences are rounding errors and are ignored, so that a constant series has no anomalies and one with a single spike has
    /// one.
    fn scores(self, series: &[Option<f64>], learnt: usize, size: f64) -> Vec<f64> {
        let mut known: Vec<f64> = series.iter().take(learnt).flatten().copied().collect();
        known.sort_unstable_by(f64::total_cmp);
        let (Some(low), Some(high)) = (percentile(&known, self.low), percentile(&known, self.high)) else { return vec![0.0; series.len()] };
        let range = (high - low).max(1e-10 * size);
        if range <= 0.0 {
            return vec![0.0; series.len()];
        }
        let (below, above) = self.factors();
        let score = |x: &Option<f64>| match *x {
            Some(x) if x > high => (x - high) / range * above,
            Some(x) if x < low => (x - low) / range * below,
            _ => 0.0,
        };
        series.iter().map(score).collect()
    }

    /// Factors for distances in units of the distance between the percentiles, below and above: chosen so that an element of a normal
    /// distribution that scores 1.5 by the quartiles also scores 1.5 by these percentiles.
    fn factors(self) -> (f64, f64) {
        if self == Self::QUARTILES {
            return (1.0, 1.0);
        }
        let (low, high, quartile) = (quantile(self.low), quantile(self.high), quantile(75.0));
        let edge = 4.0 * quartile;
        let factor = |beyond: f64| 1.5 * (high - low) / beyond;
        (factor(low + edge), factor(edge - high))
    }
}

/// By linear interpolation between the nearest ranks.
fn percentile(sorted: &[f64], p: f64) -> Option<f64> {
    let rank = p / 100.0 * sorted.len().checked_sub(1)? as f64;
    let below = *sorted.get(rank as usize)?;
    let above = sorted.get(rank as usize + 1).copied().unwrap_or(below);
    Some(below + (above - below) * rank.fract())
}

/// The quantile of the standard normal distribution at a percentile. Kusto uses approximations; the two visible in a result of its engine
/// (their ratio, to 16 digits) are taken from there, the others are exact to nine digits (Acklam's rational approximation).
fn quantile(percentile: f64) -> f64 {
    match percentile {
        10.0 => return -1.296_820_82,
        25.0 => return -0.675,
        75.0 => return 0.675,
        90.0 => return 1.296_820_82,
        _ => {}
    }
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 5] =
        [-5.447_609_879_822_406e1, 1.615_858_368_580_409e2, -1.556_989_798_598_866e2, 6.680_131_188_771_972e1, -1.328_068_155_288_572e1];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 4] = [7.784_695_709_041_462e-3, 3.224_671_290_700_398e-1, 2.445_134_137_142_996, 3.754_408_661_907_416];
    let polynomial = |terms: &[f64], x: f64| terms.iter().fold(0.0, |sum, term| sum * x + term);
    let p = percentile / 100.0;
    let tail = |p: f64| {
        let q = (-2.0 * p.ln()).sqrt();
        polynomial(&C, q) / (polynomial(&D, q) * q + 1.0)
    };
    if p < 0.02425 {
        return tail(p);
    }
    if p > 1.0 - 0.02425 {
        return -tail(1.0 - p);
    }
    let q = p - 0.5;
    let r = q * q;
    polynomial(&A, r) * q / (polynomial(&B, r) * r + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    // scipy.stats.norm.ppf
    #[test]
    fn quantiles_match_the_normal_distribution() {
        for (percentile, want) in
            [(2.0, -2.053748910631823), (5.0, -1.6448536269514729), (60.0, 0.2533471031357997), (98.0, 2.0537489106318225)]
        {
            assert!((quantile(percentile) - want).abs() < 1e-8, "{percentile}: {}", quantile(percentile));
        }
    }

    // A result of Microsoft's engine: stackoverflow.com/q/75264555.
    #[test]
    fn scores_match_the_engine() {
        let series = [-3.0, 2.4, 15.0, 3.9, 5.0, 6.0, 4.5, 5.2, 3.0, 4.0, 5.0, 16.0, 7.0, 5.0, 5.0, 4.0].map(Some);
        let scores = Fences::CUSTOM.scores(&series, series.len(), 16.0);
        let want = [(0, -1.9040785483608571), (1, -0.10021466044004519), (2, 1.3361954725339347), (11, 1.6702443406674186)];
        for (at, score) in scores.iter().enumerate() {
            let want = want.iter().find(|(place, _)| *place == at).map_or(0.0, |(_, want)| *want);
            assert!((score - want).abs() < 1e-14, "{at}: {score} for {want}");
        }
    }

    #[test]
    fn rounding_errors_are_not_anomalies() {
        let request = |series: Vec<Option<f64>>, trend| Request { series, period: None, trend, test_points: 0 };
        let flags = |request: Request| -> usize {
            let residual = request.decompose().residual;
            Fences::CUSTOM.scores(&residual, residual.len(), request.size()).iter().filter(|score| score.abs() > 1.5).count()
        };
        assert_eq!(flags(request((0..100).map(|t| Some(0.1 + 0.3 * t as f64)).collect(), Trend::Line)), 0);
        assert_eq!(flags(request(vec![Some(0.1); 100], Trend::Average)), 0);
        assert_eq!(flags(request((0..100).map(|t| Some(if t == 40 { 5.0 } else { 0.0 })).collect(), Trend::Average)), 1);
    }
}
