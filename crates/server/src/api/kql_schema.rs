//! `GET /api/v1/kql/schema` — tables and columns, for editors with their own completion.

use std::collections::BTreeMap;

use http::Method;
use schemars::JsonSchema;
use serde::Serialize;

use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, nothing, schema};
use crate::reply::Reply;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::GET,
    path: "/api/v1/kql/schema",
    summary: "Read the tables that queries may name, with their columns",
    dialect: &OURS,
    role: Role::Reader,
    action: "Bartizan/kql/read",
    query: nothing,
    takes: nothing,
    returns: schema::<Tables>,
    run: |cx, _| {
        Box::pin(async move {
            let tables = cx.catalog.tables();
            let columns = |table: &model::TableSchema| table.columns.iter().map(|column| (column.name.clone(), column.ty.name())).collect();
            Reply::json(Tables(tables.iter().map(|table| (table.name.as_str().to_owned(), columns(table))).collect()))
        })
    },
};

/// Columns by the name of their table, each with its type: what `--schema` of the command line reads.
#[derive(Serialize, JsonSchema)]
struct Tables(BTreeMap<String, Vec<(String, &'static str)>>);
