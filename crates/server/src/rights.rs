//! Role-based access control: who holds which role at which scope. What a role permits is decided in [`crate::roles`].
//!
//! A role assignment grants a role definition to a principal at a scope and everything below it.

use crate::roles::definition;

pub const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
pub const METRICS_PUBLISHER: &str = "3913510d-42f4-4e42-8a64-420c390055eb";

/// A role held by a principal at a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub principal: String,
    /// The id of a [`crate::roles::RoleDefinition`].
    pub definition: String,
    pub scope: String,
}

/// Whether any grant allows the principal to do `action` at `scope`. An action that no granted role includes is denied.
pub fn allowed<'a>(grants: impl IntoIterator<Item = &'a Grant>, principal: &str, action: &str, scope: &str) -> bool {
    grants.into_iter().any(|grant| {
        grant.principal.eq_ignore_ascii_case(principal)
            && covers(&grant.scope, scope)
            && definition(&grant.definition).is_some_and(|definition| definition.permits(action))
    })
}

/// Whether `inner` is `outer` or lies below it. Compared segment by segment, ignoring case.
pub fn covers(outer: &str, inner: &str) -> bool {
    let segments = |scope: &str| scope.split('/').filter(|part| !part.is_empty()).map(str::to_ascii_lowercase).collect::<Vec<_>>();
    segments(inner).starts_with(&segments(outer))
}

/// The namespace of the innermost provider in a path.
pub fn namespace_of(path: &str) -> Option<&str> {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let mut found = None;
    while let Some(part) = parts.next() {
        if part.eq_ignore_ascii_case("providers") {
            found = parts.next();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(role: &str, scope: &str) -> Grant {
        Grant { principal: "p".into(), definition: crate::roles::named(role).unwrap().id.into(), scope: scope.into() }
    }

    #[test]
    fn a_scope_covers_itself_and_below_but_no_neighbour() {
        assert!(covers("/", "/subscriptions/s"));
        assert!(covers("/Subscriptions/S", "/subscriptions/s/resourceGroups/g"));
        assert!(!covers("/subscriptions/s/resourceGroups/g", "/subscriptions/s/resourceGroups/gg"));
        assert!(!covers("/subscriptions/s/resourceGroups/g", "/subscriptions/s"));
    }

    #[test]
    fn a_grant_is_for_its_principal_at_its_scope() {
        // learn.microsoft.com/azure/role-based-access-control/overview: "How Azure RBAC determines if a user has access to a resource".
        const WRITE: &str = "Microsoft.SecurityInsights/incidents/write";
        let responder = [grant("Microsoft Sentinel Responder", "/subscriptions/s")];
        assert!(allowed(&responder, "P", WRITE, "/subscriptions/s/x"));
        assert!(!allowed(&responder, "q", WRITE, "/subscriptions/s/x"));
        assert!(!allowed(&responder, "p", WRITE, "/subscriptions/other"));
        assert!(!allowed(&responder, "p", WRITE, "/"));
        assert!(!allowed(&responder, "p", "Microsoft.SecurityInsights/alertRules/write", "/subscriptions/s/x"));
        let unknown = [Grant { principal: "p".into(), definition: "no-such-role".into(), scope: "/".into() }];
        assert!(!allowed(&unknown, "p", WRITE, "/"));
        assert!(!allowed(&[], "p", WRITE, "/"));
    }

    #[test]
    fn the_innermost_provider_counts() {
        let path = "/subscriptions/s/providers/Microsoft.OperationalInsights/workspaces/w/providers/Microsoft.SecurityInsights/incidents";
        assert_eq!(namespace_of(path), Some("Microsoft.SecurityInsights"));
        assert_eq!(namespace_of("/api/v1/x"), None);
    }
}
