//! The tenant: principals, authentication and authorisation.

mod bootstrap;
mod files;
mod keys;
mod origins;
mod secrets;
mod tokens;

use std::path::Path;
use std::sync::{Arc, RwLock};

use model::{Span, Timestamp};

pub use bootstrap::{BootstrapError, Bootstrapped, LOCAL_NAMES, Reached, bootstrap, grants};
pub use files::write_private;
pub use keys::{KeyError, SigningKeys};
pub use origins::{HostName, HostNameError, Origins};
pub use secrets::{SecretError, SecretHash, generate_secret};
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
        Ok(Self { tenant_id: tenant_id.into(), domain: domain.into(), keys, grants: RwLock::default(), origins })
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

    /// Whether the principal may do `action` at `scope`.
    pub fn allows(&self, principal: &Principal, action: &str, scope: &str) -> bool {
        rights::allowed(self.grants().iter(), &principal.object_id, action, scope)
    }

    /// The role assignments now in force.
    pub fn grants(&self) -> Arc<Vec<Grant>> {
        Arc::clone(&self.grants.read().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }
}
