//! The source interface.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use model::{Clock, TableWriter};
use rustls::server::ResolvesServerCert;
use tokio_util::sync::CancellationToken;

/// A source type and its metadata.
pub struct SourceType {
    /// Its key in the section `sources` of the configuration.
    pub name: &'static str,
    pub summary: &'static str,
    /// Tables it fills.
    pub tables: &'static [&'static str],
    /// JSON schema of one settings entry.
    pub settings: fn() -> schemars::Schema,
    /// Validates the settings, without I/O.
    pub build: fn(serde_json::Value) -> Result<Box<dyn Source>, SourceError>,
}

/// One configured source. An error from [`Source::run`] means that it is restarted later.
#[async_trait]
pub trait Source: Send {
    /// Its name in the configuration.
    fn name(&self) -> &str;

    /// Opens the sockets, before the service reports ready. Returns their addresses, so that port 0 works.
    async fn open(&mut self, cx: &SourceContext) -> Result<Vec<Bound>, SourceError>;

    /// Runs until `cx.stop`; returns when everything received is stored.
    async fn run(&mut self, cx: &SourceContext) -> Result<(), SourceError>;
}

/// Ports available to a source.
#[derive(Clone)]
pub struct SourceContext {
    pub writer: Arc<dyn TableWriter>,
    pub clock: Arc<dyn Clock>,
    /// Host name of this machine, for `CollectorHostName`.
    pub host: String,
    /// The service's own certificate, for listeners without one.
    pub certificate: Option<Arc<dyn ResolvesServerCert>>,
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
    #[error("source `{0}` is not open")]
    NotOpen(String),
    #[error("a part of source `{0}` ended by itself")]
    Ended(String),
}
