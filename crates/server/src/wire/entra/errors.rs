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
    let message = format!("The app requested an unsupported grant type '{grant}'. This server grants 'client_credentials'.");
    refusal(StatusCode::BAD_REQUEST, "unsupported_grant_type", 70_003, message)
}

pub fn unsupported_response_type(wanted: &str) -> ApiError {
    let wanted: String = wanted.chars().take(100).collect();
    let message = format!(
        "The response_type '{wanted}' is not supported: people do not sign in here. Applications get tokens from the token endpoint with the \
         grant type 'client_credentials'."
    );
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
