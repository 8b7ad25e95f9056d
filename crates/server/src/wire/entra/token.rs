//! `POST /{tenant}/oauth2[/v2.0]/token` — an access token for an application (client credentials).
//!
//! Version 2 sends `scope=<resource>/.default`; version 1 sends `resource=<resource>` and expects numbers as strings. The path does not
//! decide: MSAL's AD FS flow posts a `scope` to the path without version.

use http::Method;
use model::Span;
use serde_json::{Value, json};

use super::{check_tenant, client, errors};
use crate::call::{Call, Query};
use crate::context::Context;
use crate::dialect::{self, ENTRA};
use crate::endpoint::{Endpoint, NO_ACTION, Role, as_specified, nothing};
use crate::error::ApiError;
use crate::identity::TOKEN_LIFETIME;
use crate::reply::Reply;
use crate::signins::Attempt;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::POST,
    path: "/{tenant}/oauth2[/v2.0]/token",
    summary: "Give an application an access token for what it proves to be",
    dialect: &ENTRA,
    role: Role::Open("this is where tokens come from; the client proves itself in the body"),
    action: NO_ACTION,
    query: nothing,
    takes: as_specified,
    returns: as_specified,
    run: |cx, call| Box::pin(token(cx, call)),
};

async fn token(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    check_tenant(cx, call.param("tenant"))?;
    let form = call.form().await?;
    let mut attempt = Attempt::begin(&call, &form);
    let result = issue(cx, &call, &form, &mut attempt).await;
    attempt.end(&cx.sign_ins, &result, cx.clock.now());
    result
}

async fn issue(cx: &Context, call: &Call, form: &Query, attempt: &mut Attempt) -> Result<Reply, ApiError> {
    let grant = form.filled("grant_type").ok_or_else(|| errors::missing_parameter("grant_type"))?;
    if grant != "client_credentials" {
        return Err(errors::unsupported_grant(&grant.chars().take(100).collect::<String>()));
    }
    let app = client::authenticate(cx, call, form).await?;
    attempt.proved(&app);
    let (resource, wants_v1) = resource(form)?;
    if !is_known(cx, &resource, &app.app_id) {
        return Err(errors::unknown_resource(&resource, &cx.identity.tenant_id));
    }
    let now = cx.clock.now();
    let token = cx.identity.issue(&app.app_id, &app.object_id, &resource, &call.origin, now).map_err(|error| ApiError::internal(&error))?;
    metrics::counter!("bartizan_tokens_issued_total").increment(1);
    Reply::json(answer(&token, &resource, now.unix_seconds(), wants_v1))
}

fn answer(token: &str, resource: &str, now: i64, wants_v1: bool) -> Value {
    let seconds = TOKEN_LIFETIME.ticks() / Span::SECOND.ticks();
    if wants_v1 {
        json!({
            "token_type": "Bearer", "expires_in": seconds.to_string(), "ext_expires_in": seconds.to_string(),
            "expires_on": (now + seconds).to_string(), "not_before": now.to_string(), "resource": resource, "access_token": token,
        })
    } else {
        json!({ "token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token })
    }
}

/// The requested resource, and whether the request is in version 1's form.
fn resource(form: &Query) -> Result<(String, bool), ApiError> {
    if let Some(resource) = form.filled("resource") {
        return Ok((resource.trim().to_owned(), true));
    }
    let scope = form.filled("scope").ok_or_else(|| errors::missing_parameter("scope"))?.trim();
    let shown: String = scope.chars().take(200).collect();
    if scope.split_whitespace().count() != 1 {
        return Err(errors::bad_scope(&shown));
    }
    match scope.strip_suffix("/.default") {
        Some("") => Err(errors::bad_scope(&shown)),
        Some(resource) => Ok((resource.to_owned(), false)),
        None if scope == ".default" => Err(errors::bad_scope(&shown)),
        None => Err(errors::scope_without_default(&shown)),
    }
}

fn is_known(cx: &Context, resource: &str, app_id: &str) -> bool {
    let resource = dialect::normal_audience(resource);
    dialect::DIALECTS.iter().flat_map(|dialect| dialect.audiences).chain(dialect::OTHER_RESOURCES).any(|known| *known == resource)
        || cx.identity.origins.is_own_origin(&resource)
        || resource.strip_prefix("api://").unwrap_or(&resource).eq_ignore_ascii_case(app_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_read_as_entra_reads_them() {
        let read = |form: &str| resource(&Query::parse(form.as_bytes()));
        // WIRE §0: PowerShell's sample requests two slashes; Entra keeps the first as part of the resource.
        assert_eq!(read("scope=https%3A%2F%2Fmonitor.azure.com%2F%2F.default").unwrap(), ("https://monitor.azure.com/".into(), false));
        assert_eq!(read("resource=https://management.azure.com/").unwrap(), ("https://management.azure.com/".into(), true));
        let number = |form| read(form).unwrap_err().entra;
        assert_eq!(number("x=1"), Some(900_144));
        assert_eq!(number("scope=https://monitor.azure.com/User.Read"), Some(1_002_012));
        assert_eq!(number("scope=a/.default+b/.default"), Some(70_011));
        assert_eq!(number("scope=/.default"), Some(70_011));
    }

    #[test]
    fn version_one_has_its_numbers_as_strings() {
        let one = answer("t", "r", 1000, true);
        assert_eq!(
            (one["expires_in"].as_str(), one["expires_on"].as_str(), one["resource"].as_str()),
            (Some("3599"), Some("4599"), Some("r"))
        );
        assert_eq!(answer("t", "r", 1000, false)["expires_in"], 3599);
    }
}
