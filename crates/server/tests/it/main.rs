//! The server from outside: real TLS, a real HTTP client, and canned ports.

mod bad_input;
mod bearer;
mod documents;
mod entra;
mod health;
mod host_names;
mod house;
mod ingestion;
mod kql;
mod listener;
mod lock_out;
mod oncall;
mod pages;
mod people;
mod query;
mod refusals;
mod resource_manager;
mod roles;
mod routes;
mod rules;
