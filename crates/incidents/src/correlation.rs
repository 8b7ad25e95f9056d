//! The correlation task, which creates incidents from alerts.

use std::sync::Arc;

use model::{Actor, Alert, Clock, Incident, Timestamp};
use serde_json::json;
use store::{AuditEntry, Change, Store, StoreError, Topic};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::grouping::{Candidate, MAX_ALERTS, Placement, group_key, place};
use crate::opening::{join, open};
use crate::service::send_incident;
use crate::tables::{WorkspaceFacts, security_alert_row};
use crate::waiting::Waiting;

/// Alerts per transaction.
const AT_ONCE: u32 = 100;
/// Candidate incidents of a group: more than one is joinable only if others were full, closed or too old.
const CANDIDATES: u32 = 20;

/// Creates incidents from alerts. Idempotent: an alert is marked as handled in the transaction that places it.
pub struct Correlation {
    pub store: Store,
    pub clock: Arc<dyn Clock>,
    pub facts: Arc<WorkspaceFacts>,
}

/// Result of one activation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CorrelationReport {
    pub alerts: usize,
    pub opened: usize,
    pub joined: usize,
    pub unreadable: usize,
}

impl Correlation {
    /// Runs until cancelled, whenever alerts arrive.
    pub async fn run(&self, cancel: CancellationToken) {
        let mut waiting = Waiting::new(self.store.listen(Topic::Alerts), self.clock.clone(), cancel);
        while !waiting.cancelled() {
            let go_on = match self.activate().await {
                Ok(_) => waiting.idle().await,
                Err(error) => {
                    tracing::error!(error = model::chain(&error), "alerts were not made into incidents; trying again");
                    waiting.retry(None).await
                }
            };
            if !go_on {
                return;
            }
        }
    }

    /// Handles all pending alerts.
    pub async fn activate(&self) -> Result<CorrelationReport, StoreError> {
        let mut report = CorrelationReport::default();
        loop {
            let pending = self.store.alerts().pending(AT_ONCE).await?;
            if pending.is_empty() {
                return Ok(report);
            }
            let opened = report.opened;
            let mut change = self.store.begin().await?;
            for (id, alert) in pending {
                match alert {
                    Ok(alert) => self.handle(&mut change, &alert, &mut report).await?,
                    Err(error) => {
                        tracing::error!(alert = %id, error = model::chain(&error), "an alert does not read back and is put aside");
                        change.set_alert_aside(id).await?;
                        report.unreadable += 1;
                    }
                }
            }
            change.commit().await?;
            metrics::counter!("bartizan_incidents_opened_total").increment((report.opened - opened) as u64);
        }
    }

    async fn handle(&self, change: &mut Change, alert: &Alert, report: &mut CorrelationReport) -> Result<(), StoreError> {
        if !change.handle_alert(alert.id).await? {
            return Ok(());
        }
        report.alerts += 1;
        change.send_row("SecurityAlert", &security_alert_row(alert, &self.facts)).await?;
        let now = self.clock.now();
        let candidates = candidates(change, alert).await?;
        let views: Vec<Candidate<'_>> =
            candidates.iter().map(|(incident, first_alert)| Candidate { incident, first_alert: *first_alert }).collect();
        let (incident, action) = match place(alert, &views) {
            Placement::Nowhere => return Ok(()),
            Placement::Join { incident, reopen } => {
                let Some((before, _)) = candidates.iter().find(|(candidate, _)| candidate.id == incident) else { return Ok(()) };
                report.joined += 1;
                (join(before, alert, reopen, now, Uuid::new_v4()), if reopen { "reopened" } else { "alert added" })
            }
            placement @ Placement::Open { .. } => {
                let number = change.next_incident_number().await?;
                report.opened += 1;
                (open(alert, &placement, number, now, Uuid::new_v4()), "created")
            }
        };
        debug_assert!(incident.alert_ids.len() <= MAX_ALERTS);
        change.put_incident(&incident).await?;
        send_incident(change, &incident, &self.facts).await?;
        let entry = AuditEntry {
            at: incident.modified,
            aggregate: "incident".to_owned(),
            id: incident.id.to_string(),
            action: action.to_owned(),
            actor: Actor::task("correlation"),
            changes: json!({ "alert": [null, alert.id] }),
        };
        change.record(&entry).await
    }
}

async fn candidates(change: &mut Change, alert: &Alert) -> Result<Vec<(Incident, Timestamp)>, StoreError> {
    let Some(group) = group_key(alert) else { return Ok(Vec::new()) };
    let mut candidates = Vec::new();
    for incident in change.incidents_of_group(&group, CANDIDATES).await? {
        let first = change.first_alert_of(incident.id).await?.unwrap_or(incident.created);
        candidates.push((incident, first));
    }
    Ok(candidates)
}
