//! `/api/v1/oncall`: schedules, pages and answers; and below `/oncall` the routes that are authorised by a signed URL.

mod answers;
mod calendars;
mod common;
mod documents;
mod duty;
mod heartbeats;
mod links;
mod objects;
pub(super) mod page_html;
mod pages;
mod replay;
mod test_contact;
mod thread;

pub(crate) use common::apply_error;

use crate::endpoint::Endpoint;

pub static ENDPOINTS: &[&Endpoint] = &[
    &objects::LIST,
    &objects::GET,
    &objects::PUT,
    &objects::DELETE,
    &documents::CHECK,
    &documents::DIFF,
    &documents::APPLY,
    &documents::EXPORT,
    &duty::WHO,
    &duty::SHIFTS,
    &duty::HEALTH,
    &calendars::OF_SCHEDULE,
    &calendars::OF_USER,
    &calendars::ADDRESS_OF_SCHEDULE,
    &calendars::ADDRESS_OF_USER,
    &calendars::FEED_OF_SCHEDULE,
    &calendars::FEED_OF_USER,
    &pages::PAGES,
    &pages::ESCALATIONS,
    &replay::REPLAY,
    &answers::INCIDENT,
    &answers::ALERT,
    &thread::LIST,
    &thread::POST,
    &test_contact::TEST,
    &heartbeats::STATE,
    &heartbeats::BEAT,
    &heartbeats::ADDRESS,
    &heartbeats::SIGNED_BEAT,
    &links::SHOW,
    &links::ANSWER,
];
