//! What is done with the trail when the database is opened: entries of an earlier version are sealed again, and the trail is compared with
//! the head kept outside the database. A loss is recorded in the trail itself.

use model::{Actor, Condition, ConditionSeverity, HealthRegister, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::{Connection as _, Row, SqliteConnection};

use super::chain::{Sealed, page, seal_of};
use super::head::{self, Found, HEAD, Head};
use crate::Store;
use crate::audit::AuditEntry;
use crate::error::StoreError;

/// The kind of entries about the trail itself.
pub const TRAIL: &str = "audit trail";
/// The action of an entry that records that others are missing.
pub const TRAIL_LOSS: &str = "entries missing";
/// Entries per query.
const PAGE: i64 = 1_000;

/// What was found when the trail was sealed again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Upgrade {
    /// There were entries of version 1.
    pub done: bool,
    /// The first of them with a fault.
    pub broken: Option<i64>,
}

/// Seals entries of version 1 again, in one transaction. Stops at an entry that cannot be read: verification names it.
pub async fn seal_again(connection: &mut SqliteConnection) -> Result<Upgrade, StoreError> {
    let version: i64 = sqlx::query_scalar("SELECT version FROM audit_chain").fetch_one(&mut *connection).await?;
    if version >= 2 {
        return Ok(Upgrade::default());
    }
    let mut transaction = connection.begin().await?;
    let (mut last, mut old, mut new, mut broken) = (0, String::new(), String::new(), None);
    'pages: loop {
        let rows = page(&mut transaction, last, PAGE).await?;
        if rows.is_empty() {
            break;
        }
        for row in &rows {
            let Ok(entry) = Sealed::read(row) else {
                broken = broken.or(Some(last + 1));
                break 'pages;
            };
            // Entries before migration 7 have no seal.
            let sealed = !(old.is_empty() && entry.seal.is_empty());
            if sealed && broken.is_none() && entry.seal != first_seal_of(&old, &entry) {
                broken = Some(entry.number);
            }
            old = entry.seal.clone();
            new = seal_of(&new, entry.number, entry.at, entry.texts());
            sqlx::query("UPDATE audit SET seal = ? WHERE seq = ?").bind(&new).bind(entry.number).execute(&mut *transaction).await?;
            last = entry.number;
        }
    }
    sqlx::query("UPDATE audit_chain SET version = 2").execute(&mut *transaction).await?;
    transaction.commit().await?;
    if let Some(entry) = broken {
        tracing::error!(entry, "an audit entry was changed before this version sealed it again");
    }
    Ok(Upgrade { done: last > 0, broken })
}

/// The seal of version 1, which did not cover the number.
fn first_seal_of(previous: &str, entry: &Sealed) -> String {
    let mut hash = Sha256::new();
    hash.update(entry.at.to_le_bytes());
    for text in std::iter::once(previous).chain(entry.texts()) {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    hex::encode(hash.finalize())
}

/// The number and seal of the last entry; 0 for none.
async fn last_entry(connection: &mut SqliteConnection) -> Result<(i64, String), StoreError> {
    let row = sqlx::query("SELECT seq, seal FROM audit ORDER BY seq DESC LIMIT 1").fetch_optional(connection).await?;
    Ok(row.map(|row| Ok::<_, sqlx::Error>((row.try_get(0)?, row.try_get(1)?))).transpose()?.unwrap_or_default())
}

/// Compares the trail with `audit.head`. Reports and records what is missing.
///
/// `upgrade` says whether the trail is of a version that had no such file. A disk that takes no writes is not an error here: stored state is
/// still served, and the next start compares again.
pub async fn prepare(store: &Store, health: &HealthRegister, upgrade: Upgrade) -> Result<(), StoreError> {
    match compare(store, health, upgrade).await {
        Err(error @ (StoreError::DiskFull(_) | StoreError::Unavailable(_))) => {
            tracing::warn!(error = %model::chain(&error), "the state of the audit trail cannot be recorded now");
            Ok(())
        }
        done => done,
    }
}

async fn compare(store: &Store, health: &HealthRegister, upgrade: Upgrade) -> Result<(), StoreError> {
    let file = store.audit_head();
    let found = head::find(file.path());
    let mut connection = store.reader().await?;
    let last = last_entry(&mut connection).await?;
    let known: Option<String> = match &found.head {
        Some(head) => sqlx::query_scalar("SELECT seal FROM audit WHERE seq = ?").bind(head.entry).fetch_optional(&mut *connection).await?,
        None => None,
    };
    drop(connection);
    let database = store.id().to_string();
    let Found { head, damaged, exists } = found;
    if damaged {
        report(health, "audit-head-damaged", ConditionSeverity::Notice, format!("`{HEAD}` is damaged; it is written again"));
    }
    let lost = head.as_ref().filter(|head| head.database != database || known.as_deref() != Some(head.seal.as_str())).cloned();
    // A damaged file is written from the beginning; a generation that is lost must not be followed.
    file.continue_after(if damaged { None } else { head.clone() }).await;
    match (lost, head) {
        (Some(head), _) => {
            tracing::error!(head = head.entry, last = last.0, "audit entries are missing or were replaced");
            let summary = format!("audit entries up to number {} are missing or were replaced; the trail ends with {}", head.entry, last.0);
            report(health, "audit-entries-missing", ConditionSeverity::Degraded, summary);
            record(store, TRAIL_LOSS, changes(&head, &last)).await
        }
        (None, None) if last.0 > 0 => {
            if let Some(entry) = upgrade.broken {
                let summary = format!("audit entry {entry} was changed before this version sealed the trail again");
                report(health, "audit-entries-missing", ConditionSeverity::Degraded, summary);
                record(store, TRAIL_LOSS, json!({ "entry": [entry, null] })).await?;
            }
            if !upgrade.done && !exists {
                report(health, "audit-head-lost", ConditionSeverity::Notice, format!("`{HEAD}` was missing; it is written again"));
            }
            record(store, "head written", json!({ "entry": [null, last.0], "seal": [null, last.1] })).await
        }
        (None, Some(_)) if damaged => {
            file.advance(&database, last.0, last.1).await;
            Ok(())
        }
        _ => Ok(()),
    }
}

fn changes(head: &Head, last: &(i64, String)) -> Value {
    json!({ "entry": [head.entry, last.0], "seal": [head.seal, last.1] })
}

fn report(health: &HealthRegister, name: &str, severity: ConditionSeverity, summary: String) {
    let action = "run `bartizan audit verify`; compare the database with `copies/` and `quarantine/`";
    health.report(Condition::new(name, HEAD, severity).summary(summary).action(action));
}

async fn record(store: &Store, action: &str, changes: Value) -> Result<(), StoreError> {
    let mut change = store.begin().await?;
    let entry = AuditEntry {
        at: Timestamp::from_system(std::time::SystemTime::now()),
        aggregate: TRAIL.to_owned(),
        id: "chain".to_owned(),
        action: action.to_owned(),
        actor: Actor::task("start"),
        changes,
    };
    change.record(&entry).await?;
    change.commit().await
}
