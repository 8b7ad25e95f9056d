//! Datetime functions: `now`, `ago`, starts and ends of days, weeks, months and years, parts, differences, sums.
//!
//! Source of truth: the public KQL reference, one page each, and recorded results. Weeks start on Sunday; week numbers follow ISO 8601.
//! Results outside years 1 to 9999 are null, except that the end of a period may be the last representable instant.

use model::{
    Civil, MAX_DATETIME_TICKS, TICKS_PER_DAY, TICKS_PER_HOUR, TICKS_PER_MICROSECOND, TICKS_PER_MILLISECOND, TICKS_PER_MINUTE,
    TICKS_PER_SECOND, Timestamp, Type, civil_from_days, days_from_civil, days_in_month,
};

use super::signatures::{all, count, some, wants};
use super::{Arg, Family, Kernel, Prepare, PrepareError, Resolved, ScalarFn, Signature, SignatureError, kernel};
use crate::Value;

pub static FAMILY: Family = &[
    &NOW,
    &AGO,
    &START_OF_DAY,
    &START_OF_WEEK,
    &START_OF_MONTH,
    &START_OF_YEAR,
    &END_OF_DAY,
    &END_OF_WEEK,
    &END_OF_MONTH,
    &END_OF_YEAR,
    &DAY_OF_WEEK,
    &DAY_OF_MONTH,
    &DAY_OF_YEAR,
    &HOUR_OF_DAY,
    &MONTH_OF_YEAR,
    &GET_YEAR,
    &WEEK_OF_YEAR,
    &DATETIME_PART,
    &DATETIME_ADD,
    &DATETIME_DIFF,
];

static NOW: ScalarFn = ScalarFn {
    name: "now",
    summary: "The instant at which the query began, moved by an offset",
    signature: some(&[("offset", Type::Timespan)], 0, Type::Datetime),
    examples: &[("now() == now(0s)", "True"), ("now(-1d) == now() - 1d", "True")],
    prepare: |prepare| moment(prepare.now, false),
    reads_clock: true,
    ..ScalarFn::DEFAULT
};

static AGO: ScalarFn = ScalarFn {
    name: "ago",
    summary: "The instant at which the query began, less a length of time",
    signature: all(&[("timespan", Type::Timespan)], Type::Datetime),
    examples: &[("ago(1h) == now() - 1h", "True")],
    prepare: |prepare| moment(prepare.now, true),
    reads_clock: true,
    ..ScalarFn::DEFAULT
};

fn moment(now: Timestamp, back: bool) -> Result<Box<dyn Kernel>, PrepareError> {
    Ok(kernel(move |args| {
        args.map_longs(|row| {
            let offset = if args.is_empty() { 0 } else { args.longs(0).get(row)? };
            let ticks = if back { now.ticks().checked_sub(offset) } else { now.ticks().checked_add(offset) };
            valid(ticks?)
        })
    }))
}

fn valid(ticks: i64) -> Option<i64> {
    Timestamp::from_ticks(ticks).map(Timestamp::ticks)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Period {
    Day,
    Week,
    Month,
    Year,
}

/// First tick of the period `offset` periods after the one that contains `ticks`.
fn start(period: Period, ticks: i64, offset: i64) -> Option<i64> {
    let days = ticks.div_euclid(TICKS_PER_DAY);
    let day = match period {
        Period::Day => days.checked_add(offset)?,
        // 0001-01-01 was a Monday.
        Period::Week => (days - (days + 1).rem_euclid(7)).checked_add(offset.checked_mul(7)?)?,
        Period::Month => {
            let (year, month, _) = civil_from_days(days);
            let months = (year * 12 + i64::from(month) - 1).checked_add(offset)?;
            days_from_civil(bounded(months.div_euclid(12))?, months.rem_euclid(12) as u32 + 1, 1)
        }
        Period::Year => days_from_civil(bounded(civil_from_days(days).0.checked_add(offset)?)?, 1, 1),
    };
    day.checked_mul(TICKS_PER_DAY)
}

/// Checks the range of years for computations, which includes 10000 for the end of the last year.
fn bounded(year: i64) -> Option<i64> {
    (0..=10_000).contains(&year).then_some(year)
}

macro_rules! period {
    ($start:ident $end:ident $period:ident $start_name:literal $end_name:literal $what:literal $start_example:expr, $end_example:expr) => {
        static $start: ScalarFn = ScalarFn {
            name: $start_name,
            summary: concat!("The first instant of the ", $what, ", moved by a number of them"),
            signature: some(&[("date", Type::Datetime), ("offset", Type::Long)], 1, Type::Datetime),
            examples: &[$start_example],
            prepare: |_| {
                Ok(kernel(|args| {
                    let date = args.longs(0);
                    args.map_longs(|row| {
                        let offset = if args.len() > 1 { args.longs(1).get(row)? } else { 0 };
                        valid(start(Period::$period, date.get(row)?, offset)?)
                    })
                }))
            },
            ..ScalarFn::DEFAULT
        };
        static $end: ScalarFn = ScalarFn {
            name: $end_name,
            summary: concat!("The last instant of the ", $what, ", moved by a number of them"),
            signature: some(&[("date", Type::Datetime), ("offset", Type::Long)], 1, Type::Datetime),
            examples: &[$end_example],
            prepare: |_| {
                Ok(kernel(|args| {
                    let date = args.longs(0);
                    args.map_longs(|row| {
                        let offset = if args.len() > 1 { args.longs(1).get(row)? } else { 0 };
                        valid(start(Period::$period, date.get(row)?, offset.checked_add(1)?)? - 1)
                    })
                }))
            },
            ..ScalarFn::DEFAULT
        };
    };
}

period!(START_OF_DAY END_OF_DAY Day "startofday" "endofday" "day" ("startofday(datetime(2017-01-01 10:10:17), -1)", "2016-12-31T00:00:00.0000000Z"), ("endofday(datetime(2017-01-01 10:10:17))", "2017-01-01T23:59:59.9999999Z"));
period!(START_OF_WEEK END_OF_WEEK Week "startofweek" "endofweek" "week, which begins on Sunday" ("startofweek(datetime(2020-01-01))", "2019-12-29T00:00:00.0000000Z"), ("endofweek(datetime(2020-06-15 13:45:00), 2)", "2020-07-04T23:59:59.9999999Z"));
period!(START_OF_MONTH END_OF_MONTH Month "startofmonth" "endofmonth" "month" ("startofmonth(datetime(2017-01-01 10:10:17), -1)", "2016-12-01T00:00:00.0000000Z"), ("endofmonth(datetime(2020-01-31), 13)", "2021-02-28T23:59:59.9999999Z"));
period!(START_OF_YEAR END_OF_YEAR Year "startofyear" "endofyear" "year" ("startofyear(datetime(2020-06-15))", "2020-01-01T00:00:00.0000000Z"), ("endofyear(datetime(9999-06-15))", "9999-12-31T23:59:59.9999999Z"));

static DAY_OF_WEEK: ScalarFn = ScalarFn {
    name: "dayofweek",
    summary: "Days since the last Sunday, as a timespan",
    signature: all(&[("date", Type::Datetime)], Type::Timespan),
    examples: &[("dayofweek(datetime(1947-11-30 10:00:05))", "00:00:00"), ("dayofweek(datetime(1970-05-11))", "1.00:00:00")],
    prepare: |_| {
        Ok(kernel(|args| {
            let date = args.longs(0);
            args.map_longs(|row| {
                let ticks = date.get(row)?;
                // The week of 9999-12-31 has no end, and its days no number (recorded).
                valid(start(Period::Week, ticks, 1)? - 1)?;
                Some((ticks.div_euclid(TICKS_PER_DAY) + 1).rem_euclid(7) * TICKS_PER_DAY)
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

macro_rules! part {
    ($name:ident, $call:literal, $aliases:expr, $part:ident, $summary:literal, $example:expr) => {
        static $name: ScalarFn = ScalarFn {
            name: $call,
            aliases: $aliases,
            summary: $summary,
            signature: all(&[("date", Type::Datetime)], Type::Int),
            examples: &[$example],
            prepare: |_| {
                Ok(kernel(|args| {
                    let date = args.longs(0);
                    args.map_ints(|row| date.get(row).map(|ticks| Unit::$part.of(ticks)))
                }))
            },
            ..ScalarFn::DEFAULT
        };
    };
}

part!(DAY_OF_MONTH, "dayofmonth", &[], Day, "The day of the month", ("dayofmonth(datetime(2015-12-14))", "14"));
part!(DAY_OF_YEAR, "dayofyear", &[], DayOfYear, "The day of the year", ("dayofyear(datetime(2020-12-31))", "366"));
part!(HOUR_OF_DAY, "hourofday", &[], Hour, "The hour of the day", ("hourofday(datetime(2015-12-14 18:54))", "18"));
part!(MONTH_OF_YEAR, "monthofyear", &["getmonth"], Month, "The month of the year", ("monthofyear(datetime(2015-12-14))", "12"));
part!(GET_YEAR, "getyear", &[], Year, "The year", ("getyear(datetime(2015-10-12))", "2015"));
part!(
    WEEK_OF_YEAR,
    "week_of_year",
    &["weekofyear"],
    Week,
    "The week of the year after ISO 8601",
    ("week_of_year(datetime(2016-01-01))", "53")
);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Year,
    Quarter,
    Month,
    Week,
    Day,
    DayOfYear,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
}

impl Unit {
    /// Parses a unit of `datetime_add` and `datetime_diff`.
    fn parse(name: &str) -> Option<Unit> {
        Some(match name.to_ascii_lowercase().as_str() {
            "year" => Unit::Year,
            "quarter" => Unit::Quarter,
            "month" => Unit::Month,
            "week" => Unit::Week,
            "day" => Unit::Day,
            "hour" => Unit::Hour,
            "minute" => Unit::Minute,
            "second" => Unit::Second,
            "millisecond" => Unit::Millisecond,
            "microsecond" => Unit::Microsecond,
            "nanosecond" => Unit::Nanosecond,
            _ => return None,
        })
    }

    /// Parses a date part: the units of [`Unit::parse`], plus week and day of the year.
    fn parse_part(name: &str) -> Option<Unit> {
        match name.to_ascii_lowercase().as_str() {
            "week_of_year" => Some(Unit::Week),
            "dayofyear" => Some(Unit::DayOfYear),
            _ => Unit::parse(name).filter(|unit| *unit != Unit::Week),
        }
    }

    /// Length in ticks, for units of fixed length.
    fn ticks(self) -> Option<i64> {
        Some(match self {
            Unit::Week => 7 * TICKS_PER_DAY,
            Unit::Day => TICKS_PER_DAY,
            Unit::Hour => TICKS_PER_HOUR,
            Unit::Minute => TICKS_PER_MINUTE,
            Unit::Second => TICKS_PER_SECOND,
            Unit::Millisecond => TICKS_PER_MILLISECOND,
            Unit::Microsecond => TICKS_PER_MICROSECOND,
            _ => return None,
        })
    }

    /// The value of this part of a date.
    fn of(self, ticks: i64) -> i32 {
        let Civil { year, month, day, time } = Timestamp::clamp_ticks(ticks).civil();
        let days = ticks.div_euclid(TICKS_PER_DAY);
        let part = match self {
            Unit::Year => i64::from(year),
            Unit::Quarter => i64::from((month - 1) / 3 + 1),
            Unit::Month => i64::from(month),
            Unit::Week => iso_week(days),
            Unit::Day => i64::from(day),
            Unit::DayOfYear => days - days_from_civil(year.into(), 1, 1) + 1,
            Unit::Hour => time / TICKS_PER_HOUR,
            Unit::Minute => time / TICKS_PER_MINUTE % 60,
            Unit::Second => time / TICKS_PER_SECOND % 60,
            Unit::Millisecond => time / TICKS_PER_MILLISECOND % 1000,
            Unit::Microsecond => time / TICKS_PER_MICROSECOND % 1_000_000,
            Unit::Nanosecond => time % TICKS_PER_SECOND * 100,
        };
        part as i32
    }
}

/// The ISO week number: a week belongs to the year of its Thursday.
fn iso_week(days: i64) -> i64 {
    let thursday = days - days.rem_euclid(7) + 3;
    let year = civil_from_days(thursday).0;
    (thursday - days_from_civil(year, 1, 1)) / 7 + 1
}

/// The unit named by the constant argument `index`.
fn unit(prepare: &Prepare, index: usize, parse: fn(&str) -> Option<Unit>) -> Result<Option<Unit>, PrepareError> {
    match prepare.constants.get(index).and_then(Option::as_ref).and_then(Value::as_str) {
        Some(name) => match parse(name) {
            Some(unit) => Ok(Some(unit)),
            None => Err(PrepareError::Constant(format!("`{name}` is no part of a date; write for example `year`, `month`, `day`, `hour`"))),
        },
        None => Ok(None),
    }
}

static DATETIME_PART: ScalarFn = ScalarFn {
    name: "datetime_part",
    aliases: &["datepart"],
    summary: "A part of a date: year, quarter, month, week_of_year, day, dayofyear, hour, minute, second, millisecond …",
    signature: all(&[("part", Type::String), ("date", Type::Datetime)], Type::Int),
    examples: &[
        (r#"datetime_part("Quarter", datetime(2017-10-30 01:02:03.7654321))"#, "4"),
        (r#"datetime_part("microsecond", datetime(2017-10-30 01:02:03.7654321))"#, "765432"),
    ],
    prepare: |prepare| {
        let unit = unit(prepare, 0, Unit::parse_part)?;
        Ok(kernel(move |args| {
            let (name, date) = (args.texts(0), args.longs(1));
            args.map_ints(|row| Some(unit.or_else(|| Unit::parse_part(name.get(row)))?.of(date.get(row)?)))
        }))
    },
    ..ScalarFn::DEFAULT
};

static DATETIME_ADD: ScalarFn = ScalarFn {
    name: "datetime_add",
    summary: "A date moved by a number of years, quarters, months, weeks, days, hours …; a day that the month lacks becomes its last",
    signature: all(&[("period", Type::String), ("amount", Type::Long), ("datetime", Type::Datetime)], Type::Datetime),
    examples: &[
        (r#"datetime_add("month", 13, datetime(2019-01-31))"#, "2020-02-29T00:00:00.0000000Z"),
        (r#"datetime_add("week", -53, datetime(2021-03-15 12:00))"#, "2020-03-09T12:00:00.0000000Z"),
    ],
    prepare: |prepare| {
        let unit = unit(prepare, 0, Unit::parse)?;
        Ok(kernel(move |args| {
            let (name, amount, date) = (args.texts(0), args.longs(1), args.longs(2));
            args.map_longs(|row| add(unit.or_else(|| Unit::parse(name.get(row)))?, amount.get(row)?, date.get(row)?))
        }))
    },
    ..ScalarFn::DEFAULT
};

fn add(unit: Unit, amount: i64, ticks: i64) -> Option<i64> {
    let months = match unit {
        Unit::Year => amount.checked_mul(12)?,
        Unit::Quarter => amount.checked_mul(3)?,
        Unit::Month => amount,
        Unit::Nanosecond => return valid(ticks.checked_add(amount / 100)?),
        unit => return valid(ticks.checked_add(amount.checked_mul(unit.ticks()?)?)?),
    };
    let Civil { year, month, day, time } = Timestamp::from_ticks(ticks)?.civil();
    let total = (i64::from(year) * 12 + i64::from(month) - 1).checked_add(months)?;
    let (year, month) = (total.div_euclid(12), total.rem_euclid(12) as u32 + 1);
    if !(1..=9999).contains(&year) {
        return None;
    }
    let day = day.min(days_in_month(year, month));
    valid(days_from_civil(year, month, day) * TICKS_PER_DAY + time)
}

static DATETIME_DIFF: ScalarFn = ScalarFn {
    name: "datetime_diff",
    summary: "How many boundaries of years, quarters, months, weeks, days, hours … lie between two dates; negative where the first is earlier",
    parameters: &["offset"],
    signature: Signature::Custom(resolve_diff),
    examples: &[
        (r#"datetime_diff("year", datetime(2017-01-01), datetime(2000-12-31))"#, "17"),
        (r#"datetime_diff("minute", datetime(2020-01-01 00:00), datetime(2020-01-01 13:45))"#, "-825"),
        (r#"datetime_diff("second", datetime(2017-10-30 23:00:10.100), datetime(2017-10-30 23:00:00.900))"#, "10"),
    ],
    prepare: |prepare| {
        let unit = unit(prepare, 0, Unit::parse)?;
        let real = prepare.returns == Type::Real;
        Ok(kernel(move |args| {
            let (name, a, b) = (args.texts(0), args.longs(1), args.longs(2));
            let difference = |row: usize| Some(diff(unit.or_else(|| Unit::parse(name.get(row)))?, a.get(row)?, b.get(row)?));
            if real { args.map_reals(|row| difference(row).map(|n| n as f64)) } else { args.map_longs(difference) }
        }))
    },
    ..ScalarFn::DEFAULT
};

/// Weeks give a `real` (recorded), other units a `long`.
fn resolve_diff(args: &[Arg]) -> Result<Resolved, SignatureError> {
    count(args, 3, Some(3))?;
    if args[0].ty != Type::String {
        return Err(wants(0, "string"));
    }
    if let Some(index) = (1..3).find(|index| !matches!(args[*index].ty, Type::Datetime | Type::Dynamic)) {
        return Err(wants(index, "datetime"));
    }
    let weeks = args[0].constant.and_then(Value::as_str).is_some_and(|name| name.eq_ignore_ascii_case("week"));
    Ok(Resolved { args: vec![Type::String, Type::Datetime, Type::Datetime], returns: if weeks { Type::Real } else { Type::Long } })
}

fn diff(unit: Unit, a: i64, b: i64) -> i64 {
    let number = |ticks: i64| {
        let days = ticks.div_euclid(TICKS_PER_DAY);
        let (year, month, _) = civil_from_days(days);
        match unit {
            Unit::Year => year,
            Unit::Quarter => year * 4 + i64::from((month - 1) / 3),
            Unit::Month => year * 12 + i64::from(month),
            Unit::Week => (days + 1).div_euclid(7),
            unit => unit.ticks().map_or(ticks, |length| ticks.div_euclid(length)),
        }
    };
    match unit {
        Unit::Nanosecond => a.saturating_sub(b).saturating_mul(100),
        _ => number(a) - number(b),
    }
}

const _: () = assert!(MAX_DATETIME_TICKS < i64::MAX / 2);

#[cfg(test)]
mod tests {
    use super::*;

    // The ISO 8601 rule, confirmed by results recorded from Microsoft's engine.
    #[test]
    fn weeks_are_iso_weeks() {
        for (date, week) in
            [("2016-01-01", 53), ("2017-01-01", 52), ("2021-01-03", 53), ("2020-12-31", 53), ("2021-12-26", 51), ("0001-01-01", 1)]
        {
            assert_eq!(Unit::Week.of(Timestamp::parse_iso(date).unwrap().ticks()), week, "{date}");
        }
    }
}
