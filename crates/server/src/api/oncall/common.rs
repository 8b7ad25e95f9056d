//! Shared by the on-call routes: error responses, lookup of incidents by number or id, parsing of times.

use model::{Incident, Timestamp};
use oncall::answer::AnswerError;
use oncall::check::Problem;
use oncall::compute::{self, ComputeError};
use oncall::directory::Directory;
use oncall::objects::ApplyError;
use oncall::schedule::ScheduleError;
use oncall::{document, when};
use store::{Comparison, IncidentField, IncidentFilter};
use uuid::Uuid;

use crate::body::BodyLimits;
use crate::context::Context;
use crate::error::{ApiError, sentence};

/// The interface recorded in the audit trail.
pub(super) const VIA: &str = "oncall/api";

pub(crate) fn apply_error(error: ApplyError) -> ApiError {
    let message = sentence(&error.to_string());
    match error {
        ApplyError::Wrong(problems) => wrong(&problems),
        ApplyError::Conflict { .. } => ApiError::new(http::StatusCode::PRECONDITION_FAILED, "PreconditionFailed", message),
        ApplyError::NoKind(kind) => no_kind(&kind),
        ApplyError::NoObject { .. } => ApiError::not_found("NotFound", message),
        ApplyError::Name(_) => ApiError::bad_request("InvalidName", message),
        ApplyError::Shape { path, .. } => ApiError::bad_request("InvalidObject", message).target(path),
        ApplyError::Compute(error) => compute_error(error),
        ApplyError::Store(error) => error.into(),
    }
}

/// Each problem becomes a detail; the message states their number.
fn wrong(problems: &[Problem]) -> ApiError {
    let message = match problems {
        [one] => sentence(&one.to_string()),
        many => format!("Nothing was changed: {} things are wrong.", many.len()),
    };
    let error = ApiError::bad_request("InvalidDirectory", message);
    if problems.len() < 2 {
        return error;
    }
    problems.iter().fold(error, |error, problem| {
        let help = if problem.help.is_empty() { String::new() } else { format!(". {}", problem.help) };
        error.detail("InvalidDirectory", format!("{}{help}", problem.problem), Some(problem.path.clone()))
    })
}

/// An on-call document: at most 4 MiB, also after inflating.
pub(super) const DOCUMENT: BodyLimits = BodyLimits { inflated: document::MAX_BYTES as u64, ..BodyLimits::CONFIGURATION };

fn compute_error(error: ComputeError) -> ApiError {
    match error {
        ComputeError::Busy => ApiError::too_many(sentence(&error.to_string()), 10),
        error => ApiError::internal(&error),
    }
}

/// Computes a response on a blocking thread; see [`compute`].
pub(super) async fn computed<T: Send + 'static>(
    lane: &compute::Lane,
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    compute::run(lane, work).await.map_err(compute_error)?
}

/// Parses a request body as a document.
pub(super) fn parsed(bytes: &[u8]) -> Result<Directory, ApiError> {
    let text = std::str::from_utf8(bytes).map_err(|_| ApiError::bad_request("InvalidDocument", "The document is not UTF-8."))?;
    document::parse("the document", text).map_err(|error| ApiError::bad_request("InvalidDocument", sentence(&error.to_string())))
}

pub(super) fn answer_error(error: AnswerError) -> ApiError {
    let message = sentence(&error.to_string());
    match error {
        AnswerError::NoSuchCode(_) | AnswerError::NoPage(_) | AnswerError::NoIncident(_) => ApiError::not_found("NotFound", message),
        AnswerError::NoUser(_) => ApiError::bad_request("UnknownUser", message).target("user"),
        AnswerError::NoStep(_) => ApiError::bad_request("NoSuchStep", message).target("action.escalate.step"),
        AnswerError::Closed => ApiError::conflict("IncidentClosed", message),
        AnswerError::Reopened => ApiError::conflict("IncidentReopened", message),
        AnswerError::Store(error) => error.into(),
        AnswerError::Desk(_) => ApiError::internal(&error),
        #[allow(unreachable_patterns)]
        _ => ApiError::bad_request("AnswerRefused", message),
    }
}

pub(super) fn schedule_error(name: &str, error: &ScheduleError) -> ApiError {
    ApiError::bad_request("InvalidSchedule", sentence(&error.to_string())).target(format!("schedules.{name}.{}", error.path()))
}

pub(super) fn no_kind(kind: &str) -> ApiError {
    let near = document::did_you_mean(kind, document::KINDS).map(|near| format!(" Did you mean '{near}'?")).unwrap_or_default();
    let shown: String = kind.chars().take(60).collect();
    ApiError::not_found("NotFound", format!("On call has no '{shown}'; it has {}.{near}", document::KINDS.join(", ")))
}

/// `There is no schedule 'wekdays'. Did you mean 'weekdays'?`
pub(super) fn nothing_named<'a>(what: &str, name: &str, names: impl Iterator<Item = &'a String>) -> ApiError {
    let near = document::did_you_mean(name, names.map(String::as_str)).map(|near| format!(" Did you mean '{near}'?")).unwrap_or_default();
    let shown: String = name.chars().take(80).collect();
    ApiError::not_found("NotFound", format!("There is no {what} '{shown}'.{near}"))
}

pub(super) async fn directory(cx: &Context) -> Result<std::sync::Arc<Directory>, ApiError> {
    cx.oncall.objects.directory().await.map_err(ApiError::from)
}

/// Parses a time in the query string. A time without offset is in `zone`.
pub(super) fn time(now: Timestamp, parameter: &'static str, text: &str, zone: &str) -> Result<Timestamp, ApiError> {
    when::parse(text, zone, now)
        .map_err(|error| ApiError::bad_request("InvalidQueryParameter", sentence(&error.to_string())).target(parameter))
}

/// The incident that a path names by number or id.
pub(super) async fn incident(cx: &Context, name: &str) -> Result<Incident, ApiError> {
    let missing = || {
        let shown: String = name.chars().take(60).collect();
        ApiError::not_found("NotFound", format!("There is no incident '{shown}'."))
    };
    let found = match (name.parse::<i64>(), Uuid::parse_str(name)) {
        (Ok(number), _) => {
            let filter = IncidentFilter::Number(IncidentField::Number, Comparison::Equal, number);
            let page = cx.store.incidents().list(Some(&filter), &[], 1, None).await?;
            page.and_then(|page| page.incidents.into_iter().next())
        }
        (_, Ok(id)) => cx.store.incidents().get(id).await?,
        _ => None,
    };
    found.ok_or_else(missing)
}
