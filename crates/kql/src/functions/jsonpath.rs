//! `extract_json(path, text [, type])`, and JSON paths: `$.a.b[0]['c d']`; negative indices count from the end. Source of truth: the public
//! KQL reference, `extract-json-function`, `jsonpath`. `*` is not supported, as in Kusto.

use model::Type;

use super::signatures::{count, type_argument};
use super::{Family, PrepareError, Resolved, ScalarFn, Signature, kernel};
use crate::Value;
use crate::dynamic;
use crate::value::cast;
use crate::value::cells::Cells;

pub static FAMILY: Family = &[&EXTRACT_JSON];

static EXTRACT_JSON: ScalarFn = ScalarFn {
    name: "extract_json",
    aliases: &["extractjson"],
    summary: "The value at a path of a JSON text, as text or as the type that `typeof(…)` names",
    parameters: &["path", "json", "type"],
    signature: Signature::Custom(|args| {
        count(args, 2, Some(3))?;
        let returns = args.get(2).map_or(Ok(Type::String), |arg| type_argument(arg, 2))?;
        Ok(Resolved { args: vec![Type::String; args.len()], returns })
    }),
    examples: &[
        (r#"extract_json("$.hosts[1].AvailableMB", '{"hosts": [{"AvailableMB": 30}, {"AvailableMB": 7}]}', typeof(int))"#, "7"),
        (r#"extract_json("$.a['b c']", '{"a": {"b c": "x"}}')"#, "x"),
    ],
    prepare: |prepare| {
        let fixed = match prepare.constants[0].as_ref().and_then(Value::as_str) {
            Some(text) => match Path::parse(text) {
                Some(path) => Some(path),
                None => return Err(PrepareError::Constant(format!("`{text}` is no path; write for example `$.a.b[0]`"))),
            },
            None => None,
        };
        let returns = prepare.returns;
        Ok(kernel(move |args| {
            let (path, text) = (args.texts(0), args.texts(1));
            let mut cells = Cells::new(returns, args.rows);
            for row in 0..args.rows {
                let text = text.get(row);
                let found = match &fixed {
                    Some(path) => path.find(text),
                    None => Path::parse(path.get(row)).and_then(|path| path.find(text)),
                };
                let value = match found {
                    // Dynamic results are normalised, because the input is arbitrary text.
                    Some(json) if returns == Type::Dynamic => dynamic::parse(json).map_or(Value::Null(returns), Value::Dynamic),
                    Some(json) => cast::from_dynamic(json, returns),
                    None => Value::null(returns),
                };
                cells.push(&value);
            }
            cells.finish()
        }))
    },
    ..ScalarFn::DEFAULT
};

/// A compiled path.
pub struct Path {
    steps: Vec<Step>,
}

enum Step {
    Name(String),
    Index(i64),
}

impl Path {
    pub fn parse(text: &str) -> Option<Path> {
        let mut rest = text.trim().strip_prefix('$')?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('[') {
                let after = after.trim_start();
                let quote = after.chars().next()?;
                if quote == '\'' || quote == '"' {
                    let inner = &after[1..];
                    let end = inner.find(quote)?;
                    steps.push(Step::Name(inner[..end].to_owned()));
                    rest = inner[end + 1..].trim_start().strip_prefix(']')?;
                } else {
                    let end = after.find(']')?;
                    steps.push(Step::Index(after[..end].trim().parse().ok()?));
                    rest = &after[end + 1..];
                }
            } else {
                // Published rules write `$Name` for `$.Name`.
                let after = match rest.strip_prefix('.') {
                    Some(after) => after,
                    None if steps.is_empty() && rest.starts_with(char::is_alphabetic) => rest,
                    None => return None,
                };
                let end = after.find(['.', '[']).unwrap_or(after.len());
                if end == 0 {
                    return None;
                }
                steps.push(Step::Name(after[..end].to_owned()));
                rest = &after[end..];
            }
        }
        Some(Path { steps })
    }

    pub fn find<'a>(&self, json: &'a str) -> Option<&'a str> {
        self.steps.iter().try_fold(json, |json, step| match step {
            Step::Name(name) => dynamic::property(json, name),
            Step::Index(index) => dynamic::index(json, *index),
        })
    }

    /// The names, if the path consists only of names.
    pub fn names(&self) -> Option<Vec<String>> {
        let name = |step: &Step| match step {
            Step::Name(name) => Some(name.clone()),
            Step::Index(_) => None,
        };
        self.steps.iter().map(name).collect()
    }
}
