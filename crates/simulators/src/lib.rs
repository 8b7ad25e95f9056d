//! Vendors' event streams and APIs as local stand-ins.
