//! Slow clients, many connections and protocol abuse do not deny service to others.

use std::time::Duration;

use model::Span;
use server::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::house::House;
use crate::listener::connect;

/// Generous, because the test checks that connections are closed, not how soon.
const PATIENCE: Duration = Duration::from_secs(30);

/// Long deadlines, so that they do not influence the test.
fn patient(max_connections: usize) -> ServerConfig {
    let long = Span::HOUR;
    ServerConfig {
        max_connections,
        handshake_timeout: long,
        header_timeout: long,
        idle_timeout: long,
        write_timeout: long,
        ..ServerConfig::default()
    }
}

async fn is_served(house: &House) {
    let health = house.http.get(format!("{}/healthz", house.base)).send();
    let health = tokio::time::timeout(PATIENCE, health).await.expect("others are served").unwrap();
    assert_eq!(health.status(), 200);
}

#[tokio::test]
async fn slow_token_requests_make_room() {
    let house = House::with(patient(8)).await;
    let mut slow = Vec::new();
    for _ in 0..16 {
        let mut stream = connect(&house, "localhost", b"http/1.1").await.unwrap();
        let head =
            format!("POST /{}/oauth2/v2.0/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\ngrant_type=", house.boot.tenant);
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
        is_served(&house).await;
    }
    // Legitimate token requests succeed meanwhile.
    tokio::time::timeout(PATIENCE, house.token(crate::house::MONITOR)).await.expect("tokens are given");
}

#[tokio::test]
async fn idle_connections_make_room() {
    let house = House::with(patient(8)).await;
    let mut silent = Vec::new();
    for _ in 0..24 {
        silent.push(TcpStream::connect(house.address).await.unwrap());
    }
    is_served(&house).await;
}

#[tokio::test]
async fn a_slow_form_is_given_up_soon() {
    let house = House::with(patient(8)).await;
    let mut stream = connect(&house, "localhost", b"http/1.1").await.unwrap();
    let head = format!("POST /{}/oauth2/v2.0/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\n", house.boot.tenant);
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut start = [0; 12];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut start)).await.expect("an answer within seconds").unwrap();
    assert_eq!(&start, b"HTTP/1.1 408");
}

#[tokio::test]
async fn a_reader_that_never_opens_its_window_is_cut_off() {
    let house = House::with(ServerConfig { write_timeout: Span::millis(300), ..patient(8) }).await;
    let tls = connect(&house, "localhost", b"h2").await.unwrap();
    let mut builder = h2::client::Builder::new();
    let (client, connection) = builder.initial_window_size(0).handshake::<_, bytes::Bytes>(tls).await.unwrap();
    let ended = tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let (response, _) = client.send_request(http::Request::get(format!("{}/metrics", house.base)).body(()).unwrap(), true).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    // The client answers pings and keeps the stream open, but reads nothing.
    tokio::time::timeout(PATIENCE, ended).await.expect("the connection is cut").unwrap().ok();
    drop(response);
    is_served(&house).await;
}

#[tokio::test]
async fn rapid_resets_end_the_connection() {
    // CVE-2023-44487: requests that are opened and reset cost the client nothing.
    let house = House::with(patient(8)).await;
    let tls = connect(&house, "localhost", b"h2").await.unwrap();
    let (client, connection) = h2::client::handshake(tls).await.unwrap();
    let ended = tokio::spawn(connection);
    let resetting = async {
        let mut client = client;
        loop {
            let Ok(ready) = client.ready().await else { return };
            client = ready;
            let request = http::Request::get(format!("{}/healthz", house.base)).body(()).unwrap();
            let Ok((_, mut stream)) = client.send_request(request, false) else { return };
            stream.send_reset(h2::Reason::CANCEL);
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, resetting).await.expect("the connection ends");
    // ENHANCE_YOUR_CALM if the client reads it before its next write fails.
    let error = ended.await.unwrap().unwrap_err();
    assert!(error.is_io() || error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM), "{error}");
    is_served(&house).await;
}

#[tokio::test]
async fn headers_without_end_end_the_connection() {
    // CVE-2024-27316 and similar: a header that continues in CONTINUATION frames without end.
    let house = House::with(patient(8)).await;
    let mut stream = connect(&house, "localhost", b"h2").await.unwrap();
    let frame = |kind: u8, flags: u8, id: u32, payload: &[u8]| {
        let length = payload.len() as u32;
        [&length.to_be_bytes()[1..], &[kind, flags], &id.to_be_bytes(), payload].concat()
    };
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(&frame(4, 0, 0, &[])).await.unwrap();
    // Literal fields without indexing, each of 1,000 bytes (RFC 7541 §6.2.2): `x-a: aaa…`.
    let field = [&[0x00, 3][..], b"x-a", &[0x7f, 0xe9, 0x06], &[b'a'; 1_000]].concat();
    stream.write_all(&frame(1, 0, 1, &field)).await.unwrap();
    let more = frame(9, 0, 1, &field.repeat(16));
    let (mut reader, mut writer) = tokio::io::split(stream);
    let flood = async { while writer.write_all(&more).await.is_ok() {} };
    let closed = async {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).await.ok();
    };
    tokio::time::timeout(PATIENCE, async {
        tokio::select! { () = flood => {}, () = closed => {} }
    })
    .await
    .expect("the connection ends");
    is_served(&house).await;
}
