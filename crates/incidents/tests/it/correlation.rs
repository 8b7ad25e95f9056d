//! The correlation task with a real database.

use incidents::{CorrelationReport, entities_of};
use model::{IncidentStatus, MatchingMethod, Severity, Span};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{House, alert, ann, grouped, grouping};

#[tokio::test]
async fn an_alert_opens_one_incident_however_often_it_is_looked_at() {
    let house = House::new().await;
    let one = alert(1, "mallory@example.com", "203.0.113.9", Span::ZERO);
    house.add(&[one.clone(), one.clone()]).await;
    let report = house.correlation.activate().await.unwrap();
    assert_eq!(report, CorrelationReport { alerts: 1, opened: 1, ..Default::default() });
    house.add(&[one.clone()]).await;
    assert_eq!(house.correlation.activate().await.unwrap(), CorrelationReport::default());

    let incidents = house.all().await;
    let [incident] = incidents.as_slice() else { panic!("{incidents:?}") };
    assert_eq!((incident.number, incident.title.as_str(), incident.severity), (1, "Guessing", Severity::Medium));
    assert_eq!((incident.status, incident.alert_ids.as_slice()), (IncidentStatus::New, [one.id].as_slice()));
    assert_eq!((incident.first_activity, incident.last_activity), (Some(one.start), Some(one.end)));
    let alerts = house.store.alerts().of_incident(incident.id).await.unwrap();
    assert_eq!(alerts, [one]);
    assert_eq!(entities_of(&alerts).len(), 2);
    let trail = house.store.audit().of("incident", &incident.id.to_string()).await.unwrap();
    assert_eq!(trail.iter().map(|entry| entry.action.as_str()).collect::<Vec<_>>(), ["created"]);
}

#[tokio::test]
async fn grouped_alerts_share_an_incident_until_it_is_full() {
    let house = House::new().await;
    let any = grouping(MatchingMethod::AnyAlert);
    let alerts: Vec<_> = (0..160).map(|n| grouped(alert(n, "ann", &format!("10.0.0.{n}"), Span::seconds(n as i64)), &any)).collect();
    house.add(&alerts).await;
    let report = house.correlation.activate().await.unwrap();
    assert_eq!((report.alerts, report.opened, report.joined), (160, 2, 158));
    let incidents = house.all().await;
    assert_eq!(incidents.iter().map(|incident| incident.alert_ids.len()).collect::<Vec<_>>(), [150, 10]);
    assert_eq!(incidents[0].last_activity, Some(alerts[149].end));
}

#[tokio::test]
async fn severity_rises_with_the_alerts_unless_a_person_chose_it() {
    let house = House::new().await;
    let any = grouping(MatchingMethod::AnyAlert);
    house.add(&[grouped(alert(1, "ann", "10.0.0.1", Span::ZERO), &any)]).await;
    house.correlation.activate().await.unwrap();
    let mut worse = grouped(alert(2, "ann", "10.0.0.1", Span::MINUTE), &any);
    worse.severity = Severity::High;
    house.add(&[worse.clone()]).await;
    house.correlation.activate().await.unwrap();
    let incident = house.all().await.remove(0);
    assert_eq!(incident.severity, Severity::High);

    let draft = incidents::Draft {
        title: Some("Guessing".to_owned()),
        severity: Some(Severity::Low),
        status: Some(IncidentStatus::Active),
        ..Default::default()
    };
    house.incidents.put(incident.id, &draft, Some(&incident.etag.to_string()), &ann()).await.unwrap();
    house.add(&[model::Alert { id: Uuid::from_u128(3), ..worse }]).await;
    house.correlation.activate().await.unwrap();
    let incident = house.all().await.remove(0);
    assert_eq!((incident.severity, incident.alert_ids.len(), incident.status), (Severity::Low, 3, IncidentStatus::Active));
}

#[tokio::test]
async fn a_closed_incident_is_opened_again_where_the_rule_says_so() {
    for (reopen, expected) in [(false, vec![IncidentStatus::Closed, IncidentStatus::New]), (true, vec![IncidentStatus::Active])] {
        let house = House::new().await;
        let mut any = grouping(MatchingMethod::AnyAlert);
        any.reopen_closed_incident = reopen;
        house.add(&[grouped(alert(1, "ann", "10.0.0.1", Span::ZERO), &any)]).await;
        house.correlation.activate().await.unwrap();
        let incident = house.all().await.remove(0);
        let draft = incidents::Draft {
            title: Some("Guessing".to_owned()),
            severity: Some(Severity::Medium),
            status: Some(IncidentStatus::Closed),
            classification: Some(model::Classification::FalsePositive),
            classification_reason: Some(model::ClassificationReason::InaccurateData),
            ..Default::default()
        };
        house.incidents.put(incident.id, &draft, Some(&incident.etag.to_string()), &ann()).await.unwrap();
        house.add(&[grouped(alert(2, "ann", "10.0.0.1", Span::HOUR), &any)]).await;
        house.correlation.activate().await.unwrap();
        let incidents = house.all().await;
        assert_eq!(incidents.iter().map(|incident| incident.status).collect::<Vec<_>>(), expected);
        if reopen {
            assert_eq!((incidents[0].classification, incidents[0].closed), (None, None));
        }
    }
}

#[tokio::test]
async fn a_rule_that_wants_no_incidents_still_leaves_its_alerts() {
    let house = House::new().await;
    let mut silent = alert(1, "ann", "10.0.0.1", Span::ZERO);
    silent.incident.create_incident = false;
    house.add(&[silent]).await;
    house.correlation.activate().await.unwrap();
    house.sender.activate().await.unwrap();
    assert!(house.all().await.is_empty());
    assert_eq!(house.workspace.column("SecurityAlert", "DisplayName"), ["Guessing"]);
}

#[tokio::test]
async fn the_tasks_wake_by_their_bells_alone() {
    // The clock's `sleep` never completes here, so only notifications can wake the tasks.
    let house = House::new().await;
    let cancel = CancellationToken::new();
    let mut opened = house.store.listen(store::Topic::Incidents);
    let House { store, correlation, sender, workspace, .. } = house;
    let (a, b) = (cancel.clone(), cancel.clone());
    let tasks = [tokio::spawn(async move { correlation.run(a).await }), tokio::spawn(async move { sender.run(b).await })];
    let mut change = store.begin().await.unwrap();
    change.add_alert(&alert(1, "ann", "10.0.0.1", Span::ZERO)).await.unwrap();
    change.commit().await.unwrap();
    opened.changed().await.unwrap();
    while workspace.column("SecurityIncident", "Title").is_empty() {
        tokio::task::yield_now().await;
    }
    cancel.cancel();
    for task in tasks {
        task.await.unwrap();
    }
}
