//! A role definition and its verdict on an action.

use super::builtin::ROLE_DEFINITIONS;
use super::pattern::matches;

/// An Azure built-in role.
#[derive(Debug)]
pub struct RoleDefinition {
    /// Azure's GUID.
    pub id: &'static str,
    pub name: &'static str,
    /// Azure's description.
    pub description: &'static str,
    pub actions: &'static [&'static str],
    pub not_actions: &'static [&'static str],
    pub data_actions: &'static [&'static str],
    pub not_data_actions: &'static [&'static str],
    /// Patterns of our own actions and of the directory's, see [`Plane::Own`].
    pub own: &'static [&'static str],
    pub not_own: &'static [&'static str],
}

/// Which lists of a definition decide about an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plane {
    /// `actions` and `notActions`.
    Control,
    /// `dataActions` and `notDataActions`.
    Data,
    /// `own` and `not_own`: actions of our own API (`Bartizan/…`) and of the directory (`microsoft.directory/…`, named as in Entra). Azure's
    /// roles do not grant the latter either; here they do, because there is one administrator for both.
    Own,
}

/// The data actions among the actions of endpoints.
pub const DATA_ACTIONS: &[&str] = &["Microsoft.Insights/Telemetry/Write", "Microsoft.Insights/Metrics/Write"];

/// Prefixes of [`Plane::Own`].
const OWN_PREFIXES: &[&str] = &["Bartizan/", "microsoft.directory/"];

impl Plane {
    pub fn of(action: &str) -> Self {
        let begins = |prefix: &&str| action.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        if OWN_PREFIXES.iter().any(begins) {
            Self::Own
        } else if DATA_ACTIONS.iter().any(|known| known.eq_ignore_ascii_case(action)) {
            Self::Data
        } else {
            Self::Control
        }
    }
}

impl RoleDefinition {
    /// Whether the role includes the action. False for an empty action.
    pub fn permits(&self, action: &str) -> bool {
        let (granted, taken) = match Plane::of(action) {
            Plane::Control => (self.actions, self.not_actions),
            Plane::Data => (self.data_actions, self.not_data_actions),
            Plane::Own => (self.own, self.not_own),
        };
        let any = |patterns: &[&str]| patterns.iter().any(|pattern| matches(pattern, action));
        !action.is_empty() && any(granted) && !any(taken)
    }
}

/// The definition with that id, given bare or as a resource id ending in it.
pub fn definition(id: &str) -> Option<&'static RoleDefinition> {
    let bare = id.trim_end_matches('/').rsplit('/').next().unwrap_or(id);
    ROLE_DEFINITIONS.iter().copied().find(|definition| definition.id.eq_ignore_ascii_case(bare))
}

/// The definition of that name, ignoring case, or of that id.
pub fn named(name: &str) -> Option<&'static RoleDefinition> {
    ROLE_DEFINITIONS.iter().copied().find(|definition| definition.name.eq_ignore_ascii_case(name.trim())).or_else(|| definition(name))
}
