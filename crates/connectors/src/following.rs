//! Runs a destination: reads new rows of its tables, hands them over, stores the position.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Append, InlineTable, Query, QueryClass, Scope, Span, TableName, TableSchema, Timestamp, Window};
use serde::{Deserialize, Serialize};

use crate::destination::{Destination, DestinationContext, DestinationError, From, Outgoing};

/// Rows of one call of [`Destination::deliver`], where the append they came with is no larger.
const MOST_ROWS: usize = 20_000;
/// How often tables are looked at when no bell rings.
const LOOK: Span = Span(model::TICKS_PER_SECOND);
const FIRST_PAUSE: Span = Span(model::TICKS_PER_SECOND);
const LONGEST_PAUSE: Span = Span(5 * 60 * model::TICKS_PER_SECOND);
const LONGEST_WAIT: Span = Span::HOUR;

/// Up to which `$IngestionTime` the rows of each table are acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(BTreeMap<TableName, Timestamp>);

impl Position {
    /// Before all rows of these tables.
    pub fn beginning(tables: impl IntoIterator<Item = TableName>) -> Self {
        Self(tables.into_iter().map(|table| (table, Timestamp::MIN)).collect())
    }

    pub fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Sends rows until the service stops.
pub async fn run(destination: &mut dyn Destination, cx: &DestinationContext) {
    let mut position = begin(destination, cx);
    let mut failures = 0;
    while !cx.stop.is_cancelled() {
        let wait = match step(destination, &mut position, cx).await {
            Ok(true) => {
                failures = 0;
                cx.report.well();
                continue;
            }
            Ok(false) => LOOK,
            Err(error) => {
                failures += 1;
                tracing::warn!(destination = cx.id, error = %model::chain(&error), failures, "rows were not sent; they are sent again");
                metrics::counter!("bartizan_destination_errors_total", "destination" => cx.id.clone()).increment(1);
                cx.report.failed(&error, failures);
                match error {
                    DestinationError::Throttled(Some(wait)) => Span(wait.ticks().clamp(FIRST_PAUSE.ticks(), LONGEST_WAIT.ticks())),
                    _ => Span(FIRST_PAUSE.ticks().saturating_mul(1 << (failures - 1).min(20)).min(LONGEST_PAUSE.ticks())),
                }
            }
        };
        tokio::select! {
            () = cx.clock.sleep(wait) => {}
            () = cx.stop.cancelled() => {}
        }
    }
}

/// The stored position, or the one to begin with.
fn begin(destination: &dyn Destination, cx: &DestinationContext) -> Position {
    let mut position = cx.writer.position(&cx.id).and_then(|bytes| Position::read(&bytes)).unwrap_or_default();
    let start = match destination.follow().from {
        From::New => cx.catalog.complete_until(),
        From::All => Timestamp::MIN,
    };
    for table in &destination.follow().tables {
        position.0.entry(table.clone()).or_insert(start);
    }
    position
}

/// Sends one piece of each table. True where there was something to send.
async fn step(destination: &mut dyn Destination, position: &mut Position, cx: &DestinationContext) -> Result<bool, DestinationError> {
    let mut sent = false;
    for table in destination.follow().tables.clone() {
        let after = position.0.get(&table).copied().unwrap_or(Timestamp::MIN);
        let Some(piece) = piece(&table, after, destination.follow().transform.as_deref(), cx).await? else { continue };
        let rows = piece.outgoing.rows();
        if rows > 0 {
            destination.deliver(&piece.outgoing, cx).await?;
        }
        position.0.insert(table, piece.until);
        let append = Append { rows: Vec::new(), key: None, position: Some((cx.id.clone(), position.bytes())) };
        cx.writer.append(append).await.map_err(|cause| DestinationError::Position(Box::new(cause)))?;
        cx.report.delivered(rows, 0, Some(&position.bytes()), cx.clock.now());
        metrics::counter!("bartizan_destination_rows_total", "destination" => cx.id.clone()).increment(rows as u64);
        sent = true;
    }
    Ok(sent)
}

struct Piece {
    outgoing: Outgoing,
    until: Timestamp,
}

/// The next rows of a table after `after`: whole appends, at most [`MOST_ROWS`] rows unless one append has more.
async fn piece(
    table: &TableName,
    after: Timestamp,
    transform: Option<&str>,
    cx: &DestinationContext,
) -> Result<Option<Piece>, DestinationError> {
    let complete = cx.catalog.complete_until();
    if complete <= after || cx.catalog.table(table.as_str()).is_none() {
        return Ok(None);
    }
    let failed = |cause| DestinationError::Query { table: table.clone(), cause: Box::new(cause) };
    let ask = |text: String, scope: Scope| {
        let query = Query { caller: cx.id.clone(), cancel: cx.stop.clone(), ..Query::new(text).with_class(QueryClass::Rule) };
        cx.engine.query(query.with_scope(scope))
    };
    let ingested = |until| Scope { ingested: Some(Window { from: after, until }), ..Scope::default() };
    // How many rows each append brought, so that a piece ends between two of them.
    let counts = format!("['{table}'] | summarize n = count() by t = ingestion_time() | top 1000 by t asc");
    let counted = ask(counts, ingested(complete)).await.map_err(failed)?;
    let Some(until) = end_of_piece(&counted) else { return Ok(None) };
    let rows = ask(format!("['{table}']"), ingested(until)).await.map_err(failed)?;
    if let Some(partial) = rows.partial {
        return Err(failed(partial));
    }
    let key = format!("{}/{table}/{}", cx.id, until.ticks());
    let (columns, batches) = match transform {
        None => (rows.columns, rows.batches),
        Some(transform) => {
            let source = InlineTable { schema: TableSchema::new("source", rows.columns), batches: rows.batches };
            let scope = Scope { tables: vec![Arc::new(source)], inline_only: true, ..Scope::default() };
            let shaped = ask(transform.to_owned(), scope).await.map_err(failed)?;
            if let Some(partial) = shaped.partial {
                return Err(failed(partial));
            }
            (shaped.columns, shaped.batches)
        }
    };
    Ok(Some(Piece { outgoing: Outgoing { table: table.clone(), columns, batches, key }, until }))
}

/// The last `$IngestionTime` of a piece, from the rows of each append in order of time.
fn end_of_piece(counted: &model::Answer) -> Option<Timestamp> {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    let (mut rows, mut until) = (0, None);
    for batch in &counted.batches {
        let column = |name: &str| {
            let place = counted.columns.iter().position(|column| column.name == name)?;
            batch.column(place).as_primitive_opt::<Int64Type>()
        };
        let (Some(counts), Some(times)) = (column("n"), column("t")) else { return until };
        for (count, time) in counts.values().iter().zip(times.values()) {
            rows += usize::try_from(*count).unwrap_or(0);
            if until.is_some() && rows > MOST_ROWS {
                return until;
            }
            until = Some(Timestamp::clamp_ticks(*time));
        }
    }
    until
}
