//! Sources at work: opened before the service says that it is ready, restarted when they break, ended before the tables close.

use std::sync::Arc;

use connectors::{Bound, Source, SourceContext, SourcesConfig};
use model::{Clock, Span, TableWriter, chain};
use rustls::server::ResolvesServerCert;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a broken source waits before it starts again.
const AGAIN: Span = Span(5 * model::TICKS_PER_SECOND);

/// Opens all sources. The first that cannot be opened ends the start: a listener that is silently missing is worse than none.
pub async fn start(
    config: SourcesConfig,
    writer: Arc<dyn TableWriter>,
    clock: Arc<dyn Clock>,
    certificate: Arc<dyn ResolvesServerCert>,
    stop: CancellationToken,
) -> anyhow::Result<(Vec<Bound>, Vec<JoinHandle<()>>)> {
    let cx = SourceContext { writer, clock, host: host(), certificate: Some(certificate), stop };
    let mut sources = config.build()?;
    let mut bound = Vec::new();
    for source in &mut sources {
        bound.extend(source.open(&cx).await?);
    }
    let tasks = sources.into_iter().map(|source| tokio::spawn(keep(source, cx.clone()))).collect();
    Ok((bound, tasks))
}

async fn keep(mut source: Box<dyn Source>, cx: SourceContext) {
    while let Err(error) = source.run(&cx).await {
        if cx.stop.is_cancelled() {
            return;
        }
        tracing::error!(source = source.name(), error = %chain(&error), "A source broke; it starts again.");
        tokio::select! {
            () = cx.clock.sleep(AGAIN) => {}
            () = cx.stop.cancelled() => return,
        }
    }
}

/// Name of this host, as the kernel has it.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "localhost".to_owned() } else { name.trim().to_owned() }
}
