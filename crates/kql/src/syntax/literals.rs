//! Parses literal tokens to a [`Value`]: the forms printed by Kusto itself, and those in its reference.

use arrow::datatypes::i256;
use model::{Civil, DECIMAL_SCALE, Span, TICKS_PER_DAY, Timestamp, Type};

use crate::Value;

/// A `long` literal: decimal or hexadecimal. `None` if it does not fit in 64 bits.
pub fn long(text: &str) -> Option<i64> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text.strip_prefix('+').unwrap_or(text)), |rest| (true, rest));
    let number = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        // Hexadecimal digits are the bit pattern: 0xffffffffffffffff is -1.
        Some(hex) if hex.bytes().all(|b| b.is_ascii_hexdigit()) => u64::from_str_radix(hex, 16).ok()? as i64,
        Some(_) => return None,
        None if digits.starts_with(['+', '-']) => return None,
        None => return text.strip_prefix('+').unwrap_or(text).parse().ok(),
    };
    if negative { number.checked_neg() } else { Some(number) }
}

/// A `real` literal, including `nan` and infinities.
pub fn real(text: &str) -> Option<f64> {
    match text.to_ascii_lowercase().as_str() {
        "nan" => Some(f64::NAN),
        "inf" | "+inf" => Some(f64::INFINITY),
        "-inf" => Some(f64::NEG_INFINITY),
        number if number.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'+' | b'-')) => number.parse().ok(),
        _ => None,
    }
}

/// A `decimal` literal, scaled; excess digits are truncated. Exponents are supported.
pub fn decimal(text: &str) -> Option<i256> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (sign, digits) = mantissa.strip_prefix('-').map_or(("", mantissa.strip_prefix('+').unwrap_or(mantissa)), |rest| ("-", rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    if all.is_empty() || !all.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // The decimal point moves right by the scale and the exponent.
    let zeros = i64::from(DECIMAL_SCALE) + i64::from(exponent) - fraction.len() as i64;
    let scaled = match usize::try_from(zeros) {
        Ok(zeros) if zeros <= 100 => format!("{sign}{all}{}", "0".repeat(zeros)),
        Ok(_) if all.bytes().all(|b| b == b'0') => "0".to_owned(),
        Ok(_) => return None,
        Err(_) => {
            let keep = all.len().saturating_sub(zeros.unsigned_abs().min(1000) as usize);
            format!("{sign}{}", if keep == 0 { "0" } else { &all[..keep] })
        }
    };
    let trimmed = scaled.trim_start_matches('-').trim_start_matches('0');
    if trimmed.is_empty() {
        return Some(i256::ZERO);
    }
    (trimmed.len() <= usize::from(model::DECIMAL_PRECISION)).then(|| i256::from_string(&format!("{sign}{trimmed}")))?
}

/// A `timespan` literal: `1d`, `1.02:03:04`, a bare number of days.
pub fn timespan(text: &str) -> Option<Span> {
    let text = text.trim();
    if let Ok(days) = text.parse::<i64>() {
        return days.checked_mul(TICKS_PER_DAY).map(Span);
    }
    // Recorded: fractions of a microsecond are dropped.
    if let Some((whole, _)) = text.split_once('.')
        && let Some(unit) = text.find("micro")
        && let Ok(whole) = if whole.is_empty() { Ok(0) } else { whole.parse::<i64>() }
    {
        return Span::parse_literal(&format!("{whole}{}", &text[unit..]));
    }
    let negated = || {
        let rest = text.strip_prefix('-')?;
        Span::parse_literal(rest).and_then(|span| span.0.checked_neg()).map(Span)
    };
    Span::parse_literal(text).or_else(negated).or_else(|| Span::parse_clock(text))
}

/// A `datetime` literal: ISO 8601 with relaxations, a year, a year and month, `1/2/2020` (month first), and RFC 822.
pub fn datetime(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    Timestamp::parse_iso(text).or_else(|| short(text)).or_else(|| slashed(text)).or_else(|| listed(text)).or_else(|| mail(text))
}

fn short(text: &str) -> Option<Timestamp> {
    let mut parts =
        text.split('-').map(str::trim).map(|part| part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse::<u32>().ok())?);
    let year = parts.next()??;
    if text.split('-').next()?.trim().len() != 4 {
        return None;
    }
    let (month, day) = (parts.next().unwrap_or(Some(1))?, parts.next().unwrap_or(Some(1))?);
    if parts.next().is_some() {
        return None;
    }
    Timestamp::from_civil(Civil { year: year as i32, month, day, time: 0 })
}

/// `1/31/2020`, `1-31-2020`, `2020/1/31`, each optionally followed by a time of day.
fn slashed(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_once([' ', 'T']).unwrap_or((text, ""));
    let parts: Vec<&str> = date.split(['/', '-']).collect();
    let [a, b, c] = parts.as_slice() else { return None };
    let (year, month, day) = if a.len() == 4 { (a, b, c) } else { (c, a, b) };
    if year.len() != 4 || month.len() > 2 || day.len() > 2 {
        return None;
    }
    let iso = format!("{year}-{month:0>2}-{day:0>2}{}{time}", if time.is_empty() { "" } else { " " });
    Timestamp::parse_iso(&iso)
}

/// `2025, 6, 14`: year, month and day.
fn listed(text: &str) -> Option<Timestamp> {
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let [year, month, day] = parts.as_slice() else { return None };
    let digits = |text: &str, most| (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if year.len() != 4 || !digits(year, 4) || !digits(month, 2) || !digits(day, 2) {
        return None;
    }
    Timestamp::parse_iso(&format!("{year}-{month:0>2}-{day:0>2}"))
}

/// `Sat, 8 Nov 2014 15:05:02 GMT`, with optional day of the week and a two- or four-digit year.
fn mail(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let text = text.split_once(',').map_or(text, |(_, rest)| rest).trim();
    let mut words = text.split_ascii_whitespace();
    let (day, month, year) = (words.next()?, words.next()?.to_ascii_lowercase(), words.next()?);
    let month = MONTHS.iter().position(|name| month.get(..3) == Some(*name))? + 1;
    let year: i32 = match (year.len(), year.parse().ok()?) {
        (4, year) => year,
        (2, year @ 0..=49) => 2000 + year,
        (2, year @ 50..=99) => 1900 + year,
        _ => return None,
    };
    let time: Vec<&str> = words.collect();
    Timestamp::parse_iso(format!("{year:04}-{month:02}-{day:0>2} {}", time.join(" ")).trim())
}

/// The value of `word(inner)`; null if empty. `None` if the type cannot parse it, which Kusto's engine rejects too.
pub fn typed(word: &str, inner: &str) -> Option<Value> {
    let ty = Type::parse(word).unwrap_or(Type::String);
    let inner = inner.trim();
    if inner.is_empty() || inner.eq_ignore_ascii_case("null") {
        return Some(Value::Null(ty));
    }
    // A number of days in parentheses must be an integer (recorded: `time(2)` is two days, `time(1.5)` is rejected).
    parse(ty, unquote(inner).unwrap_or(inner))
}

/// Parses `text` as a value of a type; `None` if invalid, including `null`.
pub fn parse(ty: Type, text: &str) -> Option<Value> {
    let text = text.trim();
    Some(match ty {
        Type::Bool => match text.to_ascii_lowercase().as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            number => Value::Bool(number.parse::<i64>().ok()? != 0),
        },
        Type::Int => Value::Int(i32::try_from(long(text)?).ok()?),
        Type::Long => Value::Long(long(text)?),
        Type::Real => Value::Real(real(text)?),
        Type::Decimal => Value::Decimal(decimal(text)?),
        Type::Datetime => Value::Datetime(datetime(text)?.ticks()),
        Type::Timespan => Value::Timespan(timespan(text)?.ticks()),
        Type::Guid => Value::Guid(uuid::Uuid::parse_str(text).ok()?.hyphenated().to_string()),
        Type::String => Value::String(text.to_owned()),
        Type::Dynamic => return None,
    })
}

fn unquote(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    text[1..].strip_suffix(quote)
}

/// The content of a string token: prefix, quotes and escapes resolved. Also accepts incomplete tokens.
pub fn string(token: &str) -> String {
    let text = token.strip_prefix(['h', 'H']).unwrap_or(token);
    for fence in ["```", "~~~"] {
        if let Some(rest) = text.strip_prefix(fence) {
            return rest.strip_suffix(fence).unwrap_or(rest).to_owned();
        }
    }
    let (verbatim, text) = text.strip_prefix('@').map_or((false, text), |rest| (true, rest));
    let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '\'')) else { return text.to_owned() };
    let body = &text[1..];
    if verbatim {
        let body = body.strip_suffix(quote).unwrap_or(body);
        let doubled: String = [quote, quote].iter().collect();
        return body.replace(&doubled, quote.encode_utf8(&mut [0; 4]));
    }
    unescape(body, quote)
}

/// Resolves escapes up to the closing quote.
fn unescape(body: &str, quote: char) -> String {
    let mut out = String::with_capacity(body.len());
    let mut rest = body;
    while let Some(c) = rest.chars().next() {
        if c == quote {
            break;
        }
        if c != '\\' {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        if let Some((c, length)) = code_escape(rest) {
            out.push(c);
            rest = &rest[length..];
            continue;
        }
        let next = rest[1..].chars().next();
        rest = &rest[1 + next.map_or(0, char::len_utf8)..];
        out.push(match next {
            Some('a') => '\x07',
            Some('b') => '\x08',
            Some('f') => '\x0c',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('v') => '\x0b',
            Some(other) => other,
            None => '\\',
        });
    }
    out
}

/// The character that an escape by number at the start of `text` means, and the escape's length in bytes. Two `\u` that are a surrogate pair
/// are one character, as in JSON (RFC 8259 §7); an unpaired surrogate is no character and becomes U+FFFD, as Kusto writes it.
fn code_escape(text: &str) -> Option<(char, usize)> {
    let number = |start: usize, digits: usize, radix: u32| {
        let digits = text.get(start..start + digits).filter(|digits| digits.chars().all(|c| c.is_digit(radix)))?;
        u32::from_str_radix(digits, radix).ok()
    };
    let (code, length) = match text.as_bytes().get(1)? {
        b'x' => (number(2, 2, 16)?, 4),
        b'u' => (number(2, 4, 16)?, 6),
        b'U' => (number(2, 8, 16)?, 10),
        b'0'..=b'7' => {
            let digits = text[1..].bytes().take(3).take_while(|b| matches!(b, b'0'..=b'7')).count();
            (number(1, digits, 8)?, 1 + digits)
        }
        _ => return None,
    };
    if length == 6
        && matches!(code, 0xD800..=0xDBFF)
        && text[length..].starts_with("\\u")
        && let Some(low @ 0xDC00..=0xDFFF) = number(length + 2, 4, 16)
    {
        let pair = 0x1_0000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        return Some((char::from_u32(pair)?, 2 * length));
    }
    Some((char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datetimes_in_every_documented_form() {
        // The public reference's page on the datetime type lists these forms.
        for (text, expected) in [
            ("2014-05-25T08:20:03.123456Z", "2014-05-25T08:20:03.1234560Z"),
            ("2014-11-08 15:55", "2014-11-08T15:55:00.0000000Z"),
            ("2014-11-08", "2014-11-08T00:00:00.0000000Z"),
            ("2014", "2014-01-01T00:00:00.0000000Z"),
            ("2014-11", "2014-11-01T00:00:00.0000000Z"),
            ("Sat, 8 Nov 14 15:05:02 GMT", "2014-11-08T15:05:02.0000000Z"),
            ("8 Nov 2014 15:05", "2014-11-08T15:05:00.0000000Z"),
            ("1/31/2020 10:00:00", "2020-01-31T10:00:00.0000000Z"),
            ("12-02-2022", "2022-12-02T00:00:00.0000000Z"),
            // Format on the page of endofweek().
            ("2025, 6, 14", "2025-06-14T00:00:00.0000000Z"),
            // Format on the page of sliding_window_counts().
            ("2017 - 08 - 01", "2017-08-01T00:00:00.0000000Z"),
        ] {
            assert_eq!(datetime(text).map(|t| t.to_string()).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(datetime("2014-13"), None);
        assert_eq!(datetime("x"), None);
    }

    #[test]
    fn typed_literals() {
        let typed = |word, inner| typed(word, inner).unwrap();
        assert_eq!(typed("int", "0x10"), Value::Int(16));
        assert_eq!(typed("long", "-9223372036854775808"), Value::Long(i64::MIN));
        assert_eq!(typed("real", "-inf"), Value::Real(f64::NEG_INFINITY));
        assert_eq!(typed("bool", "True"), Value::Bool(true));
        assert_eq!(typed("timespan", "1.00:00:01"), Value::Timespan(TICKS_PER_DAY + 10_000_000));
        assert_eq!(typed("time", "-1d"), Value::Timespan(-TICKS_PER_DAY));
        assert_eq!(typed("timespan", "2"), Value::Timespan(2 * TICKS_PER_DAY));
        assert_eq!(typed("datetime", "null"), Value::Null(Type::Datetime));
        assert_eq!(typed("guid", "'74BE27DE-1E4E-49D9-B579-FE0B331D3642'"), Value::Guid("74be27de-1e4e-49d9-b579-fe0b331d3642".into()));
        assert_eq!(typed("decimal", "-1.5"), Value::Decimal(i256::from_string(&format!("-15{}", "0".repeat(33))).unwrap()));
        assert_eq!(typed("decimal", "1e-40"), Value::Decimal(i256::ZERO));
    }

    #[test]
    fn invalid_literals_have_no_value() {
        // Recorded: the engine reports "could not be parsed as a literal of type …".
        for (word, inner) in [
            ("int", "abc"),
            ("int", "3000000000"),
            ("int", "1.5"),
            ("long", "99999999999999999999"),
            ("decimal", "1e60"),
            ("bool", "yes"),
            ("guid", "x"),
            ("datetime", "2022-02-30"),
            ("datetime", "2025-02-18 16.26"),
            ("datetime", "'DummyString'"),
            ("datetime", "2025, 6, 14, 1"),
            ("time", "1.5"),
            ("timespan", "abc"),
        ] {
            assert_eq!(typed(word, inner), None, "{word}({inner})");
        }
    }

    #[test]
    fn strings_resolve_their_escapes() {
        assert_eq!(string(r#""a\"\\\t\x41\u00e9\101\0""#), "a\"\\\tAéA\0");
        assert_eq!(string(r#"@"a\""b""#), "a\\\"b");
        assert_eq!(string("h'x'"), "x");
        assert_eq!(string("```a\n'b```"), "a\n'b");
        assert_eq!(string("\"open"), "open");
        assert_eq!(string(r#""\q"#), "q");
        assert_eq!(string(r#""\u+041\u00""#), "u+041u00");
        assert_eq!(string("\"\\é\\"), "é\\");
    }

    #[test]
    fn surrogate_pairs_are_one_character() {
        // RFC 8259 §7 joins a pair; §8.2 leaves an unpaired surrogate open, and Kusto writes U+FFFD for it.
        assert_eq!(string(r#""\ud83d\ude00!""#), "😀!");
        assert_eq!(string(r#""\uD83D\uDE00\U0001F600""#), "😀😀");
        assert_eq!(string(r#""\ud83d""#), "\u{fffd}");
        assert_eq!(string(r#""\ud83dx\ude00""#), "\u{fffd}x\u{fffd}");
        assert_eq!(string(r#""\ud83d\ud83d\ude00""#), "\u{fffd}😀");
        assert_eq!(string(r#""\ud83d\\ude00""#), "\u{fffd}\\ude00");
        assert_eq!(string(r#""\ud83d\u00e9""#), "\u{fffd}é");
        assert_eq!(string(r#""\U0000d83d\UFFFFFFFF""#), "\u{fffd}\u{fffd}");
        assert_eq!(string(r#"@"\ud83d""#), r"\ud83d");
    }
}
