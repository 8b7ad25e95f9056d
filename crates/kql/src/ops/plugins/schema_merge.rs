//! `schema_merge(PreserveOrder)` — merge the schemas of several tables, as returned by `getschema`. Source: the public KQL reference,
//! `schema-merge-plugin`.
//!
//! A column is placed at its last position in any table. If the order must be preserved, different positions are an error reported in the
//! column's row, as in the reference; so are different types, unless both are integers or both numbers, in which case the wider is used.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Type;

use super::{Argument, Bound, Call, Plugin, PluginArg, PluginError, Shape};
use crate::Value;
use crate::ops::EvalError;
use crate::ops::get_schema::{COLUMNS, data_type};
use crate::ops::whole::{Table, Whole};
use crate::plan::{Expr, Field};

pub static PLUGIN: Plugin = Plugin {
    name: "schema_merge",
    summary: "The columns of several tables as those of one",
    args: &[PluginArg { name: "PreserveOrder", shape: Shape::Const(Type::Bool) }],
    required: 0,
    repeats: false,
    needs_rows: false,
    bind,
    examples: &[("union (datatable(a:int)[] | getschema), (datatable(a:int, b:string)[] | getschema) | evaluate schema_merge()", "string")],
};

fn bind(call: Call) -> Result<Bound, PluginError> {
    let keep_order = !matches!(call.arg(0), Some(Argument::Const(Value::Bool(false))));
    let mut exprs = Vec::with_capacity(COLUMNS.len());
    for (name, ty) in COLUMNS {
        match call.input.iter().find(|field| *field.name == *name && field.ty == ty) {
            Some(field) => exprs.push(Expr::column(field)),
            None => return Err(PluginError::Columns(format!("the input has no column `{name}` of type {ty}; `getschema` gives one"))),
        }
    }
    let fields: Vec<Field> = COLUMNS.into_iter().map(|(name, ty)| Field { id: (call.fresh)(), name: name.into(), ty }).collect();
    let own = fields.iter().map(|field| field.id).collect();
    let answer = move |table: &Table| merge(table, keep_order);
    Ok(Bound { op: Box::new(Whole { name: PLUGIN.name, exprs, own, answer: Arc::new(answer) }), fields })
}

struct Merged {
    first: i64,
    last: i64,
    ty: Result<Type, String>,
}

fn merge(table: &Table, keep_order: bool) -> Result<Vec<arrow::array::ArrayRef>, EvalError> {
    let mut columns: BTreeMap<String, Merged> = BTreeMap::new();
    for row in 0..table.rows {
        let cell = |at: usize| table.value(at, row, COLUMNS[at].1);
        let (name, at) = (cell(0).to_text(), cell(1).as_i64().unwrap_or(-1));
        let word = cell(3).to_text();
        let ty = Type::parse(&word).ok_or_else(|| format!("unknown CSL type:{word}"));
        match columns.get_mut(&name) {
            None => {
                columns.insert(name, Merged { first: at, last: at, ty });
            }
            Some(known) => {
                known.first = known.first.min(at);
                known.last = known.last.max(at);
                known.ty = match (std::mem::replace(&mut known.ty, Err(String::new())), ty) {
                    (Ok(a), Ok(b)) => common(a, b),
                    (Err(why), _) | (_, Err(why)) => Err(why),
                };
            }
        }
    }
    let mut sorted: Vec<(String, Merged)> = columns.into_iter().collect();
    sorted.iter_mut().filter(|(_, column)| keep_order && column.first != column.last).for_each(|(_, column)| {
        column.ty = Err("columns are out of order".to_owned());
    });
    sorted.sort_by_key(|(_, column)| (column.ty.is_err(), column.last));
    let mut own: [Vec<Value>; 4] = Default::default();
    for (place, (name, column)) in sorted.into_iter().enumerate() {
        let [names, places, data_types, types] = &mut own;
        names.push(Value::String(name));
        let (at, data, word) = match column.ty {
            Ok(ty) => (place as i64, data_type(ty).to_owned(), ty.name().to_owned()),
            Err(why) => (-1, format!("ERROR(unknown CSL type:ERROR({why}))"), format!("ERROR({why})")),
        };
        places.push(Value::Long(at));
        data_types.push(Value::String(data));
        types.push(Value::String(word));
    }
    Ok(own.iter().zip(COLUMNS).map(|(values, (_, ty))| Value::array(values, ty)).collect())
}

/// A type that can represent the values of both.
fn common(a: Type, b: Type) -> Result<Type, String> {
    let wide = |ty: Type| [Type::Int, Type::Long, Type::Real, Type::Decimal].iter().position(|known| *known == ty);
    match (a, b) {
        _ if a == b => Ok(a),
        _ if wide(a).is_some() && wide(b).is_some() => Ok(if wide(a) > wide(b) { a } else { b }),
        _ => Err(format!("types {} and {} have nothing in common", a.name().min(b.name()), a.name().max(b.name()))),
    }
}
