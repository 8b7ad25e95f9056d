//! A mail catcher: an SMTP server on loopback that accepts and stores every mail.
//!
//! Written from RFC 5321 alone, independent of the code under test. Without TLS and authentication.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A received mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    pub from: String,
    pub to: Vec<String>,
    /// Headers by lower-case name, unfolded; of repeated ones the first.
    pub headers: BTreeMap<String, String>,
    /// The complete mail, as sent.
    pub raw: String,
}

impl Mail {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(&name.to_ascii_lowercase()).map_or("", String::as_str)
    }
}

/// The catcher. Stops when dropped.
pub struct Mailbox {
    address: SocketAddr,
    mails: Arc<Mutex<Vec<Mail>>>,
    count: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl Mailbox {
    /// Listens on a free loopback port.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let mails: Arc<Mutex<Vec<Mail>>> = Arc::default();
        let (grown, count) = watch::channel(0);
        let (kept, grown) = (mails.clone(), Arc::new(grown));
        let task = tokio::spawn(async move {
            let mut clients = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, grown) = (kept.clone(), grown.clone());
                clients.spawn(async move {
                    // A client that disconnects has sent no mail.
                    let _ = take(stream, &kept, &grown).await;
                });
            }
        });
        Ok(Self { address, mails, count, task })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn mails(&self) -> Vec<Mail> {
        self.mails.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Waits for that many mails.
    pub async fn wait_for(&self, count: usize) -> Vec<Mail> {
        let mut taken = self.count.clone();
        // The sender lives as long as the task, which lives as long as `self`.
        let _ = taken.wait_for(|taken| *taken >= count).await;
        self.mails()
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(stream: TcpStream, mails: &Mutex<Vec<Mail>>, grown: &watch::Sender<usize>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 mailbox ESMTP\r\n").await?;
    let (mut from, mut to) = (String::new(), Vec::new());
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let upper = line.trim_end().to_ascii_uppercase();
        let inside = || line.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or("", |(inside, _)| inside).to_owned();
        let reply: &[u8] = if upper.starts_with("EHLO") {
            b"250-mailbox\r\n250 8BITMIME\r\n"
        } else if upper.starts_with("MAIL FROM:") {
            from = inside();
            b"250 OK\r\n"
        } else if upper.starts_with("RCPT TO:") {
            to.push(inside());
            b"250 OK\r\n"
        } else if upper == "DATA" {
            stream.write_all(b"354 go on\r\n").await?;
            let raw = content(&mut stream).await?;
            let headers = headers(&raw);
            let mail = Mail { from: std::mem::take(&mut from), to: std::mem::take(&mut to), headers, raw };
            let count = {
                let mut mails = mails.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                mails.push(mail);
                mails.len()
            };
            grown.send_replace(count);
            b"250 OK\r\n"
        } else if upper == "QUIT" {
            stream.write_all(b"221 bye\r\n").await?;
            return Ok(());
        } else if upper.starts_with("HELO") || upper == "RSET" || upper == "NOOP" {
            (from, to) = (String::new(), Vec::new());
            b"250 OK\r\n"
        } else {
            b"500 what?\r\n"
        };
        stream.write_all(reply).await?;
    }
}

async fn content(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut raw = String::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == b".\r\n" {
            return Ok(raw);
        }
        raw.push_str(&String::from_utf8_lossy(line.strip_prefix(b".").unwrap_or(&line)));
    }
}

fn headers(raw: &str) -> BTreeMap<String, String> {
    let head = raw.split("\r\n\r\n").next().unwrap_or_default().replace("\r\n ", " ").replace("\r\n\t", " ");
    let mut headers = BTreeMap::new();
    for (name, value) in head.lines().filter_map(|line| line.split_once(':')) {
        headers.entry(name.trim().to_ascii_lowercase()).or_insert_with(|| value.trim().to_owned());
    }
    headers
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    /// The dialogue of RFC 5321, appendix D.1, shortened, with a stuffed dot.
    #[tokio::test]
    async fn a_mail_is_kept_as_it_was_sent() {
        let mailbox = Mailbox::start().await.unwrap();
        let mut stream = TcpStream::connect(mailbox.address()).await.unwrap();
        let talk = "EHLO c\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\nSubject: one\r\n two\r\n\r\n..dot\r\n.\r\nQUIT\r\n";
        stream.write_all(talk.as_bytes()).await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        assert!(said.ends_with("221 bye\r\n"), "{said}");
        let mails = mailbox.wait_for(1).await;
        assert_eq!((mails[0].from.as_str(), mails[0].to.as_slice()), ("a@b.c", &["d@e.f".to_owned()][..]));
        assert_eq!(mails[0].header("subject"), "one two");
        assert!(mails[0].raw.ends_with("\r\n.dot\r\n"));
    }
}
