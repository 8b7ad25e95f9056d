//! `estimate_rows_count()` — the number of rows. Name and column are those of Microsoft's parser; the count here is exact.

use std::sync::Arc;

use model::Type;

use super::{Bound, Call, Plugin, PluginError};
use crate::Value;
use crate::ops::whole::{Table, Whole};
use crate::plan::Field;

pub static PLUGIN: Plugin = Plugin {
    name: "estimate_rows_count",
    summary: "How many rows there are",
    args: &[],
    required: 0,
    repeats: false,
    needs_rows: false,
    bind,
    examples: &[("range x from 1 to 1000 step 1 | evaluate estimate_rows_count()", "1000")],
};

fn bind(call: Call) -> Result<Bound, PluginError> {
    let field = Field { id: (call.fresh)(), name: "EstimatedRowsCount".into(), ty: Type::Long };
    let answer = |table: &Table| Ok(vec![Value::array(&[Value::Long(table.rows as i64)], Type::Long)]);
    let op = Whole { name: PLUGIN.name, exprs: Vec::new(), own: vec![field.id], answer: Arc::new(answer) };
    Ok(Bound { op: Box::new(op), fields: vec![field] })
}
