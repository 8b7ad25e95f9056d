//! Changes by users. Expected results: the wire facts on SecurityInsights (etag in the body, PUT replaces, text of the 409) and its pairs
//! of classification and reason.

use incidents::{ChangeError, Draft, TaskDraft};
use model::{Classification, ClassificationReason, Comment, IncidentStatus, Label, Owner, Severity, Span};
use serde_json::json;
use uuid::Uuid;

use crate::support::{House, ann};

fn draft(status: IncidentStatus) -> Draft {
    let classification = (status == IncidentStatus::Closed).then_some(Classification::Undetermined);
    let (title, severity) = (Some("Guessing".to_owned()), Some(Severity::High));
    Draft { title, severity, status: Some(status), classification, ..Default::default() }
}

#[tokio::test]
async fn a_put_refuses_a_stale_etag_and_replaces() {
    let house = House::new().await;
    let id = Uuid::from_u128(7);
    let mut first = draft(IncidentStatus::New);
    first.description = Some("text".to_owned());
    first.owner = Some(Owner { email: Some("ann@example.com".to_owned()), ..Default::default() });
    first.labels =
        ["one", "ONE", " two "].map(|name| Label { label_name: name.to_owned(), label_type: "AutoAssigned".to_owned() }).to_vec();
    let (created, new) = house.incidents.put(id, &first, None, &ann()).await.unwrap();
    assert!(new);
    assert_eq!(created.number, 1);
    let labels: Vec<_> = created.labels.iter().map(|label| (label.label_name.as_str(), label.label_type.as_str())).collect();
    assert_eq!(labels, [("one", "User"), ("two", "User")]);

    for stale in [Some("\"0300bf09-0000-0000-0000-5c37296e0000\""), Some("nonsense")] {
        let error = house.incidents.put(id, &draft(IncidentStatus::Active), stale, &ann()).await.unwrap_err();
        assert_eq!(error.to_string(), format!("Newer version of resource '{id}' exists. Data was not saved"));
    }
    house.clock.advance(Span::MINUTE);
    let quoted = format!("\"{}\"", created.etag);
    let (replaced, new) = house.incidents.put(id, &draft(IncidentStatus::Active), Some(&quoted), &ann()).await.unwrap();
    assert!(!new);
    assert_eq!((replaced.number, replaced.description.as_str(), &replaced.owner), (1, "", &Owner::default()));
    assert!(replaced.labels.is_empty() && replaced.etag != created.etag && replaced.created == created.created);
    assert_eq!(replaced.first_modified, Some(replaced.modified));

    // The etag is optional: a maintainer in github.com/Azure/azure-rest-api-specs/issues/13203.
    let (unconditional, new) = house.incidents.put(id, &draft(IncidentStatus::New), None, &ann()).await.unwrap();
    assert!(!new && unconditional.etag != replaced.etag);
    assert!(!house.incidents.create(id, &draft(IncidentStatus::Active), &ann()).await.unwrap(), "it is there");

    let trail = house.store.audit().of("incident", &id.to_string()).await.unwrap();
    assert_eq!(trail.len(), 3);
    assert_eq!(trail[1].changes["status"], json!(["New", "Active"]));
    assert_eq!(trail[1].changes["title"], json!(null), "what did not change is not in the trail");
    assert_eq!(trail[1].actor, ann());
}

#[tokio::test]
async fn verdicts_belong_to_closed_incidents_and_go_with_their_reasons() {
    use Classification::*;
    use ClassificationReason::*;
    let house = House::new().await;
    let allowed = [
        (TruePositive, Some(SuspiciousActivity)),
        (BenignPositive, Some(SuspiciousButExpected)),
        (FalsePositive, Some(IncorrectAlertLogic)),
        (FalsePositive, Some(InaccurateData)),
        (Undetermined, None),
    ];
    let mut accepted = 0;
    for (index, classification) in Classification::ALL.iter().enumerate() {
        for (other, reason) in ClassificationReason::ALL.iter().map(Some).chain([None]).enumerate() {
            let mut draft = draft(IncidentStatus::Closed);
            draft.classification = Some(*classification);
            draft.classification_reason = reason.copied();
            let answer = house.incidents.put(Uuid::from_u128(100 + 10 * index as u128 + other as u128), &draft, None, &ann()).await;
            // github.com/demisto/content/pull/34306: a classification that has reasons requires one.
            let expected = allowed.contains(&(*classification, reason.copied()));
            assert_eq!(answer.is_ok(), expected, "{classification} {reason:?}");
            accepted += usize::from(answer.is_ok());
        }
    }
    // The numbers of rejected drafts were released.
    assert_eq!(house.all().await.iter().map(|incident| incident.number).collect::<Vec<_>>(), (1..=accepted as i64).collect::<Vec<_>>());

    let mut lonely = draft(IncidentStatus::Closed);
    lonely.classification = None;
    assert!(matches!(house.incidents.put(Uuid::from_u128(1), &lonely, None, &ann()).await, Err(ChangeError::NoClassification)));
    lonely.classification_reason = Some(InaccurateData);
    assert!(matches!(house.incidents.put(Uuid::from_u128(1), &lonely, None, &ann()).await, Err(ChangeError::ReasonAlone)));
    let (closed, _) = house.incidents.put(Uuid::from_u128(1), &draft(IncidentStatus::Closed), None, &ann()).await.unwrap();
    assert_eq!((closed.classification, closed.closed), (Some(Undetermined), Some(closed.modified)));
    let mut again = draft(IncidentStatus::Active);
    again.classification = Some(TruePositive);
    let (open, _) = house.incidents.put(closed.id, &again, Some(&closed.etag.to_string()), &ann()).await.unwrap();
    assert_eq!((open.status, open.classification, open.closed), (IncidentStatus::Active, None, None));
}

#[tokio::test]
async fn title_severity_and_status_are_required() {
    let house = House::new().await;
    let whole = draft(IncidentStatus::New);
    let lacking = [
        ("properties.title", Draft { title: Some("  ".to_owned()), ..whole.clone() }),
        ("properties.severity", Draft { severity: None, ..whole.clone() }),
        ("properties.status", Draft { status: None, ..whole.clone() }),
    ];
    for (name, draft) in lacking {
        let error = house.incidents.put(Uuid::from_u128(1), &draft, None, &ann()).await.unwrap_err();
        assert!(matches!(error, ChangeError::Missing { property } if property == name), "{error}");
    }
    assert!(house.all().await.is_empty());
}

#[tokio::test]
async fn parts_change_their_incident() {
    let house = House::new().await;
    let id = Uuid::from_u128(7);
    let (first, _) = house.incidents.put(id, &draft(IncidentStatus::New), None, &ann()).await.unwrap();
    let (comment, new) = house.incidents.put_comment(id, "C1", "seen", None, &ann()).await.unwrap();
    assert!(new);
    let second = house.store.incidents().get(id).await.unwrap().unwrap();
    assert!(second.etag != first.etag && second.comments_count == 1);
    let (edited, new) = house.incidents.put_comment(id, "c1", "seen twice", Some(&comment.etag.to_string()), &ann()).await.unwrap();
    assert_eq!((new, edited.id.as_str(), edited.created), (false, "C1", comment.created));
    let stale = house.incidents.put_comment(id, "C1", "late", Some(&comment.etag.to_string()), &ann()).await;
    assert!(matches!(stale, Err(ChangeError::Conflict { .. })));
    let task = TaskDraft { title: "Call".to_owned(), description: String::new(), completed: false };
    house.incidents.put_task(id, "t", &task, None, &ann()).await.unwrap();
    house.incidents.put_relation(id, "r", "/subscriptions/x/bookmarks/y", None, &ann()).await.unwrap();
    assert!(house.incidents.delete_part::<Comment>(id, "C1", &ann()).await.unwrap());
    assert!(!house.incidents.delete_part::<Comment>(id, "C1", &ann()).await.unwrap());
    let last = house.store.incidents().get(id).await.unwrap().unwrap();
    assert_eq!((last.comments_count, last.tasks_count), (0, 1));
    let none = house.incidents.put_comment(Uuid::from_u128(8), "c", "seen", None, &ann()).await;
    assert!(matches!(none, Err(ChangeError::NoIncident(_))));
    let long = "x".repeat(incidents::MAX_MESSAGE + 1);
    assert!(matches!(house.incidents.put_comment(id, "c", &long, None, &ann()).await, Err(ChangeError::TooLong { .. })));
    assert!(house.incidents.delete(id, &ann()).await.unwrap());
    assert!(!house.incidents.delete(id, &ann()).await.unwrap());
    let parts: Vec<model::IncidentTask> = house.store.incident_parts().list(id).await.unwrap();
    assert!(parts.is_empty());
    let (next, _) = house.incidents.put(id, &draft(IncidentStatus::New), None, &ann()).await.unwrap();
    assert_eq!(next.number, 2, "the number of a deleted incident stays used");
}

/// Two users with the same etag: one succeeds, the other gets a conflict.
#[tokio::test]
async fn of_two_who_write_at_once_one_is_told() {
    let house = House::new().await;
    let id = Uuid::from_u128(7);
    let (first, _) = house.incidents.put(id, &draft(IncidentStatus::New), None, &ann()).await.unwrap();
    let etag = first.etag.to_string();
    let (a, b) = (ann(), ann());
    let drafts = [draft(IncidentStatus::Active), draft(IncidentStatus::Closed)];
    let answers = tokio::join!(house.incidents.put(id, &drafts[0], Some(&etag), &a), house.incidents.put(id, &drafts[1], Some(&etag), &b),);
    assert_eq!([answers.0.is_ok(), answers.1.is_ok()].iter().filter(|won| **won).count(), 1);
}
