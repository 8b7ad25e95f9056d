//! `GET /{tenant}/oauth2[/v2.0]/authorize` — interactive sign-in, which is not supported.
//!
//! MSAL requires the URL in the discovery document even if it never uses it. Only applications get tokens here, so the response is the
//! error of RFC 6749 §4.1.2.1 for a request that cannot be redirected.

use http::Method;

use super::{check_tenant, errors};
use crate::dialect::ENTRA;
use crate::endpoint::{Endpoint, NO_ACTION, Role, as_specified, nothing};

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::GET,
    path: "/{tenant}/oauth2[/v2.0]/authorize",
    summary: "Refuse to sign a person in: only applications get tokens",
    dialect: &ENTRA,
    role: Role::Open("it refuses everyone, and says nothing about who there is"),
    action: NO_ACTION,
    query: as_specified,
    takes: nothing,
    returns: as_specified,
    run: |cx, call| {
        Box::pin(async move {
            check_tenant(cx, call.param("tenant"))?;
            Err(errors::unsupported_response_type(call.query.filled("response_type").unwrap_or_default()))
        })
    },
};
