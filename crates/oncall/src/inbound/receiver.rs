//! A minimal, strict SMTP server (RFC 5321) for reply mails: accepts configured domains only and never relays.
//!
//! It runs behind a mail server on the same machine, or on the network if so configured. Its reply after the content is final: `250` only
//! after the answer is stored, `4xx` for a retry by the sending server, `5xx` for a bounce.
//!
//! Against abuse, lines, sizes, recipients, mails per connection, connections and time are limited; only CRLF ends a line, to prevent SMTP
//! smuggling; input received before TLS is discarded (RFC 3207 4.2, 6).

mod dialogue;
mod lines;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use model::Clock;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use self::dialogue::{Dialogue, Next, Said};
use self::lines::{Content, LineError, Lines};
use super::Book;
use super::attempts::Attempts;
use super::mail::{self, Judge, Outcome, Reading, Trust};
use crate::answer::Answers;
use crate::links::Signer;

/// How mail comes in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MailInSettings")]
pub struct Settings {
    /// Default: `127.0.0.1:2525`, for a mail server on this machine.
    #[serde(default = "loopback")]
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// Mail to other domains is refused. Example: `[soc.example.org]`.
    pub domains: Vec<String>,
    /// The largest mail, in bytes. Default: 1 MiB.
    #[serde(default = "one_mebibyte")]
    pub max_size: usize,
    /// How your mail server names itself in `Authentication-Results`. With it, an answer counts only where that server authenticated its
    /// sender by DKIM or DMARC. Default: senders are not authenticated. Example: `mx.example.org`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authserv_id: Option<String>,
    /// Mail servers in front of this one, besides those on this machine: their `Received` lines say where a mail came from. Example: `[10.0.0.25]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub relays: Vec<IpAddr>,
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 2525))
}

fn one_mebibyte() -> usize {
    1024 * 1024
}

/// Maximum concurrent connections; further clients are told to retry later.
const MAX_CONNECTIONS: usize = 64;
/// Timeout between two lines. RFC 5321 4.5.3.2 recommends five minutes; local senders need seconds.
const IDLE: Duration = Duration::from_secs(60);
/// Maximum duration of a session.
const SESSION: Duration = Duration::from_secs(300);

/// The bound receiver.
pub struct Receiver {
    listener: TcpListener,
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    tls: Option<tokio_rustls::TlsAcceptor>,
    answers: Arc<dyn Answers>,
    book: Arc<dyn Book>,
    clock: Arc<dyn Clock>,
    signer: Signer,
    trust: Trust,
    attempts: Attempts,
}

impl Receiver {
    /// Binds the socket; offers STARTTLS if `tls` is given.
    pub async fn bind(
        settings: Settings,
        tls: Option<Arc<rustls::ServerConfig>>,
        answers: Arc<dyn Answers>,
        book: Arc<dyn Book>,
        signer: Signer,
        clock: Arc<dyn Clock>,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(settings.listen).await?;
        let tls = tls.map(tokio_rustls::TlsAcceptor::from);
        let trust = Trust { authserv_id: settings.authserv_id.clone(), relays: settings.relays.clone() };
        let shared = Shared { settings, tls, answers, book, clock, signer, trust, attempts: Attempts::default() };
        Ok(Self { listener, shared: Arc::new(shared) })
    }

    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Accepts connections until stopped. A mail whose content has arrived is still processed: its sender needs the reply.
    pub async fn run(self, stop: CancellationToken) {
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let (stream, peer) = tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                accepted = self.listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // Most likely out of file descriptors: wait until some are free.
                        tracing::warn!(error = &error as &dyn std::error::Error, "a mail connection was not accepted");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
            };
            match room.clone().try_acquire_owned() {
                Ok(permit) => {
                    connections.spawn(connection(stream, peer, self.shared.clone(), permit, stop.clone()));
                }
                Err(_) => {
                    connections.spawn(turn_away(stream));
                }
            }
        }
        while connections.join_next().await.is_some() {}
    }
}

async fn turn_away(mut stream: TcpStream) {
    let _ = tokio::time::timeout(Duration::from_secs(1), stream.write_all(b"421 4.3.2 too many connections; try again later\r\n")).await;
}

async fn connection(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>, _room: OwnedSemaphorePermit, stop: CancellationToken) {
    let deadline = Instant::now() + SESSION;
    let domain = shared.settings.domains.first().map_or("localhost", String::as_str).to_owned();
    let mut dialogue = Dialogue::new(&domain, &shared.settings.domains, shared.settings.max_size, shared.tls.is_some());
    let _ = stream.set_nodelay(true);
    let ended = match serve(stream, &mut dialogue, true, &shared, peer.ip(), deadline, &stop).await {
        Ok(Some(plain)) => {
            let Some(acceptor) = shared.tls.clone() else { return };
            match timeout_at(deadline.min(Instant::now() + IDLE), acceptor.accept(plain)).await {
                Ok(Ok(secured)) => {
                    dialogue.secured();
                    serve(secured, &mut dialogue, false, &shared, peer.ip(), deadline, &stop).await.map(drop)
                }
                Ok(Err(error)) => Err(error),
                Err(_) => Ok(()),
            }
        }
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, error = &error as &dyn std::error::Error, "a mail connection broke");
    }
}

/// Runs the session until QUIT. If the client requests TLS, returns the raw stream.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    dialogue: &mut Dialogue,
    greet: bool,
    shared: &Arc<Shared>,
    peer: IpAddr,
    deadline: Instant,
    stop: &CancellationToken,
) -> std::io::Result<Option<S>> {
    let mut lines = Lines::new(stream);
    if greet {
        say(&mut lines, &dialogue.greeting(), deadline).await?;
    }
    loop {
        let wait = deadline.min(Instant::now() + IDLE);
        let read = tokio::select! {
            read = timeout_at(wait, lines.command()) => read,
            () = stop.cancelled() => {
                let _ = say(&mut lines, &Said::closing("the service stops"), Instant::now() + Duration::from_secs(1)).await;
                return Ok(None);
            }
        };
        let said = match read {
            Err(_) => {
                let _ = say(&mut lines, &Said::closing("you took too long"), Instant::now() + Duration::from_secs(1)).await;
                return Ok(None);
            }
            Ok(Ok(None)) => return Ok(None),
            Ok(Ok(Some(line))) => dialogue.command(&line),
            Ok(Err(LineError::TooLong)) => dialogue.mistake("500 5.5.6", "the line is too long"),
            Ok(Err(LineError::BareLineFeed)) => dialogue.mistake("500 5.5.2", "lines end with CRLF"),
            Ok(Err(LineError::Io(error))) => return Err(error),
        };
        say(&mut lines, &said, deadline).await?;
        match said.next {
            Next::Command => {}
            Next::Close => return Ok(None),
            // Plain-text input after STARTTLS must not be processed as part of the TLS session.
            Next::Tls => return Ok(lines.into_inner_if_drained()),
            Next::Content => {
                let wait = deadline.min(Instant::now() + 2 * IDLE);
                let content = match timeout_at(wait, lines.content(shared.settings.max_size)).await {
                    Err(_) => {
                        let _ = say(&mut lines, &Said::closing("you took too long"), Instant::now() + Duration::from_secs(1)).await;
                        return Ok(None);
                    }
                    Ok(content) => content?,
                };
                let said = judge(content, dialogue, shared, peer).await;
                // The sender must receive the result even if the session has timed out.
                say(&mut lines, &said, Instant::now() + IDLE).await?;
                if said.next == Next::Close {
                    return Ok(None);
                }
            }
        }
    }
}

async fn say<S: AsyncRead + AsyncWrite + Unpin>(lines: &mut Lines<S>, said: &Said, deadline: Instant) -> std::io::Result<()> {
    match timeout_at(deadline.min(Instant::now() + IDLE), lines.write(said.text.as_bytes())).await {
        Ok(written) => written,
        Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
    }
}

async fn judge(content: Content, dialogue: &mut Dialogue, shared: &Arc<Shared>, peer: IpAddr) -> Said {
    let raw = match content {
        Content::Whole(raw) => raw,
        Content::TooLarge => return dialogue.finish("552 5.3.4", "the mail is too large"),
        Content::BareLineFeed => return dialogue.finish("550 5.6.11", "lines of a mail end with CRLF, and nothing else"),
        Content::LineTooLong => return dialogue.finish("550 5.6.0", "a line of the mail is too long"),
        Content::Ended => return Said::closing("the mail was cut off"),
    };
    let envelope = mail::Envelope { peer: Some(peer), ..dialogue.take_envelope() };
    // Parsing a large mail takes a while, so it runs on a blocking thread.
    let (reader, content) = (shared.clone(), raw);
    let reading = tokio::task::spawn_blocking(move || mail::read(&envelope, &content, &reader.trust)).await;
    let reading = reading.unwrap_or_else(|_| Reading::Refuse { reason: "this is no mail that can be read".to_owned() });
    let (word, outcome) = match reading {
        Reading::Ignore { because } => ("dropped", Outcome::Dropped(because)),
        Reading::Refuse { reason } => ("refused", Outcome::Refused(reason)),
        Reading::Reply(reply) => {
            let judge =
                Judge { answers: shared.answers.as_ref(), book: shared.book.as_ref(), signer: &shared.signer, attempts: &shared.attempts };
            let outcome = judge.answer(reply, shared.clock.now()).await;
            let word = match outcome {
                Outcome::Answered(_) => "answered",
                Outcome::Dropped(_) => "dropped",
                Outcome::Refused(_) => "refused",
                Outcome::Later(_) => "later",
            };
            (word, outcome)
        }
    };
    metrics::counter!("bartizan_oncall_mails_total", "outcome" => word).increment(1);
    match outcome {
        Outcome::Answered(says) => dialogue.finish("250 2.0.0", if says.is_empty() { "taken" } else { &says }),
        Outcome::Dropped(because) => {
            tracing::info!(because, "a mail was no answer");
            dialogue.finish("250 2.0.0", "taken")
        }
        Outcome::Refused(reason) => {
            tracing::info!(reason, "an answer by mail was refused");
            dialogue.finish("550 5.7.1", &reason)
        }
        Outcome::Later(reason) => {
            tracing::warn!(reason, "an answer by mail was not stored");
            dialogue.finish("451 4.3.0", "not now; try again later")
        }
    }
}
