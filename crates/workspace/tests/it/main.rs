//! The workspace from outside: what survives what.

mod appends;
mod crash;
mod damage;
mod kill;
mod support;
