//! Tests of the whole workspace: dependencies, ARCHITECTURE.md, cases, and the end-to-end loop.

mod arrows;
mod documents;
mod map;
mod shared;
