//! The table of endpoints against the table of roles.

use std::collections::HashSet;

use super::*;
use crate::endpoint::{NO_ACTION, Role};
use crate::endpoints;

fn role(name: &str) -> &'static RoleDefinition {
    named(name).unwrap()
}

#[test]
fn every_endpoint_stands_for_an_action_of_an_area() {
    for endpoint in endpoints() {
        let place = format!("{} {}", endpoint.method, endpoint.path);
        if !endpoint.role.is_assigned() {
            assert_eq!(endpoint.action, NO_ACTION, "{place} needs no role");
            continue;
        }
        let parts: Vec<&str> = endpoint.action.split('/').collect();
        assert!(parts.len() >= 3 && parts.iter().all(|part| !part.is_empty() && !part.contains('*')), "{place}: `{}`", endpoint.action);
        assert!(area_of(endpoint.action).is_some(), "{place}: `{}` belongs to no area", endpoint.action);
        // From the resource providers' operations: the last word of an action is what is done.
        let verb = parts[parts.len() - 1].to_ascii_lowercase();
        let known = ["read", "write", "delete", "action"].contains(&verb.as_str());
        assert!(known || parts[0] == "microsoft.directory", "{place}: `{}`", endpoint.action);
        if endpoint.action.starts_with("Bartizan/access/") {
            assert_eq!(endpoint.role, Role::Owner, "{place}: who may sign in is a matter of owners");
        } else {
            assert_eq!(verb == "read", endpoint.role == Role::Reader, "{place}: `{}` for a {}", endpoint.action, endpoint.role.name());
        }
        assert_eq!(Plane::of(endpoint.action) == Plane::Data, endpoint.role == Role::Publisher, "{place}");
    }
}

/// The five roles that endpoints name, and the built-in role that has exactly what each of them may do.
#[test]
fn the_five_roles_and_the_actions_agree() {
    use Role::{Contributor, Owner, Publisher, Reader, Responder};
    for endpoint in endpoints().filter(|endpoint| endpoint.role.is_assigned()) {
        let place = format!("{} {} (`{}`)", endpoint.method, endpoint.path, endpoint.action);
        let agree = |name: &str, roles: &[Role]| {
            assert_eq!(role(name).permits(endpoint.action), roles.contains(&endpoint.role), "{name}: {place}");
        };
        agree("Owner", &[Reader, Responder, Contributor, Owner]);
        agree("Contributor", &[Reader, Responder, Contributor]);
        agree("Reader", &[Reader]);
        if !endpoint.action.starts_with("Microsoft.Resources/") {
            agree("Monitoring Metrics Publisher", &[Publisher]);
        }
        if ["Microsoft.SecurityInsights/", "Bartizan/"].iter().any(|prefix| endpoint.action.starts_with(prefix)) {
            agree("Microsoft Sentinel Reader", &[Reader]);
            agree("Microsoft Sentinel Responder", &[Reader, Responder]);
            agree("Microsoft Sentinel Contributor", &[Reader, Responder, Contributor]);
        }
        if endpoint.action.starts_with("Microsoft.Authorization/") {
            agree("User Access Administrator", &[Reader, Owner]);
        }
    }
}

#[test]
fn ids_and_names_are_unique() {
    let mut seen = HashSet::new();
    for definition in ROLE_DEFINITIONS {
        assert!(uuid::Uuid::parse_str(definition.id).is_ok(), "{}", definition.name);
        assert!(
            seen.insert(definition.id.to_ascii_lowercase()) && seen.insert(definition.name.to_ascii_lowercase()),
            "{}",
            definition.name
        );
        assert!(!definition.description.is_empty() && !definition.description.contains("  "), "{}", definition.name);
    }
}

#[test]
fn roles_are_those_of_azure() {
    // Azure's definitions: Owner has no data action Microsoft.Insights/Telemetry/Write; a responder changes incidents and not rules; who
    // reads logs reads incidents; a contributor of Log Analytics changes tables and no data collection rule.
    for (name, action, expected) in [
        ("Owner", "Microsoft.Insights/Telemetry/Write", false),
        ("Monitoring Metrics Publisher", "microsoft.insights/telemetry/write", true),
        ("Microsoft Sentinel Responder", "Microsoft.SecurityInsights/incidents/write", true),
        ("Microsoft Sentinel Responder", "Microsoft.SecurityInsights/incidents/delete", false),
        ("Microsoft Sentinel Responder", "Microsoft.SecurityInsights/incidents/comments/delete", false),
        ("Microsoft Sentinel Responder", "Microsoft.SecurityInsights/alertRules/write", false),
        ("Microsoft Sentinel Contributor", "Microsoft.OperationalInsights/workspaces/tables/write", false),
        ("Microsoft Sentinel Contributor", "Microsoft.OperationalInsights/workspaces/savedSearches/write", true),
        ("Microsoft Sentinel Contributor", "microsoft.directory/applications/standard/read", false),
        ("Microsoft Sentinel Automation Contributor", "Microsoft.SecurityInsights/incidents/read", false),
        ("Log Analytics Reader", "Microsoft.OperationalInsights/workspaces/query/read", true),
        ("Log Analytics Reader", "Microsoft.SecurityInsights/incidents/read", true),
        ("Log Analytics Reader", "Microsoft.OperationalInsights/workspaces/sharedKeys/read", false),
        ("Log Analytics Contributor", "Microsoft.OperationalInsights/workspaces/tables/delete", true),
        ("Log Analytics Contributor", "Microsoft.Insights/dataCollectionRules/write", false),
        ("Monitoring Contributor", "Microsoft.Insights/dataCollectionRules/write", true),
        ("Monitoring Contributor", "Microsoft.OperationalInsights/workspaces/tables/write", false),
        ("Contributor", "Microsoft.Authorization/roleAssignments/write", false),
        ("Contributor", "microsoft.directory/applications/create", false),
        ("Contributor", "Bartizan/access/users/write", false),
        ("User Access Administrator", "Microsoft.Authorization/roleAssignments/delete", true),
        ("User Access Administrator", "Microsoft.SecurityInsights/incidents/write", false),
        ("Owner", "", false),
    ] {
        assert_eq!(role(name).permits(action), expected, "{name}: {action}");
    }
}
