//! Scopes of a request: one resource's permissions, beside those of OpenID Connect.

use serde::{Deserialize, Serialize};
use store::AppRegistration;

use super::errors;
use super::resources::{self, Resource};
use crate::context::Context;
use crate::error::ApiError;
use crate::identity::permissions::{GRAPH_APP_ID, OPENID_SCOPES};

/// Longest `scope` parameter and most scopes in it.
const MAX_SCOPE_TEXT: usize = 4_096;
const MAX_SCOPES: usize = 64;

/// What an application asks a person for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The identifier of the resource, as the request has it.
    pub resource: String,
    /// Values of the resource's scopes.
    pub permissions: Vec<String>,
    /// Scopes of OpenID Connect.
    pub openid: Vec<String>,
    /// Scopes as written, for the answer: clients look tokens up by what they asked for.
    pub written: Vec<String>,
    /// Whether the request has version 1's form (`resource`).
    pub is_v1: bool,
}

impl Asked {
    pub fn has_openid(&self, scope: &str) -> bool {
        self.openid.iter().any(|known| known == scope)
    }

    /// Values of `scp`.
    pub fn token_scopes(&self) -> Vec<String> {
        let openid = self.openid.iter().filter(|scope| *scope != "offline_access" && self.resource == GRAPH);
        self.permissions.iter().chain(openid).cloned().collect()
    }

    /// The `scope` of a token response.
    pub fn answer(&self) -> String {
        if self.is_v1 {
            return self.permissions.join(" ");
        }
        let mut all: Vec<String> = self.openid.clone();
        let base = self.resource.trim_end_matches('/');
        for value in &self.permissions {
            all.push(if self.resource == GRAPH { value.clone() } else { format!("{base}/{value}") });
        }
        for scope in &self.written {
            if !all.contains(scope) {
                all.push(scope.clone());
            }
        }
        all.join(" ")
    }
}

/// Microsoft Graph, whose scopes are written without a resource.
const GRAPH: &str = "https://graph.microsoft.com";

/// Reads `scope` (version 2) or `resource` (version 1) of a request made for a person.
pub async fn read(cx: &Context, app: &AppRegistration, scope: Option<&str>, resource: Option<&str>) -> Result<(Asked, Resource), ApiError> {
    if let Some(resource) = resource.map(str::trim).filter(|resource| !resource.is_empty()) {
        let found = find(cx, resource).await?;
        let permissions = found.default_scopes(app);
        // Version 1 always signs in (S1-65: the answer has an ID token and a refresh token).
        let openid = ["openid", "profile", "offline_access"].map(str::to_owned).to_vec();
        return Ok((Asked { resource: resource.to_owned(), permissions, openid, written: Vec::new(), is_v1: true }, found));
    }
    let text = scope.filter(|scope| !scope.trim().is_empty()).ok_or_else(|| errors::missing_parameter("scope"))?;
    let shown: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
    if text.len() > MAX_SCOPE_TEXT || text.split_whitespace().count() > MAX_SCOPES {
        return Err(errors::bad_scope(&shown));
    }
    let mut asked = Asked::default();
    let (mut wants_default, mut values): (bool, Vec<&str>) = (false, Vec::new());
    for scope in text.split_whitespace() {
        if let Some(known) = OPENID_SCOPES.iter().find(|known| known.eq_ignore_ascii_case(scope)) {
            if !asked.has_openid(known) {
                asked.openid.push((*known).to_owned());
            }
            continue;
        }
        let (resource, value) = match scope.rsplit_once('/') {
            Some((resource, value)) if resource.contains(':') || uuid::Uuid::parse_str(resource).is_ok() => (resource, value),
            Some(_) => return Err(errors::bad_scope(&shown)),
            None => (GRAPH, scope),
        };
        if value.is_empty() {
            return Err(errors::bad_scope(&shown));
        }
        if asked.resource.is_empty() {
            asked.resource = resource.to_owned();
        } else if !asked.resource.eq_ignore_ascii_case(resource) {
            return Err(errors::two_resources(&shown));
        }
        match value {
            ".default" => wants_default = true,
            value => values.push(value),
        }
        asked.written.push(scope.to_owned());
    }
    if asked.resource.is_empty() {
        asked.resource = GRAPH.to_owned();
    }
    let resource = find(cx, &asked.resource).await?;
    if resource.app_id == GRAPH_APP_ID {
        asked.resource = GRAPH.to_owned();
    }
    for value in values {
        let known = resource.scope(value).ok_or_else(|| errors::unknown_scope(&app.display_name, &resource.name, value))?;
        if !asked.permissions.contains(&known.value) {
            asked.permissions.push(known.value.clone());
        }
    }
    if wants_default {
        for value in resource.default_scopes(app) {
            if !asked.permissions.contains(&value) {
                asked.permissions.push(value);
            }
        }
    }
    Ok((asked, resource))
}

/// The resource, or Entra's error.
pub async fn find(cx: &Context, resource: &str) -> Result<Resource, ApiError> {
    let shown: String = resource.chars().filter(|c| !c.is_control()).take(200).collect();
    resources::find(cx, resource).await?.ok_or_else(|| errors::unknown_resource(&shown, &cx.identity.tenant_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_repeats_what_was_asked() {
        // MSAL finds a cached token by the scopes it asked for; S1-65 for version 1.
        let asked = Asked {
            resource: "https://management.azure.com".into(),
            permissions: vec!["user_impersonation".into()],
            openid: vec!["openid".into()],
            written: vec!["https://management.azure.com/.default".into()],
            is_v1: false,
        };
        assert_eq!(asked.answer(), "openid https://management.azure.com/user_impersonation https://management.azure.com/.default");
        let one = Asked { permissions: vec!["ActivityFeed.Read".into(), "ServiceHealth.Read".into()], is_v1: true, ..Asked::default() };
        assert_eq!(one.answer(), "ActivityFeed.Read ServiceHealth.Read");
    }
}
