//! docs/reference/api.md.

use std::fmt::Write as _;

use server::{Endpoint, Role};

use super::cell;

const INTRODUCTION: &str = "
Every operation that the service answers, by dialect. Paths match in any case; `{name}` is one segment, `{name*}` one or more, and a part in
brackets may be left out. Callers send `Authorization: Bearer …` with a token from `POST /{tenant}/oauth2/v2.0/token`, whose scope is one of the
dialect's audiences followed by `/.default`; the service's own origin is always one of them. `connect.json` in the data directory has the
addresses and the credentials ([reference](connect.md)).

| role | may |
|---|---|
| open | be called without a token; the reason is beside it |
| signed in | change one's own account; any person who is signed in |
| reader | look at things, run queries |
| responder | work on incidents |
| contributor | change tables, rules and everything but rights |
| publisher | send telemetry through a data collection rule (Azure: *Monitoring Metrics Publisher*) |
| owner | give and take rights |

These five say roughly who may call a route; the route's action decides. [Roles](roles.md) has the verdict of each of Azure's roles on each route.
";

pub fn page() -> String {
    let mut text = format!("# API\n\n{}{INTRODUCTION}", super::made_from("the table of endpoints"));
    let mut endpoints: Vec<&Endpoint> = server::endpoints().collect();
    endpoints.sort_by_key(|endpoint| (endpoint.path, endpoint.method.as_str()));
    for dialect in server::DIALECTS {
        let own: Vec<&&Endpoint> = endpoints.iter().filter(|endpoint| endpoint.dialect.name == dialect.name).collect();
        if own.is_empty() {
            continue;
        }
        let _ = writeln!(text, "\n## {}\n", dialect.name);
        if !dialect.audiences.is_empty() {
            let audiences: Vec<String> = dialect.audiences.iter().map(|audience| format!("`{audience}`")).collect();
            let _ = writeln!(text, "Audiences: {}.\n", audiences.join(", "));
        }
        if dialect.api_version {
            let _ = writeln!(text, "Calls say `api-version`.\n");
        }
        let _ = writeln!(text, "| method | path | role | action | what |\n|---|---|---|---|---|");
        for endpoint in own {
            let role = match endpoint.role {
                Role::Open(why) => format!("open: {why}"),
                role => role.name().to_owned(),
            };
            let action = if endpoint.action.is_empty() { String::new() } else { format!("`{}`", endpoint.action) };
            let _ =
                writeln!(text, "| {} | `{}` | {} | {} | {} |", endpoint.method, endpoint.path, cell(&role), action, cell(endpoint.summary));
        }
    }
    text
}
