//! CEF and LEEF inside syslog, to `CommonSecurityLog`.
//!
//! CEF: seven header fields between unescaped `|`, then `key=value` pairs whose values run, spaces and all, to the next key. LEEF: five header
//! fields, then pairs between delimiters, without escapes. The mapping of CEF's keys is the one Microsoft documents ("CEF and CommonSecurityLog
//! field mapping"); what has no column, or does not fit its type, goes to `AdditionalExtensions` as `key=value;…`, so nothing is lost.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use memchr::memchr_iter;
use model::{Timestamp, UNIX_EPOCH_TICKS};

use super::rows::{Security, TableRows};
use super::time::{self, Reference};

/// A key of a format and the column it fills.
pub type Mapping = (&'static str, Security);

/// Keys of CEF extensions, and their long names as some devices write them.
pub const CEF: &[Mapping] = &[
    ("act", Security::DeviceAction),
    ("app", Security::ApplicationProtocol),
    ("c6a1", Security::DeviceCustomIPv6Address1),
    ("c6a1Label", Security::DeviceCustomIPv6Address1Label),
    ("c6a2", Security::DeviceCustomIPv6Address2),
    ("c6a2Label", Security::DeviceCustomIPv6Address2Label),
    ("c6a3", Security::DeviceCustomIPv6Address3),
    ("c6a3Label", Security::DeviceCustomIPv6Address3Label),
    ("c6a4", Security::DeviceCustomIPv6Address4),
    ("c6a4Label", Security::DeviceCustomIPv6Address4Label),
    ("cat", Security::DeviceEventCategory),
    ("cfp1", Security::DeviceCustomFloatingPoint1),
    ("cfp1Label", Security::DeviceCustomFloatingPoint1Label),
    ("cfp2", Security::DeviceCustomFloatingPoint2),
    ("cfp2Label", Security::DeviceCustomFloatingPoint2Label),
    ("cfp3", Security::DeviceCustomFloatingPoint3),
    ("cfp3Label", Security::DeviceCustomFloatingPoint3Label),
    ("cfp4", Security::DeviceCustomFloatingPoint4),
    ("cfp4Label", Security::DeviceCustomFloatingPoint4Label),
    ("cn1", Security::FieldDeviceCustomNumber1),
    ("cn1Label", Security::DeviceCustomNumber1Label),
    ("cn2", Security::FieldDeviceCustomNumber2),
    ("cn2Label", Security::DeviceCustomNumber2Label),
    ("cn3", Security::FieldDeviceCustomNumber3),
    ("cn3Label", Security::DeviceCustomNumber3Label),
    ("cnt", Security::EventCount),
    ("cs1", Security::DeviceCustomString1),
    ("cs1Label", Security::DeviceCustomString1Label),
    ("cs2", Security::DeviceCustomString2),
    ("cs2Label", Security::DeviceCustomString2Label),
    ("cs3", Security::DeviceCustomString3),
    ("cs3Label", Security::DeviceCustomString3Label),
    ("cs4", Security::DeviceCustomString4),
    ("cs4Label", Security::DeviceCustomString4Label),
    ("cs5", Security::DeviceCustomString5),
    ("cs5Label", Security::DeviceCustomString5Label),
    ("cs6", Security::DeviceCustomString6),
    ("cs6Label", Security::DeviceCustomString6Label),
    ("destinationDnsDomain", Security::DestinationDnsDomain),
    ("destinationServiceName", Security::DestinationServiceName),
    ("destinationTranslatedAddress", Security::DestinationTranslatedAddress),
    ("destinationTranslatedPort", Security::DestinationTranslatedPort),
    ("deviceCustomDate1", Security::DeviceCustomDate1),
    ("deviceCustomDate1Label", Security::DeviceCustomDate1Label),
    ("deviceCustomDate2", Security::DeviceCustomDate2),
    ("deviceCustomDate2Label", Security::DeviceCustomDate2Label),
    ("deviceDirection", Security::CommunicationDirection),
    ("deviceDnsDomain", Security::DeviceDnsDomain),
    ("deviceExternalId", Security::DeviceExternalID),
    ("deviceFacility", Security::DeviceFacility),
    ("deviceInboundInterface", Security::DeviceInboundInterface),
    ("deviceNtDomain", Security::DeviceNtDomain),
    ("deviceOutboundInterface", Security::DeviceOutboundInterface),
    ("devicePayloadId", Security::DevicePayloadId),
    ("deviceProcessName", Security::ProcessName),
    ("deviceTranslatedAddress", Security::DeviceTranslatedAddress),
    ("dhost", Security::DestinationHostName),
    ("dmac", Security::DestinationMACAddress),
    ("dntdom", Security::DestinationNTDomain),
    ("dpid", Security::DestinationProcessId),
    ("dpriv", Security::DestinationUserPrivileges),
    ("dproc", Security::DestinationProcessName),
    ("dpt", Security::DestinationPort),
    ("dst", Security::DestinationIP),
    ("dtz", Security::DeviceTimeZone),
    ("duid", Security::DestinationUserID),
    ("duser", Security::DestinationUserName),
    ("dvc", Security::DeviceAddress),
    ("dvchost", Security::DeviceName),
    ("dvcmac", Security::DeviceMacAddress),
    ("dvcpid", Security::ProcessID),
    ("end", Security::EndTime),
    ("externalId", Security::ExtID),
    ("fileCreateTime", Security::FileCreateTime),
    ("fileHash", Security::FileHash),
    ("fileId", Security::FileID),
    ("fileModificationTime", Security::FileModificationTime),
    ("filePath", Security::FilePath),
    ("filePermission", Security::FilePermission),
    ("fileType", Security::FileType),
    ("flexDate1", Security::FlexDate1),
    ("flexDate1Label", Security::FlexDate1Label),
    ("flexNumber1", Security::FlexNumber1),
    ("flexNumber1Label", Security::FlexNumber1Label),
    ("flexNumber2", Security::FlexNumber2),
    ("flexNumber2Label", Security::FlexNumber2Label),
    ("flexString1", Security::FlexString1),
    ("flexString1Label", Security::FlexString1Label),
    ("flexString2", Security::FlexString2),
    ("flexString2Label", Security::FlexString2Label),
    ("fname", Security::FileName),
    ("fsize", Security::FileSize),
    ("in", Security::ReceivedBytes),
    ("msg", Security::Message),
    ("oldFileCreateTime", Security::OldFileCreateTime),
    ("oldFileHash", Security::OldFileHash),
    ("oldFileId", Security::OldFileID),
    ("oldFileModificationTime", Security::OldFileModificationTime),
    ("oldFileName", Security::OldFileName),
    ("oldFilePath", Security::OldFilePath),
    ("oldFilePermission", Security::OldFilePermission),
    ("oldFileSize", Security::OldFileSize),
    ("oldFileType", Security::OldFileType),
    ("out", Security::SentBytes),
    ("outcome", Security::EventOutcome),
    ("proto", Security::Protocol),
    ("reason", Security::Reason),
    ("request", Security::RequestURL),
    ("requestClientApplication", Security::RequestClientApplication),
    ("requestContext", Security::RequestContext),
    ("requestCookies", Security::RequestCookies),
    ("requestMethod", Security::RequestMethod),
    ("rt", Security::ReceiptTime),
    ("shost", Security::SourceHostName),
    ("smac", Security::SourceMACAddress),
    ("sntdom", Security::SourceNTDomain),
    ("sourceDnsDomain", Security::SourceDnsDomain),
    ("sourceServiceName", Security::SourceServiceName),
    ("sourceTranslatedAddress", Security::SourceTranslatedAddress),
    ("sourceTranslatedPort", Security::SourceTranslatedPort),
    ("spid", Security::SourceProcessId),
    ("spriv", Security::SourceUserPrivileges),
    ("sproc", Security::SourceProcessName),
    ("spt", Security::SourcePort),
    ("src", Security::SourceIP),
    ("start", Security::StartTime),
    ("suid", Security::SourceUserID),
    ("suser", Security::SourceUserName),
    ("type", Security::EventType),
];

/// Predefined attributes of LEEF (IBM, "Predefined LEEF event attributes").
pub const LEEF: &[Mapping] = &[
    ("accountName", Security::SourceUserName),
    ("action", Security::DeviceAction),
    ("cat", Security::DeviceEventCategory),
    ("devTime", Security::ReceiptTime),
    ("domain", Security::SourceNTDomain),
    ("dst", Security::DestinationIP),
    ("dstBytes", Security::ReceivedBytes),
    ("dstMAC", Security::DestinationMACAddress),
    ("dstPort", Security::DestinationPort),
    ("dstPostNAT", Security::DestinationTranslatedAddress),
    ("dstPostNATPort", Security::DestinationTranslatedPort),
    ("identHostName", Security::SourceHostName),
    ("policy", Security::DeviceCustomString1),
    ("proto", Security::Protocol),
    ("resource", Security::DestinationServiceName),
    ("role", Security::SourceUserPrivileges),
    ("sev", Security::LogSeverity),
    ("src", Security::SourceIP),
    ("srcBytes", Security::SentBytes),
    ("srcMAC", Security::SourceMACAddress),
    ("srcPort", Security::SourcePort),
    ("srcPostNAT", Security::SourceTranslatedAddress),
    ("srcPostNATPort", Security::SourceTranslatedPort),
    ("url", Security::RequestURL),
    ("usrName", Security::SourceUserName),
];

/// Columns of a format by key.
pub type Columns = HashMap<&'static str, Security>;

static CEF_COLUMNS: LazyLock<Columns> = LazyLock::new(|| CEF.iter().copied().collect());
static LEEF_COLUMNS: LazyLock<Columns> = LazyLock::new(|| LEEF.iter().copied().collect());

/// What a row of `CommonSecurityLog` is written into, with the pairs that have no column.
pub struct Row<'a> {
    pub rows: &'a mut TableRows,
    pub reference: Reference<'a>,
    pub additional: &'a mut String,
}

impl Row<'_> {
    pub fn put(&mut self, column: Security, value: &str) -> bool {
        self.rows.put(column as usize, value)
    }

    /// A pair of a format, to its column or to the others.
    pub fn pair(&mut self, columns: &Columns, key: &str, value: &str) {
        let written = match columns.get(key) {
            Some(column @ (Security::StartTime | Security::EndTime)) => match instant(value, &self.reference) {
                Some(time) if !self.rows.has(*column as usize) => {
                    self.rows.time(*column as usize, time);
                    true
                }
                _ => false,
            },
            Some(Security::CommunicationDirection) => {
                let name = match value {
                    "0" => "Inbound",
                    "1" => "Outbound",
                    other => other,
                };
                self.put(Security::CommunicationDirection, name)
            }
            Some(column) => self.put(*column, value),
            None => false,
        };
        if !written {
            self.additional(key, value);
        }
    }

    pub fn additional(&mut self, key: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        if !self.additional.is_empty() {
            self.additional.push(';');
        }
        self.additional.push_str(key);
        self.additional.push('=');
        self.additional.push_str(value);
    }
}

/// Whether a text is CEF or LEEF.
pub fn is(text: &str) -> bool {
    text.starts_with("CEF:") || text.starts_with("LEEF:")
}

/// Reads a message into a row. Fails, with nothing written, when its header is not whole.
pub fn read(text: &str, row: &mut Row<'_>) -> Result<(), &'static str> {
    if let Some(rest) = text.strip_prefix("CEF:") {
        return cef(rest, row).ok_or("a CEF header has seven fields");
    }
    let rest = text.strip_prefix("LEEF:").ok_or("the message does not start with `CEF:` or `LEEF:`")?;
    leef(rest, row).ok_or("a LEEF header has five fields")
}

fn cef(text: &str, row: &mut Row<'_>) -> Option<()> {
    let mut fields = [""; 7];
    let mut rest = text;
    for (n, field) in fields.iter_mut().enumerate() {
        let end = unescaped(rest, b'|');
        match end {
            Some(at) => (*field, rest) = (&rest[..at], &rest[at + 1..]),
            // The last bar is missing where there are no extensions.
            None if n == 6 => (*field, rest) = (rest, ""),
            None => return None,
        }
    }
    let [_, vendor, product, version, class, name, severity] = fields;
    let header = [
        (Security::DeviceVendor, vendor),
        (Security::DeviceProduct, product),
        (Security::DeviceVersion, version),
        (Security::DeviceEventClassID, class),
        (Security::Activity, name),
        (Security::LogSeverity, severity),
    ];
    for (column, value) in header {
        row.put(column, &unescape(value.trim()));
    }
    pairs(rest, |key, value| row.pair(&CEF_COLUMNS, key, &unescape(value)));
    Some(())
}

/// Where `byte` stands without a backslash before it.
fn unescaped(text: &str, byte: u8) -> Option<usize> {
    memchr_iter(byte, text.as_bytes()).find(|at| !is_escaped(text.as_bytes(), *at))
}

fn is_escaped(bytes: &[u8], at: usize) -> bool {
    bytes[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// Calls `each` with every `key=value`. A key is a word before an unescaped `=` that has a space, or nothing, before it.
fn pairs(text: &str, mut each: impl FnMut(&str, &str)) {
    let bytes = text.as_bytes();
    let mut open: Option<(&str, usize)> = None;
    for at in memchr_iter(b'=', bytes).filter(|at| !is_escaped(bytes, *at)) {
        let of_key = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'[' | b']');
        let len = bytes[..at].iter().rev().take_while(|byte| of_key(byte)).count();
        let start = at - len;
        if len == 0 || (start > 0 && bytes[start - 1] != b' ') || open.is_some_and(|(_, value)| start < value) {
            continue; // an `=` in a value that nobody escaped
        }
        if let Some((key, value)) = open.replace((&text[start..at], at + 1)) {
            each(key, text[value..start].trim_end_matches(' '));
        }
    }
    if let Some((key, value)) = open {
        each(key, text[value..].trim_end());
    }
}

/// `\\`, `\=`, `\|`, `\n` and `\r`; other backslashes stay, because Windows' paths are rarely escaped.
fn unescape(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars().peekable();
    while let Some(char) = chars.next() {
        let read = match (char, chars.peek()) {
            ('\\', Some(next @ ('\\' | '=' | '|'))) => Some(*next),
            ('\\', Some('n')) => Some('\n'),
            ('\\', Some('r')) => Some('\r'),
            _ => None,
        };
        plain.push(read.unwrap_or(char));
        if read.is_some() {
            chars.next();
        }
    }
    Cow::Owned(plain)
}

fn leef(text: &str, row: &mut Row<'_>) -> Option<()> {
    let (version, mut rest) = text.split_once('|')?;
    let mut fields = [""; 4];
    for field in &mut fields {
        (*field, rest) = rest.split_once('|')?;
    }
    let mut delimiter = '\t';
    if version.starts_with('2') {
        // The sixth field is the delimiter; a sender that leaves it out goes on with a pair.
        if let Some((written, after)) = rest.split_once('|').filter(|(written, _)| !written.contains('=') || *written == "=") {
            delimiter = leef_delimiter(written)?;
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
    for pair in rest.split(delimiter) {
        if let Some((key, value)) = pair.trim_start().split_once('=') {
            row.pair(&LEEF_COLUMNS, key, value.trim_end());
        }
    }
    Some(())
}

/// One character, or `0x` or `x` and its number in hexadecimal; nothing is a tab.
fn leef_delimiter(written: &str) -> Option<char> {
    let mut chars = written.chars();
    match (chars.next(), chars.next()) {
        (None, _) => Some('\t'),
        (Some(one), None) => Some(one),
        _ => {
            let digits = written.strip_prefix("0x").or_else(|| written.strip_prefix('x'))?;
            u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)
        }
    }
}

/// A time in CEF: milliseconds since 1970 or `MMM dd yyyy HH:mm:ss`.
fn instant(value: &str, reference: &Reference<'_>) -> Option<Timestamp> {
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        let millis: i64 = value.parse().ok()?;
        return Timestamp::from_ticks(millis.checked_mul(10_000)?.checked_add(UNIX_EPOCH_TICKS)?);
    }
    time::bsd(value, reference).map(|found| found.time).or_else(|| reference.iso(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, AsArray};

    /// The row's columns that hold something, as `Name=value`, then the others.
    pub(super) fn show(message: &str) -> Result<Vec<String>, &'static str> {
        let mut rows = TableRows::new("CommonSecurityLog", Security::COLUMNS);
        let mut additional = String::new();
        let reference = Reference { zone: None, now: Timestamp::parse_iso("2026-11-20").unwrap() };
        read(message, &mut Row { rows: &mut rows, reference, additional: &mut additional })?;
        rows.end();
        let batch = rows.take().unwrap().batch;
        let schema = batch.schema();
        let texts = schema.fields().iter().zip(batch.columns()).map(|(field, array)| {
            let text = arrow::util::display::array_value_to_string(array, 0).unwrap();
            assert!(array.as_string_view_opt().is_some() || !array.is_null(0));
            format!("{}={text}", field.name())
        });
        let mut shown: Vec<String> = texts.collect();
        shown.sort();
        shown.push(additional);
        Ok(shown)
    }

    #[test]
    fn cef_is_read_with_its_escapes() {
        // ArcSight's "Implementing CEF": `|` is escaped in the header, `=` in extensions; values hold spaces.
        let shown = show(
            r"CEF:0|Ven\|dor|Prod|1.0|100|a\\b|10|src=10.0.0.1 msg=two words \= one\\line\nnext spt=1232 x=y z request=http://a/?b=c&d=e dpt=many",
        );
        let expected = [
            r"Activity=a\b",
            "DeviceEventClassID=100",
            "DeviceProduct=Prod",
            "DeviceVendor=Ven|dor",
            "DeviceVersion=1.0",
            "LogSeverity=10",
            "Message=two words = one\\line\nnext",
            "RequestURL=http://a/?b=c&d=e",
            "SourceIP=10.0.0.1",
            "SourcePort=1232",
            "x=y z;dpt=many",
        ];
        assert_eq!(shown.unwrap(), expected);
        assert!(show("CEF:0|a|b|c").is_err());
        assert!(show("CEF:0|a|b|c|d|e|f").is_ok(), "no extensions, no last bar");
    }

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
        ] {
            assert_eq!(show(message).unwrap(), expected, "{message}");
        }
        assert!(show("LEEF:1.0|V|P").is_err());
    }

    #[test]
    fn times_of_cef_are_instants() {
        let reference = Reference { zone: None, now: Timestamp::parse_iso("2026-11-20").unwrap() };
        assert_eq!(instant("1732096800000", &reference), Timestamp::parse_iso("2024-11-20T10:00:00Z"));
        assert_eq!(instant("Nov 20 2024 10:00:00", &reference), Timestamp::parse_iso("2024-11-20T10:00:00Z"));
        assert_eq!(instant("99999999999999999999", &reference), None);
    }
}
