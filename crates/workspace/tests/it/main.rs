//! The workspace from outside: what survives what.

mod absence;
mod appends;
mod catalog;
mod crash;
mod damage;
mod faults;
mod kill;
mod support;
