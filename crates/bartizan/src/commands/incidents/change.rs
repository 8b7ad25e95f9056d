//! `bartizan incidents take|close|reopen`.

use model::{Classification, ClassificationReason, IncidentStatus};
use serde_json::{Value, json};

use super::super::output::{Format, json as print_json, text};
use super::super::{Failure, Outcome};
use super::{Common, change};

#[derive(clap::Args)]
pub struct Subject {
    /// The number or the id.
    #[arg(value_name = "INCIDENT")]
    incident: String,
    #[command(flatten)]
    common: Common,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  bartizan incidents take 12\n  bartizan incidents take 12 --as ann@example.com")]
pub struct Take {
    #[command(flatten)]
    subject: Subject,
    /// Who owns it from now on: a name, or a user principal name. Default: $BARTIZAN_ONCALL_USER, then $USER.
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,
}

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan incidents close 12 --classification TruePositive --reason SuspiciousActivity\n  bartizan incidents close 12 --classification FalsePositive --reason IncorrectAlertLogic --comment 'rule fixed'\n  bartizan incidents close 12 --classification Undetermined"
)]
pub struct Close {
    #[command(flatten)]
    subject: Subject,
    /// What it turned out to be: Undetermined, TruePositive, BenignPositive or FalsePositive.
    #[arg(long, value_name = "NAME", default_value = "Undetermined", value_parser = classification)]
    classification: Classification,
    /// Why: SuspiciousActivity, SuspiciousButExpected, IncorrectAlertLogic or InaccurateData. Default: the one that belongs to the
    /// classification, where there is only one.
    #[arg(long, value_name = "NAME", value_parser = reason)]
    reason: Option<ClassificationReason>,
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  bartizan incidents reopen 12\n  bartizan incidents reopen 12 --status Active")]
pub struct Reopen {
    #[command(flatten)]
    subject: Subject,
    /// New (it pages again) or Active.
    #[arg(long, value_name = "STATUS", default_value = "New", value_parser = open_status)]
    status: IncidentStatus,
}

fn classification(name: &str) -> Result<Classification, String> {
    Classification::ALL.iter().copied().find(|known| known.name().eq_ignore_ascii_case(name)).ok_or_else(|| {
        let names: Vec<&str> = Classification::ALL.iter().map(|known| known.name()).collect();
        format!("one of {}", names.join(", "))
    })
}

fn reason(name: &str) -> Result<ClassificationReason, String> {
    ClassificationReason::ALL.iter().copied().find(|known| known.name().eq_ignore_ascii_case(name)).ok_or_else(|| {
        let names: Vec<&str> = ClassificationReason::ALL.iter().map(|known| known.name()).collect();
        format!("one of {}", names.join(", "))
    })
}

fn open_status(name: &str) -> Result<IncidentStatus, String> {
    let status = super::list::status(name)?;
    if status == IncidentStatus::Closed { Err("one of New, Active; `bartizan incidents close` closes".to_owned()) } else { Ok(status) }
}

/// The reason of a classification that has only one (learn.microsoft.com/azure/sentinel/incident-investigation).
fn only_reason(classification: Classification) -> Option<ClassificationReason> {
    match classification {
        Classification::TruePositive => Some(ClassificationReason::SuspiciousActivity),
        Classification::BenignPositive => Some(ClassificationReason::SuspiciousButExpected),
        Classification::FalsePositive | Classification::Undetermined => None,
    }
}

pub async fn take(args: Take) -> Outcome {
    let user = args.user.or_else(|| std::env::var("BARTIZAN_ONCALL_USER").ok()).or_else(|| std::env::var("USER").ok());
    let user = user.filter(|user| !user.trim().is_empty());
    let user = user.ok_or_else(|| Failure::Wrong("error: it is not known who takes it: write --as USER".to_owned()))?;
    let owner = if user.contains('@') {
        json!({ "assignedTo": user, "userPrincipalName": user, "email": user })
    } else {
        json!({ "assignedTo": user })
    };
    apply(&args.subject, &format!("is Active, owned by {user}"), |properties| {
        properties["status"] = json!("Active");
        properties["owner"] = owner.clone();
    })
    .await
}

pub async fn close(args: Close) -> Outcome {
    let reason = args.reason.or_else(|| only_reason(args.classification));
    if reason.is_none() && args.classification == Classification::FalsePositive {
        return Err(Failure::Wrong(
            "error: FalsePositive needs --reason IncorrectAlertLogic (the rule is wrong) or --reason InaccurateData (its data are)"
                .to_owned(),
        ));
    }
    apply(&args.subject, &format!("is Closed as {}", args.classification.name()), |properties| {
        properties["status"] = json!("Closed");
        properties["classification"] = json!(args.classification.name());
        match reason {
            Some(reason) => properties["classificationReason"] = json!(reason.name()),
            None => remove(properties, "classificationReason"),
        }
        if let Some(comment) = &args.comment {
            properties["classificationComment"] = json!(comment);
        }
    })
    .await
}

pub async fn reopen(args: Reopen) -> Outcome {
    apply(&args.subject, &format!("is {} again", args.status.name()), |properties| {
        properties["status"] = json!(args.status.name());
        for field in ["classification", "classificationReason", "classificationComment"] {
            remove(properties, field);
        }
    })
    .await
}

fn remove(properties: &mut Value, field: &str) {
    if let Some(properties) = properties.as_object_mut() {
        properties.remove(field);
    }
}

async fn apply(subject: &Subject, says: &str, edit: impl Fn(&mut Value)) -> Outcome {
    let client = subject.common.service.client()?;
    let after = change(&client, &subject.incident, edit).await?;
    match subject.common.format {
        Format::Json => print_json(&after)?,
        Format::Table => println!("incident {} {says}", text(&after["properties"], "incidentNumber")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closing_that_needs_a_choice_of_reason_gets_none() {
        assert_eq!(only_reason(Classification::TruePositive), Some(ClassificationReason::SuspiciousActivity));
        assert_eq!(only_reason(Classification::FalsePositive), None);
    }

    #[test]
    fn names_are_read_in_any_case() {
        assert_eq!(classification("truepositive"), Ok(Classification::TruePositive));
        assert!(open_status("Closed").unwrap_err().contains("incidents close"));
    }
}
