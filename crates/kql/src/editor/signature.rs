//! Signature help: the enclosing call and the current argument.

use model::{Timestamp, Type};

use super::boundary;
use super::context;
use super::names::Names;
use super::reference::{self, Call, Parameter};
use crate::bind::Schema;
use crate::bind::trace::Meaning;
use crate::ops::plugins;
use crate::syntax::ast::ParameterType;
use crate::syntax::lexer::TokenKind;
use crate::syntax::parse;

/// The signatures of a call, and the current argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureHelp {
    pub name: String,
    pub summary: String,
    pub calls: Vec<Call>,
    /// The signature that matches the number of arguments so far.
    pub active: usize,
    /// The current parameter of that signature; `None` after the last.
    pub parameter: Option<usize>,
}

/// Signature help for the innermost call around `offset`.
pub fn signature_help(text: &str, offset: usize, schema: &dyn Schema, now: Timestamp) -> Option<SignatureHelp> {
    let prefix = &text[..boundary(text, offset)];
    let before = context::before(prefix);
    before.open.iter().find_map(|open| {
        if before.tokens[open.token].kind != TokenKind::Sign("(") {
            return None;
        }
        let called = before.tokens.get(open.token.checked_sub(1)?)?;
        let name = &prefix[called.start..called.end];
        if called.kind != TokenKind::Word {
            return None;
        }
        let evaluated = open.token.checked_sub(2).and_then(|index| before.tokens.get(index));
        let evaluated = evaluated.is_some_and(|token| &prefix[token.start..token.end] == "evaluate");
        let plugin = plugins::find(name).filter(|_| evaluated).map(reference::Entry::Plugin);
        let ours = || declared(prefix, name, schema, now);
        let (summary, calls) = match plugin {
            Some(plugin) => (plugin.summary().to_owned(), plugin.calls()),
            None => match ours() {
                Some(call) => (String::new(), vec![call]),
                None => {
                    let entry = reference::callable(name)?;
                    (entry.summary().to_owned(), entry.calls())
                }
            },
        };
        if calls.is_empty() {
            return None;
        }
        let fits = |call: &Call| call.repeats || call.parameters.len() > open.commas;
        let active = calls.iter().position(fits).unwrap_or(0);
        // An argument may be passed by name.
        let named = argument_name(prefix, &before, open);
        let by_name = named.and_then(|named| calls[active].parameters.iter().position(|parameter| parameter.name == named));
        let parameter = by_name.or_else(|| calls[active].parameter(open.commas));
        Some(SignatureHelp { name: name.to_owned(), summary, calls, active, parameter })
    })
}

/// The `name` of the current argument if it is written `name = …`.
fn argument_name<'t>(prefix: &'t str, before: &context::Before, open: &context::Open) -> Option<&'t str> {
    let mut depth = 0usize;
    let mut first = open.token + 1;
    for (index, token) in before.tokens.iter().enumerate().skip(open.token + 1) {
        match token.kind {
            TokenKind::Sign("(" | "[" | "{") => depth += 1,
            TokenKind::Sign(")" | "]" | "}") => depth = depth.saturating_sub(1),
            TokenKind::Sign(",") if depth == 0 => first = index + 1,
            _ => {}
        }
    }
    let (name, sign) = (before.tokens.get(first)?, before.tokens.get(first + 1)?);
    (name.kind == TokenKind::Word && sign.kind == TokenKind::Sign("=")).then(|| &prefix[name.start..name.end])
}

/// A function declared in the text or the workspace.
fn declared(prefix: &str, name: &str, schema: &dyn Schema, now: Timestamp) -> Option<Call> {
    let parsed = parse(prefix);
    let names = Names::of(&parsed.script, prefix.trim_end().len());
    let local = names.in_sight.iter().rev().filter_map(|index| names.definitions.get(*index)).find(|definition| definition.name == name);
    if let Some(definition) = local {
        let (_, trace) = crate::bind::bind_traced(&parsed, schema, now);
        return match trace.definitions.get(&definition.place.start)? {
            Meaning::Function { parameters, .. } => Some(from_text(parameters)),
            _ => None,
        };
    }
    let stored = schema.function(name)?;
    Some(from_text(&format!("({})", stored.parameters)))
}

/// Parses declared parameters: `(a: long, T: (*), b: string = "x")`.
fn from_text(parameters: &str) -> Call {
    let text = format!("let f = {parameters} {{ print 1 }};");
    let parsed = parse(&text);
    let function = parsed.script.statements.into_iter().next().and_then(|statement| match statement.kind {
        crate::syntax::ast::StatementKind::Let { value: crate::syntax::ast::LetValue::Function(function), .. } => Some(function),
        _ => None,
    });
    let parameters = function.into_iter().flat_map(|function| function.parameters).map(|parameter| Parameter {
        name: parameter.name.text,
        ty: match &parameter.ty {
            ParameterType::Scalar(ty) => ty.name().to_owned(),
            ParameterType::Table(None) => "(*)".to_owned(),
            ParameterType::Table(Some(columns)) => {
                format!(
                    "({})",
                    columns.iter().map(|(name, ty)| format!("{}: {}", name.text, Type::name(*ty))).collect::<Vec<_>>().join(", ")
                )
            }
        },
        optional: parameter.default.is_some(),
    });
    Call { parameters: parameters.collect(), repeats: false, returns: None }
}
