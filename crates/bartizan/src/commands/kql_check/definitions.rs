//! KQL functions read from files.

use std::path::Path;

use anyhow::Context;
use model::StoredFunction;

use crate::commands::Failure;

/// The functions in a JSON or YAML file, or in all such files in a folder.
pub fn read(path: &Path) -> Result<Vec<StoredFunction>, Failure> {
    let mut functions = Vec::new();
    let mut waiting = vec![path.to_path_buf()];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            for entry in std::fs::read_dir(&path).with_context(|| format!("cannot read `{}`", path.display()))? {
                let entry = entry.with_context(|| format!("cannot read `{}`", path.display()))?.path();
                let known = entry.extension().is_some_and(|extension| extension == "yaml" || extension == "yml" || extension == "json");
                if known || (entry.is_dir() && !entry.is_symlink()) {
                    waiting.push(entry);
                }
            }
            continue;
        }
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        // JSON is YAML too.
        let document: serde_json::Value = serde_yaml_ng::from_str(&text)
            .map_err(|error| Failure::Wrong(format!("`{}` is neither JSON nor YAML: {error}", path.display())))?;
        let found = kql::definitions::read(&document).map_err(|error| Failure::Wrong(format!("`{}`: {error}", path.display())))?;
        functions.extend(found);
    }
    Ok(functions)
}
