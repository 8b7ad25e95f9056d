//! Whole documents: check, diff, apply, export. Documents are YAML, and therefore JSON too.

use http::{HeaderValue, Method, StatusCode};
use oncall::check::Problem;
use oncall::directory::Directory;
use oncall::document;
use oncall::objects::Difference;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{DOCUMENT, VIA, apply_error, computed, directory, no_kind, parsed};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, nothing, schema};
use crate::error::ApiError;
use crate::reply::Reply;

pub static CHECK: Endpoint = Endpoint {
    method: Method::POST,
    path: "/api/v1/oncall/check",
    summary: "Say what would be wrong if a document were applied",
    dialect: &OURS,
    role: Role::Reader,
    action: "Bartizan/oncall/read",
    query: schema::<Pruned>,
    takes: schema::<Directory>,
    returns: schema::<Checked>,
    run: |cx, call| Box::pin(check(cx, call)),
};
pub static DIFF: Endpoint = Endpoint {
    method: Method::POST,
    path: "/api/v1/oncall/diff",
    summary: "Say what applying a document would change",
    dialect: &OURS,
    role: Role::Reader,
    action: "Bartizan/oncall/read",
    query: schema::<Pruned>,
    takes: schema::<Directory>,
    returns: schema::<Changes>,
    run: |cx, call| Box::pin(diff(cx, call)),
};
pub static APPLY: Endpoint = Endpoint {
    method: Method::POST,
    path: "/api/v1/oncall/apply",
    summary: "Make the directory what a document says: all of it, or nothing",
    dialect: &OURS,
    role: Role::Contributor,
    action: "Bartizan/oncall/write",
    query: schema::<Pruned>,
    takes: schema::<Directory>,
    returns: schema::<Changes>,
    run: |cx, call| Box::pin(apply(cx, call)),
};
pub static EXPORT: Endpoint = Endpoint {
    method: Method::GET,
    path: "/api/v1/oncall/export",
    summary: "Read everything that was applied as a document that can be applied again",
    dialect: &OURS,
    role: Role::Reader,
    action: "Bartizan/oncall/read",
    query: schema::<Exported>,
    takes: nothing,
    returns: schema::<Directory>,
    run: |cx, call| Box::pin(export(cx, call)),
};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Pruned {
    /// What the document does not name is deleted. Default: it stays.
    #[serde(default)]
    prune: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Exported {
    /// Only this kind. Example: `schedules`.
    kind: Option<String>,
    /// `yaml` or `json`. Default: `json`.
    format: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Checked {
    problems: Vec<Problem>,
    /// What is allowed and is probably not meant.
    warnings: Vec<Problem>,
}

#[derive(Serialize, JsonSchema)]
struct Changes {
    changes: Vec<Difference>,
}

/// Parses the request body as a document.
async fn read(cx: &Context, call: &mut Call) -> Result<Directory, ApiError> {
    let bytes = call.bytes(DOCUMENT).await?;
    computed(&cx.oncall.objects.lanes.short, move || parsed(&bytes)).await
}

async fn check(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let Pruned { prune } = call.query()?;
    let wanted = read(cx, &mut call).await?;
    let (problems, warnings) = cx.oncall.objects.check(wanted, prune).await.map_err(apply_error)?;
    Reply::json(Checked { problems, warnings })
}

async fn diff(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let Pruned { prune } = call.query()?;
    let wanted = read(cx, &mut call).await?;
    let changes = cx.oncall.objects.diff(wanted, prune).await.map_err(apply_error)?;
    computed(&cx.oncall.objects.lanes.short, move || Reply::json(Changes { changes })).await
}

async fn apply(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let Pruned { prune } = call.query()?;
    let wanted = read(cx, &mut call).await?;
    let changes = cx.oncall.objects.apply(&wanted, prune, &call.actor(VIA)).await.map_err(apply_error)?;
    computed(&cx.oncall.objects.lanes.short, move || Reply::json(Changes { changes })).await
}

async fn export(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let Exported { kind, format } = call.query()?;
    let whole = directory(cx).await?;
    let chosen = match kind.as_deref() {
        None => (*whole).clone(),
        Some(kind) => only(&whole, kind)?,
    };
    match format.as_deref() {
        None | Some("json") => computed(&cx.oncall.objects.lanes.short, move || Reply::json(chosen)).await,
        Some("yaml") => {
            computed(&cx.oncall.objects.lanes.short, move || {
                let text = document::to_yaml(&chosen).map_err(|error| ApiError::internal(&error))?;
                Ok(Reply::bytes(StatusCode::OK, HeaderValue::from_static("application/yaml; charset=utf-8"), text))
            })
            .await
        }
        Some(other) => {
            Err(ApiError::bad_request("InvalidQueryParameter", format!("'{other}' is no format; write 'yaml' or 'json'.")).target("format"))
        }
    }
}

/// The directory reduced to one kind of object.
fn only(whole: &Directory, kind: &str) -> Result<Directory, ApiError> {
    let mut part = Directory::default();
    match kind {
        "users" => part.users = whole.users.clone(),
        "schedules" => part.schedules = whole.schedules.clone(),
        "overrides" => part.overrides = whole.overrides.clone(),
        "escalation_policies" => part.escalation_policies = whole.escalation_policies.clone(),
        "alert_policies" => part.alert_policies = whole.alert_policies.clone(),
        "maintenance_windows" => part.maintenance_windows = whole.maintenance_windows.clone(),
        "heartbeats" => part.heartbeats = whole.heartbeats.clone(),
        other => return Err(no_kind(other)),
    }
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_can_be_exported_alone() {
        for kind in document::KINDS {
            assert!(only(&Directory::default(), kind).is_ok(), "{kind}");
        }
        let error = only(&Directory::default(), "schedule").unwrap_err();
        assert!(error.message.contains("Did you mean 'schedules'?"), "{error}");
    }
}
