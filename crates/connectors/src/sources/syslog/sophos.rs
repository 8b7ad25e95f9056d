//! Sophos Firewall's own format ("device standard format"), to `CommonSecurityLog`.
//!
//! A line is a PRI and `key=value` pairs, without time and host: `<30>device="SFW" date=2020-05-18 time=14:38:48 …`. Since SFOS 18 the
//! "central reporting" form has `device_name="SFW" timestamp="…-0600" device_serial_id=…` and other names for some fields. Real lines are
//! irregular: unquoted values with spaces, nested quotes, a truncated last value. Their zone is an ambiguous abbreviation, so the
//! listener's zone is used.

use std::sync::LazyLock;

use model::{Civil, Timestamp};

use super::cef::{Columns, Mapping, Row};
use super::rows::Security;
use super::time::{self, Reference};

/// Keys of the firewall's lines, old and new. The first key that fills a column wins; later ones become additional extensions.
pub const SOPHOS: &[Mapping] = &[
    ("app_name", Security::ApplicationProtocol),
    ("application", Security::ApplicationProtocol),
    ("browser", Security::RequestClientApplication),
    ("con_direction", Security::CommunicationDirection),
    ("destinationip", Security::DestinationIP),
    ("device_id", Security::DeviceExternalID),
    ("device_serial_id", Security::DeviceExternalID),
    ("domain", Security::DestinationHostName),
    ("domainname", Security::DestinationHostName),
    ("dst_domainname", Security::DestinationDnsDomain),
    ("dst_ip", Security::DestinationIP),
    ("dst_mac", Security::DestinationMACAddress),
    ("dst_port", Security::DestinationPort),
    ("execution_path", Security::SourceProcessName),
    ("file_name", Security::FileName),
    ("file_path", Security::FilePath),
    ("file_size", Security::FileSize),
    ("filename", Security::FileName),
    ("filepath", Security::FilePath),
    ("filesize", Security::FileSize),
    ("from_email_address", Security::SourceUserName),
    ("hostname", Security::SourceHostName),
    ("http_user_agent", Security::RequestClientApplication),
    ("in_display_interface", Security::DeviceInboundInterface),
    ("in_interface", Security::DeviceInboundInterface),
    ("log_component", Security::Activity),
    ("log_id", Security::DeviceEventClassID),
    ("log_subtype", Security::DeviceAction),
    ("log_type", Security::DeviceEventCategory),
    ("message", Security::Message),
    ("method", Security::RequestMethod),
    ("out_display_interface", Security::DeviceOutboundInterface),
    ("out_interface", Security::DeviceOutboundInterface),
    ("priority", Security::LogSeverity),
    ("protocol", Security::Protocol),
    ("reason", Security::Reason),
    ("recipient", Security::DestinationUserName),
    ("recv_bytes", Security::ReceivedBytes),
    ("bytes_received", Security::ReceivedBytes),
    ("referer", Security::RequestContext),
    ("sender", Security::SourceUserName),
    ("sent_bytes", Security::SentBytes),
    ("bytes_sent", Security::SentBytes),
    ("severity", Security::LogSeverity),
    ("sha1sum", Security::FileHash),
    ("source_ip", Security::SourceIP),
    ("sourceip", Security::SourceIP),
    ("src_domainname", Security::SourceDnsDomain),
    ("src_ip", Security::SourceIP),
    ("src_mac", Security::SourceMACAddress),
    ("src_port", Security::SourcePort),
    ("status", Security::EventOutcome),
    ("to_email_address", Security::DestinationUserName),
    ("tran_dst_ip", Security::DestinationTranslatedAddress),
    ("tran_dst_port", Security::DestinationTranslatedPort),
    ("tran_src_ip", Security::SourceTranslatedAddress),
    ("tran_src_port", Security::SourceTranslatedPort),
    ("src_trans_ip", Security::SourceTranslatedAddress),
    ("src_trans_port", Security::SourceTranslatedPort),
    ("dst_trans_ip", Security::DestinationTranslatedAddress),
    ("dst_trans_port", Security::DestinationTranslatedPort),
    ("url", Security::RequestURL),
    ("user", Security::SourceUserName),
    ("user_agent", Security::RequestClientApplication),
    ("user_group", Security::SourceUserPrivileges),
    ("user_gp", Security::SourceUserPrivileges),
    ("user_name", Security::SourceUserName),
    ("usergroupname", Security::SourceUserPrivileges),
    ("username", Security::SourceUserName),
];

/// Fields mapped to custom columns with a label.
pub const LABELLED: &[(&str, Security, Security, &str)] = &[
    ("fw_rule_id", Security::DeviceCustomString1, Security::DeviceCustomString1Label, "FirewallRuleId"),
    ("threatname", Security::DeviceCustomString2, Security::DeviceCustomString2Label, "ThreatName"),
    ("malware", Security::DeviceCustomString2, Security::DeviceCustomString2Label, "ThreatName"),
    ("virus", Security::DeviceCustomString2, Security::DeviceCustomString2Label, "ThreatName"),
    ("category", Security::DeviceCustomString3, Security::DeviceCustomString3Label, "Category"),
    ("fw_rule_name", Security::DeviceCustomString4, Security::DeviceCustomString4Label, "FirewallRuleName"),
    ("subject", Security::DeviceCustomString5, Security::DeviceCustomString5Label, "Subject"),
    ("email_subject", Security::DeviceCustomString5, Security::DeviceCustomString5Label, "Subject"),
    ("signature_id", Security::DeviceCustomString6, Security::DeviceCustomString6Label, "SignatureId"),
];

static COLUMNS: LazyLock<Columns> = LazyLock::new(|| SOPHOS.iter().copied().collect());

/// Whether a text is a Sophos line.
pub fn is(text: &str) -> bool {
    let named = text.starts_with("device=\"") || text.starts_with("device_name=\"");
    named && (text.starts_with("device=\"SFW\"") || text.starts_with("device_name=\"SFW\"") || text.contains(" log_id="))
}

/// The value of `log_type`, for listeners that store some types only.
pub fn log_type(text: &str) -> &str {
    let mut found = "";
    pairs(text, |key, value| {
        if key == "log_type" && found.is_empty() {
            found = value;
        }
    });
    found
}

/// Parses a line into a row and returns its time, in the row's zone.
pub fn read(text: &str, row: &mut Row<'_>) -> Option<Timestamp> {
    row.put(Security::DeviceVendor, "Sophos");
    row.put(Security::DeviceProduct, "Sophos Firewall");
    let (mut date, mut clock, mut stamp) = ("", "", None);
    let reference = row.reference;
    pairs(text, |key, value| match key {
        "date" => date = value,
        "time" => clock = value,
        "timestamp" => stamp = reference.iso(value),
        // `device_name` is the product in the newer form, the model in the older one.
        "device" => {}
        "device_name" if value == "SFW" => {}
        "device_name" => {
            row.put(Security::DeviceName, value);
        }
        "device_model" => row.additional(key, value),
        "timezone" => {
            row.put(Security::DeviceTimeZone, value);
        }
        _ => pair(row, key, value),
    });
    stamp.or_else(|| local(date, clock, &reference))
}

fn pair(row: &mut Row<'_>, key: &str, value: &str) {
    match LABELLED.iter().find(|(name, ..)| *name == key) {
        Some((_, column, label, name)) if !value.is_empty() && !row.rows.has(*column as usize) => {
            row.put(*column, value);
            row.put(*label, name);
        }
        _ => row.pair(&COLUMNS, key, value),
    }
}

/// `2020-05-18` and `14:38:48`; UTM writes `2019:11:06`.
fn local(date: &str, clock: &str, reference: &Reference<'_>) -> Option<Timestamp> {
    let mut parts = date.split(['-', ':']);
    let mut part = || parts.next()?.parse::<u32>().ok();
    let (year, month, day) = (part()?, part()?, part()?);
    let (time, _) = time::clock(clock.as_bytes(), 0)?;
    reference.instant(Civil { year: i32::try_from(year).ok()?, month, day, time })
}

/// Calls `each` for every pair of a line, with quotes removed.
///
/// An unquoted value extends to the next space followed by `key=`; a quoted one to the first quote that is followed by the end, or by a
/// space and `key=`, or else to the end of the line.
fn pairs<'a>(text: &'a str, mut each: impl FnMut(&'a str, &'a str)) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b' ' {
            at += 1;
            continue;
        }
        let Some(len) = key(&bytes[at..]) else {
            // Words between pairs are ignored.
            at += bytes[at..].iter().position(|byte| *byte == b' ').unwrap_or(bytes.len() - at);
            continue;
        };
        let name = &text[at..at + len];
        let start = at + len + 1;
        let quoted = bytes.get(start) == Some(&b'"');
        let from = start + usize::from(quoted);
        let (end, next) = if quoted { quoted_end(bytes, from) } else { plain_end(bytes, from) };
        each(name, text[from..end].trim_end_matches(' '));
        at = next;
    }
}

/// Length of a key at the start, including `=`.
fn key(bytes: &[u8]) -> Option<usize> {
    let len = bytes.iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')).count();
    (len > 0 && bytes.get(len) == Some(&b'=')).then_some(len)
}

/// Whether spaces and a key, or spaces and the end, follow.
fn boundary(bytes: &[u8]) -> bool {
    let spaces = bytes.iter().take_while(|byte| **byte == b' ').count();
    let rest = &bytes[spaces..];
    rest.is_empty() || (spaces > 0 && key(rest).is_some())
}

fn quoted_end(bytes: &[u8], from: usize) -> (usize, usize) {
    memchr::memchr_iter(b'"', &bytes[from..])
        .map(|at| at + from)
        .find(|at| boundary(&bytes[at + 1..]))
        .map_or((bytes.len(), bytes.len()), |at| (at, at + 1))
}

fn plain_end(bytes: &[u8], from: usize) -> (usize, usize) {
    let end = memchr::memchr_iter(b' ', &bytes[from..]).map(|at| at + from).find(|at| boundary(&bytes[*at..])).unwrap_or(bytes.len());
    (end, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<(&str, &str)> {
        let mut found = Vec::new();
        pairs(text, |key, value| found.push((key, value)));
        found
    }

    #[test]
    fn lines_are_split_as_the_firewall_means_them() {
        // Irregularities of real lines: unquoted spaces, empty values, doubled spaces, upper case, nested quotes, truncation.
        let line = concat!(
            r#"device="SFW" ether_type=Unknown (0x0000) src_mac=00: 0:00: 0:00: 0  device_id=C44313350024- P29PUA tran_dst_ip= "#,
            r#"FTP_url="" subject="he said "a=b", <c@d> "ok"" url=http://x/?a=b&c=d mailid="<1@x>" appresolvedby="Signature"#
        );
        let expected = [
            ("device", "SFW"),
            ("ether_type", "Unknown (0x0000)"),
            ("src_mac", "00: 0:00: 0:00: 0"),
            ("device_id", "C44313350024- P29PUA"),
            ("tran_dst_ip", ""),
            ("FTP_url", ""),
            ("subject", r#"he said "a=b", <c@d> "ok""#),
            ("url", "http://x/?a=b&c=d"),
            ("mailid", "<1@x>"),
            ("appresolvedby", "Signature"),
        ];
        assert_eq!(split(line), expected);
        assert_eq!(split("stray a=1 = b=2"), [("a", "1 ="), ("b", "2")]);
        assert_eq!(split(""), []);
    }

    #[test]
    fn lines_are_told_from_others() {
        assert!(is(r#"device="SFW" date=2020-05-18"#));
        assert!(is(r#"device_name="SFW" timestamp="x""#));
        assert!(!is(r#"device="printer" state=on"#));
        assert_eq!(log_type(r#"device="SFW" log_type="Content Filtering" x=1"#), "Content Filtering");
    }

    #[test]
    fn dates_of_both_products_are_read() {
        let zone = model::time_zone("Europe/Berlin").unwrap();
        let reference = Reference { zone: Some(&zone), now: Timestamp::parse_iso("2020-05-18").unwrap() };
        assert_eq!(local("2020-05-18", "14:38:48", &reference), Timestamp::parse_iso("2020-05-18T12:38:48Z"));
        assert_eq!(local("2019:11:06", "00:08:03", &reference), Timestamp::parse_iso("2019-11-05T23:08:03Z"));
        assert_eq!(local("", "14:38:48", &reference), None);
    }
}
