//! The database file: one connection for writing, a few for reading, and transactions.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::{Condition, ConditionSeverity, HealthRegister};
use sqlx::Connection as _;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, Transaction};
use tokio::sync::watch;
use uuid::Uuid;

use crate::audit::{self, HEAD, HeadFile};
use crate::error::StoreError;
use crate::migrations::migrator;
use crate::topics::{Bells, Topic};
use crate::{
    Accounts, AlertResponses, Alerts, AnalyticsRules, AppRegistrations, Audit, DataCollectionRules, Escalations, Groups, Heartbeats,
    IncidentParts, Incidents, OnCallObjects, OptOuts, Outbox, Pages, RoleAssignments, RuleFiles, Sessions,
};

/// Connections for reading. Reads are short; on a small machine with two cores more would only wait for CPU.
const READERS: u32 = 4;

/// Health condition, set while writes fail and cleared by the next one that succeeds.
const WRITE_FAILED: &str = "state-write-failed";

/// The control state of one service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    writer: SqlitePool,
    readers: SqlitePool,
    bells: Bells,
    id: Uuid,
    health: HealthRegister,
    path: PathBuf,
    audit_head: HeadFile,
}

impl Store {
    /// Opens the database file, creates it (mode 0600) if missing, and migrates its schema.
    ///
    /// Only one process may open it, which the lock of the data directory ensures.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, HealthRegister::default()).await
    }

    /// As [`Store::open`]; reports to `health` while writes fail.
    pub async fn open_with(path: &Path, health: HealthRegister) -> Result<Self, StoreError> {
        create_private(path).map_err(|cause| StoreError::Create { path: path.to_owned(), cause })?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10));
        let open = |cause| StoreError::Open { path: path.to_owned(), cause };
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .after_release({
                let health = health.clone();
                move |connection, _| Box::pin(is_reusable(connection, health.clone()))
            })
            .connect_with(options.clone())
            .await
            .map_err(open)?;
        migrator().run(&writer).await.map_err(StoreError::Migrate)?;
        let upgrade = audit::seal_again(&mut *writer.acquire().await?).await?;
        // Journal mode is a property of the file: readers only have to be read-only.
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.pragma("query_only", "on"))
            .await
            .map_err(open)?;
        let id = identity(&writer).await?;
        let audit_head = HeadFile::new(path.with_file_name(HEAD), health.clone());
        let inner = Inner { writer, readers, bells: Bells::new(), id, health: health.clone(), path: path.to_owned(), audit_head };
        let store = Self { inner: Arc::new(inner) };
        audit::prepare(&store, &health, upgrade).await?;
        Ok(store)
    }

    /// The identity of this database, generated at creation. Positions stored elsewhere include it.
    pub fn id(&self) -> Uuid {
        self.inner.id
    }

    /// Begins a change. Waits for the previous one to end: keep it short, without network I/O.
    pub async fn begin(&self) -> Result<Change, StoreError> {
        match self.inner.writer.begin_with("BEGIN IMMEDIATE").await {
            Ok(transaction) => Ok(Change { transaction, touched: Vec::new(), sealed: None, store: self.clone() }),
            Err(cause) => Err(self.failed(cause)),
        }
    }

    /// A notification receiver for `topic`, initially not notified; check the state once before waiting.
    pub fn listen(&self, topic: Topic) -> watch::Receiver<u64> {
        self.inner.bells.listen(topic)
    }

    pub fn accounts(&self) -> Accounts<'_> {
        Accounts { store: self }
    }

    pub fn alert_responses(&self) -> AlertResponses<'_> {
        AlertResponses { store: self }
    }

    pub fn alerts(&self) -> Alerts<'_> {
        Alerts { store: self }
    }

    pub fn analytics_rules(&self) -> AnalyticsRules<'_> {
        AnalyticsRules { store: self }
    }

    pub fn app_registrations(&self) -> AppRegistrations<'_> {
        AppRegistrations { store: self }
    }

    pub fn audit(&self) -> Audit<'_> {
        Audit { store: self }
    }

    pub fn data_collection_rules(&self) -> DataCollectionRules<'_> {
        DataCollectionRules { store: self }
    }

    pub fn escalations(&self) -> Escalations<'_> {
        Escalations { store: self }
    }

    pub fn groups(&self) -> Groups<'_> {
        Groups { store: self }
    }

    pub fn heartbeats(&self) -> Heartbeats<'_> {
        Heartbeats { store: self }
    }

    pub fn incidents(&self) -> Incidents<'_> {
        Incidents { store: self }
    }

    pub fn incident_parts(&self) -> IncidentParts<'_> {
        IncidentParts { store: self }
    }

    pub fn oncall_objects(&self) -> OnCallObjects<'_> {
        OnCallObjects { store: self }
    }

    pub fn opt_outs(&self) -> OptOuts<'_> {
        OptOuts { store: self }
    }

    pub fn outbox(&self) -> Outbox<'_> {
        Outbox { store: self }
    }

    pub fn pages(&self) -> Pages<'_> {
        Pages { store: self }
    }

    pub fn role_assignments(&self) -> RoleAssignments<'_> {
        RoleAssignments { store: self }
    }

    pub fn rule_files(&self) -> RuleFiles<'_> {
        RuleFiles { store: self }
    }

    pub fn sessions(&self) -> Sessions<'_> {
        Sessions { store: self }
    }

    /// Waits for running work and closes the file, with a checkpoint of the log.
    pub async fn close(&self) {
        self.inner.readers.close().await;
        self.inner.writer.close().await;
    }

    /// Writes something, so that the log of a running service is never empty.
    pub(crate) async fn mark_start(&self) -> Result<(), StoreError> {
        let mut writer = self.inner.writer.acquire().await?;
        let starts: i32 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *writer).await?;
        let next = starts.checked_add(1).unwrap_or(0);
        sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA user_version = {next}"))).execute(&mut *writer).await?;
        Ok(())
    }

    /// Writes a consistent copy of the database in use to a new file at `path`.
    pub(crate) async fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        let mut connection = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&self.inner.path)).await?;
        let copied = sqlx::query("VACUUM INTO ?").bind(path.to_string_lossy().into_owned()).execute(&mut connection).await;
        connection.close().await?;
        Ok(copied.map(drop)?)
    }

    pub(crate) fn audit_head(&self) -> &HeadFile {
        &self.inner.audit_head
    }

    pub(crate) fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Converts `cause`, and reports it if it is a disk error.
    fn failed(&self, cause: sqlx::Error) -> StoreError {
        let error = StoreError::from(cause);
        if matches!(error, StoreError::DiskFull(_) | StoreError::Unavailable(_)) {
            report_failed_write(&self.inner.health, &error.to_string());
        }
        error
    }

    pub(crate) async fn reader(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        Ok(self.inner.readers.acquire().await?)
    }
}

/// A transaction. Its methods are defined with the aggregates they write: [`Change::add_alert`], [`Change::put_incident`] … It sees its own
/// writes; others see them after [`Change::commit`].
pub struct Change {
    transaction: Transaction<'static, Sqlite>,
    touched: Vec<Topic>,
    /// Number and seal of the last audit entry of this change.
    sealed: Option<(i64, String)>,
    store: Store,
}

impl Change {
    /// Makes the change durable, and the head of the audit trail with it; then notifies listeners of changed topics.
    pub async fn commit(self) -> Result<(), StoreError> {
        if let Err(cause) = self.transaction.commit().await {
            return Err(self.store.failed(cause));
        }
        if self.store.inner.health.clear(WRITE_FAILED, "") {
            tracing::info!("the state database takes changes again");
        }
        if let Some((entry, seal)) = self.sealed {
            self.store.audit_head().advance(&self.store.id().to_string(), entry, seal).await;
        }
        for topic in self.touched {
            self.store.inner.bells.ring(topic);
        }
        Ok(())
    }

    /// Rolls the change back.
    pub async fn abandon(self) -> Result<(), StoreError> {
        Ok(self.transaction.rollback().await?)
    }

    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }

    /// Notes the last audit entry.
    pub(crate) fn sealed(&mut self, entry: i64, seal: String) {
        self.sealed = Some((entry, seal));
    }

    /// Leaves the head of the audit trail as it is.
    #[cfg(test)]
    pub(crate) fn forget_seal(&mut self) {
        self.sealed = None;
    }

    pub(crate) fn touch(&mut self, topic: Topic) {
        if !self.touched.contains(&topic) {
            self.touched.push(topic);
        }
    }
}

/// Whether the writing connection can be reused.
///
/// SQLite rolls a transaction back by itself if the disk is full or fails. The `ROLLBACK` that follows then fails, after which sqlx
/// believes that a transaction is still open: such a connection is closed and replaced.
async fn is_reusable(connection: &mut SqliteConnection, health: HealthRegister) -> Result<bool, sqlx::Error> {
    // The rollback of a dropped change is still pending; this waits for it.
    connection.ping().await?;
    let reusable = !connection.is_in_transaction();
    if !reusable {
        report_failed_write(&health, "a change of the state database could not be stored");
        tracing::warn!("the writing connection of the state database is replaced after a failed write");
    }
    Ok(reusable)
}

fn report_failed_write(health: &HealthRegister, summary: &str) {
    let condition = Condition::new(WRITE_FAILED, "", ConditionSeverity::Failing)
        .summary(format!("{summary}: incidents, pages and settings are not recorded"))
        .action("make room on the disk of the data directory, or repair it; changes go on by themselves");
    if health.report(condition) {
        tracing::error!(reason = summary, "the state database does not take changes");
    }
}

async fn identity(writer: &SqlitePool) -> Result<Uuid, StoreError> {
    let known: Option<String> = sqlx::query_scalar("SELECT id FROM identity").fetch_optional(writer).await?;
    if let Some(id) = known.and_then(|text| Uuid::parse_str(&text).ok()) {
        return Ok(id);
    }
    let id = Uuid::new_v4();
    sqlx::query("INSERT INTO identity (id) VALUES (?)").bind(id.to_string()).execute(writer).await?;
    Ok(id)
}

/// Control state contains credential hashes and names of people, so other users of the machine must not read it. SQLite creates its log
/// with the mode of the file.
fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OnCallObject;
    use model::Timestamp;

    fn object(name: &str, size: usize) -> OnCallObject {
        let body = serde_json::json!({ "text": "x".repeat(size) });
        OnCallObject { kind: "users".to_owned(), name: name.to_owned(), etag: Uuid::nil(), modified: Timestamp::UNIX_EPOCH, body }
    }

    async fn open(health: &HealthRegister) -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_with(&folder.path().join("state.db"), health.clone()).await.unwrap();
        (folder, store)
    }

    /// Source: <https://sqlite.org/lang_transaction.html>, "Response To Errors Within A Transaction": SQLITE_FULL may roll back by itself.
    #[tokio::test]
    async fn changes_go_on_after_one_found_the_disk_full() {
        let health = HealthRegister::default();
        let (_folder, store) = open(&health).await;
        for round in 0..3 {
            let mut change = store.begin().await.unwrap();
            // For this connection, the disk has room for only a few more pages.
            let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(change.connection()).await.unwrap();
            sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {}", pages + 4))).execute(change.connection()).await.unwrap();
            let error = change.put_oncall_object(&object("large", 1 << 20)).await.unwrap_err();
            assert!(matches!(error, StoreError::DiskFull(_)), "{error}");
            drop(change);
            // Waits until the connection is returned: the pool has only one.
            let mut change = store.begin().await.expect("the change after a failed one");
            assert_eq!(health.conditions().iter().map(|each| each.name.as_str()).collect::<Vec<_>>(), [WRITE_FAILED], "round {round}");
            change.put_oncall_object(&object("small", 10)).await.unwrap();
            change.commit().await.unwrap();
            assert!(health.conditions().is_empty());
        }
    }

    #[tokio::test]
    async fn a_change_that_is_dropped_or_cancelled_costs_no_connection() {
        let health = HealthRegister::default();
        let (_folder, store) = open(&health).await;
        for _ in 0..20 {
            let mut change = store.begin().await.unwrap();
            change.put_oncall_object(&object("never", 10)).await.unwrap();
            drop(change);
            // A caller that is cancelled while waiting.
            poll_once(store.begin());
        }
        assert!(health.conditions().is_empty());
        assert!(store.begin().await.is_ok());
    }

    /// Polls a future once and drops it.
    fn poll_once<F: Future>(future: F) {
        let mut future = Box::pin(future);
        let _ = future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    }
}
