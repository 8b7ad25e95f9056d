//! Simulated peers of the demo: a telephone provider, a mail server and a team, with their configuration.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;
use simulators::mailbox::Mailbox;
use simulators::phone::Phone;

use crate::service::Settings;

const TEAM: &str = include_str!("../../../../../content/oncall/demo.yaml");
/// Fictitious account id.
const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const TOKEN: &str = "5f4dcc3b5aa765d61d8327deb882cf99";

/// The simulators, running as long as the demo.
pub struct Cast {
    pub phone: Phone,
    pub mailbox: Mailbox,
}

impl Cast {
    /// Starts the simulators and adds them to the configuration. The user's own settings are kept.
    pub async fn gather(settings: &mut Settings) -> anyhow::Result<Self> {
        // Providers call back, so the port must be known before the service binds it.
        if settings.listen.port() == 0 {
            settings.listen = free(settings.listen)?;
        }
        let phone = Phone::start(ACCOUNT, TOKEN, reqwest::Client::new()).await.context("the demo's telephone provider does not start")?;
        let mailbox = Mailbox::start().await.context("the demo's mail server does not start")?;
        let folder = settings.data_dir.join("demo");
        let token = write(&folder, "phone.token", TOKEN)?;
        let team = write(&folder, "team.yaml", TEAM)?;
        let oncall = &mut settings.config.oncall;
        oncall.apply.insert(0, team);
        let base = format!("https://localhost:{}", settings.listen.port());
        oncall.channels.entry("sms".to_owned()).or_insert_with(|| {
            json!({
                "account_sid": ACCOUNT, "auth_token": format!("file:{}", token.display()), "from": "+4759440000",
                "base_url": phone.base_url(), "public_url": base, "internal": true,
            })
        });
        oncall.channels.entry("email".to_owned()).or_insert_with(|| {
            json!({
                "host": mailbox.address().ip().to_string(), "port": mailbox.address().port(), "security": "none",
                "from": "Bartizan on call <oncall@example.org>",
            })
        });
        if settings.config.sources.syslog.is_empty() {
            let listener = json!([{ "name": "firewalls", "udp": "127.0.0.1:0", "tcp": "127.0.0.1:0" }]);
            settings.config.sources.syslog = serde_json::from_value(listener).context("the demo's syslog listener is wrong")?;
        }
        Ok(Self { phone, mailbox })
    }

    /// Makes the telephone provider trust the service's certificate authority, which exists now.
    pub fn trust(&self, ca: &Path) -> anyhow::Result<()> {
        let pem = std::fs::read(ca).with_context(|| format!("cannot read `{}`", ca.display()))?;
        self.phone.trust(reqwest::Client::builder().tls_certs_only([reqwest::Certificate::from_pem(&pem)?]).build()?);
        Ok(())
    }
}

/// The same address with a free port.
fn free(listen: SocketAddr) -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind(listen).and_then(|listener| listener.local_addr()).with_context(|| format!("cannot listen on {listen}"))?)
}

fn write(folder: &Path, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let path = folder.join(name);
    server::identity::write_private(&path, text.as_bytes()).with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(path)
}
