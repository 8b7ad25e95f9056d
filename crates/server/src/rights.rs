//! Role-based access control: Azure's built-in roles, mapped to the [`Role`]s that our endpoints require.
//!
//! A role assignment grants a role definition to a principal at a scope and everything below it. Definitions and their ids are Azure's
//! (learn.microsoft.com/azure/role-based-access-control/built-in-roles); only the namespaces served here are listed.

use crate::endpoint::Role;

/// An Azure built-in role.
pub struct RoleDefinition {
    pub id: &'static str,
    pub name: &'static str,
    /// Provider namespaces it applies to; `*` for all.
    pub namespaces: &'static [&'static str],
    pub roles: &'static [Role],
}

const ALL: &[&str] = &["*"];
const MONITORING: &[&str] = &["Microsoft.Insights", "Microsoft.OperationalInsights"];
const LOGS: &[&str] = &["Microsoft.OperationalInsights"];
const SENTINEL: &[&str] = &["Microsoft.SecurityInsights", "Microsoft.OperationalInsights", "Bartizan"];
const PUBLISH: &[&str] = &["Microsoft.Insights"];
const ACCESS: &[&str] = &["Microsoft.Authorization"];

use Role::{Contributor, Owner, Publisher, Reader, Responder};

pub static ROLE_DEFINITIONS: &[RoleDefinition] = &[
    // Azure's Owner cannot send telemetry either: that is a data action, see Monitoring Metrics Publisher.
    RoleDefinition {
        id: "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
        name: "Owner",
        namespaces: ALL,
        roles: &[Reader, Responder, Contributor, Owner],
    },
    RoleDefinition {
        id: "b24988ac-6180-42a0-ab88-20f7382dd24c",
        name: "Contributor",
        namespaces: ALL,
        roles: &[Reader, Responder, Contributor],
    },
    RoleDefinition { id: "acdd72a7-3385-48ef-bd42-f606fba81ae7", name: "Reader", namespaces: ALL, roles: &[Reader] },
    RoleDefinition {
        id: "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",
        name: "User Access Administrator",
        namespaces: ACCESS,
        roles: &[Reader, Owner],
    },
    RoleDefinition {
        id: "3913510d-42f4-4e42-8a64-420c390055eb",
        name: "Monitoring Metrics Publisher",
        namespaces: PUBLISH,
        roles: &[Publisher],
    },
    RoleDefinition { id: "43d0d8ad-25c7-4714-9337-8ba259a9fe05", name: "Monitoring Reader", namespaces: MONITORING, roles: &[Reader] },
    RoleDefinition {
        id: "749f88d5-cbae-40b8-bcfc-e573ddc772fa",
        name: "Monitoring Contributor",
        namespaces: MONITORING,
        roles: &[Reader, Contributor],
    },
    RoleDefinition { id: "73c42c96-874c-492b-b04d-ab87d138a893", name: "Log Analytics Reader", namespaces: LOGS, roles: &[Reader] },
    RoleDefinition {
        id: "92aaf0da-9dab-42b6-94a3-d43ce8d16293",
        name: "Log Analytics Contributor",
        namespaces: MONITORING,
        roles: &[Reader, Contributor],
    },
    RoleDefinition {
        id: "8d289c81-5878-46d4-8554-54e1e3d8b5cb",
        name: "Microsoft Sentinel Reader",
        namespaces: SENTINEL,
        roles: &[Reader],
    },
    RoleDefinition {
        id: "3e150937-b8fe-4cfb-8069-0eaf05ecd056",
        name: "Microsoft Sentinel Responder",
        namespaces: SENTINEL,
        roles: &[Reader, Responder],
    },
    RoleDefinition {
        id: "ab8e14d6-4a74-4a29-9ba8-549422addade",
        name: "Microsoft Sentinel Contributor",
        namespaces: SENTINEL,
        roles: &[Reader, Responder, Contributor],
    },
];

pub const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
pub const METRICS_PUBLISHER: &str = "3913510d-42f4-4e42-8a64-420c390055eb";

/// The definition with that id, given bare or as a resource id ending in it.
pub fn definition(id: &str) -> Option<&'static RoleDefinition> {
    let bare = id.trim_end_matches('/').rsplit('/').next().unwrap_or(id);
    ROLE_DEFINITIONS.iter().find(|definition| definition.id.eq_ignore_ascii_case(bare))
}

/// A role held by a principal at a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub principal: String,
    /// The id of a [`RoleDefinition`].
    pub definition: String,
    pub scope: String,
}

/// Whether any grant allows the principal to act as `role` in `namespace` at `scope`.
pub fn allowed<'a>(grants: impl IntoIterator<Item = &'a Grant>, principal: &str, role: Role, namespace: &str, scope: &str) -> bool {
    grants.into_iter().any(|grant| {
        grant.principal.eq_ignore_ascii_case(principal)
            && covers(&grant.scope, scope)
            && definition(&grant.definition).is_some_and(|definition| {
                definition.roles.contains(&role)
                    && definition.namespaces.iter().any(|known| *known == "*" || known.eq_ignore_ascii_case(namespace))
            })
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

    fn grant(definition: &str, scope: &str) -> Grant {
        let id = ROLE_DEFINITIONS.iter().find(|known| known.name == definition).unwrap().id;
        Grant { principal: "p".into(), definition: id.into(), scope: scope.into() }
    }

    #[test]
    fn a_scope_covers_itself_and_below_but_no_neighbour() {
        assert!(covers("/", "/subscriptions/s"));
        assert!(covers("/Subscriptions/S", "/subscriptions/s/resourceGroups/g"));
        assert!(!covers("/subscriptions/s/resourceGroups/g", "/subscriptions/s/resourceGroups/gg"));
        assert!(!covers("/subscriptions/s/resourceGroups/g", "/subscriptions/s"));
    }

    #[test]
    fn roles_are_those_of_azure() {
        // Azure's definitions: Owner has no data action Microsoft.Insights/Telemetry/Write; a Sentinel responder may not edit rules.
        let owner = [grant("Owner", "/")];
        assert!(!allowed(&owner, "p", Role::Publisher, "Microsoft.Insights", "/x"));
        assert!(allowed(&owner, "p", Role::Owner, "Microsoft.Authorization", "/x"));
        assert!(!allowed(&owner, "q", Role::Reader, "Microsoft.Insights", "/x"));
        let responder = [grant("Microsoft Sentinel Responder", "/subscriptions/s")];
        assert!(allowed(&responder, "p", Role::Responder, "microsoft.securityinsights", "/subscriptions/s/x"));
        assert!(!allowed(&responder, "p", Role::Contributor, "Microsoft.SecurityInsights", "/subscriptions/s/x"));
        assert!(!allowed(&responder, "p", Role::Responder, "Microsoft.SecurityInsights", "/subscriptions/other"));
    }

    #[test]
    fn the_innermost_provider_counts() {
        let path = "/subscriptions/s/providers/Microsoft.OperationalInsights/workspaces/w/providers/Microsoft.SecurityInsights/incidents";
        assert_eq!(namespace_of(path), Some("Microsoft.SecurityInsights"));
        assert_eq!(namespace_of("/api/v1/x"), None);
    }
}
