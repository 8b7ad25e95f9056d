//! Cancellation and memory limits for the loops of kernels and operators.
//!
//! Kernels and operators process a batch without yielding, so they cannot be cancelled from outside; yet a cancelled query must release its
//! threads within a tenth of a second. The engine enters the query's [`Watch`] on its working thread, and every potentially long loop calls
//! [`stopped`] or [`check`] periodically. A cancelled kernel may return arbitrary values of the right length; they are discarded.
//!
//! Memory works the same way: code that builds strings or dynamics calls [`build`] with the size *before* building them, and builds nothing
//! if that is refused. A [`Scope`] releases the bytes once they are no longer needed.
//!
//! The watch is thread-local rather than an argument, because a kernel deep in an expression receives only its columns. A thread without a
//! watch (checking a text, editing) may use [`UNWATCHED_MEMORY`].

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::eval::EvalError;

/// Maximum bytes that kernels may build on a thread without a watch.
pub const UNWATCHED_MEMORY: usize = 256 << 20;

/// Minimum reservation of a thread, so that small values do not reserve each time.
const CHUNK: usize = 256 << 10;

/// The memory budget of kernels.
pub trait Budget: Send + Sync + fmt::Debug {
    /// Reserves memory; returns false if it is not available.
    fn try_grow(&self, bytes: usize) -> bool;
    /// Releases reserved bytes.
    fn shrink(&self, bytes: usize);
}

/// The watch of one query; clones share state.
#[derive(Clone, Debug)]
pub struct Watch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    stopped: AtomicBool,
    memory: usize,
    budget: Option<Arc<dyn Budget>>,
}

/// The watch of a thread, and its memory.
struct Current {
    watch: Option<Watch>,
    /// Bytes reserved from the budget.
    granted: usize,
    /// Bytes built in the open scopes.
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

    /// Releases reserved bytes in excess of `keep`.
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
    /// Creates a watch for a query with a limit of `memory` bytes.
    pub fn new(memory: usize) -> Self {
        Self(Arc::new(Inner { stopped: AtomicBool::new(false), memory, budget: None }))
    }

    /// Like [`Watch::new`], with memory of kernels reserved from `budget`.
    pub fn with_budget(memory: usize, budget: Arc<dyn Budget>) -> Self {
        Self(Arc::new(Inner { stopped: AtomicBool::new(false), memory, budget: Some(budget) }))
    }

    /// Cancels the query's loops, permanently.
    pub fn stop(&self) {
        self.0.stopped.store(true, Ordering::Relaxed);
    }

    pub fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::Relaxed)
    }

    /// The query's memory limit.
    pub fn memory(&self) -> usize {
        self.0.memory
    }

    /// Returns an error if the query has been cancelled.
    pub fn check(&self) -> Result<(), EvalError> {
        if self.is_stopped() { Err(EvalError::Stopped) } else { Ok(()) }
    }

    /// Makes this the thread's watch until the guard is dropped.
    pub fn enter(&self) -> Entered {
        let before = CURRENT.with(|current| current.replace(Current::new(Some(self.clone()))));
        Entered { before: Some(before), thread: PhantomData }
    }

    /// The watch of this thread, if any.
    pub fn current() -> Option<Watch> {
        CURRENT.with(|current| current.borrow().watch.clone())
    }
}

/// Restores the previous watch on drop. Not `Send`.
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

/// True if the query running on this thread has been cancelled.
pub fn stopped() -> bool {
    CURRENT.with(|current| current.borrow().watch.as_ref().is_some_and(Watch::is_stopped))
}

/// Like [`stopped`], for operators, which may fail.
pub fn check() -> Result<(), EvalError> {
    if stopped() { Err(EvalError::Stopped) } else { Ok(()) }
}

/// The memory limit of the query running on this thread.
pub fn memory() -> usize {
    CURRENT.with(|current| current.borrow().watch.as_ref().map_or(usize::MAX, Watch::memory))
}

/// Reserves `bytes` that the caller is about to build. If it returns false, the caller must build nothing and may return any value; the
/// caller of the kernel checks [`refused`].
pub fn build(bytes: usize) -> bool {
    CURRENT.with(|current| current.borrow_mut().build(bytes))
}

/// True if [`build`] has been refused on this thread since the last call.
pub fn refused() -> bool {
    CURRENT.with(|current| std::mem::take(&mut current.borrow_mut().refused))
}

/// Starts a scope; memory built in it is released when the guard is dropped.
pub fn scope() -> Scope {
    Scope { before: CURRENT.with(|current| current.borrow().built), thread: PhantomData }
}

/// Tracks memory built by a thread. Not `Send`.
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

/// Calls [`stopped`] once every few thousand iterations of a cheap loop.
#[derive(Default)]
pub struct Turns(usize);

/// Iterations between two checks.
const TURNS: usize = 8192;

impl Turns {
    /// True if the query has been cancelled.
    pub fn stopped(&mut self) -> bool {
        self.stopped_after(1)
    }

    /// Like [`Self::stopped`], for a loop step that counts as `turns` iterations.
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
    fn previous_watch_is_restored() {
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

    /// A budget with a fixed limit.
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
    fn scopes_reserve_and_release_memory() {
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
