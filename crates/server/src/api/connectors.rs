//! What the routes of sources and destinations share.

use model::{ConnectorError, ConnectorRole, ConnectorStatus};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::call::Call;
use crate::context::Context;
use crate::error::{ApiError, sentence};
use crate::reply::Reply;
use crate::trail::{Changed, record_alone};

/// Sources or destinations, in the order of the configuration.
#[derive(Serialize, JsonSchema)]
pub(super) struct List {
    pub connectors: Vec<ConnectorStatus>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Verb {
    Pause,
    Resume,
    Rewind,
    Test,
}

/// What to do with a source or destination.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Action {
    action: Verb,
    /// For `rewind`: a position that it wrote itself. Default: the beginning.
    #[serde(default)]
    position: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Done {
    /// For `test`: what the other side answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<String>,
}

pub(super) async fn act(cx: &Context, mut call: Call, role: ConnectorRole) -> Result<Reply, ApiError> {
    let Action { action, position } = call.json().await?;
    let id = call.param("id").to_owned();
    let found = match action {
        Verb::Pause => cx.connectors.pause(role, &id).await.map(|()| None),
        Verb::Resume => cx.connectors.resume(role, &id).await.map(|()| None),
        Verb::Rewind => cx.connectors.rewind(role, &id, position).await.map(|()| None),
        Verb::Test => cx.connectors.test(role, &id).await.map(Some),
    };
    let found = found.map_err(refusal)?;
    if !matches!(action, Verb::Test) {
        let action = match action {
            Verb::Pause => "paused",
            Verb::Resume => "resumed",
            _ => "rewound",
        };
        let changed = Changed { aggregate: role.name(), id: &id, action, changes: serde_json::Value::Null };
        record_alone(cx, &call, "api", changed).await?;
    }
    Reply::json(Done { found })
}

fn refusal(error: ConnectorError) -> ApiError {
    let message = sentence(&error.to_string());
    match error {
        ConnectorError::Unknown { .. } => ApiError::not_found("NotFound", message),
        ConnectorError::NoPosition(_) => ApiError::conflict("NoPosition", message),
        ConnectorError::Failed { .. } => ApiError::bad_request("Failed", message),
    }
}
