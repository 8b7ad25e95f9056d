//! E-mail over SMTP with STARTTLS or TLS, and password authentication if configured.
//!
//! SMTP has no idempotency key (RFC 5321). Instead the `Message-ID` is derived from the message's key, so that mail readers and many
//! servers drop duplicates; and failures are classified by phase: before the content is sent after `DATA`, the mail was certainly not sent,
//! and from then on a lost response is ambiguous.

mod compose;
mod html;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters, TlsVersion};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, address::Envelope};
use model::{SecretRef, Span};
use schemars::{JsonSchema, schema_for};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::channel::{Channel, ChannelType, Ports, Receipt, SendError, SettingsError};
use crate::message::Message;

#[cfg(test)]
pub(crate) use compose::tests::message as message_for_tests;
pub(crate) use compose::token_of_message_id;

use compose::MailIds;

pub static CHANNEL: ChannelType = ChannelType {
    name: "email",
    summary: "e-mail through your own SMTP server",
    address: "ann@example.org",
    secret_address: false,
    idempotent: false,
    settings: || schema_for!(Settings),
    check_address,
    build,
};

/// How to send mail.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The submission server. Example: `smtp.example.org`.
    pub host: String,
    /// Default: 587 with `starttls`, 465 with `tls`, 25 with `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(default)]
    pub security: Security,
    /// Whom to sign in as. Default: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Its password, by reference. Example: `file:/etc/bartizan/smtp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
    /// The sender that people see. Example: `On call <oncall@example.org>`.
    pub from: String,
    /// Where answers go: an address whose mail reaches `oncall.mail_in`. Default: mail is not for answering.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// Name the page in the answer's address (`oncall+TOKEN@example.org`). Needs a mail server that delivers such addresses.
    #[serde(default = "yes")]
    pub plus_addressing: bool,
    /// A PEM file of the authorities that the server's certificate may come from, instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// How long the server may take until it wants the content, and again until it has taken it. Default: 30 s.
    #[serde(default = "half_a_minute")]
    pub timeout: Span,
    /// How we introduce ourselves. Default: the domain of `from`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hello: Option<String>,
}

/// What protects the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// Begins in the clear and must switch to TLS (RFC 3207); a server that does not is not spoken to.
    #[default]
    Starttls,
    /// TLS from the first byte (RFC 8314).
    Tls,
    /// In the clear. Passwords are sent so to this machine only.
    None,
}

fn yes() -> bool {
    true
}

fn half_a_minute() -> Span {
    Span::seconds(30)
}

fn check_address(address: &str) -> Result<(), String> {
    match address.parse::<Address>() {
        Ok(_) if address.len() > 254 => Err("it is longer than an address may be".to_owned()),
        Ok(_) => Ok(()),
        Err(cause) => Err(cause.to_string()),
    }
}

fn build(settings: Value, ports: &Ports) -> Result<Box<dyn Channel>, SettingsError> {
    let settings: Settings = super::settings(settings)?;
    let field = |field: &str, reason: String| SettingsError::Field { field: field.to_owned(), reason };
    let from: Mailbox = settings.from.parse().map_err(|cause| field("from", format!("`{}` is no sender: {cause}", settings.from)))?;
    let reply_to: Option<Address> = settings
        .reply_to
        .as_deref()
        .map(|address| address.parse().map_err(|cause| field("reply_to", format!("`{address}` is no address: {cause}"))))
        .transpose()?;
    if settings.host.trim().is_empty() {
        return Err(field("host", "name the SMTP server".to_owned()));
    }
    let credentials = match (&settings.user, &settings.password) {
        (None, None) => None,
        (Some(user), Some(password)) => {
            if settings.security == Security::None && !is_this_machine(&settings.host) {
                let reason = "a password would go over the network in the clear; use `starttls` or `tls`";
                return Err(field("security", reason.to_owned()));
            }
            let password = ports.secrets.resolve(password).map_err(|cause| SettingsError::Secret { field: "password", cause })?;
            Some(Credentials::new(user.clone(), password.reveal().clone()))
        }
        (Some(_), None) => return Err(field("password", "a user needs a password".to_owned())),
        (None, Some(_)) => return Err(field("user", "a password needs a user".to_owned())),
    };
    let tls = match settings.security {
        Security::None => None,
        Security::Starttls | Security::Tls => Some(tls(&settings).map_err(|reason| field("ca_file", reason))?),
    };
    let hello = settings.hello.clone().unwrap_or_else(|| from.email.domain().to_owned());
    let port = settings.port.unwrap_or(match settings.security {
        Security::Starttls => 587,
        Security::Tls => 465,
        Security::None => 25,
    });
    let ids = MailIds { from, reply_to, plus_addressing: settings.plus_addressing };
    let timeout = settings.timeout.to_std().clamp(Duration::from_secs(1), Duration::from_secs(600));
    let hello = ClientId::Domain(hello);
    Ok(Box::new(Email { host: settings.host, port, security: settings.security, credentials, tls, hello, ids, timeout }))
}

fn is_this_machine(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn tls(settings: &Settings) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(settings.host.clone()).set_min_tls_version(TlsVersion::Tlsv12);
    if let Some(path) = &settings.ca_file {
        let pem = std::fs::read(path).map_err(|cause| format!("cannot read `{}`: {cause}", path.display()))?;
        let authority = Certificate::from_pem(&pem).map_err(|cause| format!("`{}` holds no certificate: {cause}", path.display()))?;
        builder = builder.certificate_store(CertificateStore::None).add_root_certificate(authority);
    }
    builder.build().map_err(|cause| cause.to_string())
}

struct Email {
    host: String,
    port: u16,
    security: Security,
    credentials: Option<Credentials>,
    tls: Option<TlsParameters>,
    hello: ClientId,
    ids: MailIds,
    timeout: Duration,
}

#[async_trait]
impl Channel for Email {
    async fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        let mail = compose::compose(message, &self.ids).map_err(|reason| SendError::Refused { reason })?;
        let id = compose::shown_id(message, &self.ids);
        let content = mail.formatted();
        let late =
            || SendError::Later { reason: format!("`{}` did not get ready within {} s", self.host, self.timeout.as_secs()), after: None };
        let mut connection = match tokio::time::timeout(self.timeout, self.prepare(mail.envelope())).await {
            Ok(prepared) => prepared.map_err(|error| before_content(&error, &message.address))?,
            Err(_) => return Err(late()),
        };
        // From here on the server may have accepted the mail even if its response is lost.
        let sent = tokio::time::timeout(self.timeout, connection.message(&content)).await;
        match sent {
            Ok(Ok(_)) => {
                // The mail is accepted; a failed QUIT does not matter, and must not take long.
                let _ = tokio::time::timeout(Duration::from_secs(2), connection.quit()).await;
                Ok(Receipt { provider_id: Some(id), delivered: false })
            }
            Ok(Err(error)) => Err(after_content(&error, &message.address)),
            Err(_) => Err(SendError::Ambiguous {
                reason: format!("`{}` did not confirm the mail within {} s", self.host, self.timeout.as_secs()),
            }),
        }
    }
}

impl Email {
    /// Connects, authenticates and sends the envelope, up to the point where the server accepts the content.
    async fn prepare(&self, envelope: &Envelope) -> Result<AsyncSmtpConnection, lettre::transport::smtp::Error> {
        let implicit = self.tls.clone().filter(|_| self.security == Security::Tls);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1((self.host.as_str(), self.port), Some(self.timeout), &self.hello, implicit, None).await?;
        if self.security == Security::Starttls
            && let Some(tls) = self.tls.clone()
        {
            connection.starttls(tls, &self.hello).await?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(&[Mechanism::Plain, Mechanism::Login], credentials).await?;
        }
        connection.command(Mail::new(envelope.from().cloned(), Vec::new())).await?;
        for recipient in envelope.to() {
            connection.command(Rcpt::new(recipient.clone(), Vec::new())).await?;
        }
        connection.command(Data).await?;
        Ok(connection)
    }
}

/// 5xx is permanent (RFC 5321 4.2.1); any other failure before the content may be temporary.
fn before_content(error: &lettre::transport::smtp::Error, address: &str) -> SendError {
    let reason = describe(error, address);
    if error.is_permanent() { SendError::Refused { reason } } else { SendError::Later { reason, after: None } }
}

fn after_content(error: &lettre::transport::smtp::Error, address: &str) -> SendError {
    let reason = describe(error, address);
    if error.is_permanent() {
        SendError::Refused { reason }
    } else if error.is_transient() {
        SendError::Later { reason, after: None }
    } else {
        SendError::Ambiguous { reason }
    }
}

/// The error and its causes in one line, without the recipient's address, which servers often echo.
fn describe(error: &(dyn std::error::Error + 'static), address: &str) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let next_text = next.to_string();
        if !text.contains(&next_text) {
            text = format!("{text}: {next_text}");
        }
        cause = next.source();
    }
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
    if address.is_empty() { line } else { line.replace(address, "the recipient") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_would_inject_headers_or_commands_are_refused() {
        for bad in [
            "",
            "ann",
            "ann@",
            "@example.org",
            "ann@example.org\r\nBcc: x@y.z",
            "ann@example.org> SIZE=1",
            "a b@example.org",
            "Ann <ann@example.org>",
        ] {
            assert!(check_address(bad).is_err(), "{bad:?}");
        }
        for good in ["ann@example.org", "ann.berg+soc@sub.example.org", "o'neil@example.org"] {
            assert!(check_address(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn this_machine_is_known_by_its_loopback_addresses() {
        for (host, local) in [("localhost", true), ("127.0.0.1", true), ("::1", true), ("smtp.example.org", false), ("10.0.0.1", false)] {
            assert_eq!(is_this_machine(host), local, "{host}");
        }
    }
}
