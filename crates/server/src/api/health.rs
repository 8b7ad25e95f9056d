//! `GET /healthz` — ready to serve.

use http::Method;

use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, nothing};
use crate::reply::Reply;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::GET,
    path: "/healthz",
    summary: "Answer 200 when the service is ready",
    dialect: &OURS,
    role: Role::Open("load balancers and scripts ask before they have a token; the answer is one word"),
    query: nothing,
    takes: nothing,
    returns: nothing,
    run: |_, _| Box::pin(async { Ok(Reply::text("ok\n")) }),
};
