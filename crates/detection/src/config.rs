//! The `detection` section of the configuration.

use model::Span;
use schemars::JsonSchema;
use serde::Deserialize;

/// How analytics rules run.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DetectionConfig {
    /// Rules that may begin within the same second; at most four times as many run at once. Default: `8`.
    pub concurrency: usize,
    /// How long the query of one run may take; `query.time` is a limit as well. Default: `10m`. Example: `2m`.
    pub time: Span,
}

impl Default for DetectionConfig {
    fn default() -> Self {
        Self { concurrency: 8, time: Span::seconds(600) }
    }
}
