//! `bartizan up` — the service.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::OnceLock;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry};

use super::Outcome;
use crate::config::{self, Config, LogFormat};
use crate::service::{Service, Settings};

#[derive(Clone, clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan up                                       data under $XDG_DATA_HOME/bartizan, https://localhost:8443\n  bartizan up --data-dir /var/lib/bartizan --listen 127.0.0.1:0\n  bartizan up --config bartizan.yaml\n\nReady when GET /healthz answers 200. How to connect stands in connect.json in the data directory. Stops cleanly on SIGTERM."
)]
pub struct Args {
    /// A configuration file in YAML. None is needed.
    #[arg(long, value_name = "F")]
    pub config: Option<PathBuf>,
    /// Where state, tables and keys live. Overrides the configuration.
    #[arg(long, value_name = "D")]
    pub data_dir: Option<PathBuf>,
    /// Address and port of HTTPS; port 0 takes a free one. Overrides the configuration.
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<SocketAddr>,
}

impl Args {
    /// Reads the configuration and applies defaults.
    pub fn settings(&self, sample_rules: bool) -> anyhow::Result<Settings> {
        let config = match &self.config {
            Some(path) => config::read(path)?,
            None => config::default(),
        };
        let data_dir = match self.data_dir.clone().or_else(|| config.data_dir.clone()) {
            Some(path) => path,
            None => config::default_data_dir(|name| std::env::var(name).ok())?,
        };
        let listen = self.listen.or(config.listen).unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 8443)));
        Ok(Settings { data_dir, listen, config, config_path: self.config.clone(), sample_rules })
    }
}

pub fn run(args: Args) -> Outcome {
    let settings = args.settings(false)?;
    log(&settings.config);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut service = Service::start(settings).await?;
        service.wait().await?;
        service.stop().await
    })?;
    Ok(())
}

/// The log filter, which a reload may change.
static FILTER: OnceLock<Handle<EnvFilter, Registry>> = OnceLock::new();

/// Sets up logging, once.
pub fn log(config: &Config) {
    let (filter, handle) = reload::Layer::new(filter(config));
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let layer = layer.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    let registry = tracing_subscriber::registry().with(filter);
    // A second start in one process (in tests) keeps the first setup.
    let set = match config.log.format {
        LogFormat::Text => registry.with(layer).try_init(),
        LogFormat::Json => registry.with(layer.json()).try_init(),
    };
    if set.is_ok() {
        let _ = FILTER.set(handle);
    }
    crate::service::supervisor::log_panics();
}

/// Applies the log filter of a new configuration.
pub fn set_log_filter(config: &Config) -> anyhow::Result<()> {
    match FILTER.get() {
        Some(handle) => Ok(handle.reload(filter(config))?),
        None => Ok(()),
    }
}

fn filter(config: &Config) -> EnvFilter {
    let written = config.log.filter.as_deref().unwrap_or("info");
    EnvFilter::try_from_env("BARTIZAN_LOG").unwrap_or_else(|_| EnvFilter::new(written))
}
