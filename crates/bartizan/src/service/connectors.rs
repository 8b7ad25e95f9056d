//! Sources and destinations at work: opened before the service reports ready, started again when they break, paused and moved by people,
//! ended before the tables close.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, Int64Array, StringViewArray};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use connectors::{
    Bound, Destination, DestinationContext, DestinationMaker, DestinationsConfig, Position, Report, Source, SourceContext, SourceMaker,
    SourcesConfig, shown,
};
use model::{
    Append, Catalog, Clock, Column, ConnectorError, ConnectorRole, ConnectorState, ConnectorStatus, Connectors, Delivery, HealthRegister,
    Http, QueryEngine, Records, Route, Secrets, Span, StreamName, StreamRecords, StreamSink, TableName, TableWriter, Type, chain,
};
use rustls::server::ResolvesServerCert;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::supervisor::Supervisor;

/// How long a broken source waits before it starts again.
const AGAIN: Span = Span(5 * model::TICKS_PER_SECOND);
const HEARTBEAT: Span = Span::MINUTE;

/// What sources and destinations are given.
#[derive(Clone)]
pub struct World {
    pub sink: Arc<dyn StreamSink>,
    pub engine: Arc<dyn QueryEngine>,
    pub catalog: Arc<dyn Catalog>,
    pub writer: Arc<dyn TableWriter>,
    pub clock: Arc<dyn Clock>,
    pub http: Arc<dyn Http>,
    pub secrets: Arc<dyn Secrets>,
    pub certificate: Arc<dyn ResolvesServerCert>,
    pub health: HealthRegister,
    /// Folders below which destinations may write.
    pub roots: Arc<[PathBuf]>,
    /// Name of this host.
    pub host: String,
    pub stop: CancellationToken,
}

impl World {
    fn source(&self, part: &Part, stop: CancellationToken) -> SourceContext {
        SourceContext {
            id: part.id.clone(),
            sink: Arc::new(Counted { sink: self.sink.clone(), report: part.report.clone(), clock: self.clock.clone() }),
            clock: self.clock.clone(),
            http: self.http.clone(),
            secrets: self.secrets.clone(),
            host: self.host.clone(),
            certificate: Some(self.certificate.clone()),
            report: part.report.clone(),
            stop,
        }
    }

    fn destination(&self, part: &Part, stop: CancellationToken) -> DestinationContext {
        DestinationContext {
            id: part.id.clone(),
            engine: self.engine.clone(),
            catalog: self.catalog.clone(),
            writer: self.writer.clone(),
            clock: self.clock.clone(),
            http: self.http.clone(),
            secrets: self.secrets.clone(),
            roots: self.roots.clone(),
            report: part.report.clone(),
            stop,
        }
    }
}

/// A sink that counts for the report.
struct Counted {
    sink: Arc<dyn StreamSink>,
    report: Report,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl StreamSink for Counted {
    async fn deliver(&self, delivery: Delivery) -> Result<model::Delivered, model::DeliveryError> {
        let position = delivery.position.clone();
        let delivered = self.sink.deliver(delivery).await?;
        self.report.delivered(delivered.rows, delivered.dead, position.as_deref(), self.clock.now());
        Ok(delivered)
    }

    fn position(&self, source: &str) -> Option<Vec<u8>> {
        self.sink.position(source)
    }

    async fn check(&self, route: &Route, streams: &[StreamName]) -> Vec<String> {
        self.sink.check(route, streams).await
    }
}

enum Maker {
    Source(SourceMaker),
    Destination(DestinationMaker),
}

/// One source or destination.
struct Part {
    role: ConnectorRole,
    id: String,
    maker: Maker,
    report: Report,
    paused: watch::Sender<bool>,
    /// Held while it runs.
    running: tokio::sync::Mutex<()>,
    /// Sockets that were opened before the service reported ready, until the first run takes them.
    opened: Mutex<Option<Box<dyn Source>>>,
}

/// What people did to a connector; kept in the log of the workspace beside its position.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Control {
    paused: bool,
}

impl Part {
    fn control_key(&self) -> String {
        format!("control/{}/{}", self.role.name(), self.id)
    }

    fn set_paused(&self, paused: bool) {
        self.report.set(|status| status.state = if paused { ConnectorState::Paused } else { ConnectorState::Running });
        self.paused.send_replace(paused);
    }
}

/// All sources and destinations of the service.
pub struct Manager {
    parts: Vec<Arc<Part>>,
    world: World,
}

impl Manager {
    /// Opens all sources and runs everything as tasks. What cannot be opened ends the start: a listener that is missing without a word is
    /// worse than a service that does not start.
    pub async fn start(
        sources: SourcesConfig,
        destinations: DestinationsConfig,
        world: World,
        tasks: &mut Supervisor,
    ) -> anyhow::Result<(Arc<Self>, Vec<Bound>)> {
        let (mut parts, mut bound) = (Vec::new(), Vec::new());
        for maker in sources.makers()? {
            let source = (maker.make)()?;
            let part = Arc::new(part(ConnectorRole::Source, maker.kind.name, source.name(), Maker::Source(maker.clone()), &world));
            let streams: Vec<StreamName> = maker.kind.streams.iter().map(StreamName::new).collect();
            part.report.set(|status| status.streams = streams.iter().map(ToString::to_string).collect());
            check_route(&part, source.as_ref(), &streams, &world).await?;
            let mut source = source;
            if !*part.paused.borrow() {
                let open = source.open(&world.source(&part, world.stop.clone())).await?;
                part.report.set(|status| status.listening = open.iter().map(|one| format!("{} {}", one.protocol, one.address)).collect());
                bound.extend(open);
                *part.opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(source);
            }
            parts.push(part);
        }
        for maker in destinations.makers()? {
            let destination = (maker.make)()?;
            let part = part(ConnectorRole::Destination, maker.kind.name, destination.name(), Maker::Destination(maker.clone()), &world);
            part.report.set(|status| status.streams = destination.follow().tables.iter().map(ToString::to_string).collect());
            parts.push(Arc::new(part));
        }
        for part in &parts {
            let (part, world) = (part.clone(), world.clone());
            tasks.spawn(format!("{}.{}", part.role.name(), part.id.replace('/', ".")), move |stop| keep(part.clone(), world.clone(), stop));
        }
        let manager = Arc::new(Self { parts, world });
        let beating = manager.clone();
        tasks.spawn("source-heartbeats", move |stop| heartbeats(beating.clone(), stop));
        Ok((manager, bound))
    }

    fn find(&self, role: ConnectorRole, id: &str) -> Result<&Arc<Part>, ConnectorError> {
        let of_role = || self.parts.iter().filter(|part| part.role == role);
        let named = |part: &&Arc<Part>| part.id == id || part.id.split_once('/').is_some_and(|(_, name)| name == id);
        let mut found = of_role().filter(named);
        match (found.next(), found.next()) {
            (Some(part), None) => Ok(part),
            _ => {
                let known: Vec<String> = of_role().map(|part| format!("`{}`", part.id)).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                Err(ConnectorError::Unknown { role, id: id.to_owned(), known })
            }
        }
    }

    async fn store(&self, key: String, position: Vec<u8>) -> Result<(), ConnectorError> {
        let append = Append { rows: Vec::new(), key: None, position: Some((key.clone(), position)) };
        let failed = |error| ConnectorError::Failed { id: key, problem: chain(&error) };
        self.world.writer.append(append).await.map(drop).map_err(failed)
    }

    async fn set_paused(&self, role: ConnectorRole, id: &str, paused: bool) -> Result<(), ConnectorError> {
        let part = self.find(role, id)?;
        let control = serde_json::to_vec(&Control { paused }).unwrap_or_default();
        self.store(part.control_key(), control).await?;
        part.set_paused(paused);
        if paused {
            part.report.clear();
        }
        Ok(())
    }
}

#[async_trait]
impl Connectors for Manager {
    fn list(&self, role: ConnectorRole) -> Vec<ConnectorStatus> {
        let status = |part: &Arc<Part>| {
            let mut status = part.report.status();
            status.position = status.position.or_else(|| self.world.writer.position(&part.id).map(|position| shown(&position)));
            status
        };
        self.parts.iter().filter(|part| part.role == role).map(status).collect()
    }

    async fn pause(&self, role: ConnectorRole, id: &str) -> Result<(), ConnectorError> {
        self.set_paused(role, id, true).await
    }

    async fn resume(&self, role: ConnectorRole, id: &str) -> Result<(), ConnectorError> {
        self.set_paused(role, id, false).await
    }

    async fn rewind(&self, role: ConnectorRole, id: &str, position: Option<String>) -> Result<(), ConnectorError> {
        let part = self.find(role, id)?;
        if self.world.writer.position(&part.id).is_none() {
            return Err(ConnectorError::NoPosition(part.id.clone()));
        }
        let was_paused = *part.paused.borrow();
        part.set_paused(true);
        // It ends what it does first: otherwise it would store its own position after this one.
        let ended = part.running.lock().await;
        let position = match (position, role) {
            (Some(position), _) => position.into_bytes(),
            (None, ConnectorRole::Source) => Vec::new(),
            (None, ConnectorRole::Destination) => Position::beginning(part.report.status().streams.iter().map(TableName::new)).bytes(),
        };
        let stored = self.store(part.id.clone(), position).await;
        part.report.set(|status| status.position = None);
        drop(ended);
        part.set_paused(was_paused);
        stored
    }

    async fn test(&self, role: ConnectorRole, id: &str) -> Result<String, ConnectorError> {
        let part = self.find(role, id)?;
        let listening = part.report.status().listening;
        if !listening.is_empty() && !*part.paused.borrow() {
            return Ok(format!("listening on {}", listening.join(", ")));
        }
        let failed = |problem: String| ConnectorError::Failed { id: part.id.clone(), problem };
        let stop = self.world.stop.child_token();
        match &part.maker {
            Maker::Source(maker) => {
                let mut source = (maker.make)().map_err(|error| failed(chain(&error)))?;
                source.test(&self.world.source(part, stop)).await.map_err(|error| failed(chain(&error)))
            }
            Maker::Destination(maker) => {
                let mut destination = (maker.make)().map_err(|error| failed(chain(&error)))?;
                destination.test(&self.world.destination(part, stop)).await.map_err(|error| failed(chain(&error)))
            }
        }
    }
}

fn part(role: ConnectorRole, kind: &str, name: &str, maker: Maker, world: &World) -> Part {
    let id = format!("{kind}/{name}");
    let report = Report::new(role, &id, world.health.clone());
    let part = Part {
        role,
        id,
        maker,
        report,
        paused: watch::Sender::new(false),
        running: tokio::sync::Mutex::default(),
        opened: Mutex::new(None),
    };
    let control: Control =
        world.writer.position(&part.control_key()).and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    part.set_paused(control.paused);
    part
}

/// A wrong transform ends the start. A rule that does not exist may come later: the source waits for it and says so.
async fn check_route(part: &Part, source: &dyn Source, streams: &[StreamName], world: &World) -> anyhow::Result<()> {
    let route = source.route();
    let problems = world.sink.check(route, streams).await;
    let Some(first) = problems.first() else { return Ok(()) };
    let problem = connectors::SourceError::Route { name: part.id.clone(), problem: first.clone() };
    if route.data_collection_rule.is_none() {
        return Err(problem.into());
    }
    tracing::error!(source = part.id, error = %problem, "the route of a source is wrong; it waits until it is corrected");
    part.report.broken(&problem);
    Ok(())
}

/// Runs a connector until the service stops: while it is not paused, again after it broke.
async fn keep(part: Arc<Part>, world: World, stop: CancellationToken) {
    let mut paused = part.paused.subscribe();
    while !stop.is_cancelled() {
        if *paused.borrow_and_update() {
            tokio::select! {
                _ = paused.changed() => {}
                () = stop.cancelled() => {}
            }
            continue;
        }
        let run = stop.child_token();
        let mut work = std::pin::pin!(once(&part, &world, run.clone()));
        let ended = tokio::select! {
            ended = &mut work => ended,
            _ = paused.changed() => {
                run.cancel();
                work.await
            }
        };
        if let Err(error) = ended
            && !stop.is_cancelled()
        {
            tracing::error!(connector = part.id, error = format!("{error:#}"), "a connector broke; it is started again");
            tokio::select! {
                () = world.clock.sleep(AGAIN) => {}
                () = stop.cancelled() => {}
            }
        }
    }
}

async fn once(part: &Part, world: &World, stop: CancellationToken) -> anyhow::Result<()> {
    let _running = part.running.lock().await;
    match &part.maker {
        Maker::Source(maker) => {
            let cx = world.source(part, stop);
            let opened = part.opened.lock().unwrap_or_else(PoisonError::into_inner).take();
            let mut source: Box<dyn Source> = match opened {
                Some(source) => source,
                None => (maker.make)()?,
            };
            Ok(source.run(&cx).await?)
        }
        Maker::Destination(maker) => {
            let mut destination: Box<dyn Destination> = (maker.make)()?;
            connectors::follow(destination.as_mut(), &world.destination(part, stop)).await;
            Ok(())
        }
    }
}

/// A row of `Heartbeat` a minute for each running source, as Azure's agents write it, so that a rule or a person sees that it is there.
async fn heartbeats(manager: Arc<Manager>, stop: CancellationToken) {
    loop {
        let world = &manager.world;
        let running: Vec<String> = manager
            .list(ConnectorRole::Source)
            .into_iter()
            .filter(|status| status.state == ConnectorState::Running)
            .map(|status| status.id)
            .collect();
        if let Some((columns, batch)) = beats(&running, world) {
            let records = vec![StreamRecords { stream: StreamName::new("Microsoft-Heartbeat"), records: Records::Rows(columns, batch) }];
            let delivery = Delivery { source: "heartbeats".to_owned(), records, ..Delivery::default() };
            if let Err(error) = world.sink.deliver(delivery).await {
                tracing::warn!(error = %chain(&error), "heartbeats of sources were not stored");
            }
        }
        tokio::select! {
            () = world.clock.sleep(HEARTBEAT) => {}
            () = stop.cancelled() => return,
        }
    }
}

fn beats(running: &[String], world: &World) -> Option<(Vec<Column>, RecordBatch)> {
    if running.is_empty() {
        return None;
    }
    let parts = || running.iter().map(|id| id.split_once('/').unwrap_or(("", id)));
    let every = |value: &str| -> ArrayRef { Arc::new(StringViewArray::from_iter_values(running.iter().map(|_| value.to_owned()))) };
    let texts = |values: Vec<&str>| -> ArrayRef { Arc::new(StringViewArray::from_iter_values(values)) };
    let arrays: Vec<(&str, Type, ArrayRef)> = vec![
        ("TimeGenerated", Type::Datetime, Arc::new(Int64Array::from_value(world.clock.now().ticks(), running.len()))),
        ("Computer", Type::String, every(&world.host)),
        ("Category", Type::String, texts(parts().map(|(kind, _)| kind).collect())),
        ("Resource", Type::String, texts(parts().map(|(_, name)| name).collect())),
        ("ResourceType", Type::String, every("listener")),
        ("OSType", Type::String, every("Linux")),
        ("Version", Type::String, every(env!("CARGO_PKG_VERSION"))),
        ("SourceSystem", Type::String, every("Bartizan")),
    ];
    let columns: Vec<Column> = arrays.iter().map(|(name, ty, _)| Column::new(*name, *ty)).collect();
    let batch = RecordBatch::try_new(model::arrow_schema(&columns), arrays.into_iter().map(|(_, _, array)| array).collect()).ok()?;
    Some((columns, batch))
}

/// Name of this host, as the kernel has it.
pub fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "localhost".to_owned() } else { name.trim().to_owned() }
}
