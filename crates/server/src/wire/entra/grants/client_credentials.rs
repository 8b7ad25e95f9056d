//! `client_credentials` — a token for the application itself, with its app roles (S1-52, S1-67).
//!
//! Version 2 sends `scope=<resource>/.default`; version 1 sends `resource=<resource>` and expects numbers as strings. The path does not
//! decide: MSAL's AD FS flow posts a `scope` to the path without version.

use serde_json::{Value, json};

use super::super::{client, consent, errors, scopes};
use super::lifetime;
use crate::call::{Call, Query};
use crate::context::Context;
use crate::error::ApiError;
use crate::identity::{AccessToken, Subject};
use crate::signins::Attempt;

pub async fn grant(cx: &Context, call: &Call, form: &Query, is_common: bool, attempt: &mut Attempt) -> Result<Value, ApiError> {
    let client = client::authenticate(cx, call, form).await?;
    attempt.proved(&client.app);
    if is_common {
        return Err(errors::no_tenant());
    }
    let (wanted, wants_v1) = resource(form)?;
    let resource = scopes::find(cx, &wanted).await?;
    let roles = consent::granted_roles(cx, &client.app, &resource).await?;
    let now = cx.clock.now();
    let token = AccessToken {
        client: &client.app.app_id,
        proof: client.proof,
        audience: &resource.audience,
        version: resource.version,
        subject: Subject::Application { object_id: &client.app.object_id, roles: &roles },
        origin: &call.origin,
        now,
    };
    let token = cx.identity.access_token(&token).map_err(|error| ApiError::internal(&error))?;
    metrics::counter!("bartizan_tokens_issued_total").increment(1);
    let mut answer = lifetime(wants_v1.then_some(wanted.as_str()), now.unix_seconds());
    answer["access_token"] = json!(token);
    Ok(answer)
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
}
