//! `bartizan up` — the service.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use tracing_subscriber::EnvFilter;

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
    /// Reads the configuration and fills in what nobody said.
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
        Ok(Settings { data_dir, listen, config, sample_rules })
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

/// Sets up what the service says about itself, once.
pub fn log(config: &Config) {
    let filter = config.log.filter.as_deref().unwrap_or("info");
    let filter = EnvFilter::try_from_env("BARTIZAN_LOG").unwrap_or_else(|_| EnvFilter::new(filter));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let builder = builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    // A second start in one process (in tests) keeps the first one's.
    let _ = match config.log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
