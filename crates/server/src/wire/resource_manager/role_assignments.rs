//! `Microsoft.Authorization/roleAssignments` — effective immediately, not after minutes as in Azure.

use documents::scopes;
use documents::writes::{By, add_role_assignment, delete_role_assignment};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use store::{Change, RoleAssignment, StoreError};
use uuid::Uuid;

use super::role_definitions::definition_path;
use super::role_filters::{self, AssignmentFilter};
use super::{page, properties};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::RESOURCE_MANAGER;
use crate::endpoint::{Endpoint, Role, as_specified, nothing};
use crate::error::ApiError;
use crate::identity::PrincipalKind;
use crate::reply::Reply;
use crate::rights::covers;
use crate::roles::{OwnerAssignment, definition, is_last_owner};

const ALL: &str = "[/{scope*}]/providers/Microsoft.Authorization/roleAssignments";
const ONE: &str = "[/{scope*}]/providers/Microsoft.Authorization/roleAssignments/{name}";

pub static LIST: Endpoint = Endpoint {
    method: Method::GET,
    path: ALL,
    summary: "List role assignments at, above and below a scope",
    dialect: &RESOURCE_MANAGER,
    role: Role::Reader,
    action: "Microsoft.Authorization/roleAssignments/read",
    query: as_specified,
    takes: nothing,
    returns: as_specified,
    run: |cx, call| Box::pin(list(cx, call)),
};

pub static GET: Endpoint = Endpoint {
    method: Method::GET,
    path: ONE,
    summary: "Read a role assignment",
    dialect: &RESOURCE_MANAGER,
    role: Role::Reader,
    action: "Microsoft.Authorization/roleAssignments/read",
    query: nothing,
    takes: nothing,
    returns: as_specified,
    run: |cx, call| Box::pin(get(cx, call)),
};

pub static PUT: Endpoint = Endpoint {
    method: Method::PUT,
    path: ONE,
    summary: "Give a principal a role at a scope",
    dialect: &RESOURCE_MANAGER,
    role: Role::Owner,
    action: "Microsoft.Authorization/roleAssignments/write",
    query: nothing,
    takes: as_specified,
    returns: as_specified,
    run: |cx, call| Box::pin(put(cx, call)),
};

pub static DELETE: Endpoint = Endpoint {
    method: Method::DELETE,
    path: ONE,
    summary: "Take a role away",
    dialect: &RESOURCE_MANAGER,
    role: Role::Owner,
    action: "Microsoft.Authorization/roleAssignments/delete",
    query: nothing,
    takes: nothing,
    returns: as_specified,
    run: |cx, call| Box::pin(delete(cx, call)),
};

fn failed(error: StoreError) -> ApiError {
    ApiError::internal(&error)
}

/// The scope of the path in canonical form.
fn scope(cx: &Context, call: &Call) -> Result<String, ApiError> {
    Ok(scopes::of_roles(&cx.cloud, call.param("scope"))?)
}

async fn list(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let scope = scope(cx, &call)?;
    let filter = call.query.filled("$filter").map_or(Ok(AssignmentFilter::default()), role_filters::assignments)?;
    let all = cx.store.role_assignments().list().await.map_err(failed)?;
    let directory = cx.identity.directory();
    let views: Vec<Value> = all
        .iter()
        .filter(|each| covers(&each.scope, &scope) || (!filter.at_scope && covers(&scope, &each.scope)))
        .filter(|each| filter.holds(&directory, &each.principal_id))
        .map(|each| view(cx, each))
        .collect();
    page(&call, &views)
}

async fn get(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let scope = scope(cx, &call)?;
    match cx.store.role_assignments().get(call.param("name")).await.map_err(failed)? {
        Some(assignment) if covers(&assignment.scope, &scope) => Reply::json(view(cx, &assignment)),
        _ => Err(not_found(call.param("name"))),
    }
}

async fn put(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let body: Value = call.json().await?;
    let wanted = properties(&body)?;
    let text = |key: &str| {
        wanted.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).ok_or_else(|| {
            ApiError::bad_request("InvalidRequestContent", format!("A role assignment needs '{key}'.")).target(format!("properties.{key}"))
        })
    };
    // Ignoring a condition would grant more than was asked for.
    if wanted.get("condition").is_some_and(|condition| !condition.is_null()) {
        let message = "Conditions of role assignments are not supported; the assignment would grant the whole role.";
        return Err(ApiError::bad_request("RoleAssignmentConditionNotSupported", message).target("properties.condition"));
    }
    let (definition_id, principal_id) = (text("roleDefinitionId")?, text("principalId")?);
    let role = definition(definition_id).ok_or_else(|| {
        let message = format!(
            "The specified role definition with ID '{definition_id}' does not exist. The list of roleDefinitions has those there are."
        );
        ApiError::bad_request("RoleDefinitionDoesNotExist", message).target("properties.roleDefinitionId")
    })?;
    if Uuid::parse_str(call.param("name")).is_err() {
        return Err(ApiError::bad_request("InvalidRoleAssignmentId", "The name of a role assignment is a GUID.").target("name"));
    }
    let applications = cx.store.app_registrations().list().await.map_err(failed)?;
    let is_application = applications.iter().any(|app| app.object_id.eq_ignore_ascii_case(principal_id));
    if !is_application && cx.identity.directory().kind(principal_id).is_none() {
        let message = format!(
            "Principal {principal_id} does not exist in the directory {}. Is it the object id, not the application id?",
            cx.identity.tenant_id
        );
        return Err(ApiError::bad_request("PrincipalNotFound", message).target("properties.principalId"));
    }
    let assignment = RoleAssignment {
        name: call.param("name").to_owned(),
        scope: scope(cx, &call)?,
        definition_id: role.id.to_owned(),
        principal_id: principal_id.to_owned(),
        created: cx.clock.now(),
        created_by: call.actor("ResourceManager").name,
    };
    let mut change = cx.store.begin().await.map_err(failed)?;
    if let Some(existing) = change.role_assignment(&assignment.name).await.map_err(failed)? {
        let is_same = existing.scope.eq_ignore_ascii_case(&assignment.scope)
            && existing.definition_id == assignment.definition_id
            && existing.principal_id.eq_ignore_ascii_case(&assignment.principal_id);
        return if is_same {
            Reply::json(view(cx, &existing))
        } else {
            Err(ApiError::conflict(
                "RoleAssignmentUpdateNotPermitted",
                "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
            ))
        };
    }
    let actor = call.actor("ResourceManager");
    add_role_assignment(&mut change, &assignment, By { actor: &actor, at: cx.clock.now() }).await.map_err(failed)?;
    change.commit().await.map_err(failed)?;
    refresh(cx).await?;
    tracing::info!(
        role = role.name,
        scope = assignment.scope,
        principal = assignment.principal_id,
        by = assignment.created_by,
        "role given"
    );
    Reply::put(true, view(cx, &assignment))
}

async fn delete(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let (name, scope) = (call.param("name"), scope(cx, &call)?);
    let mut change = cx.store.begin().await.map_err(failed)?;
    let found = change.role_assignment(name).await.map_err(failed)?.filter(|assignment| assignment.scope.eq_ignore_ascii_case(&scope));
    let Some(assignment) = found else { return Ok(Reply::empty(StatusCode::NO_CONTENT)) };
    keep_an_owner(cx, &mut change, |each| each.name.eq_ignore_ascii_case(name)).await?;
    let actor = call.actor("ResourceManager");
    delete_role_assignment(&mut change, name, By { actor: &actor, at: cx.clock.now() }).await.map_err(failed)?;
    change.commit().await.map_err(failed)?;
    refresh(cx).await?;
    tracing::info!(
        assignment = assignment.name,
        principal = assignment.principal_id,
        by = call.actor("ResourceManager").name,
        "role taken away"
    );
    Reply::json(view(cx, &assignment))
}

/// Removes the role assignments of a principal that is deleted, each with its audit entry. Refused for the last Owner.
pub async fn remove_of(cx: &Context, call: &Call, via: &'static str, change: &mut Change, principal: &str) -> Result<(), ApiError> {
    keep_an_owner(cx, change, |each| each.principal_id.eq_ignore_ascii_case(principal)).await?;
    let actor = call.actor(via);
    for assignment in change.role_assignments().await.map_err(failed)? {
        if assignment.principal_id.eq_ignore_ascii_case(principal) {
            delete_role_assignment(change, &assignment.name, By { actor: &actor, at: cx.clock.now() }).await.map_err(failed)?;
        }
    }
    Ok(())
}

/// Refuses to remove assignments after which no Owner of the subscription is left.
async fn keep_an_owner(cx: &Context, change: &mut Change, removed: impl Fn(&RoleAssignment) -> bool) -> Result<(), ApiError> {
    let all = change.role_assignments().await.map_err(failed)?;
    let subscription = format!("/subscriptions/{}", cx.cloud.subscription_id);
    let judged = |each: RoleAssignment| OwnerAssignment { removed: removed(&each), definition_id: each.definition_id, scope: each.scope };
    let judged: Vec<OwnerAssignment> = all.into_iter().map(judged).collect();
    if !is_last_owner(&judged, &subscription) {
        return Ok(());
    }
    let message = "Cannot delete the last RBAC admin assignment: no Owner of the subscription would be left. Assign the role Owner to \
                   another principal first.";
    Err(ApiError::conflict("LastRbacAdminAssignment", message))
}

/// Reloads role assignments before the response is sent.
async fn refresh(cx: &Context) -> Result<(), ApiError> {
    cx.identity.reload(&cx.store).await.map_err(failed)
}

fn view(cx: &Context, assignment: &RoleAssignment) -> Value {
    let prefix = assignment.scope.trim_end_matches('/');
    json!({
        "id": format!("{prefix}/providers/Microsoft.Authorization/roleAssignments/{}", assignment.name),
        "name": assignment.name, "type": "Microsoft.Authorization/roleAssignments",
        "properties": {
            "roleDefinitionId": definition_path(cx, &assignment.definition_id), "principalId": assignment.principal_id,
            "principalType": cx.identity.directory().kind(&assignment.principal_id).unwrap_or(PrincipalKind::ServicePrincipal).name(),
            "scope": assignment.scope, "createdOn": assignment.created, "updatedOn": assignment.created,
            "createdBy": assignment.created_by, "updatedBy": assignment.created_by, "description": null, "condition": null,
            "conditionVersion": null,
        },
    })
}

fn not_found(name: &str) -> ApiError {
    ApiError::not_found("RoleAssignmentNotFound", format!("The role assignment '{name}' is not found.")).target(name)
}
