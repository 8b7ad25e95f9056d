//! User settings of a listener.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use model::{ByteSize, Route, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::names::{Facility, Severity};

/// Default port.
pub const PORT: u16 = 5514;
/// Maximum length of a value in a table.
pub const MAX_MESSAGE: u64 = 64 * 1024;

/// A listener. At least one of `udp`, `tcp` and `tls` is served; with none, UDP and TCP on `127.0.0.1:5514`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SyslogSettings")]
pub struct Settings {
    /// Its name, in metrics, dead letters and `connect.json`. Example: `firewalls`.
    pub name: String,
    /// UDP: an address, a port, or both; loopback and port 5514 otherwise. Example: `0.0.0.0:5514`.
    #[serde(default)]
    pub udp: Option<Address>,
    /// TCP, framed by RFC 6587. Example: `[::]:5514`.
    #[serde(default)]
    pub tcp: Option<Address>,
    /// TCP under TLS. Example: `0.0.0.0:6514`.
    #[serde(default)]
    pub tls: Option<Address>,
    /// `auto`, `rfc3164`, `rfc5424`, `sophos` or `cef`. All but `auto` set aside what is in another format.
    #[serde(default)]
    pub format: Format,
    /// Facilities to store; all if none is named. Example: `[local0, DAEMON]`.
    #[serde(default)]
    pub facilities: Vec<Facility>,
    /// Store messages at least this bad. Default: `debug`, all. Example: `warning`.
    #[serde(default = "all_severities")]
    pub min_severity: Severity,
    /// Zone of times without one. Default: `UTC`. Example: `Europe/Oslo`.
    #[serde(default)]
    pub time_zone: Option<String>,
    /// Sophos: values of `log_type` to store; all if none is named. Example: `[Firewall, ATP]`.
    #[serde(default)]
    pub log_types: Vec<String>,
    /// Sophos: also store the line as it came in `Syslog`, where Microsoft's content for it looks. Default: `true`.
    #[serde(default = "yes")]
    pub keep_raw: bool,
    /// RFC 5424: put message id and structured data before the text. Default: `false`, as Azure's agent does.
    #[serde(default)]
    pub keep_structured_data: bool,
    /// Longer messages are cut. At most and by default `64KiB`.
    #[serde(default = "max_message")]
    pub max_message: ByteSize,
    /// Connections at a time. Default: 1024.
    #[serde(default = "max_connections")]
    pub max_connections: usize,
    /// A connection that is silent for so long is closed. Default: `1h`.
    #[serde(default = "idle")]
    pub idle_timeout: Span,
    /// The certificate of the TLS listener, and whose clients it takes. Default: the service's own, and all.
    #[serde(default)]
    pub certificate: TlsSettings,
    /// How messages reach their tables: transforms, or a data collection rule.
    #[serde(default)]
    pub route: Route,
}

/// The certificate of a listener and whose clients it takes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSettings {
    /// Certificates in PEM, the listener's own first. Default: the service's certificate.
    pub cert: Option<PathBuf>,
    /// The private key in PEM.
    pub key: Option<PathBuf>,
    /// Authorities in PEM: only clients with a certificate of theirs are taken. Default: all clients.
    pub client_ca: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    #[default]
    Auto,
    Rfc3164,
    Rfc5424,
    Sophos,
    Cef,
}

/// A listening address: `host:port`, an address (port 5514) or a port (loopback).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub SocketAddr);

impl Address {
    pub fn local() -> Self {
        Self((Ipv4Addr::LOCALHOST, PORT).into())
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix("localhost").map_or(Cow::Borrowed(text), |rest| Cow::Owned(format!("127.0.0.1{rest}")));
        if let Ok(address) = text.parse() {
            return Some(Self(address));
        }
        if let Ok(port) = text.trim_start_matches(':').parse::<u16>() {
            return Some(Self((Ipv4Addr::LOCALHOST, port).into()));
        }
        text.trim_matches(['[', ']']).parse::<IpAddr>().ok().map(|ip| Self((ip, PORT).into()))
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Port(u16),
            Text(String),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Port(port) => port.to_string(),
            Written::Text(text) => text,
        };
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no address; write for example `0.0.0.0:5514`")))
    }
}

impl JsonSchema for Address {
    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "integer"], "examples": ["0.0.0.0:5514"] })
    }
}

fn all_severities() -> Severity {
    Severity::DEBUG
}

fn yes() -> bool {
    true
}

fn max_message() -> ByteSize {
    ByteSize(MAX_MESSAGE)
}

fn max_connections() -> usize {
    1024
}

fn idle() -> Span {
    Span::HOUR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_loopback_unless_said_otherwise() {
        let read = |text| Address::parse(text).map(|address| address.0.to_string());
        assert_eq!(read("0").as_deref(), Some("127.0.0.1:0"));
        assert_eq!(read(":5140").as_deref(), Some("127.0.0.1:5140"));
        assert_eq!(read("::").as_deref(), Some("[::]:5514"));
        assert_eq!(read("[::1]:99").as_deref(), Some("[::1]:99"));
        assert_eq!(read("localhost:99").as_deref(), Some("127.0.0.1:99"));
        assert_eq!(read("nowhere"), None);
    }
}
