//! Principals by name: applications, people and groups of the directory.

use reqwest::Method;
use serde_json::Value;

use super::super::client::{CallError, Client};
use super::super::output::{list, text};
use super::super::{Failure, output};

/// The principals of the directory.
pub struct Principals(Vec<Value>);

impl Principals {
    pub async fn read(client: &Client) -> Result<Self, CallError> {
        let mut found = Vec::new();
        for path in ["/v1.0/servicePrincipals", "/v1.0/users", "/v1.0/groups"] {
            let answer = client.graph(Method::GET, path, &[], None).await?;
            found.extend_from_slice(output::list(&answer, "value"));
        }
        Ok(Self(found))
    }

    /// The object id of the principal with that object id, application id, user principal name or name.
    pub fn find(&self, written: &str) -> Result<String, Failure> {
        let is = |field: &'static str| move |each: &&Value| text(each, field).eq_ignore_ascii_case(written);
        for field in ["id", "appId", "userPrincipalName"] {
            if let Some(found) = self.0.iter().find(is(field)) {
                return Ok(text(found, "id"));
            }
        }
        let named: Vec<&Value> = self.0.iter().filter(is("displayName")).collect();
        match named.as_slice() {
            [one] => Ok(text(one, "id")),
            [] => {
                let known: Vec<String> = self.0.iter().map(|each| text(each, "displayName")).collect();
                Err(Failure::Wrong(format!("error: there is no principal `{written}`; there are {}", known.join(", "))))
            }
            many => {
                let ids: Vec<String> = many.iter().map(|each| text(each, "id")).collect();
                Err(Failure::Wrong(format!(
                    "error: {} principals are called `{written}`: name one by its id, {}",
                    many.len(),
                    ids.join(", ")
                )))
            }
        }
    }

    /// The name of the principal with that object id, or the id.
    pub fn name(&self, id: &str) -> String {
        let found = self.0.iter().find(|each| text(each, "id").eq_ignore_ascii_case(id));
        found.map(|each| text(each, "displayName")).filter(|name| !name.is_empty()).unwrap_or_else(|| id.to_owned())
    }
}

/// The role assignments that a caller may see, filtered; all pages.
pub async fn assignments(client: &Client, filter: Option<&str>) -> Result<Vec<Value>, CallError> {
    let mut found = Vec::new();
    loop {
        let skip = found.len().to_string();
        let mut query = vec![("$top", "1000"), ("$skipToken", skip.as_str())];
        query.extend(filter.map(|filter| ("$filter", filter)));
        let answer = client.authorization(Method::GET, &client.subscription(), "/roleAssignments", &query, None).await?;
        found.extend_from_slice(list(&answer, "value"));
        if answer["nextLink"].is_null() {
            return Ok(found);
        }
    }
}
