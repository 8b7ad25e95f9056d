//! `/api/v1/documents`: the configuration as documents, of every kind. One endpoint is one file here and one line below.

mod apply;
mod check;
mod common;
mod delete;
mod diff;
mod export;
mod get;
mod kinds;
mod put;

use crate::endpoint::Endpoint;

pub static ENDPOINTS: &[&Endpoint] = &[
    &export::ENDPOINT,
    &kinds::ENDPOINT,
    &check::ENDPOINT,
    &diff::ENDPOINT,
    &apply::ENDPOINT,
    &get::ENDPOINT,
    &put::ENDPOINT,
    &delete::ENDPOINT,
];
