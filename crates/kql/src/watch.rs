//! A watch over a query while its own loops run: whether it has been stopped, and how many bytes it may build.
//!
//! Kernels and operators run from one end of a batch to the other without ever waiting, so nothing outside can end them; yet a cancelled
//! query must give its threads back within a tenth of a second. The engine enters the query's [`Watch`] on the thread that works for it, and
//! every loop that may be long calls [`stopped`] or [`check`] now and then. A cancelled kernel may return arbitrary values of the right
//! length; they are discarded.
//!
//! Memory works the same way: what builds texts or dynamics calls [`build`] with its size *before* it builds them, and builds nothing where
//! that is refused. A [`Scope`] gives the bytes back once they are no longer needed.
//!
//! The watch belongs to the thread, not to an argument, because a kernel deep in an expression knows its columns and nothing else. A thread
//! without a watch (checking a text, editing) has [`UNWATCHED_MEMORY`].

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::eval::EvalError;

/// Bytes that kernels may build at a time where no query is watched.
pub const UNWATCHED_MEMORY: usize = 256 << 20;

/// Bytes by which a thread asks for more at least, so that small values do not ask each time.
const CHUNK: usize = 256 << 10;

/// Memory that kernels ask for.
pub trait Budget: Send + Sync + fmt::Debug {
    /// False where so many bytes more are not available.
    fn try_grow(&self, bytes: usize) -> bool;
    /// Gives bytes back that were granted.
    fn shrink(&self, bytes: usize);
}

/// Of one query; clones are the same watch.
#[derive(Clone, Debug)]
pub struct Watch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    stopped: AtomicBool,
    memory: usize,
    budget: Option<Arc<dyn Budget>>,
}

/// What a thread works for, and what it has built.
struct Current {
    watch: Option<Watch>,
    /// Bytes granted by the budget.
    granted: usize,
    /// Bytes of what the open scopes have built.
    built: usize,
    refused: bool,
}

impl Current {
    const fn new(watch: Option<Watch>) -> Self {
        Self { watch, granted: 0, built: 0, refused: false }
    }

    fn grow(&self, bytes: usize) -> bool {
        match &self.watch {
            None => self.granted.saturating_add(bytes) <= UNWATCHED_MEMORY,
            Some(watch) => match &watch.0.budget {
                None => self.granted.saturating_add(bytes) <= watch.0.memory,
                Some(budget) => budget.try_grow(bytes),
            },
        }
    }

    fn build(&mut self, bytes: usize) -> bool {
        let built = self.built.saturating_add(bytes);
        if let Some(missing) = built.checked_sub(self.granted).filter(|missing| *missing > 0) {
            let asked = [missing.max(CHUNK), missing].into_iter().find(|asked| self.grow(*asked));
            let Some(asked) = asked else {
                self.refused = true;
                return false;
            };
            self.granted += asked;
        }
        self.built = built;
        true
    }

    /// Gives back what was granted beyond `keep` bytes.
    fn release(&mut self, keep: usize) {
        let excess = self.granted.saturating_sub(keep);
        if excess == 0 {
            return;
        }
        self.granted = keep;
        if let Some(budget) = self.watch.as_ref().and_then(|watch| watch.0.budget.as_ref()) {
            budget.shrink(excess);
        }
    }
}

thread_local! {
    static CURRENT: RefCell<Current> = const { RefCell::new(Current::new(None)) };
}

impl Watch {
    /// A watch over a query that may hold `memory` bytes.
    pub fn new(memory: usize) -> Self {
        Self(Arc::new(Inner { stopped: AtomicBool::new(false), memory, budget: None }))
    }

    /// As [`Watch::new`]; what kernels build is asked of `budget`.
    pub fn with_budget(memory: usize, budget: Arc<dyn Budget>) -> Self {
        Self(Arc::new(Inner { stopped: AtomicBool::new(false), memory, budget: Some(budget) }))
    }

    /// Tells the query's loops to end; for good.
    pub fn stop(&self) {
        self.0.stopped.store(true, Ordering::Relaxed);
    }

    pub fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::Relaxed)
    }

    /// What the query may hold.
    pub fn memory(&self) -> usize {
        self.0.memory
    }

    /// Refuses to go on once the query has been stopped.
    pub fn check(&self) -> Result<(), EvalError> {
        if self.is_stopped() { Err(EvalError::Stopped) } else { Ok(()) }
    }

    /// Makes this the watch of the thread until the guard is dropped.
    pub fn enter(&self) -> Entered {
        let before = CURRENT.with(|current| current.replace(Current::new(Some(self.clone()))));
        Entered { before: Some(before), thread: PhantomData }
    }

    /// The watch of this thread, if it runs a query.
    pub fn current() -> Option<Watch> {
        CURRENT.with(|current| current.borrow().watch.clone())
    }
}

/// Puts back the watch that was there before. Stays on its thread.
pub struct Entered {
    before: Option<Current>,
    thread: PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let before = self.before.take().unwrap_or(Current::new(None));
        let mut after = CURRENT.with(|current| current.replace(before));
        after.release(0);
    }
}

/// Whether the query that this thread runs has been stopped.
pub fn stopped() -> bool {
    CURRENT.with(|current| current.borrow().watch.as_ref().is_some_and(Watch::is_stopped))
}

/// As [`stopped`], for operators, which may fail.
pub fn check() -> Result<(), EvalError> {
    if stopped() { Err(EvalError::Stopped) } else { Ok(()) }
}

/// What the query that this thread runs may hold.
pub fn memory() -> usize {
    CURRENT.with(|current| current.borrow().watch.as_ref().map_or(usize::MAX, Watch::memory))
}

/// Asks for `bytes` that the caller is about to build. Where it returns false the caller builds nothing and returns any value; whoever
/// called the kernel finds out by [`refused`].
pub fn build(bytes: usize) -> bool {
    CURRENT.with(|current| current.borrow_mut().build(bytes))
}

/// Whether [`build`] has been refused on this thread since this was last asked.
pub fn refused() -> bool {
    CURRENT.with(|current| std::mem::take(&mut current.borrow_mut().refused))
}

/// Begins to count what is built; what was built since is given back when the guard is dropped.
pub fn scope() -> Scope {
    Scope { before: CURRENT.with(|current| current.borrow().built), thread: PhantomData }
}

/// What a thread builds while this lives. Stays on its thread.
pub struct Scope {
    before: usize,
    thread: PhantomData<*const ()>,
}

impl Scope {
    /// Bytes built since the scope began.
    pub fn built(&self) -> usize {
        CURRENT.with(|current| current.borrow().built).saturating_sub(self.before)
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        CURRENT.with(|current| {
            let mut current = current.borrow_mut();
            current.built = self.before.min(current.built);
            let keep = if current.built == 0 { 0 } else { current.built + CHUNK };
            current.release(keep);
        });
    }
}

/// Asks [`stopped`] once in so many turns of a loop whose turns are cheap.
#[derive(Default)]
pub struct Turns(usize);

/// Turns between two looks.
const TURNS: usize = 8192;

impl Turns {
    /// True once the query has been stopped.
    pub fn stopped(&mut self) -> bool {
        self.stopped_after(1)
    }

    /// As [`Self::stopped`], for a loop that does the work of `turns` at a time.
    pub fn stopped_after(&mut self, turns: usize) -> bool {
        self.0 += turns;
        if self.0 < TURNS {
            return false;
        }
        self.0 = 0;
        stopped()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn the_watch_of_a_thread_is_put_back() {
        assert!(!stopped());
        let (outer, inner) = (Watch::new(1), Watch::new(2));
        outer.stop();
        let entered = outer.enter();
        assert!(stopped() && memory() == 1);
        {
            let _entered = inner.enter();
            assert!(!stopped() && memory() == 2);
        }
        assert!(check().is_err());
        drop(entered);
        assert!(!stopped() && memory() == usize::MAX);
    }

    /// Grants up to a limit.
    #[derive(Debug)]
    struct Limited(AtomicUsize, usize);

    impl Budget for Limited {
        fn try_grow(&self, bytes: usize) -> bool {
            let fits = self.0.load(Ordering::Relaxed) + bytes <= self.1;
            if fits {
                self.0.fetch_add(bytes, Ordering::Relaxed);
            }
            fits
        }

        fn shrink(&self, bytes: usize) {
            self.0.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_scopes_build_is_granted_before_and_given_back_after() {
        let limited = Arc::new(Limited(AtomicUsize::new(0), 10 << 20));
        let watch = Watch::with_budget(10 << 20, limited.clone());
        {
            let _entered = watch.enter();
            let outer = scope();
            assert!(build(4 << 20));
            {
                let inner = scope();
                assert!(build(5 << 20));
                assert_eq!(inner.built(), 5 << 20);
                assert!(!build(2 << 20) && refused() && !refused());
            }
            assert!(limited.0.load(Ordering::Relaxed) < 5 << 20);
            assert!(build(5 << 20));
            assert_eq!(outer.built(), 9 << 20);
        }
        assert_eq!(limited.0.load(Ordering::Relaxed), 0);
    }
}
