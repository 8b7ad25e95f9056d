//! The listener: TLS, HTTP/1.1 and HTTP/2, with protection against slow clients and connection floods.
//!
//! Each connection is a [`Session`]. [`Admission`] limits their number and closes the least valuable at a limit; a sweep closes those past
//! a deadline; [`Tail`] drains rejected bodies so that responses arrive; [`Paced`] detects responses that are not read.

mod admission;
mod paced;
mod session;
mod stream;
mod tail;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use model::{Clock, Span};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use self::admission::{Admission, Limits, Ticket, Verdict};
use self::paced::Paced;
use self::session::Deadlines;
pub(crate) use self::session::{Peer, Session};
use self::stream::Guarded;
use self::tail::Tail;
use crate::dispatch::Dispatcher;
use crate::tls::{ServerCertificate, TlsError};

/// How the listener protects itself.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Connections open at the same time. At the limit the one worth least is closed: first those without a token, oldest first, then idle
    /// ones. At most what the process may open files, less a reserve. Example: `1024`.
    pub max_connections: usize,
    /// Connections of one address (IPv6: of one /64 network). Example: `256`.
    pub max_connections_per_address: usize,
    /// A TLS handshake must be done within this. Example: `5s`.
    pub handshake_timeout: Span,
    /// The header of a request must be there within this after its first byte. A client without a token may be silent as long.
    /// Example: `10s`.
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
            max_connections_per_address: 256,
            handshake_timeout: Span::seconds(5),
            header_timeout: Span::seconds(10),
            idle_timeout: Span::seconds(60),
            write_timeout: Span::seconds(30),
            stop_timeout: Span::seconds(10),
        }
    }
}

impl ServerConfig {
    fn deadlines(&self) -> Deadlines {
        let header = self.header_timeout.to_std();
        Deadlines {
            handshake: self.handshake_timeout.to_std(),
            header,
            idle_unproven: header.min(self.idle_timeout.to_std()),
            idle: self.idle_timeout.to_std(),
            write: self.write_timeout.to_std(),
        }
    }
}

const MAX_HEADER_BYTES: usize = 64 << 10;
const MAX_HEADERS: usize = 100;
/// Concurrent requests of one HTTP/2 connection.
const MAX_STREAMS: u32 = 64;
/// HTTP/2 streams that a client opened and reset before we processed them (rapid reset, CVE-2023-44487); more end the connection.
const MAX_RESET_STREAMS: usize = 32;
/// HTTP/2 streams that we reset because of client errors; more end the connection.
const MAX_FAULTY_STREAMS: usize = 256;
/// Maximum duration of a connection that is only answered with 503.
const REFUSAL_TIME: Duration = Duration::from_secs(5);
/// `Retry-After` of such a response, in seconds.
const REFUSAL_RETRY: u64 = 5;
/// An HTTP/1.1 connection is kept alive after an unread body of at most this announced length. For larger bodies the response says
/// `Connection: close`, so that a client that reads while writing stops.
const KEEP_ALIVE_BODY: u64 = 1 << 20;
/// How often the operator's certificate files are checked for changes.
const CERTIFICATE_CHECK: Span = Span(10 * model::TICKS_PER_SECOND);

/// Serves until `shutdown`, then waits for requests in progress, up to the configured time.
pub async fn serve(
    config: ServerConfig,
    dispatcher: Arc<Dispatcher>,
    certificate: Arc<ServerCertificate>,
    listener: TcpListener,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
) -> Result<(), TlsError> {
    let acceptor = TlsAcceptor::from(certificate.config()?);
    if let Ok(address) = listener.local_addr() {
        dispatcher.listening_on(address.port());
    }
    let total = config.max_connections.max(1);
    let admission = Admission::new(Limits { total, per_peer: config.max_connections_per_address.clamp(1, total) });
    let deadlines = config.deadlines();
    let shortest = deadlines.handshake.min(deadlines.idle_unproven).min(deadlines.write);
    let mut sweep = interval((shortest / 4).clamp(Duration::from_millis(10), Duration::from_millis(500)));
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let connection = Arc::new(Connections { config, dispatcher, acceptor, shutdown: shutdown.clone() });
    let mut running = JoinSet::new();
    let mut check = pin!(clock.sleep(CERTIFICATE_CHECK));
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(ended) = running.join_next() => {
                if let Err(error) = ended && error.is_panic() {
                    tracing::error!(error = error.to_string(), "a connection's task panicked");
                }
            }
            () = &mut check => {
                certificate.keep_fresh(clock.now());
                check.set(clock.sleep(CERTIFICATE_CHECK));
            }
            now = sweep.tick() => admission.sweep(now, &deadlines),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let (ticket, is_refused) = match admission.admit(peer, Instant::now()) {
                        Verdict::Serve(ticket) => (ticket, false),
                        Verdict::Refuse(ticket) => (ticket, true),
                        Verdict::Close => continue,
                    };
                    let connection = Arc::clone(&connection);
                    running.spawn(async move { connection.run(stream, peer, ticket, is_refused).await });
                }
                Err(error) => {
                    // Usually the client has already disconnected. If file descriptors are exhausted, one connection is closed and
                    // accepting is retried.
                    tracing::warn!(error = error.to_string(), "cannot accept a connection");
                    admission.shed();
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
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

type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Connections {
    config: ServerConfig,
    dispatcher: Arc<Dispatcher>,
    acceptor: TlsAcceptor,
    shutdown: CancellationToken,
}

impl Connections {
    async fn run(&self, stream: TcpStream, peer: SocketAddr, ticket: Ticket, is_refused: bool) {
        metrics::gauge!("bartizan_http_connections").increment(1.0);
        let talk = async {
            if is_refused {
                timeout(REFUSAL_TIME, self.talk(stream, &ticket, refuse)).await?
            } else {
                let dispatcher = Arc::clone(&self.dispatcher);
                self.talk(stream, &ticket, move |request, session| answer(Arc::clone(&dispatcher), request, peer, session)).await
            }
        };
        let ended = tokio::select! {
            ended = talk => ended,
            () = ticket.cut.cancelled() => Ok(()),
        };
        if let Err(error) = ended {
            // Disconnects and port scans are normal: debug level only.
            tracing::debug!(%peer, error = error.to_string(), "a connection ended with an error");
        }
        metrics::gauge!("bartizan_http_connections").decrement(1.0);
    }

    async fn talk<F, A>(&self, stream: TcpStream, session: &Arc<Session>, answer: F) -> Result<(), Failure>
    where
        F: Fn(Request<Incoming>, Arc<Session>) -> A,
        A: Future<Output = Response<Paced>> + Send + 'static,
    {
        stream.set_nodelay(true)?;
        let stream = Guarded::new(stream, Arc::clone(session), self.config.write_timeout.to_std());
        let tls = self.acceptor.accept(stream).await?;
        let is_h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2".as_slice());
        session.handshake_done(!is_h2);
        let service = service_fn(|request: Request<Incoming>| {
            let answer = answer(request, Arc::clone(session));
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let io = TokioIo::new(tls);
        // The protocol is the one negotiated by ALPN, so no bytes are needed to detect it.
        if is_h2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .max_concurrent_streams(MAX_STREAMS)
                .max_header_list_size(MAX_HEADER_BYTES as u32)
                .max_pending_accept_reset_streams(MAX_RESET_STREAMS)
                .max_local_error_reset_streams(MAX_FAULTY_STREAMS)
                .keep_alive_interval(Duration::from_secs(20))
                .keep_alive_timeout(Duration::from_secs(20));
            let mut connection = pin!(builder.serve_connection(io, service));
            tokio::select! {
                result = connection.as_mut() => return Ok(result?),
                () = self.shutdown.cancelled() => {}
                () = session.retire.cancelled() => {}
            }
            connection.as_mut().graceful_shutdown();
            timeout(self.config.stop_timeout.to_std(), connection).await??;
        } else {
            let mut builder = http1::Builder::new();
            // The session's deadlines distinguish a slow header from an idle connection; hyper's timeout does not.
            builder.timer(TokioTimer::new()).header_read_timeout(None).max_headers(MAX_HEADERS).max_buf_size(MAX_HEADER_BYTES);
            let mut connection = pin!(builder.serve_connection(io, service));
            tokio::select! {
                result = connection.as_mut() => return Ok(result?),
                () = self.shutdown.cancelled() => {}
                () = session.retire.cancelled() => {}
            }
            connection.as_mut().graceful_shutdown();
            timeout(self.config.stop_timeout.to_std(), connection).await??;
        }
        Ok(())
    }
}

/// Passes a request to the dispatcher.
async fn answer(dispatcher: Arc<Dispatcher>, request: Request<Incoming>, peer: SocketAddr, session: Arc<Session>) -> Response<Paced> {
    let running = session.begin();
    let is_http1 = request.version() < Version::HTTP_2;
    let closes_behind_body = is_http1 && !is_short_body(request.headers());
    let (parts, body) = request.into_parts();
    let (tail, unread) = Tail::new(body, Arc::clone(&session));
    let mut request = Request::from_parts(parts, tail.map_err(Into::into).boxed());
    request.extensions_mut().insert(Arc::clone(&session));
    let mut response = dispatcher.answer(request, peer).await;
    if closes_behind_body && unread.load(Ordering::Acquire) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response.map(|whole| Paced::new(whole, &session, running))
}

/// Whether an unread body can be drained after the response while keeping the connection. A client that waits for `100 Continue` may or may
/// not send its body after another response, so what follows cannot be distinguished from the next request.
fn is_short_body(headers: &HeaderMap) -> bool {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|text| text.parse::<u64>().ok());
    !headers.contains_key(header::EXPECT) && announced.is_some_and(|length| length <= KEEP_ALIVE_BODY)
}

/// Responds that the connection limit is reached.
async fn refuse(request: Request<Incoming>, session: Arc<Session>) -> Response<Paced> {
    let running = session.begin();
    drop(Tail::new(request.into_body(), Arc::clone(&session)));
    const BODY: &str = r#"{"error":{"code":"ServerBusy","message":"The server has as many connections as it takes. Try again later."}}"#;
    let mut response = Response::new(Full::new(Bytes::from_static(BODY.as_bytes())));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, crate::reply::JSON);
    headers.insert(header::RETRY_AFTER, HeaderValue::from(REFUSAL_RETRY));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response.map(|whole| Paced::new(whole, &session, running))
}
