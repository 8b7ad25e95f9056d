//! Rows of the dead-letter table: records that could not be stored, and notes on rows that were changed.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use model::{Column, Timestamp, Type};

use crate::decode::Misfit;
use crate::output::{MAX_FIELD, repeated, texts};

/// What all letters of one request share.
pub struct About<'a> {
    /// The resource id of the data collection rule, or its name.
    pub resource: &'a str,
    pub correlation: &'a str,
    pub client_request: &'a str,
}

struct Letter {
    stream: Arc<str>,
    record: String,
    message: String,
}

/// Letters of one request.
#[derive(Default)]
pub struct Letters {
    records: Vec<Letter>,
    /// What was changed in rows that were stored.
    notes: Vec<Letter>,
}

impl Letters {
    /// Records kept here because they could not be stored in their table.
    pub fn dead(&self) -> usize {
        self.records.len()
    }

    pub fn misfits(&mut self, stream: &str, misfits: &[Misfit<'_>]) {
        let stream: Arc<str> = stream.into();
        let letters =
            misfits.iter().map(|misfit| Letter { stream: stream.clone(), record: cut(misfit.record), message: misfit.reason.clone() });
        self.records.extend(letters);
    }

    /// Records that all failed for the same reason.
    pub fn records<'r>(&mut self, stream: &str, records: impl IntoIterator<Item = &'r str>, reason: &str) {
        let stream: Arc<str> = stream.into();
        let letters = records.into_iter().map(|record| Letter { stream: stream.clone(), record: cut(record), message: reason.to_owned() });
        self.records.extend(letters);
    }

    pub fn notes(&mut self, stream: &str, notes: impl IntoIterator<Item = String>) {
        let stream: Arc<str> = stream.into();
        let letters = notes.into_iter().map(|message| Letter { stream: stream.clone(), record: String::new(), message });
        self.notes.extend(letters);
    }

    /// The rows, or none where there is no letter.
    pub fn batch(&self, about: &About<'_>, now: Timestamp) -> Option<RecordBatch> {
        let letters = || {
            let records = self.records.iter().map(|letter| ("Ingest", letter));
            records.chain(self.notes.iter().map(|letter| ("Note", letter)))
        };
        let rows = self.records.len() + self.notes.len();
        if rows == 0 {
            return None;
        }
        let every = |value: &str| repeated(value, rows);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("TimeGenerated", Arc::new(Int64Array::from_value(now.ticks(), rows))),
            ("OperationName", texts(letters().map(|(operation, _)| operation))),
            ("Record_CF", texts(letters().map(|(_, letter)| letter.record.as_str()))),
            ("Message", texts(letters().map(|(_, letter)| letter.message.as_str()))),
            ("InputStreamId", texts(letters().map(|(_, letter)| &*letter.stream))),
            ("CorrelationId", every(about.correlation)),
            ("ClientRequestId", every(about.client_request)),
            ("_ResourceId", every(about.resource)),
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
