//! The table `Usage`: the volume each table received per hour, as in Log Analytics.
//!
//! Columns, units and free tables: learn.microsoft.com/azure/azure-monitor/reference/tables/usage and …/logs/cost-logs. Each hour is
//! written exactly once: its rows and the source position (the end of the hour) are in the same log frame.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{Float64Type, Int64Type};
use model::{
    Answer, Append, AppendError, Catalog, Clock, Limits, Query, QueryEngine, QueryError, Rows, Scope, Span, TableName, TableWriter,
    Timestamp, Window, chain,
};
use tokio_util::sync::CancellationToken;

const TABLE: &str = "Usage";
/// Source name of the position.
const SOURCE: &str = "usage";
/// Delay after the end of an hour before it is counted, so that its last rows are visible.
const SETTLE: Span = Span(60 * model::TICKS_PER_SECOND);
const LOOK: Span = Span(30 * model::TICKS_PER_SECOND);
/// After a longer downtime, older hours are skipped.
const MAX_HOURS: i64 = 24;
/// Tables of the Security solution; all others belong to LogManagement.
const SECURITY: [&str; 7] =
    ["SecurityAlert", "SecurityEvent", "SecurityIncident", "SentinelAudit", "SentinelHealth", "ThreatIntelIndicators", "Watchlist"];

/// Why an hour was not written.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    #[error("cannot count the rows of `{0}`")]
    Query(TableName, #[source] QueryError),
    #[error("cannot build the rows")]
    Rows(#[from] arrow::error::ArrowError),
    #[error("cannot store the rows")]
    Append(#[from] AppendError),
}

/// Writes the table `Usage`.
pub struct Usage {
    pub engine: Arc<dyn QueryEngine>,
    pub writer: Arc<dyn TableWriter>,
    pub catalog: Arc<dyn Catalog>,
    pub clock: Arc<dyn Clock>,
}

/// Volume of one table in an hour.
#[derive(Clone, Debug, PartialEq)]
struct Received {
    table: TableName,
    rows: i64,
    bytes: f64,
}

impl Usage {
    /// Writes each hour after it ends, until cancelled.
    pub async fn run(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(error) = self.activate().await {
                tracing::warn!(error = chain(&error), "the table Usage is behind; trying again");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clock.sleep(LOOK) => {}
            }
        }
    }

    /// Writes all ended hours not written yet; returns how many.
    pub async fn activate(&self) -> Result<usize, UsageError> {
        let written = self.writer.position(SOURCE).and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok());
        let hours = due(written.map(Timestamp::clamp_ticks), self.clock.now());
        for hour in &hours {
            self.write(*hour).await?;
        }
        Ok(hours.len())
    }

    async fn write(&self, hour: Window) -> Result<(), UsageError> {
        let mut received = Vec::new();
        for table in self.catalog.table_sizes().into_iter().filter(|table| table.rows > 0) {
            // Skip `Usage` itself, which would otherwise grow with its own rows.
            if table.name.as_str() == TABLE {
                continue;
            }
            // Ingestion-time windows are open on the left.
            let window = Window { from: hour.from - Span(1), until: hour.until - Span(1) };
            let scope = Scope { ingested: Some(window), ..Scope::default() };
            let kql = format!("['{}'] | summarize Rows = count(), Bytes = sum(estimate_data_size(*))", table.name);
            let mut query = Query::new(kql).with_scope(scope);
            query.limits = Limits { time: Some(Span::seconds(60)), ..Limits::default() };
            let answer = self.engine.query(query).await.map_err(|error| UsageError::Query(table.name.clone(), error))?;
            received.extend(read(table.name, &answer).filter(|received| received.rows > 0));
        }
        let rows =
            if received.is_empty() { Vec::new() } else { vec![Rows { table: TableName::new(TABLE), batch: batch(&received, hour)? }] };
        let position = hour.until.ticks().to_string();
        let append = Append { rows, key: Some(format!("{SOURCE}/{position}")), position: Some((SOURCE.to_owned(), position.into_bytes())) };
        self.writer.append(append).await?;
        Ok(())
    }
}

/// The full hours that ended since `written`, oldest first. On the first start, the current hour is the first to be written.
fn due(written: Option<Timestamp>, now: Timestamp) -> Vec<Window> {
    let hour = Span::HOUR.ticks();
    let settled = (now - SETTLE).ticks().div_euclid(hour);
    let first = match written {
        Some(written) => written.ticks().div_euclid(hour).max(settled - MAX_HOURS),
        None => settled - 1,
    };
    let at = |hours: i64| Timestamp::clamp_ticks(hours * hour);
    (first..settled).map(|hours| Window { from: at(hours), until: at(hours + 1) }).collect()
}

fn read(table: TableName, answer: &Answer) -> Option<Received> {
    let batch = answer.batches.iter().find(|batch| batch.num_rows() > 0)?;
    let rows = batch.column(0).as_primitive_opt::<Int64Type>()?.value(0);
    let bytes = batch.column(1);
    let bytes = bytes
        .as_primitive_opt::<Int64Type>()
        .map(|bytes| bytes.value(0) as f64)
        .or_else(|| bytes.as_primitive_opt::<Float64Type>().map(|bytes| bytes.value(0)))?;
    Some(Received { table, rows, bytes })
}

fn batch(received: &[Received], hour: Window) -> Result<RecordBatch, arrow::error::ArrowError> {
    let count = received.len();
    let text = |of: &dyn Fn(&Received) -> String| -> ArrayRef { Arc::new(StringViewArray::from_iter_values(received.iter().map(of))) };
    let time = |at: Timestamp| -> ArrayRef { Arc::new(Int64Array::from_value(at.ticks(), count)) };
    let solution = |one: &Received| if SECURITY.contains(&one.table.as_str()) { "Security" } else { "LogManagement" };
    let megabytes = Float64Array::from_iter_values(received.iter().map(|one| one.bytes / 1e6));
    RecordBatch::try_from_iter([
        ("TimeGenerated", time(hour.until)),
        ("StartTime", time(hour.from)),
        ("EndTime", time(hour.until)),
        ("DataType", text(&|one| one.table.as_str().to_owned())),
        ("Solution", text(&|one| solution(one).to_owned())),
        ("Quantity", Arc::new(megabytes)),
        ("QuantityUnit", text(&|_| "MBytes".to_owned())),
        ("IsBillable", Arc::new(BooleanArray::from_iter(received.iter().map(|one| Some(model::is_billable(one.table.as_str())))))),
        ("Plan", text(&|_| "Analytics".to_owned())),
        ("SourceSystem", text(&|_| "OMS".to_owned())),
        ("Type", text(&|_| TABLE.to_owned())),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_iso(text).unwrap()
    }

    #[test]
    fn hours_are_due_after_the_settle_delay() {
        let hours = |written: Option<&str>, now: &str| -> Vec<String> {
            due(written.map(at), at(now)).iter().map(|hour| hour.from.to_string()[11..13].to_owned()).collect()
        };
        assert_eq!(hours(None, "2026-11-20T12:30:00Z"), ["11"]);
        assert_eq!(
            hours(Some("2026-11-20T12:00:00Z"), "2026-11-20T13:00:30Z"),
            Vec::<String>::new(),
            "rows of its last moments may be on their way"
        );
        assert_eq!(hours(Some("2026-11-20T12:00:00Z"), "2026-11-20T15:01:00Z"), ["12", "13", "14"]);
        assert_eq!(hours(Some("2026-01-01T00:00:00Z"), "2026-11-20T15:30:00Z").len(), MAX_HOURS as usize);
        assert_eq!(hours(Some("2026-11-20T16:00:00Z"), "2026-11-20T12:30:00Z"), Vec::<String>::new(), "the clock was set back");
    }

    #[test]
    fn rows_have_log_analytics_units() {
        let hour = Window { from: at("2026-11-20T11:00:00Z"), until: at("2026-11-20T12:00:00Z") };
        let received = |table: &str| Received { table: TableName::new(table), rows: 3, bytes: 2_500_000.0 };
        let batch = batch(&[received("Syslog"), received("SecurityAlert")], hour).unwrap();
        assert_eq!(batch.column_by_name("Quantity").unwrap().as_primitive::<Float64Type>().value(0), 2.5);
        let billable = batch.column_by_name("IsBillable").unwrap().as_boolean().clone();
        assert_eq!((billable.value(0), billable.value(1)), (true, false));
        assert_eq!(batch.column_by_name("Solution").unwrap().as_string_view().value(1), "Security");
    }
}
