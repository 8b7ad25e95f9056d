//! `narrow()` — one row per cell: row number, column name, value as text. Source: the public KQL reference, `narrow-plugin`.

use std::sync::Arc;

use model::Type;

use super::{Bound, Call, Plugin, PluginError};
use crate::Value;
use crate::ops::whole::{Table, Whole};
use crate::plan::{Expr, Field};

pub static PLUGIN: Plugin = Plugin {
    name: "narrow",
    summary: "A row for each cell",
    args: &[],
    required: 0,
    repeats: false,
    needs_rows: false,
    bind,
    examples: &[("print a = 1, b = 'x' | evaluate narrow()", "x")],
};

fn bind(call: Call) -> Result<Bound, PluginError> {
    let fields: Vec<Field> = [("Row", Type::Long), ("Column", Type::String), ("Value", Type::String)]
        .into_iter()
        .map(|(name, ty)| Field { id: (call.fresh)(), name: name.into(), ty })
        .collect();
    let columns: Vec<(String, Type)> = call.input.iter().map(|field| (field.name.to_string(), field.ty)).collect();
    let answer = move |table: &Table| {
        let mut own = [Vec::new(), Vec::new(), Vec::new()];
        for row in 0..table.rows {
            for (at, (name, ty)) in columns.iter().enumerate() {
                own[0].push(Value::Long(row as i64));
                own[1].push(Value::String(name.clone()));
                own[2].push(Value::String(table.value(at, row, *ty).to_text()));
            }
        }
        Ok(vec![Value::array(&own[0], Type::Long), Value::array(&own[1], Type::String), Value::array(&own[2], Type::String)])
    };
    let op = Whole {
        name: "narrow",
        exprs: call.input.iter().map(Expr::column).collect(),
        own: fields.iter().map(|field| field.id).collect(),
        answer: Arc::new(answer),
    };
    Ok(Bound { op: Box::new(op), fields })
}
