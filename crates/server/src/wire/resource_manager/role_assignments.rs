//! `Microsoft.Authorization/roleAssignments` — effective immediately, not after minutes as in Azure.

use documents::scopes;
use documents::writes::{By, add_role_assignment, delete_role_assignment};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use store::{RoleAssignment, StoreError};
use uuid::Uuid;

use super::role_definitions::definition_path;
use super::{page, properties};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::RESOURCE_MANAGER;
use crate::endpoint::{Endpoint, Role, as_specified, nothing};
use crate::error::ApiError;
use crate::identity::PrincipalKind;
use crate::reply::Reply;
use crate::rights::{covers, definition};

const ALL: &str = "/{scope*}/providers/Microsoft.Authorization/roleAssignments";
const ONE: &str = "/{scope*}/providers/Microsoft.Authorization/roleAssignments/{name}";

pub static LIST: Endpoint = Endpoint {
    method: Method::GET,
    path: ALL,
    summary: "List role assignments at, above and below a scope",
    dialect: &RESOURCE_MANAGER,
    role: Role::Reader,
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
    Ok(scopes::canonical(&cx.cloud, call.param("scope"))?)
}

async fn list(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let scope = scope(cx, &call)?;
    let principal = match call.query.filled("$filter") {
        None | Some("atScope()") => None,
        Some(filter) => Some(principal(filter).ok_or_else(|| {
            let message =
                "Role assignments can be filtered with \"principalId eq '<object id>'\", \"assignedTo('<object id>')\" or \"atScope()\".";
            ApiError::bad_request("UnsupportedFilter", message).target("$filter")
        })?),
    };
    let all = cx.store.role_assignments().list().await.map_err(failed)?;
    let views: Vec<Value> = all
        .iter()
        .filter(|each| covers(&each.scope, &scope) || covers(&scope, &each.scope))
        .filter(|each| principal.is_none_or(|id| each.principal_id.eq_ignore_ascii_case(id)))
        .map(|each| view(cx, each))
        .collect();
    page(&call, &views)
}

/// The object id in a filter.
fn principal(filter: &str) -> Option<&str> {
    let quoted = |text: &'_ str| -> Option<(usize, usize)> {
        let from = text.find('\'')? + 1;
        Some((from, from + text[from..].find('\'')?))
    };
    let lower = filter.trim().to_ascii_lowercase();
    let known = lower.contains("principalid eq '") || lower.starts_with("assignedto('");
    let (from, until) = quoted(filter)?;
    known.then(|| &filter[from..until])
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
            "createdBy": assignment.created_by,
        },
    })
}

fn not_found(name: &str) -> ApiError {
    ApiError::not_found("RoleAssignmentNotFound", format!("The role assignment '{name}' is not found.")).target(name)
}

#[cfg(test)]
mod tests {
    #[test]
    fn filters_name_a_principal() {
        assert_eq!(super::principal("principalId eq 'p1'"), Some("p1"));
        assert_eq!(super::principal("atScope() and assignedTo('p2')"), None);
        assert_eq!(super::principal("assignedTo('p2')"), Some("p2"));
        assert_eq!(super::principal("createdOn gt 'x'"), None);
    }
}
