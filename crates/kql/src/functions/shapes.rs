//! Shape arguments of the `geo_*` functions: parsed once if constant, otherwise only if the text differs from that of the previous row
//! (which is effective for cross joins with a table of polygons).

use super::columns::Texts;
use super::{Args, Kernel, Prepare, PrepareError, kernel};
use crate::Value;

/// Argument `index`, parsed by `read`.
pub struct Shape<T> {
    index: usize,
    read: fn(&str) -> Option<T>,
    constant: Option<Option<T>>,
}

impl<T> Shape<T> {
    pub fn new(prepare: &Prepare, index: usize, read: fn(&str) -> Option<T>) -> Shape<T> {
        let constant = prepare.constants.get(index).and_then(Option::as_ref).map(|value| match value {
            Value::Dynamic(json) => read(json),
            _ => None,
        });
        Shape { index, read, constant }
    }

    /// A reader for the rows of one batch.
    pub fn rows<'a>(&'a self, args: &'a Args) -> Rows<'a, T> {
        Rows { shape: self, texts: args.texts(self.index), last: None }
    }
}

pub struct Rows<'a, T> {
    shape: &'a Shape<T>,
    texts: Texts<'a>,
    last: Option<(&'a str, Option<T>)>,
}

impl<T> Rows<'_, T> {
    /// The shape at `row`; `None` if it is invalid.
    pub fn at(&mut self, row: usize) -> Option<&T> {
        if let Some(constant) = &self.shape.constant {
            return constant.as_ref();
        }
        let text = self.texts.opt(row)?;
        if self.last.as_ref().is_none_or(|(known, _)| *known != text) {
            self.last = Some((text, (self.shape.read)(text)));
        }
        self.last.as_ref()?.1.as_ref()
    }
}

type Made = Result<Box<dyn Kernel>, PrepareError>;

/// A real per row, computed from the shape in argument `index`.
pub fn reals<T: Send + Sync + 'static>(
    prepare: &Prepare,
    index: usize,
    read: fn(&str) -> Option<T>,
    of: impl Fn(&Args, usize, &T) -> Option<f64> + Send + Sync + 'static,
) -> Made {
    let shape = Shape::new(prepare, index, read);
    Ok(kernel(move |args| {
        let mut shapes = shape.rows(args);
        args.map_reals(|row| of(args, row, shapes.at(row)?))
    }))
}

/// A bool per row, computed from the shape in argument `index`.
pub fn bools<T: Send + Sync + 'static>(
    prepare: &Prepare,
    index: usize,
    read: fn(&str) -> Option<T>,
    of: impl Fn(&Args, usize, &T) -> Option<bool> + Send + Sync + 'static,
) -> Made {
    let shape = Shape::new(prepare, index, read);
    Ok(kernel(move |args| {
        let mut shapes = shape.rows(args);
        args.map_bools(|row| of(args, row, shapes.at(row)?))
    }))
}

/// A JSON value per row, computed from the shape in argument `index` and appended to the buffer.
pub fn json<T: Send + Sync + 'static>(
    prepare: &Prepare,
    index: usize,
    read: fn(&str) -> Option<T>,
    of: impl Fn(&Args, usize, &T, &mut String) -> Option<()> + Send + Sync + 'static,
) -> Made {
    let shape = Shape::new(prepare, index, read);
    Ok(kernel(move |args| {
        let mut shapes = shape.rows(args);
        args.map_json(|row, out| of(args, row, shapes.at(row)?, out))
    }))
}

/// An optional number; `None` if it is null.
pub fn real_or(args: &Args, index: usize, row: usize, otherwise: f64) -> Option<f64> {
    if args.len() > index { args.reals(index).get(row) } else { Some(otherwise) }
}

pub fn long_or(args: &Args, index: usize, row: usize, otherwise: i64) -> Option<i64> {
    if args.len() > index { args.longs(index).get(row) } else { Some(otherwise) }
}

/// An optional flag.
pub fn flag(args: &Args, index: usize, row: usize) -> Option<bool> {
    if args.len() > index { args.bools(index).get(row) } else { Some(false) }
}
