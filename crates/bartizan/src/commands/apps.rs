//! `bartizan apps` — app registrations of the running service, over Microsoft Graph's API. Each group of subcommands is one file in `apps/`.

mod credentials;
mod list;
mod register;

use reqwest::Method;
use serde_json::Value;

use super::client::{Client, ServiceArgs, segment};
use super::output::{Format, list, text};
use super::{Failure, Outcome};

#[derive(clap::Subcommand)]
#[command(
    after_help = "Examples:\n  bartizan apps add 'Office collector' --reply-url https://soc.example.org/callback --multi-tenant\n  bartizan apps add-secret 'Office collector' --valid 180d\n  bartizan apps add-cert 'Office collector' collector.cer\n  bartizan apps show 'Office collector'"
)]
pub enum Command {
    /// List applications with the next expiry of their credentials.
    List(list::List),
    /// Show one application with its secrets, certificates and permissions.
    Show(list::Show),
    /// Register an application.
    Add(register::Add),
    /// Delete an application; its credentials stop working at once.
    Remove(register::Remove),
    /// Give an application a client secret; it is printed once.
    AddSecret(credentials::AddSecret),
    /// Give an application a certificate, from .cer, .pem or .pfx; the private key is not read.
    AddCert(credentials::AddCert),
    /// Take a secret from an application.
    RemoveSecret(credentials::RemoveKey),
    /// Take a certificate from an application.
    RemoveCert(credentials::RemoveKey),
}

/// Which application of which service.
#[derive(clap::Args)]
struct One {
    /// Its name, client id or object id.
    app: String,
    #[command(flatten)]
    service: ServiceArgs,
}

/// An application, the service, and how to print.
#[derive(clap::Args)]
struct Shown {
    #[command(flatten)]
    one: One,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub fn run(command: Command) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::List(args) => list::list(args).await,
            Command::Show(args) => list::show(args).await,
            Command::Add(args) => register::add(args).await,
            Command::Remove(args) => register::remove(args).await,
            Command::AddSecret(args) => credentials::add_secret(args).await,
            Command::AddCert(args) => credentials::add_cert(args).await,
            Command::RemoveSecret(args) => credentials::remove_secret(args).await,
            Command::RemoveCert(args) => credentials::remove_cert(args).await,
        }
    })
}

impl One {
    /// The service and the application.
    async fn find(&self) -> Result<(Client, Value), Failure> {
        let client = self.service.client()?;
        let all = client.graph(Method::GET, "/v1.0/applications", &[], None).await?;
        let is = |app: &&Value, field: &str| text(app, field).eq_ignore_ascii_case(&self.app);
        let found: Vec<&Value> =
            list(&all, "value").iter().filter(|app| is(app, "appId") || is(app, "id") || text(app, "displayName") == self.app).collect();
        match found.as_slice() {
            [one] => Ok((client, (*one).clone())),
            [] => Err(Failure::Wrong(format!("error: there is no application `{}`; `bartizan apps list` shows them", self.app))),
            _ => Err(Failure::Wrong(format!("error: several applications are called `{}`; name one by its client id", self.app))),
        }
    }
}

/// The path of an application in Graph.
fn path(app: &Value) -> String {
    format!("/v1.0/applications/{}", segment(&text(app, "id")))
}
