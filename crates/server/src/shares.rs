//! A limited quantity shared fairly between callers: memory for bodies, slots in the pipeline.
//!
//! Weighted fair queueing: each holder has a virtual time that grows with what it receives; the waiter with the smallest is served first.
//! So a client that requests much waits behind one that requests little, regardless of arrival order. One holder gets at most its limit, so
//! that some capacity is left for others.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

/// Maximum requests of one holder that wait concurrently; more are refused.
const MAX_WAITING: usize = 256;

/// No share became free in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing was free in time")]
pub struct Busy;

/// The quantity and its holders.
#[derive(Debug)]
pub struct Shares {
    total: u64,
    per_holder: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    used: u64,
    /// Virtual time of the last share granted.
    now: u64,
    holders: HashMap<String, Holder>,
}

#[derive(Debug, Default)]
struct Holder {
    used: u64,
    time: u64,
    waiting: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    amount: u64,
    /// Notified when the share is granted. A cancelled waiter is detected on notification.
    turn: oneshot::Sender<Share>,
}

/// A share, released on drop.
#[derive(Debug)]
pub struct Share {
    shares: Arc<Shares>,
    holder: String,
    amount: u64,
}

impl Shares {
    /// `total` capacity, of which one holder gets at most `per_holder`.
    pub fn new(total: u64, per_holder: u64) -> Arc<Self> {
        Arc::new(Self { total, per_holder: per_holder.clamp(1, total), state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a share of `amount` for `holder`. Fails at once if it exceeds the limit per holder.
    pub async fn get(self: &Arc<Self>, holder: &str, amount: u64, patience: Duration) -> Result<Share, Busy> {
        let (turn, told) = oneshot::channel();
        {
            let mut state = self.state();
            let now = state.now;
            let mine = state.holders.entry(holder.to_owned()).or_default();
            mine.waiting.retain(|waiter| !waiter.turn.is_closed());
            if amount > self.per_holder || mine.waiting.len() >= MAX_WAITING {
                return Err(Busy);
            }
            if mine.waiting.is_empty() {
                // An inactive holder does not accumulate credit.
                mine.time = mine.time.max(now);
            }
            mine.waiting.push_back(Waiter { amount, turn });
        }
        self.serve();
        match tokio::time::timeout(patience, told).await {
            Ok(Ok(share)) => Ok(share),
            _ => Err(Busy),
        }
    }

    /// Grants free capacity to waiters in order of virtual time.
    fn serve(self: &Arc<Self>) {
        // Undelivered shares are released when dropped, which locks the state again.
        let mut undelivered = Vec::new();
        loop {
            let mut state = self.state();
            for holder in state.holders.values_mut() {
                while holder.waiting.front().is_some_and(|waiter| waiter.turn.is_closed()) {
                    holder.waiting.pop_front();
                }
            }
            let free = self.total - state.used;
            let next = state
                .holders
                .iter()
                .filter_map(|(name, holder)| Some((holder.time, name, holder.waiting.front()?.amount, holder.used)))
                .filter(|(_, _, amount, used)| used + amount <= self.per_holder)
                .min_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)))
                .map(|(time, name, amount, _)| (time, name.clone(), amount));
            // A large request that does not fit yet blocks the queue: otherwise small ones would starve it.
            let Some((time, name, amount)) = next.filter(|(_, _, amount)| *amount <= free) else { break };
            let Some(holder) = state.holders.get_mut(&name) else { break };
            let Some(waiter) = holder.waiting.pop_front() else { break };
            holder.used += amount;
            holder.time = holder.time.saturating_add(amount.max(1));
            state.used += amount;
            state.now = state.now.max(time);
            drop(state);
            let share = Share { shares: Arc::clone(self), holder: name, amount };
            if let Err(share) = waiter.turn.send(share) {
                undelivered.push(share);
            }
        }
        drop(undelivered);
    }
}

impl State {
    /// Removes a holder without shares and waiters, unless its virtual time is ahead.
    fn forget(&mut self, name: &str) {
        let now = self.now;
        let idle = |holder: &Holder| holder.used == 0 && holder.waiting.is_empty() && holder.time <= now;
        if self.holders.get(name).is_some_and(idle) {
            self.holders.remove(name);
        }
        if self.used == 0 && self.holders.values().all(|holder| holder.waiting.is_empty()) {
            self.holders.clear();
        }
    }
}

impl Share {
    /// Enlarges the share if capacity is free now.
    pub fn grow(&mut self, amount: u64) -> Result<(), Busy> {
        let mut state = self.shares.state();
        let used = state.holders.get(&self.holder).map_or(0, |holder| holder.used);
        if amount > self.shares.total - state.used || used + amount > self.shares.per_holder {
            return Err(Busy);
        }
        state.used += amount;
        let holder = state.holders.entry(self.holder.clone()).or_default();
        holder.used += amount;
        holder.time = holder.time.saturating_add(amount);
        self.amount += amount;
        Ok(())
    }

    /// Releases all but `amount`.
    pub fn shrink(&mut self, amount: u64) {
        let back = self.amount.saturating_sub(amount);
        self.amount -= back;
        self.give_back(back);
    }

    fn give_back(&self, amount: u64) {
        {
            let mut state = self.shares.state();
            state.used -= amount;
            if let Some(holder) = state.holders.get_mut(&self.holder) {
                holder.used -= amount;
            }
            state.forget(&self.holder);
        }
        self.shares.serve();
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back(self.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;
    const LATER: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn parts_come_back_and_no_holder_has_all() {
        let shares = Shares::new(10, 6);
        let a = shares.get("a", 6, NOW).await.unwrap();
        assert_eq!(shares.get("a", 1, NOW).await.unwrap_err(), Busy);
        let mut b = shares.get("b", 3, NOW).await.unwrap();
        assert_eq!(b.grow(2), Err(Busy));
        b.grow(1).unwrap();
        assert_eq!(shares.get("c", 1, NOW).await.unwrap_err(), Busy);
        b.shrink(1);
        shares.get("c", 3, NOW).await.unwrap();
        assert_eq!(shares.get("c", 7, NOW).await.unwrap_err(), Busy, "more than a holder may have");
        drop((a, b));
        let state = shares.state();
        assert_eq!((state.used, state.holders.len()), (0, 0));
    }

    #[tokio::test]
    async fn one_that_asks_for_much_waits_behind_one_that_asks_for_little() {
        let shares = Shares::new(1, 1);
        let held = shares.get("x", 1, NOW).await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let wait = |name: &'static str| {
            let (shares, order) = (Arc::clone(&shares), Arc::clone(&order));
            async move {
                let share = shares.get(name, 1, LATER).await.unwrap();
                order.lock().unwrap().push(name);
                drop(share);
            }
        };
        // Ten requests of a greedy client are queued before the first of another.
        let mut tasks: Vec<_> = (0..10).map(|_| tokio::spawn(wait("greedy"))).collect();
        while shares.state().holders.get("greedy").is_none_or(|holder| holder.waiting.len() < 10) {
            tokio::task::yield_now().await;
        }
        tasks.push(tokio::spawn(wait("small")));
        while !shares.state().holders.contains_key("small") {
            tokio::task::yield_now().await;
        }
        drop(held);
        for task in tasks {
            task.await.unwrap();
        }
        let place = order.lock().unwrap().iter().position(|name| *name == "small").unwrap();
        assert!(place <= 1, "{:?}", order.lock().unwrap());
    }

    #[tokio::test]
    async fn who_goes_away_leaves_nothing_behind() {
        let shares = Shares::new(1, 1);
        let held = shares.get("a", 1, NOW).await.unwrap();
        assert!(shares.get("b", 1, Duration::from_millis(5)).await.is_err());
        drop(held);
        drop(shares.get("c", 1, NOW).await.unwrap());
        assert_eq!(shares.state().used, 0);
    }
}
