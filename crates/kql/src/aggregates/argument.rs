//! Which arguments aggregates take. The kinds of type are those of Microsoft's own binder: *summable* (numbers, datetime, timespan),
//! *orderable* (those, bool and string), *scalar* (anything).

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

/// The type of argument `index`, which must be summable.
pub fn summable(args: &[Arg], index: usize) -> Result<Type, SignatureError> {
    let ty = args[index].ty;
    if is_summable(ty) { Ok(ty) } else { Err(SignatureError::Type { index, wants: SUMMABLE.into() }) }
}

pub fn orderable(args: &[Arg], index: usize) -> Result<Type, SignatureError> {
    let ty = args[index].ty;
    if is_orderable(ty) { Ok(ty) } else { Err(SignatureError::Type { index, wants: ORDERABLE.into() }) }
}

/// Argument `index` must be exactly of type `want`, or dynamic, which is cast.
pub fn exactly(args: &[Arg], index: usize, want: Type) -> Result<Type, SignatureError> {
    match args[index].ty {
        ty if ty == want || ty == Type::Dynamic => Ok(want),
        _ => Err(SignatureError::Type { index, wants: Cow::Borrowed(want.name()) }),
    }
}

/// Argument `index`, where it is there, must be a constant whole number; it becomes a long.
pub fn constant_long(args: &[Arg], index: usize) -> Result<Option<Type>, SignatureError> {
    let Some(arg) = args.get(index) else { return Ok(None) };
    match (arg.ty, arg.constant) {
        (Type::Int | Type::Long, Some(_)) => Ok(Some(arg.ty)),
        _ => Err(SignatureError::Constant { index, wants: "a whole number".into() }),
    }
}

/// `int` becomes `long`, as results of sums do.
pub fn promoted(ty: Type) -> Type {
    if ty == Type::Int { Type::Long } else { ty }
}

/// A signature of one summable argument, kept as it is, and a fixed result.
pub fn summable_to_real(args: &[Arg]) -> Result<Resolved, SignatureError> {
    count(args, 1, 1)?;
    Ok(Resolved { args: vec![summable(args, 0)?], returns: Type::Real })
}
