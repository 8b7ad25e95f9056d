//! `bartizan oncall test-contact` — sends a test message to a contact.

use super::super::{Failure, Outcome};
use super::api::{Api, Body, Common, segment};
use super::output::{Format, json, text};

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  bartizan oncall test-contact ann/mobile")]
pub struct Args {
    /// A user and one of their contacts.
    #[arg(value_name = "USER/CONTACT")]
    contact: String,
    #[command(flatten)]
    common: Common,
}

pub async fn run(args: Args) -> Outcome {
    let Some((user, contact)) = args.contact.split_once('/') else {
        return Err(Failure::Wrong(format!("`{}` names no contact; write `ann/mobile`", args.contact)));
    };
    let api = Api::connect(&args.common).await?;
    let answer = api.post(&format!("users/{}/contacts/{}/test", segment(user), segment(contact)), &[], Body::None).await?;
    match args.common.format {
        Format::Json => json(&answer)?,
        Format::Table => println!("{}", text(&answer, "says")),
    }
    if answer["sent"] == true { Ok(()) } else { Err(Failure::Wrong(String::new())) }
}
