//! Sources from outside: real sockets, and a workspace that a test can block.

mod syslog;
mod writer;
