//! `/{tenant}/oauth2[/v2.0]/authorize` — a person signs in and consents; the application gets an authorization code.
//!
//! `GET` shows the form and changes nothing. The form is sent to the same address, with the same parameters, which are checked again at each
//! step. A person who is signed in and has consented is sent back with a code; one who refuses, with an error.

use http::{Method, StatusCode};
use model::{Secret, Timestamp};
use serde::{Deserialize, Serialize};
use store::{GrantKind, GrantState, OAuthGrant};
use uuid::Uuid;

use super::authorization::{self, Authorization, Prompt, Target};
use super::consent::{self, Needed};
use super::pages::{self, Button, Field, FieldKind, Form, Page};
use super::redirect::deliver;
use super::scopes::Asked;
use super::steps::{self, Browser, SignedIn, Stage};
use super::{errors, one_time};
use crate::call::{Call, Query};
use crate::context::Context;
use crate::dialect::ENTRA;
use crate::endpoint::{Endpoint, NO_ACTION, Role, as_specified, nothing};
use crate::error::ApiError;
use crate::identity::Person;
use crate::reply::Reply;

const WHY: &str = "a person signs in here; it tells nothing before that";

pub static SHOW: Endpoint = Endpoint {
    method: Method::GET,
    path: "/{tenant}/oauth2[/v2.0]/authorize",
    summary: "Show the page on which a person signs in to an application; changes nothing",
    dialect: &ENTRA,
    role: Role::Open(WHY),
    action: NO_ACTION,
    query: as_specified,
    takes: nothing,
    returns: nothing,
    run: |cx, call| Box::pin(async move { on_page(&call, show(cx, &call).await) }),
};

pub static SEND: Endpoint = Endpoint {
    method: Method::POST,
    path: "/{tenant}/oauth2[/v2.0]/authorize",
    summary: "Sign a person in, take the consent, and send a code to the application",
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

/// What a code stands for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CodeBody {
    pub person: Person,
    pub redirect_uri: String,
    pub challenge: Option<String>,
    pub asked: Asked,
    pub nonce: Option<String>,
    /// Whether the reply URL is a public client's, which proves itself with the key alone.
    pub is_public: bool,
    pub is_spa: bool,
}

/// Shows an error as a page to a browser, and leaves it in Entra's format for other clients.
pub fn on_page(call: &Call, result: Result<Reply, ApiError>) -> Result<Reply, ApiError> {
    let wants_html = call.header("accept").is_some_and(|accept| accept.contains("text/html"));
    match result {
        Err(error) if wants_html && error.retry_after.is_none() => Ok(pages::reply(error.status, &pages::refusal(&error))),
        other => other,
    }
}

/// Sends an error to the application.
fn refuse(target: &Target, error: &ApiError) -> Result<Reply, ApiError> {
    let number = error.entra.unwrap_or(90_000);
    let description = format!("AADSTS{number}: {}", error.message);
    let mut pairs = vec![("error", error.code.to_string()), ("error_description", description)];
    if number == 65_004 {
        pairs.push(("error_subcode", "cancel".to_owned()));
    }
    pairs.extend(target.state.clone().map(|state| ("state", state)));
    deliver(&target.redirect_uri, target.mode, &pairs)
}

/// Errors of the caller go to the application; errors of this server are its own answer.
fn refuse_or_fail(target: &Target, error: ApiError) -> Result<Reply, ApiError> {
    if error.entra.is_some() { refuse(target, &error) } else { Err(error) }
}

async fn show(cx: &Context, call: &Call) -> Result<Reply, ApiError> {
    let target = authorization::target(cx, call).await?;
    let wanted = match authorization::read(cx, call, &target).await {
        Ok(wanted) => wanted,
        Err(error) => return refuse_or_fail(&target, error),
    };
    let browser = match Browser::sent(call) {
        Some(browser) => browser,
        None => Browser::fresh()?,
    };
    Ok(browser.remember(sign_in_page(cx, call, &target, &browser, &wanted.login_hint, None, false)))
}

async fn send(cx: &Context, call: &mut Call) -> Result<Reply, ApiError> {
    let form = call.form().await?;
    let target = authorization::target(cx, call).await?;
    let stage = steps::stage(&form);
    let (step, browser) = steps::open(cx, call, &form, stage)?;
    let wanted = match authorization::read(cx, call, &target).await {
        Ok(wanted) => wanted,
        Err(error) => return refuse_or_fail(&target, error),
    };
    let cancelled = form.get("action") == Some("cancel");
    match (stage, step.person) {
        (Stage::SignIn, _) if cancelled => Ok(Browser::forget(refuse(&target, &errors::declined())?)),
        (Stage::SignIn, _) => match steps::sign_in(cx, call, &form).await? {
            SignedIn::No { says, second_factor } => {
                let name = form.get("username").unwrap_or_default();
                Ok(sign_in_page(cx, call, &target, &browser, name, Some(says), second_factor))
            }
            // A new cookie, so that nobody else knows it.
            SignedIn::Yes(person) => signed_in(cx, call, &target, &wanted, person, Browser::fresh()?).await,
        },
        (Stage::Consent, Some(person)) if cancelled => {
            consent::deny(cx, call, &target.app, &person).await?;
            Ok(Browser::forget(refuse(&target, &errors::declined())?))
        }
        (Stage::Consent, Some(person)) => consented(cx, call, &form, &target, &wanted, person).await,
        (Stage::Consent, None) => Err(errors::form_not_ours()),
    }
}

fn sign_in_page(
    cx: &Context,
    call: &Call,
    target: &Target,
    browser: &Browser,
    name: &str,
    error: Option<String>,
    second_factor: bool,
) -> Reply {
    let step = steps::sealed(cx, call, browser, Stage::SignIn, None, None);
    let status = if error.is_some() { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
    let page = Page {
        heading: "Sign in".to_owned(),
        text: format!("to continue to {}", target.app.display_name),
        error,
        form: Some(steps::sign_in_form(steps::action(call), step, name, second_factor, Vec::new())),
        leads_to: pages::policy_source(&target.redirect_uri),
        ..Page::default()
    };
    pages::reply(status, &page)
}

/// The permissions to ask this person for: all, or those that are missing. `None` if there are none.
async fn to_ask(cx: &Context, target: &Target, wanted: &Authorization, person: &Person) -> Result<Option<Vec<Needed>>, ApiError> {
    let app = &target.app;
    // Version 1: an administrator who consents also grants the app roles of the manifest (S1-46).
    let with_roles = wanted.asked.is_v1 && consent::is_administrator(cx, &person);
    let all = consent::of_request(app, &wanted.asked, &wanted.resource, with_roles);
    let needed = match wanted.prompt {
        Prompt::AdminConsent => {
            let mut manifest = consent::of_manifest(cx, app).await?;
            manifest.extend(all.into_iter().filter(|needed| !manifest.contains(needed)).collect::<Vec<_>>());
            return Ok(Some(manifest));
        }
        Prompt::Consent => return Ok(Some(all)),
        Prompt::WhatIsMissing => consent::missing(cx, app, person, all).await?,
    };
    Ok((!needed.is_empty()).then_some(needed))
}

async fn signed_in(
    cx: &Context,
    call: &Call,
    target: &Target,
    wanted: &Authorization,
    person: Person,
    browser: Browser,
) -> Result<Reply, ApiError> {
    let Some(needed) = to_ask(cx, target, wanted, &person).await? else { return code(cx, target, wanted, person).await };
    let is_administrator = consent::is_administrator(cx, &person);
    let admin_only = wanted.prompt == Prompt::AdminConsent || consent::needs_administrator(&needed);
    if admin_only && !is_administrator {
        return Ok(Browser::forget(refuse(target, &errors::admin_needed(&target.app.display_name))?));
    }
    let mut fields = Vec::new();
    if is_administrator && !admin_only {
        fields.push(everyone_field());
    }
    let page = consent_page(&target.app.display_name, &target.redirect_uri, &needed, &person, admin_only);
    let step = steps::sealed(cx, call, &browser, Stage::Consent, Some(person), None);
    let form = consent_form(steps::action(call), step, fields);
    let page = Page { form: Some(form), leads_to: pages::policy_source(&target.redirect_uri), ..page };
    Ok(browser.remember(pages::reply(StatusCode::OK, &page)))
}

async fn consented(
    cx: &Context,
    call: &Call,
    form: &Query,
    target: &Target,
    wanted: &Authorization,
    person: Person,
) -> Result<Reply, ApiError> {
    if let Some(needed) = to_ask(cx, target, wanted, &person).await? {
        let admin_only = wanted.prompt == Prompt::AdminConsent || consent::needs_administrator(&needed);
        let is_administrator = consent::is_administrator(cx, &person);
        if admin_only && !is_administrator {
            return Ok(Browser::forget(refuse(target, &errors::admin_needed(&target.app.display_name))?));
        }
        let everyone = is_administrator && (admin_only || form.get("everyone") == Some("yes"));
        consent::grant(cx, call, &target.app, &person, &needed, everyone).await?;
    }
    code(cx, target, wanted, person).await
}

pub fn everyone_field() -> Field {
    Field {
        name: "everyone",
        label: "Consent for everyone in this organization",
        kind: FieldKind::Check,
        value: String::new(),
        autocomplete: "off",
        required: false,
    }
}

/// What an application asks for, without the form.
pub fn consent_page(app: &str, address: &str, needed: &[Needed], person: &Person, everyone: bool) -> Page {
    let text = if everyone {
        "If you accept, the application gets these permissions for everyone in this organization."
    } else {
        "If you accept, the application gets these permissions in your name."
    };
    let item = |needed: &Needed| {
        let kind = if needed.kind == store::ConsentKind::Application { "the application itself" } else { "the person who uses it" };
        (needed.offered.says.clone(), format!("{} · {} · as {kind}", needed.resource_name, needed.offered.value))
    };
    Page {
        heading: "Permissions requested".to_owned(),
        text: text.to_owned(),
        facts: vec![("Application", app.to_owned()), ("It answers at", address.to_owned()), ("You are", person.display_name.clone())],
        list: needed.iter().map(item).collect(),
        ..Page::default()
    }
}

pub fn consent_form(action: String, step: (String, String), fields: Vec<Field>) -> Form {
    Form {
        action,
        hidden: vec![step, ("stage".to_owned(), "consent".to_owned())],
        fields,
        buttons: vec![Button { value: "accept", label: "Accept" }, Button { value: "cancel", label: "Cancel" }],
    }
}

/// Issues a code and sends it to the application.
async fn code(cx: &Context, target: &Target, wanted: &Authorization, person: Person) -> Result<Reply, ApiError> {
    let now = cx.clock.now();
    let body = CodeBody {
        person,
        redirect_uri: target.redirect_uri.clone(),
        challenge: wanted.challenge.clone(),
        asked: wanted.asked.clone(),
        nonce: wanted.nonce.clone(),
        is_public: target.platform.is_public(),
        is_spa: target.platform == super::reply_urls::Platform::Spa,
    };
    let text = store_code(cx, &target.app.app_id, &body, now).await?;
    let mut pairs = vec![("code", text.reveal().clone())];
    pairs.extend(target.state.clone().map(|state| ("state", state)));
    pairs.push(("session_state", Uuid::new_v4().to_string()));
    Ok(Browser::forget(deliver(&target.redirect_uri, target.mode, &pairs)?))
}

async fn store_code(cx: &Context, app_id: &str, body: &CodeBody, now: Timestamp) -> Result<Secret<String>, ApiError> {
    let text = one_time::generate()?;
    let grant = OAuthGrant {
        hash: one_time::hash(text.reveal()),
        kind: GrantKind::AuthorizationCode,
        family: Uuid::new_v4().to_string(),
        app_id: app_id.to_owned(),
        state: GrantState::Live,
        body: serde_json::to_value(body).map_err(|error| ApiError::internal(&error))?,
        expires: now + one_time::CODE_LIFETIME,
    };
    let mut change = cx.store.begin().await?;
    change.delete_expired_oauth_grants(now).await?;
    change.put_oauth_grant(&grant).await?;
    change.commit().await?;
    Ok(text)
}
