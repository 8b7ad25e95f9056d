//! The demo scenario, step by step, through the public API only; then continuous streams.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use model::Timestamp;
use serde_json::Value;
use simulators::{Client, Connection, flare, sophos};

use super::cast::Cast;
use crate::service::Connect;

/// Polling interval. Short, because latencies are printed.
const LOOK: Duration = Duration::from_millis(5);
/// Interval of the continuous sample events.
const EVERY: Duration = Duration::from_secs(5);

/// Continues sending events after the scenario.
pub struct Streams {
    flare: flare::Tenant,
    firewall: SocketAddr,
}

/// Runs the scenario once.
pub async fn tell(connect: &Connect, connect_path: &Path, cast: &Cast) -> anyhow::Result<Streams> {
    let admin = Client::new(Connection::read(connect_path)?)?;
    println!("\nThe sources connect");
    let step = Step::begin("Flare, a vendor: an app registration, table, rule and role of its own");
    let flare = flare::connect(&admin).await?;
    step.end(&format!("application {}", flare.app_id));
    let udp = connect.syslog.iter().find(|bound| bound.protocol == "udp");
    let firewall = udp.context("no syslog listener takes UDP; give one under `sources.syslog`")?.address;
    let step = Step::begin("Sophos, a firewall: three lines by syslog, as its manual says");
    let first = now();
    let lines: Vec<String> = (0..3).map(|number| sophos::line(number, now())).collect();
    sophos::send_udp(firewall, &lines).await?;
    let query = format!(
        "CommonSecurityLog | where DeviceVendor == 'Sophos' and TimeGenerated >= datetime({first}) - 1h | take 1 | project DeviceAction, SourceIP, DestinationIP"
    );
    let row = until(async || admin.row(&query).await.map_err(Into::into)).await?;
    step.end(&format!("{} {} → {}", text(&row[0]), text(&row[1]), text(&row[2])));

    println!("\nThe team");
    let who = admin.own("/api/v1/oncall/who", &[("schedule", "soc")]).await?;
    let holder = who["schedules"][0]["on_call"].get(0).context("nobody is on call in schedule `soc`")?;
    println!("  On call in schedule `soc`: {}, until {} UTC", text(&holder["user"]), text(&holder["until"]).get(..16).unwrap_or_default());

    println!("\nThe loop");
    let (phones, mails) = (cast.phone.messages().len(), cast.mailbox.mails().len());
    // Event 5 of every six is a leaked credential, which the near-real-time rule detects; its user varies between runs, so that the
    // incident is a new one.
    let turn = now().unix_seconds().unsigned_abs();
    let event = flare::event(5 + 6 * turn, now());
    let loop_began = Instant::now();
    let step = Step::begin("Flare sends an event; the answer comes after it is synced to disk");
    flare.client.upload(&flare.rule, flare::STREAM, std::slice::from_ref(&event)).await?;
    step.end(text(&event["event_title"]));

    let step = Step::begin("the row can be queried");
    let query = format!("FireworkV2_CL | where uid == '{}' | take 1 | project event_type, RiskScore", text(&event["uid"]));
    let row = until(async || admin.row(&query).await.map_err(Into::into)).await?;
    step.end(&format!("{}, risk {}", text(&row[0]), row[1]));

    let step = Step::begin("the phone of whoever is on call rings");
    let pages = cast.phone.wait_for(phones + 1).await;
    let page = pages.get(phones).context("the phone forgot its message")?;
    let event_to_page = loop_began.elapsed();
    step.end(&format!("{}: {}", page.to, page.text.lines().next().unwrap_or_default()));

    let code = reply_code(&page.text).with_context(|| format!("the message names no code to reply with: {}", page.text))?;
    let number = incident_number(&page.text).with_context(|| format!("the message names no incident: {}", page.text))?;
    let incident = incident(&admin, number).await?;
    let properties = &incident["properties"];
    println!(
        "  {:<70}            #{number} {}, severity {}",
        "  it tells of the incident",
        text(&properties["title"]),
        text(&properties["severity"])
    );
    let alerts = properties["additionalData"]["alertsCount"].as_u64().unwrap_or_default();
    println!("  {:<70}            {alerts} alert by {}", "  which has", text(&properties["additionalData"]["alertProductNames"][0]));

    let step = Step::begin("they reply by text message that they take it");
    let inbound = format!("{}/api/v1/oncall/inbound/sms", admin.connection.base_url.trim_end_matches('/'));
    let answer = cast.phone.reply(&inbound, page, &format!("{code} t")).await?;
    step.end(&plain(&answer));

    let step = Step::begin("the incident is active and has its owner");
    let owner = until(async || {
        let incident = self::incident(&admin, number).await?;
        let (status, owner) = (text(&incident["properties"]["status"]), text(&incident["properties"]["owner"]["assignedTo"]));
        Ok((status == "Active" && !owner.is_empty()).then(|| owner.to_owned()))
    })
    .await?;
    step.end(&owner);
    let closed = loop_began.elapsed();
    let mail = cast.mailbox.wait_for(mails + 1).await;
    if let Some(mail) = mail.get(mails) {
        println!("  {:<70}            {}", "  by mail, too", mail.header("Subject"));
    }
    println!("\n  event to page {} ms · event to active incident {} ms", event_to_page.as_millis(), closed.as_millis());
    Ok(Streams { flare, firewall })
}

impl Streams {
    /// Prints what the user can do next.
    pub fn invite(&self, connect_path: &Path) {
        let folder = connect_path.parent().unwrap_or(Path::new(".")).display();
        println!("\nThe streams go on, an event every {} s; pages that nobody answers climb. Ask, and answer:", EVERY.as_secs());
        println!(
            "  bartizan query --data-dir {folder} 'SecurityIncident | summarize arg_max(TimeGenerated, *) by IncidentNumber | take 10'"
        );
        println!("  bartizan oncall who --data-dir {folder}");
        println!("  bartizan oncall pages --data-dir {folder}");
        println!("Text messages and mail appear here. Ctrl-C ends it.\n");
    }

    /// Sends sample events, and prints what the phone and the mailbox receive, until dropped.
    pub async fn go_on(&self, cast: &Cast) {
        let mut number = 3;
        let (mut phones, mut mails) = (cast.phone.messages().len(), cast.mailbox.mails().len());
        let mut tick = tokio::time::interval(EVERY);
        loop {
            tokio::select! {
                _ = tick.tick() => {
                    number += 1;
                    let event = flare::event(number, now());
                    if let Err(error) = self.flare.client.upload(&self.flare.rule, flare::STREAM, &[event]).await {
                        tracing::warn!(error = %model::chain(&error), "The sample stream could not send an event.");
                    }
                    if let Err(error) = sophos::send_udp(self.firewall, &[sophos::line(number, now())]).await {
                        tracing::warn!(error = %model::chain(&error), "The sample firewall could not send a line.");
                    }
                }
                messages = cast.phone.wait_for(phones + 1) => {
                    for message in messages.iter().skip(phones) {
                        println!("text to {}: {}", message.to, message.text.replace('\n', " "));
                    }
                    phones = messages.len();
                }
                all = cast.mailbox.wait_for(mails + 1) => {
                    for mail in all.iter().skip(mails) {
                        println!("mail to {}: {}", mail.header("To"), mail.header("Subject"));
                    }
                    mails = all.len();
                }
            }
        }
    }
}

/// Polls until there is a result, with the demo's timeout.
async fn until<T>(ask: impl AsyncFn() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    loop {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn incident(admin: &Client, number: u64) -> anyhow::Result<Value> {
    let path = format!("{}/providers/Microsoft.SecurityInsights/incidents", admin.connection.workspace());
    let filter = format!("properties/incidentNumber eq {number}");
    let list = admin.get_with(&path, "2025-09-01", &[("$filter", &filter)]).await?;
    list["value"].get(0).cloned().with_context(|| format!("there is no incident {number}"))
}

/// The digits after `Reply`.
fn reply_code(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("eply ")?;
    let code: String = rest.chars().take_while(char::is_ascii_digit).collect();
    (!code.is_empty()).then_some(code)
}

/// The number after `Incident`.
fn incident_number(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once("Incident ")?;
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
}

/// The text of TwiML.
fn plain(markup: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for c in markup.chars() {
        match c {
            '<' => inside = true,
            '>' => inside = false,
            c if !inside => text.push(c),
            _ => {}
        }
    }
    text.trim().to_owned()
}

fn now() -> Timestamp {
    Timestamp::from_system(std::time::SystemTime::now())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A line of output with the elapsed time. Printed at the start of a step, so that the user sees where it hangs.
struct Step {
    began: Instant,
}

impl Step {
    fn begin(what: &str) -> Self {
        print!("  {what:<70} ");
        let _ = std::io::stdout().flush();
        Self { began: Instant::now() }
    }

    fn end(self, result: &str) {
        println!("{:>6} ms  {result}", self.began.elapsed().as_millis());
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_a_text_message_names_is_found() {
        let text = "[High] Incident 12: Credential leaked. Reply 4821 to acknowledge, 4821 T to take";
        assert_eq!(super::reply_code(text).as_deref(), Some("4821"));
        assert_eq!(super::incident_number(text), Some(12));
        assert_eq!(super::plain("<Response><Message>Yours: #12</Message></Response>"), "Yours: #12");
    }
}
