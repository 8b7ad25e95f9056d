//! Listeners on real sockets. Frames are built by hand from RFC 5424, RFC 3164 and RFC 6587.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use connectors::{Bound, SourceContext, SourcesConfig};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::sink::{Hasty, Recorder, context};

struct Running {
    writer: Arc<Recorder>,
    bound: Vec<Bound>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    async fn start(listeners: serde_json::Value) -> Self {
        let writer = Arc::new(Recorder::new());
        let stop = CancellationToken::new();
        let cx = SourceContext { clock: Arc::new(Hasty::new()), ..context("syslog/test", writer.clone(), stop.clone()) };
        let config: SourcesConfig = serde_json::from_value(json!({ "syslog": listeners })).unwrap();
        let (mut bound, mut tasks) = (Vec::new(), Vec::new());
        for maker in config.makers().unwrap() {
            let mut source = (maker.make)().unwrap();
            bound.extend(source.open(&cx).await.unwrap());
            let cx = cx.clone();
            tasks.push(tokio::spawn(async move { source.run(&cx).await.unwrap() }));
        }
        Self { writer, bound, stop, tasks }
    }

    fn address(&self, name: &str, protocol: &str) -> SocketAddr {
        self.bound.iter().find(|bound| bound.name == name && bound.protocol == protocol).unwrap().address
    }

    async fn connect(&self, name: &str) -> TcpStream {
        TcpStream::connect(self.address(name, "tcp")).await.unwrap()
    }

    async fn end(self) -> Arc<Recorder> {
        self.stop.cancel();
        for task in self.tasks {
            tokio::time::timeout(Duration::from_secs(60), task).await.expect("a listener ends").unwrap();
        }
        self.writer
    }
}

fn message(n: usize) -> String {
    format!("<13>1 2026-11-20T12:00:00Z host app 7 - - message {n}")
}

fn counted(message: &str) -> String {
    format!("{} {message}", message.len())
}

#[tokio::test]
async fn frames_of_each_kind_are_stored_once_and_in_order() {
    let running = Running::start(json!([{ "name": "one", "tcp": "127.0.0.1:0", "udp": "127.0.0.1:0" }])).await;
    let mut stream = running.connect("one").await;
    // RFC 6587: counted and LF-terminated frames on one connection, split at arbitrary positions.
    let all: String = (0..100).map(|n| if n % 2 == 0 { counted(&message(n)) } else { format!("{}\n", message(n)) }).collect();
    for piece in all.as_bytes().chunks(37) {
        stream.write_all(piece).await.unwrap();
    }
    stream.shutdown().await.unwrap();
    running.writer.wait_for(100).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(message(100).as_bytes(), running.address("one", "udp")).await.unwrap();
    running.writer.wait_for(101).await;
    let writer = running.end().await;
    let expected: Vec<String> = (0..=100).map(|n| format!("message {n}")).collect();
    assert_eq!(writer.texts("Syslog", "SyslogMessage"), expected);
    assert!(writer.texts("Syslog", "Facility").iter().all(|facility| facility == "user"));
    assert!(writer.texts("Syslog", "SeverityLevel").iter().all(|severity| severity == "notice"));
    assert!(writer.texts("Syslog", "ProcessName").iter().all(|name| name == "app"));
    assert!(writer.texts("Syslog", "CollectorHostName").iter().all(|host| host == "collector"));
}

#[tokio::test]
async fn a_stalled_client_does_not_block_others() {
    let running = Running::start(json!([{ "name": "one", "tcp": "127.0.0.1:0" }])).await;
    let mut half = running.connect("one").await;
    half.write_all(b"200 <13>1 2026-11-20T12:00:00Z host app - - - half").await.unwrap();
    let silent = running.connect("one").await;
    let mut other = running.connect("one").await;
    for n in 0..1_000 {
        other.write_all(counted(&message(n)).as_bytes()).await.unwrap();
    }
    running.writer.wait_for(1_000).await;
    drop((half, silent));
    let writer = running.end().await;
    let stored = writer.texts("Syslog", "SyslogMessage");
    assert_eq!(stored.iter().filter(|text| text.starts_with("message ")).count(), 1_000);
}

/// A sender faster than the workspace is limited to one window, and not read until it is synced.
#[tokio::test]
async fn a_busy_workspace_slows_the_sender_and_loses_nothing() {
    let running = Running::start(json!([{ "name": "one", "tcp": "127.0.0.1:0" }])).await;
    running.writer.busy.store(true, Ordering::SeqCst);
    let mut stream = running.connect("one").await;
    let long = "x".repeat(1_000);
    let sender = tokio::spawn(async move {
        for n in 0..20_000 {
            stream.write_all(counted(&format!("{} {long}", message(n))).as_bytes()).await.unwrap();
        }
        stream.shutdown().await.unwrap();
    });
    // 20 MB exceed sockets and a window: the sender must be blocked while nothing is stored.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!sender.is_finished(), "the sender was not slowed down");
    assert_eq!(running.writer.count(), 0);
    running.writer.busy.store(false, Ordering::SeqCst);
    sender.await.unwrap();
    running.writer.wait_for(20_000).await;
    let writer = running.end().await;
    let stored = writer.texts("Syslog", "SyslogMessage");
    assert_eq!(stored.len(), 20_000);
    assert!(stored.iter().enumerate().all(|(n, text)| text.starts_with(&format!("message {n} "))));
}

#[tokio::test]
async fn each_listener_has_its_own_filters() {
    let running = Running::start(json!([
        { "name": "all", "tcp": "127.0.0.1:0" },
        { "name": "bad", "tcp": "127.0.0.1:0", "facilities": ["local0"], "min_severity": "warning" },
    ]))
    .await;
    // local0.err, local0.info, user.err (RFC 5424, table 1: facility times 8 plus severity)
    for name in ["all", "bad"] {
        let mut stream = running.connect(name).await;
        for pri in [131, 134, 11] {
            stream.write_all(format!("<{pri}>1 - host app - - - to {name} {pri}\n").as_bytes()).await.unwrap();
        }
        stream.shutdown().await.unwrap();
    }
    running.writer.wait_for(4).await;
    let mut stored = running.end().await.texts("Syslog", "SyslogMessage");
    stored.sort();
    assert_eq!(stored, ["to all 11", "to all 131", "to all 134", "to bad 131"]);
}
