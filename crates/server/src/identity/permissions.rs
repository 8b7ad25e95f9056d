//! Permissions that resources publish: scopes for people who use an application, app roles for applications themselves.
//!
//! Ids and names are Microsoft's (learn.microsoft.com/graph/permissions-reference and the service principals of its APIs), so that a manifest
//! exported from Azure names the same permissions here. A permission without a published id has the empty one.

use crate::dialect::{self, Dialect, normal_audience};
use crate::endpoint::Role;

/// A published permission.
pub struct Permission {
    pub id: &'static str,
    pub value: &'static str,
    /// Whether only an administrator may consent to the scope.
    pub admin: bool,
    /// For the consent page.
    pub says: &'static str,
}

/// One of Microsoft's APIs.
pub struct Resource {
    pub app_id: &'static str,
    pub name: &'static str,
    pub audiences: &'static [&'static str],
    pub scopes: &'static [Permission],
    pub roles: &'static [Permission],
}

const fn user(id: &'static str, value: &'static str, says: &'static str) -> Permission {
    Permission { id, value, admin: false, says }
}

const fn admin(id: &'static str, value: &'static str, says: &'static str) -> Permission {
    Permission { id, value, admin: true, says }
}

/// The four scopes of OpenID Connect.
pub const OPENID_SCOPES: [&str; 4] = ["openid", "profile", "email", "offline_access"];

/// The scope that lets an application do everything that its user may.
pub const IMPERSONATION: &str = "user_impersonation";

pub const GRAPH_APP_ID: &str = "00000003-0000-0000-c000-000000000000";

const IMPERSONATE: &str = "Do what you may do, in your name";

/// S1-34, S1-45: the permissions of the Office 365 Management APIs; scopes and app roles have the same ids. The two that are unused are not
/// offered (S1-60).
static OFFICE: [Permission; 3] = [
    admin("594c1fb6-4f81-4475-ae41-0c394909246c", "ActivityFeed.Read", "Read activity data of the organization"),
    admin("4807a72c-ad38-4250-94c9-4eabfe26cd55", "ActivityFeed.ReadDlp", "Read DLP policy events, with the sensitive data found"),
    admin("e2cea78f-e743-4d8f-a16a-75b629a038ae", "ServiceHealth.Read", "Read service health of the organization"),
];

pub static RESOURCES: &[Resource] = &[
    Resource {
        app_id: GRAPH_APP_ID,
        name: "Microsoft Graph",
        audiences: &["https://graph.microsoft.com"],
        scopes: &[
            user("e1fe6dd8-ba31-4d61-89e7-88639da4683d", "User.Read", "Sign you in and read your profile"),
            admin("c79f8feb-a9db-4090-85f9-90d820caa0eb", "Application.Read.All", "Read applications"),
            admin("bdfbf15f-ee85-4955-8675-146e8e5296b5", "Application.ReadWrite.All", "Register and change applications"),
            admin("06da0dbc-49e2-44d2-8312-53f166ab848a", "Directory.Read.All", "Read the directory"),
            admin("c5366453-9fb0-48a5-a156-24f0c49a4b84", "Directory.ReadWrite.All", "Read and change the directory"),
        ],
        roles: &[
            admin("9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30", "Application.Read.All", "Read applications"),
            admin("1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9", "Application.ReadWrite.All", "Register and change applications"),
            admin("7ab1d382-f21e-4acd-a863-ba3e13f7da61", "Directory.Read.All", "Read the directory"),
        ],
    },
    Resource {
        app_id: "797f4846-ba00-4fd7-ba43-dac1f8f63013",
        name: "Azure Service Management",
        audiences: &["https://management.azure.com", "https://management.core.windows.net"],
        scopes: &[user("41094075-9dad-400e-a0bd-54e686782033", IMPERSONATION, IMPERSONATE)],
        roles: &[],
    },
    Resource {
        app_id: "ca7f3f0b-7d91-482c-8e09-c5d840d0eac5",
        name: "Log Analytics API",
        audiences: &["https://api.loganalytics.io", "https://api.loganalytics.azure.com"],
        scopes: &[user("", "Data.Read", "Read log data in your name"), user("", IMPERSONATION, IMPERSONATE)],
        roles: &[admin("e8f6e161-84d0-4cd7-9441-2d46ec9ec3d5", "Data.Read", "Read log data")],
    },
    Resource {
        app_id: "c5393580-f805-4401-95e8-94b7a6ef2fc2",
        name: "Office 365 Management APIs",
        audiences: &["https://manage.office.com"],
        scopes: &OFFICE,
        roles: &OFFICE,
    },
];

/// The resource with that audience or application id.
pub fn resource(name: &str) -> Option<&'static Resource> {
    let audience = normal_audience(name);
    RESOURCES.iter().find(|resource| resource.app_id.eq_ignore_ascii_case(name.trim()) || resource.audiences.contains(&audience.as_str()))
}

/// Whether tokens for the audience have Entra's version 1: those of Microsoft's own APIs do.
pub fn is_version_one(audience: &str) -> bool {
    let audience = normal_audience(audience);
    dialect::DIALECTS.iter().flat_map(|dialect| dialect.audiences).chain(dialect::OTHER_RESOURCES).any(|known| *known == audience)
}

/// Whether a delegated token with these scopes may be used for this: an application acts for its user within the scopes consented to, however
/// much the user may do.
pub fn scopes_allow(dialect: &Dialect, role: Role, scopes: &[String]) -> bool {
    let has = |names: &[&str]| scopes.iter().any(|scope| names.contains(&scope.as_str()));
    if dialect.name == dialect::GRAPH.name {
        return match role {
            Role::Open(_) => true,
            Role::Reader => has(&["Application.Read.All", "Application.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"]),
            _ => has(&["Application.ReadWrite.All", "Directory.ReadWrite.All"]),
        };
    }
    has(&[IMPERSONATION]) || (role == Role::Reader && has(&["Data.Read"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_bound_what_an_application_does_for_its_user() {
        let scopes = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(!scopes_allow(&dialect::GRAPH, Role::Reader, &scopes("User.Read")));
        assert!(scopes_allow(&dialect::GRAPH, Role::Reader, &scopes("User.Read Application.Read.All")));
        assert!(!scopes_allow(&dialect::GRAPH, Role::Owner, &scopes("Application.Read.All")));
        assert!(scopes_allow(&dialect::LOG_ANALYTICS, Role::Reader, &scopes("Data.Read")));
        assert!(!scopes_allow(&dialect::RESOURCE_MANAGER, Role::Contributor, &scopes("Data.Read")));
        assert!(scopes_allow(&dialect::RESOURCE_MANAGER, Role::Owner, &scopes(IMPERSONATION)));
        assert!(!scopes_allow(&dialect::OURS, Role::Reader, &[]));
    }

    #[test]
    fn resources_are_found_by_audience_and_by_id() {
        assert_eq!(resource("https://manage.office.com/").unwrap().name, "Office 365 Management APIs");
        assert_eq!(resource("C5393580-F805-4401-95E8-94B7A6EF2FC2").unwrap().name, "Office 365 Management APIs");
        assert!(resource("https://elsewhere.example").is_none());
        assert!(is_version_one("https://monitor.azure.com//") && !is_version_one("https://localhost:8443"));
    }
}
