//! `bartizan users` — the people who may sign in to the running service.

use anyhow::Context as _;
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{ServiceArgs, segment};
use super::output::{self, Format};
use super::{Outcome, prompt};

#[derive(clap::Subcommand)]
#[command(
    after_help = "Examples:\n  bartizan users list\n  bartizan users add ann --display-name 'Ann Example' --email ann@example.org\n  bartizan users reset-password ann\n  bartizan users disable ann"
)]
pub enum Command {
    /// List the people with their state and last sign-in.
    List(List),
    /// Show one person.
    Show(One),
    /// Add a person; prints the initial password, which must be changed at the first sign-in.
    Add(Add),
    /// Disable an account: its sessions and tokens stop working at once.
    Disable(One),
    /// Enable an account.
    Enable(One),
    /// Delete a person with all sessions, memberships and role assignments.
    Remove(One),
    /// Give a person another password, to be changed at the next sign-in; prints it.
    ResetPassword(ResetPassword),
    /// Remove the authenticator app and the recovery codes of a person.
    ResetTotp(One),
}

#[derive(clap::Args)]
pub struct List {
    #[command(flatten)]
    service: ServiceArgs,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(clap::Args)]
pub struct One {
    /// User name or object id.
    user: String,
    #[command(flatten)]
    service: ServiceArgs,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(clap::Args)]
pub struct Add {
    /// User name: letters, digits and `._-+'@`.
    name: String,
    /// Default: the user name.
    #[arg(long)]
    display_name: Option<String>,
    #[arg(long)]
    email: Option<String>,
    /// Ask for the initial password, or read it from standard input, instead of generating one.
    #[arg(long)]
    set_password: bool,
    #[command(flatten)]
    service: ServiceArgs,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(clap::Args)]
pub struct ResetPassword {
    /// User name or object id.
    user: String,
    /// Ask for the password, or read it from standard input, instead of generating one.
    #[arg(long)]
    set_password: bool,
    #[command(flatten)]
    service: ServiceArgs,
}

pub fn run(command: Command) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::List(args) => list(&args).await,
            Command::Show(args) => {
                let user = args.service.client()?.ours(Method::GET, &path(&args.user, ""), None).await?;
                show(&user, args.format)
            }
            Command::Add(args) => add(&args).await,
            Command::Disable(args) => act(&args, "/disable").await,
            Command::Enable(args) => act(&args, "/enable").await,
            Command::Remove(args) => {
                args.service.client()?.ours(Method::DELETE, &path(&args.user, ""), None).await?;
                Ok(())
            }
            Command::ResetPassword(args) => reset_password(&args).await,
            Command::ResetTotp(args) => act(&args, "/reset-totp").await,
        }
    })
}

fn path(user: &str, action: &str) -> String {
    format!("/api/v1/users/{}{action}", segment(user))
}

async fn act(args: &One, action: &str) -> Outcome {
    let user = args.service.client()?.ours(Method::POST, &path(&args.user, action), None).await?;
    show(&user, args.format)
}

async fn list(args: &List) -> Outcome {
    let answer = args.service.client()?.ours(Method::GET, "/api/v1/users", None).await?;
    if args.format == Format::Json {
        return Ok(output::json(&answer["users"])?);
    }
    let row = |user: &Value| {
        let groups: Vec<&str> = output::list(user, "groups").iter().filter_map(Value::as_str).collect();
        let last: String = output::text(user, "last_sign_in").chars().take(19).collect();
        vec![output::text(user, "name"), output::text(user, "display_name"), state(user), groups.join(", "), last]
    };
    let rows: Vec<Vec<String>> = output::list(&answer, "users").iter().map(row).collect();
    Ok(output::table(&["user", "name", "state", "groups", "last sign-in"], &rows)?)
}

fn state(user: &Value) -> String {
    let mut words = vec![if user["disabled"] == true { "disabled" } else { "enabled" }];
    if user["totp"] == true {
        words.push("second factor");
    }
    if user["must_change_password"] == true {
        words.push("initial password");
    }
    words.join(", ")
}

fn show(user: &Value, format: Format) -> Outcome {
    if format == Format::Json {
        return Ok(output::json(user)?);
    }
    let groups: Vec<&str> = output::list(user, "groups").iter().filter_map(Value::as_str).collect();
    let lines = [
        ("object id", output::text(user, "object_id")),
        ("principal name", output::text(user, "user_principal_name")),
        ("display name", output::text(user, "display_name")),
        ("mail address", output::text(user, "email")),
        ("state", state(user)),
        ("groups", groups.join(", ")),
        ("created", output::text(user, "created")),
        ("last sign-in", output::text(user, "last_sign_in")),
    ];
    let mut text = vec![output::text(user, "name")];
    text.extend(lines.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("  {name:<16} {value}")));
    Ok(output::lines(&text)?)
}

async fn add(args: &Add) -> Outcome {
    let mut body = json!({ "name": args.name, "display_name": args.display_name, "email": args.email });
    if args.set_password {
        body["password"] = json!(prompt::new_password("Initial password")?.reveal());
    }
    let created = args.service.client()?.ours(Method::POST, "/api/v1/users", Some(&body)).await?;
    if args.format == Format::Json {
        return Ok(output::json(&created)?);
    }
    show(&created["user"], Format::Table)?;
    print_password(&created)
}

async fn reset_password(args: &ResetPassword) -> Outcome {
    let mut body = json!({});
    if args.set_password {
        body["password"] = json!(prompt::new_password("New password")?.reveal());
    }
    let answer = args.service.client()?.ours(Method::POST, &path(&args.user, "/reset-password"), Some(&body)).await?;
    print_password(&answer)
}

/// The generated password, on a line of its own.
fn print_password(answer: &Value) -> Outcome {
    use std::io::Write as _;
    if let Some(password) = answer["initial_password"].as_str() {
        writeln!(std::io::stdout(), "initial password: {password}").context("cannot print the password")?;
    }
    Ok(())
}
