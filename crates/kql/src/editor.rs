//! Language services for editors: diagnostics, completion, hover, signature help, formatting, navigation and rename.
//!
//! | service | where |
//! |---|---|
//! | diagnostics | [`crate::check`] |
//! | completion | [`complete`] |
//! | hover | [`hover`] |
//! | signature help | [`signature_help`] |
//! | formatting | [`format`](format()) |
//! | go to definition, rename | [`definition`], [`rename`] |
//! | outline, syntax highlighting | [`symbols`], [`highlight`] |
//!
//! All results are derived from the parser (which records what it expected at the end of a text), from the binder (which records a trace)
//! and from the tables of functions, aggregates, windows, plug-ins and operators; there is no separate list. Incomplete text is the usual
//! case.
//!
//! Positions are byte offsets; an offset outside the text or within a character is rounded down to a boundary.

mod complete;
mod context;
mod format;
mod highlight;
mod hover;
mod names;
mod options;
pub mod reference;
mod rename;
mod signature;
#[cfg(test)]
mod tests;

pub use complete::{Completions, Item, ItemKind, complete};
pub use format::format;
pub use highlight::{Paint, highlight};
pub use hover::{Hover, hover};
pub use names::{Symbol, SymbolKind, definition, symbols};
pub use rename::{Edit, RenameError, rename, renameable};
pub use signature::{SignatureHelp, signature_help};

/// The character boundary at or before `offset`.
fn boundary(text: &str, offset: usize) -> usize {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// How a name is written in a query: bracketed and quoted unless it is an identifier.
pub fn written(name: &str) -> String {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.is_empty()
        && !name.bytes().all(|byte| byte.is_ascii_digit())
        && crate::syntax::keywords::may_name(name)
        && !matches!(name, "true" | "false" | "True" | "False" | "TRUE" | "FALSE");
    if plain { name.to_owned() } else { format!("['{}']", name.replace('\\', "\\\\").replace('\'', "\\'")) }
}
