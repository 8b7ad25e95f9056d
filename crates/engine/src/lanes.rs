//! Threads for queries: each running query has a lane of its own, so that the operating system shares the processors out among queries and
//! a query that never waits holds up nobody else.
//!
//! There are lanes for each [`QueryClass`]: however many interactive queries run or wait, rules and transforms find threads. Within a class
//! callers take turns: the next lane goes to the caller with the fewest running queries, of these to the one that has waited longest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use model::{QueryClass, QueryError};
use tokio::runtime::{self, Handle};
use tokio::sync::oneshot;

use crate::engine::EngineError;

/// Binding, lowering and planning recurse over trees whose depth is limited; this is room for the deepest.
const STACK: usize = 64 << 20;

/// Lanes without a query that are kept for the next one.
const IDLE_LANES: usize = 8;

/// A lane whose query took longer is not kept: its threads have touched more of their stacks and of the allocator than small queries need.
const SHORT_LEASE: Duration = Duration::from_secs(1);

/// Queries of one class that wait for a lane at most; one more is refused.
const LONGEST_QUEUE: usize = 1000;

/// Blocking threads of a lane: one binds, others read files.
const BLOCKING_THREADS: usize = 16;

/// Lanes of a class at most, and those that one caller may hold.
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
    /// Leased lanes by caller.
    running: HashMap<String, usize>,
    leased: usize,
    waiting: Vec<Waiting>,
    closed: bool,
}

struct Waiting {
    caller: String,
    ready: oneshot::Sender<()>,
}

/// The threads of one query at a time.
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
        // Dropping a runtime waits for it, which is not allowed where futures run.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A lane while a query has it.
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

    /// Whether a lane is free for a query of `caller`.
    fn is_free(&self, caller: &str, width: Width) -> bool {
        self.leased < width.lanes && (caller.is_empty() || self.of(caller) < width.of_caller)
    }

    /// Gives free lanes to those that wait.
    fn hand_out(&mut self, width: Width) {
        while let Some(at) = self.next(width) {
            let waiting = self.waiting.remove(at);
            self.take(&waiting.caller);
            if waiting.ready.send(()).is_err() {
                // It went away while it waited.
                self.release(&waiting.caller);
            }
        }
    }

    /// Of those that could run, one of the caller with the fewest lanes; the list is in the order of arrival.
    fn next(&self, width: Width) -> Option<usize> {
        let could = self.waiting.iter().enumerate().filter(|(_, waiting)| self.is_free(&waiting.caller, width));
        could.min_by_key(|(at, waiting)| (self.of(&waiting.caller), *at)).map(|(at, _)| at)
    }
}

impl Class {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A lane that has been counted for `caller` already.
    fn lease(self: &Arc<Self>, caller: &str) -> Result<Lease, QueryError> {
        let idle = self.state().idle.pop();
        // Counted from here on, whatever happens.
        let mut lease = Lease { lane: idle, class: self.clone(), caller: caller.to_owned(), since: Instant::now() };
        if lease.lane.is_none() {
            lease.lane = Some(Lane::new(self.threads).map_err(|why| QueryError::Internal(model::chain(&why)))?);
        }
        Ok(lease)
    }
}

/// A place in a queue that was given up: what had been handed over meanwhile is handed on.
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
    /// `threads` of each lane.
    pub(crate) fn new(threads: usize, width: impl Fn(QueryClass) -> Width) -> Self {
        let class = |class| (class, Arc::new(Class { width: width(class), threads: threads.max(1), state: Mutex::default() }));
        Self { classes: [QueryClass::Interactive, QueryClass::Rule, QueryClass::Transform].map(class) }
    }

    /// Waits for a lane; dropping the future gives the place in the queue up.
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
    async fn one_caller_leaves_lanes_to_others_and_one_class_to_another() {
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
        // `b` came first and runs one already.
        let small = small.await.unwrap();
        assert!(futures::poll!(&mut again).is_pending());
        drop(small);
        again.await.unwrap();
        drop((second, third));
    }
}
