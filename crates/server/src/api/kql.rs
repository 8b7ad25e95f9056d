//! Shared by the query editor's endpoints: the workspace catalog, request types and positions. Positions are in UTF-16 units from the start
//! of the text, as in JavaScript.
//!
//! Binding is CPU-bound and needs a large stack, so it runs on a blocking thread.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use kql::bind::Schema;
use kql::check::{byte_offset, utf16_offset};
use kql::plan::{Rel, Subquery};
use kql::syntax::ast::Place;
use model::{Catalog, Column, StoredFunction, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::call::Call;
use crate::context::Context;
use crate::error::ApiError;

/// A text of KQL that somebody is writing.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// Example: `SecurityIncident | take 10`.
    pub query: String,
}

/// A text, and where the cursor is.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TextAt {
    /// Example: `SecurityIncident | where Sev`.
    pub query: String,
    /// UTF-16 units in front of the cursor. Example: `28`.
    pub position: usize,
}

impl TextAt {
    /// The cursor position in bytes.
    pub fn offset(&self) -> usize {
        byte_offset(&self.query, self.position)
    }
}

/// A part of the text, half-open.
#[derive(Serialize, JsonSchema)]
pub struct Range {
    pub start: usize,
    pub end: usize,
}

impl Range {
    pub fn of(text: &str, place: &Place) -> Self {
        Self { start: utf16_offset(text, place.start), end: utf16_offset(text, place.end) }
    }
}

/// Maximum length of a query text, in bytes. Typical queries are a hundredth of it.
const LONGEST: usize = 1 << 20;

/// The tables and functions of the workspace.
pub struct Names(Arc<dyn Catalog>);

impl Schema for Names {
    fn table(&self, name: &str) -> Option<Vec<Column>> {
        self.0.table(name).map(|table| table.columns.clone())
    }

    fn tables(&self) -> Vec<String> {
        self.0.tables().iter().map(|table| table.name.as_str().to_owned()).collect()
    }

    fn each_unlisted_table(&self, f: &mut dyn FnMut(&str)) {
        self.0.published_tables().into_iter().for_each(f);
    }

    fn function(&self, name: &str) -> Option<StoredFunction> {
        self.0.function(name)
    }

    fn run(&self, _: &Rel, _: &[Subquery]) -> Result<Option<(u32, Vec<RecordBatch>)>, String> {
        Ok(None)
    }
}

/// A request about a query text.
pub trait About: serde::de::DeserializeOwned + Send + 'static {
    fn text(&self) -> &str;
}

impl About for Text {
    fn text(&self) -> &str {
        &self.query
    }
}

impl About for TextAt {
    fn text(&self) -> &str {
        &self.query
    }
}

/// Parses the request and computes the response on a blocking thread.
pub async fn answer<R: About, A: Send + 'static>(cx: &Context, mut call: Call, work: fn(R, &Names, Timestamp) -> A) -> Result<A, ApiError> {
    let request: R = call.json().await?;
    if request.text().len() > LONGEST {
        let message = format!("The query is longer than {LONGEST} bytes, which is more than the editor's answers look at.");
        return Err(ApiError::bad_request("QueryTooLong", message));
    }
    let (names, now) = (Names(cx.catalog.clone()), cx.clock.now());
    tokio::task::spawn_blocking(move || work(request, &names, now)).await.map_err(|error| ApiError::internal(&error))
}
