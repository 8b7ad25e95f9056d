//! Data collection rules: stream, transform, table, dead letters.
