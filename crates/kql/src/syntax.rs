//! From text to a syntax tree.

pub mod ast;
pub mod codes;
pub mod keywords;
pub mod lexer;
pub mod literals;
pub mod parser;

pub use parser::{MAX_DEPTH, Parsed, parse};
