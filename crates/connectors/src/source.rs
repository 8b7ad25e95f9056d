//! The source interface.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use model::{Clock, Http, Route, Secrets, StreamSink};
use rustls::server::ResolvesServerCert;
use tokio_util::sync::CancellationToken;

use crate::Report;

/// A kind of source: all that the product needs to know of it.
pub struct SourceType {
    /// Its key in the section `sources` of the configuration.
    pub name: &'static str,
    pub summary: &'static str,
    /// Streams it delivers: `Microsoft-<table>` or `Custom-<table>_CL`.
    pub streams: &'static [&'static str],
    /// JSON schema of one entry of its settings.
    pub settings: fn() -> schemars::Schema,
    /// Checks the settings. Opens nothing.
    pub build: fn(serde_json::Value) -> Result<Box<dyn Source>, SourceError>,
}

/// A kind with the settings of one entry: makes the source anew each time it starts.
#[derive(Clone)]
pub struct SourceMaker {
    pub kind: &'static SourceType,
    pub make: Arc<dyn Fn() -> Result<Box<dyn Source>, SourceError> + Send + Sync>,
}

/// One configured source. A listener implements this; a source that asks a vendor for pages implements [`crate::PollSource`] instead.
///
/// An error from [`Source::run`] means "start me again later", never "give up".
#[async_trait]
pub trait Source: Send {
    /// Its name in the configuration.
    fn name(&self) -> &str;

    /// How its records reach tables.
    fn route(&self) -> &Route;

    /// Takes what must be there before the service reports ready: sockets. Gives their addresses, so that port 0 works.
    async fn open(&mut self, cx: &SourceContext) -> Result<Vec<Bound>, SourceError> {
        let _ = cx;
        Ok(Vec::new())
    }

    /// Runs until `cx.stop`; returns when everything received is stored.
    async fn run(&mut self, cx: &SourceContext) -> Result<(), SourceError>;

    /// Asks the other side once, stores nothing, and says what came: for `bartizan sources test`.
    async fn test(&mut self, cx: &SourceContext) -> Result<String, SourceError> {
        self.open(cx).await.map(|bound| format!("{} sockets can be opened", bound.len()))
    }
}

/// Ports available to a source.
#[derive(Clone)]
pub struct SourceContext {
    /// Kind and name, such as `syslog/firewalls`: the key of its position.
    pub id: String,
    pub sink: Arc<dyn StreamSink>,
    pub clock: Arc<dyn Clock>,
    pub http: Arc<dyn Http>,
    pub secrets: Arc<dyn Secrets>,
    /// Name of this host, for `CollectorHostName`.
    pub host: String,
    /// The service's own certificate, for listeners without one.
    pub certificate: Option<Arc<dyn ResolvesServerCert>>,
    /// Where the source says how it fares.
    pub report: Report,
    pub stop: CancellationToken,
}

/// An open socket.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Bound {
    /// Name of the listener in the configuration.
    pub name: String,
    /// `udp`, `tcp` or `tls`.
    pub protocol: &'static str,
    pub address: SocketAddr,
}

/// Why a source cannot run.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("the settings of a `{kind}` source are wrong: {problem}")]
    Settings { kind: &'static str, problem: String },
    #[error("cannot listen on {protocol} {address} for `{name}`")]
    Bind {
        name: String,
        protocol: &'static str,
        address: SocketAddr,
        #[source]
        cause: std::io::Error,
    },
    #[error("cannot read `{path}`")]
    Read {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("`{path}` holds no {what} in PEM")]
    Pem { path: PathBuf, what: &'static str },
    #[error("the certificate of listener `{name}` does not fit TLS: {problem}")]
    Certificate { name: String, problem: String },
    #[error("listener `{0}` has no certificate: name `cert` and `key` under `certificate`")]
    NoCertificate(String),
    #[error("a part of source `{0}` ended by itself")]
    Ended(String),
    #[error("the route of source `{name}` is wrong: {problem}")]
    Route { name: String, problem: String },
    #[error(transparent)]
    Poll(#[from] crate::PollError),
}
