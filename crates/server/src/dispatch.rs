//! Request processing: route, authenticate, validate, authorise, run the handler, and encode errors in the dialect.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::Full;
use model::Secret;
use uuid::Uuid;

use crate::body::Body;
use crate::budgets::Budgets;
use crate::call::{Call, Query};
use crate::context::{Context, check_path};
use crate::dialect::{self, Dialect, RequestIds, ScopeOf};
use crate::endpoint::{Endpoint, Role};
use crate::error::ApiError;
use crate::identity::{self, Principal, SessionError, SignedIn, TokenError};
use crate::reply::Reply;
use crate::router::{Found, Router};
use crate::serve::Session;

/// The router and the context of handlers.
pub struct Dispatcher {
    context: Arc<Context>,
    router: Router,
    budgets: Arc<Budgets>,
}

impl Dispatcher {
    /// Serves all endpoints of [`crate::endpoints`].
    pub fn new(context: Arc<Context>) -> Self {
        Self { context, router: Router::new(crate::endpoints()), budgets: Arc::default() }
    }

    /// Sets the port for server names without one.
    pub fn listening_on(&self, port: u16) {
        self.context.identity.origins.listening_on(port);
    }

    /// Handles one request. Never fails and never panics: a panic in a handler becomes a 500 with the request id.
    pub async fn answer(&self, request: Request<Body>, peer: SocketAddr) -> Response<Full<bytes::Bytes>> {
        let started = self.context.clock.monotonic();
        let (parts, body) = request.into_parts();
        let ids = RequestIds { request: Uuid::new_v4(), client: client_request_id(&parts.headers) };
        let host = parts.uri.authority().map(|authority| authority.as_str()).or_else(|| parts.headers.get(header::HOST)?.to_str().ok());
        let origins = &self.context.identity.origins;
        let origin = host.and_then(|host| origins.of_host(host)).unwrap_or_else(|| origins.canonical());
        let method = parts.method.clone();
        let path = parts.uri.path().to_owned();

        let (name, dialect, result) = match self.router.find(&parts.method, &path) {
            Ok(Found::Endpoint(endpoint, params)) => {
                let query = Query::parse(parts.uri.query().unwrap_or_default().as_bytes());
                let (origin, ids) = (origin.clone(), ids.clone());
                let (headers, body, budgets) = (parts.headers, Some(body), Arc::clone(&self.budgets));
                let call = Call { endpoint, path, params, query, headers, principal: None, peer, ids, origin, body, budgets };
                let session = parts.extensions.get::<Arc<Session>>().map(Arc::as_ref);
                (endpoint.path, endpoint.dialect, self.run(endpoint, call, session).await)
            }
            Ok(Found::OtherMethods(methods)) => {
                let allow = methods.iter().map(|method| method.as_str()).collect::<Vec<_>>().join(", ");
                let message = format!("The method {method} is not served here; served: {allow}.");
                let error = ApiError::new(http::StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message);
                ("(other method)", guess(&path), Err(ApiError { allow: Some(allow), ..error }))
            }
            Ok(Found::Nothing) => ("(unknown)", guess(&path), Err(unknown_path(&path))),
            Err(error) => ("(unknown)", guess(&path), Err(ApiError::bad_request("BadRequest", crate::error::sentence(&error.to_string())))),
        };
        let mut reply = result.unwrap_or_else(|error| {
            tracing::debug!(request = %ids.request, endpoint = name, status = error.status.as_u16(), code = %error.code, "refused");
            dialect.reply(&error, &ids, self.context.clock.now(), &origin)
        });
        common_headers(&mut reply.headers, &ids);
        let elapsed = self.context.clock.monotonic().saturating_sub(started);
        observe(&method, name, dialect, &reply, elapsed);
        tracing::debug!(request = %ids.request, %method, endpoint = name, status = reply.status.as_u16(), ms = elapsed.as_secs_f64() * 1000.0, "answered");
        let mut response = Response::new(Full::new(reply.body));
        *response.status_mut() = reply.status;
        *response.headers_mut() = reply.headers;
        response
    }

    async fn run(&self, endpoint: &'static Endpoint, mut call: Call, session: Option<&Session>) -> Result<Reply, ApiError> {
        let context = &*self.context;
        if !matches!(endpoint.role, Role::Open(_)) {
            let principal = self.authenticate(endpoint, &call.headers).await?;
            if let Some(session) = session {
                session.prove();
            }
            if endpoint.dialect.api_version {
                api_version(&call.query)?;
            }
            check_path(&context.cloud, &call.params)?;
            self.authorize(endpoint, &call, &principal)?;
            call.principal = Some(principal);
        }
        // A panic is a bug and must affect this request only. State changes are transactional, so none is left half-done.
        match AssertUnwindSafe((endpoint.run)(context, call)).catch_unwind().await {
            Ok(result) => result,
            Err(_) => {
                tracing::error!(endpoint = endpoint.path, "a handler panicked");
                Err(ApiError::new(
                    http::StatusCode::INTERNAL_SERVER_ERROR,
                    "InternalServerError",
                    "The server met a defect of its own. Please report it with this request's id.",
                ))
            }
        }
    }

    /// The caller: by a bearer token, or else by the cookie of a session.
    async fn authenticate(&self, endpoint: &Endpoint, headers: &HeaderMap) -> Result<Principal, ApiError> {
        let principal = match identity::secret_of(headers) {
            Some(secret) if !headers.contains_key(header::AUTHORIZATION) => self.by_session(endpoint, headers, &secret).await?,
            _ => self.by_token(endpoint.dialect, headers)?,
        };
        if endpoint.role != Role::SignedIn && principal.person.as_ref().is_some_and(|person| person.must_change_password) {
            let message = "The password was set by an administrator. Change it first: POST /api/v1/session/password.";
            return Err(ApiError::forbidden("PasswordChangeRequired", message));
        }
        Ok(principal)
    }

    async fn by_session(&self, endpoint: &Endpoint, headers: &HeaderMap, secret: &Secret<String>) -> Result<Principal, ApiError> {
        let context = &*self.context;
        let (session, account) = context.people.session(secret).await.map_err(|error| match error {
            SessionError::Store(error) => ApiError::from(error),
            SessionError::Expired => ApiError::unauthorized("SessionExpired", crate::error::sentence(&error.to_string())),
            SessionError::Disabled => ApiError::unauthorized("AccountDisabled", crate::error::sentence(&error.to_string())),
            _ => ApiError::unauthorized("SessionNotFound", crate::error::sentence(&error.to_string())),
        })?;
        // Browsers send the cookie with requests of other sites too; those can neither read the token nor hide where they come from.
        if endpoint.method != http::Method::GET {
            let origin = headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
            if origin.is_some_and(|origin| !context.identity.origins.is_own_origin(origin)) {
                return Err(ApiError::forbidden("CrossSiteRequest", "The request comes from a page of another site."));
            }
            if !identity::has_csrf_token(headers, secret) {
                let message = "The header 'X-CSRF-Token' is missing or wrong. GET /api/v1/session gives the token of the session.";
                return Err(ApiError::forbidden("CsrfTokenInvalid", message));
            }
        }
        Ok(Principal {
            // Also the holder of shares of memory and time.
            app_id: account.object_id.clone(),
            audience: context.identity.origins.canonical(),
            expires: context.people.end_of(&session),
            person: Some(SignedIn {
                user_principal_name: context.identity.user_principal_name(&account.name),
                name: account.name,
                display_name: account.display_name,
                email: account.email,
                must_change_password: account.must_change_password,
                session: Some(session.id),
            }),
            object_id: account.object_id,
        })
    }

    fn by_token(&self, dialect: &Dialect, headers: &HeaderMap) -> Result<Principal, ApiError> {
        let principal = self.token_principal(dialect, headers)?;
        let directory = self.context.identity.directory();
        let Some(entry) = directory.person(&principal.object_id) else { return Ok(principal) };
        if entry.disabled {
            return Err(ApiError::unauthorized("AccountDisabled", "The account is disabled."));
        }
        let person = SignedIn {
            user_principal_name: self.context.identity.user_principal_name(&entry.name),
            name: entry.name.clone(),
            display_name: entry.display_name.clone(),
            email: entry.email.clone(),
            must_change_password: entry.must_change_password,
            session: None,
        };
        Ok(Principal { person: Some(person), ..principal })
    }

    fn token_principal(&self, dialect: &Dialect, headers: &HeaderMap) -> Result<Principal, ApiError> {
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return Err(ApiError::unauthorized("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing."));
        };
        let text = value.to_str().unwrap_or_default();
        let token = match text.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            _ => {
                let message = "Authentication failed. The 'Authorization' header is provided in an invalid format; write 'Bearer <token>'.";
                return Err(ApiError::unauthorized("AuthenticationFailedInvalidHeader", message));
            }
        };
        self.context.identity.check(token, dialect.audiences, self.context.clock.now()).map_err(|error| {
            let (code, forbidden) = match &error {
                TokenError::Audience { .. } => ("InvalidAuthenticationTokenAudience", dialect.wrong_audience_is_forbidden),
                TokenError::Expired { .. } => ("ExpiredAuthenticationToken", false),
                TokenError::Issuer(_) => ("InvalidAuthenticationTokenTenant", false),
                _ => ("InvalidAuthenticationToken", false),
            };
            if forbidden { ApiError::forbidden(code, error.to_string()) } else { ApiError::unauthorized(code, error.to_string()) }
        })
    }

    fn authorize(&self, endpoint: &Endpoint, call: &Call, principal: &Principal) -> Result<(), ApiError> {
        let context = &*self.context;
        if endpoint.role == Role::SignedIn {
            return match &principal.person {
                Some(_) => Ok(()),
                None => Err(ApiError::forbidden("PersonRequired", "This is about the account of a person; the caller is an application.")),
            };
        }
        let scope = match endpoint.dialect.scope {
            ScopeOf::Workspace => context.cloud.workspace_path(),
            ScopeOf::Tenant => "/".to_owned(),
            ScopeOf::Path => {
                // Compared decoded, because the same resource can be spelled with and without escapes.
                let path = crate::router::split(&call.path).unwrap_or_default();
                if path.iter().any(|part| part.contains(['/', '\\'])) {
                    let message = "The path has a name with an encoded '/' or '\\'; no resource is called that.";
                    return Err(ApiError::bad_request("InvalidResourceName", message));
                }
                format!("/{}", path.join("/"))
            }
            ScopeOf::Rule => {
                let id = call.param("rule");
                context.ingest.rule_scope(id).ok_or_else(|| {
                    let message = format!("Data collection rule with immutable Id '{id}' not found.");
                    ApiError::not_found("NotFound", message).target(id)
                })?
            }
        };
        if context.identity.allows(principal, endpoint.action, &scope) {
            return Ok(());
        }
        Err(if endpoint.dialect.scope == ScopeOf::Rule {
            let message = format!(
                "The authentication token provided does not have access to ingest data for the data collection rule with immutable Id '{}'. \
                 Give '{}' the role 'Monitoring Metrics Publisher' on it.",
                call.param("rule"),
                principal.label()
            );
            ApiError::forbidden("OperationFailed", message)
        } else {
            let message = format!(
                "The client '{}' with object id '{}' does not have authorization to perform action '{}' over scope '{scope}' or the \
                 scope is invalid. If access was recently granted, please refresh your credentials.",
                principal.label(),
                principal.object_id,
                endpoint.action,
            );
            ApiError::forbidden(
                if endpoint.dialect.name == "log_analytics" { "InsufficientAccessError" } else { "AuthorizationFailed" },
                message,
            )
        })
    }
}

fn api_version(query: &Query) -> Result<(), ApiError> {
    let Some(version) = query.filled("api-version") else {
        let message = "The api-version query parameter (?api-version=) is required for all requests.";
        return Err(ApiError::bad_request("MissingApiVersionParameter", message).target("api-version"));
    };
    // Any date is accepted: responses are a superset of the versions that clients request.
    let bytes = version.as_bytes();
    let shaped = bytes.len() >= 10
        && version.is_char_boundary(10)
        && bytes[..10].iter().enumerate().all(|(at, byte)| if at == 4 || at == 7 { *byte == b'-' } else { byte.is_ascii_digit() })
        && (bytes.len() == 10 || bytes[10] == b'-');
    if shaped {
        return Ok(());
    }
    let message =
        format!("The api-version '{version}' is invalid. The api-version must be a date, such as '2023-03-11' or '2021-11-01-preview'.");
    Err(ApiError::bad_request("InvalidApiVersionParameter", message).target("api-version"))
}

fn unknown_path(path: &str) -> ApiError {
    let shown: String = path.chars().take(200).collect();
    ApiError::not_found("PathNotFoundError", format!("There is nothing at '{shown}'. Is the path spelled as in the reference?"))
}

/// The dialect whose error format a client at this unknown path most likely understands.
fn guess(path: &str) -> &'static Dialect {
    let is = |prefix: &str| path.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    match () {
        () if is("/subscriptions") || is("/providers") => &dialect::RESOURCE_MANAGER,
        () if is("/datacollectionrules") => &dialect::LOGS_INGESTION,
        () if is("/v1/workspaces") || is("/workspaces") => &dialect::LOG_ANALYTICS,
        () => &dialect::OURS,
    }
}

/// The client's request id, if it is safe to log and echo.
fn client_request_id(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("x-ms-client-request-id").or_else(|| headers.get("client-request-id"))?.to_str().ok()?.trim();
    let decent = !value.is_empty() && value.len() <= 128 && value.bytes().all(|byte| byte.is_ascii_graphic());
    decent.then(|| value.to_owned())
}

fn common_headers(headers: &mut HeaderMap, ids: &RequestIds) {
    let value = |text: &str| HeaderValue::from_str(text).ok();
    if let Some(request) = value(&ids.request.to_string()) {
        headers.insert("x-ms-request-id", request.clone());
        headers.insert("x-ms-correlation-request-id", request);
    }
    if let Some(client) = ids.client.as_deref().and_then(value) {
        headers.insert("x-ms-client-request-id", client);
    }
    headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000; includeSubDomains"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

fn observe(method: &http::Method, endpoint: &'static str, dialect: &Dialect, reply: &Reply, elapsed: Duration) {
    // Clients may send arbitrary methods; only known ones become a metric label.
    let method = match method.as_str() {
        known @ ("GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "HEAD") => known.to_owned(),
        _ => "other".to_owned(),
    };
    let status = reply.status.as_u16().to_string();
    metrics::counter!("bartizan_http_requests_total", "dialect" => dialect.name, "endpoint" => endpoint, "method" => method, "status" => status).increment(1);
    metrics::histogram!("bartizan_http_request_seconds", "dialect" => dialect.name, "endpoint" => endpoint).record(elapsed.as_secs_f64());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_versions_are_dates() {
        for good in ["2023-01-01", "2021-11-01-preview", "2025-10-01-PREVIEW"] {
            assert!(api_version(&Query::parse(format!("Api-Version={good}").as_bytes())).is_ok(), "{good}");
        }
        for bad in ["", "latest", "2023-1-1", "2023-01-01x", "20é3-01-01"] {
            assert!(api_version(&Query::parse(format!("api-version={bad}").as_bytes())).is_err(), "{bad}");
        }
    }
}
