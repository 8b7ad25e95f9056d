//! Whether a data collection rule may be stored: its names hang together, its tables exist, its transforms are KQL that fits them.
//!
//! All that is wrong with the structure is told at once, each with its path. Codes are those Azure Monitor uses (`InvalidPayload`,
//! `InvalidOutputTable`, `InvalidTransformQuery`, `InvalidTransformOutput`).

use std::collections::HashMap;
use std::sync::Arc;

use model::{Column, InlineTable, Query, QueryError, Scope, TableSchema, Type};
use serde_json::{Map, Value};

use crate::context::Context;
use crate::error::{ApiError, Detail};
use crate::kql_errors;

/// Prefix of streams that the rule declares itself.
const CUSTOM: &str = "Custom-";
/// Prefix of streams that are tables of Microsoft's.
const MICROSOFT: &str = "Microsoft-";
/// The table that a transform reads.
const SOURCE: &str = "source";

/// A name that a rule may have.
pub fn name(name: &str) -> Result<String, ApiError> {
    let fits = (1..=64).contains(&name.len()) && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if fits {
        return Ok(name.to_owned());
    }
    let message = "The name of a data collection rule has 1 to 64 letters, digits, '-', '_' and '.'.";
    Err(ApiError::bad_request("InvalidResourceName", message).target("name"))
}

/// Refuses properties of a rule that cannot work.
pub async fn check(cx: &Context, properties: &Map<String, Value>) -> Result<(), ApiError> {
    let mut wrong = Wrong::default();
    let streams = streams(properties, &mut wrong);
    let destinations = destinations(cx, properties, &mut wrong);
    let flows = flows(properties, &streams, &destinations, &mut wrong);
    wrong.refuse()?;
    for flow in flows {
        check_flow(cx, &flow).await?;
    }
    Ok(())
}

/// What was found wrong with the structure.
#[derive(Default)]
struct Wrong(Vec<Detail>);

impl Wrong {
    fn at(&mut self, target: impl Into<String>, message: impl Into<String>) {
        self.0.push(Detail { code: "InvalidProperty".into(), message: message.into(), target: Some(target.into()) });
    }

    fn refuse(self) -> Result<(), ApiError> {
        let Some(first) = self.0.first() else { return Ok(()) };
        let message = format!("Data collection rule is invalid: {}", first.message);
        Err(ApiError { target: first.target.clone(), details: self.0.clone(), ..ApiError::bad_request("InvalidPayload", message) })
    }
}

/// The streams that the rule declares, with their columns.
fn streams(properties: &Map<String, Value>, wrong: &mut Wrong) -> HashMap<String, Vec<Column>> {
    let mut streams = HashMap::new();
    let declared = match properties.get("streamDeclarations") {
        None | Some(Value::Null) => return streams,
        Some(Value::Object(declared)) => declared,
        Some(_) => {
            wrong.at("properties.streamDeclarations", "'streamDeclarations' must be an object of streams by name.");
            return streams;
        }
    };
    for (stream, declaration) in declared {
        let place = format!("properties.streamDeclarations.{stream}");
        if !stream.starts_with(CUSTOM) {
            wrong.at(&place, format!("The name of a declared stream starts with 'Custom-'; '{stream}' does not."));
        }
        let Some(written) = declaration.get("columns").and_then(Value::as_array).filter(|columns| !columns.is_empty()) else {
            wrong.at(format!("{place}.columns"), format!("Stream '{stream}' needs an array 'columns' with at least one column."));
            continue;
        };
        let mut columns: Vec<Column> = Vec::with_capacity(written.len());
        for (index, column) in written.iter().enumerate() {
            let place = format!("{place}.columns[{index}]");
            let text = |key: &str| column.get(key).and_then(Value::as_str);
            let (Some(name), Some(type_name)) = (text("name"), text("type")) else {
                wrong.at(place, format!("A column of stream '{stream}' needs a 'name' and a 'type'."));
                continue;
            };
            match stream_type(type_name) {
                None => wrong.at(format!("{place}.type"), format!("Column '{name}' has the unknown type '{type_name}'; known are string, int, long, real, boolean, dynamic and datetime.")),
                Some(_) if columns.iter().any(|known| known.name == name) => wrong.at(place, format!("Column '{name}' is there twice.")),
                Some(ty) => columns.push(Column::new(name, ty)),
            }
        }
        streams.insert(stream.clone(), columns);
    }
    streams
}

/// Types that a stream's column may have.
fn stream_type(name: &str) -> Option<Type> {
    Type::parse(name).filter(|ty| {
        matches!(ty, Type::String | Type::Int | Type::Long | Type::Real | Type::Bool | Type::Dynamic | Type::Datetime | Type::Guid)
    })
}

/// Names of the destinations that lead into our workspace.
fn destinations(cx: &Context, properties: &Map<String, Value>, wrong: &mut Wrong) -> Vec<String> {
    let Some(destinations) = properties.get("destinations").and_then(Value::as_object) else {
        wrong.at("properties.destinations", "A rule needs 'destinations'.");
        return Vec::new();
    };
    if let Some(other) = destinations.keys().find(|kind| kind.as_str() != "logAnalytics") {
        wrong.at(
            format!("properties.destinations.{other}"),
            format!("Destinations of kind '{other}' are not served here; use 'logAnalytics'."),
        );
    }
    let mut names = Vec::new();
    for (index, destination) in destinations.get("logAnalytics").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let place = format!("properties.destinations.logAnalytics[{index}]");
        let text = |key: &str| destination.get(key).and_then(Value::as_str);
        match text("name") {
            Some(name) if !names.iter().any(|known| known == name) => names.push(name.to_owned()),
            Some(name) => wrong.at(format!("{place}.name"), format!("Destination '{name}' is there twice.")),
            None => wrong.at(format!("{place}.name"), "A destination needs a 'name'."),
        }
        let workspace = cx.cloud.workspace_path();
        match text("workspaceResourceId") {
            Some(id) if id.trim_end_matches('/').eq_ignore_ascii_case(&workspace) => {}
            Some(id) => wrong
                .at(format!("{place}.workspaceResourceId"), format!("There is no workspace '{id}' here; this server has '{workspace}'.")),
            None => wrong.at(format!("{place}.workspaceResourceId"), "A destination needs a 'workspaceResourceId'."),
        }
    }
    names
}

/// A flow whose names are in order.
struct Flow {
    place: String,
    streams: Vec<String>,
    /// Columns of the single stream that a transform reads, where they are known.
    columns: Option<Vec<Column>>,
    transform: Option<String>,
    output: String,
}

fn flows(
    properties: &Map<String, Value>,
    declared: &HashMap<String, Vec<Column>>,
    destinations: &[String],
    wrong: &mut Wrong,
) -> Vec<Flow> {
    let Some(written) = properties.get("dataFlows").and_then(Value::as_array).filter(|flows| !flows.is_empty()) else {
        wrong.at("properties.dataFlows", "A rule needs an array 'dataFlows' with at least one flow.");
        return Vec::new();
    };
    let mut flows = Vec::new();
    for (index, flow) in written.iter().enumerate() {
        let place = format!("properties.dataFlows[{index}]");
        let names = |key: &str| -> Vec<String> {
            flow.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let (streams, to) = (names("streams"), names("destinations"));
        if streams.is_empty() {
            wrong.at(format!("{place}.streams"), "A flow needs at least one stream.");
        }
        for stream in &streams {
            if stream.starts_with(CUSTOM) && !declared.contains_key(stream) {
                wrong.at(format!("{place}.streams"), format!("Stream '{stream}' is not among the 'streamDeclarations'."));
            } else if !stream.starts_with(CUSTOM) && !stream.starts_with(MICROSOFT) {
                wrong.at(format!("{place}.streams"), format!("Stream '{stream}' starts neither with 'Custom-' nor with 'Microsoft-'."));
            }
        }
        if to.is_empty() {
            wrong.at(format!("{place}.destinations"), "A flow needs at least one destination.");
        }
        for destination in to.iter().filter(|name| !destinations.contains(name)) {
            wrong.at(format!("{place}.destinations"), format!("Destination '{destination}' is not among the 'destinations'."));
        }
        if flow.get("transformations").is_some_and(|value| value.as_array().is_none_or(|list| !list.is_empty())) {
            wrong.at(format!("{place}.transformations"), "Multi-stage transformations are not served here; write one 'transformKql'.");
        }
        let transform = flow.get("transformKql").and_then(Value::as_str).map(str::to_owned).filter(|kql| !kql.trim().is_empty());
        if transform.is_some() && streams.len() != 1 {
            wrong.at(format!("{place}.streams"), "A flow with a 'transformKql' has exactly one stream.");
        }
        let output =
            flow.get("outputStream").and_then(Value::as_str).map(str::to_owned).or_else(|| streams.first().cloned()).unwrap_or_default();
        if !streams.is_empty() && table_of(&output).is_none() {
            wrong.at(
                format!("{place}.outputStream"),
                format!("'{output}' names no table: write 'Custom-<Table>_CL' or 'Microsoft-<Table>'."),
            );
        }
        let columns = streams.first().and_then(|stream| declared.get(stream)).cloned();
        flows.push(Flow { place, streams, columns, transform, output });
    }
    flows
}

/// The table that an output stream feeds.
pub fn table_of(stream: &str) -> Option<&str> {
    stream.strip_prefix(CUSTOM).or_else(|| stream.strip_prefix(MICROSOFT)).filter(|table| !table.is_empty())
}

/// The table must exist; the transform must bind against the stream, and what it gives must fit the table.
async fn check_flow(cx: &Context, flow: &Flow) -> Result<(), ApiError> {
    let Some(table) = table_of(&flow.output).and_then(|name| cx.catalog.table(name)) else {
        let message = format!("Table for output stream '{}' is not available: create the table first.", flow.output);
        return Err(ApiError::bad_request("InvalidOutputTable", message).target(format!("{}.outputStream", flow.place)));
    };
    let input = match (&flow.columns, flow.streams.first().and_then(|stream| table_of(stream))) {
        (Some(columns), _) => columns.clone(),
        (None, Some(name)) => cx.catalog.table(name).map(|table| table.columns.clone()).ok_or_else(|| {
            let message = format!("There is no table '{name}' whose columns stream '{}' could have.", flow.streams[0]);
            ApiError::bad_request("InvalidPayload", message).target(format!("{}.streams", flow.place))
        })?,
        (None, None) => return Ok(()),
    };
    let target = format!("{}.transformKql", flow.place);
    let output = match &flow.transform {
        Some(kql) => {
            let source = Arc::new(InlineTable { schema: TableSchema::new(SOURCE, input), batches: Vec::new() });
            let query = Query::new(kql.as_str()).with_scope(Scope { tables: vec![source], inline_only: true, ..Scope::default() });
            match cx.engine.check(&query).await {
                Ok(Some(columns)) => columns,
                Ok(None) => return Ok(()),
                Err(error) => return Err(invalid_transform(kql, &error, target)),
            }
        }
        None => input,
    };
    let misfits: Vec<String> = output
        .iter()
        .filter_map(|column| table.column(&column.name).filter(|wanted| !fits(column.ty, wanted.ty)).map(|wanted| (column, wanted)))
        .map(|(column, wanted)| format!("{} [produced:'{}', output:'{}']", column.name, column.ty, wanted.ty))
        .collect();
    if misfits.is_empty() {
        return Ok(());
    }
    let message = format!(
        "Types of transform output columns do not match the ones defined by the output stream '{}': {}. Convert them, for example with tostring().",
        flow.output,
        misfits.join(", ")
    );
    Err(ApiError::bad_request("InvalidTransformOutput", message).target(target))
}

/// Whether values of one type go into a column of another without a conversion that the author should have written.
fn fits(produced: Type, wanted: Type) -> bool {
    produced == wanted
        || (produced.is_numeric() && wanted.is_numeric())
        || matches!((produced, wanted), (Type::String, Type::Guid | Type::Dynamic) | (Type::Guid, Type::String))
        // Anything may be wrapped into a dynamic.
        || wanted == Type::Dynamic
}

fn invalid_transform(kql: &str, error: &QueryError, target: String) -> ApiError {
    match error {
        QueryError::Wrong(diagnostics) => {
            let details = diagnostics.iter().map(|each| kql_errors::detail(kql, each)).collect::<Vec<_>>();
            let first = details.first().map_or_else(|| error.to_string(), |detail| detail.message.clone());
            let inner = diagnostics.first().map(|each| kql_errors::inner(kql, each));
            ApiError {
                details,
                inner,
                ..ApiError::bad_request("InvalidTransformQuery", format!("Error occurred while compiling query in transform: {first}"))
                    .target(target)
            }
        }
        other => ApiError::bad_request("InvalidTransformQuery", other.to_string()).target(target),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_mistake_is_told_with_its_path() {
        let properties = json!({
            "streamDeclarations": { "Mine": { "columns": [{ "name": "a", "type": "decimal" }, { "name": "b" }] } },
            "dataFlows": [{ "streams": ["Custom-X", "Custom-Y"], "destinations": ["nowhere"], "transformKql": "source", "outputStream": "T_CL" }],
        });
        let mut wrong = Wrong::default();
        let declared = streams(properties.as_object().unwrap(), &mut wrong);
        flows(properties.as_object().unwrap(), &declared, &["la".to_owned()], &mut wrong);
        let targets: Vec<&str> = wrong.0.iter().filter_map(|detail| detail.target.as_deref()).collect();
        assert_eq!(
            targets,
            [
                "properties.streamDeclarations.Mine",
                "properties.streamDeclarations.Mine.columns[0].type",
                "properties.streamDeclarations.Mine.columns[1]",
                "properties.dataFlows[0].streams",
                "properties.dataFlows[0].streams",
                "properties.dataFlows[0].destinations",
                "properties.dataFlows[0].streams",
                "properties.dataFlows[0].outputStream",
            ]
        );
    }

    #[test]
    fn streams_name_their_tables() {
        assert_eq!(table_of("Custom-T_CL"), Some("T_CL"));
        assert_eq!(table_of("Microsoft-Syslog"), Some("Syslog"));
        assert_eq!(table_of("T_CL"), None);
    }
}
