//! A browser without script: keeps one site's cookie, reads forms, sends them, and does not follow redirects.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::house::{House, answer};

pub const GRAPH: &str = "https://graph.microsoft.com";

#[derive(Clone)]
pub struct Browser {
    pub http: reqwest::Client,
    pub cookie: Option<String>,
}

/// A page or a redirect.
#[derive(Debug)]
pub struct Shown {
    pub status: u16,
    pub location: Option<String>,
    pub policy: String,
    pub body: String,
}

impl Browser {
    pub fn new(house: &House) -> Self {
        Self::with(house, &[])
    }

    /// Resolves further names to the server.
    pub fn with(house: &House, names: &[&str]) -> Self {
        let authority = reqwest::Certificate::from_pem(&house.ca_pem).unwrap();
        let mut builder = reqwest::Client::builder().tls_certs_only([authority]).no_proxy().redirect(reqwest::redirect::Policy::none());
        for name in names {
            builder = builder.resolve(name, house.address);
        }
        Self { http: builder.build().unwrap(), cookie: None }
    }

    pub async fn get(&mut self, url: &str) -> Shown {
        self.send(self.http.get(url)).await
    }

    /// Sends the form of the page with these fields besides the hidden ones.
    pub async fn submit(&mut self, page: &Shown, fields: &[(&str, &str)]) -> Shown {
        let mut all = page.hidden();
        for (name, value) in fields {
            all.insert((*name).to_owned(), (*value).to_owned());
        }
        let url = page.action();
        let origin = url.split('/').take(3).collect::<Vec<_>>().join("/");
        self.send(self.http.post(url).header("origin", origin).form(&all)).await
    }

    pub async fn send(&mut self, request: reqwest::RequestBuilder) -> Shown {
        let mut request = request.header("accept", "text/html,application/xhtml+xml");
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        let response = request.send().await.unwrap();
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        if let Some(set) = header("set-cookie") {
            for attribute in ["Secure", "HttpOnly", "SameSite=Lax", "Path=/"] {
                assert!(set.contains(attribute), "{set}");
            }
            let pair = set.split(';').next().unwrap().to_owned();
            self.cookie = (!pair.ends_with('=')).then_some(pair);
        }
        let (location, policy) = (header("location"), header("content-security-policy").unwrap_or_default());
        Shown { status: response.status().as_u16(), location, policy, body: response.text().await.unwrap() }
    }
}

fn unescape(text: &str) -> String {
    text.replace("&quot;", "\"").replace("&#39;", "'").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    Some(unescape(rest.split('"').next()?))
}

impl Shown {
    pub fn action(&self) -> String {
        let (_, rest) = self.body.split_once("<form").unwrap_or_else(|| panic!("no form: {}", self.body));
        attribute(rest.split('>').next().unwrap(), "action").unwrap()
    }

    pub fn hidden(&self) -> BTreeMap<String, String> {
        self.body
            .split("<input")
            .skip(1)
            .filter_map(|tag| tag.split('>').next())
            .filter(|tag| tag.contains("type=\"hidden\""))
            .map(|tag| (attribute(tag, "name").unwrap(), attribute(tag, "value").unwrap()))
            .collect()
    }

    /// Parameters of the redirect, from its query or fragment.
    pub fn answer(&self) -> BTreeMap<String, String> {
        let location = self.location.as_ref().unwrap_or_else(|| panic!("no redirect: {} {}", self.status, self.body));
        let (_, pairs) = location.split_once(['?', '#']).unwrap_or_default();
        url::form_urlencoded::parse(pairs.as_bytes()).into_owned().collect()
    }
}

/// Registers an application over Graph; returns its JSON and, unless it is public, a secret.
pub async fn register(house: &House, body: Value) -> (Value, String) {
    let (status, app) = answer(house.call(GRAPH, Method::POST, "/v1.0/applications").await.json(&body)).await;
    assert_eq!(status, 201, "{app}");
    let path = format!("/v1.0/applications/{}/addPassword", app["id"].as_str().unwrap());
    let (status, added) = answer(house.call(GRAPH, Method::POST, &path).await.json(&json!({}))).await;
    assert_eq!(status, 200, "{added}");
    (app, added["secretText"].as_str().unwrap().to_owned())
}

pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

pub fn challenge() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER))
}

/// The claims of a token, unchecked.
pub fn claims(token: &Value) -> Value {
    let payload = token.as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// Signs in as the administrator on the page at `url`; returns what follows.
pub async fn sign_in(house: &House, browser: &mut Browser, url: &str) -> Shown {
    let page = browser.get(url).await;
    assert_eq!(page.status, 200, "{}", page.body);
    browser.submit(&page, &[("username", "admin"), ("password", &house.boot.admin_password), ("action", "sign-in")]).await
}

pub async fn token(house: &House, tenant: &str, version: &str, form: &[(&str, &str)]) -> (u16, Value) {
    let (status, body) = answer(house.http.post(format!("{}/{tenant}/oauth2{version}/token", house.base)).form(form)).await;
    (status.as_u16(), body)
}
