//! A request as seen by a handler.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, header};
use model::Actor;
use serde::de::DeserializeOwned;

use crate::body::{self, Account, Body, BodyLimits};
use crate::budgets::Budgets;
use crate::dialect::RequestIds;
use crate::endpoint::Endpoint;
use crate::error::ApiError;
use crate::identity::Principal;
use crate::router::Params;

/// A request that has been routed, authenticated and authorised.
pub struct Call {
    pub endpoint: &'static Endpoint,
    /// The path as sent, without the query string, still encoded.
    pub path: String,
    pub params: Params,
    /// Parsed; see [`Call::query`] for a typed form.
    pub query: Query,
    pub headers: HeaderMap,
    /// The caller; `None` on open endpoints.
    pub principal: Option<Principal>,
    pub peer: SocketAddr,
    pub ids: RequestIds,
    /// `https://host:port`: the server name that the client used, or else the canonical one. Base of absolute links.
    pub origin: String,
    pub body: Option<Body>,
    pub budgets: Arc<Budgets>,
}

impl Call {
    /// A path parameter; empty if the pattern has no such parameter.
    pub fn param(&self, name: &str) -> &str {
        self.params.get(name)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The actor for the audit trail. `via` is the interface, for example `SecurityInsights`.
    pub fn actor(&self, via: &str) -> Actor {
        let principal = self.principal.as_ref();
        let person = principal.and_then(|principal| principal.person.as_ref());
        Actor {
            name: principal.map_or_else(|| "nobody".to_owned(), |principal| principal.label().to_owned()),
            object_id: principal.map(|principal| principal.object_id.clone()),
            email: person.and_then(|person| person.email.clone()),
            user_principal_name: person.map(|person| person.user_principal_name.clone()),
            via: via.to_owned(),
            address: Some(self.peer.ip().to_string()),
        }
    }

    /// Parses the query string as `T`; the error names the parameter.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        let pairs = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.query.pairs).finish();
        serde_urlencoded::from_str(&pairs)
            .map_err(|error| ApiError::bad_request("InvalidQueryParameter", format!("The query string is wrong: {error}.")))
    }

    /// Reads the whole body, inflated. A second call returns nothing.
    pub async fn bytes(&mut self, limits: BodyLimits) -> Result<Bytes, ApiError> {
        match self.body.take() {
            Some(body) => {
                let address = self.peer.ip().to_string();
                let (wire, holder) = match &self.principal {
                    Some(principal) => (&self.budgets.wire, principal.app_id.as_str()),
                    None => (&self.budgets.open, address.as_str()),
                };
                body::read(body, &self.headers, limits, Account { wire, inflated: &self.budgets.inflated, holder }).await
            }
            None => Ok(Bytes::new()),
        }
    }

    /// Reads the body as JSON of type `T`, at most 4 MiB and 64 levels deep. The error names the position.
    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<T, ApiError> {
        let bytes = self.bytes(BodyLimits::CONFIGURATION).await?;
        from_json(&bytes)
    }

    /// Reads the body as form fields, in order.
    pub async fn form(&mut self) -> Result<Query, ApiError> {
        let bytes = self.bytes(BodyLimits::FORM).await?;
        Ok(Query::parse(&bytes))
    }

    /// Whether the content type is JSON.
    pub fn is_json(&self) -> bool {
        self.headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    }

    /// An absolute link to this path with other query parameters, for `nextLink`.
    pub fn link(&self, pairs: &[(&str, &str)]) -> String {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        format!("{}{}?{query}", self.origin, self.path)
    }
}

/// Parses JSON with our depth limit; the error names the path, line and column.
pub fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(ApiError::bad_request("InvalidRequestContent", "The request has no body; it must be JSON."));
    }
    if body::deeper_than(bytes, body::MAX_JSON_DEPTH) {
        return Err(body::too_deep());
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    serde_path_to_error::deserialize(&mut reader).and_then(|value| reader.end().map(|()| value).map_err(root_error)).map_err(|error| {
        let path = error.path().to_string();
        let place = if path == "." { "The request's body is wrong".to_owned() } else { format!("The request's body is wrong at `{path}`") };
        let refusal = ApiError::bad_request("InvalidRequestContent", format!("{place}: {}.", error.inner()));
        if path == "." { refusal } else { refusal.target(path) }
    })
}

fn root_error(error: serde_json::Error) -> serde_path_to_error::Error<serde_json::Error> {
    serde_path_to_error::Error::new(serde_path_to_error::Track::new().path(), error)
}

/// Decoded names and values of a query string or form, in order. Names are case-insensitive: `$filter`, `API-Version`.
#[derive(Clone, Debug, Default)]
pub struct Query {
    pub pairs: Vec<(String, String)>,
}

impl Query {
    /// Decodes names as well as values: a stock client sends `api%2Dversion`.
    pub fn parse(encoded: &[u8]) -> Self {
        Self { pairs: url::form_urlencoded::parse(encoded).into_owned().collect() }
    }

    /// The first value of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// As [`Self::get`], but an empty value counts as missing.
    pub fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_parameters_are_decoded() {
        // WIRE §10: @azure/monitor-ingestion sends `?api%2Dversion=2023-01-01`.
        let query = Query::parse(b"api%2Dversion=2023-01-01&%24filter=properties%2Fstatus+eq+%27New%27&empty=");
        assert_eq!(query.get("api-version"), Some("2023-01-01"));
        assert_eq!(query.get("$Filter"), Some("properties/status eq 'New'"));
        assert_eq!((query.get("empty"), query.filled("empty")), (Some(""), None));
    }

    #[test]
    fn wrong_json_names_the_place() {
        #[derive(Debug, serde::Deserialize)]
        struct Outer {
            #[allow(dead_code)]
            items: Vec<u32>,
        }
        let error = from_json::<Outer>(br#"{"items":[1,"x"]}"#).unwrap_err();
        assert_eq!(error.target.as_deref(), Some("items[1]"));
        let deep = [b"[".repeat(1000), b"]".repeat(1000)].concat();
        assert_eq!(from_json::<serde_json::Value>(&deep).unwrap_err().code, "JsonTooDeep");
        assert_eq!(from_json::<serde_json::Value>(b" ").unwrap_err().code, "InvalidRequestContent");
        assert!(from_json::<serde_json::Value>(b"{} x").is_err());
    }
}
