//! Rows as JSON lines in files: one folder for each table, one file for each hour of arrival.
//!
//! A piece is appended and synced before it is acknowledged. After a crash in between it is appended again, so readers see rows at least
//! once; each line has the key of its piece in `_Key`, by which they can drop repetitions.

use std::io::Write;
use std::path::{Component, Path, PathBuf};

use async_trait::async_trait;
use kql::Value;
use model::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use crate::destination::{Destination, DestinationContext, DestinationError, DestinationType, Follow, Outgoing};

pub static DESTINATION: DestinationType = DestinationType {
    name: "file",
    summary: "Files of JSON lines, one folder for each table",
    settings: || schemars::schema_for!(Settings),
    build: |value| build(serde_json::from_value(value).map_err(|cause| wrong(cause.to_string()))?),
};

/// Rows as JSON lines in files.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(rename = "FileDestinationSettings")]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Its name, in metrics and on the command line. Example: `archive`.
    pub name: String,
    /// The rows it gets.
    pub follow: Follow,
    /// The folder, below one of `destination_roots`. Example: `/var/lib/bartizan-archive/firewalls`.
    pub path: PathBuf,
}

/// A destination, checked and not open yet.
pub fn build(settings: Settings) -> Result<Box<dyn Destination>, DestinationError> {
    if settings.name.is_empty() {
        return Err(wrong("`name` is empty".to_owned()));
    }
    if settings.follow.tables.is_empty() {
        return Err(wrong(format!("`follow.tables` of `{}` names no table", settings.name)));
    }
    if !settings.path.is_absolute() || settings.path.components().any(|part| part == Component::ParentDir) {
        return Err(wrong(format!("`path` of `{}` must be absolute and without `..`", settings.name)));
    }
    Ok(Box::new(Files { settings }))
}

fn wrong(problem: String) -> DestinationError {
    DestinationError::Settings { kind: "file", problem }
}

struct Files {
    settings: Settings,
}

impl Files {
    /// The folder, where the configuration allows it. Symbolic links are followed before it is judged.
    fn folder(&self, roots: &[PathBuf]) -> Result<PathBuf, DestinationError> {
        let path = &self.settings.path;
        let outside = || {
            let known: Vec<String> = roots.iter().map(|root| root.display().to_string()).collect();
            let allowed = if known.is_empty() { "which names no folder".to_owned() } else { format!("which are {}", known.join(", ")) };
            wrong(format!("`path` `{}` is not below one of `destination_roots`, {allowed}", path.display()))
        };
        let within = |path: &Path| roots.iter().filter_map(|root| root.canonicalize().ok()).any(|root| path.starts_with(root));
        // The nearest folder that exists decides; what is created below it cannot be a link.
        let existing = path.ancestors().find_map(|folder| folder.canonicalize().ok()).ok_or_else(outside)?;
        let lexical = roots.iter().any(|root| path.starts_with(root));
        if !lexical || !(within(&existing) || roots.iter().any(|root| root.starts_with(&existing))) {
            return Err(outside());
        }
        std::fs::create_dir_all(path).map_err(|cause| DestinationError::Write { path: path.clone(), cause })?;
        let real = path.canonicalize().map_err(|cause| DestinationError::Write { path: path.clone(), cause })?;
        if within(&real) { Ok(real) } else { Err(outside()) }
    }
}

#[async_trait]
impl Destination for Files {
    fn name(&self) -> &str {
        &self.settings.name
    }

    fn follow(&self) -> &Follow {
        &self.settings.follow
    }

    async fn deliver(&mut self, rows: &Outgoing, cx: &DestinationContext) -> Result<(), DestinationError> {
        let folder = self.folder(&cx.roots)?.join(rows.table.as_str());
        let file = folder.join(format!("{}.jsonl", hour(cx.clock.now())));
        let rows = rows.clone();
        let write = move || -> Result<(), DestinationError> {
            let text = lines(&rows)?;
            append(&folder, &file, &text).map_err(|cause| DestinationError::Write { path: file.clone(), cause })
        };
        tokio::task::spawn_blocking(write).await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    async fn test(&mut self, cx: &DestinationContext) -> Result<String, DestinationError> {
        let folder = self.folder(&cx.roots)?;
        let probe = folder.join(".bartizan-test");
        let tried = std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe));
        tried.map_err(|cause| DestinationError::Write { path: probe, cause })?;
        Ok(format!("files can be written in `{}`", folder.display()))
    }
}

/// `2026-12-01T09`.
fn hour(now: Timestamp) -> String {
    now.to_string().chars().take(13).collect()
}

fn append(folder: &Path, file: &Path, text: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let is_new = !file.exists();
    let mut open = std::fs::OpenOptions::new().create(true).append(true).open(file)?;
    let before = open.metadata()?.len();
    if let Err(error) = open.write_all(text).and_then(|()| open.sync_all()) {
        // Half a piece would be read as damaged lines.
        let _ = open.set_len(before);
        return Err(error);
    }
    if is_new {
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn lines(rows: &Outgoing) -> Result<Vec<u8>, DestinationError> {
    let mut text = Vec::new();
    for batch in &rows.batches {
        for row in 0..batch.num_rows() {
            let mut object = Map::new();
            for (column, array) in rows.columns.iter().zip(batch.columns()) {
                let value = Value::from_cell(array, row, column.ty);
                // As Azure exports rows: what is empty is left out.
                if !value.is_null() {
                    object.insert(column.name.clone(), value.to_json());
                }
            }
            object.insert("_Key".to_owned(), Json::from(rows.key.as_str()));
            serde_json::to_writer(&mut text, &object)
                .map_err(|cause| DestinationError::Format { format: "JSON", problem: cause.to_string() })?;
            text.push(b'\n');
        }
    }
    Ok(text)
}
