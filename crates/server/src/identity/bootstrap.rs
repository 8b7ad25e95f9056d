//! First start: creates the tenant, subscription, workspace and one application with full rights. Later starts load them.

use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use documents::writes::{By, add_role_assignment};
use model::{Actor, Secret, Timestamp};
use serde_json::{Value, json};
use store::{Account, AppRegistration, AuditEntry, Change, ClientSecret, RoleAssignment, Store, StoreError};
use uuid::Uuid;

use super::accounts::empty;
use super::passwords;
use super::{HostName, Identity, KeyError, SecretHash, generate_secret, secrets::SecretError, write_private};
use crate::context::Cloud;
use crate::rights::{Grant, METRICS_PUBLISHER, OWNER};
use crate::tls::{ServerCertificate, TlsError, TlsFiles};

/// Names that the certificate always covers.
pub const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The server's names and certificate.
#[derive(Clone, Debug, Default)]
pub struct Reached {
    /// Names besides the local ones; the first is used in links.
    pub names: Vec<HostName>,
    /// The operator's certificate.
    pub tls: Option<TlsFiles>,
}

impl Reached {
    /// The configured names, followed by the local ones.
    fn all_names(&self) -> Vec<HostName> {
        let local = LOCAL_NAMES.iter().map(|name| HostName { host: (*name).to_owned(), port: None });
        let mut names = self.names.clone();
        for name in local {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

/// Why the embedded cloud could not be created.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    #[error("cannot set up TLS")]
    Tls(#[from] TlsError),
    #[error("cannot set up the signing keys")]
    Keys(#[from] KeyError),
    #[error("cannot keep the embedded cloud's names")]
    Store(#[from] StoreError),
    #[error("cannot make a secret")]
    Secret(#[from] SecretError),
    #[error("cannot read or write `{path}`")]
    File {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
}

/// The created or loaded state, including the content of `connect.json`.
pub struct Bootstrapped {
    pub identity: Identity,
    pub certificate: std::sync::Arc<ServerCertificate>,
    pub cloud: Cloud,
    pub tenant_id: String,
    pub client_id: String,
    pub client_secret: Secret<String>,
    /// The shared key of the HTTP Data Collector API, in base64.
    pub workspace_key: Secret<String>,
    pub admin_user: String,
    /// Empty once the administrator has chosen another one.
    pub admin_password: Secret<String>,
}

/// Opens the embedded cloud in the data directory `folder` and creates what is missing.
///
/// `reached` gives additional names and the certificate. The store has only hashes of secrets; the first application's secret and the
/// administrator's password are read back from the existing `connect.json`. If that file is missing or its secret does not match, a new
/// secret is generated and the old one is revoked.
pub async fn bootstrap(folder: &Path, store: &Store, reached: &Reached, now: Timestamp) -> Result<Bootstrapped, BootstrapError> {
    let names = reached.all_names();
    let hosts: Vec<String> = names.iter().map(|name| name.host.clone()).collect();
    let certificate = ServerCertificate::open(&folder.join("tls"), &hosts, reached.tls.as_ref(), now)?;
    let previous = Previous::read(&folder.join("connect.json"));

    let mut change = store.begin().await?;
    let guid = || Uuid::new_v4().to_string();
    // If the store is new but `connect.json` exists, keep its ids, so that clients continue to work.
    let known = |id: &Option<String>| id.clone().filter(|id| Uuid::parse_str(id).is_ok()).unwrap_or_else(guid);
    let tenant_id = change.keep_cloud_name("tenant_id", &known(&previous.tenant_id)).await?;
    let cloud = Cloud {
        subscription_id: change.keep_cloud_name("subscription_id", &known(&previous.subscription_id)).await?,
        resource_group: change.keep_cloud_name("resource_group", "bartizan").await?,
        workspace_name: change.keep_cloud_name("workspace_name", "bartizan").await?,
        workspace_id: change.keep_cloud_name("workspace_id", &known(&previous.workspace_id)).await?,
        location: change.keep_cloud_name("location", "local").await?,
    };
    let domain = change.keep_cloud_name("tenant_domain", "bartizan.local").await?;
    let client_id = change.keep_cloud_name("first_app_id", &known(&previous.client_id)).await?;
    let client_secret = first_app(&mut change, &client_id, previous.client_secret, now).await?;
    let admin_password = administrator(&mut change, &tenant_id, &cloud.workspace_path(), previous.admin_password, now).await?;
    change.commit().await?;

    let identity = Identity::open(&folder.join("keys"), tenant_id.as_str(), domain, names)?;
    identity.reload(store).await?;
    Ok(Bootstrapped {
        identity,
        certificate,
        cloud,
        tenant_id,
        client_id,
        client_secret,
        workspace_key: workspace_key(&folder.join("keys/workspace.key"))?,
        admin_user: ADMIN.to_owned(),
        admin_password,
    })
}

/// Role assignments from the store, in the form authorisation uses.
pub async fn grants(store: &Store) -> Result<Vec<Grant>, StoreError> {
    let assignments = store.role_assignments().list().await?;
    Ok(assignments
        .into_iter()
        .map(|each| Grant { principal: each.principal_id, definition: each.definition_id, scope: each.scope })
        .collect())
}

/// Creates or loads the first application with its two roles; returns its secret.
async fn first_app(
    change: &mut Change,
    app_id: &str,
    known: Option<Secret<String>>,
    now: Timestamp,
) -> Result<Secret<String>, BootstrapError> {
    let existing = change.app_registration(app_id).await?;
    if let (Some(app), Some(secret)) = (&existing, &known)
        && app.secrets.iter().any(|each| SecretHash::from_stored(each.hash.as_str()).proves(secret.reveal()))
    {
        return Ok(secret.clone());
    }
    let secret = match (&existing, known) {
        (None, Some(secret)) if secret.reveal().len() >= SHORTEST_SECRET => secret,
        _ => generate_secret()?,
    };
    let hash =
        ClientSecret { key_id: FIRST_SECRET.to_owned(), hash: SecretHash::of_generated(&secret)?.as_stored().to_owned(), expires: None };
    let is_new = existing.is_none();
    let mut app = existing.unwrap_or_else(|| AppRegistration {
        app_id: app_id.to_owned(),
        object_id: Uuid::new_v4().to_string(),
        display_name: "First application".to_owned(),
        created: now,
        secrets: Vec::new(),
        certificates: Vec::new(),
    });
    app.secrets.retain(|each| each.key_id != FIRST_SECRET);
    app.secrets.push(hash);
    change.put_app_registration(&app).await?;
    if is_new {
        let changes = json!({ "displayName": [null, app.display_name] });
        record(change, now, "app registration", app_id, "created", changes).await?;
    }
    record(change, now, "app registration", app_id, "secret added", json!({ "keyId": [null, FIRST_SECRET] })).await?;
    if is_new {
        for definition in [OWNER, METRICS_PUBLISHER] {
            let assignment = RoleAssignment {
                name: Uuid::new_v4().to_string(),
                scope: "/".to_owned(),
                definition_id: definition.to_owned(),
                principal_id: app.object_id.clone(),
                created: now,
                created_by: "first start".to_owned(),
            };
            assign(change, &assignment).await?;
        }
    }
    Ok(secret)
}

/// Marks the secret shown in `connect.json`, so that it can be replaced without affecting others.
const FIRST_SECRET: &str = "connect.json";

/// Minimum length of a generated secret; a shorter one in `connect.json` was not generated by the service.
const SHORTEST_SECRET: usize = 32;

/// Records what a start creates, without secrets.
async fn record(change: &mut Change, at: Timestamp, aggregate: &str, id: &str, action: &str, changes: Value) -> Result<(), StoreError> {
    let entry = AuditEntry {
        at,
        aggregate: aggregate.to_owned(),
        id: id.to_owned(),
        action: action.to_owned(),
        actor: Actor::task("start"),
        changes,
    };
    change.record(&entry).await
}

/// Adds a role assignment with its audit entry.
async fn assign(change: &mut Change, assignment: &RoleAssignment) -> Result<(), StoreError> {
    let actor = Actor::task("start");
    add_role_assignment(change, assignment, By { actor: &actor, at: assignment.created }).await
}

/// User name of the administrator.
const ADMIN: &str = "admin";
/// Names in the store: the administrator's object id, and where earlier versions kept the hash of the password.
const ADMIN_ID: &str = "admin_object_id";
const LEGACY_HASH: &str = "admin_password";

/// Creates the administrator's account with the role Owner on the workspace, or loads it. Returns its password, or an empty one if the
/// administrator chose another or the account was deleted: neither is undone at a start.
async fn administrator(
    change: &mut Change,
    tenant_id: &str,
    workspace: &str,
    known: Option<Secret<String>>,
    now: Timestamp,
) -> Result<Secret<String>, BootstrapError> {
    let object_id = change.cloud_name(ADMIN_ID).await?;
    let legacy = change.cloud_name(LEGACY_HASH).await?.filter(|hash| !hash.is_empty());
    let Some(object_id) = object_id.clone().filter(|_| legacy.is_none()) else {
        let is_kept = |password: &Secret<String>| match &legacy {
            Some(hash) => SecretHash::from_stored(hash.as_str()).proves(password.reveal()),
            None => password.reveal().len() >= SHORTEST_SECRET,
        };
        let password = known.filter(is_kept).map_or_else(generate_secret, Ok)?;
        let mut account = Account {
            display_name: "Administrator".to_owned(),
            bootstrap_password: true,
            ..empty(tenant_id, ADMIN, Some(passwords::hash(&password)?), now)
        };
        account.object_id = object_id.unwrap_or(account.object_id);
        change.put_account(&account).await?;
        let changes = json!({ "name": [null, account.name], "display_name": [null, account.display_name] });
        record(change, now, "account", &account.object_id, "created", changes).await?;
        let assignment = RoleAssignment {
            name: Uuid::new_v4().to_string(),
            scope: workspace.to_owned(),
            definition_id: OWNER.to_owned(),
            principal_id: account.object_id.clone(),
            created: now,
            created_by: "first start".to_owned(),
        };
        assign(change, &assignment).await?;
        change.set_cloud_name(ADMIN_ID, &account.object_id).await?;
        if legacy.is_some() {
            change.set_cloud_name(LEGACY_HASH, "").await?;
        }
        return Ok(password);
    };
    let Some(mut account) = change.account(&object_id).await?.filter(|account| account.bootstrap_password) else {
        return Ok(Secret::new(String::new()));
    };
    let hash = account.password_hash.clone().unwrap_or_default();
    if let Some(password) = known.filter(|password| passwords::is_right(password, &hash)) {
        return Ok(password);
    }
    let password = generate_secret()?;
    account.password_hash = Some(passwords::hash(&password)?);
    account.changed = now;
    change.put_account(&account).await?;
    change.revoke_sessions(&account.object_id, None, now).await?;
    record(change, now, "account", &account.object_id, "password set", json!({})).await?;
    Ok(password)
}

/// Kept in plain text: signatures of the Data Collector API are computed with the key itself.
fn workspace_key(path: &Path) -> Result<Secret<String>, BootstrapError> {
    let failed = |cause| BootstrapError::File { path: path.to_owned(), cause };
    match std::fs::read_to_string(path) {
        Ok(key) => Ok(Secret::new(key.trim().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut bytes = [0u8; 64];
            rand::fill(&mut bytes).map_err(|_| SecretError)?;
            let key = BASE64_STANDARD.encode(bytes);
            write_private(path, key.as_bytes()).map_err(failed)?;
            Ok(Secret::new(key))
        }
        Err(error) => Err(failed(error)),
    }
}

/// Ids and secrets from the existing `connect.json`.
#[derive(Default, serde::Deserialize)]
struct Previous {
    tenant_id: Option<String>,
    subscription_id: Option<String>,
    workspace_id: Option<String>,
    client_id: Option<String>,
    client_secret: Option<Secret<String>>,
    admin_password: Option<Secret<String>>,
}

impl Previous {
    /// A missing or invalid file is not an error: new values are generated.
    fn read(path: &Path) -> Self {
        std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Principal;

    #[tokio::test]
    async fn a_second_start_finds_what_the_first_one_made() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("state.db")).await.unwrap();
        let now = Timestamp::parse_iso("2026-11-20T12:00:00Z").unwrap();
        let first = bootstrap(folder.path(), &store, &Reached::default(), now).await.unwrap();
        let connect = serde_json::json!({ "client_secret": first.client_secret.reveal(), "admin_password": first.admin_password.reveal() });
        std::fs::write(folder.path().join("connect.json"), connect.to_string()).unwrap();
        let second = bootstrap(folder.path(), &store, &Reached::default(), now).await.unwrap();
        assert_eq!(second.client_secret.reveal(), first.client_secret.reveal());
        assert_eq!(second.admin_password.reveal(), first.admin_password.reveal());
        assert_eq!(second.workspace_key.reveal(), first.workspace_key.reveal());
        assert_eq!((second.tenant_id, second.client_id.clone()), (first.tenant_id, first.client_id));
        assert_eq!(store.role_assignments().list().await.unwrap().len(), 3);

        // Without the file the secret is replaced and the old one revoked.
        std::fs::remove_file(folder.path().join("connect.json")).unwrap();
        let third = bootstrap(folder.path(), &store, &Reached::default(), now).await.unwrap();
        let app = store.app_registrations().get(&third.client_id).await.unwrap().unwrap();
        let proves =
            |secret: &Secret<String>| app.secrets.iter().any(|each| SecretHash::from_stored(each.hash.as_str()).proves(secret.reveal()));
        assert!(proves(&third.client_secret) && !proves(&first.client_secret));

        let principal = Principal {
            app_id: app.app_id.clone(),
            object_id: app.object_id.clone(),
            audience: String::new(),
            expires: Timestamp::MAX,
            person: None,
        };
        let allows = |action: &str, scope: &str| third.identity.allows(&principal, action, scope);
        for action in ["Microsoft.SecurityInsights/incidents/delete", "Microsoft.Authorization/roleAssignments/write"] {
            assert!(allows(action, &third.cloud.workspace_path()), "{action}");
        }
        assert!(allows("Microsoft.Insights/Telemetry/Write", "/subscriptions/x"));
    }

    #[tokio::test]
    async fn the_administrator_of_an_earlier_version_gets_an_account() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("state.db")).await.unwrap();
        let now = Timestamp::parse_iso("2026-11-20T12:00:00Z").unwrap();
        // As written by version 0.1.0.
        let old = generate_secret().unwrap();
        let mut change = store.begin().await.unwrap();
        change.set_cloud_name(LEGACY_HASH, SecretHash::of_generated(&old).unwrap().as_stored()).await.unwrap();
        change.commit().await.unwrap();
        let keep = |password: &Secret<String>| {
            let connect = serde_json::json!({ "admin_password": password.reveal() });
            std::fs::write(folder.path().join("connect.json"), connect.to_string()).unwrap();
        };
        keep(&old);
        let start = || async { bootstrap(folder.path(), &store, &Reached::default(), now).await.unwrap() };
        let started = start().await;
        assert_eq!(started.admin_password.reveal(), old.reveal());
        let account = store.accounts().by_name(&started.tenant_id, "ADMIN").await.unwrap().unwrap();
        assert!(passwords::is_right(&old, account.password_hash.as_deref().unwrap()));
        assert!(started.identity.holds(&account.object_id, "Bartizan/access/users/write", &started.cloud.workspace_path()));
        assert!(!started.identity.holds(&account.object_id, "Bartizan/rules/read", "/"));

        // A lost file: another password. One that the administrator chose: it stays, and the file has none.
        keep(&Secret::new("lost".to_owned()));
        let replaced = start().await.admin_password.clone();
        assert!(replaced.reveal().len() >= SHORTEST_SECRET && replaced.reveal() != old.reveal());
        let mut change = store.begin().await.unwrap();
        let chosen = Account { bootstrap_password: false, ..account.clone() };
        change.put_account(&chosen).await.unwrap();
        change.commit().await.unwrap();
        assert_eq!(start().await.admin_password.reveal(), "");
        assert_eq!(store.accounts().get(&account.object_id).await.unwrap(), Some(chosen));
    }
}
