//! Creates alerts from a query's result. Pure: the same rule, window and rows give the same alerts with the same ids.
//!
//! Sources of fields and limits: learn.microsoft.com/azure/sentinel/create-analytics-rules, …/customize-alert-details,
//! …/surface-custom-details-in-alerts.

use std::collections::BTreeMap;

use kql::Value;
use model::{Alert, Answer, Entity, Severity, Timestamp};
use serde_json::Map;
use uuid::Uuid;

use crate::entities;
use crate::rule::{Aggregation, AnalyticsRule, Kind};
use crate::schedule::Run;
use crate::template::{cut, fill};

/// Maximum alerts per run; the last one then covers all rows.
pub const MAX_ALERTS: usize = 150;
/// Maximum entities of an alert.
pub const MAX_ENTITIES: usize = 500;
/// Result rows stored with an alert, so that it can be understood after its events have expired.
pub const MAX_KEPT_ROWS: usize = 10;
/// Maximum values of a custom detail.
pub const MAX_DETAIL_VALUES: usize = 50;
/// Maximum characters of a title and of a description.
pub const MAX_TITLE: usize = 256;
pub const MAX_DESCRIPTION: usize = 5_000;

/// UUID namespace of alerts.
const ALERTS: Uuid = Uuid::from_u128(0x5d0b_8f61_3f55_4a7e_9c35_0d2c_9a41_77f3);

/// Alerts of one run; empty if the trigger does not fire.
pub fn alerts(rule: &AnalyticsRule, run: Run, generated: Timestamp, answer: &Answer) -> Vec<Alert> {
    let rows = Rows::new(answer);
    let fires = match rule.kind {
        Kind::Scheduled { trigger, .. } => trigger.fires(rows.count as u64),
        Kind::NearRealTime => rows.count > 0,
    };
    if !fires {
        return Vec::new();
    }
    let everything = 0..rows.count;
    let groups: Vec<std::ops::Range<usize>> = match rule.properties.event_grouping_settings.aggregation_kind {
        Aggregation::SingleAlert => vec![everything],
        Aggregation::AlertPerResult if rows.count == 0 => vec![everything],
        Aggregation::AlertPerResult if rows.count <= MAX_ALERTS => (0..rows.count).map(|row| row..row + 1).collect(),
        Aggregation::AlertPerResult => (0..MAX_ALERTS - 1).map(|row| row..row + 1).chain([everything]).collect(),
    };
    groups.into_iter().enumerate().map(|(index, group)| alert(rule, run, generated, &rows, group, index)).collect()
}

fn alert(rule: &AnalyticsRule, run: Run, generated: Timestamp, rows: &Rows, group: std::ops::Range<usize>, index: usize) -> Alert {
    let properties = &rule.properties;
    let (first, last) = (group.start, group.end);
    let text = |column: &str| (first < last).then(|| rows.text(first, column)).flatten();
    let overrides = &properties.alert_details_override;
    let title = overrides
        .alert_display_name_format
        .as_deref()
        .and_then(|format| fill(format, &text))
        .unwrap_or_else(|| properties.display_name.clone());
    let description = overrides
        .alert_description_format
        .as_deref()
        .and_then(|format| fill(format, &text))
        .unwrap_or_else(|| properties.description.clone());
    let severity = overrides
        .alert_severity_column_name
        .as_deref()
        .and_then(text)
        .and_then(|name| Severity::parse(&name))
        .unwrap_or(properties.severity);
    let tactics =
        overrides.alert_tactics_column_name.as_deref().and_then(text).map(|list| tactics_of(&list)).filter(|list| !list.is_empty());

    let mut found: Vec<Entity> = Vec::new();
    let mut details: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut start, mut end): (Option<Timestamp>, Option<Timestamp>) = (None, None);
    for row in group.clone() {
        let value = |column: &str| rows.text(row, column);
        for mapping in &properties.entity_mappings {
            if let Some(entity) = entities::from_mapping(mapping, &value) {
                entities::add(&mut found, entity, MAX_ENTITIES);
            }
        }
        for mapping in &properties.sentinel_entities_mappings {
            for entity in value(&mapping.column_name).map(|text| entities::from_column(&text)).unwrap_or_default() {
                entities::add(&mut found, entity, MAX_ENTITIES);
            }
        }
        for (name, column) in &properties.custom_details {
            if let Some(text) = value(column).filter(|text| !text.is_empty()) {
                let values = details.entry(name.clone()).or_default();
                if values.len() < MAX_DETAIL_VALUES && !values.contains(&text) {
                    values.push(text);
                }
            }
        }
        if let Some(time) = rows.time(row) {
            start = Some(start.map_or(time, |known| known.min(time)));
            end = Some(end.map_or(time, |known| known.max(time)));
        }
    }
    let name = format!("{}|{}|{}|{index}", rule.id.to_lowercase(), run.tile.from.ticks(), run.tile.until.ticks());
    let mut alert = Alert {
        id: Uuid::new_v5(&ALERTS, name.as_bytes()),
        rule_id: rule.id.clone(),
        alert_name: properties.display_name.clone(),
        display_name: cut(&title, MAX_TITLE),
        description: cut(&description, MAX_DESCRIPTION),
        severity,
        tactics: tactics.unwrap_or_else(|| properties.tactics.clone()),
        techniques: properties.techniques.clone(),
        sub_techniques: properties.sub_techniques.clone(),
        start: start.unwrap_or(run.sees.from),
        end: end.unwrap_or(run.sees.until),
        generated,
        entities: found,
        custom_details: details,
        extended_properties: extended(rule, run, rows.count),
        product_name: "Azure Sentinel".to_owned(),
        product_component_name: match rule.kind {
            Kind::Scheduled { .. } => "Scheduled Alerts".to_owned(),
            Kind::NearRealTime => "NRT Alerts".to_owned(),
        },
        provider_name: match rule.kind {
            Kind::Scheduled { .. } => "ASI Scheduled Alerts".to_owned(),
            Kind::NearRealTime => "ASI NRT Alerts".to_owned(),
        },
        vendor_name: "Microsoft".to_owned(),
        alert_link: String::new(),
        remediation_steps: String::new(),
        confidence_level: String::new(),
        confidence_score: None,
        extended_links: String::new(),
        query: properties.query.clone(),
        query_start: run.sees.from,
        query_end: run.sees.until,
        result_rows: group.len() as u64,
        results: group.take(MAX_KEPT_ROWS).map(|row| rows.json(row)).collect(),
        incident: properties.incident_configuration.clone(),
    };
    for property in &overrides.alert_dynamic_properties {
        if let Some(value) = text(&property.value).filter(|value| !value.is_empty()) {
            set_dynamic_property(&mut alert, &property.alert_property, value);
        }
    }
    alert
}

/// Alert properties that a column may set, by API name.
fn set_dynamic_property(alert: &mut Alert, property: &str, value: String) {
    match property {
        "AlertLink" => alert.alert_link = value,
        "ConfidenceLevel" => alert.confidence_level = value,
        "ConfidenceScore" => alert.confidence_score = value.parse().ok().filter(|score| (0.0..=1.0).contains(score)),
        "ExtendedLinks" => alert.extended_links = value,
        "ProductComponentName" => alert.product_component_name = value,
        "ProductName" => alert.product_name = value,
        "ProviderName" => alert.provider_name = value,
        "RemediationSteps" => alert.remediation_steps = value,
        "Techniques" => alert.techniques = tactics_of(&value),
        "SubTechniques" => alert.sub_techniques = tactics_of(&value),
        _ => {
            alert.extended_properties.insert(property.to_owned(), value);
        }
    }
}

/// A JSON list or comma-separated names.
fn tactics_of(text: &str) -> Vec<String> {
    serde_json::from_str::<Vec<String>>(text)
        .unwrap_or_else(|_| text.split(',').map(|name| name.trim().to_owned()).collect())
        .into_iter()
        .filter(|name| !name.is_empty())
        .collect()
}

/// `SecurityAlert.ExtendedProperties`, with the names used in queries.
fn extended(rule: &AnalyticsRule, run: Run, rows: usize) -> BTreeMap<String, String> {
    let mut properties = BTreeMap::from([
        ("Query".to_owned(), rule.properties.query.clone()),
        ("Query Start Time UTC".to_owned(), run.sees.from.to_string()),
        ("Query End Time UTC".to_owned(), run.sees.until.to_string()),
        ("Analytic Rule Ids".to_owned(), serde_json::json!([rule.id]).to_string()),
        ("Analytic Rule Name".to_owned(), rule.properties.display_name.clone()),
        ("Search Query Results Overall Count".to_owned(), rows.to_string()),
        ("ProcessedBySentinel".to_owned(), "True".to_owned()),
    ]);
    match rule.kind {
        Kind::Scheduled { period, trigger, .. } => {
            properties.insert("Query Period".to_owned(), period.to_string());
            properties.insert("Trigger Operator".to_owned(), format!("{:?}", trigger.operator));
            properties.insert("Trigger Threshold".to_owned(), trigger.threshold.to_string());
        }
        Kind::NearRealTime => {
            properties.insert("Event Grouping".to_owned(), format!("{:?}", rule.properties.event_grouping_settings.aggregation_kind));
        }
    }
    properties
}

/// Access to a result by row and column name.
struct Rows<'a> {
    answer: &'a Answer,
    count: usize,
}

impl<'a> Rows<'a> {
    fn new(answer: &'a Answer) -> Self {
        Self { answer, count: answer.rows() }
    }

    fn cell(&self, row: usize, column: usize) -> Option<Value> {
        let mut row = row;
        for batch in &self.answer.batches {
            if row < batch.num_rows() {
                return Some(Value::from_cell(batch.column(column).as_ref(), row, self.answer.columns[column].ty));
            }
            row -= batch.num_rows();
        }
        None
    }

    /// The cell formatted by `tostring`; `None` if the column does not exist or the cell is null.
    fn text(&self, row: usize, column: &str) -> Option<String> {
        let column = self.answer.columns.iter().position(|known| known.name == column)?;
        self.cell(row, column).filter(|value| !value.is_null()).map(|value| value.to_text())
    }

    fn time(&self, row: usize) -> Option<Timestamp> {
        let column = self.answer.columns.iter().position(|known| known.name == "TimeGenerated")?;
        match self.cell(row, column)? {
            Value::Datetime(ticks) => Timestamp::from_ticks(ticks),
            _ => None,
        }
    }

    fn json(&self, row: usize) -> Map<String, serde_json::Value> {
        self.answer
            .columns
            .iter()
            .enumerate()
            .filter_map(|(index, column)| self.cell(row, index).map(|value| (column.name.clone(), value.to_json())))
            .collect()
    }
}
