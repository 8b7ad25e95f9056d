//! The documents in `examples/oncall`.

use std::path::Path;

/// The examples pass all checks.
#[test]
fn the_examples_are_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/oncall");
    let mut texts: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.display().to_string(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    texts.sort();
    assert_eq!(texts.len(), 3);
    let directory = oncall::document::parse_all(texts.iter().map(|(file, text)| (file.as_str(), text.as_str()))).unwrap();
    assert_eq!(oncall::check::check(&directory), []);
    // `bartizan oncall check --strict` counts these as mistakes.
    assert_eq!(oncall::check::warnings(&directory), []);
    let at = |text| model::Timestamp::parse_iso(text).unwrap();
    let who = |schedule: &str, time| {
        let on = oncall::schedule::who(&directory.schedules[schedule], schedule, &directory.overrides, at(time)).unwrap();
        on.into_iter().map(|duty| duty.user).collect::<Vec<_>>()
    };
    // As stated in the comments of the examples. Oslo is UTC+01:00 in December; 21 December 2026 begins one of Ann's weeks.
    assert_eq!(who("oslo", "2026-12-21T12:00:00Z"), ["ann"]);
    assert_eq!(who("oslo", "2026-12-22T12:00:00Z"), ["bo"], "the dentist");
    assert_eq!(who("oslo", "2026-12-25T18:59:59Z"), ["ann"], "Christmas, by hand");
    assert_eq!(who("oslo", "2026-12-25T19:00:00Z"), ["bo"], "Christmas, by hand");
    assert_eq!(who("around-the-clock", "2026-12-01T20:00:00Z"), ["ann", "di"], "one more for a release");
    let day = oncall::schedule::health(
        &directory.schedules["around-the-clock"],
        "around-the-clock",
        &directory.overrides,
        &directory.users,
        at("2026-01-12T00:00:00Z"),
        at("2027-01-01T00:00:00Z"),
    );
    assert!(day.unwrap().gaps.is_empty(), "the sun is followed without a gap");
}
