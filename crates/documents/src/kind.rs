//! What a kind of document is.

use async_trait::async_trait;
use model::{Actor, CatalogError, Timestamp};
use serde_json::Value;
use std::collections::BTreeMap;
use store::{AuditEntry, Change, StoreError};

use crate::check::Findings;
use crate::error::ApplyError;
use crate::plan::Plan;
use crate::stored::World;

/// A kind of document. Bodies are JSON in the form of the kind's type: parsed, so without unknown fields.
#[async_trait]
pub trait Kind: Send + Sync {
    /// As in documents: `tables`.
    fn name(&self) -> &'static str;

    /// For messages: `table`.
    fn singular(&self) -> &'static str;

    /// One line for the reference.
    fn summary(&self) -> &'static str;

    /// Who may read and write objects of this kind.
    fn access(&self) -> Access;

    /// Whether `Web` and `web` are one object.
    fn ignores_case(&self) -> bool {
        true
    }

    /// What is wrong with a name; the names that Azure allows differ between resources.
    fn check_name(&self, name: &str) -> Option<&'static str> {
        let fits = (1..=64).contains(&name.len())
            && !name.starts_with('.')
            && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
        (!fits).then_some("Use 1 to 64 letters, digits, `-`, `_` and `.`")
    }

    /// The stored objects. Objects that the service made for itself are left out.
    async fn list(&self, world: &World) -> Result<Vec<Stored>, StoreError>;

    /// The body as it will be read back after it was written: with defaults left out and names in their canonical form. A body that is wrong
    /// is returned as it is, for [`Kind::check`].
    async fn settle(&self, world: &World, name: &str, before: Option<&Value>, wanted: Value) -> Result<Value, StoreError> {
        let _ = (world, name, before);
        Ok(wanted)
    }

    /// Reports what is wrong with the wanted objects of this kind, and with deleting others.
    async fn check(&self, plan: &Plan<'_>, found: &mut Findings);

    /// Where its objects are kept.
    fn outside(&self) -> Outside {
        Outside::Store
    }

    /// Creates or replaces an object, with its audit entry.
    async fn put(&self, at: &mut Writing<'_>, name: &str, before: Option<&Value>, after: &Value) -> Result<(), ApplyError>;

    /// Deletes an object, with its audit entry. What is kept in the catalog is removed by [`Kind::remove`], after the transaction.
    async fn delete(&self, at: &mut Writing<'_>, name: &str, before: &Value) -> Result<(), ApplyError>;

    /// Removes an object from the catalog.
    async fn remove(&self, world: &World, name: &str) -> Result<(), CatalogError> {
        let _ = (world, name);
        Ok(())
    }

    /// What must be reloaded after a change.
    fn cache(&self) -> Option<Cache> {
        None
    }
}

/// A stored object.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    pub name: String,
    /// Changes with the object.
    pub etag: String,
    pub body: Value,
    /// Whether it may be deleted. Objects that are a part of the service are changed, but not deleted.
    pub removal: Removal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    Allowed,
    PartOfService,
}

impl Stored {
    /// An object whose store has no etag; it is computed from the body.
    pub fn of(name: impl Into<String>, body: Value) -> Self {
        let etag = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, body.to_string().as_bytes()).to_string();
        Self { name: name.into(), etag, body, removal: Removal::Allowed }
    }
}

/// Where objects are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// In SQLite: part of the one transaction.
    Store,
    /// In the catalog: made before the transaction ends, removed after it.
    Catalog,
}

/// State in memory that a change makes stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// The rules that uploads use.
    DataCollectionRules,
    /// The roles that requests are checked against.
    Grants,
}

/// The actions, named as in Azure's roles, that objects of a kind need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    pub level: Level,
    pub read: &'static str,
    /// To create and to replace.
    pub write: &'static str,
    pub delete: &'static str,
    /// Whether of the general roles only Owner permits writing; otherwise Contributor does, too.
    pub owner: bool,
}

/// The scope at which roles are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Workspace,
    ResourceGroup,
    Tenant,
}

/// An apply at work.
pub struct Writing<'a> {
    pub world: &'a World,
    pub change: &'a mut Change,
    pub actor: &'a Actor,
    pub now: Timestamp,
    /// Object ids of applications, stored and just made, by name.
    pub principals: BTreeMap<String, String>,
}

impl Writing<'_> {
    /// Records a change in the audit trail.
    pub async fn record(&mut self, aggregate: &str, id: &str, action: &str, changes: Value) -> Result<(), StoreError> {
        let entry = AuditEntry {
            at: self.now,
            aggregate: aggregate.to_owned(),
            id: id.to_owned(),
            action: action.to_owned(),
            actor: self.actor.clone(),
            changes,
        };
        self.change.record(&entry).await
    }
}
