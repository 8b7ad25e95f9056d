//! Syslog over UDP, TCP and TLS: RFC 3164, RFC 5424, CEF, LEEF and the format of Sophos' firewalls.
//!
//! Wire: RFC 5424 and 3164 (messages), 5426 (UDP), 6587 (TCP), 5425 (TLS). Syslog has no acknowledgements. For each TCP or TLS sender at
//! most one window is buffered that is not yet synced, and reading pauses until it is; UDP datagrams that do not fit into our queue are
//! counted; those dropped by the kernel are not visible here.

mod batch;
mod cef;
mod cisco;
mod frame;
mod header;
mod leef;
mod listen;
mod names;
mod rows;
mod settings;
mod sophos;
mod store;
mod time;
mod tls;
mod udp;
mod zones;

pub use settings::{Address, Format, Settings, TlsSettings};

use std::sync::Arc;

use async_trait::async_trait;
use jiff::tz::TimeZone;
use model::Route;

use self::batch::Reader;
use self::listen::Open;
use crate::{Bound, Source, SourceContext, SourceError, SourceType};

pub static SOURCE: SourceType = SourceType {
    name: "syslog",
    summary: "Listeners for syslog, CEF, LEEF and Sophos' own format over UDP, TCP and TLS",
    streams: &["Microsoft-Syslog", "Microsoft-CommonSecurityLog"],
    settings: || schemars::schema_for!(Settings),
    build: |value| build(serde_json::from_value(value).map_err(|cause| wrong(cause.to_string()))?),
};

/// Validates the settings of a listener, without opening sockets.
pub fn build(settings: Settings) -> Result<Box<dyn Source>, SourceError> {
    let zone = match settings.time_zone.as_deref() {
        None | Some("UTC") => None,
        Some(name) => {
            Some(model::time_zone(name).ok_or_else(|| wrong(format!("`{name}` is no time zone; write for example `Europe/Oslo`")))?)
        }
    };
    if settings.name.is_empty() {
        return Err(wrong("`name` is empty".to_owned()));
    }
    if !(480..=settings::MAX_MESSAGE).contains(&settings.max_message.0) {
        return Err(wrong(format!("`max_message` of `{}` must lie between 480 bytes and 64KiB", settings.name)));
    }
    if settings.max_connections == 0 {
        return Err(wrong(format!("`max_connections` of `{}` is 0", settings.name)));
    }
    Ok(Box::new(Listener { settings, zone, open: None }))
}

fn wrong(problem: String) -> SourceError {
    SourceError::Settings { kind: "syslog", problem }
}

struct Listener {
    settings: Settings,
    zone: Option<TimeZone>,
    open: Option<Open>,
}

#[async_trait]
impl Source for Listener {
    fn name(&self) -> &str {
        &self.settings.name
    }

    fn route(&self) -> &Route {
        &self.settings.route
    }

    async fn open(&mut self, cx: &SourceContext) -> Result<Vec<Bound>, SourceError> {
        let open = Open::bind(&self.settings, cx).await?;
        let bound = open.bound.clone();
        self.open = Some(open);
        Ok(bound)
    }

    async fn run(&mut self, cx: &SourceContext) -> Result<(), SourceError> {
        let open = match self.open.take() {
            Some(open) => open,
            None => Open::bind(&self.settings, cx).await?,
        };
        let reader = Arc::new(Reader {
            listener: self.settings.name.clone(),
            host: cx.host.clone(),
            format: self.settings.format,
            facilities: batch::mask(&self.settings.facilities),
            min_severity: self.settings.min_severity,
            zone: self.zone.clone(),
            log_types: self.settings.log_types.clone(),
            keep_raw: self.settings.keep_raw,
            keep_structured_data: self.settings.keep_structured_data,
        });
        listen::run(open, reader, &self.settings, cx).await
    }
}
