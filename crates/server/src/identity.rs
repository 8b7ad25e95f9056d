//! The tenant: principals, authentication and authorisation.

mod bootstrap;
mod certificates;
mod files;
mod keys;
mod origins;
pub mod permissions;
mod sealed;
mod secrets;
mod sign_in;
mod throttle;
mod tokens;

use std::path::Path;
use std::sync::{Arc, OnceLock, RwLock};

use model::{Span, Timestamp};

pub use bootstrap::{BootstrapError, Bootstrapped, LOCAL_NAMES, Reached, bootstrap, grants};
pub use certificates::{CertificateError, MIN_RSA_BITS, NewCertificate, PublicCertificate, self_signed};
pub use files::write_private;
pub use keys::{KeyError, SigningKeys};
pub use origins::{HostName, HostNameError, Origins};
pub use sealed::Sealer;
pub use secrets::{SecretError, SecretHash, generate_secret};
pub use sign_in::{ADMIN_NAME, Attempt, BootstrapAdministrator, MAX_NAME, MAX_PASSWORD, Person, SignIn, SignInError};
pub use throttle::Throttle;
pub use tokens::{AccessToken, Claims, ClientProof, Subject, TokenError};

use crate::endpoint::Role;
use crate::rights::{self, Grant};

/// Lifetime of an access token, as in Entra's responses.
pub const TOKEN_LIFETIME: Span = Span(3_599 * 10_000_000);

/// The tenant alias for which MSAL skips instance discovery, so that clients need no code change.
pub const ADFS: &str = "adfs";

/// Aliases for "the tenant of whoever signs in", for applications of several tenants.
pub const COMMON: [&str; 2] = ["common", "organizations"];

/// Name under which the administrator's object id is stored.
pub(crate) const ADMIN_OBJECT_ID: &str = "admin_object_id";

/// The authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The application's (client) id.
    pub app_id: String,
    /// The object id of its service principal, or of the person who uses it; role assignments refer to it.
    pub object_id: String,
    pub audience: String,
    pub expires: Timestamp,
    /// Scopes of a person's token; `None` in an application's own.
    pub scopes: Option<Vec<String>>,
    /// The person's name.
    pub name: Option<String>,
}

/// The tenant with its signing keys and role assignments.
pub struct Identity {
    pub tenant_id: String,
    /// The tenant's domain name, accepted instead of its id in paths.
    pub domain: String,
    keys: SigningKeys,
    grants: RwLock<Arc<Vec<Grant>>>,
    /// The names of this server.
    pub origins: Origins,
    /// Seals what pages carry from one step to the next.
    pub sealer: Sealer,
    sign_in: OnceLock<Arc<dyn SignIn>>,
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
        let sealer = Sealer::new().ok_or(KeyError::Random)?;
        let (tenant_id, domain) = (tenant_id.into(), domain.into());
        Ok(Self { tenant_id, domain, keys, grants: RwLock::default(), origins, sealer, sign_in: OnceLock::new() })
    }

    /// Sets the accounts that may sign in. Called once; later calls have no effect.
    pub fn set_sign_in(&self, accounts: Arc<dyn SignIn>) {
        let _ = self.sign_in.set(accounts);
    }

    /// The accounts that may sign in; `None` if there are none.
    pub fn accounts(&self) -> Option<Arc<dyn SignIn>> {
        self.sign_in.get().cloned()
    }

    pub fn keys(&self) -> &SigningKeys {
        &self.keys
    }

    /// Whether a path segment names this tenant: its id, its domain, or the alias `adfs`.
    pub fn is_tenant(&self, name: &str) -> bool {
        name.eq_ignore_ascii_case(&self.tenant_id) || name.eq_ignore_ascii_case(&self.domain) || name.eq_ignore_ascii_case(ADFS)
    }

    /// Whether the person may consent for everyone and change applications: an owner of the root scope.
    pub fn is_administrator(&self, object_id: &str) -> bool {
        let grants = Arc::clone(&self.grants.read().unwrap_or_else(|poisoned| poisoned.into_inner()));
        rights::allowed(grants.iter(), object_id, Role::Owner, "Microsoft.AAD", "/")
    }

    /// Replaces the role assignments after they changed in the store.
    pub fn set_grants(&self, grants: Vec<Grant>) {
        *self.grants.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Arc::new(grants);
    }

    /// Whether the principal may act as `role` in `namespace` at `scope`.
    pub fn allows(&self, principal: &Principal, role: Role, namespace: &str, scope: &str) -> bool {
        let grants = Arc::clone(&self.grants.read().unwrap_or_else(|poisoned| poisoned.into_inner()));
        rights::allowed(grants.iter(), &principal.object_id, role, namespace, scope)
    }
}
