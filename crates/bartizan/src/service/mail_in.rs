//! Inbound mail: the receiver, with the service's certificate for STARTTLS.

use std::sync::Arc;

use anyhow::Context as _;
use oncall::OnCall;
use oncall::inbound::StoreBook;
use oncall::inbound::receiver::{Receiver, Settings};

use super::supervisor::Supervisor;

/// Receives mail until stopped, if configured. Failing to bind prevents the service from starting, because answers would be lost.
pub async fn start(
    settings: Option<&Settings>,
    tls: Arc<rustls::ServerConfig>,
    on_call: &OnCall,
    tasks: &mut Supervisor,
) -> anyhow::Result<()> {
    let Some(settings) = settings else { return Ok(()) };
    let book = Arc::new(StoreBook::new(on_call.store.clone(), on_call.clock.clone()));
    let (answers, signer, clock) = (on_call.answers.clone(), on_call.signer.clone(), on_call.clock.clone());
    let bind = {
        let listen = settings.listen;
        let settings = settings.clone();
        move || {
            let (settings, tls, answers, book) = (settings.clone(), tls.clone(), answers.clone(), book.clone());
            let (signer, clock) = (signer.clone(), clock.clone());
            async move {
                Receiver::bind(settings, Some(tls), answers, book, signer, clock)
                    .await
                    .with_context(|| format!("cannot listen for mail on {listen}"))
            }
        }
    };
    let receiver = bind().await?;
    tracing::info!(listen = %receiver.address()?, domains = settings.domains.join(" "), "Answers by mail are taken.");
    let mut first = Some(receiver);
    tasks.spawn("mail", move |stop| {
        let (first, bind) = (first.take(), bind());
        async move {
            let receiver = match first {
                Some(receiver) => Ok(receiver),
                None => bind.await,
            };
            match receiver {
                Ok(receiver) => receiver.run(stop).await,
                Err(error) => tracing::error!(error = model::chain(error.as_ref()), "answers by mail are not taken"),
            }
        }
    });
    Ok(())
}
