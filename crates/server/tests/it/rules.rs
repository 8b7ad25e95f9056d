//! State of analytics rules, as returned by the API.

use detection::schedule::RunState;
use model::{ConditionSeverity, Span};
use reqwest::Method;
use serde_json::json;
use store::{AnalyticsRuleRecord, RuleFile};
use uuid::Uuid;

use crate::house::{House, answer, noon};

#[tokio::test]
async fn a_daily_rule_shows_when_it_runs_first_and_a_broken_one_why() {
    let house = House::new().await;
    let store = house.pipeline.store();
    let properties = json!({"displayName": "Daily", "query": "T", "severity": "High", "queryFrequency": "P1D", "queryPeriod": "P1D",
        "triggerOperator": "GreaterThan", "triggerThreshold": 0});
    let record = |id: &str, etag| AnalyticsRuleRecord {
        id: id.to_owned(),
        kind: "Scheduled".to_owned(),
        enabled: true,
        etag,
        created: noon(),
        modified: noon(),
        properties: properties.as_object().unwrap().clone(),
    };
    let (ours, theirs) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let mut change = store.begin().await.unwrap();
    for (id, etag) in [("daily", ours), ("tuned", theirs), ("through-api", theirs)] {
        change.put_analytics_rule(&record(id, etag)).await.unwrap();
    }
    for id in ["daily", "tuned"] {
        let file = RuleFile { rule_id: id.to_owned(), file: format!("/srv/rules/{id}.yaml"), digest: String::new(), etag: ours };
        change.put_rule_file(&file).await.unwrap();
    }
    let kind = detection::AnalyticsRule::from_properties("daily", "Scheduled", properties.as_object().unwrap()).unwrap().kind;
    change.put_rule_run_state("daily", &RunState::starting(kind, noon())).await.unwrap();
    let ran = RunState { seen_until: noon(), last_run: Some(noon()), ..RunState::starting(kind, noon()) };
    change.put_rule_run_state("tuned", &ran).await.unwrap();
    change.commit().await.unwrap();
    house.health.set_detail("rule.tuned", ConditionSeverity::Degraded, "the rule `Daily` fails", "`T` is unknown");
    house.health.set_detail("rule-file.x.yaml", ConditionSeverity::Degraded, "the rule file `x.yaml` is not loaded", "line 3");

    let (status, body) = answer(house.call(&house.base, Method::GET, "/api/v1/rules").await).await;
    assert_eq!(status, 200, "{body}");
    let rule = |id: &str| body["rules"].as_array().unwrap().iter().find(|rule| rule["id"] == id).unwrap();
    assert_eq!((&rule("daily")["source"], &rule("daily")["file"]), (&json!("as_file"), &json!("daily.yaml")));
    let daily = rule("daily");
    assert_eq!((&daily["severity"], &daily["query_frequency"], &daily["query_period"]), (&json!("High"), &json!("P1D"), &json!("P1D")));
    // A new rule is due at once, and then a day after its last window.
    let (first, second) = (noon().to_string(), (noon() + Span::DAY).to_string());
    assert_eq!((&rule("daily")["last_run"], &rule("daily")["next_run"]), (&json!(null), &json!(first)));
    assert_eq!((&rule("tuned")["last_run"], &rule("tuned")["next_run"]), (&json!(first), &json!(second)));
    assert_eq!((&rule("tuned")["source"], &rule("tuned")["problems"][0]["detail"]), (&json!("changed"), &json!("`T` is unknown")));
    assert_eq!((&rule("through-api")["source"], &rule("through-api")["file"]), (&json!("api"), &json!(null)));
    assert_eq!(body["broken_files"][0]["summary"], "the rule file `x.yaml` is not loaded");
}
