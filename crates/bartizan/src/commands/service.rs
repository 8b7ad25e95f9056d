//! Queries the running service of a data directory over the Log Analytics API. Only one process at a time may open a data directory; others
//! query it through the service.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, bail};
use async_trait::async_trait;
use kql::Value;
use kql::value::cells::Cells;
use model::{
    Answer, AnswerTable, Column, Diagnostic, DiagnosticKind, Query, QueryEngine, QueryError, Secret, TableName, Type, Window, arrow_schema,
};
use serde::Deserialize;
use serde_json::{Value as Json, json};

/// The content of `connect.json`.
#[derive(Deserialize)]
pub struct Connect {
    pub base_url: String,
    ca_cert: String,
    /// Address and port of the listener; the host name may not resolve to it on this machine.
    #[serde(default)]
    listen: Option<SocketAddr>,
    authority: String,
    tenant_id: String,
    client_id: String,
    client_secret: Secret<String>,
    log_analytics_endpoint: String,
    pub logs_ingestion_endpoint: String,
    pub arm_endpoint: String,
    pub graph_endpoint: String,
    pub subscription_id: String,
    pub resource_group: String,
    pub workspace_name: String,
    workspace_id: String,
}

impl Connect {
    /// Reads `connect.json`, and creates a client that trusts only the service's certificate authority.
    pub fn read(data_dir: &Path) -> anyhow::Result<(Self, reqwest::Client)> {
        let path = data_dir.join("connect.json");
        let text = std::fs::read(&path)
            .with_context(|| format!("a service holds `{}`, and `{}` does not say where it is", data_dir.display(), path.display()))?;
        let connect: Connect = serde_json::from_slice(&text).with_context(|| format!("cannot read `{}`", path.display()))?;
        let pem = std::fs::read(&connect.ca_cert).with_context(|| format!("cannot read `{}`", connect.ca_cert))?;
        let mut http = reqwest::Client::builder().tls_certs_only(reqwest::Certificate::from_pem_bundle(&pem)?);
        if let (Some(name), Some(address)) = (connect.host(), connect.local_address()) {
            http = http.resolve(&name, address);
        }
        Ok((connect, http.build()?))
    }

    fn host(&self) -> Option<String> {
        reqwest::Url::parse(&self.base_url).ok()?.domain().map(str::to_owned)
    }

    /// The address of the service for local connections.
    fn local_address(&self) -> Option<SocketAddr> {
        let listen = self.listen?;
        let ip = match listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        Some(SocketAddr::new(ip, listen.port()))
    }

    /// Requests a token for this scope like any application.
    pub async fn token(&self, http: &reqwest::Client, scope: &str) -> anyhow::Result<Secret<String>> {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", self.client_id.as_str()),
            ("client_secret", self.client_secret.reveal().as_str()),
            ("scope", scope),
        ];
        let url = format!("{}/{}/oauth2/v2.0/token", self.authority.trim_end_matches('/'), self.tenant_id);
        let answer: Json = http.post(url).form(&form).send().await.context("the service does not answer")?.json().await?;
        let Some(token) = answer["access_token"].as_str() else { bail!("the service gives no token: {}", answer["error_description"]) };
        Ok(Secret::new(token.to_owned()))
    }
}

/// A running service as a query engine.
pub struct Service {
    http: reqwest::Client,
    url: String,
    token: Secret<String>,
}

impl Service {
    /// Connects according to `connect.json` in the data directory.
    pub async fn connect(data_dir: &Path) -> anyhow::Result<Self> {
        let (connect, http) = Connect::read(data_dir)?;
        let token = connect.token(&http, "https://api.loganalytics.io/.default").await?;
        let url = format!("{}/v1/workspaces/{}/query", connect.log_analytics_endpoint.trim_end_matches('/'), connect.workspace_id);
        Ok(Self { http, url, token })
    }

    /// The tables of the service's workspace.
    pub async fn tables(data_dir: &Path) -> anyhow::Result<kql::check::TableSchemas> {
        let (connect, http) = Connect::read(data_dir)?;
        let base = connect.base_url.trim_end_matches('/').to_owned();
        // The audience of our own API is the service itself.
        let token = connect.token(&http, &format!("{base}/.default")).await?;
        let answer = http.get(format!("{base}/api/v1/kql/schema")).bearer_auth(token.reveal()).send().await?.error_for_status()?;
        Ok(answer.json().await?)
    }

    async fn ask(&self, kql: &str, window: Option<Window>) -> Result<Answer, QueryError> {
        let broken = |why: reqwest::Error| QueryError::Run(model::chain(&why));
        let mut body = json!({ "query": kql });
        if let Some(window) = window {
            body["timespan"] = json!(format!("{}/{}", window.from, window.until));
        }
        let sent = self.http.post(&self.url).bearer_auth(self.token.reveal()).json(&body).send().await.map_err(broken)?;
        let answer: Json = sent.json().await.map_err(broken)?;
        if let Some(error) = answer.get("error").filter(|_| answer.get("tables").is_none()) {
            return Err(refusal(kql, error));
        }
        let none = || QueryError::Run("the service answers no table".to_owned());
        let tables = answer["tables"].as_array().ok_or_else(none)?;
        let mut read = tables.iter().map(|table| Some(AnswerTable { name: table["name"].as_str()?.to_owned(), ..read(table)? }));
        let AnswerTable { name, columns, batches } = read.next().flatten().ok_or_else(none)?;
        let more = read.collect::<Option<Vec<_>>>().ok_or_else(none)?;
        Ok(Answer { name: Some(name), columns, batches, more, ..Answer::default() })
    }
}

/// Converts an error response, with its position in the text if present.
fn refusal(kql: &str, error: &Json) -> QueryError {
    // The innermost message is the most specific one.
    let mut inner = error;
    while let Some(deeper) = inner.get("innererror").filter(|deeper| deeper["message"].is_string()) {
        inner = deeper;
    }
    let message = inner["message"].as_str().unwrap_or("the service gives no reason");
    let code = inner["code"].as_str().filter(|code| code.len() <= 8 && code.starts_with("KQL"));
    let (Some(code), Some(line), Some(position)) = (code, inner["line"].as_u64(), inner["pos"].as_u64()) else {
        return QueryError::Run(message.to_owned());
    };
    let line_start: usize =
        kql.split_inclusive('\n').take(usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX)).map(str::len).sum();
    let rest = kql.get(line_start..).unwrap_or_default();
    let start = line_start + kql::check::byte_offset(rest, usize::try_from(position).unwrap_or(usize::MAX));
    let end = start + inner["token"].as_str().map_or(0, str::len);
    let suffix = format!(" (line {line}, position {position})");
    let message = message.strip_suffix(&suffix).unwrap_or(message);
    let (message, help) = match message.rsplit_once("; ") {
        Some((message, help)) => (message, Some(help.to_owned())),
        None => (message, None),
    };
    // Diagnostic codes are `&'static str`. One is leaked per error that a command prints.
    let code: &'static str = Box::leak(code.to_owned().into_boxed_str());
    let kind = if error.to_string().contains("SyntaxError") { DiagnosticKind::Syntax } else { DiagnosticKind::Semantic };
    QueryError::Wrong(vec![Diagnostic { code, kind, message: message.to_owned(), help, start, end }])
}

/// Parses a table of a response.
fn read(table: &Json) -> Option<AnswerTable> {
    let columns: Vec<Column> = table["columns"]
        .as_array()?
        .iter()
        .map(|column| Some(Column::new(column["name"].as_str()?, Type::parse(column["type"].as_str()?)?)))
        .collect::<Option<_>>()?;
    let rows = table["rows"].as_array()?;
    let arrays = columns.iter().enumerate().map(|(index, column)| {
        let mut cells = Cells::new(column.ty, rows.len());
        rows.iter().for_each(|row| cells.push(&value(&row[index], column.ty)));
        cells.finish()
    });
    let options = arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let batch = arrow::record_batch::RecordBatch::try_new_with_options(arrow_schema(&columns), arrays.collect(), &options).ok()?;
    Some(AnswerTable { name: String::new(), columns, batches: vec![batch] })
}

fn value(cell: &Json, ty: Type) -> Value {
    match (ty, cell) {
        (_, Json::Null) => Value::null(ty),
        (Type::String, Json::String(text)) => Value::String(text.clone()),
        (Type::Dynamic, Json::String(text)) => Value::Dynamic(text.clone()),
        (Type::Dynamic, other) => Value::Dynamic(other.to_string()),
        (_, Json::Bool(b)) => Value::Bool(*b).cast(ty),
        (Type::Real, Json::Number(n)) => n.as_f64().map_or(Value::Null(ty), Value::Real),
        (_, Json::Number(n)) => n.as_i64().map_or(Value::Null(ty), |n| Value::Long(n).cast(ty)),
        (_, Json::String(text)) => Value::String(text.clone()).cast(ty),
        _ => Value::null(ty),
    }
}

#[async_trait]
impl QueryEngine for Service {
    async fn query(&self, query: Query) -> Result<Answer, QueryError> {
        tokio::select! {
            () = query.cancel.cancelled() => Err(QueryError::Cancelled),
            answer = self.ask(&query.kql, query.scope.window) => answer,
        }
    }

    async fn check(&self, _: &Query) -> Result<Option<Vec<Column>>, QueryError> {
        Err(QueryError::Run("the service is asked to run queries only".to_owned()))
    }

    async fn tables_read(&self, _: &Query) -> Result<Vec<TableName>, QueryError> {
        Err(QueryError::Run("the service is asked to run queries only".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_the_service_is_placed_in_the_text() {
        // Log Analytics' format: learn.microsoft.com/azure/azure-monitor/logs/api/errors.
        let kql = "T\n| were x == 1";
        let error = json!({"message": "The request had some invalid properties", "code": "BadArgumentError", "innererror": {
            "code": "SyntaxError", "message": "A recognition error occurred in the query.", "line": 2, "pos": 2, "token": "were",
            "innererror": {"code": "KQL0008", "message": "unknown operator `were`; did you mean `where`? (line 2, position 2)", "line": 2, "pos": 2, "token": "were"},
        }});
        let QueryError::Wrong(found) = refusal(kql, &error) else { panic!("a diagnostic is expected") };
        assert_eq!((&kql[found[0].start..found[0].end], found[0].code), ("were", "KQL0008"));
        assert_eq!((found[0].message.as_str(), found[0].help.as_deref()), ("unknown operator `were`", Some("did you mean `where`?")));
        assert!(matches!(refusal(kql, &json!({"message": "no"})), QueryError::Run(message) if message == "no"));
    }
}
