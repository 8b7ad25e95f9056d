//! `parse`, `parse-where`, `parse-kv`.

use std::sync::Arc;

use model::Type;

use crate::Value;
use crate::bind::naming::{Names, name_of};
use crate::bind::scope::{Cx, Env, Relation};
use crate::bind::{Binder, diagnostics as code};
use crate::ops::parse::{Parse, ParseKind, ParsePart};
use crate::ops::parse_kv::{Delimiters, KvColumn, KvForm, ParseKv};
use crate::plan::Expr as Bound;
use crate::syntax::ast::{self, Expr, ExprKind, Name, Place, Property};

use super::property;

/// Regex flags of `parse`: ungreedy, multi-line, dot matches new lines, case-insensitive.
const PARSE_FLAGS: &str = "Umsi";

impl Binder<'_> {
    pub(super) fn parse_by(
        &mut self,
        filter: bool,
        properties: &[Property],
        expr: &Expr,
        pattern: &[ast::ParsePart],
        input: Relation,
        env: &Env,
        place: &Place,
    ) -> Relation {
        let flags = self.parse_flags(properties, env);
        let kind = match self.kind_of(properties, env).as_deref() {
            None | Some("simple") => ParseKind::Simple,
            Some("relaxed") if !filter => ParseKind::Relaxed,
            Some("regex") => ParseKind::Regex { flags: flags.clone().unwrap_or_default() },
            Some(other) => {
                let message = match filter {
                    true => format!("`kind` of `parse-where` is `simple` or `regex`, not `{other}`"),
                    false => format!("`kind` of `parse` is `simple`, `relaxed` or `regex`, not `{other}`"),
                };
                self.report(code::BAD_OPTION, place, message);
                ParseKind::Simple
            }
        };
        if let (Some(property), false) = (property(properties, "flags"), matches!(kind, ParseKind::Regex { .. })) {
            self.report(code::BAD_OPTION, &property.name.place, "`flags` needs `kind=regex`");
        }
        let source = self.source_text(expr, &input, env, "parse");
        let mut parts: Vec<ParsePart> = Vec::with_capacity(pattern.len());
        let mut columns = Vec::new();
        for part in pattern {
            match part {
                ast::ParsePart::Star { place } => {
                    if let Some(ParsePart::Column { ty: Type::String, .. }) = parts.last() {
                        let help = "put a constant text between them".to_owned();
                        self.report_with(code::BAD_OPTION, place, "`*` cannot follow a string column", Some(help));
                    }
                    parts.push(ParsePart::Star);
                }
                ast::ParsePart::Text { text, place } => {
                    if text.is_empty() {
                        self.report(code::BAD_OPTION, place, "a text between columns cannot be empty");
                    }
                    parts.push(ParsePart::Text(text.clone()));
                }
                ast::ParsePart::Column { name, ty, place } => {
                    if let Some(ParsePart::Column { ty: Type::String, .. }) = parts.last() {
                        let help = "put a constant text between them".to_owned();
                        self.report_with(code::BAD_OPTION, place, "nothing tells where the string before this column ends", Some(help));
                    }
                    let ty = ty.unwrap_or(Type::String);
                    let field = self.typed(&name.text, ty);
                    parts.push(ParsePart::Column { id: field.id, ty });
                    columns.push(field);
                }
            }
        }
        self.parsed(Arc::new(Parse { source, kind, parts, filter }), columns, input)
    }

    /// The letters of `flags=`, allowed only with `kind=regex`.
    fn parse_flags(&mut self, properties: &[Property], env: &Env) -> Option<String> {
        let property = property(properties, "flags")?;
        let flags = self.text(&property.value, "`flags`", env)?;
        if let Some(wrong) = flags.chars().find(|flag| !PARSE_FLAGS.contains(*flag)) {
            let message = format!("`{wrong}` is not a flag of `parse`: `U`, `m`, `s`, `i`");
            self.report(code::BAD_OPTION, &property.value.place, message);
            return None;
        }
        Some(flags)
    }

    /// Adds the parsed columns. The checker moves them to the end, even if they replace existing ones.
    fn parsed(&mut self, op: Arc<dyn crate::ops::TableOp>, columns: Vec<crate::plan::Field>, input: Relation) -> Relation {
        if !self.strict {
            return self.extended_by(op, columns, input);
        }
        let mut names = Names::default();
        if let Some(twice) = columns.iter().find(|column| !names.take(&column.name)) {
            self.report(code::DUPLICATE_NAME, &(0..0), format!("there are two columns `{}`", twice.name));
        }
        let mut input = input;
        input.rel.fields.extend(columns);
        input
    }

    fn source_text(&mut self, expr: &Expr, input: &Relation, env: &Env, operator: &str) -> Bound {
        let value = self.scalar(expr, &mut Cx::row(env, input));
        if self.strict {
            return Self::null(Type::String);
        }
        if value.known && !matches!(value.ty(), Type::String | Type::Dynamic) {
            let help = "`tostring(…)` makes one".to_owned();
            self.report_with(code::WRONG_TYPE, &expr.place, format!("`{operator}` reads a string, this is a {}", value.ty()), Some(help));
            return Self::null(Type::String);
        }
        self.cast(value, Type::String).expr
    }

    pub(super) fn parse_kv(&mut self, expr: &Expr, columns: &[(Name, Type)], options: &[Property], input: Relation, env: &Env) -> Relation {
        let source = self.source_text(expr, &input, env, "parse-kv");
        let mut pair = None;
        let mut kv = None;
        let mut quotes = Vec::new();
        let mut escapes = Vec::new();
        let mut greedy = false;
        let mut pattern = None;
        for option in options {
            let value = &option.value;
            let name = option.name.text.to_ascii_lowercase();
            if name == "greedy" {
                greedy = matches!(&value.kind, ExprKind::Literal(Value::Bool(true))) || name_of(value).is_some_and(|text| text == "true");
                continue;
            }
            let texts: Vec<String> = match &value.kind {
                ExprKind::List(items) => items.iter().filter_map(|item| self.text(item, "a quote", env)).collect(),
                _ => self.text(value, &format!("`{name}`"), env).into_iter().collect(),
            };
            match name.as_str() {
                "pair_delimiter" => pair = texts.into_iter().next(),
                "kv_delimiter" => kv = texts.into_iter().next(),
                "quote" => {
                    let chars: Vec<char> = texts.iter().flat_map(|text| text.chars()).collect();
                    quotes.extend(chars.first().map(|open| (*open, chars.get(1).copied().unwrap_or(*open))));
                }
                "escape" => escapes.extend(texts.iter().flat_map(|text| text.chars())),
                "regex" => pattern = texts.into_iter().next(),
                _ => self.report(code::BAD_OPTION, &option.name.place, format!("`parse-kv` has no option `{name}`")),
            }
        }
        let delimiters = match (pair, kv) {
            (None, None) => None,
            (pair, kv) => Some(Delimiters { pair: pair.unwrap_or_else(|| " ".to_owned()), kv: kv.unwrap_or_else(|| "=".to_owned()) }),
        };
        let mut fields = Vec::with_capacity(columns.len());
        let mut keys = Vec::with_capacity(columns.len());
        for (name, ty) in columns {
            let field = self.typed(&name.text, *ty);
            keys.push(KvColumn { key: name.text.clone(), id: field.id, ty: *ty });
            fields.push(field);
        }
        let form = match pattern {
            Some(pattern) => KvForm::Regex(pattern),
            None => KvForm::Delimited { delimiters, quotes, escapes, greedy },
        };
        self.parsed(Arc::new(ParseKv { source, columns: keys, form }), fields, input)
    }
}
