//! Documents as text: YAML, and therefore also JSON. The top-level keys are kinds, below them names, below them bodies.

use std::collections::BTreeMap;

use oncall::document::{DocumentError, problem_and_help};
use serde_json::{Map, Value};

use crate::error::ApplyError;
use crate::kinds::{self, Whole};

pub use oncall::document::MAX_BYTES;

/// Maximum length of a parse error; it may quote text as long as the document.
const MAX_MESSAGE: usize = 600;

/// Bodies by kind and name. A kind without objects is not the same as a kind that is not named: pruning deletes all its objects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    pub kinds: BTreeMap<&'static str, BTreeMap<String, Value>>,
}

/// Where an object stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: String,
    /// `None` in JSON and in flow style.
    pub line: Option<usize>,
}

/// Where the objects of a document stand, by kind and name.
#[derive(Clone, Debug, Default)]
pub struct Places(BTreeMap<(&'static str, String), Place>);

impl Places {
    /// The place of the object that a path such as `tables.T_CL.columns[0]` leads into.
    pub fn of(&self, path: &str) -> Option<&Place> {
        let (kind, rest) = path.split_once('.')?;
        let leads = |name: &str| rest.strip_prefix(name).is_some_and(|below| below.is_empty() || below.starts_with(['.', '[']));
        let named = self.0.iter().filter(|((of, name), _)| *of == kind && leads(name));
        // Names may contain dots; the longest one is meant.
        named.max_by_key(|((_, name), _)| name.len()).map(|(_, place)| place)
    }
}

impl Document {
    /// The objects of a kind; none if the kind is not named.
    pub fn of(&self, kind: &str) -> impl Iterator<Item = (&String, &Value)> {
        self.kinds.get(kind).into_iter().flatten()
    }

    pub fn names(&self, kind: &str) -> bool {
        self.kinds.contains_key(kind)
    }

    pub fn is_empty(&self) -> bool {
        self.kinds.values().all(BTreeMap::is_empty)
    }

    /// A document of one object; the error names the field.
    pub fn single(kind: &str, name: &str, body: Value) -> Result<Self, ApplyError> {
        let kind = kinds::find(kind).ok_or_else(|| ApplyError::NoKind(kind.to_owned()))?;
        let whole = Value::Object(Map::from_iter([(kind.name().to_owned(), Value::Object(Map::from_iter([(name.to_owned(), body)])))]));
        let whole: Whole = serde_path_to_error::deserialize(whole).map_err(|error| {
            let path = error.path().to_string();
            let (problem, help) = problem_and_help(&path, &error.inner().to_string());
            ApplyError::Shape { path, problem: shortened(&problem), help }
        })?;
        Ok(whole.into())
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        let kinds = self.kinds.iter().map(|(kind, objects)| {
            let objects = objects.iter().map(|(name, body)| (name.clone(), body.clone())).collect();
            ((*kind).to_owned(), Value::Object(objects))
        });
        Value::Object(kinds.collect())
    }

    /// As YAML, with kinds and fields in the order of the reference.
    pub fn to_yaml(&self) -> Result<String, serde_yaml_ng::Error> {
        match serde_json::from_value::<Whole>(self.to_json()) {
            Ok(whole) => serde_yaml_ng::to_string(&whole),
            // An object stored by another version; its fields are sorted.
            Err(_) => serde_yaml_ng::to_string(&self.to_json()),
        }
    }
}

impl From<Whole> for Document {
    fn from(whole: Whole) -> Self {
        let mut document = Document::default();
        let Ok(Value::Object(kinds)) = serde_json::to_value(whole) else { return document };
        for (kind, objects) in kinds {
            if let (Some(kind), Value::Object(objects)) = (kinds::find(&kind), objects) {
                document.kinds.insert(kind.name(), objects.into_iter().collect());
            }
        }
        document
    }
}

/// Parses a document. `file` is its name in errors.
///
/// ```
/// let wrong = documents::parse("w.yaml", "tables:\n  T_CL:\n    colums: []\n").unwrap_err();
/// assert_eq!(
///     wrong.to_string(),
///     "w.yaml, line 3, `tables.T_CL.colums`: unknown field `colums`, expected one of `columns`, `retention`, `lenient`. \
///      Did you mean `columns`?"
/// );
/// ```
pub fn parse(file: &str, text: &str) -> Result<Document, DocumentError> {
    if text.len() > MAX_BYTES {
        return Err(DocumentError::TooLong { file: file.to_owned(), length: text.len() });
    }
    // An empty file, or one with comments only, is valid.
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#') || line.trim() == "---") {
        return Ok(Document::default());
    }
    // JSON is YAML, but its own parser is twenty times as fast; if it fails, the YAML parser reports the error.
    if text.trim_start().starts_with('{')
        && let Ok(whole) = serde_json::from_str::<Whole>(text)
    {
        return Ok(whole.into());
    }
    let whole: Result<Whole, _> = serde_path_to_error::deserialize(serde_yaml_ng::Deserializer::from_str(text));
    whole.map(Document::from).map_err(|error| {
        let field = error.path().to_string();
        let cause = error.into_inner();
        let (problem, help) = problem_and_help(&field, &cause.to_string());
        let line = cause.location().map(|location| format!(", line {}", location.line())).unwrap_or_default();
        let field = if matches!(field.as_str(), "." | "?") { String::new() } else { format!(", `{}`", shortened(&field)) };
        DocumentError::Wrong { file: file.to_owned(), place: format!("{line}{field}"), problem: shortened(&problem), help }
    })
}

/// Parses several files as one document: `(name in errors, text)`.
pub fn parse_all<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<(Document, Places), DocumentError> {
    let (mut whole, mut places) = (Document::default(), Places::default());
    for (file, text) in files {
        let lines = lines_of(text);
        for (kind, objects) in parse(file, text)?.kinds {
            let all = whole.kinds.entry(kind).or_default();
            for (name, body) in objects {
                let line = lines.get(&(kind.to_owned(), name.clone())).copied();
                let place = Place { file: file.to_owned(), line };
                if let Some(other) = places.0.insert((kind, name.clone()), place) {
                    return Err(DocumentError::Twice { file: file.to_owned(), other: other.file, kind, name });
                }
                all.insert(name, body);
            }
        }
    }
    Ok((whole, places))
}

/// The lines of names in block style, by kind and name: a key at the left margin, and below it keys at the smallest indentation.
fn lines_of(text: &str) -> BTreeMap<(String, String), usize> {
    let mut lines = BTreeMap::new();
    let (mut kind, mut indentation) = (String::new(), None);
    for (index, line) in text.lines().enumerate() {
        let Some((key, _)) = line.split_once(':').filter(|(key, _)| !key.trim_start().starts_with(['#', '-'])) else { continue };
        let margin = key.len() - key.trim_start().len();
        let key = key.trim().trim_matches(['"', '\'']);
        if margin == 0 {
            (kind, indentation) = (key.to_owned(), None);
        } else if *indentation.get_or_insert(margin) == margin {
            lines.entry((kind.clone(), key.to_owned())).or_insert(index + 1);
        }
    }
    lines
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_MESSAGE) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: &str = "# ours\ntables:\n  # comment: here\n  Doors_CL:\n    columns:\n      - { name: TimeGenerated, type: datetime }\n  B.c_CL:\n    columns: []\nusers: {}\n";

    #[test]
    fn objects_have_places_and_kinds_without_objects_are_named() {
        let (document, places) = parse_all([("a.yaml", TABLES), ("b.json", r#"{"functions": {"f": {"body": "T"}}}"#)]).unwrap();
        assert_eq!(document.kinds.keys().collect::<Vec<_>>(), [&"functions", &"tables", &"users"]);
        let line = |path: &str| places.of(path).map(|place| (place.file.as_str(), place.line));
        assert_eq!(line("tables.Doors_CL.columns[0]"), Some(("a.yaml", Some(4))));
        assert_eq!(line("tables.B.c_CL"), Some(("a.yaml", Some(7))));
        assert_eq!(line("functions.f.body"), Some(("b.json", None)));
        assert_eq!(line("tables.Other"), None);
    }

    #[test]
    fn a_name_that_stands_twice_names_both_files() {
        let error = parse_all([("a.yaml", TABLES), ("b.yaml", TABLES)]).unwrap_err().to_string();
        assert_eq!(error, "b.yaml: `tables.B.c_CL` stands in a.yaml already; each name may stand once");
        let error = parse("c.yaml", "functions:\n  f: {body: T}\n  f: {body: T}\n").unwrap_err().to_string();
        assert!(error.starts_with("c.yaml") && error.contains("`f` stands here twice"), "{error}");
    }

    #[test]
    fn an_unknown_kind_is_refused_with_the_nearest() {
        let error = parse("a.yaml", "table: {}\n").unwrap_err().to_string();
        assert!(error.contains("unknown field `table`") && error.ends_with("Did you mean `tables`?"), "{error}");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let (document, _) = parse_all([("a.yaml", TABLES)]).unwrap();
        assert_eq!(parse("x", &document.to_yaml().unwrap()).unwrap(), document);
        assert_eq!(parse("x", &document.to_json().to_string()).unwrap(), document);
    }

    #[test]
    fn hostile_documents_are_refused() {
        for text in ["tables: 1", "[]", "\u{0}", "tables:\n\tT: 1", &format!("tables: {}", "[".repeat(5_000))] {
            assert!(matches!(parse("x", text), Err(DocumentError::Wrong { .. })), "{text:.40}");
        }
        assert!(matches!(parse("x", &" ".repeat(MAX_BYTES + 1)), Err(DocumentError::TooLong { .. })));
    }
}
