//! State of one connection: its phase, since when, and whether its client has authenticated.
//!
//! Every wait for the client has a deadline, in every protocol: handshake, request header, idle time and reading a response.
//! [`Session::overdue`] evaluates them as a pure function of the state and the time.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Time limits for a client.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    pub handshake: Duration,
    pub header: Duration,
    /// Idle time of a client that has not authenticated.
    pub idle_unproven: Duration,
    pub idle: Duration,
    /// Time without progress in reading a response.
    pub write: Duration,
}

/// A connection without any byte for this long is of no use to an honest client. Younger ones are not judged: their first bytes may be in
/// transit, and closing them would keep new clients out in favour of slow ones.
const SILENCE: Duration = Duration::from_millis(100);

/// A connection younger than this is closed for another one only where all are: an honest client gets its token in that time.
const NEW: Duration = Duration::from_millis(500);

/// Reason for closing connections that were merely idle.
pub const IDLE: &str = "idle";

/// Connections are counted per IPv4 address, or per /64, which one IPv6 host usually has to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peer(IpAddr);

impl Peer {
    pub fn of(address: SocketAddr) -> Self {
        Self(match address.ip().to_canonical() {
            IpAddr::V4(ip) => IpAddr::V4(ip),
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                IpAddr::V6([a, b, c, d, 0, 0, 0, 0].into())
            }
        })
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Handshake,
    /// Between requests.
    Idle,
    /// Part of a request header has arrived (HTTP/1.1 only; HTTP/2 has frames between requests).
    Header,
    /// Requests are being processed or answered.
    Busy,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    is_http1: bool,
    /// Whether the client has ever sent a byte.
    heard: bool,
    running: usize,
    /// Responses that are not fully sent yet, each with the time of its last progress.
    answers: Vec<(u64, Instant)>,
    next_answer: u64,
}

/// Priority when a connection must be closed; the smallest goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Worth {
    /// Has sent nothing for [`SILENCE`]: it costs the client nothing.
    Silent,
    Unproven,
    Idle,
    /// In use by an authenticated client: never closed for others.
    Working,
}

/// A connection.
#[derive(Debug)]
pub struct Session {
    pub peer: Peer,
    accepted: Instant,
    /// Closes the connection at once.
    pub cut: CancellationToken,
    /// Closes it gracefully: HTTP/2 clients receive GOAWAY.
    pub retire: CancellationToken,
    proven: AtomicBool,
    /// Whether unread bytes may be in transit when the connection is closed.
    pub linger: AtomicBool,
    state: Mutex<State>,
}

impl Session {
    pub fn new(address: SocketAddr, now: Instant) -> Arc<Self> {
        let state =
            State { phase: Phase::Handshake, since: now, is_http1: false, heard: false, running: 0, answers: Vec::new(), next_answer: 0 };
        Arc::new(Self {
            peer: Peer::of(address),
            accepted: now,
            cut: CancellationToken::new(),
            retire: CancellationToken::new(),
            proven: AtomicBool::new(false),
            linger: AtomicBool::new(false),
            state: Mutex::new(state),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client presented a valid token.
    pub fn prove(&self) {
        self.proven.store(true, Ordering::Relaxed);
    }

    pub fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }

    pub fn handshake_done(&self, is_http1: bool) {
        let mut state = self.state();
        (state.phase, state.since, state.is_http1) = (Phase::Idle, Instant::now(), is_http1);
    }

    /// Bytes came from the client.
    pub fn received(&self) {
        let mut state = self.state();
        state.heard = true;
        if state.phase == Phase::Idle && state.is_http1 {
            (state.phase, state.since) = (Phase::Header, Instant::now());
        }
    }

    /// Marks a request as in progress until the guard is dropped.
    pub fn begin(self: &Arc<Self>) -> Running {
        let mut state = self.state();
        state.running += 1;
        state.phase = Phase::Busy;
        drop(state);
        Running(Arc::clone(self))
    }

    /// Marks a response as being sent; see [`Answering`].
    pub fn answering(self: &Arc<Self>) -> Answering {
        let mut state = self.state();
        let id = state.next_answer;
        state.next_answer += 1;
        state.answers.push((id, Instant::now()));
        drop(state);
        Answering { session: Arc::clone(self), id }
    }

    /// Why the connection must be closed now, if so; [`IDLE`] if it may close gracefully.
    pub fn overdue(&self, now: Instant, deadlines: &Deadlines) -> Option<&'static str> {
        let state = self.state();
        let idle = if self.is_proven() { deadlines.idle } else { deadlines.idle_unproven };
        let (limit, why) = match state.phase {
            Phase::Handshake => (deadlines.handshake, "handshake"),
            Phase::Header => (deadlines.header, "header"),
            Phase::Idle => (idle, IDLE),
            Phase::Busy => {
                let stalled = state.answers.iter().any(|(_, last)| now.saturating_duration_since(*last) > deadlines.write);
                return stalled.then_some("answer not taken");
            }
        };
        (now.saturating_duration_since(state.since) > limit).then_some(why)
    }

    pub fn is_new(&self) -> bool {
        self.accepted.elapsed() < NEW
    }

    pub fn worth(&self) -> Worth {
        let state = self.state();
        match (self.is_proven(), state.running) {
            (true, 0) => Worth::Idle,
            (true, _) => Worth::Working,
            (false, _) if !state.heard && self.accepted.elapsed() >= SILENCE => Worth::Silent,
            (false, _) => Worth::Unproven,
        }
    }
}

/// A request in progress, until its response has been sent.
#[derive(Debug)]
pub struct Running(Arc<Session>);

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.running = state.running.saturating_sub(1);
        if state.running == 0 {
            (state.phase, state.since) = (Phase::Idle, Instant::now());
        }
    }
}

/// A response being sent, until dropped.
#[derive(Debug)]
pub struct Answering {
    session: Arc<Session>,
    id: u64,
}

impl Answering {
    /// The client read part of it.
    pub fn progress(&self) {
        let now = Instant::now();
        if let Some((_, last)) = self.session.state().answers.iter_mut().find(|(id, _)| *id == self.id) {
            *last = now;
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.session.state().answers.retain(|(id, _)| *id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINES: Deadlines = Deadlines {
        handshake: Duration::from_secs(5),
        header: Duration::from_secs(6),
        idle_unproven: Duration::from_secs(7),
        idle: Duration::from_secs(60),
        write: Duration::from_secs(30),
    };

    fn session() -> (Arc<Session>, impl Fn(u64) -> Instant) {
        let now = Instant::now();
        (Session::new(([192, 0, 2, 7], 1).into(), now), move |seconds| now + Duration::from_secs(seconds))
    }

    #[test]
    fn everything_a_client_may_take_its_time_with_has_a_deadline() {
        let (session, at) = session();
        let overdue = |seconds| session.overdue(at(seconds), &DEADLINES);
        assert_eq!((overdue(5), overdue(6)), (None, Some("handshake")));
        session.handshake_done(true);
        assert_eq!((overdue(7), overdue(8)), (None, Some("idle")));
        session.received();
        assert_eq!((overdue(6), overdue(7)), (None, Some("header")));
        let running = session.begin();
        assert_eq!(overdue(10_000), None);
        let answering = session.answering();
        assert_eq!((overdue(30), overdue(31)), (None, Some("answer not taken")));
        drop(answering);
        assert_eq!(overdue(31), None);
        session.prove();
        drop(running);
        assert_eq!((overdue(60), overdue(61)), (None, Some("idle")));
    }

    #[test]
    fn what_works_for_a_proven_client_is_worth_most() {
        let (session, _) = session();
        assert_eq!(session.worth(), Worth::Unproven);
        let silent = Session::new(([192, 0, 2, 7], 1).into(), Instant::now() - SILENCE);
        assert_eq!(silent.worth(), Worth::Silent);
        silent.received();
        assert_eq!(silent.worth(), Worth::Unproven);
        session.handshake_done(false);
        let running = session.begin();
        assert_eq!(session.worth(), Worth::Unproven);
        session.prove();
        assert_eq!(session.worth(), Worth::Working);
        drop(running);
        assert_eq!(session.worth(), Worth::Idle);
    }

    #[test]
    fn one_ipv6_host_is_one_peer() {
        let peer = |text: &str| Peer::of(text.parse().unwrap());
        assert_eq!(peer("[2001:db8::1]:1"), peer("[2001:db8::ffff:1]:2"));
        assert_ne!(peer("[2001:db8::1]:1"), peer("[2001:db8:0:1::1]:1"));
        assert_eq!(peer("[::ffff:192.0.2.1]:1"), peer("192.0.2.1:9"));
        assert_ne!(peer("192.0.2.1:1"), peer("192.0.2.2:1"));
    }
}
