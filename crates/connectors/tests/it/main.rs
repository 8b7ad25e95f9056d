//! Sources from outside: real sockets, and a workspace that a test can block.

mod polling;
mod sink;
mod syslog;
