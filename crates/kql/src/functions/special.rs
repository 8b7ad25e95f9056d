//! Statistical functions: `gamma`, `loggamma`, `erf`, `erfc`, `beta_cdf`, `beta_inv`, `beta_pdf`, `welch_test`. Source of truth: the public
//! KQL reference, one page each. Computed by Lanczos' approximation and continued fractions, to about 13 digits.

use model::Type;

use super::signatures::all;
use super::{Family, ScalarFn, kernel};

pub static FAMILY: Family = &[&GAMMA, &LOG_GAMMA, &ERF, &ERFC, &BETA_CDF, &BETA_INV, &BETA_PDF, &WELCH_TEST];

/// ln Γ(x) for x > 0, by Lanczos (g = 7, nine terms).
fn ln_gamma(x: f64) -> f64 {
    const TERMS: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    if x < 0.5 {
        let sine = (std::f64::consts::PI * x).sin().abs();
        return (std::f64::consts::PI / sine).ln() - ln_gamma(1.0 - x);
    }
    let x = x - 1.0;
    let sum = TERMS[1..].iter().enumerate().fold(TERMS[0], |sum, (at, term)| sum + term / (x + at as f64 + 1.0));
    let t = x + 7.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

fn gamma(x: f64) -> f64 {
    if x.fract() == 0.0 && (1.0..=171.0).contains(&x) {
        return (2..x as u32).fold(1.0, |product, n| product * f64::from(n));
    }
    if x <= 0.0 && x.fract() == 0.0 {
        return f64::NAN;
    }
    if x < 0.5 {
        return std::f64::consts::PI / ((std::f64::consts::PI * x).sin() * gamma(1.0 - x));
    }
    ln_gamma(x).exp()
}

fn erf(x: f64) -> f64 {
    if x.abs() > 2.5 {
        return 1f64.copysign(x) - erfc(x.abs()).copysign(x);
    }
    // Taylor series.
    let (mut term, mut sum, mut n) = (x, x, 0.0);
    while term.abs() > 1e-17 * sum.abs() && n < 200.0 {
        n += 1.0;
        term *= -x * x / n;
        sum += term / (2.0 * n + 1.0);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

fn erfc(x: f64) -> f64 {
    if x < 2.5 {
        return 1.0 - erf(x);
    }
    // A continued fraction, evaluated from its end.
    let fraction = (1..120).rev().fold(0.0, |below, k| f64::from(k) / 2.0 / (x + below));
    (-x * x).exp() / std::f64::consts::PI.sqrt() / (x + fraction)
}

/// The regularised incomplete beta function, by Lentz's method.
fn beta_cdf(x: f64, a: f64, b: f64) -> f64 {
    if !(0.0..=1.0).contains(&x) || a.is_nan() || b.is_nan() || a <= 0.0 || b <= 0.0 {
        return f64::NAN;
    }
    if x == 0.0 || x == 1.0 {
        return x;
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta_cdf(1.0 - x, b, a);
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp() / a;
    const TINY: f64 = 1e-300;
    let (mut fraction, mut c, mut d) = (1.0, 1.0, 0.0);
    for step in 0..400 {
        let m = f64::from(step / 2);
        let numerator = match step {
            0 => 1.0,
            _ if step % 2 == 0 => m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)),
            _ => -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0)),
        };
        d = 1.0 + numerator * d;
        d = 1.0 / if d.abs() < TINY { TINY } else { d };
        c = 1.0 + numerator / c;
        c = if c.abs() < TINY { TINY } else { c };
        fraction *= c * d;
        if (1.0 - c * d).abs() < 1e-15 {
            break;
        }
    }
    front * (fraction - 1.0)
}

fn beta_pdf(x: f64, a: f64, b: f64) -> f64 {
    if !(0.0..=1.0).contains(&x) || a <= 0.0 || b <= 0.0 {
        return f64::NAN;
    }
    (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + (a - 1.0) * x.ln() + (b - 1.0) * (1.0 - x).ln()).exp()
}

fn beta_inv(p: f64, a: f64, b: f64) -> Option<f64> {
    if a <= 0.0 || b <= 0.0 {
        return Some(f64::NAN);
    }
    if !(0.0..=1.0).contains(&p) {
        return None;
    }
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if beta_cdf(middle, a, b) < p { low = middle } else { high = middle }
    }
    Some((low + high) / 2.0)
}

macro_rules! of_one {
    ($name:ident, $call:literal, $summary:literal, $example:expr, $compute:expr) => {
        static $name: ScalarFn = ScalarFn {
            name: $call,
            summary: $summary,
            signature: all(&[("number", Type::Real)], Type::Real),
            examples: &[$example],
            prepare: |_| {
                Ok(kernel(|args| {
                    let x = args.reals(0);
                    args.map_reals(|row| x.get(row).map($compute))
                }))
            },
            ..ScalarFn::DEFAULT
        };
    };
}

of_one!(GAMMA, "gamma", "The gamma function", ("gamma(5)", "24.0"), gamma);
of_one!(LOG_GAMMA, "loggamma", "The logarithm of the gamma function", ("round(loggamma(5), 6)", "3.178054"), ln_gamma);
of_one!(ERF, "erf", "The error function", ("round(erf(0.5), 6)", "0.5205"), erf);
of_one!(ERFC, "erfc", "The complementary error function", ("round(erfc(3), 9)", "0.00002209"), erfc);

macro_rules! of_three {
    ($name:ident, $call:literal, $first:literal, $summary:literal, $example:expr, $compute:expr) => {
        static $name: ScalarFn = ScalarFn {
            name: $call,
            summary: $summary,
            signature: all(&[($first, Type::Real), ("alpha", Type::Real), ("beta", Type::Real)], Type::Real),
            examples: &[$example],
            prepare: |_| {
                Ok(kernel(|args| {
                    let (x, a, b) = (args.reals(0), args.reals(1), args.reals(2));
                    let compute: fn(f64, f64, f64) -> Option<f64> = $compute;
                    args.map_reals(|row| compute(x.get(row)?, a.get(row)?, b.get(row)?))
                }))
            },
            ..ScalarFn::DEFAULT
        };
    };
}

of_three!(BETA_CDF, "beta_cdf", "x", "The cumulative beta distribution", ("round(beta_cdf(0.9, 10.0, 20.0), 10)", "1.0"), |x, a, b| Some(
    beta_cdf(x, a, b)
));
of_three!(
    BETA_INV,
    "beta_inv",
    "probability",
    "The inverse of the cumulative beta distribution",
    ("round(beta_inv(0.1, 10.0, 20.0), 9)", "0.226415022"),
    beta_inv
);
of_three!(
    BETA_PDF,
    "beta_pdf",
    "x",
    "The density of the beta distribution",
    ("round(beta_pdf(0.5, 10.0, 20.0), 9)", "0.746176019"),
    |x, a, b| Some(beta_pdf(x, a, b))
);

static WELCH_TEST: ScalarFn = ScalarFn {
    name: "welch_test",
    summary: "The probability, by Welch's t-test, that two samples have the same mean",
    signature: all(
        &[
            ("mean1", Type::Real),
            ("variance1", Type::Real),
            ("count1", Type::Real),
            ("mean2", Type::Real),
            ("variance2", Type::Real),
            ("count2", Type::Real),
        ],
        Type::Real,
    ),
    examples: &[("round(welch_test(1, 1, 10, 1, 1, 10), 6)", "1.0")],
    prepare: |_| {
        Ok(kernel(|args| {
            args.map_reals(|row| {
                let at = |index: usize| args.reals(index).get(row);
                let (mean, variance, count) = ([at(0)?, at(3)?], [at(1)?, at(4)?], [at(2)?, at(5)?]);
                let (a, b) = (variance[0] / count[0], variance[1] / count[1]);
                let t2 = (mean[0] - mean[1]).powi(2) / (a + b);
                let freedom = (a + b).powi(2) / (a * a / (count[0] - 1.0) + b * b / (count[1] - 1.0));
                Some(beta_cdf(freedom / (freedom + t2), freedom / 2.0, 0.5))
            })
        }))
    },
    ..ScalarFn::DEFAULT
};
