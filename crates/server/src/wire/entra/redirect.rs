//! Sends the result of an authorization request to the application, in one of OAuth's response modes.

use http::{HeaderValue, StatusCode, header};

use super::pages::{self, Button, Form, Page};
use crate::error::ApiError;
use crate::reply::Reply;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseMode {
    Query,
    Fragment,
    FormPost,
}

impl ResponseMode {
    /// The mode of that name; `query` if there is none, the default for codes.
    pub fn parse(name: Option<&str>) -> Option<Self> {
        match name {
            None | Some("query") => Some(Self::Query),
            Some("fragment") => Some(Self::Fragment),
            Some("form_post") => Some(Self::FormPost),
            Some(_) => None,
        }
    }
}

/// The response that carries `pairs` to the validated `address`.
pub fn deliver(address: &str, mode: ResponseMode, pairs: &[(&str, String)]) -> Result<Reply, ApiError> {
    if mode == ResponseMode::FormPost {
        // Without script the person presses the button.
        let form = Form {
            action: address.to_owned(),
            hidden: pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            fields: Vec::new(),
            buttons: vec![Button { value: "continue", label: "Continue" }],
        };
        let page = Page {
            heading: "Back to the application".to_owned(),
            text: "Continue to return to the application.".to_owned(),
            facts: vec![("Address", address.to_owned())],
            form: Some(form),
            leads_to: pages::policy_source(address),
            ..Page::default()
        };
        return Ok(pages::reply(StatusCode::OK, &page));
    }
    let target = location(address, mode, pairs);
    let value = HeaderValue::from_str(&target).map_err(|error| ApiError::internal(&error))?;
    let reply = Reply::empty(StatusCode::SEE_OTHER).header(header::LOCATION, value);
    Ok(reply.header(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")))
}

fn location(address: &str, mode: ResponseMode, pairs: &[(&str, String)]) -> String {
    let encoded = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    match mode {
        ResponseMode::Fragment => format!("{address}#{encoded}"),
        _ if address.contains('?') => format!("{address}&{encoded}"),
        _ => format!("{address}?{encoded}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_appended_to_what_the_address_has() {
        let pairs = [("code", "a b&c".to_owned()), ("state", "12345".to_owned())];
        let at = |address, mode| location(address, mode, &pairs);
        // S1: `http://www.mycompany.com/myapp/?code=AAABAAAAvPM1KaPlrEqdFSB...`
        assert_eq!(at("http://www.mycompany.com/myapp/", ResponseMode::Query), "http://www.mycompany.com/myapp/?code=a+b%26c&state=12345");
        assert_eq!(at("https://a.example/?x=1", ResponseMode::Query), "https://a.example/?x=1&code=a+b%26c&state=12345");
        assert_eq!(at("https://a.example/", ResponseMode::Fragment), "https://a.example/#code=a+b%26c&state=12345");
        let posted = deliver("https://a.example/cb", ResponseMode::FormPost, &pairs).unwrap();
        let html = String::from_utf8(posted.body.to_vec()).unwrap();
        assert!(html.contains("action=\"https://a.example/cb\"") && html.contains("value=\"a b&amp;c\""), "{html}");
    }
}
