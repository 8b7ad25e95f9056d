//! Batch interface with one JSON object per line, for comparison with other implementations.
//!
//! ```text
//! {"id": 1, "schedule": {…}, "overrides": [{…}], "at": ["2026-03-29T00:30:00Z"], "window": ["2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"]}
//! {"id": 1, "on_call": [["ann"]], "shifts": [["2026-03-01T00:00:00.0000000Z", "2026-03-08T07:00:00.0000000Z", "ann"]]}
//! ```

use model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Overrides, ScheduleError, calendar_of_schedule, shifts, who};
use crate::directory::{Override, Schedule};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    #[serde(default)]
    id: Value,
    /// The schedule's name in the overrides.
    #[serde(default)]
    name: String,
    schedule: Schedule,
    #[serde(default)]
    overrides: Vec<Override>,
    #[serde(default)]
    at: Vec<Timestamp>,
    /// Also return all shifts in this range.
    #[serde(default)]
    window: Option<[Timestamp; 2]>,
    /// Also return the range's iCalendar feed.
    #[serde(default)]
    calendar: bool,
}

#[derive(Default, Serialize)]
struct Answer {
    id: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_call: Option<Vec<Vec<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shifts: Option<Vec<(Timestamp, Timestamp, String)>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    calendar: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Handles one line. An invalid line or schedule results in an `error`.
pub fn answer_line(line: &str) -> String {
    let answer = match serde_json::from_str::<Question>(line) {
        Err(error) => Answer { error: Some(error.to_string()), ..Answer::default() },
        Ok(question) => {
            let id = question.id.clone();
            match answer(question) {
                Ok(answer) => Answer { id, ..answer },
                Err(error) => Answer { id, error: Some(error.to_string()), ..Answer::default() },
            }
        }
    };
    // Only strings and lists of them, so serialisation cannot fail.
    serde_json::to_string(&answer).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
}

fn answer(question: Question) -> Result<Answer, ScheduleError> {
    let Question { id: _, name, schedule, overrides, at, window, calendar } = question;
    // Unnamed overrides with equal start apply in the order of the list.
    let overrides: Overrides = overrides.into_iter().enumerate().map(|(n, change)| (format!("{n:06}"), change)).collect();
    let mut on_call = Vec::with_capacity(at.len());
    for at in at {
        on_call.push(who(&schedule, &name, &overrides, at)?.into_iter().map(|on| on.user).collect());
    }
    let mut answer = Answer { on_call: Some(on_call), ..Answer::default() };
    if let Some([from, to]) = window {
        let found = shifts(&schedule, &name, &overrides, from, to)?;
        answer.shifts = Some(found.into_iter().map(|shift| (shift.from, shift.to, shift.user)).collect());
        if calendar {
            answer.calendar = Some(calendar_of_schedule(&schedule, &name, &overrides, from, to, Timestamp::UNIX_EPOCH)?);
        }
    }
    Ok(answer)
}
