//! `bartizan audit list`.

use reqwest::Method;
use serde_json::{Value, json};

use super::super::client::{ServiceArgs, segment};
use super::super::output::{Format, json as print_json, list, table, text};
use super::super::{Failure, Outcome};

/// Entries asked for at once, the most that the service returns.
const PAGE: usize = 1_000;
/// Characters of the changes in a table.
const MAX_SHOWN: usize = 80;

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan audit list\n  bartizan audit list --kind 'analytics rule' --id my-rule\n  bartizan audit list --from 2026-11-01T00:00:00Z --until 2026-12-01T00:00:00Z --format json"
)]
pub struct Args {
    /// Not before this time, ISO 8601.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before this time, ISO 8601.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only changes by this actor: a name, application id or object id.
    #[arg(long, value_name = "WHO")]
    actor: Option<String>,
    /// Only objects of this kind, such as `incident` or `role assignment`.
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only this object.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Only this action, such as `created`, `changed` or `deleted`.
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// At most this many.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    service: ServiceArgs,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub async fn run(args: Args) -> Outcome {
    let client = args.service.client()?;
    let filters = [
        ("from", &args.from),
        ("until", &args.until),
        ("actor", &args.actor),
        ("kind", &args.kind),
        ("id", &args.id),
        ("action", &args.action),
    ];
    let filters: String = filters.iter().filter_map(|(name, value)| Some(format!("&{name}={}", segment(value.as_deref()?)))).collect();
    let (mut found, mut before): (Vec<Value>, String) = (Vec::new(), String::new());
    while found.len() < args.limit {
        let limit = (args.limit - found.len()).min(PAGE);
        let answer = client.ours(Method::GET, &format!("/api/v1/audit?limit={limit}{filters}{before}"), None).await?;
        found.extend_from_slice(list(&answer, "entries"));
        match answer["next"].as_i64() {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    if args.format == Format::Json {
        return print_json(&json!(found)).map_err(Failure::from);
    }
    let row = |entry: &Value| {
        vec![
            text(entry, "number"),
            text(entry, "time").chars().take(19).collect(),
            text(entry, "actor"),
            [text(entry, "via"), text(entry, "address")].join(" ").trim().to_owned(),
            text(entry, "kind"),
            text(entry, "action"),
            text(entry, "id"),
            shown(&entry["changes"]),
        ]
    };
    table(&["entry", "time", "who", "from", "kind", "action", "id", "changes"], &found.iter().map(row).collect::<Vec<_>>())?;
    Ok(())
}

/// `title: "a" → "b", status: …`, cut to a line.
fn shown(changes: &Value) -> String {
    let pairs = changes.as_object().into_iter().flatten();
    let text = pairs.map(|(field, pair)| format!("{field}: {} → {}", pair[0], pair[1])).collect::<Vec<_>>().join(", ");
    match text.char_indices().nth(MAX_SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_fit_a_line() {
        assert_eq!(shown(&json!({ "status": ["New", "Closed"], "n": [null, 1] })), "n: null → 1, status: \"New\" → \"Closed\"");
        assert_eq!(shown(&json!({ "a": [null, "é".repeat(200)] })).chars().count(), MAX_SHOWN + 1);
        assert_eq!(shown(&Value::Null), "");
    }
}
