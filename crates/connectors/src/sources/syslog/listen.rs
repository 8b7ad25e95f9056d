//! The sockets of a listener and its connections.
//!
//! Every connection is a task with its own window, so that a slow, stalled or flooded one does not block others.

use std::net::SocketAddr;
use std::sync::Arc;

use metrics::Label;
use model::Span;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::batch::{Batch, Reader};
use super::frame::{Frame, Framer};
use super::settings::{Address, Settings};
use super::store::{self, Counts, Door, WINDOW, submit};
use super::{tls, udp};
use crate::{Bound, SourceContext, SourceError};

/// Read size in bytes.
const READ: usize = 64 * 1024;
/// Timeout of the TLS handshake.
const HANDSHAKE: Span = Span(10 * model::TICKS_PER_SECOND);
/// Timeout of an incomplete message.
const HALF: Span = Span(60 * model::TICKS_PER_SECOND);
/// After this much silence a complete Sophos line without delimiter is accepted.
const QUIET: Span = Span(model::TICKS_PER_SECOND / 2);
/// Batches that may wait for the one who stores them.
const WAITING: usize = 64;

/// Open sockets.
pub struct Open {
    pub bound: Vec<Bound>,
    udp: Option<std::net::UdpSocket>,
    tcp: Option<TcpListener>,
    tls: Option<(TcpListener, Arc<rustls::ServerConfig>)>,
}

impl Open {
    pub async fn bind(settings: &Settings, cx: &SourceContext) -> Result<Self, SourceError> {
        let (mut on_udp, mut on_tcp) = (settings.udp, settings.tcp);
        if on_udp.is_none() && on_tcp.is_none() && settings.tls.is_none() {
            (on_udp, on_tcp) = (Some(Address::local()), Some(Address::local()));
        }
        let mut open = Self { bound: Vec::new(), udp: None, tcp: None, tls: None };
        let fails = |protocol, address| move |cause| SourceError::Bind { name: settings.name.clone(), protocol, address, cause };
        if let Some(Address(address)) = on_udp {
            let socket = std::net::UdpSocket::bind(address).map_err(fails("udp", address))?;
            open.add(settings, "udp", socket.local_addr().map_err(fails("udp", address))?);
            open.udp = Some(socket);
        }
        if let Some(Address(address)) = on_tcp {
            let listener = TcpListener::bind(address).await.map_err(fails("tcp", address))?;
            open.add(settings, "tcp", listener.local_addr().map_err(fails("tcp", address))?);
            open.tcp = Some(listener);
        }
        if let Some(Address(address)) = settings.tls {
            let config = tls::config(&settings.name, &settings.certificate, cx)?;
            let listener = TcpListener::bind(address).await.map_err(fails("tls", address))?;
            open.add(settings, "tls", listener.local_addr().map_err(fails("tls", address))?);
            open.tls = Some((listener, config));
        }
        Ok(open)
    }

    fn add(&mut self, settings: &Settings, protocol: &'static str, address: SocketAddr) {
        tracing::info!(listener = settings.name, protocol, %address, "Syslog is taken here.");
        self.bound.push(Bound { name: settings.name.clone(), protocol, address });
    }
}

/// State shared by the connections of a listener.
#[derive(Clone)]
struct Shared {
    reader: Arc<Reader>,
    door: Door,
    counts: Counts,
    cx: SourceContext,
    max: usize,
    idle: Span,
}

/// Serves until the service stops and everything received is stored.
///
/// If one part ends before that, the others are stopped too, so that the listener is started again as a whole.
pub async fn run(open: Open, reader: Arc<Reader>, settings: &Settings, cx: &SourceContext) -> Result<(), SourceError> {
    let stop = cx.stop.child_token();
    let cx = &SourceContext { stop: stop.clone(), ..cx.clone() };
    let labels = vec![Label::new("source", "syslog"), Label::new("listener", settings.name.clone())];
    let (door, work) = mpsc::channel(WAITING);
    let max = usize::try_from(settings.max_message.0).unwrap_or(usize::MAX);
    let shared = |protocol| Shared {
        reader: reader.clone(),
        door: door.clone(),
        counts: Counts::new(&labels, protocol, cx.clock.clone()),
        cx: cx.clone(),
        max,
        idle: settings.idle_timeout,
    };
    let storing = tokio::spawn(store::run(work, cx.clone(), settings.route.clone(), labels.clone()));
    let places = Arc::new(Semaphore::new(settings.max_connections));
    let mut parts = JoinSet::new();
    if let Some(socket) = open.udp {
        let Shared { reader, door, counts, cx, .. } = shared("udp");
        parts.spawn(udp::serve(socket, reader, max, door, counts, cx));
    }
    if let Some(listener) = open.tcp {
        parts.spawn(accept(listener, None, places.clone(), shared("tcp")));
    }
    if let Some((listener, config)) = open.tls {
        parts.spawn(accept(listener, Some(config.into()), places, shared("tls")));
    }
    drop(door);
    if ended_early(parts, storing, &stop).await { Err(SourceError::Ended(settings.name.clone())) } else { Ok(()) }
}

/// Waits for all parts and for the task that stores their rows. Once one ends although nothing stopped it, the others are stopped and the
/// result is true.
async fn ended_early(mut parts: JoinSet<()>, mut storing: JoinHandle<()>, stop: &CancellationToken) -> bool {
    let (mut early, mut stored) = (false, None);
    loop {
        tokio::select! {
            part = parts.join_next() => match part {
                None => break,
                Some(_) => early |= !stop.is_cancelled(),
            },
            ended = &mut storing, if stored.is_none() => {
                early |= ended.is_err() || !(parts.is_empty() || stop.is_cancelled());
                stored = Some(ended.is_ok());
            }
        }
        if early {
            stop.cancel();
        }
    }
    // All senders are dropped now: queued batches are stored, then it ends.
    let stored = match stored {
        Some(stored) => stored,
        None => storing.await.is_ok(),
    };
    early || !stored
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, places: Arc<Semaphore>, shared: Shared) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shared.cx.stop.cancelled() => break,
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Most likely out of file descriptors; others will be closed meanwhile.
                tracing::warn!(%error, "cannot accept a syslog connection");
                shared.cx.clock.sleep(Span::millis(100)).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            shared.counts.dropped("too_many_connections", 1);
            continue;
        };
        let (shared, acceptor) = (shared.clone(), acceptor.clone());
        connections.spawn(async move {
            let peer = from.ip().to_canonical().to_string();
            shared.counts.connections.increment(1.0);
            match acceptor {
                None => serve(stream, &peer, &shared).await,
                Some(acceptor) => {
                    let handshake = tokio::select! {
                        handshake = acceptor.accept(stream) => handshake.map_err(|error| error.to_string()),
                        () = shared.cx.clock.sleep(HANDSHAKE) => Err("it took too long".to_owned()),
                        () = shared.cx.stop.cancelled() => Err("the service ends".to_owned()),
                    };
                    match handshake {
                        Ok(stream) => serve(stream, &peer, &shared).await,
                        Err(error) => {
                            tracing::info!(peer, error, "A TLS handshake for syslog did not succeed.");
                            shared.counts.dropped("tls_handshake", 1);
                        }
                    }
                }
            }
            shared.counts.connections.decrement(1.0);
            drop(place);
        });
    }
    while connections.join_next().await.is_some() {}
}

/// Result of waiting.
enum Event {
    Synced(bool),
    Read(std::io::Result<usize>),
    Silent(Span),
    Stop,
}

async fn serve(mut stream: impl AsyncRead + Unpin, peer: &str, shared: &Shared) {
    let Shared { reader, door, counts, cx, .. } = shared;
    let mut framer = Framer::new(shared.max);
    let mut batch = Batch::default();
    let mut pending: Option<oneshot::Receiver<()>> = None;
    let (mut open, mut waited) = (true, Span::ZERO);
    loop {
        let limit = patience(&framer, shared.idle, waited);
        let event = tokio::select! {
            biased;
            synced = synced(&mut pending), if pending.is_some() => Event::Synced(synced),
            () = cx.stop.cancelled(), if open => Event::Stop,
            read = fill(&mut stream, &mut framer), if open && batch.bytes() < WINDOW => Event::Read(read),
            () = cx.clock.sleep(limit), if open && batch.bytes() < WINDOW => Event::Silent(limit),
            else => break,
        };
        let (mut received, now) = (0, cx.clock.now());
        let mut take = |frame: Frame<'_>, batch: &mut Batch| match frame {
            Frame::Message { bytes, cut } => {
                received += 1;
                if let Some(reason) = batch.push(reader, bytes, cut, peer, now) {
                    counts.dropped(reason, 1);
                }
            }
            Frame::Lost { bytes, reason } => {
                counts.dropped("framing", 1);
                batch.letter(reader, bytes, reason, peer, now);
            }
        };
        match event {
            Event::Synced(true) => pending = None,
            Event::Synced(false) => return,
            Event::Stop => open = false,
            Event::Read(Ok(read)) if read > 0 => {
                waited = Span::ZERO;
                if framer.is_tls() {
                    counts.dropped("tls_on_plain_port", 1);
                    batch.letter(reader, framer.space(), "the sender speaks TLS to a listener without it", peer, now);
                    framer = Framer::new(shared.max);
                    open = false;
                }
                while let Some(frame) = framer.next() {
                    take(frame, &mut batch);
                }
            }
            Event::Read(_) => {
                open = false;
                while let Some(frame) = framer.finish() {
                    take(frame, &mut batch);
                }
            }
            Event::Silent(silence) => {
                waited = Span(waited.ticks() + silence.ticks());
                if let Some(frame) = framer.quiet(waited.ticks() >= HALF.ticks()) {
                    take(frame, &mut batch);
                } else if waited.ticks() >= if framer.pending() > 0 { HALF.ticks() } else { shared.idle.ticks() } {
                    counts.dropped(if framer.pending() > 0 { "half_message" } else { "idle_connection" }, 1);
                    if framer.pending() > 0 {
                        batch.letter(reader, framer.space(), "the sender fell silent within a message", peer, now);
                    }
                    open = false;
                }
            }
        }
        counts.received(received);
        if pending.is_none() && !batch.is_empty() {
            pending = Some(submit(door, batch.take(reader, peer, now)).await);
        }
    }
}

/// How long to wait for more data: short while a message is incomplete, and limited by the idle timeout.
fn patience(framer: &Framer, idle: Span, waited: Span) -> Span {
    let whole = if framer.pending() > 0 { HALF } else { idle };
    let left = Span((whole.ticks() - waited.ticks()).max(model::TICKS_PER_MILLISECOND));
    if framer.pending() > 0 && waited == Span::ZERO { QUIET.min(left) } else { left }
}

async fn fill(stream: &mut (impl AsyncRead + Unpin), framer: &mut Framer) -> std::io::Result<usize> {
    let space = framer.space();
    space.reserve(READ);
    stream.read_buf(space).await
}

/// Waits for the batch that is being stored. Returns `false` if it will not be stored.
async fn synced(pending: &mut Option<oneshot::Receiver<()>>) -> bool {
    match pending {
        Some(pending) => pending.await.is_ok(),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits for its stop, as a part does.
    async fn part(stop: CancellationToken) {
        stop.cancelled().await;
    }

    #[tokio::test]
    async fn one_part_that_ends_ends_the_listener() {
        let ended = async |broken: Option<fn()>, storing: Option<fn()>| {
            let stop = CancellationToken::new();
            let mut parts = JoinSet::new();
            for _ in 0..2 {
                parts.spawn(part(stop.clone()));
            }
            if let Some(broken) = broken {
                parts.spawn(async move { broken() });
            }
            let until = stop.clone();
            let storing = tokio::spawn(async move {
                match storing {
                    Some(broken) => broken(),
                    None => until.cancelled().await,
                }
            });
            if broken.is_none() {
                let stop = stop.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    stop.cancel();
                });
            }
            ended_early(parts, storing, &stop).await
        };
        assert!(ended(Some(|| panic!("a part")), None).await);
        assert!(ended(Some(|| {}), None).await);
        assert!(ended(Some(|| {}), Some(|| panic!("the store"))).await);
        assert!(!ended(None, None).await, "it was stopped");
    }
}
