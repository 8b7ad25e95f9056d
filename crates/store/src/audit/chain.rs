//! The chain of seals, and its verification.

use sha2::{Digest, Sha256};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::rechain::{TRAIL, TRAIL_LOSS};
use crate::error::{StoreError, is_corruption};

/// Entries per query while verifying.
const PAGE: i64 = 1_000;

/// First bytes of what is hashed, so that a seal of another version is never equal.
const DOMAIN: &[u8] = b"bartizan audit 2\n";

/// Result of a verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chain {
    /// All entries are intact; `last` is the seal of the last one. `losses` are the numbers of entries that record an earlier loss.
    Whole { entries: u64, last: String, losses: Vec<i64> },
    /// This is the first entry with a fault.
    Broken { entry: i64, fault: Fault },
}

/// What is wrong with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its content, its number or its seal was changed.
    Changed,
    /// It is not there, but a later one is.
    Missing,
    /// It cannot be read.
    Unreadable,
    /// It is the last one of the trail, but the head kept outside the database names a later one: entries were removed from the end, or
    /// the database was replaced by an older copy.
    EntriesAfterMissing,
    /// The head kept outside the database has another seal for it: the chain was computed anew.
    Rewritten,
}

/// The seal of an entry. Texts are length-prefixed, so the encoding is unambiguous.
pub fn seal_of(previous: &str, number: i64, at: i64, texts: [&str; 5]) -> String {
    let mut hash = Sha256::new();
    hash.update(DOMAIN);
    hash.update(number.to_le_bytes());
    hash.update(at.to_le_bytes());
    for text in std::iter::once(previous).chain(texts) {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    hex::encode(hash.finalize())
}

/// An entry's columns, undecoded.
pub(super) struct Sealed {
    pub number: i64,
    pub at: i64,
    pub texts: [String; 5],
    pub seal: String,
}

impl Sealed {
    pub fn read(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            number: row.try_get("seq")?,
            at: row.try_get("at")?,
            texts: [row.try_get("aggregate")?, row.try_get("id")?, row.try_get("action")?, row.try_get("actor")?, row.try_get("changes")?],
            seal: row.try_get("seal")?,
        })
    }

    pub fn texts(&self) -> [&str; 5] {
        self.texts.each_ref().map(String::as_str)
    }
}

/// The entries after `last`, at most `limit`.
pub(super) async fn page(connection: &mut SqliteConnection, last: i64, limit: i64) -> Result<Vec<SqliteRow>, sqlx::Error> {
    sqlx::query("SELECT seq, at, aggregate, id, action, actor, changes, seal FROM audit WHERE seq > ? ORDER BY seq LIMIT ?")
        .bind(last)
        .bind(limit)
        .fetch_all(connection)
        .await
}

/// Verifies all entries after number `after`, whose own seal is taken as it is, and the head kept outside.
pub async fn verify(connection: &mut SqliteConnection, after: i64, head: Option<(i64, &str)>) -> Result<Chain, StoreError> {
    let seal: Option<String> =
        sqlx::query_scalar("SELECT seal FROM audit WHERE seq = ?").bind(after).fetch_optional(&mut *connection).await?;
    if after > 0 && seal.is_none() {
        return Ok(Chain::Broken { entry: after, fault: Fault::Missing });
    }
    let mut walk = Walk { last: after, seal: seal.unwrap_or_default(), entries: 0, losses: Vec::new(), head };
    loop {
        let rows = match page(connection, walk.last, PAGE).await {
            Ok(rows) => rows,
            Err(cause) if is_damage(&cause) => match page(connection, walk.last, 1).await {
                // One by one, to name the entry that cannot be read.
                Ok(row) => row,
                Err(cause) if is_damage(&cause) => return Ok(walk.broken(walk.last + 1, Fault::Unreadable)),
                Err(cause) => return Err(cause.into()),
            },
            Err(cause) => return Err(cause.into()),
        };
        if rows.is_empty() {
            return Ok(walk.end());
        }
        for row in &rows {
            if let Some(fault) = walk.step(row) {
                return Ok(fault);
            }
        }
    }
}

/// Whether reading failed because of what is stored.
fn is_damage(cause: &sqlx::Error) -> bool {
    is_corruption(cause) || matches!(cause, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_))
}

struct Walk<'a> {
    last: i64,
    seal: String,
    entries: u64,
    losses: Vec<i64>,
    head: Option<(i64, &'a str)>,
}

impl Walk<'_> {
    fn broken(&self, entry: i64, fault: Fault) -> Chain {
        Chain::Broken { entry, fault }
    }

    /// The fault of the next entry, if it has one.
    fn step(&mut self, row: &SqliteRow) -> Option<Chain> {
        let expected = self.last + 1;
        let Ok(entry) = Sealed::read(row) else { return Some(self.broken(expected, Fault::Unreadable)) };
        if entry.number != expected {
            return Some(self.broken(expected, Fault::Missing));
        }
        if entry.seal != seal_of(&self.seal, entry.number, entry.at, entry.texts()) {
            return Some(self.broken(expected, Fault::Changed));
        }
        if self.head.is_some_and(|(number, seal)| number == entry.number && seal != entry.seal) {
            return Some(self.broken(expected, Fault::Rewritten));
        }
        if entry.texts[0] == TRAIL && entry.texts[2] == TRAIL_LOSS {
            self.losses.push(entry.number);
        }
        self.last = entry.number;
        self.seal = entry.seal;
        self.entries += 1;
        None
    }

    fn end(self) -> Chain {
        match self.head {
            Some((head, _)) if head > self.last => self.broken(self.last, Fault::EntriesAfterMissing),
            _ => Chain::Whole { entries: self.entries, last: self.seal, losses: self.losses },
        }
    }
}
