//! Arithmetic on `decimal`: an `i256` scaled by 10^[`DECIMAL_SCALE`]. Overflow gives `None` and never wraps.

use arrow::datatypes::i256;
use model::{DECIMAL_PRECISION, DECIMAL_SCALE};

/// 10^`exponent`; the exponent is at most 76, the number of digits of an `i256`.
pub fn power_of_ten(exponent: u32) -> i256 {
    let ten = i256::from_i128(10);
    (0..exponent.min(DECIMAL_PRECISION.into())).fold(i256::ONE, |power, _| power.wrapping_mul(ten))
}

/// One, scaled.
pub fn unit() -> i256 {
    i256::from_i128(10i128.pow(DECIMAL_SCALE as u32))
}

fn fits(value: i256) -> Option<i256> {
    static LIMIT: std::sync::LazyLock<i256> = std::sync::LazyLock::new(|| power_of_ten(DECIMAL_PRECISION.into()));
    (value < *LIMIT && value > LIMIT.wrapping_neg()).then_some(value)
}

pub fn from_i64(n: i64) -> i256 {
    i256::from_i128(n.into()).wrapping_mul(unit())
}

/// The nearest decimal; `None` if not finite or too large. Uses the shortest decimal representation, so that `0.1` is exactly one tenth.
pub fn from_f64(x: f64) -> Option<i256> {
    if !x.is_finite() {
        return None;
    }
    parse(&format!("{x:e}"))
}

pub fn to_f64(value: i256) -> f64 {
    format(value).parse().unwrap_or(f64::NAN)
}

/// The integer part, truncated towards zero, if it fits.
pub fn to_i64(value: i256) -> Option<i64> {
    value.checked_div(unit())?.to_i128().and_then(|whole| i64::try_from(whole).ok())
}

pub fn add(a: i256, b: i256) -> Option<i256> {
    a.checked_add(b).and_then(fits)
}

pub fn subtract(a: i256, b: i256) -> Option<i256> {
    a.checked_sub(b).and_then(fits)
}

pub fn multiply(a: i256, b: i256) -> Option<i256> {
    // (ah·S + al)(bh·S + bl) / S, so that intermediates fit in 256 bits.
    let scale = unit();
    let (ah, al) = (a.checked_div(scale)?, a.checked_rem(scale)?);
    let (bh, bl) = (b.checked_div(scale)?, b.checked_rem(scale)?);
    let high = ah.checked_mul(b)?;
    let middle = al.checked_mul(bh)?;
    let low = al.checked_mul(bl)?.checked_div(scale)?;
    high.checked_add(middle)?.checked_add(low).and_then(fits)
}

/// Truncated, not rounded; `None` for division by zero.
pub fn divide(a: i256, b: i256) -> Option<i256> {
    if b == i256::ZERO {
        return None;
    }
    let whole = a.checked_div(b)?;
    let mut rest = a.checked_rem(b)?;
    let fraction = match rest.checked_mul(unit()) {
        Some(scaled) => scaled.checked_div(b)?,
        None => {
            // Long division, digit by digit.
            let ten = i256::from_i128(10);
            let mut digits = i256::ZERO;
            for _ in 0..DECIMAL_SCALE {
                rest = rest.checked_mul(ten)?;
                digits = digits.checked_mul(ten)?.checked_add(rest.checked_div(b)?)?;
                rest = rest.checked_rem(b)?;
            }
            digits
        }
    };
    whole.checked_mul(unit())?.checked_add(fraction).and_then(fits)
}

/// Never negative, like all of Kusto's remainders.
pub fn remainder(a: i256, b: i256) -> Option<i256> {
    if b == i256::ZERO {
        return None;
    }
    let rest = a.checked_rem(b)?;
    if rest.is_negative() { rest.checked_add(b.checked_abs()?) } else { Some(rest) }
}

/// The largest multiple of `size` not above `value`.
pub fn floor_to(value: i256, size: i256) -> Option<i256> {
    if size <= i256::ZERO {
        return None;
    }
    value.checked_sub(remainder(value, size)?).and_then(fits)
}

/// Parses `12`, `-3.5`, `1e-3`; excess digits are truncated.
pub fn parse(text: &str) -> Option<i256> {
    let text = text.trim();
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(at) => (&digits[..at], digits[at + 1..].parse::<i32>().ok()?),
        None => (digits, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    // The digits as an integer, and the offset of its point from the scale's.
    let ten = i256::from_i128(10);
    let mut shift = exponent.checked_add(DECIMAL_SCALE.into())?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let mut value = i256::ZERO;
    for digit in whole.bytes().chain(fraction.bytes()) {
        match value.checked_mul(ten).and_then(|v| v.checked_add(i256::from_i128((digit - b'0').into()))) {
            Some(next) => value = next,
            // Further digits do not fit and only shift the point.
            None => shift = shift.checked_add(1)?,
        }
    }
    while shift > 0 && value != i256::ZERO {
        value = value.checked_mul(ten)?;
        shift -= 1;
    }
    while shift < 0 && value != i256::ZERO {
        value = value.checked_div(ten)?;
        shift += 1;
    }
    fits(if negative { value.wrapping_neg() } else { value })
}

/// Formats like Kusto: no trailing zeros, no exponent.
pub fn format(value: i256) -> String {
    let digits = value.wrapping_abs().to_string();
    let scale = DECIMAL_SCALE as usize;
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    let fraction = fraction.trim_end_matches('0');
    let sign = if value.is_negative() { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Expected results computed by hand.
    #[test]
    fn decimals_compute_exactly() {
        let d = |text: &str| parse(text).unwrap();
        assert_eq!(format(add(d("0.1"), d("0.2")).unwrap()), "0.3");
        assert_eq!(format(multiply(d("-1.5"), d("2.25")).unwrap()), "-3.375");
        assert_eq!(format(multiply(d("123456789012345678901"), d("1000000000000.5")).unwrap()), "123456789012407407295506172839450.5");
        assert_eq!(format(divide(d("1"), d("3")).unwrap()), format!("0.{}", "3".repeat(34)));
        assert_eq!(format(divide(d("1e40"), d("3e30")).unwrap()), format!("3333333333.{}", "3".repeat(34)));
        assert_eq!(divide(d("1"), d("0")), None);
        assert_eq!(format(remainder(d("-7"), d("3")).unwrap()), "2");
        assert_eq!(format(floor_to(d("-5.5"), d("2")).unwrap()), "-6");
        assert_eq!(multiply(d("1e30"), d("1e30")), None);
    }

    #[test]
    fn decimals_parse_and_format() {
        for text in ["0", "1", "-0.5", "3.14159265358979323846", "340282366920938463463374607431768211455"] {
            assert_eq!(format(parse(text).unwrap()), text);
        }
        assert_eq!(format(parse("1.5e3").unwrap()), "1500");
        assert_eq!(format(parse("-0.0").unwrap()), "0");
        assert_eq!(from_f64(0.1), parse("0.1"));
        assert_eq!(to_f64(parse("2.5").unwrap()), 2.5);
        for bad in ["", ".", "abc", "1e99999999999", "1e60", "--1"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
