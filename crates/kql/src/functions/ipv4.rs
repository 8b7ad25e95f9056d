//! IPv4 addresses: parsing, comparison, range checks, formatting, and search in text. An address may carry a prefix length (`10.1.2.3/24`).
//! Source of truth: the public KQL reference, one page each. Anything that is not an address gives null.

use model::Type;

use super::arrays::push_array;
use super::signatures::{all, count, some, wants};
use super::{Arg, Args, Family, Resolved, ScalarFn, Signature, SignatureError, kernel};
use crate::Value;
use crate::dynamic::{elements, push_string, unquote};

pub static FAMILY: Family = &[
    &PARSE_IPV4,
    &PARSE_IPV4_MASK,
    &COMPARE,
    &IS_MATCH,
    &IS_IN_RANGE,
    &IS_IN_ANY_RANGE,
    &IS_PRIVATE,
    &NETMASK_SUFFIX,
    &FORMAT,
    &FORMAT_MASK,
    &RANGE_TO_CIDR,
    &HAS_IPV4,
    &HAS_ANY_IPV4,
    &HAS_PREFIX,
    &HAS_ANY_PREFIX,
];

/// An address and its prefix length, 32 by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    pub bits: u32,
    pub prefix: u32,
}

impl Address {
    pub fn parse(text: &str) -> Option<Address> {
        let text = text.trim();
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, small(prefix, 32)?),
            None => (text, 32),
        };
        let mut parts = address.split('.');
        let mut bits = 0;
        for _ in 0..4 {
            bits = bits << 8 | small(parts.next()?, 255)?;
        }
        parts.next().is_none().then_some(Address { bits, prefix })
    }

    pub fn masked(self, prefix: u32) -> u32 {
        self.bits & mask(prefix)
    }

    fn contains(self, other: Address) -> bool {
        self.masked(self.prefix) == other.masked(self.prefix)
    }
}

/// Parses at most three digits with a value of at most `most`.
fn small(digits: &str, most: u32) -> Option<u32> {
    let sane = (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    sane.then(|| digits.parse().ok())?.filter(|n| *n <= most)
}

fn mask(prefix: u32) -> u32 {
    u32::MAX.checked_shl(32 - prefix.min(32)).unwrap_or(0)
}

fn text(bits: u32) -> String {
    std::net::Ipv4Addr::from(bits).to_string()
}

/// The prefix length in the optional argument `index`.
fn prefix_at(args: &Args, index: usize, row: usize) -> Option<u32> {
    if args.len() <= index {
        return Some(32);
    }
    u32::try_from(args.longs(index).get(row)?).ok().filter(|prefix| *prefix <= 32)
}

static PARSE_IPV4: ScalarFn = ScalarFn {
    name: "parse_ipv4",
    summary: "The address as a number, less what lies beyond its prefix",
    signature: all(&[("ip", Type::String)], Type::Long),
    examples: &[
        (r#"parse_ipv4("127.0.0.1")"#, "2130706433"),
        (r#"parse_ipv4("192.168.1.1/24") == parse_ipv4("192.168.1.0")"#, "True"),
        (r#"parse_ipv4("1.2.3")"#, ""),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let ip = args.texts(0);
            args.map_longs(|row| Address::parse(ip.get(row)).map(|ip| ip.masked(ip.prefix).into()))
        }))
    },
    ..ScalarFn::DEFAULT
};

static PARSE_IPV4_MASK: ScalarFn = ScalarFn {
    name: "parse_ipv4_mask",
    summary: "The address as a number, less what lies beyond a prefix",
    signature: all(&[("ip", Type::String), ("prefix", Type::Long)], Type::Long),
    examples: &[(r#"parse_ipv4_mask("192.1.168.2", 31) == parse_ipv4_mask("192.1.168.3", 31)"#, "True")],
    prepare: |_| {
        Ok(kernel(|args| {
            let ip = args.texts(0);
            args.map_longs(|row| {
                let ip = Address::parse(ip.get(row))?;
                Some(ip.masked(ip.prefix.min(prefix_at(args, 1, row)?)).into())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

/// Both addresses, masked with the shortest of all prefixes.
fn both(args: &Args, row: usize) -> Option<(u32, u32)> {
    let (a, b) = (Address::parse(args.texts(0).get(row))?, Address::parse(args.texts(1).get(row))?);
    let prefix = a.prefix.min(b.prefix).min(prefix_at(args, 2, row)?);
    Some((a.masked(prefix), b.masked(prefix)))
}

static COMPARE: ScalarFn = ScalarFn {
    name: "ipv4_compare",
    summary: "-1, 0 or 1: how two addresses stand to each other, by the shortest of their prefixes",
    signature: some(&[("ip1", Type::String), ("ip2", Type::String), ("prefix", Type::Long)], 2, Type::Long),
    examples: &[(r#"ipv4_compare("192.168.1.1", "192.168.1.255", 24)"#, "0"), (r#"ipv4_compare("10.0.0.1", "10.0.0.2")"#, "-1")],
    prepare: |_| Ok(kernel(|args| args.map_longs(|row| both(args, row).map(|(a, b)| a.cmp(&b) as i64)))),
    ..ScalarFn::DEFAULT
};

static IS_MATCH: ScalarFn = ScalarFn {
    name: "ipv4_is_match",
    summary: "True where two addresses are the same, by the shortest of their prefixes",
    signature: some(&[("ip1", Type::String), ("ip2", Type::String), ("prefix", Type::Long)], 2, Type::Bool),
    examples: &[(r#"ipv4_is_match("192.168.1.1/24", "192.168.1.255")"#, "True"), (r#"ipv4_is_match("x", "192.168.1.255")"#, "")],
    prepare: |_| Ok(kernel(|args| args.map_bools(|row| both(args, row).map(|(a, b)| a == b)))),
    ..ScalarFn::DEFAULT
};

static IS_IN_RANGE: ScalarFn = ScalarFn {
    name: "ipv4_is_in_range",
    summary: "True where the address is in a range such as `10.0.0.0/8`",
    signature: all(&[("ip", Type::String), ("ip_range", Type::String)], Type::Bool),
    examples: &[
        (r#"ipv4_is_in_range("192.168.1.6", "192.168.1.1/24")"#, "True"),
        (r#"ipv4_is_in_range("192.168.2.6", "192.168.1.1/24")"#, "False"),
    ],
    prepare: |prepare| {
        let fixed = prepare.constants[1].as_ref().and_then(Value::as_str).map(Address::parse);
        Ok(kernel(move |args| {
            let (ip, range) = (args.texts(0), args.texts(1));
            args.map_bools(|row| {
                let range = fixed.unwrap_or_else(|| Address::parse(range.get(row)));
                Some(range?.contains(Address::parse(ip.get(row))?))
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

/// A text, followed by texts or one array of texts.
pub(super) fn text_and_list(args: &[Arg], returns: Type) -> Result<Resolved, SignatureError> {
    count(args, 2, None)?;
    if let Some(index) = args.iter().position(|arg| !matches!(arg.ty, Type::String | Type::Dynamic)) {
        return Err(wants(index, "string"));
    }
    let list = args[1..].iter().map(|arg| arg.ty);
    Ok(Resolved { args: std::iter::once(Type::String).chain(list).collect(), returns })
}

/// The texts of a list argument.
pub(super) fn list_of(value: &Value) -> Vec<String> {
    match value {
        Value::Dynamic(json) => match elements(json) {
            Some(elements) => elements.map(|element| unquote(element).into_owned()).collect(),
            None => vec![unquote(json).into_owned()],
        },
        Value::String(text) => vec![text.clone()],
        _ => Vec::new(),
    }
}

/// A compiled list: constants are parsed once.
pub(super) struct List<T> {
    fixed: Vec<T>,
    /// Non-constant arguments, with their types.
    open: Vec<(usize, Type)>,
    read: fn(&str) -> Option<T>,
}

impl<T> List<T> {
    pub fn new(prepare: &super::Prepare, read: fn(&str) -> Option<T>) -> Self {
        let mut list = List { fixed: Vec::new(), open: Vec::new(), read };
        for (index, constant) in prepare.constants.iter().enumerate().skip(1) {
            match constant {
                Some(value) => list.fixed.extend(list_of(value).iter().filter_map(|text| read(text))),
                None => list.open.push((index, prepare.types[index])),
            }
        }
        list
    }

    pub fn any(&self, args: &Args, row: usize, mut test: impl FnMut(&T) -> bool) -> bool {
        self.fixed.iter().any(&mut test)
            || self.open.iter().any(|(index, ty)| {
                let column = &args.arrays[*index];
                let value = Value::from_cell(column.inner(), if column.is_scalar() { 0 } else { row }, *ty);
                list_of(&value).iter().filter_map(|text| (self.read)(text)).any(|item| test(&item))
            })
    }
}

static IS_IN_ANY_RANGE: ScalarFn = ScalarFn {
    name: "ipv4_is_in_any_range",
    summary: "True where the address is in one of several ranges, given one by one or as an array",
    parameters: &["ip"],
    signature: Signature::Custom(|args| text_and_list(args, Type::Bool)),
    examples: &[
        (r#"ipv4_is_in_any_range("192.168.1.6", "192.168.1.1/24", "10.0.0.1/8")"#, "True"),
        (r#"ipv4_is_in_any_range("127.0.0.1", dynamic(["10.0.0.0/8"]))"#, "False"),
    ],
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

static IS_PRIVATE: ScalarFn = ScalarFn {
    name: "ipv4_is_private",
    summary: "True where the address is in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16",
    signature: all(&[("ip", Type::String)], Type::Bool),
    examples: &[
        (r#"ipv4_is_private("192.168.1.1/24")"#, "True"),
        (r#"ipv4_is_private("10.1.2.3")"#, "True"),
        (r#"ipv4_is_private("172.32.0.1")"#, "False"),
        (r#"ipv4_is_private("")"#, ""),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let ip = args.texts(0);
            args.map_bools(|row| {
                let ip = Address::parse(ip.get(row))?;
                Some(ip.masked(8) == 10 << 24 || ip.masked(12) == 172 << 24 | 16 << 16 || ip.masked(16) == 192 << 24 | 168 << 16)
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static NETMASK_SUFFIX: ScalarFn = ScalarFn {
    name: "ipv4_netmask_suffix",
    summary: "The prefix length of an address, 32 where it has none",
    signature: all(&[("ip", Type::String)], Type::Long),
    examples: &[(r#"ipv4_netmask_suffix("192.168.1.1/24")"#, "24"), (r#"ipv4_netmask_suffix("10.1.2.3")"#, "32")],
    prepare: |_| {
        Ok(kernel(|args| {
            let ip = args.texts(0);
            args.map_longs(|row| Address::parse(ip.get(row)).map(|ip| ip.prefix.into()))
        }))
    },
    ..ScalarFn::DEFAULT
};

macro_rules! formatting {
    ($name:ident, $call:literal, $suffix:literal, $summary:literal, $examples:expr) => {
        static $name: ScalarFn = ScalarFn {
            name: $call,
            summary: $summary,
            parameters: &["ip"],
            signature: Signature::Custom(|args| {
                count(args, 1, Some(2))?;
                let first = match args[0].ty {
                    Type::Int | Type::Long => Type::Long,
                    Type::String | Type::Dynamic => Type::String,
                    _ => return Err(wants(0, "string or long")),
                };
                Ok(Resolved { args: [first, Type::Long][..args.len()].to_vec(), returns: Type::String })
            }),
            examples: $examples,
            prepare: |prepare| {
                let number = prepare.types[0] == Type::Long;
                Ok(kernel(move |args| {
                    args.map_texts(|row, out| {
                        let ip = if number {
                            args.longs(0).get(row).and_then(|n| u32::try_from(n).ok()).map(|bits| Address { bits, prefix: 32 })
                        } else {
                            Address::parse(args.texts(0).get(row))
                        };
                        let Some((ip, prefix)) = ip.zip(prefix_at(args, 1, row)) else { return };
                        let prefix = prefix.min(ip.prefix);
                        out.push_str(&text(ip.masked(prefix)));
                        if $suffix {
                            out.push_str(&format!("/{prefix}"));
                        }
                    })
                }))
            },
            ..ScalarFn::DEFAULT
        };
    };
}

formatting!(
    FORMAT,
    "format_ipv4",
    false,
    "The address as text, less what lies beyond a prefix",
    &[
        (r#"format_ipv4("192.168.1.1", 24)"#, "192.168.1.0"),
        ("format_ipv4(3232236031)", "192.168.1.255"),
        (r#"format_ipv4("192.168.1.1", -1)"#, "")
    ]
);
formatting!(
    FORMAT_MASK,
    "format_ipv4_mask",
    true,
    "The address as text with its prefix, less what lies beyond",
    &[(r#"format_ipv4_mask("192.168.1.1", 24)"#, "192.168.1.0/24"), (r#"format_ipv4_mask("192.168.1.1")"#, "192.168.1.1/32")]
);

static RANGE_TO_CIDR: ScalarFn = ScalarFn {
    name: "ipv4_range_to_cidr_list",
    summary: "The fewest prefixes that make up a range of addresses",
    signature: all(&[("start_ip", Type::String), ("end_ip", Type::String)], Type::Dynamic),
    examples: &[(r#"ipv4_range_to_cidr_list("1.1.128.0", "1.1.140.255")"#, r#"["1.1.128.0/21","1.1.136.0/22","1.1.140.0/24"]"#)],
    prepare: |_| {
        Ok(kernel(|args| {
            let (start, end) = (args.texts(0), args.texts(1));
            args.map_json(|row, out| {
                let (mut at, end) = (u64::from(Address::parse(start.get(row))?.bits), u64::from(Address::parse(end.get(row))?.bits));
                let mut list = Vec::new();
                while at <= end {
                    let mut size = if at == 0 { 32 } else { at.trailing_zeros().min(32) };
                    while at + (1u64 << size) - 1 > end {
                        size -= 1;
                    }
                    let mut quoted = String::new();
                    push_string(&mut quoted, &format!("{}/{}", text(at as u32), 32 - size));
                    list.push(quoted);
                    at += 1 << size;
                }
                push_array(out, list.iter().map(String::as_str));
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

/// The addresses in a text, delimited by characters other than letters, digits and dots.
fn found(source: &str) -> impl Iterator<Item = (u32, &str)> {
    let free = |c: char| !(super::terms::is_term(c) || c == '.');
    source.split(free).filter_map(|word| {
        // Strip a trailing full stop.
        let word = word.trim_end_matches('.');
        Address::parse(word).map(|ip| (ip.bits, word))
    })
}

static HAS_IPV4: ScalarFn = ScalarFn {
    name: "has_ipv4",
    summary: "True where the address stands in the text",
    signature: all(&[("source", Type::String), ("ip", Type::String)], Type::Bool),
    examples: &[
        (r#"has_ipv4("05:04:54 127.0.0.1 GET /favicon.ico 404", "127.0.0.1")"#, "True"),
        (r#"has_ipv4("05:04:54127.0.0.1 GET /favicon.ico 404", "127.0.0.1")"#, "False"),
        (r#"has_ipv4("05:04:54 127.0.0.256 GET", "127.0.0.256")"#, "False"),
    ],
    prepare: |prepare| any_ipv4(prepare),
    ..ScalarFn::DEFAULT
};

static HAS_ANY_IPV4: ScalarFn = ScalarFn {
    name: "has_any_ipv4",
    summary: "True where one of several addresses stands in the text",
    parameters: &["start", "end"],
    signature: Signature::Custom(|args| text_and_list(args, Type::Bool)),
    examples: &[(r#"has_any_ipv4("05:04:54 127.0.0.1 GET", dynamic(["127.0.0.1", "127.0.0.2"]))"#, "True")],
    prepare: |prepare| any_ipv4(prepare),
    ..ScalarFn::DEFAULT
};

fn any_ipv4(prepare: &super::Prepare) -> Result<Box<dyn super::Kernel>, super::PrepareError> {
    let list = List::new(prepare, |text| Address::parse(text).map(|ip| ip.bits));
    Ok(kernel(move |args| {
        let source = args.texts(0);
        args.map_bools(|row| Some(found(source.get(row)).any(|(bits, _)| list.any(args, row, |ip| *ip == bits))))
    }))
}

static HAS_PREFIX: ScalarFn = ScalarFn {
    name: "has_ipv4_prefix",
    summary: "True where an address that begins so (`192.168.`) stands in the text",
    signature: all(&[("source", Type::String), ("ip_prefix", Type::String)], Type::Bool),
    examples: &[
        (r#"has_ipv4_prefix("05:04:54 127.0.0.1 GET", "127.0.")"#, "True"),
        (r#"has_ipv4_prefix("05:04:54 127.0.0.1 GET", "127.0")"#, "False"),
    ],
    prepare: |prepare| any_prefix(prepare),
    ..ScalarFn::DEFAULT
};

static HAS_ANY_PREFIX: ScalarFn = ScalarFn {
    name: "has_any_ipv4_prefix",
    summary: "True where an address that begins with one of several prefixes stands in the text",
    parameters: &["source", "ip_prefix"],
    signature: Signature::Custom(|args| text_and_list(args, Type::Bool)),
    examples: &[(r#"has_any_ipv4_prefix("05:04:54 127.0.0.1 GET", "127.0.", "192.168.")"#, "True")],
    prepare: |prepare| any_prefix(prepare),
    ..ScalarFn::DEFAULT
};

fn any_prefix(prepare: &super::Prepare) -> Result<Box<dyn super::Kernel>, super::PrepareError> {
    // A prefix ends with a dot or is a complete address.
    let list = List::new(prepare, |text| (text.ends_with('.') || Address::parse(text).is_some()).then(|| text.to_owned()));
    Ok(kernel(move |args| {
        let source = args.texts(0);
        args.map_bools(|row| {
            let begins =
                |word: &str, prefix: &String| if prefix.ends_with('.') { word.starts_with(prefix.as_str()) } else { word == prefix };
            Some(found(source.get(row)).any(|(_, word)| list.any(args, row, |prefix| begins(word, prefix))))
        })
    }))
}
