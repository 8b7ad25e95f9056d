//! Tests of window functions over hand-written columns. Expected results are recorded from Microsoft's engine unless stated otherwise.

use model::{Timestamp, Type};

use super::find;
use crate::Value;
use crate::functions::{Arg, Args, Column, Prepare, Signature, SignatureError};
use crate::value::text;

/// An argument: a column or a constant.
enum Given<'a> {
    Column(Type, &'a [Option<i64>]),
    Constant(Value),
}

fn array(ty: Type, cells: &[Option<i64>]) -> arrow::array::ArrayRef {
    let cast = |n: &i64| match ty {
        Type::Bool => Value::Bool(*n != 0),
        Type::Datetime => Value::Datetime(*n),
        Type::Timespan => Value::Timespan(*n),
        Type::Real => Value::Real(*n as f64 / 2.0),
        _ => Value::Long(*n),
    };
    Value::array(&cells.iter().map(|cell| cell.as_ref().map_or(Value::null(ty), cast)).collect::<Vec<_>>(), ty)
}

fn eval(name: &str, given: &[Given]) -> Result<Vec<String>, SignatureError> {
    let types: Vec<Type> = given
        .iter()
        .map(|given| match given {
            Given::Column(ty, _) => *ty,
            Given::Constant(value) => value.ty(),
        })
        .collect();
    let constants: Vec<Option<Value>> = given
        .iter()
        .map(|given| match given {
            Given::Column(..) => None,
            Given::Constant(value) => Some(value.clone()),
        })
        .collect();
    let function = find(name).expect("a window function");
    let Signature::Custom(resolve) = function.signature else { panic!("`{name}` has another kind of signature") };
    let args: Vec<Arg> = types.iter().zip(&constants).map(|(ty, constant)| Arg { ty: *ty, constant: constant.as_ref() }).collect();
    let resolved = resolve(&args)?;
    let prepare = Prepare { constants: &constants, types: &resolved.args, returns: resolved.returns, now: Timestamp::UNIX_EPOCH };
    let window = (function.prepare)(&prepare).expect("the call resolved");
    let rows = given.iter().find_map(|given| match given {
        Given::Column(_, cells) => Some(cells.len()),
        Given::Constant(_) => None,
    });
    let arrays: Vec<Column> = given
        .iter()
        .map(|given| match given {
            Given::Column(ty, cells) => Column::Array(array(*ty, cells)),
            Given::Constant(value) => Column::Scalar(value.to_array()),
        })
        .collect();
    let rows = rows.unwrap_or(3);
    let answer = window.eval(&Args { arrays: &arrays, rows });
    assert_eq!(answer.data_type(), &resolved.returns.arrow());
    Ok((0..rows)
        .map(|row| match Value::from_cell(&answer, row, resolved.returns) {
            Value::Null(_) => "null".to_owned(),
            value => text::format(&value),
        })
        .collect())
}

fn longs(cells: &[Option<i64>]) -> Given<'_> {
    Given::Column(Type::Long, cells)
}

const fn some(n: i64) -> Option<i64> {
    Some(n)
}

#[test]
fn prev_and_next_access_other_rows() {
    let values = [some(10), some(20), None, some(40)];
    assert_eq!(eval("prev", &[longs(&values)]).unwrap(), ["null", "10", "20", "null"]);
    assert_eq!(eval("next", &[longs(&values)]).unwrap(), ["20", "null", "40", "null"]);
    let by =
        |name, offset, default| eval(name, &[longs(&values), Given::Constant(Value::Long(offset)), Given::Constant(Value::Long(default))]);
    assert_eq!(by("prev", 1, -1).unwrap(), ["-1", "10", "20", "null"]);
    assert_eq!(by("next", 2, 7).unwrap(), ["null", "40", "7", "7"]);
    assert_eq!(by("prev", i64::MAX, 7).unwrap(), ["7", "7", "7", "7"]);
    // Rejected: an offset of 0, and a default that is a column.
    assert!(by("prev", 0, 1).is_err());
    assert!(eval("prev", &[longs(&values), Given::Constant(Value::Long(1)), longs(&values)]).is_err());
}

#[test]
fn rows_are_numbered_summed_and_ranked() {
    let restart = [some(1), some(0), None, some(1), some(0)];
    let restart = || Given::Column(Type::Bool, &restart);
    let start = || Given::Constant(Value::Long(5));
    assert_eq!(eval("row_number", &[]).unwrap(), ["1", "2", "3"]);
    assert_eq!(eval("row_number", &[start(), restart()]).unwrap(), ["5", "6", "7", "5", "6"]);
    let values = [some(3), some(5), None, some(1), some(8)];
    assert_eq!(eval("row_cumsum", &[longs(&values), restart()]).unwrap(), ["3", "8", "8", "1", "9"]);
    assert_eq!(eval("row_cumsum", &[Given::Column(Type::Real, &values)]).unwrap(), ["1.5", "4.0", "4.0", "4.5", "8.5"]);
    let scores = [some(20), some(20), some(20), some(10), some(10), some(5)];
    assert_eq!(eval("row_rank_dense", &[longs(&scores)]).unwrap(), ["1", "1", "1", "2", "2", "3"]);
    assert_eq!(eval("row_rank_min", &[longs(&scores)]).unwrap(), ["1", "1", "1", "4", "4", "6"]);
    let equal = [some(5), some(5), some(8), some(8), some(3)];
    assert_eq!(eval("row_rank_min", &[longs(&equal), restart()]).unwrap(), ["1", "1", "3", "1", "2"]);
    assert!(eval("row_cumsum", &[restart()]).is_err());
}

#[test]
fn sessions_end_after_a_gap_or_maximum_length() {
    // By the rules of the reference, page `row-window-session-function`: 10 from the first, 4 between neighbours, "equals or exceeds".
    let times = [some(0), some(3), some(6), some(9), some(12), some(16), None, some(17)];
    let spans = |n| Given::Constant(Value::Timespan(n));
    let tick = |n: i64| if n < 0 { "null".to_owned() } else { Timestamp::clamp_ticks(n).to_string() };
    let expected: Vec<String> = [0, 0, 0, 0, 12, 16, -1, 17].into_iter().map(tick).collect();
    assert_eq!(eval("row_window_session", &[Given::Column(Type::Datetime, &times), spans(10), spans(4)]).unwrap(), expected);
}
