//! `connect.json`: endpoints and credentials of the service, for its owner and for scripts. Public contract: fields are added, never
//! changed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;
use server::identity::Bootstrapped;

/// The content of the file. Every endpoint is an https origin.
#[derive(Clone, Serialize)]
pub struct Connect {
    pub base_url: String,
    /// Absolute path of the certificate authority to trust.
    pub ca_cert: PathBuf,
    /// Address and port of the listener.
    pub listen: SocketAddr,
    pub authority: String,
    pub tenant_id: String,
    pub client_id: String,
    client_secret: String,
    pub subscription_id: String,
    pub resource_group: String,
    pub workspace_name: String,
    pub workspace_id: String,
    workspace_key: String,
    pub logs_ingestion_endpoint: String,
    pub log_analytics_endpoint: String,
    pub graph_endpoint: String,
    pub arm_endpoint: String,
    pub ti_endpoint: String,
    pub portal_url: String,
    pub admin_user: String,
    admin_password: String,
    /// Syslog listeners.
    pub syslog: Vec<connectors::Bound>,
}

impl Connect {
    pub fn new(address: SocketAddr, cloud: &Bootstrapped) -> Self {
        // The canonical name; local tools connect to `listen`, so it need not resolve.
        let base = cloud.identity.origins.canonical();
        let ca_cert = cloud.certificate.ca_path();
        Self {
            ca_cert: std::path::absolute(&ca_cert).unwrap_or(ca_cert),
            listen: address,
            authority: base.clone(),
            tenant_id: cloud.tenant_id.clone(),
            client_id: cloud.client_id.clone(),
            client_secret: cloud.client_secret.reveal().clone(),
            subscription_id: cloud.cloud.subscription_id.clone(),
            resource_group: cloud.cloud.resource_group.clone(),
            workspace_name: cloud.cloud.workspace_name.clone(),
            workspace_id: cloud.cloud.workspace_id.clone(),
            workspace_key: cloud.workspace_key.reveal().clone(),
            logs_ingestion_endpoint: base.clone(),
            log_analytics_endpoint: base.clone(),
            graph_endpoint: base.clone(),
            arm_endpoint: base.clone(),
            ti_endpoint: base.clone(),
            portal_url: base.clone(),
            admin_user: cloud.admin_user.clone(),
            admin_password: cloud.admin_password.reveal().clone(),
            base_url: base,
            syslog: Vec::new(),
        }
    }

    /// Replaces `D/connect.json` atomically, readable by its owner only.
    pub fn write(&self, data_dir: &Path) -> std::io::Result<PathBuf> {
        let path = data_dir.join("connect.json");
        let text = serde_json::to_string_pretty(self).map_err(std::io::Error::other)?;
        server::identity::write_private(&path, text.as_bytes())?;
        Ok(path)
    }
}
