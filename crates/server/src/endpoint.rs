//! An endpoint is a value in a table: who may call it, what it takes, what it answers, and the function that does it.
//!
//! The table feeds the router, the authorisation, docs/reference/api.md and the tests that prove every route refuses a stranger.

use futures::future::BoxFuture;
use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::call::Call;
use crate::context::Context;
use crate::dialect::Dialect;
use crate::error::ApiError;
use crate::reply::Reply;

/// A route with everything the product needs to know about it.
pub struct Endpoint {
    pub method: Method,
    /// Literal segments match in any case. `{name}` takes one segment, `{name*}` one or more. One group in brackets, such as `[/v1]`,
    /// may be there or not.
    pub path: &'static str,
    /// One line for the reference, imperative, no full stop.
    pub summary: &'static str,
    /// Whose manners: audience, scope, error envelope.
    pub dialect: &'static Dialect,
    pub role: Role,
    pub query: Shape,
    pub takes: Shape,
    pub returns: Shape,
    pub run: for<'a> fn(&'a Context, Call) -> BoxFuture<'a, Result<Reply, ApiError>>,
}

/// What the caller must be allowed to do, at the scope that the request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Anybody. The text says why that is safe; a test prints the list.
    Open(&'static str),
    /// Look at things, run queries.
    Reader,
    /// Work on incidents.
    Responder,
    /// Change tables, rules, anything but rights.
    Contributor,
    /// Send telemetry through a data collection rule (Azure: *Monitoring Metrics Publisher*).
    Publisher,
    /// Give and take rights.
    Owner,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Role::Open(_) => "open",
            Role::Reader => "reader",
            Role::Responder => "responder",
            Role::Contributor => "contributor",
            Role::Publisher => "publisher",
            Role::Owner => "owner",
        }
    }
}

/// A JSON schema made from a type, or nothing.
pub type Shape = fn(&mut SchemaGenerator) -> Option<Schema>;

/// The schema of `T`.
pub fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Option<Schema> {
    Some(generator.subschema_for::<T>())
}

/// There is no query string, no body, or no answer beyond the status.
pub fn nothing(_: &mut SchemaGenerator) -> Option<Schema> {
    None
}

/// JSON whose form Microsoft's published specification of the dialect gives.
pub fn as_specified(_: &mut SchemaGenerator) -> Option<Schema> {
    Some(Schema::default())
}
