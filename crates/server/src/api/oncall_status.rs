//! `POST /api/v1/oncall/inbound/status` — delivery status of a text message or call.

use http::Method;

use super::phone::{Posted, SIGNED, page, refusal};
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, NO_ACTION, nothing};
use crate::reply::Reply;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::POST,
    path: "/api/v1/oncall/inbound/status",
    summary: "Take news of a text message or call from the telephone provider",
    dialect: &OURS,
    role: SIGNED,
    action: NO_ACTION,
    query: nothing,
    takes: nothing,
    returns: nothing,
    run: |cx, mut call| {
        Box::pin(async move {
            let posted = Posted::take(&mut call).await?;
            cx.oncall.inbox.status(&posted.request(), page(&call)?).await.map_err(refusal)?;
            Ok(Reply::no_content())
        })
    },
};
