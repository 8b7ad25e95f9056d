//! The composition root: who is given what. Starts every part in order and stops them in the opposite one.

mod connect;
mod desk;
mod external;
pub mod http;
mod ingest;
mod keeper;
mod lock;
mod mail_in;
mod paging;
mod reserve;
mod rules;
mod secrets;
mod sources;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use detection::Detection;
use engine::{Engine, Guarded, SystemClock};
use incidents::{Correlation, Incidents, OutboxSender, WorkspaceFacts};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use model::{Catalog, Clock, ConditionSeverity, HealthRegister, Http, QueryEngine, Span, TableWriter, WorkspaceName};
use pipeline::Pipeline;
use server::{Dispatcher, ServerConfig, identity};
use store::{Store, StoreError};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use workspace::{SystemDisk, Workspace};

pub use self::connect::Connect;
use crate::config::Config;

/// What the command line and the configuration together mean.
pub struct Settings {
    pub data_dir: PathBuf,
    pub listen: SocketAddr,
    pub config: Config,
    /// Load the sample rules that are built in.
    pub sample_rules: bool,
}

/// A running service.
pub struct Service {
    pub connect: Connect,
    /// Where `connect.json` was written.
    pub connect_path: PathBuf,
    pub store: Store,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
    server: JoinHandle<Result<(), server::TlsError>>,
    tasks: Vec<JoinHandle<()>>,
    workspace: Arc<Workspace>,
    _lock: lock::DirectoryLock,
}

impl Service {
    /// Starts everything; returns when requests are answered.
    pub async fn start(settings: Settings) -> anyhow::Result<Service> {
        let Settings { data_dir, listen, config, sample_rules } = settings;
        let lock = lock::DirectoryLock::take(&data_dir)?;
        let metrics = metrics_handle()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        // Before anything is opened: a wrong `outbound` section is the operator's to mend, and nothing should have changed by then.
        let http: Arc<dyn Http> = Arc::new(http::Outbound::new(&config.outbound)?);
        let health = HealthRegister::default();
        reserve::make_room(&data_dir, &health);
        keeper::check(&data_dir, &health);
        let store = Store::open_in(&data_dir, &health, clock.now()).await.context("cannot open the control state")?;
        let cloud = identity::bootstrap(&data_dir, &store, &names_of(listen), clock.now()).await?;

        let options = workspace::Options {
            name: WorkspaceName::new(&cloud.cloud.workspace_name),
            config: config.workspace.clone(),
            id: Some(cloud.cloud.workspace_id.clone()),
            disk: Arc::new(SystemDisk),
            clock: clock.clone(),
            health: health.clone(),
        };
        let folder = data_dir.clone();
        let workspace =
            Arc::new(tokio::task::spawn_blocking(move || Workspace::open(&folder, options)).await?.context("cannot open the tables")?);
        for quarantined in &workspace.recovery().quarantined {
            tracing::error!(?quarantined, "damage was found in the log and set aside");
        }
        let (catalog, writer): (Arc<dyn Catalog>, Arc<dyn TableWriter>) = (workspace.clone(), workspace.clone());
        let rows = engine::Store { catalog: catalog.clone(), snapshots: workspace.clone() };
        let mut engine = Engine::new(Some(rows), clock.clone(), engine::Options::default())?;
        engine = engine.with_config(config.query.clone(), Some(&data_dir.join("tmp")))?;
        if !config.external.is_empty() {
            engine = engine.with_external(Arc::new(external::Allowed::new(&config.external)?));
        }
        let engine: Arc<dyn QueryEngine> = Arc::new(Guarded::new(Arc::new(engine), clock.clone(), &data_dir.join("running")));

        // Bound before connect.json is written: with port 0 only the system knows the port.
        let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
        let address = listener.local_addr()?;
        let mut connect = Connect::new(&data_dir, address, &cloud);
        let facts = Arc::new(WorkspaceFacts {
            workspace_id: cloud.cloud.workspace_id.clone(),
            workspace_name: cloud.cloud.workspace_name.clone(),
            subscription_id: cloud.cloud.subscription_id.clone(),
            resource_group: cloud.cloud.resource_group.clone(),
            portal_url: connect.portal_url.clone(),
        });
        unless_full(rules::load(&store, clock.as_ref(), &config.rules, sample_rules).await, "rules from files")?;

        let pipeline = Pipeline::new(engine.clone(), writer.clone(), catalog.clone(), clock.clone());
        let door = ingest::Door::open(pipeline, store.clone(), cloud.cloud.clone()).await?;
        let incidents = Incidents { store: store.clone(), clock: clock.clone(), facts: facts.clone() };
        let needs = paging::Needs {
            data_dir: &data_dir,
            config: &config.oncall,
            store: store.clone(),
            clock: clock.clone(),
            http: http.clone(),
            secrets: Arc::new(secrets::SystemSecrets),
            incidents: incidents.clone(),
            base_url: &connect.base_url,
        };
        let oncall = paging::start(needs).await?;
        let desk_incidents = incidents.clone();
        let context = Arc::new(server::Context {
            engine: engine.clone(),
            writer: writer.clone(),
            catalog: catalog.clone(),
            clock: clock.clone(),
            store: store.clone(),
            incidents,
            ingest: door,
            oncall: oncall.clone(),
            identity: Arc::new(cloud.identity),
            cloud: cloud.cloud,
            health: health.clone(),
            metrics: Box::new(move || metrics.render()),
        });
        let stop = CancellationToken::new();
        let mail = mail_in::start(config.oncall.mail_in.as_ref(), cloud.certificate.config()?, &oncall, stop.clone()).await?;
        let own: Arc<dyn rustls::server::ResolvesServerCert> = cloud.certificate.clone();
        let (bound, sources) = sources::start(config.sources.clone(), writer.clone(), clock.clone(), own, stop.clone()).await?;
        connect.syslog = bound;
        // Before anyone is answered: who sees /healthz say 200 may read the file, and one of an earlier start names ports that are gone.
        let connect_path = match connect.write(&data_dir) {
            Ok(path) => path,
            Err(cause) if is_full(&cause) && data_dir.join("connect.json").exists() => {
                tracing::error!(error = %cause, port = address.port(), "`connect.json` cannot be written and may name another port");
                data_dir.join("connect.json")
            }
            Err(cause) => return Err(cause).context("cannot write `connect.json`"),
        };
        if let Err(cause) = keeper::keep(&data_dir) {
            tracing::warn!(error = %cause, "certificates and keys cannot be copied now; the next start will");
        }
        let dispatcher = Arc::new(Dispatcher::new(context));
        let server =
            tokio::spawn(server::serve(ServerConfig::default(), dispatcher, cloud.certificate, listener, clock.clone(), stop.clone()));

        let heartbeats = oncall::heartbeats::Heartbeats::new(
            store.clone(),
            oncall.objects.clone(),
            Arc::new(desk::IncidentDesk(desk_incidents)),
            engine.clone(),
            clock.clone(),
        );
        let detection = Detection { store: store.clone(), engine, catalog: catalog.clone(), clock: clock.clone() };
        let correlation = Correlation { store: store.clone(), clock: clock.clone(), facts };
        let outbox = OutboxSender { store: store.clone(), writer, catalog, clock: clock.clone() };
        let token = || stop.clone();
        let mut tasks = vec![
            tokio::spawn(detection.run(token())),
            tokio::spawn({
                let stop = token();
                async move { correlation.run(stop).await }
            }),
            tokio::spawn({
                let stop = token();
                async move { outbox.run(stop).await }
            }),
            tokio::spawn({
                let stop = token();
                async move { oncall.run(stop).await }
            }),
            tokio::spawn({
                let stop = token();
                async move { heartbeats.run(stop).await }
            }),
            tokio::spawn(reserve::keep(data_dir.clone(), health.clone(), clock.clone(), token())),
            tokio::spawn(copy_state(store.clone(), clock.clone(), token())),
        ];
        tasks.extend(mail);
        tasks.extend(sources);
        tracing::info!(url = connect.base_url, "Ready.");
        for condition in health.conditions() {
            match condition.severity {
                ConditionSeverity::Notice => tracing::warn!(condition = condition.name, "{}", condition.summary),
                _ => tracing::error!(condition = condition.name, "{}; {}", condition.summary, condition.action),
            }
        }
        Ok(Service { connect, connect_path, store, clock, stop, server, tasks, workspace, _lock: lock })
    }

    /// Waits until the service is told to end (SIGTERM, SIGINT) or its listener breaks.
    pub async fn wait(&mut self) -> anyhow::Result<()> {
        tokio::select! {
            signal = signal() => signal.context("cannot listen for signals"),
            ended = &mut self.server => Ok(ended??),
        }
    }

    /// Stops taking requests, lets those in progress end, then the tasks, then the tables.
    pub async fn stop(self) -> anyhow::Result<()> {
        tracing::info!("Stopping.");
        self.stop.cancel();
        if !self.server.is_finished() {
            self.server.await??;
        }
        for task in self.tasks {
            task.await?;
        }
        let workspace = self.workspace;
        tokio::task::spawn_blocking(move || workspace.close()).await?;
        self.store.close_sealed(self.clock.now()).await;
        tracing::info!("Stopped.");
        Ok(())
    }
}

/// How often a running service copies its state database.
const COPY_EVERY: Span = Span(60 * Span::MINUTE.0);

/// Copies the state database at the start and then from time to time, so that a database that is lost costs an hour and not everything.
async fn copy_state(store: Store, clock: Arc<dyn Clock>, stop: CancellationToken) {
    loop {
        if let Err(error) = store.copy(clock.now()).await {
            tracing::warn!(error = %model::chain(&error), "the state database cannot be copied now");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.sleep(COPY_EVERY) => {}
        }
    }
}

/// A full disk at the start: what is stored is served as it is.
fn unless_full(done: anyhow::Result<()>, what: &str) -> anyhow::Result<()> {
    let full = |error: &anyhow::Error| {
        let store = |cause: &(dyn std::error::Error + 'static)| {
            matches!(cause.downcast_ref::<StoreError>(), Some(StoreError::DiskFull(_) | StoreError::Unavailable(_)))
        };
        error.chain().any(store)
    };
    match done {
        Err(error) if full(&error) => {
            tracing::error!(error = format!("{error:#}"), "{what} cannot be stored now; those stored before are used");
            Ok(())
        }
        done => done,
    }
}

fn is_full(cause: &std::io::Error) -> bool {
    matches!(cause.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

/// The recorder is the process's: a second service in it (in tests) shares the first one's.
fn metrics_handle() -> anyhow::Result<PrometheusHandle> {
    static HANDLE: std::sync::OnceLock<PrometheusHandle> = std::sync::OnceLock::new();
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new().install_recorder().context("cannot count what happens")?;
    Ok(HANDLE.get_or_init(|| handle).clone())
}

/// What the certificate must cover besides the local names.
fn names_of(listen: SocketAddr) -> Vec<String> {
    let ip = listen.ip();
    if ip.is_loopback() || ip.is_unspecified() { Vec::new() } else { vec![ip.to_string()] }
}

async fn signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = term.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}
