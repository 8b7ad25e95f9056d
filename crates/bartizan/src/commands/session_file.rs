//! The session of a person on the command line: `$XDG_STATE_HOME/bartizan/session.json`, readable by its owner only. `bartizan login`
//! writes it; other commands use it where `connect.json` cannot be read.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use model::Secret;
use serde::{Deserialize, Serialize};

/// The content of the file.
#[derive(Deserialize)]
pub struct SessionFile {
    pub base_url: String,
    /// The certificate authority to trust, in PEM. `None`: those of the system.
    pub ca_pem: Option<String>,
    /// Address and port of the listener, if the service is on this machine.
    pub listen: Option<SocketAddr>,
    /// Value of the session's cookie.
    pub secret: Secret<String>,
    pub csrf_token: Secret<String>,
    pub user: String,
    pub cloud: CloudNames,
}

/// Identifiers of the service's cloud.
#[derive(Clone, Serialize, Deserialize)]
pub struct CloudNames {
    pub tenant_id: String,
    pub subscription_id: String,
    pub resource_group: String,
    pub workspace_name: String,
    pub workspace_id: String,
}

/// Where the file is (XDG Base Directory Specification).
pub fn path() -> anyhow::Result<PathBuf> {
    let absolute = |name| std::env::var(name).ok().map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|base| base.join("bartizan/session.json"))
        .context("there is no place for the session: set XDG_STATE_HOME or HOME")
}

impl SessionFile {
    /// `None` if nobody has logged in.
    pub fn read() -> anyhow::Result<Option<Self>> {
        let path = path()?;
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read `{}`", path.display())),
        };
        serde_json::from_slice(&text)
            .map(Some)
            .with_context(|| format!("cannot read `{}`; `bartizan login` writes it anew", path.display()))
    }

    /// Writes the file with mode 0600.
    pub fn write(&self) -> anyhow::Result<()> {
        let path = path()?;
        let content = serde_json::json!({
            "base_url": self.base_url,
            "ca_pem": self.ca_pem,
            "listen": self.listen,
            "secret": self.secret.reveal(),
            "csrf_token": self.csrf_token.reveal(),
            "user": self.user,
            "cloud": self.cloud,
        });
        server::identity::write_private(&path, content.to_string().as_bytes()).with_context(|| format!("cannot write `{}`", path.display()))
    }

    /// Removes the file; it need not exist.
    pub fn remove() -> anyhow::Result<()> {
        let path = path()?;
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove `{}`", path.display()))
            }
            _ => Ok(()),
        }
    }
}
