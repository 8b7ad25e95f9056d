//! `bartizan oncall diff` — the changes that applying would make.

use serde_json::Value;

use super::super::Outcome;
use super::documents;
use super::output::{Format, json, list, text};

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  bartizan oncall diff team.yaml\n  bartizan oncall diff --prune examples/oncall")]
pub struct Args {
    #[command(flatten)]
    wanted: documents::Wanted,
}

pub async fn run(args: Args) -> Outcome {
    let answer = args.wanted.post("diff").await?;
    match args.wanted.common.format {
        Format::Json => json(&answer)?,
        Format::Table => print!("{}", describe(&answer, "Nothing would change.")),
    }
    Ok(())
}

/// One line per change, followed by the fields that differ.
pub fn describe(answer: &Value, nothing: &str) -> String {
    let changes = list(answer, "changes");
    if changes.is_empty() {
        return format!("{nothing}\n");
    }
    let mut lines = String::new();
    for change in changes {
        let (before, after) = (&change["before"], &change["after"]);
        let sign = match (before.is_null(), after.is_null()) {
            (true, _) => '+',
            (_, true) => '-',
            _ => '~',
        };
        lines += &format!("{sign} {}/{}\n", text(change, "kind"), text(change, "name"));
        if sign == '~' {
            let mut fields = Vec::new();
            differences(before, after, String::new(), &mut fields);
            for (path, was, is) in fields {
                lines += &format!("    {path}: {was} → {is}\n");
            }
        }
    }
    lines
}

/// Paths at which two values differ, down to where one of them is not an object.
fn differences(before: &Value, after: &Value, path: String, found: &mut Vec<(String, String, String)>) {
    if before == after {
        return;
    }
    match (before, after) {
        (Value::Object(was), Value::Object(is)) => {
            let mut names: Vec<&String> = was.keys().chain(is.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                differences(was.get(name).unwrap_or(&Value::Null), is.get(name).unwrap_or(&Value::Null), path, found);
            }
        }
        _ => {
            let shown = |value: &Value| if value.is_null() { "(not set)".to_owned() } else { value.to_string() };
            found.push((path, shown(before), shown(after)));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_is_told_by_its_fields() {
        let answer = json!({ "changes": [
            { "kind": "users", "name": "ann", "before": null, "after": { "name": "Ann" } },
            { "kind": "schedules", "name": "week", "before": { "time_zone": "UTC", "layers": [1] }, "after": { "time_zone": "Europe/Oslo", "layers": [1], "description": "x" } },
            { "kind": "users", "name": "bo", "before": { "name": "Bo" }, "after": null },
        ]});
        let text = describe(&answer, "Nothing.");
        assert_eq!(
            text,
            "+ users/ann\n~ schedules/week\n    description: (not set) → \"x\"\n    time_zone: \"UTC\" → \"Europe/Oslo\"\n- users/bo\n"
        );
        assert_eq!(describe(&json!({ "changes": [] }), "Nothing."), "Nothing.\n");
    }
}
