//! `/api/v1/groups/{name}/members/{user}` — who is in a group. In effect with the next request.

use http::Method;
use serde_json::json;

use super::common::{VIA, may_administer, reload};
use super::{groups, users};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, nothing, schema};
use crate::error::ApiError;
use crate::reply::Reply;
use crate::trail::{self, Changed};

const PATH: &str = "/api/v1/groups/{name}/members/{user}";

pub static ADD: Endpoint = Endpoint {
    method: Method::PUT,
    path: PATH,
    summary: "Add a person to a group",
    dialect: &OURS,
    role: Role::Owner,
    action: "Bartizan/access/groups/members/write",
    query: nothing,
    takes: nothing,
    returns: schema::<groups::GroupView>,
    run: |cx, call| Box::pin(set_member(cx, call, true)),
};

pub static REMOVE: Endpoint = Endpoint {
    method: Method::DELETE,
    path: PATH,
    summary: "Remove a person from a group",
    dialect: &OURS,
    role: Role::Owner,
    action: "Bartizan/access/groups/members/delete",
    query: nothing,
    takes: nothing,
    returns: schema::<groups::GroupView>,
    run: |cx, call| Box::pin(set_member(cx, call, false)),
};

async fn set_member(cx: &Context, call: Call, is_member: bool) -> Result<Reply, ApiError> {
    let (group, account) = (groups::find(cx, &call).await?, users::find(cx, &call).await?);
    may_administer(cx, &call, &group.object_id)?;
    let mut change = cx.store.begin().await?;
    let changed = match is_member {
        true => change.add_member(&group.object_id, &account.object_id, cx.clock.now()).await?,
        false => change.remove_member(&group.object_id, &account.object_id).await?,
    };
    if changed {
        let (action, member) = match is_member {
            true => ("member added", json!([null, account.name])),
            false => ("member removed", json!([account.name, null])),
        };
        let changes = json!({ "group": group.name, "member": member, "object_id": account.object_id });
        let what = Changed { aggregate: "group", id: &group.object_id, action, changes };
        trail::record(cx, &call, VIA, &mut change, what).await?;
        change.commit().await?;
        reload(cx).await?;
    }
    Reply::json(groups::read(cx, group).await?)
}
