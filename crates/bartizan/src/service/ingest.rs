//! Adapter between the ingestion API and the pipeline: loads rules from the store, uploads to the pipeline, and maps its errors.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use http::StatusCode;
use model::chain;
use pipeline::{BodyError, Ingest, IngestError, Pipeline, Rule};
use server::{ApiError, Cloud, Upload};
use store::{Store, StoreError};

pub struct Door {
    pipeline: Arc<Pipeline>,
    store: Store,
    cloud: Cloud,
    /// Resource ids by lower-case immutable id.
    scopes: RwLock<HashMap<String, String>>,
}

impl Door {
    /// A door that knows the rules in the store.
    pub async fn open(pipeline: Arc<Pipeline>, store: Store, cloud: Cloud) -> Result<Arc<Self>, StoreError> {
        let door = Arc::new(Self { pipeline, store, cloud, scopes: RwLock::default() });
        door.reload().await?;
        Ok(door)
    }

    async fn reload(&self) -> Result<(), StoreError> {
        let (mut rules, mut scopes) = (Vec::new(), HashMap::new());
        for record in self.store.data_collection_rules().list().await? {
            let scope = format!(
                "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Insights/dataCollectionRules/{}",
                self.cloud.subscription_id, record.resource_group, record.name
            );
            scopes.insert(record.immutable_id.to_ascii_lowercase(), scope.clone());
            match Rule::parse(&record.properties) {
                Ok(rule) => rules.push((record.immutable_id, Rule { resource_id: Some(scope), ..rule })),
                // It was valid when stored by an older version.
                Err(errors) => tracing::error!(
                    rule = record.name,
                    ?errors,
                    "A stored data collection rule is not understood; uploads to it are refused."
                ),
            }
        }
        self.pipeline.set_rules(rules);
        *self.scopes.write().unwrap_or_else(PoisonError::into_inner) = scopes;
        Ok(())
    }
}

#[async_trait]
impl server::Ingest for Door {
    async fn ingest(&self, upload: Upload) -> Result<(), ApiError> {
        let Upload { rule, stream, body, key, client_request_id, correlation_id } = upload;
        self.pipeline.ingest(Ingest { rule, stream, body, key, client_request_id, correlation_id }).await.map(drop).map_err(refusal)
    }

    async fn rules_changed(&self) -> Result<(), ApiError> {
        self.reload().await.map_err(|error| ApiError::internal(&error))
    }

    fn rule_scope(&self, immutable_id: &str) -> Option<String> {
        self.scopes.read().unwrap_or_else(PoisonError::into_inner).get(&immutable_id.to_ascii_lowercase()).cloned()
    }
}

/// Maps pipeline errors to the Logs Ingestion API's.
fn refusal(error: IngestError) -> ApiError {
    let message = format!("{}.", capitalised(&chain(&error)));
    match &error {
        IngestError::UnknownRule(_) => ApiError::not_found("NotFound", message),
        IngestError::UnknownStream { .. } => ApiError::new(StatusCode::NOT_FOUND, "InvalidStream", message),
        IngestError::Body(BodyError::NotAnArray) => ApiError::bad_request("InvalidRequestContent", format!("{message} Send `[{{…}}, …]`.")),
        IngestError::Body(BodyError::TooManyRecords | BodyError::TooManyCells { .. }) => {
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "TooManyRecords", message)
        }
        IngestError::Body(_) => ApiError::bad_request("InvalidRequestContent", message),
        IngestError::Busy { retry_after_seconds, .. } => ApiError::too_many(message, *retry_after_seconds),
        IngestError::Store(cause) => {
            tracing::error!(error = %chain(cause), "Records were not stored.");
            ApiError::internal(&error)
        }
    }
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
