//! Converts messages to rows: format detection, table, filters, dead letters.
//!
//! Every message is counted. An unparseable one becomes a row of `DCRLogErrors` with its bytes and the reason.

use jiff::tz::TimeZone;
use model::Timestamp;

use super::names::{Facility, Severity};
use super::rows::{Letter, Rows, Security, Syslog, TableRows};
use super::time::Reference;
use super::{Format, cef, header, sophos};

/// Maximum bytes of a message in a dead letter.
const LETTER: usize = 64 * 1024;

/// Parser settings of a listener.
pub struct Reader {
    pub listener: String,
    pub host: String,
    pub format: Format,
    /// Bit set of accepted facilities.
    pub facilities: u32,
    pub min_severity: Severity,
    pub zone: Option<TimeZone>,
    pub log_types: Vec<String>,
    pub keep_raw: bool,
    pub keep_structured_data: bool,
}

/// Rows to be stored together.
pub struct Batch {
    syslog: TableRows,
    security: TableRows,
    letters: TableRows,
    additional: String,
    messages: usize,
    bytes: usize,
    cut: usize,
}

/// A finished batch: its rows, the number of messages, and the approximate size.
pub struct Taken {
    pub rows: Vec<Rows>,
    pub messages: usize,
    pub bytes: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            syslog: TableRows::new("Syslog", Syslog::COLUMNS),
            security: TableRows::new("CommonSecurityLog", Security::COLUMNS),
            letters: TableRows::new("DCRLogErrors", Letter::COLUMNS),
            additional: String::new(),
            messages: 0,
            bytes: 0,
            cut: 0,
        }
    }
}

impl Batch {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.syslog.len() + self.security.len() + self.letters.len() == 0
    }

    /// Adds a message. Returns the reason if it is dropped or becomes a dead letter.
    pub fn push(&mut self, reader: &Reader, bytes: &[u8], cut: bool, peer: &str, now: Timestamp) -> Option<&'static str> {
        let text = String::from_utf8_lossy(bytes);
        let reference = Reference { zone: reader.zone.as_ref(), now };
        let mut message = header::parse(&text, &reference);
        if text.trim_matches(['\0', '\r', '\n', ' ']).is_empty() {
            return Some("empty");
        }
        if message.facility.bit() & reader.facilities == 0 {
            return Some("facility");
        }
        if !message.severity.reaches(reader.min_severity) {
            return Some("severity");
        }
        if message.host.is_empty() {
            message.host = peer;
        }
        if let Err(reason) = self.write(reader, &message, peer, reference) {
            if reason == FILTERED {
                return Some("log_type");
            }
            self.letter(reader, bytes, reason, peer, now);
            return Some("unreadable");
        }
        self.messages += 1;
        // Approximate row size, so that many short messages also complete a window.
        self.bytes += bytes.len() + 64;
        self.cut += usize::from(cut);
        None
    }

    fn write(&mut self, reader: &Reader, message: &header::Message<'_>, peer: &str, reference: Reference<'_>) -> Result<(), &'static str> {
        let is_sophos = matches!(reader.format, Format::Auto | Format::Sophos) && sophos::is(message.text);
        let event = if matches!(reader.format, Format::Auto | Format::Cef) && !is_sophos { cef::find(message) } else { None };
        match reader.format {
            Format::Sophos if !is_sophos => return Err("the message is not in Sophos' format"),
            Format::Cef if event.is_none() => return Err("the message is neither CEF nor LEEF"),
            Format::Rfc5424 if !message.is_5424 => return Err("the message does not follow RFC 5424"),
            Format::Rfc3164 if !message.has_pri => return Err("the message has no PRI"),
            _ => {}
        }
        if is_sophos {
            if !reader.log_types.is_empty() {
                let kind = sophos::log_type(message.text);
                if !reader.log_types.iter().any(|wanted| wanted.eq_ignore_ascii_case(kind)) {
                    return Err(FILTERED);
                }
            }
            let time = self.security(reader, message, peer, reference, None)?;
            if reader.keep_raw {
                self.syslog(reader, &header::Message { time, ..*message }, peer, reference.now);
            }
        } else if let Some(event) = event {
            let read = self.security(reader, message, peer, reference, Some(event));
            match (read, reader.format) {
                (Ok(_), _) => {}
                // With automatic detection, a truncated CEF message is stored as plain syslog.
                (Err(_), Format::Auto) => self.syslog(reader, message, peer, reference.now),
                (Err(reason), _) => return Err(reason),
            }
        } else {
            self.syslog(reader, message, peer, reference.now);
        }
        Ok(())
    }

    /// A `CommonSecurityLog` row from an event, or else from a Sophos line; returns the message's time.
    fn security(
        &mut self,
        reader: &Reader,
        message: &header::Message<'_>,
        peer: &str,
        reference: Reference<'_>,
        event: Option<cef::Event<'_>>,
    ) -> Result<Option<Timestamp>, &'static str> {
        self.additional.clear();
        let mut row = cef::Row { rows: &mut self.security, reference, additional: &mut self.additional };
        let time = match event {
            None => {
                let time = sophos::read(message.text, &mut row);
                if let Some(time) = time {
                    row.put(Security::ReceiptTime, &time.to_millis_string());
                    row.rows.time(Security::StartTime as usize, time);
                }
                row.put(Security::DeviceAddress, peer);
                time
            }
            Some(event) => {
                cef::read(event, &mut row)?;
                message.time
            }
        };
        row.rows.time(Security::TimeGenerated as usize, reference.now);
        row.put(Security::Computer, message.host);
        row.put(Security::CollectorHostName, &reader.host);
        row.put(Security::SourceSystem, SYSTEM);
        self.security.put(Security::AdditionalExtensions as usize, &self.additional);
        self.security.end();
        Ok(time)
    }

    fn syslog(&mut self, reader: &Reader, message: &header::Message<'_>, peer: &str, now: Timestamp) {
        let rows = &mut self.syslog;
        rows.time(Syslog::TimeGenerated as usize, now);
        rows.time(Syslog::EventTime as usize, message.time.unwrap_or(now));
        let whole: String;
        // A message with structured data only, as sent by Juniper, would be empty without it.
        let text = if message.process.starts_with('%') && message.is_5424 && !message.text.contains('%') {
            // A relay turned Cisco's mnemonic into the process name; rules look for it in the text.
            whole = format!("{}: {}", message.process, message.text);
            &whole
        } else if message.structured.is_empty() || !(reader.keep_structured_data || message.text.is_empty()) {
            message.text
        } else {
            let parts = [message.id, message.structured, message.text];
            whole = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
            &whole
        };
        let texts = [
            (Syslog::Computer, message.host),
            (Syslog::HostName, message.host),
            (Syslog::HostIP, peer),
            (Syslog::Facility, message.facility.name()),
            (Syslog::SeverityLevel, message.severity.name()),
            (Syslog::ProcessName, message.process),
            (Syslog::ProcessID, message.pid),
            (Syslog::SyslogMessage, text),
            (Syslog::CollectorHostName, &reader.host),
            (Syslog::SourceSystem, SYSTEM),
        ];
        for (column, value) in texts {
            // A non-numeric process id does not fit the column; Azure drops it too.
            rows.put(column as usize, value);
        }
        rows.end();
    }

    /// Adds a dead letter.
    pub fn letter(&mut self, reader: &Reader, bytes: &[u8], reason: &str, peer: &str, now: Timestamp) {
        let record = bytes[..bytes.len().min(LETTER)].escape_ascii().to_string();
        self.note(reader, "Ingest", &record, reason, peer, now);
        self.bytes += bytes.len() + 64;
    }

    fn note(&mut self, reader: &Reader, operation: &str, record: &str, reason: &str, peer: &str, now: Timestamp) {
        let record = &record[..record.floor_char_boundary(LETTER)];
        let rows = &mut self.letters;
        rows.time(Letter::TimeGenerated as usize, now);
        rows.put(Letter::OperationName as usize, operation);
        rows.put(Letter::Record_CF as usize, record);
        rows.put(Letter::Message as usize, reason);
        rows.put(Letter::InputStreamId as usize, &format!("syslog/{}", reader.listener));
        rows.put(Letter::ClientRequestId as usize, peer);
        rows.end();
    }

    /// Takes the rows, with a dead letter if messages were truncated.
    pub fn take(&mut self, reader: &Reader, peer: &str, now: Timestamp) -> Taken {
        if self.cut > 0 {
            let note = format!("{} messages were longer than `max_message` and are cut", self.cut);
            self.note(reader, "Note", "", &note, peer, now);
        }
        let rows = [self.syslog.take(), self.security.take(), self.letters.take()].into_iter().flatten().collect();
        let taken = Taken { rows, messages: self.messages, bytes: self.bytes };
        (self.messages, self.bytes, self.cut) = (0, 0, 0);
        taken
    }
}

/// The value that Azure's agent writes on Linux.
const SYSTEM: &str = "Linux";
const FILTERED: &str = "the log type is not recorded";

/// Bit set of facilities; an empty list means all.
pub fn mask(facilities: &[Facility]) -> u32 {
    if facilities.is_empty() { u32::MAX } else { facilities.iter().fold(0, |mask, facility| mask | facility.bit()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Array;

    fn reader(format: Format) -> Reader {
        Reader {
            listener: "l".to_owned(),
            host: "collector".to_owned(),
            format,
            facilities: u32::MAX,
            min_severity: Severity::DEBUG,
            zone: None,
            log_types: Vec::new(),
            keep_raw: true,
            keep_structured_data: false,
        }
    }

    fn now() -> Timestamp {
        Timestamp::parse_iso("2026-11-20T12:00:00Z").unwrap()
    }

    fn value(rows: &[Rows], table: &str, column: &str) -> String {
        let rows = rows.iter().find(|rows| rows.table.as_str() == table).unwrap_or_else(|| panic!("no row for {table}"));
        let column = rows.batch.column_by_name(column).unwrap_or_else(|| panic!("no column {column}"));
        assert!(!column.is_null(0));
        arrow::util::display::array_value_to_string(column, 0).unwrap()
    }

    #[test]
    fn a_line_of_sophos_fills_the_columns_rules_ask_for() {
        let line = concat!(
            r#"<30>device="SFW" date=2026-11-20 time=11:59:58 timezone="GMT" device_name="XG230" device_id=C44 log_id=010102600002 "#,
            r#"log_type="Firewall" log_component="Firewall Rule" log_subtype="Denied" status="Deny" priority=Information fw_rule_id=7 "#,
            r#"user_name="ann" src_ip=10.1.1.5 dst_ip=203.0.113.9 protocol="TCP" src_port=50123 dst_port=445 sent_bytes=12 recv_bytes=5000000000"#
        );
        let mut batch = Batch::default();
        assert_eq!(batch.push(&reader(Format::Auto), line.as_bytes(), false, "192.0.2.7", now()), None);
        let rows = batch.take(&reader(Format::Auto), "192.0.2.7", now()).rows;
        let expected = [
            ("DeviceVendor", "Sophos"),
            ("DeviceEventCategory", "Firewall"),
            ("DeviceAction", "Denied"),
            ("SourceIP", "10.1.1.5"),
            ("DestinationIP", "203.0.113.9"),
            ("SourcePort", "50123"),
            ("DestinationPort", "445"),
            ("Protocol", "TCP"),
            ("SentBytes", "12"),
            ("ReceivedBytes", "5000000000"),
            ("SourceUserName", "ann"),
            ("DeviceName", "XG230"),
            ("DeviceCustomString1", "7"),
            ("DeviceCustomString1Label", "FirewallRuleId"),
            ("ReceiptTime", "2026-11-20T11:59:58.000Z"),
            ("Computer", "192.0.2.7"),
        ];
        for (column, text) in expected {
            assert_eq!(value(&rows, "CommonSecurityLog", column), text, "{column}");
        }
        assert_eq!(value(&rows, "Syslog", "SyslogMessage"), line[4..]);
        assert_eq!(value(&rows, "Syslog", "Facility"), "daemon");
    }

    #[test]
    fn filters_count_and_strict_formats_set_aside() {
        let mut batch = Batch::default();
        let severe = Reader { min_severity: Severity::parse("WARNING").unwrap(), ..reader(Format::Auto) };
        assert_eq!(batch.push(&severe, b"<13>notice", false, "p", now()), Some("severity"));
        let kernel = Reader { facilities: mask(&[Facility::parse("KERNEL").unwrap()]), ..reader(Format::Auto) };
        assert_eq!(batch.push(&kernel, b"<13>user", false, "p", now()), Some("facility"));
        let mail = Reader { log_types: vec!["Anti-Spam".to_owned()], ..reader(Format::Sophos) };
        assert_eq!(batch.push(&mail, br#"<30>device="SFW" log_type="Firewall""#, false, "p", now()), Some("log_type"));
        assert_eq!(batch.push(&mail, b"  \n", false, "p", now()), Some("empty"));
        assert!(batch.is_empty());
        assert_eq!(batch.push(&mail, b"<13>bad \xff", false, "p", now()), Some("unreadable"));
        let rows = batch.take(&mail, "p", now()).rows;
        assert_eq!(value(&rows, "DCRLogErrors", "Record_CF"), r"<13>bad \xff");
        assert_eq!(value(&rows, "DCRLogErrors", "Message"), "the message is not in Sophos' format");
    }

    /// As syslog-ng's `syslog()` forwards `<189>83: *Nov 20 10:00:00: %SYS-5-CONFIG_I: Configured`.
    #[test]
    fn a_mnemonic_is_in_the_text_too() {
        let mut batch = Batch::default();
        let relayed = br#"<189>1 2026-11-20T10:00:00+00:00 sw-1 %SYS-5-CONFIG_I - - [meta sequenceId="83"] Configured"#;
        batch.push(&reader(Format::Auto), relayed, false, "p", now());
        let rows = batch.take(&reader(Format::Auto), "p", now()).rows;
        assert_eq!(value(&rows, "Syslog", "ProcessName"), "%SYS-5-CONFIG_I");
        assert_eq!(value(&rows, "Syslog", "SyslogMessage"), "%SYS-5-CONFIG_I: Configured");
    }

    #[test]
    fn a_cut_message_is_noted() {
        let mut batch = Batch::default();
        batch.push(&reader(Format::Auto), b"<13>Nov 20 10:00:00 h a[1]: x", true, "p", now());
        let rows = batch.take(&reader(Format::Auto), "p", now()).rows;
        assert_eq!(value(&rows, "Syslog", "ProcessID"), "1");
        assert_eq!(value(&rows, "DCRLogErrors", "OperationName"), "Note");
    }

    #[test]
    fn no_bytes_panic() {
        let heads =
            ["", "<13>", "<13>1 - ", "CEF:0|", "LEEF:2.0|a|b|c|d|", "<30>device=\"SFW\" ", "<13>Nov 20 10:00:00 ", "<13>2026-11-20T"];
        let alphabet = "<>0123456789 :[]|=\\\"'-TZ%aéNov\u{feff}\n\t\0^".chars().collect::<Vec<_>>();
        let mut state = 11_u64;
        let mut batch = Batch::default();
        let reader = reader(Format::Auto);
        for round in 0..20_000 {
            let mut message = heads[round % heads.len()].to_owned();
            for _ in 0..round % 41 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                message.push(alphabet[(state >> 33) as usize % alphabet.len()]);
            }
            let mut bytes = message.into_bytes();
            if round % 7 == 0 {
                bytes.push(0xff);
            }
            batch.push(&reader, &bytes, false, "p", now());
        }
        assert!(batch.take(&reader, "p", now()).messages > 19_000);
    }
}
