//! Reload on SIGHUP: reads the configuration again, and applies changes to parts that support it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use model::{Actor, Clock, ConditionSeverity, HealthRegister};
use store::{AuditEntry, Store};

use crate::config::{self, Config};

/// Health condition of a configuration that could not be applied.
const CONDITION: &str = "configuration";
/// Sections applied by a reload; others need a restart.
const RELOADED: [&str; 2] = ["rules", "log"];

type Hook = Box<dyn Fn(Arc<Config>) -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync>;

/// Parts that apply a new configuration, in order.
pub struct Reloader {
    path: Option<PathBuf>,
    health: HealthRegister,
    hooks: Vec<(&'static str, Hook)>,
    /// The last applied configuration, by section.
    sections: Mutex<serde_yaml_ng::Mapping>,
    /// Where reloads are recorded.
    trail: Option<(Store, Arc<dyn Clock>)>,
}

impl Reloader {
    /// `path` is the configuration file, if any.
    pub fn new(path: Option<PathBuf>, health: HealthRegister) -> Self {
        let sections = path.as_ref().and_then(|path| sections(path).ok()).unwrap_or_default();
        Self { path, health, hooks: Vec::new(), sections: Mutex::new(sections), trail: None }
    }

    /// Records each reload in the audit trail.
    pub fn with_trail(mut self, store: Store, clock: Arc<dyn Clock>) -> Self {
        self.trail = Some((store, clock));
        self
    }

    /// Calls `hook` at each reload with the new configuration. An error is logged and reported; other hooks still run.
    pub fn on_reload(
        &mut self,
        part: &'static str,
        hook: impl Fn(Arc<Config>) -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync + 'static,
    ) {
        self.hooks.push((part, Box::new(hook)));
    }

    /// Reads the configuration and calls all hooks. Changes nothing if the file is invalid.
    pub async fn reload(&self) {
        tracing::info!("reloading");
        let config = match &self.path {
            Some(path) => match config::read(path) {
                Ok(config) => config,
                Err(error) => {
                    tracing::error!(error = %model::chain(&error), "the configuration is wrong; the service goes on with the old one");
                    let summary = "the configuration file is wrong; the service goes on with the old one";
                    return self.health.set_error(CONDITION, ConditionSeverity::Degraded, summary, &error);
                }
            },
            None => config::default(),
        };
        self.health.remove(CONDITION);
        let changed = self.tell_what_waits();
        let config = Arc::new(config);
        let mut refused = Vec::new();
        for (part, hook) in &self.hooks {
            let condition = format!("reload.{part}");
            match hook(config.clone()).await {
                Ok(()) => {
                    self.health.remove(&condition);
                }
                Err(error) => {
                    refused.push(*part);
                    tracing::error!(part, error = %model::chain(error.as_ref()), "not reloaded");
                    let summary = format!("`{part}` did not take over the new configuration");
                    self.health.set_error(&condition, ConditionSeverity::Degraded, summary, error.as_ref());
                }
            }
        }
        self.record(&changed, &refused).await;
        tracing::info!("reloaded");
    }

    /// Records the names of the sections that changed: their values may contain secrets.
    async fn record(&self, changed: &[String], refused: &[&str]) {
        let Some((store, clock)) = &self.trail else { return };
        let entry = AuditEntry {
            at: clock.now(),
            aggregate: "settings".to_owned(),
            id: "configuration".to_owned(),
            action: "reloaded".to_owned(),
            actor: Actor::task("reload"),
            changes: serde_json::json!({ "sections": [null, changed], "refused": [null, refused] }),
        };
        let recorded = async {
            let mut change = store.begin().await?;
            change.record(&entry).await?;
            change.commit().await
        };
        if let Err(error) = recorded.await {
            tracing::warn!(error = %model::chain(&error), "the reload cannot be recorded in the audit trail");
        }
    }

    /// Logs changed sections that need a restart; returns all that changed.
    fn tell_what_waits(&self) -> Vec<String> {
        let Some(Ok(new)) = self.path.as_ref().map(sections) else { return Vec::new() };
        let mut old = self.sections.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = changed(&old, &new);
        let waits = changed.iter().filter(|name| !RELOADED.contains(&name.as_str())).map(String::as_str).collect::<Vec<_>>();
        if !waits.is_empty() {
            tracing::warn!(sections = waits.join(", "), "these sections of the configuration changed and take effect at the next start");
        }
        // Compared with the running configuration, not with the last one read.
        for name in RELOADED {
            match new.get(name) {
                Some(value) => old.insert(name.into(), value.clone()),
                None => old.remove(name),
            };
        }
        changed
    }
}

fn sections(path: &PathBuf) -> anyhow::Result<serde_yaml_ng::Mapping> {
    Ok(serde_yaml_ng::from_str(&std::fs::read_to_string(path)?)?)
}

/// Names of the sections that differ, sorted.
fn changed(old: &serde_yaml_ng::Mapping, new: &serde_yaml_ng::Mapping) -> Vec<String> {
    let mut names: Vec<String> = old.keys().chain(new.keys()).filter_map(|key| key.as_str().map(str::to_owned)).collect();
    names.sort();
    names.dedup();
    names.retain(|name| old.get(name.as_str()) != new.get(name.as_str()));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wrong_file_changes_nothing_and_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bartizan.yaml");
        std::fs::write(&path, "version: 1\nrules: [a]\n").unwrap();
        let health = HealthRegister::default();
        let mut reloader = Reloader::new(Some(path.clone()), health.clone());
        let taken = Arc::new(Mutex::new(Vec::new()));
        let seen = taken.clone();
        reloader.on_reload("rules", move |config| {
            seen.lock().unwrap().push(config.rules.len());
            Box::pin(async { Ok(()) })
        });
        reloader.on_reload("other", |_| Box::pin(async { anyhow::bail!("not today") }));
        std::fs::write(&path, "version: 1\nrules: [a, b]\n").unwrap();
        reloader.reload().await;
        std::fs::write(&path, "version: 1\nrulez: []\n").unwrap();
        reloader.reload().await;
        assert_eq!(*taken.lock().unwrap(), [2]);
        assert!(health.condition(CONDITION).unwrap().detail.contains("rulez"));
        assert_eq!(health.condition("reload.other").unwrap().detail, "not today");
    }

    #[test]
    fn sections_that_changed_are_named() {
        let read = |text| serde_yaml_ng::from_str::<serde_yaml_ng::Mapping>(text).unwrap();
        let (old, new) = (read("{version: 1, listen: a, rules: [x]}"), read("{version: 1, rules: [y], query: {time: 1m}}"));
        assert_eq!(changed(&old, &new), ["listen", "query", "rules"]);
    }
}
