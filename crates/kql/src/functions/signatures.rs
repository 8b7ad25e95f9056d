//! Common signatures.

use model::Type;

use super::cast::common;
use super::{Arg, Resolved, Signature, SignatureError};

/// Named parameters, all required.
pub const fn all(args: &'static [(&'static str, Type)], returns: Type) -> Signature {
    Signature::Fixed { args, required: args.len(), returns }
}

/// Named parameters; those after `required` are optional.
pub const fn some(args: &'static [(&'static str, Type)], required: usize, returns: Type) -> Signature {
    Signature::Fixed { args, required, returns }
}

pub fn count(args: &[Arg], least: usize, most: Option<usize>) -> Result<(), SignatureError> {
    if args.len() < least || most.is_some_and(|most| args.len() > most) {
        return Err(SignatureError::Count { least, most });
    }
    Ok(())
}

pub fn wants(index: usize, what: &'static str) -> SignatureError {
    SignatureError::Type { index, wants: what.into() }
}

/// Accepts the arguments without conversion.
pub fn as_is(args: &[Arg], returns: Type) -> Result<Resolved, SignatureError> {
    Ok(Resolved { args: args.iter().map(|arg| arg.ty).collect(), returns })
}

/// One argument of any type.
pub fn any_to<const RETURNS: u8>(args: &[Arg]) -> Result<Resolved, SignatureError> {
    count(args, 1, Some(1))?;
    as_is(args, Type::ALL[RETURNS as usize])
}

/// From `least` to `most` arguments, all converted to strings.
pub fn texts(args: &[Arg], least: usize, most: Option<usize>, returns: Type) -> Result<Resolved, SignatureError> {
    count(args, least, most)?;
    Ok(Resolved { args: vec![Type::String; args.len()], returns })
}

/// A first argument that is converted to a string, followed by arguments of fixed types.
pub fn text_then(args: &[Arg], then: &[Type], least: usize, returns: Type) -> Result<Resolved, SignatureError> {
    count(args, least, Some(then.len() + 1))?;
    Ok(Resolved { args: std::iter::once(Type::String).chain(then.iter().copied()).take(args.len()).collect(), returns })
}

/// All arguments converted to their common type.
pub fn meeting(args: &[Arg], least: usize) -> Result<Resolved, SignatureError> {
    count(args, least, None)?;
    let ty = common(args.iter().map(|arg| arg.ty)).ok_or(wants(1, "the type of the other arguments"))?;
    Ok(Resolved { args: vec![ty; args.len()], returns: ty })
}

/// The type named by a `typeof(…)` argument.
pub fn type_argument(arg: &Arg, index: usize) -> Result<Type, SignatureError> {
    let name = arg.constant.and_then(|value| value.as_str()).and_then(Type::parse);
    name.ok_or(SignatureError::Constant { index, wants: "`typeof(…)`".into() })
}
