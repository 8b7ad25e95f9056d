//! Formatting of `real`.
//!
//! Prints the fewest digits that parse back to the same number; if several texts of that length do, the greatest, as Kusto does
//! (`0.1 + 0.2` is `0.30000000000000007`, recorded). Point and exponent are placed as by RapidJSON: `.0` on integers, an exponent above 10^21 and
//! below 10^-6.

/// Formats like `tostring`.
pub fn format(x: f64) -> String {
    let mut text = String::new();
    push(&mut text, x);
    text
}

/// Appends the result of [`format`].
pub fn push(out: &mut String, x: f64) {
    use std::fmt::Write;
    if x.is_nan() {
        return out.push_str("NaN");
    }
    if x.is_infinite() {
        return out.push_str(if x > 0.0 { "inf" } else { "-inf" });
    }
    if x.is_sign_negative() {
        out.push('-');
    }
    let x = x.abs();
    if x == 0.0 {
        return out.push_str("0.0");
    }
    // Integers below 2^53 are printed directly.
    if x < 9_007_199_254_740_992.0 && x.fract() == 0.0 {
        let _ = write!(out, "{}.0", x as u64);
        return;
    }
    let shortest = format!("{x:e}");
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mut digits: String = mantissa.bytes().filter(u8::is_ascii_digit).map(char::from).collect();
    // If one step of the last digit exceeds the distance to the next number, it gives another number.
    let step = 10f64.powi(exponent + 1 - digits.len() as i32);
    if digits.len() >= 16 && step <= 1.01 * (x.next_up() - x) {
        raise(&mut digits, exponent, x);
    }
    // `point` digits precede the decimal point.
    let (len, point) = (digits.len() as i32, exponent + 1);
    if len <= point && point <= 21 {
        out.push_str(&digits);
        out.extend(std::iter::repeat_n('0', (point - len) as usize));
        out.push_str(".0");
    } else if 0 < point && point <= 21 {
        out.push_str(&digits[..point as usize]);
        out.push('.');
        out.push_str(&digits[point as usize..]);
    } else if -6 < point && point <= 0 {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', -point as usize));
        out.push_str(&digits);
    } else {
        out.push_str(&digits[..1]);
        if len > 1 {
            out.push('.');
            out.push_str(&digits[1..]);
        }
        let _ = write!(out, "e{exponent}");
    }
}

/// Increases the last digit as long as the text still parses to `x`.
fn raise(digits: &mut String, exponent: i32, x: f64) {
    loop {
        let Some(last) = digits.pop() else { return };
        if last == '9' {
            digits.push(last);
            return;
        }
        digits.push((last as u8 + 1) as char);
        let same = format!("{}.{}e{exponent}", &digits[..1], &digits[1..]).parse() == Ok(x);
        if !same {
            digits.pop();
            digits.push(last);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Results recorded from Microsoft's engine, the last two by RapidJSON's rules.
    #[test]
    fn reals_format_like_the_engine() {
        for (x, text) in [
            (0.1 + 0.2, "0.30000000000000007"),
            (1.0 / 3.0, "0.3333333333333333"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (1.5, "1.5"),
            (100000000000.0, "100000000000.0"),
            (f64::INFINITY, "inf"),
            (f64::NAN, "NaN"),
            (1e30, "1e30"),
            (1.5e-7, "1.5e-7"),
        ] {
            assert_eq!(format(x), text);
        }
    }
}
