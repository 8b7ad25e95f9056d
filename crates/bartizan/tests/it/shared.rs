//! Material that lies beside the checkout on some machines. Tests that want it say so when it is not there.

use std::path::{Path, PathBuf};

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the crate lies two levels below the root")
}

/// The folder, or nothing and a line that `scripts/test` counts.
pub fn folder(test: &str) -> Option<PathBuf> {
    let path = std::env::var_os("BARTIZAN_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: {test}: there is no folder `shared` beside the checkout");
    None
}
