//! Stores a JSON body as rows in tables: one request, one append.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use bytes::Bytes;
use model::{
    Ack, Append, AppendError, ByteSize, Catalog, Clock, Column, InlineTable, Limits, Query, QueryClass, QueryEngine, QueryError, Rows,
    Scope, Span, StreamName, TableName, TableSchema, TableWriter, Timestamp, Type, chain, surrogates,
};
use uuid::Uuid;

use crate::bounds::{Memory, beside};
use crate::decode::{BodyError, Misfit, decode, look_over};
use crate::output::{MAX_FIELD, fit, is_blank, repeated, texts};
use crate::rule::{Flow, Rule, RuleError, table_of};

/// The dead-letter table: rows that could not be stored, and notes on rows that were changed.
pub const DEAD_LETTERS: &str = "DCRLogErrors";

/// A request to store records.
#[derive(Clone, Debug)]
pub struct Ingest {
    /// The rule's immutable id.
    pub rule: String,
    pub stream: String,
    /// JSON, decompressed.
    pub body: Bytes,
    /// The sender's idempotency key: a repeated batch is not stored again.
    pub key: Option<String>,
    pub client_request_id: Option<String>,
    /// `CorrelationId` of the dead letters: the request ID, also returned to the sender.
    pub correlation_id: Uuid,
}

/// Result of an ingest request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingested {
    pub ack: Ack,
    /// Rows stored in tables, over all flows.
    pub rows: usize,
    /// Records written to the dead-letter table.
    pub dead: usize,
}

/// Why nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    #[error("there is no data collection rule with the immutable id `{0}`")]
    UnknownRule(String),
    #[error("data collection rule `{rule}` has no stream `{stream}`")]
    UnknownStream { rule: String, stream: String },
    #[error(transparent)]
    Body(#[from] BodyError),
    /// Temporarily overloaded; retry later.
    #[error("records are not taken now: {reason}; try again in {retry_after_seconds} s")]
    Busy { reason: String, retry_after_seconds: u64 },
    #[error("cannot store the records")]
    Store(#[source] AppendError),
}

/// The ingest pipeline with its data collection rules.
pub struct Pipeline {
    engine: Arc<dyn QueryEngine>,
    writer: Arc<dyn TableWriter>,
    catalog: Arc<dyn Catalog>,
    clock: Arc<dyn Clock>,
    rules: RwLock<HashMap<String, Arc<Rule>>>,
    memory: Memory,
}

/// Azure Monitor's time limit for a transform is 20 seconds.
const TRANSFORM_TIME: Span = Span(20 * model::TICKS_PER_SECOND);

impl Pipeline {
    pub fn new(engine: Arc<dyn QueryEngine>, writer: Arc<dyn TableWriter>, catalog: Arc<dyn Catalog>, clock: Arc<dyn Clock>) -> Self {
        Self { engine, writer, catalog, clock, rules: RwLock::default(), memory: Memory::default() }
    }

    /// Replaces all rules, keyed by immutable ID.
    pub fn set_rules(&self, rules: impl IntoIterator<Item = (String, Rule)>) {
        let rules = rules.into_iter().map(|(id, rule)| (id.to_ascii_lowercase(), Arc::new(rule))).collect();
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    pub fn put_rule(&self, immutable_id: &str, rule: Rule) {
        self.rules.write().unwrap_or_else(PoisonError::into_inner).insert(immutable_id.to_ascii_lowercase(), Arc::new(rule));
    }

    pub fn remove_rule(&self, immutable_id: &str) {
        self.rules.write().unwrap_or_else(PoisonError::into_inner).remove(&immutable_id.to_ascii_lowercase());
    }

    pub fn rule(&self, immutable_id: &str) -> Option<Arc<Rule>> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).get(&immutable_id.to_ascii_lowercase()).cloned()
    }

    /// Semantic errors of a rule: missing tables, invalid transforms, transforms whose output has no column of the table.
    pub async fn check(&self, rule: &Rule) -> Vec<RuleError> {
        let mut errors = Vec::new();
        for (n, flow) in rule.flows.iter().enumerate() {
            let path = |field: &str| format!("properties.dataFlows[{n}].{field}");
            let Some(table) = self.catalog.table(flow.output.as_str()) else {
                errors.push(RuleError {
                    path: path("outputStream"),
                    problem: format!("names table `{}`, which does not exist", flow.output),
                });
                continue;
            };
            let (Some(transform), Some(stream)) = (&flow.transform, flow.streams.first()) else { continue };
            let Some(columns) = self.columns(rule, stream.as_str()) else { continue };
            let source = RecordBatch::new_empty(model::arrow_schema(&columns));
            match self.engine.check(&self.query(transform, columns, source, self.clock.now())).await {
                Ok(Some(columns)) if !columns.iter().any(|column| table.column(&column.name).is_some()) => {
                    let problem = format!("gives no column that table `{}` has", flow.output);
                    errors.push(RuleError { path: path("transformKql"), problem });
                }
                Ok(_) => {}
                Err(QueryError::Wrong(diagnostics)) => {
                    let problems = diagnostics.iter().map(|one| format!("is wrong at offset {}: {}", one.start, one.message));
                    errors.extend(problems.map(|problem| RuleError { path: path("transformKql"), problem }));
                }
                Err(error) => errors.push(RuleError { path: path("transformKql"), problem: chain(&error) }),
            }
        }
        errors
    }

    /// Stores the records of a body: all flows and dead letters in one append, durable and visible on return.
    pub async fn ingest(&self, ingest: Ingest) -> Result<Ingested, IngestError> {
        let rule = self.rule(&ingest.rule).ok_or_else(|| IngestError::UnknownRule(ingest.rule.clone()))?;
        let unknown = || IngestError::UnknownStream { rule: ingest.rule.clone(), stream: ingest.stream.clone() };
        if rule.flows_of(&ingest.stream).next().is_none() {
            return Err(unknown());
        }
        let columns = self.columns(&rule, &ingest.stream).ok_or_else(unknown)?;
        let now = self.clock.now();
        let survey = beside(ingest.body.len(), || look_over(&ingest.body, columns.len()))?;
        let held = self.memory.hold(&survey, ingest.body.len(), columns.len()).await;
        let busy = || IngestError::Busy { reason: "other uploads hold all memory for rows".to_owned(), retry_after_seconds: 5 };
        let _held = held.ok_or_else(busy)?;
        let body = beside(ingest.body.len(), || surrogates::replaced(&ingest.body));
        let decoded = beside(body.len(), || decode(&body, &columns))?;
        metrics::counter!("bartizan_pipeline_records_total").increment((decoded.records.len() + decoded.misfits.len()) as u64);
        metrics::counter!("bartizan_pipeline_members_unknown_total").increment(decoded.unknown);

        let mut letters = Letters::default();
        letters.misfits(&decoded.misfits);
        letters.notes.extend(decoded.notes.iter().cloned());
        let mut rows = Vec::new();
        for flow in rule.flows_of(&ingest.stream) {
            match self.run(flow, &columns, &decoded.batch, now).await? {
                Ok((batches, notes)) => {
                    letters.notes.extend(notes.into_iter().map(|note| format!("table `{}`: {note}", flow.output)));
                    rows.extend(batches.into_iter().map(|batch| Rows { table: flow.output.clone(), batch }));
                }
                Err(reason) => letters.all(&decoded.records, &reason),
            }
        }
        let stored = rows.iter().map(|part| part.batch.num_rows()).sum();
        let dead = letters.records.len();
        if let Some(batch) = letters.batch(&ingest, rule.resource_id.as_deref(), now) {
            rows.push(Rows { table: TableName::new(DEAD_LETTERS), batch });
        }
        metrics::counter!("bartizan_pipeline_dead_letters_total").increment(dead as u64);
        let key = ingest.key.as_ref().map(|key| beside(ingest.body.len(), || batch_key(&ingest, key)));
        let ack = self.writer.append(Append { rows, key, position: None }).await.map_err(|error| match error {
            AppendError::Busy { reason, retry_after_seconds } => IngestError::Busy { reason: reason.to_owned(), retry_after_seconds },
            error => IngestError::Store(error),
        })?;
        Ok(Ingested { ack, rows: stored, dead })
    }

    /// The columns of a stream: as declared, or those of the table that a `Microsoft-` stream refers to.
    fn columns(&self, rule: &Rule, stream: &str) -> Option<Vec<Column>> {
        if let Some(columns) = rule.streams.get(&StreamName::new(stream)) {
            return Some(columns.clone());
        }
        let table = table_of(stream).filter(|_| stream.starts_with("Microsoft-"))?;
        self.catalog.table(table).map(|table| table.columns.clone())
    }

    /// Runs a flow. The inner error is permanent: its records can never be stored.
    async fn run(
        &self,
        flow: &Flow,
        columns: &[Column],
        batch: &RecordBatch,
        now: Timestamp,
    ) -> Result<Result<Output, String>, IngestError> {
        let Some(table) = self.catalog.table(flow.output.as_str()) else {
            return Ok(Err(format!("there is no table `{}`", flow.output)));
        };
        if batch.num_rows() == 0 {
            return Ok(Ok(Output::default()));
        }
        let blank =
            |columns: &[Column]| is_blank(&table, columns).then(|| format!("no column of the records is in table `{}`", flow.output));
        let Some(transform) = &flow.transform else {
            return Ok(blank(columns).map_or_else(|| Ok(fit_all(&table, columns, std::slice::from_ref(batch), now)), Err));
        };
        match self.engine.query(self.query(transform, columns.to_vec(), batch.clone(), now)).await {
            Ok(answer) => match &answer.partial {
                None => Ok(blank(&answer.columns).map_or_else(|| Ok(fit_all(&table, &answer.columns, &answer.batches, now)), Err)),
                Some(limit) => Ok(Err(format!("the transform stopped: {}", chain(limit)))),
            },
            Err(
                error @ (QueryError::Time(_)
                | QueryError::Memory(_)
                | QueryError::SharedMemory(_)
                | QueryError::Disk(_)
                | QueryError::Busy(_)
                | QueryError::Cancelled),
            ) => Err(IngestError::Busy { reason: format!("the transform stopped: {}", chain(&error)), retry_after_seconds: 5 }),
            Err(error) => Ok(Err(format!("the transform failed: {}", chain(&error)))),
        }
    }

    fn query(&self, transform: &str, columns: Vec<Column>, batch: RecordBatch, now: Timestamp) -> Query {
        let source = InlineTable { schema: TableSchema::new("source", columns), batches: vec![batch] };
        let scope = Scope { now: Some(now), tables: vec![Arc::new(source)], inline_only: true, ..Scope::default() };
        let limits = Limits {
            time: Some(TRANSFORM_TIME),
            rows: Some(10_000_000),
            bytes: Some(ByteSize(1 << 30)),
            memory: Some(ByteSize(512 << 20)),
        };
        Query { limits, class: QueryClass::Transform, ..Query::new(transform) }.with_scope(scope)
    }
}

/// The deduplication key: the sender's key combined with rule, stream and a hash of the body. Some clients send the same request ID with
/// every part of a large upload; with the ID alone, all parts but the first would be acknowledged and lost.
fn batch_key(ingest: &Ingest, key: &str) -> String {
    let content = Uuid::new_v5(&Uuid::NAMESPACE_OID, &ingest.body);
    format!("{}\n{}\n{content}\n{key}", ingest.rule.to_ascii_lowercase(), ingest.stream)
}

type Output = (Vec<RecordBatch>, Vec<String>);

fn fit_all(table: &TableSchema, columns: &[Column], batches: &[RecordBatch], now: Timestamp) -> Output {
    let (mut fitted, mut notes) = (Vec::new(), Vec::new());
    for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
        let one = fit(table, columns, batch, now);
        metrics::counter!("bartizan_pipeline_columns_dropped_total").increment(one.dropped.len() as u64);
        notes.extend(one.notes);
        fitted.push(one.batch);
    }
    (fitted, notes)
}

/// Rows for the dead-letter table.
#[derive(Default)]
struct Letters {
    /// Each record with the reason.
    records: Vec<(String, String)>,
    /// Changes made to stored rows.
    notes: Vec<String>,
}

impl Letters {
    fn misfits(&mut self, misfits: &[Misfit<'_>]) {
        self.records.extend(misfits.iter().map(|misfit| (cut(misfit.record), misfit.reason.clone())));
    }

    fn all(&mut self, records: &[&str], reason: &str) {
        self.records.extend(records.iter().map(|record| (cut(record), reason.to_owned())));
    }

    fn batch(&self, ingest: &Ingest, resource_id: Option<&str>, now: Timestamp) -> Option<RecordBatch> {
        let entries = self.records.iter().map(|(record, reason)| ("Ingest", record.as_str(), reason.as_str()));
        let entries: Vec<_> = entries.chain(self.notes.iter().map(|note| ("Note", "", note.as_str()))).collect();
        if entries.is_empty() {
            return None;
        }
        // Shared values are stored once.
        let every = |value: &str| repeated(value, entries.len());
        let correlation = ingest.correlation_id.to_string();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("TimeGenerated", Arc::new(Int64Array::from_value(now.ticks(), entries.len()))),
            ("OperationName", texts(entries.iter().map(|entry| entry.0))),
            ("Record_CF", texts(entries.iter().map(|entry| entry.1))),
            ("Message", texts(entries.iter().map(|entry| entry.2))),
            ("InputStreamId", every(&ingest.stream)),
            ("CorrelationId", every(&correlation)),
            ("ClientRequestId", every(ingest.client_request_id.as_deref().unwrap_or_default())),
            ("_ResourceId", every(resource_id.unwrap_or(&ingest.rule))),
        ];
        let fields: Vec<Column> = columns.iter().map(|(name, _)| Column::new(*name, letter_type(name))).collect();
        RecordBatch::try_new(model::arrow_schema(&fields), columns.into_iter().map(|(_, array)| array).collect()).ok()
    }
}

fn letter_type(column: &str) -> Type {
    if column == "TimeGenerated" { Type::Datetime } else { Type::String }
}

fn cut(record: &str) -> String {
    record[..record.floor_char_boundary(MAX_FIELD)].to_owned()
}
