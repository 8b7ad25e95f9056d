//! `/users/{user}/contacts/{contact}/test` — sends a test message over the channel, as a page would be sent.

use http::Method;
use model::Span;
use oncall::escalation::PageStatus;
use oncall::records;
use oncall::service::TestError;
use schemars::JsonSchema;
use serde::Serialize;

use super::common::VIA;
use crate::call::Call;
use crate::context::Context;
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, nothing, schema};
use crate::error::ApiError;
use crate::reply::Reply;

pub static TEST: Endpoint = Endpoint {
    method: Method::POST,
    path: "/api/v1/oncall/users/{user}/contacts/{contact}/test",
    summary: "Send a test message to a contact, and say what the provider answered",
    dialect: &OURS,
    role: Role::Contributor,
    action: "Bartizan/oncall/contacts/test/action",
    query: nothing,
    takes: nothing,
    returns: schema::<Tested>,
    run: |cx, call| Box::pin(test(cx, call)),
};

/// How long to wait for the provider's result, in polls of [`LOOK`].
const LOOKS: u32 = 150;
const LOOK: Span = Span(1_000_000);

#[derive(Serialize, JsonSchema)]
struct Tested {
    /// The page that stands for it, as in the list of pages.
    page: String,
    /// Whether the provider took it.
    sent: bool,
    state: String,
    /// One sentence for the person.
    says: String,
}

async fn test(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let (user, contact) = (call.param("user"), call.param("contact"));
    let id = cx.oncall.test_contact(user, contact, &call.actor(VIA)).await.map_err(|error| match error {
        TestError::NoContact(user, contact) => {
            let shown: String = format!("{user}/{contact}").chars().take(120).collect();
            ApiError::not_found("NotFound", format!("There is no contact '{shown}' on call's directory."))
        }
        TestError::Store(error) => error.into(),
    })?;
    for _ in 0..LOOKS {
        cx.clock.sleep(LOOK).await;
        let Some(row) = cx.store.pages().get(id).await? else { break };
        let page = records::page(row)?;
        let trouble = page.troubles.last().map(|trouble| trouble.reason.clone());
        let (sent, says) = match &page.status {
            PageStatus::Planned { .. } if trouble.is_none() => continue,
            PageStatus::Claimed { .. } | PageStatus::Bundled { .. } => continue,
            PageStatus::Planned { .. } => (false, format!("It was not taken yet and is tried again: {}.", trouble.unwrap_or_default())),
            PageStatus::Sent { .. } => (true, format!("Sent to {user}/{contact} by {}.", page.channel)),
            PageStatus::Delivered { .. } | PageStatus::Seen { .. } => (true, format!("Delivered to {user}/{contact} by {}.", page.channel)),
            PageStatus::Doubtful { reason, .. } => (false, format!("It may have been sent and may not: {reason}.")),
            PageStatus::Failed { reason, .. } => (false, format!("It was not sent: {reason}.")),
            PageStatus::Dropped { because, .. } => (false, format!("It was not sent: {because}.")),
        };
        return Reply::json(Tested { page: id.to_string(), sent, state: records::page_status_name(&page.status).to_owned(), says });
    }
    let says = "The provider has not answered yet; the list of pages will tell what came of it.".to_owned();
    Reply::json(Tested { page: id.to_string(), sent: false, state: "planned".to_owned(), says })
}
