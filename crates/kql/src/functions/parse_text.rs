//! Text parsers: `parse_url`, `parse_urlquery`, `parse_path`, `parse_csv`, `parse_version`, `parse_command_line`. Source of truth: the
//! public KQL reference, one page each.

use std::collections::BTreeMap;

use model::Type;

use super::arrays::push_array;
use super::bags::Bag;
use super::encode::unescape;
use super::signatures::{all, text_then};
use super::{Family, ScalarFn, Signature, kernel};
use crate::dynamic::push_string;
use crate::value::decimal;

pub static FAMILY: Family = &[&PARSE_URL, &PARSE_URL_QUERY, &PARSE_PATH, &PARSE_CSV, &PARSE_VERSION, &PARSE_COMMAND_LINE];

static PARSE_URL: ScalarFn = ScalarFn {
    name: "parse_url",
    aliases: &["parseurl"],
    summary: "The parts of a URL, as a bag",
    signature: all(&[("url", Type::String)], Type::Dynamic),
    examples: &[
        (
            r#"parse_url("scheme://username:password@host:1234/this/is/a/path?k1=v1&k2=v2#fragment")"#,
            r#"{"Scheme":"scheme","Host":"host","Port":"1234","Path":"/this/is/a/path","Username":"username","Password":"password","Query Parameters":{"k1":"v1","k2":"v2"},"Fragment":"fragment"}"#,
        ),
        (r#"parse_url("https://bing.com/a").Host"#, "bing.com"),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let url = args.texts(0);
            args.map_json(|row, out| {
                let url = url.get(row).trim();
                let (rest, fragment) = url.split_once('#').unwrap_or((url, ""));
                let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
                let (scheme, rest) = rest
                    .split_once(':')
                    .filter(|(scheme, after)| after.starts_with("//") || !scheme.contains(['/', '.']))
                    .unwrap_or(("", rest));
                let (authority, path) = match rest.strip_prefix("//") {
                    Some(after) => after.split_at(after.find('/').unwrap_or(after.len())),
                    None => ("", rest),
                };
                // Recorded: a user name without a password stays part of the host, and a lone `/` is not a path.
                let (user, host) = authority.rsplit_once('@').filter(|(user, _)| user.contains(':')).unwrap_or(("", authority));
                let (username, password) = user.split_once(':').unwrap_or((user, ""));
                let path = if path == "/" && !url.contains(['?', '#']) { "" } else { path };
                // A colon in brackets is part of an IPv6 address.
                let (host, port) = match host.rfind(':') {
                    Some(at) if !host[at..].contains(']') => (&host[..at], &host[at + 1..]),
                    _ => (host, ""),
                };
                let mut parameters = String::new();
                push_query(query, &mut parameters)?;
                let mut bag = Bag::new(out);
                bag.put_text("Scheme", scheme);
                bag.put_text("Host", host);
                bag.put_text("Port", port);
                bag.put_text("Path", path);
                bag.put_text("Username", username);
                bag.put_text("Password", password);
                bag.put("Query Parameters", &parameters);
                bag.put_text("Fragment", fragment);
                bag.close()
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

/// Appends the parameters as a bag, sorted by key. Recorded: repeated keys give an array of values, a key without a value is omitted.
fn push_query(query: &str, out: &mut String) -> Option<()> {
    let mut pairs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decode = |text: &str| {
            let mut out = String::new();
            unescape(text, &mut out);
            out
        };
        if !value.is_empty() {
            pairs.entry(decode(key)).or_default().push(decode(value));
        }
    }
    let mut bag = Bag::new(out);
    for (key, values) in &pairs {
        if let [value] = &values[..] {
            bag.put_text(key, value);
            continue;
        }
        let mut array = String::new();
        let quoted: Vec<String> = values.iter().map(|value| quoted(value)).collect();
        push_array(&mut array, quoted.iter().map(String::as_str));
        bag.put(key, &array);
    }
    bag.close()
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    push_string(&mut out, text);
    out
}

static PARSE_URL_QUERY: ScalarFn = ScalarFn {
    name: "parse_urlquery",
    aliases: &["parseurlquery"],
    summary: "The parameters of a URL's query, as a bag under `Query Parameters`",
    signature: all(&[("query", Type::String)], Type::Dynamic),
    examples: &[(r#"parse_urlquery("k1=v1&k2=v2")"#, r#"{"Query Parameters":{"k1":"v1","k2":"v2"}}"#)],
    prepare: |_| {
        Ok(kernel(|args| {
            let query = args.texts(0);
            args.map_json(|row, out| {
                let query = query.get(row);
                let mut parameters = String::new();
                push_query(query.strip_prefix('?').unwrap_or(query), &mut parameters)?;
                let mut bag = Bag::new(out);
                bag.put("Query Parameters", &parameters);
                bag.close()
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static PARSE_PATH: ScalarFn = ScalarFn {
    name: "parse_path",
    summary: "The parts of a file path, Windows or Unix, as a bag",
    signature: all(&[("path", Type::String)], Type::Dynamic),
    examples: &[
        (
            r#"parse_path(@"C:\temp\file.txt")"#,
            r#"{"Scheme":"","RootPath":"C:\\","DirectoryPath":"C:\\temp","DirectoryName":"temp","Filename":"file.txt","Extension":"txt","AlternateDataStreamName":""}"#,
        ),
        (
            r#"parse_path("/usr/lib/temp/file.txt")"#,
            r#"{"Scheme":"","RootPath":"","DirectoryPath":"/usr/lib/temp","DirectoryName":"temp","Filename":"file.txt","Extension":"txt","AlternateDataStreamName":""}"#,
        ),
        (r#"parse_path("file://C:/temp/file.txt:some.exe").AlternateDataStreamName"#, "some.exe"),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let path = args.texts(0);
            args.map_json(|row, out| {
                let path = path.get(row);
                let (scheme, rest) = path.split_once("://").unwrap_or(("", path));
                // A scheme must be alphanumeric.
                let (scheme, rest) = if scheme.bytes().all(|b| b.is_ascii_alphanumeric()) { (scheme, rest) } else { ("", path) };
                let separator = |c| c == '/' || c == '\\';
                let (directory, name) = match rest.rfind(separator) {
                    Some(at) => (&rest[..at], &rest[at + 1..]),
                    None => ("", rest),
                };
                let (name, stream) = name.split_once(':').unwrap_or((name, ""));
                let bytes = rest.as_bytes();
                // Recorded: the separator is part of the root.
                let root = match bytes {
                    [drive, b':', b'/' | b'\\', ..] if drive.is_ascii_alphabetic() => &rest[..3],
                    [drive, b':', ..] if drive.is_ascii_alphabetic() => &rest[..2],
                    _ => "",
                };
                let mut bag = Bag::new(out);
                bag.put_text("Scheme", scheme);
                bag.put_text("RootPath", root);
                bag.put_text("DirectoryPath", directory);
                bag.put_text(
                    "DirectoryName",
                    directory.rsplit(separator).next().filter(|name| *name != root.trim_end_matches(separator)).unwrap_or(""),
                );
                bag.put_text("Filename", name);
                bag.put_text("Extension", name.rsplit_once('.').map_or("", |(_, extension)| extension));
                bag.put_text("AlternateDataStreamName", stream);
                bag.close()
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static PARSE_CSV: ScalarFn = ScalarFn {
    name: "parse_csv",
    summary: "The fields of the first record of a CSV text, as an array of strings",
    signature: all(&[("csv_text", Type::String)], Type::Dynamic),
    examples: &[
        (r#"parse_csv('aa,"b,b,b",cc')"#, r#"["aa","b,b,b","cc"]"#),
        (r#"parse_csv('a,"say ""hi""",')"#, r#"["a","say \"hi\"",""]"#),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let source = args.texts(0);
            args.map_json(|row, out| {
                let fields: Vec<String> = record(source.get(row)).iter().map(|field| quoted(field)).collect();
                push_array(out, fields.iter().map(String::as_str));
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

/// Parses the fields of the first record; a quoted field may contain commas, line ends and doubled quotes.
fn record(text: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut chars = text.chars().peekable();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        let Some(field) = fields.last_mut() else { break };
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            ',' if !quoted => fields.push(String::new()),
            '\n' if !quoted => break,
            '\r' if !quoted && matches!(chars.peek(), Some('\n') | None) => {}
            c => field.push(c),
        }
    }
    fields
}

static PARSE_VERSION: ScalarFn = ScalarFn {
    name: "parse_version",
    summary: "A version of up to four parts as a number that sorts as versions do",
    signature: all(&[("version", Type::String)], Type::Decimal),
    examples: &[
        (r#"parse_version("0.0.0.5") < parse_version("0.0.7.0")"#, "True"),
        (r#"parse_version("1.2.3.4")"#, "1000000020000000300000004"),
        (r#"parse_version("1.x")"#, ""),
    ],
    prepare: |_| {
        Ok(kernel(|args| {
            let version = args.texts(0);
            args.map_decimals(|row| {
                let mut digits = String::new();
                let parts: Vec<&str> = version.get(row).trim().split('.').collect();
                if parts.len() > 4 {
                    return None;
                }
                for index in 0..4 {
                    let part = parts.get(index).copied().unwrap_or("0");
                    if part.is_empty() || part.len() > 8 || !part.bytes().all(|b| b.is_ascii_digit()) {
                        return None;
                    }
                    digits.push_str(&format!("{part:0>8}"));
                }
                decimal::parse(&digits)
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static PARSE_COMMAND_LINE: ScalarFn = ScalarFn {
    name: "parse_command_line",
    summary: "The arguments of a command line by the rules of Windows, as an array of strings",
    signature: Signature::Custom(|args| text_then(args, &[Type::String], 1, Type::Dynamic)),
    examples: &[(r#"parse_command_line('echo "hello world!" a\\"b', "windows")"#, r#"["echo","hello world!","a\"b"]"#)],
    prepare: |_| {
        Ok(kernel(|args| {
            let source = args.texts(0);
            args.map_json(|row, out| {
                let arguments = windows_arguments(source.get(row));
                if arguments.is_empty() {
                    return None;
                }
                let quoted: Vec<String> = arguments.iter().map(|argument| quoted(argument)).collect();
                push_array(out, quoted.iter().map(String::as_str));
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

/// Splits like `CommandLineToArgvW`: backslashes are special only before a quote, where two make one and an odd one escapes the quote.
fn windows_arguments(line: &str) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut current: Option<String> = None;
    let (mut quoted, mut backslashes) = (false, 0);
    for c in line.chars() {
        if c == '\\' {
            backslashes += 1;
            continue;
        }
        if backslashes > 0 {
            let kept = if c == '"' { backslashes / 2 } else { backslashes };
            current.get_or_insert_default().extend(std::iter::repeat_n('\\', kept));
        }
        let escaped = backslashes % 2 == 1;
        backslashes = 0;
        match c {
            '"' if escaped => current.get_or_insert_default().push('"'),
            '"' => {
                quoted = !quoted;
                current.get_or_insert_default();
            }
            ' ' | '\t' if !quoted => arguments.extend(current.take()),
            c => current.get_or_insert_default().push(c),
        }
    }
    if backslashes > 0 {
        current.get_or_insert_default().extend(std::iter::repeat_n('\\', backslashes));
    }
    arguments.extend(current);
    arguments
}
