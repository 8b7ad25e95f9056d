//! Entra's errors: OAuth error code, AADSTS number and message.
//!
//! Numbers and texts: learn.microsoft.com/entra/identity-platform/reference-error-codes.

use http::StatusCode;

use crate::error::ApiError;

fn refusal(status: StatusCode, word: &'static str, number: u32, message: String) -> ApiError {
    ApiError { entra: Some(number), ..ApiError::new(status, word, message) }
}

pub fn unknown_tenant(name: &str, tenant_id: &str) -> ApiError {
    let message = format!(
        "Tenant '{name}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. \
         This server has the tenant '{tenant_id}', also called 'adfs'."
    );
    refusal(StatusCode::BAD_REQUEST, "invalid_request", 90_002, message)
}

pub fn missing_parameter(name: &str) -> ApiError {
    refusal(
        StatusCode::BAD_REQUEST,
        "invalid_request",
        900_144,
        format!("The request body must contain the following parameter: '{name}'."),
    )
}

pub fn unsupported_grant(grant: &str) -> ApiError {
    let message = format!(
        "The app requested an unsupported grant type '{grant}'. This server grants 'client_credentials', 'authorization_code', \
         'refresh_token' and 'urn:ietf:params:oauth:grant-type:device_code'."
    );
    refusal(StatusCode::BAD_REQUEST, "unsupported_grant_type", 70_003, message)
}

pub fn unsupported_response_type(wanted: &str) -> ApiError {
    let wanted: String = wanted.chars().filter(|c| !c.is_control()).take(100).collect();
    let message = format!("The response_type '{wanted}' is not supported. The response_type is 'code'.");
    refusal(StatusCode::BAD_REQUEST, "unsupported_response_type", 70_005, message)
}

pub fn unknown_app(app_id: &str, tenant: &str) -> ApiError {
    let message = format!(
        "Application with identifier '{app_id}' was not found in the directory '{tenant}'. This can happen if the application has not been \
         installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication \
         request to the wrong tenant."
    );
    refusal(StatusCode::BAD_REQUEST, "unauthorized_client", 700_016, message)
}

pub fn no_proof() -> ApiError {
    let message = "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.";
    refusal(StatusCode::UNAUTHORIZED, "invalid_client", 7_000_216, message.to_owned())
}

pub fn wrong_secret(app_id: &str) -> ApiError {
    let message = format!(
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, \
         for a secret added to app '{app_id}'."
    );
    refusal(StatusCode::UNAUTHORIZED, "invalid_client", 7_000_215, message)
}

pub fn expired_secret(app_id: &str) -> ApiError {
    let message = format!("The provided client secret keys for app '{app_id}' are expired. Create new keys for the app.");
    refusal(StatusCode::UNAUTHORIZED, "invalid_client", 7_000_222, message)
}

pub fn bad_scope(scope: &str) -> ApiError {
    let message = format!(
        "The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid. \
         The scope {scope} is not valid."
    );
    refusal(StatusCode::BAD_REQUEST, "invalid_scope", 70_011, message)
}

pub fn scope_without_default(scope: &str) -> ApiError {
    let message = format!(
        "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with /.default suffixed to the \
         resource identifier (application ID URI)."
    );
    refusal(StatusCode::BAD_REQUEST, "invalid_scope", 1_002_012, message)
}

pub fn unknown_resource(resource: &str, tenant: &str) -> ApiError {
    let message = format!(
        "The resource principal named {resource} was not found in the tenant named {tenant}. This can happen if the application has not been \
         installed by the administrator of the tenant or consented to by any user in the tenant. You might have sent your authentication \
         request to the wrong tenant."
    );
    refusal(StatusCode::BAD_REQUEST, "invalid_resource", 500_011, message)
}

pub fn bad_assertion(why: &str) -> ApiError {
    refusal(StatusCode::BAD_REQUEST, "invalid_request", 50_027, format!("JWT token is invalid or malformed: {why}."))
}

pub fn assertion_of_another_app() -> ApiError {
    let message =
        "Client assertion application identifier doesn't match 'client_id' parameter: 'iss' and 'sub' must both be the client id.";
    refusal(StatusCode::UNAUTHORIZED, "invalid_client", 700_021, message.to_owned())
}

pub fn assertion_audience(found: &str, expected: &str) -> ApiError {
    let message = format!("Client assertion audience claim does not match Realm issuer: it is '{found}', expected '{expected}'.");
    refusal(StatusCode::UNAUTHORIZED, "invalid_client", 700_023, message)
}

pub fn assertion_time(now: &str) -> ApiError {
    let message = format!("Client assertion is not within its valid time range. Current time: {now}. Check the clock that signed it.");
    refusal(StatusCode::UNAUTHORIZED, "invalid_client", 700_024, message)
}

pub fn assertion_signature(why: &str) -> ApiError {
    refusal(StatusCode::UNAUTHORIZED, "invalid_client", 700_027, format!("Client assertion failed signature validation: {why}."))
}

pub fn assertion_replayed() -> ApiError {
    let message = "Client assertion was used before: another request had the same 'jti'. Sign a new one for each client machine.";
    refusal(StatusCode::UNAUTHORIZED, "invalid_client", 700_027, message.to_owned())
}

pub fn certificate_time(thumbprint: &str, until: &str) -> ApiError {
    let message = format!(
        "The certificate with identifier used to sign the client assertion is expired or not yet valid on application. \
         [Reason - The key used is expired., Thumbprint of key used by client: '{thumbprint}', End: '{until}']"
    );
    refusal(StatusCode::UNAUTHORIZED, "invalid_client", 700_027, message)
}

pub fn proof_required() -> ApiError {
    let message = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.";
    refusal(StatusCode::UNAUTHORIZED, "invalid_client", 7_000_218, message.to_owned())
}

pub fn duplicated(name: &str) -> ApiError {
    let message = format!("The request is not properly formatted. The parameter '{name}' is duplicated.");
    refusal(StatusCode::BAD_REQUEST, "invalid_request", 9_000_411, message)
}

pub fn no_tenant() -> ApiError {
    let message = "No tenant-identifying information found in either the request or implied by any provided credentials. \
                   Applications get tokens from the endpoint of their tenant, not from 'common' or 'organizations'.";
    refusal(StatusCode::BAD_REQUEST, "invalid_request", 50_059, message.to_owned())
}

pub fn not_multi_tenant(app_id: &str, name: &str) -> ApiError {
    let message = format!(
        "Application '{app_id}'({name}) is not configured as a multi-tenant application. Usage of the /common endpoint is not supported for \
         such apps. Use a tenant-specific endpoint or configure the application to be multi-tenant."
    );
    refusal(StatusCode::BAD_REQUEST, "invalid_request", 50_194, message)
}

pub fn wrong_reply_url(app_id: &str, wanted: &str) -> ApiError {
    let shown: String = wanted.chars().filter(|c| !c.is_control()).take(300).collect();
    let message = format!(
        "The redirect URI '{shown}' specified in the request does not match the redirect URIs configured for the application '{app_id}'. Make \
         sure the redirect URI sent in the request matches one added to your application."
    );
    refusal(StatusCode::BAD_REQUEST, "invalid_request", 50_011, message)
}

pub fn no_reply_url(app_id: &str) -> ApiError {
    refusal(StatusCode::BAD_REQUEST, "invalid_client", 500_113, format!("No reply address is registered for the application '{app_id}'."))
}

pub fn bad_response_mode(mode: &str) -> ApiError {
    let shown: String = mode.chars().filter(|c| !c.is_control()).take(50).collect();
    let message = format!("The response_mode '{shown}' is not supported. Use 'query', 'fragment' or 'form_post'.");
    refusal(StatusCode::BAD_REQUEST, "unsupported_response_mode", 70_007, message)
}

pub fn two_resources(scope: &str) -> ApiError {
    let message = format!(
        "Provided value for the input parameter scope is not valid because it contains more than one resource. Scope {scope} is not valid."
    );
    refusal(StatusCode::BAD_REQUEST, "invalid_request", 28_000, message)
}

pub fn unknown_scope(app: &str, resource: &str, scope: &str) -> ApiError {
    let message = format!("The application '{app}' asked for scope '{scope}' that doesn't exist on the resource '{resource}'.");
    refusal(StatusCode::BAD_REQUEST, "invalid_scope", 650_053, message)
}

pub fn challenge_method() -> ApiError {
    let message = "The code_challenge_method must be 'S256', with a code_challenge of 43 characters (RFC 7636). 'plain' is not accepted.";
    refusal(StatusCode::BAD_REQUEST, "invalid_request", 501_491, message.to_owned())
}

pub fn challenge_required() -> ApiError {
    let message = "Proof Key for Code Exchange is required for clients without a credential: send 'code_challenge' and \
                   'code_challenge_method=S256'.";
    refusal(StatusCode::BAD_REQUEST, "invalid_request", 9_002_325, message.to_owned())
}

pub fn wrong_verifier() -> ApiError {
    let message = "The Code_Verifier does not match the code_challenge supplied in the authorization request.";
    refusal(StatusCode::BAD_REQUEST, "invalid_grant", 501_481, message.to_owned())
}

pub fn no_such_code() -> ApiError {
    let message =
        "The provided authorization code or refresh token is malformed, or was not issued by this tenant. The user must sign in again.";
    refusal(StatusCode::BAD_REQUEST, "invalid_grant", 9_002_313, message.to_owned())
}

pub fn code_redeemed() -> ApiError {
    let message = "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token.";
    refusal(StatusCode::BAD_REQUEST, "invalid_grant", 54_005, message.to_owned())
}

pub fn grant_expired() -> ApiError {
    let message = "The provided authorization code or refresh token has expired due to inactivity. Send a new interactive authorization \
                   request for this user and resource.";
    refusal(StatusCode::BAD_REQUEST, "invalid_grant", 70_008, message.to_owned())
}

pub fn grant_revoked() -> ApiError {
    let message = "The provided grant has expired due to it being revoked, a fresh auth token is needed. A refresh token is valid once; \
                   using one again revokes all that follow from it.";
    refusal(StatusCode::BAD_REQUEST, "invalid_grant", 50_173, message.to_owned())
}

pub fn grant_of_another_app() -> ApiError {
    let message = "The provided grant is not valid: it was issued to a different client id.";
    refusal(StatusCode::BAD_REQUEST, "invalid_grant", 70_000, message.to_owned())
}

pub fn other_reply_url() -> ApiError {
    let message = "The reply URI specified in the request does not match the one of the authorization request.";
    refusal(StatusCode::BAD_REQUEST, "invalid_grant", 50_112, message.to_owned())
}

pub fn resource_not_granted(resource: &str) -> ApiError {
    let message = format!("The provided grant is not valid for the resource '{resource}'.");
    refusal(StatusCode::BAD_REQUEST, "invalid_grant", 70_000, message)
}

pub fn consent_required(name: &str) -> ApiError {
    let message = format!(
        "The user or administrator has not consented to use the application '{name}'. Send an interactive authorization request for this user \
         and resource."
    );
    refusal(StatusCode::BAD_REQUEST, "invalid_grant", 65_001, message)
}

pub fn admin_needed(name: &str) -> ApiError {
    let message = format!("'{name}' needs permissions that only an administrator can grant. Ask an administrator to grant them.");
    refusal(StatusCode::BAD_REQUEST, "access_denied", 90_094, message)
}

pub fn person_gone() -> ApiError {
    let message = "The user account is disabled or does not exist. The account has been deleted from the directory or disabled.";
    refusal(StatusCode::BAD_REQUEST, "invalid_grant", 50_057, message.to_owned())
}

pub fn login_required() -> ApiError {
    let message = "Session information is not sufficient for single-sign-on: no session is kept, so 'prompt=none' cannot succeed.";
    refusal(StatusCode::BAD_REQUEST, "login_required", 50_058, message.to_owned())
}

pub fn declined() -> ApiError {
    refusal(StatusCode::BAD_REQUEST, "access_denied", 65_004, "User declined to consent to access the app.".to_owned())
}

pub fn authorization_pending() -> ApiError {
    let message = "OAuth 2.0 device flow error. Authorization is pending. Continue polling.";
    refusal(StatusCode::BAD_REQUEST, "authorization_pending", 70_016, message.to_owned())
}

pub fn slow_down() -> ApiError {
    let message = "OAuth 2.0 device flow error. Polling is too frequent. Wait five seconds longer between requests.";
    refusal(StatusCode::BAD_REQUEST, "slow_down", 70_016, message.to_owned())
}

pub fn authorization_declined() -> ApiError {
    let message = "The end user denied the authorization request.";
    refusal(StatusCode::BAD_REQUEST, "authorization_declined", 70_018, message.to_owned())
}

pub fn device_code_expired() -> ApiError {
    let message = "The provided value for the 'code' or 'device_code' parameter has expired.";
    refusal(StatusCode::BAD_REQUEST, "expired_token", 70_019, message.to_owned())
}

pub fn bad_device_code() -> ApiError {
    let message = "The provided value for the 'code' or 'device_code' parameter isn't valid.";
    refusal(StatusCode::BAD_REQUEST, "bad_verification_code", 70_018, message.to_owned())
}

pub fn too_many_device_codes() -> ApiError {
    let message = "The application has too many device codes that wait for a person. Let them expire first.";
    ApiError { retry_after: Some(60), ..refusal(StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable", 90_033, message.to_owned()) }
}

pub fn form_not_ours() -> ApiError {
    let message = "The form was not sent from a page of this server, or the page is too old. Start again from the application.";
    refusal(StatusCode::BAD_REQUEST, "invalid_request", 900_561, message.to_owned())
}

pub fn too_long(name: &str) -> ApiError {
    refusal(StatusCode::BAD_REQUEST, "invalid_request", 900_971, format!("The parameter '{name}' is too long."))
}
