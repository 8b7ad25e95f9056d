//! A watch over a query while its own loops run: whether somebody has stopped it, and how many bytes one step may make.
//!
//! Kernels and operators run from one end of a batch to the other without ever waiting, so nothing outside can end them; yet a cancelled
//! query must give its threads back within a tenth of a second. Whoever runs them enters the query's [`Watch`] on the thread, and every
//! loop that may be long asks [`stopped`] or [`check`] now and then. A kernel that is stopped gives whatever it likes, of the right length:
//! the answer is thrown away by whoever entered the watch.
//!
//! The watch belongs to the thread, not to an argument, because a kernel deep in an expression knows its columns and nothing else.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::eval::EvalError;

/// Of one query; clones are the same watch.
#[derive(Clone, Debug)]
pub struct Watch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    stopped: AtomicBool,
    memory: usize,
}

thread_local! {
    static CURRENT: RefCell<Option<Watch>> = const { RefCell::new(None) };
}

impl Watch {
    /// A watch over a query that may hold `memory` bytes.
    pub fn new(memory: usize) -> Self {
        Self(Arc::new(Inner { stopped: AtomicBool::new(false), memory }))
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
        Entered { before: CURRENT.with(|current| current.replace(Some(self.clone()))), thread: PhantomData }
    }

    /// The watch of this thread, if it runs a query.
    pub fn current() -> Option<Watch> {
        CURRENT.with(|current| current.borrow().clone())
    }
}

/// Puts back the watch that was there before. Stays on its thread.
pub struct Entered {
    before: Option<Watch>,
    thread: PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let before = self.before.take();
        CURRENT.with(|current| *current.borrow_mut() = before);
    }
}

/// Whether the query that this thread runs has been stopped.
pub fn stopped() -> bool {
    CURRENT.with(|current| current.borrow().as_ref().is_some_and(Watch::is_stopped))
}

/// As [`stopped`], for operators, which may fail.
pub fn check() -> Result<(), EvalError> {
    if stopped() { Err(EvalError::Stopped) } else { Ok(()) }
}

/// What the query that this thread runs may hold.
pub fn memory() -> usize {
    CURRENT.with(|current| current.borrow().as_ref().map_or(usize::MAX, Watch::memory))
}

#[cfg(test)]
mod tests {
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
}
