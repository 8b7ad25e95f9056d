//! Client of the on-call API.

use std::path::PathBuf;

use anyhow::Context as _;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::super::Failure;
use super::super::client::refusal;
pub use super::super::client::segment;
use super::super::service::{Access, Connect};
use super::output::Format;

/// Which service, and how to print what it says. Every subcommand has them.
#[derive(clap::Args)]
pub struct Common {
    /// The data directory of the running service. Default: the one under $XDG_DATA_HOME/bartizan.
    #[arg(long, value_name = "D")]
    pub data_dir: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// The running service.
pub struct Api {
    http: reqwest::Client,
    /// The part of our API: `oncall`.
    root: String,
    access: Access,
}

/// Body of a request.
pub enum Body {
    None,
    Json(Value),
}

impl Api {
    /// The part of our API that is on call's.
    pub async fn connect(common: &Common) -> anyhow::Result<Self> {
        Self::connect_to(common, "oncall").await
    }

    /// A part of our API: what is below `/api/v1/{part}`.
    pub async fn connect_to(common: &Common, part: &str) -> anyhow::Result<Self> {
        let data_dir = match &common.data_dir {
            Some(path) => path.clone(),
            None => crate::config::default_data_dir(|name| std::env::var(name).ok())?,
        };
        let (connect, http) = Connect::read(&data_dir).context("is the service running? `bartizan up` starts it")?;
        let base = connect.base_url.trim_end_matches('/').to_owned();
        // The audience of our own API is the service itself.
        let access = connect.access(&http, &format!("{base}/.default")).await?;
        Ok(Self { http, root: format!("{base}/api/v1/{part}"), access })
    }

    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, Failure> {
        let text = self.send(Method::GET, path, query, Body::None).await?;
        Ok(serde_json::from_str(&text).context("the service's answer is no JSON")?)
    }

    pub async fn post(&self, path: &str, query: &[(&str, &str)], body: Body) -> Result<Value, Failure> {
        let text = self.send(Method::POST, path, query, body).await?;
        if text.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_str(&text).context("the service's answer is no JSON")?) }
    }

    /// Returns the response body. Errors of the caller are [`Failure::Wrong`]; all others [`Failure::Broken`].
    pub async fn send(&self, method: Method, path: &str, query: &[(&str, &str)], body: Body) -> Result<String, Failure> {
        let url = if path.is_empty() { self.root.clone() } else { format!("{}/{path}", self.root) };
        let mut request = self.access.apply(self.http.request(method, url)).query(query);
        request = match body {
            Body::None => request,
            Body::Json(value) => request.json(&value),
        };
        let answer = request.send().await.context("the service does not answer")?;
        let status = answer.status();
        let text = answer.text().await.context("the service's answer broke off")?;
        if status.is_success() {
            return Ok(text);
        }
        let message = refusal(&text).unwrap_or_else(|| format!("the service answers {status}"));
        Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => Failure::Broken(anyhow::anyhow!(message)),
            _ if status.is_server_error() => Failure::Broken(anyhow::anyhow!(message)),
            _ => Failure::Wrong(message),
        })
    }
}
