//! `series_fit_line_dynamic`, `series_fir`, `series_seasonal`: what lies behind a series.
//! Source of truth: the public KQL reference, one page each.

use model::Type;

use super::bags::Bag;
use super::series::{numbers, push_numbers};
use super::signatures::{all, some};
use super::{Family, ScalarFn, kernel};
use crate::dynamic::push_real;

pub static FAMILY: Family = &[&FIT_LINE, &FIR, &SEASONAL];

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
                let known: Vec<(f64, f64)> = all.iter().enumerate().filter_map(|(at, y)| Some((at as f64, (*y)?))).collect();
                if known.len() < 2 {
                    return None;
                }
                let n = known.len() as f64;
                let (mean_x, mean_y) = (known.iter().map(|(x, _)| x).sum::<f64>() / n, known.iter().map(|(_, y)| y).sum::<f64>() / n);
                let (sxx, sxy, syy) = known.iter().fold((0.0, 0.0, 0.0), |(sxx, sxy, syy), (x, y)| {
                    let (dx, dy) = (x - mean_x, y - mean_y);
                    (sxx + dx * dx, sxy + dx * dy, syy + dy * dy)
                });
                let slope = sxy / sxx;
                let interception = mean_y - slope * mean_x;
                let residual: f64 = known.iter().map(|(x, y)| (y - interception - slope * x).powi(2)).sum();
                let real = |x: f64| {
                    let mut text = String::new();
                    push_real(&mut text, x);
                    text
                };
                let mut line = String::new();
                push_numbers(&mut line, (0..all.len()).map(|at| Some(interception + slope * at as f64)));
                let mut bag = Bag::new(out);
                bag.put("rsquare", &real(if syy == 0.0 { 1.0 } else { 1.0 - residual / syy }));
                bag.put("slope", &real(slope));
                bag.put("variance", &real(syy / (n - 1.0)));
                bag.put("rvariance", &real(residual / (n - 1.0)));
                bag.put("interception", &real(interception));
                bag.put("line_fit", &line);
                bag.close()
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

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
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let (series, filter) = (args.texts(0), args.texts(1));
            args.map_json(|row, out| {
                let (series, filter) = (numbers(series.opt(row)?)?, numbers(filter.opt(row)?)?);
                let mut weights: Vec<f64> = filter.into_iter().collect::<Option<_>>()?;
                let sum: f64 = weights.iter().sum();
                // A filter whose sum is zero cannot be normalised; one with negative weights is left as it is unless asked for.
                let normalize = if args.len() > 2 { args.bools(2).get(row)? } else { weights.iter().all(|weight| *weight >= 0.0) };
                if normalize && sum != 0.0 {
                    weights.iter_mut().for_each(|weight| *weight /= sum);
                }
                let center = args.len() > 3 && args.bools(3).get(row)?;
                let ahead = if center { weights.len() / 2 } else { 0 };
                push_numbers(
                    out,
                    (0..series.len()).map(|at| {
                        let mut total = 0.0;
                        for (back, weight) in weights.iter().enumerate() {
                            // Beyond the ends lie zeros.
                            let Some(element) = (at + ahead).checked_sub(back).and_then(|from| series.get(from)) else { continue };
                            total += weight * element.unwrap_or(0.0);
                        }
                        Some(total)
                    }),
                );
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static SEASONAL: ScalarFn = ScalarFn {
    name: "series_seasonal",
    summary: "The seasonal part of a series with a period: at each place the median of all places as far into their period",
    signature: all(&[("series", Type::Dynamic), ("period", Type::Long)], Type::Dynamic),
    examples: &[
        ("series_seasonal(dynamic([1,3,5,1,3,5,2,4,6]), 3)", "[1.0,3.0,5.0,1.0,3.0,5.0,1.0,3.0,5.0]"),
        ("series_seasonal(dynamic([1,3,5,2,4,6]), 3)", "[1.5,3.5,5.5,1.5,3.5,5.5]"),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let (series, period) = (args.texts(0), args.longs(1));
            args.map_json(|row, out| {
                let all = numbers(series.opt(row)?)?;
                let period = usize::try_from(period.get(row)?).ok().filter(|period| *period > 0)?;
                let period = period.min(all.len().max(1));
                let mut phases: Vec<Vec<f64>> = vec![Vec::new(); period];
                for (at, x) in all.iter().enumerate() {
                    phases[at % period].extend(x);
                }
                let medians: Vec<Option<f64>> = phases.iter_mut().map(|phase| median(phase)).collect();
                push_numbers(out, (0..all.len()).map(|at| medians[at % period]));
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

fn median(numbers: &mut [f64]) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    let upper = *numbers.get(middle)?;
    Some(if numbers.len() % 2 == 1 { upper } else { (numbers[middle - 1] + upper) / 2.0 })
}
