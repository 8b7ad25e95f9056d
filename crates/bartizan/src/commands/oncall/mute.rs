//! `bartizan oncall mute` — creates a maintenance window that starts now, without paging for matching incidents.

use model::{Span, Timestamp};
use oncall::directory::{Condition, MaintenanceWindow};
use serde_json::json;

use super::super::{Failure, Outcome};
use super::api::{Api, Body, Common};
use super::output::{Format, json as print_json};
use super::{diff, documents};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan oncall mute --for 2h --reason 'new switches'\n  bartizan oncall mute --for 30m --when 'entity.Host.HostName starts_with dc2-' --when 'severity at_most Medium'\n  bartizan oncall mute --end mute-20261224T0800\n\nWhat is still open when it ends pages then."
)]
pub struct Args {
    /// For how long, from now on. Example: 2h.
    #[arg(long = "for", value_name = "SPAN", required_unless_present = "end")]
    span: Option<String>,
    /// Only incidents that meet it, and every other one that is given: FIELD OPERATOR VALUE. Default: all incidents.
    #[arg(long, value_name = "CONDITION", conflicts_with = "end")]
    when: Vec<String>,
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Its name. Default: made of the time.
    #[arg(long, value_name = "NAME", conflicts_with = "end")]
    name: Option<String>,
    /// End the mute of that name now.
    #[arg(long, value_name = "NAME", conflicts_with = "span")]
    end: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub async fn run(args: Args) -> Outcome {
    let api = Api::connect(&args.common).await?;
    if let Some(name) = &args.end {
        let path = format!("maintenance_windows/{}", super::api::segment(name));
        api.send(reqwest::Method::DELETE, &path, &[], Body::None).await?;
        println!("- maintenance_windows/{name}");
        return Ok(());
    }
    let now = documents::now();
    let window = window(args.span.as_deref().unwrap_or_default(), &args.when, &args.reason, now)?;
    let name = args.name.unwrap_or_else(|| format!("mute-{}", stamp(now)));
    let document = json!({ "maintenance_windows": { name.as_str(): window } });
    let answer = api.post("apply", &[("prune", "false")], Body::Json(document)).await?;
    match args.common.format {
        Format::Json => print_json(&answer)?,
        Format::Table => {
            print!("{}", diff::describe(&answer, "It was so already."));
            println!("Until {} nobody is paged for it; `bartizan oncall mute --end {name}` ends it earlier.", window.to);
        }
    }
    Ok(())
}

fn window(span: &str, when: &[String], reason: &str, now: Timestamp) -> Result<MaintenanceWindow, Failure> {
    let length = span.parse::<Span>().ok().filter(|span| *span > Span::ZERO);
    let length = length.ok_or_else(|| Failure::Wrong(format!("`{span}` is no span of time; write `30m`, `2h` or `1d`")))?;
    let when = when.iter().map(|text| condition(text)).collect::<Result<_, _>>()?;
    // Whole seconds are more readable in the directory.
    let from = Timestamp::clamp_ticks(now.ticks() - now.ticks().rem_euclid(Span::SECOND.ticks()));
    let to = Timestamp::clamp_ticks(from.ticks().saturating_add(length.ticks()));
    Ok(MaintenanceWindow { from: from.into(), to: to.into(), time_zone: None, when, reason: reason.to_owned() })
}

/// `severity at_most Medium`: field, operator, and the rest as the value; commas separate several.
fn condition(text: &str) -> Result<Condition, Failure> {
    let wrong = || Failure::Wrong(format!("`{text}` is no condition; write `FIELD OPERATOR VALUE`, such as `severity at_most Medium`"));
    let mut words = text.trim().splitn(3, char::is_whitespace);
    let (Some(field), Some(op)) = (words.next(), words.next()) else { return Err(wrong()) };
    let op = serde_json::from_value(json!(op)).map_err(|_| wrong())?;
    let values: Vec<&str> = words.next().unwrap_or_default().split(',').map(str::trim).filter(|value| !value.is_empty()).collect();
    let value = match values.as_slice() {
        [] => serde_json::Value::Null,
        [one] => json!(one),
        several => json!(several),
    };
    Ok(Condition { field: field.to_owned(), op, value })
}

fn stamp(now: Timestamp) -> String {
    now.to_string().chars().take(16).filter(|c| c.is_ascii_digit() || *c == 'T').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mute_is_a_window_from_now_on() {
        let now = Timestamp::parse_iso("2026-12-24T08:00:00.5Z").unwrap();
        let conditions = ["severity at_most Medium".to_owned(), "entity.Host.HostName equals a, b".to_owned()];
        let Ok(found) = window("2h", &conditions, "x", now) else { panic!("it is right") };
        assert_eq!((found.from.to_string(), found.to.to_string()), ("2026-12-24T08:00:00Z".into(), "2026-12-24T10:00:00Z".into()));
        assert_eq!(found.when[0].value, "Medium");
        assert_eq!(found.when[1].value, json!(["a", "b"]));
        assert_eq!(stamp(now), "20261224T0800");
        for wrong in ["", "2", "0s", "-1h", "tomorrow"] {
            assert!(window(wrong, &[], "", now).is_err(), "{wrong}");
        }
        assert!(window("1h", &["severity".to_owned()], "", now).is_err() && window("1h", &["a b c".to_owned()], "", now).is_err());
    }
}
