//! docs/reference/roles.md: every route against every built-in role.

use std::fmt::Write as _;

use server::roles::{area_of, areas};
use server::{Endpoint, ROLE_DEFINITIONS, Role, RoleDefinition};

use super::cell;

const INTRODUCTION: &str = "
Roles are Azure's, with their ids. A role is assigned to a principal at a scope (the root, the subscription, the resource group, the workspace or a
resource) and holds there and below. Each route stands for an action; a role permits it if one of the role's `actions` matches and none of its
`notActions` does. What no role permits is refused with 403. [Roles and the audit trail](../guide/roles-and-audit.md) says how to assign them.

Actions that begin with `Bartizan/` or `microsoft.directory/` are not Azure's: the roles' patterns for them are listed as *own*.
";

pub fn page() -> String {
    let mut text = format!("# Roles\n\n{}{INTRODUCTION}", super::made_from("the tables of endpoints and of roles"));
    let _ = writeln!(text, "\n## The roles\n\n| | role | id |\n|---|---|---|");
    for (number, role) in ROLE_DEFINITIONS.iter().enumerate() {
        let _ = writeln!(text, "| {} | [{}](#{}) | `{}` |", number + 1, role.name, anchor(role.name), role.id);
    }
    let _ = writeln!(text, "\n## Routes and roles\n\nColumns are numbered as above; `+` permits, `-` refuses.");
    for area in areas() {
        let mut own: Vec<&Endpoint> = server::endpoints().filter(|each| area_of(each.action).is_some_and(|found| found == area)).collect();
        own.sort_by_key(|endpoint| (endpoint.action.to_ascii_lowercase(), endpoint.path, endpoint.method.as_str()));
        if own.is_empty() {
            continue;
        }
        let numbers: Vec<String> = (1..=ROLE_DEFINITIONS.len()).map(|number| number.to_string()).collect();
        let _ = writeln!(text, "\n### {}\n\n| action | route | {} |", area.name, numbers.join(" | "));
        let _ = writeln!(text, "|---|---|{}", "---|".repeat(numbers.len()));
        for endpoint in own {
            let verdicts: Vec<&str> = ROLE_DEFINITIONS.iter().map(|role| if role.permits(endpoint.action) { "+" } else { "-" }).collect();
            let _ =
                writeln!(text, "| `{}` | {} `{}` | {} |", endpoint.action, endpoint.method, shortened(endpoint.path), verdicts.join(" | "));
        }
    }
    open_routes(&mut text);
    let _ = writeln!(text, "\n## What each role lists");
    for role in ROLE_DEFINITIONS {
        definition(&mut text, role);
    }
    text
}

/// The path without the workspace's part, which all its routes share.
fn shortened(path: &str) -> String {
    path.replace(
        "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.OperationalInsights/workspaces/{workspace}",
        "{workspace}",
    )
}

fn open_routes(text: &mut String) {
    let _ = writeln!(text, "\n### Open to everyone\n\n| route | why |\n|---|---|");
    let mut open: Vec<(&Endpoint, &str)> = server::endpoints()
        .filter_map(|endpoint| match endpoint.role {
            Role::Open(why) => Some((endpoint, why)),
            _ => None,
        })
        .collect();
    open.sort_by_key(|(endpoint, _)| (endpoint.path, endpoint.method.as_str()));
    for (endpoint, why) in open {
        let _ = writeln!(text, "| {} `{}` | {} |", endpoint.method, endpoint.path, cell(why));
    }
    let _ = writeln!(
        text,
        "\n### For every person who is signed in\n\nThey are about the person's own account.\n\n| route | what |\n|---|---|"
    );
    let mut own: Vec<&Endpoint> = server::endpoints().filter(|endpoint| endpoint.role == Role::SignedIn).collect();
    own.sort_by_key(|endpoint| (endpoint.path, endpoint.method.as_str()));
    for endpoint in own {
        let _ = writeln!(text, "| {} `{}` | {} |", endpoint.method, endpoint.path, cell(endpoint.summary));
    }
}

fn definition(text: &mut String, role: &RoleDefinition) {
    let _ = writeln!(text, "\n### {}\n\n{}\n\n| list | patterns |\n|---|---|", role.name, cell(role.description));
    let lists = [
        ("actions", role.actions),
        ("notActions", role.not_actions),
        ("dataActions", role.data_actions),
        ("notDataActions", role.not_data_actions),
        ("own", role.own),
        ("own, taken away", role.not_own),
    ];
    for (name, patterns) in lists.into_iter().filter(|(_, patterns)| !patterns.is_empty()) {
        let patterns: Vec<String> = patterns.iter().map(|pattern| format!("`{pattern}`")).collect();
        let _ = writeln!(text, "| {name} | {} |", patterns.join(", "));
    }
}

/// The anchor of a heading, as GitHub and mdBook make it.
fn anchor(heading: &str) -> String {
    heading.to_lowercase().replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use server::roles::Plane;

    use super::*;

    #[test]
    fn the_matrix_has_no_hole() {
        let page = page();
        for endpoint in server::endpoints() {
            let route = if !endpoint.role.is_assigned() {
                format!("| {} `{}` | ", endpoint.method, endpoint.path)
            } else {
                assert_ne!(endpoint.action, "", "{}", endpoint.path);
                format!("| `{}` | {} `{}` | ", endpoint.action, endpoint.method, shortened(endpoint.path))
            };
            let rows: Vec<&str> = page.lines().filter(|line| line.starts_with(&route)).collect();
            assert_eq!(rows.len(), 1, "{route}");
            let verdicts = rows[0].split('|').filter(|cell| matches!(cell.trim(), "+" | "-")).count();
            let expected = if !endpoint.role.is_assigned() { 0 } else { ROLE_DEFINITIONS.len() };
            assert_eq!(verdicts, expected, "{route}");
        }
        assert!(page.contains("Microsoft.Insights/Telemetry/Write") && Plane::of("Microsoft.Insights/Telemetry/Write") == Plane::Data);
    }
}
