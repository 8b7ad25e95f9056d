//! `datetime_utc_to_local`, `datetime_local_to_utc`, `datetime_list_timezones`: conversion between UTC and local time with the IANA
//! database. Source of truth: the public KQL reference, one page each. A local time skipped by a clock change is interpreted with the
//! offset after the change, as in its example; for an ambiguous one the earlier instant is used.

use chrono::{DateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};
use model::{TICKS_PER_SECOND, Timestamp, Type, UNIX_EPOCH_TICKS};

use super::arrays::push_array;
use super::signatures::all;
use super::{Family, Kernel, Prepare, PrepareError, ScalarFn, kernel};
use crate::Value;

pub static FAMILY: Family = &[&UTC_TO_LOCAL, &LOCAL_TO_UTC, &LIST_TIMEZONES];

static UTC_TO_LOCAL: ScalarFn = ScalarFn {
    name: "datetime_utc_to_local",
    summary: "The local time of an instant in a time zone",
    signature: all(&[("from", Type::Datetime), ("timezone", Type::String)], Type::Datetime),
    examples: &[(r#"datetime_utc_to_local(datetime(2020-07-01 12:00), "Europe/Paris")"#, "2020-07-01T14:00:00.0000000Z")],
    prepare: |prepare| {
        shift(prepare, |zone, ticks| {
            let utc = DateTime::from_timestamp((ticks - UNIX_EPOCH_TICKS).div_euclid(TICKS_PER_SECOND), 0)?.naive_utc();
            Some(i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()))
        })
    },
    ..ScalarFn::DEFAULT
};

static LOCAL_TO_UTC: ScalarFn = ScalarFn {
    name: "datetime_local_to_utc",
    summary: "The instant of a local time in a time zone",
    signature: all(&[("from", Type::Datetime), ("timezone", Type::String)], Type::Datetime),
    examples: &[
        (r#"datetime_local_to_utc(datetime(2020-02-02 20:02:20), "US/Pacific")"#, "2020-02-03T04:02:20.0000000Z"),
        (r#"datetime_local_to_utc(datetime(2022-03-27 02:00), "Europe/Brussels")"#, "2022-03-27T00:00:00.0000000Z"),
    ],
    prepare: |prepare| {
        shift(prepare, |zone, ticks| {
            let local = DateTime::from_timestamp((ticks - UNIX_EPOCH_TICKS).div_euclid(TICKS_PER_SECOND), 0)?.naive_utc();
            let offset = zone.offset_from_local_datetime(&local).earliest().or_else(|| {
                // No clock change exceeds a day, so this is after it.
                zone.offset_from_local_datetime(&local.checked_add_signed(TimeDelta::days(1))?).earliest()
            });
            Some(-i64::from(offset?.fix().local_minus_utc()))
        })
    },
    ..ScalarFn::DEFAULT
};

/// Shifts datetimes by the seconds returned by `offset`.
fn shift(prepare: &Prepare, offset: fn(Tz, i64) -> Option<i64>) -> Result<Box<dyn Kernel>, PrepareError> {
    let fixed = match prepare.constants[1].as_ref().and_then(Value::as_str) {
        Some(name) => Some(
            name.parse::<Tz>()
                .map_err(|_| PrepareError::Constant(format!("`{name}` is no time zone; write for example `Europe/Paris`")))?,
        ),
        None => None,
    };
    Ok(kernel(move |args| {
        let (from, zone) = (args.longs(0), args.texts(1));
        args.map_longs(|row| {
            let ticks = from.get(row)?;
            let zone = fixed.or_else(|| zone.get(row).parse().ok())?;
            Timestamp::from_ticks(ticks.checked_add(offset(zone, ticks)? * TICKS_PER_SECOND)?).map(Timestamp::ticks)
        })
    }))
}

static LIST_TIMEZONES: ScalarFn = ScalarFn {
    name: "datetime_list_timezones",
    summary: "The names of all time zones",
    signature: all(&[], Type::Dynamic),
    examples: &[(r#"set_has_element(datetime_list_timezones(), "Europe/Paris")"#, "True")],
    prepare: |_| {
        Ok(kernel(|args| {
            args.map_json(|_, out| {
                let names: Vec<String> = TZ_VARIANTS.iter().map(|zone| format!("\"{}\"", zone.name())).collect();
                push_array(out, names.iter().map(String::as_str));
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};
