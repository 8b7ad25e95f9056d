//! Notifies listeners of arriving rows. A slow listener receives only the newest arrival of each table.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use model::{Arrival, TableName, Timestamp};
use tokio::sync::watch;

/// The newest arrival of each table, and a version that changes with every arrival.
pub struct Bell {
    newest: Arc<Mutex<HashMap<TableName, Timestamp>>>,
    rung: watch::Sender<u64>,
}

struct Listener {
    newest: Arc<Mutex<HashMap<TableName, Timestamp>>>,
    rung: watch::Receiver<u64>,
    heard: HashMap<TableName, Timestamp>,
}

impl Bell {
    pub fn new() -> Self {
        Self { newest: Arc::default(), rung: watch::Sender::new(0) }
    }

    pub fn ring(&self, tables: Vec<TableName>, ingested: Timestamp) {
        if tables.is_empty() {
            return;
        }
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        for table in tables {
            newest.insert(table, ingested);
        }
        drop(newest);
        self.rung.send_modify(|count| *count += 1);
    }

    pub fn listen(&self) -> BoxStream<'static, Arrival> {
        let rung = self.rung.subscribe();
        let heard = self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let listener = Listener { newest: self.newest.clone(), rung, heard };
        stream::unfold(listener, |mut listener| async move {
            loop {
                let fresh = listener.fresh();
                if !fresh.is_empty() {
                    return Some((stream::iter(fresh), listener));
                }
                listener.rung.changed().await.ok()?;
            }
        })
        .flatten()
        .boxed()
    }
}

impl Listener {
    /// Arrivals not yet delivered, oldest first.
    fn fresh(&mut self) -> Vec<Arrival> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let unheard = newest.iter().filter(|(table, ingested)| self.heard.get(*table) != Some(ingested));
        let mut fresh: Vec<Arrival> = unheard.map(|(table, ingested)| Arrival { table: table.clone(), ingested: *ingested }).collect();
        drop(newest);
        fresh.sort_by(|a, b| (a.ingested, &a.table).cmp(&(b.ingested, &b.table)));
        for arrival in &fresh {
            self.heard.insert(arrival.table.clone(), arrival.ingested);
        }
        fresh
    }
}
