//! What an editor asks of a text that somebody is writing: what is wrong with it, what could stand at a place, what a name means, what a
//! call wants, how the text looks when it is tidy, and what changes when a name does.
//!
//! | question | where |
//! |---|---|
//! | what is wrong | [`crate::check`] |
//! | what could stand here | [`complete`] |
//! | what is this | [`hover`] |
//! | what does this call want | [`signature_help`] |
//! | how is it laid out | [`format`](format()) |
//! | where is it given, and what if it were called otherwise | [`definition`], [`rename`] |
//! | what is in the text | [`symbols`], [`highlight`] |
//!
//! All answers come from the grammar (which notes what it would take at the end of a text), from binding (which notes what it sees) and from
//! the tables of functions, aggregates, windows, plug-ins and operators: there is no second list. Half-written text is the usual case.
//!
//! Places are byte offsets; one outside the text or within a character means the boundary before it.

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

/// The boundary of a character at `offset` or before.
fn boundary(text: &str, offset: usize) -> usize {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// How a name is written: in brackets and quotes where it is no plain word.
pub fn written(name: &str) -> String {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.is_empty()
        && !name.bytes().all(|byte| byte.is_ascii_digit())
        && crate::syntax::keywords::may_name(name)
        && !matches!(name, "true" | "false" | "True" | "False" | "TRUE" | "FALSE");
    if plain { name.to_owned() } else { format!("['{}']", name.replace('\\', "\\\\").replace('\'', "\\'")) }
}
