//! `and`, `or`, `not` — three-valued: `false and null` is false, `true or null` is true, everything else with a null is null. `and` and `or`
//! take any number of operands, so that a long chain is one call.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::compute::kernels::boolean;
use model::Type;

use super::signatures::{count, wants};
use super::{Arg, Args, Family, Native, Resolved, ScalarFn, Signature, SignatureError, kernel};

pub static FAMILY: Family = &[&AND, &OR, &NOT];

static AND: ScalarFn = ScalarFn {
    name: "and",
    summary: "True where all operands are true",
    signature: Signature::Custom(resolve),
    examples: &[("true and false", "False"), ("bool(null) and false", "False")],
    prepare: |_| Ok(kernel(|args| chain(args, boolean::and_kleene))),
    native: Native::And,
    ..ScalarFn::DEFAULT
};

static OR: ScalarFn = ScalarFn {
    name: "or",
    summary: "True where one operand is true",
    signature: Signature::Custom(resolve),
    examples: &[("true or false", "True"), ("bool(null) or true", "True")],
    prepare: |_| Ok(kernel(|args| chain(args, boolean::or_kleene))),
    native: Native::Or,
    ..ScalarFn::DEFAULT
};

static NOT: ScalarFn = ScalarFn {
    name: "not",
    summary: "Turns true and false around; null stays null",
    parameters: &["value"],
    // Recorded: an integer is converted to bool.
    signature: Signature::Custom(|args| {
        count(args, 1, Some(1))?;
        match args[0].ty {
            Type::Bool | Type::Dynamic | Type::Int | Type::Long => Ok(Resolved { args: vec![Type::Bool], returns: Type::Bool }),
            _ => Err(wants(0, "bool")),
        }
    }),
    examples: &[("not(true)", "False")],
    prepare: |_| {
        Ok(kernel(|args| {
            let value = args.array(0);
            match boolean::not(value.as_boolean()) {
                Ok(answer) => Arc::new(answer),
                Err(_) => crate::value::cells::nulls(Type::Bool, args.rows),
            }
        }))
    },
    native: Native::Not,
    ..ScalarFn::DEFAULT
};

fn resolve(args: &[Arg]) -> Result<Resolved, SignatureError> {
    if args.len() < 2 {
        return Err(SignatureError::Count { least: 2, most: None });
    }
    match args.iter().position(|arg| !matches!(arg.ty, Type::Bool | Type::Dynamic)) {
        Some(index) => Err(SignatureError::Type { index, wants: "bool".into() }),
        None => Ok(Resolved { args: vec![Type::Bool; args.len()], returns: Type::Bool }),
    }
}

fn chain(args: &Args, join: fn(&BooleanArray, &BooleanArray) -> Result<BooleanArray, arrow::error::ArrowError>) -> ArrayRef {
    let mut answer = args.array(0).as_boolean().clone();
    for index in 1..args.len() {
        match join(&answer, args.array(index).as_boolean()) {
            Ok(joined) => answer = joined,
            Err(_) => return crate::value::cells::nulls(Type::Bool, args.rows),
        }
    }
    debug_assert_eq!(answer.len(), args.rows);
    Arc::new(answer)
}
