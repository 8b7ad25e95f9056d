//! Alerts to incidents, from the store to the tables.

mod changes;
mod correlation;
mod grouping;
mod outbox;
mod store;
mod support;
