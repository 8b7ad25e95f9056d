//! `row_number`, `row_cumsum`, `row_rank_dense`, `row_rank_min` — running counts; they restart where `restart` is true.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, make_comparator};
use arrow::compute::SortOptions;
use arrow::datatypes::{Decimal256Type, Float64Type, Int32Type, Int64Type, i256};
use model::Type;

use super::{Family, Window, WindowFn, closure};
use crate::functions::{Arg, Args, Prepare, PrepareError, Resolved, Signature, SignatureError};
use crate::value::cells::nulls;

pub static FAMILY: Family = &[&ROW_NUMBER, &ROW_CUMSUM, &ROW_RANK_DENSE, &ROW_RANK_MIN, &ROW_RANK];

static ROW_NUMBER: WindowFn = WindowFn {
    name: "row_number",
    summary: "The number of the row, from 1 or another start",
    parameters: &["start", "restart"],
    signature: Signature::Custom(|args| {
        let mut types = Vec::new();
        if let Some(start) = args.first() {
            if !matches!(start.ty, Type::Int | Type::Long) {
                return Err(SignatureError::Type { index: 0, wants: "a whole number".into() });
            }
            types.push(Type::Long);
        }
        restart(args, 1, &mut types)?;
        Ok(Resolved { args: types, returns: Type::Long })
    }),
    prepare: |_| Ok(closure(row_number)),
    // Recorded from Microsoft's engine.
    examples: &[
        ("datatable(k:long)[1, 1, 2] | sort by k asc | serialize rn = row_number(100)", "102"),
        ("datatable(k:long)[1, 1, 2, 2] | sort by k asc | serialize rn = row_number(1, k != prev(k))", "2"),
    ],
};

static ROW_CUMSUM: WindowFn = WindowFn {
    name: "row_cumsum",
    summary: "The sum of the values so far",
    parameters: &["term", "restart"],
    signature: Signature::Custom(|args| {
        let ty = match args.first() {
            None => return Err(SignatureError::Count { least: 1, most: Some(2) }),
            Some(term) if term.ty.is_numeric() => term.ty,
            Some(_) => return Err(SignatureError::Type { index: 0, wants: "a number".into() }),
        };
        let mut types = vec![ty];
        restart(args, 1, &mut types)?;
        Ok(Resolved { args: types, returns: ty })
    }),
    prepare: |prepare| {
        let ty = prepare.returns;
        Ok(closure(move |args| row_cumsum(args, ty)))
    },
    // Recorded from Microsoft's engine.
    examples: &[
        ("datatable(x:long)[5, 3, 8] | sort by x desc | serialize cs = row_cumsum(x)", "16"),
        ("datatable(g:string, x:long)['a',5, 'a',3, 'b',8] | sort by g asc | serialize cs = row_cumsum(x, g != prev(g))", "8"),
    ],
};

static ROW_RANK_DENSE: WindowFn = WindowFn {
    name: "row_rank_dense",
    summary: "The rank of the row: how often the value has changed so far",
    parameters: &["term", "restart"],
    signature: Signature::Custom(resolve_rank),
    prepare: |_| Ok(closure(|args| row_rank(args, true))),
    // Recorded from Microsoft's engine.
    examples: &[("datatable(s:long)[10, 10, 20, 20, 20, 5] | sort by s desc | serialize r = row_rank_dense(s)", "3")],
};

static ROW_RANK_MIN: WindowFn = WindowFn {
    name: "row_rank_min",
    summary: "The rank of the row: the number of the first row with this value",
    parameters: &["term", "restart"],
    signature: Signature::Custom(resolve_rank),
    prepare: |_| Ok(closure(|args| row_rank(args, false))),
    // Recorded from Microsoft's engine.
    examples: &[("datatable(s:long)[10, 10, 20, 20, 20, 5] | sort by s desc | serialize r = row_rank_min(s)", "6")],
};

/// Deprecated name; its second argument selects the kind.
static ROW_RANK: WindowFn = WindowFn {
    name: "row_rank",
    summary: "The rank of the row, dense unless asked otherwise",
    parameters: &["term", "dense"],
    signature: Signature::Custom(|args| match args {
        [value] => Ok(Resolved { args: vec![value.ty], returns: Type::Long }),
        [value, Arg { ty: Type::Bool, constant: Some(_) }] => Ok(Resolved { args: vec![value.ty, Type::Bool], returns: Type::Long }),
        [_, _] => Err(SignatureError::Constant { index: 1, wants: "true or false".into() }),
        _ => Err(SignatureError::Count { least: 1, most: Some(2) }),
    }),
    prepare: row_rank_either,
    examples: &[("datatable(s:long)[10, 10, 20] | sort by s asc | serialize r = row_rank(s)", "2")],
};

/// Checks argument `index`, the restart condition.
fn restart(args: &[Arg], index: usize, types: &mut Vec<Type>) -> Result<(), SignatureError> {
    match args.get(index) {
        None => Ok(()),
        Some(_) if args.len() > index + 1 => Err(SignatureError::Count { least: index, most: Some(index + 1) }),
        Some(arg) if arg.ty == Type::Bool => {
            types.push(Type::Bool);
            Ok(())
        }
        Some(_) => Err(SignatureError::Type { index, wants: "a bool".into() }),
    }
}

fn resolve_rank(args: &[Arg]) -> Result<Resolved, SignatureError> {
    let Some(term) = args.first() else { return Err(SignatureError::Count { least: 1, most: Some(2) }) };
    if term.ty == Type::Dynamic {
        return Err(SignatureError::Type { index: 0, wants: "anything but a dynamic".into() });
    }
    let mut types = vec![term.ty];
    restart(args, 1, &mut types)?;
    Ok(Resolved { args: types, returns: Type::Long })
}

/// True for rows where counting restarts: the first row, and each for which argument `index` is true.
pub fn starts(args: &Args, index: usize) -> impl Fn(usize) -> bool {
    let restart: Option<BooleanArray> = (index < args.len()).then(|| args.array(index).as_boolean().clone());
    move |row| row == 0 || restart.as_ref().is_some_and(|restart| restart.is_valid(row) && restart.value(row))
}

fn row_number(args: &Args) -> ArrayRef {
    let starts = starts(args, 1);
    let first = (!args.is_empty()).then(|| args.array(0));
    let first = |row: usize| match &first {
        None => 1,
        Some(first) => first.as_primitive::<Int64Type>().value(row),
    };
    let mut number: i64 = 0;
    Arc::new(Int64Array::from_iter_values((0..args.rows).map(|row| {
        number = if starts(row) { first(row) } else { number.wrapping_add(1) };
        number
    })))
}

fn row_cumsum(args: &Args, ty: Type) -> ArrayRef {
    let starts = starts(args, 1);
    let terms = args.array(0);
    /// Null terms are ignored.
    macro_rules! sums {
        ($type:ty, $array:ty, $zero:expr, $add:expr) => {{
            let typed = terms.as_primitive::<$type>();
            let mut sum = $zero;
            <$array>::from_iter_values((0..args.rows).map(|row| {
                let term = if typed.is_valid(row) { typed.value(row) } else { $zero };
                sum = if starts(row) { term } else { $add(sum, term) };
                sum
            }))
        }};
    }
    match ty {
        Type::Int => Arc::new(sums!(Int32Type, Int32Array, 0i32, i32::wrapping_add)),
        Type::Real => Arc::new(sums!(Float64Type, Float64Array, 0f64, |a: f64, b: f64| a + b)),
        Type::Decimal => {
            let sums = sums!(Decimal256Type, arrow::array::Decimal256Array, i256::ZERO, |a: i256, b: i256| a.wrapping_add(b));
            Arc::new(sums.with_data_type(ty.arrow()))
        }
        Type::Long => Arc::new(sums!(Int64Type, Int64Array, 0i64, i64::wrapping_add)),
        _ => nulls(ty, args.rows),
    }
}

fn row_rank(args: &Args, dense: bool) -> ArrayRef {
    let starts = starts(args, 1);
    let terms = args.array(0);
    let changed = match make_comparator(&terms, &terms, SortOptions::default()) {
        Ok(compare) => compare,
        Err(_) => return nulls(Type::Long, args.rows),
    };
    let (mut rank, mut number) = (0, 0);
    Arc::new(Int64Array::from_iter_values((0..args.rows).map(|row| {
        if starts(row) {
            (rank, number) = (1, 1);
        } else {
            number += 1;
            if changed(row - 1, row).is_ne() {
                rank = if dense { rank + 1 } else { number };
            }
        }
        rank
    })))
}

fn row_rank_either(prepare: &Prepare) -> Result<Box<dyn Window>, PrepareError> {
    let dense = prepare.constants.get(1).and_then(|constant| constant.as_ref()).and_then(crate::Value::as_bool).unwrap_or(true);
    Ok(closure(move |args: &Args| row_rank(&Args { arrays: &args.arrays[..1], rows: args.rows }, dense)))
}
