//! Argument checks of aggregates. The type classes are those of Microsoft's binder: *summable* (numbers, datetime, timespan), *orderable*
//! (also bool and string), *scalar* (any type).

use std::borrow::Cow;

use model::Type;

use crate::functions::{Arg, Resolved, SignatureError};

pub const SUMMABLE: &str = "a number, datetime or timespan";
pub const ORDERABLE: &str = "a bool, number, datetime, timespan or string";

pub fn is_summable(ty: Type) -> bool {
    ty.is_numeric() || matches!(ty, Type::Datetime | Type::Timespan)
}

pub fn is_orderable(ty: Type) -> bool {
    is_summable(ty) || matches!(ty, Type::Bool | Type::String)
}

/// Checks the number of arguments.
pub fn count(args: &[Arg], least: usize, most: usize) -> Result<(), SignatureError> {
    if (least..=most).contains(&args.len()) { Ok(()) } else { Err(SignatureError::Count { least, most: Some(most) }) }
}

/// Returns the type of argument `index`, which must be summable.
pub fn summable(args: &[Arg], index: usize) -> Result<Type, SignatureError> {
    let ty = args[index].ty;
    if is_summable(ty) { Ok(ty) } else { Err(SignatureError::Type { index, wants: SUMMABLE.into() }) }
}

pub fn orderable(args: &[Arg], index: usize) -> Result<Type, SignatureError> {
    let ty = args[index].ty;
    if is_orderable(ty) { Ok(ty) } else { Err(SignatureError::Type { index, wants: ORDERABLE.into() }) }
}

/// Argument `index` must have type `want`, or be dynamic, which is cast.
pub fn exactly(args: &[Arg], index: usize, want: Type) -> Result<Type, SignatureError> {
    match args[index].ty {
        ty if ty == want || ty == Type::Dynamic => Ok(want),
        _ => Err(SignatureError::Type { index, wants: Cow::Borrowed(want.name()) }),
    }
}

/// Argument `index`, if present, must be a constant integer; it becomes a long.
pub fn constant_long(args: &[Arg], index: usize) -> Result<Option<Type>, SignatureError> {
    let Some(arg) = args.get(index) else { return Ok(None) };
    match (arg.ty, arg.constant) {
        (Type::Int | Type::Long, Some(_)) => Ok(Some(arg.ty)),
        _ => Err(SignatureError::Constant { index, wants: "a whole number".into() }),
    }
}

/// `int` becomes `long`, as in results of `sum`.
pub fn promoted(ty: Type) -> Type {
    if ty == Type::Int { Type::Long } else { ty }
}

/// Signature with one summable argument, unconverted, and the result type real.
pub fn summable_to_real(args: &[Arg]) -> Result<Resolved, SignatureError> {
    count(args, 1, 1)?;
    Ok(Resolved { args: vec![summable(args, 0)?], returns: Type::Real })
}
