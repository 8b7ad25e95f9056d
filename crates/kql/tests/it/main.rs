//! Tests of the whole crate against outside truths.

mod binding;
