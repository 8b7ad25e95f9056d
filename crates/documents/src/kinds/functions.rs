//! `functions`: saved searches, which are functions if they have an alias.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use model::{CatalogError, SavedSearch, StoredFunction};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::StoreError;

use crate::check::Findings;
use crate::checks::saved_searches::{MAX_SEARCHES, check};
use crate::error::ApplyError;
use crate::kind::{Access, Kind, Level, Outside, Stored, Writing};
use crate::plan::Plan;
use crate::stored::World;

pub static KIND: Functions = Functions;
pub type Body = Function;

/// The category of functions without one.
const CATEGORY: &str = "Functions";

/// A saved search. With an alias, queries and rules call it as a function.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Function {
    /// What portals show. Default: the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Default: `Functions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// The name that queries call it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// As declared, without parentheses. Example: `since:datetime, host:string=''`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<String>,
    /// KQL.
    pub body: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

impl Function {
    fn of(search: &SavedSearch) -> Self {
        let filled = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Self {
            display_name: filled(&search.display_name).filter(|text| *text != search.name),
            category: filled(&search.category).filter(|text| text != CATEGORY),
            alias: filled(&search.function_alias),
            parameters: filled(&search.function_parameters),
            body: search.query.clone(),
            tags: search.tags.iter().cloned().collect(),
        }
    }

    fn search(self, name: &str) -> SavedSearch {
        SavedSearch {
            name: name.to_owned(),
            category: self.category.unwrap_or_else(|| CATEGORY.to_owned()),
            display_name: self.display_name.unwrap_or_else(|| name.to_owned()),
            query: self.body,
            function_alias: self.alias.unwrap_or_default(),
            function_parameters: self.parameters.unwrap_or_default(),
            tags: self.tags.into_iter().collect(),
        }
    }
}

fn read(name: &str, body: &Value) -> SavedSearch {
    serde_json::from_value(body.clone()).map(|function: Function| function.search(name)).unwrap_or_default()
}

/// The function that queries call, if there is an alias.
pub(crate) fn callable(name: &str, body: &Value) -> Option<StoredFunction> {
    let search = read(name, body);
    let function = StoredFunction { name: search.function_alias, parameters: search.function_parameters, body: search.query };
    Some(function).filter(|function| !function.name.is_empty())
}

pub struct Functions;

#[async_trait]
impl Kind for Functions {
    fn name(&self) -> &'static str {
        "functions"
    }

    fn singular(&self) -> &'static str {
        "function"
    }

    fn summary(&self) -> &'static str {
        "Saved searches; one with an alias is a function that queries call"
    }

    fn access(&self) -> Access {
        Access {
            level: Level::Workspace,
            read: "Microsoft.OperationalInsights/workspaces/savedSearches/read",
            write: "Microsoft.OperationalInsights/workspaces/savedSearches/write",
            delete: "Microsoft.OperationalInsights/workspaces/savedSearches/delete",
            owner: false,
        }
    }

    fn check_name(&self, name: &str) -> Option<&'static str> {
        let fits = (1..=260).contains(&name.chars().count()) && !name.contains(|c: char| c.is_control() || matches!(c, '/' | '\\'));
        (!fits).then_some("Use 1 to 260 characters without slashes")
    }

    async fn list(&self, world: &World) -> Result<Vec<Stored>, StoreError> {
        Ok(world.catalog.saved_searches().iter().map(|search| Stored::of(&search.name, json!(Function::of(search)))).collect())
    }

    async fn settle(&self, _: &World, name: &str, _: Option<&Value>, wanted: Value) -> Result<Value, StoreError> {
        Ok(json!(Function::of(&read(name, &wanted))))
    }

    async fn check(&self, plan: &Plan<'_>, found: &mut Findings) {
        let mut aliases: HashMap<String, &str> = HashMap::new();
        let mut count = 0;
        for (name, body) in plan.after("functions") {
            count += 1;
            let alias = read(name, body).function_alias;
            if alias.is_empty() {
                continue;
            }
            if let Some(other) = aliases.insert(alias.clone(), name) {
                let problem = format!("`functions.{other}` is the function `{alias}` already; a function has one definition");
                found.add(format!("functions.{name}.alias"), problem, "");
            }
        }
        if count > MAX_SEARCHES {
            found.add("functions", format!("there would be {count}; a workspace keeps at most {MAX_SEARCHES}"), "");
        }
        for (name, body) in plan.wanted.of("functions") {
            let (path, search) = (format!("functions.{name}"), read(name, body));
            if let Err(refusal) = check(&search) {
                let field = match refusal.target.as_deref() {
                    Some("properties.query") => "body",
                    Some("properties.functionAlias") => "alias",
                    Some("properties.functionParameters") => "parameters",
                    _ => "tags",
                };
                found.add(format!("{path}.{field}"), refusal.message.trim_end_matches('.'), "");
            }
            // Names are bound when the function is called: its parameters and the tables of the caller decide.
            if let Some(wrong) = kql::syntax::parse(&search.query).diagnostics.first() {
                let line = search.query[..search.query.floor_char_boundary(wrong.start)].matches('\n').count() + 1;
                let help = wrong.help.clone().unwrap_or_default();
                found.add(format!("{path}.body"), format!("line {line} of the query: {}: {}", wrong.code, wrong.message), help);
            }
        }
    }

    fn outside(&self) -> Outside {
        Outside::Catalog
    }

    async fn put(&self, at: &mut Writing<'_>, name: &str, before: Option<&Value>, after: &Value) -> Result<(), ApplyError> {
        let search = read(name, after);
        let changes = json!({ "query": [before.map(|before| before["body"].clone()), search.query] });
        let failed = |cause| ApplyError::Catalog { kind: "functions", name: name.to_owned(), cause };
        at.world.catalog.save_search(search).await.map_err(failed)?;
        let action = if before.is_some() { "changed" } else { "created" };
        Ok(at.record("saved search", name, action, changes).await?)
    }

    async fn delete(&self, at: &mut Writing<'_>, name: &str, _: &Value) -> Result<(), ApplyError> {
        Ok(at.record("saved search", name, "deleted", json!({})).await?)
    }

    async fn remove(&self, world: &World, name: &str) -> Result<(), CatalogError> {
        world.catalog.remove_search(name).await.map(drop)
    }
}
