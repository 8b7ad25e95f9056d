//! The memory pool of one query: operators of DataFusion and ours reserve memory here before they grow.
//!
//! As in DataFusion's `FairSpillPool`, consumers that can spill share evenly what the others leave, so that a sort and an aggregation do
//! not starve each other; consumers that cannot spill are served first come, first served. In addition, this pool handles
//!
//! - sorts merging spilled runs: each would take all free memory to merge many runs at once and leave nothing to the next, so together they
//!   get half in equal shares, plus as much of the other half as leaves a quarter of the total to the operators that read the merged rows;
//! - unreported memory: a hash or cross join concatenates its build side while the parts still exist, so it is charged twice;
//! - the peak, for query statistics;
//! - whether an allocation failed while a replaceable operator held memory, so that the query can be retried with spilling operators, such
//!   as sort-merge joins;
//! - temporary memory of kernels: up to half of the limit in addition to what operators hold, since operators yield only after the next
//!   batch;
//! - the memory of all queries together, which has its own limit ([`SharedMemory`]);
//! - whether any part of the query is still alive: the pool is dropped with its last operator.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use kql::watch::Budget;

/// Operators that use twice the memory they reserve, by name prefix.
const TWICE: [&str; 2] = [HASH_JOIN, "CrossJoin"];

/// Sorts that merge spilled runs.
const MERGE: &str = "ExternalSorterMerge";

/// Our operators that hold all rows or groups: fast, and replaced by DataFusion's if memory is short.
const IN_MEMORY: [&str; 2] = ["sort", "direct"];

/// Always granted, so that small requests do not fail: batches in flight are registered without a check.
const CRUMB: usize = 64 << 10;

/// Minimum memory for temporary results of kernels, however small the limit.
const LEAST_BUILDING: usize = 16 << 20;

/// The build side of a hash join.
const HASH_JOIN: &str = "HashJoinInput";

pub(crate) struct QueryPool {
    limit: usize,
    shares: Mutex<Shares>,
    peak: AtomicUsize,
    all: Arc<SharedMemory>,
    /// True if the last failed allocation hit the limit of all queries.
    refused_by_all: AtomicBool,
    _alive: Alive,
}

/// The memory of all running queries together.
#[derive(Debug)]
pub(crate) struct SharedMemory {
    limit: usize,
    used: AtomicUsize,
}

impl SharedMemory {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, used: AtomicUsize::new(0) }
    }

    /// Bytes held by all queries.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn try_grow(&self, bytes: usize) -> bool {
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    fn grow(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    fn shrink(&self, bytes: usize) {
        let left = |used: usize| Some(used.saturating_sub(bytes));
        let _ = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left);
    }
}

#[derive(Default)]
struct Shares {
    /// Number of consumers that can spill.
    spillers: usize,
    /// Bytes held by consumers that can spill.
    spillable: usize,
    /// Number of sorts that merge.
    mergers: usize,
    /// Bytes held by sorts that merge.
    merging: usize,
    /// Bytes held by other consumers.
    fixed: usize,
    /// Bytes built by kernels and not yet taken over by an operator.
    building: usize,
    /// True if any consumer can be replaced by a spilling operator.
    replaceable: bool,
    refused: bool,
}

impl Shares {
    fn held(&self) -> usize {
        self.spillable.saturating_add(self.fixed).saturating_add(self.building)
    }

    fn take(&mut self, consumer: &MemoryConsumer, bytes: usize) {
        let side = if consumer.can_spill() { &mut self.spillable } else { &mut self.fixed };
        *side = side.saturating_add(charge(consumer, bytes));
        if merges(consumer) {
            self.merging += bytes;
        }
    }

    fn give(&mut self, consumer: &MemoryConsumer, bytes: usize) {
        let side = if consumer.can_spill() { &mut self.spillable } else { &mut self.fixed };
        *side = side.saturating_sub(charge(consumer, bytes));
        if merges(consumer) {
            self.merging = self.merging.saturating_sub(bytes);
        }
    }
}

/// Counts a query until all its memory is released.
pub(crate) struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A query that held more than this triggers a trim of the allocator when it ends.
const WORTH_GIVING_BACK: usize = 32 << 20;

/// Returns freed memory to the system: glibc keeps it otherwise, and after a large query that is most of the process's memory.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
fn give_back() {
    // SAFETY: `malloc_trim` takes a number and no pointer, may be called from any thread at any time (malloc_trim(3): MT-Safe), and touches
    // free memory only.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back() {}

/// Delay before trimming: the threads of a query that has just ended are still freeing memory.
const LET_GO: Duration = Duration::from_millis(20);

/// Wakes the trimming thread, of which there is one per process, like the allocator. Trimming takes time and locks the allocator's arenas
/// one after another, so query threads do not wait for it.
static BELL: LazyLock<Option<SyncSender<()>>> = LazyLock::new(|| {
    let (bell, rings) = sync_channel(1);
    let janitor = move || {
        while rings.recv().is_ok() {
            std::thread::sleep(LET_GO);
            give_back();
        }
    };
    let started = std::thread::Builder::new().name("give-back".to_owned()).spawn(janitor);
    started.is_ok().then_some(bell)
});

/// Asks the trimming thread to return freed memory to the system. Returns at once.
pub fn trim_memory() {
    if let Some(bell) = &*BELL {
        // If the channel is full, a trim is already pending.
        let _ = bell.try_send(());
    }
}

impl Drop for QueryPool {
    fn drop(&mut self) {
        let shares = self.shares.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.all.shrink(shares.held());
        if self.peak() > WORTH_GIVING_BACK {
            trim_memory();
        }
    }
}

impl QueryPool {
    pub(crate) fn new(limit: usize, all: &Arc<SharedMemory>, alive: &Arc<AtomicUsize>) -> Self {
        let (shares, peak, refused_by_all) = (Mutex::default(), AtomicUsize::new(0), AtomicBool::new(false));
        Self { limit, shares, peak, all: all.clone(), refused_by_all, _alive: Alive::new(alive) }
    }

    /// True if the last failed allocation hit the limit of all queries.
    pub(crate) fn is_refused_by_all(&self) -> bool {
        self.refused_by_all.load(Ordering::Relaxed)
    }

    /// Reserves from the memory of all queries; false if it is exhausted.
    fn take_from_all(&self, bytes: usize) -> bool {
        let taken = self.all.try_grow(bytes);
        self.refused_by_all.store(!taken, Ordering::Relaxed);
        taken
    }

    fn shares(&self) -> MutexGuard<'_, Shares> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Peak memory in bytes.
    pub(crate) fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// True if an allocation failed and a spilling plan exists: either the failed operator can be replaced, or one that left too little
    /// memory.
    pub(crate) fn may_be_frugal(&self) -> bool {
        let shares = self.shares();
        shares.refused && shares.replaceable
    }

    fn note(&self, shares: &Shares) {
        self.peak.fetch_max(shares.held(), Ordering::Relaxed);
    }
}

fn merges(consumer: &MemoryConsumer) -> bool {
    consumer.name().starts_with(MERGE)
}

/// Bytes charged for a reservation of `bytes`.
fn charge(consumer: &MemoryConsumer, bytes: usize) -> usize {
    if TWICE.iter().any(|name| consumer.name().starts_with(name)) { bytes.saturating_mul(2) } else { bytes }
}

impl fmt::Debug for QueryPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QueryPool({})", self.limit)
    }
}

impl fmt::Display for QueryPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.limit)
    }
}

/// Memory built by kernels.
impl Budget for QueryPool {
    fn try_grow(&self, bytes: usize) -> bool {
        let mut shares = self.shares();
        let building = shares.building.saturating_add(bytes);
        if building > (self.limit / 2).max(LEAST_BUILDING) {
            self.refused_by_all.store(false, Ordering::Relaxed);
            return false;
        }
        let taken = self.take_from_all(bytes);
        if taken {
            shares.building = building;
            self.note(&shares);
        }
        taken
    }

    fn shrink(&self, bytes: usize) {
        let mut shares = self.shares();
        let bytes = bytes.min(shares.building);
        shares.building -= bytes;
        self.all.shrink(bytes);
    }
}

impl MemoryPool for QueryPool {
    fn name(&self) -> &str {
        "query"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        let mut shares = self.shares();
        shares.spillers += usize::from(consumer.can_spill());
        shares.mergers += usize::from(merges(consumer));
        shares.replaceable |= consumer.name().starts_with(HASH_JOIN) || IN_MEMORY.contains(&consumer.name());
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        let mut shares = self.shares();
        shares.spillers = shares.spillers.saturating_sub(usize::from(consumer.can_spill()));
        shares.mergers = shares.mergers.saturating_sub(usize::from(merges(consumer)));
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        let mut shares = self.shares();
        let before = shares.held();
        shares.take(reservation.consumer(), additional);
        self.all.grow(shares.held() - before);
        self.note(&shares);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        let mut shares = self.shares();
        let before = shares.held();
        shares.give(reservation.consumer(), shrink);
        self.all.shrink(before - shares.held());
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let consumer = reservation.consumer();
        let wanted = charge(consumer, additional);
        let mut shares = self.shares();
        let free = self.limit.saturating_sub(shares.spillable.saturating_add(shares.fixed));
        let available = if consumer.can_spill() {
            let share = self.limit.saturating_sub(shares.fixed) / shares.spillers.max(1);
            share.saturating_sub(charge(consumer, reservation.size())).min(free)
        } else if merges(consumer) {
            let share = self.limit / (2 * shares.mergers.max(1));
            // Another run to merge must fit into the share; a batch larger than the previous one may exceed it slightly.
            let part = if wanted <= share / 4 { share + share / 4 } else { share };
            let others = (share * shares.mergers).saturating_sub(shares.merging);
            let spare = free.saturating_sub(others + self.limit / 4);
            part.saturating_sub(reservation.size()).min(free).max(spare)
        } else {
            free
        };
        let crumb = reservation.size().saturating_add(additional) <= CRUMB;
        if crumb {
            self.all.grow(wanted);
        } else if wanted > available || !self.take_from_all(wanted) {
            if wanted > available {
                self.refused_by_all.store(false, Ordering::Relaxed);
            }
            shares.refused = true;
            let name = consumer.name();
            tracing::debug!(consumer = name, wanted, available, all = self.all.used(), "refused memory");
            return Err(DataFusionError::ResourcesExhausted(format!(
                "{name} wants {wanted} bytes; {available} of {} are left",
                self.limit
            )));
        }
        shares.take(consumer, additional);
        self.note(&shares);
        Ok(())
    }

    fn reserved(&self) -> usize {
        let shares = self.shares();
        shares.spillable + shares.fixed
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn unlimited() -> Arc<SharedMemory> {
        Arc::new(SharedMemory::new(usize::MAX))
    }

    #[test]
    fn shared_memory_limit_applies() {
        let (all, alive) = (Arc::new(SharedMemory::new(100 * MIB)), Arc::default());
        let pool = |limit: usize| Arc::new(QueryPool::new(limit, &all, &alive));
        let (one, other) = (pool(80 * MIB), pool(80 * MIB));
        let (first, second): (Arc<dyn MemoryPool>, Arc<dyn MemoryPool>) = (one.clone(), other.clone());
        let (first, second) = (MemoryConsumer::new("one").register(&first), MemoryConsumer::new("two").register(&second));
        first.try_grow(70 * MIB).unwrap();
        assert!(first.try_grow(20 * MIB).is_err() && !one.is_refused_by_all());
        assert!(second.try_grow(40 * MIB).is_err() && other.is_refused_by_all());
        second.try_grow(20 * MIB).unwrap();
        // Kernels reserve memory too.
        assert!(!Budget::try_grow(other.as_ref(), 20 * MIB) && Budget::try_grow(other.as_ref(), 5 * MIB));
        assert_eq!(all.used(), 95 * MIB);
        Budget::shrink(other.as_ref(), 5 * MIB);
        first.free();
        second.try_grow(40 * MIB).unwrap();
        assert!(!other.is_refused_by_all());
        drop((first, second, one, other));
        assert_eq!(all.used(), 0);
    }

    #[test]
    fn spilling_consumers_share_remaining_memory() {
        let alive = Arc::default();
        let pool: Arc<dyn MemoryPool> = Arc::new(QueryPool::new(1000 * MIB, &unlimited(), &alive));
        let fixed = MemoryConsumer::new("fixed").register(&pool);
        let one = MemoryConsumer::new("one").with_can_spill(true).register(&pool);
        let two = MemoryConsumer::new("two").with_can_spill(true).register(&pool);
        fixed.try_grow(200 * MIB).unwrap();
        one.try_grow(400 * MIB).unwrap();
        assert!(one.try_grow(MIB).is_err());
        two.try_grow(400 * MIB).unwrap();
        assert!(fixed.try_grow(MIB).is_err());
        one.shrink(100 * MIB);
        fixed.try_grow(100 * MIB).unwrap();
        assert_eq!((pool.reserved(), alive.load(Ordering::SeqCst)), (1000 * MIB, 1));
        drop((fixed, one, two, pool));
        assert_eq!(alive.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn merging_sorts_share_memory() {
        let pool: Arc<dyn MemoryPool> = Arc::new(QueryPool::new(1000 * MIB, &unlimited(), &Arc::default()));
        let one = MemoryConsumer::new("ExternalSorterMerge[0]").register(&pool);
        let two = MemoryConsumer::new("ExternalSorterMerge[1]").register(&pool);
        let rows = MemoryConsumer::new("rows").register(&pool);
        rows.try_grow(400 * MIB).unwrap();
        one.try_grow(250 * MIB).unwrap();
        assert!(one.try_grow(100 * MIB).is_err());
        two.try_grow(250 * MIB).unwrap();
        one.try_grow(60 * MIB).unwrap();
        assert!(one.try_grow(60 * MIB).is_err());
        // With enough free memory, both may exceed their shares without affecting each other.
        rows.free();
        one.try_grow(100 * MIB).unwrap();
        assert!(one.try_grow(400 * MIB).is_err());
    }

    #[test]
    fn minimum_grant_always_succeeds() {
        let pool: Arc<dyn MemoryPool> = Arc::new(QueryPool::new(MIB, &unlimited(), &Arc::default()));
        let noted = MemoryConsumer::new("merge join").register(&pool);
        noted.grow(2 * MIB);
        let small = MemoryConsumer::new("aggregate").register(&pool);
        small.try_grow(64).unwrap();
        assert!(small.try_grow(CRUMB).is_err());
    }

    #[test]
    fn hash_join_build_side_is_charged_twice() {
        let pool: Arc<dyn MemoryPool> = Arc::new(QueryPool::new(1000 * MIB, &unlimited(), &Arc::default()));
        let join = MemoryConsumer::new("HashJoinInput[0]").register(&pool);
        join.try_grow(500 * MIB).unwrap();
        assert!(join.try_grow(MIB).is_err());
        assert!(pool.downcast_ref::<QueryPool>().unwrap().may_be_frugal());
        join.free();
        assert_eq!(pool.reserved(), 0);
    }
}
