//! The applied directory: cached, reloaded after changes; changed atomically, with an audit entry for every object.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use model::{Actor, Clock, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};
use store::{AuditEntry, Change, OnCallObject, Store, StoreError, Topic};
use uuid::Uuid;

use crate::addresses::Addresses;
use crate::check::{MAX_PROBLEMS, Problem, check, check_all, warnings};
use crate::compute::{self, ComputeError, Lanes};
use crate::directory::Directory;
use crate::document::KINDS;

/// What becomes of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    Create,
    Change,
    Delete,
}

/// One difference between what is and what is wanted.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Difference {
    pub verb: Verb,
    /// `users`, `schedules` …
    pub kind: String,
    pub name: String,
    /// None: there was none.
    pub before: Option<Value>,
    pub after: Option<Value>,
}

/// Why nothing was applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("{}", .0.first().map_or_else(|| "the directory is wrong".to_owned(), ToString::to_string))]
    Wrong(Vec<Problem>),
    #[error("`{kind}.{name}` was changed since it was read; read it again")]
    Conflict { kind: String, name: String },
    #[error("there is no kind `{0}`")]
    NoKind(String),
    #[error("there is no `{kind}.{name}`")]
    NoObject { kind: String, name: String },
    /// An invalid name: names are one word that can be part of a URL and of a target.
    #[error("`{0}` is no name: use 1 to 64 letters, digits, `-`, `_` and `.`")]
    Name(String),
    #[error("`{path}`: {problem}")]
    Shape { path: String, problem: String },
    #[error("the directory was not computed")]
    Compute(#[from] ComputeError),
    #[error("the directory was not saved")]
    Store(#[from] StoreError),
}

/// Directories with more objects are loaded on a blocking thread.
const MANY: usize = 500;
/// Attempts to plan a change outside a write transaction before planning within one.
const UNLOCKED: u32 = 3;

/// Reads and changes the directory.
pub struct Objects {
    store: Store,
    clock: Arc<dyn Clock>,
    addresses: Arc<Addresses>,
    /// Queues for CPU-bound work.
    pub lanes: Lanes,
    kept: Mutex<Option<(u64, Arc<Directory>)>>,
    bell: tokio::sync::watch::Receiver<u64>,
}

impl Objects {
    pub fn new(store: Store, clock: Arc<dyn Clock>, addresses: Arc<Addresses>) -> Self {
        let bell = store.listen(Topic::OnCall);
        Self { store, clock, addresses, lanes: Lanes::default(), kept: Mutex::new(None), bell }
    }

    /// The directory as last applied. Cheap while nothing changes.
    pub async fn directory(&self) -> Result<Arc<Directory>, StoreError> {
        // Read before the objects, so that a change in between causes another reload.
        let rung = *self.bell.borrow();
        if let Some((at, directory)) = &*self.kept.lock().unwrap_or_else(PoisonError::into_inner)
            && *at == rung
        {
            return Ok(directory.clone());
        }
        let rows = self.store.oncall_objects().list().await?;
        let directory = match rows.len() {
            // A large directory takes a while to load, so this runs on a blocking thread. It bypasses the lanes: paging must not queue behind API
            // callers.
            MANY.. => {
                tokio::task::spawn_blocking(move || load(rows)).await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
            }
            _ => load(rows),
        };
        let directory = Arc::new(directory);
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((rung, directory.clone()));
        Ok(directory)
    }

    /// The effect of applying `wanted`. With `prune`, objects not in it are deleted.
    pub async fn diff(&self, wanted: Directory, prune: bool) -> Result<Vec<Difference>, ApplyError> {
        let (current, addresses) = (self.directory().await?, self.addresses.clone());
        Ok(compute::run(&self.lanes.short, move || diff(&current, &addresses.seal(&wanted), prune)).await?)
    }

    /// Errors and warnings of applying `wanted`.
    pub async fn check(&self, wanted: Directory, prune: bool) -> Result<(Vec<Problem>, Vec<Problem>), ApplyError> {
        let (current, addresses) = (self.directory().await?, self.addresses.clone());
        let check = move || {
            let wanted = addresses.seal(&wanted);
            (problems_of(&current, &wanted, prune, &addresses), warnings(&merged(&current, &wanted, prune)))
        };
        Ok(compute::run(&self.lanes.short, check).await?)
    }

    /// Applies `wanted` completely or, on any error, not at all. Returns the changes.
    pub async fn apply(&self, wanted: &Directory, prune: bool, actor: &Actor) -> Result<Vec<Difference>, ApplyError> {
        let (wanted, addresses) = (wanted.clone(), self.addresses.clone());
        let plan = move |rows: Vec<OnCallObject>| {
            for (_, name, _) in parts(&wanted) {
                check_name(&name)?;
            }
            let (current, wanted) = (load(rows), addresses.seal(&wanted));
            let problems = problems_of(&current, &wanted, prune, &addresses);
            if problems.is_empty() { Ok(diff(&current, &wanted, prune)) } else { Err(ApplyError::Wrong(problems)) }
        };
        let (mut change, differences) = self.decided(plan).await?;
        let now = self.clock.now();
        for difference in &differences {
            write(&mut change, difference, actor, now).await?;
        }
        change.commit().await?;
        Ok(differences)
    }

    /// Runs `plan` on the objects and returns its result with a transaction in which they are unchanged.
    ///
    /// The plan runs outside the transaction, since it may take a second and would block other writers; after a concurrent change it runs
    /// again, the last time within the transaction.
    async fn decided<T: Send + 'static>(
        &self,
        plan: impl Fn(Vec<OnCallObject>) -> Result<T, ApplyError> + Send + Sync + 'static,
    ) -> Result<(Change, T), ApplyError> {
        let plan = Arc::new(plan);
        let run = async |rows: Vec<OnCallObject>| {
            let plan = plan.clone();
            compute::run(&self.lanes.short, move || plan(rows)).await?
        };
        for _ in 0..UNLOCKED {
            let rows = self.store.oncall_objects().list().await?;
            let seen = versions(&rows);
            let decided = run(rows).await?;
            let mut change = self.store.begin().await?;
            if versions(&change.oncall_objects().await?) == seen {
                return Ok((change, decided));
            }
        }
        let mut change = self.store.begin().await?;
        let rows = change.oncall_objects().await?;
        let decided = run(rows).await?;
        Ok((change, decided))
    }

    /// One stored object with its etag.
    pub async fn get(&self, kind: &str, name: &str) -> Result<Option<OnCallObject>, StoreError> {
        self.store.oncall_objects().get(kind, name).await
    }

    pub async fn list(&self, kind: &str) -> Result<Vec<OnCallObject>, StoreError> {
        Ok(self.store.oncall_objects().list().await?.into_iter().filter(|object| object.kind == kind).collect())
    }

    /// Creates or replaces one object. `etag` requires that version, `*` any existing one. Returns true if created.
    pub async fn put(
        &self,
        kind: &str,
        name: &str,
        body: Value,
        etag: Option<&str>,
        actor: &Actor,
    ) -> Result<(OnCallObject, bool), ApplyError> {
        known_kind(kind)?;
        check_name(name)?;
        let addresses = self.addresses.clone();
        let (of_kind, of_name, etag) = (kind.to_owned(), name.to_owned(), etag.map(str::to_owned));
        let plan = move |rows: Vec<OnCallObject>| {
            let before = rows.iter().find(|row| row.kind == of_kind && row.name == of_name);
            check_etag(before, etag.as_deref(), &of_kind, &of_name)?;
            let created = before.is_none();
            let part = addresses.seal(&part_of(&of_kind, &of_name, body.clone())?);
            let current = load(rows);
            // Existing problems elsewhere do not prevent this change.
            let mut problems = new_problems(&current, &merged(&current, &part, false));
            problems.extend(addresses.problems(&part));
            if problems.is_empty() { Ok((diff(&current, &part, false), created)) } else { Err(ApplyError::Wrong(problems)) }
        };
        let (mut change, (differences, created)) = self.decided(plan).await?;
        for difference in differences {
            write(&mut change, &difference, actor, self.clock.now()).await?;
        }
        let object =
            change.oncall_object(kind, name).await?.ok_or_else(|| ApplyError::NoObject { kind: kind.to_owned(), name: name.to_owned() })?;
        change.commit().await?;
        Ok((object, created))
    }

    /// Removes one object, unless others reference it. Returns false if it did not exist.
    pub async fn delete(&self, kind: &str, name: &str, etag: Option<&str>, actor: &Actor) -> Result<bool, ApplyError> {
        known_kind(kind)?;
        let (of_kind, of_name, etag) = (kind.to_owned(), name.to_owned(), etag.map(str::to_owned));
        let plan = move |rows: Vec<OnCallObject>| {
            let Some(before) = rows.iter().find(|row| row.kind == of_kind && row.name == of_name).cloned() else { return Ok(None) };
            check_etag(Some(&before), etag.as_deref(), &of_kind, &of_name)?;
            let current = load(rows);
            let mut objects = map(&current);
            objects.remove(&(of_kind.clone(), of_name.clone()));
            let problems = new_problems(&current, &from_map(objects));
            if problems.is_empty() { Ok(Some(before)) } else { Err(ApplyError::Wrong(problems)) }
        };
        let (mut change, before) = self.decided(plan).await?;
        let Some(before) = before else { return Ok(false) };
        let difference =
            Difference { verb: Verb::Delete, kind: kind.to_owned(), name: name.to_owned(), before: Some(before.body), after: None };
        write(&mut change, &difference, actor, self.clock.now()).await?;
        change.commit().await?;
        Ok(true)
    }
}

/// Kinds, names and versions of the objects.
fn versions(rows: &[OnCallObject]) -> Vec<(String, String, Uuid)> {
    rows.iter().map(|row| (row.kind.clone(), row.name.clone(), row.etag)).collect()
}

/// Problems of the resulting directory, and of the addresses in `wanted`.
fn problems_of(current: &Directory, wanted: &Directory, prune: bool, addresses: &Addresses) -> Vec<Problem> {
    let mut problems = check(&merged(current, wanted, prune));
    problems.extend(addresses.problems(wanted));
    problems
}

/// The changes from `current` to `wanted`, by kind and name. Objects not in `wanted` stay, unless `prune`.
pub fn diff(current: &Directory, wanted: &Directory, prune: bool) -> Vec<Difference> {
    let (before, after) = (map(current), map(wanted));
    let names: BTreeSet<&(String, String)> = before.keys().chain(after.keys()).collect();
    let mut differences = Vec::new();
    for key in names {
        let (old, new) = (before.get(key), after.get(key));
        let verb = match (old, new) {
            (None, Some(_)) => Verb::Create,
            (Some(old), Some(new)) if old != new => Verb::Change,
            (Some(_), None) if prune => Verb::Delete,
            _ => continue,
        };
        differences.push(Difference { verb, kind: key.0.clone(), name: key.1.clone(), before: old.cloned(), after: new.cloned() });
    }
    differences
}

/// The resulting directory.
pub fn merged(current: &Directory, wanted: &Directory, prune: bool) -> Directory {
    if prune {
        return wanted.clone();
    }
    let mut all = current.clone();
    all.extend(wanted.clone());
    all
}

/// Problems of `after` that `before` does not have.
fn new_problems(before: &Directory, after: &Directory) -> Vec<Problem> {
    let old = check_all(before);
    let old: HashSet<(&str, &str)> = old.iter().map(|problem| (problem.path.as_str(), problem.problem.as_str())).collect();
    let mut problems = check_all(after);
    problems.retain(|problem| !old.contains(&(problem.path.as_str(), problem.problem.as_str())));
    problems.truncate(MAX_PROBLEMS);
    problems
}

/// Writes one difference, with its audit entry.
pub async fn write(change: &mut Change, difference: &Difference, actor: &Actor, now: Timestamp) -> Result<(), StoreError> {
    let Difference { kind, name, before, after, verb } = difference;
    match after {
        Some(body) => {
            let object = OnCallObject { kind: kind.clone(), name: name.clone(), etag: Uuid::new_v4(), modified: now, body: body.clone() };
            change.put_oncall_object(&object).await?;
        }
        None => _ = change.delete_oncall_object(kind, name).await?,
    }
    let action = match verb {
        Verb::Create => "created",
        Verb::Change => "changed",
        Verb::Delete => "deleted",
    };
    let entry = AuditEntry {
        at: now,
        aggregate: "on-call object".to_owned(),
        id: format!("{kind}/{name}"),
        action: action.to_owned(),
        actor: actor.clone(),
        changes: fields(before.as_ref(), after.as_ref()),
    };
    change.record(&entry).await
}

/// The changed fields: `{"email": [before, after]}`.
fn fields(before: Option<&Value>, after: Option<&Value>) -> Value {
    let object = |value: Option<&Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
    let (before, after) = (object(before), object(after));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differ = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    Value::Object(differ.map(|name| (name.clone(), json!([before.get(name), after.get(name)]))).collect())
}

/// Every object with its kind and name.
fn parts(directory: &Directory) -> Vec<(String, String, Value)> {
    let Ok(Value::Object(kinds)) = serde_json::to_value(directory) else { return Vec::new() };
    let mut all = Vec::new();
    for (kind, objects) in kinds {
        if let Value::Object(objects) = objects {
            all.extend(objects.into_iter().map(|(name, body)| (kind.clone(), name, body)));
        }
    }
    all
}

fn map(directory: &Directory) -> BTreeMap<(String, String), Value> {
    parts(directory).into_iter().map(|(kind, name, body)| ((kind, name), body)).collect()
}

fn from_map(objects: BTreeMap<(String, String), Value>) -> Directory {
    let rows = objects.into_iter();
    load(rows.map(|((kind, name), body)| OnCallObject { kind, name, etag: Uuid::nil(), modified: Timestamp::UNIX_EPOCH, body }).collect())
}

/// The stored directory. An object written by a newer version that this one does not understand is skipped and logged: the others must
/// still work.
fn load(rows: Vec<OnCallObject>) -> Directory {
    let mut directory = Directory::default();
    for row in rows {
        match part_of(&row.kind, &row.name, row.body) {
            Ok(part) => directory.extend(part),
            Err(error) => tracing::error!(object = format!("{}/{}", row.kind, row.name), %error, "an object of on call is not understood"),
        }
    }
    directory
}

/// A directory of one object.
fn part_of(kind: &str, name: &str, body: Value) -> Result<Directory, ApplyError> {
    let mut objects = Map::new();
    objects.insert(name.to_owned(), body);
    let mut whole = Map::new();
    whole.insert(kind.to_owned(), Value::Object(objects));
    serde_path_to_error::deserialize(Value::Object(whole))
        .map_err(|error| ApplyError::Shape { path: error.path().to_string(), problem: error.into_inner().to_string() })
}

fn known_kind(kind: &str) -> Result<(), ApplyError> {
    if KINDS.contains(&kind) { Ok(()) } else { Err(ApplyError::NoKind(kind.to_owned())) }
}

fn check_name(name: &str) -> Result<(), ApplyError> {
    let fits = !name.is_empty()
        && name.len() <= 64
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && !name.starts_with('.');
    if fits { Ok(()) } else { Err(ApplyError::Name(name.chars().take(80).collect())) }
}

fn check_etag(before: Option<&OnCallObject>, etag: Option<&str>, kind: &str, name: &str) -> Result<(), ApplyError> {
    let Some(etag) = etag.map(|etag| etag.trim().trim_start_matches("W/").trim_matches('"')) else { return Ok(()) };
    let fits = match before {
        Some(before) => etag == "*" || etag.eq_ignore_ascii_case(&before.etag.to_string()),
        None => false,
    };
    if fits { Ok(()) } else { Err(ApplyError::Conflict { kind: kind.to_owned(), name: name.to_owned() }) }
}
