//! From alerts to incidents and table rows.

mod changes;
mod correlation;
mod grouping;
mod outbox;
mod store;
mod support;
