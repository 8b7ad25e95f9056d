//! Answers by mail over a socket.

use std::net::SocketAddr;
use std::sync::Arc;

use oncall::answer::{Action, Subject, Via};
use oncall::inbound::receiver::{Receiver, Settings};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::fakes::{self, Kept, OnePage, PAGE, World, token};

type Started = (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>);

async fn start(kept: Arc<Kept>) -> Started {
    start_with(kept, None).await
}

pub async fn start_with(kept: Arc<Kept>, tls: Option<Arc<rustls::ServerConfig>>) -> Started {
    let settings = Settings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        domains: vec!["soc.example.org".to_owned()],
        max_size: 100_000,
        authserv_id: None,
        relays: Vec::new(),
    };
    let receiver = Receiver::bind(settings, tls, kept, Arc::new(OnePage::new()), fakes::signer(), Arc::new(World)).await.unwrap();
    let address = receiver.address().unwrap();
    let stop = CancellationToken::new();
    (address, stop.clone(), tokio::spawn(receiver.run(stop)))
}

struct Client(BufReader<TcpStream>);

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        let mut client = Self(BufReader::new(TcpStream::connect(address).await.unwrap()));
        assert_eq!(client.reply().await.0, 220);
        assert_eq!(client.say("EHLO client").await.0, 250);
        client
    }

    async fn reply(&mut self) -> (u16, String) {
        let mut line = String::new();
        loop {
            line.clear();
            self.0.read_line(&mut line).await.unwrap();
            if line.len() < 4 || line.as_bytes()[3] != b'-' {
                return (line.get(..3).and_then(|code| code.parse().ok()).unwrap_or_default(), line);
            }
        }
    }

    async fn say(&mut self, line: &str) -> (u16, String) {
        self.0.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        self.reply().await
    }

    async fn mail(&mut self, from: &str, to: &str, content: &str) -> (u16, String) {
        for line in [format!("MAIL FROM:<{from}>"), format!("RCPT TO:<{to}>")] {
            let (code, says) = self.say(&line).await;
            if code != 250 {
                self.say("RSET").await;
                return (code, says);
            }
        }
        assert_eq!(self.say("DATA").await.0, 354);
        self.say(&format!("{content}\r\n.")).await
    }
}

fn tagged() -> String {
    format!("oncall+{}@soc.example.org", token())
}

const ACK: &str = "From: Ann <ann@example.org>\r\nSubject: Re: page\r\n\r\nack\r\n";

#[tokio::test]
async fn an_answer_is_kept_before_it_is_confirmed() {
    let kept = Arc::new(Kept::default());
    let (address, stop, done) = start(kept.clone()).await;
    let mut client = Client::connect(address).await;
    let (code, says) = client.mail("ann@example.org", &tagged(), ACK).await;
    assert_eq!((code, says.contains("Acknowledged: incident 12.")), (250, true), "{says}");
    {
        let answers = kept.answers.lock().unwrap();
        assert_eq!(answers.len(), 1);
        assert_eq!((&answers[0].subject, &answers[0].action, answers[0].via), (&Subject::Page(PAGE), &Action::Acknowledge, Via::Email));
        assert_eq!((answers[0].user.as_deref(), answers[0].from.as_deref()), (Some("ann"), Some("ann@example.org")));
    }
    // A store failure makes the sending server retry.
    *kept.fail.lock().unwrap() = true;
    assert_eq!(client.mail("ann@example.org", &tagged(), ACK).await.0, 451);
    *kept.fail.lock().unwrap() = false;
    assert_eq!(client.mail("ann@example.org", &tagged(), ACK).await.0, 250);
    assert_eq!(client.say("QUIT").await.0, 221);
    stop.cancel();
    done.await.unwrap();
}

#[tokio::test]
async fn only_who_was_paged_answers() {
    let kept = Arc::new(Kept::default());
    let (address, _stop, _done) = start(kept.clone()).await;
    let mut client = Client::connect(address).await;
    let eve = ACK.replace("ann@", "eve@");
    assert_eq!(client.mail("eve@example.org", &tagged(), &eve).await.0, 550, "the page is not hers");
    assert_eq!(client.mail("eve@example.org", "oncall+4821@soc.example.org", &eve).await.0, 550, "she is nobody here");
    assert_eq!(client.mail("ann@example.org", "oncall@example.net", ACK).await.0, 550, "not our domain");
    assert_eq!(client.mail("ann@example.org", "oncall@soc.example.org", ACK).await.0, 550, "no page is named");
    assert!(kept.answers.lock().unwrap().is_empty());
    // Absence notes and reports are accepted and dropped.
    let away = format!("Auto-Submitted: auto-replied\r\n{ACK}");
    assert_eq!(client.mail("ann@example.org", &tagged(), &away).await.0, 250);
    assert_eq!(client.mail("", &tagged(), ACK).await.0, 250);
    assert!(kept.answers.lock().unwrap().is_empty());
}

/// As our messages suggest: `Reply 4821 to acknowledge, 4821 T to take`.
#[tokio::test]
async fn a_code_from_the_message_acknowledges_and_takes() {
    let kept = Arc::new(Kept::default());
    let (address, _stop, _done) = start(kept.clone()).await;
    let mut client = Client::connect(address).await;
    let page = || Subject::Page(PAGE);
    let code = || Subject::ReplyCode { code: "4821".to_owned(), address: "Ann@example.org".to_owned() };
    for (to, text, subject, action) in [
        (tagged(), "4821", page(), Action::Acknowledge),
        (tagged(), "4821 T", page(), Action::Take),
        (
            tagged(),
            "4821t\r\n\r\nOn Fri, Nov 20, 2026 at 9:00 AM On call <o@example.org> wrote:\r\n\r\n> Incident 12",
            page(),
            Action::Take,
        ),
        (tagged(), "4821 c fp", page(), Action::Close { classification: Some(model::Classification::FalsePositive), comment: None }),
        (tagged(), "2026 was long", page(), Action::Comment { text: "2026 was long".to_owned() }),
        ("oncall@soc.example.org".to_owned(), "4821", code(), Action::Acknowledge),
        ("oncall@soc.example.org".to_owned(), "4821 T", code(), Action::Take),
    ] {
        let (status, says) =
            client.mail("ann@example.org", &to, &format!("From: ann@example.org\r\nSubject: Re: x\r\n\r\n{text}\r\n")).await;
        assert_eq!(status, 250, "{text}: {says}");
        let answer = kept.answers.lock().unwrap().pop().unwrap();
        assert_eq!((answer.subject, answer.action), (subject, action), "{text}");
    }
}

/// `From` is unauthenticated, and a page's id is visible to every reader: together they do not close.
#[tokio::test]
async fn a_forged_sender_closes_nothing() {
    let kept = Arc::new(Kept::default());
    let (address, _stop, _done) = start(kept.clone()).await;
    let mut client = Client::connect(address).await;
    let close = "From: ann@example.org\r\nSubject: Re: x\r\n\r\nclose fp\r\n";
    let id = PAGE.simple();
    let other = fakes::signer().reply_token(uuid::Uuid::from_u128(9), "ann@example.org").write();
    for to in [
        format!("oncall+4821-{id}@soc.example.org"),
        "oncall+4821@soc.example.org".to_owned(),
        format!("oncall+{id}@soc.example.org"),
        format!("oncall+{other}@soc.example.org"),
        format!("oncall+{}{}@soc.example.org", &token()[..26], &other[26..]),
    ] {
        let (status, says) = client.mail("ann@example.org", &to, close).await;
        assert_eq!(status, 550, "{to}: {says}");
    }
    let by_id = format!("In-Reply-To: <page.{id}@example.org>\r\n{close}");
    assert_eq!(client.mail("ann@example.org", "oncall@soc.example.org", &by_id).await.0, 550);
    assert!(kept.answers.lock().unwrap().is_empty());
    let by_token = format!("In-Reply-To: <page.{}@example.org>\r\n{close}", token());
    assert_eq!(client.mail("ann@example.org", "oncall@soc.example.org", &by_token).await.0, 250, "the mail's own id is proof");
    assert_eq!(client.mail("ann@example.org", &tagged(), close).await.0, 250);
}

#[tokio::test]
async fn codes_are_not_found_by_trying_and_their_owner_is_not_locked_out() {
    let kept = Arc::new(Kept::default());
    let (address, _stop, _done) = start(kept.clone()).await;
    let mut client = Client::connect(address).await;
    let from = |source: &str| format!("Received: from x (x [{source}]) by mx.example.org\r\n{ACK}");
    for wrong in 0..5 {
        let (code, says) = client.mail("ann@example.org", &format!("oncall+000{wrong}@soc.example.org"), &from("203.0.113.5")).await;
        assert_eq!((code, says.contains("no open page has the code")), (550, true), "{says}");
    }
    let (code, says) = client.mail("ann@example.org", "oncall+4821@soc.example.org", &from("203.0.113.5")).await;
    assert_eq!((code, says.contains("too many wrong codes")), (550, true), "{says}");
    assert!(kept.answers.lock().unwrap().is_empty());
    assert_eq!(
        client.mail("ann@example.org", "oncall+4821@soc.example.org", &from("198.51.100.7")).await.0,
        250,
        "the owner, from elsewhere"
    );
    assert_eq!(client.mail("ann@example.org", &tagged(), &from("203.0.113.5")).await.0, 250, "the page's own address always works");
}

#[tokio::test]
async fn stalled_clients_do_not_block_others() {
    let kept = Arc::new(Kept::default());
    let (address, _stop, _done) = start(kept.clone()).await;
    // Twenty clients that stall within a command, and twenty within a mail.
    let mut stalled = Vec::new();
    for n in 0..40 {
        let mut client = Client::connect(address).await;
        if n % 2 == 0 {
            client.0.write_all(b"MAIL FR").await.unwrap();
        } else {
            client.say("MAIL FROM:<ann@example.org>").await;
            client.say(&format!("RCPT TO:<{}>", tagged())).await;
            client.say("DATA").await;
            client.0.write_all(b"From: ann@exam").await.unwrap();
        }
        stalled.push(client);
    }
    let mut client = Client::connect(address).await;
    let answered = tokio::time::timeout(std::time::Duration::from_secs(5), client.mail("ann@example.org", &tagged(), ACK)).await;
    assert_eq!(answered.unwrap().0, 250);
}

/// More clients than allowed: the next one is told to retry, and is accepted once the others have gone.
#[tokio::test]
async fn room_is_limited_and_comes_back() {
    let (address, _stop, _done) = start(Arc::default()).await;
    let mut clients = Vec::new();
    for _ in 0..64 {
        clients.push(Client::connect(address).await);
    }
    let mut turned_away = Client(BufReader::new(TcpStream::connect(address).await.unwrap()));
    assert_eq!(turned_away.reply().await.0, 421);
    clients.clear();
    let again = tokio::time::timeout(std::time::Duration::from_secs(10), async {
        loop {
            let mut client = Client(BufReader::new(TcpStream::connect(address).await.unwrap()));
            if client.reply().await.0 == 220 {
                return;
            }
        }
    });
    again.await.unwrap();
}
