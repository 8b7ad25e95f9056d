//! `/api/v1/users` — the people of the tenant.

use std::collections::HashMap;

use http::{Method, StatusCode};
use model::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};
use store::Account;

use super::common::{VIA, account_error, may_administer, not_oneself, reload};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, nothing, schema};
use crate::error::ApiError;
use crate::identity::{NewAccount, generate_secret};
use crate::reply::Reply;
use crate::trail::{self, Changed};
use crate::wire::resource_manager::role_assignments;

const ALL: &str = "/api/v1/users";
const ONE: &str = "/api/v1/users/{user}";

pub static LIST: Endpoint = Endpoint {
    method: Method::GET,
    path: ALL,
    summary: "List the people who may sign in",
    dialect: &OURS,
    role: Role::Owner,
    action: "Bartizan/access/users/read",
    query: nothing,
    takes: nothing,
    returns: schema::<List>,
    run: |cx, call| Box::pin(list(cx, call)),
};

pub static GET: Endpoint = Endpoint {
    method: Method::GET,
    path: ONE,
    summary: "Read one person, by object id or user name",
    dialect: &OURS,
    role: Role::Owner,
    action: "Bartizan/access/users/read",
    query: nothing,
    takes: nothing,
    returns: schema::<User>,
    run: |cx, call| Box::pin(get(cx, call)),
};

pub static CREATE: Endpoint = Endpoint {
    method: Method::POST,
    path: ALL,
    summary: "Add a person; a generated password is shown in this answer only",
    dialect: &OURS,
    role: Role::Owner,
    action: "Bartizan/access/users/write",
    query: nothing,
    takes: schema::<NewUser>,
    returns: schema::<Created>,
    run: |cx, call| Box::pin(create(cx, call)),
};

pub static UPDATE: Endpoint = Endpoint {
    method: Method::PATCH,
    path: ONE,
    summary: "Change the display name or the mail address of a person",
    dialect: &OURS,
    role: Role::Owner,
    action: "Bartizan/access/users/write",
    query: nothing,
    takes: schema::<Update>,
    returns: schema::<User>,
    run: |cx, call| Box::pin(update(cx, call)),
};

pub static DELETE: Endpoint = Endpoint {
    method: Method::DELETE,
    path: ONE,
    summary: "Delete a person with all sessions, memberships and role assignments",
    dialect: &OURS,
    role: Role::Owner,
    action: "Bartizan/access/users/delete",
    query: nothing,
    takes: nothing,
    returns: nothing,
    run: |cx, call| Box::pin(delete(cx, call)),
};

#[derive(Serialize, JsonSchema)]
struct List {
    /// By name.
    users: Vec<User>,
}

/// A person who may sign in.
#[derive(Serialize, JsonSchema)]
pub(super) struct User {
    /// What role assignments refer to.
    object_id: String,
    name: String,
    user_principal_name: String,
    display_name: String,
    email: Option<String>,
    disabled: bool,
    /// Whether an authenticator app is set up.
    totp: bool,
    must_change_password: bool,
    /// Names of the groups that the person is in.
    groups: Vec<String>,
    created: String,
    changed: String,
    last_sign_in: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewUser {
    /// Letters, digits and `._-+'@`. Unique in any spelling.
    name: String,
    /// Default: the name.
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default)]
    email: Option<String>,
    /// The initial password, to be changed at the first sign-in. Default: a generated one.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    password: Option<Secret<String>>,
}

#[derive(Serialize, JsonSchema)]
struct Created {
    user: User,
    /// The generated password; null if the request had one.
    initial_password: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Update {
    #[serde(default)]
    display_name: Option<String>,
    /// Null removes it.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Option<String>")]
    email: Option<Option<String>>,
}

/// Tells a field that is null from one that is missing.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

/// The account that the path names.
pub(super) async fn find(cx: &Context, call: &Call) -> Result<Account, ApiError> {
    cx.people.find_account(call.param("user")).await.map_err(account_error)
}

/// Group names of each account.
async fn groups_of(cx: &Context) -> Result<HashMap<String, Vec<String>>, ApiError> {
    let names: HashMap<String, String> =
        cx.store.groups().list().await?.into_iter().map(|group| (group.object_id.to_ascii_lowercase(), group.name)).collect();
    let mut groups: HashMap<String, Vec<String>> = HashMap::new();
    for (group, member) in cx.store.groups().memberships().await? {
        if let Some(name) = names.get(&group.to_ascii_lowercase()) {
            groups.entry(member.to_ascii_lowercase()).or_default().push(name.clone());
        }
    }
    Ok(groups)
}

fn view(cx: &Context, account: &Account, groups: &HashMap<String, Vec<String>>) -> User {
    User {
        object_id: account.object_id.clone(),
        name: account.name.clone(),
        user_principal_name: cx.identity.user_principal_name(&account.name),
        display_name: account.display_name.clone(),
        email: account.email.clone(),
        disabled: account.disabled,
        totp: account.totp.is_some(),
        must_change_password: account.must_change_password,
        groups: groups.get(&account.object_id.to_ascii_lowercase()).cloned().unwrap_or_default(),
        created: account.created.to_string(),
        changed: account.changed.to_string(),
        last_sign_in: account.last_sign_in.map(|time| time.to_string()),
    }
}

/// The present state of an account.
pub(super) async fn read(cx: &Context, object_id: &str) -> Result<User, ApiError> {
    let account = cx.people.find_account(object_id).await.map_err(account_error)?;
    Ok(view(cx, &account, &groups_of(cx).await?))
}

async fn list(cx: &Context, _: Call) -> Result<Reply, ApiError> {
    let groups = groups_of(cx).await?;
    let users = cx.store.accounts().list().await?.iter().map(|account| view(cx, account, &groups)).collect();
    Reply::json(List { users })
}

async fn get(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    Reply::json(read(cx, &find(cx, &call).await?.object_id).await?)
}

async fn create(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let wanted: NewUser = call.json().await?;
    let generated = match &wanted.password {
        Some(_) => None,
        None => Some(generate_secret().map_err(|error| ApiError::internal(&error))?),
    };
    let names = [wanted.name.as_str(), wanted.display_name.as_deref().unwrap_or_default(), wanted.email.as_deref().unwrap_or_default()];
    let hash = match wanted.password.as_ref().or(generated.as_ref()) {
        Some(password) => cx.people.hash_password(&names, password, call.peer.ip()).await.map_err(account_error)?,
        None => String::new(),
    };
    let new = NewAccount { name: wanted.name, display_name: wanted.display_name, email: wanted.email };
    let mut change = cx.store.begin().await?;
    let account = cx.people.create(&mut change, &new, hash).await.map_err(account_error)?;
    let changes = json!({ "name": [null, account.name], "display_name": [null, account.display_name], "email": [null, account.email] });
    let what = Changed { aggregate: "account", id: &account.object_id, action: "created", changes };
    trail::record(cx, &call, VIA, &mut change, what).await?;
    change.commit().await?;
    reload(cx).await?;
    let created =
        Created { user: view(cx, &account, &HashMap::new()), initial_password: generated.map(|password| password.reveal().clone()) };
    Reply::json_with(StatusCode::CREATED, created)
}

async fn update(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let wanted: Update = call.json().await?;
    let account = find(cx, &call).await?;
    may_administer(cx, &call, &account.object_id)?;
    let mut change = cx.store.begin().await?;
    let email = wanted.email.as_ref().map(Option::as_deref);
    let updated = cx.people.update(&mut change, &account.object_id, wanted.display_name.as_deref(), email).await;
    let (before, after) = updated.map_err(account_error)?;
    let mut changes = Map::new();
    if before.display_name != after.display_name {
        changes.insert("display_name".to_owned(), json!([before.display_name, after.display_name]));
    }
    if before.email != after.email {
        changes.insert("email".to_owned(), json!([before.email, after.email]));
    }
    let what = Changed { aggregate: "account", id: &account.object_id, action: "changed", changes: Value::Object(changes) };
    trail::record(cx, &call, VIA, &mut change, what).await?;
    change.commit().await?;
    reload(cx).await?;
    Reply::json(read(cx, &account.object_id).await?)
}

async fn delete(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let account = find(cx, &call).await?;
    not_oneself(&call, &account.object_id)?;
    may_administer(cx, &call, &account.object_id)?;
    let mut change = cx.store.begin().await?;
    role_assignments::remove_of(cx, &call, VIA, &mut change, &account.object_id).await?;
    change.delete_account(&account.object_id).await?;
    let changes = json!({ "name": [account.name, null] });
    let what = Changed { aggregate: "account", id: &account.object_id, action: "deleted", changes };
    trail::record(cx, &call, VIA, &mut change, what).await?;
    change.commit().await?;
    reload(cx).await?;
    Ok(Reply::no_content())
}
