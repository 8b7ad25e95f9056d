//! The trail, its chain and its head.

use serde_json::json;

use super::*;
use crate::Outbox;

fn entry(aggregate: &str, id: &str, name: &str, changes: Value) -> AuditEntry {
    let actor = Actor { address: Some("192.0.2.7".to_owned()), ..Actor::task(name) };
    AuditEntry { at: Timestamp::UNIX_EPOCH, aggregate: aggregate.into(), id: id.into(), action: "changed".into(), actor, changes }
}

async fn open(folder: &std::path::Path) -> Store {
    Store::open(&folder.join("state.db")).await.unwrap()
}

async fn record(store: &Store, entries: impl IntoIterator<Item = AuditEntry>) {
    let mut change = store.begin().await.unwrap();
    for entry in entries {
        change.record(&entry).await.unwrap();
    }
    change.commit().await.unwrap();
}

fn five() -> impl Iterator<Item = AuditEntry> {
    (0..5).map(|n| entry("incident", "1", "test", json!({ "n": [n, n + 1] })))
}

#[tokio::test]
async fn an_entry_that_was_altered_or_removed_is_found_and_named() {
    let broken = |entry, fault| Chain::Broken { entry, fault };
    for (damage, expected) in [
        ("UPDATE audit SET changes = '{}' WHERE seq = 3", broken(3, Fault::Changed)),
        ("UPDATE audit SET at = at + 1 WHERE seq = 1", broken(1, Fault::Changed)),
        ("UPDATE audit SET seal = replace(seal, 'a', 'b') WHERE seq = 2", broken(2, Fault::Changed)),
        ("UPDATE audit SET actor = CAST(x'7bff' AS TEXT) WHERE seq = 4", broken(4, Fault::Unreadable)),
        ("DELETE FROM audit WHERE seq = 2", broken(2, Fault::Missing)),
        ("UPDATE audit SET seq = 9 WHERE seq = 5", broken(5, Fault::Missing)),
        ("DELETE FROM audit WHERE seq > 3", broken(3, Fault::EntriesAfterMissing)),
        ("DELETE FROM audit", broken(0, Fault::EntriesAfterMissing)),
        ("INSERT INTO audit (at, aggregate, id, action, actor, changes) VALUES (1, 'a', 'b', 'c', '{}', '{}')", broken(6, Fault::Changed)),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await;
        for entry in five() {
            record(&store, [entry]).await;
        }
        assert!(matches!(store.audit().verify().await.unwrap(), Chain::Whole { entries: 5, .. }));
        let mut change = store.begin().await.unwrap();
        sqlx::query(damage).execute(change.connection()).await.unwrap();
        change.commit().await.unwrap();
        assert_eq!(store.audit().verify().await.unwrap(), expected, "{damage}");
        store.close().await;
        assert_eq!(verify_in(folder.path(), 0).await.unwrap(), expected, "{damage}");
    }
}

/// Whoever computes the chain anew does not know what the file beside it has.
#[tokio::test]
async fn a_chain_that_was_computed_anew_differs_from_the_head() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    record(&store, five()).await;
    let mut change = store.begin().await.unwrap();
    sqlx::query("DELETE FROM audit WHERE seq = 5").execute(change.connection()).await.unwrap();
    change.record(&entry("incident", "1", "somebody else", json!({}))).await.unwrap();
    change.forget_seal();
    change.commit().await.unwrap();
    assert_eq!(store.audit().verify().await.unwrap(), Chain::Broken { entry: 5, fault: Fault::Rewritten });
}

#[tokio::test]
async fn any_byte_of_a_row_counts() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    record(&store, five()).await;
    store.close().await;
    let path = folder.path().join("state.db");
    let whole = std::fs::read(&path).unwrap();
    // The text of the third entry, from its aggregate to its seal.
    let text = br#"{"n":[2,3]}"#;
    let at = whole.windows(text.len()).position(|window| window == text).unwrap();
    assert!(matches!(verify_in(folder.path(), 0).await.unwrap(), Chain::Whole { entries: 5, .. }));
    for offset in 0..text.len() + 64 {
        for bit in [1, 0x80] {
            let mut bytes = whole.clone();
            bytes[at + offset] ^= bit;
            std::fs::write(&path, &bytes).unwrap();
            let found = verify_in(folder.path(), 0).await.unwrap();
            assert!(matches!(found, Chain::Broken { entry: 3, .. }), "byte {offset}, bit {bit}: {found:?}");
        }
    }
}

#[tokio::test]
async fn a_loss_is_recorded_at_the_next_start_and_the_trail_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    record(&store, five()).await;
    let mut change = store.begin().await.unwrap();
    sqlx::query("DELETE FROM audit WHERE seq > 3").execute(change.connection()).await.unwrap();
    change.commit().await.unwrap();
    store.close().await;

    let health = model::HealthRegister::default();
    let store = Store::open_with(&folder.path().join("state.db"), health.clone()).await.unwrap();
    assert!(health.conditions().iter().any(|each| each.name == "audit-entries-missing" && each.summary.contains("up to number 5")));
    record(&store, five()).await;
    let found = store.audit().verify().await.unwrap();
    assert!(matches!(&found, Chain::Whole { entries: 9, losses, .. } if losses == &[4]), "{found:?}");
    let loss =
        &store.audit().list(&AuditFilter { aggregate: Some("audit trail".into()), ..AuditFilter::default() }, None, 10).await.unwrap()[0];
    assert_eq!((loss.number, &loss.entry.changes["entry"]), (4, &json!([5, 3])));
    store.close().await;
    assert!(matches!(verify_in(folder.path(), 4).await.unwrap(), Chain::Whole { entries: 5, losses, .. } if losses.is_empty()));
    assert_eq!(verify_in(folder.path(), 20).await.unwrap(), Chain::Broken { entry: 20, fault: Fault::Missing });

    // A head that is gone is written again, and that is recorded.
    std::fs::remove_file(folder.path().join(HEAD)).unwrap();
    let health = model::HealthRegister::default();
    let store = Store::open_with(&folder.path().join("state.db"), health.clone()).await.unwrap();
    assert!(health.conditions().iter().any(|each| each.name == "audit-head-lost"));
    assert!(matches!(store.audit().verify().await.unwrap(), Chain::Whole { entries: 10, .. }));
    assert!(folder.path().join(HEAD).exists());
}

/// A database of the version before: seals without numbers, no head.
#[tokio::test]
async fn entries_of_the_version_before_are_sealed_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    record(&store, five()).await;
    let mut change = store.begin().await.unwrap();
    sqlx::query("UPDATE audit SET seal = ''").execute(change.connection()).await.unwrap();
    sqlx::query("UPDATE audit_chain SET version = 1").execute(change.connection()).await.unwrap();
    change.commit().await.unwrap();
    store.close().await;
    std::fs::remove_file(folder.path().join(HEAD)).unwrap();
    assert!(matches!(verify_in(folder.path(), 0).await, Err(StoreError::EarlierVersion { .. })));
    let health = model::HealthRegister::default();
    let store = Store::open_with(&folder.path().join("state.db"), health.clone()).await.unwrap();
    assert!(health.conditions().is_empty(), "{:?}", health.conditions());
    // The sixth entry records the head.
    assert!(matches!(store.audit().verify().await.unwrap(), Chain::Whole { entries: 6, losses, .. } if losses.is_empty()));
}

/// from: ours. 10,000 random operations in changes of random size, some of them given up, give 10,000 entries in their order.
#[tokio::test]
async fn ten_thousand_operations_give_ten_thousand_entries() {
    const OPERATIONS: usize = 10_000;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let mut seed: u64 = 0x5eed_0012;
    let mut random = move |below: u64| {
        // SplitMix64.
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    };
    const KINDS: [&str; 4] = ["incident", "analytics rule", "role assignment", "table"];
    let mut expected: Vec<String> = Vec::new();
    while expected.len() < OPERATIONS {
        let mut change = store.begin().await.unwrap();
        let size = (1 + random(200) as usize).min(OPERATIONS - expected.len());
        let mut ids = Vec::new();
        for _ in 0..size {
            let (kind, id) = (KINDS[random(4) as usize], random(1_000).to_string());
            change.record(&entry(kind, &id, "somebody", json!({ "n": [random(10), random(10)], "é": [null, "x"] }))).await.unwrap();
            ids.push(format!("{kind} {id}"));
        }
        if random(10) == 0 {
            change.abandon().await.unwrap();
        } else {
            change.commit().await.unwrap();
            expected.append(&mut ids);
        }
    }
    assert!(matches!(store.audit().verify().await.unwrap(), Chain::Whole { entries: 10_000, .. }));
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page = store.audit().list(&AuditFilter::default(), before, 1_000).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.number);
        found.extend(page.iter().map(|row| format!("{} {}", row.entry.aggregate, row.entry.id)));
    }
    found.reverse();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let at = |entry: AuditEntry, seconds: i64| AuditEntry { at: Timestamp::UNIX_EPOCH + model::Span::seconds(seconds), ..entry };
    record(
        &store,
        [
            at(entry("incident", "a", "ann", json!({})), 0),
            at(entry("table", "T_CL", "bo", json!({})), 10),
            at(AuditEntry { action: "deleted".into(), ..entry("table", "T_CL", "ann", json!({})) }, 20),
        ],
    )
    .await;
    let numbers = async |filter: AuditFilter, before, limit| {
        store.audit().list(&filter, before, limit).await.unwrap().iter().map(|row| row.number).collect::<Vec<_>>()
    };
    let all = AuditFilter::default;
    assert_eq!(numbers(all(), None, 10).await, [3, 2, 1]);
    assert_eq!(numbers(all(), Some(3), 1).await, [2]);
    assert_eq!(numbers(AuditFilter { actor: Some("ANN".into()), ..all() }, None, 10).await, [3, 1]);
    assert_eq!(numbers(AuditFilter { aggregate: Some("Table".into()), id: Some("t_cl".into()), ..all() }, None, 10).await, [3, 2]);
    assert_eq!(numbers(AuditFilter { action: Some("deleted".into()), ..all() }, None, 10).await, [3]);
    let time = |seconds| Some(Timestamp::UNIX_EPOCH + model::Span::seconds(seconds));
    assert_eq!(numbers(AuditFilter { from: time(10), until: time(20), ..all() }, None, 10).await, [2]);
}

#[tokio::test]
async fn changes_of_the_configuration_have_rows_in_sentinel_audit() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let mut change = store.begin().await.unwrap();
    for name in ["workspace_id", "subscription_id", "resource_group", "workspace_name"] {
        change.keep_cloud_name(name, name).await.unwrap();
    }
    change.commit().await.unwrap();
    let rule = entry("analytics rule", "r1", "ann", json!({ "displayName": ["Old", "New"], "kind": [null, "NRT"] }));
    record(&store, [entry("incident", "1", "ann", json!({ "n": [1, 2] })), rule]).await;
    let outbox: Outbox<'_> = store.outbox();
    let rows = outbox.after(0, 10).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.table.as_str()).collect::<Vec<_>>(), ["SentinelAudit"]);
    let row = &rows[0].row;
    // learn.microsoft.com/azure/sentinel/audit-table-reference.
    assert_eq!(row["OperationName"], "Microsoft.SecurityInsights/alertRules/Write");
    assert_eq!(
        (&row["SentinelResourceName"], &row["SentinelResourceKind"], &row["Status"]),
        (&json!("New"), &json!("NRT"), &json!("Success"))
    );
    let extended = &row["ExtendedProperties"];
    assert_eq!((&extended["CallerName"], &extended["CallerIpAddress"]), (&json!("ann"), &json!("192.0.2.7")));
    assert_eq!(extended["OriginalResourceState"], json!({ "displayName": "Old" }));
    assert_eq!(extended["UpdatedResourceState"], json!({ "displayName": "New", "kind": "NRT" }));
    assert_eq!(extended["ResourceDiffMemberNames"], json!(["displayName", "kind"]));
}
