//! `/oncall/answer/{token}` — the signed link in a message.
//!
//! `GET` changes nothing: mail scanners and chat previews open every link, and cannot be distinguished from a person. The button sends a
//! `POST`. The holder of the link acts as the recipient of the page, for this one action.

use http::{Method, StatusCode};
use model::{Classification, Incident, IncidentStatus};
use oncall::answer::{Action, Answer, AnswerError, Subject, Via};
use oncall::directory::Directory;
use oncall::escalation::{EscalationStatus, Page};
use oncall::links::{LIFETIME, LinkError, PATH};
use oncall::{records, when};
use uuid::Uuid;

use super::common::directory;
use super::page_html::{self, Form, Mood, View};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, NO_ACTION, Role, nothing};
use crate::error::ApiError;
use crate::error::sentence;
use crate::reply::Reply;

const SIGNED: Role = Role::Open("the link is signed and names one page and one action; it went to the person who may do that");

pub static SHOW: Endpoint = Endpoint {
    method: Method::GET,
    path: "/oncall/answer/{token}",
    summary: "Show the page behind a signed link; changes nothing",
    dialect: &OURS,
    role: SIGNED,
    action: NO_ACTION,
    query: nothing,
    takes: nothing,
    returns: nothing,
    run: |cx, call| Box::pin(async move { Ok(reply(show(cx, &call).await?)) }),
};
pub static ANSWER: Endpoint = Endpoint {
    method: Method::POST,
    path: "/oncall/answer/{token}",
    summary: "Do what a signed link says, once",
    dialect: &OURS,
    role: SIGNED,
    action: NO_ACTION,
    query: nothing,
    takes: nothing,
    returns: nothing,
    run: |cx, call| Box::pin(async move { Ok(reply(press(cx, call).await?)) }),
};

/// Maximum length of the comment field.
const MAX_COMMENT: usize = 1_000;

fn reply((status, view): (StatusCode, View)) -> Reply {
    page_html::reply(status, &view)
}

/// The target of a link.
struct Linked {
    page: Page,
    action: Action,
    incident: Incident,
    /// Who acknowledged the page already.
    acknowledged: Option<String>,
    /// The incident was closed and opened again since the page was sent.
    reopened: bool,
}

async fn show(cx: &Context, call: &Call) -> Result<(StatusCode, View), ApiError> {
    match linked(cx, call).await? {
        Err(refusal) => Ok(refusal),
        Ok(linked) => Ok((StatusCode::OK, question(cx, call, &*directory(cx).await?, &linked))),
    }
}

async fn press(cx: &Context, mut call: Call) -> Result<(StatusCode, View), ApiError> {
    let linked = match linked(cx, &call).await? {
        Err(refusal) => return Ok(refusal),
        Ok(linked) => linked,
    };
    let action = match linked.action {
        Action::Close { .. } => {
            let form = call.form().await?;
            let comment: String = form.filled("comment").unwrap_or_default().trim().chars().take(MAX_COMMENT).collect();
            let classification = form.filled("classification").and_then(Classification::parse);
            Action::Close { classification, comment: (!comment.is_empty()).then_some(comment) }
        }
        other => other,
    };
    let answer = Answer {
        subject: Subject::Page(linked.page.id),
        action,
        user: Some(linked.page.user.clone()),
        via: Via::Link,
        from: Some(call.peer.ip().to_string()),
    };
    let facts = facts(&*directory(cx).await?, &linked.page, &linked.incident, &linked.acknowledged);
    match cx.oncall.answers.answer(answer).await {
        Ok(done) => Ok((
            StatusCode::OK,
            View {
                heading: if done.changed { "Done".to_owned() } else { "It was done already".to_owned() },
                says: done.says,
                mood: Mood::Done,
                facts: vec![("Incident", format!("{} · {}", done.number, done.title))],
                ..View::default()
            },
        )),
        Err(AnswerError::Store(error)) => Err(error.into()),
        Err(error @ AnswerError::Desk(_)) => Err(ApiError::internal(&error)),
        Err(error) => Ok((
            StatusCode::CONFLICT,
            View {
                heading: "That did not work".to_owned(),
                says: sentence(&error.to_string()),
                mood: Mood::Refused,
                facts,
                ..View::default()
            },
        )),
    }
}

/// The page and its incident, or an error view if the link is not valid.
async fn linked(cx: &Context, call: &Call) -> Result<Result<Linked, (StatusCode, View)>, ApiError> {
    let (id, action) = match cx.oncall.signer.verify(call.param("token"), cx.clock.now()) {
        Ok(found) => found,
        Err(error) => return Ok(Err(refused(error))),
    };
    let gone = || {
        let view = View {
            heading: "There is nothing here any more".to_owned(),
            says: "The incident that this link was about has been deleted.".to_owned(),
            mood: Mood::Refused,
            ..View::default()
        };
        (StatusCode::GONE, view)
    };
    let Some(row) = cx.store.pages().get(id).await? else { return Ok(Err(gone())) };
    let page = records::page(row)?;
    let Some(incident) = cx.store.incidents().get(page.incident).await? else { return Ok(Err(gone())) };
    let escalation = cx.store.escalations().get(page.escalation).await?;
    let status = escalation.map(records::escalation).transpose()?.map(|course| course.status);
    let reopened = incident.status != IncidentStatus::Closed && matches!(status, Some(EscalationStatus::Closed { .. }));
    let acknowledged = match status {
        Some(EscalationStatus::Acknowledged { by, .. }) => Some(by),
        _ => None,
    };
    Ok(Ok(Linked { page, action, incident, acknowledged, reopened }))
}

fn refused(error: LinkError) -> (StatusCode, View) {
    let (status, heading) = match error {
        LinkError::Wrong => (StatusCode::NOT_FOUND, "This link does not work"),
        LinkError::Expired => (StatusCode::GONE, "This link has expired"),
    };
    (status, View { heading: heading.to_owned(), says: sentence(&error.to_string()), mood: Mood::Refused, ..View::default() })
}

/// The confirmation form.
fn question(cx: &Context, call: &Call, directory: &Directory, linked: &Linked) -> View {
    let Linked { page, action, incident, acknowledged, reopened } = linked;
    let number = incident.number;
    let facts = facts(directory, page, incident, acknowledged);
    let done = |heading: String, says: String| View { heading, says, mood: Mood::Done, facts: facts.clone(), ..View::default() };
    if incident.status == IncidentStatus::Closed {
        return done(format!("Incident {number} is closed"), "There is nothing left to do.".to_owned());
    }
    if *reopened {
        let says = "It was closed and opened again since this message. Answer the newest message, or the incident itself.";
        return done(format!("Incident {number} was opened again"), says.to_owned());
    }
    let by = acknowledged.as_deref().map(|by| person(directory, by));
    let ask = |heading: String, says: &str, button: &'static str| View {
        heading,
        says: says.to_owned(),
        facts: facts.clone(),
        form: Some(Form { button, classification: matches!(action, Action::Close { .. }) }),
        others: others(cx, call, page.id, action),
        ..View::default()
    };
    match (action, by) {
        (Action::Acknowledge, Some(by)) => View {
            others: others(cx, call, page.id, action),
            ..done(format!("Incident {number} is acknowledged"), format!("{by} is looking at it. You need not do anything."))
        },
        (Action::Acknowledge, None) => {
            ask(format!("Acknowledge incident {number}?"), "You say that you look at it. Nobody else is paged.", "Acknowledge")
        }
        (Action::Take, _) => {
            ask(format!("Take incident {number}?"), "It becomes yours: you are its owner, and nobody else is paged.", "Take it")
        }
        (Action::Escalate { .. }, _) => {
            ask(format!("Escalate incident {number}?"), "The next step of the policy is reached now.", "Escalate now")
        }
        (Action::Close { .. }, _) => ask(format!("Close incident {number}?"), "Its alerts count as dealt with.", "Close it"),
        (Action::Seen | Action::Comment { .. }, _) => ask(
            format!("Incident {number}"),
            "You were paged about this. The button says that you have seen it; paging goes on until somebody acknowledges.",
            "I have seen it",
        ),
    }
}

/// Other actions on the same page, as signed links of their own with the lifetime of a new message's links.
fn others(cx: &Context, call: &Call, page: Uuid, action: &Action) -> Vec<(&'static str, String)> {
    let all = [
        ("Acknowledge", Action::Acknowledge),
        ("Take", Action::Take),
        ("Escalate", Action::Escalate { step: None }),
        ("Close", Action::Close { classification: None, comment: None }),
    ];
    // Offered on the overview page only: a link for one action must not grant others, even when forwarded.
    if !matches!(action, Action::Seen) {
        return Vec::new();
    }
    let expires = cx.clock.now() + LIFETIME;
    all.into_iter()
        .filter_map(|(words, action)| Some((words, format!("{}{PATH}{}", call.origin, cx.oncall.signer.sign(page, &action, expires)?))))
        .collect()
}

fn facts(directory: &Directory, page: &Page, incident: &Incident, acknowledged: &Option<String>) -> Vec<(&'static str, String)> {
    let zone = directory.users.get(&page.user).and_then(|user| user.time_zone.clone()).unwrap_or_else(|| "UTC".to_owned());
    let mut facts = vec![
        ("What", incident.title.clone()),
        ("Severity", incident.severity.to_string()),
        ("Status", incident.status.to_string()),
        ("Opened", format!("{} ({zone})", when::local(incident.created, &zone))),
        ("Alerts", incident.alert_ids.len().to_string()),
        ("You are", format!("{} ({})", person(directory, &page.user), page.because)),
    ];
    let owner = incident.owner.assigned_to.as_ref().or(incident.owner.user_principal_name.as_ref()).or(incident.owner.email.as_ref());
    if let Some(owner) = owner {
        facts.push(("Owner", owner.clone()));
    }
    if let Some(by) = acknowledged {
        facts.push(("Answered", format!("{} acknowledged it", person(directory, by))));
    }
    facts
}

/// The display name of a user.
fn person(directory: &Directory, user: &str) -> String {
    directory.users.get(user).map(|known| known.name.clone()).filter(|name| !name.is_empty()).unwrap_or_else(|| user.to_owned())
}
