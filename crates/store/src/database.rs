//! The database file: one connection that writes, a few that read, and the transaction around every change.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, Transaction};
use tokio::sync::watch;
use uuid::Uuid;

use crate::error::StoreError;
use crate::migrations::migrator;
use crate::topics::{Bells, Topic};
use crate::{
    AlertResponses, Alerts, AnalyticsRules, AppRegistrations, Audit, DataCollectionRules, Escalations, Heartbeats, IncidentParts,
    Incidents, OnCallObjects, Outbox, Pages, RoleAssignments,
};

/// Connections that read. Reads are short; more would only wait for the two cores of a small machine.
const READERS: u32 = 4;

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
}

impl Store {
    /// Opens the database file, creates it (mode 0600) where there is none, and brings its schema up to date.
    ///
    /// Only one process may have it open: the data directory's lock sees to that.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
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
            .connect_with(options.clone())
            .await
            .map_err(open)?;
        migrator().run(&writer).await.map_err(StoreError::Migrate)?;
        // Journal mode is a property of the file: readers only have to be kept from writing.
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.pragma("query_only", "on"))
            .await
            .map_err(open)?;
        let id = identity(&writer).await?;
        Ok(Self { inner: Arc::new(Inner { writer, readers, bells: Bells::new(), id }) })
    }

    /// The identity of this database, minted when it was created. Positions kept elsewhere carry it.
    pub fn id(&self) -> Uuid {
        self.inner.id
    }

    /// Begins a change. Waits for the change before it to end: keep it short, and ask nothing of the network within.
    pub async fn begin(&self) -> Result<Change, StoreError> {
        let transaction = self.inner.writer.begin_with("BEGIN IMMEDIATE").await?;
        Ok(Change { transaction, touched: Vec::new(), store: self.clone() })
    }

    /// A bell for `topic`. It counts as not rung at first; look once before you wait.
    pub fn listen(&self, topic: Topic) -> watch::Receiver<u64> {
        self.inner.bells.listen(topic)
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

    pub fn outbox(&self) -> Outbox<'_> {
        Outbox { store: self }
    }

    pub fn pages(&self) -> Pages<'_> {
        Pages { store: self }
    }

    pub fn role_assignments(&self) -> RoleAssignments<'_> {
        RoleAssignments { store: self }
    }

    /// Waits for running work and closes the file; the log is folded into it.
    pub async fn close(&self) {
        self.inner.readers.close().await;
        self.inner.writer.close().await;
    }

    pub(crate) async fn reader(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        Ok(self.inner.readers.acquire().await?)
    }
}

/// A transaction. Its methods stand with the aggregates they write: [`Change::add_alert`], [`Change::put_incident`] …
/// It reads what it wrote; nobody else does before [`Change::commit`].
pub struct Change {
    transaction: Transaction<'static, Sqlite>,
    touched: Vec<Topic>,
    store: Store,
}

impl Change {
    /// Makes the change durable, then rings the bells of what it touched.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.transaction.commit().await?;
        for topic in self.touched {
            self.store.inner.bells.ring(topic);
        }
        Ok(())
    }

    /// Gives the change up.
    pub async fn abandon(self) -> Result<(), StoreError> {
        Ok(self.transaction.rollback().await?)
    }

    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }

    pub(crate) fn touch(&mut self, topic: Topic) {
        if !self.touched.contains(&topic) {
            self.touched.push(topic);
        }
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

/// Control state holds credentials' hashes and people's names: nobody else on the machine may read it. SQLite gives its log the
/// mode of the file.
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
