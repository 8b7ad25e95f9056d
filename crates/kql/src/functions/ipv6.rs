//! IPv6 addresses, and IPv4 addresses as IPv6: `parse_ipv6`, `parse_ipv6_mask`, `ipv6_compare`, `ipv6_is_match`, `ipv6_is_in_range`,
//! `ipv6_is_in_any_range`. Source of truth: the public KQL reference, one page each: an IPv4 address is `::ffff:a.b.c.d`, and its prefix
//! length is increased by 96.

use std::net::{Ipv4Addr, Ipv6Addr};

use model::Type;

use super::ipv4::{List, text_and_list};
use super::signatures::{all, some};
use super::{Args, Family, ScalarFn, Signature, kernel};

pub static FAMILY: Family = &[&PARSE_IPV6, &PARSE_IPV6_MASK, &COMPARE, &IS_MATCH, &IS_IN_RANGE, &IS_IN_ANY_RANGE];

#[derive(Clone, Copy, Debug)]
struct Address {
    bits: u128,
    prefix: u32,
}

/// The prefix `::ffff:0:0`.
const MAPPED: u128 = 0xffff << 32;

impl Address {
    /// Parses for comparison: `::192.168.1.1` is the same address as `192.168.1.1`.
    fn parse(text: &str) -> Option<Address> {
        let address = Address::parse_plain(text)?;
        let dotted = text.contains('.') && address.bits >> 32 == 0;
        Some(Address { bits: if dotted { address.bits | MAPPED } else { address.bits }, ..address })
    }

    /// Parses for formatting: `::192.168.1.1` is kept as it is (recorded).
    fn parse_plain(text: &str) -> Option<Address> {
        let text = text.trim();
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) if prefix.len() <= 3 && prefix.bytes().all(|b| b.is_ascii_digit()) => {
                (address, Some(prefix.parse::<u32>().ok()?))
            }
            Some(_) => return None,
            None => (text, None),
        };
        // The zone of a link-local address (`fe80::1%eth0`) is not part of it (recorded).
        let address = address.split_once('%').map_or(address, |(address, _)| address);
        let dotted = address.contains('.');
        let bits = match address.parse::<Ipv4Addr>() {
            Ok(ip) => MAPPED | u128::from(u32::from(ip)),
            Err(_) => u128::from(address.parse::<Ipv6Addr>().ok()?),
        };
        let prefix = match prefix {
            None => 128,
            Some(prefix) if dotted && prefix <= 32 => prefix + 96,
            Some(prefix) if !dotted && prefix <= 128 => prefix,
            Some(_) => return None,
        };
        Some(Address { bits, prefix })
    }

    fn masked(self, prefix: u32) -> u128 {
        self.bits & u128::MAX.checked_shl(128 - prefix.min(128)).unwrap_or(0)
    }

    fn contains(self, other: Address) -> bool {
        self.masked(self.prefix) == other.masked(self.prefix)
    }
}

fn prefix_at(args: &Args, index: usize, row: usize) -> Option<u32> {
    if args.len() <= index {
        return Some(128);
    }
    u32::try_from(args.longs(index).get(row)?).ok().filter(|prefix| *prefix <= 128)
}

/// Writes all eight groups in full.
fn push(bits: u128, out: &mut String) {
    let groups: Vec<String> = Ipv6Addr::from(bits).segments().iter().map(|group| format!("{group:04x}")).collect();
    out.push_str(&groups.join(":"));
}

static PARSE_IPV6: ScalarFn = ScalarFn {
    name: "parse_ipv6",
    summary: "The address in its canonical form, less what lies beyond its prefix; empty where it is none",
    signature: all(&[("ip", Type::String)], Type::String),
    examples: &[
        (r#"parse_ipv6("127.0.0.1")"#, "0000:0000:0000:0000:0000:ffff:7f00:0001"),
        (r#"parse_ipv6(":fe80::85d:e82c:9446:7994")"#, ""),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let ip = args.texts(0);
            args.map_texts(|row, out| {
                if let Some(ip) = Address::parse_plain(ip.get(row)) {
                    push(ip.masked(ip.prefix), out);
                }
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static PARSE_IPV6_MASK: ScalarFn = ScalarFn {
    name: "parse_ipv6_mask",
    summary: "The address in its canonical form, less what lies beyond a prefix",
    signature: all(&[("ip", Type::String), ("prefix", Type::Long)], Type::String),
    examples: &[
        (r#"parse_ipv6_mask("192.168.255.255", 120)"#, "0000:0000:0000:0000:0000:ffff:c0a8:ff00"),
        (r#"parse_ipv6_mask("fe80::85d:e82c:9446:7994/120", 124)"#, "fe80:0000:0000:0000:085d:e82c:9446:7900"),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let ip = args.texts(0);
            args.map_texts(|row, out| {
                if let Some((ip, prefix)) = Address::parse_plain(ip.get(row)).zip(prefix_at(args, 1, row)) {
                    push(ip.masked(ip.prefix.min(prefix)), out);
                }
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

fn both(args: &Args, row: usize) -> Option<(u128, u128)> {
    let (a, b) = (Address::parse(args.texts(0).get(row))?, Address::parse(args.texts(1).get(row))?);
    let prefix = a.prefix.min(b.prefix).min(prefix_at(args, 2, row)?);
    Some((a.masked(prefix), b.masked(prefix)))
}

static COMPARE: ScalarFn = ScalarFn {
    name: "ipv6_compare",
    summary: "-1, 0 or 1: how two addresses stand to each other, by the shortest of their prefixes",
    signature: some(&[("ip1", Type::String), ("ip2", Type::String), ("prefix", Type::Long)], 2, Type::Long),
    examples: &[
        (r#"ipv6_compare("fe80::85d:e82c:9446:7994/120", "fe80::85d:e82c:9446:7998")"#, "0"),
        (r#"ipv6_compare("192.168.1.1", "192.168.1.2")"#, "-1"),
    ],
    prepare: |_| Ok(kernel(|args| args.map_longs(|row| both(args, row).map(|(a, b)| a.cmp(&b) as i64)))),
    ..ScalarFn::DEFAULT
};

static IS_MATCH: ScalarFn = ScalarFn {
    name: "ipv6_is_match",
    summary: "True where two addresses are the same, by the shortest of their prefixes",
    signature: some(&[("ip1", Type::String), ("ip2", Type::String), ("prefix", Type::Long)], 2, Type::Bool),
    examples: &[(r#"ipv6_is_match("192.168.1.1/24", "::ffff:c0a8:01ff")"#, "True")],
    prepare: |_| Ok(kernel(|args| args.map_bools(|row| both(args, row).map(|(a, b)| a == b)))),
    ..ScalarFn::DEFAULT
};

static IS_IN_RANGE: ScalarFn = ScalarFn {
    name: "ipv6_is_in_range",
    summary: "True where the address is in a range such as `fe80::/10`",
    signature: all(&[("ip", Type::String), ("ip_range", Type::String)], Type::Bool),
    examples: &[(r#"ipv6_is_in_range("a5e:f127:8a9d:146d:e102:b5d3:c755:abcd", "a5e:f127:8a9d:146d:e102:b5d3:c755:0000/112")"#, "True")],
    prepare: |_| {
        Ok(kernel(|args| {
            let (ip, range) = (args.texts(0), args.texts(1));
            args.map_bools(|row| Some(Address::parse(range.get(row))?.contains(Address::parse(ip.get(row))?)))
        }))
    },
    ..ScalarFn::DEFAULT
};

static IS_IN_ANY_RANGE: ScalarFn = ScalarFn {
    name: "ipv6_is_in_any_range",
    summary: "True where the address is in one of several ranges, given one by one or as an array",
    parameters: &["ip"],
    signature: Signature::Custom(|args| text_and_list(args, Type::Bool)),
    examples: &[(r#"ipv6_is_in_any_range("fe80::1", dynamic(["fe80::/10", "2001:db8::/32"]))"#, "True")],
    prepare: |prepare| {
        let ranges = List::new(prepare, Address::parse);
        Ok(kernel(move |args| {
            let ip = args.texts(0);
            args.map_bools(|row| {
                let ip = Address::parse(ip.get(row))?;
                Some(ranges.any(args, row, |range| range.contains(ip)))
            })
        }))
    },
    ..ScalarFn::DEFAULT
};
