//! One cell per group, of any type: the state of `min`, `max`, `take_any` and `arg_max`.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal256Array, Float64Array, Int32Array, Int64Array, StringViewArray};
use arrow::datatypes::{DataType, Decimal256Type, Float64Type, Int32Type, Int64Type, i256};
use model::{DECIMAL_PRECISION, DECIMAL_SCALE, Type};

use super::Emit;

/// A column writable in any order; `None` is null.
#[derive(Debug)]
pub enum Cells {
    Bool(Vec<Option<bool>>),
    Int(Vec<Option<i32>>),
    /// For long, datetime and timespan.
    Long(Vec<Option<i64>>),
    Real(Vec<Option<f64>>),
    Decimal(Vec<Option<i256>>),
    /// For string, guid and dynamic.
    Text(Texts),
}

#[derive(Debug, Default)]
pub struct Texts {
    cells: Vec<Option<String>>,
    /// Total bytes of all texts, so that `size` is O(1).
    bytes: usize,
}

impl Texts {
    fn set(&mut self, group: usize, text: Option<&str>) {
        let cell = &mut self.cells[group];
        let before = cell.as_ref().map_or(0, String::capacity);
        match (text, cell.as_mut()) {
            // Reuses the allocation, because a group's text changes often.
            (Some(text), Some(cell)) => {
                cell.clear();
                cell.push_str(text);
            }
            (text, _) => *cell = text.map(str::to_owned),
        }
        self.bytes = self.bytes + cell.as_ref().map_or(0, String::capacity) - before;
    }
}

/// NaN wins for both max and min and is kept: recorded from Microsoft's engine for `arg_max` and `arg_min`.
fn float_beats(new: f64, kept: f64, want: Ordering) -> bool {
    match new.partial_cmp(&kept) {
        Some(order) => order == want,
        None => !kept.is_nan(),
    }
}

impl Cells {
    pub fn new(ty: Type) -> Self {
        match ty {
            Type::Bool => Cells::Bool(Vec::new()),
            Type::Int => Cells::Int(Vec::new()),
            Type::Long | Type::Datetime | Type::Timespan => Cells::Long(Vec::new()),
            Type::Real => Cells::Real(Vec::new()),
            Type::Decimal => Cells::Decimal(Vec::new()),
            Type::String | Type::Guid | Type::Dynamic => Cells::Text(Texts::default()),
        }
    }

    pub fn resize(&mut self, total: usize) {
        match self {
            Cells::Bool(cells) => cells.resize(total, None),
            Cells::Int(cells) => cells.resize(total, None),
            Cells::Long(cells) => cells.resize(total, None),
            Cells::Real(cells) => cells.resize(total, None),
            Cells::Decimal(cells) => cells.resize(total, None),
            Cells::Text(texts) => texts.cells.resize(total, None),
        }
    }

    /// True for null and the empty string, which `take_any` avoids.
    pub fn is_empty_at(&self, group: usize) -> bool {
        match self {
            Cells::Bool(cells) => cells[group].is_none(),
            Cells::Int(cells) => cells[group].is_none(),
            Cells::Long(cells) => cells[group].is_none(),
            Cells::Real(cells) => cells[group].is_none(),
            Cells::Decimal(cells) => cells[group].is_none(),
            Cells::Text(texts) => texts.cells[group].as_deref().is_none_or(str::is_empty),
        }
    }

    /// Copies entry `row` of `array`, nulls included.
    pub fn set(&mut self, group: usize, array: &dyn Array, row: usize) {
        macro_rules! copy {
            ($cells:ident, $typed:expr) => {{
                let typed = $typed;
                $cells[group] = typed.is_valid(row).then(|| typed.value(row));
            }};
        }
        match self {
            Cells::Bool(cells) => copy!(cells, array.as_boolean()),
            Cells::Int(cells) => copy!(cells, array.as_primitive::<Int32Type>()),
            Cells::Long(cells) => copy!(cells, array.as_primitive::<Int64Type>()),
            Cells::Real(cells) => copy!(cells, array.as_primitive::<Float64Type>()),
            Cells::Decimal(cells) => copy!(cells, array.as_primitive::<Decimal256Type>()),
            Cells::Text(texts) => {
                let typed = array.as_string_view();
                texts.set(group, typed.is_valid(row).then(|| typed.value(row)));
            }
        }
    }

    /// Keeps the greatest (`want` = Greater) or least entry of each group; the first of equal ones. Nulls never win. `won` is called for
    /// each row that is kept.
    pub fn keep(
        &mut self,
        want: Ordering,
        array: &dyn Array,
        rows: impl Iterator<Item = (usize, usize)>,
        mut won: impl FnMut(usize, usize),
    ) {
        macro_rules! keep {
            ($cells:ident, $typed:expr, $beats:expr) => {{
                let typed = $typed;
                for (row, group) in rows {
                    if typed.is_null(row) {
                        continue;
                    }
                    let new = typed.value(row);
                    if $cells[group].as_ref().is_none_or(|kept| $beats(&new, kept)) {
                        $cells[group] = Some(new);
                        won(row, group);
                    }
                }
            }};
        }
        match self {
            Cells::Bool(cells) => keep!(cells, array.as_boolean(), |new: &bool, kept: &bool| new.cmp(kept) == want),
            Cells::Int(cells) => keep!(cells, array.as_primitive::<Int32Type>(), |new: &i32, kept: &i32| new.cmp(kept) == want),
            Cells::Long(cells) => keep!(cells, array.as_primitive::<Int64Type>(), |new: &i64, kept: &i64| new.cmp(kept) == want),
            Cells::Real(cells) => keep!(cells, array.as_primitive::<Float64Type>(), |new: &f64, kept: &f64| float_beats(*new, *kept, want)),
            Cells::Decimal(cells) => keep!(cells, array.as_primitive::<Decimal256Type>(), |new: &i256, kept: &i256| new.cmp(kept) == want),
            Cells::Text(texts) => {
                let typed = array.as_string_view();
                for (row, group) in rows {
                    if typed.is_null(row) {
                        continue;
                    }
                    let new = typed.value(row);
                    if texts.cells[group].as_deref().is_none_or(|kept| new.cmp(kept) == want) {
                        texts.set(group, Some(new));
                        won(row, group);
                    }
                }
            }
        }
    }

    /// Removes the emitted cells and returns them as an array of the column's type.
    pub fn take(&mut self, which: Emit) -> ArrayRef {
        match self {
            Cells::Bool(cells) => Arc::new(BooleanArray::from(which.take(cells))),
            Cells::Int(cells) => Arc::new(Int32Array::from(which.take(cells))),
            Cells::Long(cells) => Arc::new(Int64Array::from(which.take(cells))),
            Cells::Real(cells) => Arc::new(Float64Array::from(which.take(cells))),
            Cells::Decimal(cells) => Arc::new(decimals(which.take(cells))),
            Cells::Text(texts) => {
                let taken = which.take(&mut texts.cells);
                texts.bytes -= taken.iter().flatten().map(String::capacity).sum::<usize>();
                Arc::new(taken.into_iter().collect::<StringViewArray>())
            }
        }
    }

    pub fn size(&self) -> usize {
        match self {
            Cells::Text(texts) => texts.cells.capacity() * size_of::<Option<String>>() + texts.bytes,
            Cells::Bool(cells) => cells.capacity() * size_of::<Option<bool>>(),
            Cells::Int(cells) => cells.capacity() * size_of::<Option<i32>>(),
            Cells::Long(cells) => cells.capacity() * size_of::<Option<i64>>(),
            Cells::Real(cells) => cells.capacity() * size_of::<Option<f64>>(),
            Cells::Decimal(cells) => cells.capacity() * size_of::<Option<i256>>(),
        }
    }
}

/// An array of Kusto decimals.
pub fn decimals(values: Vec<Option<i256>>) -> Decimal256Array {
    Decimal256Array::from(values).with_data_type(DataType::Decimal256(DECIMAL_PRECISION, DECIMAL_SCALE))
}
