//! The memory of one query: DataFusion's operators and ours ask here before they grow.
//!
//! Whoever can put state on disk gets an even part of what the others leave, as in DataFusion's `FairSpillPool`, so that of a sort and an
//! aggregation neither starves the other; whoever cannot takes what is free, first come, first served. Beyond that, this pool knows
//!
//! - sorts that merge what they have put on disk: each would take all memory that is free to merge many runs at once, and leave nothing to
//!   the next, so together they get half, in even parts, and of the other half what leaves a quarter of all to whoever reads what they merge;
//! - what operators do not say: a hash or cross join lays its build side together while the parts are still there, so it is charged twice;
//! - the most that was ever held, for the statistics of the answer;
//! - whether somebody was refused beside an operator that can be replaced, so that a query can be tried again with operators that go on on disk: joins as merges of sorted inputs;
//! - what kernels build for the moment: half of the limit may be, beside what operators hold, for those give way only after the next batch;
//! - what all queries together hold, which has a limit of its own ([`SharedMemory`]);
//! - whether anything of the query is still alive: the pool dies with its last operator.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use kql::watch::Budget;

/// Operators that hold twice what they ask for, by the beginning of their name.
const TWICE: [&str; 2] = [HASH_JOIN, "CrossJoin"];

/// Sorts that merge their runs.
const MERGE: &str = "ExternalSorterMerge";

/// Operators of ours that hold all they sort or group: quick, and replaced by DataFusion's where memory is short.
const IN_MEMORY: [&str; 2] = ["sort", "direct"];

/// What anybody gets, however little is left: batches under way are noted without asking, and whoever counts groups of one beside them is
/// not to fail for the want of sixty-four bytes.
const CRUMB: usize = 64 << 10;

/// What kernels may build for the moment in any query, however small its limit.
const LEAST_BUILDING: usize = 16 << 20;

/// The build side of a hash join.
const HASH_JOIN: &str = "HashJoinInput";

pub(crate) struct QueryPool {
    limit: usize,
    shares: Mutex<Shares>,
    peak: AtomicUsize,
    all: Arc<SharedMemory>,
    /// Whether it was the limit of all queries that refused memory last.
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

    /// What all queries hold.
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
    /// Consumers that can put state on disk.
    spillers: usize,
    /// What they hold.
    spillable: usize,
    /// Sorts that merge.
    mergers: usize,
    /// What they hold.
    merging: usize,
    /// What the others hold.
    fixed: usize,
    /// What kernels have built and nobody has taken over yet.
    building: usize,
    /// Whether any of them does a work that another can do on disk.
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

/// Counts queries as long as anything of them holds memory.
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

/// A query that held more than this has its memory given back to the system when it ends.
const WORTH_GIVING_BACK: usize = 32 << 20;

/// glibc keeps freed memory for whoever asks next; after a large query that is most of what the process holds.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
fn give_back() {
    // SAFETY: `malloc_trim` takes a number and no pointer, is safe to call from any thread at any time (malloc_trim(3): MT-Safe), and
    // touches free memory only.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back() {}

/// How long freed memory may lie before it is given back: the threads of a query that has just ended are still letting go of theirs.
const LET_GO: Duration = Duration::from_millis(20);

/// Rings for the thread that gives memory back, one for the process as the allocator is. Trimming takes its time and holds the allocator's
/// locks one after the other, so whoever answers a query does not wait for it.
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

impl Drop for QueryPool {
    fn drop(&mut self) {
        let shares = self.shares.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.all.shrink(shares.held());
        if let (true, Some(bell)) = (self.peak() > WORTH_GIVING_BACK, &*BELL) {
            // Full: it has been rung for already.
            let _ = bell.try_send(());
        }
    }
}

impl QueryPool {
    pub(crate) fn new(limit: usize, all: &Arc<SharedMemory>, alive: &Arc<AtomicUsize>) -> Self {
        let (shares, peak, refused_by_all) = (Mutex::default(), AtomicUsize::new(0), AtomicBool::new(false));
        Self { limit, shares, peak, all: all.clone(), refused_by_all, _alive: Alive::new(alive) }
    }

    /// Whether the query was refused memory last because all queries together had no more.
    pub(crate) fn is_refused_by_all(&self) -> bool {
        self.refused_by_all.load(Ordering::Relaxed)
    }

    /// Takes from what all queries have.
    fn take_from_all(&self, bytes: usize) -> bool {
        let taken = self.all.try_grow(bytes);
        self.refused_by_all.store(!taken, Ordering::Relaxed);
        taken
    }

    fn shares(&self) -> MutexGuard<'_, Shares> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The most that was held at any time.
    pub(crate) fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// Whether somebody got no more while there was an operator whose work another can do on disk: be it that one, be it one beside it, to
    /// which it left too little.
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

/// What is charged for `bytes` of a consumer.
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

/// What kernels build.
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
            // A further run to merge must fit into the part; a batch larger than the one before may go a little beyond.
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
    fn all_queries_together_have_a_limit() {
        let (all, alive) = (Arc::new(SharedMemory::new(100 * MIB)), Arc::default());
        let pool = |limit: usize| Arc::new(QueryPool::new(limit, &all, &alive));
        let (one, other) = (pool(80 * MIB), pool(80 * MIB));
        let (first, second): (Arc<dyn MemoryPool>, Arc<dyn MemoryPool>) = (one.clone(), other.clone());
        let (first, second) = (MemoryConsumer::new("one").register(&first), MemoryConsumer::new("two").register(&second));
        first.try_grow(70 * MIB).unwrap();
        assert!(first.try_grow(20 * MIB).is_err() && !one.is_refused_by_all());
        assert!(second.try_grow(40 * MIB).is_err() && other.is_refused_by_all());
        second.try_grow(20 * MIB).unwrap();
        // Kernels ask too.
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
    fn spillers_share_what_the_others_leave() {
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
    fn sorts_that_merge_leave_some_to_each_other() {
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
        // With more to spare they may go beyond their parts, the other's untouched.
        rows.free();
        one.try_grow(100 * MIB).unwrap();
        assert!(one.try_grow(400 * MIB).is_err());
    }

    #[test]
    fn a_crumb_is_never_refused() {
        let pool: Arc<dyn MemoryPool> = Arc::new(QueryPool::new(MIB, &unlimited(), &Arc::default()));
        let noted = MemoryConsumer::new("merge join").register(&pool);
        noted.grow(2 * MIB);
        let small = MemoryConsumer::new("aggregate").register(&pool);
        small.try_grow(64).unwrap();
        assert!(small.try_grow(CRUMB).is_err());
    }

    #[test]
    fn a_hash_join_is_charged_for_laying_its_side_together() {
        let pool: Arc<dyn MemoryPool> = Arc::new(QueryPool::new(1000 * MIB, &unlimited(), &Arc::default()));
        let join = MemoryConsumer::new("HashJoinInput[0]").register(&pool);
        join.try_grow(500 * MIB).unwrap();
        assert!(join.try_grow(MIB).is_err());
        assert!(pool.downcast_ref::<QueryPool>().unwrap().may_be_frugal());
        join.free();
        assert_eq!(pool.reserved(), 0);
    }
}
