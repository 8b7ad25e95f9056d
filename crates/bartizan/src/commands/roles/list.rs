//! `bartizan roles list`.

use serde_json::{Value, json};
use server::roles::definition;

use super::super::client::ServiceArgs;
use super::super::output::{Format, json as print_json, table, text};
use super::super::{Failure, Outcome};
use super::principals::{Principals, assignments};
use super::scope::shorten;

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  bartizan roles list\n  bartizan roles list --principal flare\n  bartizan roles list --definitions")]
pub struct Args {
    /// Only assignments of this principal: its name, application id or object id.
    #[arg(long, value_name = "X")]
    principal: Option<String>,
    /// The roles that can be assigned instead of the assignments; needs no service.
    #[arg(long, conflicts_with = "principal")]
    definitions: bool,
    #[command(flatten)]
    service: ServiceArgs,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub async fn run(args: Args) -> Outcome {
    if args.definitions {
        return definitions(args.format);
    }
    let client = args.service.client()?;
    let principals = Principals::read(&client).await?;
    let filter = match &args.principal {
        Some(written) => Some(format!("principalId eq '{}'", principals.find(written)?)),
        None => None,
    };
    let found = assignments(&client, filter.as_deref()).await?;
    if args.format == Format::Json {
        return print_json(&json!(found)).map_err(Failure::from);
    }
    let row = |assignment: &Value| {
        let properties = &assignment["properties"];
        let (role, principal) = (text(properties, "roleDefinitionId"), text(properties, "principalId"));
        vec![
            principals.name(&principal),
            definition(&role).map_or(role, |known| known.name.to_owned()),
            shorten(&client, &text(properties, "scope")),
            text(properties, "createdOn").chars().take(19).collect(),
            text(properties, "createdBy"),
            text(assignment, "name"),
        ]
    };
    table(&["principal", "role", "scope", "since", "by", "assignment"], &found.iter().map(row).collect::<Vec<_>>())?;
    Ok(())
}

fn definitions(format: Format) -> Outcome {
    let all = server::ROLE_DEFINITIONS;
    if format == Format::Json {
        let all: Vec<Value> = all.iter().map(|each| json!({ "id": each.id, "name": each.name, "description": each.description })).collect();
        return print_json(&json!(all)).map_err(Failure::from);
    }
    let rows: Vec<Vec<String>> = all.iter().map(|each| vec![each.name.to_owned(), each.id.to_owned()]).collect();
    table(&["role", "id"], &rows)?;
    Ok(())
}
