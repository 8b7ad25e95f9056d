//! The page behind a link, as HTML: a signed link's question with its button, or facts; no script. Pure functions.
//!
//! Designed for reading on a phone at night: large text, the most important sentence first, light and dark colour schemes, no external
//! resources. External text (titles, names) is escaped here.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderName, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

use crate::reply::Reply;

/// Content of the page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// The heading. Example: `Acknowledge incident 12?`.
    pub heading: String,
    /// The sentence under the heading.
    pub says: String,
    /// Style of the heading.
    pub mood: Mood,
    /// Label and value pairs, such as `Severity` and `High`.
    pub facts: Vec<(&'static str, String)>,
    /// The form with its button. `None` if there is no action.
    pub form: Option<Form>,
    /// Other actions: label and URL.
    pub others: Vec<(&'static str, String)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    #[default]
    Asks,
    Done,
    Refused,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Form {
    pub button: &'static str,
    /// Whether the form asks for a classification.
    pub classification: bool,
}

const STYLE: &str = ":root{color-scheme:light dark;--ground:#f6f7f9;--card:#fff;--text:#16191d;--faint:#565d66;--line:#d9dde2;--act:#0b57d0;--on-act:#fff;--done:#146c2e;--refused:#b3261e}\
@media(prefers-color-scheme:dark){:root{--ground:#101214;--card:#1b1e22;--text:#eceef0;--faint:#a9b0b8;--line:#353a40;--act:#a8c7fa;--on-act:#062e6f;--done:#7fd494;--refused:#f2b8b5}}\
*{box-sizing:border-box}\
body{margin:0;padding:1rem;background:var(--ground);color:var(--text);font:1.0625rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}\
main{max-width:34rem;margin:4vh auto;padding:1.5rem;background:var(--card);border:1px solid var(--line);border-radius:.75rem}\
h1{margin:0 0 .5rem;font-size:1.5rem;line-height:1.25}\
.done h1{color:var(--done)}.refused h1{color:var(--refused)}\
p{margin:.5rem 0 1rem}\
dl{margin:1rem 0;border-top:1px solid var(--line)}\
dl div{display:flex;gap:1rem;padding:.5rem 0;border-bottom:1px solid var(--line)}\
dt{flex:0 0 6.5rem;color:var(--faint)}dd{margin:0;flex:1;min-width:0}\
label{display:block;margin:1rem 0 .25rem;color:var(--faint)}\
select,textarea{width:100%;padding:.75rem;font:inherit;color:inherit;background:var(--ground);border:1px solid var(--line);border-radius:.5rem}\
button{width:100%;min-height:3.5rem;margin-top:1rem;padding:.75rem 1rem;font:inherit;font-weight:600;color:var(--on-act);background:var(--act);border:0;border-radius:.5rem;cursor:pointer}\
nav{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.75rem;margin-top:1.25rem}\
nav a{min-height:3rem;padding:.75rem;text-align:center;color:var(--act);border:1px solid var(--line);border-radius:.5rem;text-decoration:none}\
:focus-visible{outline:3px solid var(--act);outline-offset:2px}\
footer{max-width:34rem;margin:0 auto;text-align:center;color:var(--faint);font-size:.875rem}";

/// Content security policy: allows this page's inline style and submitting this form only.
pub fn content_security_policy() -> String {
    let hash = BASE64_STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    format!("default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
}

/// The HTML page with its status and headers that forbid caching and embedding.
pub fn reply(status: StatusCode, view: &View) -> Reply {
    let mut reply = Reply::bytes(status, HeaderValue::from_static("text/html; charset=utf-8"), render(view))
        .header(HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex, nofollow"))
        .header(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"))
        .header(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    if let Ok(policy) = HeaderValue::from_str(&content_security_policy()) {
        reply = reply.header(header::CONTENT_SECURITY_POLICY, policy);
    }
    reply
}

pub fn render(view: &View) -> String {
    let class = match view.mood {
        Mood::Asks => "asks",
        Mood::Done => "done",
        Mood::Refused => "refused",
    };
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"robots\" content=\"noindex, nofollow\">\
         <meta name=\"referrer\" content=\"no-referrer\"><style>{STYLE}</style></head>\n<body><main class=\"{class}\"><h1>{title}</h1>\n",
        title = escape(&view.heading),
    );
    if !view.says.is_empty() {
        let role = if view.mood == Mood::Asks { "" } else { " role=\"status\"" };
        html += &format!("<p{role}>{}</p>\n", escape(&view.says));
    }
    if !view.facts.is_empty() {
        html += "<dl>\n";
        for (name, value) in &view.facts {
            html += &format!("<div><dt>{}</dt><dd>{}</dd></div>\n", escape(name), escape(value));
        }
        html += "</dl>\n";
    }
    if let Some(form) = &view.form {
        html += "<form method=\"post\">\n";
        if form.classification {
            html += "<label for=\"classification\">What was it?</label>\n<select id=\"classification\" name=\"classification\">\n";
            for (value, words) in CLASSIFICATIONS {
                html += &format!("<option value=\"{value}\">{words}</option>\n");
            }
            html += "</select>\n<label for=\"comment\">Comment (optional)</label>\n<textarea id=\"comment\" name=\"comment\" rows=\"3\" maxlength=\"1000\"></textarea>\n";
        }
        html += &format!("<button type=\"submit\">{}</button>\n</form>\n", escape(form.button));
    }
    if !view.others.is_empty() {
        html += "<nav aria-label=\"Other answers\">\n";
        for (words, link) in &view.others {
            html += &format!("<a href=\"{}\">{}</a>\n", escape(link), escape(words));
        }
        html += "</nav>\n";
    }
    html += "</main><footer>Bartizan</footer></body></html>\n";
    html
}

/// Sentinel's classifications with their labels.
const CLASSIFICATIONS: [(&str, &str); 4] = [
    ("Undetermined", "Not determined"),
    ("TruePositive", "A real attack (true positive)"),
    ("BenignPositive", "Suspicious but expected (benign positive)"),
    ("FalsePositive", "A false alarm (false positive)"),
];

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
            // Bidirectional control characters could make one title look like another.
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
        let evil = "\"><script>alert(1)</script>\u{202e}\u{0}'".to_owned();
        let view = View {
            heading: evil.clone(),
            says: evil.clone(),
            facts: vec![("Title", evil.clone())],
            form: Some(Form { button: "Close", classification: true }),
            others: vec![("Take", evil)],
            ..View::default()
        };
        let html = render(&view);
        assert!(!html.contains("<script") && !html.contains('\u{202e}') && !html.contains('\u{0}'), "{html}");
        assert_eq!(html.matches("&lt;script&gt;").count(), 5);
    }

    #[test]
    fn the_policy_allows_the_style_that_is_there_and_no_script() {
        let html = render(&View::default());
        let style = html.split_once("<style>").and_then(|(_, rest)| rest.split_once("</style>")).map(|(style, _)| style).unwrap();
        let hash = BASE64_STANDARD.encode(Sha256::digest(style.as_bytes()));
        let policy = content_security_policy();
        assert!(policy.contains(&format!("'sha256-{hash}'")) && policy.contains("default-src 'none'") && !policy.contains("unsafe"));
        assert!(!html.contains("<script") && !html.contains("src=") && !html.contains("http"));
    }

    #[test]
    fn what_can_be_pressed_is_one_button() {
        let html = render(&View { form: Some(Form { button: "Acknowledge", classification: false }), ..View::default() });
        assert_eq!(
            (html.matches("<button").count(), html.matches("<form method=\"post\">").count(), html.matches("<select").count()),
            (1, 1, 0)
        );
        assert_eq!(render(&View::default()).matches("<form").count(), 0);
    }
}
