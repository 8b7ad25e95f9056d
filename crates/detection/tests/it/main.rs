//! Published rules, windows over random histories, and the loop with a store that is killed.

mod corpus;
mod loop_;
mod windows;
