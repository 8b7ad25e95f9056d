//! `bartizan login` and `bartizan logout` — a person's session on the command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use model::Secret;
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::client::refusal;
use super::prompt;
use super::service::{Access, Connect, http_client};
use super::session_file::{CloudNames, SessionFile};
use super::{Failure, Outcome};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan login --url https://soc.example.org:8443 --ca-cert ca.pem\n  bartizan login --user ann\n  printf '%s\\n' ann \"$PASSWORD\" | bartizan login\n\nName, password and, where it is needed, a code of the authenticator app are asked for, or read from standard input, one a line.\nThe session is kept in $XDG_STATE_HOME/bartizan/session.json. Other commands use it where connect.json cannot be read."
)]
pub struct Args {
    /// Address of the service. Default: that in connect.json, or that of the last login.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The certificate authority to trust, in PEM. Default: that of connect.json, of the last login, or of the system.
    #[arg(long, value_name = "F")]
    ca_cert: Option<PathBuf>,
    /// The data directory of a service on this machine. Default: the one under $XDG_DATA_HOME/bartizan.
    #[arg(long, value_name = "D")]
    data_dir: Option<PathBuf>,
    /// User name. Default: asked for.
    #[arg(long)]
    user: Option<String>,
    /// A code of the authenticator app, or a recovery code. Default: asked for where it is needed.
    #[arg(long)]
    code: Option<String>,
}

/// Where to sign in.
struct Place {
    base_url: String,
    ca_pem: Option<String>,
    listen: Option<SocketAddr>,
}

pub fn login(args: Args) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(sign_in(args))
}

pub fn logout() -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let Some(file) = SessionFile::read()? else {
            println!("nobody is logged in");
            return Ok(());
        };
        let http = http_client(&file.base_url, file.ca_pem.as_deref(), file.listen)?;
        let access = Access::of_session(&file);
        let request = access.apply(http.delete(format!("{}/api/v1/session", file.base_url)));
        // The file is removed in any case. A session that is over already needs no end.
        let answer = request.send().await;
        SessionFile::remove()?;
        let status = answer.context("the session is forgotten here, but the service does not answer, so it ends by itself later")?.status();
        if !status.is_success() && status != StatusCode::UNAUTHORIZED {
            return Err(Failure::Broken(anyhow::anyhow!("the session is forgotten here, but the service answers {status}")));
        }
        println!("{} is logged out", file.user);
        Ok(())
    })
}

/// The service that the arguments, `connect.json` or the last login name.
fn place(args: &Args) -> anyhow::Result<Place> {
    let given_ca = match &args.ca_cert {
        Some(path) => Some(std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?),
        None => None,
    };
    if let Some(url) = &args.url {
        let url = reqwest::Url::parse(url).ok().filter(|url| url.scheme() == "https" && url.host_str().is_some());
        let url = url.context("`--url` is no https address; write for example `https://soc.example.org:8443`")?;
        let base_url = url.as_str().trim_end_matches('/').to_owned();
        return Ok(Place { base_url, ca_pem: given_ca, listen: None });
    }
    let data_dir = match &args.data_dir {
        Some(path) => path.clone(),
        None => crate::config::default_data_dir(|name| std::env::var(name).ok())?,
    };
    if let Some(place) = Connect::place(&data_dir)? {
        let (base_url, ca_pem, listen) = place;
        return Ok(Place { base_url, ca_pem: given_ca.or(Some(ca_pem)), listen });
    }
    let last = SessionFile::read()?.context("which service? give `--url`, and `--ca-cert` unless the system trusts its certificate")?;
    Ok(Place { base_url: last.base_url, ca_pem: given_ca.or(last.ca_pem), listen: last.listen })
}

async fn sign_in(args: Args) -> Outcome {
    let place = place(&args)?;
    let http = http_client(&place.base_url, place.ca_pem.as_deref(), place.listen)?;
    let user = match &args.user {
        Some(user) => user.clone(),
        None => prompt::text("User name")?,
    };
    let password = prompt::secret("Password")?;
    let mut answer = post(&http, &place.base_url, &user, &password, args.code.as_deref()).await?;
    if answer.code() == Some("SecondFactorRequired") && args.code.is_none() {
        let code = prompt::secret("Code of the authenticator app")?;
        answer = post(&http, &place.base_url, &user, &password, Some(code.reveal())).await?;
    }
    let mut session = answer.session(place)?;
    if answer.body["user"]["must_change_password"] == true {
        eprintln!("The password was set by an administrator. Choose another one, with at least 12 characters.");
        let new = prompt::new_password("New password")?;
        let body = json!({ "password": password.reveal(), "new_password": new.reveal() });
        let url = format!("{}/api/v1/session/password", session.base_url);
        let changed = Answer::read(Access::of_session(&session).apply(http.post(url)).json(&body)).await?;
        let place = Place { base_url: session.base_url, ca_pem: session.ca_pem, listen: session.listen };
        session = changed.session(place)?;
    }
    session.write()?;
    println!("{} is logged in to {} until {}", session.user, session.base_url, answer.body["expires"].as_str().unwrap_or("it is not used"));
    Ok(())
}

async fn post(http: &reqwest::Client, base: &str, user: &str, password: &Secret<String>, code: Option<&str>) -> Result<Answer, Failure> {
    let body = json!({ "user": user, "password": password.reveal(), "code": code });
    Answer::read(http.request(Method::POST, format!("{base}/api/v1/session")).json(&body)).await
}

/// A response with a session.
struct Answer {
    status: StatusCode,
    text: String,
    body: Value,
    /// The value of the session's cookie.
    secret: Option<Secret<String>>,
}

impl Answer {
    async fn read(request: reqwest::RequestBuilder) -> Result<Self, Failure> {
        let answer = request.send().await.context("the service does not answer")?;
        let status = answer.status();
        let cookies = answer.headers().get_all(header::SET_COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let pairs = cookies.filter_map(|cookie| cookie.split(';').next()?.split_once('='));
        let secret = pairs.filter(|(name, _)| *name == server::identity::COOKIE).map(|(_, value)| Secret::new(value.to_owned())).next();
        let text = answer.text().await.context("the answer of the service broke off")?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Self { status, text, body, secret })
    }

    fn code(&self) -> Option<&str> {
        self.body["error"]["code"].as_str()
    }

    /// The session in the response. A wrong password or code is an error of the caller.
    fn session(&self, place: Place) -> Result<SessionFile, Failure> {
        if !self.status.is_success() {
            let message = refusal(&self.text).unwrap_or_else(|| format!("the service answers {}", self.status));
            return Err(match self.status {
                StatusCode::TOO_MANY_REQUESTS => Failure::Broken(anyhow::anyhow!(message)),
                status if status.is_client_error() => Failure::Wrong(format!("error: {message}")),
                _ => Failure::Broken(anyhow::anyhow!(message)),
            });
        }
        let cloud: CloudNames = serde_json::from_value(self.body["cloud"].clone()).context("the answer of the service has no session")?;
        let (Some(secret), Some(token)) = (self.secret.clone(), self.body["csrf_token"].as_str()) else {
            return Err(Failure::Broken(anyhow::anyhow!("the answer of the service has no session")));
        };
        Ok(SessionFile {
            base_url: place.base_url,
            ca_pem: place.ca_pem,
            listen: place.listen,
            secret,
            csrf_token: Secret::new(token.to_owned()),
            user: self.body["user"]["name"].as_str().unwrap_or_default().to_owned(),
            cloud,
        })
    }
}
