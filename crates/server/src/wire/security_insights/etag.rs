//! Etags in bodies, which are quoted.

use uuid::Uuid;

/// `"0300bf09-0000-0000-0000-5c37296e0000"`, quotation marks included.
pub(super) fn quoted(etag: Uuid) -> String {
    format!("\"{etag}\"")
}

/// Whether the written etag, with or without quotation marks, is `current`.
pub(super) fn matches(written: &str, current: Uuid) -> bool {
    Uuid::parse_str(written.trim().trim_start_matches("W/").trim_matches('"')).is_ok_and(|written| written == current)
}
