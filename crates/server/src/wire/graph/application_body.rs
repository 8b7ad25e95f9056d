//! An application in Graph's JSON: what can be set, and how it is shown.
//!
//! Format: learn.microsoft.com/graph/api/resources/application. Properties that are not listed here are ignored, as clients send all of them.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use model::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use store::{AppRegistration, AppRole, ClientCertificate, DelegatedScope, RequiredResource};
use uuid::Uuid;

use super::applications::object_id;
use crate::error::ApiError;
use crate::identity::PublicCertificate;
use crate::wire::entra::reply_urls::{self, Platform};

/// Maximum certificates of an application.
pub const MAX_CERTIFICATES: usize = 20;
/// Maximum characters of a display name, as in Entra.
pub const MAX_NAME: usize = 256;
/// Maximum reply URLs of an application, as in Entra.
const MAX_REPLY_URLS: usize = 256;
/// Maximum roles, scopes, identifiers and required resources.
const MAX_ENTRIES: usize = 200;

/// The properties that a request sets.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Wanted {
    pub display_name: Option<String>,
    sign_in_audience: Option<String>,
    is_fallback_public_client: Option<bool>,
    web: Option<RedirectUris>,
    spa: Option<RedirectUris>,
    public_client: Option<RedirectUris>,
    identifier_uris: Option<Vec<String>>,
    api: Option<Api>,
    app_roles: Option<Vec<WantedRole>>,
    required_resource_access: Option<Vec<WantedResource>>,
    key_credentials: Option<Vec<KeyCredential>>,
    password_credentials: Option<Vec<KnownPassword>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RedirectUris {
    redirect_uris: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Api {
    requested_access_token_version: Option<u8>,
    oauth2_permission_scopes: Option<Vec<WantedScope>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WantedScope {
    id: Uuid,
    value: String,
    #[serde(default, rename = "type")]
    consent: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WantedRole {
    id: Uuid,
    value: String,
    #[serde(default)]
    display_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WantedResource {
    resource_app_id: String,
    resource_access: Vec<Access>,
}

#[derive(Deserialize)]
struct Access {
    id: String,
    #[serde(rename = "type")]
    kind: String,
}

/// A certificate, as Graph (`key`) and the manifest (`value`) carry it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KeyCredential {
    key_id: Option<Uuid>,
    #[serde(rename = "type")]
    kind: Option<String>,
    usage: Option<String>,
    key: Option<String>,
    value: Option<String>,
    custom_key_identifier: Option<String>,
    display_name: Option<String>,
    start_date_time: Option<Timestamp>,
    end_date_time: Option<Timestamp>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct KnownPassword {
    key_id: Option<String>,
}

fn refused(target: &'static str, message: impl Into<String>) -> ApiError {
    ApiError::bad_request("Request_BadRequest", message).target(target)
}

impl Wanted {
    /// Sets the properties of `app`; returns the changed ones for the audit trail, before and after.
    pub fn apply(self, app: &mut AppRegistration, now: Timestamp) -> Result<Value, ApiError> {
        let before = view(app);
        if let Some(name) = self.display_name {
            let name = name.trim();
            if name.is_empty() || name.chars().count() > MAX_NAME {
                return Err(refused("displayName", format!("'displayName' has between 1 and {MAX_NAME} characters.")));
            }
            app.display_name = name.to_owned();
        }
        if let Some(audience) = self.sign_in_audience {
            app.settings.multi_tenant = match audience.as_str() {
                "AzureADMyOrg" => false,
                "AzureADMultipleOrgs" => true,
                _ => return Err(refused("signInAudience", "'signInAudience' is 'AzureADMyOrg' or 'AzureADMultipleOrgs' here.")),
            };
        }
        if let Some(is_public) = self.is_fallback_public_client {
            app.settings.is_public = is_public;
        }
        for (given, platform, target) in [
            (self.web, Platform::Web, "web.redirectUris"),
            (self.spa, Platform::Spa, "spa.redirectUris"),
            (self.public_client, Platform::PublicClient, "publicClient.redirectUris"),
        ] {
            let Some(given) = given else { continue };
            if given.redirect_uris.len() > MAX_REPLY_URLS {
                return Err(refused(target, format!("An application has at most {MAX_REPLY_URLS} reply URLs.")));
            }
            for url in &given.redirect_uris {
                reply_urls::check(url, platform).map_err(|error| refused(target, format!("The reply URL '{url}' is invalid: {error}.")))?;
            }
            *match platform {
                Platform::Web => &mut app.settings.web,
                Platform::Spa => &mut app.settings.spa,
                Platform::PublicClient => &mut app.settings.public_client,
            } = given.redirect_uris;
        }
        if let Some(uris) = self.identifier_uris {
            let good = |uri: &String| (1..=256).contains(&uri.len()) && uri.contains(':') && !uri.contains(char::is_whitespace);
            if uris.len() > MAX_ENTRIES || !uris.iter().all(good) {
                return Err(refused("identifierUris", "An identifier URI is an absolute URI, such as 'api://<appId>'."));
            }
            if uris.iter().any(|uri| !is_own_identifier(uri, app)) {
                return Err(refused("identifierUris", "An identifier URI here is 'api://<appId>' or begins with it."));
            }
            app.settings.identifier_uris = uris;
        }
        if let Some(api) = self.api {
            if !matches!(api.requested_access_token_version, None | Some(1 | 2)) {
                return Err(refused("api.requestedAccessTokenVersion", "'requestedAccessTokenVersion' is 1, 2 or null."));
            }
            app.settings.token_version = api.requested_access_token_version;
            if let Some(scopes) = api.oauth2_permission_scopes {
                check_values("api.oauth2PermissionScopes", scopes.iter().map(|scope| scope.value.as_str()))?;
                let read = |scope: WantedScope| DelegatedScope {
                    id: scope.id.to_string(),
                    value: scope.value,
                    admin: scope.consent.is_some_and(|kind| kind.eq_ignore_ascii_case("Admin")),
                };
                app.settings.scopes = scopes.into_iter().map(read).collect();
            }
        }
        if let Some(roles) = self.app_roles {
            check_values("appRoles", roles.iter().map(|role| role.value.as_str()))?;
            let read = |role: WantedRole| AppRole {
                id: role.id.to_string(),
                display_name: role.display_name.unwrap_or_else(|| role.value.clone()),
                value: role.value,
            };
            app.settings.app_roles = roles.into_iter().map(read).collect();
        }
        if let Some(required) = self.required_resource_access {
            app.settings.required = required_resources(required)?;
        }
        if let Some(keys) = self.key_credentials {
            app.certificates = certificates(keys, &app.certificates, now)?;
        }
        if let Some(passwords) = self.password_credentials {
            let known =
                |key_id: &str| passwords.iter().any(|kept| kept.key_id.as_deref().is_some_and(|id| id.eq_ignore_ascii_case(key_id)));
            if passwords.iter().any(|kept| !app.secrets.iter().any(|secret| Some(secret.key_id.as_str()) == kept.key_id.as_deref())) {
                return Err(refused("passwordCredentials", "Secrets are added with addPassword; a PATCH can only leave some out."));
            }
            app.secrets.retain(|secret| known(&secret.key_id));
        }
        Ok(difference(&before, &view(app)))
    }
}

/// Whether the URI belongs to this application: nobody may claim the audience of another application or of an API of Microsoft.
fn is_own_identifier(uri: &str, app: &AppRegistration) -> bool {
    let own = format!("api://{}", app.app_id.to_ascii_lowercase());
    let uri = uri.to_ascii_lowercase();
    uri.strip_prefix(&own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Values of roles and scopes appear in tokens, separated by spaces.
fn check_values<'a>(target: &'static str, values: impl Iterator<Item = &'a str>) -> Result<(), ApiError> {
    let mut count = 0;
    for value in values {
        count += 1;
        let good =
            (1..=120).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'/'));
        if !good || count > MAX_ENTRIES {
            return Err(refused(
                target,
                format!("A value has 1 to 120 printable characters without spaces, and there are at most {MAX_ENTRIES}."),
            ));
        }
    }
    Ok(())
}

fn required_resources(wanted: Vec<WantedResource>) -> Result<Vec<RequiredResource>, ApiError> {
    let target = "requiredResourceAccess";
    if wanted.len() > MAX_ENTRIES || wanted.iter().any(|each| each.resource_access.len() > MAX_ENTRIES) {
        return Err(refused(target, format!("At most {MAX_ENTRIES} resources with {MAX_ENTRIES} permissions each.")));
    }
    wanted
        .into_iter()
        .map(|each| {
            let mut found = RequiredResource { resource: each.resource_app_id, scopes: Vec::new(), roles: Vec::new() };
            for access in each.resource_access {
                match access.kind.as_str() {
                    "Scope" => found.scopes.push(access.id),
                    "Role" => found.roles.push(access.id),
                    other => return Err(refused(target, format!("'{other}' is no type of permission; use 'Scope' or 'Role'."))),
                }
            }
            Ok(found)
        })
        .collect()
}

/// The new collection. An entry without a key keeps the certificate with its key id.
fn certificates(wanted: Vec<KeyCredential>, existing: &[ClientCertificate], now: Timestamp) -> Result<Vec<ClientCertificate>, ApiError> {
    if wanted.len() > MAX_CERTIFICATES {
        return Err(refused("keyCredentials", format!("An application has at most {MAX_CERTIFICATES} certificates.")));
    }
    let mut found: Vec<ClientCertificate> = Vec::new();
    for credential in wanted {
        let kept = credential.key_id.and_then(|id| existing.iter().find(|known| known.key_id.eq_ignore_ascii_case(&id.to_string())));
        let certificate = match (credential.key.is_none() && credential.value.is_none(), kept) {
            (true, Some(known)) => known.clone(),
            _ => credential.read(now)?,
        };
        if found.iter().any(|other| other.key_id == certificate.key_id) {
            return Err(refused("keyCredentials", format!("The key id '{}' is there twice.", certificate.key_id)));
        }
        found.push(certificate);
    }
    Ok(found)
}

impl KeyCredential {
    /// The certificate with its validity.
    pub fn read(self, now: Timestamp) -> Result<ClientCertificate, ApiError> {
        let target = "keyCredentials";
        let is = |text: &Option<String>, expected: &str| text.as_deref().is_none_or(|text| text.eq_ignore_ascii_case(expected));
        if !is(&self.kind, "AsymmetricX509Cert") || !is(&self.usage, "Verify") {
            return Err(refused(target, "A certificate has the type 'AsymmetricX509Cert' and the usage 'Verify'."));
        }
        let text = self.key.or(self.value).unwrap_or_default();
        let certificate = PublicCertificate::from_base64(&text)
            .map_err(|error| ApiError::bad_request("KeyCredentialsInvalid", crate::error::sentence(&error.to_string())).target(target))?;
        if let Some(identifier) = self.custom_key_identifier.filter(|text| !text.is_empty()) {
            check_identifier(&identifier, &certificate)?;
        }
        let (start, end) = (self.start_date_time, self.end_date_time);
        let until = end.map_or(certificate.until, |end| end.min(certificate.until));
        if end.is_some_and(|end| end > certificate.until) || until <= now || start.is_some_and(|start| start >= until) {
            let message = format!("Key credential end date is invalid: the certificate is valid until {}.", certificate.until);
            return Err(ApiError::bad_request("KeyCredentialsInvalidEndDate", message).target(target));
        }
        Ok(ClientCertificate {
            der: BASE64_STANDARD.encode(&certificate.der),
            key_id: self.key_id.unwrap_or_else(Uuid::new_v4).to_string(),
            display_name: self.display_name.or(Some(certificate.subject)).map(|name| name.chars().take(MAX_NAME).collect()),
            start,
            end,
        })
    }
}

/// A thumbprint that is given must be the certificate's: SHA-1 in base64 or hexadecimal. Other identifiers are the client's own.
fn check_identifier(identifier: &str, certificate: &PublicCertificate) -> Result<(), ApiError> {
    let as_base64 = BASE64_STANDARD.decode(identifier).ok().filter(|bytes| bytes.len() == 20);
    let as_hex = hex::decode(identifier).ok().filter(|bytes| bytes.len() == 20);
    match as_base64.or(as_hex) {
        Some(bytes) if bytes != certificate.sha1() => {
            let message = "The value of 'customKeyIdentifier' is not the SHA-1 thumbprint of the certificate.";
            Err(ApiError::bad_request("KeyCredentialsInvalid", message).target("keyCredentials"))
        }
        _ => Ok(()),
    }
}

/// Properties that differ, as `{"name": [before, after]}`.
fn difference(before: &Value, after: &Value) -> Value {
    let mut changes = Map::new();
    for (name, value) in after.as_object().into_iter().flatten() {
        if before[name] != *value {
            changes.insert(name.clone(), json!([before[name], value]));
        }
    }
    Value::Object(changes)
}

/// The application as Graph shows it; never with a secret.
pub fn view(app: &AppRegistration) -> Value {
    let settings = &app.settings;
    let passwords: Vec<Value> = app
        .secrets
        .iter()
        .map(|secret| {
            json!({
                "keyId": secret.key_id, "displayName": secret.display_name, "hint": secret.hint,
                "startDateTime": secret.start, "endDateTime": secret.expires, "secretText": null,
            })
        })
        .collect();
    let scopes: Vec<Value> = settings
        .scopes
        .iter()
        .map(|scope| json!({ "id": scope.id, "value": scope.value, "type": if scope.admin { "Admin" } else { "User" }, "isEnabled": true }))
        .collect();
    let roles: Vec<Value> = settings
        .app_roles
        .iter()
        .map(|role| {
            json!({
                "id": role.id, "value": role.value, "displayName": role.display_name, "allowedMemberTypes": ["Application"], "isEnabled": true,
            })
        })
        .collect();
    let access = |ids: &[String], kind: &str| ids.iter().map(|id| json!({ "id": id, "type": kind })).collect::<Vec<_>>();
    let required: Vec<Value> = settings
        .required
        .iter()
        .map(|each| {
            let both = [access(&each.scopes, "Scope"), access(&each.roles, "Role")].concat();
            json!({ "resourceAppId": each.resource, "resourceAccess": both })
        })
        .collect();
    json!({
        "id": object_id(app),
        "appId": app.app_id,
        "displayName": app.display_name,
        "createdDateTime": app.created,
        "signInAudience": if settings.multi_tenant { "AzureADMultipleOrgs" } else { "AzureADMyOrg" },
        "isFallbackPublicClient": settings.is_public,
        "identifierUris": settings.identifier_uris,
        "web": { "redirectUris": settings.web },
        "spa": { "redirectUris": settings.spa },
        "publicClient": { "redirectUris": settings.public_client },
        "api": { "requestedAccessTokenVersion": settings.token_version, "oauth2PermissionScopes": scopes },
        "appRoles": roles,
        "requiredResourceAccess": required,
        "passwordCredentials": passwords,
        "keyCredentials": app.certificates.iter().map(key_view).collect::<Vec<_>>(),
    })
}

/// A certificate as Graph lists it: without its key, which only a `$select` of it returns there.
pub fn key_view(known: &ClientCertificate) -> Value {
    let certificate = PublicCertificate::from_base64(&known.der).ok();
    let (from, until) = match &certificate {
        Some(certificate) => {
            let (from, until) = crate::wire::entra::assertion::validity(known, certificate);
            (Some(from), Some(until))
        }
        None => (known.start, known.end),
    };
    json!({
        "keyId": known.key_id, "displayName": known.display_name, "type": "AsymmetricX509Cert", "usage": "Verify", "key": null,
        "customKeyIdentifier": certificate.map(|certificate| certificate.thumbprint()),
        "startDateTime": from, "endDateTime": until,
    })
}

#[cfg(test)]
mod tests {
    use model::Span;

    use super::*;

    fn app() -> AppRegistration {
        AppRegistration {
            app_id: "2d4d11a2-f814-46a7-890a-274a72a7309e".into(),
            object_id: "o".into(),
            display_name: "before".into(),
            created: Timestamp::UNIX_EPOCH,
            secrets: vec![],
            certificates: vec![],
            settings: Default::default(),
        }
    }

    fn apply(app: &mut AppRegistration, body: Value) -> Result<Value, ApiError> {
        serde_json::from_value::<Wanted>(body).unwrap().apply(app, Timestamp::parse_iso("2026-11-20T12:00:00Z").unwrap())
    }

    fn certificate() -> PublicCertificate {
        let now = Timestamp::parse_iso("2026-11-20T12:00:00Z").unwrap();
        crate::identity::self_signed("x", 2048, Span(365 * Span::DAY.ticks()), now).unwrap().certificate
    }

    /// S1-57, S1-59: the manifest's entry is accepted as printed, several at a time, and each can be withdrawn.
    #[test]
    fn certificates_are_a_collection_that_is_replaced() {
        let mut app = app();
        let (one, two) = (certificate(), certificate());
        let ids = ["0ce254c4-81b1-4a2e-8436-9a8c3b49dfb9", "0ce254c4-81b1-4a2e-8436-9a8c3b49dfba"];
        let changes = apply(&mut app, json!({ "keyCredentials": [one.key_credential(ids[0]), two.key_credential(ids[1])] })).unwrap();
        assert_eq!(app.certificates.len(), 2);
        assert_eq!(changes["keyCredentials"][0], json!([]));
        apply(&mut app, json!({ "keyCredentials": [{ "keyId": ids[1] }] })).unwrap();
        assert_eq!(app.certificates.iter().map(|known| known.key_id.as_str()).collect::<Vec<_>>(), [ids[1]]);
        assert_eq!(view(&app)["keyCredentials"][0]["key"], Value::Null);
        let mut wrong = one.key_credential(ids[0]);
        wrong["customKeyIdentifier"] = two.key_credential(ids[1])["customKeyIdentifier"].clone();
        assert_eq!(apply(&mut app, json!({ "keyCredentials": [wrong] })).unwrap_err().code, "KeyCredentialsInvalid");
        let mut late = one.key_credential(ids[0]);
        late["endDateTime"] = json!("2040-01-01T00:00:00Z");
        assert_eq!(apply(&mut app, json!({ "keyCredentials": [late] })).unwrap_err().code, "KeyCredentialsInvalidEndDate");
        assert!(apply(&mut app, json!({ "keyCredentials": [{ "value": "AAAA" }] })).is_err());
    }

    #[test]
    fn no_application_claims_the_audience_of_another() {
        let mut app = app();
        assert!(apply(&mut app, json!({ "identifierUris": ["api://2d4d11a2-f814-46a7-890a-274a72a7309e/x"] })).is_ok());
        for taken in ["https://management.azure.com", "api://another", "api://2d4d11a2-f814-46a7-890a-274a72a7309e9"] {
            assert!(apply(&mut app, json!({ "identifierUris": [taken] })).is_err(), "{taken}");
        }
    }

    #[test]
    fn only_what_differs_is_recorded() {
        let mut app = app();
        let changes = apply(&mut app, json!({ "displayName": "after", "signInAudience": "AzureADMyOrg", "tags": ["ignored"] })).unwrap();
        assert_eq!(changes, json!({ "displayName": ["before", "after"] }));
        assert!(apply(&mut app, json!({ "signInAudience": "AzureADandPersonalMicrosoftAccount" })).is_err());
    }
}
