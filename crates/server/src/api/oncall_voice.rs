//! `POST /api/v1/oncall/inbound/voice` — digit pressed during a call.

use http::Method;

use super::phone::{Posted, SIGNED, page, twiml};
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, NO_ACTION, nothing};

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::POST,
    path: "/api/v1/oncall/inbound/voice",
    summary: "Take an answer by pressed digit from the telephone provider",
    dialect: &OURS,
    role: SIGNED,
    action: NO_ACTION,
    query: nothing,
    takes: nothing,
    returns: nothing,
    run: |cx, mut call| {
        Box::pin(async move {
            let posted = Posted::take(&mut call).await?;
            twiml(cx.oncall.inbox.voice(&posted.request(), page(&call)?).await)
        })
    },
};
