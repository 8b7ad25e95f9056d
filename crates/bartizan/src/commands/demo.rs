//! `bartizan demo` — the service with simulated sources, a team and a simulated phone, explaining each step.

mod cast;
mod story;

use std::time::{Duration, Instant};

use self::cast::Cast;
use super::{Outcome, up};
use crate::service::Service;

#[derive(clap::Args)]
#[group(id = "demo")]
#[command(
    after_help = "Examples:\n  bartizan demo           runs until Ctrl-C; the streams go on\n  bartizan demo --once    ends when the loop has closed once, with exit code 0:\n                          event, row, alert, incident, page, answer, incident active with its owner"
)]
pub struct Args {
    #[command(flatten)]
    up: up::Args,
    /// End when the loop has closed once.
    #[arg(long)]
    once: bool,
}

/// Timeout of a demo step.
const PATIENCE: Duration = Duration::from_secs(40);

pub fn run(args: Args) -> Outcome {
    let mut settings = args.up.settings(true)?;
    if settings.config.log.filter.is_none() {
        settings.config.log.filter = Some("warn".to_owned());
    }
    up::log(&settings.config);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let began = Instant::now();
        let cast = Cast::gather(&mut settings).await?;
        let mut service = Service::start(settings).await?;
        println!("Bartizan is up at {} ({} ms).", service.connect.base_url, began.elapsed().as_millis());
        println!("Addresses and credentials: {}", service.connect_path.display());
        cast.trust(&service.connect.ca_cert)?;
        let (connect, path) = (service.connect.clone(), service.connect_path.clone());
        let told = tokio::select! {
            told = tokio::time::timeout(PATIENCE, story::tell(&connect, &path, &cast)) => told,
            ended = service.wait() => { ended?; return service.stop().await; }
        };
        let told = told.unwrap_or_else(|_| {
            Err(anyhow::anyhow!(
                "the loop did not close within {} s; the step above is where it stands, and `BARTIZAN_LOG=debug bartizan demo` says more",
                PATIENCE.as_secs()
            ))
        });
        let streams = match told {
            Ok(streams) => streams,
            Err(error) => {
                service.stop().await?;
                return Err(error);
            }
        };
        if !args.once {
            streams.invite(&path);
            tokio::select! {
                ended = service.wait() => ended?,
                () = streams.go_on(&cast) => {}
            }
        }
        service.stop().await
    })?;
    Ok(())
}
