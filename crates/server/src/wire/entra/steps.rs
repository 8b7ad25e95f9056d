//! The steps of a page: what ties a form to the browser and the request that it was made for.
//!
//! A random cookie identifies the browser for the time of one sign-in. Each form holds a sealed [`Step`], which names the cookie, the request
//! and, once signed in, the person: a form made for another browser, request or step is refused (request forgery). The cookie is replaced
//! when the person signs in, so that one planted before gives nobody access (session fixation). No session is kept after the answer.

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{HeaderValue, header};
use model::{Secret, Span};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::errors;
use super::pages::{Button, Field, FieldKind, Form};
use crate::budgets;
use crate::call::{Call, Query};
use crate::context::Context;
use crate::error::{ApiError, sentence};
use crate::identity::{Person, SignIn as _, SignInError};
use crate::reply::Reply;

/// Only sent over TLS, to this host, and not to scripts.
const COOKIE: &str = "__Host-bartizan-sign-in";
/// How long a person may take for one page.
pub const PAGE_LIFETIME: Span = Span(15 * Span::MINUTE.0);
/// Characters of a name that are shown again in the form.
pub const MAX_NAME: usize = 256;
/// Random bytes of the cookie.
const COOKIE_BYTES: usize = 32;

/// What a form is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    SignIn,
    Consent,
}

impl Stage {
    fn purpose(self) -> &'static str {
        match self {
            Stage::SignIn => "sign in",
            Stage::Consent => "consent",
        }
    }
}

/// The sealed content of a form.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    browser: String,
    request: String,
    /// Who signed in.
    pub person: Option<Person>,
    /// What else the step is about, for example the device code.
    pub about: Option<String>,
}

/// The cookie of this browser: the one it sent, or a new one.
pub struct Browser {
    cookie: String,
}

impl Browser {
    /// The browser's cookie, if it sent one.
    pub fn sent(call: &Call) -> Option<Self> {
        let all = call.headers.get_all(header::COOKIE);
        let pairs = all.iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(';'));
        let mut values = pairs.filter_map(|pair| pair.trim().split_once('=')).filter(|(name, _)| *name == COOKIE);
        let (_, value) = values.next()?;
        // Two cookies of that name: one of them was planted.
        let single = values.next().is_none();
        let good = BASE64_URL_SAFE_NO_PAD.decode(value).is_ok_and(|bytes| bytes.len() == COOKIE_BYTES);
        (single && good).then(|| Self { cookie: value.to_owned() })
    }

    pub fn fresh() -> Result<Self, ApiError> {
        let mut bytes = [0u8; COOKIE_BYTES];
        rand::fill(&mut bytes).map_err(|_| ApiError::internal(&crate::identity::SecretError))?;
        Ok(Self { cookie: BASE64_URL_SAFE_NO_PAD.encode(bytes) })
    }

    /// Sets the cookie in the browser.
    pub fn remember(&self, reply: Reply) -> Reply {
        let seconds = PAGE_LIFETIME.ticks() / Span::SECOND.ticks();
        set_cookie(reply, &format!("{COOKIE}={}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax", self.cookie))
    }

    /// Removes the cookie from the browser.
    pub fn forget(reply: Reply) -> Reply {
        set_cookie(reply, &format!("{COOKIE}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax"))
    }

    fn digest(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&self.cookie))
    }
}

fn set_cookie(reply: Reply, text: &str) -> Reply {
    match HeaderValue::from_str(text) {
        Ok(value) => reply.header(header::SET_COOKIE, value),
        Err(_) => reply,
    }
}

/// Path and parameters of the request, which the form repeats.
fn digest_of(call: &Call) -> String {
    let mut hash = Sha256::new().chain_update(call.path.as_bytes());
    for (name, value) in &call.query.pairs {
        for text in [name, value] {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
    }
    BASE64_URL_SAFE_NO_PAD.encode(hash.finalize())
}

/// Where the forms of this request are sent: the same path with the same parameters.
pub fn action(call: &Call) -> String {
    let pairs: Vec<(&str, &str)> = call.query.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    if pairs.is_empty() { format!("{}{}", call.origin, call.path) } else { call.link(&pairs) }
}

/// The hidden field of a form.
pub fn sealed(
    cx: &Context,
    call: &Call,
    browser: &Browser,
    stage: Stage,
    person: Option<Person>,
    about: Option<String>,
) -> (String, String) {
    let step = Step { browser: browser.digest(), request: digest_of(call), person, about };
    ("step".to_owned(), cx.identity.form_seal.seal(stage.purpose(), &step, cx.clock.now() + PAGE_LIFETIME))
}

/// The step of a form that was sent: with the browser it was made for.
pub fn open(cx: &Context, call: &Call, form: &Query, stage: Stage) -> Result<(Step, Browser), ApiError> {
    same_site(call)?;
    let browser = Browser::sent(call).ok_or_else(errors::form_not_ours)?;
    let text = form.get("step").unwrap_or_default();
    let step: Step = cx.identity.form_seal.open(stage.purpose(), text, cx.clock.now()).ok_or_else(errors::form_not_ours)?;
    if step.browser != browser.digest() || step.request != digest_of(call) {
        return Err(errors::form_not_ours());
    }
    Ok((step, browser))
}

/// Which stage the form belongs to; a form without a valid one is refused by [`open`].
pub fn stage(form: &Query) -> Stage {
    if form.get("stage") == Some("consent") { Stage::Consent } else { Stage::SignIn }
}

/// Refuses a form that a page of another site sent. Browsers send at least one of the two headers.
fn same_site(call: &Call) -> Result<(), ApiError> {
    let foreign_origin = call.header("origin").is_some_and(|origin| origin != call.origin);
    let foreign_site = call.header("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none"));
    if foreign_origin || foreign_site { Err(errors::form_not_ours()) } else { Ok(()) }
}

/// The form that asks for name and password. `name` is filled in if it is known.
pub fn sign_in_form(action: String, step: (String, String), name: &str, second_factor: bool, more: Vec<Field>) -> Form {
    let field = |name, label, kind, value: &str, autocomplete, required| Field {
        name,
        label,
        kind,
        value: value.to_owned(),
        autocomplete,
        required,
    };
    let mut fields = more;
    fields.push(field("username", "Name", FieldKind::Text, name, "username", true));
    fields.push(field("password", "Password", FieldKind::Password, "", "current-password", true));
    if second_factor {
        fields.push(field("otp", "Code from your authenticator, or a recovery code", FieldKind::Text, "", "one-time-code", true));
    }
    Form {
        action,
        hidden: vec![step, ("stage".to_owned(), "sign-in".to_owned())],
        fields,
        buttons: vec![Button { value: "sign-in", label: "Sign in" }, Button { value: "cancel", label: "Cancel" }],
    }
}

/// Result of an attempt to sign in on a page.
pub enum SignedIn {
    Yes(Person),
    /// What to tell the person, and whether to ask for a second factor.
    No {
        says: String,
        second_factor: bool,
    },
}

/// Checks name, password and second factor of the form. The accounts limit attempts and record them.
pub async fn sign_in(cx: &Context, call: &Call, form: &Query) -> Result<SignedIn, ApiError> {
    let (name, password) = (form.get("username").unwrap_or_default(), form.get("password").unwrap_or_default());
    let no = |says: String, second_factor: bool| Ok(SignedIn::No { says, second_factor });
    let password = Secret::new(password.to_owned());
    let second_factor = form.filled("otp").map(str::trim);
    match cx.people.sign_in(name, &password, second_factor, call.peer.ip()).await {
        Ok(person) => {
            tracing::info!(person = person.name, address = %call.peer.ip(), "signed in");
            Ok(SignedIn::Yes(person))
        }
        Err(SignInError::Store(error)) => Err(error.into()),
        Err(SignInError::Secret(error)) => Err(ApiError::internal(&error)),
        Err(SignInError::Busy) => Err(budgets::busy()),
        Err(error @ (SignInError::SecondFactorRequired | SignInError::WrongSecondFactor)) => no(sentence(&error.to_string()), true),
        Err(error) => no(sentence(&error.to_string()), false),
    }
}
