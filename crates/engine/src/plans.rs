//! Cache of bound plans. The transform of a data collection rule runs for every upload, each time over another `source`; to parse and bind
//! its text again would cost more than to run it over a few rows.
//!
//! An entry is keyed by everything that binding reads: the text, the columns of the query's own tables, its functions and the version of
//! the catalog; so a change is another entry and nothing is invalidated. The time is not part of the key: a plan with a value computed from
//! the time of binding, or with rows that were read to bind it, is not kept, and only its parsed text is reused.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kql::bind::{Bound, bind, bind_for_reuse};
use kql::syntax::{Parsed, parse};
use model::{Column, StoredFunction, TableName, Timestamp};

use crate::run::Run;
use crate::schema::Names;

/// Maximum number of entries.
const MOST_ENTRIES: usize = 256;

/// Maximum size of all entries: operators and calls of their plans, and a unit for each [`BYTES_OF_UNIT`] bytes of their keys.
const MOST_UNITS: usize = 200_000;

/// Maximum size of an entry; larger plans are bound each time.
const LARGEST_ENTRY: usize = 20_000;

const BYTES_OF_UNIT: usize = 16;

/// Bound plans of an engine. Evicts the least recently used ones.
#[derive(Default)]
pub(crate) struct Plans {
    cache: Mutex<Cache>,
    bound: AtomicU64,
}

#[derive(Default)]
struct Cache {
    entries: HashMap<Arc<Key>, Entry>,
    units: usize,
    /// Increases with each use.
    uses: u64,
}

struct Entry {
    prepared: Prepared,
    units: usize,
    used: u64,
}

#[derive(Clone)]
enum Prepared {
    Plan(Arc<Kept>),
    /// Must be bound for each run.
    Text(Arc<Parsed>),
}

struct Kept {
    bound: Bound,
    /// The workspace tables that binding named.
    reads: Vec<TableName>,
}

/// Everything that binding reads, except the time.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    text: String,
    tables: Vec<(TableName, Vec<Column>)>,
    functions: Vec<[String; 3]>,
    inline_only: bool,
    catalog: Option<u64>,
}

impl Key {
    fn of(text: &str, run: &Run, catalog: Option<u64>) -> Self {
        let function = |function: &Arc<StoredFunction>| [function.name.clone(), function.parameters.clone(), function.body.clone()];
        Self {
            text: text.to_owned(),
            tables: run.scope.tables.iter().map(|table| (table.schema.name.clone(), table.schema.columns.clone())).collect(),
            functions: run.scope.functions.iter().map(function).collect(),
            inline_only: run.scope.inline_only,
            catalog,
        }
    }

    fn units(&self) -> usize {
        let functions = self.functions.iter().flatten().map(String::len);
        let columns = self.tables.iter().flat_map(|(_, columns)| columns).map(|column| column.name.len());
        (self.text.len() + functions.chain(columns).sum::<usize>()) / BYTES_OF_UNIT + 1
    }
}

impl Plans {
    /// Parses and binds a text, or returns its plan from the cache. Texts without tables of their own rarely repeat and are not kept.
    pub(crate) fn bind(&self, text: &str, names: &Names, now: Timestamp) -> Bound {
        let run = &names.run;
        if run.scope.tables.is_empty() {
            self.bound.fetch_add(1, Ordering::Relaxed);
            return bind(&parse(text), names, now);
        }
        let catalog = || run.store.as_ref().map(|store| store.catalog.version());
        let key = Key::of(text, run, catalog());
        let parsed = match self.get(&key) {
            Some(Prepared::Plan(kept)) => {
                kept.reads.iter().for_each(|table| run.names(table));
                return kept.bound.clone();
            }
            Some(Prepared::Text(parsed)) => {
                self.bound.fetch_add(1, Ordering::Relaxed);
                return bind(&parsed, names, now);
            }
            None => Arc::new(parse(text)),
        };
        self.bound.fetch_add(1, Ordering::Relaxed);
        let reusable = bind_for_reuse(text, &parsed, names, now);
        // A cancelled bind returns anything, and a catalog that changed meanwhile belongs to another key.
        if !run.watch.is_stopped() && key.catalog == catalog() {
            let keeps_plan = reusable.timeless && reusable.bound.plan.is_some() && !run.has_kept();
            let prepared = if keeps_plan {
                Prepared::Plan(Arc::new(Kept { bound: reusable.bound.clone(), reads: run.tables_read() }))
            } else {
                Prepared::Text(parsed)
            };
            let units = key.units() + if keeps_plan { reusable.size } else { 0 };
            self.put(key, prepared, units);
        }
        reusable.bound
    }

    /// Number of texts bound, rather than found in the cache.
    pub(crate) fn bound(&self) -> u64 {
        self.bound.load(Ordering::Relaxed)
    }

    fn get(&self, key: &Key) -> Option<Prepared> {
        let mut cache = self.cache();
        cache.uses += 1;
        let used = cache.uses;
        let entry = cache.entries.get_mut(key)?;
        entry.used = used;
        Some(entry.prepared.clone())
    }

    fn put(&self, key: Key, prepared: Prepared, units: usize) {
        if units > LARGEST_ENTRY {
            return;
        }
        let mut cache = self.cache();
        cache.uses += 1;
        let used = cache.uses;
        cache.units += units;
        if let Some(before) = cache.entries.insert(Arc::new(key), Entry { prepared, units, used }) {
            cache.units -= before.units;
        }
        while cache.entries.len() > MOST_ENTRIES || cache.units > MOST_UNITS {
            let Some(oldest) = cache.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone()) else { break };
            if let Some(evicted) = cache.entries.remove(&oldest) {
                cache.units -= evicted.units;
            }
        }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: usize) -> Key {
        Key { text: format!("source | take {text}"), tables: Vec::new(), functions: Vec::new(), inline_only: true, catalog: None }
    }

    #[test]
    fn the_least_recently_used_entries_are_evicted() {
        let plans = Plans::default();
        let text = || Prepared::Text(Arc::new(parse("source")));
        plans.put(key(0), text(), LARGEST_ENTRY + 1);
        assert!(plans.get(&key(0)).is_none());
        for number in 0..MOST_ENTRIES {
            plans.put(key(number), text(), 1);
        }
        assert!(plans.get(&key(0)).is_some());
        plans.put(key(MOST_ENTRIES), text(), 1);
        assert!(plans.get(&key(0)).is_some() && plans.get(&key(1)).is_none());
        // Few large entries push out many small ones.
        for number in 1000..1000 + MOST_UNITS / LARGEST_ENTRY {
            plans.put(key(number), text(), LARGEST_ENTRY);
        }
        let cache = plans.cache();
        assert_eq!((cache.entries.len(), cache.units), (MOST_UNITS / LARGEST_ENTRY, MOST_UNITS));
    }

    #[test]
    fn a_repeated_entry_counts_once() {
        let plans = Plans::default();
        for _ in 0..3 {
            plans.put(key(0), Prepared::Text(Arc::new(parse("source"))), 10);
        }
        assert_eq!(plans.cache().units, 10);
    }
}
