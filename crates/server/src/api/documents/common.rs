//! Shared by the routes of documents: the documents of the service, rights, error responses, and what is reloaded after a change.

use documents::{ApplyError, Cache, Difference, Document, Documents, Kind, Level, Problem, RoleName, State, Stored, World, kinds};
use http::{HeaderValue, header};
use oncall::compute;
use oncall::document::did_you_mean;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::body::BodyLimits;
use crate::call::Call;
use crate::context::Context;
use crate::error::{ApiError, sentence};
use crate::reply::Reply;
use crate::roles::ROLE_DEFINITIONS;

/// The interface recorded in the audit trail.
pub(super) const VIA: &str = "documents/api";

/// A document: at most 4 MiB, also after inflating.
pub(super) const DOCUMENT: BodyLimits = BodyLimits { inflated: documents::MAX_BYTES as u64, ..BodyLimits::CONFIGURATION };

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Pruned {
    /// Objects that the document does not have are deleted, of the kinds that it names. Default: they stay.
    #[serde(default)]
    pub prune: bool,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Changes {
    pub changes: Vec<Difference>,
}

/// The schema of a whole document.
pub(super) fn document(_: &mut SchemaGenerator) -> Option<Schema> {
    documents::document_schema().try_into().ok()
}

/// The schema of any body; `GET /api/v1/documents/kinds` has each.
pub(super) fn body(_: &mut SchemaGenerator) -> Option<Schema> {
    Some(schemars::json_schema!({ "type": "object" }))
}

/// The documents of this service.
pub(super) fn of(cx: &Context) -> Documents {
    Documents::new(World {
        catalog: cx.catalog.clone(),
        engine: cx.engine.clone(),
        clock: cx.clock.clone(),
        cloud: cx.cloud.clone(),
        roles: ROLE_DEFINITIONS.iter().map(|role| RoleName { id: role.id, name: role.name }).collect(),
        state: Some(State { store: cx.store.clone(), oncall: cx.oncall.objects.clone() }),
    })
}

/// Parses the request body as a document of kinds that the caller may read.
pub(super) async fn read(cx: &Context, call: &mut Call) -> Result<Document, ApiError> {
    let bytes = call.bytes(DOCUMENT).await?;
    let parse = move || {
        let text = std::str::from_utf8(&bytes).map_err(|_| ApiError::bad_request("InvalidDocument", "The document is not UTF-8."))?;
        documents::parse("the document", text).map_err(|error| ApiError::bad_request("InvalidDocument", sentence(&error.to_string())))
    };
    let document = compute::run(&cx.oncall.objects.lanes.short, parse).await.map_err(compute_error)??;
    for kind in document.kinds.keys().filter_map(|kind| kinds::find(kind)) {
        require(cx, call, kind, kind.access().read)?;
    }
    Ok(document)
}

pub(super) fn known(name: &str) -> Result<&'static dyn Kind, ApiError> {
    kinds::find(name).ok_or_else(|| no_kind(name))
}

/// Whether the caller may do an action of [`Kind::access`], as Azure's APIs require it for the same resources.
pub(super) fn may(cx: &Context, call: &Call, kind: &dyn Kind, action: &str) -> bool {
    let scope = match kind.access().level {
        Level::Workspace => cx.cloud.workspace_path(),
        Level::ResourceGroup => cx.cloud.group_path(),
        Level::Tenant => "/".to_owned(),
    };
    call.principal.as_ref().is_some_and(|principal| cx.identity.allows(principal, action, &scope))
}

pub(super) fn require(cx: &Context, call: &Call, kind: &dyn Kind, action: &str) -> Result<(), ApiError> {
    if may(cx, call, kind, action) {
        return Ok(());
    }
    let at = match kind.access().level {
        Level::Workspace => "the workspace",
        Level::ResourceGroup => "the resource group",
        Level::Tenant => "the tenant ('/')",
    };
    let message = format!("'{}' need a role with the action '{action}' at {at}.", kind.name());
    Err(ApiError::forbidden("AuthorizationFailed", message).target(kind.name()))
}

/// Reloads what changes of these kinds make stale, before the response is sent.
pub(super) async fn reload(cx: &Context, changed: impl Iterator<Item = &'static dyn Kind>) -> Result<(), ApiError> {
    let caches: Vec<Cache> = changed.filter_map(Kind::cache).collect();
    if caches.contains(&Cache::DataCollectionRules) {
        cx.ingest.rules_changed().await?;
    }
    if caches.contains(&Cache::Grants) {
        cx.identity.reload(&cx.store).await?;
    }
    Ok(())
}

pub(super) fn with_etag(reply: Reply, object: &Stored) -> Result<Reply, ApiError> {
    let etag = HeaderValue::from_str(&format!("\"{}\"", object.etag)).map_err(|error| ApiError::internal(&error))?;
    Ok(reply.header(header::ETAG, etag))
}

/// The body of a request for one object.
pub(super) async fn object(call: &mut Call) -> Result<Value, ApiError> {
    let bytes = call.bytes(DOCUMENT).await?;
    crate::call::from_json(&bytes)
}

pub(super) async fn missing(documents: &Documents, kind: &'static dyn Kind, name: &str) -> ApiError {
    let names = match documents.names(kind).await {
        Ok(names) => names,
        Err(error) => return apply_error(error),
    };
    let near = did_you_mean(name, names.iter().map(String::as_str)).map(|near| format!(" Did you mean '{near}'?")).unwrap_or_default();
    let shown: String = name.chars().take(80).collect();
    ApiError::not_found("NotFound", format!("There is no {} '{shown}'.{near}", kind.singular()))
}

fn no_kind(name: &str) -> ApiError {
    let names: Vec<&str> = kinds::all().map(Kind::name).collect();
    let near = did_you_mean(name, names.iter().copied()).map(|near| format!(" Did you mean '{near}'?")).unwrap_or_default();
    let shown: String = name.chars().take(60).collect();
    ApiError::not_found("NotFound", format!("Documents have no '{shown}'; they have {}.{near}", names.join(", ")))
}

pub(super) fn apply_error(error: ApplyError) -> ApiError {
    let message = sentence(&error.to_string());
    match error {
        ApplyError::Wrong(problems) => wrong(&problems),
        ApplyError::Conflict { .. } => ApiError::new(http::StatusCode::PRECONDITION_FAILED, "PreconditionFailed", message),
        ApplyError::LastOwner => ApiError::conflict("LastRbacAdminAssignment", message),
        ApplyError::Busy => ApiError { retry_after: Some(1), ..ApiError::conflict("Conflict", message) },
        ApplyError::NoKind(kind) => no_kind(&kind),
        ApplyError::NoObject { .. } => ApiError::not_found("NotFound", message),
        ApplyError::Shape { path, .. } => ApiError::bad_request("InvalidObject", message).target(path),
        ApplyError::Catalog { cause: model::CatalogError::Write(_), .. } | ApplyError::NotRemoved { .. } => {
            tracing::error!(error = message, "the catalog was not changed");
            ApiError { retry_after: Some(10), ..ApiError::new(http::StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message) }
        }
        ApplyError::Catalog { kind, name, cause } => {
            ApiError::bad_request("InvalidDocument", sentence(&cause.to_string())).target(format!("{kind}.{name}"))
        }
        ApplyError::OnCall(error) => crate::api::oncall::apply_error(error),
        ApplyError::NoService => ApiError::internal(&error),
        ApplyError::Store(error) => error.into(),
    }
}

/// Each problem becomes a detail; the message states their number.
fn wrong(problems: &[Problem]) -> ApiError {
    let (message, target) = match problems {
        [one] => (sentence(&one.to_string()), Some(one.path.clone())),
        many => (format!("Nothing was changed: {} things are wrong.", many.len()), None),
    };
    let error = ApiError { target, ..ApiError::bad_request("InvalidDocument", message) };
    if problems.len() < 2 {
        return error;
    }
    problems.iter().fold(error, |error, problem| {
        let help = if problem.help.is_empty() { String::new() } else { format!(". {}", problem.help) };
        error.detail("InvalidDocument", format!("{}{help}", problem.problem), Some(problem.path.clone()))
    })
}

fn compute_error(error: compute::ComputeError) -> ApiError {
    match error {
        compute::ComputeError::Busy => ApiError::too_many(sentence(&error.to_string()), 10),
        error => ApiError::internal(&error),
    }
}
