//! `$cast` — an implicit conversion inserted by the binder; its result type is that of the expression. Converts like `tolong`, `tostring`
//! and so on.

use model::Type;

use super::{Arg, Column, Family, Resolved, ScalarFn, Signature, SignatureError, kernel};
use crate::value::cast;

pub static FAMILY: Family = &[&CAST];

static CAST: ScalarFn = ScalarFn {
    name: "$cast",
    summary: "Converts a value to the type an operator or function asks for",
    signature: Signature::Custom(resolve),
    prepare: |prepare| {
        let (from, to) = (prepare.types.first().copied().unwrap_or(prepare.returns), prepare.returns);
        Ok(kernel(move |args| match &args.arrays[0] {
            Column::Array(array) => cast::array(array, from, to),
            Column::Scalar(one) => crate::eval::repeat(&cast::array(one, from, to), args.rows),
        }))
    },
    ..ScalarFn::DEFAULT
};

/// The binder builds the call with its type; only the number of arguments is checked here.
fn resolve(args: &[Arg]) -> Result<Resolved, SignatureError> {
    match args {
        [arg] => Ok(Resolved { args: vec![arg.ty], returns: arg.ty }),
        _ => Err(SignatureError::Count { least: 1, most: Some(1) }),
    }
}

/// The wider of two numeric types: int, long, real, decimal.
pub fn wider(a: Type, b: Type) -> Option<Type> {
    let rank = |ty| [Type::Int, Type::Long, Type::Real, Type::Decimal].iter().position(|t| *t == ty);
    Some(if rank(a)? >= rank(b)? { a } else { b })
}

/// The common type of several values (the branches of `iff`, the elements of `in`): the widest numeric type, or the only type that is not
/// `dynamic`.
pub fn common(types: impl IntoIterator<Item = Type>) -> Option<Type> {
    types.into_iter().map(Some).reduce(|a, b| match (a?, b?) {
        (a, b) if a == b => Some(a),
        (Type::Dynamic, other) | (other, Type::Dynamic) => Some(other),
        (a, b) => wider(a, b),
    })?
}
