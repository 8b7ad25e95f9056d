//! Tests of the whole crate against outside truths, through its public interface alone.

mod binding;
mod check;
mod corpus;
mod editor;
mod fuzz;
mod reference;
mod robustness;
mod shared;
mod syntax;
