//! An endpoint is a value in a table: required role, parameters, response, and handler.
//!
//! The table feeds the router, authorisation, docs/reference/api.md and the tests that prove that every route rejects unauthorised callers.

use futures::future::BoxFuture;
use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::call::Call;
use crate::context::Context;
use crate::dialect::Dialect;
use crate::error::ApiError;
use crate::reply::Reply;

/// A route with its metadata.
pub struct Endpoint {
    pub method: Method,
    /// Literal segments are case-insensitive. `{name}` matches one segment, `{name*}` one or more. One group in brackets, such as `[/v1]`,
    /// is optional.
    pub path: &'static str,
    /// One line for the reference documentation, imperative, no full stop.
    pub summary: &'static str,
    /// API conventions: audience, scope, error envelope.
    pub dialect: &'static Dialect,
    pub role: Role,
    /// The action that the caller needs, named as in Azure's resource providers: `Microsoft.SecurityInsights/incidents/write`. Those of our
    /// own API begin with `Bartizan/`, those of the directory with `microsoft.directory/`. [`NO_ACTION`] on
    /// endpoints that need no role assignment.
    pub action: &'static str,
    pub query: Shape,
    pub takes: Shape,
    pub returns: Shape,
    pub run: for<'a> fn(&'a Context, Call) -> BoxFuture<'a, Result<Reply, ApiError>>,
}

/// The action of an endpoint that needs no role assignment: it is open, or about the caller's own account. No role permits it.
pub const NO_ACTION: &str = "";

/// Who may call an endpoint, in five steps for documentation. The decision is made by the endpoint's action; a test proves that both agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// No authentication. The text says why that is safe; a test prints the list.
    Open(&'static str),
    /// Any person who is signed in, for the person's own account. No role assignment is needed.
    SignedIn,
    /// Read objects and run queries.
    Reader,
    /// Work on incidents.
    Responder,
    /// Change tables, rules and everything except role assignments.
    Contributor,
    /// Send telemetry through a data collection rule (Azure: *Monitoring Metrics Publisher*).
    Publisher,
    /// Manage role assignments.
    Owner,
}

impl Role {
    /// Whether role assignments decide who may call, so that the endpoint has an action.
    pub fn is_assigned(self) -> bool {
        !matches!(self, Role::Open(_) | Role::SignedIn)
    }

    pub fn name(self) -> &'static str {
        match self {
            Role::Open(_) => "open",
            Role::SignedIn => "signed in",
            Role::Reader => "reader",
            Role::Responder => "responder",
            Role::Contributor => "contributor",
            Role::Publisher => "publisher",
            Role::Owner => "owner",
        }
    }
}

/// Generates a JSON schema of a type, or `None`.
pub type Shape = fn(&mut SchemaGenerator) -> Option<Schema>;

/// The schema of `T`.
pub fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Option<Schema> {
    Some(generator.subschema_for::<T>())
}

/// No query string, no body, or no response body.
pub fn nothing(_: &mut SchemaGenerator) -> Option<Schema> {
    None
}

/// JSON as defined by Microsoft's published specification of the dialect.
pub fn as_specified(_: &mut SchemaGenerator) -> Option<Schema> {
    Some(Schema::default())
}
