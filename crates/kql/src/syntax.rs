//! Lexer and parser: text to a syntax tree.

pub mod ast;
pub mod charts;
pub mod codes;
pub mod keywords;
pub mod lexer;
pub mod literals;
pub mod parser;
pub mod wants;

pub use parser::{MAX_DEPTH, Parsed, parse, parse_wanting};
pub use wants::Want;
