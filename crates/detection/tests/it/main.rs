//! Rules from the world, windows over random histories, and the loop over a store that is killed.

mod corpus;
mod loop_;
mod windows;
