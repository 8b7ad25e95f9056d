//! `/{tenant}[/v2.0]/adminconsent` — an administrator grants or denies an application its permissions for everyone.
//!
//! Format: learn.microsoft.com/entra/identity-platform/v2-admin-consent. Without `scope`, or with `.default`, it is about the application's
//! manifest; no code is issued.

use http::{Method, StatusCode};

use super::authorization::{self, Target};
use super::authorize::{consent_form, consent_page, on_page};
use super::consent::{self, Needed};
use super::errors;
use super::pages::{self, Page};
use super::redirect::deliver;
use super::scopes;
use super::steps::{self, Browser, SignedIn, Stage};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::ENTRA;
use crate::endpoint::{Endpoint, NO_ACTION, Role, as_specified, nothing};
use crate::error::ApiError;
use crate::identity::Person;
use crate::reply::Reply;

const WHY: &str = "an administrator signs in here; it tells nothing before that";

pub static SHOW: Endpoint = Endpoint {
    method: Method::GET,
    path: "/{tenant}[/v2.0]/adminconsent",
    summary: "Show the page on which an administrator consents for everyone; changes nothing",
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
    path: "/{tenant}[/v2.0]/adminconsent",
    summary: "Sign an administrator in, and grant or deny an application its permissions",
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

async fn show(cx: &Context, call: &Call) -> Result<Reply, ApiError> {
    let target = authorization::target(cx, call).await?;
    let browser = match Browser::sent(call) {
        Some(browser) => browser,
        None => Browser::fresh()?,
    };
    Ok(browser.remember(sign_in_page(cx, call, &target, &browser, "", None, false)))
}

async fn send(cx: &Context, call: &mut Call) -> Result<Reply, ApiError> {
    let form = call.form().await?;
    let target = authorization::target(cx, call).await?;
    let stage = steps::stage(&form);
    let (step, browser) = steps::open(cx, call, &form, stage)?;
    let cancelled = form.get("action") == Some("cancel");
    match (stage, step.person) {
        (Stage::SignIn, _) if cancelled => Ok(Browser::forget(denied(call, &target)?)),
        (Stage::SignIn, _) => match steps::sign_in(cx, call, &form).await? {
            SignedIn::No { says, second_factor } => {
                let name = form.get("username").unwrap_or_default();
                Ok(sign_in_page(cx, call, &target, &browser, name, Some(says), second_factor))
            }
            SignedIn::Yes(person) => ask(cx, call, &target, person).await,
        },
        (Stage::Consent, Some(person)) if cancelled => {
            consent::deny(cx, call, &target.app, &person).await?;
            Ok(Browser::forget(denied(call, &target)?))
        }
        (Stage::Consent, Some(person)) => {
            check(cx, &target, &person)?;
            let needed = needed(cx, call, &target).await?;
            consent::grant(cx, call, &target.app, &person, &needed, true).await?;
            Ok(Browser::forget(granted(cx, call, &target)?))
        }
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
        heading: "Sign in as an administrator".to_owned(),
        text: format!("to decide on the permissions of {}", target.app.display_name),
        error,
        form: Some(steps::sign_in_form(steps::action(call), step, name, second_factor, Vec::new())),
        leads_to: pages::policy_source(&target.redirect_uri),
        ..Page::default()
    };
    pages::reply(status, &page)
}

fn check(cx: &Context, target: &Target, person: &Person) -> Result<(), ApiError> {
    if consent::is_administrator(cx, &person) { Ok(()) } else { Err(errors::admin_needed(&target.app.display_name)) }
}

async fn needed(cx: &Context, call: &Call, target: &Target) -> Result<Vec<Needed>, ApiError> {
    match call.query.filled("scope") {
        Some(scope) => {
            let (asked, resource) = scopes::read(cx, &target.app, Some(scope), None).await?;
            let with_roles = asked.written.iter().any(|scope| scope.ends_with("/.default"));
            Ok(consent::of_request(&target.app, &asked, &resource, with_roles))
        }
        None => consent::of_manifest(cx, &target.app).await,
    }
}

async fn ask(cx: &Context, call: &Call, target: &Target, person: Person) -> Result<Reply, ApiError> {
    check(cx, target, &person)?;
    let needed = needed(cx, call, target).await?;
    let browser = Browser::fresh()?;
    let page = consent_page(&target.app.display_name, &target.redirect_uri, &needed, &person, true);
    let step = steps::sealed(cx, call, &browser, Stage::Consent, Some(person), None);
    let form = consent_form(steps::action(call), step, Vec::new());
    let page = Page { form: Some(form), leads_to: pages::policy_source(&target.redirect_uri), ..page };
    Ok(browser.remember(pages::reply(StatusCode::OK, &page)))
}

fn granted(cx: &Context, call: &Call, target: &Target) -> Result<Reply, ApiError> {
    let mut pairs = vec![("admin_consent", "True".to_owned()), ("tenant", cx.identity.tenant_id.clone())];
    pairs.extend(target.state.clone().map(|state| ("state", state)));
    pairs.extend(call.query.filled("scope").map(|scope| ("scope", scope.to_owned())));
    deliver(&target.redirect_uri, target.mode, &pairs)
}

/// The two documented forms of a refusal.
fn denied(call: &Call, target: &Target) -> Result<Reply, ApiError> {
    let mut pairs = if authorization::is_version_one(call) {
        vec![("error", "permission_denied".to_owned()), ("error_description", "The admin canceled the request".to_owned())]
    } else {
        let says = "AADSTS65004: The resource owner or authorization server denied the request.";
        vec![("error", "consent_required".to_owned()), ("error_description", says.to_owned()), ("admin_consent", "True".to_owned())]
    };
    pairs.extend(target.state.clone().map(|state| ("state", state)));
    deliver(&target.redirect_uri, target.mode, &pairs)
}
