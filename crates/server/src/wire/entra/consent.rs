//! Consent: which permissions an application still needs, granting and denying them.

use serde_json::json;
use store::{AppRegistration, Consent, ConsentAnswer, ConsentKind};
use uuid::Uuid;

use super::resources::{Offered, Resource};
use super::scopes::{self, Asked};
use crate::call::Call;
use crate::context::Context;
use crate::error::ApiError;
use crate::identity::Person;
use crate::identity::permissions::GRAPH_APP_ID;
use crate::trail::{self, Changed};

/// A permission of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// The resource's application id.
    pub resource: String,
    pub resource_name: String,
    pub kind: ConsentKind,
    pub offered: Offered,
}

/// Every permission that the request is about. `with_roles` adds the app roles that the application's manifest requires of the resource.
pub fn of_request(app: &AppRegistration, asked: &Asked, resource: &Resource, with_roles: bool) -> Vec<Needed> {
    let mut all: Vec<Needed> = asked.openid.iter().map(|scope| openid(scope)).collect();
    for value in &asked.permissions {
        if let Some(offered) = resource.scope(value) {
            all.push(needed(resource, ConsentKind::Delegated, offered.clone()));
        }
    }
    if with_roles {
        all.extend(resource.required_roles(app).into_iter().map(|offered| needed(resource, ConsentKind::Application, offered)));
    }
    all
}

/// Every permission in the application's manifest, for an administrator's consent.
pub async fn of_manifest(cx: &Context, app: &AppRegistration) -> Result<Vec<Needed>, ApiError> {
    let mut all = vec![openid("openid"), openid("profile"), openid("offline_access")];
    for required in &app.settings.required {
        let resource = scopes::find(cx, &required.resource).await?;
        for value in resource.default_scopes(app) {
            if let Some(offered) = resource.scope(&value) {
                all.push(needed(&resource, ConsentKind::Delegated, offered.clone()));
            }
        }
        all.extend(resource.required_roles(app).into_iter().map(|offered| needed(&resource, ConsentKind::Application, offered)));
    }
    Ok(all)
}

fn needed(resource: &Resource, kind: ConsentKind, offered: Offered) -> Needed {
    Needed { resource: resource.app_id.clone(), resource_name: resource.name.clone(), kind, offered }
}

fn openid(scope: &str) -> Needed {
    let says = match scope {
        "openid" => "Sign you in",
        "profile" => "Read your name",
        "email" => "Read your mail address",
        _ => "Keep the access that you gave it",
    };
    Needed {
        resource: GRAPH_APP_ID.to_owned(),
        resource_name: "Microsoft Graph".to_owned(),
        kind: ConsentKind::Delegated,
        offered: Offered { id: String::new(), value: scope.to_owned(), admin: false, says: says.to_owned() },
    }
}

/// Those that nobody consented to yet, for this person or for everyone.
pub async fn missing(cx: &Context, app: &AppRegistration, person: &Person, wanted: Vec<Needed>) -> Result<Vec<Needed>, ApiError> {
    let given = cx.store.consents().list(Some(&app.app_id)).await?;
    let has = |needed: &Needed| {
        given.iter().any(|consent| {
            consent.kind == needed.kind
                && consent.resource.eq_ignore_ascii_case(&needed.resource)
                && consent.value == needed.offered.value
                && consent.principal.as_ref().is_none_or(|principal| principal.eq_ignore_ascii_case(&person.object_id))
        })
    };
    Ok(wanted.into_iter().filter(|needed| !has(needed)).collect())
}

/// What a person must be permitted to do to consent for everyone, named as in Entra's built-in roles.
const CONSENT_FOR_ALL: &str = "microsoft.directory/servicePrincipals/managePermissionGrantsForAll";

/// Whether the person may consent for everyone: an owner of the workspace, which there is one of.
pub fn is_administrator(cx: &Context, person: &Person) -> bool {
    cx.identity.holds(&person.object_id, CONSENT_FOR_ALL, &cx.cloud.workspace_path())
}

/// Whether only an administrator may consent.
pub fn needs_administrator(needed: &[Needed]) -> bool {
    needed.iter().any(|needed| needed.kind == ConsentKind::Application || needed.offered.admin)
}

/// Values of the app roles granted to the application on the resource.
pub async fn granted_roles(cx: &Context, app: &AppRegistration, resource: &Resource) -> Result<Vec<String>, ApiError> {
    let given = cx.store.consents().list(Some(&app.app_id)).await?;
    let of_resource =
        |consent: &Consent| consent.kind == ConsentKind::Application && consent.resource.eq_ignore_ascii_case(&resource.app_id);
    // A role that the resource no longer offers is not in tokens.
    let offered = |consent: &Consent| resource.roles.iter().any(|role| role.value == consent.value);
    Ok(given.into_iter().filter(|consent| of_resource(consent) && offered(consent)).map(|consent| consent.value).collect())
}

/// Stores the consent: for the person, or for everyone.
pub async fn grant(
    cx: &Context,
    call: &Call,
    app: &AppRegistration,
    person: &Person,
    needed: &[Needed],
    everyone: bool,
) -> Result<(), ApiError> {
    let now = cx.clock.now();
    let mut change = cx.store.begin().await?;
    // One id for the scopes of a resource, as Graph's `oauth2PermissionGrant`; one for each role.
    let mut ids: Vec<(String, String)> = Vec::new();
    for each in needed {
        let id = match (each.kind, ids.iter().find(|(resource, _)| *resource == each.resource)) {
            (ConsentKind::Delegated, Some((_, id))) => id.clone(),
            _ => Uuid::new_v4().to_string(),
        };
        if each.kind == ConsentKind::Delegated {
            ids.push((each.resource.clone(), id.clone()));
        }
        let for_all = everyone || each.kind == ConsentKind::Application;
        let consent = Consent {
            app_id: app.app_id.clone(),
            resource: each.resource.clone(),
            kind: each.kind,
            value: each.offered.value.clone(),
            principal: (!for_all).then(|| person.object_id.clone()),
            id,
            granted: now,
            granted_by: person.name.clone(),
        };
        change.put_consent(&consent).await?;
    }
    if everyone {
        change.put_consent_answer(&app.app_id, &ConsentAnswer { granted: true, at: now, by: person.name.clone() }).await?;
    }
    let values: Vec<String> = needed.iter().map(|each| format!("{}/{}", each.resource_name, each.offered.value)).collect();
    let changes = json!({ "permissions": [null, values], "for": [null, if everyone { "everyone" } else { person.object_id.as_str() }] });
    record(cx, call, &mut change, app, person, "consent granted", changes).await?;
    change.commit().await?;
    tracing::info!(app = app.app_id, by = person.name, everyone, "consent granted");
    Ok(())
}

/// Stores that the request was denied.
pub async fn deny(cx: &Context, call: &Call, app: &AppRegistration, person: &Person) -> Result<(), ApiError> {
    let mut change = cx.store.begin().await?;
    if is_administrator(cx, person) {
        let answer = ConsentAnswer { granted: false, at: cx.clock.now(), by: person.name.clone() };
        change.put_consent_answer(&app.app_id, &answer).await?;
    }
    record(cx, call, &mut change, app, person, "consent denied", json!({})).await?;
    change.commit().await?;
    tracing::info!(app = app.app_id, by = person.name, "consent denied");
    Ok(())
}

async fn record(
    cx: &Context,
    call: &Call,
    change: &mut store::Change,
    app: &AppRegistration,
    person: &Person,
    action: &'static str,
    changes: serde_json::Value,
) -> Result<(), ApiError> {
    trail::record_as(cx, call, "sign-in page", change, person, Changed { aggregate: "app registration", id: &app.app_id, action, changes })
        .await
}
