//! The names of this server. Links, issuers and the audiences of assertions use these names only, never request data: for a `Host` header
//! with another host or port, the canonical name is used.

use std::net::IpAddr;
use std::sync::OnceLock;

use http::uri::Authority;

/// The default HTTPS port, which origins omit.
const HTTPS: u16 = 443;

/// A host name or address, with a port if it differs from the listening port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName {
    /// Lower case; an IPv6 address without brackets.
    pub host: String,
    pub port: Option<u16>,
}

/// Why a text is not a valid server name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no host name or address; write for example `soc.example.org`, `192.0.2.7` or `soc.example.org:443`")]
pub struct HostNameError(String);

impl HostName {
    /// Parses `host`, `host:port`, an address, or `[address]:port`.
    pub fn parse(text: &str) -> Result<Self, HostNameError> {
        let wrong = || HostNameError(text.to_owned());
        if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(Self { host: address.to_string(), port: None });
        }
        let authority: Authority = text.parse().map_err(|_| wrong())?;
        let host = authority.host().trim_matches(['[', ']']).to_ascii_lowercase();
        // `Authority` ignores a port that is not a number.
        let rest = &text[authority.host().len().min(text.len())..];
        if host.is_empty() || text.contains('@') || rest.is_empty() != authority.port_u16().is_none() {
            return Err(wrong());
        }
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        let good = host.parse::<IpAddr>().is_ok() || host.trim_end_matches('.').split('.').all(label);
        if good && host.len() <= 253 { Ok(Self { host, port: authority.port_u16() }) } else { Err(wrong()) }
    }

    fn origin(&self, port: u16) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if port == HTTPS { format!("https://{host}") } else { format!("https://{host}:{port}") }
    }
}

/// All names of this server; the first is canonical.
#[derive(Debug, Default)]
pub struct Origins {
    names: Vec<HostName>,
    /// The listening port, once known.
    port: OnceLock<u16>,
}

impl Origins {
    pub fn new(names: Vec<HostName>) -> Self {
        Self { names, port: OnceLock::new() }
    }

    /// Sets the port of names without one. Called once.
    pub fn listening_on(&self, port: u16) {
        let _ = self.port.set(port);
    }

    /// The origin for links if the client used an unknown name.
    pub fn canonical(&self) -> String {
        let port = |name: &HostName| name.port.or(self.port.get().copied()).unwrap_or(HTTPS);
        self.names.first().map_or_else(|| "https://localhost".to_owned(), |name| name.origin(port(name)))
    }

    /// The origin for a `Host` header, if host and port are this server's.
    pub fn of_host(&self, host: &str) -> Option<String> {
        let wanted = HostName::parse(host).ok()?;
        let port = wanted.port.unwrap_or(HTTPS);
        let listening = self.port.get().copied();
        let known = |name: &HostName| match (name.port, listening) {
            (Some(own), _) | (None, Some(own)) => own == port,
            (None, None) => true,
        };
        self.names.iter().any(|name| name.host == wanted.host && known(name)).then(|| wanted.origin(port))
    }

    /// All origins, the canonical one first.
    pub fn all(&self) -> Vec<String> {
        let port = |name: &HostName| name.port.or(self.port.get().copied()).unwrap_or(HTTPS);
        self.names.iter().map(|name| name.origin(port(name))).collect()
    }

    /// Whether `host`, without port, is this server.
    pub fn is_own_host(&self, host: &str) -> bool {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        self.names.iter().any(|own| own.host.eq_ignore_ascii_case(bare))
    }

    /// Whether `url` is an origin of this server: https, one of its host names, any port.
    pub fn is_own_origin(&self, url: &str) -> bool {
        url::Url::parse(url).is_ok_and(|url| {
            url.scheme() == "https" && matches!(url.path(), "" | "/") && url.host_str().is_some_and(|host| self.is_own_host(host))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(names: &[&str]) -> Origins {
        Origins::new(names.iter().map(|name| HostName::parse(name).unwrap()).collect())
    }

    #[test]
    fn names_are_hosts_with_an_optional_port() {
        for good in ["soc.example.org", "SOC", "192.0.2.7", "::1", "[::1]", "[::1]:8443", "soc.example.org:443", "a_b.local"] {
            assert!(HostName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "user@host", "host/path", "https://host", "a b", "host:", "host:x", "host:99999", "-a.b", "a..b", "*.example.org"] {
            assert!(HostName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_host_header_counts_only_where_host_and_port_are_ours() {
        let own = origins(&["soc.example.org", "localhost", "::1", "login.microsoftonline.com:443"]);
        // Not listening yet: any port matches.
        assert_eq!(own.of_host("LocalHost:1").as_deref(), Some("https://localhost:1"));
        own.listening_on(8443);
        assert_eq!(own.canonical(), "https://soc.example.org:8443");
        assert_eq!(own.of_host("LocalHost:8443").as_deref(), Some("https://localhost:8443"));
        assert_eq!(own.of_host("[::1]:8443").as_deref(), Some("https://[::1]:8443"));
        assert_eq!(own.of_host("login.microsoftonline.com").as_deref(), Some("https://login.microsoftonline.com"));
        assert_eq!(own.of_host("login.microsoftonline.com:443").as_deref(), Some("https://login.microsoftonline.com"));
        for other in ["evil.example:8443", "localhost:9999", "localhost", "user@localhost:8443", "localhost:8443/x", "", "a b"] {
            assert_eq!(own.of_host(other), None, "{other}");
        }
        assert_eq!(own.all()[1..3], ["https://localhost:8443", "https://[::1]:8443"]);
        assert!(own.is_own_origin("https://SOC.example.org:1/") && !own.is_own_origin("https://evil.example"));
    }
}
