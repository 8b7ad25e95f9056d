//! A destination that counts: what a newcomer's first destination looks like.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{Destination, DestinationContext, DestinationError, DestinationType, Follow, Outgoing};

pub static DESTINATION: DestinationType = DestinationType {
    name: "tally",
    summary: "Counts rows",
    settings: || schemars::schema_for!(Settings),
    build: |value| build(serde_json::from_value(value).map_err(|cause| wrong(cause.to_string()))?),
};

/// A destination that counts.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Its name. Example: `all`.
    pub name: String,
    /// The rows it gets.
    pub follow: Follow,
}

pub fn build(settings: Settings) -> Result<Box<dyn Destination>, DestinationError> {
    if settings.name.is_empty() {
        return Err(wrong("`name` is empty".to_owned()));
    }
    Ok(Box::new(Tally { settings, rows: 0 }))
}

fn wrong(problem: String) -> DestinationError {
    DestinationError::Settings { kind: "tally", problem }
}

struct Tally {
    settings: Settings,
    rows: usize,
}

#[async_trait]
impl Destination for Tally {
    fn name(&self) -> &str {
        &self.settings.name
    }

    fn follow(&self) -> &Follow {
        &self.settings.follow
    }

    async fn deliver(&mut self, rows: &Outgoing, _: &DestinationContext) -> Result<(), DestinationError> {
        self.rows += rows.rows();
        Ok(())
    }

    async fn test(&mut self, _: &DestinationContext) -> Result<String, DestinationError> {
        Ok(format!("{} rows so far", self.rows))
    }
}
