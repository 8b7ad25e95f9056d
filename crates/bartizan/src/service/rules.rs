//! Analytics rules from files: read at start, checked, and kept in the store like those that came through the API.

use std::path::{Path, PathBuf};

use detection::yaml::{self, Loaded};
use model::Clock;
use serde_json::Value;
use store::{AnalyticsRuleRecord, Store};
use uuid::Uuid;

/// The rules that are built in: file name and text.
const SAMPLES: [(&str, &str); 4] = [
    ("flare-leaked-credential.yaml", include_str!("../../../../content/rules/flare-leaked-credential.yaml")),
    ("flare-access-for-sale.yaml", include_str!("../../../../content/rules/flare-access-for-sale.yaml")),
    ("flare-exposure-surge.yaml", include_str!("../../../../content/rules/flare-exposure-surge.yaml")),
    ("sophos-command-and-control.yaml", include_str!("../../../../content/rules/sophos-command-and-control.yaml")),
];

/// Loads the rules under `paths`, and the built-in ones where asked. A broken file is reported with its place and does not keep the others,
/// or the service, from starting.
pub async fn load(store: &Store, clock: &dyn Clock, paths: &[PathBuf], samples: bool) -> anyhow::Result<()> {
    let mut texts: Vec<(String, String)> = Vec::new();
    for path in paths {
        for file in files(path)? {
            texts.push((file.display().to_string(), std::fs::read_to_string(&file)?));
        }
    }
    if samples {
        texts.extend(SAMPLES.map(|(name, text)| (name.to_owned(), text.to_owned())));
    }
    for (file, text) in texts {
        match yaml::parse(&file, &text) {
            Ok(loaded) => keep(store, clock, loaded).await?,
            Err(error) => tracing::error!(error = %model::chain(&error), "This rule is not loaded; mend the file and start again."),
        }
    }
    Ok(())
}

async fn keep(store: &Store, clock: &dyn Clock, loaded: Loaded) -> anyhow::Result<()> {
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let rule = loaded.rule;
    let Value::Object(properties) = serde_json::to_value(&rule.properties)? else { anyhow::bail!("a rule's properties are an object") };
    let mut change = store.begin().await?;
    let known = change.analytics_rule(&rule.id).await?;
    // A rule that did not change keeps its etag, and with it where its runs stand.
    if known.as_ref().is_some_and(|known| known.properties == properties && known.kind == rule.kind_name()) {
        return Ok(change.abandon().await?);
    }
    let now = clock.now();
    let record = AnalyticsRuleRecord {
        id: rule.id.clone(),
        kind: rule.kind_name().to_owned(),
        enabled: rule.properties.enabled,
        etag: Uuid::new_v4(),
        created: known.map_or(now, |known| known.created),
        modified: now,
        properties,
    };
    change.put_analytics_rule(&record).await?;
    Ok(change.commit().await?)
}

/// The file itself, or the `*.yaml` and `*.yml` files of a folder, sorted.
pub(super) fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found: Vec<PathBuf> = std::fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    found.retain(|path| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"));
    found.sort();
    Ok(found)
}
