//! The grammar, construct by construct. `accepted.txt` and `refused.txt` hold one small query per line (`⏎` is a line break); the expected
//! result is that of Microsoft's parser, or of its engine if that is recorded to be stricter. The expected trees follow the documented
//! precedence.

use kql::syntax::ast::{ExprKind, JoinOn, LetValue, OperatorKind, StatementKind};
use kql::syntax::parse;
use kql::{DiagnosticKind, Value};

fn lines(text: &str) -> Vec<String> {
    text.lines().map(|line| line.replace('⏎', "\n")).collect()
}

pub fn accepted() -> Vec<String> {
    lines(include_str!("accepted.txt"))
}

#[test]
fn accepted_queries_parse() {
    let wrong: Vec<_> = accepted().into_iter().filter_map(|text| Some((parse(&text).diagnostics.into_iter().next()?, text))).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn invalid_kql_is_rejected() {
    let wrong: Vec<_> = lines(include_str!("refused.txt")).into_iter().filter(|text| parse(text).diagnostics.is_empty()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The only expression of `print`, fully parenthesised.
fn shape(text: &str) -> String {
    let parsed = parse(&format!("print {text}"));
    assert!(parsed.diagnostics.is_empty(), "{text}: {:?}", parsed.diagnostics);
    let StatementKind::Query(query) = &parsed.script.statements[0].kind else { panic!("{text} is no query") };
    let ExprKind::Source(operator) = &query.kind else { panic!("{text} is no print") };
    let OperatorKind::Print(columns) = &operator.kind else { panic!("{text} is no print") };
    show(&columns[0].kind)
}

fn show(expr: &ExprKind) -> String {
    let list = |items: &[kql::syntax::ast::Expr]| items.iter().map(|item| show(&item.kind)).collect::<Vec<_>>().join(" ");
    match expr {
        ExprKind::Name(name) => name.text.clone(),
        ExprKind::Literal(Value::Long(n)) => n.to_string(),
        ExprKind::Literal(Value::String(text)) => format!("{text:?}"),
        ExprKind::Literal(value) => format!("{value:?}"),
        ExprKind::Dynamic(json) => json.clone(),
        ExprKind::Paren(inner) => show(&inner.kind),
        ExprKind::Unary { op, operand } => format!("({op} {})", show(&operand.kind)),
        ExprKind::Binary { op, left, right, .. } => format!("({} {op} {})", show(&left.kind), show(&right.kind)),
        ExprKind::In { op, left, list: items } => format!("({} {op} [{}])", show(&left.kind), list(items)),
        ExprKind::Between { negated, operand, low, high } => {
            format!("({} {}between {} {})", show(&operand.kind), if *negated { "!" } else { "" }, show(&low.kind), show(&high.kind))
        }
        ExprKind::Member { object, name } => format!("{}.{}", show(&object.kind), name.text),
        ExprKind::MemberCall { object, call } => format!("{}.{}({})", show(&object.kind), call.name.text, list(&call.args)),
        ExprKind::Index { object, index } => format!("{}[{}]", show(&object.kind), show(&index.kind)),
        ExprKind::Call(call) => format!("{}({})", call.name.text, list(&call.args)),
        other => format!("{other:?}"),
    }
}

#[test]
fn operator_precedence_matches_the_reference() {
    for (text, expected) in [
        ("a or b and c", "(a or (b and c))"),
        ("a and b or c and d", "((a and b) or (c and d))"),
        ("a == b + c * d", "(a == (b + (c * d)))"),
        ("a - b - c", "((a - b) - c)"),
        ("a / b % c", "((a / b) % c)"),
        ("a has b == c", "((a has b) == c)"),
        ("a == b has c", "(a == (b has c))"),
        ("a > b == c", "((a > b) == c)"),
        ("a matches regex b and c", "((a matches regex b) and c)"),
        ("-a.b[0]", "(- a.b[0])"),
        ("a !in~ (1, 2) or b", "((a !in~ [1 2]) or b)"),
        ("a between (1 .. b + 2) and c", "((a between 1 (b + 2)) and c)"),
        ("database('x').table('y').z", r#"database("x").table("y").z"#),
        ("(a or b) and c", "((a or b) and c)"),
        ("a.['b c'].d", "a.b c.d"),
        ("'a' \"b\"", r#""ab""#),
    ] {
        assert_eq!(shape(text), expected, "{text}");
    }
}

#[test]
fn chains_are_balanced_in_order() {
    assert_eq!(shape("a or b or c or d or e"), "(((a or b) or (c or d)) or e)");
}

#[test]
fn dynamic_literals_become_json() {
    for (text, expected) in [
        (r#"dynamic({"a":1, 'b':[1.50,2e3,null,true]})"#, r#"{"a":1,"b":[1.50,2000.0,null,true]}"#),
        ("dynamic([datetime(2020-01-01), 1d])", r#"["2020-01-01T00:00:00.0000000Z",864000000000]"#),
        ("dynamic(-9223372036854775808)", "-9223372036854775808"),
        (r#"dynamic("a\"b")"#, r#""a\"b""#),
        ("dynamic([])", "[]"),
    ] {
        assert_eq!(shape(text), expected, "{text}");
        assert!(serde_json::from_str::<serde_json::Value>(expected).is_ok());
    }
}

#[test]
fn statements_and_operators_keep_their_parts() {
    let text = "let f = view (T:(*), n:long = 5) { T | take n };\nA | join kind=leftouter hint.strategy=shuffle (B | where x) on a, $left.b == $right.c | count";
    let parsed = parse(text);
    assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
    let StatementKind::Let { value: LetValue::Function(function), .. } = &parsed.script.statements[0].kind else { panic!("no function") };
    assert!(function.view && function.parameters.len() == 2 && function.parameters[1].default.is_some());
    let StatementKind::Query(query) = &parsed.script.statements[1].kind else { panic!("no query") };
    let ExprKind::Pipe { operators, .. } = &query.kind else { panic!("no pipe") };
    let OperatorKind::Join { properties, on: JoinOn::Conditions(on), .. } = &operators[0].kind else { panic!("no join") };
    assert_eq!(properties.iter().map(|property| property.name.text.as_str()).collect::<Vec<_>>(), ["kind", "hint.strategy"]);
    assert_eq!(on.len(), 2);
    assert!(matches!(operators[1].kind, OperatorKind::Count));
    assert_eq!(&text[operators[0].keyword.clone()], "join");
    assert!(text[operators[0].place.clone()].ends_with("$right.c"));
}

#[test]
fn diagnostics_have_code_location_and_help() {
    // (text, code, text at the location, a part of the help)
    for (text, code, covers, help) in [
        ("T | sumarize count()", "KQL0008", "sumarize", "`summarize`"),
        ("T | mv-expnd a", "KQL0008", "mv-expnd", "`mv-expand`"),
        ("T | WHERE a", "KQL0017", "WHERE", "`where`"),
        ("T | select a", "KQL0008", "select", "`project`"),
        ("T | extend first = 1", "KQL0009", "first", "['first']"),
        ("T | where a == \"x", "KQL0002", "\"x", "close it"),
        ("T | where a == \"\\d\"", "KQL0003", "\\d", "@\""),
        ("T | where a == “x”", "KQL0001", "“", "straight quotes"),
        ("T | where a && b", "KQL0001", "&", "`and`"),
        ("T | where a == 1 == 2", "KQL0012", "==", "parentheses"),
        ("T | where (a == 1", "KQL0014", "", ""),
        ("T | where a b", "KQL0010", "b", "`|`"),
        ("T | where", "KQL0007", "", ""),
        ("print dynamic([a])", "KQL0015", "a", "quoted"),
        ("datatable(a:lng)[1]", "KQL0013", "lng", "`long`"),
    ] {
        let parsed = parse(text);
        let first = parsed.diagnostics.first().unwrap_or_else(|| panic!("{text} has no diagnostic"));
        assert_eq!((first.code, &text[first.start..first.end]), (code, covers), "{text}: {first:?}");
        assert_eq!(first.kind, DiagnosticKind::Syntax);
        assert!(first.help.as_deref().unwrap_or_default().contains(help), "{text}: {first:?}");
    }
}

#[test]
fn parsing_continues_after_an_error() {
    let parsed = parse("T | sumarize count() | where a == | project first, b | take 5; let = 5; U | tke 1");
    let codes: Vec<_> = parsed.diagnostics.iter().map(|wrong| wrong.code).collect();
    assert_eq!(codes, ["KQL0008", "KQL0007", "KQL0009", "KQL0010", "KQL0008"]);
    let StatementKind::Query(query) = &parsed.script.statements[0].kind else { panic!("no query") };
    let ExprKind::Pipe { operators, .. } = &query.kind else { panic!("no pipe") };
    assert_eq!(operators.len(), 4);
}
