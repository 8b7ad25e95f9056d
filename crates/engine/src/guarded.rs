//! Queries that run by themselves and that ended the process: they are not run again at the next start.
//!
//! Every limit of the engine is meant to end a query and never the process. Should one be missing, a rule would end the service at every
//! start, before anybody could disable it. So the first run of a query since the start leaves a file in `D/running` while it lasts. What is
//! found there at a start was running when the process ended: those queries are *suspects* and run one at a time. One that ends the process
//! alone is *refused* for a while, with an error that rules report like any other; each time it does so again for four times as long, from
//! [`FIRST_REFUSED`] to [`LONGEST_REFUSED`]. The first time is short because a process may end for other reasons while a query runs.
//!
//! A file, because creating one costs microseconds and survives whatever ends the process short of a power cut. Interactive queries leave
//! none: nobody runs them again but the one who asks.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use model::{Answer, Clock, Column, Query, QueryClass, QueryEngine, QueryError, Span, TableName, Timestamp};
use uuid::Uuid;

/// How long a query is refused at first that has ended the process by itself, and at most.
pub const FIRST_REFUSED: Span = Span(60 * model::TICKS_PER_SECOND);
pub const LONGEST_REFUSED: Span = Span(24 * model::TICKS_PER_HOUR);

/// How long a query is refused that has been refused so many times before.
fn refused_for(times: u32) -> Span {
    Span(FIRST_REFUSED.ticks().saturating_mul(4_i64.saturating_pow(times))).min(LONGEST_REFUSED)
}

/// What the file of a query begins with that runs alone; behind it stands how many times it has been refused.
const ALONE: &str = "alone ";
/// What the name of a refused query's file ends in; it says until when, and how many times it has been refused.
const REFUSED: &str = "refused";

/// An engine that does not run again what ended the process.
pub struct Guarded {
    inner: Arc<dyn QueryEngine>,
    clock: Arc<dyn Clock>,
    folder: PathBuf,
    known: Mutex<Known>,
    /// Held by the suspect that runs.
    alone: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    /// Have run to their end since the start.
    proven: HashSet<Uuid>,
    /// With the times that each has been refused.
    suspects: HashMap<Uuid, u32>,
    refused: HashMap<Uuid, (Timestamp, u32)>,
}

/// Removes the file of a query that has ended.
struct Mark(Option<PathBuf>);

impl Drop for Mark {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // What cannot be removed makes a suspect of an innocent, which then runs alone once.
            let _ = fs::remove_file(path);
        }
    }
}

impl Guarded {
    /// Reads what an earlier process left in `folder`. A folder that cannot be read or written guards nothing.
    pub fn new(inner: Arc<dyn QueryEngine>, clock: Arc<dyn Clock>, folder: &Path) -> Self {
        let known = Mutex::new(left_behind(folder, clock.now()));
        Self { inner, clock, folder: folder.to_owned(), known, alone: tokio::sync::Mutex::default() }
    }

    /// How many queries were running when the process ended last, and how many are refused.
    pub fn found(&self) -> (usize, usize) {
        let known = self.known();
        (known.suspects.len(), known.refused.len())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` for a query that runs by itself.
    async fn guard<T>(&self, query: &Query, work: impl Future<Output = Result<T, QueryError>>) -> Result<T, QueryError> {
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, query.kql.as_bytes());
        let (proven, suspect) = {
            let mut known = self.known();
            if let Some((until, times)) = known.refused.get(&id).copied() {
                if self.clock.now() < until {
                    return Err(QueryError::EndedProcess(until));
                }
                // It has one more try, alone.
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

    /// Notes that a query runs; alone, where it has been refused so many times.
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

/// What an earlier process was running, and what it refused to run. Queries that ended it alone are refused from now on.
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

    /// Answers, or never does.
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

    /// Runs a query that never answers and leaves what the end of the process would leave.
    async fn ends_the_process(folder: &Path, kql: &str) {
        let engine = guarded(folder, false);
        let mut running = Box::pin(engine.query(rule(kql)));
        assert!(futures::poll!(&mut running).is_pending());
        // Dropping it would remove the file.
        std::mem::forget(running);
    }

    #[tokio::test]
    async fn a_query_that_ends_the_process_alone_is_refused_and_others_run() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("running");
        ends_the_process(&folder, "bad").await;
        // Once it may have been another that ran beside it.
        assert_eq!(guarded(&folder, true).found(), (1, 0));
        ends_the_process(&folder, "bad").await;
        ends_the_process(&folder, "bad").await;
        let engine = guarded(&folder, true);
        assert_eq!(engine.found(), (0, 1));
        assert!(matches!(engine.query(rule("bad")).await, Err(QueryError::EndedProcess(_))));
        assert!(matches!(engine.tables_read(&rule("bad")).await, Err(QueryError::EndedProcess(_))));
        assert!(engine.query(rule("good")).await.is_ok());
        assert_eq!((refused_for(0), refused_for(1), refused_for(30)), (FIRST_REFUSED, Span(4 * FIRST_REFUSED.ticks()), LONGEST_REFUSED));
        // It stays refused over a restart.
        assert_eq!(guarded(&folder, true).found(), (0, 1));
    }

    #[tokio::test]
    async fn what_ends_leaves_nothing_and_damage_is_ignored() {
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
