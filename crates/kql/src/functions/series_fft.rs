//! `series_fft`, `series_ifft`: the discrete Fourier transform of a series and its inverse. The transform is also used for period
//! detection. Source of truth: the public KQL reference, one page each; results match `numpy.fft.fft` and `numpy.fft.ifft`.
//!
//! Lengths that are powers of two use the Cooley–Tukey algorithm, all others Bluestein's, which needs three transforms of a power of two;
//! the cost is O(n log n) for every n.

use std::f64::consts::PI;

use model::Type;

use super::bags::Bag;
use super::series::{complete, push_numbers};
use super::signatures::some;
use super::{Args, Family, ScalarFn, Signature, kernel};
use crate::watch::Turns;

pub static FAMILY: Family = &[&FFT, &IFFT];

/// `$…`: the binder makes the columns `real` and `imag` from the bag, see `bind::spread`.
static FFT: ScalarFn = ScalarFn {
    name: "$series_fft",
    summary: "The frequencies of a series of complex numbers, as a bag of their real and their imaginary parts",
    signature: SIGNATURE,
    prepare: |_| Ok(kernel(|args| args.map_json(|row, out| both(args, row, false, out)))),
    deterministic: false,
    ..ScalarFn::DEFAULT
};

static IFFT: ScalarFn = ScalarFn {
    name: "$series_ifft",
    summary: "The series of complex numbers that has these frequencies, as a bag of the real and the imaginary parts",
    signature: SIGNATURE,
    prepare: |_| Ok(kernel(|args| args.map_json(|row, out| both(args, row, true, out)))),
    deterministic: false,
    ..ScalarFn::DEFAULT
};

const SIGNATURE: Signature = some(&[("series", Type::Dynamic), ("series_imaginary", Type::Dynamic)], 1, Type::Dynamic);

fn both(args: &Args, row: usize, inverse: bool, out: &mut String) -> Option<()> {
    let mut re = complete(args.texts(0).opt(row))?;
    let mut im = if args.len() > 1 { complete(args.texts(1).opt(row))? } else { vec![0.0; re.len()] };
    if re.len() != im.len() {
        return None;
    }
    transform(&mut re, &mut im, inverse);
    let mut bag = Bag::new(out);
    for (key, part) in [("real", &re), ("imag", &im)] {
        let mut list = String::new();
        // Avoid negative zeros.
        push_numbers(&mut list, part.iter().map(|x| Some(x + 0.0)));
        bag.put(key, &list);
    }
    bag.close()
}

/// The discrete Fourier transform in place, or its inverse. Both slices have the same length.
pub(super) fn transform(re: &mut [f64], im: &mut [f64], inverse: bool) {
    let n = re.len();
    if n < 2 {
        return;
    }
    if n.is_power_of_two() {
        radix2(re, im, inverse);
    } else {
        bluestein(re, im, inverse);
    }
    if inverse {
        let scale = 1.0 / n as f64;
        re.iter_mut().chain(im.iter_mut()).for_each(|x| *x *= scale);
    }
}

/// Does not scale the inverse.
fn radix2(re: &mut [f64], im: &mut [f64], inverse: bool) {
    let n = re.len();
    let shift = usize::BITS - n.trailing_zeros();
    for at in 0..n {
        let mirrored = at.reverse_bits() >> shift;
        if at < mirrored {
            re.swap(at, mirrored);
            im.swap(at, mirrored);
        }
    }
    let sign = if inverse { 1.0 } else { -1.0 };
    let roots: Vec<(f64, f64)> = (0..n / 2)
        .map(|k| match 4 * k {
            // Quarter turns are exact.
            0 => (1.0, 0.0),
            quarter if quarter == n => (0.0, sign),
            _ => {
                let (sin, cos) = (2.0 * PI * k as f64 / n as f64).sin_cos();
                (cos, sign * sin)
            }
        })
        .collect();
    let mut turns = Turns::default();
    let mut half = 1;
    while half < n {
        let stride = n / (2 * half);
        for start in (0..n).step_by(2 * half) {
            if turns.stopped_after(half) {
                return;
            }
            for k in 0..half {
                let (cos, sin) = roots[k * stride];
                let (a, b) = (start + k, start + k + half);
                let (x, y) = (re[b] * cos - im[b] * sin, re[b] * sin + im[b] * cos);
                (re[b], im[b]) = (re[a] - x, im[a] - y);
                (re[a], im[a]) = (re[a] + x, im[a] + y);
            }
        }
        half *= 2;
    }
}

/// A transform of any length as a convolution with a chirp. Does not scale the inverse.
fn bluestein(re: &mut [f64], im: &mut [f64], inverse: bool) {
    let n = re.len();
    let m = (2 * n - 1).next_power_of_two();
    let sign = if inverse { 1.0 } else { -1.0 };
    let chirp: Vec<(f64, f64)> = (0..n)
        .map(|k| {
            // k² modulo 2n keeps the angle small and therefore exact.
            let turns = (k as u128 * k as u128 % (2 * n as u128)) as f64;
            let (sin, cos) = (PI * turns / n as f64).sin_cos();
            (cos, sign * sin)
        })
        .collect();
    let (mut a_re, mut a_im, mut b_re, mut b_im) = (vec![0.0; m], vec![0.0; m], vec![0.0; m], vec![0.0; m]);
    for (k, (cos, sin)) in chirp.iter().enumerate() {
        (a_re[k], a_im[k]) = (re[k] * cos - im[k] * sin, re[k] * sin + im[k] * cos);
        let mirror = (m - k) % m;
        (b_re[k], b_im[k]) = (*cos, -sin);
        (b_re[mirror], b_im[mirror]) = (*cos, -sin);
    }
    radix2(&mut a_re, &mut a_im, false);
    radix2(&mut b_re, &mut b_im, false);
    for k in 0..m {
        (a_re[k], a_im[k]) = (a_re[k] * b_re[k] - a_im[k] * b_im[k], a_re[k] * b_im[k] + a_im[k] * b_re[k]);
    }
    radix2(&mut a_re, &mut a_im, true);
    for (k, (cos, sin)) in chirp.iter().enumerate() {
        let (x, y) = (a_re[k] / m as f64, a_im[k] / m as f64);
        (re[k], im[k]) = (x * cos - y * sin, x * sin + y * cos);
    }
}

#[cfg(test)]
mod tests {
    use super::transform;

    /// The definition, computed directly.
    fn slow(re: &[f64], im: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let n = re.len();
        let sum = |k: usize| {
            (0..n).fold((0.0, 0.0), |(x, y), t| {
                let (sin, cos) = (-2.0 * std::f64::consts::PI * (k * t % n) as f64 / n as f64).sin_cos();
                (x + re[t] * cos - im[t] * sin, y + re[t] * sin + im[t] * cos)
            })
        };
        (0..n).map(sum).unzip()
    }

    #[test]
    fn transforms_match_the_definition_and_invert() {
        for n in (0..40).chain([97, 128, 168, 1000]) {
            let re: Vec<f64> = (0..n).map(|t| ((t * 7919 % 101) as f64) - 50.0).collect();
            let im: Vec<f64> = (0..n).map(|t| (t * 104_729 % 13) as f64).collect();
            let (mut x, mut y) = (re.clone(), im.clone());
            transform(&mut x, &mut y, false);
            let (want_x, want_y) = slow(&re, &im);
            for (got, want) in x.iter().zip(&want_x).chain(y.iter().zip(&want_y)) {
                assert!((got - want).abs() < 1e-8, "{n}: {got} for {want}");
            }
            transform(&mut x, &mut y, true);
            for (got, want) in x.iter().zip(&re).chain(y.iter().zip(&im)) {
                assert!((got - want).abs() < 1e-9, "{n}: {got} for {want}");
            }
        }
    }
}
