//! Health: conditions are public, their details are for readers, and they determine the status of both probes.

use model::{Condition, ConditionSeverity};
use reqwest::Method;
use serde_json::json;

use crate::house::{House, answer};

async fn probe(house: &House, path: &str) -> (u16, String) {
    let response = house.http.get(format!("{}{path}", house.base)).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn conditions_are_named_and_decide_the_probes() {
    let house = House::new().await;
    assert_eq!(probe(&house, "/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(probe(&house, "/readyz").await.0, 200);

    house.health.set_detail("rule.many-tries", ConditionSeverity::Degraded, "the rule `Many tries` fails", "`T` is unknown");
    house
        .health
        .report(Condition::new("data-file-damaged", "T.1/x.parquet", ConditionSeverity::Degraded).summary("`x.parquet` is damaged"));
    let (status, text) = probe(&house, "/healthz").await;
    assert_eq!((status, text.as_str()), (200, "degraded\ndata-file-damaged 1\nrule.many-tries 1: the rule `Many tries` fails\n"));
    assert_eq!(probe(&house, "/readyz").await.0, 200);

    house.health.set("task.detection", ConditionSeverity::Failing, "the task `detection` panicked");
    assert_eq!(probe(&house, "/readyz").await.0, 503);
    assert_eq!(probe(&house, "/healthz").await.0, 200, "a restart would not help");

    house.health.set("runtime.blocked", ConditionSeverity::Broken, "nothing is answered");
    assert_eq!(probe(&house, "/healthz").await.0, 503);
    let (_, body) = answer(house.call(&house.base, Method::GET, "/api/v1/health").await).await;
    let rule = body["conditions"].as_array().unwrap().iter().find(|condition| condition["name"] == "rule.many-tries").unwrap();
    assert_eq!(rule["detail"], json!("`T` is unknown"), "{body}");

    house.health.retain("", |_| false);
    assert_eq!(probe(&house, "/readyz").await.0, 200);
}
