//! The mail channel's results for all server behaviours in every phase.
//!
//! Expected outcomes: RFC 5321 4.2.1 (4yz and 5yz), and nothing is sent before the content.

use oncall::channel::{Channel, SendError};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::fakes::{World, message};

/// Server replies to the greeting, EHLO, MAIL, RCPT, DATA and the content. Empty: disconnect. `wait`: no reply.
type Script = [&'static str; 6];

const GOOD: Script = ["220 hi", "250 hi", "250 ok", "250 ok", "354 go", "250 taken"];

async fn outcome(script: Script) -> &'static str {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        for (place, says) in script.into_iter().enumerate() {
            let mut line = String::new();
            if place == 5 {
                while line != ".\r\n" {
                    line.clear();
                    stream.read_line(&mut line).await.unwrap();
                }
            } else if place > 0 {
                stream.read_line(&mut line).await.unwrap();
            }
            match says {
                "" => return,
                "wait" => return std::future::pending().await,
                says => stream.write_all(format!("{says}\r\n").as_bytes()).await.unwrap(),
            }
        }
        let _ = stream.read_line(&mut String::new()).await;
        let _ = stream.write_all(b"221 bye\r\n").await;
    });
    let channel =
        channel(json!({ "host": "127.0.0.1", "port": port, "security": "none", "from": "oncall@example.org", "timeout": "PT1S" }));
    let sent = channel.send(&message("ann@example.org")).await;
    server.abort();
    match sent {
        Ok(_) => "taken",
        Err(SendError::Refused { reason }) => {
            assert!(!reason.contains("ann@example.org"), "the address is in `{reason}`");
            "refused"
        }
        Err(SendError::Later { .. }) => "later",
        Err(SendError::Ambiguous { .. }) => "ambiguous",
    }
}

pub fn channel(settings: serde_json::Value) -> Box<dyn Channel> {
    (oncall::channels::find("email").unwrap().build)(settings, &World::ports()).unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test]
async fn every_moment_has_its_outcome() {
    assert_eq!(outcome(GOOD).await, "taken");
    let moments = ["greeting", "EHLO", "MAIL", "RCPT", "DATA", "content"];
    for (place, moment) in moments.iter().enumerate() {
        let with = |says| {
            let mut script = GOOD;
            script[place] = says;
            script
        };
        assert_eq!(outcome(with("450 4.2.1 later")).await, "later", "{moment}");
        assert_eq!(outcome(with("550 5.1.1 <ann@example.org> unknown")).await, "refused", "{moment}");
        let lost = if *moment == "content" { "ambiguous" } else { "later" };
        assert_eq!(outcome(with("")).await, lost, "{moment}, hung up");
        assert_eq!(outcome(with("wait")).await, lost, "{moment}, silent");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_may_be_there_later() {
    // Bound and dropped, so the port is closed.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let channel =
        channel(json!({ "host": "127.0.0.1", "port": port, "security": "none", "from": "oncall@example.org", "timeout": "PT1S" }));
    assert!(matches!(channel.send(&message("ann@example.org")).await, Err(SendError::Later { .. })));
}

#[tokio::test]
async fn a_server_without_tls_is_not_spoken_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 hi\r\n").await.unwrap();
        let mut said = String::new();
        stream.read_line(&mut said).await.unwrap();
        stream.write_all(b"250-hi\r\n250 AUTH PLAIN\r\n").await.unwrap();
        while stream.read_line(&mut said).await.unwrap_or(0) > 0 {}
        said
    });
    let settings = json!({ "host": "127.0.0.1", "port": port, "from": "oncall@example.org", "user": "u", "password": "env:geheim" });
    assert!(matches!(channel(settings).send(&message("ann@example.org")).await, Err(SendError::Later { .. })));
    let said = server.await.unwrap();
    assert!(!said.contains("AUTH") && !said.contains("MAIL"), "{said}");
}

#[test]
fn settings_that_cannot_be_right_are_refused_with_their_field() {
    let build = oncall::channels::find("email").unwrap().build;
    for (settings, field) in [
        (json!({ "from": "a@b.c" }), "host"),
        (json!({ "host": "h", "from": "nobody" }), "from"),
        (json!({ "host": "h", "from": "a@b.c", "reply_to": "x" }), "reply_to"),
        (json!({ "host": "h", "from": "a@b.c", "user": "u" }), "password"),
        (json!({ "host": "h", "from": "a@b.c", "user": "u", "password": "geheim" }), "password"),
        (json!({ "host": "h", "from": "a@b.c", "user": "u", "password": "env:p", "security": "none" }), "security"),
        (json!({ "host": "h", "from": "a@b.c", "ca_file": "/nowhere.pem" }), "ca_file"),
        (json!({ "host": "h", "from": "a@b.c", "hots": "x" }), "hots"),
        (json!({ "host": "h", "from": "a@b.c", "port": 70000 }), "port"),
    ] {
        let error = build(settings, &World::ports()).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(&format!("`{field}`")), "{field}: {error}");
        assert!(!error.contains("geheim"), "{error}");
    }
}
