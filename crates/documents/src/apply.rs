//! Lists, checks, compares and applies documents.
//!
//! The stored objects are read and the plan is checked outside of the write transaction, since binding queries may take seconds. Within the
//! transaction, which excludes other writers, the objects are read again; if they changed, everything starts over.

use std::collections::BTreeMap;

use model::Actor;
use oncall::objects::{Difference, Verb};
use serde_json::Value;

use crate::check::{self, Checked};
use crate::document::Document;
use crate::error::ApplyError;
use crate::kind::{Kind, Outside, Removal, Stored, Writing};
use crate::kinds;
use crate::plan::{Deletions, Plan};
use crate::stored::{State, World};
use crate::writes;

/// Attempts to apply a document while others change its objects.
const ATTEMPTS: u32 = 4;

/// Reads and changes all that documents describe.
#[derive(Clone)]
pub struct Documents {
    world: World,
}

/// A condition on the stored version of one object: kind, name, etag.
type Condition<'a> = Option<(&'a str, &'a str, &'a str)>;

impl Documents {
    pub fn new(world: World) -> Self {
        Self { world }
    }

    /// Everything of these kinds, as a document.
    pub async fn export(&self, kinds: &[&'static dyn Kind]) -> Result<Document, ApplyError> {
        let mut document = Document::default();
        for kind in kinds {
            let objects = kind.list(&self.world).await?;
            // A kind without objects is left out, so that nothing is deleted if the export is pruned elsewhere.
            if !objects.is_empty() {
                document.kinds.insert(kind.name(), objects.into_iter().map(|object| (object.name, object.body)).collect());
            }
        }
        Ok(document)
    }

    /// One object with its etag.
    pub async fn get(&self, kind: &'static dyn Kind, name: &str) -> Result<Option<Stored>, ApplyError> {
        let objects = kind.list(&self.world).await?;
        let fits = |object: &Stored| object.name == name || (kind.ignores_case() && object.name.eq_ignore_ascii_case(name));
        Ok(objects.into_iter().find(fits))
    }

    /// Names of the objects of a kind.
    pub async fn names(&self, kind: &'static dyn Kind) -> Result<Vec<String>, ApplyError> {
        Ok(kind.list(&self.world).await?.into_iter().map(|object| object.name).collect())
    }

    /// What is wrong with applying a document.
    pub async fn check(&self, wanted: &Document, prune: bool) -> Result<Checked, ApplyError> {
        check::check(&Plan::make(&self.world, wanted, pruning(prune)).await?).await
    }

    /// What applying a document would change.
    pub async fn diff(&self, wanted: &Document, prune: bool) -> Result<Vec<Difference>, ApplyError> {
        Ok(Plan::make(&self.world, wanted, pruning(prune)).await?.differences)
    }

    /// Applies a document completely or, on any error, not at all. Returns the changes.
    pub async fn apply(&self, wanted: &Document, prune: bool, actor: &Actor) -> Result<Vec<Difference>, ApplyError> {
        self.run(wanted, pruning(prune), None, actor).await
    }

    /// Creates or replaces one object; `etag` requires that version, `*` any. Returns the object, and true if it was created.
    pub async fn put(
        &self,
        kind: &'static dyn Kind,
        name: &str,
        body: Value,
        etag: Option<&str>,
        actor: &Actor,
    ) -> Result<(Stored, bool), ApplyError> {
        let missing = || ApplyError::NoObject { kind: kind.name().to_owned(), name: name.to_owned() };
        if kinds::oncall::is_family(kind.name()) {
            let (object, created) = self.state()?.oncall.put(kind.name(), name, body, etag, actor).await?;
            return Ok((kinds::oncall::stored(object), created));
        }
        let wanted = Document::single(kind.name(), name, body)?;
        let changes = self.run(&wanted, Deletions::Nothing, etag.map(|etag| (kind.name(), name, etag)), actor).await?;
        let created = changes.iter().any(|change| change.verb == Verb::Create);
        Ok((self.get(kind, name).await?.ok_or_else(missing)?, created))
    }

    /// Deletes one object that nothing else needs. Returns false if it did not exist.
    pub async fn delete(&self, kind: &'static dyn Kind, name: &str, etag: Option<&str>, actor: &Actor) -> Result<bool, ApplyError> {
        if kinds::oncall::is_family(kind.name()) {
            return Ok(self.state()?.oncall.delete(kind.name(), name, etag, actor).await?);
        }
        let Some(object) = self.get(kind, name).await? else { return Ok(false) };
        let condition = etag.map(|etag| (kind.name(), object.name.as_str(), etag));
        let changes = self.run(&Document::default(), Deletions::One(kind.name(), &object.name), condition, actor).await?;
        Ok(!changes.is_empty())
    }

    fn state(&self) -> Result<&State, ApplyError> {
        self.world.state.as_ref().ok_or(ApplyError::NoService)
    }

    async fn run(
        &self,
        wanted: &Document,
        deletions: Deletions<'_>,
        condition: Condition<'_>,
        actor: &Actor,
    ) -> Result<Vec<Difference>, ApplyError> {
        let state = self.state()?;
        for _ in 0..ATTEMPTS {
            let plan = Plan::make(&self.world, wanted, deletions).await?;
            meets(condition, &plan)?;
            let mut problems = check::check(&plan).await?.problems;
            problems.extend(undeletable(&plan));
            if !problems.is_empty() {
                return Err(ApplyError::Wrong(problems));
            }
            if plan.differences.is_empty() {
                return Ok(Vec::new());
            }
            let mut change = state.store.begin().await?;
            if !plan.is_current().await? {
                change.abandon().await?;
                continue;
            }
            let had_owner = writes::has_owner(&mut change, &self.world.cloud).await?;
            let principals = kinds::applications::principals(&self.world).await?;
            let mut at = Writing { world: &self.world, change: &mut change, actor, now: self.world.clock.now(), principals };
            write(&plan.differences, &mut at).await?;
            if had_owner && !writes::has_owner(&mut change, &self.world.cloud).await? {
                return Err(ApplyError::LastOwner);
            }
            change.commit().await?;
            self.remove(&plan.differences).await?;
            return Ok(plan.differences);
        }
        Err(ApplyError::Busy)
    }

    /// Removes from the catalog what the transaction recorded as deleted.
    async fn remove(&self, differences: &[Difference]) -> Result<(), ApplyError> {
        for (kind, difference) in of_kinds(differences).filter(|(kind, _)| kind.outside() == Outside::Catalog) {
            if difference.verb == Verb::Delete {
                let not_removed = |cause| ApplyError::NotRemoved { kind: kind.name(), name: difference.name.clone(), cause };
                kind.remove(&self.world, &difference.name).await.map_err(not_removed)?;
            }
        }
        Ok(())
    }
}

fn pruning(prune: bool) -> Deletions<'static> {
    if prune { Deletions::Prune } else { Deletions::Nothing }
}

/// Differences with their kinds, in the order in which kinds are written.
fn of_kinds(differences: &[Difference]) -> impl DoubleEndedIterator<Item = (&'static dyn Kind, &Difference)> {
    let order: BTreeMap<&str, (usize, &'static dyn Kind)> =
        kinds::all().enumerate().map(|(place, kind)| (kind.name(), (place, kind))).collect();
    let mut all: Vec<(usize, &'static dyn Kind, &Difference)> =
        differences.iter().filter_map(|each| order.get(each.kind.as_str()).map(|(place, kind)| (*place, *kind, each))).collect();
    all.sort_by_key(|(place, _, _)| *place);
    all.into_iter().map(|(_, kind, difference)| (kind, difference))
}

/// Writes the differences: what is in the catalog first, then what is in the store; deletions last and in reverse, so that nothing names what
/// is gone.
async fn write(differences: &[Difference], at: &mut Writing<'_>) -> Result<(), ApplyError> {
    for place in [Outside::Catalog, Outside::Store] {
        for (kind, difference) in of_kinds(differences).filter(|(kind, _)| kind.outside() == place) {
            if let Some(after) = &difference.after {
                kind.put(at, &difference.name, difference.before.as_ref(), after).await?;
            }
        }
    }
    for (kind, difference) in of_kinds(differences).rev() {
        if let (None, Some(before)) = (&difference.after, &difference.before) {
            kind.delete(at, &difference.name, before).await?;
        }
    }
    Ok(())
}

fn meets(condition: Condition<'_>, plan: &Plan<'_>) -> Result<(), ApplyError> {
    let Some((kind, name, etag)) = condition else { return Ok(()) };
    let etag = etag.trim().trim_start_matches("W/").trim_matches('"');
    let objects = plan.before.get(kind).into_iter().flat_map(BTreeMap::values);
    let object = objects.into_iter().find(|object| object.name.eq_ignore_ascii_case(name));
    match object {
        Some(object) if etag == "*" || etag.eq_ignore_ascii_case(&object.etag) => Ok(()),
        _ => Err(ApplyError::Conflict { kind: kind.to_owned(), name: name.to_owned() }),
    }
}

/// A problem for each deleted object that is a part of the service.
fn undeletable(plan: &Plan<'_>) -> Vec<oncall::check::Problem> {
    let deleted = plan.differences.iter().filter(|difference| difference.verb == Verb::Delete);
    let parts = deleted.filter(|each| plan.stored(&each.kind, &each.name).is_some_and(|object| object.removal == Removal::PartOfService));
    let problem = |difference: &Difference| oncall::check::Problem {
        path: format!("{}.{}", difference.kind, difference.name),
        problem: "it is a part of the service and cannot be deleted".to_owned(),
        help: String::new(),
    };
    parts.map(problem).collect()
}
