//! A telephone provider with Twilio's REST API (2010-04-01) on loopback: accepts messages and calls, sends delivery receipts, and can
//! answer them like a person, with signed requests.
//!
//! Written from Twilio's documentation of `Messages`, `Calls` and of validating requests; the signature is implemented independently of the
//! code under test.

mod http;
mod signature;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use self::http::{Request, respond};
use crate::ClientError;

/// A request to the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// `SM…` or `CA…`.
    pub sid: String,
    pub is_call: bool,
    pub from: String,
    pub to: String,
    /// A message's text, or a call's TwiML.
    pub text: String,
    pub status_callback: Option<String>,
}

/// Failure mode of the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Respond late.
    Slow(Duration),
    /// Respond with this status and do not accept it.
    Refuse(u16),
    /// Accept it and drop the connection instead of responding.
    LoseAnswer,
}

/// The provider. Stops when dropped.
pub struct Phone {
    address: SocketAddr,
    shared: Arc<Shared>,
    count: watch::Receiver<usize>,
    tasks: [JoinHandle<()>; 2],
    http: watch::Sender<reqwest::Client>,
}

struct Shared {
    account: String,
    token: String,
    sent: Mutex<Vec<Sent>>,
    trouble: Mutex<VecDeque<Trouble>>,
    grown: watch::Sender<usize>,
    callbacks: mpsc::UnboundedSender<(String, Vec<(String, String)>)>,
}

impl Shared {
    fn sent(&self) -> MutexGuard<'_, Vec<Sent>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Phone {
    /// Listens on a free loopback port. Callbacks are made with `http`, which must trust the service's certificate.
    pub async fn start(account: &str, token: &str, http: reqwest::Client) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (grown, count) = watch::channel(0);
        let (callbacks, waiting) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            account: account.to_owned(),
            token: token.to_owned(),
            sent: Mutex::default(),
            trouble: Mutex::default(),
            grown,
            callbacks,
        });
        let serving = shared.clone();
        let server = tokio::spawn(async move {
            let mut clients = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = serving.clone();
                clients.spawn(async move {
                    // The client may have disconnected.
                    let _ = serve(stream, &shared).await;
                });
            }
        });
        let http = watch::Sender::new(http);
        let caller = tokio::spawn(call_back(waiting, http.subscribe(), token.to_owned()));
        Ok(Self { address, shared, count, tasks: [server, caller], http })
    }

    /// Replaces the client for callbacks, once the service has its certificate.
    pub fn trust(&self, http: reqwest::Client) {
        self.http.send_replace(http);
    }

    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Messages and calls, in order.
    pub fn messages(&self) -> Vec<Sent> {
        self.shared.sent().clone()
    }

    /// Waits for that many messages and calls.
    pub async fn wait_for(&self, count: usize) -> Vec<Sent> {
        let mut taken = self.count.clone();
        // The sender lives as long as `self`.
        let _ = taken.wait_for(|taken| *taken >= count).await;
        self.messages()
    }

    /// Sets the failure mode of the next request without one.
    pub fn next(&self, trouble: Trouble) {
        self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).push_back(trouble);
    }

    /// Replies to a message; returns the service's TwiML.
    pub async fn reply(&self, url: &str, to: &Sent, body: &str) -> Result<String, ClientError> {
        let form = [
            ("MessageSid", "SM0000000000000000000000000000reply"),
            ("AccountSid", &self.shared.account),
            ("From", &to.to),
            ("To", &to.from),
            ("Body", body),
        ];
        self.post(url, &form).await
    }

    /// Presses digits in a call that asks for them; returns the service's TwiML.
    pub async fn press(&self, call: &Sent, digits: &str) -> Result<String, ClientError> {
        let action = call.text.split_once("action=\"").and_then(|(_, rest)| rest.split_once('"')).map_or("", |(action, _)| action);
        let action = action.replace("&amp;", "&");
        let form = [
            ("CallSid", call.sid.as_str()),
            ("AccountSid", &self.shared.account),
            ("From", &call.from),
            ("To", &call.to),
            ("Digits", digits),
        ];
        self.post(&action, &form).await
    }

    async fn post(&self, url: &str, form: &[(&str, &str)]) -> Result<String, ClientError> {
        let form: Vec<(String, String)> = form.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let reply = {
            let http = self.http.borrow().clone();
            signed_post(&http, &self.shared.token, url, &form).await?
        };
        let status = reply.status().as_u16();
        let body = reply.text().await?;
        if status == 200 { Ok(body) } else { Err(ClientError::Refused { what: "the answer by phone", status, body }) }
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn signed_post(
    http: &reqwest::Client,
    token: &str,
    url: &str,
    form: &[(String, String)],
) -> Result<reqwest::Response, reqwest::Error> {
    http.post(url).header("X-Twilio-Signature", signature::sign(token, url, form)).form(form).send().await
}

/// Sends delivery receipts in order: queued messages are delivered at once.
async fn call_back(
    mut waiting: mpsc::UnboundedReceiver<(String, Vec<(String, String)>)>,
    http: watch::Receiver<reqwest::Client>,
    token: String,
) {
    while let Some((url, form)) = waiting.recv().await {
        let client = http.borrow().clone();
        if let Err(error) = signed_post(&client, &token, &url, &form).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "a status callback was not taken");
        }
    }
}

async fn serve(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    while let Some(request) = Request::read(&mut stream).await? {
        let trouble = shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        match trouble {
            Some(Trouble::Slow(time)) => tokio::time::sleep(time).await,
            Some(Trouble::Refuse(status)) => {
                respond(&mut stream, status, &problem(status, 20003, "Trouble was ordered")).await?;
                continue;
            }
            Some(Trouble::LoseAnswer) | None => {}
        }
        let (status, body) = answer(&request, shared);
        if trouble == Some(Trouble::LoseAnswer) {
            return Ok(());
        }
        respond(&mut stream, status, &body).await?;
    }
    Ok(())
}

fn problem(status: u16, code: u32, message: &str) -> String {
    json!({ "code": code, "message": message, "more_info": format!("https://www.twilio.com/docs/errors/{code}"), "status": status })
        .to_string()
}

fn answer(request: &Request, shared: &Shared) -> (u16, String) {
    let expected = format!("Basic {}", signature::base64(format!("{}:{}", shared.account, shared.token).as_bytes()));
    if request.header("authorization") != Some(expected.as_str()) {
        return (401, problem(401, 20003, "Authenticate"));
    }
    let prefix = format!("/2010-04-01/Accounts/{}/", shared.account);
    let is_call = match (request.method.as_str(), request.path.strip_prefix(&prefix)) {
        ("POST", Some("Messages.json")) => false,
        ("POST", Some("Calls.json")) => true,
        _ => return (404, problem(404, 20404, "The requested resource was not found")),
    };
    let form = request.form();
    let field = |name: &str| form.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).filter(|value| !value.is_empty());
    let Some(to) = field("To") else { return (400, problem(400, 21604, "A 'To' phone number is required.")) };
    if !(to.starts_with('+') && (8..=16).contains(&to.len()) && to[1..].bytes().all(|b| b.is_ascii_digit())) {
        return (400, problem(400, 21211, "The 'To' number is not a valid phone number."));
    }
    let Some(from) = field("From") else { return (400, problem(400, 21603, "A 'From' phone number is required.")) };
    let Some(text) = field(if is_call { "Twiml" } else { "Body" }) else {
        return (
            400,
            if is_call { problem(400, 21205, "Url or Twiml is required") } else { problem(400, 21602, "Message body is required.") },
        );
    };
    let limit = if is_call { 4000 } else { 1600 };
    if text.chars().count() > limit {
        return (400, problem(400, 21617, "The concatenated message body exceeds the 1600 character limit"));
    }
    let status_callback = field("StatusCallback");
    let sid = format!("{}{}", if is_call { "CA" } else { "SM" }, uuid::Uuid::new_v4().simple());
    let body = json!({
        "sid": sid, "account_sid": shared.account, "from": from, "to": to, "status": "queued", "direction": "outbound-api",
        "api_version": "2010-04-01", "body": text, "num_segments": "1", "num_media": "0", "error_code": null, "error_message": null,
        "uri": format!("{prefix}{}/{sid}.json", if is_call { "Calls" } else { "Messages" }),
    });
    if let Some(url) = &status_callback {
        let (id, name, last) = if is_call { ("CallSid", "CallStatus", "completed") } else { ("MessageSid", "MessageStatus", "delivered") };
        let form = [(id, sid.as_str()), ("AccountSid", shared.account.as_str()), (name, last), ("From", &from), ("To", &to)];
        // The receiver lives as long as the provider.
        let _ = shared.callbacks.send((url.clone(), form.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()));
    }
    let count = {
        let mut sent = shared.sent();
        sent.push(Sent { sid, is_call, from, to, text, status_callback });
        sent.len()
    };
    shared.grown.send_replace(count);
    (201, body.to_string())
}
