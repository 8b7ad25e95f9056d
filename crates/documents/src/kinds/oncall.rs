//! The kinds of on call. They refer to one another and are checked, compared and stored by `oncall::objects`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use oncall::directory::Directory;
use oncall::objects::{self, Difference, Verb};
use serde_json::Value;
use store::{OnCallObject, StoreError};

use crate::check::{Checked, Findings};
use crate::document::Document;
use crate::error::ApplyError;
use crate::kind::{Access, Kind, Level, Removal, Stored, Writing};
use crate::plan::Plan;
use crate::stored::World;

pub struct OnCallKind {
    name: &'static str,
    singular: &'static str,
    summary: &'static str,
}

const fn kind(name: &'static str, singular: &'static str, summary: &'static str) -> OnCallKind {
    OnCallKind { name, singular, summary }
}

pub static FAMILY: [OnCallKind; 7] = [
    kind("users", "user", "People, and how they are reached"),
    kind("schedules", "schedule", "Who is on call, and when"),
    kind("overrides", "override", "Who stands in for whom, and when"),
    kind("escalation_policies", "escalation policy", "Whom an incident reaches, step by step"),
    kind("alert_policies", "alert policy", "Which incidents page whom"),
    kind("maintenance_windows", "maintenance window", "Planned work, during which nobody is paged"),
    kind("heartbeats", "heartbeat", "What must say regularly that it is alive"),
];

pub(crate) fn is_family(kind: &str) -> bool {
    FAMILY.iter().any(|one| one.name == kind)
}

/// The part of a document that is on call's; `None` if it names no kind of on call.
fn directory(document: &Document) -> Result<Option<Directory>, ApplyError> {
    let kinds = document.kinds.iter().filter(|(kind, _)| is_family(kind));
    let kinds: BTreeMap<&'static str, BTreeMap<String, Value>> = kinds.map(|(kind, objects)| (*kind, objects.clone())).collect();
    if kinds.is_empty() {
        return Ok(None);
    }
    let directory = serde_path_to_error::deserialize(Document { kinds }.to_json());
    directory.map(Some).map_err(|error| ApplyError::Shape {
        path: error.path().to_string(),
        problem: error.inner().to_string(),
        help: String::new(),
    })
}

/// What on call is asked for. Pruning there concerns all its kinds; those that the document does not name are wanted as they are.
async fn wanted(plan: &Plan<'_>) -> Result<Option<Directory>, ApplyError> {
    let Some(mut wanted) = directory(&plan.wanted)? else { return Ok(None) };
    if let (true, Some(state)) = (plan.prune, &plan.world.state) {
        let current = state.oncall.directory().await?;
        let named = |kind: &str| plan.wanted.names(kind);
        macro_rules! keep {
            ($($kind:ident),*) => {$(
                if !named(stringify!($kind)) {
                    wanted.$kind = current.$kind.clone();
                }
            )*};
        }
        keep!(users, schedules, overrides, escalation_policies, alert_policies, maintenance_windows, heartbeats);
    }
    Ok(Some(wanted))
}

/// What would change.
pub(crate) async fn differences(plan: &Plan<'_>) -> Result<Vec<Difference>, ApplyError> {
    match (wanted(plan).await?, &plan.world.state) {
        (None, _) => Ok(Vec::new()),
        (Some(wanted), Some(state)) => Ok(state.oncall.diff(wanted, plan.prune).await?),
        (Some(wanted), None) => Ok(objects::diff(&Directory::default(), &wanted, false)),
    }
}

/// What is wrong, if the document names any kind of on call.
pub(crate) async fn check(plan: &Plan<'_>) -> Result<Option<Checked>, ApplyError> {
    let Some(wanted) = wanted(plan).await? else { return Ok(None) };
    let (problems, warnings) = match &plan.world.state {
        Some(state) => state.oncall.check(wanted, plan.prune).await?,
        None => (oncall::check::check(&wanted), oncall::check::warnings(&wanted)),
    };
    Ok(Some(Checked { problems, warnings }))
}

pub(crate) fn stored(object: OnCallObject) -> Stored {
    Stored { name: object.name, etag: object.etag.to_string(), body: object.body, removal: Removal::Allowed }
}

#[async_trait]
impl Kind for OnCallKind {
    fn name(&self) -> &'static str {
        self.name
    }

    fn singular(&self) -> &'static str {
        self.singular
    }

    fn summary(&self) -> &'static str {
        self.summary
    }

    fn access(&self) -> Access {
        Access {
            level: Level::Workspace,
            read: "Bartizan/oncall/read",
            write: "Bartizan/oncall/write",
            delete: "Bartizan/oncall/delete",
            owner: false,
        }
    }

    fn ignores_case(&self) -> bool {
        false
    }

    async fn list(&self, world: &World) -> Result<Vec<Stored>, StoreError> {
        let Some(state) = &world.state else { return Ok(Vec::new()) };
        Ok(state.oncall.list(self.name).await?.into_iter().map(stored).collect())
    }

    async fn check(&self, _: &Plan<'_>, _: &mut Findings) {
        // As a whole, in `check`.
    }

    async fn put(&self, at: &mut Writing<'_>, name: &str, before: Option<&Value>, after: &Value) -> Result<(), ApplyError> {
        let verb = if before.is_some() { Verb::Change } else { Verb::Create };
        self.write(at, verb, name, before, Some(after)).await
    }

    async fn delete(&self, at: &mut Writing<'_>, name: &str, before: &Value) -> Result<(), ApplyError> {
        self.write(at, Verb::Delete, name, Some(before), None).await
    }
}

impl OnCallKind {
    async fn write(
        &self,
        at: &mut Writing<'_>,
        verb: Verb,
        name: &str,
        before: Option<&Value>,
        after: Option<&Value>,
    ) -> Result<(), ApplyError> {
        let (kind, name) = (self.name.to_owned(), name.to_owned());
        let difference = Difference { verb, kind, name, before: before.cloned(), after: after.cloned() };
        Ok(objects::write(at.change, &difference, at.actor, at.now).await?)
    }
}
