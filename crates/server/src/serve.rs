//! The listener: TLS, HTTP/1.1 and HTTP/2, and what keeps slow or many clients from taking it all.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use model::{Clock, Span};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::dispatch::Dispatcher;
use crate::stall::Stall;
use crate::tls::{ServerCertificate, TlsError};

/// How the listener protects itself.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Connections open at the same time; more wait in the system's queue. Example: `1024`.
    pub max_connections: usize,
    /// A TLS handshake must be done within this. Example: `10s`.
    pub handshake_timeout: Span,
    /// The header of a request must be there within this, counted from the end of the request before it. Example: `10s`.
    pub header_timeout: Span,
    /// A connection on which nothing was asked for this long is closed. Example: `60s`.
    pub idle_timeout: Span,
    /// A client that takes nothing of its answer for this long is cut off. Example: `30s`.
    pub write_timeout: Span,
    /// When the service stops, requests in progress get this long to end. Example: `10s`.
    pub stop_timeout: Span,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            max_connections: 1_024,
            handshake_timeout: Span::seconds(10),
            header_timeout: Span::seconds(10),
            idle_timeout: Span::seconds(60),
            write_timeout: Span::seconds(30),
            stop_timeout: Span::seconds(10),
        }
    }
}

const MAX_HEADER_BYTES: usize = 64 << 10;
const MAX_HEADERS: usize = 100;
const MAX_STREAMS: u32 = 64;

/// Serves until `shutdown`, then lets requests in progress end, at most for the configured time.
pub async fn serve(
    config: ServerConfig,
    dispatcher: Arc<Dispatcher>,
    certificate: Arc<ServerCertificate>,
    listener: TcpListener,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
) -> Result<(), TlsError> {
    let acceptor = TlsAcceptor::from(certificate.config()?);
    let connection = Arc::new(Connections { config, dispatcher, acceptor, shutdown: shutdown.clone() });
    let slots = Arc::new(Semaphore::new(connection.config.max_connections.max(1)));
    let mut running = JoinSet::new();
    let mut renewal = pin!(clock.sleep(Span::DAY));
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(ended) = running.join_next() => {
                if let Err(error) = ended && error.is_panic() {
                    tracing::error!(error = error.to_string(), "a connection's task panicked");
                }
            }
            () = &mut renewal => {
                if let Err(error) = certificate.renew(clock.now()) {
                    tracing::error!(error = model::chain(&error), "cannot renew the server's certificate; will try again tomorrow");
                }
                renewal.set(clock.sleep(Span::DAY));
            }
            accepted = accept(&listener, &slots) => {
                let (stream, peer, slot) = accepted;
                let connection = Arc::clone(&connection);
                running.spawn(async move {
                    connection.run(stream, peer).await;
                    drop(slot);
                });
            }
        }
    }
    drop(listener);
    let all_done = async { while running.join_next().await.is_some() {} };
    if timeout(connection.config.stop_timeout.to_std(), all_done).await.is_err() {
        tracing::warn!("requests were still running when the service had to stop");
    }
    running.abort_all();
    Ok(())
}

/// The next connection, once there is room for it.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> (TcpStream, SocketAddr, Option<tokio::sync::OwnedSemaphorePermit>) {
    // The semaphore is never closed.
    let slot = Arc::clone(slots).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, slot),
            Err(error) => {
                // Mostly a client that has gone already, or no file descriptors left: the next try may do better, but not at once.
                tracing::warn!(error = error.to_string(), "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

struct Connections {
    config: ServerConfig,
    dispatcher: Arc<Dispatcher>,
    acceptor: TlsAcceptor,
    shutdown: CancellationToken,
}

impl Connections {
    async fn run(&self, stream: TcpStream, peer: SocketAddr) {
        metrics::gauge!("bartizan_http_connections").increment(1.0);
        if let Err(error) = self.talk(stream, peer).await {
            // Clients come and go, and scanners try everything: not worth more than a debug line.
            tracing::debug!(%peer, error = error.to_string(), "a connection ended with an error");
        }
        metrics::gauge!("bartizan_http_connections").decrement(1.0);
    }

    async fn talk(&self, stream: TcpStream, peer: SocketAddr) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        stream.set_nodelay(true)?;
        let handshake = self.acceptor.accept(Stall::new(stream, self.config.write_timeout.to_std()));
        let tls = match timeout(self.config.handshake_timeout.to_std(), handshake).await {
            Ok(tls) => tls?,
            Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long").into()),
        };
        let is_h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2".as_slice());
        let activity = Arc::new(Activity::new());
        let service = {
            let (dispatcher, activity) = (Arc::clone(&self.dispatcher), Arc::clone(&activity));
            service_fn(move |request: Request<Incoming>| {
                let (dispatcher, running) = (Arc::clone(&dispatcher), activity.begin());
                async move {
                    let request = request.map(|body| body.map_err(Into::into).boxed());
                    let response = dispatcher.answer(request, peer).await;
                    drop(running);
                    Ok::<_, Infallible>(response)
                }
            })
        };
        let io = TokioIo::new(tls);
        // The protocol is the one negotiated, so a client that sends nothing at all is not guessed at for ever.
        if is_h2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .max_concurrent_streams(MAX_STREAMS)
                .max_header_list_size(MAX_HEADER_BYTES as u32)
                .keep_alive_interval(Duration::from_secs(20))
                .keep_alive_timeout(Duration::from_secs(20));
            let mut connection = pin!(builder.serve_connection(io, service));
            tokio::select! {
                result = connection.as_mut() => return Ok(result?),
                () = self.shutdown.cancelled() => {}
                () = activity.idle_for(self.config.idle_timeout.to_std()) => {}
            }
            connection.as_mut().graceful_shutdown();
            timeout(self.config.stop_timeout.to_std(), connection).await??;
        } else {
            let mut builder = http1::Builder::new();
            builder
                .timer(TokioTimer::new())
                .header_read_timeout(self.config.header_timeout.to_std())
                .max_headers(MAX_HEADERS)
                .max_buf_size(MAX_HEADER_BYTES);
            let mut connection = pin!(builder.serve_connection(io, service));
            tokio::select! {
                result = connection.as_mut() => return Ok(result?),
                () = self.shutdown.cancelled() => {}
            }
            connection.as_mut().graceful_shutdown();
            timeout(self.config.stop_timeout.to_std(), connection).await??;
        }
        Ok(())
    }
}

/// When a connection was last busy.
struct Activity {
    started: Instant,
    running: AtomicU64,
    /// Milliseconds after `started` at which the last request ended.
    last: AtomicU64,
}

impl Activity {
    fn new() -> Self {
        Self { started: Instant::now(), running: AtomicU64::new(0), last: AtomicU64::new(0) }
    }

    fn begin(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(self))
    }

    /// Ends when nothing has run for `quiet`.
    fn idle_for(&self, quiet: Duration) -> impl Future<Output = ()> + '_ {
        async move {
            let mut deadline = self.started + quiet;
            loop {
                sleep_until(deadline).await;
                let last = self.started + Duration::from_millis(self.last.load(Ordering::Relaxed));
                if self.running.load(Ordering::Relaxed) == 0 && last + quiet <= Instant::now() {
                    return;
                }
                deadline = (last + quiet).max(Instant::now() + Duration::from_secs(1));
            }
        }
    }
}

struct Running(Arc<Activity>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.last.store(self.0.started.elapsed().as_millis() as u64, Ordering::Relaxed);
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}
