//! Data collection rules: streams, transforms and destinations.
//!
//! Wire: learn.microsoft.com/azure/azure-monitor/data-collection/data-collection-rule-structure. Parsed are `streamDeclarations`,
//! `destinations.logAnalytics` and `dataFlows`; other sections (such as agent data sources) are ignored.

use std::collections::{BTreeMap, HashSet};

use model::{Column, StreamName, TableName, Type};
use serde_json::{Map, Value};

/// An error in a rule, and its location.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` {problem}")]
pub struct RuleError {
    /// For example `properties.dataFlows[0].outputStream`.
    pub path: String,
    pub problem: String,
}

/// A parsed data collection rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Declared streams and their columns.
    pub streams: BTreeMap<StreamName, Vec<Column>>,
    pub flows: Vec<Flow>,
    /// The resource ID, for dead letters.
    pub resource_id: Option<String>,
    /// Azure's restrictions do not apply, among them the one on the age of `TimeGenerated`.
    pub lenient: bool,
}

/// Sends records of some streams through a transform into a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    pub streams: Vec<StreamName>,
    /// `None` if records are stored unchanged.
    pub transform: Option<String>,
    pub output: TableName,
}

/// Types allowed in stream declarations. Other types exist only in tables.
const STREAM_TYPES: [&str; 7] = ["string", "int", "long", "real", "boolean", "dynamic", "datetime"];

impl Rule {
    /// Parses the `properties` of a rule. Returns all errors, in document order.
    pub fn parse(properties: &Map<String, Value>) -> Result<Rule, Vec<RuleError>> {
        let lenient = properties.get("lenient").and_then(Value::as_bool).unwrap_or(false);
        let mut reader = Reader { errors: Vec::new() };
        let streams = reader.streams(properties.get("streamDeclarations"));
        let destinations = reader.destinations(properties.get("destinations"));
        let flows = reader.flows(properties.get("dataFlows"), &streams, &destinations);
        if reader.errors.is_empty() { Ok(Rule { streams, flows, resource_id: None, lenient }) } else { Err(reader.errors) }
    }

    /// The resource's name, where it has one.
    pub fn name(&self) -> Option<&str> {
        self.resource_id.as_deref()?.rsplit('/').next()
    }

    /// Flows that take this stream; none where the rule does not know it.
    pub fn flows_of<'r>(&'r self, stream: &'r str) -> impl Iterator<Item = &'r Flow> {
        self.flows.iter().filter(move |flow| flow.streams.iter().any(|known| known.as_str() == stream))
    }
}

/// The table that a stream name refers to: `Custom-T_CL` for `T_CL`, `Microsoft-Syslog` for `Syslog`.
pub fn table_of(stream: &str) -> Option<&str> {
    stream.strip_prefix("Custom-").or_else(|| stream.strip_prefix("Microsoft-")).filter(|table| !table.is_empty())
}

struct Reader {
    errors: Vec<RuleError>,
}

impl Reader {
    fn wrong(&mut self, path: impl Into<String>, problem: impl Into<String>) {
        self.errors.push(RuleError { path: path.into(), problem: problem.into() });
    }

    fn streams(&mut self, declared: Option<&Value>) -> BTreeMap<StreamName, Vec<Column>> {
        let path = "properties.streamDeclarations";
        let mut streams = BTreeMap::new();
        let declared = match declared {
            None | Some(Value::Null) => return streams,
            Some(Value::Object(declared)) => declared,
            Some(_) => {
                self.wrong(path, "must be an object of streams");
                return streams;
            }
        };
        for (name, stream) in declared {
            let path = format!("{path}.{name}");
            if !name.starts_with("Custom-") || name.len() == "Custom-".len() {
                self.wrong(&path, "must have a name that begins with `Custom-`");
            }
            let Some(columns) = stream.get("columns").and_then(Value::as_array) else {
                self.wrong(format!("{path}.columns"), "must be an array of columns");
                continue;
            };
            let columns = columns.iter().enumerate().filter_map(|(n, column)| self.column(column, &format!("{path}.columns[{n}]")));
            let columns: Vec<Column> = columns.collect();
            let mut seen = HashSet::new();
            if let Some(twice) = columns.iter().find(|column| !seen.insert(column.name.as_str())) {
                self.wrong(format!("{path}.columns"), format!("must not name column `{}` twice", twice.name));
            }
            streams.insert(StreamName::new(name), columns);
        }
        streams
    }

    fn column(&mut self, column: &Value, path: &str) -> Option<Column> {
        let name = column.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
        let written = column.get("type").and_then(Value::as_str).unwrap_or_default();
        let ty = Type::parse(written);
        if name.is_none() {
            self.wrong(format!("{path}.name"), "must be the name of a column");
        }
        if ty.is_none() {
            self.wrong(format!("{path}.type"), format!("must be one of {}, not `{written}`", STREAM_TYPES.join(", ")));
        }
        Some(Column::new(name?, ty?))
    }

    fn destinations(&mut self, destinations: Option<&Value>) -> HashSet<String> {
        let path = "properties.destinations";
        let workspaces = destinations.and_then(|all| all.get("logAnalytics")).and_then(Value::as_array);
        let Some(workspaces) = workspaces.filter(|list| !list.is_empty()) else {
            self.wrong(format!("{path}.logAnalytics"), "must name at least one workspace");
            return HashSet::new();
        };
        let mut names = HashSet::new();
        for (n, workspace) in workspaces.iter().enumerate() {
            let path = format!("{path}.logAnalytics[{n}]");
            if workspace.get("workspaceResourceId").and_then(Value::as_str).is_none_or(str::is_empty) {
                self.wrong(format!("{path}.workspaceResourceId"), "must be the resource id of a workspace");
            }
            match workspace.get("name").and_then(Value::as_str).filter(|name| !name.is_empty()) {
                Some(name) if !names.insert(name.to_owned()) => self.wrong(format!("{path}.name"), format!("must not be `{name}` again")),
                Some(_) => {}
                None => self.wrong(format!("{path}.name"), "must be a name that data flows can use"),
            }
        }
        names
    }

    fn flows(&mut self, flows: Option<&Value>, streams: &BTreeMap<StreamName, Vec<Column>>, destinations: &HashSet<String>) -> Vec<Flow> {
        let path = "properties.dataFlows";
        let Some(flows) = flows.and_then(Value::as_array).filter(|flows| !flows.is_empty()) else {
            self.wrong(path, "must hold at least one data flow");
            return Vec::new();
        };
        let flow = |(n, flow): (usize, &Value)| self.flow(flow, &format!("{path}[{n}]"), streams, destinations);
        flows.iter().enumerate().filter_map(flow).collect()
    }

    fn flow(
        &mut self,
        flow: &Value,
        path: &str,
        streams: &BTreeMap<StreamName, Vec<Column>>,
        destinations: &HashSet<String>,
    ) -> Option<Flow> {
        let names = self.names(flow.get("streams"), &format!("{path}.streams"), "stream");
        for (n, name) in names.iter().enumerate() {
            if !streams.contains_key(name.as_str()) && !name.starts_with("Microsoft-") {
                self.wrong(format!("{path}.streams[{n}]"), format!("is `{name}`, which is not among the stream declarations"));
            }
        }
        for (n, name) in self.names(flow.get("destinations"), &format!("{path}.destinations"), "destination").iter().enumerate() {
            if !destinations.contains(name) {
                self.wrong(format!("{path}.destinations[{n}]"), format!("is `{name}`, which is not among the destinations"));
            }
        }
        let transform = match flow.get("transformKql") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.trim()).filter(|text| !text.is_empty() && *text != "source").map(str::to_owned),
            Some(_) => {
                self.wrong(format!("{path}.transformKql"), "must be a text of KQL");
                None
            }
        };
        if transform.is_some() && names.len() > 1 {
            self.wrong(format!("{path}.streams"), "must be exactly one stream where there is a transform");
        }
        let output = match flow.get("outputStream") {
            None | Some(Value::Null) => names.first().cloned().unwrap_or_default(),
            Some(output) => output.as_str().unwrap_or_default().to_owned(),
        };
        let Some(table) = table_of(&output) else {
            self.wrong(format!("{path}.outputStream"), "must be `Custom-<table>_CL` or `Microsoft-<table>`");
            return None;
        };
        if output.starts_with("Custom-") && !table.ends_with("_CL") {
            self.wrong(format!("{path}.outputStream"), format!("must end with `_CL`, as custom tables do, but is `{output}`"));
        }
        Some(Flow { streams: names.iter().map(StreamName::new).collect(), transform, output: TableName::new(table) })
    }

    fn names(&mut self, list: Option<&Value>, path: &str, what: &str) -> Vec<String> {
        let names: Option<Vec<String>> = list
            .and_then(Value::as_array)
            .map(|list| list.iter().map(|name| name.as_str().map(str::to_owned)).collect())
            .unwrap_or_default();
        match names {
            Some(names) if !names.is_empty() => names,
            _ => {
                self.wrong(path, format!("must name at least one {what}"));
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample() -> Value {
        json!({
            "streamDeclarations": {"Custom-S": {"columns": [{"name": "Time", "type": "datetime"}, {"name": "n", "type": "int"}]}},
            "destinations": {"logAnalytics": [{"workspaceResourceId": "/subscriptions/x", "name": "la"}]},
            "dataFlows": [{"streams": ["Custom-S"], "destinations": ["la"], "transformKql": "source | where n > 0", "outputStream": "Custom-T_CL"},
                          {"streams": ["Custom-S"], "destinations": ["la"], "transformKql": " source ", "outputStream": "Microsoft-Syslog"}]
        })
    }

    fn parse(value: &Value) -> Result<Rule, Vec<RuleError>> {
        Rule::parse(value.as_object().unwrap())
    }

    #[test]
    fn a_stream_may_feed_several_flows() {
        let rule = parse(&sample()).unwrap();
        let outputs: Vec<_> = rule.flows_of("Custom-S").map(|flow| (flow.output.as_str(), flow.transform.is_some())).collect();
        assert_eq!(outputs, [("T_CL", true), ("Syslog", false)]);
        assert_eq!(rule.flows_of("Custom-Other").count(), 0);
    }

    #[test]
    fn errors_name_the_path() {
        for (pointer, value, path) in [
            ("/streamDeclarations/Custom-S/columns/1/type", json!("number"), "properties.streamDeclarations.Custom-S.columns[1].type"),
            ("/streamDeclarations/Custom-S/columns/1/name", json!("Time"), "properties.streamDeclarations.Custom-S.columns"),
            ("/destinations/logAnalytics", json!([]), "properties.destinations.logAnalytics"),
            ("/dataFlows/0/destinations/0", json!("nowhere"), "properties.dataFlows[0].destinations[0]"),
            ("/dataFlows/0/streams/0", json!("Custom-Other"), "properties.dataFlows[0].streams[0]"),
            ("/dataFlows/0/outputStream", json!("T_CL"), "properties.dataFlows[0].outputStream"),
            ("/dataFlows/1/outputStream", json!("Custom-T"), "properties.dataFlows[1].outputStream"),
            ("/dataFlows/1/transformKql", json!(7), "properties.dataFlows[1].transformKql"),
            ("/dataFlows", json!(null), "properties.dataFlows"),
        ] {
            let mut rule = sample();
            *rule.pointer_mut(pointer).unwrap() = value;
            let errors = parse(&rule).unwrap_err();
            assert!(errors.iter().any(|error| error.path == path), "{pointer}: {errors:?}");
        }
    }
}
