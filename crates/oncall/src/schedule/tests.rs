//! Typical schedules; expected results are computed by hand from the calendar next to each test. The bulk comparison with another
//! implementation is tests/oncall/rotations.py.

use testkit::Random;

use super::*;
use crate::directory::{Every, Hours, Layer, Rotation, Turn};

fn at(text: &str) -> Timestamp {
    Timestamp::parse_iso(text).unwrap()
}

fn read(yaml: &str) -> (Schedule, Overrides) {
    #[derive(serde::Deserialize)]
    struct Both {
        schedule: Schedule,
        #[serde(default)]
        overrides: Overrides,
    }
    let both: Both = serde_yaml_ng::from_str(yaml).unwrap();
    (both.schedule, both.overrides)
}

/// `MM-DDTHH:MM–MM-DDTHH:MM user (because)`, UTC.
fn told(yaml: &str, from: &str, to: &str) -> Vec<String> {
    let (schedule, overrides) = read(yaml);
    let minute = |at: Timestamp| at.to_string()[5..16].to_owned();
    let shifts = shifts(&schedule, "s", &overrides, at(from), at(to)).unwrap();
    shifts.iter().map(|shift| format!("{} {} {} ({})", minute(shift.from), minute(shift.to), shift.user, shift.because)).collect()
}

const WEEKLY: &str = "
schedule:
  time_zone: Europe/Oslo
  layers:
  - {name: primary, rotation: {every: week, start: 2026-03-16T08:00, users: [ann, bo]}}
";

// Oslo is UTC+1 until 2026-03-29T01:00Z, then UTC+2: the hand-over stays at 08:00 local time.
#[test]
fn a_weekly_hand_over_keeps_its_wall_clock_time() {
    assert_eq!(
        told(WEEKLY, "2026-03-16", "2026-04-07"),
        [
            "03-16T07:00 03-23T07:00 ann (layer primary)",
            "03-23T07:00 03-30T06:00 bo (layer primary)",
            "03-30T06:00 04-06T06:00 ann (layer primary)",
            "04-06T06:00 04-07T00:00 bo (layer primary)",
        ]
    );
}

#[test]
fn no_user_is_on_call_before_the_start_or_after_the_end() {
    let yaml = WEEKLY.replace("users:", "end: 2026-03-18T08:00, users:");
    assert_eq!(told(&yaml, "2026-03-01", "2026-05-01"), ["03-16T07:00 03-18T07:00 ann (layer primary)"]);
}

#[test]
fn a_later_layer_hides_the_earlier_ones_in_its_hours() {
    let yaml = "
schedule:
  time_zone: UTC
  layers:
  - {rotation: {every: week, start: 2026-01-05T00:00, users: [ann]}}
  - name: office
    rotation: {every: day, start: 2026-01-05T00:00, users: [bo, [cy, di]]}
    hours: [{days: [monday, tuesday], from: '09:00', to: '17:00'}]
";
    assert_eq!(
        told(yaml, "2026-01-05", "2026-01-07"),
        [
            "01-05T00:00 01-05T09:00 ann (layer 1)",
            "01-05T09:00 01-05T17:00 bo (layer office)",
            "01-05T17:00 01-06T09:00 ann (layer 1)",
            "01-06T09:00 01-06T17:00 cy (layer office)",
            "01-06T09:00 01-06T17:00 di (layer office)",
            "01-06T17:00 01-07T00:00 ann (layer 1)",
        ]
    );
}

#[test]
fn a_temporary_schedule_hides_layers_even_when_empty() {
    let yaml = WEEKLY.to_owned()
        + "
  temporary:
  - {from: 2026-03-18T08:00, to: 2026-03-20T08:00, shifts: [{user: cy, from: 2026-03-18T08:00, to: 2026-03-19T08:00}]}
";
    assert_eq!(
        told(&yaml, "2026-03-16T07:00:00Z", "2026-03-23T07:00:00Z"),
        [
            "03-16T07:00 03-18T07:00 ann (layer primary)",
            "03-18T07:00 03-19T07:00 cy (temporary schedule from 2026-03-18T08:00)",
            "03-20T07:00 03-23T07:00 ann (layer primary)",
        ]
    );
}

#[test]
fn overrides_replace_remove_and_add() {
    let yaml = WEEKLY.to_owned()
        + "
overrides:
  christmas: {schedule: s, from: 2026-03-17T00:00:00Z, to: 2026-03-18T00:00:00Z, remove: ann, add: cy}
  elsewhere: {schedule: other, from: 2026-03-16T00:00:00Z, to: 2026-03-30T00:00:00Z, remove: ann}
  extra: {schedule: s, from: 2026-03-20T00:00:00Z, to: 2026-03-20T12:00:00Z, add: di}
  ill: {schedule: s, from: 2026-03-19T00:00:00Z, to: 2026-03-19T12:00:00Z, remove: ann}
  nothing: {schedule: s, from: 2026-03-21T00:00:00Z, to: 2026-03-22T00:00:00Z, remove: bo, add: cy}
  wanted: {schedule: s, from: 2026-03-21T00:00:00Z, to: 2026-03-22T00:00:00Z, remove: ann, add: cy, requested: true}
";
    assert_eq!(
        told(&yaml, "2026-03-16T07:00:00Z", "2026-03-23T07:00:00Z"),
        [
            "03-16T07:00 03-17T00:00 ann (layer primary)",
            "03-17T00:00 03-18T00:00 cy (override christmas: for ann)",
            "03-18T00:00 03-19T00:00 ann (layer primary)",
            "03-19T12:00 03-23T07:00 ann (layer primary)",
            "03-20T00:00 03-20T12:00 di (override extra)",
        ]
    );
}

// A substitute can be substituted, and a user who is already on call is not added twice.
#[test]
fn overrides_apply_in_the_order_in_which_they_begin() {
    let yaml = WEEKLY.to_owned()
        + "
overrides:
  a-later: {schedule: s, from: 2026-03-18T00:00:00Z, to: 2026-03-19T00:00:00Z, remove: cy, add: di}
  b-earlier: {schedule: s, from: 2026-03-17T00:00:00Z, to: 2026-03-20T00:00:00Z, remove: ann, add: cy}
  c-again: {schedule: s, from: 2026-03-18T12:00:00Z, to: 2026-03-21T00:00:00Z, add: di}
";
    assert_eq!(
        told(&yaml, "2026-03-17T00:00:00Z", "2026-03-21T00:00:00Z"),
        [
            "03-17T00:00 03-18T00:00 cy (override b-earlier: for ann)",
            "03-18T00:00 03-19T00:00 di (override a-later: for cy)",
            "03-19T00:00 03-20T00:00 cy (override b-earlier: for ann)",
            "03-19T00:00 03-21T00:00 di (override c-again)",
            "03-20T00:00 03-21T00:00 ann (layer primary)",
        ]
    );
}

#[test]
fn who_says_until_when_and_why() {
    let (schedule, overrides) = read(WEEKLY);
    let on = |when: &str| who(&schedule, "s", &overrides, at(when)).unwrap();
    let ann = OnDuty { user: "ann".into(), because: "layer primary".into(), until: at("2026-03-23T07:00:00Z") };
    assert_eq!(on("2026-03-16T07:00:00Z"), std::slice::from_ref(&ann));
    assert_eq!(on("2026-03-23T06:59:59Z"), [ann]);
    assert_eq!(on("2026-03-23T07:00:00Z")[0].user, "bo");
    assert_eq!(on("2026-03-16T06:59:59Z"), []);
    assert!(!who(&schedule, "s", &overrides, Timestamp::MAX).unwrap().is_empty());
    assert_eq!(who(&schedule, "s", &overrides, Timestamp::MIN).unwrap(), []);
}

// A hundred layers of hourly turns under one of 83 years: many shifts must not make `who` fail.
#[test]
fn who_succeeds_for_schedules_of_any_size() {
    let rotation = |every, length| Rotation {
        every,
        length,
        start: "1970-01-01T00:00".parse().unwrap(),
        end: None,
        users: vec![Turn::One("ann".into())],
    };
    let mut layers: Vec<Layer> =
        (0..99).map(|_| Layer { name: String::new(), rotation: rotation(Every::Hour, 1), hours: Vec::new() }).collect();
    layers.push(Layer { name: "top".into(), rotation: rotation(Every::Month, 1000), hours: Vec::new() });
    let schedule = Schedule { time_zone: "UTC".into(), layers, ..Schedule::default() };
    let on = who(&schedule, "s", &Overrides::new(), at("2026-01-01")).unwrap();
    assert_eq!((on[0].user.as_str(), on[0].because.as_str()), ("ann", "layer top"));
    assert_eq!(shifts(&schedule, "s", &Overrides::new(), at("1971-01-01"), at("2100-01-01")), Err(ScheduleError::TooLong));
    assert!(matches!(
        shifts(&schedule, "s", &Overrides::new(), at("1971-01-01"), at("2060-01-01")),
        Err(ScheduleError::TooManyShifts { .. })
    ));
}

#[test]
fn an_empty_or_backward_question_has_an_empty_answer() {
    assert_eq!(told(WEEKLY, "2026-03-20", "2026-03-20"), [""; 0]);
    assert_eq!(told(WEEKLY, "2026-03-20", "2026-03-19"), [""; 0]);
}

#[test]
fn health_finds_gaps_doubles_shares_and_rests() {
    let yaml = "
schedule:
  time_zone: UTC
  layers:
  - {rotation: {every: day, start: 2026-01-05T00:00, users: [ann, bo, [ann, cy]]}}
  temporary:
  - from: 2026-01-10T00:00
    to: 2026-01-12T00:00
    shifts:
    - {user: ann, from: 2026-01-10T00:00, to: 2026-01-11T00:00}
    - {user: bo, from: 2026-01-10T18:00, to: 2026-01-11T18:00}
";
    let (schedule, overrides) = read(yaml);
    let health = health(&schedule, "s", &overrides, &Default::default(), at("2026-01-05"), at("2026-01-12")).unwrap();
    let hours = |n: i64| Span(n * model::TICKS_PER_HOUR);
    assert_eq!(health.gaps, [Gap { from: at("2026-01-11T18:00:00Z"), to: at("2026-01-12") }]);
    assert_eq!(
        health.doubled,
        [Doubled { from: at("2026-01-10T18:00:00Z"), to: at("2026-01-11"), users: vec!["ann".into(), "bo".into()] }]
    );
    // ann: 5th, 7th, 8th, 10th; bo: 6th, 9th, a day from the 10th; cy: 7th.
    let times: Vec<_> = health.shares.iter().map(|share| (share.user.as_str(), share.time, share.nights, share.weekends)).collect();
    assert_eq!(
        times,
        [
            ("ann", hours(96), hours(4 * 9), hours(24)),
            ("bo", hours(72), hours(9 + 9 + 2 + 7), hours(24)),
            ("cy", hours(24), hours(9), hours(0)),
        ]
    );
    assert_eq!(health.shares[0].longest, hours(48));
    assert_eq!(health.shortest_rest, Some(Rest { user: "bo".into(), from: at("2026-01-10"), to: at("2026-01-10T18:00:00Z") }));
    // 162 of 168 hours; (72/96 + 24/96 + 24/72) / 3.
    assert_eq!((health.coverage, health.balance, health.quality), (96.43, 44.44, 70.435));
}

#[test]
fn intended_overlaps_are_not_reported_as_doubled() {
    let yaml = WEEKLY.replace("[ann, bo]", "[[ann, bo]]")
        + "
overrides:
  more: {schedule: s, from: 2026-03-17T00:00:00Z, to: 2026-03-18T00:00:00Z, add: cy}
  for-ann: {schedule: s, from: 2026-03-18T00:00:00Z, to: 2026-03-19T00:00:00Z, remove: ann, add: di}
";
    let (schedule, overrides) = read(&yaml);
    let health = health(&schedule, "s", &overrides, &Default::default(), at("2026-03-17"), at("2026-03-20")).unwrap();
    assert_eq!((health.doubled, health.gaps, health.coverage), (vec![], vec![], 100.0));
}

#[test]
fn an_even_rota_is_worth_a_hundred() {
    let (schedule, overrides) = read(WEEKLY);
    let health = health(&schedule, "s", &overrides, &Default::default(), at("2026-03-16T07:00:00Z"), at("2027-03-15T07:00:00Z")).unwrap();
    assert_eq!((health.coverage, health.balance, health.quality), (100.0, 100.0, 100.0));
    let none = Schedule { time_zone: "UTC".into(), ..Schedule::default() };
    assert_eq!(super::health(&none, "s", &Overrides::new(), &Default::default(), at("2026-01-01"), at("2026-02-01")).unwrap().quality, 0.0);
}

#[test]
fn the_feed_keeps_whole_shifts_and_their_uids_while_the_window_moves() {
    let (schedule, overrides) = read(WEEKLY);
    let uids = |from: &str| -> Vec<String> {
        let feed = calendar_of_schedule(&schedule, "s", &overrides, at(from), at("2026-05-01"), Timestamp::UNIX_EPOCH).unwrap();
        feed.lines().filter(|line| line.starts_with("UID:")).map(str::to_owned).collect()
    };
    let (early, late) = (uids("2026-03-17"), uids("2026-03-26T13:14:15Z"));
    assert_eq!(early[1..], late);
    assert_eq!(early.len(), 7);
}

#[test]
fn a_line_that_cannot_be_read_is_answered() {
    assert!(answer_line("{").contains("error"));
    assert!(
        answer_line(r#"{"id": 7, "schedule": {"time_zone": "Nowhere"}, "at": ["2026-01-01T00:00:00Z"]}"#)
            .starts_with(r#"{"id":7,"error":"#)
    );
    let line = r#"{"id":"x","schedule":{"time_zone":"UTC","layers":[{"rotation":{"every":"day","start":"2026-01-01T00:00","users":["ann"]}}]},"at":["2026-01-01T00:00:00Z","2025-01-01T00:00:00Z"]}"#;
    assert_eq!(answer_line(line), r#"{"id":"x","on_call":[["ann"],[]]}"#);
}

/// A random schedule with all features, and overrides.
fn random(random: &mut Random) -> (Schedule, Overrides) {
    const ZONES: [&str; 6] =
        ["Europe/Oslo", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kolkata", "Africa/Casablanca"];
    let user = |random: &mut Random| format!("u{}", random.below(4));
    let local = |random: &mut Random| {
        let day = jiff::civil::date(2025, 9, 1).saturating_add(jiff::Span::new().days(random.below(300) as i64));
        day.at(random.below(24) as i8, (random.below(4) * 15) as i8, 0, 0)
    };
    let mut schedule = Schedule { time_zone: ZONES[random.below(6) as usize].into(), ..Schedule::default() };
    for _ in 0..random.below(4) {
        let users = (0..1 + random.below(4)).map(|n| match random.below(4) {
            0 => Turn::Together(vec![format!("u{n}"), "pair".into()]),
            _ => Turn::One(user(random)),
        });
        let users = users.collect();
        let hours =
            (0..random.below(3)).map(|_| Hours { days: Vec::new(), from: local(random).time(), to: local(random).time() }).collect();
        let every = [Every::Hour, Every::Day, Every::Week, Every::Month][random.below(4) as usize];
        let rotation = Rotation { every, length: 1 + random.below(5) as u32, start: local(random).into(), end: None, users };
        schedule.layers.push(Layer { name: String::new(), rotation, hours });
    }
    if random.below(2) == 0 {
        let from = local(random);
        let day = |n: i64| from.saturating_add(jiff::Span::new().days(n));
        let shifts = (0..random.below(4) as i64)
            .map(|n| crate::directory::FixedShift {
                user: user(random),
                from: day(n).into(),
                to: day(n + 1 + random.below(2) as i64).into(),
            })
            .collect();
        schedule.temporary.push(crate::directory::TemporarySchedule { from: from.into(), to: day(5).into(), shifts });
    }
    let overrides = (0..random.below(5)).map(|n| {
        let from = at("2025-09-01") + Span(random.below(300 * 24) as i64 * model::TICKS_PER_HOUR);
        let to = from + Span((1 + random.below(200) as i64) * model::TICKS_PER_HOUR);
        let (remove, add) = match random.below(3) {
            0 => (Some(user(random)), None),
            1 => (None, Some(user(random))),
            _ => (Some("pair".to_owned()), Some(user(random))),
        };
        (
            format!("o{n}"),
            Override { schedule: "s".into(), from: from.into(), to: to.into(), remove, add, requested: false, reason: String::new() },
        )
    });
    let overrides = overrides.collect();
    (schedule, overrides)
}

// Properties: `who` and `shifts` agree, no user twice at once, and windows only clip.
#[test]
fn who_and_shifts_agree_at_every_edge() {
    for seed in 0..400 {
        let mut dice = Random::new(seed);
        let (schedule, overrides) = random(&mut dice);
        assert_eq!(check(&schedule), [], "seed {seed}");
        let from = at("2025-09-01") + Span(dice.below(250 * 24) as i64 * model::TICKS_PER_HOUR);
        let to = from + Span((1 + dice.below(40 * 24) as i64) * model::TICKS_PER_HOUR);
        let cut = shifts(&schedule, "s", &overrides, from, to).unwrap();
        let whole = whole_shifts(&schedule, "s", &overrides, from, to).unwrap();
        let trimmed: Vec<Shift> = whole.iter().map(|s| Shift { from: s.from.max(from), to: s.to.min(to), ..s.clone() }).collect();
        let sorted = |mut shifts: Vec<Shift>| {
            shifts.sort_by(|a, b| (a.from, a.to, &a.user).cmp(&(b.from, b.to, &b.user)));
            shifts
        };
        assert_eq!(sorted(trimmed), sorted(cut.clone()), "seed {seed}");

        let edges = cut.iter().flat_map(|shift| [shift.from, shift.to, shift.from + Span(1), shift.to - Span(1)]);
        let edges: Vec<Timestamp> = edges.chain([from, to - Span(1)]).filter(|at| (from..to).contains(at)).collect();
        let step = edges.len() / 40 + 1;
        for at in edges.into_iter().step_by(step) {
            let on = who(&schedule, "s", &overrides, at).unwrap();
            let mut expected: Vec<OnDuty> = whole
                .iter()
                .filter(|shift| shift.from <= at && at < shift.to)
                .map(|shift| OnDuty { user: shift.user.clone(), because: shift.because.clone(), until: shift.to })
                .collect();
            expected.sort_by(|a, b| a.user.cmp(&b.user));
            assert_eq!(on, expected, "seed {seed} at {at}");
            assert!(on.windows(2).all(|pair| pair[0].user != pair[1].user), "seed {seed} at {at}: {on:?}");
        }
    }
}

/// RFC 3339 5.6: an offset determines the instant, independent of the schedule's zone; Oslo is UTC+02:00 in June.
#[test]
fn offsets_are_honoured_in_starts_ends_shifts_and_overrides() {
    let yaml = |start: &str| {
        format!("schedule: {{time_zone: Europe/Oslo, layers: [{{rotation: {{every: day, start: '{start}', users: [ann, bo]}}}}]}}")
    };
    for start in ["2026-06-01T08:00+00:00", "2026-06-01T08:00Z", "2026-06-01T10:00", "2026-06-01 17:00 Asia/Tokyo"] {
        assert_eq!(
            told(&yaml(start), "2026-05-30", "2026-06-03"),
            ["06-01T08:00 06-02T08:00 ann (layer 1)", "06-02T08:00 06-03T00:00 bo (layer 1)"],
            "{start}"
        );
    }
    // Later hand-overs keep Oslo's wall-clock time of 10:00, which is 09:00 UTC from 25 October on.
    assert_eq!(told(&yaml("2026-10-24T08:00Z"), "2026-10-25T00:00:00Z", "2026-10-26")[1..], ["10-25T09:00 10-26T00:00 bo (layer 1)"]);
    let yaml = "
schedule:
  time_zone: Europe/Oslo
  layers: [{rotation: {every: week, start: 2026-06-01T00:00, end: '2026-06-08T00:00Z', users: [ann]}}]
  temporary:
  - {from: '2026-06-02T00:00Z', to: 2026-06-03T02:00, shifts: [{user: bo, from: '2026-06-02T08:00-05:00', to: '2026-06-02T14:00Z'}]}
overrides:
  wall: {schedule: s, from: 2026-06-04T08:00, to: 2026-06-04T10:00, add: cy, remove: ann}
  instant: {schedule: s, from: '2026-06-05T08:00Z', to: '2026-06-05T12:00+02:00', add: cy, remove: ann}
";
    assert_eq!(
        told(yaml, "2026-05-30", "2026-06-10"),
        [
            "05-31T22:00 06-02T00:00 ann (layer 1)",
            "06-02T13:00 06-02T14:00 bo (temporary schedule from 2026-06-02T00:00Z)",
            "06-03T00:00 06-04T06:00 ann (layer 1)",
            "06-04T06:00 06-04T08:00 cy (override wall: for ann)",
            "06-04T08:00 06-05T08:00 ann (layer 1)",
            "06-05T08:00 06-05T10:00 cy (override instant: for ann)",
            "06-05T10:00 06-07T22:00 ann (layer 1)",
            "06-07T22:00 06-08T00:00 ann (layer 1)",
        ]
    );
    for wrong in ["start: 2026-06-31T08:00Z", "start: tomorrow"] {
        let yaml = WEEKLY.replace("start: 2026-03-16T08:00", wrong);
        let error = serde_yaml_ng::from_str::<serde_yaml_ng::Value>(&yaml)
            .and_then(|value| serde_yaml_ng::from_value::<Schedule>(value["schedule"].clone()))
            .unwrap_err();
        assert!(error.to_string().contains("write `2026-12-24T08:00+01:00`"), "{error}");
    }
    let error = serde_yaml_ng::from_str::<Hours>("{from: '08:00+02:00', to: '17:00'}").unwrap_err();
    assert!(error.to_string().contains("in the schedule's zone"), "{error}");
}

/// Sydney's night (UTC+11 in January) is Oslo's afternoon; nights count in the user's zone.
#[test]
fn nights_and_weekends_are_counted_where_a_person_is() {
    let yaml = "
schedule:
  time_zone: Europe/Oslo
  layers:
  - {rotation: {every: day, start: 2026-01-05T00:00, users: [eva]}, hours: [{from: '22:00', to: '07:00'}]}
  - {rotation: {every: day, start: 2026-01-05T00:00, users: [ann]}, hours: [{from: '07:00', to: '22:00'}]}
";
    let (schedule, overrides) = read(yaml);
    let people = |zone: &str| {
        let eva = crate::directory::User { time_zone: Some(zone.to_owned()), ..Default::default() };
        std::collections::BTreeMap::from([("eva".to_owned(), eva)])
    };
    let nights = |zone: &str| {
        let found = health(&schedule, "s", &overrides, &people(zone), at("2026-01-06T00:00:00Z"), at("2026-01-08T00:00:00Z")).unwrap();
        found.shares.iter().map(|share| (share.user.clone(), share.nights.0 / model::TICKS_PER_HOUR)).collect::<Vec<_>>()
    };
    // 00:00–06:00 UTC and 21:00–24:00 UTC on two days: Oslo's nights, 11:00–17:00 and 08:00–11:00 in Sydney.
    assert_eq!(nights("Europe/Oslo"), [("ann".to_owned(), 0), ("eva".to_owned(), 18)]);
    assert_eq!(nights("Australia/Sydney"), [("ann".to_owned(), 0), ("eva".to_owned(), 0)]);
}
