//! Reading arguments row by row and writing answers: what kernels are made of. A reader answers the same entry for every row where the
//! argument is one value for all rows.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, PrimitiveArray, StringViewArray,
    StringViewBuilder,
};
use arrow::datatypes::{Decimal256Type, Float64Type, Int32Type, Int64Type, i256};
use model::{DECIMAL_PRECISION, DECIMAL_SCALE};

use super::{Args, Column};

impl Column {
    pub fn inner(&self) -> &ArrayRef {
        match self {
            Column::Array(array) | Column::Scalar(array) => array,
        }
    }

    /// `row & mask` is the entry that belongs to `row`.
    fn mask(&self) -> usize {
        match self {
            Column::Array(_) => usize::MAX,
            Column::Scalar(_) => 0,
        }
    }

    /// The one value for all rows, if it is one.
    pub fn is_scalar(&self) -> bool {
        matches!(self, Column::Scalar(_))
    }
}

/// Entries of a `string`, `guid` or `dynamic` argument.
#[derive(Clone, Copy)]
pub struct Texts<'a> {
    array: &'a StringViewArray,
    mask: usize,
}

impl<'a> Texts<'a> {
    /// The text at `row`; null is `""`.
    pub fn get(&self, row: usize) -> &'a str {
        let at = row & self.mask;
        if self.array.is_null(at) { "" } else { self.array.value(at) }
    }

    pub fn opt(&self, row: usize) -> Option<&'a str> {
        let at = row & self.mask;
        (!self.array.is_null(at)).then(|| self.array.value(at))
    }
}

/// Entries of a number, `datetime` or `timespan` argument.
#[derive(Clone, Copy)]
pub struct Numbers<'a, T: ArrowPrimitiveType> {
    array: &'a PrimitiveArray<T>,
    mask: usize,
}

impl<T: ArrowPrimitiveType> Numbers<'_, T> {
    pub fn get(&self, row: usize) -> Option<T::Native> {
        let at = row & self.mask;
        (!self.array.is_null(at)).then(|| self.array.value(at))
    }
}

/// Entries of a `bool` argument.
#[derive(Clone, Copy)]
pub struct Bools<'a> {
    array: &'a BooleanArray,
    mask: usize,
}

impl Bools<'_> {
    pub fn get(&self, row: usize) -> Option<bool> {
        let at = row & self.mask;
        (!self.array.is_null(at)).then(|| self.array.value(at))
    }
}

impl Args<'_> {
    pub fn texts(&self, index: usize) -> Texts<'_> {
        let column = &self.arrays[index];
        Texts { array: column.inner().as_string_view(), mask: column.mask() }
    }

    /// `long`, `datetime`, `timespan`.
    pub fn longs(&self, index: usize) -> Numbers<'_, Int64Type> {
        self.numbers(index)
    }

    pub fn ints(&self, index: usize) -> Numbers<'_, Int32Type> {
        self.numbers(index)
    }

    pub fn reals(&self, index: usize) -> Numbers<'_, Float64Type> {
        self.numbers(index)
    }

    pub fn decimals(&self, index: usize) -> Numbers<'_, Decimal256Type> {
        self.numbers(index)
    }

    fn numbers<T: ArrowPrimitiveType>(&self, index: usize) -> Numbers<'_, T> {
        let column = &self.arrays[index];
        Numbers { array: column.inner().as_primitive(), mask: column.mask() }
    }

    pub fn bools(&self, index: usize) -> Bools<'_> {
        let column = &self.arrays[index];
        Bools { array: column.inner().as_boolean(), mask: column.mask() }
    }

    /// One entry a row, of the answers of `f`.
    pub fn map_bools(&self, f: impl FnMut(usize) -> Option<bool>) -> ArrayRef {
        Arc::new(BooleanArray::from_iter((0..self.rows).map(f)))
    }

    pub fn map_longs(&self, f: impl FnMut(usize) -> Option<i64>) -> ArrayRef {
        Arc::new(Int64Array::from_iter((0..self.rows).map(f)))
    }

    pub fn map_ints(&self, f: impl FnMut(usize) -> Option<i32>) -> ArrayRef {
        Arc::new(Int32Array::from_iter((0..self.rows).map(f)))
    }

    pub fn map_reals(&self, f: impl FnMut(usize) -> Option<f64>) -> ArrayRef {
        Arc::new(Float64Array::from_iter((0..self.rows).map(f)))
    }

    pub fn map_decimals(&self, f: impl FnMut(usize) -> Option<i256>) -> ArrayRef {
        let values: PrimitiveArray<Decimal256Type> = (0..self.rows).map(f).collect();
        match values.with_precision_and_scale(DECIMAL_PRECISION, DECIMAL_SCALE) {
            Ok(array) => Arc::new(array),
            Err(_) => crate::value::cells::nulls(model::Type::Decimal, self.rows),
        }
    }

    /// Strings: `f` writes each row's answer into the empty scratch text it gets.
    pub fn map_texts(&self, mut f: impl FnMut(usize, &mut String)) -> ArrayRef {
        let mut out = StringViewBuilder::with_capacity(self.rows);
        let mut scratch = String::new();
        for row in 0..self.rows {
            scratch.clear();
            f(row, &mut scratch);
            out.append_value(&scratch);
        }
        Arc::new(out.finish())
    }

    /// Strings that are part of an argument.
    pub fn map_slices<'a>(&self, mut f: impl FnMut(usize) -> &'a str) -> ArrayRef {
        let mut out = StringViewBuilder::with_capacity(self.rows);
        for row in 0..self.rows {
            out.append_value(f(row));
        }
        Arc::new(out.finish())
    }

    /// Dynamic values: `f` writes JSON; `None` (and what was written) is null.
    pub fn map_json(&self, mut f: impl FnMut(usize, &mut String) -> Option<()>) -> ArrayRef {
        let mut out = StringViewBuilder::with_capacity(self.rows);
        let mut scratch = String::new();
        for row in 0..self.rows {
            scratch.clear();
            match f(row, &mut scratch) {
                Some(()) if scratch != "null" => out.append_value(&scratch),
                _ => out.append_null(),
            }
        }
        Arc::new(out.finish())
    }
}
