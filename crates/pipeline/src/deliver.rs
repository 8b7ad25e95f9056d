//! Deliveries of sources: the same rules, transforms and dead letters as uploads, and the position of the source in the same append.
//!
//! Unlike an upload, a source may hand over rows that are typed already, and times of any age: one that asks a vendor for last month's
//! events stores them under last month.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use model::{
    Append, AppendError, Column, Delivered, Delivery, DeliveryError, Records, Route, Rows, StreamName, StreamRecords, StreamSink,
    TableName, chain, surrogates,
};

use crate::bounds::beside;
use crate::decode::{decode, look_over};
use crate::letters::{About, Letters};
use crate::output::Times;
use crate::pipeline::{DEAD_LETTERS, IngestError, Pipeline};
use crate::rule::{Flow, Rule, table_of};

#[async_trait]
impl StreamSink for Pipeline {
    async fn deliver(&self, delivery: Delivery) -> Result<Delivered, DeliveryError> {
        let now = self.clock.now();
        let rule = self.rule_of(&delivery.route)?;
        let (mut rows, mut letters) = (Vec::new(), Letters::default());
        for letter in &delivery.dead_letters {
            letters.records(&letter.stream, [letter.record.as_str()], &letter.reason);
        }
        for part in &delivery.records {
            let flows = flows(rule.as_deref(), &delivery.route, &part.stream)?;
            self.part(rule.as_deref(), &flows, part, Times::All(now), &mut rows, &mut letters).await?;
        }
        let stored = rows.iter().map(|part| part.batch.num_rows()).sum();
        let dead = letters.dead();
        let about = About {
            resource: rule.as_ref().and_then(|rule| rule.resource_id.as_deref()).unwrap_or(&delivery.source),
            correlation: "",
            client_request: "",
        };
        if let Some(batch) = letters.batch(&about, now) {
            rows.push(Rows { table: TableName::new(DEAD_LETTERS), batch });
        }
        metrics::counter!("bartizan_pipeline_dead_letters_total").increment(dead as u64);
        let position = delivery.position.map(|position| (delivery.source, position));
        let ack = self.writer.append(Append { rows, key: delivery.key, position }).await.map_err(|error| match error {
            AppendError::Busy { reason, retry_after_seconds } => DeliveryError::Busy { reason: reason.to_owned(), retry_after_seconds },
            AppendError::Closed => DeliveryError::Closed,
            error => DeliveryError::Store(Box::new(error)),
        })?;
        Ok(Delivered { ack, rows: stored, dead })
    }

    fn position(&self, source: &str) -> Option<Vec<u8>> {
        self.writer.position(source)
    }

    async fn check(&self, route: &Route, streams: &[StreamName]) -> Vec<String> {
        let rule = match self.rule_of(route) {
            Ok(rule) => rule,
            Err(error) => return vec![error.to_string()],
        };
        if rule.is_some() && !route.transforms.is_empty() {
            return vec!["`transforms` are used where no `data_collection_rule` is named; write them into the rule".to_owned()];
        }
        let unknown = route.transforms.keys().find(|named| !streams.contains(named));
        if let Some(named) = unknown {
            let known: Vec<&str> = streams.iter().map(StreamName::as_str).collect();
            return vec![format!("`transforms` names stream `{named}`; the source has {}", known.join(", "))];
        }
        let mut problems = Vec::new();
        for stream in streams {
            match flows(rule.as_deref(), route, stream) {
                // A rule may leave streams out: they are refused when they come, and the source says so.
                Err(_) if rule.is_some() => {}
                Err(error) => problems.push(error.to_string()),
                Ok(flows) => {
                    let streams = rule.as_ref().map(|rule| rule.streams.clone()).unwrap_or_default();
                    let errors = Pipeline::check(self, &Rule { streams, flows, resource_id: None, lenient: true }).await;
                    problems.extend(errors.into_iter().map(|error| format!("stream `{stream}`: {}", error.problem)));
                }
            }
        }
        problems
    }
}

impl Pipeline {
    fn rule_of(&self, route: &Route) -> Result<Option<Arc<Rule>>, DeliveryError> {
        let Some(name) = &route.data_collection_rule else { return Ok(None) };
        let unknown = || DeliveryError::Refused(format!("there is no data collection rule `{name}`"));
        self.rule(name).or_else(|| self.rule_named(name)).ok_or_else(unknown).map(Some)
    }

    /// The records of one stream, through all its flows.
    async fn part(
        &self,
        rule: Option<&Rule>,
        flows: &[Flow],
        part: &StreamRecords,
        times: Times,
        rows: &mut Vec<Rows>,
        letters: &mut Letters,
    ) -> Result<(), DeliveryError> {
        let stream = part.stream.as_str();
        match &part.records {
            Records::Rows(columns, batch) => {
                metrics::counter!("bartizan_pipeline_records_total").increment(batch.num_rows() as u64);
                let completed = self.completed(flows, stream, columns, batch);
                let (columns, batch) = completed.as_ref().map_or((columns, batch), |(columns, batch)| (columns, batch));
                for flow in flows {
                    let reason = match self.run(flow, columns, batch, times).await.map_err(refusal)? {
                        Ok((batches, notes)) => {
                            letters.notes(stream, notes.into_iter().map(|note| format!("table `{}`: {note}", flow.output)));
                            rows.extend(batches.into_iter().map(|batch| Rows { table: flow.output.clone(), batch }));
                            continue;
                        }
                        Err(reason) => reason,
                    };
                    let records: Vec<String> = (0..batch.num_rows()).map(|row| shown(columns, batch, row)).collect();
                    letters.records(stream, records.iter().map(String::as_str), &reason);
                }
            }
            Records::Json(body) => {
                let columns = self.stream_columns(rule, flows, stream)?;
                let survey =
                    beside(body.len(), || look_over(body, columns.len())).map_err(|error| DeliveryError::Refused(chain(&error)))?;
                let held = self.memory.hold(&survey, body.len(), columns.len()).await;
                let busy = || DeliveryError::Busy { reason: "other uploads hold all memory for rows".to_owned(), retry_after_seconds: 5 };
                let _held = held.ok_or_else(busy)?;
                let body = beside(body.len(), || surrogates::replaced(body));
                let decoded = beside(body.len(), || decode(&body, &columns)).map_err(|error| DeliveryError::Refused(chain(&error)))?;
                metrics::counter!("bartizan_pipeline_records_total").increment((decoded.records.len() + decoded.misfits.len()) as u64);
                metrics::counter!("bartizan_pipeline_members_unknown_total").increment(decoded.unknown);
                letters.misfits(stream, &decoded.misfits);
                letters.notes(stream, decoded.notes.iter().cloned());
                for flow in flows {
                    match self.run(flow, &columns, &decoded.batch, times).await.map_err(refusal)? {
                        Ok((batches, notes)) => {
                            letters.notes(stream, notes.into_iter().map(|note| format!("table `{}`: {note}", flow.output)));
                            rows.extend(batches.into_iter().map(|batch| Rows { table: flow.output.clone(), batch }));
                        }
                        Err(reason) => letters.records(stream, decoded.records.iter().copied(), &reason),
                    }
                }
            }
        }
        Ok(())
    }

    /// The rows with all columns of the stream's table, where a transform reads them: a source leaves out columns that no record filled.
    fn completed(&self, flows: &[Flow], stream: &str, columns: &[Column], batch: &RecordBatch) -> Option<(Vec<Column>, RecordBatch)> {
        if flows.iter().all(|flow| flow.transform.is_none()) {
            return None;
        }
        let table = self.catalog.table(table_of(stream)?)?;
        let (mut all, mut arrays) = (columns.to_vec(), batch.columns().to_vec());
        for column in table.columns.iter().filter(|column| columns.iter().all(|known| known.name != column.name)) {
            arrays.push(kql::Value::array(&vec![kql::Value::null(column.ty); batch.num_rows()], column.ty));
            all.push(column.clone());
        }
        RecordBatch::try_new(model::arrow_schema(&all), arrays).ok().map(|batch| (all, batch))
    }

    /// The columns into which JSON of a stream is read: the rule's, or those of its table.
    fn stream_columns(&self, rule: Option<&Rule>, flows: &[Flow], stream: &str) -> Result<Vec<Column>, DeliveryError> {
        if let Some(columns) = rule.and_then(|rule| self.columns(rule, stream)) {
            return Ok(columns);
        }
        let table = flows.first().and_then(|flow| self.catalog.table(flow.output.as_str()));
        table.map(|table| table.columns.clone()).ok_or_else(|| DeliveryError::Refused(format!("stream `{stream}` has no table")))
    }
}

/// The flows of a stream: the rule's, or one into the table of the stream's name.
fn flows(rule: Option<&Rule>, route: &Route, stream: &StreamName) -> Result<Vec<Flow>, DeliveryError> {
    // What a source says about itself is no matter of the rule.
    let own = matches!(stream.as_str(), "Microsoft-DCRLogErrors" | "Microsoft-Heartbeat");
    if let Some(rule) = rule.filter(|_| !own) {
        let flows: Vec<Flow> = rule.flows_of(stream.as_str()).cloned().collect();
        let name = route.data_collection_rule.as_deref().unwrap_or_default();
        return match flows.is_empty() {
            true => Err(DeliveryError::Refused(format!("data collection rule `{name}` has no stream `{stream}`"))),
            false => Ok(flows),
        };
    }
    let Some(table) = table_of(stream.as_str()) else {
        return Err(DeliveryError::Refused(format!("stream `{stream}` is neither `Custom-<table>_CL` nor `Microsoft-<table>`")));
    };
    let transform = route.transforms.get(stream).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty() && text != "source");
    Ok(vec![Flow { streams: vec![stream.clone()], transform, output: TableName::new(table) }])
}

fn refusal(error: IngestError) -> DeliveryError {
    match error {
        IngestError::Busy { reason, retry_after_seconds } => DeliveryError::Busy { reason, retry_after_seconds },
        error => DeliveryError::Refused(chain(&error)),
    }
}

/// A row as JSON-like text for a dead letter.
fn shown(columns: &[Column], batch: &RecordBatch, row: usize) -> String {
    let cells = columns.iter().zip(batch.columns()).filter(|(_, array)| !array.is_null(row));
    let cells = cells.map(|(column, array)| {
        let value = arrow::util::display::array_value_to_string(array, row).unwrap_or_default();
        format!("{}: {}", serde_json::Value::from(column.name.as_str()), serde_json::Value::from(value))
    });
    format!("{{{}}}", cells.collect::<Vec<_>>().join(", "))
}
