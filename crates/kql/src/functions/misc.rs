//! `estimate_data_size`, `format_bytes`, `around`, `geo_info_from_ip_address`, `parse_user_agent`.
//! Source of truth: the public KQL reference, one page each.

use model::Type;

use super::signatures::{all, as_is, count, some, wants};
use super::{Family, PrepareError, Resolved, ScalarFn, Signature, kernel};
use crate::Value;

pub static FAMILY: Family = &[&ESTIMATE_DATA_SIZE, &FORMAT_BYTES, &AROUND, &GEO_INFO, &PARSE_USER_AGENT];

static ESTIMATE_DATA_SIZE: ScalarFn = ScalarFn {
    name: "estimate_data_size",
    summary: "About how many bytes the values take",
    signature: Signature::Custom(|args| {
        count(args, 1, None)?;
        as_is(args, Type::Long)
    }),
    examples: &[(r#"estimate_data_size(1, "1234567890")"#, "18")],
    prepare: |prepare| {
        let types = prepare.types.to_vec();
        Ok(kernel(move |args| {
            args.map_longs(|row| {
                let size = |(index, ty): (usize, &Type)| match ty {
                    Type::Bool => 1,
                    Type::Int => 4,
                    Type::Long | Type::Real | Type::Datetime | Type::Timespan => 8,
                    Type::Guid => 16,
                    Type::Decimal => 16,
                    Type::String | Type::Dynamic => args.texts(index).get(row).len() as i64,
                };
                Some(types.iter().enumerate().map(size).sum())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static FORMAT_BYTES: ScalarFn = ScalarFn {
    name: "format_bytes",
    summary: "A number of bytes with its unit, to a precision, in a unit of your own if you name one",
    signature: some(&[("size", Type::Real), ("precision", Type::Long), ("units", Type::String)], 1, Type::String),
    examples: &[
        ("format_bytes(564)", "564 Bytes"),
        ("format_bytes(10332, 1)", "10.1 KB"),
        ("format_bytes(20010332)", "19 MB"),
        (r#"format_bytes(20010332, 0, "KB")"#, "19541 KB"),
    ],
    prepare: |_| {
        const UNITS: [&str; 7] = ["Bytes", "KB", "MB", "GB", "TB", "PB", "EB"];
        Ok(kernel(|args| {
            args.map_texts(|row, out| {
                let Some(size) = args.reals(0).get(row) else { return };
                let precision = if args.len() > 1 { args.longs(1).get(row).unwrap_or(0).clamp(0, 17) as usize } else { 0 };
                let named =
                    if args.len() > 2 { UNITS.iter().position(|unit| unit.eq_ignore_ascii_case(args.texts(2).get(row))) } else { None };
                let power = named.unwrap_or_else(|| {
                    let fits = |power: &usize| size.abs() < 1024f64.powi(*power as i32 + 1);
                    (0..UNITS.len()).find(fits).unwrap_or(UNITS.len() - 1)
                });
                let scaled = size / 1024f64.powi(power as i32);
                let digits = 10f64.powi(precision as i32);
                out.push_str(&format!("{} {}", (scaled * digits).round() / digits, UNITS[power]));
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static AROUND: ScalarFn = ScalarFn {
    name: "around",
    summary: "True where a value is within a distance of a centre",
    signature: Signature::Custom(|args| {
        count(args, 3, Some(3))?;
        let (ty, delta) = match args[0].ty {
            Type::Datetime => (Type::Datetime, Type::Timespan),
            Type::Timespan => (Type::Timespan, Type::Timespan),
            Type::Int | Type::Long if args[1..].iter().all(|arg| matches!(arg.ty, Type::Int | Type::Long)) => (Type::Long, Type::Long),
            ty if ty.is_numeric() => (Type::Real, Type::Real),
            _ => return Err(wants(0, "number, datetime or timespan")),
        };
        Ok(Resolved { args: vec![ty, ty, delta], returns: Type::Bool })
    }),
    examples: &[("around(5, 4, 1)", "True"), ("around(datetime(2022-01-01), datetime(2022-01-02), 1h)", "False")],
    prepare: |prepare| {
        let ty = prepare.types[0];
        Ok(kernel(move |args| {
            let at = |index: usize, row: usize| {
                let column = &args.arrays[index];
                Value::from_cell(column.inner(), if column.is_scalar() { 0 } else { row }, ty)
            };
            args.map_bools(|row| {
                if ty == Type::Real {
                    let (value, centre, delta) = (at(0, row).as_f64()?, at(1, row).as_f64()?, args.reals(2).get(row)?);
                    return Some((centre - delta..=centre + delta).contains(&value));
                }
                let (value, centre, delta) = (at(0, row).as_i64()?, at(1, row).as_i64()?, args.longs(2).get(row)?);
                Some((centre.saturating_sub(delta)..=centre.saturating_add(delta)).contains(&value))
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static GEO_INFO: ScalarFn = ScalarFn {
    name: "geo_info_from_ip_address",
    summary: "Where an address is; refused when run, because no database of places comes with this server",
    signature: all(&[("ip", Type::String)], Type::Dynamic),
    prepare: |_| Err(PrepareError::Lacking("there is no database here of where addresses are")),
    ..ScalarFn::DEFAULT
};

static PARSE_USER_AGENT: ScalarFn = ScalarFn {
    name: "parse_user_agent",
    summary: "The browser, system and device that a user agent names; refused when run, because no list of them comes with this server",
    signature: Signature::Custom(|args| {
        count(args, 1, Some(2))?;
        match args {
            [text, ..] if text.ty != Type::String && text.ty != Type::Dynamic => Err(wants(0, "string")),
            [_, wanted] if !matches!(wanted.ty, Type::String | Type::Dynamic) => Err(wants(1, "string or dynamic")),
            _ => as_is(args, Type::Dynamic),
        }
    }),
    prepare: |_| Err(PrepareError::Lacking("there is no list here of the browsers, systems and devices that user agents name")),
    ..ScalarFn::DEFAULT
};
