//! Numbers distinct rows of key columns in order of first appearance.

use arrow::array::ArrayRef;
use arrow::row::{OwnedRow, RowConverter, SortField};
use hashbrown::HashMap;
use model::Type;

use super::EvalError;
use super::layout::run;

pub struct Keys {
    /// `None` if there are no key columns: all rows form one group.
    converter: Option<RowConverter>,
    numbers: HashMap<OwnedRow, usize>,
    rows: Vec<OwnedRow>,
    bytes: usize,
}

impl Keys {
    pub fn new(types: impl IntoIterator<Item = Type>) -> Result<Self, EvalError> {
        let fields: Vec<SortField> = types.into_iter().map(|ty| SortField::new(ty.arrow())).collect();
        let converter = if fields.is_empty() { None } else { Some(RowConverter::new(fields).map_err(run)?) };
        Ok(Self { converter, numbers: HashMap::new(), rows: Vec::new(), bytes: 0 })
    }

    /// The group of each of `rows` rows.
    pub fn groups(&mut self, columns: &[ArrayRef], rows: usize) -> Result<Vec<usize>, EvalError> {
        let Some(converter) = &self.converter else { return Ok(vec![0; rows]) };
        let converted = converter.convert_columns(columns).map_err(run)?;
        let mut groups = Vec::with_capacity(rows);
        for row in &converted {
            let owned = row.owned();
            let group = match self.numbers.get(&owned) {
                Some(group) => *group,
                None => {
                    self.bytes += 2 * (row.as_ref().len() + 64);
                    self.numbers.insert(owned.clone(), self.rows.len());
                    self.rows.push(owned);
                    self.rows.len() - 1
                }
            };
            groups.push(group);
        }
        Ok(groups)
    }

    /// Number of groups; one if there are no key columns.
    pub fn len(&self) -> usize {
        if self.converter.is_some() { self.rows.len() } else { 1 }
    }

    /// The key columns of these groups, in this order.
    pub fn columns(&self, groups: &[usize]) -> Result<Vec<ArrayRef>, EvalError> {
        match &self.converter {
            None => Ok(Vec::new()),
            Some(converter) => converter.convert_rows(groups.iter().map(|group| self.rows[*group].row())).map_err(run),
        }
    }

    pub fn size(&self) -> usize {
        self.bytes
    }
}
