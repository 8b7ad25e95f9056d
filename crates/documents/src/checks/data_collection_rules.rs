//! Validates data collection rules: streams and destinations are consistent, tables exist, and transforms are valid KQL with fitting
//! output.
//!
//! A rule that Azure rejects is rejected here, so that working rules are portable; `properties.lenient: true` accepts everything that can
//! run. All structural errors, and then all errors of flows, are in `details`, each with its path. The format is Azure Monitor's:
//! `InvalidPayload` around `InvalidOutputTable`, `InvalidTransformQuery` and `InvalidTransformOutput` with the flow as their target
//! (Azure/Azure-Sentinel#12073, hashicorp/terraform-provider-azurerm#21880).

use std::collections::HashMap;
use std::sync::Arc;

use model::{Column, DiagnosticKind, InlineTable, Query, QueryEngine, QueryError, Scope, TableSchema, Type};
use serde_json::{Map, Value};

use crate::kql_errors;
use crate::refusal::{Detail, Refusal};

/// Prefix of streams declared by the rule.
const CUSTOM: &str = "Custom-";
/// Prefix of streams that are Microsoft tables.
const MICROSOFT: &str = "Microsoft-";
/// The input table of a transform.
const SOURCE: &str = "source";

/// Validates the name of a rule.
pub fn name(name: &str) -> Result<String, Refusal> {
    let fits = (1..=64).contains(&name.len()) && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if fits {
        return Ok(name.to_owned());
    }
    let message = "The name of a data collection rule has 1 to 64 letters, digits, '-', '_' and '.'.";
    Err(Refusal::bad_request("InvalidResourceName", message).target("name"))
}

/// What a rule is checked against.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    pub table: &'a (dyn Fn(&str) -> Option<Arc<TableSchema>> + Send + Sync),
    pub engine: &'a dyn QueryEngine,
    /// The resource id of the only workspace.
    pub workspace: &'a str,
}

/// Maximum columns of a stream or table (learn.microsoft.com/azure/azure-monitor/fundamentals/service-limits).
pub const MAX_COLUMNS: usize = 500;

/// Rejects properties that cannot work or that Azure rejects.
pub async fn check(known: Known<'_>, properties: &Map<String, Value>) -> Result<(), Refusal> {
    let mut wrong = Wrong::default();
    let lenient = is_lenient(properties, &mut wrong);
    let streams = streams(properties, lenient, &mut wrong);
    let destinations = destinations(&known, properties, &mut wrong);
    let flows = flows(properties, &streams, &destinations, &mut wrong);
    wrong.refuse()?;
    let mut wrong = Wrong::default();
    for flow in flows {
        check_flow(&known, &flow, lenient, &mut wrong).await;
    }
    wrong.refuse()
}

/// Whether the rule opts out of Azure's checks. Stored with the rule; Azure ignores it.
fn is_lenient(properties: &Map<String, Value>, wrong: &mut Wrong) -> bool {
    match properties.get("lenient") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(lenient)) => *lenient,
        Some(_) => {
            wrong.at("properties.lenient", "'lenient' is true or false.");
            false
        }
    }
}

/// Errors found.
#[derive(Default)]
struct Wrong {
    details: Vec<Detail>,
    /// Position of the first error in a transform.
    inner: Option<Value>,
}

impl Wrong {
    fn at(&mut self, target: impl Into<String>, message: impl Into<String>) {
        self.with("InvalidProperty", target, message);
    }

    fn with(&mut self, code: &'static str, target: impl Into<String>, message: impl Into<String>) {
        self.details.push(Detail { code: code.into(), message: message.into(), target: Some(target.into()) });
    }

    fn refuse(self) -> Result<(), Refusal> {
        let Some(first) = self.details.first() else { return Ok(()) };
        let message = format!("Data collection rule is invalid: {}", first.message);
        Err(Refusal {
            target: first.target.clone(),
            inner: self.inner,
            details: self.details.clone(),
            ..Refusal::bad_request("InvalidPayload", message)
        })
    }
}

/// The declared streams with their columns.
fn streams(properties: &Map<String, Value>, lenient: bool, wrong: &mut Wrong) -> HashMap<String, Vec<Column>> {
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
        if written.len() > MAX_COLUMNS && !lenient {
            wrong.at(format!("{place}.columns"), format!("Stream '{stream}' has {} columns; {MAX_COLUMNS} are the most.", written.len()));
            continue;
        }
        let mut columns: Vec<Column> = Vec::with_capacity(written.len());
        for (index, column) in written.iter().enumerate() {
            let place = format!("{place}.columns[{index}]");
            let text = |key: &str| column.get(key).and_then(Value::as_str);
            let (Some(name), Some(type_name)) = (text("name"), text("type")) else {
                wrong.at(place, format!("A column of stream '{stream}' needs a 'name' and a 'type'."));
                continue;
            };
            match stream_type(type_name, lenient) {
                None => {
                    let known = STREAM_TYPES.join(", ");
                    wrong.at(
                        format!("{place}.type"),
                        format!("Column '{name}' has the type '{type_name}', which a stream cannot have; there are {known}."),
                    );
                }
                Some(_) if columns.iter().any(|known| known.name == name) => wrong.at(place, format!("Column '{name}' is there twice.")),
                Some(ty) => columns.push(Column::new(name, ty)),
            }
        }
        streams.insert(stream.clone(), columns);
    }
    streams
}

/// Types that a stream's column may have (data-collection-rule-structure, "Data types"). A GUID is declared as a string, and made one with `toguid`.
const STREAM_TYPES: [&str; 7] = ["string", "int", "long", "real", "boolean", "dynamic", "datetime"];

fn stream_type(name: &str, lenient: bool) -> Option<Type> {
    if !lenient && !STREAM_TYPES.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return None;
    }
    Type::parse(name).filter(|ty| !matches!(ty, Type::Decimal | Type::Timespan))
}

/// Names of destinations in our workspace.
fn destinations(known: &Known<'_>, properties: &Map<String, Value>, wrong: &mut Wrong) -> Vec<String> {
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
        let workspace = known.workspace;
        match text("workspaceResourceId") {
            Some(id) if id.trim_end_matches('/').eq_ignore_ascii_case(workspace) => {}
            Some(id) => wrong
                .at(format!("{place}.workspaceResourceId"), format!("There is no workspace '{id}' here; this server has '{workspace}'.")),
            None => wrong.at(format!("{place}.workspaceResourceId"), "A destination needs a 'workspaceResourceId'."),
        }
    }
    names
}

/// A flow with resolved names.
struct Flow {
    place: String,
    streams: Vec<String>,
    destination: String,
    /// Columns of the transform's only input stream, if known.
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
        flows.push(Flow { place, streams, destination: to.into_iter().next().unwrap_or_default(), columns, transform, output });
    }
    flows
}

/// The table that an output stream feeds.
pub fn table_of(stream: &str) -> Option<&str> {
    stream.strip_prefix(CUSTOM).or_else(|| stream.strip_prefix(MICROSOFT)).filter(|table| !table.is_empty())
}

/// Checks that the table exists, the transform binds against the stream, and its output fits the table.
async fn check_flow(known: &Known<'_>, flow: &Flow, lenient: bool, wrong: &mut Wrong) {
    let Some(table) = table_of(&flow.output).and_then(|name| (known.table)(name)) else {
        let message = format!(
            "Table for output stream '{}' is not available for destination '{}': create the table first.",
            flow.output, flow.destination
        );
        return wrong.with("InvalidOutputTable", &flow.place, message);
    };
    let input = match (&flow.columns, flow.streams.first().and_then(|stream| table_of(stream))) {
        (Some(columns), _) => columns.clone(),
        (None, Some(name)) => match (known.table)(name) {
            Some(table) => table.columns.clone(),
            None => {
                let message = format!("There is no table '{name}' whose columns stream '{}' could have.", flow.streams[0]);
                return wrong.with("InvalidStream", format!("{}.streams", flow.place), message);
            }
        },
        (None, None) => return,
    };
    let output = match &flow.transform {
        Some(kql) => match transformed(known, kql, input, lenient).await {
            Ok(Some(columns)) => columns,
            Ok(None) => return,
            Err(mistakes) => {
                for message in mistakes.messages {
                    wrong.with("InvalidTransformQuery", &flow.place, format!("Error occurred while compiling query in query: {message}"));
                }
                wrong.inner = wrong.inner.take().or(mistakes.inner);
                return;
            }
        },
        None => input,
    };
    if let Some(message) = misfit(&output, &table, &flow.output, lenient) {
        wrong.with("InvalidTransformOutput", &flow.place, message);
    }
}

/// Errors of a transform.
struct Mistakes {
    messages: Vec<String>,
    inner: Option<Value>,
}

/// The output columns of a transform; `None` if they depend on the data.
async fn transformed(known: &Known<'_>, kql: &str, input: Vec<Column>, lenient: bool) -> Result<Option<Vec<Column>>, Mistakes> {
    let source = Arc::new(InlineTable { schema: TableSchema::new(SOURCE, input), batches: Vec::new() });
    let query = Query::new(kql).with_scope(Scope { tables: vec![source], inline_only: true, ..Scope::default() });
    let output = match known.engine.check(&query).await {
        Ok(output) => output,
        Err(QueryError::Wrong(diagnostics)) => {
            let messages = diagnostics.iter().map(|each| kql_errors::numbered(kql, each)).collect();
            return Err(Mistakes { messages, inner: diagnostics.first().map(|each| kql_errors::inner(kql, each)) });
        }
        Err(other) => return Err(Mistakes { messages: vec![other.to_string()], inner: None }),
    };
    let refusals = if lenient { Vec::new() } else { kql::transformation::check(kql, &kql::syntax::parse(kql).script) };
    if refusals.is_empty() {
        return Ok(output);
    }
    let messages = refusals.iter().map(|each| {
        let message = format!("{} (as Azure Monitor has it; 'lenient: true' in the rule's properties takes it here)", each.message);
        kql_errors::numbered_at(kql, each.place.start, DiagnosticKind::Semantic, &message)
    });
    Err(Mistakes { messages: messages.collect(), inner: None })
}

/// Columns that every table has implicitly, with their types.
const SYSTEM: [(&str, Type); 3] = [("TenantId", Type::Guid), ("_ResourceId", Type::String), ("_SubscriptionId", Type::String)];

/// Why the output of a flow does not fit its table.
fn misfit(output: &[Column], table: &TableSchema, stream: &str, lenient: bool) -> Option<String> {
    let in_table = |name: &str| {
        let system = || SYSTEM.iter().find(|(known, _)| *known == name && !lenient).map(|(_, ty)| *ty);
        table.column(name).map(|column| column.ty).or_else(system)
    };
    if output.iter().all(|column| in_table(&column.name).is_none()) {
        return Some(format!("Transform output has no column of the output stream '{stream}': its rows would be blank."));
    }
    let fit = if lenient { fits } else { |produced, wanted| produced == wanted };
    let misfits: Vec<String> = output
        .iter()
        .filter_map(|column| Some((column, in_table(&column.name)?)))
        .filter(|(column, wanted)| !fit(column.ty, *wanted))
        .map(|(column, wanted)| format!("{} [produced:'{}', output:'{}']", column.name, title(column.ty), title(wanted)))
        .collect();
    if !misfits.is_empty() {
        return Some(format!(
            "Types of transform output columns do not match the ones defined by the output stream: {}. Convert them, for example with tostring().",
            misfits.join(", ")
        ));
    }
    let needs_time = !lenient && table.column("TimeGenerated").is_some();
    (needs_time && output.iter().all(|column| column.name != "TimeGenerated")).then(|| {
        format!("Transform output must contain a column 'TimeGenerated' of type datetime for the output stream '{stream}': add it with extend or project.")
    })
}

/// Whether a type can be stored in a column of another type without an explicit conversion.
fn fits(produced: Type, wanted: Type) -> bool {
    produced == wanted
        || (produced.is_numeric() && wanted.is_numeric())
        || matches!((produced, wanted), (Type::String, Type::Guid | Type::Dynamic) | (Type::Guid, Type::String))
        // Any value can be stored as dynamic.
        || wanted == Type::Dynamic
}

/// A type as in Azure's message.
fn title(ty: Type) -> &'static str {
    match ty {
        Type::Bool => "Boolean",
        Type::Int => "Int",
        Type::Long => "Long",
        Type::Real => "Double",
        Type::Decimal => "Decimal",
        Type::String => "String",
        Type::Datetime => "DateTime",
        Type::Timespan => "TimeSpan",
        Type::Guid => "Guid",
        Type::Dynamic => "Dynamic",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_mistake_is_told_with_its_path() {
        let properties = json!({
            "lenient": "yes",
            "streamDeclarations": {
                "Custom-W": { "columns": (0..501).map(|n| json!({ "name": format!("c{n}"), "type": "string" })).collect::<Vec<_>>() },
                "Mine": { "columns": [{ "name": "a", "type": "decimal" }, { "name": "b" }, { "name": "c", "type": "guid" }, { "name": "d", "type": "date" }, { "name": "e", "type": "dateTime" }] },
            },
            "dataFlows": [{ "streams": ["Custom-X", "Custom-Y"], "destinations": ["nowhere"], "transformKql": "source", "outputStream": "T_CL" }],
        });
        let mut wrong = Wrong::default();
        let lenient = is_lenient(properties.as_object().unwrap(), &mut wrong);
        let declared = streams(properties.as_object().unwrap(), lenient, &mut wrong);
        flows(properties.as_object().unwrap(), &declared, &["la".to_owned()], &mut wrong);
        let targets: Vec<&str> = wrong.details.iter().filter_map(|detail| detail.target.as_deref()).collect();
        assert_eq!(
            targets,
            [
                "properties.lenient",
                "properties.streamDeclarations.Custom-W.columns",
                "properties.streamDeclarations.Mine",
                "properties.streamDeclarations.Mine.columns[0].type",
                "properties.streamDeclarations.Mine.columns[1]",
                "properties.streamDeclarations.Mine.columns[2].type",
                "properties.streamDeclarations.Mine.columns[3].type",
                "properties.dataFlows[0].streams",
                "properties.dataFlows[0].streams",
                "properties.dataFlows[0].destinations",
                "properties.dataFlows[0].streams",
                "properties.dataFlows[0].outputStream",
            ]
        );
    }

    #[test]
    fn types_fit_as_azure_has_it() {
        let columns = |columns: &[(&str, Type)]| columns.iter().map(|(name, ty)| Column::new(*name, *ty)).collect::<Vec<_>>();
        let table = TableSchema::new(
            "T_CL",
            columns(&[("TimeGenerated", Type::Datetime), ("n", Type::Long), ("g", Type::Guid), ("d", Type::Dynamic)]),
        );
        let said = |output: &[(&str, Type)], lenient| misfit(&columns(output), &table, "Custom-T_CL", lenient);
        let time = ("TimeGenerated", Type::Datetime);
        assert_eq!(said(&[time, ("n", Type::Long), ("more", Type::Bool)], false), None);
        // Three cases known from Azure's own messages: TenantId, a GUID, an int for a long.
        for (column, ty, shown) in [
            ("TenantId", Type::String, "TenantId [produced:'String', output:'Guid']"),
            ("g", Type::String, "g [produced:'String', output:'Guid']"),
            ("n", Type::Int, "n [produced:'Int', output:'Long']"),
        ] {
            assert!(said(&[time, (column, ty)], false).unwrap().contains(shown), "{column}");
            assert_eq!(said(&[time, (column, ty)], true), None, "{column}");
        }
        assert!(said(&[("n", Type::Long)], false).unwrap().contains("'TimeGenerated'"));
        assert_eq!(said(&[("n", Type::Long)], true), None);
        assert!(said(&[("more", Type::Long)], true).unwrap().contains("blank"));
        assert!(said(&[("TimeGenerated", Type::String)], true).is_some());
    }

    #[test]
    fn streams_name_their_tables() {
        assert_eq!(table_of("Custom-T_CL"), Some("T_CL"));
        assert_eq!(table_of("Microsoft-Syslog"), Some("Syslog"));
        assert_eq!(table_of("T_CL"), None);
    }
}
