//! Shared by the pattern mining plug-ins: arguments for which `~` selects the default, and typed wildcards.

use model::Type;

use super::{Argument, Call, PluginError};
use crate::Value;
use crate::plan::{Expr, Field};

/// Argument `index`, unless it is omitted or `~`.
pub fn given<'a>(call: &Call<'a>, index: usize) -> Option<&'a Expr> {
    match call.arg(index) {
        Some(Argument::Expr { expr, .. }) if expr.as_const().and_then(Value::as_str) != Some("~") => Some(expr),
        _ => None,
    }
}

/// A constant number within bounds, or `default`.
pub fn number(call: &Call, index: usize, least: f64, most: f64, default: f64) -> Result<f64, PluginError> {
    let Some(expr) = given(call, index) else { return Ok(default) };
    let number = expr.as_const().and_then(|value| value.cast(Type::Real).as_f64());
    number.filter(|number| (least..=most).contains(number)).ok_or_else(|| PluginError::Argument {
        index,
        message: if most == f64::MAX {
            format!("must be a constant number of at least {least}, or '~'")
        } else {
            format!("must be a constant number from {least} to {most}, or '~'")
        },
    })
}

/// The column of weights.
pub fn weight(call: &Call, index: usize) -> Result<Option<Expr>, PluginError> {
    match given(call, index) {
        None => Ok(None),
        Some(expr) if expr.ty.is_numeric() && expr.as_const().is_none() => Ok(Some(expr.clone())),
        Some(_) => Err(PluginError::Argument { index, message: "must be a column of numbers, or '~'".to_owned() }),
    }
}

/// A constant text.
pub fn text(call: &Call, index: usize) -> Result<String, PluginError> {
    match call.arg(index) {
        Some(Argument::Expr { expr, .. }) if expr.as_const().is_some() => Ok(expr.as_const().map(Value::to_text).unwrap_or_default()),
        _ => Err(PluginError::Argument { index, message: "must be a constant".to_owned() }),
    }
}

/// The columns whose values form patterns: all except those read by `left_out`.
pub fn dimensions(call: &Call, left_out: &[&Expr]) -> Result<Vec<Field>, PluginError> {
    let used: Vec<_> = left_out.iter().flat_map(|expr| expr.columns()).collect();
    let fields: Vec<Field> = call.input.iter().filter(|field| !used.contains(&field.id)).cloned().collect();
    if fields.is_empty() {
        return Err(PluginError::Columns("there is no column to look for patterns in".to_owned()));
    }
    Ok(fields)
}

/// The value of each column that a pattern leaves open: null (`""`), or the wildcard of its type given by the arguments from `first` on.
pub fn wildcards(call: &Call, first: usize, fields: &[Field]) -> Result<Vec<Value>, PluginError> {
    let mut wild: Vec<Value> = fields.iter().map(|field| Value::null(field.ty)).collect();
    for index in first..call.args.len() {
        let Some(expr) = given(call, index) else { continue };
        let Some(value) = expr.as_const() else {
            return Err(PluginError::Argument { index, message: "must be a constant: the wildcard of its type".to_owned() });
        };
        for (wild, _) in wild.iter_mut().zip(fields).filter(|(_, field)| field.ty == value.ty()) {
            *wild = value.clone();
        }
    }
    Ok(wild)
}

/// New columns.
pub fn fields(call: &mut Call, named: impl IntoIterator<Item = (String, Type)>) -> Vec<Field> {
    named.into_iter().map(|(name, ty)| Field { id: (call.fresh)(), name: name.into(), ty }).collect()
}

/// Creates our columns with unique names: a number is appended if an input column has the same name.
pub fn columns(call: &mut Call, ours: &[(&str, Type)], dimensions: &[Field]) -> Vec<Field> {
    let mut named: Vec<(String, Type)> = ours.iter().map(|(name, ty)| ((*name).to_owned(), *ty)).collect();
    for field in dimensions {
        let mut name = field.name.to_string();
        let mut number = 0;
        while named.iter().any(|(known, _)| *known == name) {
            number += 1;
            name = format!("{}{number}", field.name);
        }
        named.push((name, field.ty));
    }
    fields(call, named)
}
