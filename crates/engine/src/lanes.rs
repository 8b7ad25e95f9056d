//! Threads for queries: each running query has its own threads (a lane), so that the operating system schedules queries fairly and a
//! CPU-bound query does not block others.
//!
//! Each [`QueryClass`] has its own lanes: rules and transforms get threads however many interactive queries run or wait. Within a class,
//! the next free lane goes to the caller with the fewest running queries, and among those to the one that has waited longest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use model::{QueryClass, QueryError};
use tokio::runtime::{self, Handle};
use tokio::sync::oneshot;

use crate::engine::EngineError;

/// Binding, lowering and planning recurse over trees of limited depth; this stack suffices for the deepest.
const STACK: usize = 64 << 20;

/// Maximum number of idle lanes kept for reuse.
const IDLE_LANES: usize = 8;

/// A lane is discarded after a longer query, because its threads hold more stack and allocator memory than small queries need.
const SHORT_LEASE: Duration = Duration::from_secs(1);

/// Maximum queue length per class; further queries are refused.
const LONGEST_QUEUE: usize = 1000;

/// Blocking threads per lane: one binds, the others read files.
const BLOCKING_THREADS: usize = 16;

/// Maximum number of lanes per class and per caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Width {
    pub lanes: usize,
    pub of_caller: usize,
}

/// All lanes of an engine.
pub(crate) struct Lanes {
    classes: [(QueryClass, Arc<Class>); 3],
}

struct Class {
    width: Width,
    threads: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    idle: Vec<Lane>,
    /// Number of leased lanes by caller.
    running: HashMap<String, usize>,
    leased: usize,
    waiting: Vec<Waiting>,
    closed: bool,
}

struct Waiting {
    caller: String,
    ready: oneshot::Sender<()>,
}

/// A thread pool that runs one query at a time.
struct Lane(Option<runtime::Runtime>);

impl Lane {
    fn new(threads: usize) -> Result<Self, EngineError> {
        let runtime = runtime::Builder::new_multi_thread()
            .thread_name("query")
            .worker_threads(threads)
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_stack_size(STACK)
            .enable_all()
            .build()
            .map_err(EngineError::Threads)?;
        Ok(Self(Some(runtime)))
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        // Dropping a runtime blocks, which is not allowed in async code.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A lane leased to a query.
pub(crate) struct Lease {
    lane: Option<Lane>,
    class: Arc<Class>,
    caller: String,
    since: Instant,
}

impl Lease {
    pub(crate) fn handle(&self) -> Result<Handle, QueryError> {
        let runtime = self.lane.as_ref().and_then(|lane| lane.0.as_ref());
        runtime.map(|runtime| runtime.handle().clone()).ok_or_else(|| QueryError::Internal("the engine has stopped".to_owned()))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.class.state();
        if let Some(lane) = self.lane.take()
            && state.idle.len() < IDLE_LANES
            && self.since.elapsed() < SHORT_LEASE
            && !state.closed
        {
            state.idle.push(lane);
        }
        state.release(&self.caller);
        state.hand_out(self.class.width);
    }
}

impl State {
    fn of(&self, caller: &str) -> usize {
        self.running.get(caller).copied().unwrap_or(0)
    }

    fn take(&mut self, caller: &str) {
        self.leased += 1;
        *self.running.entry(caller.to_owned()).or_insert(0) += 1;
    }

    fn release(&mut self, caller: &str) {
        self.leased = self.leased.saturating_sub(1);
        if let Some(count) = self.running.get_mut(caller) {
            *count -= 1;
            if *count == 0 {
                self.running.remove(caller);
            }
        }
    }

    /// True if a lane is available for a query of `caller`.
    fn is_free(&self, caller: &str, width: Width) -> bool {
        self.leased < width.lanes && (caller.is_empty() || self.of(caller) < width.of_caller)
    }

    /// Assigns free lanes to waiting queries.
    fn hand_out(&mut self, width: Width) {
        while let Some(at) = self.next(width) {
            let waiting = self.waiting.remove(at);
            self.take(&waiting.caller);
            if waiting.ready.send(()).is_err() {
                // The query was cancelled while waiting.
                self.release(&waiting.caller);
            }
        }
    }

    /// Chooses the waiting query of the caller with the fewest lanes; the list is in order of arrival.
    fn next(&self, width: Width) -> Option<usize> {
        let could = self.waiting.iter().enumerate().filter(|(_, waiting)| self.is_free(&waiting.caller, width));
        could.min_by_key(|(at, waiting)| (self.of(&waiting.caller), *at)).map(|(at, _)| at)
    }
}

impl Class {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a lane that has already been counted for `caller`.
    fn lease(self: &Arc<Self>, caller: &str) -> Result<Lease, QueryError> {
        let idle = self.state().idle.pop();
        // The lease releases the lane on every path from here.
        let mut lease = Lease { lane: idle, class: self.clone(), caller: caller.to_owned(), since: Instant::now() };
        if lease.lane.is_none() {
            lease.lane = Some(Lane::new(self.threads).map_err(|why| QueryError::Internal(model::chain(&why)))?);
        }
        Ok(lease)
    }
}

/// A position in the queue. On drop, a lane assigned in the meantime is passed to the next query.
struct Place<'a> {
    class: &'a Arc<Class>,
    caller: &'a str,
    ready: oneshot::Receiver<()>,
    taken: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.taken {
            return;
        }
        self.ready.close();
        let mut state = self.class.state();
        if self.ready.try_recv().is_ok() {
            state.release(self.caller);
            state.hand_out(self.class.width);
        } else {
            state.waiting.retain(|waiting| !waiting.ready.is_closed());
        }
    }
}

impl Lanes {
    /// Creates lanes with `threads` threads each.
    pub(crate) fn new(threads: usize, width: impl Fn(QueryClass) -> Width) -> Self {
        let class = |class| (class, Arc::new(Class { width: width(class), threads: threads.max(1), state: Mutex::default() }));
        Self { classes: [QueryClass::Interactive, QueryClass::Rule, QueryClass::Transform].map(class) }
    }

    /// Waits for a lane; dropping the future leaves the queue.
    pub(crate) async fn lease(&self, class: QueryClass, caller: &str) -> Result<Lease, QueryError> {
        let Some((_, class)) = self.classes.iter().find(|(known, _)| *known == class) else {
            return Err(QueryError::Internal("there are no threads for this class of queries".to_owned()));
        };
        let mut place = {
            let mut state = class.state();
            if state.closed {
                return Err(QueryError::Cancelled);
            }
            if state.is_free(caller, class.width) {
                state.take(caller);
                drop(state);
                return class.lease(caller);
            }
            if state.waiting.len() >= LONGEST_QUEUE {
                return Err(QueryError::Busy(LONGEST_QUEUE));
            }
            let (ready, waits) = oneshot::channel();
            state.waiting.push(Waiting { caller: caller.to_owned(), ready });
            Place { class, caller, ready: waits, taken: false }
        };
        let ready = (&mut place.ready).await;
        place.taken = ready.is_ok();
        ready.map_err(|_| QueryError::Cancelled)?;
        class.lease(caller)
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        for (_, class) in &self.classes {
            let mut state = class.state();
            state.closed = true;
            state.waiting.clear();
            state.idle.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: Width = Width { lanes: 3, of_caller: 2 };

    fn lanes() -> Lanes {
        Lanes::new(1, |_| WIDTH)
    }

    async fn waits(future: impl Future<Output = Result<Lease, QueryError>>) -> bool {
        tokio::time::timeout(Duration::from_millis(20), future).await.is_err()
    }

    #[tokio::test]
    async fn lanes_are_limited_per_caller_and_per_class() {
        let lanes = lanes();
        let lease = |caller: &'static str| lanes.lease(QueryClass::Interactive, caller);
        let held = [lease("a").await.unwrap(), lease("a").await.unwrap()];
        assert!(waits(lease("a")).await);
        let other = lease("b").await.unwrap();
        assert!(waits(lease("c")).await);
        lanes.lease(QueryClass::Rule, "a").await.unwrap();
        lanes.lease(QueryClass::Transform, "a").await.unwrap();
        drop((held, other));
        lease("c").await.unwrap();
        assert!(lanes.classes.iter().all(|(_, class)| class.state().leased == 0 && class.state().waiting.is_empty()));
    }

    #[tokio::test]
    async fn the_caller_with_the_fewest_running_queries_is_next() {
        let lanes = lanes();
        let lease = |caller: &'static str| lanes.lease(QueryClass::Interactive, caller);
        let (first, second, third) = (lease("a").await.unwrap(), lease("a").await.unwrap(), lease("b").await.unwrap());
        let (mut again, mut small) = (Box::pin(lease("b")), Box::pin(lease("c")));
        assert!(futures::poll!(&mut again).is_pending() && futures::poll!(&mut small).is_pending());
        drop(first);
        // `b` arrived first but already runs a query.
        let small = small.await.unwrap();
        assert!(futures::poll!(&mut again).is_pending());
        drop(small);
        again.await.unwrap();
        drop((second, third));
    }
}
