//! What documents are checked against and written to.

use std::sync::Arc;

use model::{Catalog, Clock, QueryEngine};
use oncall::objects::Objects;
use store::Store;

use crate::cloud::Cloud;

/// The ports and the identifiers of the service, or what stands in for them when files are checked without one.
#[derive(Clone)]
pub struct World {
    pub catalog: Arc<dyn Catalog>,
    pub engine: Arc<dyn QueryEngine>,
    pub clock: Arc<dyn Clock>,
    pub cloud: Cloud,
    /// The roles that can be assigned.
    pub roles: Vec<RoleName>,
    /// `None`: without a service.
    pub state: Option<State>,
}

/// The control state of a service.
#[derive(Clone)]
pub struct State {
    pub store: Store,
    pub oncall: Arc<Objects>,
}

/// A role definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleName {
    pub id: &'static str,
    pub name: &'static str,
}

impl World {
    /// The role with this name or id, ignoring case.
    pub fn role(&self, text: &str) -> Option<RoleName> {
        self.roles.iter().copied().find(|role| role.name.eq_ignore_ascii_case(text) || role.id.eq_ignore_ascii_case(text))
    }
}
