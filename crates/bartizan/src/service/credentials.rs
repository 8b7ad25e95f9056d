//! Reports secrets and certificates of applications that expire soon (S1-33), so that they are replaced before a connector stops.

use std::collections::HashSet;
use std::sync::Arc;

use model::{Clock, Condition, ConditionSeverity, HealthRegister, Span, Timestamp};
use server::identity::PublicCertificate;
use store::{Store, StoreError, Topic};
use tokio_util::sync::CancellationToken;

const CONDITION: &str = "application-credential-expiring";
/// Reported this long before the end.
const WARN: Span = Span(30 * 864_000_000_000);
/// Interval of checks besides those after a change.
const CHECK_EVERY: Span = Span(60 * 600_000_000);

/// Checks at start, after each change of an application, and every hour.
pub async fn watch(store: Store, clock: Arc<dyn Clock>, health: HealthRegister, stop: CancellationToken) {
    let mut changes = store.listen(Topic::AppRegistrations);
    let mut reported = HashSet::new();
    loop {
        if let Err(error) = check(&store, clock.now(), &health, &mut reported).await {
            tracing::warn!(error = %model::chain(&error), "credentials of applications cannot be checked now");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.sleep(CHECK_EVERY) => {}
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

async fn check(store: &Store, now: Timestamp, health: &HealthRegister, reported: &mut HashSet<String>) -> Result<(), StoreError> {
    let mut current = HashSet::new();
    for app in store.app_registrations().list().await? {
        let secrets = app.secrets.iter().filter_map(|secret| Some((&secret.key_id, "secret", secret.expires?)));
        let certificates = app.certificates.iter().filter_map(|known| {
            let until = PublicCertificate::from_base64(&known.der).ok()?.until;
            Some((&known.key_id, "certificate", known.end.map_or(until, |end| end.min(until))))
        });
        for (key_id, what, end) in secrets.chain(certificates).filter(|(_, _, end)| *end <= now + WARN) {
            let subject = format!("{}/{key_id}", app.app_id);
            let verb = if end <= now { "expired" } else { "expires" };
            let condition = Condition::new(CONDITION, &subject, ConditionSeverity::Notice)
                // Public: no names and ids.
                .summary(format!("a {what} of an application {verb} on {}", &end.to_string()[..10]))
                .action("give the application a new one and remove the old one: `bartizan apps list`, `bartizan apps add-secret`");
            if health.report(condition) {
                tracing::warn!(app = app.app_id, key = key_id, end = %end, "a {what} of an application {verb}");
            }
            current.insert(subject);
        }
    }
    for gone in reported.difference(&current) {
        health.clear(CONDITION, gone);
    }
    *reported = current;
    Ok(())
}
