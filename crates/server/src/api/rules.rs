//! `GET /api/v1/rules` — state of the analytics rules: last and next run, problems, and source file.

use std::collections::HashMap;

use detection::AnalyticsRule;
use detection::job::{columns_condition, condition};
use detection::schedule::{RunState, next};
use http::Method;
use model::{Condition, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use store::RuleFile;

use crate::call::Call;
use crate::context::Context;
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, nothing, schema};
use crate::error::ApiError;
use crate::reply::Reply;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::GET,
    path: "/api/v1/rules",
    summary: "List the analytics rules with their runs, their problems and the files they came from",
    dialect: &OURS,
    role: Role::Reader,
    action: "Bartizan/rules/read",
    query: nothing,
    takes: nothing,
    returns: schema::<Rules>,
    run: |cx, call| Box::pin(list(cx, call)),
};

#[derive(Serialize, JsonSchema)]
struct Rules {
    /// By id.
    rules: Vec<Rule>,
    /// Files that give no rule.
    broken_files: Vec<Problem>,
}

/// A rule at work.
#[derive(Serialize, JsonSchema)]
struct Rule {
    id: String,
    name: String,
    /// `Scheduled` or `NRT`.
    kind: String,
    severity: Option<String>,
    /// How often it runs and how far it looks back, ISO 8601; null for `NRT`, which runs as rows arrive.
    query_frequency: Option<String>,
    query_period: Option<String>,
    enabled: bool,
    /// Name of the file it came from; null where it came through the API.
    file: Option<String>,
    /// `as_file`, `changed` (in another way since the file was applied), or `api`.
    source: &'static str,
    /// When it last ran well. UTC, ISO 8601.
    last_run: Option<String>,
    /// When it runs next; null for a rule that runs as rows arrive, and for one that does not run.
    next_run: Option<String>,
    /// Rows that arrived until here have been seen.
    seen_until: Option<String>,
    /// Failed runs since the last one that ended well, and why the last one failed.
    failures: u32,
    last_error: Option<String>,
    problems: Vec<Problem>,
}

/// Something that is wrong.
#[derive(Serialize, JsonSchema)]
struct Problem {
    summary: String,
    detail: String,
}

impl From<Condition> for Problem {
    fn from(condition: Condition) -> Self {
        Self { summary: condition.summary, detail: condition.detail }
    }
}

async fn list(cx: &Context, _: Call) -> Result<Reply, ApiError> {
    let files = cx.store.rule_files().list().await?;
    let files: HashMap<String, &RuleFile> = files.iter().map(|file| (file.rule_id.to_lowercase(), file)).collect();
    let mut rules = Vec::new();
    for record in cx.store.analytics_rules().list().await? {
        let state: Option<RunState> = cx.store.analytics_rules().run_state(&record.id).await?;
        let file = files.get(&record.id.to_lowercase());
        let rule = AnalyticsRule::from_properties(&record.id, &record.kind, &record.properties).ok();
        let due = rule.as_ref().zip(state.as_ref()).filter(|_| record.enabled).and_then(|(rule, state)| next(rule.kind, state));
        let text = |time: Option<Timestamp>| time.as_ref().map(Timestamp::to_string);
        let property = |name: &str| record.properties.get(name).and_then(Value::as_str).map(str::to_owned);
        let conditions = [condition(&record.id), columns_condition(&record.id)];
        rules.push(Rule {
            name: record.display_name().to_owned(),
            kind: record.kind.clone(),
            severity: property("severity"),
            query_frequency: property("queryFrequency"),
            query_period: property("queryPeriod"),
            enabled: record.enabled,
            file: file.map(|file| file_name(&file.file).to_owned()),
            source: match file {
                Some(file) if file.etag == record.etag => "as_file",
                Some(_) => "changed",
                None => "api",
            },
            last_run: text(state.as_ref().and_then(|state| state.last_run)),
            next_run: text(due),
            seen_until: text(state.as_ref().map(|state| state.seen_until)),
            failures: state.as_ref().map_or(0, |state| state.failures),
            last_error: state.and_then(|state| state.last_error),
            problems: conditions.iter().filter_map(|name| cx.health.condition(name)).map(Problem::from).collect(),
            id: record.id,
        });
    }
    let broken = cx.health.conditions().into_iter().filter(|condition| condition.name.starts_with("rule-file."));
    Reply::json(Rules { rules, broken_files: broken.map(Problem::from).collect() })
}

/// The directory of the file is not disclosed.
fn file_name(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}
