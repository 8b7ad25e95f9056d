//! Maps a method and a path to an endpoint.
//!
//! Azure Resource Manager ignores the case of literal segments; clients percent-encode inconsistently and send double or trailing slashes.
//! Paths are split before decoding, so that `%2F` stays part of a name.

use http::Method;

use crate::endpoint::Endpoint;

/// The endpoints, most specific pattern first.
pub struct Router {
    routes: Vec<Route>,
}

struct Route {
    endpoint: &'static Endpoint,
    segments: Vec<Segment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Literal(&'static str),
    Param(&'static str),
    /// One or more segments.
    Rest(&'static str),
}

/// Result of a lookup.
pub enum Found {
    Endpoint(&'static Endpoint, Params),
    /// The path exists, but not for this method; these are supported.
    OtherMethods(Vec<Method>),
    Nothing,
}

/// Path parameters, decoded.
#[derive(Clone, Debug, Default)]
pub struct Params(Vec<(&'static str, String)>);

impl Params {
    /// The parameter's value; empty when the pattern has no such parameter.
    pub fn get(&self, name: &str) -> &str {
        self.find(name).unwrap_or_default()
    }

    pub fn find(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

/// Why a path is invalid.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("the path has an escape that is no UTF-8")]
    NotUtf8,
    /// `.` and `..` segments. Clients and proxies resolve them before sending, so one that arrives is an attempt to be parsed differently.
    #[error("the path has a segment `.` or `..`; send the path that is meant")]
    Relative,
}

impl Router {
    pub fn new(endpoints: impl IntoIterator<Item = &'static Endpoint>) -> Self {
        let mut routes: Vec<Route> = Vec::new();
        for endpoint in endpoints {
            routes.push(Route { endpoint, segments: pattern(endpoint.path, true) });
            if endpoint.path.contains('[') {
                routes.push(Route { endpoint, segments: pattern(endpoint.path, false) });
            }
        }
        // Literals sort before parameters, and those before catch-alls, segment by segment: the first match is the most specific.
        routes.sort_by(|a, b| rank(&a.segments).cmp(&rank(&b.segments)));
        Self { routes }
    }

    /// The endpoint for a raw (encoded) path. `HEAD` is served by `GET`.
    pub fn find(&self, method: &Method, path: &str) -> Result<Found, PathError> {
        let parts = split(path)?;
        let wanted = if method == Method::HEAD { &Method::GET } else { method };
        let mut others = Vec::new();
        for route in &self.routes {
            let mut params = Params::default();
            if !matches(&route.segments, &parts, &mut params.0) {
                continue;
            }
            if route.endpoint.method == wanted {
                return Ok(Found::Endpoint(route.endpoint, params));
            }
            if !others.contains(&route.endpoint.method) {
                others.push(route.endpoint.method.clone());
            }
        }
        Ok(if others.is_empty() { Found::Nothing } else { Found::OtherMethods(others) })
    }
}

/// The segments of a pattern, with or without its optional group `[…]`.
fn pattern(path: &'static str, with_group: bool) -> Vec<Segment> {
    let (before, group, after) =
        match path.split_once('[').and_then(|(before, rest)| rest.split_once(']').map(|(group, after)| (before, group, after))) {
            Some(parts) => parts,
            None => (path, "", ""),
        };
    [before, if with_group { group } else { "" }, after]
        .into_iter()
        .flat_map(|part| part.split('/'))
        .filter(|part| !part.is_empty())
        .map(|part| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(name) => name.strip_suffix('*').map_or(Segment::Param(name), Segment::Rest),
            None => Segment::Literal(part),
        })
        .collect()
}

fn rank(segments: &[Segment]) -> Vec<u8> {
    segments
        .iter()
        .map(|segment| match segment {
            Segment::Literal(_) => 0,
            Segment::Param(_) => 1,
            Segment::Rest(_) => 2,
        })
        .collect()
}

/// Decoded segments of a raw path; empty ones (double and trailing slashes) are dropped.
pub fn split(path: &str) -> Result<Vec<String>, PathError> {
    path.split('/')
        .filter(|part| !part.is_empty())
        .map(|part| match percent_encoding::percent_decode_str(part).decode_utf8() {
            Err(_) => Err(PathError::NotUtf8),
            Ok(text) if matches!(text.as_ref(), "." | "..") => Err(PathError::Relative),
            Ok(text) => Ok(text.into_owned()),
        })
        .collect()
}

fn matches(segments: &[Segment], parts: &[String], params: &mut Vec<(&'static str, String)>) -> bool {
    match segments.split_first() {
        None => parts.is_empty(),
        Some((Segment::Literal(literal), rest)) => {
            parts.first().is_some_and(|part| part.eq_ignore_ascii_case(literal)) && matches(rest, &parts[1..], params)
        }
        Some((Segment::Param(name), rest)) => {
            let Some(part) = parts.first() else { return false };
            params.push((name, part.clone()));
            let found = matches(rest, &parts[1..], params);
            if !found {
                params.pop();
            }
            found
        }
        Some((Segment::Rest(name), rest)) => {
            // A pattern has at most one catch-all, so its length follows from the segments after it.
            let Some(length) = parts.len().checked_sub(rest.len()).filter(|length| *length > 0) else { return false };
            params.push((name, parts[..length].join("/")));
            let found = matches(rest, &parts[length..], params);
            if !found {
                params.pop();
            }
            found
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect;
    use crate::endpoint::{NO_ACTION, Role, nothing};
    use crate::reply::Reply;

    const fn get(path: &'static str) -> Endpoint {
        Endpoint {
            method: Method::GET,
            path,
            summary: "Test",
            dialect: &dialect::OURS,
            role: Role::Reader,
            action: NO_ACTION,
            query: nothing,
            takes: nothing,
            returns: nothing,
            run: |_, _| Box::pin(async { Ok(Reply::no_content()) }),
        }
    }

    static ROUTES: [Endpoint; 6] = [
        get("/{tenant}/oauth2/v2.0/token"),
        get("/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.X/things/{name}"),
        get("/{scope*}/providers/Microsoft.Authorization/roleAssignments/{name}"),
        get("[/v1]/workspaces/{workspace}/query"),
        get("/{scope*}/query"),
        get("/things/special"),
    ];

    fn find(path: &str) -> Option<(&'static str, Params)> {
        match Router::new(&ROUTES).find(&Method::GET, path).unwrap() {
            Found::Endpoint(endpoint, params) => Some((endpoint.path, params)),
            _ => None,
        }
    }

    #[test]
    fn case_slashes_and_escapes_do_not_matter() {
        // Azure resource names and providers are case-insensitive (resource manager, "resource naming"); the parameter keeps its case.
        let (path, params) = find("//SUBSCRIPTIONS/s%20S/resourcegroups/G/providers/microsoft.x/Things/a%2Fb/").unwrap();
        assert_eq!(path, ROUTES[1].path);
        assert_eq!((params.get("subscription"), params.get("group"), params.get("name")), ("s S", "G", "a/b"));
    }

    #[test]
    fn a_group_in_brackets_is_optional() {
        assert_eq!(find("/v1/workspaces/w/query").unwrap().0, ROUTES[3].path);
        assert_eq!(find("/workspaces/w/query").unwrap().1.get("workspace"), "w");
    }

    #[test]
    fn a_catch_all_takes_any_depth_and_yields_to_the_specific() {
        let (path, params) = find("/subscriptions/s/resourceGroups/g/providers/Microsoft.Authorization/roleAssignments/r").unwrap();
        assert_eq!((path, params.get("scope")), (ROUTES[2].path, "subscriptions/s/resourceGroups/g"));
        assert_eq!(find("/a/b/c/query").unwrap().0, ROUTES[4].path);
        assert!(find("/query").is_none());
    }

    #[test]
    fn a_known_path_names_its_methods() {
        let router = Router::new(&ROUTES);
        assert!(matches!(router.find(&Method::DELETE, "/things/special"), Ok(Found::OtherMethods(methods)) if methods == [Method::GET]));
        assert!(matches!(router.find(&Method::HEAD, "/things/special"), Ok(Found::Endpoint(..))));
        assert!(matches!(router.find(&Method::GET, "/%ff"), Err(PathError::NotUtf8)));
        for relative in ["/things/../special", "/things/%2e%2E/special", "/./things/special"] {
            assert!(matches!(router.find(&Method::GET, relative), Err(PathError::Relative)), "{relative}");
        }
    }
}
