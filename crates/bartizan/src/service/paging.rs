//! On call, put together: its key, its channels, and the documents that the configuration names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use incidents::Incidents;
use model::{Actor, Clock, Http, Secret, Secrets};
use oncall::addresses::Addresses;
use oncall::channel::Ports;
use oncall::channels::{generate_vapid_key, vapid_public_key};
use oncall::directory::Directory;
use oncall::links::Signer;
use oncall::sending::Channels;
use oncall::{OnCall, OnCallConfig, Parts, document};
use serde_json::{Map, Value};
use store::Store;

use super::desk::IncidentDesk;

/// What on call needs of the service.
pub struct Needs<'a> {
    pub data_dir: &'a Path,
    pub config: &'a OnCallConfig,
    pub store: Store,
    pub clock: Arc<dyn Clock>,
    pub http: Arc<dyn Http>,
    pub secrets: Arc<dyn Secrets>,
    pub incidents: Incidents,
    /// Where the service is reached when the configuration does not say.
    pub base_url: &'a str,
}

/// Builds on call and applies the documents. A channel whose settings are wrong is reported and left out; a document that is wrong keeps
/// the service from starting, because nobody would be reached.
pub async fn start(needs: Needs<'_>) -> anyhow::Result<Arc<OnCall>> {
    let Needs { data_dir, config, store, clock, http, secrets, incidents, base_url } = needs;
    let ports = Ports { http, clock: clock.clone(), secrets: secrets.clone() };
    let mut settings = config.channels.clone();
    if let Some(Value::Object(push)) = settings.get_mut("web_push") {
        vapid(data_dir, push).context("cannot read or make the key of Web Push")?;
    }
    let (channels, wrong) = Channels::build(&settings, config.public_url.as_deref(), &ports);
    for (name, error) in wrong {
        tracing::error!(channel = name, error = model::chain(&error), "This channel is not used; mend `oncall.channels` and start again.");
    }
    let documents = documents(&config.apply)?;
    let seal = key(data_dir, "keys/oncall-addresses", "addresses that were sent to the API must be sent again")
        .context("cannot read or make the key of sealed addresses")?;
    let addresses = Arc::new(Addresses::new(config, &documents, &seal, secrets.clone())?);
    let links =
        key(data_dir, "keys/oncall-links", "links that were sent no longer work").context("cannot read or make the key of links")?;
    let parts = Parts {
        store,
        clock,
        secrets,
        addresses,
        desk: Arc::new(IncidentDesk(incidents)),
        signer: Signer::new(links),
        channels,
        public_url: Some(config.public_url.clone().unwrap_or_else(|| base_url.to_owned())),
    };
    let on_call = OnCall::new(config, parts);
    if !config.apply.is_empty() {
        super::unless_full(apply(&on_call, &documents).await, "on call's documents")?;
    }
    Ok(on_call)
}

/// What the configuration's documents say together.
fn documents(paths: &[PathBuf]) -> anyhow::Result<Directory> {
    let mut texts: Vec<(String, String)> = Vec::new();
    for path in paths {
        for file in super::rules::files(path).with_context(|| format!("cannot read `{}`", path.display()))? {
            let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read `{}`", file.display()))?;
            texts.push((file.display().to_string(), text));
        }
    }
    Ok(document::parse_all(texts.iter().map(|(file, text)| (file.as_str(), text.as_str())))?)
}

async fn apply(on_call: &OnCall, wanted: &Directory) -> anyhow::Result<()> {
    match on_call.objects.apply(wanted, false, &Actor::task("configuration")).await {
        Ok(changes) => {
            tracing::info!(changes = changes.len(), "On call's documents are applied.");
            Ok(())
        }
        Err(oncall::objects::ApplyError::Wrong(problems)) => {
            let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
            bail!("on call's documents are wrong:\n  {}", all.join("\n  "))
        }
        Err(error) => Err(error.into()),
    }
}

/// Names the key of Web Push where the settings name none: one of the service's own, made when it is first wanted. Browsers subscribe with
/// its public half, so it is said in the log.
fn vapid(data_dir: &Path, settings: &mut Map<String, Value>) -> anyhow::Result<()> {
    if settings.contains_key("key") {
        return Ok(());
    }
    let path = std::path::absolute(data_dir.join("keys/vapid"))?;
    if !path.exists() {
        server::identity::write_private(&path, generate_vapid_key().as_bytes())?;
    }
    let key = Secret::new(std::fs::read_to_string(&path)?);
    let public = vapid_public_key(key.reveal().trim()).with_context(|| format!("`{}` holds no key of Web Push", path.display()))?;
    tracing::info!(public_key = public, "Web Push: browsers subscribe with this `applicationServerKey`.");
    settings.insert("key".to_owned(), Value::String(format!("file:{}", path.display())));
    Ok(())
}

/// A key of the service, made at the first start; `lost` says what removing it costs.
fn key(data_dir: &Path, name: &str, lost: &str) -> anyhow::Result<Secret<Vec<u8>>> {
    let path = data_dir.join(name);
    match std::fs::read(&path) {
        Ok(key) if key.len() >= 32 => return Ok(Secret::new(key)),
        Ok(_) => bail!("`{}` is too short to be a key; if it is removed, {lost}", path.display()),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        Err(_) => {}
    }
    let key = server::identity::generate_secret()?.reveal().clone().into_bytes();
    server::identity::write_private(&path, &key)?;
    Ok(Secret::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_web_push_is_made_once_and_never_replaces_one_that_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Map::new();
        vapid(folder.path(), &mut settings).unwrap();
        let first = std::fs::read_to_string(folder.path().join("keys/vapid")).unwrap();
        assert!(settings["key"].as_str().unwrap().ends_with("keys/vapid"));
        vapid(folder.path(), &mut Map::new()).unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("keys/vapid")).unwrap(), first);
        let mut named = Map::from_iter([("key".to_owned(), Value::from("env:VAPID"))]);
        vapid(folder.path(), &mut named).unwrap();
        assert_eq!(named["key"], "env:VAPID");
    }
}
