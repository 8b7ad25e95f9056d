//! SSRF protection: checks the addresses of web services before requests are sent.
//!
//! A webhook's URL is written by a user and called from inside the network: without a check anyone with a contact could reach a cloud's
//! metadata service or internal systems (server-side request forgery). The check applies to the resolved *address*, not its spelling:
//! `http://2130706433/`, `http://0x7f.1/` and `http://[::ffff:7f00:1]/` are all loopback, because the WHATWG URL standard (§3.5, the `url`
//! crate) normalises them first. A name is checked by every address that it resolves to, and the connection uses those addresses; both is
//! done by the sender.
//!
//! Sources: IANA's IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890, as updated by RFC 8190), IANA's list of multicast and
//! reserved space, RFC 6052 (NAT64), RFC 3056 (6to4), RFC 4380 (Teredo), RFC 6761 (`localhost`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// A parsed URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub url: Url,
    pub host: TargetHost,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetHost {
    Address(IpAddr),
    /// Lower case, in ASCII (punycode), without the trailing dot.
    Name(String),
}

impl Target {
    /// The host for display.
    pub fn host(&self) -> String {
        match &self.host {
            TargetHost::Address(address) => address.to_string(),
            TargetHost::Name(name) => name.clone(),
        }
    }

    /// Whether the operator's list includes it: `host`, or `host:port` for that port only.
    pub fn is_listed(&self, hosts: &[String]) -> bool {
        let host = self.host();
        let port = self.url.port_or_known_default();
        hosts.iter().any(|listed| {
            let listed = listed.trim().trim_end_matches('.').to_ascii_lowercase();
            let bare = listed.trim_start_matches('[').trim_end_matches(']');
            bare == host || port.is_some_and(|port| listed == format!("{host}:{port}") || listed == format!("[{host}]:{port}"))
        })
    }
}

/// Why a text is not a valid URL. Does not contain the URL, which may hold a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("it is no URL; write for example `https://hooks.example.org/page`")]
    NotAUrl,
    #[error("it begins with neither `https:` nor `http:`")]
    Scheme,
    #[error("it names no host")]
    NoHost,
    #[error("it holds a user name or a password; such a receiver takes a token in the path or a signature")]
    UserInfo,
}

/// Parses a URL.
pub fn target(text: &str) -> Result<Target, TargetError> {
    let url = Url::parse(text).map_err(|_| TargetError::NotAUrl)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(TargetError::Scheme);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(TargetError::UserInfo);
    }
    let host = match url.host() {
        Some(Host::Ipv4(address)) => TargetHost::Address(address.into()),
        Some(Host::Ipv6(address)) => TargetHost::Address(address.into()),
        Some(Host::Domain(name)) => {
            let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
            if name.is_empty() {
                return Err(TargetError::NoHost);
            }
            TargetHost::Name(name)
        }
        None => return Err(TargetError::NoHost),
    };
    Ok(Target { url, host })
}

/// The reserved use of a name that never denotes a public service, independent of DNS.
pub fn special_name(name: &str) -> Option<&'static str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or(name);
    last.eq_ignore_ascii_case("localhost").then_some("loopback")
}

/// The reserved use of an address; `None` if public. An address that embeds another one (mapped, translated) is treated as that one.
pub fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

/// Network, prefix length, use. Globally reachable blocks within reserved ones (192.0.0.9 and .10: anycast of port control) are of no use
/// to a web service and also rejected.
const V4: &[([u8; 4], u32, &str)] = &[
    ([0, 0, 0, 0], 8, "this network"),
    ([10, 0, 0, 0], 8, "private"),
    ([100, 64, 0, 0], 10, "carrier-grade translation"),
    ([127, 0, 0, 0], 8, "loopback"),
    // Not in the registries: Azure's platform address, reachable from virtual machines only
    // (learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16).
    ([168, 63, 129, 16], 32, "cloud platform"),
    ([169, 254, 0, 0], 16, "link-local"),
    ([172, 16, 0, 0], 12, "private"),
    ([192, 0, 0, 0], 24, "protocol assignments"),
    ([192, 0, 2, 0], 24, "documentation"),
    ([192, 88, 99, 0], 24, "6to4 relay"),
    ([192, 168, 0, 0], 16, "private"),
    ([198, 18, 0, 0], 15, "benchmarks"),
    ([198, 51, 100, 0], 24, "documentation"),
    ([203, 0, 113, 0], 24, "documentation"),
    ([224, 0, 0, 0], 4, "multicast"),
    ([240, 0, 0, 0], 4, "reserved"),
];

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let bits = u32::from(address);
    V4.iter().find(|(first, length, _)| (bits ^ u32::from(Ipv4Addr::from(*first))) >> (32 - length) == 0).map(|(_, _, purpose)| *purpose)
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let s = address.segments();
    let last_v4 = || Ipv4Addr::from((u32::from(s[6]) << 16) | u32::from(s[7]));
    match s {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("loopback"),
        [0, 0, 0, 0, 0, 0xffff, _, _] => special_v4(last_v4()),
        // The well-known prefix of NAT64: on a network without IPv4 every IPv4 service is reached through it.
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => special_v4(last_v4()),
        [0x64, 0xff9b, 1, ..] => Some("local translation"),
        // Obsolete tunnels: no public service uses them, and they may embed any address.
        [0x2001, 0, ..] => Some("Teredo"),
        [0x2002, ..] => Some("6to4"),
        [0x2001, second, ..] if second < 0x200 => Some("protocol assignments"),
        [0x2001, 0xdb8, ..] => Some("documentation"),
        [0x3fff, second, ..] if second < 0x1000 => Some("documentation"),
        [0x5f00, ..] => Some("segment routing"),
        [first, ..] if first & 0xfe00 == 0xfc00 => Some("unique local"),
        [first, ..] if first & 0xffc0 == 0xfe80 => Some("link-local"),
        [first, ..] if first & 0xffc0 == 0xfec0 => Some("site-local"),
        [first, ..] if first & 0xff00 == 0xff00 => Some("multicast"),
        // Of the rest, only 2000::/3 is allocated (IANA, IPv6 address space).
        [first, ..] if first & 0xe000 != 0x2000 => Some("unassigned"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<&'static str> {
        special(text.parse().unwrap())
    }

    /// Boundaries of every block, from IANA's registries (iana.org/assignments/iana-ipv4-special-registry, iana-ipv6-special-registry).
    #[test]
    fn the_registries_blocks_are_refused_to_their_edges() {
        for (inside, before, after) in [
            ("0.0.0.0 0.255.255.255", "", "1.0.0.0"),
            ("10.0.0.0 10.255.255.255", "9.255.255.255", "11.0.0.0"),
            ("100.64.0.0 100.127.255.255 100.100.100.200", "100.63.255.255", "100.128.0.0"),
            ("127.0.0.0 127.0.0.1 127.255.255.255", "126.255.255.255", "128.0.0.0"),
            ("168.63.129.16", "168.63.129.15", "168.63.129.17"),
            ("169.254.0.0 169.254.169.254 169.254.255.255", "169.253.255.255", "169.255.0.0"),
            ("172.16.0.0 172.31.255.255", "172.15.255.255", "172.32.0.0"),
            ("192.0.0.0 192.0.0.192 192.0.0.255", "191.255.255.255", "192.0.1.0"),
            ("192.0.2.0 192.0.2.255", "192.0.1.255", "192.0.3.0"),
            ("192.88.99.0 192.88.99.255", "192.88.98.255", "192.88.100.0"),
            ("192.168.0.0 192.168.255.255", "192.167.255.255", "192.169.0.0"),
            ("198.18.0.0 198.19.255.255", "198.17.255.255", "198.20.0.0"),
            ("198.51.100.0 198.51.100.255", "198.51.99.255", "198.51.101.0"),
            ("203.0.113.0 203.0.113.255", "203.0.112.255", "203.0.114.0"),
            ("224.0.0.0 239.255.255.255 240.0.0.0 255.255.255.255", "223.255.255.255", ""),
            (":: ::1 ::2 ::7f00:1", "", ""),
            ("64:ff9b:1:: 64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "", ""),
            ("100:: 100::1", "", ""),
            ("2001:: 2001:0:ffff:: 2001:1::1 2001:1ff:ffff::", "", "2001:200::"),
            ("2001:db8:: 2001:db8:ffff::", "2001:db7:ffff::", "2001:db9::"),
            ("2002:: 2002:7f00:1:: 2002:ffff::", "2001:ffff::", "2003::"),
            ("3fff:: 3fff:fff::", "3ffe:ffff::", "3fff:1000::"),
            ("5f00:: 4000::", "", ""),
            ("fc00:: fd00:ec2::254 fdff::", "", ""),
            ("fe80:: fe80::1 febf:: fec0::", "", ""),
            ("ff00:: ff02::1 ffff::", "", ""),
        ] {
            for address in inside.split(' ') {
                assert!(of(address).is_some(), "{address} is public");
            }
            for address in [before, after].into_iter().filter(|text| !text.is_empty()) {
                assert_eq!(of(address), None, "{address}");
            }
        }
    }

    #[test]
    fn public_services_are_public() {
        // Public DNS resolvers of Google, Quad9 and Cloudflare, in both families.
        for address in ["8.8.8.8", "9.9.9.9", "1.1.1.1", "2001:4860:4860::8888", "2620:fe::fe", "2606:4700:4700::1111"] {
            assert_eq!(of(address), None, "{address}");
        }
    }

    #[test]
    fn an_address_within_an_address_is_judged_as_what_it_carries() {
        for (text, purpose) in [
            ("::ffff:127.0.0.1", Some("loopback")),
            ("::ffff:169.254.169.254", Some("link-local")),
            ("::ffff:10.0.0.1", Some("private")),
            ("::ffff:8.8.8.8", None),
            ("64:ff9b::169.254.169.254", Some("link-local")),
            ("64:ff9b::127.0.0.1", Some("loopback")),
            ("64:ff9b::8.8.8.8", None),
            ("2002:a9fe:a9fe::", Some("6to4")),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", Some("Teredo")),
            ("::127.0.0.1", Some("unassigned")), // IPv4-compatible, deprecated by RFC 4291 §2.5.5.1
        ] {
            assert_eq!(of(text), purpose, "{text}");
        }
    }

    /// Spellings accepted by browsers and the WHATWG URL standard (host parser, "ends in a number").
    #[test]
    fn every_spelling_of_an_address_is_that_address() {
        for (text, address) in [
            ("http://127.0.0.1/", "127.0.0.1"),
            ("http://127.0.0.1./", "127.0.0.1"),
            ("http://127.1/", "127.0.0.1"),
            ("http://127.0.1:8080/x", "127.0.0.1"),
            ("http://2130706433/", "127.0.0.1"),
            ("http://0x7f000001/", "127.0.0.1"),
            ("http://0X7F.1/", "127.0.0.1"),
            ("http://0177.0.0.01/", "127.0.0.1"),
            ("http://017700000001/", "127.0.0.1"),
            ("http://%31%32%37.0.0.1/", "127.0.0.1"),
            ("http://１２７。０。０。１/", "127.0.0.1"), // full-width digits and dots: IDNA maps them
            ("http:\\\\127.0.0.1\\x", "127.0.0.1"),
            ("http:127.0.0.1", "127.0.0.1"),
            (" \thttp://127.0.0.1", "127.0.0.1"),
            ("http://0/", "0.0.0.0"),
            ("http://2852039166/latest/meta-data", "169.254.169.254"),
            ("http://0xa9.0xfe.0xa9.0xfe/", "169.254.169.254"),
            ("http://[::1]:99/", "::1"),
            ("http://[::ffff:7f00:1]/", "::ffff:127.0.0.1"),
            ("http://[0:0:0:0:0:ffff:127.0.0.1]/", "::ffff:127.0.0.1"),
        ] {
            let target = target(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(target.host, TargetHost::Address(address.parse().unwrap()), "{text}");
            assert!(special(address.parse().unwrap()).is_some(), "{text}");
        }
    }

    #[test]
    fn names_are_read_without_case_and_root() {
        for (text, name) in [
            ("https://Hooks.Example.ORG./x", "hooks.example.org"),
            ("https://bücher.example", "xn--bcher-kva.example"),
            ("http://localhost:1", "localhost"),
            ("http://LOCALHOST.", "localhost"),
            ("http://127.0.0.1.nip.io/", "127.0.0.1.nip.io"), // a name: checked by its resolved addresses
        ] {
            assert_eq!(target(text).unwrap().host, TargetHost::Name(name.to_owned()), "{text}");
        }
        for name in ["localhost", "a.localhost", "LocalHost.", "x.y.localhost."] {
            assert!(special_name(name).is_some(), "{name}");
        }
        for name in ["localhost.example.org", "notlocalhost", "example.org"] {
            assert_eq!(special_name(name), None, "{name}");
        }
    }

    #[test]
    fn what_is_no_web_address_is_refused() {
        for (text, error) in [
            ("", TargetError::NotAUrl),
            ("hooks.example.org", TargetError::NotAUrl),
            ("http://", TargetError::NotAUrl),
            ("http://256.256.256.256/", TargetError::NotAUrl),
            ("http://1.2.3.4.5/", TargetError::NotAUrl),
            ("ftp://example.org/", TargetError::Scheme),
            ("file:///etc/passwd", TargetError::Scheme),
            ("gopher://127.0.0.1:25/", TargetError::Scheme),
            ("unix:/run/docker.sock", TargetError::Scheme),
            ("https://ann@example.org/", TargetError::UserInfo),
            ("https://example.org:secret@127.0.0.1/", TargetError::UserInfo),
            ("https://./", TargetError::NoHost),
        ] {
            let found = target(text);
            // The URL standard may reject the single dot itself; either way it is not a host.
            let matched = found == Err(error) || (error == TargetError::NoHost && found == Err(TargetError::NotAUrl));
            assert!(matched, "{text}: {found:?}");
        }
    }

    #[test]
    fn the_operators_list_means_host_and_port() {
        let at = |text: &str| target(text).unwrap();
        let listed = |text: &str, host: &str| at(text).is_listed(&[host.to_owned()]);
        assert!(listed("http://127.0.0.1:8080/x", "127.0.0.1:8080"));
        assert!(listed("http://2130706433:8080/x", "127.0.0.1"));
        assert!(!listed("http://127.0.0.1:8081/x", "127.0.0.1:8080"));
        assert!(listed("https://chat.corp.example/x", "Chat.Corp.Example."));
        assert!(listed("https://chat.corp.example/x", "chat.corp.example:443"));
        assert!(!listed("https://evil.chat.corp.example/x", "chat.corp.example"));
        assert!(listed("http://[::1]:9/", "[::1]:9") && listed("http://[::1]:9/", "::1"));
    }
}
