//! Grouping of alerts. Expected results: the descriptions of `matchingMethod`, `lookbackDuration`, `reopenClosedIncident` and the limit of
//! 150 alerts in learn.microsoft.com/azure/sentinel/create-incidents-from-alerts; where those are silent, the module documentation.

use incidents::{Candidate, MAX_ALERTS, Placement, group_key, open, place};
use model::{AlertDetail, EntityKind, GroupingConfiguration, IncidentStatus, MatchingMethod, Severity, Span};
use uuid::Uuid;

use crate::support::{alert, grouped, grouping, start};

fn together(grouping: &GroupingConfiguration, change: impl Fn(&mut model::Alert)) -> bool {
    let first = grouped(alert(1, "ann", "10.0.0.1", Span::ZERO), grouping);
    let mut second = grouped(alert(2, "ann", "10.0.0.1", Span::MINUTE), grouping);
    change(&mut second);
    let key = group_key(&first);
    key.is_some() && key == group_key(&second)
}

fn other_address(alert: &mut model::Alert) {
    *alert = grouped(crate::support::alert(2, "ann", "10.0.0.2", Span::MINUTE), alert.incident.grouping_configuration.as_ref().unwrap());
}

#[test]
fn what_alerts_must_share() {
    let any = grouping(MatchingMethod::AnyAlert);
    let all = grouping(MatchingMethod::AllEntities);
    let by_account = GroupingConfiguration { group_by_entities: vec![EntityKind::Account], ..grouping(MatchingMethod::Selected) };
    let by_address = GroupingConfiguration { group_by_entities: vec![EntityKind::Ip], ..grouping(MatchingMethod::Selected) };
    let by_severity = GroupingConfiguration { group_by_alert_details: vec![AlertDetail::Severity], ..grouping(MatchingMethod::Selected) };
    let by_detail = GroupingConfiguration { group_by_custom_details: vec!["Realm".to_owned()], ..grouping(MatchingMethod::Selected) };

    let same = |_: &mut model::Alert| {};
    for grouping in [&any, &all, &by_account, &by_address, &by_severity, &by_detail] {
        assert!(together(grouping, same), "{grouping:?}");
        assert!(!together(grouping, |alert| alert.rule_id = "another".to_owned()), "rules never mix: {grouping:?}");
    }
    assert!(together(&any, other_address));
    assert!(!together(&all, other_address));
    assert!(together(&by_account, other_address));
    assert!(!together(&by_address, other_address));
    assert!(!together(&by_severity, |alert| alert.severity = Severity::High));
    assert!(together(&by_detail, |alert| alert.severity = Severity::High));
    assert!(!together(&by_detail, |alert| _ = alert.custom_details.insert("Realm".to_owned(), vec!["office".to_owned()])));
    // A missing value does not match.
    assert!(!together(&by_detail, |alert| alert.custom_details.clear()));
    let mut bare = grouped(alert(1, "ann", "10.0.0.1", Span::ZERO), &all);
    bare.entities.clear();
    assert_eq!(group_key(&bare), None);
    // Selected matching with an empty selection would behave like AnyAlert.
    assert_eq!(group_key(&grouped(alert(1, "ann", "10.0.0.1", Span::ZERO), &grouping(MatchingMethod::Selected))), None);
}

#[test]
fn where_an_alert_goes() {
    let grouping = grouping(MatchingMethod::AnyAlert);
    let first = grouped(alert(1, "ann", "10.0.0.1", Span::ZERO), &grouping);
    let opened = place(&first, &[]);
    let incident = open(&first, &opened, 1, start(), Uuid::nil());
    let mut closed = incident.clone();
    closed.status = IncidentStatus::Closed;
    let mut full = incident.clone();
    full.alert_ids = (0..MAX_ALERTS as u128).map(Uuid::from_u128).collect();
    let mut almost = full.clone();
    almost.alert_ids.pop();
    let reopening = GroupingConfiguration { reopen_closed_incident: true, ..grouping.clone() };
    let key = group_key(&first);
    assert!(key.is_some());
    let new = Placement::Open { group: key };
    let joined = Placement::Join { incident: incident.id, reopen: false };
    let hours = |n: i64| Span(n * Span::HOUR.ticks());

    // (name, delay, grouping, incident, expected placement)
    let table = [
        ("within the lookback", hours(5), &grouping, &incident, joined.clone()),
        ("after the lookback", Span(hours(5).ticks() + 1), &grouping, &incident, new.clone()),
        ("before the first alert, within the lookback", hours(-5), &grouping, &incident, joined.clone()),
        ("closed", hours(1), &grouping, &closed, new.clone()),
        ("closed, to be opened again", hours(1), &reopening, &closed, Placement::Join { incident: incident.id, reopen: true }),
        ("full", hours(1), &grouping, &full, new.clone()),
        ("one place left", hours(1), &grouping, &almost, joined.clone()),
    ];
    for (what, after, grouping, incident, expected) in table {
        let next = grouped(alert(9, "bob", "10.9.9.9", after), grouping);
        assert_eq!(place(&next, &[Candidate { incident, first_alert: start() }]), expected, "{what}");
    }
    let newest_first = [Candidate { incident: &full, first_alert: start() }, Candidate { incident: &incident, first_alert: start() }];
    assert_eq!(place(&grouped(alert(9, "bob", "10.9.9.9", hours(1)), &grouping), &newest_first), joined);

    let mut silent = grouped(alert(9, "bob", "10.9.9.9", hours(1)), &grouping);
    silent.incident.create_incident = false;
    assert_eq!(place(&silent, &[Candidate { incident: &incident, first_alert: start() }]), Placement::Nowhere);
    let mut off = grouping.clone();
    off.enabled = false;
    assert_eq!(place(&grouped(alert(9, "bob", "10.9.9.9", hours(1)), &off), &[]), Placement::Open { group: None });
}
