//! A client of the running service: reads `connect.json` and calls the public APIs.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::sync::Mutex;

use super::Failure;
use super::service::{Access, Connect};

/// Versions of the API families as sent by their current SDKs.
const SECURITY_INSIGHTS: &str = "2025-09-01";
const OPERATIONAL_INSIGHTS: &str = "2025-02-01";
const DATA_COLLECTION: &str = "2023-03-11";
const LOGS_INGESTION: &str = "2023-01-01";
const AUTHORIZATION: &str = "2022-04-01";

const RESOURCE_MANAGER_SCOPE: &str = "https://management.azure.com/.default";
const INGESTION_SCOPE: &str = "https://monitor.azure.com/.default";
const GRAPH_SCOPE: &str = "https://graph.microsoft.com/.default";

/// The running service of a data directory.
pub struct Client {
    http: reqwest::Client,
    connect: Connect,
    /// By scope. Not refreshed: commands end long before a token expires.
    access: Mutex<HashMap<String, Access>>,
}

/// An error response.
#[derive(Debug)]
pub struct Refused {
    pub status: StatusCode,
    pub message: String,
}

/// Why a call failed.
#[derive(Debug)]
pub enum CallError {
    Refused(Refused),
    Broken(anyhow::Error),
}

impl From<CallError> for Failure {
    /// Errors of the caller exit with 1; all others with 2.
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(Refused { status, message }) => match status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
                    Failure::Broken(anyhow::anyhow!(message))
                }
                _ if status.is_server_error() => Failure::Broken(anyhow::anyhow!(message)),
                _ => Failure::Wrong(format!("error: {message}")),
            },
            CallError::Broken(error) => Failure::Broken(error),
        }
    }
}

impl Client {
    /// Reads `connect.json` of `data_dir`, or of the default data directory.
    pub fn open(data_dir: Option<&Path>) -> anyhow::Result<Self> {
        let data_dir = match data_dir {
            Some(path) => path.to_owned(),
            None => crate::config::default_data_dir(|name| std::env::var(name).ok())?,
        };
        let (connect, http) = Connect::read(&data_dir).context("is the service running? `bartizan up` starts it")?;
        Ok(Self { http, connect, access: Mutex::new(HashMap::new()) })
    }

    /// The subscription's resource id.
    pub fn subscription(&self) -> String {
        format!("/subscriptions/{}", self.connect.subscription_id)
    }

    /// The resource group's resource id.
    pub fn group(&self) -> String {
        format!("{}/resourceGroups/{}", self.subscription(), self.connect.resource_group)
    }

    /// The workspace's resource id.
    pub fn workspace(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.OperationalInsights/workspaces/{}",
            self.connect.subscription_id, self.connect.resource_group, self.connect.workspace_name
        )
    }

    /// Calls `Microsoft.SecurityInsights` under the workspace. `path` starts with a slash.
    pub async fn security_insights(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, CallError> {
        let path = format!("{}/providers/Microsoft.SecurityInsights{path}", self.workspace());
        self.resource(method, &path, SECURITY_INSIGHTS, query, body).await
    }

    /// Calls the API of a table of the workspace.
    pub async fn table(&self, method: Method, table: &str, body: Option<&Value>) -> Result<Value, CallError> {
        let path = format!("{}/tables/{}", self.workspace(), segment(table));
        self.resource(method, &path, OPERATIONAL_INSIGHTS, &[], body).await
    }

    /// Calls the API of a data collection rule of the resource group.
    pub async fn data_collection_rule(&self, method: Method, name: &str, body: Option<&Value>) -> Result<Value, CallError> {
        let path = format!(
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Insights/dataCollectionRules/{}",
            self.connect.subscription_id,
            self.connect.resource_group,
            segment(name)
        );
        self.resource(method, &path, DATA_COLLECTION, &[], body).await
    }

    /// Calls `Microsoft.Authorization` at a scope. `path` starts with a slash.
    pub async fn authorization(
        &self,
        method: Method,
        scope: &str,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, CallError> {
        let path = format!("{}/providers/Microsoft.Authorization{path}", scope.trim_end_matches('/'));
        self.resource(method, &path, AUTHORIZATION, query, body).await
    }

    /// Calls Microsoft Graph. `path` begins with the version.
    pub async fn graph(&self, method: Method, path: &str, query: &[(&str, &str)], body: Option<&Value>) -> Result<Value, CallError> {
        let url = format!("{}{path}", self.connect.graph_endpoint.trim_end_matches('/'));
        let mut request = self.http.request(method, url).query(query);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.send(request, GRAPH_SCOPE).await
    }

    async fn resource(
        &self,
        method: Method,
        path: &str,
        version: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, CallError> {
        let url = format!("{}{path}", self.connect.arm_endpoint.trim_end_matches('/'));
        let mut request = self.http.request(method, url).query(&[("api-version", version)]).query(query);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.send(request, RESOURCE_MANAGER_SCOPE).await
    }

    /// Uploads records to a stream of a data collection rule. A batch repeated with the same `key` is stored once.
    pub async fn upload(&self, rule: &str, stream: &str, key: &str, records: Vec<u8>) -> Result<(), CallError> {
        let base = self.connect.logs_ingestion_endpoint.trim_end_matches('/');
        let url = format!("{base}/dataCollectionRules/{}/streams/{}", segment(rule), segment(stream));
        let request = self.http.post(url).query(&[("api-version", LOGS_INGESTION)]);
        let request = request.header("content-type", "application/json").header("x-ms-client-request-id", key).body(records);
        self.send(request, INGESTION_SCOPE).await.map(drop)
    }

    /// A route of our own API. `path` begins with `/api/v1`.
    pub async fn ours(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, CallError> {
        let base = self.connect.base_url.trim_end_matches('/');
        let mut request = self.http.request(method, format!("{base}{path}"));
        if let Some(body) = body {
            request = request.json(body);
        }
        self.send(request, &format!("{base}/.default")).await
    }

    async fn send(&self, request: reqwest::RequestBuilder, scope: &str) -> Result<Value, CallError> {
        let access = self.access(scope).await.map_err(CallError::Broken)?;
        let broken = |error: reqwest::Error, what: &'static str| CallError::Broken(anyhow::Error::new(error).context(what));
        let answer = access.apply(request).send().await.map_err(|error| broken(error, "the service does not answer"))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| broken(error, "the answer of the service broke off"))?;
        if !status.is_success() {
            let message = refusal(&text).unwrap_or_else(|| format!("the service answers {status}"));
            return Err(CallError::Refused(Refused { status, message }));
        }
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text)
            .map_err(|error| CallError::Broken(anyhow::Error::new(error).context("the answer of the service is not JSON")))
    }

    async fn access(&self, scope: &str) -> anyhow::Result<Access> {
        let mut known = self.access.lock().await;
        if let Some(access) = known.get(scope) {
            return Ok(access.clone());
        }
        let access = self.connect.access(&self.http, scope).await?;
        known.insert(scope.to_owned(), access.clone());
        Ok(access)
    }
}

/// Which service a command asks.
#[derive(clap::Args)]
pub struct ServiceArgs {
    /// The data directory of the running service. Default: the one under $XDG_DATA_HOME/bartizan.
    #[arg(long, value_name = "D")]
    pub data_dir: Option<PathBuf>,
}

impl ServiceArgs {
    pub fn client(&self) -> anyhow::Result<Client> {
        Client::open(self.data_dir.as_deref())
    }
}

/// The message of an error response, with each of its details on a line of its own.
pub fn refusal(text: &str) -> Option<String> {
    let answer: Value = serde_json::from_str(text).ok()?;
    let error = &answer["error"];
    let mut lines = vec![error["message"].as_str()?.to_owned()];
    for detail in error["details"].as_array().into_iter().flatten() {
        let place = detail["target"].as_str().map(|place| format!("{place}: ")).unwrap_or_default();
        lines.push(format!("  {place}{}", detail["message"].as_str().unwrap_or_default()));
    }
    Some(lines.join("\n"))
}

/// Encodes a name as one path segment (RFC 3986 §3.3).
pub fn segment(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(byte as char),
            _ => text += &format!("%{byte:02X}"),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_one_segment() {
        // RFC 3986 §3.3: a slash or a question mark in a name would end the segment.
        assert_eq!(segment("week days/é?"), "week%20days%2F%C3%A9%3F");
        assert_eq!(segment("ann"), "ann");
    }

    #[test]
    fn a_refusal_reads_as_lines() {
        let text = r#"{"error":{"code":"X","message":"The document is wrong.","details":[{"code":"Y","message":"there is no user `bo`","target":"schedules.w"}]}}"#;
        assert_eq!(refusal(text).unwrap(), "The document is wrong.\n  schedules.w: there is no user `bo`");
        assert_eq!(refusal("<html>"), None);
    }
}
