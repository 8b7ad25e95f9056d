//! Bad input: each kind has its own clear error, and other requests are still served.

use std::io::Write;

use reqwest::Method;
use serde_json::Value;

use crate::house::{House, LOGS, MONITOR, answer};
use crate::ingestion::rule;

async fn upload(house: &House, path: &str, body: Vec<u8>, gzipped: bool) -> (u16, Value) {
    let mut request = house.call(MONITOR, Method::POST, &format!("{path}?api-version=2023-01-01")).await;
    if gzipped {
        request = request.header("content-encoding", "gzip");
    }
    let (status, body) = answer(request.header("content-type", "application/json").body(body)).await;
    (status.as_u16(), body)
}

#[tokio::test]
async fn hostile_bodies_are_refused_by_name_and_the_next_one_is_served() {
    let house = House::new().await;
    let path = rule(&house).await;

    // 20 MB on the wire: Azure's exact message with the length sent.
    let (status, body) = upload(&house, &path, vec![b' '; 20 << 20], false).await;
    assert_eq!((status, body["error"]["code"].as_str()), (413, Some("ContentLengthLimitExceeded")), "{body}");
    assert_eq!(body["error"]["message"], "Maximum allowed content length: 1048576 bytes (1 MB). Provided content length: 20971520 bytes.");

    // The same without `Content-Length`.
    let pieces = futures::stream::iter((0..40).map(|_| Ok::<_, std::io::Error>(vec![b' '; 64 << 10])));
    let chunked =
        house.call(MONITOR, Method::POST, &format!("{path}?api-version=2023-01-01")).await.body(reqwest::Body::wrap_stream(pieces));
    assert_eq!(answer(chunked.header("content-type", "application/json")).await.0, 413);

    // A gzip bomb: 256 MB of blanks in about 250 KB, in 256 members (RFC 1952 §2.2).
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![b' '; 1 << 20]).unwrap();
    let (status, body) = upload(&house, &path, encoder.finish().unwrap().repeat(256), true).await;
    assert_eq!((status, body["error"]["code"].as_str()), (413, Some("DecompressedContentLimitExceeded")), "{body}");

    // 1,000 levels of JSON, invalid gzip, and invalid JSON.
    let deep = [b"[".repeat(1000), b"]".repeat(1000)].concat();
    assert_eq!(upload(&house, &path, deep, false).await.1["error"]["code"], "JsonTooDeep");
    assert_eq!(upload(&house, &path, b"[]".to_vec(), true).await.1["error"]["code"], "InvalidContentEncoding");
    assert_eq!(upload(&house, &path, b"hello".to_vec(), false).await.1["error"]["code"], "InvalidRequestBody");
    assert_eq!(upload(&house, &path, Vec::new(), false).await.1["error"]["code"], "InvalidRequestBody");

    assert!(house.pipeline.uploads.lock().unwrap().is_empty());
    assert_eq!(upload(&house, &path, b"[]".to_vec(), false).await.0, 204);
}

#[tokio::test]
async fn a_defect_costs_one_request() {
    let house = House::new().await;
    let path = format!("/v1/workspaces/{}/query", house.boot.cloud.workspace_id);
    let (status, body) = answer(house.call(LOGS, Method::GET, &format!("{path}?query=panic")).await).await;
    assert_eq!((status.as_u16(), body["error"]["code"].as_str()), (500, Some("InternalServerError")));
    assert!(!body.to_string().contains("boom"), "the cause is for the log: {body}");
    assert_eq!(answer(house.call(LOGS, Method::GET, &format!("{path}?query=T")).await).await.0, 200);
}
