//! `GET /api/v1/tables` — size of each table.

use http::Method;
use model::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, nothing, schema};
use crate::reply::Reply;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::GET,
    path: "/api/v1/tables",
    summary: "List the tables with their rows, bytes, and first and last time",
    dialect: &OURS,
    role: Role::Reader,
    action: "Bartizan/tables/read",
    query: nothing,
    takes: nothing,
    returns: schema::<Tables>,
    run: |cx, _| {
        Box::pin(async move {
            let text = |time: Option<Timestamp>| time.as_ref().map(Timestamp::to_string);
            let table = |size: model::TableSize| Table {
                retention_days: cx.catalog.retention(size.name.as_str()).map(|span| span.ticks() / model::TICKS_PER_DAY),
                name: size.name.as_str().to_owned(),
                rows: size.rows,
                bytes: size.bytes,
                files: size.files,
                oldest: text(size.oldest),
                newest: text(size.newest),
            };
            Reply::json(Tables { tables: cx.catalog.table_sizes().into_iter().map(table).collect() })
        })
    },
};

#[derive(Serialize, JsonSchema)]
struct Tables {
    /// By name.
    tables: Vec<Table>,
}

#[derive(Serialize, JsonSchema)]
struct Table {
    name: String,
    rows: u64,
    /// Of its files, and of its rows in memory.
    bytes: u64,
    files: u64,
    /// First and last `TimeGenerated`, UTC, ISO 8601; null in an empty table.
    oldest: Option<String>,
    newest: Option<String>,
    retention_days: Option<i64>,
}
