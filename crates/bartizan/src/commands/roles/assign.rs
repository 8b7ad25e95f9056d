//! `bartizan roles assign`.

use reqwest::Method;
use serde_json::json;
use server::{ROLE_DEFINITIONS, RoleDefinition};
use uuid::Uuid;

use super::super::client::ServiceArgs;
use super::super::{Failure, Outcome};
use super::principals::Principals;
use super::scope::{resolve, shorten};

#[derive(clap::Args)]
#[command(after_help = "Example:\n  bartizan roles assign 'Microsoft Sentinel Responder' --principal flare --scope workspace")]
pub struct Args {
    /// A role by its name or id; `bartizan roles list --definitions` names them.
    role: String,
    /// Who gets it: a name, application id or object id.
    #[arg(long, value_name = "X")]
    principal: String,
    /// Where: subscription, group, workspace, or a resource id.
    #[arg(long, value_name = "S", default_value = "group")]
    scope: String,
    #[command(flatten)]
    service: ServiceArgs,
}

/// The role of that name or id.
pub fn role(written: &str) -> Result<&'static RoleDefinition, Failure> {
    server::roles::named(written).ok_or_else(|| {
        let known: Vec<&str> = ROLE_DEFINITIONS.iter().map(|each| each.name).collect();
        Failure::Wrong(format!("error: there is no role `{written}`; there are {}", known.join(", ")))
    })
}

pub async fn run(args: Args) -> Outcome {
    let role = role(&args.role)?;
    let client = args.service.client()?;
    let principals = Principals::read(&client).await?;
    let principal = principals.find(&args.principal)?;
    let scope = resolve(&client, &args.scope);
    let body = json!({ "properties": { "roleDefinitionId": role.id, "principalId": principal } });
    client.authorization(Method::PUT, &scope, &format!("/roleAssignments/{}", Uuid::new_v4()), &[], Some(&body)).await?;
    println!("{} is {} at {}", principals.name(&principal), role.name, shorten(&client, &scope));
    Ok(())
}
