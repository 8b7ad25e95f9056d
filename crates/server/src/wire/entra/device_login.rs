//! `/devicelogin` — a person enters the code that a device shows, signs in, and approves or denies.
//!
//! The second page names the application and says not to approve a code that somebody sent: a code is easily passed on (RFC 8628 §5.4).

use http::{Method, StatusCode};
use store::{AppRegistration, GrantState, OAuthGrant};

use super::authorize::{consent_form, consent_page, on_page};
use super::consent;
use super::device_code::DeviceBody;
use super::pages::{self, Field, FieldKind, Page};
use super::resources::Resource;
use super::steps::{self, Browser, SignedIn, Stage};
use super::{errors, one_time, scopes};
use crate::call::{Call, Query};
use crate::context::Context;
use crate::dialect::ENTRA;
use crate::endpoint::{Endpoint, NO_ACTION, Role, as_specified, nothing};
use crate::error::ApiError;
use crate::identity::Person;
use crate::reply::Reply;

const WHY: &str = "a person signs in here to approve a device; it tells nothing before that";

pub static SHOW: Endpoint = Endpoint {
    method: Method::GET,
    path: "/devicelogin",
    summary: "Show the page on which a person enters a device's code; changes nothing",
    dialect: &ENTRA,
    role: Role::Open(WHY),
    action: NO_ACTION,
    query: as_specified,
    takes: nothing,
    returns: nothing,
    run: |cx, call| Box::pin(async move { on_page(&call, show(cx, &call)) }),
};

pub static SEND: Endpoint = Endpoint {
    method: Method::POST,
    path: "/devicelogin",
    summary: "Sign a person in, and approve or deny a device's code",
    dialect: &ENTRA,
    role: Role::Open(WHY),
    action: NO_ACTION,
    query: as_specified,
    takes: as_specified,
    returns: nothing,
    run: |cx, mut call| {
        Box::pin(async move {
            let result = send(cx, &mut call).await;
            on_page(&call, result)
        })
    },
};

fn show(cx: &Context, call: &Call) -> Result<Reply, ApiError> {
    let browser = match Browser::sent(call) {
        Some(browser) => browser,
        None => Browser::fresh()?,
    };
    Ok(browser.remember(sign_in_page(cx, call, &browser, &Query::default(), None, false)))
}

async fn send(cx: &Context, call: &mut Call) -> Result<Reply, ApiError> {
    let form = call.form().await?;
    let stage = steps::stage(&form);
    let (step, browser) = steps::open(cx, call, &form, stage)?;
    let cancelled = form.get("action") == Some("cancel");
    match (stage, step.person, step.about) {
        (Stage::SignIn, ..) if cancelled => Ok(Browser::forget(result("Cancelled", "You can close this page."))),
        (Stage::SignIn, ..) => match steps::sign_in(cx, call, &form).await? {
            SignedIn::No { says, second_factor } => Ok(sign_in_page(cx, call, &browser, &form, Some(says), second_factor)),
            // The code is looked up after signing in, so that strangers cannot guess codes.
            SignedIn::Yes(person) => ask(cx, call, &form, person, &browser).await,
        },
        (Stage::Consent, Some(person), Some(code)) => decide(cx, call, &form, person, &code, cancelled).await,
        (Stage::Consent, ..) => Err(errors::form_not_ours()),
    }
}

fn sign_in_page(cx: &Context, call: &Call, browser: &Browser, form: &Query, error: Option<String>, second_factor: bool) -> Reply {
    let step = steps::sealed(cx, call, browser, Stage::SignIn, None, None);
    let code: String = form.get("user_code").unwrap_or_default().chars().take(20).collect();
    let field = Field {
        name: "user_code",
        label: "Code shown on the device",
        kind: FieldKind::Text,
        value: code,
        autocomplete: "off",
        required: true,
    };
    let name: String = form.get("username").unwrap_or_default().chars().take(super::steps::MAX_NAME).collect();
    let status = if error.is_some() { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
    let page = Page {
        heading: "Sign in to a device".to_owned(),
        text: "Enter the code that your device shows. Do not enter a code that somebody sent you.".to_owned(),
        error,
        form: Some(steps::sign_in_form(steps::action(call), step, &name, second_factor, vec![field])),
        ..Page::default()
    };
    pages::reply(status, &page)
}

fn result(heading: &str, text: &str) -> Reply {
    pages::reply(StatusCode::OK, &Page { heading: heading.to_owned(), text: text.to_owned(), ..Page::default() })
}

/// A code that waits for a person, with its application and resource.
struct Waiting {
    grant: OAuthGrant,
    body: DeviceBody,
    app: AppRegistration,
    resource: Resource,
}

async fn waiting(cx: &Context, user_code_hash: &str) -> Result<Option<Waiting>, ApiError> {
    let grant = cx.store.oauth_grants().by_user_code(user_code_hash).await?;
    let Some(grant) = grant.filter(|grant| grant.state == GrantState::Pending && grant.expires > cx.clock.now()) else { return Ok(None) };
    let body: DeviceBody = serde_json::from_value(grant.body.clone()).map_err(|error| ApiError::internal(&error))?;
    let Some(app) = cx.store.app_registrations().get(&grant.app_id).await? else { return Ok(None) };
    let resource = scopes::find(cx, &body.asked.resource).await?;
    Ok(Some(Waiting { grant, body, app, resource }))
}

async fn ask(cx: &Context, call: &Call, form: &Query, person: Person, browser: &Browser) -> Result<Reply, ApiError> {
    let hash = one_time::hash(&one_time::normal_user_code(form.get("user_code").unwrap_or_default()));
    let Some(waiting) = waiting(cx, &hash).await? else {
        let says = "That code is unknown or has expired. Look at the device again.".to_owned();
        return Ok(sign_in_page(cx, call, browser, form, Some(says), false));
    };
    let needed = consent::of_request(&waiting.app, &waiting.body.asked, &waiting.resource, false);
    if consent::needs_administrator(&needed) && !consent::is_administrator(cx, &person) {
        return Err(errors::admin_needed(&waiting.app.display_name));
    }
    let browser = Browser::fresh()?;
    let mut page = consent_page(&waiting.app.display_name, "a device that showed you this code", &needed, &person, false);
    page.heading = format!("Are you signing in to {}?", waiting.app.display_name);
    page.text = "Accept only if you started this on your own device a moment ago.".to_owned();
    let step = steps::sealed(cx, call, &browser, Stage::Consent, Some(person), Some(hash));
    page.form = Some(consent_form(steps::action(call), step, Vec::new()));
    Ok(browser.remember(pages::reply(StatusCode::OK, &page)))
}

async fn decide(cx: &Context, call: &Call, _form: &Query, person: Person, hash: &str, cancelled: bool) -> Result<Reply, ApiError> {
    let Some(Waiting { grant, mut body, app, resource }) = waiting(cx, hash).await? else { return Err(errors::device_code_expired()) };
    if cancelled {
        consent::deny(cx, call, &app, &person).await?;
    } else {
        let needed = consent::of_request(&app, &body.asked, &resource, false);
        let is_administrator = consent::is_administrator(cx, &person);
        if consent::needs_administrator(&needed) && !is_administrator {
            return Err(errors::admin_needed(&app.display_name));
        }
        let missing = consent::missing(cx, &app, &person, needed).await?;
        if !missing.is_empty() {
            consent::grant(cx, call, &app, &person, &missing, consent::needs_administrator(&missing)).await?;
        }
        body.person = Some(person);
    }
    let mut change = cx.store.begin().await?;
    // Decided elsewhere in the meantime?
    match change.oauth_grant(&grant.hash).await? {
        Some(current) if current.state == GrantState::Pending => {}
        _ => return Err(errors::device_code_expired()),
    }
    let state = if cancelled { GrantState::Denied } else { GrantState::Live };
    let body = serde_json::to_value(&body).map_err(|error| ApiError::internal(&error))?;
    change.put_oauth_grant(&OAuthGrant { state, body, ..grant }).await?;
    change.commit().await?;
    let (heading, text) = if cancelled {
        ("Denied", "The device gets no access. You can close this page.")
    } else {
        ("You are signed in on your device", "You can close this page.")
    };
    Ok(Browser::forget(result(heading, text)))
}
