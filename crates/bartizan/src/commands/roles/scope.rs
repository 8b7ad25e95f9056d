//! Scopes as people write them.

use super::super::client::Client;

/// The resource id of `subscription`, `group` or `workspace`; anything else is a resource id already. `/` is the root.
pub fn resolve(client: &Client, written: &str) -> String {
    match written {
        "subscription" => client.subscription(),
        "group" => client.group(),
        "workspace" => client.workspace(),
        other => format!("/{}", other.trim_matches('/')),
    }
}

/// A scope without the identifiers everyone knows: `workspace`, `group/providers/…`.
pub fn shorten(client: &Client, scope: &str) -> String {
    let names = [(client.workspace(), "workspace"), (client.group(), "group"), (client.subscription(), "subscription")];
    for (long, short) in names {
        let begins = scope.get(..long.len()).is_some_and(|start| start.eq_ignore_ascii_case(&long));
        if begins && (scope.len() == long.len() || scope.as_bytes()[long.len()] == b'/') {
            return format!("{short}{}", &scope[long.len()..]);
        }
    }
    scope.to_owned()
}
