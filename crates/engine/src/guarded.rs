//! Crash protection for scheduled queries: queries that ended the process are not run again on the next start.
//!
//! Every engine limit is meant to end a query, never the process. If a limit is missing, a rule could crash the service on every start,
//! before it can be disabled. Therefore the first run of a query since startup creates a file in `D/running` for its duration. A file found
//! there on startup belongs to a query that was running when the process ended. Such queries are *suspects* and run one at a time. A query
//! that ends the process while running alone is *refused* for a time, with an error that rules report like any other; the time grows by a
//! factor of four on each repetition, from [`FIRST_REFUSED`] to [`LONGEST_REFUSED`]. It starts short because the process may end for other
//! reasons while a query runs.
//!
//! A file is used because creating one takes microseconds and it survives any end of the process except a power cut. Interactive queries
//! create none, because they are not rerun automatically.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use model::{Answer, Clock, Column, Query, QueryClass, QueryEngine, QueryError, Span, TableName, Timestamp};
use uuid::Uuid;

/// Initial and maximum time for which a query that ended the process alone is refused.
pub const FIRST_REFUSED: Span = Span(60 * model::TICKS_PER_SECOND);
pub const LONGEST_REFUSED: Span = Span(24 * model::TICKS_PER_HOUR);

/// How long a query is refused after `times` earlier refusals.
fn refused_for(times: u32) -> Span {
    Span(FIRST_REFUSED.ticks().saturating_mul(4_i64.saturating_pow(times))).min(LONGEST_REFUSED)
}

/// Prefix of the file of a query running alone, followed by the number of its refusals.
const ALONE: &str = "alone ";
/// Extension of a refused query's file, which contains the end of the refusal and the number of refusals.
const REFUSED: &str = "refused";

/// An engine that does not rerun queries that ended the process.
pub struct Guarded {
    inner: Arc<dyn QueryEngine>,
    clock: Arc<dyn Clock>,
    folder: PathBuf,
    known: Mutex<Known>,
    /// Held by the suspect being run.
    alone: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    /// Queries that completed since startup.
    proven: HashSet<Uuid>,
    /// Suspects, with their number of refusals.
    suspects: HashMap<Uuid, u32>,
    refused: HashMap<Uuid, (Timestamp, u32)>,
}

/// Removes the file of a query when it ends.
struct Mark(Option<PathBuf>);

impl Drop for Mark {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // If removal fails, the query is treated as a suspect on the next start and runs alone once.
            let _ = fs::remove_file(path);
        }
    }
}

impl Guarded {
    /// Reads the files left by an earlier process in `folder`. If the folder is not accessible, there is no protection.
    pub fn new(inner: Arc<dyn QueryEngine>, clock: Arc<dyn Clock>, folder: &Path) -> Self {
        let known = Mutex::new(left_behind(folder, clock.now()));
        Self { inner, clock, folder: folder.to_owned(), known, alone: tokio::sync::Mutex::default() }
    }

    /// Number of queries that were running when the last process ended, and number of refused queries.
    pub fn found(&self) -> (usize, usize) {
        let known = self.known();
        (known.suspects.len(), known.refused.len())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` for a scheduled query.
    async fn guard<T>(&self, query: &Query, work: impl Future<Output = Result<T, QueryError>>) -> Result<T, QueryError> {
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, query.kql.as_bytes());
        let (proven, suspect) = {
            let mut known = self.known();
            if let Some((until, times)) = known.refused.get(&id).copied() {
                if self.clock.now() < until {
                    return Err(QueryError::EndedProcess(until));
                }
                // The query may be tried once more, alone.
                known.refused.remove(&id);
                known.suspects.insert(id, times);
                let _ = fs::remove_file(self.folder.join(format!("{id}.{REFUSED}")));
            }
            (known.proven.contains(&id), known.suspects.get(&id).copied())
        };
        if query.class == QueryClass::Interactive || proven {
            return work.await;
        }
        let alone = if suspect.is_some() { Some(self.alone.lock().await) } else { None };
        let mark = self.mark(id, suspect);
        let done = work.await;
        drop(mark);
        drop(alone);
        let mut known = self.known();
        known.suspects.remove(&id);
        known.proven.insert(id);
        done
    }

    /// Creates the file of a running query; `alone` is its number of refusals if it runs alone.
    fn mark(&self, id: Uuid, alone: Option<u32>) -> Mark {
        let path = self.folder.join(id.to_string());
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(&self.folder)?;
            let text = alone.map(|times| format!("{ALONE}{times}")).unwrap_or_default();
            File::create(&path)?.write_all(text.as_bytes())
        };
        match write() {
            Ok(()) => Mark(Some(path)),
            Err(why) => {
                tracing::warn!(error = %why, "cannot note which query runs");
                Mark(None)
            }
        }
    }
}

/// Reads the queries an earlier process was running or refusing. Queries that ended it while running alone are refused from now on.
fn left_behind(folder: &Path, now: Timestamp) -> Known {
    let mut known = Known::default();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        let Some(name) = name.to_str() else { continue };
        let said = fs::read_to_string(&path).unwrap_or_default();
        match name.strip_suffix(REFUSED).and_then(|rest| rest.strip_suffix('.')) {
            Some(id) => {
                let mut said = said.split_whitespace();
                let until = said.next().and_then(|ticks| ticks.parse().ok()).map_or(now, Timestamp::clamp_ticks);
                let times = said.next().and_then(|times| times.parse().ok()).unwrap_or(1);
                if let Ok(id) = id.parse() {
                    known.refused.insert(id, (until.min(now + LONGEST_REFUSED), times));
                }
            }
            None => {
                let Ok(id) = name.parse::<Uuid>() else { continue };
                if let Some(times) = said.strip_prefix(ALONE) {
                    let times = times.trim().parse::<u32>().unwrap_or(0);
                    let until = now + refused_for(times);
                    tracing::error!(query = %id, %until, "a query ended the service and is refused");
                    let _ = fs::write(folder.join(format!("{id}.{REFUSED}")), format!("{} {}", until.ticks(), times.saturating_add(1)));
                    known.refused.insert(id, (until, times.saturating_add(1)));
                } else {
                    known.suspects.insert(id, 0);
                }
                let _ = fs::remove_file(&path);
            }
        }
    }
    if !known.suspects.is_empty() {
        tracing::warn!(queries = known.suspects.len(), "queries were running when the service ended; they run one at a time now");
    }
    known
}

#[async_trait]
impl QueryEngine for Guarded {
    async fn query(&self, query: Query) -> Result<Answer, QueryError> {
        self.guard(&query.clone(), self.inner.query(query)).await
    }

    async fn check(&self, query: &Query) -> Result<Option<Vec<Column>>, QueryError> {
        self.inner.check(query).await
    }

    async fn tables_read(&self, query: &Query) -> Result<Vec<TableName>, QueryError> {
        self.guard(query, self.inner.tables_read(query)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemClock;

    /// Returns a result if true, otherwise never.
    struct Inner(bool);

    #[async_trait]
    impl QueryEngine for Inner {
        async fn query(&self, _: Query) -> Result<Answer, QueryError> {
            if self.0 { Ok(Answer::default()) } else { std::future::pending().await }
        }

        async fn check(&self, _: &Query) -> Result<Option<Vec<Column>>, QueryError> {
            Ok(None)
        }

        async fn tables_read(&self, _: &Query) -> Result<Vec<TableName>, QueryError> {
            Ok(Vec::new())
        }
    }

    fn guarded(folder: &Path, answers: bool) -> Guarded {
        Guarded::new(Arc::new(Inner(answers)), Arc::new(SystemClock::default()), folder)
    }

    fn rule(kql: &str) -> Query {
        Query::new(kql).with_class(QueryClass::Rule)
    }

    /// Runs a query that never completes, leaving the files that a crash would leave.
    async fn ends_the_process(folder: &Path, kql: &str) {
        let engine = guarded(folder, false);
        let mut running = Box::pin(engine.query(rule(kql)));
        assert!(futures::poll!(&mut running).is_pending());
        // Dropping the future would remove the file.
        std::mem::forget(running);
    }

    #[tokio::test]
    async fn crashing_query_is_refused_and_others_run() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("running");
        ends_the_process(&folder, "bad").await;
        // After one crash, a concurrent query may have been the cause.
        assert_eq!(guarded(&folder, true).found(), (1, 0));
        ends_the_process(&folder, "bad").await;
        ends_the_process(&folder, "bad").await;
        let engine = guarded(&folder, true);
        assert_eq!(engine.found(), (0, 1));
        assert!(matches!(engine.query(rule("bad")).await, Err(QueryError::EndedProcess(_))));
        assert!(matches!(engine.tables_read(&rule("bad")).await, Err(QueryError::EndedProcess(_))));
        assert!(engine.query(rule("good")).await.is_ok());
        assert_eq!((refused_for(0), refused_for(1), refused_for(30)), (FIRST_REFUSED, Span(4 * FIRST_REFUSED.ticks()), LONGEST_REFUSED));
        // The refusal survives a restart.
        assert_eq!(guarded(&folder, true).found(), (0, 1));
    }

    #[tokio::test]
    async fn completed_queries_leave_no_file_and_damaged_files_are_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let engine = guarded(folder.path(), true);
        engine.query(rule("good")).await.unwrap();
        engine.query(Query::new("asked")).await.unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        for (name, text) in [("what is this", "?"), ("x.refused", "1"), ("00000000-0000-0000-0000-000000000000.refused", "no number")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let engine = guarded(folder.path(), true);
        engine.query(rule("good")).await.unwrap();
        assert_eq!(engine.found().0, 0);
    }
}
