//! `data_collection_rules`: streams, transforms and tables, in the fields of Azure's resource.
//!
//! Ids of the workspace are left out: there is one, and a document is meant for any service.

use std::collections::BTreeMap;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use store::{DataCollectionRuleRecord, StoreError};

use crate::check::Findings;
use crate::checks::data_collection_rules::{Known, check};
use crate::cloud::Cloud;
use crate::error::ApplyError;
use crate::kind::{Access, Cache, Kind, Level, Removal, Stored, Writing};
use crate::plan::Plan;
use crate::stored::World;
use crate::writes::{self, By, NewDataCollectionRule};

pub static KIND: DataCollectionRules = DataCollectionRules;
pub type Body = DataCollectionRule;

/// The destination of a rule that names none.
const WORKSPACE: &str = "workspace";

/// How uploaded records become rows.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DataCollectionRule {
    /// `Direct` gives the rule an ingestion endpoint of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Default: the service's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Columns of uploaded records, by stream. Names start with `Custom-`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stream_declarations: BTreeMap<String, Stream>,
    /// Names for the workspace. Default: one, named `workspace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destinations: Option<Destinations>,
    /// Which stream goes through which transform into which table.
    pub data_flows: Vec<DataFlow>,
    /// Azure's resource id of an endpoint; kept and not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_collection_endpoint_id: Option<String>,
    /// Sources of Azure's agents; kept and not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_sources: Option<Value>,
    /// Rules that Azure would refuse are allowed if they can run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lenient: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    pub columns: Vec<StreamColumn>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamColumn {
    pub name: String,
    /// `string`, `int`, `long`, `real`, `boolean`, `dynamic` or `datetime`.
    #[serde(rename = "type")]
    pub ty: String,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Destinations {
    pub log_analytics: Vec<Destination>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Destination {
    pub name: String,
    /// Default: the service's only workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_resource_id: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DataFlow {
    pub streams: Vec<String>,
    /// Default: all destinations of the rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destinations: Option<Vec<String>>,
    /// KQL over `source`. Default: records are taken as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transform_kql: Option<String>,
    /// `Custom-<Table>_CL` or `Microsoft-<Table>`. Default: the stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_stream: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built_in_transform: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture_overflow: Option<bool>,
}

impl DataCollectionRule {
    /// Leaves out what the service fills in.
    fn settled(mut self, cloud: &Cloud) -> Self {
        let workspace = cloud.workspace_path();
        let ours = |id: &String| id.trim_end_matches('/').eq_ignore_ascii_case(&workspace);
        let mut names = Vec::new();
        for destination in self.destinations.iter_mut().flat_map(|destinations| &mut destinations.log_analytics) {
            destination.workspace_resource_id = destination.workspace_resource_id.take().filter(|id| !ours(id));
            names.push(destination.name.clone());
        }
        let plain = |one: &Destination| one.name == WORKSPACE && one.workspace_resource_id.is_none();
        if self.destinations.as_ref().is_some_and(|all| matches!(all.log_analytics.as_slice(), [one] if plain(one))) {
            self.destinations = None;
        }
        if names.is_empty() {
            names.push(WORKSPACE.to_owned());
        }
        for flow in &mut self.data_flows {
            flow.destinations = flow.destinations.take().filter(|to| *to != names);
            flow.transform_kql = flow.transform_kql.take().filter(|kql| !kql.trim().is_empty());
        }
        self.location = self.location.filter(|location| *location != cloud.location);
        self.kind = self.kind.filter(|kind| !kind.is_empty());
        self
    }

    /// Azure's `properties`, with what the service fills in.
    fn properties(self, cloud: &Cloud) -> Map<String, Value> {
        let mut rule = self;
        let destinations = rule.destinations.get_or_insert_with(|| Destinations {
            log_analytics: vec![Destination { name: WORKSPACE.to_owned(), workspace_resource_id: None }],
        });
        let names: Vec<String> = destinations.log_analytics.iter().map(|one| one.name.clone()).collect();
        for destination in &mut destinations.log_analytics {
            destination.workspace_resource_id.get_or_insert_with(|| cloud.workspace_path());
        }
        for flow in &mut rule.data_flows {
            flow.destinations.get_or_insert_with(|| names.clone());
        }
        let Value::Object(mut properties) = json!(rule) else { return Map::new() };
        for field in ["kind", "location", "tags"] {
            properties.remove(field);
        }
        properties
    }

    /// A stored rule. Properties that documents do not have are left out.
    fn of(record: &DataCollectionRuleRecord, cloud: &Cloud) -> Result<Self, serde_json::Error> {
        const FIELDS: [&str; 7] =
            ["description", "streamDeclarations", "destinations", "dataFlows", "dataCollectionEndpointId", "dataSources", "lenient"];
        const FLOW: [&str; 6] = ["streams", "destinations", "transformKql", "outputStream", "builtInTransform", "captureOverflow"];
        let known = |map: &Map<String, Value>, fields: &[&str]| -> Map<String, Value> {
            let kept = map.iter().filter(|(name, value)| fields.contains(&name.as_str()) && !value.is_null());
            kept.map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        let mut body = known(&record.properties, &FIELDS);
        for flow in body.get_mut("dataFlows").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Value::Object(fields) = flow {
                *fields = known(fields, &FLOW);
            }
        }
        for destination in body.get_mut("destinations").and_then(|all| all.get_mut("logAnalytics")?.as_array_mut()).into_iter().flatten() {
            if let Value::Object(fields) = destination {
                *fields = known(fields, &["name", "workspaceResourceId"]);
            }
        }
        let mut rule: Self = serde_json::from_value(Value::Object(body))?;
        rule.kind = record.kind.clone();
        rule.location = Some(record.location.clone());
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        rule.tags = record.tags.iter().map(|(name, value)| (name.clone(), text(value))).collect();
        Ok(rule.settled(cloud))
    }
}

/// Tables that a rule writes to.
pub(crate) fn tables_of(body: &Value) -> Vec<String> {
    let flows = body["dataFlows"].as_array().into_iter().flatten();
    let outputs = flows.filter_map(|flow| flow["outputStream"].as_str().or_else(|| flow["streams"][0].as_str()));
    outputs.filter_map(pipeline::table_of).map(str::to_owned).collect()
}

fn read(body: &Value) -> DataCollectionRule {
    serde_json::from_value(body.clone()).unwrap_or_default()
}

pub struct DataCollectionRules;

#[async_trait]
impl Kind for DataCollectionRules {
    fn name(&self) -> &'static str {
        "data_collection_rules"
    }

    fn singular(&self) -> &'static str {
        "data collection rule"
    }

    fn summary(&self) -> &'static str {
        "How uploaded records become rows of tables"
    }

    fn access(&self) -> Access {
        Access {
            level: Level::ResourceGroup,
            read: "Microsoft.Insights/dataCollectionRules/read",
            write: "Microsoft.Insights/dataCollectionRules/write",
            delete: "Microsoft.Insights/dataCollectionRules/delete",
            owner: false,
        }
    }

    async fn list(&self, world: &World) -> Result<Vec<Stored>, StoreError> {
        let Some(state) = &world.state else { return Ok(Vec::new()) };
        let records = state.store.data_collection_rules().list().await?;
        let mut all = Vec::with_capacity(records.len());
        for record in records.iter().filter(|record| record.resource_group.eq_ignore_ascii_case(&world.cloud.resource_group)) {
            match DataCollectionRule::of(record, &world.cloud) {
                Ok(rule) => {
                    let (name, etag) = (record.name.clone(), record.etag.to_string());
                    all.push(Stored { name, etag, body: json!(rule), removal: Removal::Allowed });
                }
                Err(error) => tracing::warn!(rule = record.name, %error, "this data collection rule has no form as a document"),
            }
        }
        Ok(all)
    }

    async fn settle(&self, world: &World, _: &str, _: Option<&Value>, wanted: Value) -> Result<Value, StoreError> {
        Ok(json!(read(&wanted).settled(&world.cloud)))
    }

    async fn check(&self, plan: &Plan<'_>, found: &mut Findings) {
        let workspace = plan.world.cloud.workspace_path();
        let table = |name: &str| plan.table(name);
        let known = Known { table: &table, engine: plan.world.engine.as_ref(), workspace: &workspace };
        for (name, body) in plan.wanted.of("data_collection_rules") {
            let path = format!("data_collection_rules.{name}");
            let properties = read(body).properties(&plan.world.cloud);
            let missing: Vec<String> = tables_of(body).into_iter().filter(|table| plan.table(table).is_none()).collect();
            if missing.is_empty() {
                if let Err(refusal) = check(known, &properties).await {
                    found.refused(&path, &refusal);
                }
                continue;
            }
            let tables = plan.tables();
            for table in missing {
                found.missing(format!("{path}.dataFlows"), "table", &table, tables.iter().map(String::as_str));
            }
        }
    }

    async fn put(&self, at: &mut Writing<'_>, name: &str, _: Option<&Value>, after: &Value) -> Result<(), ApplyError> {
        let (rule, cloud) = (read(after), &at.world.cloud);
        let wanted = NewDataCollectionRule {
            resource_group: cloud.resource_group.clone(),
            name: name.to_owned(),
            kind: rule.kind.clone(),
            location: rule.location.clone().unwrap_or_else(|| cloud.location.clone()),
            tags: rule.tags.iter().map(|(name, value)| (name.clone(), json!(value))).collect(),
            properties: rule.properties(cloud),
        };
        writes::put_data_collection_rule(at.change, wanted, By { actor: at.actor, at: at.now }).await?;
        Ok(())
    }

    async fn delete(&self, at: &mut Writing<'_>, name: &str, _: &Value) -> Result<(), ApplyError> {
        let by = By { actor: at.actor, at: at.now };
        writes::delete_data_collection_rule(at.change, &at.world.cloud.resource_group, name, by).await?;
        Ok(())
    }

    fn cache(&self) -> Option<Cache> {
        Some(Cache::DataCollectionRules)
    }
}

#[cfg(test)]
mod tests {
    use model::Timestamp;
    use uuid::Uuid;

    use super::*;

    fn cloud() -> Cloud {
        Cloud {
            subscription_id: "s".into(),
            resource_group: "g".into(),
            workspace_name: "w".into(),
            workspace_id: "id".into(),
            location: "local".into(),
        }
    }

    fn record(properties: Value) -> DataCollectionRuleRecord {
        DataCollectionRuleRecord {
            immutable_id: "dcr-1".into(),
            resource_group: "g".into(),
            name: "r".into(),
            kind: Some("Direct".into()),
            location: "local".into(),
            tags: Map::new(),
            etag: Uuid::nil(),
            created: Timestamp::UNIX_EPOCH,
            modified: Timestamp::UNIX_EPOCH,
            properties: properties.as_object().cloned().unwrap_or_default(),
        }
    }

    #[test]
    fn ids_of_the_workspace_are_left_out_and_filled_in() {
        let written = json!({ "kind": "Direct", "dataFlows": [{ "streams": ["Microsoft-Syslog"] }] });
        let properties = read(&written).properties(&cloud());
        let workspace = cloud().workspace_path();
        assert_eq!(
            Value::Object(properties.clone()),
            json!({
                "destinations": { "logAnalytics": [{ "name": "workspace", "workspaceResourceId": workspace }] },
                "dataFlows": [{ "streams": ["Microsoft-Syslog"], "destinations": ["workspace"] }],
            })
        );
        assert_eq!(json!(DataCollectionRule::of(&record(Value::Object(properties)), &cloud()).unwrap()), written);
        assert_eq!(tables_of(&written), ["Syslog"]);
    }

    #[test]
    fn what_azures_clients_wrote_is_kept_as_far_as_documents_have_it() {
        let workspace = cloud().workspace_path().to_uppercase();
        let stored = json!({
            "destinations": { "logAnalytics": [{ "name": "la", "workspaceResourceId": workspace, "workspaceId": "x" }] },
            "dataFlows": [{ "streams": ["Custom-A"], "destinations": ["la"], "transformKql": "source", "outputStream": "Custom-A_CL", "new": 1 }],
            "streamDeclarations": { "Custom-A": { "columns": [{ "name": "a", "type": "string" }] } },
            "description": null, "unheard": true,
        });
        let body = json!(DataCollectionRule::of(&record(stored), &cloud()).unwrap());
        assert_eq!(
            body,
            json!({
                "kind": "Direct",
                "destinations": { "logAnalytics": [{ "name": "la" }] },
                "dataFlows": [{ "streams": ["Custom-A"], "transformKql": "source", "outputStream": "Custom-A_CL" }],
                "streamDeclarations": { "Custom-A": { "columns": [{ "name": "a", "type": "string" }] } },
            })
        );
    }
}
