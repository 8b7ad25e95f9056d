//! Maps CEF and LEEF messages in syslog to `CommonSecurityLog`.
//!
//! CEF is parsed by [`model::cef`], LEEF by [`leef`](super::leef). The mapping of CEF keys is Microsoft's ("CEF and CommonSecurityLog field
//! mapping"); values without a column, or of the wrong type, go to `AdditionalExtensions` as `key=value;…`, so that nothing is lost.

use std::collections::HashMap;
use std::sync::LazyLock;

use memchr::memchr;
use model::{Timestamp, UNIX_EPOCH_TICKS};

use super::header::Message;
use super::leef;
use super::rows::{Security, TableRows};
use super::time::Reference;

/// A key and the column it maps to.
pub type Mapping = (&'static str, Security);

/// Keys of CEF extensions, and their long names used by some devices.
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

/// A `CommonSecurityLog` row being written, with the pairs that have no column.
pub struct Row<'a> {
    pub rows: &'a mut TableRows,
    pub reference: Reference<'a>,
    pub additional: &'a mut String,
}

impl Row<'_> {
    pub fn put(&mut self, column: Security, value: &str) -> bool {
        self.rows.put(column as usize, value)
    }

    /// Writes a pair to its column or to the additional extensions.
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

/// A CEF or LEEF message: the text after `CEF:` or `LEEF:`, from the version on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    Cef(&'a str),
    Leef(&'a str),
}

/// Maximum bytes before `CEF:` or `LEEF:`: a module name (`ASM:CEF:0|F5…`) or a relay's header.
const PREFIX: usize = 256;

/// Finds the event in a message, independent of how the header was parsed.
///
/// Relays treat `CEF` as the process name (rsyslog's templates write `CEF: 0|…` and, in RFC 5424, `CEF - - - 0|…`), and prepend blanks.
pub fn find<'a>(message: &Message<'a>) -> Option<Event<'a>> {
    let text = message.text.trim_start_matches(' ');
    // Both formats contain bars; most messages do not.
    let bar = memchr(b'|', text.as_bytes())?;
    if is_version(text) {
        match message.process {
            "CEF" => return Some(Event::Cef(text)),
            "LEEF" => return Some(Event::Leef(text)),
            _ => {}
        }
    }
    // The format name precedes the version, which precedes the first bar.
    let head = &text[..bar];
    let at = head.rfind("EF:")?;
    let (event, name): (fn(&'a str) -> Event<'a>, usize) = match &head.as_bytes()[..at] {
        [.., b'L', b'E'] => (Event::Leef, at - 2),
        [.., b'C'] => (Event::Cef, at - 1),
        _ => return None,
    };
    let starts_a_word = name == 0 || matches!(text.as_bytes()[name - 1], b' ' | b':' | b']' | b'\t' | b'>');
    let rest = text[at + 3..].trim_start_matches(' ');
    (starts_a_word && name <= PREFIX && is_version(rest)).then(|| event(rest))
}

/// `0|`, `1.0|`, `2.0|` at the start.
fn is_version(text: &str) -> bool {
    let len = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    (1..=4).contains(&len) && text.as_bytes().get(len) == Some(&b'|')
}

/// Parses an event into a row. Fails, without writing anything, if its header is incomplete.
pub fn read(event: Event<'_>, row: &mut Row<'_>) -> Result<(), &'static str> {
    match event {
        Event::Cef(text) => cef(text, row).ok_or("a CEF header has seven fields"),
        Event::Leef(text) => leef::read(text, &LEEF_COLUMNS, row).ok_or("a LEEF header has five fields"),
    }
}

fn cef(text: &str, row: &mut Row<'_>) -> Option<()> {
    use model::cef::{header, is_free_text, pairs, unescape};
    let ([_, vendor, product, version, class, name, severity], extension) = header(text)?;
    let header = [
        (Security::DeviceVendor, vendor),
        (Security::DeviceProduct, product),
        (Security::DeviceVersion, version),
        (Security::DeviceEventClassID, class),
        (Security::Activity, name),
        (Security::LogSeverity, severity),
    ];
    for (column, value) in header {
        row.put(column, &unescape(value.trim(), false));
    }
    pairs(extension, |key, value| row.pair(&CEF_COLUMNS, key, &unescape(value, is_free_text(key))));
    Some(())
}

/// Numbers below this are seconds since 1970, up to the year 5138; as milliseconds they would be in 1973 or before.
const SECONDS: i64 = 100_000_000_000;

/// A CEF time: milliseconds since 1970 or `MMM dd [yyyy] HH:mm:ss[.fff] [zone]`. Devices also send seconds.
fn instant(value: &str, reference: &Reference<'_>) -> Option<Timestamp> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return reference.whole(value);
    }
    let number: i64 = whole.parse().ok()?;
    let unit = if number < SECONDS { model::TICKS_PER_SECOND } else { model::TICKS_PER_MILLISECOND };
    let mut ticks = number.checked_mul(unit)?.checked_add(UNIX_EPOCH_TICKS)?;
    let mut part = unit / 10;
    for digit in fraction.bytes() {
        ticks = ticks.checked_add(i64::from(digit - b'0') * part)?;
        part /= 10;
    }
    Timestamp::from_ticks(ticks)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::sources::syslog::header;
    use arrow::array::{Array, AsArray};

    /// The row's non-empty columns as `Name=value`, followed by the additional pairs.
    pub fn show(message: &str) -> Result<Vec<String>, &'static str> {
        let mut rows = TableRows::new("CommonSecurityLog", Security::COLUMNS);
        let mut additional = String::new();
        let reference = Reference { zone: None, now: Timestamp::parse_iso("2026-11-20").unwrap() };
        let event = find(&header::parse(message, &reference)).ok_or("no event")?;
        read(event, &mut Row { rows: &mut rows, reference, additional: &mut additional })?;
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
        // Escapes apply to the message only; names keep their backslash (github.com/Graylog2/graylog-plugin-cef/issues/26).
        let shown = show(r"CEF:0|V|P|1|c|n|5|duser=BLAH\robert filePath=C:\new\readme cs1=a\nb msg=one\rtwo");
        let expected = [r"DestinationUserName=BLAH\robert", r"DeviceCustomString1=a\nb", r"FilePath=C:\new\readme", "Message=one\rtwo"];
        let shown = shown.unwrap();
        assert!(expected.iter().all(|each| shown.contains(&(*each).to_owned())), "{shown:?}");
        assert!(show("CEF:0|a|b|c").is_err());
        assert!(show("CEF:0|a|b|c|d|e|f").is_ok(), "no extensions, no last bar");
    }

    /// One event behind every header seen between a device and us.
    #[test]
    fn events_are_found_behind_any_header() {
        let cef = [
            "Activity=n",
            "DeviceEventClassID=c",
            "DeviceProduct=P",
            "DeviceVendor=V",
            "DeviceVersion=1",
            "LogSeverity=5",
            "SourceIP=10.0.0.1",
            "",
        ];
        for message in [
            "CEF:0|V|P|1|c|n|5|src=10.0.0.1",
            "<134>CEF:0|V|P|1|c|n|5|src=10.0.0.1",
            "<134>Nov 20 13:00:00 gw CEF:0|V|P|1|c|n|5|src=10.0.0.1",
            "<134>Nov 20 13:00:00 CEF:0|V|P|1|c|n|5|src=10.0.0.1",
            // github.com/Graylog2/graylog-plugin-cef: two blanks.
            "<134>Nov 20 13:00:00 gw  CEF:0|V|P|1|c|n|5|src=10.0.0.1",
            // F5: "Configuring CEF-formatted remote logging", my.f5.com.
            "<134>Nov 20 13:00:00 bigip ASM:CEF:0|V|P|1|c|n|5|src=10.0.0.1",
            // github.com/rsyslog/rsyslog/issues/4309: RSYSLOG_TraditionalForwardFormat and RSYSLOG_ForwardFormat.
            "<134>Nov 20 13:00:00 gw CEF: 0|V|P|1|c|n|5|src=10.0.0.1",
            "<134>2026-11-20T13:00:00.123456+01:00 gw CEF: 0|V|P|1|c|n|5|src=10.0.0.1",
            // RSYSLOG_SyslogProtocol23Format, and syslog-ng's syslog().
            "<134>1 2026-11-20T13:00:00.123456+01:00 gw CEF - - - 0|V|P|1|c|n|5|src=10.0.0.1",
            "<134>1 2026-11-20T13:00:00.123456+01:00 gw CEF - - -  0|V|P|1|c|n|5|src=10.0.0.1",
            "<134>1 2026-11-20T13:00:00Z gw app 7 - - CEF:0|V|P|1|c|n|5|src=10.0.0.1",
            "<134>Nov 20 13:00:00 gw app[7]: CEF:0|V|P|1|c|n|5|src=10.0.0.1",
            // A relay that prepends its header to the device's.
            "<134>Nov 20 13:00:01 relay Nov 20 13:00:00 gw CEF:0|V|P|1|c|n|5|src=10.0.0.1",
        ] {
            assert_eq!(show(message).unwrap(), cef, "{message}");
        }
        let leef = ["Activity=c", "DeviceEventClassID=c", "DeviceProduct=P", "DeviceVendor=V", "DeviceVersion=1", "SourceIP=10.0.0.1", ""];
        for message in [
            "LEEF:1.0|V|P|1|c|src=10.0.0.1",
            "<134>Nov 20 13:00:00 gw LEEF: 1.0|V|P|1|c|src=10.0.0.1",
            "<134>1 2026-11-20T13:00:00Z gw LEEF - - - 2.0|V|P|1|c|^|src=10.0.0.1",
            "<134>Nov 20 13:00:00 gw qradar:LEEF:1.0|V|P|1|c|src=10.0.0.1",
        ] {
            assert_eq!(show(message).unwrap(), leef, "{message}");
        }
        for message in [
            "<13>Nov 20 13:00:00 gw app: no |bars| of CEF: here",
            "<13>app: wrote \"CEF:0|a|b|c|d|e|f|\"",
            "<13>BRIEF:0|x",
            "<13>CEF: text",
            "<13>a|CEF:0|b",
        ] {
            assert_eq!(show(message), Err("no event"), "{message}");
        }
    }

    #[test]
    fn times_of_cef_are_instants() {
        let reference = Reference { zone: None, now: Timestamp::parse_iso("2026-11-20").unwrap() };
        assert_eq!(instant("1732096800000", &reference), Timestamp::parse_iso("2024-11-20T10:00:00Z"));
        assert_eq!(instant("Nov 20 2024 10:00:00", &reference), Timestamp::parse_iso("2024-11-20T10:00:00Z"));
        // github.com/microsoft/OMS-Agent-for-Linux/pull/1007: seconds, also with a fraction.
        assert_eq!(instant("1522453259", &reference), Timestamp::parse_iso("2018-03-30T23:40:59Z"));
        assert_eq!(instant("1522453259.25", &reference), Timestamp::parse_iso("2018-03-30T23:40:59.25Z"));
        assert_eq!(instant("1522453259250", &reference), Timestamp::parse_iso("2018-03-30T23:40:59.25Z"));
        assert_eq!(instant("Nov 20 2024 10:00:00.5 EST", &reference), Timestamp::parse_iso("2024-11-20T15:00:00.5Z"));
        for wrong in ["99999999999999999999", "", ".", "soon"] {
            assert_eq!(instant(wrong, &reference), None, "{wrong}");
        }
    }
}
