//! Property tests: a thousand random policies (TRIALS=10000 for more), answers, external changes, process stops and clock jumps.
//!
//! Checked against the invariants in `oncall::invariants` and those below, independent of earlier output.

use std::collections::HashMap;

use model::{IncidentStatus, Severity, Span, Timestamp};
use oncall::answer::Action;
use oncall::directory::{AlertPolicy, Contact, Directory, EscalationPolicy, NotificationRule, Step, Target, User};
use oncall::escalation::{EscalationStatus, Holder, IncidentView, PageStatus, ResponseState};
use oncall::message::MessageKind;
use oncall::world::World;
use testkit::Random;
use uuid::Uuid;

const PEOPLE: [&str; 3] = ["ann", "bo", "cy"];

fn minutes(n: u64) -> Span {
    Span(n as i64 * Span::MINUTE.ticks())
}

fn directory(random: &mut Random) -> Directory {
    let mut directory = Directory::default();
    for name in PEOPLE {
        let mut user = User::default();
        for (contact, channel) in [("mobile", "sms"), ("phone", "voice"), ("mail", "email"), ("duty", "pagerduty")] {
            if random.below(2) == 0 {
                user.contacts.insert(contact.to_owned(), Contact { channel: channel.to_owned(), address: format!("{name}-{channel}") });
            }
        }
        for contact in user.contacts.keys() {
            if random.below(3) == 0 {
                let min_severity = (random.below(3) == 0).then_some(Severity::High);
                user.rules.push(NotificationRule { contact: contact.clone(), after: minutes(random.below(12)), min_severity });
            }
        }
        directory.users.insert(name.to_owned(), user);
    }
    let targets = |random: &mut Random, least: u64| -> Vec<Target> {
        let person = |random: &mut Random| PEOPLE[random.below(3) as usize].to_owned();
        let one = |random: &mut Random| match random.below(4) {
            0 => Target::Schedule("rota".to_owned()),
            1 => Target::Contact { user: person(random), contact: "mobile".to_owned() },
            _ => Target::User(person(random)),
        };
        (0..least + random.below(3)).map(|_| one(random)).collect()
    };
    let steps = (0..random.below(5)).map(|_| Step { after: minutes(random.below(20)), targets: targets(random, 1) }).collect();
    let policy = EscalationPolicy {
        steps,
        repeat: random.below(4) as u32,
        fallback: targets(random, 0),
        acknowledgement_expires: (random.below(3) == 0).then(|| minutes(1 + random.below(120))),
        ..EscalationPolicy::default()
    };
    directory.escalation_policies.insert("p".to_owned(), policy);
    let grouped = random.below(3) == 0;
    let policy = AlertPolicy {
        escalation_policy: Some("p".to_owned()),
        group_by: if grouped { vec!["title".to_owned()] } else { Vec::new() },
        group_for: grouped.then(|| minutes(30)),
        ..AlertPolicy::default()
    };
    directory.alert_policies.insert("a".to_owned(), policy);
    directory
}

fn view(number: i64, severity: Severity, at: Timestamp) -> IncidentView {
    // The remaining fields of the incident do not matter here.
    let id = Uuid::from_u128(1000 + number as u128);
    let task = serde_json::json!({ "name": "t", "via": "task" });
    let incident = serde_json::json!({
        "id": id, "number": number, "etag": id, "title": "same", "severity": severity, "status": "New", "created": at, "modified": at,
        "modified_by": task, "provider_name": "x", "provider_incident_id": "1",
    });
    IncidentView { incident: serde_json::from_value(incident).unwrap(), alerts: Vec::new() }
}

fn alert(n: u128, at: Timestamp) -> model::Alert {
    serde_json::from_value(serde_json::json!({
        "id": Uuid::from_u128(n), "rule_id": "r", "alert_name": "r", "display_name": "r", "severity": "Medium", "start": at, "end": at,
        "generated": at, "query": "", "query_start": at, "query_end": at, "result_rows": 1,
    }))
    .unwrap()
}

/// Invariants across escalations.
fn judge(world: &World) -> Result<(), String> {
    if let Some(what) = world.violation() {
        return Err(what);
    }
    let mut keys = HashMap::new();
    for sent in &world.sent {
        if let Some(before) = keys.insert(sent.page.id, sent.at) {
            return Err(format!("page {} was sent at {before} and at {}", sent.page.id, sent.at));
        }
    }
    for case in world.cases.values() {
        let state = |id: &Uuid| case.responses.iter().find(|response| response.alert == *id).map(|r| r.state).unwrap_or_default();
        let least = case.view.subjects().iter().map(state).min().unwrap_or_default();
        if matches!(case.escalation.as_ref().map(|e| &e.status), Some(EscalationStatus::Acknowledged { .. }))
            && least == ResponseState::Triggered
        {
            return Err(format!("incident {} counts as acknowledged though an alert has no answer", case.view.incident.number));
        }
        let told_within = |into: &Uuid| {
            world
                .cases
                .values()
                .flat_map(|case| &case.pages)
                .any(|page| page.id == *into && !matches!(page.status, PageStatus::Dropped { .. }))
        };
        let lost = case.pages.iter().find(|page| matches!(&page.status, PageStatus::Bundled { into } if !told_within(into)));
        if let Some(page) = lost {
            return Err(format!("page {} is told within one that is never sent", page.id));
        }
    }
    Ok(())
}

fn trial(seed: u64) -> Result<usize, String> {
    let mut random = Random::new(seed);
    // The on-call user changes by the hour, and every fourth hour has none.
    let lookup = |_: &Directory, _: &str, at: Timestamp| {
        let name = PEOPLE.get((at.ticks() / Span::HOUR.ticks()) as usize % 4);
        Ok(name.map(|name| Holder { user: (*name).to_owned(), because: "turn".to_owned() }).into_iter().collect())
    };
    let start = Timestamp::parse_iso("2026-03-28T22:00:00Z").unwrap();
    let mut world = World::new(directory(&mut random), start, Box::new(lookup));
    let mut opened = 0;
    for turn in 0..20u128 {
        world.pass_to(world.now + Span(random.below(25) as i64 * Span::MINUTE.ticks()));
        let incident = Uuid::from_u128(1001 + u128::from(random.below(opened.max(1))));
        let user = PEOPLE[random.below(3) as usize];
        match random.below(14) {
            0..=2 if opened < 4 => {
                opened += 1;
                world.open(view(opened as i64, Severity::ALL[random.below(4) as usize], world.now));
            }
            3 => world.join(incident, alert(turn, world.now), true),
            4 | 5 => drop(world.answer(incident, user, &Action::Acknowledge)),
            6 => drop(world.answer(incident, user, &Action::Take)),
            7 => drop(world.answer(incident, user, &Action::Escalate { step: (random.below(2) == 0).then(|| random.below(4) as u32) })),
            8 => drop(world.answer(incident, user, &Action::Close { classification: None, comment: None })),
            9 => world.change(
                incident,
                [IncidentStatus::New, IncidentStatus::Active, IncidentStatus::Closed][random.below(3) as usize],
                user,
            ),
            10 => world.running = false,
            11 => world.now = world.now - Span(random.below(180) as i64 * Span::MINUTE.ticks()),
            12 => world.now = world.now + Span(random.below(180) as i64 * Span::MINUTE.ticks()),
            _ => {}
        }
        if world.running || random.below(2) == 0 {
            world.running = true;
            world.settle();
            let sent = world.sent.len();
            world.settle();
            if world.sent.len() != sent {
                return Err("asked twice, it sends twice".to_owned());
            }
            judge(&world).map_err(|why| format!("turn {turn}: {why}"))?;
            // A clock that was set back delays a page by at most its own wait (at most 20 minutes between steps, 12 within rules).
            let limit = world.now + minutes(20);
            for case in world.cases.values() {
                let Some(escalation) = &case.escalation else { continue };
                if escalation.status == EscalationStatus::Running && escalation.next.is_none_or(|next| next > limit) {
                    return Err(format!("turn {turn}: the next step is at {:?}, now is {}", escalation.next, world.now));
                }
            }
        }
    }
    // After a day of inactivity every unanswered escalation has ended.
    world.running = true;
    world.settle();
    let end = world.now + Span::DAY;
    world.pass_to(end);
    world.settle();
    judge(&world)?;
    let escalations = world.cases.values().filter_map(|case| case.escalation.as_ref());
    let running = escalations.filter(|escalation| escalation.status == EscalationStatus::Running).next();
    let expiring = world.directory.escalation_policies["p"].acknowledgement_expires.is_some();
    if let Some(running) = running.filter(|_| !expiring) {
        return Err(format!("it runs after a day of silence, at {}: {running:?}", world.now));
    }
    Ok(world.sent.iter().filter(|sent| sent.page.kind == MessageKind::Page).count())
}

#[test]
fn random_histories_never_lose_or_duplicate_pages() {
    let seeds: Vec<u64> = match std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => vec![seed],
        None => (0..std::env::var("TRIALS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000)).collect(),
    };
    let mut pages = 0;
    for seed in &seeds {
        match trial(*seed) {
            Ok(sent) => pages += sent,
            Err(why) => panic!("SEED={seed}: {why}"),
        }
    }
    println!("{} trials, {pages} pages", seeds.len());
    assert!(seeds.len() == 1 || pages > seeds.len(), "the trials page too few to prove anything: {pages}");
}
