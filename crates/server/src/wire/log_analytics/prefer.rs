//! The `Prefer` header: server timeout and additions to the response.

use model::Span;

/// The client's preferences. Unknown ones are ignored, as RFC 7240 requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefer {
    pub wait: Span,
    pub statistics: bool,
    pub render: bool,
}

const DEFAULT_WAIT: i64 = 180;
const MAX_WAIT: i64 = 600;

impl Prefer {
    /// Parses the header's values. A stock client sends an empty one, which means no preferences.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut prefer = Self { wait: Span::seconds(DEFAULT_WAIT), statistics: false, render: false };
        for item in values.into_iter().flat_map(|value| value.split([',', ';'])) {
            let (name, value) = item.split_once('=').unwrap_or((item, "true"));
            let value = value.trim().trim_matches('"');
            let is_true = value.eq_ignore_ascii_case("true");
            match name.trim().to_ascii_lowercase().as_str() {
                "wait" => {
                    if let Ok(seconds) = value.parse::<i64>() {
                        prefer.wait = Span::seconds(seconds.clamp(1, MAX_WAIT));
                    }
                }
                "include-statistics" => prefer.statistics = is_true,
                "include-render" => prefer.render = is_true,
                _ => {}
            }
        }
        prefer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_come_joined_empty_and_out_of_range() {
        let parse = |value| Prefer::parse([value]);
        assert_eq!(
            parse("wait=30,include-statistics=true, include-render=true"),
            Prefer { wait: Span::seconds(30), statistics: true, render: true }
        );
        assert_eq!(parse(""), Prefer { wait: Span::seconds(180), statistics: false, render: false });
        assert_eq!(parse("wait=9999").wait, Span::seconds(600));
        assert_eq!(parse("wait=soon, x=y").wait, Span::seconds(180));
    }
}
