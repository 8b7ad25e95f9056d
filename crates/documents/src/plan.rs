//! What applying a document would do: the stored objects, the wanted ones, and their differences.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{Scope, TableSchema};
use oncall::objects::{Difference, Verb};
use serde_json::Value;

use crate::document::Document;
use crate::error::ApplyError;
use crate::kind::{Kind, Removal, Stored};
use crate::kinds;
use crate::stored::World;

/// Stored objects by kind and name.
pub(crate) type Before = BTreeMap<&'static str, BTreeMap<String, Stored>>;

/// What is deleted besides what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deletions<'a> {
    Nothing,
    /// The objects that the document does not have, of the kinds that it names.
    Prune,
    /// One object: kind and name.
    One(&'a str, &'a str),
}

/// A document against what is stored.
pub struct Plan<'w> {
    pub world: &'w World,
    pub(crate) before: Before,
    /// With the names that are stored and bodies as they will be read back.
    pub wanted: Document,
    /// By kind, then by name.
    pub differences: Vec<Difference>,
    /// Bodies of all objects as they will be, by kind and name.
    after: BTreeMap<&'static str, BTreeMap<String, Value>>,
    pub(crate) prune: bool,
}

impl<'w> Plan<'w> {
    pub(crate) async fn make(world: &'w World, wanted: &Document, deletions: Deletions<'_>) -> Result<Self, ApplyError> {
        let before = stored(world).await?;
        let wanted = settled(world, &before, wanted).await?;
        let mut differences = Vec::new();
        for kind in kinds::all().filter(|kind| !kinds::oncall::is_family(kind.name())) {
            differ(kind, &before, &wanted, deletions, &mut differences);
        }
        let prune = deletions == Deletions::Prune;
        let mut plan = Self { world, before, wanted, differences, after: BTreeMap::new(), prune };
        plan.differences.extend(kinds::oncall::differences(&plan).await?);
        plan.after = plan.bodies_after();
        Ok(plan)
    }

    /// Whether the stored objects are still those of the plan.
    pub(crate) async fn is_current(&self) -> Result<bool, ApplyError> {
        Ok(stored(self.world).await? == self.before)
    }

    /// The stored object.
    pub fn stored(&self, kind: &str, name: &str) -> Option<&Stored> {
        self.before.get(kind)?.get(name)
    }

    /// The objects as they will be.
    pub fn after(&self, kind: &str) -> impl Iterator<Item = (&str, &Value)> + Clone {
        self.after.get(kind).into_iter().flatten().map(|(name, body)| (name.as_str(), body))
    }

    /// Whether there will be such an object.
    pub fn will_be(&self, kind: &str, name: &str) -> bool {
        self.after.get(kind).is_some_and(|objects| objects.contains_key(name))
    }

    /// Names of the objects that will be deleted.
    pub fn deleted(&self, kind: &str) -> impl Iterator<Item = &str> {
        let deleted = self.differences.iter().filter(move |each| each.verb == Verb::Delete && each.kind == kind);
        deleted.map(|each| each.name.as_str())
    }

    /// The table as it will be.
    pub fn table(&self, name: &str) -> Option<Arc<TableSchema>> {
        if self.deleted("tables").any(|deleted| deleted == name) {
            return None;
        }
        let stored = self.world.catalog.table(name);
        match self.wanted.kinds.get("tables").and_then(|tables| tables.get(name)) {
            Some(body) => Some(Arc::new(kinds::tables::schema_of(name, body, stored.as_deref()))),
            None => stored,
        }
    }

    /// Names of all tables as they will be.
    pub fn tables(&self) -> BTreeSet<String> {
        let stored = self.world.catalog.tables().into_iter().map(|table| table.name.as_str().to_owned());
        let wanted = self.wanted.of("tables").map(|(name, _)| name.clone());
        let mut all: BTreeSet<String> = stored.chain(wanted).collect();
        for name in self.deleted("tables") {
            all.remove(name);
        }
        all
    }

    /// Tables and functions that queries will find, where they differ from those that exist.
    pub fn scope(&self) -> Scope {
        let changed = |kind: &'static str| {
            let changed = self.differences.iter().filter(move |each| each.kind == kind && each.verb != Verb::Delete);
            changed.map(|each| each.name.as_str())
        };
        let tables = changed("tables").filter_map(|name| self.table(name));
        let inline = |table: Arc<TableSchema>| Arc::new(model::InlineTable { schema: (*table).clone(), batches: Vec::new() });
        let functions = changed("functions").filter_map(|name| {
            let body = self.after.get("functions")?.get(name)?;
            kinds::functions::callable(name, body).map(Arc::new)
        });
        Scope { tables: tables.map(inline).collect(), functions: functions.collect(), ..Scope::default() }
    }

    fn bodies_after(&self) -> BTreeMap<&'static str, BTreeMap<String, Value>> {
        let mut after = BTreeMap::new();
        for kind in kinds::all() {
            let stored = self.before.get(kind.name()).into_iter().flatten();
            let mut objects: BTreeMap<String, Value> = stored.map(|(name, object)| (name.clone(), object.body.clone())).collect();
            objects.extend(self.wanted.of(kind.name()).map(|(name, body)| (name.clone(), body.clone())));
            for name in self.deleted(kind.name()) {
                objects.remove(name);
            }
            after.insert(kind.name(), objects);
        }
        after
    }
}

/// All stored objects.
pub(crate) async fn stored(world: &World) -> Result<Before, ApplyError> {
    let mut all = Before::new();
    for kind in kinds::all() {
        let objects = kind.list(world).await?;
        all.insert(kind.name(), objects.into_iter().map(|object| (object.name.clone(), object)).collect());
    }
    Ok(all)
}

/// The wanted objects under the names that are stored, with bodies as they will be read back.
async fn settled(world: &World, before: &Before, wanted: &Document) -> Result<Document, ApplyError> {
    let mut settled = Document::default();
    for kind in kinds::all().filter(|kind| wanted.names(kind.name())) {
        let stored = before.get(kind.name());
        let mut objects = BTreeMap::new();
        for (name, body) in wanted.of(kind.name()) {
            let known = stored.and_then(|stored| match stored.get(name) {
                None if kind.ignores_case() => stored.values().find(|object| object.name.eq_ignore_ascii_case(name)),
                exact => exact,
            });
            let name = known.map_or(name, |object| &object.name);
            let body = kind.settle(world, name, known.map(|object| &object.body), body.clone()).await?;
            let twice = kind.ignores_case() && objects.keys().any(|other: &String| other.eq_ignore_ascii_case(name));
            if twice || objects.insert(name.clone(), body).is_some() {
                let path = format!("{}.{name}", kind.name());
                let problem = format!("the name stands twice: names of a {} ignore case", kind.singular());
                return Err(ApplyError::Shape { path, problem, help: String::new() });
            }
        }
        settled.kinds.insert(kind.name(), objects);
    }
    Ok(settled)
}

/// Adds the differences of one kind, by name.
fn differ(kind: &dyn Kind, before: &Before, wanted: &Document, deletions: Deletions<'_>, differences: &mut Vec<Difference>) {
    let none = BTreeMap::new();
    let stored = before.get(kind.name()).unwrap_or(&none);
    let wanted_bodies = wanted.kinds.get(kind.name());
    let names: BTreeSet<&String> = stored.keys().chain(wanted_bodies.into_iter().flat_map(BTreeMap::keys)).collect();
    for name in names {
        let (old, new) = (stored.get(name), wanted_bodies.and_then(|wanted| wanted.get(name)));
        let verb = match (old, new) {
            (None, Some(_)) => Verb::Create,
            (Some(old), Some(new)) if old.body != *new => Verb::Change,
            (Some(old), None) => {
                let meant = match deletions {
                    Deletions::Nothing => false,
                    Deletions::Prune => wanted.names(kind.name()) && old.removal == Removal::Allowed,
                    Deletions::One(of, one) => of == kind.name() && one == name,
                };
                if !meant {
                    continue;
                }
                Verb::Delete
            }
            _ => continue,
        };
        let (before, after) = (old.map(|object| object.body.clone()), new.cloned());
        differences.push(Difference { verb, kind: kind.name().to_owned(), name: name.clone(), before, after });
    }
}
