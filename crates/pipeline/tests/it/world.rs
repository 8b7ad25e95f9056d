//! In-memory implementations of the pipeline's ports.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int32Type;
use async_trait::async_trait;
use futures::stream::BoxStream;
use model::{
    Ack, Answer, Append, AppendError, Arrival, Catalog, CatalogError, Clock, Column, Query, QueryEngine, QueryError, Span, TableName,
    TableSchema, TableWriter, Timestamp, Type,
};
use pipeline::{Ingest, Pipeline, Rule};
use serde_json::{Value, json};

pub const RULE: &str = "dcr-00000000000000000000000000000001";

/// Tables that record appends, an engine that knows three transforms, and a fixed clock.
#[derive(Default)]
pub struct World {
    pub appends: Mutex<Vec<Append>>,
    pub full: AtomicBool,
}

impl World {
    /// The rows of a table over all appends, one string per row: the named columns joined by `|`.
    pub fn rows(&self, table: &str, columns: &[&str]) -> Vec<String> {
        let appends = self.appends.lock().unwrap();
        let parts = appends.iter().flat_map(|append| &append.rows).filter(|rows| rows.table.as_str() == table);
        parts.flat_map(|rows| (0..rows.batch.num_rows()).map(|row| show(&rows.batch, row, columns)).collect::<Vec<_>>()).collect()
    }
}

fn show(batch: &RecordBatch, row: usize, columns: &[&str]) -> String {
    let cells = columns.iter().map(|name| match batch.column_by_name(name) {
        None => "-".to_owned(),
        Some(array) => arrow::util::display::array_value_to_string(array, row).unwrap(),
    });
    cells.collect::<Vec<_>>().join("|")
}

#[async_trait]
impl TableWriter for World {
    async fn append(&self, append: Append) -> Result<Ack, AppendError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(AppendError::Busy { reason: "the disk is full", retry_after_seconds: 10 });
        }
        let mut appends = self.appends.lock().unwrap();
        appends.push(append);
        Ok(Ack { sequence: appends.len() as u64, ingested: self.now(), duplicate: false })
    }

    fn position(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
}

#[async_trait]
impl Catalog for World {
    fn table(&self, name: &str) -> Option<Arc<TableSchema>> {
        let columns: &[(&str, Type)] = match name {
            "T_CL" => &[("TimeGenerated", Type::Datetime), ("n", Type::Long), ("Who", Type::String), ("Raw", Type::Dynamic)],
            "Syslog" => &[("TimeGenerated", Type::Datetime), ("SyslogMessage", Type::String)],
            "DCRLogErrors" => &[
                ("TimeGenerated", Type::Datetime),
                ("OperationName", Type::String),
                ("Message", Type::String),
                ("Record_CF", Type::String),
                ("InputStreamId", Type::String),
                ("CorrelationId", Type::String),
                ("ClientRequestId", Type::String),
                ("_ResourceId", Type::String),
            ],
            _ => return None,
        };
        Some(Arc::new(TableSchema::new(name, columns.iter().map(|(name, ty)| Column::new(*name, *ty)).collect())))
    }

    fn tables(&self) -> Vec<Arc<TableSchema>> {
        Vec::new()
    }

    async fn define(&self, name: &TableName, _: Vec<Column>) -> Result<Arc<TableSchema>, CatalogError> {
        Err(CatalogError::NoTable(name.clone()))
    }

    async fn drop_table(&self, name: &TableName) -> Result<(), CatalogError> {
        Err(CatalogError::NoTable(name.clone()))
    }

    async fn set_retention(&self, name: &TableName, _: Option<Span>) -> Result<(), CatalogError> {
        Err(CatalogError::NoTable(name.clone()))
    }

    fn retention(&self, _: &str) -> Option<Span> {
        None
    }

    fn arrivals(&self) -> BoxStream<'static, Arrival> {
        Box::pin(futures::stream::empty())
    }

    fn complete_until(&self) -> Timestamp {
        self.now()
    }
}

#[async_trait]
impl Clock for World {
    fn now(&self) -> Timestamp {
        Timestamp::parse_iso("2026-03-01T12:00:00Z").unwrap()
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    async fn sleep(&self, _: Span) {}
}

#[async_trait]
impl QueryEngine for World {
    async fn query(&self, query: Query) -> Result<Answer, QueryError> {
        assert!(query.scope.inline_only && query.scope.now == Some(self.now()));
        let source = query.scope.tables.iter().find(|table| table.schema.name.as_str() == "source").unwrap();
        match query.kql.as_str() {
            "source | where n > 0" => {
                let batch = &source.batches[0];
                let positive =
                    batch.column_by_name("n").unwrap().as_primitive::<Int32Type>().iter().map(|n| Some(n.is_some_and(|n| n > 0))).collect();
                let kept = filter_record_batch(batch, &positive).unwrap();
                Ok(Answer { columns: source.schema.columns.clone(), batches: vec![kept], ..Answer::default() })
            }
            "source | count them" => {
                let count = Arc::new(arrow::array::Int64Array::from(vec![2]));
                let columns = vec![Column::new("Count", Type::Long)];
                let batch = RecordBatch::try_new(model::arrow_schema(&columns), vec![count]).unwrap();
                Ok(Answer { columns, batches: vec![batch], ..Answer::default() })
            }
            "source | extend boom = 1 / n" => Err(QueryError::Run("it went boom".to_owned())),
            _ => Err(QueryError::Memory(model::ByteSize(1))),
        }
    }

    async fn check(&self, query: &Query) -> Result<Option<Vec<Column>>, QueryError> {
        let diagnostic = |start: usize| model::Diagnostic {
            code: "KQL0001",
            kind: model::DiagnosticKind::Syntax,
            message: "what is this".to_owned(),
            help: None,
            start,
            end: start + 1,
        };
        match query.kql.as_str() {
            "source | nonsense" => Err(QueryError::Wrong(vec![diagnostic(9)])),
            "source | project Nothing" => Ok(Some(vec![Column::new("Nothing", Type::Int)])),
            _ => Ok(Some(query.scope.tables[0].schema.columns.clone())),
        }
    }

    async fn tables_read(&self, _: &Query) -> Result<Vec<TableName>, QueryError> {
        Ok(Vec::new())
    }
}

/// A rule with one stream and the given flows (transform, output).
pub fn rule(flows: &[(&str, &str)]) -> Rule {
    let flow = |(transform, output): &(&str, &str)| json!({"streams": ["Custom-S"], "destinations": ["la"], "transformKql": transform, "outputStream": output});
    let properties = json!({
        "streamDeclarations": {"Custom-S": {"columns": [
            {"name": "TimeGenerated", "type": "datetime"}, {"name": "n", "type": "int"}, {"name": "Who", "type": "string"}, {"name": "Raw", "type": "dynamic"}]}},
        "destinations": {"logAnalytics": [{"workspaceResourceId": "/subscriptions/x", "name": "la"}]},
        "dataFlows": flows.iter().map(flow).collect::<Vec<Value>>()
    });
    Rule::parse(properties.as_object().unwrap()).unwrap()
}

pub fn pipeline(flows: &[(&str, &str)]) -> (Arc<World>, Pipeline) {
    let world = Arc::new(World::default());
    let pipeline = Pipeline::new(world.clone(), world.clone(), world.clone(), world.clone());
    pipeline.put_rule(RULE, rule(flows));
    (world, pipeline)
}

pub fn upload(body: &str) -> Ingest {
    Ingest {
        rule: RULE.to_owned(),
        stream: "Custom-S".to_owned(),
        body: body.to_owned().into(),
        key: Some("request 1".to_owned()),
        client_request_id: Some("request 1".to_owned()),
        correlation_id: uuid::Uuid::from_u128(17),
    }
}
