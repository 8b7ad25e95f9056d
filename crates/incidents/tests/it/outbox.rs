//! Rows reach their tables exactly once, regardless of which step fails.

use std::sync::atomic::Ordering;

use incidents::SendError;
use model::{AppendError, Span};

use crate::support::{House, alert, ann, facts, start};

const NAMES: [&str; 3] = ["SecurityAlert", "SecurityIncident", "SecurityIncident"];

#[tokio::test]
async fn rows_carry_what_the_tables_of_the_cloud_carry() {
    let house = House::new().await;
    house.add(&[alert(1, "mallory@example.com", "203.0.113.9", Span::ZERO)]).await;
    house.correlation.activate().await.unwrap();
    assert_eq!(house.sender.activate().await.unwrap(), 2);
    let one = |table: &str, column: &str| house.workspace.column(table, column).join("|");
    assert_eq!(one("SecurityAlert", "AlertSeverity"), "Medium");
    assert_eq!(one("SecurityAlert", "Tactics"), "CredentialAccess");
    assert_eq!(one("SecurityAlert", "AlertType"), format!("{}_guessing", facts().workspace_id));
    assert_eq!(
        one("SecurityAlert", "Entities"),
        r#"[{"$id":"1","FullName":"mallory@example.com","Type":"account"},{"$id":"2","Address":"203.0.113.9","Type":"ip"}]"#
    );
    let incident = house.all().await.remove(0);
    assert_eq!(one("SecurityIncident", "IncidentName"), incident.id.to_string());
    assert_eq!(one("SecurityIncident", "IncidentNumber"), "1");
    assert_eq!(one("SecurityIncident", "AlertIds"), format!(r#"["{}"]"#, incident.alert_ids[0]));
    assert_eq!(one("SecurityIncident", "Owner"), r#"{"assignedTo":null,"email":null,"objectId":null,"userPrincipalName":null}"#);
    assert_eq!(one("SecurityIncident", "ClosedTime"), "null");
    assert_eq!(one("SecurityIncident", "CreatedTime"), start().ticks().to_string());
    assert_eq!(one("SecurityIncident", "ModifiedBy"), "Incident created from alert");
}

#[tokio::test]
async fn columns_are_those_of_the_reference() {
    // Reference: names and types of the two tables in ../shared/schemas/tables.json.
    let folder = std::env::var("BARTIZAN_SHARED").unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared").to_owned());
    let Ok(text) = std::fs::read_to_string(format!("{folder}/schemas/tables.json")) else {
        println!("skipped: no reference of tables");
        return;
    };
    let tables: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (table, columns) in
        [("SecurityAlert", incidents::security_alert_columns()), ("SecurityIncident", incidents::security_incident_columns())]
    {
        for column in columns {
            let pair = serde_json::json!([column.name, column.ty.name()]);
            assert!(tables[table].as_array().unwrap().contains(&pair), "{table}: {pair}");
        }
    }
}

#[tokio::test]
async fn every_change_of_an_incident_is_a_row_with_a_later_time() {
    let house = House::new().await;
    house.add(&[alert(1, "ann", "10.0.0.1", Span::ZERO)]).await;
    house.correlation.activate().await.unwrap();
    let incident = house.all().await.remove(0);
    // The clock does not advance.
    for n in 0..3 {
        house.incidents.put_comment(incident.id, &format!("c{n}"), "seen", None, &ann()).await.unwrap();
    }
    house.sender.activate().await.unwrap();
    let times: Vec<i64> = house.workspace.column("SecurityIncident", "TimeGenerated").iter().map(|time| time.parse().unwrap()).collect();
    assert_eq!(times.len(), 4);
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
    assert_eq!(house.workspace.column("SecurityIncident", "ModifiedBy").last().unwrap(), "Ann");
    assert!(house.workspace.column("SecurityIncident", "Comments")[3].matches(r#""message":"seen""#).count() == 3);
}

/// Kills the service between any two steps: no row is skipped or repeated.
#[tokio::test]
async fn a_crash_between_any_two_steps_neither_skips_nor_repeats() {
    for (fail_before, fail_after, restart) in [(1, 0, false), (1, 0, true), (0, 1, false), (0, 1, true), (2, 1, true), (0, 0, true)] {
        let mut house = House::new().await;
        house.workspace.fail_before.store(fail_before, Ordering::SeqCst);
        house.workspace.fail_after.store(fail_after, Ordering::SeqCst);
        house.add(&[alert(1, "ann", "10.0.0.1", Span::ZERO)]).await;
        house.correlation.activate().await.unwrap();
        let mut failures = 0;
        for round in 0..6 {
            if round == 2 {
                // New rows follow those that may or may not have been sent.
                let id = house.all().await[0].id;
                house.incidents.put_comment(id, "c", "seen", None, &ann()).await.unwrap();
            }
            if let Err(error) = house.sender.activate().await {
                failures += 1;
                assert!(matches!(error, SendError::Append(AppendError::Busy { .. } | AppendError::Closed)), "{error}");
            }
            if restart {
                house = house.restart().await;
            }
        }
        assert_eq!(failures, fail_before + fail_after);
        assert!(house.store.outbox().is_empty().await.unwrap());
        let stored: Vec<String> =
            ["SecurityAlert", "SecurityIncident"].iter().flat_map(|table| house.workspace.column(table, "Type")).collect();
        assert_eq!(stored, NAMES, "before {fail_before}, after {fail_after}, restart {restart}");
    }
}

#[tokio::test]
async fn a_crash_before_the_alert_is_placed_leaves_it_waiting() {
    let house = House::new().await;
    house.add(&[alert(1, "ann", "10.0.0.1", Span::ZERO)]).await;
    // A transaction that handles the alert and is dropped.
    let mut change = house.store.begin().await.unwrap();
    assert!(change.handle_alert(uuid::Uuid::from_u128(1)).await.unwrap());
    drop(change);
    let house = house.restart().await;
    assert_eq!(house.correlation.activate().await.unwrap().opened, 1);
    assert_eq!(house.correlation.activate().await.unwrap().opened, 0);
}

#[tokio::test]
async fn another_database_over_the_same_tables_sends_its_own_rows() {
    let first = House::new().await;
    first.add(&[alert(1, "ann", "10.0.0.1", Span::ZERO)]).await;
    first.correlation.activate().await.unwrap();
    first.sender.activate().await.unwrap();
    let mut second = House::new().await;
    second.sender.writer = first.workspace.clone();
    second.sender.catalog = first.workspace.clone();
    second.add(&[alert(2, "bob", "10.0.0.2", Span::ZERO)]).await;
    second.correlation.activate().await.unwrap();
    assert_eq!(second.sender.activate().await.unwrap(), 2);
    assert_eq!(first.workspace.column("SecurityAlert", "SystemAlertId").len(), 2);
}

/// A backup, or a copy that takes the place of a lost state database, is older than the tables: its next rows are sent all the same.
#[tokio::test]
async fn a_state_database_older_than_the_tables_sends_its_new_rows() {
    let house = House::new().await;
    house.add(&[alert(1, "ann", "10.0.0.1", Span::ZERO)]).await;
    house.correlation.activate().await.unwrap();
    house.sender.activate().await.unwrap();
    let copy = house.folder().join("copy.db");
    store::copy_beside(house.folder(), &copy).await.unwrap();
    house.add(&[alert(2, "bob", "10.0.0.2", Span::ZERO)]).await;
    house.correlation.activate().await.unwrap();
    house.sender.activate().await.unwrap();

    let house = house.restored(&copy).await;
    house.sender.align().await.unwrap();
    house.add(&[alert(3, "cy", "10.0.0.3", Span::ZERO)]).await;
    house.correlation.activate().await.unwrap();
    assert_eq!(house.sender.activate().await.unwrap(), 2, "the alert and its incident");
    let alerts = house.workspace.column("SecurityAlert", "SystemAlertId");
    assert_eq!((alerts.len(), alerts.last().unwrap().as_str()), (3, uuid::Uuid::from_u128(3).to_string().as_str()));
    // Once aligned, nothing is written.
    let before = house.store.outbox().newest().await.unwrap();
    house.sender.align().await.unwrap();
    assert_eq!(house.store.outbox().newest().await.unwrap(), before);
}
