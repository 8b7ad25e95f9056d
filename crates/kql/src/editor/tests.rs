//! Small hand-written cases; published queries are tested in `tests/it/editor.rs`.
