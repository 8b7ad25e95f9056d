//! The listener: time limits for clients, and shutdown.

use std::sync::Arc;
use std::time::Duration;

use model::Span;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::json;
use server::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::house::{House, LOGS};

/// A TLS connection with the given server name that trusts our authority only.
pub async fn connect(house: &House, name: &str, alpn: &[u8]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&house.ca_pem).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let stream = TcpStream::connect(house.address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name.to_owned()).unwrap(), stream).await
}

fn quick() -> ServerConfig {
    let short = Span::millis(200);
    ServerConfig {
        handshake_timeout: short,
        header_timeout: short,
        idle_timeout: short,
        stop_timeout: Span::seconds(5),
        ..ServerConfig::default()
    }
}

#[tokio::test]
async fn the_certificate_covers_the_local_names_only() {
    let house = House::new().await;
    for name in ["localhost", "127.0.0.1", "::1"] {
        connect(&house, name, b"http/1.1").await.unwrap();
    }
    assert!(connect(&house, "example.com", b"http/1.1").await.is_err());
    let h2 = connect(&house, "localhost", b"h2").await.unwrap();
    assert_eq!(h2.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
}

#[tokio::test]
async fn slow_clients_are_cut_off() {
    let house = House::with(quick()).await;
    let patience = Duration::from_secs(20);
    // No handshake at all, half a header, and a silent HTTP/2 client: the server closes each.
    let mut silent = TcpStream::connect(house.address).await.unwrap();
    let mut end = Vec::new();
    tokio::time::timeout(patience, silent.read_to_end(&mut end)).await.expect("the handshake must time out").ok();
    let mut slow = connect(&house, "localhost", b"http/1.1").await.unwrap();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: loc").await.unwrap();
    tokio::time::timeout(patience, slow.read_to_end(&mut end)).await.expect("the header must time out").ok();
    let mut idle = connect(&house, "localhost", b"h2").await.unwrap();
    tokio::time::timeout(patience, idle.read_to_end(&mut end)).await.expect("an idle HTTP/2 connection must be closed").ok();
    assert_eq!(house.http.get(format!("{}/healthz", house.base)).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn stopping_completes_running_requests_and_accepts_no_more() {
    let house = House::with(quick()).await;
    let path = format!("{}/v1/workspaces/{}/query", house.base, house.boot.cloud.workspace_id);
    let running = tokio::spawn(house.http.post(path).bearer_auth(house.token(LOGS).await).json(&json!({ "query": "never" })).send());
    while house.engine.asked.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    house.stop.cancel();
    while TcpStream::connect(house.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    // The request is still in progress although the listener has stopped; it completes on its own.
    assert!(!running.is_finished());
    house.engine.asked.lock().unwrap()[0].cancel.cancel();
    assert_eq!(running.await.unwrap().unwrap().status(), 503);
    house.served.await.unwrap().unwrap();
}
