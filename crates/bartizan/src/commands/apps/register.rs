//! `bartizan apps add` and `bartizan apps remove`.

use reqwest::Method;
use serde_json::json;

use super::super::client::ServiceArgs;
use super::super::output::{self, Format, text};
use super::super::{Failure, Outcome};
use super::{One, path};

#[derive(clap::Args)]
pub struct Add {
    /// Its display name.
    name: String,
    /// A reply URL of a web application; several may be given.
    #[arg(long = "reply-url", value_name = "URL")]
    web: Vec<String>,
    /// A reply URL of a single-page application.
    #[arg(long = "spa-url", value_name = "URL")]
    spa: Vec<String>,
    /// A reply URL of an application on a device or desktop, such as http://localhost.
    #[arg(long = "public-url", value_name = "URL")]
    public: Vec<String>,
    /// Administrators of other tenants may consent to it.
    #[arg(long)]
    multi_tenant: bool,
    /// It keeps no secret: it may use device codes, and needs proof keys.
    #[arg(long)]
    public_client: bool,
    #[command(flatten)]
    service: ServiceArgs,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(clap::Args)]
pub struct Remove {
    #[command(flatten)]
    one: One,
}

pub async fn add(args: Add) -> Outcome {
    let client = args.service.client()?;
    let body = json!({
        "displayName": args.name,
        "signInAudience": if args.multi_tenant { "AzureADMultipleOrgs" } else { "AzureADMyOrg" },
        "isFallbackPublicClient": args.public_client,
        "web": { "redirectUris": args.web },
        "spa": { "redirectUris": args.spa },
        "publicClient": { "redirectUris": args.public },
    });
    let app = client.graph(Method::POST, "/v1.0/applications", &[], Some(&body)).await?;
    let principal = client.graph(Method::POST, "/v1.0/servicePrincipals", &[], Some(&json!({ "appId": app["appId"] }))).await?;
    if args.format == Format::Json {
        return output::json(&app).map_err(Failure::from);
    }
    output::lines(&[
        format!("client id          {}", text(&app, "appId")),
        format!("tenant id          {}", client.tenant_id()),
        format!("object id          {}", text(&app, "id")),
        format!("service principal  {}", text(&principal, "id")),
    ])?;
    Ok(())
}

pub async fn remove(args: Remove) -> Outcome {
    let (client, app) = args.one.find().await?;
    client.graph(Method::DELETE, &path(&app), &[], None).await?;
    println!("{} deleted", text(&app, "appId"));
    Ok(())
}
