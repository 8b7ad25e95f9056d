//! Integration tests of the crate against external sources of truth, through its public API.

mod binding;
mod check;
mod corpus;
mod editor;
mod fuzz;
mod reference;
mod robustness;
mod shared;
mod syntax;
