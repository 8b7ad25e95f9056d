//! `[]` — a property or element of a dynamic value: `d.a`, `d["a"]`, `d[0]`, `d[-1]`. Takes any number of keys, so that a path is one call
//! with one scan of the text. A missing property or element is null.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewBuilder};
use model::Type;

use super::{Arg, Args, Column, Family, Kernel, Prepare, PrepareError, Resolved, ScalarFn, Signature, SignatureError, kernel};
use crate::Value;
use crate::dynamic;

pub static FAMILY: Family = &[&INDEX];

static INDEX: ScalarFn = ScalarFn {
    name: "[]",
    summary: "The property or element of a dynamic value",
    signature: Signature::Custom(resolve),
    examples: &[(r#"dynamic({"a":[1,{"b":"x"}]}).a[1].b"#, "x"), (r#"dynamic([1,2,3])[-1]"#, "3"), (r#"dynamic({"a":1}).other"#, "")],
    prepare: compile,
    ..ScalarFn::DEFAULT
};

fn resolve(args: &[Arg]) -> Result<Resolved, SignatureError> {
    let [value, keys @ ..] = args else {
        return Err(SignatureError::Count { least: 2, most: None });
    };
    if keys.is_empty() {
        return Err(SignatureError::Count { least: 2, most: None });
    }
    if value.ty != Type::Dynamic {
        return Err(SignatureError::Type { index: 0, wants: "dynamic".into() });
    }
    let mut types = vec![Type::Dynamic];
    for (index, key) in keys.iter().enumerate() {
        types.push(match key.ty {
            Type::String | Type::Dynamic => key.ty,
            Type::Int | Type::Long => Type::Long,
            _ => return Err(SignatureError::Type { index: index + 1, wants: "string or long".into() }),
        });
    }
    Ok(Resolved { args: types, returns: Type::Dynamic })
}

enum Key {
    Name(String),
    At(i64),
    /// A non-constant argument.
    Arg(usize, Type),
}

impl Key {
    fn constant(value: &Value) -> Option<Key> {
        match value {
            Value::String(name) => Some(Key::Name(name.clone())),
            Value::Int(n) => Some(Key::At((*n).into())),
            Value::Long(n) => Some(Key::At(*n)),
            Value::Dynamic(json) => match dynamic::kind(json) {
                dynamic::Kind::Long(n) => Some(Key::At(n)),
                dynamic::Kind::String => Some(Key::Name(dynamic::unquote(json).into_owned())),
                _ => None,
            },
            _ => None,
        }
    }

    fn find<'a>(&self, json: &'a str) -> Option<&'a str> {
        match self {
            Key::Name(name) => dynamic::property(json, name),
            Key::At(index) => dynamic::index(json, *index),
            Key::Arg(..) => None,
        }
    }
}

fn compile(prepare: &Prepare) -> Result<Box<dyn Kernel>, PrepareError> {
    let mut path = Vec::new();
    for (index, constant) in prepare.constants.iter().enumerate().skip(1) {
        path.push(match constant {
            // A null key finds nothing; represented by an index that no array has.
            Some(value) => Key::constant(value).unwrap_or(Key::At(i64::MIN)),
            None => Key::Arg(index, prepare.types[index]),
        });
    }
    Ok(kernel(move |args| {
        let steps = |json, row: usize| {
            path.iter().try_fold(json, |json, key| match key {
                Key::Arg(index, ty) => {
                    let column = &args.arrays[*index];
                    let row = if column.is_scalar() { 0 } else { row };
                    Key::constant(&Value::from_cell(column.inner(), row, *ty))?.find(json)
                }
                key => key.find(json),
            })
        };
        slices(args, 0, steps)
    }))
}

/// The slice of argument `index` selected by `find`, or null; slices share the argument's buffers.
pub(super) fn slices<'a>(args: &'a Args, index: usize, mut find: impl FnMut(&'a str, usize) -> Option<&'a str>) -> ArrayRef {
    let column = &args.arrays[index];
    let Column::Array(array) = column else {
        let texts = args.texts(index);
        return args.map_json(|row, out| {
            out.push_str(texts.opt(row).and_then(|json| find(json, row))?);
            Some(())
        });
    };
    let views = array.as_string_view();
    let mut out = StringViewBuilder::with_capacity(views.len());
    let blocks: Vec<u32> = views.data_buffers().iter().map(|buffer| out.append_block(buffer.clone())).collect();
    for row in 0..views.len() {
        if views.is_null(row) {
            out.append_null();
            continue;
        }
        let whole = views.value(row);
        match find(whole, row) {
            None | Some("null") => out.append_null(),
            // A short text is inlined in its view; a long one is in a buffer, at the offset given in the view.
            Some(part) if part.len() > 12 => {
                let view = arrow::array::ByteView::from(views.views()[row]);
                let offset = part.as_ptr() as usize - whole.as_ptr() as usize;
                let block = blocks.get(view.buffer_index as usize).copied();
                let placed = block.is_some_and(|block| {
                    let start = u32::try_from(view.offset as usize + offset);
                    start.is_ok_and(|start| out.try_append_view(block, start, part.len() as u32).is_ok())
                });
                if !placed {
                    out.append_value(part);
                }
            }
            Some(part) => out.append_value(part),
        }
    }
    Arc::new(out.finish())
}
