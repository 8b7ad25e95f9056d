//! A small client of the service: requests a token like any app registration and calls the APIs. Written from Microsoft's public
//! documentation of the client credentials grant, the Logs Ingestion API and the resource manager.

use std::path::{Path, PathBuf};

use model::Secret;
use serde::Deserialize;
use serde_json::Value;

/// The part of `connect.json` that a sender needs.
#[derive(Clone, Debug, Deserialize)]
pub struct Connection {
    pub base_url: String,
    pub ca_cert: PathBuf,
    pub authority: String,
    pub tenant_id: String,
    pub client_id: String,
    pub client_secret: Secret<String>,
    pub subscription_id: String,
    pub resource_group: String,
    pub workspace_name: String,
    pub workspace_id: String,
    pub logs_ingestion_endpoint: String,
    pub arm_endpoint: String,
    pub graph_endpoint: String,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("cannot read `{0}`")]
    Read(PathBuf, #[source] std::io::Error),
    #[error("`{0}` does not say how to connect")]
    Format(PathBuf, #[source] serde_json::Error),
    #[error("cannot reach the service")]
    Http(#[from] reqwest::Error),
    #[error("{what} was refused with {status}: {body}")]
    Refused { what: &'static str, status: u16, body: String },
}

impl Connection {
    pub fn read(path: &Path) -> Result<Self, ClientError> {
        let text = std::fs::read(path).map_err(|cause| ClientError::Read(path.to_owned(), cause))?;
        serde_json::from_slice(&text).map_err(|cause| ClientError::Format(path.to_owned(), cause))
    }

    /// Resource id of the workspace.
    pub fn workspace(&self) -> String {
        format!("{}/Microsoft.OperationalInsights/workspaces/{}", self.providers(), self.workspace_name)
    }

    /// `/subscriptions/…/resourceGroups/…/providers`
    pub fn providers(&self) -> String {
        format!("/subscriptions/{}/resourceGroups/{}/providers", self.subscription_id, self.resource_group)
    }
}

/// A client with the app registration of a [`Connection`].
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    pub connection: Connection,
}

impl Client {
    pub fn new(connection: Connection) -> Result<Self, ClientError> {
        let pem = std::fs::read(&connection.ca_cert).map_err(|cause| ClientError::Read(connection.ca_cert.clone(), cause))?;
        let http = reqwest::Client::builder().tls_certs_only([reqwest::Certificate::from_pem(&pem)?]).build()?;
        Ok(Self { http, connection })
    }

    /// A bearer token for `resource`, such as `https://monitor.azure.com`.
    pub async fn token(&self, resource: &str) -> Result<Secret<String>, ClientError> {
        #[derive(Deserialize)]
        struct Token {
            access_token: Secret<String>,
        }
        let url = format!("{}/{}/oauth2/v2.0/token", self.connection.authority.trim_end_matches('/'), self.connection.tenant_id);
        let scope = format!("{resource}/.default");
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &self.connection.client_id),
            ("client_secret", self.connection.client_secret.reveal()),
            ("scope", &scope),
        ];
        let reply = self.http.post(url).form(&form).send().await?;
        Ok(expect("the token request", reply).await?.json::<Token>().await?.access_token)
    }

    /// Creates or replaces a resource and returns the response.
    pub async fn put(&self, path: &str, version: &str, body: &Value) -> Result<Value, ClientError> {
        self.arm(reqwest::Method::PUT, path, version, &[], Some(body)).await
    }

    pub async fn get(&self, path: &str, version: &str) -> Result<Value, ClientError> {
        self.get_with(path, version, &[]).await
    }

    /// Reads a resource or a list, with additional query parameters.
    pub async fn get_with(&self, path: &str, version: &str, query: &[(&str, &str)]) -> Result<Value, ClientError> {
        self.arm(reqwest::Method::GET, path, version, query, None).await
    }

    async fn arm(
        &self,
        method: reqwest::Method,
        path: &str,
        version: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, ClientError> {
        let token = self.token("https://management.azure.com").await?;
        let url = format!("{}{path}", self.connection.arm_endpoint.trim_end_matches('/'));
        let mut request = self.http.request(method, url).query(&[("api-version", version)]).query(query).bearer_auth(token.reveal());
        if let Some(body) = body {
            request = request.json(body);
        }
        Ok(expect("the resource request", request.send().await?).await?.json().await?)
    }

    /// Posts to Microsoft Graph and returns the response.
    pub async fn graph(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        let token = self.token("https://graph.microsoft.com").await?;
        let url = format!("{}{path}", self.connection.graph_endpoint.trim_end_matches('/'));
        let request = self.http.post(url).bearer_auth(token.reveal()).json(body);
        Ok(expect("the directory request", request.send().await?).await?.json().await?)
    }

    /// Reads from the service's own API.
    pub async fn own(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, ClientError> {
        let origin = self.connection.base_url.trim_end_matches('/');
        let token = self.token(origin).await?;
        let request = self.http.get(format!("{origin}{path}")).query(query).bearer_auth(token.reveal());
        Ok(expect("the request", request.send().await?).await?.json().await?)
    }

    /// The first row of a KQL query's result, if any.
    pub async fn row(&self, kql: &str) -> Result<Option<Value>, ClientError> {
        let token = self.token("https://api.loganalytics.io").await?;
        let url = format!("{}/v1/workspaces/{}/query", self.connection.base_url.trim_end_matches('/'), self.connection.workspace_id);
        let request = self.http.post(url).bearer_auth(token.reveal()).json(&serde_json::json!({ "query": kql }));
        let answer: Value = expect("the query", request.send().await?).await?.json().await?;
        Ok(answer["tables"][0]["rows"].get(0).cloned())
    }

    /// Uploads records to a stream; returns once they are acknowledged.
    pub async fn upload(&self, rule: &str, stream: &str, records: &[Value]) -> Result<(), ClientError> {
        let token = self.token("https://monitor.azure.com").await?;
        let url = format!(
            "{}/dataCollectionRules/{rule}/streams/{stream}?api-version=2023-01-01",
            self.connection.logs_ingestion_endpoint.trim_end_matches('/')
        );
        let reply = self.http.post(url).bearer_auth(token.reveal()).json(records).send().await?;
        expect("the upload", reply).await.map(drop)
    }
}

async fn expect(what: &'static str, reply: reqwest::Response) -> Result<reqwest::Response, ClientError> {
    let status = reply.status();
    if status.is_success() {
        return Ok(reply);
    }
    let body = reply.text().await.unwrap_or_default();
    Err(ClientError::Refused { what, status: status.as_u16(), body: body.chars().take(500).collect() })
}
