//! `bartizan roles explain` — what a role unlocks, by area; what a principal may do, and through which assignment.

use serde_json::{Value, json};
use server::roles::{Area, area_of, areas, definition};
use server::{Endpoint, RoleDefinition};

use super::super::client::{Client, ServiceArgs};
use super::super::output::{Format, json as print_json, lines, text};
use super::super::{Failure, Outcome};
use super::assign::role;
use super::principals::{Principals, assignments};
use super::scope::shorten;

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  bartizan roles explain 'Log Analytics Reader'\n  bartizan roles explain --principal flare")]
pub struct Args {
    /// A role by its name or id; needs no service.
    #[arg(required_unless_present = "principal", conflicts_with = "principal")]
    role: Option<String>,
    /// A principal: its name, application id or object id.
    #[arg(long, value_name = "X")]
    principal: Option<String>,
    #[command(flatten)]
    service: ServiceArgs,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub async fn run(args: Args) -> Outcome {
    match (&args.role, &args.principal) {
        (_, Some(principal)) => of_principal(&args, principal).await,
        (Some(name), None) => of_role(role(name)?, args.format),
        (None, None) => Err(Failure::Wrong("error: name a role, or a principal with --principal".to_owned())),
    }
}

/// The endpoints of an area that need a role.
fn endpoints_of(area: &Area) -> Vec<&'static Endpoint> {
    let guarded = server::endpoints().filter(|endpoint| endpoint.role.is_assigned());
    guarded.filter(|endpoint| area_of(endpoint.action).is_some_and(|found| found == area)).collect()
}

fn of_role(role: &RoleDefinition, format: Format) -> Outcome {
    let unlocked: Vec<(&Area, Vec<&Endpoint>, Vec<&Endpoint>)> = areas()
        .iter()
        .map(|area| {
            let (may, may_not) = endpoints_of(area).into_iter().partition(|endpoint| role.permits(endpoint.action));
            (area, may, may_not)
        })
        .collect();
    if format == Format::Json {
        let actions = |endpoints: &[&Endpoint]| endpoints.iter().map(|endpoint| json!(endpoint.action)).collect::<Vec<Value>>();
        let areas: Vec<Value> = unlocked
            .iter()
            .map(|(area, may, may_not)| json!({ "area": area.name, "may": actions(may), "mayNot": actions(may_not) }))
            .collect();
        let found = json!({ "role": role.name, "id": role.id, "description": role.description, "areas": areas });
        return print_json(&found).map_err(Failure::from);
    }
    let mut text = vec![format!("{} ({})", role.name, role.id), role.description.to_owned()];
    for (area, may, may_not) in unlocked.iter().filter(|(_, may, may_not)| may.len() + may_not.len() > 0) {
        let extent = match (may.len(), may_not.len()) {
            (0, _) => "nothing",
            (_, 0) => "everything",
            _ => "in part",
        };
        text.push(format!("{}: {extent}", area.name));
        if !may.is_empty() && !may_not.is_empty() {
            text.extend(may.iter().map(|endpoint| format!("  may      {}", endpoint.summary)));
            text.extend(may_not.iter().map(|endpoint| format!("  may not  {}", endpoint.summary)));
        }
    }
    lines(&text).map_err(Failure::from)
}

/// A role that the principal holds.
struct Held {
    role: &'static RoleDefinition,
    scope: String,
}

async fn of_principal(args: &Args, written: &str) -> Outcome {
    let client = args.service.client()?;
    let principals = Principals::read(&client).await?;
    let id = principals.find(written)?;
    let held: Vec<Held> = assignments(&client, Some(&format!("assignedTo('{id}')")))
        .await?
        .iter()
        .filter_map(|assignment| {
            let properties = &assignment["properties"];
            Some(Held { role: definition(&text(properties, "roleDefinitionId"))?, scope: text(properties, "scope") })
        })
        .collect();
    if args.format == Format::Json {
        return print_json(&as_json(&principals.name(&id), &id, &held)).map_err(Failure::from);
    }
    lines(&as_lines(&client, &principals.name(&id), &held)).map_err(Failure::from)
}

fn as_json(name: &str, id: &str, held: &[Held]) -> Value {
    let reasons = |action: &str| {
        let because = held.iter().filter(|held| held.role.permits(action));
        because.map(|held| json!({ "role": held.role.name, "scope": held.scope })).collect::<Vec<Value>>()
    };
    let mut actions: Vec<&str> = server::endpoints().map(|endpoint| endpoint.action).filter(|action| !action.is_empty()).collect();
    actions.sort_unstable();
    actions.dedup();
    let actions: Vec<Value> = actions.into_iter().map(|action| json!({ "action": action, "because": reasons(action) })).collect();
    json!({ "principal": name, "id": id, "actions": actions })
}

fn as_lines(client: &Client, name: &str, held: &[Held]) -> Vec<String> {
    let mut text = vec![name.to_owned()];
    if held.is_empty() {
        text.push("holds no role: every request is refused with 403".to_owned());
        return text;
    }
    text.extend(held.iter().map(|held| format!("holds {} at {}", held.role.name, shorten(client, &held.scope))));
    for area in areas() {
        let endpoints = endpoints_of(area);
        if endpoints.is_empty() {
            continue;
        }
        text.push(format!("{}:", area.name));
        for endpoint in endpoints {
            let because: Vec<String> = held
                .iter()
                .filter(|held| held.role.permits(endpoint.action))
                .map(|held| format!("{} at {}", held.role.name, shorten(client, &held.scope)))
                .collect();
            text.push(match because.is_empty() {
                true => format!("  may not  {}", endpoint.summary),
                false => format!("  may      {}  [{}]", endpoint.summary, because.join("; ")),
            });
        }
    }
    text
}
