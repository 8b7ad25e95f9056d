//! Runs sources: opened before the service is ready, restarted after errors, stopped before the tables are closed.

use std::sync::Arc;

use connectors::{Bound, Source, SourceContext, SourcesConfig};
use model::{Clock, Span, TableWriter, chain};
use rustls::server::ResolvesServerCert;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::supervisor::Supervisor;

/// Delay before a failed source is restarted.
const AGAIN: Span = Span(5 * model::TICKS_PER_SECOND);

/// Opens all sources and runs them as tasks. Failing to open one aborts the start: a listener that is silently missing is worse than none.
pub async fn start(
    config: SourcesConfig,
    writer: Arc<dyn TableWriter>,
    clock: Arc<dyn Clock>,
    certificate: Arc<dyn ResolvesServerCert>,
    stop: CancellationToken,
    tasks: &mut Supervisor,
) -> anyhow::Result<Vec<Bound>> {
    let cx = SourceContext { writer, clock, host: host(), certificate: Some(certificate), stop };
    let mut bound = Vec::new();
    for mut source in config.build()? {
        bound.extend(source.open(&cx).await?);
        let name = format!("source.{}", source.name());
        let (source, cx) = (Arc::new(Mutex::new(source)), cx.clone());
        tasks.spawn(name, move |_| keep(source.clone(), cx.clone()));
    }
    Ok(bound)
}

async fn keep(source: Arc<Mutex<Box<dyn Source>>>, cx: SourceContext) {
    let mut source = source.lock().await;
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

/// The kernel's host name.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "localhost".to_owned() } else { name.trim().to_owned() }
}
