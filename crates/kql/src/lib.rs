//! The Kusto Query Language: text → tokens → syntax tree → typed plan; and the function tables with their Arrow kernels.
//!
//! | stage | in | out | where |
//! |---|---|---|---|
//! | lex | text | tokens with byte spans | [`syntax::lexer`] |
//! | parse | tokens | [`syntax::ast`], with diagnostics; never fails | [`syntax::parser`] |
//! | bind | tree + [`bind::Schema`] | [`plan::Plan`] with types and column ids, with diagnostics | [`bind`] |
//! | run | plan | batches | the `engine` crate, over the kernels here |
//!
//! Invariants: this crate depends on Arrow, and not on DataFusion, files, stored tables or clocks. Parsing and binding never fail and never
//! panic: they return a partial result with diagnostics.

pub mod aggregates;
pub mod bind;
pub mod check;
pub mod definitions;
pub mod dynamic;
pub mod editor;
pub mod eval;
pub mod functions;
mod geo;
pub mod ops;
pub mod plan;
pub mod syntax;
pub mod transformation;
pub mod value;
pub mod watch;
pub mod windows;

pub use model::{Diagnostic, DiagnosticKind, Type};
pub use value::Value;
