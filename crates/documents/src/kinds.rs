//! The kinds of documents. To add one, add a file in `kinds/` and a line here.

mod named;
pub mod oncall;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kind::Kind;
use named::Named;

/// Declares the modules, the table of kinds, and the type of a whole document with one field for each kind. A module holds
/// `pub static KIND: impl Kind` and `pub type Body`. The kinds of on call have a module of their own.
macro_rules! kinds {
    ($($name:ident: $summary:literal),* $(,)? ; $($oncall:ident: $body:ty, $about:literal),* $(,)?) => {
        $(pub mod $name;)*

        /// The kinds with a file here, in the order in which they are written.
        static OWN: &[&dyn Kind] = &[$(&$name::KIND),*];

        /// A document: objects by kind and name.
        #[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct Whole {
            $(#[doc = $summary] #[serde(skip_serializing_if = "Option::is_none")] $name: Option<Named<$name::Body>>,)*
            $(#[doc = $about] #[serde(skip_serializing_if = "Option::is_none")] $oncall: Option<Named<$body>>,)*
        }
    };
}

kinds! {
    tables: "Custom tables: columns and retention.",
    functions: "Saved searches; one with an alias is a function that queries call.",
    data_collection_rules: "How uploaded records become rows of tables.",
    analytics_rules: "Rules that search tables and raise alerts, in the fields of Microsoft's YAML.",
    applications: "Clients that call the APIs. Their secrets are made through Microsoft Graph and are in no document.",
    role_assignments: "What applications may do.",
    ;
    users: ::oncall::directory::User, "People, and how they are reached.",
    schedules: ::oncall::directory::Schedule, "Who is on call, and when.",
    overrides: ::oncall::directory::Override, "Who stands in for whom, and when.",
    escalation_policies: ::oncall::directory::EscalationPolicy, "Whom an incident reaches, step by step.",
    alert_policies: ::oncall::directory::AlertPolicy, "Which incidents page whom.",
    maintenance_windows: ::oncall::directory::MaintenanceWindow, "Planned work, during which nobody is paged.",
    heartbeats: ::oncall::directory::Heartbeat, "What must say regularly that it is alive.",
}

/// Every kind, in the order in which they are written.
pub fn all() -> impl Iterator<Item = &'static dyn Kind> {
    OWN.iter().copied().chain(oncall::FAMILY.iter().map(|kind| kind as &'static dyn Kind))
}

/// The kind with this name, as in documents.
pub fn find(name: &str) -> Option<&'static dyn Kind> {
    all().find(|kind| kind.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_the_fields_of_a_document() {
        let schema = schemars::schema_for!(Whole).to_value();
        let mut fields: Vec<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        let mut names: Vec<&str> = all().map(Kind::name).collect();
        fields.sort_unstable();
        names.sort_unstable();
        assert_eq!(fields, names);
        assert!(::oncall::document::KINDS.iter().all(|kind| find(kind).is_some()));
    }
}
