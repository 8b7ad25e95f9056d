//! `analytics_rules`: in the fields of Microsoft's YAML, as `detection::yaml` reads them. The name is the id of the rule.

mod body;

use async_trait::async_trait;
use detection::AnalyticsRule as Rule;
use detection::rule::RuleError;
use serde_json::{Map, Value};
use store::StoreError;

use crate::check::Findings;
use crate::checks::analytics_rules::{self as checks, fill_in};
use crate::error::ApplyError;
use crate::kind::{Access, Kind, Level, Removal, Stored, Writing};
use crate::plan::Plan;
use crate::stored::World;
use crate::writes::{self, By};

pub use body::AnalyticsRule;

pub static KIND: AnalyticsRules = AnalyticsRules;
pub type Body = AnalyticsRule;

/// Parses a body of a document.
fn parse(name: &str, body: &Value) -> Result<Rule, RuleError> {
    let values = body.as_object().cloned().unwrap_or_default();
    let mut rule = detection::yaml::from_json(name, values)?.rule;
    // The name decides, not a field.
    name.clone_into(&mut rule.id);
    Ok(rule)
}

/// The properties that are stored.
fn properties(rule: &Rule) -> Map<String, Value> {
    let mut properties = match serde_json::to_value(&rule.properties) {
        Ok(Value::Object(properties)) => properties,
        _ => Map::new(),
    };
    fill_in(&mut properties);
    properties
}

pub struct AnalyticsRules;

#[async_trait]
impl Kind for AnalyticsRules {
    fn name(&self) -> &'static str {
        "analytics_rules"
    }

    fn singular(&self) -> &'static str {
        "analytics rule"
    }

    fn summary(&self) -> &'static str {
        "Rules that search tables and raise alerts, in the fields of Microsoft's YAML"
    }

    fn access(&self) -> Access {
        Access {
            level: Level::Workspace,
            read: "Microsoft.SecurityInsights/alertRules/read",
            write: "Microsoft.SecurityInsights/alertRules/write",
            delete: "Microsoft.SecurityInsights/alertRules/delete",
            owner: false,
        }
    }

    fn check_name(&self, name: &str) -> Option<&'static str> {
        let fits = (1..=260).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        (!fits).then_some("Use 1 to 260 letters, digits, `-`, `_` and `.`")
    }

    async fn list(&self, world: &World) -> Result<Vec<Stored>, StoreError> {
        let Some(state) = &world.state else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        for record in state.store.analytics_rules().list().await? {
            match Rule::from_properties(&record.id, &record.kind, &record.properties) {
                Ok(rule) => {
                    let etag = record.etag.to_string();
                    all.push(Stored { name: record.id, etag, body: body::of(&rule), removal: Removal::Allowed });
                }
                Err(error) => tracing::warn!(rule = record.id, %error, "this analytics rule has no form as a document"),
            }
        }
        Ok(all)
    }

    async fn settle(&self, _: &World, name: &str, _: Option<&Value>, wanted: Value) -> Result<Value, StoreError> {
        Ok(parse(name, &wanted).map_or(wanted, |rule| body::of(&rule)))
    }

    async fn check(&self, plan: &Plan<'_>, found: &mut Findings) {
        for (name, body) in plan.wanted.of("analytics_rules") {
            let path = format!("analytics_rules.{name}");
            let rule = match parse(name, body) {
                Ok(rule) => rule,
                Err(
                    RuleError::File { field, problem, .. } | RuleError::Yaml { field, problem, .. } | RuleError::Field { field, problem },
                ) => {
                    found.add(format!("{path}.{field}"), problem, "");
                    continue;
                }
                Err(error @ RuleError::Kind(_)) => {
                    found.add(format!("{path}.kind"), error.to_string(), "");
                    continue;
                }
            };
            let kind_before = plan.stored("analytics_rules", name).map(|stored| body::kind(&stored.body));
            if kind_before.is_some_and(|before| before != rule.kind_name()) {
                let problem = format!("the kind of a rule cannot become {}", rule.kind_name());
                found.add(format!("{path}.kind"), problem, "Write a rule of another name");
            }
            let Ok(kind) = checks::Kind::parse(rule.kind_name()) else { continue };
            if let Err(refusal) = checks::check(plan.world.engine.as_ref(), plan.scope(), kind, properties(&rule)).await {
                found.refused(&path, &body::renamed(refusal));
            }
        }
    }

    async fn put(&self, at: &mut Writing<'_>, name: &str, _: Option<&Value>, after: &Value) -> Result<(), ApplyError> {
        let shape = |error: RuleError| ApplyError::Shape {
            path: format!("analytics_rules.{name}"),
            problem: error.to_string(),
            help: String::new(),
        };
        let rule = parse(name, after).map_err(shape)?;
        let before = at.change.analytics_rule(name).await?;
        let by = By { actor: at.actor, at: at.now };
        writes::put_analytics_rule(at.change, before.as_ref(), name, rule.kind_name(), properties(&rule), by).await?;
        Ok(())
    }

    async fn delete(&self, at: &mut Writing<'_>, name: &str, _: &Value) -> Result<(), ApplyError> {
        writes::delete_analytics_rule(at.change, name, By { actor: at.actor, at: at.now }).await?;
        Ok(())
    }
}
