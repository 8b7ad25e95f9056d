//! `POST /api/v1/kql/completion` — completion items at the cursor.

use http::Method;
use kql::editor::{self, ItemKind};
use schemars::JsonSchema;
use serde::Serialize;

use super::kql::{Range, TextAt, answer};
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, nothing, schema};
use crate::reply::Reply;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::POST,
    path: "/api/v1/kql/completion",
    summary: "Say what could stand at a place of a query that is being written",
    dialect: &OURS,
    role: Role::Reader,
    action: "Bartizan/kql/read",
    query: nothing,
    takes: schema::<TextAt>,
    returns: schema::<Completion>,
    run: |cx, call| {
        Box::pin(async move {
            Reply::json(
                answer(cx, call, |request: TextAt, names, now| {
                    let found = editor::complete(&request.query, request.offset(), names, now);
                    let items = found.items.into_iter().take(MOST).map(|item| Item {
                        label: item.label,
                        kind: kind(item.kind),
                        detail: item.detail,
                        documentation: item.documentation,
                        insert: item.insert,
                        call: item.call,
                    });
                    Completion { replaces: Range::of(&request.query, &found.replaces), items: items.collect() }
                })
                .await?,
            )
        })
    },
};

/// Maximum number of items in a response. Users narrow the list by typing more.
const MOST: usize = 500;

#[derive(Serialize, JsonSchema)]
struct Completion {
    /// What an item replaces: the word that has been begun.
    replaces: Range,
    /// The best first.
    items: Vec<Item>,
}

#[derive(Serialize, JsonSchema)]
struct Item {
    label: String,
    /// `column`, `variable`, `table`, `function`, `aggregate`, `window`, `plugin`, `operator`, `keyword`, `option`, `value` or `type`.
    kind: &'static str,
    /// A type or a signature.
    detail: String,
    /// Markdown.
    documentation: String,
    /// As written in the text.
    insert: String,
    /// Arguments in parentheses follow.
    call: bool,
}

fn kind(kind: ItemKind) -> &'static str {
    match kind {
        ItemKind::Column => "column",
        ItemKind::Variable => "variable",
        ItemKind::Table => "table",
        ItemKind::Function => "function",
        ItemKind::Aggregate => "aggregate",
        ItemKind::Window => "window",
        ItemKind::Plugin => "plugin",
        ItemKind::Operator => "operator",
        ItemKind::Keyword => "keyword",
        ItemKind::Option => "option",
        ItemKind::Value => "value",
        ItemKind::Type => "type",
    }
}
