//! Row-wise readers of arguments and writers of results, used by kernels. For a scalar argument a reader returns the same entry for every
//! row.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, PrimitiveArray, StringViewArray,
    StringViewBuilder,
};
use arrow::datatypes::{Decimal256Type, Float64Type, Int32Type, Int64Type, i256};
use model::{DECIMAL_PRECISION, DECIMAL_SCALE};

use super::{Args, Column};
use crate::watch;

impl Column {
    pub fn inner(&self) -> &ArrayRef {
        match self {
            Column::Array(array) | Column::Scalar(array) => array,
        }
    }

    /// `row & mask` is the index of the entry for `row`.
    fn mask(&self) -> usize {
        match self {
            Column::Array(_) => usize::MAX,
            Column::Scalar(_) => 0,
        }
    }

    /// The single value, if the argument is a scalar.
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

/// Entries of a numeric, `datetime` or `timespan` argument.
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

    /// For `long`, `datetime` and `timespan`.
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

    /// Collects the results of `f`, one entry per row.
    pub fn map_bools(&self, f: impl FnMut(usize) -> Option<bool>) -> ArrayRef {
        Arc::new(BooleanArray::from_iter(self.each(f)))
    }

    pub fn map_longs(&self, f: impl FnMut(usize) -> Option<i64>) -> ArrayRef {
        Arc::new(Int64Array::from_iter(self.each(f)))
    }

    pub fn map_ints(&self, f: impl FnMut(usize) -> Option<i32>) -> ArrayRef {
        Arc::new(Int32Array::from_iter(self.each(f)))
    }

    pub fn map_reals(&self, f: impl FnMut(usize) -> Option<f64>) -> ArrayRef {
        Arc::new(Float64Array::from_iter(self.each(f)))
    }

    /// Yields the results of `f`; nulls once the query has been cancelled.
    fn each<T>(&self, mut f: impl FnMut(usize) -> Option<T>) -> impl Iterator<Item = Option<T>> {
        // Processing one long text takes as long as thousands of numbers, so check more often.
        let often = self.heaviest() > LONG_TEXT;
        let mut stopped = false;
        (0..self.rows).map(move |row| {
            if (often || row % 256 == 255) && !stopped {
                stopped = watch::stopped();
            }
            if stopped { None } else { f(row) }
        })
    }

    pub fn map_decimals(&self, f: impl FnMut(usize) -> Option<i256>) -> ArrayRef {
        let values: PrimitiveArray<Decimal256Type> = self.each(f).collect();
        match values.with_precision_and_scale(DECIMAL_PRECISION, DECIMAL_SCALE) {
            Ok(array) => Arc::new(array),
            Err(_) => crate::value::cells::nulls(model::Type::Decimal, self.rows),
        }
    }

    /// Strings: `f` writes each row's result to an empty buffer.
    pub fn map_texts(&self, mut f: impl FnMut(usize, &mut String)) -> ArrayRef {
        let mut out = Building::new(self);
        let mut scratch = String::new();
        for row in 0..self.rows {
            scratch.clear();
            if out.goes_on(row) {
                f(row, &mut scratch);
            }
            out.push(Some(&scratch));
        }
        out.finish()
    }

    /// Strings that are slices of an argument.
    pub fn map_slices<'a>(&self, mut f: impl FnMut(usize) -> &'a str) -> ArrayRef {
        let mut out = Building::new(self);
        for row in 0..self.rows {
            let slice = if out.goes_on(row) { f(row) } else { "" };
            out.push(Some(slice));
        }
        out.finish()
    }

    /// Dynamic values: `f` writes JSON; on `None` the written text is discarded and the result is null.
    pub fn map_json(&self, mut f: impl FnMut(usize, &mut String) -> Option<()>) -> ArrayRef {
        let mut out = Building::new(self);
        let mut scratch = String::new();
        for row in 0..self.rows {
            scratch.clear();
            let written = if out.goes_on(row) { f(row, &mut scratch) } else { None };
            out.push(written.filter(|()| scratch != "null").map(|()| scratch.as_str()));
        }
        out.finish()
    }

    /// An upper bound of the total bytes of text arguments of a single row.
    fn heaviest(&self) -> usize {
        self.arrays.iter().map(longest).sum()
    }

    /// Total bytes of the text arguments of `row`.
    fn weight(&self, row: usize) -> usize {
        let weight = |column: &Column| {
            let length = |texts: &StringViewArray| texts.views().get(row & column.mask()).map_or(0, |view| *view as u32 as usize);
            column.inner().as_string_view_opt().map_or(0, length)
        };
        self.arrays.iter().map(weight).sum()
    }
}

/// An upper bound of the longest text of a column, without checking each text if none can be long.
fn longest(column: &Column) -> usize {
    let Some(texts) = column.inner().as_string_view_opt() else { return 0 };
    let buffered: usize = texts.data_buffers().iter().map(|buffer| buffer.len()).sum();
    if buffered <= LONG_TEXT { buffered } else { texts.lengths().max().unwrap_or(0) as usize }
}

/// Rows with more text than this reserve memory individually.
const LONG_TEXT: usize = 256 << 10;

/// Maximum bytes of a value; Arrow does not support much longer ones.
const LONGEST_VALUE: usize = 1 << 30;

/// Buffers text results: reserves memory in advance, and checks for cancellation.
struct Building<'a> {
    args: &'a Args<'a>,
    out: StringViewBuilder,
    /// Rows may be so large that memory is reserved for each.
    heavy: bool,
    /// Bytes written and not yet reserved.
    pending: usize,
    over: bool,
}

impl<'a> Building<'a> {
    fn new(args: &'a Args<'a>) -> Self {
        let heavy = args.heaviest() > LONG_TEXT;
        Self { args, out: StringViewBuilder::with_capacity(args.rows), heavy, pending: 0, over: false }
    }

    /// Returns false if the remaining results are not needed.
    fn goes_on(&mut self, row: usize) -> bool {
        if !self.over && (self.heavy || row % 64 == 63) {
            self.over = watch::stopped();
        }
        if !self.over && self.heavy {
            // Results are usually no longer than the quoted arguments; functions with longer results reserve memory themselves.
            self.ask(self.args.weight(row));
        }
        !self.over
    }

    fn ask(&mut self, bytes: usize) {
        self.over = self.over || !watch::build(bytes);
    }

    fn push(&mut self, value: Option<&str>) {
        let Some(value) = value.filter(|_| !self.over) else { return self.out.append_option(value.map(|_| "")) };
        self.pending += value.len();
        if self.pending > LONG_TEXT {
            let bytes = if value.len() > LONGEST_VALUE { usize::MAX } else { std::mem::take(&mut self.pending) };
            self.ask(bytes);
        }
        self.out.append_value(if self.over { "" } else { value });
    }

    fn finish(mut self) -> ArrayRef {
        self.ask(self.pending);
        Arc::new(self.out.finish())
    }
}
