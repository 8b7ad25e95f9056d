//! The body of a PUT of an incident. Read-only properties are ignored, since clients send back what they read.

use incidents::Draft;
use model::{Classification, ClassificationReason, IncidentStatus, Label, Owner, Severity, Timestamp};
use serde::Deserialize;

use crate::error::ApiError;

#[derive(Deserialize)]
pub(super) struct IncidentBody {
    #[serde(default)]
    pub etag: Option<String>,
    #[serde(default)]
    properties: Option<Properties>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Properties {
    title: Option<String>,
    description: Option<String>,
    severity: Option<String>,
    status: Option<String>,
    classification: Option<String>,
    classification_reason: Option<String>,
    classification_comment: Option<String>,
    owner: Option<Owner>,
    labels: Option<Vec<Label>>,
    first_activity_time_utc: Option<Timestamp>,
    last_activity_time_utc: Option<Timestamp>,
}

impl IncidentBody {
    pub(super) fn draft(&self) -> Result<Draft, ApiError> {
        let Some(properties) = &self.properties else {
            return Err(ApiError::bad_request("BadRequest", "`properties` is required.").target("properties"));
        };
        Ok(Draft {
            title: properties.title.clone(),
            description: properties.description.clone(),
            severity: named("properties.severity", &properties.severity, Severity::parse, Severity::ALL.iter().map(|one| one.name()))?,
            status: named(
                "properties.status",
                &properties.status,
                IncidentStatus::parse,
                IncidentStatus::ALL.iter().map(|one| one.name()),
            )?,
            classification: named(
                "properties.classification",
                &properties.classification,
                Classification::parse,
                Classification::ALL.iter().map(|one| one.name()),
            )?,
            classification_reason: named(
                "properties.classificationReason",
                &properties.classification_reason,
                ClassificationReason::parse,
                ClassificationReason::ALL.iter().map(|one| one.name()),
            )?,
            classification_comment: properties.classification_comment.clone(),
            owner: properties.owner.clone(),
            labels: properties.labels.clone().unwrap_or_default(),
            first_activity: properties.first_activity_time_utc,
            last_activity: properties.last_activity_time_utc,
        })
    }
}

/// The value named by `text`; an empty text is `None`, as sent by forms that clear a field.
pub(super) fn named<T>(
    property: &'static str,
    text: &Option<String>,
    parse: impl Fn(&str) -> Option<T>,
    names: impl Iterator<Item = &'static str>,
) -> Result<Option<T>, ApiError> {
    match text.as_deref().filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => parse(text).map(Some).ok_or_else(|| {
            let shown: String = text.chars().take(100).collect();
            let known = names.collect::<Vec<_>>().join("', '");
            ApiError::bad_request("BadRequest", format!("'{shown}' is no value of `{property}`; use one of '{known}'.")).target(property)
        }),
    }
}
