//! Analytics rules from files: read at start, on changes and on SIGHUP, and stored like those from the API. Changes are planned by
//! [`detection::files`].

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use detection::files::{BUILT_IN, FileRule, MAX_RULE_FILE, RuleText, Scan, Step, plan, scan};
use model::{Actor, Clock, ConditionSeverity, HealthRegister, Span};
use serde_json::{Value, json};
use store::{AnalyticsRuleRecord, AuditEntry, Change, RuleFile, Store, StoreError};
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The built-in rules: file name and text.
const SAMPLES: [(&str, &str); 4] = [
    ("flare-leaked-credential.yaml", include_str!("../../../../content/rules/flare-leaked-credential.yaml")),
    ("flare-access-for-sale.yaml", include_str!("../../../../content/rules/flare-access-for-sale.yaml")),
    ("flare-exposure-surge.yaml", include_str!("../../../../content/rules/flare-exposure-surge.yaml")),
    ("sophos-command-and-control.yaml", include_str!("../../../../content/rules/sophos-command-and-control.yaml")),
];

/// Polling interval for changes in the folders.
const LOOK: Span = Span(3 * model::TICKS_PER_SECOND);
/// Health condition of an unreadable path.
const UNREADABLE: &str = "rules.files";

/// Result of a synchronisation, for the log and the caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Synced {
    pub put: usize,
    pub disabled: usize,
    pub broken: usize,
}

/// Synchronises the store's rules with the files.
pub struct RuleFiles {
    store: Store,
    clock: Arc<dyn Clock>,
    health: HealthRegister,
    samples: bool,
    paths: Mutex<Vec<PathBuf>>,
    /// File states at the last read; the lock also serialises synchronisations.
    last: AsyncMutex<Vec<Stamp>>,
    wake: Notify,
}

/// State of a file; `None` if it cannot be read.
type Stamp = (PathBuf, Option<(SystemTime, u64)>);

/// Texts, and unreadable paths.
struct Read {
    texts: Vec<RuleText>,
    unreadable: Vec<(PathBuf, std::io::Error)>,
    stamps: Vec<Stamp>,
}

impl RuleFiles {
    /// Rules in `paths`, and the built-in ones if `samples` is set.
    pub fn new(store: Store, clock: Arc<dyn Clock>, health: HealthRegister, paths: Vec<PathBuf>, samples: bool) -> Self {
        Self { store, clock, health, samples, paths: Mutex::new(paths), last: AsyncMutex::default(), wake: Notify::new() }
    }

    /// The initial read. An unreadable path prevents the service from starting; an invalid file is reported and does not affect others.
    pub async fn load(&self) -> anyhow::Result<Synced> {
        let read = self.read().await?;
        if let Some((path, cause)) = read.unreadable.into_iter().next() {
            return Err(anyhow::Error::new(cause).context(format!("cannot read rules in `{}`", path.display())));
        }
        self.sync().await
    }

    /// Replaces the paths.
    pub fn set_paths(&self, paths: Vec<PathBuf>) {
        *self.paths.lock().unwrap_or_else(PoisonError::into_inner) = paths;
        self.wake.notify_one();
    }

    /// Watches the files until stopped.
    pub async fn run(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wake.notified() => {}
                () = self.clock.sleep(LOOK) => {}
            }
            let paths = self.paths();
            let Ok(stamps) = tokio::task::spawn_blocking(move || stamps(&paths)).await else { continue };
            if *self.last.lock().await == stamps {
                continue;
            }
            match self.sync().await {
                Ok(synced) => tracing::info!(?synced, "rule files are read again"),
                Err(error) => tracing::error!(error = model::chain(error.as_ref()), "rule files are not applied; trying again"),
            }
        }
    }

    /// Reads all files and updates the store.
    pub async fn sync(&self) -> anyhow::Result<Synced> {
        let mut last = self.last.lock().await;
        let read = self.read().await?;
        let scan = scan(&read.texts);
        self.report(&scan, &read.unreadable);
        let (known, rules) = (self.store.rule_files().list().await?, self.store.analytics_rules().list().await?);
        let steps = plan(&scan, &known, &rules, read.unreadable.is_empty());
        let mut synced = Synced { broken: scan.broken.len(), ..Synced::default() };
        for (id, step) in steps {
            let found = scan.rules.iter().find(|found| found.rule.id == id);
            let rule = rules.iter().find(|rule| rule.id.eq_ignore_ascii_case(&id));
            self.apply(&id, step, found, rule, &mut synced).await?;
        }
        *last = read.stamps;
        Ok(synced)
    }

    fn paths(&self) -> Vec<PathBuf> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn read(&self) -> anyhow::Result<Read> {
        let paths = self.paths();
        let mut read = tokio::task::spawn_blocking(move || read(&paths)).await?;
        if self.samples {
            read.texts.extend(SAMPLES.map(|(name, text)| RuleText { file: format!("{BUILT_IN}{name}"), text: Ok(text.to_owned()) }));
        }
        Ok(read)
    }

    /// Logs problems and reports them as health conditions, with the file name only, because summaries are public.
    fn report(&self, scan: &Scan, unreadable: &[(PathBuf, std::io::Error)]) {
        for warning in &scan.warnings {
            tracing::warn!("{warning}");
        }
        let condition = |file: &str| format!("rule-file.{}", file_name(file));
        let broken: HashSet<String> = scan.broken.iter().map(|(file, _)| condition(file)).collect();
        self.health.retain("rule-file.", |name| broken.contains(name));
        for (file, problem) in &scan.broken {
            tracing::error!(error = problem, "a rule file is not loaded; its rule stays as it was");
            let summary = format!("the rule file `{}` is not loaded", file_name(file));
            self.health.set_detail(&condition(file), ConditionSeverity::Degraded, summary, problem.clone());
        }
        metrics::gauge!("bartizan_rule_files_broken").set(scan.broken.len() as f64);
        match unreadable.first() {
            Some((path, cause)) => {
                tracing::error!(path = %path.display(), error = %cause, "rules cannot be read; they stay as they were");
                let detail = format!("{}: {cause}", path.display());
                self.health.set_detail(UNREADABLE, ConditionSeverity::Degraded, "a place with rule files cannot be read", detail);
            }
            None => {
                self.health.remove(UNREADABLE);
            }
        }
    }

    async fn apply(
        &self,
        id: &str,
        step: Step,
        found: Option<&FileRule>,
        rule: Option<&AnalyticsRuleRecord>,
        synced: &mut Synced,
    ) -> Result<(), StoreError> {
        let mut change = self.store.begin().await?;
        match (step, found) {
            (Step::Put { file, overridden }, Some(found)) => {
                if overridden {
                    tracing::warn!(rule = id, file, "the file changed: it replaces what was changed in another way");
                }
                let etag = self.put(&mut change, found, rule).await?;
                change.put_rule_file(&RuleFile { rule_id: id.to_owned(), file, digest: found.digest.clone(), etag }).await?;
                synced.put += 1;
            }
            (Step::Adopt { file, etag }, Some(found)) => {
                change.put_rule_file(&RuleFile { rule_id: id.to_owned(), file, digest: found.digest.clone(), etag }).await?;
            }
            (Step::KeepOverride { file, deleted }, _) => {
                let what = if deleted { "was deleted" } else { "was changed" };
                tracing::info!(rule = id, file, "the rule {what} in another way and stays so until its file changes");
                return change.abandon().await;
            }
            (Step::Disable { file }, _) => {
                if let Some(rule) = rule.filter(|rule| rule.enabled) {
                    tracing::warn!(rule = rule.display_name(), file, "the file of this rule is gone: the rule is disabled");
                    let mut after =
                        AnalyticsRuleRecord { enabled: false, etag: Uuid::new_v4(), modified: self.clock.now(), ..rule.clone() };
                    after.properties.insert("enabled".to_owned(), Value::Bool(false));
                    change.put_analytics_rule(&after).await?;
                    change.record(&self.entry(id, "disabled", json!({ "enabled": [true, false] }))).await?;
                    synced.disabled += 1;
                }
                change.delete_rule_file(id).await?;
            }
            (_, None) => return change.abandon().await,
        }
        change.commit().await
    }

    async fn put(&self, change: &mut Change, found: &FileRule, before: Option<&AnalyticsRuleRecord>) -> Result<Uuid, StoreError> {
        let now = self.clock.now();
        let record = AnalyticsRuleRecord {
            id: found.rule.id.clone(),
            kind: found.rule.kind_name().to_owned(),
            enabled: found.rule.properties.enabled,
            etag: Uuid::new_v4(),
            created: before.map_or(now, |before| before.created),
            modified: now,
            properties: found.properties.clone(),
        };
        change.put_analytics_rule(&record).await?;
        let value = |properties: Option<&serde_json::Map<String, Value>>, name: &str| properties.and_then(|all| all.get(name)).cloned();
        let names: HashSet<&String> = before.iter().flat_map(|before| before.properties.keys()).chain(record.properties.keys()).collect();
        let changes = names.into_iter().filter_map(|name| {
            let (old, new) = (value(before.map(|before| &before.properties), name), value(Some(&record.properties), name));
            (old != new).then(|| (name.clone(), json!([old, new])))
        });
        let changes = Value::Object(changes.collect());
        change.record(&self.entry(&record.id, if before.is_some() { "changed" } else { "created" }, changes)).await?;
        Ok(record.etag)
    }

    fn entry(&self, id: &str, action: &str, changes: Value) -> AuditEntry {
        AuditEntry {
            at: self.clock.now(),
            aggregate: "analytics rule".to_owned(),
            id: id.to_owned(),
            action: action.to_owned(),
            actor: Actor::task("rule files"),
            changes,
        }
    }
}

fn file_name(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

fn read(paths: &[PathBuf]) -> Read {
    let mut read = Read { texts: Vec::new(), unreadable: Vec::new(), stamps: stamps(paths) };
    for path in paths {
        match files(path) {
            Ok(files) => read.texts.extend(files.into_iter().map(|file| RuleText { text: text(&file), file: file.display().to_string() })),
            Err(cause) => read.unreadable.push((path.clone(), cause)),
        }
    }
    read
}

fn text(file: &Path) -> Result<String, String> {
    let bytes = std::fs::metadata(file).map_err(|cause| cause.to_string())?.len();
    if bytes > MAX_RULE_FILE {
        return Err(format!("has {bytes} bytes; a rule file has at most {MAX_RULE_FILE}"));
    }
    std::fs::read_to_string(file).map_err(|cause| cause.to_string())
}

/// State of all files; cheap enough to poll.
fn stamps(paths: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |path: PathBuf| {
        let seen = std::fs::metadata(&path).and_then(|data| Ok((data.modified()?, data.len()))).ok();
        (path, seen)
    };
    paths.iter().flat_map(|path| files(path).unwrap_or_else(|_| vec![path.clone()])).map(stamp).collect()
}

/// The file itself, or the `*.yaml` and `*.yml` files of a folder, sorted.
pub fn files(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !std::fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found: Vec<PathBuf> = std::fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    found.retain(|path| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"));
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use engine::SystemClock;

    use super::*;

    const RULE: &str = "id: one\nname: Many tries\nkind: NRT\nseverity: High\nquery: T\n";

    #[tokio::test]
    async fn files_make_change_and_disable_rules_and_changes_by_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let rules = folder.path().join("rules");
        std::fs::create_dir(&rules).unwrap();
        let write = |name: &str, text: &str| std::fs::write(rules.join(name), text).unwrap();
        write("a.yaml", RULE);
        write("b.yaml", &RULE.replace("one", "two"));
        let store = Store::open(&folder.path().join("state.db")).await.unwrap();
        let (clock, health): (Arc<dyn Clock>, _) = (Arc::new(SystemClock::default()), HealthRegister::default());
        let open = || RuleFiles::new(store.clone(), clock.clone(), health.clone(), vec![rules.clone()], false);
        let files = open();
        assert_eq!(files.load().await.unwrap(), Synced { put: 2, ..Synced::default() });
        let get = async |id: &str| store.analytics_rules().get(id).await.unwrap();
        let severity = async |id: &str| get(id).await.unwrap().properties["severity"].clone();

        // Changed in another way: persists across a restart.
        let mut changed = get("one").await.unwrap();
        changed.properties.insert("severity".to_owned(), "Low".into());
        changed.etag = Uuid::new_v4();
        let mut change = store.begin().await.unwrap();
        change.put_analytics_rule(&changed).await.unwrap();
        change.commit().await.unwrap();
        let files = open();
        assert_eq!(files.load().await.unwrap(), Synced::default());
        assert_eq!(severity("one").await, "Low");

        // Until the file changes.
        write("a.yaml", &RULE.replace("High", "Medium"));
        assert_eq!(files.sync().await.unwrap().put, 1);
        assert_eq!(severity("one").await, "Medium");

        // An invalid file leaves its rule unchanged, and is reported without its path.
        write("a.yaml", "name: [");
        assert_eq!(files.sync().await.unwrap(), Synced { broken: 1, ..Synced::default() });
        assert!(get("one").await.unwrap().enabled);
        let condition = health.condition("rule-file.a.yaml").unwrap();
        assert_eq!(condition.summary, "the rule file `a.yaml` is not loaded");
        assert!(condition.detail.contains("line "));

        // Removing a file disables its rule; restoring it enables it.
        std::fs::remove_file(rules.join("b.yaml")).unwrap();
        assert_eq!(files.sync().await.unwrap().disabled, 1);
        assert!(!get("two").await.unwrap().enabled);
        write("b.yaml", &RULE.replace("one", "two"));
        write("a.yaml", RULE);
        assert_eq!(files.sync().await.unwrap(), Synced { put: 2, ..Synced::default() });
        assert!(get("two").await.unwrap().enabled && health.conditions().is_empty());

        // An unreadable folder does not disable its rules.
        std::fs::rename(&rules, folder.path().join("elsewhere")).unwrap();
        assert_eq!(files.sync().await.unwrap(), Synced::default());
        assert!(get("one").await.unwrap().enabled && health.condition(UNREADABLE).is_some());
        assert!(open().load().await.is_err(), "at the start it is an error");
    }
}
