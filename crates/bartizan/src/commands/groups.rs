//! `bartizan groups` — groups of people, to which roles are assigned as to people.

use reqwest::Method;
use serde_json::{Value, json};

use super::Outcome;
use super::client::{ServiceArgs, segment};
use super::output::{self, Format};

#[derive(clap::Subcommand)]
#[command(
    after_help = "Examples:\n  bartizan groups add analysts --description 'Tier 1'\n  bartizan groups add-member analysts ann\n  bartizan groups list"
)]
pub enum Command {
    /// List the groups with their members.
    List(List),
    /// Add a group.
    Add(Add),
    /// Delete a group with its role assignments; its members stay.
    Remove(One),
    /// Add a person to a group.
    AddMember(Member),
    /// Remove a person from a group.
    RemoveMember(Member),
}

#[derive(clap::Args)]
pub struct List {
    #[command(flatten)]
    service: ServiceArgs,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(clap::Args)]
pub struct Add {
    /// Unique in any spelling.
    name: String,
    #[arg(long, default_value = "")]
    description: String,
    #[command(flatten)]
    service: ServiceArgs,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(clap::Args)]
pub struct One {
    /// Name or object id of the group.
    group: String,
    #[command(flatten)]
    service: ServiceArgs,
}

#[derive(clap::Args)]
pub struct Member {
    /// Name or object id of the group.
    group: String,
    /// User name or object id.
    user: String,
    #[command(flatten)]
    service: ServiceArgs,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub fn run(command: Command) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::List(args) => {
                let answer = args.service.client()?.ours(Method::GET, "/api/v1/groups", None).await?;
                print(output::list(&answer, "groups"), args.format)
            }
            Command::Add(args) => {
                let body = json!({ "name": args.name, "description": args.description });
                print(&[args.service.client()?.ours(Method::POST, "/api/v1/groups", Some(&body)).await?], args.format)
            }
            Command::Remove(args) => {
                let path = format!("/api/v1/groups/{}", segment(&args.group));
                args.service.client()?.ours(Method::DELETE, &path, None).await?;
                Ok(())
            }
            Command::AddMember(args) => set_member(&args, Method::PUT).await,
            Command::RemoveMember(args) => set_member(&args, Method::DELETE).await,
        }
    })
}

async fn set_member(args: &Member, method: Method) -> Outcome {
    let path = format!("/api/v1/groups/{}/members/{}", segment(&args.group), segment(&args.user));
    print(&[args.service.client()?.ours(method, &path, None).await?], args.format)
}

fn print(groups: &[Value], format: Format) -> Outcome {
    if format == Format::Json {
        return Ok(output::json(&json!(groups))?);
    }
    let row = |group: &Value| {
        let members: Vec<String> = output::list(group, "members").iter().map(|member| output::text(member, "name")).collect();
        vec![output::text(group, "name"), output::text(group, "object_id"), members.join(", "), output::text(group, "description")]
    };
    Ok(output::table(&["group", "object id", "members", "description"], &groups.iter().map(row).collect::<Vec<_>>())?)
}
