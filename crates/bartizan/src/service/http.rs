//! Outbound HTTP: all calls of webhooks, pagers and vendor APIs.
//!
//! With the guard, a request restricted to public addresses is rejected before connecting if its host, or *any* address that its name
//! resolves to, is not public. The name is resolved once, and the connection uses the checked addresses, which prevents DNS rebinding.
//! Guarded and unguarded requests share no connections. Redirects are returned, not followed; the body size is limited; proxies in the
//! environment are ignored.
//!
//! Which errors mean "certainly not sent" decides whether a page is retried: everything up to the end of the TLS handshake is
//! [`HttpError::Connect`], because a request's first byte follows the handshake; after later errors it may have arrived.

use std::collections::HashMap;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use model::{Http, HttpError, HttpRequest, HttpResponse, HttpStream, Reach};
use oncall::guard::{self, Target, TargetHost};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How the service calls out.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OutboundConfig {
    /// Certificates, in PEM, of authorities to trust besides the system's. Example: `/etc/bartizan/corporate-ca.pem`.
    pub ca_file: Option<PathBuf>,
    /// Proxy for all calls; the environment's is ignored. A proxy resolves names itself: they are judged here first, but what it then
    /// connects to is the proxy's to guard. Example: `http://proxy.example.org:3128`.
    pub proxy: Option<String>,
}

/// Why the client cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    #[error("cannot read `outbound.ca_file` `{0}`")]
    ReadCa(PathBuf, #[source] std::io::Error),
    #[error("`outbound.ca_file` `{0}` holds no certificates in PEM")]
    Ca(PathBuf),
    #[error("`outbound.proxy` is no address of a proxy")]
    Proxy(#[source] reqwest::Error),
    #[error("cannot set up HTTP")]
    Client(#[source] reqwest::Error),
}

/// Timeout for name resolution, connection and handshake together. Shorter than any channel's timeout of a whole request, so that a silent
/// host is reported as "not connected" and not as "possibly received".
const CONNECT: Duration = Duration::from_secs(8);
/// Idle timeout of pooled connections: below that of load balancers (mostly 60 s), to avoid writing to closed ones.
const IDLE: Duration = Duration::from_secs(45);

/// Resolves names to addresses.
#[async_trait]
pub trait Names: Send + Sync {
    async fn resolve(&self, name: &str) -> std::io::Result<Vec<IpAddr>>;
}

/// The system's resolver.
pub struct SystemNames;

#[async_trait]
impl Names for SystemNames {
    async fn resolve(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// Returns what an address is reserved for; `None` if it may be called.
pub type Judge = fn(IpAddr) -> Option<&'static str>;

/// [`Http`] implemented with `reqwest`.
pub struct Outbound {
    guarded: reqwest::Client,
    open: reqwest::Client,
    names: Arc<dyn Names>,
    judge: Judge,
    proxied: bool,
    turns: Turns,
}

/// Requests to one host at the same time; more wait.
const PER_HOST: usize = 16;
/// Hosts whose requests are counted; those without a request in progress are dropped first.
const MOST_HOSTS: usize = 1_000;

/// Limits the concurrent requests of each host.
#[derive(Default)]
struct Turns(Mutex<HashMap<String, Arc<Semaphore>>>);

impl Turns {
    async fn take(&self, host: &str) -> Option<OwnedSemaphorePermit> {
        let semaphore = {
            let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if hosts.len() >= MOST_HOSTS && !hosts.contains_key(host) {
                hosts.retain(|_, turns| turns.available_permits() < PER_HOST);
            }
            hosts.entry(host.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(PER_HOST))).clone()
        };
        semaphore.acquire_owned().await.ok()
    }
}

impl Outbound {
    pub fn new(config: &OutboundConfig) -> Result<Self, OutboundError> {
        Self::with(config, Arc::new(SystemNames), guard::special)
    }

    /// With a custom resolver and address check, for tests.
    pub fn with(config: &OutboundConfig, names: Arc<dyn Names>, judge: Judge) -> Result<Self, OutboundError> {
        let certificates = match &config.ca_file {
            None => Vec::new(),
            Some(path) => {
                let pem = std::fs::read(path).map_err(|cause| OutboundError::ReadCa(path.clone(), cause))?;
                let found = reqwest::Certificate::from_pem_bundle(&pem).unwrap_or_default();
                if found.is_empty() {
                    return Err(OutboundError::Ca(path.clone()));
                }
                found
            }
        };
        let proxy = config.proxy.as_ref().map(reqwest::Proxy::all).transpose().map_err(OutboundError::Proxy)?;
        let proxied = proxy.is_some();
        let base = |judge: Option<Judge>, system_roots: bool| {
            let builder = reqwest::Client::builder()
                .user_agent(concat!("Bartizan/", env!("CARGO_PKG_VERSION")))
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .referer(false)
                .no_gzip()
                .connect_timeout(CONNECT)
                .pool_idle_timeout(IDLE)
                .pool_max_idle_per_host(4)
                .dns_resolver(Resolver { names: names.clone(), judge });
            let builder = match &proxy {
                None => builder.no_proxy(),
                Some(proxy) => builder.proxy(proxy.clone()),
            };
            let certificates = certificates.iter().cloned();
            if system_roots { builder.tls_certs_merge(certificates) } else { builder.tls_certs_only(certificates) }
        };
        // Without system certificate authorities, plain HTTP and hosts of `ca_file` still work, so the service must start.
        let client = |judge| base(judge, true).build().or_else(|_| base(judge, false).build()).map_err(OutboundError::Client);
        // Behind a proxy only the proxy's own name is resolved while connecting, which the operator configured.
        let guarded = client((!proxied).then_some(judge))?;
        Ok(Self { guarded, open: client(None)?, names, judge, proxied, turns: Turns::default() })
    }

    /// The client for an allowed target.
    async fn client(&self, target: &Target, reach: Reach) -> Result<&reqwest::Client, HttpError> {
        match reach {
            Reach::Anywhere => Ok(&self.open),
            Reach::Public => {
                self.judge(target).await?;
                Ok(&self.guarded)
            }
        }
    }

    /// Checks what is known before connecting: addresses, reserved names, and behind a proxy every name.
    async fn judge(&self, target: &Target) -> Result<(), HttpError> {
        let refused = |address: String| HttpError::Guarded { host: target.host(), address };
        match &target.host {
            TargetHost::Address(address) if (self.judge)(*address).is_some() => Err(refused(address.to_string())),
            TargetHost::Name(name) if guard::special_name(name).is_some() => Err(refused(name.clone())),
            TargetHost::Name(name) if self.proxied => {
                let addresses =
                    self.names.resolve(name).await.map_err(|cause| HttpError::Connect { host: target.host(), cause: Box::new(cause) })?;
                match addresses.into_iter().find(|address| (self.judge)(*address).is_some()) {
                    Some(address) => Err(refused(address.to_string())),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Http for Outbound {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let target = guard::target(&request.url).map_err(|error| HttpError::Url { url: shown(&request.url), reason: error.to_string() })?;
        let client = self.client(&target, request.reach).await?;
        let host = target.host();
        let _turn = self.turns.take(&host).await;
        let seconds = request.timeout.ticks() / model::Span::SECOND.ticks();
        let classify = |error| classify(error, &host, seconds);
        let mut answer = client
            .request(request.method, target.url)
            .headers(request.headers)
            .body(request.body)
            .timeout(request.timeout.to_std())
            .send()
            .await
            .map_err(classify)?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let mut body = Vec::new();
        while body.len() < HttpResponse::MAX_BODY {
            match answer.chunk().await.map_err(classify)? {
                None => break,
                Some(chunk) => body.extend_from_slice(&chunk[..chunk.len().min(HttpResponse::MAX_BODY - body.len())]),
            }
        }
        Ok(HttpResponse { status, headers, body: body.into() })
    }

    async fn open(&self, request: HttpRequest) -> Result<HttpStream, HttpError> {
        let target = guard::target(&request.url).map_err(|error| HttpError::Url { url: shown(&request.url), reason: error.to_string() })?;
        let client = self.client(&target, request.reach).await?;
        let host = target.host();
        let turn = self.turns.take(&host).await;
        let limit = request.timeout.to_std();
        let seconds = request.timeout.ticks() / model::Span::SECOND.ticks();
        let timeout = |host: &str| HttpError::Timeout { host: host.to_owned(), seconds };
        let sent = client.request(request.method, target.url).headers(request.headers).body(request.body).send();
        let answer = tokio::time::timeout(limit, sent).await.map_err(|_| timeout(&host))?;
        let answer = answer.map_err(|error| classify(error, &host, seconds))?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let state = Some((answer, host, turn));
        let body = futures::stream::unfold(state, move |state| async move {
            let (mut answer, host, turn) = state?;
            match tokio::time::timeout(limit, answer.chunk()).await {
                Ok(Ok(None)) => None,
                Ok(Ok(Some(chunk))) => Some((Ok(chunk), Some((answer, host, turn)))),
                Ok(Err(error)) => Some((Err(classify(error, &host, seconds)), None)),
                Err(_) => Some((Err(HttpError::Timeout { host, seconds }), None)),
            }
        });
        Ok(HttpStream { status, headers, body: body.boxed() })
    }
}

/// A URL without path and query, which may contain tokens.
fn shown(url: &str) -> String {
    let end = url.find("//").map_or(0, |at| at + 2);
    let rest = &url[end..];
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    format!("{}{host}", &url[..end])
}

fn classify(error: reqwest::Error, host: &str, seconds: i64) -> HttpError {
    let host = host.to_owned();
    if let Some(refused) = find::<RefusedAddress>(&error) {
        return HttpError::Guarded { host, address: refused.0.to_string() };
    }
    // The URL may contain a token, and causes are printed.
    let error = error.without_url();
    match () {
        () if error.is_builder() => HttpError::Url { url: host, reason: "it cannot be sent".to_owned() },
        () if error.is_connect() => HttpError::Connect { host, cause: Box::new(error) },
        () if error.is_timeout() => HttpError::Timeout { host, seconds },
        () => HttpError::Broken { host, cause: Box::new(error) },
    }
}

fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a public address")]
struct RefusedAddress(IpAddr);

#[derive(Debug, thiserror::Error)]
#[error("the name has no address")]
struct NoAddress;

/// Resolver of the connector: only addresses that pass the check are used.
struct Resolver {
    names: Arc<dyn Names>,
    judge: Option<Judge>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (names, judge) = (self.names.clone(), self.judge);
        Box::pin(async move {
            let addresses = names.resolve(name.as_str()).await?;
            // One non-public address rejects the name: mixing in a public one is a known attack on guards that only filter.
            if let Some(bad) = judge.and_then(|judge| addresses.iter().find(|address| judge(**address).is_some())) {
                return Err(RefusedAddress(*bad).into());
            }
            if addresses.is_empty() {
                return Err(NoAddress.into());
            }
            let addresses: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests;
