//! Lists of audit entries.

use model::Timestamp;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::{AuditRow, read};
use crate::error::StoreError;

/// Which entries are listed. Empty: all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuditFilter {
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// The actor's name, object id or user principal name. Ignores case.
    pub actor: Option<String>,
    /// The kind of object: `incident`. Ignores case.
    pub aggregate: Option<String>,
    /// The object's id. Ignores case.
    pub id: Option<String>,
    /// `created`. Ignores case.
    pub action: Option<String>,
}

/// Entries that match, newest first.
pub async fn list(
    connection: &mut SqliteConnection,
    filter: &AuditFilter,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<AuditRow>, StoreError> {
    let mut query = QueryBuilder::<Sqlite>::new("SELECT * FROM audit WHERE seq < ");
    query.push_bind(before.unwrap_or(i64::MAX));
    if let Some(from) = filter.from {
        query.push(" AND at >= ").push_bind(from.ticks());
    }
    if let Some(until) = filter.until {
        query.push(" AND at < ").push_bind(until.ticks());
    }
    for (column, value) in [("aggregate", &filter.aggregate), ("id", &filter.id), ("action", &filter.action)] {
        if let Some(value) = value {
            query.push(format!(" AND {column} = ")).push_bind(value.clone()).push(" COLLATE NOCASE");
        }
    }
    if let Some(actor) = &filter.actor {
        query.push(" AND (");
        for (index, field) in ["$.name", "$.object_id", "$.user_principal_name"].into_iter().enumerate() {
            if index > 0 {
                query.push(" OR ");
            }
            query.push(format!("json_extract(actor, '{field}') = ")).push_bind(actor.clone()).push(" COLLATE NOCASE");
        }
        query.push(")");
    }
    query.push(" ORDER BY seq DESC LIMIT ").push_bind(limit);
    let rows = query.build().fetch_all(connection).await?;
    rows.iter().map(read).collect()
}
