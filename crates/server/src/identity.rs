//! The tenant: principals, authentication and authorisation.

mod accounts;
mod bootstrap;
mod directory;
mod files;
mod groups;
mod keys;
mod origins;
mod passwords;
mod recovery_codes;
mod sealer;
mod secrets;
mod sessions;
mod sign_in;
mod sign_in_events;
mod throttle;
mod tokens;
mod totp;

use std::path::Path;
use std::sync::{Arc, RwLock};

use model::{Span, Timestamp};
use store::{Store, StoreError};

pub use accounts::{AccountError, Attempt, Enrolment, MAX_ACCOUNTS, NewAccount, People};
pub use bootstrap::{BootstrapError, Bootstrapped, LOCAL_NAMES, Reached, bootstrap, grants};
pub use directory::{Directory, DirectoryEntry, PrincipalKind};
pub use files::write_private;
pub use groups::{GroupError, MAX_GROUPS};
pub use keys::{KeyError, SigningKeys};
pub use origins::{HostName, HostNameError, Origins};
pub use passwords::PasswordRule;
pub use sealer::SealError;
pub use secrets::{SecretError, SecretHash, generate_secret};
pub use sessions::{
    COOKIE, CSRF_HEADER, IdentityConfig, Opened, REMOVE_COOKIE, SessionConfig, SessionError, csrf_token, has_csrf_token, secret_of,
};
pub use sign_in::{Person, SignIn, SignInError, seconds};
pub use sign_in_events::{NoSignInEvents, SignInEvent, SignInEvents, SignInResult};
pub use tokens::{Claims, TokenError};

use crate::rights::{self, Grant};

/// Lifetime of an access token, as in Entra's responses.
pub const TOKEN_LIFETIME: Span = Span(3_599 * 10_000_000);

/// The tenant alias for which MSAL skips instance discovery, so that clients need no code change.
pub const ADFS: &str = "adfs";

/// The authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The application's (client) id.
    pub app_id: String,
    /// The object id of its service principal, which role assignments refer to.
    pub object_id: String,
    pub audience: String,
    pub expires: Timestamp,
    /// The person, if the caller is one.
    pub person: Option<SignedIn>,
}

impl Principal {
    /// The user name of a person, or the id of an application.
    pub fn label(&self) -> &str {
        self.person.as_ref().map_or(&self.app_id, |person| &person.user_principal_name)
    }
}

/// The person behind a request: by a session, or by a token that an application got on behalf of the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    pub name: String,
    pub user_principal_name: String,
    pub display_name: String,
    pub email: Option<String>,
    /// Nothing else is allowed before the password is changed.
    pub must_change_password: bool,
    /// The session's public id; `None` with a token.
    pub session: Option<String>,
}

/// The tenant with its signing keys and role assignments.
pub struct Identity {
    pub tenant_id: String,
    /// The tenant's domain name, accepted instead of its id in paths.
    pub domain: String,
    keys: SigningKeys,
    grants: RwLock<Arc<Vec<Grant>>>,
    directory: RwLock<Arc<Directory>>,
    /// Held while the role assignments and the directory are read and replaced, so that an older state never replaces a newer one.
    reloading: tokio::sync::Mutex<()>,
    /// The names of this server.
    pub origins: Origins,
}

impl Identity {
    /// Opens the tenant with the keys in `folder`; creates a key if there is none.
    pub fn open(
        folder: &Path,
        tenant_id: impl Into<String>,
        domain: impl Into<String>,
        names: impl IntoIterator<Item = HostName>,
    ) -> Result<Self, KeyError> {
        let (keys, origins) = (SigningKeys::open(folder)?, Origins::new(names.into_iter().collect()));
        Ok(Self {
            tenant_id: tenant_id.into(),
            domain: domain.into(),
            keys,
            grants: RwLock::default(),
            directory: RwLock::default(),
            reloading: tokio::sync::Mutex::default(),
            origins,
        })
    }

    pub fn keys(&self) -> &SigningKeys {
        &self.keys
    }

    /// Whether a path segment names this tenant: its id, its domain, or the alias `adfs`.
    pub fn is_tenant(&self, name: &str) -> bool {
        name.eq_ignore_ascii_case(&self.tenant_id) || name.eq_ignore_ascii_case(&self.domain) || name.eq_ignore_ascii_case(ADFS)
    }

    /// Replaces the role assignments after they changed in the store.
    pub fn set_grants(&self, grants: Vec<Grant>) {
        *self.grants.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Arc::new(grants);
    }

    /// Reads role assignments, people and groups after they changed in the store. The change is in effect when this returns.
    pub async fn reload(&self, store: &Store) -> Result<(), StoreError> {
        let _turn = self.reloading.lock().await;
        let (grants, directory) = (bootstrap::grants(store).await?, Directory::load(store).await?);
        *self.directory.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Arc::new(directory);
        self.set_grants(grants);
        Ok(())
    }

    /// The people and groups of the tenant.
    pub fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.directory.read().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// The name under which a person is known in the tenant: a name without a domain gets the tenant's.
    pub fn user_principal_name(&self, name: &str) -> String {
        if name.contains('@') { name.to_owned() } else { format!("{name}@{}", self.domain) }
    }

    /// Whether the principal may do `action` at `scope`.
    pub fn allows(&self, principal: &Principal, action: &str, scope: &str) -> bool {
        self.holds(&principal.object_id, action, scope)
    }

    /// As [`Self::allows`], for any application, person or group.
    pub fn holds(&self, object_id: &str, action: &str, scope: &str) -> bool {
        let (grants, directory) = (self.grants(), self.directory());
        directory.acting_as(object_id).any(|id| rights::allowed(grants.iter(), id, action, scope))
    }

    /// The role assignments now in force.
    pub fn grants(&self) -> Arc<Vec<Grant>> {
        Arc::clone(&self.grants.read().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }
}
