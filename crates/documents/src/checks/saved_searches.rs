//! Checks of saved searches and functions.

use std::hash::{DefaultHasher, Hash, Hasher};

use model::SavedSearch;

use crate::refusal::Refusal;

/// Maximum length of a query.
pub const MAX_QUERY: usize = 1 << 20;
/// Maximum saved searches of a workspace.
pub const MAX_SEARCHES: usize = 10_000;
/// Maximum tags of a search.
const MAX_TAGS: usize = 100;

/// Checks what needs no other object.
pub fn check(search: &SavedSearch) -> Result<(), Refusal> {
    let (alias, parameters) = (&search.function_alias, &search.function_parameters);
    if search.query.trim().is_empty() || search.query.len() > MAX_QUERY {
        return Err(invalid(format!("The query must have 1 to {MAX_QUERY} bytes."), "properties.query"));
    }
    if !alias.is_empty() && !is_name(alias) {
        let message = format!("'{alias}' is no name for a function: letters, digits and '_', not beginning with a digit.");
        return Err(invalid(message, "properties.functionAlias"));
    }
    if alias.is_empty() && !parameters.is_empty() {
        return Err(invalid("Parameters want a 'functionAlias' that they are parameters of.", "properties.functionParameters"));
    }
    if search.tags.len() > MAX_TAGS {
        return Err(invalid(format!("A saved search has at most {MAX_TAGS} tags."), "properties.tags"));
    }
    Ok(())
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Changes with any field.
pub fn etag(search: &SavedSearch) -> String {
    let SavedSearch { name, category, display_name, query, function_alias, function_parameters, tags } = search;
    let mut hasher = DefaultHasher::new();
    (name, category, display_name, query, function_alias, function_parameters, tags).hash(&mut hasher);
    format!("W/\"{:016x}\"", hasher.finish())
}

fn invalid(message: impl Into<String>, target: &str) -> Refusal {
    Refusal::bad_request("InvalidParameter", message).target(target)
}
