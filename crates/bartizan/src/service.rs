//! The composition root: wires all parts, starts them in order and stops them in reverse.

mod connect;
mod connectors;
mod descriptors;
mod desk;
mod external;
mod faults;
pub mod http;
mod ingest;
mod keeper;
pub mod lock;
mod mail_in;
pub mod measure;
pub mod metrics;
mod paging;
mod reload;
mod reserve;
mod rules;
mod secrets;
pub mod supervisor;
mod watchdog;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use detection::{Detection, NoGuard, WorkspaceIds};
use engine::{Engine, Guarded, SystemClock};
use incidents::{Correlation, Incidents, OutboxSender, WorkspaceFacts};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use model::{Catalog, Clock, ConditionSeverity, HealthRegister, Http, QueryEngine, Span, TableWriter, WorkspaceName};
use pipeline::{Pipeline, Usage};
use server::signins::{Place, SignInTask, SignIns};
use server::{Dispatcher, ServerConfig, identity};
use store::{Store, StoreError};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use workspace::Workspace;

pub use self::connect::Connect;
use self::measure::Measure;
use self::reload::Reloader;
use self::rules::RuleFiles;
pub use self::rules::files as rule_files;
use self::supervisor::Supervisor;
use self::watchdog::Watchdog;
use crate::config::Config;

/// The command line and the configuration combined.
pub struct Settings {
    pub data_dir: PathBuf,
    pub listen: SocketAddr,
    pub config: Config,
    /// Path of the configuration, for reloading on SIGHUP.
    pub config_path: Option<PathBuf>,
    /// Load the built-in sample rules.
    pub sample_rules: bool,
}

/// A running service.
pub struct Service {
    pub connect: Connect,
    /// Path of `connect.json`.
    pub connect_path: PathBuf,
    pub store: Store,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
    tasks: Supervisor,
    reloader: Reloader,
    signals: Signals,
    workspace: Arc<Workspace>,
    _watchdog: Watchdog,
    _lock: lock::DirectoryLock,
}

impl Service {
    /// Starts everything; returns when requests are served.
    pub async fn start(settings: Settings) -> anyhow::Result<Service> {
        let Settings { data_dir, listen, config, config_path, sample_rules } = settings;
        let signals = Signals::listen().context("cannot listen for signals")?;
        let lock = lock::DirectoryLock::take(&data_dir)?;
        lock::refuse_unfinished_restore(&data_dir)?;
        let recorded = metrics_handle()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let health = HealthRegister::default();
        health.set(STARTING, ConditionSeverity::Failing, "the service is starting");
        let watchdog = Watchdog::start(health.clone()).context("cannot start the thread that watches the runtime")?;
        // Before anything is opened: an invalid `outbound` section must not change any state.
        let http: Arc<dyn Http> = Arc::new(http::Outbound::new(&config.outbound)?);
        reserve::make_room(&data_dir, &health);
        keeper::check(&data_dir, &health);
        let store = Store::open_in(&data_dir, &health, clock.now()).await.context("cannot open the control state")?;
        let cloud = identity::bootstrap(&data_dir, &store, &reached(listen, &config)?, clock.now()).await?;

        let options = workspace::Options {
            name: WorkspaceName::new(&cloud.cloud.workspace_name),
            config: config.workspace.clone(),
            id: Some(cloud.cloud.workspace_id.clone()),
            disk: faults::disk(),
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

        // Bound before connect.json is written: with port 0 the port is known only now.
        let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
        let address = listener.local_addr()?;
        cloud.identity.origins.listening_on(address.port());
        let mut connect = Connect::new(address, &cloud);
        let facts = Arc::new(WorkspaceFacts {
            workspace_id: cloud.cloud.workspace_id.clone(),
            workspace_name: cloud.cloud.workspace_name.clone(),
            subscription_id: cloud.cloud.subscription_id.clone(),
            resource_group: cloud.cloud.resource_group.clone(),
            portal_url: connect.portal_url.clone(),
        });
        let outbox =
            Arc::new(OutboxSender { store: store.clone(), writer: writer.clone(), catalog: catalog.clone(), clock: clock.clone() });
        unless_full(outbox.align().await.map_err(Into::into), "the number of the next row")?;
        let rule_files = Arc::new(RuleFiles::new(store.clone(), clock.clone(), health.clone(), config.rules.clone(), sample_rules));
        unless_full(rule_files.load().await.map(drop), "rules from files")?;

        let pipeline = Arc::new(Pipeline::new(engine.clone(), writer.clone(), catalog.clone(), clock.clone()));
        let door = ingest::Door::open(pipeline.clone(), store.clone(), cloud.cloud.clone()).await?;
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
        let stop = CancellationToken::new();
        let mut tasks = Supervisor::new(health.clone(), clock.clone(), stop.clone());
        mail_in::start(config.oncall.mail_in.as_ref(), cloud.certificate.config()?, &oncall, &mut tasks).await?;
        let world = connectors::World {
            sink: pipeline,
            engine: engine.clone(),
            catalog: catalog.clone(),
            writer: writer.clone(),
            clock: clock.clone(),
            http: http.clone(),
            secrets: Arc::new(secrets::SystemSecrets),
            certificate: cloud.certificate.clone(),
            health: health.clone(),
            roots: config.destination_roots.clone().into(),
            host: connectors::host(),
            stop: stop.clone(),
        };
        let (manager, bound) = connectors::Manager::start(config.sources.clone(), config.destinations.clone(), world, &mut tasks).await?;
        connect.syslog = bound;
        let sign_ins = Arc::new(SignIns::default());
        let sign_in_task = SignInTask {
            sign_ins: sign_ins.clone(),
            store: store.clone(),
            clock: clock.clone(),
            place: Place { tenant_id: cloud.tenant_id.clone(), workspace_id: cloud.cloud.workspace_id.clone() },
        };
        let people = identity::People::open(&data_dir, store.clone(), clock.clone(), &cloud.identity, config.identity.clone())
            .context("cannot read or make the key of second factors")?;
        people.report_to(sign_ins.clone());
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
            people,
            sign_ins: sign_ins.clone(),
            cloud: cloud.cloud,
            connectors: manager,
            health: health.clone(),
            metrics: Box::new(move || recorded.render() + &metrics::process()),
        });
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
        let (certificate, reload_clock) = (cloud.certificate.clone(), clock.clone());
        let limits = descriptors::within_limits(config.server.clone());
        serve(&mut tasks, limits, Arc::new(Dispatcher::new(context)), cloud.certificate, listener, clock.clone())?;

        let heartbeats = Arc::new(oncall::heartbeats::Heartbeats::new(
            store.clone(),
            oncall.objects.clone(),
            Arc::new(desk::IncidentDesk(desk_incidents)),
            engine.clone(),
            clock.clone(),
        ));
        let usage_engine = engine.clone();
        let detection = Arc::new(Detection {
            store: store.clone(),
            engine,
            catalog: catalog.clone(),
            clock: clock.clone(),
            config: config.detection.clone(),
            ids: WorkspaceIds { workspace_id: facts.workspace_id.clone(), resource_id: facts.resource_id() },
            health: health.clone(),
            guard: Arc::new(NoGuard),
        });
        let correlation = Arc::new(Correlation { store: store.clone(), clock: clock.clone(), facts });
        let measure = Measure { data_dir: data_dir.clone(), catalog: catalog.clone(), clock: clock.clone(), health: health.clone() };
        let usage = Usage { engine: usage_engine, writer: writer.clone(), catalog: catalog.clone(), clock: clock.clone() };
        task(&mut tasks, "detection", detection, |detection, stop| async move { detection.run(stop).await });
        task(&mut tasks, "measurements", Arc::new(measure), Measure::run);
        task(&mut tasks, "usage", Arc::new(usage), |usage, stop| async move { usage.run(stop).await });
        task(&mut tasks, "rule-files", rule_files.clone(), |files, stop| async move { files.run(stop).await });
        task(&mut tasks, "correlation", correlation, |correlation, stop| async move { correlation.run(stop).await });
        task(&mut tasks, "sign-ins", Arc::new(sign_in_task), SignInTask::run);
        task(&mut tasks, "outbox", outbox, |outbox, stop| async move { outbox.run(stop).await });
        task(&mut tasks, "paging", oncall.clone(), |oncall, stop| async move { oncall.run_paging(stop).await });
        task(&mut tasks, "incident-changes", oncall.clone(), |oncall, stop| async move { oncall.run_changes(stop).await });
        task(&mut tasks, "sending", oncall, |oncall, stop| async move { oncall.run_sending(stop).await });
        task(&mut tasks, "heartbeats", heartbeats, |heartbeats, stop| async move { heartbeats.run(stop).await });
        let (folder, register, time) = (data_dir.clone(), health.clone(), clock.clone());
        tasks.spawn("reserve", move |stop| reserve::keep(folder.clone(), register.clone(), time.clone(), stop));
        let (state, time) = (store.clone(), clock.clone());
        tasks.spawn("state-copies", move |stop| copy_state(state.clone(), time.clone(), stop));
        if cfg!(debug_assertions) {
            tasks.spawn("faults", faults::block_runtime);
        }
        let reloader = reload_hooks(config_path, &health, store.clone(), rule_files, certificate, reload_clock);
        health.remove(STARTING);
        tracing::info!(url = connect.base_url, "Ready.");
        for condition in health.conditions() {
            match condition.severity {
                ConditionSeverity::Notice => tracing::warn!(condition = condition.name, "{}", condition.summary),
                _ => tracing::error!(condition = condition.name, "{}; {}", condition.summary, condition.action),
            }
        }
        Ok(Service { connect, connect_path, store, clock, stop, tasks, reloader, signals, workspace, _watchdog: watchdog, _lock: lock })
    }

    /// Waits for SIGTERM or SIGINT; reloads on SIGHUP meanwhile.
    pub async fn wait(&mut self) -> anyhow::Result<()> {
        while self.signals.next().await == Signal::Reload {
            self.reloader.reload().await;
        }
        Ok(())
    }

    /// Stops accepting requests, waits for those in progress, then stops the tasks, then the tables.
    pub async fn stop(self) -> anyhow::Result<()> {
        tracing::info!("Stopping.");
        self.stop.cancel();
        self.tasks.join().await;
        let workspace = self.workspace;
        tokio::task::spawn_blocking(move || workspace.close()).await?;
        self.store.close_sealed(self.clock.now()).await;
        tracing::info!("Stopped.");
        Ok(())
    }
}

/// Interval of copies of the state database.
const COPY_EVERY: Span = Span(60 * Span::MINUTE.0);

/// Copies the state database at start and periodically, so that losing it costs at most an hour of changes.
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

/// Tolerates a full disk at start: stored data is still served.
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

/// Health condition while starting.
const STARTING: &str = "service.starting";

/// A supervised task with a shared object.
fn task<S, F, T>(tasks: &mut Supervisor, name: &str, shared: Arc<S>, run: F)
where
    S: Send + Sync + 'static,
    F: Fn(Arc<S>, CancellationToken) -> T + Send + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    tasks.spawn(name, move |stop| run(shared.clone(), stop));
}

/// Serves HTTPS. The listening socket is kept, so that a restart of the task drops no connections; it is closed when the service stops.
fn serve(
    tasks: &mut Supervisor,
    limits: ServerConfig,
    dispatcher: Arc<Dispatcher>,
    certificate: Arc<server::ServerCertificate>,
    listener: TcpListener,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<()> {
    certificate.config()?;
    let socket = Arc::new(Mutex::new(Some(listener.into_std()?)));
    tasks.spawn("http", move |stop| {
        let (dispatcher, certificate, clock, socket) = (dispatcher.clone(), certificate.clone(), clock.clone(), socket.clone());
        let limits = limits.clone();
        async move {
            let listener = {
                let socket = socket.lock().unwrap_or_else(PoisonError::into_inner);
                socket.as_ref().map(|socket| socket.try_clone().and_then(TcpListener::from_std))
            };
            let listener = match listener {
                Some(Ok(listener)) => listener,
                Some(Err(error)) => return tracing::error!(error = %error, "cannot listen for HTTPS again"),
                None => return,
            };
            let closing = async {
                stop.cancelled().await;
                socket.lock().unwrap_or_else(PoisonError::into_inner).take();
            };
            let served = server::serve(limits, dispatcher, certificate, listener, clock, stop.clone());
            let serving = async {
                if let Err(error) = served.await {
                    tracing::error!(error = model::chain(&error), "HTTPS is not served");
                }
            };
            tokio::join!(serving, closing);
        }
    });
    Ok(())
}

/// The recorder is global: a second service in the process (in tests) shares the first one's.
fn metrics_handle() -> anyhow::Result<PrometheusHandle> {
    static HANDLE: std::sync::OnceLock<PrometheusHandle> = std::sync::OnceLock::new();
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new().install_recorder().context("cannot count what happens")?;
    metrics::describe();
    Ok(HANDLE.get_or_init(|| handle).clone())
}

/// Names of the service besides the local ones: the configured ones, and the listening address.
fn reached(listen: SocketAddr, config: &Config) -> anyhow::Result<identity::Reached> {
    let names = config.names.iter().map(|name| identity::HostName::parse(name)).collect::<Result<Vec<_>, _>>();
    let mut names = names.context("cannot use `names` of the configuration")?;
    let ip = listen.ip();
    if !ip.is_loopback() && !ip.is_unspecified() {
        names.push(identity::HostName { host: ip.to_string(), port: None });
    }
    Ok(identity::Reached { names, tls: config.tls.clone() })
}

/// Parts that apply configuration changes without a restart.
fn reload_hooks(
    path: Option<PathBuf>,
    health: &HealthRegister,
    store: Store,
    rules: Arc<RuleFiles>,
    certificate: Arc<server::ServerCertificate>,
    clock: Arc<dyn Clock>,
) -> Reloader {
    let mut reloader = Reloader::new(path, health.clone()).with_trail(store, clock.clone());
    reloader.on_reload("log", |config| Box::pin(async move { crate::commands::set_log_filter(&config) }));
    reloader.on_reload("rules", move |config| {
        let rules = rules.clone();
        Box::pin(async move {
            rules.set_paths(config.rules.clone());
            rules.sync().await.map(drop)
        })
    });
    reloader.on_reload("tls", move |_| {
        let (certificate, now) = (certificate.clone(), clock.now());
        Box::pin(async move { Ok(tokio::task::spawn_blocking(move || certificate.reload(now)).await?.map(drop)?) })
    });
    reloader
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Signal {
    Reload,
    End,
}

/// Signal handlers, installed at start: a SIGHUP during the start must not end the process.
struct Signals {
    term: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.term.recv() => Signal::End,
            _ = self.interrupt.recv() => Signal::End,
            _ = self.hangup.recv() => Signal::Reload,
        }
    }
}
