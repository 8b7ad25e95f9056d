//! Small questions with answers by hand; published queries are in `tests/it/editor.rs`.
