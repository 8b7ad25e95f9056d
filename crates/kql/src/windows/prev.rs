//! `prev(column, offset, default)`, `next` — the value of a column some rows before or after. The offset must be at least 1 and the default
//! a constant: Microsoft's engine rejects anything else (recorded).

use arrow::array::{ArrayRef, UInt64Array};
use arrow::compute::{concat, take};
use model::Type;

use super::{Family, Window, WindowFn, closure};
use crate::Value;
use crate::functions::{Arg, Args, Prepare, PrepareError, Resolved, Signature, SignatureError};

pub static FAMILY: Family = &[&PREV, &NEXT];

static PREV: WindowFn = WindowFn {
    name: "prev",
    summary: "The value of a column some rows before",
    parameters: &["column", "offset", "default_value"],
    signature: Signature::Custom(resolve),
    prepare: |prepare| shift(prepare, |row, offset, _| row.checked_sub(offset)),
    // Recorded from Microsoft's engine.
    examples: &[
        ("datatable(v:long)[1, 2, 5] | sort by v asc | serialize p = prev(v)", "2"),
        ("datatable(v:long)[10] | sort by v asc | serialize p = prev(v, 1, -1)", "-1"),
    ],
};

static NEXT: WindowFn = WindowFn {
    name: "next",
    summary: "The value of a column some rows behind",
    parameters: &["column", "offset", "default_value"],
    signature: Signature::Custom(resolve),
    prepare: |prepare| shift(prepare, |row, offset, rows| row.checked_add(offset).filter(|at| *at < rows)),
    examples: &[
        ("datatable(v:long)[1, 2, 5] | sort by v desc | serialize p = next(v, 1, 7)", "7"),
        ("datatable(v:long)[1, 2] | sort by v asc | serialize p = next(v)", ""),
    ],
};

fn resolve(args: &[Arg]) -> Result<Resolved, SignatureError> {
    if !(1..=3).contains(&args.len()) {
        return Err(SignatureError::Count { least: 1, most: Some(3) });
    }
    let ty = args[0].ty;
    let mut types = vec![ty];
    if let Some(offset) = args.get(1) {
        match offset.constant.and_then(Value::as_i64) {
            Some(n) if n >= 1 && matches!(offset.ty, Type::Int | Type::Long) => types.push(offset.ty),
            _ => return Err(SignatureError::Constant { index: 1, wants: "a whole number of at least 1".into() }),
        }
    }
    if let Some(default) = args.get(2) {
        if default.constant.is_none() {
            return Err(SignatureError::Constant { index: 2, wants: "a constant".into() });
        }
        types.push(ty);
    }
    Ok(Resolved { args: types, returns: ty })
}

fn shift(prepare: &Prepare, at: fn(row: usize, offset: usize, rows: usize) -> Option<usize>) -> Result<Box<dyn Window>, PrepareError> {
    let constant = |index: usize| prepare.constants.get(index).and_then(|constant| constant.as_ref());
    let offset = constant(1).and_then(Value::as_i64).map_or(1, |n| usize::try_from(n).unwrap_or(usize::MAX));
    let ty = prepare.returns;
    let default = Value::array(&[constant(2).cloned().unwrap_or(Value::null(ty))], ty);
    Ok(closure(move |args: &Args| {
        let values = args.array(0);
        let rows = args.rows;
        // The default is stored after the last row.
        let indices: UInt64Array = (0..rows).map(|row| Some(at(row, offset, rows).unwrap_or(rows) as u64)).collect();
        let extended: ArrayRef = concat(&[&values, &default]).unwrap_or(values);
        take(&extended, &indices, None).unwrap_or(extended)
    }))
}
