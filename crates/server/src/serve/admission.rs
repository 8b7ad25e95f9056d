//! Connection limits, in total and per peer address, and which connection is closed when one is reached.
//!
//! A new connection is always accepted. At a limit the least valuable connection is closed: first those that have sent nothing for a while
//! (they cost an attacker the least), then those whose client has not authenticated, oldest first (an honest client needs them for
//! milliseconds, an attacker holds them as long as it can), then idle ones. If all connections belong to authenticated clients, the new one
//! receives 503, for which some slots are reserved; beyond those it is closed at once.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::session::{Deadlines, IDLE, Peer, Session, Worth};

/// Connections above the limits that are kept open only to send 503.
const REFUSALS: usize = 32;

/// A peer with more than this part of all connections has a large share.
const LARGE_SHARE: usize = 8;

/// Connection limits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub total: usize,
    pub per_peer: usize,
}

/// Registry of all connections.
#[derive(Debug)]
pub struct Admission {
    limits: Limits,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    /// In order of acceptance.
    sessions: BTreeMap<u64, Arc<Session>>,
    refusals: usize,
}

/// Decision on a new connection.
#[derive(Debug)]
pub enum Verdict {
    Serve(Ticket),
    /// Respond to every request with 503.
    Refuse(Ticket),
    Close,
}

/// A connection slot, released on drop.
#[derive(Debug)]
pub struct Ticket {
    admission: Arc<Admission>,
    pub session: Arc<Session>,
    /// `None` for one of the slots for refusals.
    id: Option<u64>,
}

impl Deref for Ticket {
    type Target = Arc<Session>;
    fn deref(&self) -> &Arc<Session> {
        &self.session
    }
}

impl Admission {
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, table: Mutex::default() })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds a slot for a connection from `address`, closing a less valuable one if necessary.
    pub fn admit(self: &Arc<Self>, address: SocketAddr, now: Instant) -> Verdict {
        let session = Session::new(address, now);
        let mut table = self.table();
        let of_peer = table.sessions.values().filter(|other| other.peer == session.peer).count();
        let room = (of_peer < self.limits.per_peer || table.make_room(Some(session.peer)))
            && (table.sessions.len() < self.limits.total || table.make_room(None));
        if room {
            let id = table.next;
            table.next += 1;
            table.sessions.insert(id, Arc::clone(&session));
            return Verdict::Serve(Ticket { admission: Arc::clone(self), session, id: Some(id) });
        }
        metrics::counter!("bartizan_http_connections_refused_total").increment(1);
        if table.refusals < REFUSALS {
            table.refusals += 1;
            return Verdict::Refuse(Ticket { admission: Arc::clone(self), session, id: None });
        }
        Verdict::Close
    }

    /// Closes one low-value connection when the process has no file descriptors left.
    pub fn shed(&self) {
        self.table().make_room(None);
    }

    /// Closes every connection past a deadline.
    pub fn sweep(&self, now: Instant, deadlines: &Deadlines) {
        let overdue: Vec<(Arc<Session>, &'static str)> = {
            let table = self.table();
            table.sessions.values().filter_map(|session| Some((Arc::clone(session), session.overdue(now, deadlines)?))).collect()
        };
        for (session, why) in overdue {
            if why == IDLE {
                session.retire.cancel();
                continue;
            }
            tracing::debug!(peer = %session.peer, why, "a connection was closed because its client took too long");
            metrics::counter!("bartizan_http_connections_cut_total", "reason" => why).increment(1);
            session.cut.cancel();
        }
    }
}

impl Table {
    /// Closes the least valuable connection of this peer or of all; returns false if all belong to authenticated clients.
    ///
    /// New connections go last, so that a client has time for its handshake and its token. Among all, the peer with most connections is
    /// affected first as long as it has a large share of them: with small shares an honest client behind the address of a slow one would
    /// lose to many addresses with one connection each. Cost: one pass over the connections, only when a limit is reached.
    fn make_room(&mut self, of: Option<Peer>) -> bool {
        let mut counts: HashMap<Peer, usize> = HashMap::new();
        for session in self.sessions.values() {
            *counts.entry(session.peer).or_default() += 1;
        }
        let victim = self
            .sessions
            .iter()
            .filter(|(_, session)| of.is_none_or(|peer| session.peer == peer))
            .map(|(id, session)| {
                let count = counts.get(&session.peer).copied().unwrap_or(0);
                let share = if count > self.sessions.len() / LARGE_SHARE { usize::MAX - count } else { usize::MAX };
                (session.worth(), session.is_new(), share, *id)
            })
            .filter(|(worth, _, _, _)| *worth != Worth::Working)
            .min();
        let Some((_, _, _, id)) = victim else { return false };
        if let Some(session) = self.sessions.remove(&id) {
            metrics::counter!("bartizan_http_connections_cut_total", "reason" => "room for others").increment(1);
            session.cut.cancel();
        }
        true
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut table = self.admission.table();
        match self.id {
            Some(id) => drop(table.sessions.remove(&id)),
            None => table.refusals -= 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn served(verdict: Verdict) -> Ticket {
        match verdict {
            Verdict::Serve(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_oldest_stranger_makes_room_and_working_clients_stay() {
        let admission = Admission::new(Limits { total: 4, per_peer: 3 });
        let from = |last: u8| admission.admit(([192, 0, 2, last], 1).into(), Instant::now());
        let worker = served(from(1));
        worker.prove();
        let _running = worker.begin();
        let strangers = [served(from(1)), served(from(1))];
        // A fourth connection of one peer: its oldest unauthenticated one is closed, the authenticated one stays.
        let fourth = served(from(1));
        assert!(strangers[0].cut.is_cancelled() && !strangers[1].cut.is_cancelled() && !worker.cut.is_cancelled());
        let other = served(from(2));
        // All slots are taken: the peer with the most connections loses one, although the other also has an unauthenticated one.
        let third_peer = served(from(3));
        assert!(strangers[1].cut.is_cancelled() && !other.cut.is_cancelled() && !fourth.cut.is_cancelled());
        drop((fourth, other, third_peer, strangers));
        assert_eq!(admission.table().sessions.len(), 1);
    }

    #[test]
    fn a_newcomer_outlives_slow_clients() {
        let admission = Admission::new(Limits { total: 3, per_peer: 3 });
        // Accepted in the future, so that all count as young on a slow machine.
        let arrive = || served(admission.admit(([192, 0, 2, 1], 1).into(), Instant::now() + Duration::from_secs(60)));
        // Three connections that finish the handshake and then stall within a request.
        let slow: Vec<Ticket> = (0..3).map(|_| arrive()).collect();
        for ticket in &slow {
            ticket.received();
            ticket.handshake_done(true);
        }
        let _requests: Vec<_> = slow.iter().map(|ticket| ticket.begin()).collect();
        // A new connection is not closed in favour of the next ones, although it has sent nothing yet.
        let newcomer = arrive();
        let others = [arrive(), arrive()];
        assert!(slow.iter().all(|ticket| ticket.cut.is_cancelled()) && !newcomer.cut.is_cancelled());
        drop(others);
    }

    #[test]
    fn a_client_that_shares_its_address_with_a_slow_one_keeps_its_place() {
        let admission = Admission::new(Limits { total: 64, per_peer: 64 });
        let from = |a: u8, b: u8| served(admission.admit(([127, a, 0, b], 1).into(), Instant::now()));
        let _strangers: Vec<Ticket> = (0..60).map(|n| from(1, n)).collect();
        let _slow: Vec<Ticket> = (0..4).map(|_| from(0, 1)).collect();
        let honest = from(0, 1);
        // Each of these closes the oldest of all, not the newest of the address with five.
        let _more: Vec<Ticket> = (60..100).map(|n| from(1, n)).collect();
        assert!(!honest.cut.is_cancelled());
    }

    #[test]
    fn where_everything_works_newcomers_are_told_so() {
        let admission = Admission::new(Limits { total: 1, per_peer: 1 });
        let from = |last: u8| admission.admit(([192, 0, 2, last], 1).into(), Instant::now());
        let worker = served(from(1));
        worker.prove();
        let running = worker.begin();
        let told: Vec<Verdict> = (0..REFUSALS).map(|_| from(2)).collect();
        assert!(told.iter().all(|verdict| matches!(verdict, Verdict::Refuse(_))));
        assert!(matches!(from(2), Verdict::Close));
        drop(told);
        drop(running);
        // Now idle: the next connection replaces it.
        served(from(2));
        assert!(worker.cut.is_cancelled());
    }
}
