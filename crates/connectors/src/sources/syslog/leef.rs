//! LEEF 1.0 and 2.0: five header fields, then `key=value` pairs between delimiters, without escapes.
//!
//! Source: IBM, "QRadar LEEF". LEEF 1.0 separates pairs by tabs, LEEF 2.0 by the character in its sixth header field. Some senders use a
//! bar, and rsyslog writes a tab as `#011` (`parser.escapeControlCharactersOnReceive`), so without tabs the delimiter is inferred from what
//! precedes the keys.

use super::cef::{Columns, Row};
use super::rows::Security;

/// Candidate delimiters if none is given; the first that occurs is used.
const DELIMITERS: [&str; 5] = ["\t", "#011", "\\t", "^", "|"];

/// Parses the text after `LEEF:` into a row. Returns `None`, without writing anything, if the header is incomplete.
pub fn read(text: &str, columns: &Columns, row: &mut Row<'_>) -> Option<()> {
    let (version, mut rest) = text.split_once('|')?;
    let mut fields = [""; 4];
    for field in &mut fields {
        (*field, rest) = rest.split_once('|')?;
    }
    let mut named = String::new();
    if version.starts_with('2') {
        // The sixth field is the delimiter; senders that omit it continue with a pair.
        if let Some((written, after)) = rest.split_once('|').filter(|(written, _)| !written.contains('=') || *written == "=") {
            named.push(delimiter(written)?);
            rest = after;
        }
    }
    let [vendor, product, product_version, event] = fields;
    let header = [
        (Security::DeviceVendor, vendor),
        (Security::DeviceProduct, product),
        (Security::DeviceVersion, product_version),
        (Security::DeviceEventClassID, event),
        (Security::Activity, event),
    ];
    for (column, value) in header {
        row.put(column, value);
    }
    let between = if named.is_empty() || (named == "\t" && !rest.contains('\t')) { inferred(rest) } else { Some(named.as_str()) };
    let Some(between) = between else {
        // Relays replace tabs by blanks: values extend to the next key.
        model::cef::pairs(rest, |key, value| row.pair(columns, key, value));
        return Some(());
    };
    for pair in pairs(rest, between) {
        if let Some((key, value)) = pair.trim_start().split_once('=') {
            row.pair(columns, key, value.trim_end());
        }
    }
    Some(())
}

/// One character, `0x` or `x` and a hexadecimal number, or `\t`; empty means a tab.
fn delimiter(written: &str) -> Option<char> {
    let mut chars = written.chars();
    match (chars.next(), chars.next()) {
        (None, _) => Some('\t'),
        (Some(one), None) => Some(one),
        _ if written == "\\t" || written == "#011" => Some('\t'),
        _ => {
            let digits = written.strip_prefix("0x").or_else(|| written.strip_prefix('x'))?;
            u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)
        }
    }
}

/// The delimiter that precedes a key.
fn inferred(text: &str) -> Option<&'static str> {
    let separates = |delimiter: &str| text.match_indices(delimiter).any(|(at, _)| starts_with_key(&text[at + delimiter.len()..]));
    DELIMITERS.into_iter().find(|delimiter| separates(delimiter))
}

/// Splits pairs. A bar that is not followed by a key is part of a value.
fn pairs<'a>(text: &'a str, delimiter: &'a str) -> impl Iterator<Item = &'a str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut places = text.match_indices(delimiter).map(|(at, _)| at);
        let end = places.find(|at| delimiter != "|" || starts_with_key(&text[at + 1..]));
        rest = end.map(|at| &text[at + delimiter.len()..]);
        Some(end.map_or(text, |at| &text[..at]))
    })
}

fn starts_with_key(text: &str) -> bool {
    let text = text.trim_start_matches(' ');
    let len = text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')).count();
    len > 0 && text.as_bytes().get(len) == Some(&b'=')
}

#[cfg(test)]
mod tests {
    use crate::sources::syslog::cef::tests::show;

    #[test]
    fn leef_is_read_with_both_headers() {
        let expected = [
            "Activity=id",
            "DeviceEventClassID=id",
            "DeviceProduct=P",
            "DeviceVendor=V",
            "DeviceVersion=1",
            "SourceIP=10.0.0.1",
            "SourceUserName=a=b",
            "q=r",
        ];
        for message in [
            "LEEF:1.0|V|P|1|id|src=10.0.0.1\tusrName=a=b\tq=r",
            "LEEF:2.0|V|P|1|id|^|src=10.0.0.1^usrName=a=b^q=r",
            "LEEF:2.0|V|P|1|id|0x5e|src=10.0.0.1^usrName=a=b^q=r",
            "LEEF:2.0|V|P|1|id||src=10.0.0.1\tusrName=a=b\tq=r",
            "LEEF:2.0|V|P|1|id|src=10.0.0.1\tusrName=a=b\tq=r",
            "LEEF:2.0|V|P|1|id|x09|src=10.0.0.1\tusrName=a=b\tq=r",
            r"LEEF:2.0|V|P|1|id|\t|src=10.0.0.1\tusrName=a=b\tq=r",
            // Bars between pairs, as in published LEEF 1.0 samples; rsyslog's tabs.
            "LEEF:1.0|V|P|1|id|src=10.0.0.1|usrName=a=b|q=r",
            "LEEF:2.0|V|P|1|id|src=10.0.0.1|usrName=a=b|q=r",
            "LEEF:1.0|V|P|1|id|src=10.0.0.1^usrName=a=b^q=r",
            "LEEF:1.0|V|P|1|id|src=10.0.0.1 usrName=a=b q=r",
            "LEEF:1.0|V|P|1|id|src=10.0.0.1#011usrName=a=b#011q=r",
            "LEEF:2.0|V|P|1|id|x09|src=10.0.0.1#011usrName=a=b#011q=r",
            r"LEEF:1.0|V|P|1|id|src=10.0.0.1\tusrName=a=b\tq=r",
        ] {
            assert_eq!(show(message).unwrap(), expected, "{message}");
        }
        assert!(show("LEEF:1.0|V|P").is_err());
    }

    #[test]
    fn bars_in_values_stay() {
        let shown = show("LEEF:1.0|V|P|1|id|url=http://a/?b|c|usrName=ann|policy=x | y").unwrap();
        for each in ["RequestURL=http://a/?b|c", "SourceUserName=ann", "DeviceCustomString1=x | y"] {
            assert!(shown.contains(&each.to_owned()), "{shown:?}");
        }
        let shown = show("LEEF:1.0|V|P|1|id|url=a|b=c\tusrName=ann").unwrap();
        assert!(shown.contains(&"RequestURL=a|b=c".to_owned()), "{shown:?}");
    }
}
