//! `…if` variants: any aggregate over the rows for which a predicate is true. Null is false.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::buffer::BooleanBuffer;
use model::Type;

use super::argument;
use super::{Emit, Groups, Start};
use crate::functions::{Arg, PrepareError, Resolved, SignatureError};

/// The included rows, with their groups.
pub fn selected<'a>(groups: &'a [usize], filter: Option<&'a BooleanArray>) -> impl Iterator<Item = (usize, usize)> + 'a {
    groups.iter().copied().enumerate().filter(move |(row, _)| filter.is_none_or(|f| f.is_valid(*row) && f.value(*row)))
}

/// The included rows where `array` is not null, with their groups.
pub fn present<'a>(
    array: &'a dyn Array,
    groups: &'a [usize],
    filter: Option<&'a BooleanArray>,
) -> impl Iterator<Item = (usize, usize)> + 'a {
    selected(groups, filter).filter(move |(row, _)| array.is_valid(*row))
}

/// True if both are true; null is false.
fn both(predicate: &BooleanArray, filter: Option<&BooleanArray>) -> BooleanArray {
    let truth = |array: &BooleanArray| -> BooleanBuffer {
        match array.nulls() {
            Some(nulls) => array.values() & nulls.inner(),
            None => array.values().clone(),
        }
    };
    let mut bits = truth(predicate);
    if let Some(filter) = filter {
        bits = &bits & &truth(filter);
    }
    BooleanArray::new(bits, None)
}

/// Arguments of the inner aggregate: without argument `at`, the predicate.
struct Inner {
    types: Vec<Type>,
    constants: Vec<Option<crate::Value>>,
}

impl Inner {
    fn new(start: &Start, at: usize) -> Self {
        let mut types = start.types.to_vec();
        let mut constants = start.constants.to_vec();
        if at < types.len() {
            types.remove(at);
        }
        if at < constants.len() {
            constants.remove(at);
        }
        Self { types, constants }
    }

    fn start(&self, returns: Type) -> Start<'_> {
        Start { types: &self.types, constants: &self.constants, returns }
    }
}

/// State of the inner aggregate, without the predicate argument `AT`.
pub fn state<const AT: usize>(start: &Start, inner: fn(&Start) -> Vec<arrow::datatypes::DataType>) -> Vec<arrow::datatypes::DataType> {
    inner(&Inner::new(start, AT).start(start.returns))
}

/// Starts `inner` over the rows where argument `AT` is true.
pub fn start<const AT: usize>(
    start: &Start,
    inner: fn(&Start) -> Result<Box<dyn Groups>, PrepareError>,
) -> Result<Box<dyn Groups>, PrepareError> {
    let inner = inner(&Inner::new(start, AT).start(start.returns))?;
    Ok(Box::new(If { inner, at: AT }))
}

/// Signature of `inner` with the predicate as argument `AT`.
pub fn resolve<const AT: usize>(args: &[Arg], inner: fn(&[Arg]) -> Result<Resolved, SignatureError>) -> Result<Resolved, SignatureError> {
    if args.len() <= AT {
        // The inner signature reports its own count, to which the predicate is added.
        return Err(SignatureError::Count { least: AT + 1, most: None });
    }
    argument::exactly(args, AT, Type::Bool)?;
    let rest: Vec<Arg> =
        args.iter().enumerate().filter(|(i, _)| *i != AT).map(|(_, arg)| Arg { ty: arg.ty, constant: arg.constant }).collect();
    let shift = |index: usize| if index >= AT { index + 1 } else { index };
    let mut resolved = inner(&rest).map_err(|error| match error {
        SignatureError::Count { least, most } => SignatureError::Count { least: least + 1, most: most.map(|n| n + 1) },
        SignatureError::Type { index, wants } => SignatureError::Type { index: shift(index), wants },
        SignatureError::Constant { index, wants } => SignatureError::Constant { index: shift(index), wants },
        other @ SignatureError::Unsupported(_) => other,
    })?;
    resolved.args.insert(AT, Type::Bool);
    Ok(resolved)
}

struct If {
    inner: Box<dyn Groups>,
    /// Index of the predicate argument.
    at: usize,
}

impl Groups for If {
    fn update(&mut self, args: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) {
        let filter = both(args[self.at].as_boolean(), filter);
        let rest: Vec<ArrayRef> = args.iter().enumerate().filter(|(i, _)| *i != self.at).map(|(_, array)| array.clone()).collect();
        self.inner.update(&rest, groups, Some(&filter), total);
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) {
        self.inner.merge(state, groups, total);
    }

    fn state(&mut self, which: Emit) -> Vec<ArrayRef> {
        self.inner.state(which)
    }

    fn evaluate(&mut self, which: Emit) -> ArrayRef {
        self.inner.evaluate(which)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }
}
