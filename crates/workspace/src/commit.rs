//! Group commit: many appends, one sync.
//!
//! [`Committer`] is a state machine over the disk port; its thread (in `workspace`) only collects waiting appends. An append is
//! acknowledged after the sync *and* after it is visible to queries. A group whose write or sync fails leaves memory unchanged, and its
//! frames on disk are void (see `log`).

use std::io;
use std::sync::Arc;

use arrow::array::RecordBatch;
use model::{Ack, AppendError, Condition, ConditionSeverity, TableName, TableSchema, Timestamp};

use crate::billing::{IS_BILLABLE, billable_text};
use crate::codec;
use crate::frame::{self, Appended};
use crate::keys::Seen;
use crate::log::Log;
use crate::snapshot::MemoryBatch;
use crate::state::{LEASE, Logged, State};
use crate::workspace::Shared;

/// An append, checked and encoded on the sender's side.
pub struct Prepared {
    pub appended: Appended,
    /// Compacted rows in the order of `appended.tables`, each with the table definition it was checked against.
    pub rows: Vec<PreparedRows>,
}

pub struct PreparedRows {
    pub table: TableName,
    pub folder: String,
    pub schema: Arc<TableSchema>,
    pub batch: RecordBatch,
}

/// Writes groups to the log and makes them visible.
pub struct Committer {
    pub log: Log,
    pub shared: Arc<Shared>,
    /// A durable group is being made visible; see [`Committer::recover`].
    pub applying: bool,
}

/// Outcome of one append of a group.
enum Fate {
    Refused(AppendError),
    /// The key was seen in an earlier group.
    Known(Seen),
    /// The key was seen earlier in the same group.
    Twin(Seen),
    Stored(Seen),
}

/// An append with its rows in the memory layout; not stored yet.
struct Ready {
    appended: Appended,
    folders: Vec<String>,
    rows: Vec<(TableName, MemoryBatch)>,
}

struct Staged {
    logged: Logged,
    appended: Appended,
}

impl Committer {
    pub fn new(log: Log, shared: Arc<Shared>) -> Self {
        Self { log, shared, applying: false }
    }

    /// Makes the committer usable after a panic. What the interrupted group left in the log is void, as after a failed write: the next append
    /// starts a new file. Returns false if part of a durable group may be visible; then only a restart, which replays the log, is safe.
    pub fn recover(&mut self) -> bool {
        if self.applying {
            return false;
        }
        self.log.close_current();
        self.shared.state().times.in_flight = None;
        true
    }

    /// Stores a group. Results are in the order of the group.
    pub fn commit(&mut self, group: Vec<Prepared>) -> Vec<Result<Ack, AppendError>> {
        let shared = self.shared.clone();
        let now = shared.clock.now();
        let ingested = shared.state().times.stamp(now);
        let ready: Vec<_> = group.into_iter().map(|prepared| ready(prepared, ingested, &shared.constants)).collect();
        let (fates, staged, lease) = {
            let state = shared.state();
            let (fates, staged) = stage(&state, ready, ingested, shared.config.memory.0 as usize);
            (fates, staged, state.times.lease.max(ingested + LEASE))
        };
        let written = match staged.last() {
            Some(last) => self.write(&staged, lease, last.logged.sequence),
            None => Ok(()),
        };
        let stored = staged.len();
        let mut arrived = Vec::new();
        {
            let mut state = shared.state();
            state.times.in_flight = None;
            if written.is_ok() && stored > 0 {
                self.applying = true;
                state.times.lease = state.times.lease.max(lease);
                for Staged { logged, .. } in staged {
                    arrived.extend(logged.rows.iter().map(|(table, _)| table.clone()));
                    state.apply(logged);
                }
                self.applying = false;
            }
            metrics::gauge!("bartizan_workspace_memory_bytes").set(state.memory as f64);
        }
        match &written {
            Ok(()) => {
                if stored > 0 && shared.health.clear(LOG_WRITE_FAILED, "") {
                    tracing::info!("the log takes rows again");
                }
                metrics::counter!("bartizan_workspace_appends_total").increment(stored as u64);
                shared.bell.ring(arrived, ingested);
            }
            Err(cause) => {
                metrics::counter!("bartizan_workspace_commit_errors_total").increment(1);
                let (reason, _) = reason(cause);
                let condition = Condition::new(LOG_WRITE_FAILED, "", ConditionSeverity::Failing)
                    .summary(format!("{reason}: no rows are taken, senders are told to come later; what is stored is served"))
                    .action("make room on the disk of the data directory, or repair it; rows are taken again by themselves");
                shared.health.report(condition);
                tracing::error!(error = %cause, appends = stored, "a group was not stored; its senders are told");
            }
        }
        self.note_log_bytes();
        fates.into_iter().map(|fate| answer(fate, &written)).collect()
    }

    pub fn note_log_bytes(&self) {
        metrics::gauge!("bartizan_workspace_log_bytes").set(self.log.bytes() as f64);
        self.shared.set_log_bytes(self.log.bytes());
    }

    /// Makes promises up to `now` durable; see `Times`.
    pub fn renew(&mut self, now: Timestamp) -> io::Result<()> {
        let (sequence, floor, lease) = {
            let state = self.shared.state();
            (state.sequence, state.times.floor, state.times.lease.max(now + LEASE))
        };
        let salt = self.log.begin(sequence + 1)?;
        let mut bytes = Vec::new();
        frame::encode(&mut bytes, salt, sequence, floor.ticks(), lease.ticks(), None);
        self.log.commit(&bytes, sequence)?;
        self.shared.health.clear(LOG_WRITE_FAILED, "");
        let mut state = self.shared.state();
        state.times.lease = state.times.lease.max(lease);
        Ok(())
    }

    fn write(&mut self, staged: &[Staged], lease: Timestamp, last: u64) -> io::Result<()> {
        let salt = self.log.begin(staged[0].logged.sequence)?;
        let length = staged.iter().map(|one| frame::body_length(&one.appended) + 64).sum();
        let mut bytes = Vec::with_capacity(length);
        for one in staged {
            frame::encode(&mut bytes, salt, one.logged.sequence, one.logged.ingested.ticks(), lease.ticks(), Some(&one.appended));
        }
        self.log.commit(&bytes, last)
    }
}

fn ready(prepared: Prepared, ingested: Timestamp, constants: &Constants) -> Result<Ready, AppendError> {
    let mut ready = Ready { appended: prepared.appended, folders: Vec::new(), rows: Vec::new() };
    for part in prepared.rows {
        let batch = codec::to_memory(&part.schema, &part.batch, ingested, &constants.of(&part.table));
        ready.rows.push((part.table, batch.map_err(|cause| AppendError::Log(io::Error::other(cause)))?));
        ready.folders.push(part.folder);
    }
    Ok(ready)
}

/// Decides the outcome of each append and assigns sequence numbers. Changes no state.
fn stage(state: &State, group: Vec<Result<Ready, AppendError>>, ingested: Timestamp, memory: usize) -> (Vec<Fate>, Vec<Staged>) {
    let mut staged: Vec<Staged> = Vec::new();
    let mut fates = Vec::with_capacity(group.len());
    for ready in group {
        fates.push(match ready.and_then(|ready| admit(state, &staged, ready, ingested, memory)) {
            Ok(Admitted::Twin(seen)) => Fate::Twin(seen),
            Ok(Admitted::Known(seen)) => Fate::Known(seen),
            Ok(Admitted::New(one)) => {
                let seen = Seen { sequence: one.logged.sequence, ingested };
                staged.push(one);
                Fate::Stored(seen)
            }
            Err(error) => Fate::Refused(error),
        });
    }
    (fates, staged)
}

enum Admitted {
    Twin(Seen),
    Known(Seen),
    New(Staged),
}

fn admit(state: &State, staged: &[Staged], ready: Ready, ingested: Timestamp, memory: usize) -> Result<Admitted, AppendError> {
    if state.closed {
        return Err(AppendError::Closed);
    }
    let Ready { appended, folders, rows } = ready;
    if let Some(key) = appended.key {
        if let Some(seen) = state.keys.get(key) {
            return Ok(Admitted::Known(seen));
        }
        if let Some(one) = staged.iter().find(|one| one.logged.key == Some(key)) {
            return Ok(Admitted::Twin(Seen { sequence: one.logged.sequence, ingested }));
        }
    }
    if state.memory > memory {
        return Err(AppendError::Busy { reason: "too many rows wait for their files", retry_after_seconds: 5 });
    }
    // The table was dropped, or dropped and recreated, since the batch was checked.
    let stale = |((table, _), folder): (&(TableName, _), &String)| state.tables.get(table).is_none_or(|known| known.folder() != folder);
    if let Some(index) = rows.iter().zip(&folders).position(stale) {
        return Err(AppendError::NoTable(rows[index].0.clone()));
    }
    let (sequence, key, position) = (state.sequence + 1 + staged.len() as u64, appended.key, appended.position.clone());
    Ok(Admitted::New(Staged { logged: Logged { sequence, ingested, key, position, rows }, appended }))
}

fn answer(fate: Fate, written: &io::Result<()>) -> Result<Ack, AppendError> {
    let (seen, duplicate) = match (fate, written) {
        (Fate::Refused(error), _) => return Err(error),
        (Fate::Known(seen), _) => (seen, true),
        (Fate::Stored(seen), Ok(())) => (seen, false),
        (Fate::Twin(seen), Ok(())) => (seen, true),
        (Fate::Stored(_) | Fate::Twin(_), Err(cause)) => return Err(refusal(cause)),
    };
    Ok(Ack { sequence: seen.sequence, ingested: seen.ingested, duplicate })
}

/// Health condition raised while rows cannot be stored.
const LOG_WRITE_FAILED: &str = "log-write-failed";

/// The error returned to a sender if the log cannot be written. Nothing of the append is stored, so a later retry is safe.
pub fn refusal(cause: &io::Error) -> AppendError {
    let (reason, retry_after_seconds) = reason(cause);
    AppendError::Busy { reason, retry_after_seconds }
}

/// Describes a disk error, and after how many seconds to retry.
fn reason(cause: &io::Error) -> (&'static str, u64) {
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ("the disk is full", 10),
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => ("the disk is read-only", 10),
        _ => ("the disk answers with an error", 5),
    }
}

/// Values added to every row of a table; see `codec::to_memory`.
#[derive(Clone, Debug)]
pub struct Constants {
    pub tenant_id: Option<String>,
}

impl Constants {
    pub fn of(&self, table: &TableName) -> Vec<(&'static str, String)> {
        let mut values = vec![("Type", table.as_str().to_owned()), (IS_BILLABLE, billable_text(table).to_owned())];
        values.extend(self.tenant_id.clone().map(|id| ("TenantId", id)));
        values
    }
}
