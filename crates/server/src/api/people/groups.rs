//! `/api/v1/groups` — groups of people, principals of role assignments like people.

use std::collections::HashMap;

use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::Group;

use super::common::{VIA, group_error, may_administer, reload};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, nothing, schema};
use crate::error::ApiError;
use crate::reply::Reply;
use crate::trail::{self, Changed};
use crate::wire::resource_manager::role_assignments;

const ALL: &str = "/api/v1/groups";
const ONE: &str = "/api/v1/groups/{name}";

pub static LIST: Endpoint = Endpoint {
    method: Method::GET,
    path: ALL,
    summary: "List the groups with their members",
    dialect: &OURS,
    role: Role::Owner,
    action: "Bartizan/access/groups/read",
    query: nothing,
    takes: nothing,
    returns: schema::<List>,
    run: |cx, call| Box::pin(list(cx, call)),
};

pub static GET: Endpoint = Endpoint {
    method: Method::GET,
    path: ONE,
    summary: "Read one group, by object id or name",
    dialect: &OURS,
    role: Role::Owner,
    action: "Bartizan/access/groups/read",
    query: nothing,
    takes: nothing,
    returns: schema::<GroupView>,
    run: |cx, call| Box::pin(get(cx, call)),
};

pub static CREATE: Endpoint = Endpoint {
    method: Method::POST,
    path: ALL,
    summary: "Add a group",
    dialect: &OURS,
    role: Role::Owner,
    action: "Bartizan/access/groups/write",
    query: nothing,
    takes: schema::<NewGroup>,
    returns: schema::<GroupView>,
    run: |cx, call| Box::pin(create(cx, call)),
};

pub static DELETE: Endpoint = Endpoint {
    method: Method::DELETE,
    path: ONE,
    summary: "Delete a group with its role assignments; its members stay",
    dialect: &OURS,
    role: Role::Owner,
    action: "Bartizan/access/groups/delete",
    query: nothing,
    takes: nothing,
    returns: nothing,
    run: |cx, call| Box::pin(delete(cx, call)),
};

#[derive(Serialize, JsonSchema)]
struct List {
    /// By name.
    groups: Vec<GroupView>,
}

/// A group of people.
#[derive(Serialize, JsonSchema)]
pub(super) struct GroupView {
    /// What role assignments refer to.
    object_id: String,
    name: String,
    description: String,
    created: String,
    members: Vec<Member>,
}

#[derive(Serialize, JsonSchema)]
struct Member {
    object_id: String,
    name: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewGroup {
    /// Unique in any spelling.
    name: String,
    #[serde(default)]
    description: String,
}

/// The group that the path names.
pub(super) async fn find(cx: &Context, call: &Call) -> Result<Group, ApiError> {
    cx.people.find_group(call.param("name")).await.map_err(group_error)
}

async fn views(cx: &Context, groups: Vec<Group>) -> Result<Vec<GroupView>, ApiError> {
    let directory = cx.identity.directory();
    let mut members: HashMap<String, Vec<Member>> = HashMap::new();
    for (group, object_id) in cx.store.groups().memberships().await? {
        let name = directory.person(&object_id).map(|person| person.name.clone()).unwrap_or_default();
        members.entry(group.to_ascii_lowercase()).or_default().push(Member { object_id, name });
    }
    let view = |group: Group| GroupView {
        members: members.remove(&group.object_id.to_ascii_lowercase()).unwrap_or_default(),
        created: group.created.to_string(),
        object_id: group.object_id,
        name: group.name,
        description: group.description,
    };
    Ok(groups.into_iter().map(view).collect())
}

/// The present state of a group.
pub(super) async fn read(cx: &Context, group: Group) -> Result<GroupView, ApiError> {
    let id = group.object_id.clone();
    views(cx, vec![group]).await?.pop().ok_or_else(|| ApiError::not_found("GroupNotFound", format!("There is no group `{id}`.")))
}

async fn list(cx: &Context, _: Call) -> Result<Reply, ApiError> {
    Reply::json(List { groups: views(cx, cx.store.groups().list().await?).await? })
}

async fn get(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    Reply::json(read(cx, find(cx, &call).await?).await?)
}

async fn create(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let wanted: NewGroup = call.json().await?;
    let mut change = cx.store.begin().await?;
    let group = cx.people.create_group(&mut change, &wanted.name, &wanted.description).await.map_err(group_error)?;
    let changes = json!({ "name": [null, group.name], "description": [null, group.description] });
    let what = Changed { aggregate: "group", id: &group.object_id, action: "created", changes };
    trail::record(cx, &call, VIA, &mut change, what).await?;
    change.commit().await?;
    reload(cx).await?;
    Reply::json_with(StatusCode::CREATED, read(cx, group).await?)
}

async fn delete(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let group = find(cx, &call).await?;
    may_administer(cx, &call, &group.object_id)?;
    let mut change = cx.store.begin().await?;
    role_assignments::remove_of(cx, &call, VIA, &mut change, &group.object_id).await?;
    change.delete_group(&group.object_id).await?;
    let what = Changed { aggregate: "group", id: &group.object_id, action: "deleted", changes: json!({ "name": [group.name, null] }) };
    trail::record(cx, &call, VIA, &mut change, what).await?;
    change.commit().await?;
    reload(cx).await?;
    Ok(Reply::no_content())
}
