//! `bin` (and `floor`), `bin_at`: rounding down to a multiple of a size. Source of truth: the public KQL reference, `bin-function`,
//! `bin-at-function`; recorded: a null, zero or negative size gives null.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use model::{Timestamp, Type};

use super::cast::wider;
use super::signatures::{count, wants};
use super::{Arg, Column, Family, Kernel, Prepare, PrepareError, Resolved, ScalarFn, Signature, SignatureError, kernel};
use crate::value::decimal;

pub static FAMILY: Family = &[&BIN, &BIN_AT];

static BIN: ScalarFn = ScalarFn {
    name: "bin",
    aliases: &["floor"],
    summary: "The greatest multiple of a size that is not above the value",
    parameters: &["value", "round_to"],
    signature: Signature::Custom(|args| {
        count(args, 2, Some(2))?;
        resolve(args)
    }),
    examples: &[
        ("bin(-5, 2)", "-6"),
        ("bin(5.5, 2)", "4.0"),
        ("bin(datetime(1970-05-11 13:45:07), 1d)", "1970-05-11T00:00:00.0000000Z"),
        ("bin(datetime(1955-11-05), 7d)", "1955-10-31T00:00:00.0000000Z"),
        ("bin(time(16d), 7d)", "14.00:00:00"),
        ("bin(5, -1)", ""),
    ],
    prepare: compile,
    ..ScalarFn::DEFAULT
};

static BIN_AT: ScalarFn = ScalarFn {
    name: "bin_at",
    summary: "As `bin`, with the bins laid so that one begins at a fixed point",
    parameters: &["value", "bin_size", "fixed_point"],
    signature: Signature::Custom(|args| {
        count(args, 3, Some(3))?;
        resolve(args)
    }),
    examples: &[
        ("bin_at(6.5, 2.5, 7)", "4.5"),
        ("bin_at(time(1h), 1d, 12h)", "-12:00:00"),
        ("bin_at(datetime(2017-05-15 10:20:00), 1d, datetime(1970-01-01 12:00:00))", "2017-05-14T12:00:00.0000000Z"),
    ],
    prepare: compile,
    ..ScalarFn::DEFAULT
};

fn resolve(args: &[Arg]) -> Result<Resolved, SignatureError> {
    let (value, size) = (args[0].ty, args[1].ty);
    let types = match (value, size) {
        (Type::Datetime, Type::Timespan) => vec![Type::Datetime, Type::Timespan, Type::Datetime],
        (Type::Timespan, Type::Timespan) => vec![Type::Timespan; 3],
        (value, size) => {
            if !value.is_numeric() {
                return Err(wants(0, "number, datetime or timespan"));
            }
            let all = args.iter().skip(1).try_fold(wider(value, size).ok_or(wants(1, "number"))?, |ty, arg| wider(ty, arg.ty));
            let ty = all.ok_or(wants(2, "number"))?;
            vec![if ty == Type::Int { Type::Long } else { ty }; 3]
        }
    };
    if let Some(point) = args.get(2)
        && !point.ty.is_numeric()
        && point.ty != types[2]
    {
        return Err(wants(2, types[2].name()));
    }
    Ok(Resolved { args: types[..args.len()].to_vec(), returns: types[0] })
}

fn compile(prepare: &Prepare) -> Result<Box<dyn Kernel>, PrepareError> {
    let at = prepare.types.len() > 2;
    Ok(match prepare.returns {
        ty @ (Type::Long | Type::Timespan | Type::Datetime) => kernel(move |args| {
            let (value, size) = (args.longs(0), args.longs(1));
            if let (false, Some(size)) = (at, args.arrays[1].is_scalar().then(|| size.get(0)).flatten())
                && size > 0
                && let Column::Array(array) = &args.arrays[0]
            {
                return bins(array.as_primitive(), size, ty);
            }
            let point = at.then(|| args.longs(2));
            args.map_longs(|row| {
                let (value, size) = (value.get(row)?, size.get(row)?);
                let point = match &point {
                    Some(point) => point.get(row)?,
                    None => 0,
                };
                floor(value, size, point, ty)
            })
        }),
        Type::Real => kernel(move |args| {
            let (value, size) = (args.reals(0), args.reals(1));
            let point = at.then(|| args.reals(2));
            args.map_reals(|row| {
                let (value, size) = (value.get(row)?, size.get(row)?);
                let point = match &point {
                    Some(point) => point.get(row)?,
                    None => 0.0,
                };
                (size > 0.0).then(|| ((value - point) / size).floor() * size + point)
            })
        }),
        Type::Decimal => kernel(move |args| {
            let (value, size) = (args.decimals(0), args.decimals(1));
            let point = at.then(|| args.decimals(2));
            args.map_decimals(|row| {
                let (value, size) = (value.get(row)?, size.get(row)?);
                match &point {
                    Some(point) => decimal::add(decimal::floor_to(decimal::subtract(value, point.get(row)?)?, size)?, point.get(row)?),
                    None => decimal::floor_to(value, size),
                }
            })
        }),
        _ => return Err(PrepareError::Unsupported),
    })
}

fn floor(value: i64, size: i64, point: i64, ty: Type) -> Option<i64> {
    if size <= 0 {
        return None;
    }
    let distance = i128::from(value) - i128::from(point);
    let floor = i64::try_from(i128::from(point) + distance.div_euclid(size.into()) * i128::from(size)).ok()?;
    if ty == Type::Datetime { Timestamp::from_ticks(floor).map(Timestamp::ticks) } else { Some(floor) }
}

/// Bins of a fixed size, aligned to zero. Rows are often in time order, so a value in the previous row's bin needs no division.
fn bins(array: &Int64Array, size: i64, ty: Type) -> ArrayRef {
    let (mut from, mut until) = (1, 0);
    let mut bin = |value: i64| {
        if value < from || value >= until {
            (from, until) = match floor(value, size, 0, ty) {
                Some(floor) => (floor, floor.saturating_add(size)),
                None => return None,
            };
        }
        Some(from)
    };
    if array.null_count() == 0 {
        let values: Option<Vec<i64>> = array.values().iter().map(|value| bin(*value)).collect();
        if let Some(values) = values {
            return Arc::new(Int64Array::from(values));
        }
    }
    Arc::new(array.iter().map(|value| bin(value?)).collect::<Int64Array>())
}
