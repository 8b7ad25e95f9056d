//! From text to a syntax tree.

pub mod ast;
pub mod lexer;
pub mod parser;

pub use parser::{Parsed, parse};
