//! What the routes of sources and destinations share.

use model::{ConnectorError, ConnectorRole, ConnectorStatus};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

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
    let before = state(cx, role, &id);
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
        let changed = Changed { aggregate: role.name(), id: &id, action, changes: differences(&before, &state(cx, role, &id)) };
        record_alone(cx, &call, "api", changed).await?;
    }
    Reply::json(Done { found })
}

/// The state and the position of the connector, for the audit trail.
fn state(cx: &Context, role: ConnectorRole, id: &str) -> (Value, Value) {
    let all = cx.connectors.list(role);
    let is = |each: &&ConnectorStatus| each.id == id || each.id.split_once('/').is_some_and(|(_, name)| name == id);
    all.iter().find(is).map_or((Value::Null, Value::Null), |each| (json!(each.state.name()), json!(each.position)))
}

fn differences(before: &(Value, Value), after: &(Value, Value)) -> Value {
    let mut changes = Map::new();
    for (field, old, new) in [("state", &before.0, &after.0), ("position", &before.1, &after.1)] {
        if old != new {
            changes.insert(field.to_owned(), json!([old, new]));
        }
    }
    Value::Object(changes)
}

fn refusal(error: ConnectorError) -> ApiError {
    let message = sentence(&error.to_string());
    match error {
        ConnectorError::Unknown { .. } => ApiError::not_found("NotFound", message),
        ConnectorError::NoPosition(_) => ApiError::conflict("NoPosition", message),
        ConnectorError::Failed { .. } => ApiError::bad_request("Failed", message),
    }
}
