//! `applications`: clients of the APIs, by display name.
//!
//! Secrets and certificates are no part of documents: they are made through Microsoft Graph, and stay when an application is applied again.
//! The application that the service made at its first start is no part of them either.

use std::collections::BTreeMap;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{AppRegistration, StoreError};
use uuid::Uuid;

use crate::check::Findings;
use crate::error::ApplyError;
use crate::kind::{Access, Cache, Kind, Level, Stored, Writing};
use crate::plan::Plan;
use crate::stored::World;
use crate::writes::{self, By};

pub static KIND: Applications = Applications;
pub type Body = Application;

/// Maximum applications of a tenant, as in the Graph API.
const MAX_APPLICATIONS: usize = 1_000;
/// Maximum characters of a display name, as in Entra.
const MAX_NAME: usize = 256;

/// An application; its name in the document is its display name.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Application {
    /// The client id, a GUID. Default: a new one. Clients keep their configuration where it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
}

fn read(body: &Value) -> Application {
    serde_json::from_value(body.clone()).unwrap_or_default()
}

/// The applications besides the service's own, by their names in documents: the display name, or the client id where another application
/// has the same display name.
pub(crate) async fn named(world: &World) -> Result<BTreeMap<String, AppRegistration>, StoreError> {
    let Some(state) = &world.state else { return Ok(BTreeMap::new()) };
    let own = state.store.app_registrations().first_id().await?;
    let mut names = BTreeMap::new();
    for app in state.store.app_registrations().list().await? {
        if own.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(&app.app_id)) {
            continue;
        }
        let name = if names.contains_key(&app.display_name) { app.app_id.clone() } else { app.display_name.clone() };
        names.insert(name, app);
    }
    Ok(names)
}

/// Object ids of the applications, by name.
pub(crate) async fn principals(world: &World) -> Result<BTreeMap<String, String>, StoreError> {
    Ok(named(world).await?.into_iter().map(|(name, app)| (name, app.object_id)).collect())
}

pub struct Applications;

#[async_trait]
impl Kind for Applications {
    fn name(&self) -> &'static str {
        "applications"
    }

    fn singular(&self) -> &'static str {
        "application"
    }

    fn summary(&self) -> &'static str {
        "Clients that call the APIs. Their secrets are made through Microsoft Graph and are in no document"
    }

    fn access(&self) -> Access {
        Access {
            level: Level::Tenant,
            read: "microsoft.directory/applications/standard/read",
            write: "microsoft.directory/applications/create",
            delete: "microsoft.directory/applications/delete",
            owner: true,
        }
    }

    fn ignores_case(&self) -> bool {
        false
    }

    fn check_name(&self, name: &str) -> Option<&'static str> {
        let fits = !name.is_empty() && name.trim() == name && name.chars().count() <= MAX_NAME && !name.contains(char::is_control);
        (!fits).then_some("Use 1 to 256 characters, without spaces at the ends")
    }

    async fn list(&self, world: &World) -> Result<Vec<Stored>, StoreError> {
        let body = |app: AppRegistration| json!(Application { app_id: Some(app.app_id) });
        Ok(named(world).await?.into_iter().map(|(name, app)| Stored::of(name, body(app))).collect())
    }

    async fn settle(&self, _: &World, _: &str, before: Option<&Value>, wanted: Value) -> Result<Value, StoreError> {
        let app_id = read(&wanted).app_id.map(|id| id.to_lowercase()).or_else(|| before.and_then(|before| read(before).app_id));
        Ok(json!(Application { app_id }))
    }

    async fn check(&self, plan: &Plan<'_>, found: &mut Findings) {
        for (name, body) in plan.wanted.of("applications") {
            let path = format!("applications.{name}.app_id");
            let Some(id) = read(body).app_id else { continue };
            if Uuid::parse_str(&id).is_err() {
                found.add(&path, format!("`{id}` is no client id"), "Write a GUID, or leave it out for a new one");
            }
            let before = plan.stored("applications", name).and_then(|stored| read(&stored.body).app_id);
            if before.is_some_and(|before| !before.eq_ignore_ascii_case(&id)) {
                found.add(&path, "the client id of an application cannot change", "Delete the application, or use another name");
            }
            let same =
                |(other, body): &(&str, &Value)| *other != name && read(body).app_id.is_some_and(|app| app.eq_ignore_ascii_case(&id));
            if let Some((other, _)) = plan.after("applications").find(same) {
                found.add(&path, format!("`applications.{other}` has this client id"), "Give each application an id of its own");
            }
            if let Some(state) = &plan.world.state
                && let Ok(Some(own)) = state.store.app_registrations().first_id().await
                && own.eq_ignore_ascii_case(&id)
            {
                found.add(&path, "this is the client id of the service's own application", "Leave the application out");
            }
        }
        let count = plan.after("applications").count();
        if count > MAX_APPLICATIONS {
            found.add("applications", format!("there would be {count}; a tenant holds at most {MAX_APPLICATIONS}"), "");
        }
    }

    async fn put(&self, at: &mut Writing<'_>, name: &str, before: Option<&Value>, after: &Value) -> Result<(), ApplyError> {
        if before.is_some() {
            // There is nothing else that could change.
            return Ok(());
        }
        let app = AppRegistration {
            app_id: read(after).app_id.unwrap_or_else(|| Uuid::new_v4().to_string()),
            object_id: Uuid::new_v4().to_string(),
            display_name: name.to_owned(),
            created: at.now,
            secrets: Vec::new(),
            certificates: Vec::new(),
        };
        at.change.put_app_registration(&app).await?;
        at.principals.insert(name.to_owned(), app.object_id);
        Ok(at.record("app registration", &app.app_id, "created", json!({ "displayName": [null, name] })).await?)
    }

    async fn delete(&self, at: &mut Writing<'_>, name: &str, before: &Value) -> Result<(), ApplyError> {
        let Some(app_id) = read(before).app_id else { return Ok(()) };
        if let Some(app) = at.change.app_registration(&app_id).await? {
            writes::delete_role_assignments_of(at.change, &app.object_id, By { actor: at.actor, at: at.now }).await?;
        }
        at.change.delete_app_registration(&app_id).await?;
        Ok(at.record("app registration", &app_id, "deleted", json!({ "displayName": [name, null] })).await?)
    }

    fn cache(&self) -> Option<Cache> {
        Some(Cache::Grants)
    }
}
