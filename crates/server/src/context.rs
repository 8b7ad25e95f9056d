//! Dependencies of handlers: the ports, and the identifiers of the embedded cloud.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
pub use documents::Cloud;
use model::{Catalog, Clock, Connectors, HealthRegister, QueryEngine, TableWriter};
use store::Store;
use uuid::Uuid;

use crate::error::ApiError;
use crate::identity::{Identity, People};
use crate::router::Params;
use crate::signins::SignIns;

/// Everything a handler may use. Built once by the composition root, shared by all requests.
pub struct Context {
    pub engine: Arc<dyn QueryEngine>,
    pub writer: Arc<dyn TableWriter>,
    pub catalog: Arc<dyn Catalog>,
    pub clock: Arc<dyn Clock>,
    /// Control state; its notifiers wake the background tasks after a change.
    pub store: Store,
    /// Changes incidents; builds links with the workspace's identifiers.
    pub incidents: incidents::Incidents,
    pub ingest: Arc<dyn Ingest>,
    pub identity: Arc<Identity>,
    /// Accounts and sessions of people.
    pub people: Arc<People>,
    /// Requests for tokens, for the tables of sign-ins.
    pub sign_ins: Arc<SignIns>,
    /// People, plans, pages and answers.
    pub oncall: Arc<oncall::OnCall>,
    pub cloud: Cloud,
    /// Sources and destinations.
    pub connectors: Arc<dyn Connectors>,
    /// What is wrong at this moment.
    pub health: HealthRegister,
    /// Renders the metrics in Prometheus' text format.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
}

/// Whether the path parameters `subscription`, `group` and `workspace`, if present, name existing resources. Returns the resource
/// manager's errors.
pub fn check_path(cloud: &Cloud, params: &Params) -> Result<(), ApiError> {
    if let Some(subscription) = params.find("subscription")
        && !subscription.eq_ignore_ascii_case(&cloud.subscription_id)
    {
        let message = format!("The subscription '{subscription}' could not be found. This server has '{}'.", cloud.subscription_id);
        return Err(ApiError::not_found("SubscriptionNotFound", message));
    }
    if let Some(group) = params.find("group")
        && !group.eq_ignore_ascii_case(&cloud.resource_group)
    {
        let message = format!("Resource group '{group}' could not be found. This server has '{}'.", cloud.resource_group);
        return Err(ApiError::not_found("ResourceGroupNotFound", message));
    }
    if let Some(workspace) = params.find("workspace")
        && !workspace.eq_ignore_ascii_case(&cloud.workspace_name)
        && !workspace.eq_ignore_ascii_case(&cloud.workspace_id)
    {
        let message = format!(
            "The Resource 'Microsoft.OperationalInsights/workspaces/{workspace}' under resource group '{}' was not found. This server has '{}'.",
            cloud.resource_group, cloud.workspace_name
        );
        return Err(ApiError::not_found("ResourceNotFound", message));
    }
    Ok(())
}

/// Records to ingest, as received by the Logs Ingestion API.
pub struct Upload {
    /// The rule's immutable id.
    pub rule: String,
    pub stream: String,
    /// JSON, inflated.
    pub body: Bytes,
    /// Idempotency key of the batch: a repeated batch is not stored again.
    pub key: Option<String>,
    pub client_request_id: Option<String>,
    /// The request id returned to the client; dead letters of this upload carry it.
    pub correlation_id: Uuid,
}

/// Port to the ingestion pipeline. Returns once the records are durable.
#[async_trait]
pub trait Ingest: Send + Sync {
    async fn ingest(&self, upload: Upload) -> Result<(), ApiError>;

    /// Reloads the data collection rules; returns when uploads use the stored ones.
    async fn rules_changed(&self) -> Result<(), ApiError>;

    /// The resource id of the data collection rule with the immutable id.
    fn rule_scope(&self, immutable_id: &str) -> Option<String>;
}
