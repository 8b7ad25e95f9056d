//! `format_datetime`, `format_timespan`, `make_datetime`, `make_timespan`, `unixtime_*_todatetime`.
//!
//! Source of truth: the public KQL reference, one page each, and recorded results: a run of one letter is split into the longest valid
//! specifiers (`dddd` is `dd` twice), and a pattern with any other letter is rejected.

use model::{Civil, TICKS_PER_DAY, TICKS_PER_HOUR, TICKS_PER_MINUTE, TICKS_PER_SECOND, Timestamp, Type, UNIX_EPOCH_TICKS};

use super::signatures::{all, count};
use super::{Arg, Family, Kernel, Prepare, PrepareError, Resolved, ScalarFn, Signature, SignatureError, kernel};
use crate::Value;

pub static FAMILY: Family = &[
    &FORMAT_DATETIME,
    &FORMAT_TIMESPAN,
    &MAKE_DATETIME,
    &MAKE_TIMESPAN,
    &UNIX_SECONDS,
    &UNIX_MILLISECONDS,
    &UNIX_MICROSECONDS,
    &UNIX_NANOSECONDS,
];

static FORMAT_DATETIME: ScalarFn = ScalarFn {
    name: "format_datetime",
    summary: "A date in a format of your own: `yyyy-MM-dd HH:mm:ss.fff`, `h:mm tt`",
    signature: all(&[("datetime", Type::Datetime), ("format", Type::String)], Type::String),
    examples: &[
        (r#"format_datetime(datetime(2017-01-29 09:00:05), "yy-MM-dd [HH:mm:ss]")"#, "17-01-29 [09:00:05]"),
        (r#"format_datetime(datetime(2017-12-14 02:03:04.12345), "y-M-d h:m:s.fffffff tt")"#, "17-12-14 2:3:4.1234500 AM"),
        (r#"format_datetime(datetime(2020-01-05), "dddd")"#, "0505"),
    ],
    prepare: |prepare| {
        formatter(prepare, &["yyyy", "yy", "y", "MM", "M", "dd", "d", "HH", "H", "hh", "h", "mm", "m", "ss", "s", "tt"], put_date)
    },
    ..ScalarFn::DEFAULT
};

static FORMAT_TIMESPAN: ScalarFn = ScalarFn {
    name: "format_timespan",
    summary: "A length of time in a format of your own: `d.hh:mm:ss.fff`",
    signature: all(&[("timespan", Type::Timespan), ("format", Type::String)], Type::String),
    examples: &[
        (r#"format_timespan(time(29.09:00:05.12345), "dd.hh:mm:ss [FF]")"#, "29.09:00:05 [12]"),
        (r#"format_timespan(-2h - 30m, "hh:mm")"#, "-02:30"),
        (r#"format_timespan(1d, "dddd")"#, "0001"),
    ],
    prepare: |prepare| {
        formatter(
            prepare,
            &["dddddddd", "ddddddd", "dddddd", "ddddd", "dddd", "ddd", "dd", "d", "HH", "H", "hh", "h", "mm", "m", "ss", "s"],
            put_span,
        )
    },
    ..ScalarFn::DEFAULT
};

/// A piece of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(char),
    /// A specifier: its letter and repeat count.
    Field(char, usize),
}

fn read(format: &str, specifiers: &[&str]) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = format;
    while let Some(c) = rest.chars().next() {
        if matches!(c, ' ' | '/' | '-' | ':' | ',' | '.' | '_' | '[' | ']') {
            pieces.push(Piece::Text(c));
            rest = &rest[1..];
        } else if matches!(c, 'f' | 'F') {
            let run = rest.bytes().take_while(|b| *b == c as u8).take(7).count();
            pieces.push(Piece::Field(c, run));
            rest = &rest[run..];
        } else {
            let specifier = specifiers.iter().find(|specifier| rest.starts_with(**specifier))?;
            pieces.push(Piece::Field(c, specifier.len()));
            rest = &rest[specifier.len()..];
        }
    }
    Some(pieces)
}

fn formatter(
    prepare: &Prepare,
    specifiers: &'static [&'static str],
    put: fn(i64, &[Piece], &mut String),
) -> Result<Box<dyn Kernel>, PrepareError> {
    let fixed = match prepare.constants[1].as_ref().and_then(Value::as_str) {
        Some(format) => match read(format, specifiers) {
            Some(pieces) => Some(pieces),
            None => {
                return Err(PrepareError::Constant(format!(
                    "`{format}` is no format; it is made of {} and delimiters",
                    specifiers.join(", ")
                )));
            }
        },
        None => None,
    };
    Ok(kernel(move |args| {
        let (ticks, format) = (args.longs(0), args.texts(1));
        args.map_texts(|row, out| {
            let Some(ticks) = ticks.get(row) else { return };
            match &fixed {
                Some(pieces) => put(ticks, pieces, out),
                None => put(ticks, &read(format.get(row), specifiers).unwrap_or_default(), out),
            }
        })
    }))
}

/// Writes the digits of a fraction of a second; capital letters omit trailing zeros.
fn put_fraction(letter: char, digits: usize, ticks: i64, out: &mut String) {
    let text = format!("{:07}", ticks % TICKS_PER_SECOND);
    let text = &text[..digits.min(7)];
    // Recorded: a fraction of only zeros is omitted, any other is written in full.
    if letter == 'f' || text.bytes().any(|b| b != b'0') {
        out.push_str(if letter == 'F' { text.trim_end_matches('0') } else { text });
    }
}

fn put_date(ticks: i64, pieces: &[Piece], out: &mut String) {
    use std::fmt::Write;
    let Civil { year, month, day, time } = Timestamp::clamp_ticks(ticks).civil();
    let hour = time / TICKS_PER_HOUR;
    for piece in pieces {
        let (letter, width) = match piece {
            Piece::Text(c) => {
                out.push(*c);
                continue;
            }
            Piece::Field(letter @ ('f' | 'F'), digits) => {
                put_fraction(*letter, *digits, time, out);
                continue;
            }
            Piece::Field(letter, width) => (*letter, *width),
        };
        let number = match letter {
            'y' if width == 4 => i64::from(year),
            'y' => i64::from(year % 100),
            'M' => month.into(),
            'd' => day.into(),
            'H' => hour,
            'h' => (hour + 11) % 12 + 1,
            'm' => time / TICKS_PER_MINUTE % 60,
            's' => time / TICKS_PER_SECOND % 60,
            _ => {
                out.push_str(if hour < 12 { "AM" } else { "PM" });
                continue;
            }
        };
        let _ = write!(out, "{number:0width$}");
    }
}

fn put_span(ticks: i64, pieces: &[Piece], out: &mut String) {
    use std::fmt::Write;
    if ticks < 0 {
        out.push('-');
    }
    let ticks = ticks.checked_abs().unwrap_or(i64::MAX);
    for piece in pieces {
        let (number, width) = match piece {
            Piece::Text(c) => {
                out.push(*c);
                continue;
            }
            Piece::Field(letter @ ('f' | 'F'), digits) => {
                put_fraction(*letter, *digits, ticks, out);
                continue;
            }
            Piece::Field('d', width) => (ticks / TICKS_PER_DAY, *width),
            Piece::Field('H' | 'h', width) => (ticks / TICKS_PER_HOUR % 24, *width),
            Piece::Field('m', width) => (ticks / TICKS_PER_MINUTE % 60, *width),
            Piece::Field(_, width) => (ticks / TICKS_PER_SECOND % 60, *width),
        };
        let _ = write!(out, "{number:0width$}");
    }
}

static MAKE_DATETIME: ScalarFn = ScalarFn {
    name: "make_datetime",
    summary: "A date from its year, month, day, hour, minute and second; or from text or ticks",
    parameters: &["date", "format"],
    signature: Signature::Custom(|args| make(args, 6, Type::Datetime)),
    examples: &[("make_datetime(2017, 10, 1, 12, 10, 5.5)", "2017-10-01T12:10:05.5000000Z"), ("make_datetime(2017, 13, 1)", "")],
    prepare: |prepare| {
        if prepare.types.len() == 1 {
            return convert(prepare);
        }
        Ok(kernel(|args| {
            args.map_longs(|row| {
                let part = |index: usize, default: i64| if args.len() > index { args.longs(index).get(row) } else { Some(default) };
                let (year, month, day, hour, minute) = (part(0, 1)?, part(1, 1)?, part(2, 1)?, part(3, 0)?, part(4, 0)?);
                let second = if args.len() > 5 { args.reals(5).get(row)? } else { 0.0 };
                if !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0.0..60.0).contains(&second) {
                    return None;
                }
                let time = hour * TICKS_PER_HOUR + minute * TICKS_PER_MINUTE + (second * TICKS_PER_SECOND as f64).round() as i64;
                let civil =
                    Civil { year: i32::try_from(year).ok()?, month: u32::try_from(month).ok()?, day: u32::try_from(day).ok()?, time };
                Timestamp::from_civil(civil).map(Timestamp::ticks)
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static MAKE_TIMESPAN: ScalarFn = ScalarFn {
    name: "make_timespan",
    summary: "A length of time from hours and minutes; hours, minutes and seconds; or days, hours, minutes and seconds",
    parameters: &["day", "hour", "minute", "second"],
    signature: Signature::Custom(|args| make(args, 4, Type::Timespan)),
    examples: &[
        ("make_timespan(1, 12, 30, 55.123)", "1.12:30:55.1230000"),
        ("make_timespan(2, 30)", "02:30:00"),
        ("make_timespan(25, 70)", ""),
    ],
    prepare: |prepare| {
        if prepare.types.len() == 1 {
            return convert(prepare);
        }
        Ok(kernel(|args| {
            args.map_longs(|row| {
                let days = if args.len() == 4 { args.longs(0).get(row)? } else { 0 };
                let first = usize::from(args.len() == 4);
                let (hour, minute) = (args.longs(first).get(row)?, args.longs(first + 1).get(row)?);
                let second = if args.len() > 2 { args.reals(first + 2).get(row)? } else { 0.0 };
                if !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0.0..60.0).contains(&second) {
                    return None;
                }
                let time = hour * TICKS_PER_HOUR + minute * TICKS_PER_MINUTE + (second * TICKS_PER_SECOND as f64).round() as i64;
                days.checked_mul(TICKS_PER_DAY)?.checked_add(time)
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

/// Integers, except that the last of all arguments (seconds) is real; a single argument is converted.
fn make(args: &[Arg], most: usize, returns: Type) -> Result<Resolved, SignatureError> {
    count(args, 1, Some(most))?;
    if args.len() == 1 {
        return Ok(Resolved { args: vec![args[0].ty], returns });
    }
    let seconds = match (returns, args.len()) {
        (Type::Datetime, 6) => 5,
        (Type::Timespan, 3) => 2,
        (Type::Timespan, 4) => 3,
        _ => usize::MAX,
    };
    Ok(Resolved { args: (0..args.len()).map(|index| if index == seconds { Type::Real } else { Type::Long }).collect(), returns })
}

fn convert(prepare: &Prepare) -> Result<Box<dyn Kernel>, PrepareError> {
    let (from, to) = (prepare.types[0], prepare.returns);
    Ok(kernel(move |args| crate::value::cast::array(&args.array(0), from, to)))
}

macro_rules! unix {
    ($name:ident, $call:literal, $per:expr, $example:expr) => {
        static $name: ScalarFn = ScalarFn {
            name: $call,
            summary: "The instant that is so long after 1970-01-01",
            signature: Signature::Custom(|args| {
                count(args, 1, Some(1))?;
                let ty = if matches!(args[0].ty, Type::Real | Type::Decimal) { Type::Real } else { Type::Long };
                Ok(Resolved { args: vec![ty], returns: Type::Datetime })
            }),
            examples: &[$example],
            prepare: |prepare| {
                // There are 10 ticks per microsecond and `PER` units per second.
                const PER: i128 = $per;
                let real = prepare.types[0] == Type::Real;
                Ok(kernel(move |args| {
                    args.map_longs(|row| {
                        let ticks = if real {
                            let ticks = args.reals(0).get(row)? * TICKS_PER_SECOND as f64 / PER as f64;
                            if ticks.is_nan() {
                                return None;
                            }
                            ticks as i128
                        } else {
                            (i128::from(args.longs(0).get(row)?) * i128::from(TICKS_PER_SECOND)).div_euclid(PER)
                        };
                        Timestamp::from_ticks(i64::try_from(ticks.checked_add(UNIX_EPOCH_TICKS.into())?).ok()?).map(Timestamp::ticks)
                    })
                }))
            },
            ..ScalarFn::DEFAULT
        };
    };
}

unix!(UNIX_SECONDS, "unixtime_seconds_todatetime", 1, ("unixtime_seconds_todatetime(1546300800)", "2019-01-01T00:00:00.0000000Z"));
unix!(
    UNIX_MILLISECONDS,
    "unixtime_milliseconds_todatetime",
    1_000,
    ("unixtime_milliseconds_todatetime(1546300800000)", "2019-01-01T00:00:00.0000000Z")
);
unix!(
    UNIX_MICROSECONDS,
    "unixtime_microseconds_todatetime",
    1_000_000,
    ("unixtime_microseconds_todatetime(1546300800000000)", "2019-01-01T00:00:00.0000000Z")
);
unix!(
    UNIX_NANOSECONDS,
    "unixtime_nanoseconds_todatetime",
    1_000_000_000,
    ("unixtime_nanoseconds_todatetime(1546300800000000000)", "2019-01-01T00:00:00.0000000Z")
);
