//! Stores a JSON body as rows in tables: one request, one append.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use arrow::array::RecordBatch;
use bytes::Bytes;
use model::{
    Ack, Append, AppendError, ByteSize, Catalog, Clock, Column, InlineTable, Limits, Query, QueryClass, QueryEngine, QueryError, Rows,
    Scope, Span, StreamName, TableName, TableSchema, TableWriter, Timestamp, chain, surrogates,
};
use uuid::Uuid;

use crate::bounds::{Memory, beside};
use crate::decode::{BodyError, decode, look_over};
use crate::letters::{About, Letters};
use crate::output::{Times, fit, is_blank};
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
    pub(crate) writer: Arc<dyn TableWriter>,
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) clock: Arc<dyn Clock>,
    rules: RwLock<HashMap<String, Arc<Rule>>>,
    pub(crate) memory: Memory,
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

    /// The rule whose resource has this name, in any case.
    pub fn rule_named(&self, name: &str) -> Option<Arc<Rule>> {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        let is = |rule: &&Arc<Rule>| rule.name().is_some_and(|known| known.eq_ignore_ascii_case(name));
        rules.values().find(is).cloned()
    }

    /// What is wrong with a rule beyond its shape: tables that do not exist, transforms that are wrong or give nothing the table has.
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
        letters.misfits(&ingest.stream, &decoded.misfits);
        letters.notes(&ingest.stream, decoded.notes.iter().cloned());
        let times = if rule.lenient { Times::All(now) } else { Times::Recent(now) };
        let mut rows = Vec::new();
        for flow in rule.flows_of(&ingest.stream) {
            match self.run(flow, &columns, &decoded.batch, times).await? {
                Ok((batches, notes)) => {
                    letters.notes(&ingest.stream, notes.into_iter().map(|note| format!("table `{}`: {note}", flow.output)));
                    rows.extend(batches.into_iter().map(|batch| Rows { table: flow.output.clone(), batch }));
                }
                Err(reason) => letters.records(&ingest.stream, decoded.records.iter().copied(), &reason),
            }
        }
        let stored = rows.iter().map(|part| part.batch.num_rows()).sum();
        let dead = letters.dead();
        let about = About {
            resource: rule.resource_id.as_deref().unwrap_or(&ingest.rule),
            correlation: &ingest.correlation_id.to_string(),
            client_request: ingest.client_request_id.as_deref().unwrap_or_default(),
        };
        if let Some(batch) = letters.batch(&about, now) {
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

    /// The columns of a stream: as declared, or those of the table that a `Microsoft-` stream stands for.
    pub(crate) fn columns(&self, rule: &Rule, stream: &str) -> Option<Vec<Column>> {
        if let Some(columns) = rule.streams.get(&StreamName::new(stream)) {
            return Some(columns.clone());
        }
        let table = table_of(stream).filter(|_| stream.starts_with("Microsoft-"))?;
        self.catalog.table(table).map(|table| table.columns.clone())
    }

    /// Runs a flow. The inner error is why its records cannot be stored and never will.
    pub(crate) async fn run(
        &self,
        flow: &Flow,
        columns: &[Column],
        batch: &RecordBatch,
        times: Times,
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
            return Ok(blank(columns).map_or_else(|| Ok(fit_all(&table, columns, std::slice::from_ref(batch), times)), Err));
        };
        match self.engine.query(self.query(transform, columns.to_vec(), batch.clone(), times.now())).await {
            Ok(answer) => match &answer.partial {
                None => Ok(blank(&answer.columns).map_or_else(|| Ok(fit_all(&table, &answer.columns, &answer.batches, times)), Err)),
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

fn fit_all(table: &TableSchema, columns: &[Column], batches: &[RecordBatch], times: Times) -> Output {
    let (mut fitted, mut notes) = (Vec::new(), Vec::new());
    for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
        let one = fit(table, columns, batch, times);
        metrics::counter!("bartizan_pipeline_columns_dropped_total").increment(one.dropped.len() as u64);
        notes.extend(one.notes);
        fitted.push(one.batch);
    }
    (fitted, notes)
}
