//! Functions defined in files: in the formats of Microsoft's published parsers, or as a plain list.
//!
//! | key, case-insensitive | meaning |
//! |---|---|
//! | `FunctionAlias`, `FunctionName`, `ParserName`, `Name` | the name; if several are present, each is one |
//! | `EquivalentBuiltInParser` | an additional name |
//! | `FunctionQuery`, `ParserQuery`, `Query`, `Body` | the text |
//! | `FunctionParameters`, `ParserParams`, `Parameters` | `a:string='x', b:long`, or a list of `Name`, `Type`, `Default` |
//!
//! A file is one definition, a list of them, or a map from names to definitions. Source of truth for the keys: the public content
//! repository of Microsoft Sentinel.

use model::StoredFunction;
use serde_json::{Map, Value as Json};

/// Why a definition cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    #[error("a function has no name; it is `FunctionAlias`, `FunctionName`, `ParserName` or `Name`")]
    NoName,
    #[error("function `{0}` has no text; it is `FunctionQuery`, `ParserQuery`, `Query` or `Body`")]
    NoBody(String),
    #[error("a parameter of function `{0}` has no name or no type")]
    Parameter(String),
    #[error("neither a definition of a function nor a list or map of them")]
    Shape,
}

const NAMES: &[&str] = &["functionalias", "functionname", "parsername", "name"];
const MORE_NAMES: &[&str] = &["equivalentbuiltinparser"];
const BODIES: &[&str] = &["functionquery", "parserquery", "query", "body"];
const PARAMETERS: &[&str] = &["functionparameters", "parserparams", "parameters"];

/// The functions defined by a document, one per name.
pub fn read(document: &Json) -> Result<Vec<StoredFunction>, DefinitionError> {
    match document {
        Json::Array(items) => {
            let mut functions = Vec::new();
            for item in items {
                functions.extend(read(item)?);
            }
            Ok(functions)
        }
        Json::Object(map) if get(map, BODIES).is_some() || get(map, NAMES).is_some() => definition(map, None),
        Json::Object(map) if map.values().all(Json::is_object) => {
            let mut functions = Vec::new();
            for (name, item) in map {
                let Json::Object(item) = item else { return Err(DefinitionError::Shape) };
                functions.extend(definition(item, Some(name))?);
            }
            Ok(functions)
        }
        _ => Err(DefinitionError::Shape),
    }
}

fn get<'m>(map: &'m Map<String, Json>, keys: &[&str]) -> Option<&'m Json> {
    let found = |key: &&str| map.iter().find(|(name, value)| name.eq_ignore_ascii_case(key) && !value.is_null()).map(|(_, value)| value);
    keys.iter().find_map(found)
}

fn definition(map: &Map<String, Json>, key: Option<&str>) -> Result<Vec<StoredFunction>, DefinitionError> {
    let texts = |keys: &[&str]| -> Vec<String> {
        keys.iter().filter_map(|key| get(map, &[*key])).filter_map(Json::as_str).map(|name| name.trim().to_owned()).collect()
    };
    let mut names = texts(NAMES);
    names.extend(key.map(str::to_owned));
    names.extend(texts(MORE_NAMES));
    names.retain(|name| !name.is_empty());
    names.sort();
    names.dedup();
    let Some(first) = names.first().cloned() else { return Err(DefinitionError::NoName) };
    let Some(body) = get(map, BODIES).and_then(Json::as_str) else { return Err(DefinitionError::NoBody(first)) };
    let parameters = match get(map, PARAMETERS) {
        None => String::new(),
        Some(Json::String(text)) => text.trim().trim_start_matches('(').to_owned(),
        Some(Json::Array(items)) => {
            let each: Option<Vec<String>> = items.iter().map(parameter).collect();
            each.ok_or(DefinitionError::Parameter(first))?.join(", ")
        }
        Some(_) => return Err(DefinitionError::Parameter(first)),
    };
    Ok(names.into_iter().map(|name| StoredFunction { name, parameters: parameters.clone(), body: body.to_owned() }).collect())
}

/// Formats a parameter as `name:type=default`.
fn parameter(item: &Json) -> Option<String> {
    let map = match item {
        Json::String(text) => return Some(text.clone()),
        item => item.as_object()?,
    };
    let name = get(map, &["name"])?.as_str()?;
    let ty = get(map, &["type"])?.as_str()?.trim();
    let ty = if ty.starts_with("table") { "(*)" } else { ty };
    let default = get(map, &["default", "defaultvalue"]).map(|value| match value {
        Json::String(text) if ty == "string" => quoted(text),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    });
    Some(match default.filter(|text| !text.is_empty()) {
        Some(default) => format!("{name}:{ty}={default}"),
        None => format!("{name}:{ty}"),
    })
}

/// Quotes a string literal, unless it is quoted: YAML removes quotes.
fn quoted(text: &str) -> String {
    let already = |quote: char| text.len() > 1 && text.starts_with(quote) && text.ends_with(quote);
    if already('\'') || already('"') { text.to_owned() } else { format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_parsers_and_plain_lists_are_read() {
        let document = serde_json::json!({
            "Function": {"Title": "a parser"},
            "FunctionName": "Parse", "FunctionAlias": "parse_it", "EquivalentBuiltInParser": "_Im_It",
            "ParserParams": [{"Name": "pack", "Type": "bool", "Default": false}, {"Name": "kind", "Type": "string", "Default": "*"}],
            "FunctionQuery": "T | take 1",
        });
        let functions = read(&document).expect("a definition");
        let names: Vec<&str> = functions.iter().map(|function| function.name.as_str()).collect();
        assert_eq!(names, ["Parse", "_Im_It", "parse_it"]);
        assert_eq!(functions[0].parameters, "pack:bool=false, kind:string='*'");
        let list = serde_json::json!([{"name": "f", "parameters": "x:long", "body": "x + 1"}]);
        assert_eq!(read(&list).expect("a list")[0].body, "x + 1");
        let map = serde_json::json!({"f": {"body": "1"}, "g": {"body": "2"}});
        assert_eq!(read(&map).expect("a map").len(), 2);
        assert_eq!(read(&serde_json::json!({"name": "f"})), Err(DefinitionError::NoBody("f".to_owned())));
        assert_eq!(read(&serde_json::json!(1)), Err(DefinitionError::Shape));
    }
}
