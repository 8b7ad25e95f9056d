//! Formatting like `tostring`, and parsing like `toint`, `todouble`, `todatetime` … Invalid text gives `None` or null.

use model::{Civil, Span, TICKS_PER_DAY, TICKS_PER_HOUR, TICKS_PER_MINUTE, TICKS_PER_SECOND, Timestamp, Type};

use super::{Value, decimal, real};
use crate::dynamic;

/// Formats like `tostring`; a null is the empty string.
pub fn format(value: &Value) -> String {
    match value {
        Value::Null(_) => String::new(),
        Value::Bool(b) => (if *b { "True" } else { "False" }).to_owned(),
        Value::Int(n) => n.to_string(),
        Value::Long(n) => n.to_string(),
        Value::Real(x) => real::format(*x),
        Value::Decimal(d) => decimal::format(*d),
        Value::String(text) | Value::Guid(text) => text.clone(),
        Value::Datetime(ticks) => Timestamp::clamp_ticks(*ticks).to_string(),
        Value::Timespan(ticks) => Span(*ticks).to_string(),
        Value::Dynamic(json) => dynamic::to_text(json),
    }
}

/// Parses `text` as type `ty`, or null.
pub fn parse(text: &str, ty: Type) -> Value {
    match ty {
        Type::String => Some(Value::String(text.to_owned())),
        Type::Bool => parse_bool(text).map(Value::Bool),
        Type::Int => parse_long(text).and_then(|n| i32::try_from(n).ok()).map(Value::Int),
        Type::Long => parse_long(text).map(Value::Long),
        Type::Real => parse_real(text).map(Value::Real),
        Type::Decimal => decimal::parse(text).map(Value::Decimal),
        Type::Datetime => parse_datetime(text).map(|t| Value::Datetime(t.ticks())),
        Type::Timespan => parse_timespan(text).map(Value::Timespan),
        Type::Guid => parse_guid(text).map(Value::Guid),
        Type::Dynamic => dynamic::parse(text).map(Value::Dynamic),
    }
    .unwrap_or(Value::Null(ty))
}

/// `true` or `false` in any case, or an integer, where only zero is false; no surrounding space.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => text.parse::<i64>().ok().map(|number| number != 0),
    }
}

/// Digits with optional sign, or hexadecimal after `0x`; surrounding space is ignored.
pub fn parse_long(text: &str) -> Option<i64> {
    let text = text.trim();
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        // Sixteen hexadecimal digits are two's complement, as in Kusto's literals.
        Some(hex) if !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit()) => {
            let n = u64::from_str_radix(hex, 16).ok()? as i64;
            Some(if negative { n.wrapping_neg() } else { n })
        }
        Some(_) => None,
        None => text.parse().ok(),
    }
}

/// A decimal number, `nan`, `inf`, `infinity`; only the spellings that Kusto accepts.
pub fn parse_real(text: &str) -> Option<f64> {
    let text = text.trim();
    match text {
        "NaN" | "nan" => Some(f64::NAN),
        "inf" | "+inf" | "Infinity" | "+Infinity" => Some(f64::INFINITY),
        "-inf" | "-Infinity" => Some(f64::NEG_INFINITY),
        _ if text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E')) => text.parse().ok(),
        _ => None,
    }
}

/// 32 hexadecimal digits with or without dashes (at any position), braces or parentheses; normalised to lower case.
pub fn parse_guid(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text.strip_prefix('(').and_then(|t| t.strip_suffix(')')).unwrap_or(text);
    let guid = uuid::Uuid::try_parse(text).or_else(|_| uuid::Uuid::try_parse(&text.replace('-', "")));
    guid.ok().map(|guid| guid.hyphenated().to_string())
}

/// Ticks of `1.02:03:04.5`, `1d`, `90s`; a bare number is days.
pub fn parse_timespan(text: &str) -> Option<i64> {
    let text = text.trim();
    let span = Span::parse_clock(text).or_else(|| {
        let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        Span::parse_literal(rest).map(|span| if negative { Span(-span.0) } else { span })
    });
    if let Some(span) = span {
        return Some(span.0);
    }
    let days = text.parse::<i64>().ok()?;
    days.checked_mul(TICKS_PER_DAY)
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Parses ISO 8601 and the other documented formats: RFC 822 (`Sat, 8 Nov 2014 15:05:02 GMT`), RFC 850 (`Saturday, 08-Nov-14 15:05:02`),
/// `11/8/2014 3:05:02 PM`, `2014/11/08`, `Nov 8, 2014`, and a year or month alone (`2014`, `2014-11`).
pub fn parse_datetime(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if text.is_empty() || text.len() > 64 {
        return None;
    }
    Timestamp::parse_iso(text).or_else(|| parse_loose(text))
}

/// One word of a textual date.
enum Word<'a> {
    Number(i64, usize),
    Name(&'a str),
    Clock(i64),
    Zone(i64),
    Pm(bool),
}

fn parse_loose(text: &str) -> Option<Timestamp> {
    let (mut numbers, mut month, mut time, mut zone, mut pm) = (Vec::new(), None, None, 0, None);
    let mut month_first = false;
    for word in words(text)? {
        match word {
            Word::Number(n, digits) => numbers.push((n, digits)),
            Word::Name(name) => {
                let short = name.get(..3)?.to_ascii_lowercase();
                if let Some(at) = MONTHS.iter().position(|m| *m == short) {
                    if month.replace(at as i64 + 1).is_some() {
                        return None;
                    }
                    month_first = numbers.is_empty();
                } else if !DAYS.contains(&short.as_str()) {
                    return None;
                }
            }
            Word::Clock(ticks) => {
                if time.replace(ticks).is_some() {
                    return None;
                }
            }
            Word::Zone(ticks) => zone = ticks,
            Word::Pm(after) => pm = Some(after),
        }
    }
    let (year, month, day) = match (month, numbers.as_slice()) {
        (Some(m), [(d, _), (y, digits)]) if *digits >= 2 || month_first => (full_year(*y, *digits), m, *d),
        (Some(m), [(y, 4)]) => (*y, m, 1),
        (None, [(y, 4)]) if *y >= 1 => (*y, 1, 1),
        (None, [(y, 4), (m, _)]) => (*y, *m, 1),
        (None, [(y, 4), (m, _), (d, _)]) => (*y, *m, *d),
        (None, [(m, _), (d, _), (y, digits)]) if matches!(digits, 2 | 4) => (full_year(*y, *digits), *m, *d),
        _ => return None,
    };
    let mut time = time.unwrap_or(0);
    if let Some(after) = pm {
        let hour = time / TICKS_PER_HOUR;
        if !(1..=12).contains(&hour) {
            return None;
        }
        time += match (after, hour) {
            (true, 12) => 0,
            (true, _) => 12 * TICKS_PER_HOUR,
            (false, 12) => -12 * TICKS_PER_HOUR,
            (false, _) => 0,
        };
    }
    let local = Timestamp::from_civil(Civil {
        year: i32::try_from(year).ok()?,
        month: u32::try_from(month).ok()?,
        day: u32::try_from(day).ok()?,
        time,
    })?;
    Timestamp::from_ticks(local.ticks() - zone)
}

/// Two-digit years are 1950 to 2049, as in .NET.
fn full_year(year: i64, digits: usize) -> i64 {
    match digits {
        1 | 2 if year < 50 => 2000 + year,
        1 | 2 => 1900 + year,
        _ => year,
    }
}

fn words(text: &str) -> Option<Vec<Word<'_>>> {
    let mut found = Vec::new();
    for word in text.split([' ', ',', '/']).filter(|word| !word.is_empty()) {
        // `08-Nov-14` and `2014-11`, but not a time zone offset.
        let dashed = word.contains('-') && !word.starts_with('-') && !word.contains(':');
        // `1:45PM`
        let (word, half) = match word.len().checked_sub(2).and_then(|at| word.split_at_checked(at)) {
            Some((clock, half)) if clock.contains(':') && ["AM", "PM"].iter().any(|known| known.eq_ignore_ascii_case(half)) => {
                (clock, Some(half))
            }
            _ => (word, None),
        };
        found.extend(half.map(|half| Word::Pm(half.eq_ignore_ascii_case("PM"))));
        for part in if dashed { word.split('-').collect::<Vec<_>>() } else { vec![word] } {
            found.push(one_word(part)?);
        }
        if found.len() > 12 {
            return None;
        }
    }
    Some(found)
}

fn one_word(word: &str) -> Option<Word<'_>> {
    let bytes = word.as_bytes();
    if bytes.is_empty() {
        return None;
    }
    if bytes.iter().all(u8::is_ascii_digit) {
        return (bytes.len() <= 4).then(|| Word::Number(word.parse().unwrap_or(0), bytes.len()));
    }
    if word.contains(':') && bytes[0].is_ascii_digit() {
        return clock(word);
    }
    match word.to_ascii_uppercase().as_str() {
        "AM" => return Some(Word::Pm(false)),
        "PM" => return Some(Word::Pm(true)),
        "Z" | "GMT" | "UTC" | "UT" => return Some(Word::Zone(0)),
        _ => {}
    }
    if let [sign @ (b'+' | b'-'), digits @ ..] = bytes {
        let digits: Vec<i64> =
            digits.iter().filter(|b| **b != b':').map(|b| b.is_ascii_digit().then(|| i64::from(b - b'0'))).collect::<Option<_>>()?;
        let [a, b, c, d] = digits[..] else { return None };
        let minutes = (a * 10 + b) * 60 + c * 10 + d;
        return Some(Word::Zone(minutes * TICKS_PER_MINUTE * if *sign == b'-' { -1 } else { 1 }));
    }
    bytes.iter().all(u8::is_ascii_alphabetic).then_some(Word::Name(word))
}

/// `8:05`, `15:05:02.123`, with a trailing `Z`.
fn clock(word: &str) -> Option<Word<'_>> {
    let word = word.strip_suffix(['Z', 'z']).unwrap_or(word);
    let mut parts = word.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next().unwrap_or("0"));
    if parts.next().is_some() {
        return None;
    }
    let whole = |part: &str, most: i64| -> Option<i64> {
        let n = (!part.is_empty() && part.len() <= 2 && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse::<i64>().ok())??;
        (n <= most).then_some(n)
    };
    let (second, fraction) = second.split_once('.').unwrap_or((second, ""));
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let fraction = format!("{:0<7}", &fraction[..fraction.len().min(7)]).parse::<i64>().ok()?;
    Some(Word::Clock(
        whole(hour, 23)? * TICKS_PER_HOUR + whole(minute, 59)? * TICKS_PER_MINUTE + whole(second, 59)? * TICKS_PER_SECOND + fraction,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The formats of the public reference, page `datetime` ("supported formats").
    #[test]
    fn documented_datetime_forms_parse() {
        let expected = Timestamp::parse_iso("2014-11-08T15:05:02Z");
        for text in [
            "2014-11-08T15:05:02Z",
            "2014-11-08 15:05:02",
            "Sat, 8 Nov 14 15:05:02",
            "Sat, 8 Nov 2014 15:05:02 GMT",
            "Saturday, 08-Nov-14 15:05:02 UTC",
            "8 Nov 14 15:05:02",
            "11/8/2014 3:05:02 PM",
            "Nov 8 2014 3:05:02PM",
            "Nov 8, 2014 15:05:02",
            "2014/11/08 15:05:02Z",
        ] {
            assert_eq!(parse_datetime(text), expected, "{text}");
        }
        assert_eq!(parse_datetime("2014-11"), Timestamp::parse_iso("2014-11-01"));
        assert_eq!(parse_datetime("2014"), Timestamp::parse_iso("2014-01-01"));
        for bad in ["not a date", "", "2020-13-01", "2020-02-30", "abc-de-fg", "1", "12345", "-", "a:b"] {
            assert_eq!(parse_datetime(bad), None, "{bad}");
        }
    }

    #[test]
    fn numbers_parse_like_the_engine() {
        // Results recorded from Microsoft's engine.
        assert_eq!(parse_long("\t456\t"), Some(456));
        assert_eq!(parse_long("+0"), Some(0));
        assert_eq!(parse_long("1e19"), None);
        assert_eq!(parse_long("42.0"), None);
        assert_eq!(parse_real("INF"), None);
        assert_eq!(parse_real("0x10"), None);
        assert_eq!(parse_real("5."), Some(5.0));
        assert_eq!(parse_real(".5"), Some(0.5));
        assert_eq!(parse_real("1,234"), None);
        assert_eq!(parse_bool(" true"), None);
        assert_eq!(parse_bool("tRuE"), Some(true));
        for (text, expected) in [("-1", Some(true)), ("+1", Some(true)), ("2", Some(true)), ("0", Some(false)), ("1.5", None), ("y", None)]
        {
            assert_eq!(parse_bool(text), expected, "{text}");
        }
        assert_eq!(parse_bool("99999999999999999999"), None);
    }
}
