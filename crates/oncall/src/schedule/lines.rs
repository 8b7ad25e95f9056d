//! Questions and answers in bulk, one JSON object a line: how another implementation is compared with this one.
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
    /// What the overrides call the schedule.
    #[serde(default)]
    name: String,
    schedule: Schedule,
    #[serde(default)]
    overrides: Vec<Override>,
    #[serde(default)]
    at: Vec<Timestamp>,
    /// Asks for all shifts between the two as well.
    #[serde(default)]
    window: Option<[Timestamp; 2]>,
    /// Asks for the window's iCalendar feed as well.
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

/// Answers one line. A line that cannot be read is answered with an `error`, as a schedule with a mistake is.
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
    // Only texts and lists of them: it has no way not to be JSON.
    serde_json::to_string(&answer).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
}

fn answer(question: Question) -> Result<Answer, ScheduleError> {
    let Question { id: _, name, schedule, overrides, at, window, calendar } = question;
    // Without names of their own, those that begin together apply in the order of the list.
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
