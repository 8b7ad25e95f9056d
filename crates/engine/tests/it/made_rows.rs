//! Generates test rows for a query: values fit the names and types of the columns (addresses, URLs, JSON, times of the last days), and
//! include the literals that the query compares its columns with, so that some rows pass its filters. Deterministic.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::record_batch::RecordBatch;
use kql::Value;
use kql::syntax::lexer::{Token, TokenKind, lex};
use model::{Column, InlineTable, TableSchema, Timestamp, Type, arrow_schema};

const ROWS: i64 = 50;

const MINUTE: i64 = 600_000_000;

/// The literals that a query compares its columns with, by column.
pub struct Wanted(HashMap<String, Vec<String>>);

impl Wanted {
    pub fn of(query: &str) -> Wanted {
        let (tokens, _) = lex(query);
        let text = |token: &Token| &query[token.start..token.end];
        let mut found: HashMap<String, Vec<String>> = HashMap::new();
        for (at, pair) in tokens.windows(2).enumerate() {
            let ([column, operator], true) = (pair, pair[0].kind == TokenKind::Word) else { continue };
            let many = matches!(text(operator), "in" | "in~" | "has_any" | "has_all");
            if !many && !matches!(text(operator), "==" | "=~" | "has" | "contains" | "startswith" | "endswith" | "has_cs") {
                continue;
            }
            let behind = &tokens[at + 2..];
            let end = if many { behind.iter().position(|token| text(token) == ")").unwrap_or(0) } else { behind.len().min(1) };
            let literals = behind[..end].iter().filter_map(|token| literal(text(token), token.kind));
            found.entry(text(column).to_owned()).or_default().extend(literals);
        }
        Wanted(found)
    }

    /// The literal for a row: for three of four rows, in turn.
    fn at(&self, column: &str, row: i64) -> Option<&str> {
        let wanted = self.0.get(column).filter(|wanted| !wanted.is_empty() && row % 4 != 3)?;
        Some(&wanted[(row - row / 4) as usize % wanted.len()])
    }
}

fn literal(text: &str, kind: TokenKind) -> Option<String> {
    match kind {
        TokenKind::Long => Some(text.to_owned()),
        TokenKind::String if !text.contains('\\') => {
            Some(text.trim_start_matches(['@', 'h']).trim_matches(|c| matches!(c, '"' | '\'')).to_owned())
        }
        _ => None,
    }
}

/// Field names of Sysmon process events.
const SYSMON: &[&str] = &[
    "UtcTime",
    "ProcessGuid",
    "ProcessId",
    "Image",
    "CommandLine",
    "CurrentDirectory",
    "User",
    "LogonId",
    "IntegrityLevel",
    "Hashes",
    "ParentProcessGuid",
    "ParentProcessId",
    "ParentImage",
    "ParentCommandLine",
    "TargetObject",
    "Details",
    "TargetFilename",
    "SourceIp",
    "DestinationIp",
    "DestinationPort",
    "DestinationHostname",
    "QueryName",
    "ImageLoaded",
    "Signature",
    "SourceImage",
    "TargetImage",
];

/// The XML of a Windows event as sent by the agent.
fn event_xml(row: i64, wanted: Option<&str>) -> String {
    let data: String = SYSMON.iter().map(|name| format!(r#"<Data Name="{name}">{name}{row}</Data>"#)).collect();
    format!(
        r#"<DataItem type="System.XmlData" time="2026-01-01T10:00:00Z"><EventData xmlns="http://schemas.microsoft.com/win/2004/08/events/event">{data}<Data Name="Wanted">{}</Data></EventData></DataItem>"#,
        wanted.unwrap_or_default()
    )
}

/// A plausible text for a column of this name.
fn text(column: &str, row: i64) -> String {
    let lower = column.to_ascii_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    match () {
        () if row % 11 == 10 => String::new(),
        () if has(&["ipaddr", "_ip", "ip_", "clientip", "sourceip", "destinationip", "remoteip", "srcip", "dstip"])
            || lower.ends_with("ip") =>
        {
            if row % 7 == 0 {
                format!("2001:db8::{row:x}")
            } else {
                format!("{}.0.{}.{}", 10 + row % 3 * 40, row % 5, 1 + row)
            }
        }
        () if has(&["url", "uri"]) => format!("https://host{}.example.org:8443/path/{row}?q={row}&user=u{}", row % 4, row % 3),
        () if has(&["details", "properties", "dynamic", "entities", "extended", "resources", "eventdata", "_json", "parsed", "claims"]) => {
            format!(
                r#"[{{"type":"{}","name":"n{row}","id":"{row}","displayName":"User {row}","modifiedProperties":[{{"displayName":"Role","newValue":"\"Admin{}\""}}],"ipAddress":"10.0.0.{row}"}}]"#,
                ["ip", "account", "host"][(row % 3) as usize],
                row % 2
            )
        }
        () if has(&["userprincipalname", "upn", "email", "sender", "recipient", "mail"]) => format!("user{}@contoso.com", row % 6),
        () if has(&["account", "user", "caller", "identity", "initiat"]) => format!("CONTOSO\\user{}", row % 6),
        () if has(&["commandline", "process", "image", "path", "file"]) => {
            format!(r"C:\Windows\System32\{}.exe -enc ZWNobyA={row}", ["cmd", "powershell", "rundll32", "svchost"][(row % 4) as usize])
        }
        () if has(&["computer", "host", "device", "machine"]) => format!("host{}.contoso.com", row % 5),
        () if has(&["sha256", "hash", "md5"]) => format!("{:064x}", row * 7919),
        () if has(&["domain", "dns", "fqdn"]) => format!("sub{}.example{}.com", row, row % 3),
        () if has(&["guid", "tenantid", "objectid", "correlationid"]) => format!("00000000-0000-0000-0000-{row:012}"),
        () if has(&["time", "date"]) => format!("2026-01-{:02}T10:{:02}:00Z", 1 + row % 28, row % 60),
        () if has(&["resulttype", "code", "status", "port"]) => ["0", "50126", "Failure", "Success", "443"][(row % 5) as usize].to_owned(),
        () if has(&["message", "rawdata", "raw", "payload"]) => {
            format!(
                "Jan  1 10:00:00 host{} sshd[{row}]: Failed password for user{} from 10.0.0.{row} port 22 key=value{row}",
                row % 3,
                row % 6
            )
        }
        () => format!("{}{}", ["value", "Add member to role", "Allow", "Deny", "Success"][(row % 5) as usize], row % 9),
    }
}

fn value(column: &Column, row: i64, wanted: &Wanted, now: Timestamp) -> Value {
    if column.name == "EventData" && column.ty == Type::String {
        return Value::String(event_xml(row, wanted.at(&column.name, row)));
    }
    if let (Some(text), Type::String | Type::Int | Type::Long | Type::Real | Type::Bool) = (wanted.at(&column.name, row), column.ty) {
        return Value::String(text.to_owned()).cast(column.ty);
    }
    if column.ty != Type::String && row % 13 == 12 && column.name != "TimeGenerated" {
        return Value::null(column.ty);
    }
    match column.ty {
        Type::String => Value::String(text(&column.name, row)),
        Type::Bool => Value::Bool(row % 2 == 0),
        Type::Int => Value::Int((row * 37 % 5000) as i32),
        Type::Long => Value::Long(row * 7919 % 100_000),
        Type::Real => Value::Real(row as f64 * 1.25 - 3.0),
        Type::Datetime => Value::Datetime(now.ticks() - row * row * 7 * MINUTE),
        Type::Timespan => Value::Timespan(row * MINUTE),
        Type::Dynamic => Value::Dynamic(match row % 3 {
            0 => format!(r#"{{"id":"{row}","name":"n{row}","city":"Oslo","state":"x","type":"User","value":{row},"list":[1,2]}}"#),
            1 => text("Properties", row.max(1)),
            _ => format!(r#"["a{row}","b",{row}]"#),
        }),
        Type::Guid => Value::String(format!("00000000-0000-0000-0000-{row:012}")).cast(Type::Guid),
        Type::Decimal => Value::Long(row).cast(Type::Decimal),
    }
}

/// Generates a table.
pub fn table(name: &str, columns: Vec<Column>, wanted: &Wanted, now: Timestamp) -> Arc<InlineTable> {
    let mut schema = columns;
    schema.dedup_by(|a, b| a.name == b.name);
    let cells = |column: &Column| (0..ROWS).map(|row| value(column, row, wanted, now)).collect::<Vec<_>>();
    let arrays: Vec<ArrayRef> = schema.iter().map(|column| Value::array(&cells(column), column.ty)).collect();
    let batch = RecordBatch::try_new(arrow_schema(&schema), arrays).expect("arrays are laid out as their types are");
    Arc::new(InlineTable { schema: TableSchema::new(name, schema), batches: vec![batch] })
}
