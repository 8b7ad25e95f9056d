//! Asks the service that runs on a data directory, over the API that Log Analytics' clients use. One process at a time reads a data
//! directory; whoever comes second asks the first.

use std::path::Path;

use anyhow::{Context, bail};
use async_trait::async_trait;
use kql::Value;
use kql::value::cells::Cells;
use model::{Answer, AnswerTable, Column, Query, QueryEngine, QueryError, Secret, TableName, Type, arrow_schema};
use serde::Deserialize;
use serde_json::{Value as Json, json};

/// What the service wrote down about itself.
#[derive(Deserialize)]
pub struct Connect {
    pub base_url: String,
    ca_cert: String,
    authority: String,
    tenant_id: String,
    client_id: String,
    client_secret: Secret<String>,
    log_analytics_endpoint: String,
    workspace_id: String,
}

impl Connect {
    /// Reads `connect.json`, and makes a client that trusts the service it names and nobody else.
    pub fn read(data_dir: &Path) -> anyhow::Result<(Self, reqwest::Client)> {
        let path = data_dir.join("connect.json");
        let text = std::fs::read(&path)
            .with_context(|| format!("a service holds `{}`, and `{}` does not say where it is", data_dir.display(), path.display()))?;
        let connect: Connect = serde_json::from_slice(&text).with_context(|| format!("cannot read `{}`", path.display()))?;
        let pem = std::fs::read(&connect.ca_cert).with_context(|| format!("cannot read `{}`", connect.ca_cert))?;
        let http = reqwest::Client::builder().tls_certs_only([reqwest::Certificate::from_pem(&pem)?]).build()?;
        Ok((connect, http))
    }

    /// A token for this scope, asked for as any application does.
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
    /// Connects with what `connect.json` in the data directory says.
    pub async fn connect(data_dir: &Path) -> anyhow::Result<Self> {
        let (connect, http) = Connect::read(data_dir)?;
        let token = connect.token(&http, "https://api.loganalytics.io/.default").await?;
        let url = format!("{}/v1/workspaces/{}/query", connect.log_analytics_endpoint.trim_end_matches('/'), connect.workspace_id);
        Ok(Self { http, url, token })
    }

    async fn ask(&self, kql: &str) -> Result<Answer, QueryError> {
        let broken = |why: reqwest::Error| QueryError::Run(model::chain(&why));
        let sent =
            self.http.post(&self.url).bearer_auth(self.token.reveal()).json(&json!({ "query": kql })).send().await.map_err(broken)?;
        let answer: Json = sent.json().await.map_err(broken)?;
        if let Some(error) = answer.get("error").filter(|_| answer.get("tables").is_none()) {
            // The innermost message is the one that says what is wrong.
            let mut inner = error;
            while let Some(deeper) = inner.get("innererror").filter(|deeper| deeper["message"].is_string()) {
                inner = deeper;
            }
            return Err(QueryError::Run(inner["message"].as_str().unwrap_or("the service gives no reason").to_owned()));
        }
        let none = || QueryError::Run("the service answers no table".to_owned());
        let tables = answer["tables"].as_array().ok_or_else(none)?;
        let mut read = tables.iter().map(|table| Some(AnswerTable { name: table["name"].as_str()?.to_owned(), ..read(table)? }));
        let AnswerTable { name, columns, batches } = read.next().flatten().ok_or_else(none)?;
        let more = read.collect::<Option<Vec<_>>>().ok_or_else(none)?;
        Ok(Answer { name: Some(name), columns, batches, more, ..Answer::default() })
    }
}

/// A table of the answer's form.
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
            answer = self.ask(&query.kql) => answer,
        }
    }

    async fn check(&self, _: &Query) -> Result<Option<Vec<Column>>, QueryError> {
        Err(QueryError::Run("the service is asked to run queries only".to_owned()))
    }

    async fn tables_read(&self, _: &Query) -> Result<Vec<TableName>, QueryError> {
        Err(QueryError::Run("the service is asked to run queries only".to_owned()))
    }
}
