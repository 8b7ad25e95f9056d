//! Shared by the telephone provider's routes: the request with its signature, and TwiML responses.

use http::{HeaderValue, StatusCode};
use oncall::inbound::{PhoneError, Request};
use uuid::Uuid;

use crate::call::Call;
use crate::endpoint::Role;
use crate::error::ApiError;
use crate::reply::Reply;

pub(super) const SIGNED: Role =
    Role::Open("the telephone provider signs every request with the account's token; one that is not signed is refused before it is read");

/// A webhook request, detached from its call.
pub(super) struct Posted {
    path: String,
    signature: String,
    form: Vec<(String, String)>,
}

impl Posted {
    pub async fn take(call: &mut Call) -> Result<Self, ApiError> {
        let form = call.form().await?.pairs;
        let mut path = call.path.clone();
        if !call.query.pairs.is_empty() {
            // The query we gave to the provider is a page id, so encoding it again yields the signed text.
            path += &format!("?{}", url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&call.query.pairs).finish());
        }
        Ok(Self { path, signature: call.header("x-twilio-signature").unwrap_or_default().to_owned(), form })
    }

    pub fn request(&self) -> Request<'_> {
        Request { path: &self.path, signature: &self.signature, form: &self.form }
    }
}

/// The page id in the URL.
pub(super) fn page(call: &Call) -> Result<Uuid, ApiError> {
    let page = call.query.pairs.iter().find(|(name, _)| name == "page").and_then(|(_, page)| page.parse().ok());
    page.ok_or_else(|| ApiError::bad_request("InvalidQueryParameter", "The query string must name a page: `page=…`."))
}

pub(super) fn twiml(result: Result<String, PhoneError>) -> Result<Reply, ApiError> {
    let twiml = result.map_err(refusal)?;
    Ok(Reply::bytes(StatusCode::OK, HeaderValue::from_static("text/xml; charset=utf-8"), twiml))
}

pub(super) fn refusal(error: PhoneError) -> ApiError {
    match error {
        PhoneError::Unsigned => {
            let message = "The request is not signed by an account that is set up here, for the address that it was sent to. Check `auth_token` and `public_url`.";
            ApiError::forbidden("InvalidSignature", message)
        }
        error => ApiError::internal(&error),
    }
}
