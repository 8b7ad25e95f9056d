//! Answers a file of queries and writes the results next to it, for tests/oncall/rotations.py.

use std::fs;

use oncall::schedule::answer_line;

// Expected: Oslo's Monday hand-over at 08:00 is 07:00 UTC on 2026-03-23, before the clocks change.
const QUESTION: &str = r#"{"id": 1, "schedule": {"time_zone": "Europe/Oslo", "layers": [{"rotation":
    {"every": "week", "start": "2026-03-16T08:00", "users": ["ann", "bo"]}}]}, "at": ["2026-03-23T06:59:59Z", "2026-03-23T07:00:00Z"]}"#;

#[test]
fn answers_a_file_of_questions() {
    assert_eq!(answer_line(QUESTION), r#"{"id":1,"on_call":[["ann"],["bo"]]}"#);
    let Ok(path) = std::env::var("BARTIZAN_ROTATIONS") else { return };
    let questions = fs::read_to_string(&path).expect("the file of questions");
    let answers: Vec<String> = questions.lines().map(answer_line).collect();
    fs::write(format!("{path}.answers"), answers.join("\n") + "\n").expect("room for the answers");
}
