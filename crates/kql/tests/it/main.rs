//! Tests of the whole crate against outside truths, through its public interface alone.

mod binding;
mod check;
mod corpus;
mod fuzz;
mod robustness;
mod shared;
mod syntax;
