//! `bartizan oncall ack|take|escalate|close` — answers to pages.

use serde_json::{Value, json};

use super::super::Outcome;
use super::api::{Api, Body, Common, segment};
use super::output::{Format, json as print_json, text};

/// Which incident, and who answers.
#[derive(clap::Args)]
pub struct Subject {
    /// The incident's number, or its id.
    #[arg(value_name = "INCIDENT")]
    incident: String,
    /// Who answers: a user of the directory. Default: $BARTIZAN_ONCALL_USER, then $USER.
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  bartizan oncall ack 12\n  bartizan oncall ack 12 --as ann")]
pub struct Ack {
    #[command(flatten)]
    subject: Subject,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  bartizan oncall take 12 --as ann")]
pub struct Take {
    #[command(flatten)]
    subject: Subject,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  bartizan oncall escalate 12\n  bartizan oncall escalate 12 --step 3")]
pub struct Escalate {
    #[command(flatten)]
    subject: Subject,
    /// The step to go to, counted from 1. Default: the next one.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    step: Option<u32>,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  bartizan oncall close 12 --classification FalsePositive --comment 'a drill'")]
pub struct Close {
    #[command(flatten)]
    subject: Subject,
    /// What it turned out to be: Undetermined, TruePositive, BenignPositive or FalsePositive.
    #[arg(long, value_name = "NAME", value_parser = classification)]
    classification: Option<model::Classification>,
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
}

fn classification(name: &str) -> Result<model::Classification, String> {
    model::Classification::parse(name).ok_or_else(|| {
        let names: Vec<&str> = model::Classification::ALL.iter().map(|known| known.name()).collect();
        format!("one of {}", names.join(", "))
    })
}

pub async fn ack(args: Ack) -> Outcome {
    send(&args.subject, json!("acknowledge")).await
}

pub async fn take(args: Take) -> Outcome {
    send(&args.subject, json!("take")).await
}

pub async fn escalate(args: Escalate) -> Outcome {
    send(&args.subject, json!({ "escalate": { "step": args.step } })).await
}

pub async fn close(args: Close) -> Outcome {
    send(&args.subject, json!({ "close": { "classification": args.classification, "comment": args.comment } })).await
}

async fn send(subject: &Subject, action: Value) -> Outcome {
    let user = subject.user.clone().or_else(|| std::env::var("BARTIZAN_ONCALL_USER").ok()).or_else(|| std::env::var("USER").ok());
    let api = Api::connect(&subject.common).await?;
    let path = format!("incidents/{}/answer", segment(&subject.incident));
    let answer = api.post(&path, &[], Body::Json(json!({ "action": action, "user": user, "via": "cli" }))).await?;
    match subject.common.format {
        Format::Json => print_json(&answer)?,
        Format::Table => println!("{}", text(&answer, "says")),
    }
    Ok(())
}
