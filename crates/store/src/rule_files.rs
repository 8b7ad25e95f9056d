//! The source file of analytics rules.

use sqlx::Row;
use uuid::Uuid;

use crate::error::StoreError;
use crate::{Change, Store};

/// A rule that came from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFile {
    /// The rule's resource name. Case-insensitive.
    pub rule_id: String,
    pub file: String,
    /// Digest of the file's content when last applied.
    pub digest: String,
    /// Etag of the rule as created from the file.
    pub etag: Uuid,
}

/// Reads the source files of rules.
pub struct RuleFiles<'s> {
    pub(crate) store: &'s Store,
}

impl RuleFiles<'_> {
    /// By rule.
    pub async fn list(&self) -> Result<Vec<RuleFile>, StoreError> {
        let mut connection = self.store.reader().await?;
        let rows = sqlx::query("SELECT rule_id, file, digest, etag FROM rule_files ORDER BY rule_id").fetch_all(&mut *connection).await?;
        rows.iter()
            .map(|row| {
                let etag: String = row.try_get("etag")?;
                Ok(RuleFile {
                    rule_id: row.try_get("rule_id")?,
                    file: row.try_get("file")?,
                    digest: row.try_get("digest")?,
                    etag: etag.parse().unwrap_or_default(),
                })
            })
            .collect()
    }
}

impl Change {
    /// Stores the source file of a rule.
    pub async fn put_rule_file(&mut self, file: &RuleFile) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO rule_files (rule_id, file, digest, etag) VALUES (?, ?, ?, ?) \
             ON CONFLICT (rule_id) DO UPDATE SET file = excluded.file, digest = excluded.digest, etag = excluded.etag",
        )
        .bind(&file.rule_id)
        .bind(&file.file)
        .bind(&file.digest)
        .bind(file.etag.to_string())
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Detaches the rule from its file.
    pub async fn delete_rule_file(&mut self, rule_id: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM rule_files WHERE rule_id = ?").bind(rule_id).execute(self.connection()).await?;
        Ok(())
    }
}
