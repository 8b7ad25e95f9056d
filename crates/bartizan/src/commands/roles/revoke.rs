//! `bartizan roles revoke`.

use reqwest::Method;
use serde_json::Value;
use server::roles::definition;

use super::super::client::ServiceArgs;
use super::super::output::text;
use super::super::{Failure, Outcome};
use super::assign::role;
use super::principals::{Principals, assignments};
use super::scope::{resolve, shorten};

#[derive(clap::Args)]
#[command(after_help = "Example:\n  bartizan roles revoke 'Monitoring Metrics Publisher' --principal flare")]
pub struct Args {
    /// A role by its name or id.
    role: String,
    /// Who loses it: a name, application id or object id.
    #[arg(long, value_name = "X")]
    principal: String,
    /// Where it was given: subscription, group, workspace, or a resource id. Needed if it was given at several scopes.
    #[arg(long, value_name = "S")]
    scope: Option<String>,
    #[command(flatten)]
    service: ServiceArgs,
}

pub async fn run(args: Args) -> Outcome {
    let role = role(&args.role)?;
    let client = args.service.client()?;
    let principals = Principals::read(&client).await?;
    let principal = principals.find(&args.principal)?;
    let scope = args.scope.as_deref().map(|written| resolve(&client, written));
    let mut held = assignments(&client, Some(&format!("principalId eq '{principal}'"))).await?;
    held.retain(|assignment| {
        let properties = &assignment["properties"];
        definition(&text(properties, "roleDefinitionId")).is_some_and(|known| known.id == role.id)
            && scope.as_ref().is_none_or(|scope| text(properties, "scope").eq_ignore_ascii_case(scope))
    });
    let place = |assignment: &Value| shorten(&client, &text(&assignment["properties"], "scope"));
    match held.as_slice() {
        [one] => {
            let at = text(&one["properties"], "scope");
            client.authorization(Method::DELETE, &at, &format!("/roleAssignments/{}", text(one, "name")), &[], None).await?;
            println!("{} is no longer {} at {}", principals.name(&principal), role.name, place(one));
            Ok(())
        }
        [] => Err(Failure::Wrong(format!("error: {} does not have the role {} there", principals.name(&principal), role.name))),
        many => {
            let places: Vec<String> = many.iter().map(place).collect();
            Err(Failure::Wrong(format!("error: the role was given at several scopes: say --scope, one of {}", places.join(", "))))
        }
    }
}
