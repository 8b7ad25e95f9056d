//! Files of documents, and what the service says about them.

use std::path::PathBuf;

use documents::{Document, Places, parse_all};
use serde_json::Value;

use super::super::Failure;
use super::super::oncall::api::{Api, Body, Common};
use super::super::oncall::documents::read_texts;

/// The document that files make together, as `diff` and `apply` take it.
#[derive(clap::Args)]
pub struct Wanted {
    /// Documents, or folders of them. Together they are one document.
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// Delete objects that the document does not have, of the kinds that it names.
    #[arg(long)]
    pub prune: bool,
    /// Only these kinds. Repeatable, or separated by commas.
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub kind: Vec<String>,
    #[command(flatten)]
    pub common: Common,
}

impl Wanted {
    /// The running service's answer to `verb` over the files.
    pub async fn post(&self, verb: &str) -> Result<(Value, Places), Failure> {
        let (document, places) = self.read()?;
        let prune = if self.prune { "true" } else { "false" };
        let api = Api::connect_to(&self.common, "documents").await?;
        match api.post(verb, &[("prune", prune)], Body::Json(document.to_json())).await {
            Ok(answer) => Ok((answer, places)),
            Err(Failure::Wrong(message)) => Err(Failure::Wrong(located(&message, &places))),
            Err(broken) => Err(broken),
        }
    }

    pub fn read(&self) -> Result<(Document, Places), Failure> {
        let texts = read_texts(&self.paths)?;
        let parsed = parse_all(texts.iter().map(|(file, text)| (file.as_str(), text.as_str())));
        let (mut document, places) = parsed.map_err(|error| Failure::Wrong(error.to_string()))?;
        for kind in &self.kind {
            known(kind)?;
        }
        if !self.kind.is_empty() {
            document.kinds.retain(|kind, _| self.kind.iter().any(|wanted| wanted == kind));
        }
        Ok((document, places))
    }
}

/// Refuses a kind that does not exist.
pub fn known(kind: &str) -> Result<(), Failure> {
    if documents::kinds::find(kind).is_some() {
        return Ok(());
    }
    let names: Vec<&str> = documents::kinds::all().map(|kind| kind.name()).collect();
    let near = oncall::document::did_you_mean(kind, names.iter().copied());
    let near = near.map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default();
    Err(Failure::Wrong(format!("there is no kind `{kind}`; there are {}.{near}", names.join(", "))))
}

/// File and line of the object that a path leads into, in front of a message.
pub fn place(path: &str, places: &Places) -> String {
    match places.of(path) {
        Some(place) => {
            let line = place.line.map(|line| format!(", line {line}")).unwrap_or_default();
            format!("{}{line}, ", place.file)
        }
        None => String::new(),
    }
}

/// A refusal of the service with the files and lines of the objects that it names: one problem in a sentence, or one in each line.
fn located(message: &str, places: &Places) -> String {
    let locate = |line: &str| {
        if let Some((path, _)) = line.strip_prefix('`').and_then(|rest| rest.split_once('`')) {
            return format!("{}{line}", place(path, places));
        }
        match line.strip_prefix("  ").and_then(|rest| rest.split_once(": ")) {
            Some((path, problem)) => format!("  {}`{path}`: {problem}", place(path, places)),
            None => line.to_owned(),
        }
    };
    message.lines().map(locate).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_files_and_lines() {
        let (_, places) = parse_all([("w.yaml", "tables:\n  T_CL:\n    columns: []\n")]).unwrap();
        assert_eq!(located("`tables.T_CL.columns`: it is empty.", &places), "w.yaml, line 2, `tables.T_CL.columns`: it is empty.");
        let several = "Nothing was changed: 2 things are wrong.\n  tables.T_CL.columns: it is empty\n  users.ann: it is wrong";
        assert_eq!(
            located(several, &places),
            "Nothing was changed: 2 things are wrong.\n  w.yaml, line 2, `tables.T_CL.columns`: it is empty\n  `users.ann`: it is wrong"
        );
    }
}
