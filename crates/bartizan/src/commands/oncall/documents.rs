//! Reads on-call documents from files.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use model::Timestamp;
use oncall::directory::Directory;
use oncall::{document, when};

use serde_json::Value;

use super::super::Failure;
use super::api::{Api, Body, Common};

/// The directory that files ask for, as `apply` and `diff` take it.
#[derive(clap::Args)]
pub struct Wanted {
    /// Documents, or folders of them.
    #[arg(value_name = "FILES", required = true)]
    files: Vec<PathBuf>,
    /// What is not in the files goes too.
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    pub common: Common,
}

impl Wanted {
    /// Posts the files to the service and returns the response.
    pub async fn post(&self, verb: &str) -> Result<Value, Failure> {
        let document = read(&self.files)?;
        let document = serde_json::to_value(document)?;
        let prune = if self.prune { "true" } else { "false" };
        Api::connect(&self.common).await?.post(verb, &[("prune", prune)], Body::Json(document)).await
    }
}

/// Reads files, and YAML files in folders, as one directory. Invalid content is [`Failure::Wrong`]; unreadable files are
/// [`Failure::Broken`].
pub fn read(paths: &[PathBuf]) -> Result<Directory, Failure> {
    let texts = read_texts(paths)?;
    document::parse_all(texts.iter().map(|(file, text)| (file.as_str(), text.as_str()))).map_err(|error| Failure::Wrong(error.to_string()))
}

/// Names and texts of the files, and of the YAML and JSON files of the folders among them.
pub fn read_texts(paths: &[PathBuf]) -> Result<Vec<(String, String)>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        collect(path, &mut files)?;
    }
    if files.is_empty() {
        let names: Vec<String> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
        return Err(Failure::Broken(anyhow::anyhow!("there is no `.yaml` file in {}", names.join(", "))));
    }
    let mut texts = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read `{}`", file.display()))?;
        texts.push((file.display().to_string(), text));
    }
    Ok(texts)
}

/// Adds a file, or all YAML and JSON files of a folder, by name.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let unreadable = || format!("cannot read `{}`", path.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        if path.extension().is_some_and(|kind| kind == "yaml" || kind == "yml" || kind == "json") {
            found.push(path);
        }
    }
    found.sort();
    files.append(&mut found);
    Ok(())
}

/// Parses a time from the command line; `zone` applies to wall-clock times without a zone.
pub fn when(text: &str, zone: &str) -> Result<Timestamp, Failure> {
    when::parse(text, zone, now()).map_err(|error| Failure::Wrong(error.to_string()))
}

/// Refuses an unknown time zone.
pub fn check_zone(zone: &str) -> Result<(), Failure> {
    when::zone_named(zone).map(drop).map_err(|error| Failure::Wrong(error.to_string()))
}

pub fn now() -> Timestamp {
    Timestamp::from_system(std::time::SystemTime::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_read_whole_and_the_place_of_a_mistake_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
        write("a.yaml", "users: {ann: {name: Ann}}");
        write("b.yml", "users: {bo: {name: Bo}}");
        write("notes.txt", "not ours");
        let Ok(both) = read(&[folder.path().to_owned()]) else { panic!("both are right") };
        assert_eq!(both.users.keys().collect::<Vec<_>>(), ["ann", "bo"]);
        write("c.yaml", "users:\n  cy: {nam: Cy}");
        let Err(Failure::Wrong(message)) = read(&[folder.path().to_owned()]) else { panic!("c is wrong") };
        assert!(message.contains("c.yaml, line 2, `users.cy.nam`") && message.contains("Did you mean `name`?"), "{message}");
        // Exit code 2: it could not run.
        assert!(matches!(read(&[folder.path().join("none.yaml")]), Err(Failure::Broken(_))));
    }
}
