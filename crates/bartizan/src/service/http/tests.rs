//! Outbound HTTP against loopback servers that record what they receive.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use model::Span;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A server that responds with raw bytes; it counts connections and requests.
struct Peer {
    port: u16,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

#[derive(Clone)]
enum Answer {
    /// Response bytes; the connection stays open if the second field is true.
    Bytes(Vec<u8>, bool),
    /// Reads the request and never responds.
    Silence,
    /// Closes the connection without reading.
    Slam,
}

impl Peer {
    async fn start(ip: Ipv4Addr, port: u16, answer: Answer) -> Peer {
        let listener = TcpListener::bind((ip, port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (connections, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (c, r) = (connections.clone(), requests.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                c.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, answer.clone(), r.clone()));
            }
        });
        Peer { port, connections, requests }
    }

    fn seen(&self) -> (usize, usize) {
        (self.connections.load(Ordering::SeqCst), self.requests.load(Ordering::SeqCst))
    }
}

async fn serve(mut stream: TcpStream, answer: Answer, requests: Arc<AtomicUsize>) {
    if matches!(answer, Answer::Slam) {
        return;
    }
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let Ok(n @ 1..) = stream.read(&mut buffer).await else { return };
        seen.extend_from_slice(&buffer[..n]);
        let Some(head) = seen.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&seen[..head]).to_lowercase();
        let length: usize =
            text.lines().find_map(|line| line.strip_prefix("content-length: ")).and_then(|n| n.trim().parse().ok()).unwrap_or(0);
        if seen.len() < head + 4 + length {
            continue;
        }
        seen.drain(..head + 4 + length);
        requests.fetch_add(1, Ordering::SeqCst);
        match &answer {
            Answer::Bytes(bytes, open) => {
                // The client may stop reading at its limit.
                if stream.write_all(bytes).await.is_err() || !open {
                    return;
                }
            }
            Answer::Silence | Answer::Slam => {}
        }
    }
}

fn ok(body: &str) -> Answer {
    Answer::Bytes(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes(), true)
}

fn request(url: String, reach: Reach) -> HttpRequest {
    HttpRequest { method: http::Method::POST, url, headers: http::HeaderMap::new(), body: "{}".into(), timeout: Span::seconds(20), reach }
}

const LO1: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
/// Counts as a public address in tests.
const LO2: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn only_lo2(address: IpAddr) -> Option<&'static str> {
    (address != IpAddr::V4(LO2)).then_some("loopback")
}

/// Returns the results in turn, then repeats the last one.
struct Turns(Mutex<VecDeque<Vec<IpAddr>>>, AtomicUsize);

impl Turns {
    fn new(turns: &[&[Ipv4Addr]]) -> Arc<Self> {
        let turns = turns.iter().map(|turn| turn.iter().copied().map(IpAddr::V4).collect()).collect();
        Arc::new(Self(Mutex::new(turns), AtomicUsize::new(0)))
    }
}

#[async_trait]
impl Names for Turns {
    async fn resolve(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        self.1.fetch_add(1, Ordering::SeqCst);
        let mut turns = self.0.lock().unwrap();
        Ok(if turns.len() > 1 { turns.pop_front().unwrap() } else { turns[0].clone() })
    }
}

fn plain() -> Outbound {
    Outbound::new(&OutboundConfig::default()).unwrap()
}

#[tokio::test]
async fn internal_addresses_are_refused_in_every_spelling_and_no_packet_leaves() {
    let peer = Peer::start(LO1, 0, ok("")).await;
    let port = peer.port;
    let http = plain();
    for host in
        ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::ffff:127.0.0.1]", "localhost", "LOCALHOST.", "0", "a.localhost"]
    {
        let error = http.send(request(format!("http://{host}:{port}/"), Reach::Public)).await.unwrap_err();
        assert!(matches!(error, HttpError::Guarded { .. }), "{host}: {error:?}");
        assert!(!error.may_have_arrived());
    }
    for host in ["169.254.169.254", "[fd00:ec2::254]", "10.0.0.1", "[64:ff9b::a9fe:a9fe]"] {
        let error = http.send(request(format!("http://{host}/latest/meta-data/"), Reach::Public)).await.unwrap_err();
        assert!(matches!(error, HttpError::Guarded { .. }), "{host}: {error:?}");
    }
    assert_eq!(peer.seen(), (0, 0));
    // With `Reach::Anywhere` the same address responds.
    let answer = http.send(request(format!("http://127.0.0.1:{port}/"), Reach::Anywhere)).await.unwrap();
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_name_is_judged_by_every_address_it_has() {
    let peer = Peer::start(LO2, 0, ok("")).await;
    let url = format!("http://hooks.example:{}/", peer.port);
    let names = Turns::new(&[&[LO2, LO1]]);
    let http = Outbound::with(&OutboundConfig::default(), names, only_lo2).unwrap();
    let error = http.send(request(url, Reach::Public)).await.unwrap_err();
    let HttpError::Guarded { host, address } = error else { panic!("{error:?}") };
    assert_eq!((host.as_str(), address.as_str()), ("hooks.example", "127.0.0.1"));
    assert_eq!(peer.seen(), (0, 0));
}

/// DNS rebinding: the name resolves to a public address first and to a private one later. The private server receives nothing.
#[tokio::test]
async fn a_rebinding_name_gains_nothing() {
    let closing = Answer::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec(), false);
    let good = Peer::start(LO2, 0, closing).await;
    let trap = Peer::start(LO1, good.port, ok("secret")).await;
    let url = format!("http://hooks.example:{}/", good.port);
    let names = Turns::new(&[&[LO2], &[LO1]]);
    let http = Outbound::with(&OutboundConfig::default(), names.clone(), only_lo2).unwrap();
    http.send(request(url.clone(), Reach::Public)).await.unwrap();
    assert_eq!(names.1.load(Ordering::SeqCst), 1, "a name is resolved once for a request");
    let error = http.send(request(url, Reach::Public)).await.unwrap_err();
    assert!(matches!(error, HttpError::Guarded { .. }), "{error:?}");
    assert_eq!((good.seen(), trap.seen()), ((1, 1), (0, 0)));
}

/// A connection opened without the guard is not reused for a guarded request.
#[tokio::test]
async fn guarded_and_unguarded_requests_share_no_connection() {
    let peer = Peer::start(LO1, 0, ok("")).await;
    let url = format!("http://hooks.example:{}/", peer.port);
    let http = Outbound::with(&OutboundConfig::default(), Turns::new(&[&[LO1]]), only_lo2).unwrap();
    http.send(request(url.clone(), Reach::Anywhere)).await.unwrap();
    let error = http.send(request(url.clone(), Reach::Public)).await.unwrap_err();
    assert!(matches!(error, HttpError::Guarded { .. }), "{error:?}");
    http.send(request(url, Reach::Anywhere)).await.unwrap();
    assert_eq!(peer.seen(), (1, 2), "one connection, used twice");
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let inside = Peer::start(LO1, 0, ok("secret")).await;
    let head = format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:{}/\r\ncontent-length: 0\r\n\r\n", inside.port);
    let outside = Peer::start(LO1, 0, Answer::Bytes(head.into_bytes(), true)).await;
    let answer = plain().send(request(format!("http://127.0.0.1:{}/", outside.port), Reach::Anywhere)).await.unwrap();
    assert_eq!(answer.status, 307);
    assert_eq!(inside.seen(), (0, 0));
}

#[tokio::test]
async fn errors_say_whether_it_may_have_arrived() {
    let http = plain();
    let send = |port: u16, timeout: i64| {
        let mut request = request(format!("http://127.0.0.1:{port}/token-in-path"), Reach::Anywhere);
        request.timeout = Span::millis(timeout);
        http.send(request)
    };
    // The port was free a moment ago and is not reused at once, so nothing listens there.
    let free = TcpListener::bind((LO1, 0)).await.unwrap().local_addr().unwrap().port();
    let error = send(free, 20_000).await.unwrap_err();
    assert!(matches!(error, HttpError::Connect { .. }) && !error.may_have_arrived(), "{error:?}");
    assert!(!format!("{error:?} {}", model::chain(&error)).contains("token-in-path"), "{error:?}");

    let silent = Peer::start(LO1, 0, Answer::Silence).await;
    let error = send(silent.port, 300).await.unwrap_err();
    assert!(matches!(error, HttpError::Timeout { .. }) && error.may_have_arrived(), "{error:?}");

    let cut = Answer::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this".to_vec(), false);
    let peer = Peer::start(LO1, 0, cut).await;
    let error = send(peer.port, 20_000).await.unwrap_err();
    assert!(matches!(error, HttpError::Broken { .. }) && error.may_have_arrived(), "{error:?}");

    let slow_body = Answer::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this".to_vec(), true);
    let peer = Peer::start(LO1, 0, slow_body).await;
    let error = send(peer.port, 300).await.unwrap_err();
    assert!(matches!(error, HttpError::Timeout { .. }), "{error:?}");

    let peer = Peer::start(LO1, 0, Answer::Bytes(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), false)).await;
    let error = send(peer.port, 20_000).await.unwrap_err();
    assert!(error.may_have_arrived(), "{error:?}");

    let peer = Peer::start(LO1, 0, Answer::Slam).await;
    let error = send(peer.port, 20_000).await.unwrap_err();
    assert!(error.may_have_arrived(), "connected, so something may have been read: {error:?}");

    // A failed handshake precedes the request.
    let peer = Peer::start(LO1, 0, Answer::Slam).await;
    let error = http.send(request(format!("https://127.0.0.1:{}/", peer.port), Reach::Anywhere)).await.unwrap_err();
    assert!(matches!(error, HttpError::Connect { .. }), "{error:?}");
}

#[tokio::test]
async fn a_long_body_is_read_to_its_limit() {
    let mut bytes = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 3 << 20).into_bytes();
    bytes.resize(bytes.len() + (3 << 20), b'x');
    let peer = Peer::start(LO1, 0, Answer::Bytes(bytes, true)).await;
    let answer = plain().send(request(format!("http://127.0.0.1:{}/", peer.port), Reach::Anywhere)).await.unwrap();
    assert_eq!(answer.body.len(), HttpResponse::MAX_BODY);
}

#[tokio::test]
async fn behind_a_proxy_names_are_judged_first() {
    let proxy = Peer::start(LO1, 0, ok("from the proxy")).await;
    let config = OutboundConfig { proxy: Some(format!("http://127.0.0.1:{}", proxy.port)), ca_file: None };
    let http = Outbound::with(&config, Turns::new(&[&[LO1]]), only_lo2).unwrap();
    let error = http.send(request("http://hooks.example/".to_owned(), Reach::Public)).await.unwrap_err();
    assert!(matches!(error, HttpError::Guarded { .. }), "{error:?}");
    assert_eq!(proxy.seen(), (0, 0));
    let http = Outbound::with(&config, Turns::new(&[&[LO2]]), only_lo2).unwrap();
    let answer = http.send(request("http://hooks.example/".to_owned(), Reach::Public)).await.unwrap();
    assert_eq!(answer.body, "from the proxy");
}

#[test]
fn a_wrong_ca_file_is_named() {
    let config = |path: &str| OutboundConfig { ca_file: Some(path.into()), proxy: None };
    assert!(matches!(Outbound::new(&config("/nonexistent/ca.pem")), Err(OutboundError::ReadCa(..))));
    assert!(matches!(Outbound::new(&config(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))), Err(OutboundError::Ca(_))));
}

#[test]
fn an_address_is_shown_without_what_may_be_secret() {
    assert_eq!(shown("https://hooks.example/services/T0/B0/xyz"), "https://hooks.example");
    assert_eq!(shown("https://ann:pw@hooks.example?token=1"), "https://hooks.example");
    assert_eq!(shown("secret-without-scheme/x"), "secret-without-scheme");
}

/// OpenSSL creates the certificate and acts as the server.
#[tokio::test]
async fn a_private_authority_is_trusted_where_its_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (key, certificate) = (folder.path().join("key.pem"), folder.path().join("ca.pem"));
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
        ])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output();
    if !made.is_ok_and(|made| made.status.success()) {
        println!("skipped: there is no openssl here");
        return;
    }
    let mut served = tokio::process::Command::new("openssl")
        .args(["s_server", "-accept", "127.0.0.1:0", "-www", "-key"])
        .arg(&key)
        .arg("-cert")
        .arg(&certificate)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut output = served.stdout.take().unwrap();
    let mut buffer = [0; 256];
    // It prints `ACCEPT 127.0.0.1:PORT` when listening.
    let port = loop {
        let n = output.read(&mut buffer).await.unwrap();
        assert!(n > 0, "openssl ended: {said}");
        said.push_str(&String::from_utf8_lossy(&buffer[..n]));
        if let Some((_, rest)) = said.split_once("ACCEPT 127.0.0.1:")
            && let Some((port, _)) = rest.split_once('\n')
        {
            break port.trim().to_owned();
        }
    };
    let ask = || {
        let mut request = request(format!("https://127.0.0.1:{port}/"), Reach::Anywhere);
        request.method = http::Method::GET;
        request
    };
    let error = plain().send(ask()).await.unwrap_err();
    assert!(matches!(error, HttpError::Connect { .. }), "an unknown authority: nothing was sent: {error:?}");
    let http = Outbound::new(&OutboundConfig { ca_file: Some(certificate), proxy: None }).unwrap();
    assert_eq!(http.send(ask()).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_long_body_is_read_as_it_comes_and_up_to_a_limit() {
    let long = "x".repeat(3 * HttpResponse::MAX_BODY);
    let peer = Peer::start(LO1, 0, ok(&long)).await;
    let url = format!("http://127.0.0.1:{}/", peer.port);
    let http = plain();
    let answer = http.open(request(url.clone(), Reach::Anywhere)).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.read("peer", long.len()).await.unwrap().body, long);
    let error = http.open(request(url.clone(), Reach::Anywhere)).await.unwrap().read("peer", long.len() - 1).await.unwrap_err();
    assert!(matches!(error, HttpError::TooLarge { limit, .. } if limit == long.len() - 1), "{error:?}");
    // `send` keeps what fits.
    assert_eq!(http.send(request(url.clone(), Reach::Anywhere)).await.unwrap().body.len(), HttpResponse::MAX_BODY);
    assert!(matches!(http.open(request(url, Reach::Public)).await, Err(HttpError::Guarded { .. })));
}

#[tokio::test]
async fn a_host_gets_so_many_requests_at_a_time() {
    let peer = Peer::start(LO1, 0, Answer::Silence).await;
    let http = Arc::new(plain());
    let short = |url: String| HttpRequest { timeout: Span::millis(300), ..request(url, Reach::Anywhere) };
    let asked: Vec<_> = (0..3 * PER_HOST)
        .map(|_| {
            let (http, request) = (http.clone(), short(format!("http://127.0.0.1:{}/", peer.port)));
            tokio::spawn(async move { http.send(request).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert!(peer.seen().0 <= PER_HOST, "{:?}", peer.seen());
    for one in asked {
        assert!(matches!(one.await.unwrap(), Err(HttpError::Timeout { .. })));
    }
}
