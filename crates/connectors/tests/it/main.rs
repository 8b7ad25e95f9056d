//! Sources from the outside: real sockets, and a workspace that a test can hold back.

mod polling;
mod sink;
mod syslog;
