//! Implicit casts, and matching of arguments to signatures.

use model::Type;

use super::scope::Scalar;
use super::{Binder, diagnostics as code};
use crate::Value;
use crate::functions::{self, Arg, Overload, Resolved, Signature, SignatureError};
use crate::plan::Expr;
use crate::syntax::ast::Place;

/// Larger constants are not folded, because they would be copied with every expression.
const LONGEST_FOLDED: usize = 64 * 1024;

/// Types tried for an argument of unknown type.
const STAND_INS: [Type; 8] = [Type::Dynamic, Type::String, Type::Long, Type::Real, Type::Datetime, Type::Timespan, Type::Bool, Type::Guid];

/// Result of matching a call whose argument types may be unknown.
pub(super) enum Fit {
    Exact(Resolved),
    /// The result type, if it does not depend on the unknown arguments.
    Unknown(Option<Type>),
    Wrong(SignatureError),
}

/// True if a value of type `from` can be cast implicitly to `to`.
pub(crate) fn fits(from: Type, to: Type) -> bool {
    from == to
        || from == Type::Dynamic
        || match to {
            Type::Long => from == Type::Int,
            Type::Int => from == Type::Long,
            Type::Real => matches!(from, Type::Int | Type::Long | Type::Decimal),
            Type::Decimal => matches!(from, Type::Int | Type::Long | Type::Real),
            _ => false,
        }
}

/// Matches `args` to `signature`, assuming all types are known.
pub(crate) fn resolve(signature: &Signature, args: &[Arg]) -> Result<Resolved, SignatureError> {
    match signature {
        Signature::Fixed { args: wanted, required, returns } => {
            if args.len() < *required || args.len() > wanted.len() {
                return Err(SignatureError::Count { least: *required, most: Some(wanted.len()) });
            }
            let bad = args.iter().zip(*wanted).position(|(arg, (_, ty))| !fits(arg.ty, *ty));
            match bad {
                Some(index) => Err(SignatureError::Type { index, wants: wanted[index].1.name().into() }),
                None => Ok(Resolved { args: wanted[..args.len()].iter().map(|(_, ty)| *ty).collect(), returns: *returns }),
            }
        }
        Signature::Overloads(overloads) => overload(overloads, args),
        Signature::Custom(custom) => custom(args),
    }
}

fn overload(overloads: &[Overload], args: &[Arg]) -> Result<Resolved, SignatureError> {
    let of_length = || overloads.iter().filter(|overload| overload.args.len() == args.len());
    let matches =
        |overload: &&Overload, test: fn(Type, Type) -> bool| overload.args.iter().zip(args).all(|((_, ty), arg)| test(arg.ty, *ty));
    let found = of_length()
        .find(|overload| matches(overload, |from, to| from == to))
        .or_else(|| of_length().find(|overload| matches(overload, fits)));
    if let Some(overload) = found {
        return Ok(Resolved { args: overload.args.iter().map(|(_, ty)| *ty).collect(), returns: overload.returns });
    }
    if of_length().next().is_none() {
        let counts = overloads.iter().map(|overload| overload.args.len());
        return Err(SignatureError::Count { least: counts.clone().min().unwrap_or(0), most: counts.max() });
    }
    // The argument that no overload accepts; if each is accepted by some overload, the first.
    let index = (0..args.len()).find(|index| !of_length().any(|overload| fits(args[*index].ty, overload.args[*index].1))).unwrap_or(0);
    let mut wanted: Vec<&str> = Vec::new();
    for overload in of_length() {
        let name = overload.args[index].1.name();
        if !wanted.contains(&name) {
            wanted.push(name);
        }
    }
    Err(SignatureError::Type { index, wants: wanted.join(" or ").into() })
}

/// Matches `args` to `signature`.
pub(super) fn fit(signature: &Signature, args: &[Scalar]) -> Fit {
    let with = |stand_in: Type| {
        let args: Vec<Arg> = args
            .iter()
            .map(|arg| if arg.known { Arg { ty: arg.ty(), constant: arg.expr.as_const() } } else { Arg { ty: stand_in, constant: None } })
            .collect();
        resolve(signature, &args)
    };
    if args.iter().all(|arg| arg.known) {
        return match with(Type::Dynamic) {
            Ok(resolved) => Fit::Exact(resolved),
            Err(error) => Fit::Wrong(error),
        };
    }
    let mut returns: Option<Type> = None;
    for (index, stand_in) in STAND_INS.into_iter().enumerate() {
        match with(stand_in) {
            Ok(resolved) if returns.is_some_and(|known| known != resolved.returns) => return Fit::Unknown(None),
            Ok(resolved) => returns = Some(resolved.returns),
            Err(error @ SignatureError::Count { .. }) if index == 0 => return Fit::Wrong(error),
            Err(_) => {}
        }
    }
    Fit::Unknown(returns)
}

impl Binder<'_> {
    /// Converts `value` to `ty`, by a cast function if needed.
    pub(super) fn cast(&mut self, value: Scalar, ty: Type) -> Scalar {
        if value.ty() == ty {
            return value;
        }
        if !value.known {
            return Scalar { expr: Self::null(ty), known: false };
        }
        let simple = match (value.expr.as_const(), ty) {
            (Some(Value::Null(_)), _) => Some(Self::null(ty)),
            (Some(Value::Int(n)), Type::Long) => Some(Expr::constant(Value::Long((*n).into()))),
            (Some(Value::Int(n)), Type::Real) => Some(Expr::constant(Value::Real((*n).into()))),
            (Some(Value::Long(n)), Type::Real) => Some(Expr::constant(Value::Real(*n as f64))),
            (Some(Value::Long(n)), Type::Int) => i32::try_from(*n).ok().map(|n| Expr::constant(Value::Int(n))),
            _ => None,
        };
        match simple {
            Some(expr) => Scalar::known(expr),
            None => self.call_as("$cast", vec![value], ty),
        }
    }

    /// A call of the function or operator `name`, whose arguments are known to match, with the result type `returns`.
    pub(super) fn call_as(&mut self, name: &'static str, args: Vec<Scalar>, returns: Type) -> Scalar {
        let known = args.iter().all(|arg| arg.known);
        match functions::find(name) {
            Some(function) => {
                let expr = Expr::call(function, args.into_iter().map(|arg| arg.expr).collect(), returns);
                Scalar { expr: self.folded(expr), known }
            }
            None => {
                self.unsupported(&(0..0), &format!("`{name}`"));
                Scalar { expr: Self::null(returns), known: false }
            }
        }
    }

    /// Folds a call over constants; returns anything else unchanged.
    pub(super) fn folded(&self, expr: Expr) -> Expr {
        let crate::plan::ExprKind::Call { function, args } = &expr.kind else { return expr };
        if !function.deterministic || !args.iter().all(|arg| arg.as_const().is_some()) {
            return expr;
        }
        if function.reads_clock {
            self.clock_read.set(true);
            if self.defers_clock {
                return expr;
            }
        }
        match crate::eval::fold(&expr, &self.runtime) {
            Some(value) if value.ty() == expr.ty && value.as_str().is_none_or(|text| text.len() <= LONGEST_FOLDED) => Expr::constant(value),
            _ => expr,
        }
    }

    /// Records that a valid call does not match our signature: there will be no plan, for this reason.
    pub(super) fn postpone_fit(&mut self, name: &str, error: &SignatureError, args: &[Scalar], places: &[Place], place: &Place) {
        let before = self.diagnostics.len();
        self.report_fit(name, error, args, places, place);
        let said = self.diagnostics.drain(before..).next();
        if let (None, Some(said)) = (&self.open, said) {
            self.open = Some(said);
        }
    }

    /// Reports why a call does not match.
    pub(super) fn report_fit(&mut self, name: &str, error: &SignatureError, args: &[Scalar], places: &[Place], place: &Place) {
        match error {
            SignatureError::Count { least, most } => {
                let wants = match most {
                    Some(most) if most == least => format!("{least} {}", if *least == 1 { "argument" } else { "arguments" }),
                    Some(most) => format!("{least} to {most} arguments"),
                    None => format!("at least {least} {}", if *least == 1 { "argument" } else { "arguments" }),
                };
                self.report(code::ARGUMENT_COUNT, place, format!("`{name}` wants {wants}, got {}", args.len()));
            }
            SignatureError::Type { index, wants } => {
                let at = places.get(*index).unwrap_or(place);
                let got = args.get(*index).map_or("nothing", |arg| arg.ty().name());
                self.report(code::WRONG_TYPE, at, format!("`{name}` wants {wants} for argument {}, got {got}", index + 1));
            }
            SignatureError::Constant { index, wants } => {
                let at = places.get(*index).unwrap_or(place);
                self.report(code::NOT_CONSTANT, at, format!("`{name}` wants {wants} for argument {}", index + 1));
            }
            SignatureError::Unsupported(what) => self.report(code::UNSUPPORTED, place, format!("`{name}` {what}")),
        }
    }
}
