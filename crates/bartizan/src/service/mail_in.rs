//! Answers by mail: the receiver, with the service's certificate for STARTTLS.

use std::sync::Arc;

use anyhow::Context as _;
use oncall::OnCall;
use oncall::inbound::StoreBook;
use oncall::inbound::receiver::{Receiver, Settings};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Takes mail until stopped; nothing where the configuration asks for none. Not being able to listen keeps the service from starting:
/// people would answer, and nobody would hear them.
pub async fn start(
    settings: Option<&Settings>,
    tls: Arc<rustls::ServerConfig>,
    on_call: &OnCall,
    stop: CancellationToken,
) -> anyhow::Result<Option<JoinHandle<()>>> {
    let Some(settings) = settings else { return Ok(None) };
    let book = Arc::new(StoreBook::new(on_call.store.clone(), on_call.clock.clone()));
    let receiver =
        Receiver::bind(settings.clone(), Some(tls), on_call.answers.clone(), book, on_call.signer.clone(), on_call.clock.clone())
            .await
            .with_context(|| format!("cannot listen for mail on {}", settings.listen))?;
    tracing::info!(listen = %receiver.address()?, domains = settings.domains.join(" "), "Answers by mail are taken.");
    Ok(Some(tokio::spawn(receiver.run(stop))))
}
