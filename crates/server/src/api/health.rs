//! `GET /healthz` — ready to serve, and how well.

use std::collections::BTreeMap;

use http::Method;
use model::{ConditionSeverity, HealthRegister};

use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, nothing};
use crate::reply::Reply;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::GET,
    path: "/healthz",
    summary: "Answer 200 when the service is ready; the first word is `ok`, `degraded` or `failing`",
    dialect: &OURS,
    role: Role::Open("load balancers and scripts ask before they have a token; names of conditions and how many there are, no data"),
    query: nothing,
    takes: nothing,
    returns: nothing,
    run: |cx, _| Box::pin(async { Ok(Reply::text(text(&cx.health))) }),
};

/// One word, then a line for each kind of condition. What they are about is for those who have a token.
fn text(health: &HealthRegister) -> String {
    let mut text = match health.worst() {
        None | Some(ConditionSeverity::Notice) => "ok\n".to_owned(),
        Some(ConditionSeverity::Degraded) => "degraded\n".to_owned(),
        Some(ConditionSeverity::Failing) => "failing\n".to_owned(),
    };
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for condition in health.conditions() {
        *counts.entry(condition.name).or_default() += 1;
    }
    for (name, count) in counts {
        text.push_str(&format!("{name} {count}\n"));
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
