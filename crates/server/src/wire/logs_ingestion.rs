//! Azure Monitor's Logs Ingestion API: batches of JSON records into the streams of data collection rules.

use crate::endpoint::Endpoint;

model::register! { ENDPOINTS: Endpoint = ENDPOINT; upload }
