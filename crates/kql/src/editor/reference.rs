//! Documentation of functions, aggregates, window functions, plug-ins and operators, generated from their tables, for hover, completion,
//! signature help and the reference.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::LazyLock;

use model::Type;

use crate::aggregates::{self, AggregateFn};
use crate::bind::forms::{FORMS, Form};
use crate::functions::{self, Arg, ScalarFn, Signature, SignatureError};
use crate::ops::plugins::{self, Plugin, Shape};
use crate::syntax::parser::{OperatorDef, tabular_operators, text_operators};
use crate::windows::{self, WindowFn};

/// A documented language element.
#[derive(Clone, Copy)]
pub enum Entry {
    Function(&'static ScalarFn),
    Aggregate(&'static AggregateFn),
    Window(&'static WindowFn),
    Plugin(&'static Plugin),
    Form(&'static Form),
    /// A tabular operator, after `|`.
    Operator(&'static OperatorDef),
}

/// A documented parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    pub name: String,
    /// A type or a description; empty if any value is allowed.
    pub ty: String,
    pub optional: bool,
}

/// A call signature.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    pub parameters: Vec<Parameter>,
    /// True if the last parameter may be repeated.
    pub repeats: bool,
    pub returns: Option<Type>,
}

impl Call {
    /// The parameter for argument `index`.
    pub fn parameter(&self, index: usize) -> Option<usize> {
        match self.parameters.len() {
            0 => None,
            n if index < n => Some(index),
            n => self.repeats.then_some(n - 1),
        }
    }

    /// The label `strlen(source: string): long`, and the span of each parameter in it.
    pub fn label(&self, name: &str) -> (String, Vec<(usize, usize)>) {
        let mut label = format!("{name}(");
        let mut places = Vec::with_capacity(self.parameters.len());
        for (index, parameter) in self.parameters.iter().enumerate() {
            if index > 0 {
                label.push_str(", ");
            }
            let start = label.len();
            let ty = if parameter.ty.is_empty() { String::new() } else { format!(": {}", parameter.ty) };
            let dots = if self.repeats && index + 1 == self.parameters.len() { ", …" } else { "" };
            let _ = match parameter.optional {
                true => write!(label, "[{}{ty}{dots}]", parameter.name),
                false => write!(label, "{}{ty}{dots}", parameter.name),
            };
            places.push((start, label.len()));
        }
        label.push(')');
        if let Some(ty) = self.returns {
            let _ = write!(label, ": {ty}");
        }
        (label, places)
    }
}

impl Entry {
    pub fn name(self) -> &'static str {
        match self {
            Entry::Function(function) => function.name,
            Entry::Aggregate(aggregate) => aggregate.name,
            Entry::Window(window) => window.name,
            Entry::Plugin(plugin) => plugin.name,
            Entry::Form(form) => form.name,
            Entry::Operator(operator) => operator.name,
        }
    }

    pub fn aliases(self) -> &'static [&'static str] {
        match self {
            Entry::Function(function) => function.aliases,
            Entry::Aggregate(aggregate) => aggregate.aliases,
            _ => &[],
        }
    }

    pub fn summary(self) -> &'static str {
        match self {
            Entry::Function(function) => function.summary,
            Entry::Aggregate(aggregate) => aggregate.summary,
            Entry::Window(window) => window.summary,
            Entry::Plugin(plugin) => plugin.summary,
            Entry::Form(form) => form.summary,
            Entry::Operator(operator) => operator.summary,
        }
    }

    pub fn kind(self) -> &'static str {
        match self {
            Entry::Function(function) if is_operator(function) => "operator",
            Entry::Function(_) => "function",
            Entry::Aggregate(_) => "aggregate",
            Entry::Window(_) => "window function",
            Entry::Plugin(_) => "plug-in",
            Entry::Form(_) => "form",
            Entry::Operator(_) => "tabular operator",
        }
    }

    /// Examples with results: for a function an expression and its value, otherwise a query and the last cell of its last row.
    pub fn examples(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Entry::Function(function) => function.examples,
            Entry::Aggregate(aggregate) => aggregate.examples,
            Entry::Window(window) => window.examples,
            Entry::Plugin(plugin) => plugin.examples,
            Entry::Form(form) => form.examples,
            Entry::Operator(operator) => operator.examples,
        }
    }

    /// Call signatures; empty if it is not a call.
    pub fn calls(self) -> Vec<Call> {
        match self {
            Entry::Function(function) if is_operator(function) => Vec::new(),
            Entry::Function(function) => calls(&function.signature, function.parameters),
            Entry::Aggregate(aggregate) => calls(&aggregate.signature, aggregate.parameters),
            Entry::Window(window) => calls(&window.signature, window.parameters),
            Entry::Plugin(plugin) => vec![plugin_call(plugin)],
            Entry::Form(_) | Entry::Operator(_) => Vec::new(),
        }
    }

    /// The syntax, one line per signature.
    pub fn signatures(self) -> Vec<String> {
        match self {
            Entry::Form(form) => vec![form.signature.to_owned()],
            Entry::Operator(operator) => vec![operator.syntax.to_owned()],
            Entry::Function(function) if is_operator(function) => vec![written_operator(function.name)],
            _ => self.calls().iter().map(|call| call.label(self.name()).0).collect(),
        }
    }

    /// For hover and completion, in Markdown.
    pub fn markdown(self) -> String {
        let mut text = format!("```kql\n{}\n```\n{}.", self.signatures().join("\n"), self.summary());
        for (example, answer) in self.examples().iter().take(2) {
            let _ = write!(text, "\n\n`{}` → `{}`", example.replace('`', "'"), answer.replace('`', "'"));
        }
        if !self.aliases().is_empty() {
            let _ = write!(text, "\n\nAlso called {}.", self.aliases().join(", "));
        }
        text
    }
}

/// `a has b`, `a between (low .. high)`.
fn written_operator(name: &str) -> String {
    match name {
        "in" | "!in" | "in~" | "!in~" | "has_any" | "has_all" => format!("a {name} (b, …)"),
        "between" | "!between" => format!("a {name} (low .. high)"),
        "[]" => "a[b]".to_owned(),
        "neg" => "-a".to_owned(),
        _ => format!("a {name} b"),
    }
}

/// True if it is written as an operator between its operands.
pub fn is_operator(function: &ScalarFn) -> bool {
    !function.name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        || function.name == "neg"
        || text_operators().any(|operator| operator == function.name)
}

/// All scalar functions callable by name, including aliases.
pub fn scalar_functions() -> impl Iterator<Item = &'static ScalarFn> {
    functions::all().filter(|function| !is_operator(function) && !function.summary.is_empty())
}

pub fn all() -> impl Iterator<Item = Entry> {
    let operators_of_values = functions::all().filter(|function| is_operator(function) && !function.name.starts_with('$'));
    scalar_functions()
        .map(Entry::Function)
        .chain(operators_of_values.map(Entry::Function))
        .chain(aggregates::all().filter(|aggregate| aggregate.name != aggregates::RECORD).map(Entry::Aggregate))
        .chain(windows::all().map(Entry::Window))
        .chain(plugins::PLUGINS.iter().copied().map(Entry::Plugin))
        .chain(FORMS.iter().map(Entry::Form))
        .chain(tabular_operators().map(Entry::Operator))
}

/// The first signature and the Markdown of an entry, cached: completion shows hundreds on each keystroke.
pub fn card(entry: Entry) -> (&'static str, &'static str) {
    type Cards = HashMap<(&'static str, &'static str), (String, String)>;
    static CARDS: LazyLock<Cards> = LazyLock::new(|| {
        let made = |entry: Entry| (entry.signatures().into_iter().next().unwrap_or_default(), entry.markdown());
        all().map(|entry| ((entry.kind(), entry.name()), made(entry))).collect()
    });
    CARDS.get(&(entry.kind(), entry.name())).map_or(("", ""), |(signature, told)| (signature.as_str(), told.as_str()))
}

/// The element callable as `name(…)` in an expression.
pub fn callable(name: &str) -> Option<Entry> {
    functions::find(name)
        .filter(|function| !is_operator(function))
        .map(Entry::Function)
        .or_else(|| aggregates::find(name).map(Entry::Aggregate))
        .or_else(|| windows::find(name).map(Entry::Window))
        .or_else(|| form(name).map(Entry::Form))
}

pub fn form(name: &str) -> Option<&'static Form> {
    FORMS.iter().find(|form| form.name == name)
}

pub fn operator(name: &str) -> Option<&'static OperatorDef> {
    tabular_operators().find(|operator| operator.name == name)
}

fn calls(signature: &Signature, names: &[&str]) -> Vec<Call> {
    let parameters = |args: &[(&'static str, Type)], required: usize| {
        let parameter = |(index, (name, ty)): (usize, &(&'static str, Type))| Parameter {
            name: (*name).to_owned(),
            ty: ty.name().to_owned(),
            optional: index >= required,
        };
        args.iter().enumerate().map(parameter).collect::<Vec<_>>()
    };
    match signature {
        Signature::Fixed { args, required, returns } => {
            vec![Call { parameters: parameters(args, *required), repeats: false, returns: Some(*returns) }]
        }
        Signature::Overloads(overloads) => overloads
            .iter()
            .map(|overload| Call {
                parameters: parameters(overload.args, overload.args.len()),
                repeats: false,
                returns: Some(overload.returns),
            })
            .collect(),
        Signature::Custom(resolve) => vec![probed(*resolve, names)],
    }
}

/// Maximum number of arguments to try.
const PROBED: usize = 8;

/// Derives the signature of a custom resolver by probing it: how many arguments it accepts, and which types it expects.
fn probed(resolve: fn(&[Arg]) -> Result<functions::Resolved, SignatureError>, names: &[&str]) -> Call {
    let ask = |types: &[Type]| {
        let args: Vec<Arg> = types.iter().map(|ty| Arg { ty: *ty, constant: None }).collect();
        resolve(&args)
    };
    let (least, most) = bounds(&ask);
    let repeats = most.is_none();
    let shown = match most {
        Some(most) => most.min(least + PROBED),
        None => least.max(1).max(names.len()),
    };
    let mut types = vec![Type::Dynamic; least];
    let mut wants = vec![String::new(); shown];
    let mut returns = None;
    // Each round determines one argument, or ends.
    for _ in 0..=least * 2 {
        match ask(&types) {
            Ok(resolved) => {
                returns = Some(resolved.returns);
                break;
            }
            Err(SignatureError::Type { index, wants: what }) if index < types.len() => {
                if let Some(want) = wants.get_mut(index) {
                    *want = what.to_string();
                }
                let fits = |ty: &&Type| {
                    let mut tried = types.clone();
                    tried[index] = **ty;
                    !matches!(ask(&tried), Err(SignatureError::Type { index: other, .. }) if other == index)
                };
                match Type::ALL.iter().find(fits) {
                    Some(ty) => types[index] = *ty,
                    None => break,
                }
            }
            Err(SignatureError::Constant { index, wants: what }) => {
                if let Some(want) = wants.get_mut(index) {
                    *want = what.replace('`', "");
                }
                break;
            }
            Err(_) => break,
        }
    }
    // The result type is shown only if it is always the same.
    let constant = returns.filter(|returns| {
        Type::ALL.iter().all(|ty| ask(&vec![*ty; least]).map_or(true, |resolved| resolved.returns == *returns)) && least > 0
    });
    let parameter = |index: usize| Parameter {
        name: names
            .get(index)
            .map_or_else(|| if shown == 1 { "value".to_owned() } else { format!("arg{}", index + 1) }, |name| (*name).to_owned()),
        ty: wants[index].clone(),
        optional: index >= least,
    };
    Call { parameters: (0..shown).map(parameter).collect(), repeats, returns: constant }
}

/// The minimum and maximum number of arguments.
fn bounds(ask: &dyn Fn(&[Type]) -> Result<functions::Resolved, SignatureError>) -> (usize, Option<usize>) {
    for n in 0..=PROBED {
        if let Err(SignatureError::Count { least, most }) = ask(&vec![Type::Dynamic; n]) {
            return (least, most);
        }
    }
    // It accepts any arguments.
    (0, None)
}

fn plugin_call(plugin: &Plugin) -> Call {
    let shape = |shape: Shape| match shape {
        Shape::Expr => "expression".to_owned(),
        Shape::ExprOrTable => "expression or table".to_owned(),
        Shape::Const(ty) => ty.name().to_owned(),
        Shape::Aggregate => "aggregate".to_owned(),
        Shape::Table => "table".to_owned(),
        Shape::TableColumn => "column of the table".to_owned(),
    };
    let parameter = |(index, arg): (usize, &plugins::PluginArg)| Parameter {
        name: arg.name.to_owned(),
        ty: shape(arg.shape),
        optional: index >= plugin.required,
    };
    Call { parameters: plugin.args.iter().enumerate().map(parameter).collect(), repeats: plugin.repeats, returns: None }
}
