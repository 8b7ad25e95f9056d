//! Rejections are delivered: a client that is still sending its body can read the status, over HTTP/1.1 and HTTP/2, and keep its
//! connection.
//!
//! See RFC 9112 §9.6 and RFC 9113 §8.1; nginx 1.22 delivers all of these statuses (`tests/http/nginx.py` compares).

use std::time::Duration;

use bytes::Bytes;
use reqwest::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::house::{House, MONITOR};
use crate::ingestion::rule;
use crate::listener::connect;

/// Body size in bytes, and the number of rejections of each size: a thousand over each protocol.
const SIZES: [(usize, usize); 5] = [(10, 400), (1_000, 300), (100_000, 240), (2 << 20, 48), (20 << 20, 12)];

#[tokio::test]
async fn a_pooled_client_of_http_1_reads_every_status() {
    let house = House::new().await;
    let path = rule(&house).await;
    let token = house.token(MONITOR).await;
    for (size, count) in SIZES {
        // Four requests of each kind.
        for _ in 0..count / 4 {
            let body = vec![b' '; size];
            // Without a token, to an unknown path, with an unsupported method, and too large or malformed with a token.
            let stranger = house.http.post(format!("{}{path}?api-version=2023-01-01", house.base)).body(body.clone());
            assert_eq!(stranger.send().await.unwrap().status(), 401, "{size}");
            assert_eq!(house.http.post(format!("{}/nowhere", house.base)).body(body.clone()).send().await.unwrap().status(), 404, "{size}");
            assert_eq!(house.http.put(format!("{}/healthz", house.base)).body(body.clone()).send().await.unwrap().status(), 405, "{size}");
            let publisher = house.http.post(format!("{}{path}?api-version=2023-01-01", house.base)).bearer_auth(&token).body(body);
            let expected = if size > 1 << 20 { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST };
            assert_eq!(publisher.send().await.unwrap().status(), expected, "{size}");
            assert_eq!(house.http.get(format!("{}/healthz", house.base)).send().await.unwrap().status(), 200);
        }
    }
}

#[tokio::test]
async fn a_client_that_writes_everything_before_it_reads_sees_the_status() {
    let house = House::new().await;
    // With and without a content length: the second has no end known to the server.
    for (head, body) in [
        ("Content-Length: 8388608\r\n\r\n", vec![b' '; 8 << 20]),
        ("Transfer-Encoding: chunked\r\n\r\n", [b"800000\r\n".to_vec(), vec![b' '; 8 << 20], b"\r\n0\r\n\r\n".to_vec()].concat()),
    ] {
        let mut stream = connect(&house, "localhost", b"http/1.1").await.unwrap();
        stream.write_all(format!("POST /nowhere HTTP/1.1\r\nHost: localhost\r\n{head}").as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        stream.flush().await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(Duration::from_secs(30), stream.read_to_string(&mut answer)).await.expect("the connection is closed").unwrap();
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    }
    // A client that sends `Expect: 100-continue` gets the final status instead of 100.
    let mut stream = connect(&house, "localhost", b"http/1.1").await.unwrap();
    let head = "POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 404");
}

#[tokio::test]
async fn http_2_reads_every_status_and_its_stream_is_not_reset_with_an_error() {
    let house = House::new().await;
    let path = rule(&house).await;
    let tls = connect(&house, "localhost", b"h2").await.unwrap();
    let (client, connection) = h2::client::handshake(tls).await.unwrap();
    tokio::spawn(connection);
    for (size, count) in SIZES {
        for _ in 0..count {
            let request = http::Request::post(format!("{}{path}?api-version=2023-01-01", house.base)).body(()).unwrap();
            let mut client = client.clone().ready().await.unwrap();
            let (response, mut body) = client.send_request(request, false).unwrap();
            let mut left = Bytes::from(vec![b' '; size]);
            while !left.is_empty() {
                body.reserve_capacity(left.len());
                let room = std::future::poll_fn(|cx| body.poll_capacity(cx)).await.expect("the stream stays open").unwrap();
                body.send_data(left.split_to(room.min(left.len())), left.is_empty()).unwrap();
            }
            let mut response = response.await.unwrap();
            assert_eq!(response.status(), 401, "{size}");
            while let Some(data) = response.body_mut().data().await {
                response.body_mut().flow_control().release_capacity(data.unwrap().len()).unwrap();
            }
        }
    }
}
