//! Reply URLs: which may be registered, and which of a request matches one.
//!
//! Version 2 compares exactly (learn.microsoft.com/entra/identity-platform/reply-url); only the port of a loopback address of a public client
//! is free (RFC 8252 §7.3). Version 1 also accepts a sub-path of a registered URL: "The redirect URL must match or be a sub-path under one of
//! the Reply URLs" (S1-54, S1-62).

use store::AppRegistration;
use url::Url;

/// Longest reply URL.
const MAX_LENGTH: usize = 2_048;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    Web,
    Spa,
    PublicClient,
}

impl Platform {
    /// Whether the client keeps no secret, so that a code needs a proof key.
    pub fn is_public(self) -> bool {
        self != Platform::Web
    }
}

/// Why a reply URL cannot be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyUrlError {
    #[error("it is no absolute URL")]
    NotAbsolute,
    #[error("it is longer than {MAX_LENGTH} characters")]
    TooLong,
    #[error("it has a fragment, a user name, a wildcard, a space or a backslash")]
    Characters,
    #[error("its scheme is not accepted on this platform")]
    Scheme,
    #[error("its path has a segment `.` or `..`, or is not in its normal form")]
    Path,
}

/// Whether the URL can be registered for the platform.
pub fn check(text: &str, platform: Platform) -> Result<(), ReplyUrlError> {
    if text.len() > MAX_LENGTH {
        return Err(ReplyUrlError::TooLong);
    }
    let url = normal(text)?;
    let loopback = is_loopback(&url);
    let good = match (url.scheme(), platform) {
        ("https", _) => url.has_host(),
        // A web application keeps a secret, without which a code that is read on the way is worth nothing.
        ("http", Platform::Web) => url.has_host(),
        ("http", _) => loopback,
        ("javascript" | "data" | "vbscript" | "file" | "blob" | "about" | "ftp" | "ws" | "wss", _) => false,
        (_, Platform::PublicClient) => true,
        _ => false,
    };
    if good { Ok(()) } else { Err(ReplyUrlError::Scheme) }
}

/// The platform of the registered URL that `wanted` matches.
pub fn find(app: &AppRegistration, wanted: &str, sub_paths: bool) -> Option<Platform> {
    if wanted.len() > MAX_LENGTH {
        return None;
    }
    let url = normal(wanted).ok()?;
    let settings = &app.settings;
    let lists = [(&settings.web, Platform::Web), (&settings.spa, Platform::Spa), (&settings.public_client, Platform::PublicClient)];
    let exact = lists.iter().find(|(list, _)| list.iter().any(|known| known == wanted)).map(|(_, platform)| *platform);
    let by_loopback = || {
        let same = |known: &String| {
            normal(known).is_ok_and(|known| is_loopback(&known) && is_loopback(&url) && without_port(&known) == without_port(&url))
        };
        settings.public_client.iter().any(same).then_some(Platform::PublicClient)
    };
    let by_path = || (sub_paths && settings.web.iter().any(|known| is_below(known, &url))).then_some(Platform::Web);
    exact.or_else(by_loopback).or_else(by_path)
}

/// The URL of a request without one: the only registered one.
pub fn only(app: &AppRegistration) -> Option<&str> {
    let settings = &app.settings;
    let mut all = settings.web.iter().chain(&settings.spa).chain(&settings.public_client);
    match (all.next(), all.next()) {
        (Some(url), None) => Some(url),
        _ => None,
    }
}

/// The parsed URL, if it is written as browsers would send it: what is compared here is then what they open.
fn normal(text: &str) -> Result<Url, ReplyUrlError> {
    if text.contains(['#', '*', '\\', ' ']) || text.chars().any(|c| c.is_control() || !c.is_ascii()) {
        return Err(ReplyUrlError::Characters);
    }
    let url = Url::parse(text).map_err(|_| ReplyUrlError::NotAbsolute)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ReplyUrlError::Characters);
    }
    let as_written = text.split_once(':').map_or(text, |(_, rest)| rest);
    let parsed = url.as_str().split_once(':').map_or("", |(_, rest)| rest);
    // The parser adds the slash of an empty path, and drops a default port.
    let (plain, bare) = (parsed.to_ascii_lowercase(), parsed.trim_end_matches('/').to_ascii_lowercase());
    let written = as_written.to_ascii_lowercase();
    let without_default = written.replacen(if url.scheme() == "https" { ":443" } else { ":80" }, "", 1);
    let same = [&written, &without_default].iter().any(|text| **text == plain || **text == bare);
    if same { Ok(url) } else { Err(ReplyUrlError::Path) }
}

fn is_loopback(url: &Url) -> bool {
    url.scheme() == "http" && matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

fn without_port(url: &Url) -> (Option<&str>, &str, Option<&str>) {
    (url.host_str(), url.path(), url.query())
}

/// Whether `wanted` has the scheme, host and port of `known`, and a path below its path.
fn is_below(known: &str, wanted: &Url) -> bool {
    let Ok(known) = normal(known) else { return false };
    // Escaped separators are one segment here and may be two elsewhere.
    let escaped = wanted.path().to_ascii_lowercase();
    if known.query().is_some() || escaped.contains("%2f") || escaped.contains("%5c") || escaped.contains("%2e") || escaped.contains("//") {
        return false;
    }
    let same_origin = (known.scheme(), known.host_str(), known.port_or_known_default())
        == (wanted.scheme(), wanted.host_str(), wanted.port_or_known_default());
    let base = known.path().trim_end_matches('/');
    same_origin && wanted.path().strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Timestamp;

    fn app() -> AppRegistration {
        AppRegistration {
            app_id: "a".into(),
            object_id: "o".into(),
            display_name: "x".into(),
            created: Timestamp::UNIX_EPOCH,
            secrets: vec![],
            certificates: vec![],
            settings: store::AppSettings {
                web: vec!["http://www.mycompany.com/myapp/".into(), "https://app.example.org".into()],
                spa: vec!["https://spa.example.org/".into()],
                public_client: vec!["http://localhost".into(), "msauth://app/x".into()],
                ..Default::default()
            },
        }
    }

    #[test]
    fn version_two_is_exact_and_version_one_goes_below() {
        let app = app();
        let both = |url: &str| (find(&app, url, false), find(&app, url, true));
        let (web, none) = (Some(Platform::Web), None);
        // The URL of S1's example.
        assert_eq!(both("http://www.mycompany.com/myapp/"), (web, web));
        assert_eq!(both("http://www.mycompany.com/myapp/consent"), (none, web));
        assert_eq!(both("https://app.example.org"), (web, web));
        assert_eq!(both("https://app.example.org/deep/er"), (none, web));
        assert_eq!(both("https://spa.example.org/deep"), (none, none));
        assert_eq!(both("http://localhost:41234"), (Some(Platform::PublicClient), Some(Platform::PublicClient)));
        assert_eq!(both("msauth://app/x"), (Some(Platform::PublicClient), Some(Platform::PublicClient)));
        for hostile in [
            "http://www.mycompany.com/myapp2",
            "http://www.mycompany.com/",
            "http://www.mycompany.com/myapp/../admin",
            "http://www.mycompany.com/myapp/%2e%2e/admin",
            "http://www.mycompany.com/myapp/..%2fadmin",
            "http://www.mycompany.com/myapp/%5cadmin",
            "http://www.mycompany.com.evil.example/myapp/",
            "http://www.mycompany.com@evil.example/myapp/",
            "http://www.mycompany.com:8080/myapp/",
            "https://www.mycompany.com/myapp/",
            "http://www.mycompany.com/myapp/#x",
            "http://www.mycompany.com\\myapp/",
            "//www.mycompany.com/myapp/",
            "https://evil.example/?https://app.example.org",
            "https://app.example.org.",
            "http://localhost.evil.example",
            "http://127.0.0.1:80",
            "javascript:alert(1)",
            "",
        ] {
            assert_eq!(both(hostile), (none, none), "{hostile}");
        }
    }

    #[test]
    fn what_can_be_registered_depends_on_the_platform() {
        for (url, web, spa, public) in [
            ("https://a.example/cb", true, true, true),
            ("http://a.example/cb", true, false, false),
            ("http://localhost:3000", true, true, true),
            ("myapp://auth", false, false, true),
            ("javascript:alert(1)", false, false, false),
            ("https://a.example/#f", false, false, false),
            ("https://*.example/", false, false, false),
            ("/relative", false, false, false),
            ("https://user@a.example/", false, false, false),
        ] {
            let good = |platform| check(url, platform).is_ok();
            assert_eq!((good(Platform::Web), good(Platform::Spa), good(Platform::PublicClient)), (web, spa, public), "{url}");
        }
    }
}
