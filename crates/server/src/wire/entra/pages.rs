//! The pages on which people sign in, consent, and enter a device's code: one template, no script. Pure functions.
//!
//! Text from outside (names of applications and people, addresses) is escaped here. The policy allows the page's own style, and forms that
//! lead back here or to the address that the request was validated for.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderName, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

use crate::error::ApiError;
use crate::reply::Reply;

/// A page: heading, text, facts, and at most one form.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub heading: String,
    pub text: String,
    /// What is wrong with the previous entry; announced by screen readers.
    pub error: Option<String>,
    /// Label and value.
    pub facts: Vec<(&'static str, String)>,
    /// Permissions, each with the resource it belongs to.
    pub list: Vec<(String, String)>,
    pub form: Option<Form>,
    /// An origin beside our own that the form, or the redirect that answers it, leads to.
    pub leads_to: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct Form {
    pub action: String,
    pub hidden: Vec<(String, String)>,
    pub fields: Vec<Field>,
    /// Buttons in order; the first is the default one.
    pub buttons: Vec<Button>,
}

#[derive(Clone, Debug)]
pub struct Field {
    pub name: &'static str,
    pub label: &'static str,
    pub kind: FieldKind,
    pub value: String,
    /// `username`, `current-password`, `one-time-code`, `off`.
    pub autocomplete: &'static str,
    pub required: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    Text,
    Password,
    Check,
}

#[derive(Clone, Debug)]
pub struct Button {
    /// The value of `action`.
    pub value: &'static str,
    pub label: &'static str,
}

const STYLE: &str = ":root{color-scheme:light dark;--ground:#f6f7f9;--card:#fff;--text:#16191d;--faint:#565d66;--line:#767d86;--act:#0b57d0;--on-act:#fff;--bad:#b3261e}\
@media(prefers-color-scheme:dark){:root{--ground:#101214;--card:#1b1e22;--text:#eceef0;--faint:#a9b0b8;--line:#7c838b;--act:#a8c7fa;--on-act:#062e6f;--bad:#f2b8b5}}\
*{box-sizing:border-box}\
body{margin:0;padding:1rem;background:var(--ground);color:var(--text);font:1.0625rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}\
main{max-width:28rem;margin:4vh auto;padding:1.5rem;background:var(--card);border:1px solid var(--line);border-radius:.75rem}\
h1{margin:0 0 .5rem;font-size:1.5rem;line-height:1.25}\
p{margin:.5rem 0 1rem}\
.bad{color:var(--bad);font-weight:600}\
dl{margin:1rem 0}dt{color:var(--faint)}dd{margin:0 0 .5rem}\
ul{margin:1rem 0;padding-left:1.25rem}li small{color:var(--faint)}\
label{display:block;margin:1rem 0 .25rem}\
label.check{display:flex;gap:.75rem;align-items:center}\
input[type=text],input[type=password]{width:100%;min-height:3rem;padding:.75rem;font:inherit;color:inherit;background:var(--ground);border:1px solid var(--line);border-radius:.5rem}\
input[type=checkbox]{width:1.5rem;height:1.5rem}\
button{width:100%;min-height:3rem;margin-top:1rem;padding:.75rem 1rem;font:inherit;font-weight:600;color:var(--on-act);background:var(--act);border:1px solid var(--act);border-radius:.5rem;cursor:pointer}\
button~button{color:var(--act);background:transparent}\
:focus-visible{outline:3px solid var(--act);outline-offset:2px}\
footer{max-width:28rem;margin:0 auto;text-align:center;color:var(--faint);font-size:.875rem}";

/// The page as HTML.
pub fn render(page: &Page) -> String {
    let title = escape(&page.heading);
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"robots\" content=\"noindex, nofollow\">\
         <style>{STYLE}</style></head>\n<body><main><h1>{title}</h1>\n"
    );
    if let Some(error) = &page.error {
        html += &format!("<p class=\"bad\" role=\"alert\" id=\"error\">{}</p>\n", escape(error));
    }
    if !page.text.is_empty() {
        html += &format!("<p>{}</p>\n", escape(&page.text));
    }
    if !page.facts.is_empty() {
        html += "<dl>\n";
        for (name, value) in &page.facts {
            html += &format!("<dt>{}</dt><dd>{}</dd>\n", escape(name), escape(value));
        }
        html += "</dl>\n";
    }
    if !page.list.is_empty() {
        html += "<ul>\n";
        for (text, of) in &page.list {
            html += &format!("<li>{}<br><small>{}</small></li>\n", escape(text), escape(of));
        }
        html += "</ul>\n";
    }
    if let Some(form) = &page.form {
        html += &render_form(form, page.error.is_some());
    }
    html += "</main><footer>Bartizan</footer></body></html>\n";
    html
}

fn render_form(form: &Form, has_error: bool) -> String {
    let mut html = format!("<form method=\"post\" action=\"{}\">\n", escape(&form.action));
    for (name, value) in &form.hidden {
        html += &format!("<input type=\"hidden\" name=\"{}\" value=\"{}\">\n", escape(name), escape(value));
    }
    let mut focus = " autofocus";
    for field in &form.fields {
        let (name, label, value) = (field.name, escape(field.label), escape(&field.value));
        if field.kind == FieldKind::Check {
            html += &format!("<label class=\"check\"><input type=\"checkbox\" name=\"{name}\" value=\"yes\">{label}</label>\n");
            continue;
        }
        let kind = if field.kind == FieldKind::Password { "password" } else { "text" };
        let required = if field.required { " required" } else { "" };
        let described = if has_error { " aria-describedby=\"error\" aria-invalid=\"true\"" } else { "" };
        // The cursor starts in the first empty field.
        let here = if value.is_empty() { std::mem::take(&mut focus) } else { "" };
        html += &format!(
            "<label for=\"{name}\">{label}</label>\n<input type=\"{kind}\" id=\"{name}\" name=\"{name}\" value=\"{value}\" \
             autocomplete=\"{}\" autocapitalize=\"none\" spellcheck=\"false\"{required}{described}{here}>\n",
            field.autocomplete
        );
    }
    for button in &form.buttons {
        // Cancelling needs no filled fields.
        let novalidate = if button.value == "cancel" { " formnovalidate" } else { "" };
        html +=
            &format!("<button type=\"submit\" name=\"action\" value=\"{}\"{novalidate}>{}</button>\n", button.value, escape(button.label));
    }
    html += "</form>\n";
    html
}

/// The page as a response, with headers that forbid caching, embedding, scripts and other forms.
pub fn reply(status: StatusCode, page: &Page) -> Reply {
    let hash = BASE64_STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    let to = page.leads_to.as_deref().map(|origin| format!(" {origin}")).unwrap_or_default();
    let policy = format!("default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'{to}; base-uri 'none'; frame-ancestors 'none'");
    let mut reply = Reply::bytes(status, HeaderValue::from_static("text/html; charset=utf-8"), render(page))
        .header(HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex, nofollow"))
        // Not `no-referrer`, with which browsers send `Origin: null` with a form.
        .header(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"))
        .header(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        reply = reply.header(header::CONTENT_SECURITY_POLICY, policy);
    }
    reply
}

/// An error that cannot be sent to the application, for the person.
pub fn refusal(error: &ApiError) -> Page {
    let number = error.entra.map(|number| format!("AADSTS{number}: ")).unwrap_or_default();
    Page { heading: "Sign-in did not work".to_owned(), error: Some(format!("{number}{}", error.message)), ..Page::default() }
}

/// The origin of an address, as a source in a policy; the scheme alone where it has no host.
pub fn policy_source(address: &str) -> Option<String> {
    let url = url::Url::parse(address).ok()?;
    match url.scheme() {
        "http" | "https" => Some(url.origin().ascii_serialization()),
        scheme => Some(format!("{scheme}:")),
    }
}

/// Escapes text for element content and quoted attribute values. Control characters are removed.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\'' => safe += "&#39;",
            '\n' | '\t' => safe.push(' '),
            // Bidirectional control characters could make one name look like another.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c if c.is_control() => {}
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_becomes_markup() {
        let evil = "\"><script>alert(1)</script>\u{202e}'".to_owned();
        let page = Page {
            heading: evil.clone(),
            text: evil.clone(),
            error: Some(evil.clone()),
            facts: vec![("Application", evil.clone())],
            list: vec![(evil.clone(), evil.clone())],
            form: Some(Form {
                action: evil.clone(),
                hidden: vec![(evil.clone(), evil.clone())],
                fields: vec![Field {
                    name: "username",
                    label: "Name",
                    kind: FieldKind::Text,
                    value: evil.clone(),
                    autocomplete: "username",
                    required: true,
                }],
                buttons: vec![Button { value: "cancel", label: "Cancel" }],
            }),
            leads_to: None,
        };
        let html = render(&page);
        assert!(!html.contains("<script") && !html.contains('\u{202e}') && !html.contains("value=\"\">"), "{html}");
    }

    #[test]
    fn the_policy_allows_the_style_and_one_target_and_no_script() {
        let page = Page { leads_to: policy_source("https://app.example.org:8443/cb?x=1"), ..Page::default() };
        let reply = reply(StatusCode::OK, &page);
        let policy = reply.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("form-action 'self' https://app.example.org:8443;") && policy.contains("default-src 'none'"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("script-src"));
        let html = String::from_utf8(reply.body.to_vec()).unwrap();
        let style = html.split_once("<style>").and_then(|(_, rest)| rest.split_once("</style>")).map(|(style, _)| style).unwrap();
        assert!(policy.contains(&BASE64_STANDARD.encode(Sha256::digest(style.as_bytes()))));
        assert_eq!(policy_source("myapp://auth").as_deref(), Some("myapp:"));
    }

    #[test]
    fn every_field_has_a_label() {
        let field = |name, kind| Field { name, label: "L", kind, value: String::new(), autocomplete: "off", required: true };
        let form = Form {
            fields: vec![field("username", FieldKind::Text), field("password", FieldKind::Password), field("everyone", FieldKind::Check)],
            ..Form::default()
        };
        let html = render(&Page { form: Some(form), ..Page::default() });
        for name in ["username", "password"] {
            assert!(html.contains(&format!("<label for=\"{name}\">")) && html.contains(&format!("id=\"{name}\"")));
        }
        assert_eq!((html.matches("autofocus").count(), html.matches("<label class=\"check\">").count()), (1, 1));
    }
}
