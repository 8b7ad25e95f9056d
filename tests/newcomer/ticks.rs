//! A source that counts: what a newcomer's first poll source looks like.

use async_trait::async_trait;
use model::{Records, Route, Span, StreamName, StreamRecords};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{Next, Page, PollError, PollSource, Polling, Source, SourceContext, SourceError, SourceType};

pub static SOURCE: SourceType = SourceType {
    name: "ticks",
    summary: "A row for each tick",
    streams: &["Microsoft-Heartbeat"],
    settings: || schemars::schema_for!(Settings),
    build: |value| build(serde_json::from_value(value).map_err(|cause| wrong(cause.to_string()))?),
};

/// A source that counts.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Its name. Example: `clock`.
    pub name: String,
    /// How its records reach their table.
    #[serde(default)]
    pub route: Route,
}

pub fn build(settings: Settings) -> Result<Box<dyn Source>, SourceError> {
    if settings.name.is_empty() {
        return Err(wrong("`name` is empty".to_owned()));
    }
    Ok(Box::new(Polling(Ticks { settings })))
}

fn wrong(problem: String) -> SourceError {
    SourceError::Settings { kind: "ticks", problem }
}

struct Ticks {
    settings: Settings,
}

#[async_trait]
impl PollSource for Ticks {
    fn name(&self) -> &str {
        &self.settings.name
    }

    fn route(&self) -> &Route {
        &self.settings.route
    }

    async fn poll(&mut self, position: Option<&[u8]>, _: &SourceContext) -> Result<Page, PollError> {
        let tick: u64 = position.and_then(|bytes| std::str::from_utf8(bytes).ok()?.parse().ok()).unwrap_or(0);
        let body = serde_json::json!([{ "Computer": format!("tick {tick}") }]).to_string();
        let records = vec![StreamRecords { stream: StreamName::new("Microsoft-Heartbeat"), records: Records::Json(body.into()) }];
        let position = Some((tick + 1).to_string().into_bytes());
        Ok(Page { records, dead_letters: Vec::new(), position, key: None, next: Next::After(Span::SECOND) })
    }
}
