//! Integration tests of the workspace.

mod absence;
mod appends;
mod backup;
mod catalog;
mod crash;
mod damage;
mod faults;
mod kill;
mod panics;
mod support;
