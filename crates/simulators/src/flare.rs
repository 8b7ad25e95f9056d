//! Simulates Flare's push connector: exposure events posted to `Custom-FireworkEventsStream` with an app registration's token (S0-03,
//! S0-10, S0-14, S0-18).
//!
//! The columns of the stream and the table are those of the published solution's data collection rule; the events are fictitious.

use model::{Secret, Timestamp};
use serde_json::{Value, json};

use crate::{Client, ClientError, Connection};

pub const STREAM: &str = "Custom-FireworkEventsStream";

/// The data collection rule deployed by the solution, for one workspace.
pub fn data_collection_rule(workspace: &str) -> Value {
    let text = include_str!("../../../content/data_collection_rules/firework.json").replace("{workspace}", workspace);
    serde_json::from_str(&text).expect("content/data_collection_rules/firework.json is JSON")
}

/// Creates the data collection rule, like "Deploy" on the connector's page; returns its immutable id. Idempotent (S0-11).
pub async fn deploy(client: &Client) -> Result<String, ClientError> {
    let path = format!("{}/Microsoft.Insights/dataCollectionRules/FireworkCustomDCR", client.connection.providers());
    let rule = client.put(&path, "2023-03-11", &data_collection_rule(&client.connection.workspace())).await?;
    rule["properties"]["immutableId"].as_str().map(str::to_owned).ok_or_else(|| ClientError::Refused {
        what: "the data collection rule",
        status: 200,
        body: "the answer has no `immutableId`".to_owned(),
    })
}

/// The vendor's side of the connection: its application and destination.
pub struct Tenant {
    pub client: Client,
    /// The client id of its app registration.
    pub app_id: String,
    /// Immutable id of the data collection rule.
    pub rule: String,
}

/// Connects a tenant as described on the connector's page: an app registration with a secret, the table and its rule, and the role
/// *Monitoring Metrics Publisher* on that rule alone (S0-06, S0-07, S0-11 … S0-14). `admin` needs the rights for this; the tenant's own
/// client may only send.
pub async fn connect(admin: &Client) -> Result<Tenant, ClientError> {
    const PUBLISHER: &str = "3913510d-42f4-4e42-8a64-420c390055eb";
    let missing = |what: &'static str| ClientError::Refused { what, status: 200, body: "the answer names none".to_owned() };
    let text = |value: &Value, what| value.as_str().map(str::to_owned).ok_or_else(|| missing(what));
    let app = admin.graph("/v1.0/applications", &json!({ "displayName": "Flare" })).await?;
    let (id, app_id) = (text(&app["id"], "the application's id")?, text(&app["appId"], "the application's id")?);
    let principal = admin.graph("/v1.0/servicePrincipals", &json!({ "appId": app_id })).await?;
    let added = admin.graph(&format!("/v1.0/applications/{id}/addPassword"), &json!({ "passwordCredential": {} })).await?;
    let rule = deploy(admin).await?;
    let assignment = format!(
        "{}/Microsoft.Insights/dataCollectionRules/FireworkCustomDCR/providers/Microsoft.Authorization/roleAssignments/{}",
        admin.connection.providers(),
        uuid::Uuid::new_v4()
    );
    let role = json!({ "properties": { "roleDefinitionId": PUBLISHER, "principalId": principal["id"] } });
    admin.put(&assignment, "2022-04-01", &role).await?;
    let secret = Secret::new(text(&added["secretText"], "the secret")?);
    let connection = Connection { client_id: app_id.clone(), client_secret: secret, ..admin.connection.clone() };
    Ok(Tenant { client: Client::new(connection)?, app_id, rule })
}

struct Kind {
    event_type: &'static str,
    category: &'static str,
    source: &'static str,
    title: &'static str,
    /// 1 informational … 5 critical.
    score: i64,
}

/// The exposure types named by the solution (S0-04), by increasing severity.
const KINDS: [Kind; 6] = [
    Kind { event_type: "whois", category: "Domain", source: "whois", title: "A look-alike domain was registered", score: 2 },
    Kind { event_type: "google_dork", category: "Open web", source: "google", title: "An internal page is indexed", score: 2 },
    Kind { event_type: "bucket", category: "Cloud", source: "bucket_listing", title: "A storage bucket lists its files", score: 3 },
    Kind {
        event_type: "github_repository",
        category: "Source code",
        source: "github",
        title: "A key stands in a public repository",
        score: 4,
    },
    Kind { event_type: "forum_post", category: "Dark web", source: "forum", title: "Access to the network is offered for sale", score: 5 },
    Kind {
        event_type: "leaked_credential",
        category: "Credentials",
        source: "stealer_logs",
        title: "A password of an employee was leaked",
        score: 5,
    },
];

const PEOPLE: [&str; 5] = ["ann", "bo", "carla", "deniz", "eve"];

/// Event number `n` of the stream. Deterministic in `n` and `at`.
pub fn event(n: u64, at: Timestamp) -> Value {
    let kind = &KINDS[(n % KINDS.len() as u64) as usize];
    let person = PEOPLE[(n / KINDS.len() as u64 % PEOPLE.len() as u64) as usize];
    let identity = format!("{person}@example.com");
    let uid = format!("{}/{n:08x}", kind.event_type);
    json!({
        "timestamp": at.to_millis_string(),
        "timestamp_formatted": at.to_millis_string(),
        "first_crawled_at": at.to_millis_string(),
        "materialized_at": at.to_millis_string(),
        "url": format!("https://app.flare.example/#/uid/{uid}"),
        "event_title": kind.title,
        "event_type": kind.event_type,
        "source": kind.source,
        "source_name": kind.source,
        "id": uid,
        "uid": uid,
        "keyword": "example.com",
        "category_name": kind.category,
        "content_preview": [format!("… {identity} …")],
        "content": format!("{}: {identity}", kind.title),
        "risk": { "score": kind.score },
        "tags": ["sample"],
        "related": [],
        "data": { "identity_name": identity, "domain": "example.com" },
        "identifiers": [{ "id": n, "type": "domain", "name": "example.com" }],
        "actor": if kind.score == 5 { "nightjar" } else { "" },
        "victim_name": "Example Ltd",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_an_event_is_declared_in_the_stream() {
        let rule = data_collection_rule("/workspace");
        let columns = rule["properties"]["streamDeclarations"][STREAM]["columns"].as_array().unwrap();
        let declared: Vec<&str> = columns.iter().map(|column| column["name"].as_str().unwrap()).collect();
        for n in 0..KINDS.len() as u64 {
            for name in event(n, Timestamp::UNIX_EPOCH).as_object().unwrap().keys() {
                assert!(declared.contains(&name.as_str()), "{name} is not in the stream");
            }
        }
    }
}
