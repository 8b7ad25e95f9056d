//! Pages: one message to one contact, recorded before it is sent. The content is opaque JSON defined by on-call, next to indexed columns.

use model::Timestamp;
use serde_json::Value;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};
use uuid::Uuid;

use crate::error::{StoreError, decode, encode};
use crate::{Change, Store, Topic};

const AGGREGATE: &str = "page";

/// A page.
#[derive(Clone, Debug, PartialEq)]
pub struct PageRow {
    pub id: Uuid,
    pub escalation: Uuid,
    pub incident: Uuid,
    pub channel: String,
    /// As in the directory.
    pub address: String,
    pub reply_code: String,
    /// `planned`, `claimed`, `sent` …
    pub status: String,
    /// When it was originally due.
    pub due: Timestamp,
    /// When a planned page is due. `None` if it is not planned any more.
    pub not_before: Option<Timestamp>,
    pub provider_id: Option<String>,
    pub body: Value,
}

/// Filter of pages; `None` matches all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PageFilter {
    pub incident: Option<Uuid>,
    pub escalation: Option<Uuid>,
    pub status: Option<String>,
    pub address: Option<String>,
    pub reply_code: Option<String>,
    pub provider_id: Option<String>,
    /// Due at this time or later.
    pub from: Option<Timestamp>,
    /// Due before this time.
    pub to: Option<Timestamp>,
}

/// Reads pages.
pub struct Pages<'s> {
    pub(crate) store: &'s Store,
}

impl Pages<'_> {
    pub async fn get(&self, id: Uuid) -> Result<Option<PageRow>, StoreError> {
        get(&mut *self.store.reader().await?, id).await
    }

    /// Newest first.
    pub async fn list(&self, filter: &PageFilter, limit: u32) -> Result<Vec<PageRow>, StoreError> {
        list(&mut *self.store.reader().await?, filter, "DESC", limit).await
    }

    /// Planned pages that are due: for each address and channel the `width` that wait longest, so that many pages to one address do not
    /// hide others.
    pub async fn due(&self, now: Timestamp, width: u32) -> Result<Vec<PageRow>, StoreError> {
        let mut connection = self.store.reader().await?;
        let rows = sqlx::query(
            "SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY channel, address ORDER BY not_before, seq) AS place FROM pages \
             WHERE not_before <= ?) WHERE place <= ? ORDER BY not_before, seq",
        )
        .bind(now.ticks())
        .bind(width)
        .fetch_all(&mut *connection)
        .await?;
        rows.iter().map(read).collect()
    }

    /// When the next planned page after `now` is due.
    pub async fn next_after(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let mut connection = self.store.reader().await?;
        let next: Option<i64> = sqlx::query_scalar("SELECT min(not_before) FROM pages WHERE not_before > ?")
            .bind(now.ticks())
            .fetch_one(&mut *connection)
            .await?;
        Ok(next.map(Timestamp::clamp_ticks))
    }

    /// Claimed pages without an outcome: at the start of a service, those left by a crash.
    pub async fn claimed(&self) -> Result<Vec<PageRow>, StoreError> {
        let mut connection = self.store.reader().await?;
        let rows = sqlx::query("SELECT * FROM pages WHERE status = 'claimed' ORDER BY seq").fetch_all(&mut *connection).await?;
        rows.iter().map(read).collect()
    }
}

impl Change {
    pub async fn page(&mut self, id: Uuid) -> Result<Option<PageRow>, StoreError> {
        get(self.connection(), id).await
    }

    /// Oldest first.
    pub async fn pages(&mut self, filter: &PageFilter) -> Result<Vec<PageRow>, StoreError> {
        list(self.connection(), filter, "ASC", u32::MAX).await
    }

    /// Newest first.
    pub async fn newest_pages(&mut self, filter: &PageFilter, limit: u32) -> Result<Vec<PageRow>, StoreError> {
        list(self.connection(), filter, "DESC", limit).await
    }

    /// Pages of any incident that are planned, or were due after `since`: the newest `limit`.
    pub async fn recent_pages(&mut self, since: Timestamp, limit: u32) -> Result<Vec<PageRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM pages WHERE due > ?1 OR not_before IS NOT NULL ORDER BY seq DESC LIMIT ?2")
            .bind(since.ticks())
            .bind(limit)
            .fetch_all(self.connection())
            .await?;
        rows.iter().map(read).collect()
    }

    /// Adds a page. Returns false, and changes nothing, if the id exists.
    pub async fn add_page(&mut self, page: &PageRow) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "INSERT INTO pages (id, escalation, incident, channel, address, reply_code, status, due, not_before, \
             provider_id, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
        )
        .bind(page.id.to_string())
        .bind(page.escalation.to_string())
        .bind(page.incident.to_string())
        .bind(&page.channel)
        .bind(&page.address)
        .bind(&page.reply_code)
        .bind(&page.status)
        .bind(page.due.ticks())
        .bind(page.not_before.map(Timestamp::ticks))
        .bind(&page.provider_id)
        .bind(encode(AGGREGATE, &page.body)?)
        .execute(self.connection())
        .await?;
        self.touch(Topic::Pages);
        Ok(done.rows_affected() == 1)
    }

    /// Updates the status of a page.
    pub async fn update_page(&mut self, page: &PageRow) -> Result<(), StoreError> {
        self.update_page_quietly(page).await?;
        self.touch(Topic::Pages);
        Ok(())
    }

    /// As [`Self::update_page`], without notifying listeners: for the sender's own updates, of which there are two per page.
    pub async fn update_page_quietly(&mut self, page: &PageRow) -> Result<(), StoreError> {
        sqlx::query("UPDATE pages SET status = ?, not_before = ?, provider_id = ?, body = ? WHERE id = ?")
            .bind(&page.status)
            .bind(page.not_before.map(Timestamp::ticks))
            .bind(&page.provider_id)
            .bind(encode(AGGREGATE, &page.body)?)
            .bind(page.id.to_string())
            .execute(self.connection())
            .await?;
        Ok(())
    }
}

async fn get(connection: &mut SqliteConnection, id: Uuid) -> Result<Option<PageRow>, StoreError> {
    let row = sqlx::query("SELECT * FROM pages WHERE id = ?").bind(id.to_string()).fetch_optional(connection).await?;
    row.map(|row| read(&row)).transpose()
}

async fn list(connection: &mut SqliteConnection, filter: &PageFilter, order: &str, limit: u32) -> Result<Vec<PageRow>, StoreError> {
    let mut sql: QueryBuilder<Sqlite> = QueryBuilder::new("SELECT * FROM pages WHERE 1");
    let columns = [
        ("incident", filter.incident.map(|id| id.to_string())),
        ("escalation", filter.escalation.map(|id| id.to_string())),
        ("status", filter.status.clone()),
        ("address", filter.address.clone()),
        ("reply_code", filter.reply_code.clone()),
        ("provider_id", filter.provider_id.clone()),
    ];
    for (column, value) in columns {
        if let Some(value) = value {
            sql.push(" AND ").push(column).push(" = ").push_bind(value);
        }
    }
    for (comparison, at) in [(" AND due >= ", filter.from), (" AND due < ", filter.to)] {
        if let Some(at) = at {
            sql.push(comparison).push_bind(at.ticks());
        }
    }
    sql.push(" ORDER BY seq ").push(order).push(" LIMIT ").push_bind(i64::from(limit));
    let rows = sql.build().fetch_all(connection).await?;
    rows.iter().map(read).collect()
}

fn read(row: &sqlx::sqlite::SqliteRow) -> Result<PageRow, StoreError> {
    let id = |column: &str| -> Result<Uuid, StoreError> { Ok(row.try_get::<String, _>(column)?.parse().unwrap_or_default()) };
    let (text, body): (String, String) = (row.try_get("id")?, row.try_get("body")?);
    Ok(PageRow {
        id: id("id")?,
        escalation: id("escalation")?,
        incident: id("incident")?,
        channel: row.try_get("channel")?,
        address: row.try_get("address")?,
        reply_code: row.try_get("reply_code")?,
        status: row.try_get("status")?,
        due: Timestamp::clamp_ticks(row.try_get("due")?),
        not_before: row.try_get::<Option<i64>, _>("not_before")?.map(Timestamp::clamp_ticks),
        provider_id: row.try_get("provider_id")?,
        body: decode(AGGREGATE, &text, &body)?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_page_is_planned_once_and_found_by_what_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("state.db")).await.unwrap();
        let at = |ticks| Timestamp::clamp_ticks(Timestamp::UNIX_EPOCH.ticks() + ticks);
        let page = PageRow {
            id: Uuid::new_v4(),
            escalation: Uuid::new_v4(),
            incident: Uuid::new_v4(),
            channel: "sms".to_owned(),
            address: "+4790000001".to_owned(),
            reply_code: "4821".to_owned(),
            status: "planned".to_owned(),
            due: at(10),
            not_before: Some(at(10)),
            provider_id: None,
            body: json!({ "n": 1 }),
        };
        let mut change = store.begin().await.unwrap();
        assert!(change.add_page(&page).await.unwrap());
        assert!(!change.add_page(&PageRow { body: json!({ "n": 2 }), ..page.clone() }).await.unwrap());
        change.commit().await.unwrap();
        assert!(store.pages().due(at(9), 1).await.unwrap().is_empty());
        assert_eq!(store.pages().next_after(at(9)).await.unwrap(), Some(at(10)));
        assert_eq!(store.pages().due(at(10), 1).await.unwrap(), std::slice::from_ref(&page));

        let sent = PageRow { status: "sent".to_owned(), not_before: None, provider_id: Some("SM1".to_owned()), ..page.clone() };
        let mut change = store.begin().await.unwrap();
        change.update_page(&sent).await.unwrap();
        change.commit().await.unwrap();
        assert!(store.pages().due(at(100), 1).await.unwrap().is_empty());
        for filter in [
            PageFilter { provider_id: Some("SM1".to_owned()), ..PageFilter::default() },
            PageFilter { address: Some("+4790000001".to_owned()), reply_code: Some("4821".to_owned()), ..PageFilter::default() },
            PageFilter { incident: Some(page.incident), status: Some("sent".to_owned()), ..PageFilter::default() },
        ] {
            assert_eq!(store.pages().list(&filter, 10).await.unwrap(), std::slice::from_ref(&sent), "{filter:?}");
        }
        let other = PageFilter { reply_code: Some("1".to_owned()), ..PageFilter::default() };
        assert!(store.pages().list(&other, 10).await.unwrap().is_empty());
    }
}
