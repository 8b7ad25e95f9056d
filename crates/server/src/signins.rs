//! Sign-ins: each request for a token becomes a row, in the shape of Entra's sign-in logs.
//!
//! Equal sign-ins of a window are one row with their number, as Entra aggregates those of service principals. An attack cannot fill the
//! tables: a window has at most [`MAX_ROWS`] rows, of which failures get [`MAX_FAILURES`] and one address [`MAX_FAILURES_OF_ADDRESS`]; what
//! is beyond is counted in one more row. Rows that wait are lost when the process is killed.
//!
//! Columns: learn.microsoft.com/azure/azure-monitor/reference/tables/aadserviceprincipalsigninlogs and …/signinlogs.

mod rows;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use model::{Clock, Span, Timestamp};
use store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::call::{Call, Query};
use crate::error::ApiError;
use crate::identity::{SignInEvent, SignInEvents};
use crate::reply::Reply;

/// How long sign-ins are collected before they are rows.
pub const WINDOW: Span = Span(15 * Span::SECOND.0);
/// Rows of a window, without the one that counts the rest.
pub const MAX_ROWS: usize = 250;
/// Of these, failed sign-ins: the rest is reserved for successful ones, whose number the registered applications bound.
pub const MAX_FAILURES: usize = 200;
/// Of these, failed sign-ins from one address.
pub const MAX_FAILURES_OF_ADDRESS: usize = 40;
/// Characters kept of what a client sends.
const MAX_ID: usize = 100;
const MAX_TEXT: usize = 200;

/// Name of what people sign in to.
const PORTAL: &str = "Bartizan";

/// Who signs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// Rows in `AADServicePrincipalSignInLogs`.
    Application,
    /// Rows in `SigninLogs`.
    User,
}

/// What makes two sign-ins equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SignIn {
    pub who: Who,
    /// The application's id, as the client sent it.
    pub app_id: String,
    /// The object id of the service principal or user; empty if it is unknown.
    pub object_id: String,
    /// Its name; empty if it is unknown.
    pub name: String,
    /// The resource that the token is for.
    pub resource: String,
    /// `clientSecret`, `clientAssertion`, `password`.
    pub credential: &'static str,
    pub address: String,
    pub user_agent: String,
    /// 0, or the number of the error.
    pub code: u32,
    /// The error's text.
    pub description: String,
}

#[derive(Debug)]
struct Group {
    first: Timestamp,
    count: u64,
    correlation: String,
}

#[derive(Debug, Default)]
struct Pending {
    groups: HashMap<SignIn, Group>,
    failures: usize,
    failures_of: HashMap<String, usize>,
    /// Sign-ins beyond the limits.
    beyond: u64,
}

/// Collects sign-ins.
#[derive(Debug, Default)]
pub struct SignIns(Mutex<Pending>);

impl SignIns {
    /// Adds a sign-in. O(1), no waiting.
    pub fn add(&self, sign_in: SignIn, correlation: &str, now: Timestamp) {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(group) = pending.groups.get_mut(&sign_in) {
            group.count += 1;
            return;
        }
        let failed = sign_in.code != 0;
        let of_address = pending.failures_of.get(&sign_in.address).copied().unwrap_or(0);
        let full =
            pending.groups.len() >= MAX_ROWS || (failed && (pending.failures >= MAX_FAILURES || of_address >= MAX_FAILURES_OF_ADDRESS));
        if full {
            pending.beyond += 1;
            metrics::counter!("bartizan_sign_ins_not_listed_total").increment(1);
            return;
        }
        if failed {
            pending.failures += 1;
            *pending.failures_of.entry(sign_in.address.clone()).or_default() += 1;
        }
        pending.groups.insert(sign_in, Group { first: now, count: 1, correlation: correlation.to_owned() });
    }

    /// Moves what was collected to the outbox.
    pub async fn flush(&self, store: &Store, place: &Place, now: Timestamp) -> Result<(), StoreError> {
        let pending = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if pending.groups.is_empty() && pending.beyond == 0 {
            return Ok(());
        }
        let mut change = store.begin().await?;
        for (sign_in, group) in &pending.groups {
            change.send_row(rows::table(sign_in.who), &rows::row(sign_in, group, place)).await?;
        }
        if pending.beyond > 0 {
            change.send_row(rows::table(Who::Application), &rows::beyond(pending.beyond, place, now)).await?;
        }
        change.commit().await
    }
}

impl SignInEvents for SignIns {
    /// A person's attempt. The portal is the resource and the application.
    fn emit(&self, event: SignInEvent) {
        let known = |id: Option<String>| id.unwrap_or_default();
        let sign_in = SignIn {
            who: Who::User,
            app_id: String::new(),
            object_id: known(event.object_id),
            name: event.name.chars().take(MAX_TEXT).collect(),
            resource: PORTAL.to_owned(),
            credential: if event.second_factor { "passwordAndSecondFactor" } else { "password" },
            address: event.address.to_string(),
            user_agent: event.user_agent,
            code: event.result.code(),
            description: event.result.description().to_owned(),
        };
        self.add(sign_in, &uuid::Uuid::new_v4().to_string(), event.at);
    }
}

/// Identifiers that every row has.
#[derive(Clone, Debug)]
pub struct Place {
    pub tenant_id: String,
    pub workspace_id: String,
}

/// The task that writes the rows.
pub struct SignInTask {
    pub sign_ins: Arc<SignIns>,
    pub store: Store,
    pub clock: Arc<dyn Clock>,
    pub place: Place,
}

impl SignInTask {
    /// Runs until stopped; the last rows are written then.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.clock.sleep(WINDOW) => {}
            }
            // Rows of a window that cannot be stored are given up: keeping them would need a bound of its own.
            if let Err(error) = self.sign_ins.flush(&self.store, &self.place, self.clock.now()).await {
                tracing::warn!(error = %model::chain(&error), "sign-ins cannot be recorded now");
            }
        }
    }
}

/// A request for a token, while it is answered.
pub struct Attempt {
    sign_in: SignIn,
    correlation: String,
}

impl Attempt {
    /// Begins with what the client says about itself.
    pub fn begin(call: &Call, form: &Query) -> Self {
        let short = |text: &str, limit: usize| text.chars().filter(|c| !c.is_control()).take(limit).collect::<String>();
        let sign_in = SignIn {
            who: Who::Application,
            app_id: short(form.filled("client_id").unwrap_or_default(), MAX_ID),
            object_id: String::new(),
            name: String::new(),
            resource: short(form.filled("resource").or_else(|| form.filled("scope")).unwrap_or_default(), MAX_TEXT),
            credential: if form.filled("client_assertion").is_some() { "clientAssertion" } else { "clientSecret" },
            address: call.peer.ip().to_string(),
            user_agent: short(call.header("user-agent").unwrap_or_default(), MAX_TEXT),
            code: 0,
            description: String::new(),
        };
        Self { sign_in, correlation: call.ids.client.clone().unwrap_or_else(|| call.ids.request.to_string()) }
    }

    /// The application proved who it is.
    pub fn proved(&mut self, app: &store::AppRegistration) {
        self.sign_in.app_id.clone_from(&app.app_id);
        self.sign_in.object_id.clone_from(&app.object_id);
        self.sign_in.name.clone_from(&app.display_name);
    }

    /// Adds the sign-in with its result. Errors that are not Entra's, such as those of an overloaded server, are no sign-ins.
    pub fn end(mut self, sign_ins: &SignIns, result: &Result<Reply, ApiError>, now: Timestamp) {
        if let Err(error) = result {
            let Some(code) = error.entra else { return };
            self.sign_in.code = code;
            self.sign_in.description = error.message.chars().take(MAX_TEXT).collect();
        }
        sign_ins.add(self.sign_in, &self.correlation, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign_in(app: &str, address: &str, code: u32) -> SignIn {
        SignIn {
            who: Who::Application,
            app_id: app.to_owned(),
            object_id: String::new(),
            name: String::new(),
            resource: "https://monitor.azure.com".to_owned(),
            credential: "clientSecret",
            address: address.to_owned(),
            user_agent: String::new(),
            code,
            description: String::new(),
        }
    }

    #[tokio::test]
    async fn an_attack_has_few_rows_and_hides_no_sign_in() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("state.db")).await.unwrap();
        let (sign_ins, now) = (SignIns::default(), Timestamp::UNIX_EPOCH);
        let place = Place { tenant_id: "t".to_owned(), workspace_id: "w".to_owned() };
        for n in 0..10_000 {
            sign_ins.add(sign_in(&n.to_string(), "192.0.2.1", 700_016), "c", now);
        }
        for n in 0..1_000 {
            sign_ins.add(sign_in("x", &format!("198.51.100.{n}"), 7_000_215), "c", now);
        }
        for _ in 0..500 {
            sign_ins.add(sign_in("known", "203.0.113.9", 0), "c", now);
        }
        sign_ins.flush(&store, &place, now).await.unwrap();
        let rows = store.outbox().after(0, 10_000).await.unwrap();
        assert_eq!(rows.len(), MAX_FAILURES + 2);
        let of = |code: &str| rows.iter().filter(|row| row.row["ResultType"] == code).count();
        assert_eq!((of("700016"), of("7000215"), of("0")), (MAX_FAILURES_OF_ADDRESS, MAX_FAILURES - MAX_FAILURES_OF_ADDRESS, 1));
        let known = rows.iter().find(|row| row.row.get("AppId").is_some_and(|id| id == "known")).unwrap();
        assert!(known.row["AuthenticationProcessingDetails"].as_str().unwrap().contains("500"), "{:?}", known.row);
        let beyond = rows.iter().find(|row| row.row["ResultType"] == rows::BEYOND).unwrap();
        assert!(beyond.row["ResultDescription"].as_str().unwrap().starts_with("10800 "), "{:?}", beyond.row);
        assert_eq!(known.table, "AADServicePrincipalSignInLogs");

        // Nothing waits any more.
        sign_ins.flush(&store, &place, now).await.unwrap();
        assert_eq!(store.outbox().len().await.unwrap(), rows.len() as u64);
    }
}
