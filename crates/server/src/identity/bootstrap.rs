//! First start: creates the tenant, subscription, workspace and one application with full rights. Later starts load them.

use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use model::{Actor, Secret, Timestamp};
use serde_json::{Value, json};
use store::{AppRegistration, AuditEntry, Change, ClientSecret, RoleAssignment, Store, StoreError};
use uuid::Uuid;

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
    let admin_password = admin_password(&mut change, previous.admin_password, now).await?;
    change.commit().await?;

    let identity = Identity::open(&folder.join("keys"), tenant_id.as_str(), domain, names)?;
    identity.set_grants(grants(store).await?);
    Ok(Bootstrapped {
        identity,
        certificate,
        cloud,
        tenant_id,
        client_id,
        client_secret,
        workspace_key: workspace_key(&folder.join("keys/workspace.key"))?,
        admin_user: "admin".to_owned(),
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
            change.add_role_assignment(&assignment).await?;
            let changes = json!({
                "scope": [null, assignment.scope], "roleDefinitionId": [null, definition], "principalId": [null, assignment.principal_id],
            });
            record(change, now, "role assignment", &assignment.name, "created", changes).await?;
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

async fn admin_password(change: &mut Change, known: Option<Secret<String>>, now: Timestamp) -> Result<Secret<String>, BootstrapError> {
    let stored = change.cloud_name("admin_password").await?;
    match (stored, known) {
        (Some(hash), Some(password)) if SecretHash::from_stored(hash.as_str()).proves(password.reveal()) => Ok(password),
        (stored, known) => {
            let kept = known.filter(|password| stored.is_none() && password.reveal().len() >= SHORTEST_SECRET);
            let password = kept.map_or_else(generate_secret, Ok)?;
            change.set_cloud_name("admin_password", SecretHash::of_generated(&password)?.as_stored()).await?;
            record(change, now, "account", "admin", "password set", json!({})).await?;
            Ok(password)
        }
    }
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
        assert_eq!(store.role_assignments().list().await.unwrap().len(), 2);

        // Without the file the secret is replaced and the old one revoked.
        std::fs::remove_file(folder.path().join("connect.json")).unwrap();
        let third = bootstrap(folder.path(), &store, &Reached::default(), now).await.unwrap();
        let app = store.app_registrations().get(&third.client_id).await.unwrap().unwrap();
        let proves =
            |secret: &Secret<String>| app.secrets.iter().any(|each| SecretHash::from_stored(each.hash.as_str()).proves(secret.reveal()));
        assert!(proves(&third.client_secret) && !proves(&first.client_secret));

        let principal =
            Principal { app_id: app.app_id.clone(), object_id: app.object_id.clone(), audience: String::new(), expires: Timestamp::MAX };
        let allows = |action: &str, scope: &str| third.identity.allows(&principal, action, scope);
        for action in ["Microsoft.SecurityInsights/incidents/delete", "Microsoft.Authorization/roleAssignments/write"] {
            assert!(allows(action, &third.cloud.workspace_path()), "{action}");
        }
        assert!(allows("Microsoft.Insights/Telemetry/Write", "/subscriptions/x"));
    }
}
