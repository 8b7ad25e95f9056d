//! `GET /healthz` — health status of the service.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use model::{ConditionSeverity, HealthRegister};

use crate::dialect::OURS;
use crate::endpoint::{Endpoint, NO_ACTION, Role, nothing};
use crate::reply::Reply;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::GET,
    path: "/healthz",
    summary: "Answer 200 when the service is ready; the first word is `ok`, `degraded` or `failing`",
    dialect: &OURS,
    role: Role::Open("load balancers and scripts ask before they have a token; names of conditions and how many there are, no data"),
    action: NO_ACTION,
    query: nothing,
    takes: nothing,
    returns: nothing,
    run: |cx, _| Box::pin(async { Ok(answer(&cx.health, ConditionSeverity::Broken)) }),
};

/// The response text; the status is 503 if any condition is at least as severe as `limit`.
pub(super) fn answer(health: &HealthRegister, limit: ConditionSeverity) -> Reply {
    let mut reply = Reply::text(text(health));
    if health.worst().is_some_and(|worst| worst >= limit) {
        reply.status = StatusCode::SERVICE_UNAVAILABLE;
    }
    reply
}

/// The overall status, then a line for each kind of condition, with its summary if that is public. Details require a token.
fn text(health: &HealthRegister) -> String {
    let mut text = match health.worst() {
        None | Some(ConditionSeverity::Notice) => "ok\n".to_owned(),
        Some(ConditionSeverity::Degraded) => "degraded\n".to_owned(),
        Some(ConditionSeverity::Failing) => "failing\n".to_owned(),
        Some(ConditionSeverity::Broken) => "broken\n".to_owned(),
    };
    let mut counts: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for condition in health.conditions() {
        let (count, summary) = counts.entry(condition.name).or_default();
        *count += 1;
        if condition.open {
            *summary = format!(": {}", condition.summary.replace('\n', " "));
        }
    }
    for (name, (count, summary)) in counts {
        text.push_str(&format!("{name} {count}{summary}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use model::Condition;

    use super::*;

    #[test]
    fn the_first_word_is_the_worst_of_all() {
        let health = HealthRegister::default();
        assert_eq!(text(&health), "ok\n");
        health.report(Condition::new("file-mode", "state.db", ConditionSeverity::Notice));
        assert_eq!(text(&health), "ok\nfile-mode 1\n");
        health.report(Condition::new("data-file-damaged", "a", ConditionSeverity::Degraded));
        health.report(Condition::new("data-file-damaged", "b", ConditionSeverity::Degraded));
        assert_eq!(text(&health), "degraded\ndata-file-damaged 2\nfile-mode 1\n");
    }
}
