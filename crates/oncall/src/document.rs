//! Documents: the directory or a part of it, in YAML (and therefore also JSON).
//!
//! A document may be split into several files; a name defined twice is an error, not a merge.

use std::collections::BTreeMap;

use crate::directory::Directory;

/// The kinds of objects, as named in documents.
pub const KINDS: [&str; 7] =
    ["users", "schedules", "overrides", "escalation_policies", "alert_policies", "maintenance_windows", "heartbeats"];

/// Maximum size of a document.
pub const MAX_BYTES: usize = 4 << 20;
/// Maximum length of a parse error; it may quote text as long as the document.
const MAX_MESSAGE: usize = 600;
/// Maximum length of a name for which similar ones are searched: valid names have at most 64 characters.
const MAX_NAME: usize = 64;
/// Maximum number of names compared in one lookup, to bound its cost.
const MAX_COMPARED: usize = 1_000;

/// Why a document is rejected. Formatted as *what · where · what to do*.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    #[error("{file}{place}: {problem}{help}")]
    Wrong { file: String, place: String, problem: String, help: String },
    #[error("{file}: `{kind}.{name}` stands in {other} already; each name may stand once")]
    Twice { file: String, other: String, kind: &'static str, name: String },
    #[error("{file}: the document has {length} bytes; at most {MAX_BYTES} are read")]
    TooLong { file: String, length: usize },
}

/// Parses a document. `file` is its name in errors.
///
/// ```
/// let wrong = oncall::document::parse("team.yaml", "users:\n  ann: {nme: Ann}\n").unwrap_err();
/// assert_eq!(
///     wrong.to_string(),
///     "team.yaml, line 2, `users.ann.nme`: unknown field `nme`, expected one of `name`, `email`, `user_principal_name`, `object_id`, \
///      `time_zone`, `contacts`, `rules`. Did you mean `name`?"
/// );
/// ```
pub fn parse(file: &str, text: &str) -> Result<Directory, DocumentError> {
    if text.len() > MAX_BYTES {
        return Err(DocumentError::TooLong { file: file.to_owned(), length: text.len() });
    }
    // An empty file, or one with comments only, is valid.
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#') || line.trim() == "---") {
        return Ok(Directory::default());
    }
    // JSON is YAML, but its own parser is twenty times as fast; if it fails, the YAML parser reports the error.
    if text.trim_start().starts_with('{')
        && let Ok(directory) = serde_json::from_str(text)
    {
        return Ok(directory);
    }
    serde_path_to_error::deserialize(serde_yaml_ng::Deserializer::from_str(text)).map_err(|error| {
        let field = error.path().to_string();
        let cause = error.into_inner();
        let message = cause.to_string();
        let (problem, help) = problem_and_help(&field, &message);
        let line = cause.location().map(|location| format!(", line {}", location.line())).unwrap_or_default();
        let field = if matches!(field.as_str(), "." | "?") { String::new() } else { format!(", `{}`", shortened(&field, MAX_MESSAGE)) };
        let problem = shortened(&problem, MAX_MESSAGE);
        DocumentError::Wrong { file: file.to_owned(), place: format!("{line}{field}"), help, problem }
    })
}

/// Parses several files as one document: `(name in errors, text)`.
pub fn parse_all<'a>(documents: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Directory, DocumentError> {
    let mut whole = Directory::default();
    let mut stands: BTreeMap<(&'static str, String), String> = BTreeMap::new();
    for (file, text) in documents {
        let part = parse(file, text)?;
        let mut take = |kind: &'static str, name: &str| match stands.insert((kind, name.to_owned()), file.to_owned()) {
            None => Ok(()),
            Some(other) => Err(DocumentError::Twice { file: file.to_owned(), other, kind, name: name.to_owned() }),
        };
        macro_rules! add {
            ($($kind:ident),*) => {$(
                for (name, object) in part.$kind {
                    take(stringify!($kind), &name)?;
                    whole.$kind.insert(name, object);
                }
            )*};
        }
        add!(users, schedules, overrides, escalation_policies, alert_policies, maintenance_windows, heartbeats);
    }
    Ok(whole)
}

/// Serialises a directory as a document that [`parse`] accepts.
pub fn to_yaml(directory: &Directory) -> Result<String, serde_yaml_ng::Error> {
    serde_yaml_ng::to_string(directory)
}

/// The problem at `path` and the most similar valid name, extracted from the library's message.
///
/// The library appends " at line L column C" and prepends the path, or the part it knows; callers report both themselves.
pub fn problem_and_help(path: &str, message: &str) -> (String, String) {
    let problem = message.split(" at line ").next().unwrap_or(message);
    let problem = match problem.split_once(": ") {
        Some((front, rest)) if path.strip_prefix(front).is_some_and(|below| below.is_empty() || below.starts_with(['.', '['])) => rest,
        _ => problem,
    };
    (problem.to_owned(), nearest(problem))
}

/// ". Did you mean `name`?" from serde's "unknown field `nme`, expected one of `name`, …".
fn nearest(problem: &str) -> String {
    let Some(rest) = problem.strip_prefix("unknown field `").or_else(|| problem.strip_prefix("unknown variant `")) else {
        return String::new();
    };
    let mut quoted = rest.split('`');
    let Some(wrong) = quoted.next() else { return String::new() };
    did_you_mean(wrong, quoted.skip(1).step_by(2)).map(|name| format!(". Did you mean `{name}`?")).unwrap_or_default()
}

/// Truncates to `most` characters, ending in `…`.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// The name most similar to a misspelt one, if any is similar. Compares at most [`MAX_COMPARED`] names of similar length.
pub fn did_you_mean<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if wrong.len() > MAX_NAME * 4 {
        return None;
    }
    let wrong = wrong.to_lowercase();
    let length = wrong.chars().count();
    if length > MAX_NAME {
        return None;
    }
    // Short names are similar to anything; half of the letters must match.
    let most = (length / 2).clamp(1, 3);
    names
        .into_iter()
        // A difference in length is a lower bound of the edit distance.
        .filter(|name| name.len() <= MAX_NAME * 4 && name.chars().count().abs_diff(length) <= most)
        .take(MAX_COMPARED)
        .map(|name| (strsim::damerau_levenshtein(&wrong, &name.to_lowercase()), name))
        .min()
        .filter(|(distance, _)| *distance <= most)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEAM: &str = "users:\n  ann:\n    name: Ann Berg\n    contacts:\n      mobile: { sms: \"+4790000001\" }\n";

    #[test]
    fn what_is_written_is_read_back() {
        let team = parse("team.yaml", TEAM).unwrap();
        assert_eq!(team.users["ann"].contacts["mobile"].channel, "sms");
        assert_eq!(parse("again", &to_yaml(&team).unwrap()).unwrap(), team);
        assert_eq!(parse("json", &serde_json::to_string(&team).unwrap()).unwrap(), team);
        assert_eq!(parse("nothing", "# later\n---\n\n"), Ok(Directory::default()));
    }

    #[test]
    fn a_name_stands_once() {
        let error = parse_all([("a.yaml", TEAM), ("b.yaml", TEAM)]).unwrap_err();
        assert_eq!(error.to_string(), "b.yaml: `users.ann` stands in a.yaml already; each name may stand once");
    }

    #[test]
    fn hostile_documents_are_refused_in_words() {
        let deep = format!("users: {}", "[".repeat(5_000));
        // The aliases would expand to 10^9 strings.
        let mut bomb = String::from("a: &a [x,x,x,x,x,x,x,x,x,x]\n");
        for (name, of) in ["b", "c", "d", "e", "f", "g", "h", "i"].iter().zip(["a", "b", "c", "d", "e", "f", "g", "h"]) {
            bomb += &format!("{name}: &{name} [*{of},*{of},*{of},*{of},*{of},*{of},*{of},*{of},*{of},*{of}]\n");
        }
        for text in [
            deep.as_str(),
            &bomb,
            "users: 1",
            "\u{0}",
            "users: {ann: {contacts: {m: {sms: x, email: y}}}}",
            "[]",
            "- x",
            "users:\n\tann: 1",
        ] {
            assert!(matches!(parse("x", text), Err(DocumentError::Wrong { .. })), "{text:.40}");
        }
        assert!(matches!(parse("x", &" ".repeat(MAX_BYTES + 1)), Err(DocumentError::TooLong { .. })));
    }
}
