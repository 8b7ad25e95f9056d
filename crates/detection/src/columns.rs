//! Detects columns that a rule refers to but its query does not return: their entities and details would silently be missing. Pure
//! functions.

use model::Column;

use crate::rule::AnalyticsRule;

/// One sentence for each such column, with the property that refers to it. Column names are case-sensitive.
pub fn missing(rule: &AnalyticsRule, columns: &[Column]) -> Vec<String> {
    let properties = &rule.properties;
    let mut found = Vec::new();
    let mut check = |property: String, name: &str| {
        if !name.is_empty() && columns.iter().all(|column| column.name != name) {
            let near = columns.iter().find(|column| column.name.eq_ignore_ascii_case(name));
            let help = near.map(|near| format!("; did you mean `{}`?", near.name)).unwrap_or_default();
            found.push(format!("`{property}` names the column `{name}`, which the query does not return{help}"));
        }
    };
    for (index, mapping) in properties.entity_mappings.iter().enumerate() {
        for field in &mapping.field_mappings {
            check(format!("entityMappings[{index}] ({}, {})", mapping.entity_type, field.identifier), &field.column_name);
        }
    }
    for (index, mapping) in properties.sentinel_entities_mappings.iter().enumerate() {
        check(format!("sentinelEntitiesMappings[{index}]"), &mapping.column_name);
    }
    for (name, column) in &properties.custom_details {
        check(format!("customDetails.{name}"), column);
    }
    let details = &properties.alert_details_override;
    let texts =
        [("alertDisplayNameFormat", &details.alert_display_name_format), ("alertDescriptionFormat", &details.alert_description_format)];
    for (property, text) in texts {
        for name in text.iter().flat_map(|text| placeholders(text)) {
            check(format!("alertDetailsOverride.{property}"), name);
        }
    }
    let names =
        [("alertSeverityColumnName", &details.alert_severity_column_name), ("alertTacticsColumnName", &details.alert_tactics_column_name)];
    for (property, name) in names {
        check(format!("alertDetailsOverride.{property}"), name.as_deref().unwrap_or_default());
    }
    for dynamic in &details.alert_dynamic_properties {
        check(format!("alertDetailsOverride.{}", dynamic.alert_property), &dynamic.value);
    }
    found
}

/// The columns between `{{` and `}}`.
fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split("{{").skip(1).filter_map(|part| part.split_once("}}")).map(|(name, _)| name.trim())
}

#[cfg(test)]
mod tests {
    use model::Type;
    use serde_json::json;

    use super::*;

    #[test]
    fn each_missing_column_is_named_with_its_property() {
        let properties = json!({"displayName": "x", "query": "T", "severity": "High",
            "entityMappings": [{"entityType": "Account", "fieldMappings": [{"identifier": "FullName", "columnName": "user"}]}],
            "customDetails": {"Address": "IP"},
            "alertDetailsOverride": {"alertDisplayNameFormat": "Saw {{ User }} at {{Place}}", "alertSeverityColumnName": "Level"}});
        let rule = AnalyticsRule::from_properties("r", "NRT", properties.as_object().unwrap()).unwrap();
        let columns = [Column::new("User", Type::String), Column::new("IP", Type::String)];
        assert_eq!(
            missing(&rule, &columns),
            [
                "`entityMappings[0] (Account, FullName)` names the column `user`, which the query does not return; did you mean `User`?",
                "`alertDetailsOverride.alertDisplayNameFormat` names the column `Place`, which the query does not return",
                "`alertDetailsOverride.alertSeverityColumnName` names the column `Level`, which the query does not return",
            ]
        );
    }
}
