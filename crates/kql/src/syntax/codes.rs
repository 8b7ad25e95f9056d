//! The table of syntax diagnostics: every code of the lexer and the parser, its meaning and the fix. The reference page is generated from
//! it, and a test checks that codes are unique.
//!
//! `KQL0001` to `KQL0029` are syntax codes; codes from `KQL0030` belong to the binder.

/// A kind of diagnostic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// `KQL0001`
    pub code: &'static str,
    /// What is wrong, without details.
    pub summary: &'static str,
    /// The fix, if it is always the same.
    pub help: Option<&'static str>,
}

macro_rules! codes {
    ($($name:ident = $code:literal, $summary:literal, $help:expr;)*) => {
        $(pub const $name: Code = Code { code: $code, summary: $summary, help: $help };)*
        /// All syntax codes in order.
        pub const ALL: &[Code] = &[$($name),*];
    };
}

codes! {
    CHARACTER = "KQL0001", "a character that means nothing in KQL", None;
    OPEN_STRING = "KQL0002", "a string without its closing quote", Some("close it on the same line, or use ``` around text of several lines");
    ESCAPE = "KQL0003", "an escape that strings do not know", Some(r#"write `\\` for a backslash, or a verbatim string: @"…""#);
    OPEN_LITERAL = "KQL0004", "a typed literal without its closing parenthesis", Some("a literal such as `datetime(…)` ends with `)` on the same line");
    NUMBER = "KQL0005", "a number that does not fit its type", None;
    EXPECTED = "KQL0006", "something else is expected here", None;
    EXPRESSION = "KQL0007", "an expression is missing", None;
    OPERATOR = "KQL0008", "the word after `|` is no operator", None;
    KEYWORD = "KQL0009", "a keyword stands where a name is needed", None;
    LEFTOVER = "KQL0010", "text is left over after a complete operator or statement",
        Some("an operator begins with `|`, a statement ends with `;`, items of a list are separated by `,`");
    DEPTH = "KQL0011", "the text is nested too deeply", Some("name the inner parts with `let`");
    CHAIN = "KQL0012", "comparisons cannot be chained", Some("put one of them in parentheses, or join them with `and`");
    TYPE = "KQL0013", "a word that is no type",
        Some("types are bool, int, long, real, decimal, string, datetime, timespan, guid and dynamic");
    CLOSING = "KQL0014", "a bracket is not closed", None;
    JSON = "KQL0015", "the text in `dynamic(…)` is no JSON", Some("keys are quoted; values are JSON or literals, not names");
    TOO_MANY = "KQL0016", "there are more mistakes than are shown", None;
    CASE = "KQL0017", "a word is known, but in lower case", None;
    AGGREGATE_KEYWORD = "KQL0018", "a keyword names an aggregate", None;
    TYPE_CASE = "KQL0019", "a type is known, but in lower case", None;
    JSON_LITERAL = "KQL0020", "a typed literal that `dynamic(…)` does not take", Some("write the number alone");
    LITERAL = "KQL0021", "a typed literal that cannot be read", Some("`tolong(…)`, `todatetime(…)` and their like convert text while the query runs");
    DIRECTIVE = "KQL0022", "a directive that is not known here", Some("leave the line out");
}

/// True for unambiguous constructs that Microsoft's editors report: a keyword as the name of an aggregate, as in `summarize last = max(x)`,
/// which occurs in published queries; a type in capitals; an int or a decimal inside a dynamic. `kql check` reports them, running a query
/// does not fail.
pub fn is_tolerated(code: &str) -> bool {
    [AGGREGATE_KEYWORD, TYPE_CASE, JSON_LITERAL].iter().any(|tolerated| code == tolerated.code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_in_order() {
        assert!(ALL.windows(2).all(|pair| pair[0].code < pair[1].code));
        assert!(ALL.iter().all(|code| code.code.len() == 7 && code.code < "KQL0030"));
    }
}
