//! The Log Analytics query API: runs KQL and returns tables.
//!
//! Wire: learn.microsoft.com/azure/azure-monitor/logs/api/overview; every path is available with and without `/v1`, because stock SDKs
//! differ.

mod encode;
mod failure;
mod prefer;
mod run;
mod timespan;

mod batch;
mod get;
mod post;
mod resource;

use crate::endpoint::Endpoint;

pub static ENDPOINTS: &[&Endpoint] = &[&post::ENDPOINT, &get::ENDPOINT, &resource::POST, &resource::GET, &batch::ENDPOINT];
