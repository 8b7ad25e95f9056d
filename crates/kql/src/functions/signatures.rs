//! Signatures that many functions share.

use model::Type;

use super::cast::common;
use super::{Arg, Resolved, Signature, SignatureError};

/// Named arguments, all of them required.
pub const fn all(args: &'static [(&'static str, Type)], returns: Type) -> Signature {
    Signature::Fixed { args, required: args.len(), returns }
}

/// Named arguments; those after `required` may be left out.
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

/// Takes the arguments as they are.
pub fn as_is(args: &[Arg], returns: Type) -> Result<Resolved, SignatureError> {
    Ok(Resolved { args: args.iter().map(|arg| arg.ty).collect(), returns })
}

/// One argument of any type.
pub fn any_to<const RETURNS: u8>(args: &[Arg]) -> Result<Resolved, SignatureError> {
    count(args, 1, Some(1))?;
    as_is(args, Type::ALL[RETURNS as usize])
}

/// All arguments as strings, whatever they are; from `least` to `most` of them.
pub fn texts(args: &[Arg], least: usize, most: Option<usize>, returns: Type) -> Result<Resolved, SignatureError> {
    count(args, least, most)?;
    Ok(Resolved { args: vec![Type::String; args.len()], returns })
}

/// Arguments of fixed types after a first one that is read as a string whatever it is.
pub fn text_then(args: &[Arg], then: &[Type], least: usize, returns: Type) -> Result<Resolved, SignatureError> {
    count(args, least, Some(then.len() + 1))?;
    Ok(Resolved { args: std::iter::once(Type::String).chain(then.iter().copied()).take(args.len()).collect(), returns })
}

/// All arguments in the type in which they meet.
pub fn meeting(args: &[Arg], least: usize) -> Result<Resolved, SignatureError> {
    count(args, least, None)?;
    let ty = common(args.iter().map(|arg| arg.ty)).ok_or(wants(1, "the type of the other arguments"))?;
    Ok(Resolved { args: vec![ty; args.len()], returns: ty })
}

/// The type that a `typeof(…)` argument names.
pub fn type_argument(arg: &Arg, index: usize) -> Result<Type, SignatureError> {
    let name = arg.constant.and_then(|value| value.as_str()).and_then(Type::parse);
    name.ok_or(SignatureError::Constant { index, wants: "`typeof(…)`".into() })
}
