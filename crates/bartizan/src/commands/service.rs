//! Queries the running service of a data directory over the Log Analytics API. Only one process at a time may open a data directory; others
//! query it through the service.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, bail};
use async_trait::async_trait;
use kql::Value;
use kql::value::cells::Cells;
use model::{
    Answer, AnswerTable, ByteSize, Column, Diagnostic, DiagnosticKind, Query, QueryEngine, QueryError, Secret, Span, TableName, Timestamp,
    Type, Window, arrow_schema,
};
use serde::Deserialize;

use super::session_file::SessionFile;
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
    /// The session of the person who has logged in, in place of the application's secret.
    #[serde(skip)]
    session: Option<Access>,
}

/// What proves the caller of a request.
#[derive(Clone)]
pub enum Access {
    /// A token of the first application.
    Token(Secret<String>),
    /// The session of a person.
    Session { secret: Secret<String>, csrf_token: Secret<String> },
}

impl Access {
    pub fn of_session(file: &SessionFile) -> Self {
        Self::Session { secret: file.secret.clone(), csrf_token: file.csrf_token.clone() }
    }

    /// Adds the proof to the request.
    pub fn apply(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match self {
            Self::Token(token) => request.bearer_auth(token.reveal()),
            Self::Session { secret, csrf_token } => {
                let cookie = format!("{}={}", server::identity::COOKIE, secret.reveal());
                request.header(http::header::COOKIE, cookie).header(server::identity::CSRF_HEADER, csrf_token.reveal())
            }
        }
    }
}

/// A client that trusts the authority in `ca_pem` only, or the system's. With `listen`, the host of `base_url` is reached there.
pub fn http_client(base_url: &str, ca_pem: Option<&str>, listen: Option<SocketAddr>) -> anyhow::Result<reqwest::Client> {
    let mut http = reqwest::Client::builder().user_agent(concat!("bartizan/", env!("CARGO_PKG_VERSION")));
    if let Some(pem) = ca_pem {
        http = http.tls_certs_only(reqwest::Certificate::from_pem_bundle(pem.as_bytes())?);
    }
    let host = reqwest::Url::parse(base_url).ok().and_then(|url| url.domain().map(str::to_owned));
    if let (Some(host), Some(listen)) = (host, listen) {
        http = http.resolve(&host, local_address(listen));
    }
    Ok(http.build()?)
}

/// The address of a listener for connections on its own machine.
fn local_address(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

impl Connect {
    /// Reads `connect.json`, and creates a client that trusts only the service's certificate authority. Where the file cannot be read, the
    /// session of `bartizan login` is used.
    pub fn read(data_dir: &Path) -> anyhow::Result<(Self, reqwest::Client)> {
        let path = data_dir.join("connect.json");
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) => {
                let unreadable = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied);
                if let Some(file) = if unreadable { SessionFile::read()? } else { None } {
                    let http = http_client(&file.base_url, file.ca_pem.as_deref(), file.listen)?;
                    return Ok((Self::of_session(file), http));
                }
                let context = format!("a service holds `{}`, and `{}` does not say where it is", data_dir.display(), path.display());
                return Err(error).context(context);
            }
        };
        let connect: Connect = serde_json::from_slice(&text).with_context(|| format!("cannot read `{}`", path.display()))?;
        let pem = std::fs::read(&connect.ca_cert).with_context(|| format!("cannot read `{}`", connect.ca_cert))?;
        let pem = String::from_utf8(pem).with_context(|| format!("`{}` is not PEM", connect.ca_cert))?;
        let http = http_client(&connect.base_url, Some(&pem), connect.listen)?;
        Ok((connect, http))
    }

    /// Address, certificate authority in PEM and listener of the service, from `connect.json`. `None` if the file cannot be read.
    pub fn place(data_dir: &Path) -> anyhow::Result<Option<(String, String, Option<SocketAddr>)>> {
        let path = data_dir.join("connect.json");
        let Ok(text) = std::fs::read(&path) else { return Ok(None) };
        let connect: Connect = serde_json::from_slice(&text).with_context(|| format!("cannot read `{}`", path.display()))?;
        let pem = std::fs::read_to_string(&connect.ca_cert).with_context(|| format!("cannot read `{}`", connect.ca_cert))?;
        Ok(Some((connect.base_url.trim_end_matches('/').to_owned(), pem, connect.listen)))
    }

    /// The service where the person has logged in. All APIs are at the same address.
    fn of_session(file: SessionFile) -> Self {
        Self {
            session: Some(Access::of_session(&file)),
            ca_cert: String::new(),
            listen: file.listen,
            authority: file.base_url.clone(),
            tenant_id: file.cloud.tenant_id,
            client_id: String::new(),
            client_secret: Secret::new(String::new()),
            log_analytics_endpoint: file.base_url.clone(),
            logs_ingestion_endpoint: file.base_url.clone(),
            arm_endpoint: file.base_url.clone(),
            graph_endpoint: file.base_url.clone(),
            subscription_id: file.cloud.subscription_id,
            resource_group: file.cloud.resource_group,
            workspace_name: file.cloud.workspace_name,
            workspace_id: file.cloud.workspace_id,
            base_url: file.base_url,
        }
    }

    /// The proof for requests to APIs with this scope: the person's session, or a token of the first application.
    pub async fn access(&self, http: &reqwest::Client, scope: &str) -> anyhow::Result<Access> {
        match &self.session {
            Some(session) => Ok(session.clone()),
            None => Ok(Access::Token(self.token(http, scope).await?)),
        }
    }

    /// Requests a token for this scope like any application.
    async fn token(&self, http: &reqwest::Client, scope: &str) -> anyhow::Result<Secret<String>> {
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
    access: Access,
}

impl Service {
    /// Connects according to `connect.json` in the data directory.
    pub async fn connect(data_dir: &Path) -> anyhow::Result<Self> {
        let (connect, http) = Connect::read(data_dir)?;
        let access = connect.access(&http, "https://api.loganalytics.io/.default").await?;
        let url = format!("{}/v1/workspaces/{}/query", connect.log_analytics_endpoint.trim_end_matches('/'), connect.workspace_id);
        Ok(Self { http, url, access })
    }

    /// The tables of the service's workspace.
    pub async fn tables(data_dir: &Path) -> anyhow::Result<kql::check::TableSchemas> {
        let (connect, http) = Connect::read(data_dir)?;
        let base = connect.base_url.trim_end_matches('/').to_owned();
        // The audience of our own API is the service itself.
        let access = connect.access(&http, &format!("{base}/.default")).await?;
        let answer = access.apply(http.get(format!("{base}/api/v1/kql/schema"))).send().await?.error_for_status()?;
        let tables: kql::check::TableSchemas = answer.json().await?;
        Ok(tables.with_unlisted(super::published::UNLISTED))
    }

    async fn ask(&self, kql: &str, now: Option<Timestamp>, window: Option<Window>) -> Result<Answer, QueryError> {
        let broken = |why: reqwest::Error| QueryError::Run(model::chain(&why));
        let sent = self.access.apply(self.http.post(&self.url)).json(&request(kql, now, window));
        let answer: Json = sent.send().await.map_err(broken)?.json().await.map_err(broken)?;
        response(kql, &answer)
    }
}

/// The body of a query request.
fn request(kql: &str, now: Option<Timestamp>, window: Option<Window>) -> Json {
    let mut body = json!({ "query": kql });
    if let Some(now) = now {
        body["now"] = json!(now.to_string());
    }
    if let Some(Window { from, until }) = window {
        // Both ends of a timespan are inclusive.
        let last = (until - Span(1)).max(from);
        body["timespan"] = json!(format!("{from}/{last}"));
    }
    body
}

/// Converts a response. An `error` beside tables says why the answer is partial.
fn response(kql: &str, answer: &Json) -> Result<Answer, QueryError> {
    let error = answer.get("error").filter(|error| !error.is_null());
    if let Some(error) = error.filter(|_| answer.get("tables").is_none()) {
        return Err(refusal(kql, error));
    }
    let none = || QueryError::Run("the service answers no table".to_owned());
    let tables = answer["tables"].as_array().ok_or_else(none)?;
    let mut read = tables.iter().map(|table| Some(AnswerTable { name: table["name"].as_str()?.to_owned(), ..read(table)? }));
    let AnswerTable { name, columns, batches } = read.next().flatten().ok_or_else(none)?;
    let more = read.collect::<Option<Vec<_>>>().ok_or_else(none)?;
    Ok(Answer { name: Some(name), columns, batches, more, partial: error.map(partial), ..Answer::default() })
}

/// Why an answer is partial: the limit that was reached, or the service's own words.
fn partial(error: &Json) -> QueryError {
    let mut inner = error["details"].get(0).unwrap_or(error);
    while let Some(deeper) = inner.get("innererror").filter(|deeper| deeper["message"].is_string()) {
        inner = deeper;
    }
    let message = inner["message"].as_str().unwrap_or("the service gives no reason");
    let limit = message.split_once("exceed the set limit of ").and_then(|(_, rest)| rest.split_once(' '));
    match limit.and_then(|(number, rest)| Some((number.parse::<u64>().ok()?, rest))) {
        Some((limit, rest)) if rest.starts_with("records") => QueryError::Rows(usize::try_from(limit).unwrap_or(usize::MAX)),
        Some((limit, rest)) if rest.starts_with("bytes") => QueryError::Bytes(ByteSize(limit)),
        _ => QueryError::Run(message.to_owned()),
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
            answer = self.ask(&query.kql, query.scope.now, query.scope.window) => answer,
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
    fn a_partial_answer_keeps_its_reason() {
        // Log Analytics' format; the first message is that of azure-sdk-for-python#32282.
        let answer = |code: &str, message: &str| {
            let error = json!({"code": "PartialError", "message": "There were some errors when processing your query.", "details": [
                {"code": "EngineError", "message": "Something went wrong processing your query on the server.", "innererror": {"code": code, "message": message}},
            ]});
            let tables = json!([{"name": "PrimaryResult", "columns": [{"name": "n", "type": "long"}], "rows": [[1]]}]);
            response("T", &json!({ "tables": tables, "error": error })).unwrap()
        };
        let bytes =
            answer("-2133196797", "The results of this query exceed the set limit of 64000000 bytes, so not all records were returned.");
        assert_eq!(bytes.rows(), 1);
        assert!(matches!(bytes.partial, Some(QueryError::Bytes(ByteSize(64_000_000)))), "{:?}", bytes.partial);
        let rows =
            answer("-2133196797", "The results of this query exceed the set limit of 1000 records, so not all records were returned.");
        assert!(matches!(rows.partial, Some(QueryError::Rows(1000))), "{:?}", rows.partial);
        let damaged = answer("EngineError", "7 rows of table `T` cannot be read");
        assert!(matches!(&damaged.partial, Some(QueryError::Run(why)) if why == "7 rows of table `T` cannot be read"));
        let whole = response("T", &json!({"tables": [{"name": "PrimaryResult", "columns": [], "rows": []}]})).unwrap();
        assert!(whole.partial.is_none());
    }

    #[test]
    fn a_request_has_the_time_and_the_window_of_its_query() {
        let at = |text| Timestamp::parse_iso(text).unwrap();
        let window = Window { from: at("2026-01-01T09:00:00Z"), until: at("2026-01-01T10:00:00Z") };
        // The API's timespan includes its end, a window does not.
        let timespan = "2026-01-01T09:00:00.0000000Z/2026-01-01T09:59:59.9999999Z";
        let body = request("T", Some(window.until), Some(window));
        assert_eq!(body, json!({"query": "T", "now": "2026-01-01T10:00:00.0000000Z", "timespan": timespan}));
        assert_eq!(request("T", None, None), json!({"query": "T"}));
    }

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
