//! Table schemas.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use crate::{TableName, Type};

/// A column of a table. Case-sensitive: `Url` and `url` are different columns.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    #[serde(rename = "type")]
    pub ty: Type,
}

impl Column {
    pub fn new(name: impl Into<String>, ty: Type) -> Self {
        Self { name: name.into(), ty }
    }
}

/// Columns of a table, in the order shown by `take`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSchema {
    pub name: TableName,
    pub columns: Vec<Column>,
}

impl TableSchema {
    pub fn new(name: impl AsRef<str>, columns: Vec<Column>) -> Self {
        Self { name: TableName::new(name), columns }
    }

    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The in-memory schema: one nullable field per column, with [`Type::arrow`].
    pub fn arrow(&self) -> SchemaRef {
        arrow_schema(&self.columns)
    }
}

/// The in-memory schema of `columns`, see [`Type::arrow`].
pub fn arrow_schema(columns: &[Column]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|column| Field::new(&column.name, column.ty.arrow(), true)).collect::<Vec<_>>()))
}
