//! `Microsoft.OperationalInsights/workspaces/{workspace}/tables` — the tables of the workspace.
//!
//! Rules for names and columns: learn.microsoft.com/azure/azure-monitor/logs/create-custom-table and …/logs-ingestion-api-overview. Columns
//! may be added to a table but not change their type. Azure's further restrictions (reserved names, `_CF` suffix on custom columns of
//! Microsoft tables, at most 500 columns) apply unless the properties say `lenient: true`.

use std::collections::BTreeSet;
use std::sync::Arc;

use documents::checks::tables::{as_azure_has_it, columns, retention};
use http::{Method, StatusCode};
use model::{CatalogError, Column, Span, TableName, TableSchema, Type};
use serde_json::{Value, json};

use super::{page_of, properties};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::RESOURCE_MANAGER;
use crate::endpoint::{Endpoint, Role, as_specified, nothing};
use crate::error::ApiError;
use crate::reply::Reply;
use crate::trail::{self, Changed};

const ALL: &str =
    "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.OperationalInsights/workspaces/{workspace}/tables";
const ONE: &str =
    "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.OperationalInsights/workspaces/{workspace}/tables/{table}";

pub static LIST: Endpoint = Endpoint {
    method: Method::GET,
    path: ALL,
    summary: "List tables, by name",
    dialect: &RESOURCE_MANAGER,
    role: Role::Reader,
    action: "Microsoft.OperationalInsights/workspaces/tables/read",
    query: as_specified,
    takes: nothing,
    returns: as_specified,
    run: |cx, call| Box::pin(list(cx, call)),
};

pub static GET: Endpoint = Endpoint {
    method: Method::GET,
    path: ONE,
    summary: "Read a table's columns and retention",
    dialect: &RESOURCE_MANAGER,
    role: Role::Reader,
    action: "Microsoft.OperationalInsights/workspaces/tables/read",
    query: nothing,
    takes: nothing,
    returns: as_specified,
    run: |cx, call| Box::pin(get(cx, call)),
};

pub static PUT: Endpoint = Endpoint {
    method: Method::PUT,
    path: ONE,
    summary: "Create a custom table, add columns, or set the retention",
    dialect: &RESOURCE_MANAGER,
    role: Role::Contributor,
    action: "Microsoft.OperationalInsights/workspaces/tables/write",
    query: nothing,
    takes: as_specified,
    returns: as_specified,
    run: |cx, call| Box::pin(put(cx, call)),
};

pub static PATCH: Endpoint = Endpoint {
    method: Method::PATCH,
    path: ONE,
    summary: "Add columns to a table or set its retention",
    dialect: &RESOURCE_MANAGER,
    role: Role::Contributor,
    action: "Microsoft.OperationalInsights/workspaces/tables/write",
    query: nothing,
    takes: as_specified,
    returns: as_specified,
    run: |cx, call| Box::pin(put(cx, call)),
};

pub static DELETE: Endpoint = Endpoint {
    method: Method::DELETE,
    path: ONE,
    summary: "Remove a custom table with its rows",
    dialect: &RESOURCE_MANAGER,
    role: Role::Contributor,
    action: "Microsoft.OperationalInsights/workspaces/tables/delete",
    query: nothing,
    takes: nothing,
    returns: nothing,
    run: |cx, call| Box::pin(delete(cx, call)),
};

async fn list(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    // As in Azure, the tables that a workspace could have are listed with those that it has. Only those of the page are read.
    let created = cx.catalog.tables();
    let published = cx.catalog.published_tables();
    let mut names: BTreeSet<&str> = published.into_iter().filter(|name| !is_custom(name)).collect();
    names.extend(created.iter().map(|table| table.name.as_str()));
    page_of(&call, names.len(), |range| {
        let page = names.iter().skip(range.start).take(range.len());
        page.filter_map(|name| cx.catalog.table(name)).map(|table| view(cx, &table)).collect()
    })
}

/// A table as the resource manager has it: a custom table does not exist before it is created, though queries find a published one.
fn existing(cx: &Context, name: &str) -> Option<Arc<TableSchema>> {
    cx.catalog.table(name).filter(|_| !is_custom(name) || cx.catalog.is_created(name))
}

fn is_custom(name: &str) -> bool {
    name.ends_with("_CL")
}

async fn get(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let name = call.param("table");
    match existing(cx, name) {
        Some(table) => Reply::json(view(cx, &table)),
        None => Err(not_found(name)),
    }
}

async fn put(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let body: Value = call.json().await?;
    let properties = properties(&body)?;
    let name = TableName::new(call.param("table"));
    let existing = existing(cx, name.as_str());
    if existing.is_none() && call.endpoint.method == Method::PATCH {
        return Err(not_found(name.as_str()));
    }
    let retention = retention(properties)?;
    let schema = match properties.get("schema") {
        None | Some(Value::Null) if existing.is_some() => None,
        None | Some(Value::Null) => return Err(invalid("A new table needs a schema with its columns.", "properties.schema")),
        Some(schema) => {
            let columns = columns(schema, &name, existing.as_deref())?;
            if !matches!(properties.get("lenient"), Some(Value::Bool(true))) {
                as_azure_has_it(&columns, &name, existing.as_deref())?;
            }
            Some(columns)
        }
    };
    let kept = |name: &TableName| cx.catalog.retention(name.as_str()).map(Span::to_iso);
    let kept_before = existing.as_ref().and_then(|_| kept(&name));
    let table = match schema {
        Some(columns) => cx.catalog.define(&name, columns).await.map_err(refusal)?,
        None => existing.clone().ok_or_else(|| not_found(name.as_str()))?,
    };
    if let Some(retention) = retention {
        cx.catalog.set_retention(&name, retention).await.map_err(refusal)?;
    }
    let before = existing.as_deref().map(|table| shape(&table.columns));
    let action = if before.is_some() { "changed" } else { "created" };
    let mut changes = json!({ "columns": [before, shape(&table.columns)] });
    if retention.is_some() {
        changes["retention"] = json!([kept_before, kept(&name)]);
    }
    let what = Changed { aggregate: "table", id: name.as_str(), action, changes };
    trail::record_alone(cx, &call, "ResourceManager", what).await?;
    tracing::info!(table = %name, by = call.actor("ResourceManager").name, "table defined");
    Reply::json(view(cx, &table))
}

async fn delete(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let name = TableName::new(call.param("table"));
    let columns = cx.catalog.table(name.as_str()).map(|table| shape(&table.columns));
    match cx.catalog.drop_table(&name).await {
        Ok(()) => {
            let what = Changed { aggregate: "table", id: name.as_str(), action: "deleted", changes: json!({ "columns": [columns, null] }) };
            trail::record_alone(cx, &call, "ResourceManager", what).await?;
            tracing::info!(table = %name, by = call.actor("ResourceManager").name, "table removed");
            Ok(Reply::empty(StatusCode::OK))
        }
        // Deleting a missing resource is not an error in the resource manager.
        Err(CatalogError::NoTable(_)) => Ok(Reply::no_content()),
        Err(error) => Err(refusal(error)),
    }
}

/// Names and types for the audit trail.
fn shape(columns: &[Column]) -> Value {
    columns.iter().map(|column| format!("{}:{}", column.name, column.ty.name())).collect()
}

fn view(cx: &Context, table: &TableSchema) -> Value {
    let name = table.name.as_str();
    let columns: Vec<Value> = table
        .columns
        .iter()
        .map(|column| json!({ "name": column.name, "type": type_name(column.ty), "isHidden": false, "isDefaultDisplay": false }))
        .collect();
    let is_custom = is_custom(name);
    let days = cx.catalog.retention(name).map_or(-1, |span| span.ticks() / Span::DAY.ticks());
    let (custom, standard) = if is_custom { (json!(columns), json!([])) } else { (json!([]), json!(columns)) };
    json!({
        "id": format!("{}/tables/{name}", cx.cloud.workspace_path()), "name": name, "type": "Microsoft.OperationalInsights/workspaces/tables",
        "properties": {
            "plan": "Analytics", "provisioningState": "Succeeded", "retentionInDays": days, "totalRetentionInDays": days, "archiveRetentionInDays": 0,
            "retentionInDaysAsDefault": days == -1, "totalRetentionInDaysAsDefault": days == -1,
            "schema": {
                "name": name, "tableType": if is_custom { "CustomLog" } else { "Microsoft" },
                "tableSubType": if is_custom { "DataCollectionRuleBased" } else { "Any" },
                "columns": custom, "standardColumns": standard,
            },
        },
    })
}

/// Type names of the Tables API.
fn type_name(ty: Type) -> &'static str {
    match ty {
        Type::Datetime => "dateTime",
        Type::Bool => "boolean",
        other => other.name(),
    }
}

fn not_found(name: &str) -> ApiError {
    ApiError::not_found("ResourceNotFound", format!("There is no table '{name}' in the workspace.")).target(name)
}

fn invalid(message: impl Into<String>, target: impl Into<String>) -> ApiError {
    ApiError::bad_request("InvalidParameter", message).target(target)
}

fn refusal(error: CatalogError) -> ApiError {
    match &error {
        CatalogError::Write(cause) => {
            tracing::error!(error = %cause, "the catalog cannot be written");
            let message = "The server's disk does not take writes now. Try again later.";
            let refusal = ApiError::new(http::StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message);
            ApiError { retry_after: Some(10), ..refusal }
        }
        CatalogError::NoTable(name) => not_found(name.as_str()),
        CatalogError::BuiltIn(_) => ApiError::bad_request("TableCannotBeDeleted", error.to_string()),
        _ => ApiError::bad_request("InvalidParameter", error.to_string()).target("properties.schema"),
    }
}
