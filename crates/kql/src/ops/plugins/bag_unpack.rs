//! `bag_unpack(column, prefix, columnsConflict, ignoredProperties)` — expand the properties of a dynamic column to columns. Source: the
//! public KQL reference, `bag-unpack-plugin`.
//!
//! The input's other columns come first, then the properties by name. A property with the name of the unpacked column takes its position
//! (recorded from Microsoft's engine). A column has the common type of its values, otherwise it is dynamic.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::record_batch::RecordBatch;
use model::Type;

use super::{Argument, Bound, Call, Plugin, PluginArg, PluginError, Shape};
use crate::Value;
use crate::dynamic::{self, Kind};
use crate::ops::layout::Layout;
use crate::ops::{EvalError, Evaluator, OpState, Runtime, TableOp};
use crate::plan::{ColumnId, Expr, ExprKind, Field};
use crate::value::cells::Cells;

pub static PLUGIN: Plugin = Plugin {
    name: "bag_unpack",
    summary: "The properties of a dynamic column as columns",
    args: &[
        PluginArg { name: "column", shape: Shape::Expr },
        PluginArg { name: "OutputColumnPrefix", shape: Shape::Const(Type::String) },
        PluginArg { name: "columnsConflict", shape: Shape::Const(Type::String) },
        PluginArg { name: "ignoredProperties", shape: Shape::Const(Type::Dynamic) },
    ],
    required: 1,
    repeats: false,
    needs_rows: true,
    bind,
    examples: &[(r#"datatable(d:dynamic)[dynamic({"Name": "John", "Age": 20})] | evaluate bag_unpack(d)"#, "John")],
};

const MOST_COLUMNS: usize = 10_000;

/// What to do if a property has the name of an input column.
#[derive(Clone, Copy, PartialEq)]
enum Conflict {
    Error,
    Replace,
    Keep,
}

fn bind(call: Call) -> Result<Bound, PluginError> {
    let bag = match call.arg(0) {
        Some(Argument::Expr { expr, .. }) if expr.ty == Type::Dynamic => expr.clone(),
        _ => return Err(PluginError::Argument { index: 0, message: "must be a dynamic column".to_owned() }),
    };
    let ExprKind::Column(bag_id) = bag.kind else {
        return Err(PluginError::Argument { index: 0, message: "must be a column".to_owned() });
    };
    let text = |index: usize| match call.arg(index) {
        Some(Argument::Const(value)) => value.as_str().unwrap_or("").to_owned(),
        _ => String::new(),
    };
    let prefix = text(1);
    let conflict = match text(2).as_str() {
        "" | "error" => Conflict::Error,
        "replace_source" => Conflict::Replace,
        "keep_source" => Conflict::Keep,
        other => {
            let message = format!("`{other}` is not one of `error`, `replace_source`, `keep_source`");
            return Err(PluginError::Argument { index: 2, message });
        }
    };
    let ignored: Vec<String> = match call.arg(3) {
        Some(Argument::Const(Value::Dynamic(json))) => dynamic::elements(json).into_iter().flatten().map(dynamic::to_text).collect(),
        _ => Vec::new(),
    };

    let mut columns = Vec::new();
    if let Some(schema) = call.schema {
        // Declared columns are in declared order, including those of the input.
        let declared = |field: &Field| schema.iter().any(|(name, _)| **name == *field.name);
        let rest = call.input.iter().filter(|field| call.schema_star && field.id != bag_id && !declared(field));
        let mut fields: Vec<Field> = rest.cloned().collect();
        for (name, ty) in schema {
            // A declared column of the input is that column; all others are properties.
            match call.input.iter().find(|field| field.id != bag_id && *field.name == **name) {
                Some(field) if fields.iter().all(|known| known.id != field.id) => fields.push(field.clone()),
                Some(_) => {}
                None => {
                    let field = Field { id: (call.fresh)(), name: name.as_str().into(), ty: *ty };
                    let key = name.strip_prefix(prefix.as_str()).unwrap_or(name).to_owned();
                    columns.push(Property { key, id: field.id, ty: *ty });
                    fields.push(field);
                }
            }
        }
        return Ok(Bound { op: Box::new(BagUnpack { bag, columns }), fields });
    }

    let mut found: BTreeMap<String, (String, Option<Type>)> = BTreeMap::new();
    for batch in call.rows.unwrap_or_default() {
        look(batch, bag_id, &prefix, &ignored, &mut found)?;
    }
    let mut fields = Vec::new();
    for field in call.input {
        let clash = found.contains_key(&*field.name);
        if field.id == bag_id {
            if let Some((key, ty)) = found.remove(&*field.name) {
                add(&mut columns, &mut fields, call.fresh, (field.name.to_string(), key, ty));
            }
        } else if clash && conflict == Conflict::Error {
            let message = format!(
                "the property `{}` is called like a column: set `columnsConflict` to `replace_source` or `keep_source`",
                field.name
            );
            return Err(PluginError::Columns(message));
        } else if let Some((key, ty)) = found.remove(&*field.name).filter(|_| conflict == Conflict::Replace) {
            // At the column's position, as documented.
            add(&mut columns, &mut fields, call.fresh, (field.name.to_string(), key, ty));
        } else {
            fields.push(field.clone());
        }
    }
    for (name, (key, ty)) in found {
        add(&mut columns, &mut fields, call.fresh, (name, key, ty));
    }
    Ok(Bound { op: Box::new(BagUnpack { bag, columns }), fields })
}

fn add(
    columns: &mut Vec<Property>,
    fields: &mut Vec<Field>,
    fresh: &mut dyn FnMut() -> ColumnId,
    (name, key, ty): (String, String, Option<Type>),
) {
    let (id, ty) = (fresh(), ty.unwrap_or(Type::Dynamic));
    columns.push(Property { key, id, ty });
    fields.push(Field { id, name: name.into(), ty });
}

/// Collects the properties of a batch: column name → key, and the common type of the values so far.
fn look(
    batch: &RecordBatch,
    bag: ColumnId,
    prefix: &str,
    ignored: &[String],
    found: &mut BTreeMap<String, (String, Option<Type>)>,
) -> Result<(), PluginError> {
    let Some(column) = batch.column_by_name(&bag.to_string()).and_then(|column| column.as_string_view_opt()) else { return Ok(()) };
    for json in column.iter().flatten() {
        for (key, value) in dynamic::entries(json).into_iter().flatten() {
            let ty = match dynamic::kind(value) {
                Kind::Null | Kind::Invalid => None,
                Kind::Bool(_) => Some(Type::Bool),
                Kind::Long(_) => Some(Type::Long),
                Kind::Real(_) => Some(Type::Real),
                Kind::String => Some(Type::String),
                Kind::Array | Kind::Object => Some(Type::Dynamic),
            };
            let key = dynamic::unquote(key);
            if ignored.iter().any(|name| *name == key) {
                continue;
            }
            let known = found.entry(format!("{prefix}{key}")).or_insert_with(|| (key.into_owned(), ty));
            known.1 = match (known.1, ty) {
                (Some(known), Some(new)) if known != new => Some(Type::Dynamic),
                (known, new) => known.or(new),
            };
        }
        if found.len() > MOST_COLUMNS {
            return Err(PluginError::Columns(format!("there are more than {MOST_COLUMNS} properties")));
        }
    }
    Ok(())
}

#[derive(Clone, Debug)]
struct BagUnpack {
    bag: Expr,
    columns: Vec<Property>,
}

#[derive(Clone, Debug)]
struct Property {
    key: String,
    id: ColumnId,
    ty: Type,
}

impl TableOp for BagUnpack {
    fn name(&self) -> &'static str {
        "bag_unpack"
    }

    fn exprs(&self) -> Vec<&Expr> {
        vec![&self.bag]
    }

    fn map_exprs(&self, f: &mut dyn FnMut(&Expr) -> Expr) -> Box<dyn TableOp> {
        Box::new(Self { bag: f(&self.bag), columns: self.columns.clone() })
    }

    fn passes(&self, field: ColumnId) -> bool {
        self.columns.iter().all(|column| column.id != field)
    }

    fn per_row(&self) -> bool {
        true
    }

    fn start(&self, inputs: &[Vec<Field>], outputs: &[Field], runtime: &Runtime) -> Result<Box<dyn OpState>, EvalError> {
        let own: Vec<ColumnId> = self.columns.iter().map(|column| column.id).collect();
        Ok(Box::new(Running {
            bag: Evaluator::new(&self.bag, &inputs[0], runtime)?,
            columns: self.columns.clone(),
            layout: Layout::new(&inputs[0], outputs, &own)?,
        }))
    }
}

struct Running {
    bag: Evaluator,
    columns: Vec<Property>,
    layout: Layout,
}

impl OpState for Running {
    fn push(&mut self, _: usize, batch: &RecordBatch, out: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        let bags = self.bag.eval(batch)?;
        let texts = bags.as_string_view();
        let own = self.columns.iter().map(|column| -> ArrayRef {
            let mut cells = Cells::new(column.ty, batch.num_rows());
            for row in 0..batch.num_rows() {
                let value = texts.is_valid(row).then(|| dynamic::property(texts.value(row), &column.key)).flatten();
                cells.push(&match value.filter(|json| dynamic::kind(json) != Kind::Null) {
                    Some(json) => Value::Dynamic(json.to_owned()),
                    None => Value::null(column.ty),
                });
            }
            cells.finish()
        });
        out.push(self.layout.batch(batch, None, &own.collect::<Vec<_>>(), batch.num_rows())?);
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        Ok(())
    }
}
