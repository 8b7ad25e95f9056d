//! Internal UDFs: normalise values where KQL and DataFusion differ.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int8Array, StringViewArray};
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::logical_expr::{Expr, ScalarUDF};
use kql::functions::kernel;

use crate::scalar::Call;

/// Makes a string non-null: KQL has no null string, so null must match, group and print as `""`.
pub(crate) fn text(expr: Expr) -> Expr {
    static TEXT: LazyLock<Arc<ScalarUDF>> =
        LazyLock::new(|| Arc::new(Call::internal("$text", kernel(|args| fill(args.array(0))), DataType::Utf8View, 1)));
    TEXT.call(vec![expr])
}

/// Replaces null by `""`.
pub(crate) fn fill(array: ArrayRef) -> ArrayRef {
    if array.null_count() == 0 {
        return array;
    }
    Arc::new(StringViewArray::from_iter_values(array.as_string_view().iter().map(Option::unwrap_or_default)))
}

/// Normalises real keys: `-0.0` becomes `0.0` and all NaN become one, which is how DataFusion groups them.
pub(crate) fn one_zero(array: ArrayRef) -> ArrayRef {
    let same = |number: f64| {
        if number == 0.0 {
            0.0
        } else if number.is_nan() {
            f64::NAN
        } else {
            number
        }
    };
    match array.as_primitive_opt::<Float64Type>() {
        Some(reals) => Arc::new(reals.unary::<_, Float64Type>(same)),
        None => array,
    }
}

/// Sort rank of a real among nulls, NaN and numbers: NaN is sorted next to null, at either end.
pub(crate) fn real_rank(expr: Expr, nulls_first: bool) -> Expr {
    static FIRST: LazyLock<Arc<ScalarUDF>> =
        LazyLock::new(|| Arc::new(Call::internal("$real_rank_first", kernel(|args| rank(&args.array(0), true)), DataType::Int8, 1)));
    static LAST: LazyLock<Arc<ScalarUDF>> =
        LazyLock::new(|| Arc::new(Call::internal("$real_rank_last", kernel(|args| rank(&args.array(0), false)), DataType::Int8, 1)));
    if nulls_first { FIRST.call(vec![expr]) } else { LAST.call(vec![expr]) }
}

/// One small number per row; ascending order puts nulls, NaN and numbers in the right order.
pub(crate) fn rank(array: &ArrayRef, nulls_first: bool) -> ArrayRef {
    let of = |value: Option<f64>| match value {
        None => -2,
        Some(n) if n.is_nan() => -1,
        Some(_) => 0,
    };
    let sign = if nulls_first { 1 } else { -1 };
    Arc::new(Int8Array::from_iter_values(array.as_primitive::<Float64Type>().iter().map(|value| sign * of(value))))
}
