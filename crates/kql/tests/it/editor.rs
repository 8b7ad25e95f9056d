//! Editor services over published queries: incomplete text is handled, formatting preserves meaning, and completions are correct.

use kql::check::{TableSchemas, check};
use kql::editor::{self, Completions, ItemKind, RenameError, SymbolKind};
use kql::syntax::lexer::{TokenKind, lex};
use model::Timestamp;

use crate::shared;

fn schemas() -> TableSchemas {
    serde_json::from_str(
        r#"{"T": [["Time", "datetime"], ["Name", "string"], ["Count", "long"], ["Bag", "dynamic"], ["Ok", "bool"]],
            "U": [["Name", "string"], ["Other", "real"]], "Odd name": [["a b", "long"]]}"#,
    )
    .expect("a schema")
}

fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

/// The text without the `│` mark, and its position.
fn cursor(marked: &str) -> (String, usize) {
    let at = marked.find('│').expect("a cursor");
    (marked.replace('│', ""), at)
}

fn completed(marked: &str) -> Completions {
    let (text, at) = cursor(marked);
    editor::complete(&text, at, &schemas(), now())
}

fn labels(marked: &str) -> Vec<String> {
    completed(marked).items.into_iter().map(|item| item.label).collect()
}

#[track_caller]
fn offers(marked: &str, wanted: &[&str], unwanted: &[&str]) {
    let found = labels(marked);
    for label in wanted {
        assert!(found.iter().any(|known| known == label), "{marked} must offer {label}; it offers {:?}", &found[..found.len().min(40)]);
    }
    for label in unwanted {
        assert!(!found.iter().any(|known| known == label), "{marked} must not offer {label}");
    }
}

#[test]
fn completion_follows_the_grammar() {
    offers("│", &["T", "U", "Odd name", "print", "union", "let"], &["where", "strlen", "Name"]);
    offers("T | │", &["where", "summarize", "project-away", "mv-expand"], &["T", "strlen", "let"]);
    offers("T | wh│", &["where"], &["summarize"]);
    offers("T | project-a│", &["project-away"], &["where", "Name"]);
    offers("T | where │", &["Name", "Count", "strlen", "isnull"], &["count", "Other", "where"]);
    offers("T | where Name │", &["has", "contains", "in~", "startswith", "matches regex"], &["strlen", "Name", "Count"]);
    offers("T | where Count │", &["in", "between"], &["has", "startswith"]);
    offers("T | where Ok │", &["and", "or"], &["has", "between"]);
    offers("T | where Count == 1 │", &["and", "or"], &["has"]);
    offers("T | where Name == 'x' and i│", &["iif", "iff"], &[]);
    offers("T | where Name !h│", &["!has", "!has_cs"], &["has"]);
    offers("T | summarize │", &["count", "dcount", "Name"], &[]);
    offers("T | summarize sum(│", &["Count"], &["sum", "count"]);
    offers("T | summarize count() │", &["by"], &[]);
    offers("T | summarize count() by │", &["Name", "bin"], &["dcount"]);
    offers("T | sort by Name │", &["asc", "desc", "nulls"], &["by"]);
    offers("T | sort by Name nulls │", &["first", "last"], &[]);
    offers("T | join │", &["kind", "T", "U"], &["Name", "strlen"]);
    offers("T | join kind=│", &["inner", "leftanti", "innerunique"], &["T", "outer"]);
    offers("T | join kind=inner (U) │", &["on"], &["where"]);
    offers("T | join kind=inner (U) on │", &["Name", "$left", "$right"], &["Count", "Other", "strlen"]);
    offers("T | join kind=inner (U) on $left.│", &["Name", "Count"], &["Other", "strlen"]);
    offers("T | join kind=inner (U) on $left.Name == $right.│", &["Name", "Other"], &["Count"]);
    offers("T | join kind=inner (U | where │", &["Other"], &["Count"]);
    offers("T | union │", &["U", "kind", "isfuzzy"], &["strlen"]);
    offers("T | evaluate │", &["bag_unpack", "pivot"], &["strlen", "Name"]);
    offers("T | render │", &["timechart", "piechart"], &["Name"]);
    offers("T | mv-expand Bag to typeof(│", &["long", "string"], &["Name"]);
    offers("T | mv-expand kind=│", &["bag", "array"], &[]);
    offers("T | mv-apply Bag to typeof(long) on (│", &["where", "summarize"], &["Name"]);
    offers("T | mv-apply e = Bag to typeof(long) on (where │", &["e", "Count"], &[]);
    offers("T | parse Name │", &["with"], &[]);
    offers("T | extend n = prev(│", &["Name"], &[]);
    offers("T | sort by Time | extend n = pre│", &["prev"], &[]);
    offers("T | extend n = pre│", &[], &["prev"]);
    offers("T | project-away │", &["Name", "Count"], &["strlen"]);
    offers("T | make-series n = count() │", &["on"], &[]);
    offers("T | make-series n = count() on Time │", &["from", "to", "step"], &["by"]);
    offers("T | top 5 │", &["by"], &[]);
    offers("T | where Name in (│", &["Name", "U"], &[]);
}

#[test]
fn completion_offers_visible_names() {
    offers("T | project n = Count | where │", &["n"], &["Count", "Name"]);
    offers("T | summarize total = sum(Count) by Name | extend │", &["total", "Name"], &["Count"]);
    offers("let a = 5; let A = T | project Name; A | where │", &["Name", "a"], &["Count", "A"]);
    offers("let a = 5; let A = T | project Name; │", &["A", "T", "let"], &["a"]);
    offers("let f = (p: long) { T | where Count > │", &["p", "Count"], &[]);
    offers("let f = (p: long) { p }; T | where │", &["f"], &["p"]);
    offers("let f = (S: (x: long)) { S | where │", &["x"], &[]);
    offers("let b = a; let a = 1; T | where │ | take 1", &["a", "b"], &[]);
    offers("T | as Z | join (│", &["Z", "U"], &[]);
    offers("T | where Name == 'x' and │ | take 5", &["Count"], &["take"]);
    offers("print a = 1 | where │", &["a"], &["print_0"]);
    offers("union T, U | where │", &["Name", "Other", "Count"], &[]);
}

#[test]
fn no_completion_in_strings_and_comments() {
    for marked in
        ["T | where Name == 'a│", "T // wh│", "T | where Name == \"│\"", "print 1│", "T | where Time > datetime(2020│", "T | extend a.│"]
    {
        assert!(labels(marked).is_empty(), "{marked}: {:?}", labels(marked));
    }
}

#[test]
fn best_completion_comes_first_and_replaces_the_prefix() {
    let found = completed("T | where Na│");
    assert_eq!((found.replaces, found.items[0].label.as_str(), found.items[0].kind), (10..12, "Name", ItemKind::Column));
    assert_eq!(found.items[0].detail, "string");
    assert_eq!(completed("T | proj│").items[0].label, "project");
    let count = completed("T | summarize co│").items.into_iter().find(|item| item.label == "count").expect("count");
    assert_eq!((count.kind, count.call), (ItemKind::Aggregate, true));
    assert!(count.documentation.contains("→"), "{}", count.documentation);
    assert_eq!(completed("│").items.into_iter().find(|item| item.label == "Odd name").expect("a table").insert, "['Odd name']");
    assert_eq!(completed("T | join ki│").items[0].insert, "kind=");
}

fn hovered(marked: &str) -> Option<String> {
    let (text, at) = cursor(marked);
    editor::hover(&text, at, &schemas(), now()).map(|found| found.markdown)
}

#[test]
fn hover_describes_the_symbol() {
    for (marked, part) in [
        ("T│ | take 1", "| Name | string |"),
        ("T | where Na│me == 'x'", "Name: string"),
        ("T | extend n = Count * 2.0 | where n│ > 1", "n: real"),
        ("T | extend n│ = Count", "n: long"),
        ("T | where str│len(Name) > 1", "strlen(source: string): long"),
        ("T | summ│arize count()", "Groups rows"),
        ("T | project-aw│ay Name", "Drops columns"),
        ("T | summarize dc│ount(Name)", "dcount("),
        ("let a = 5; print a│", "a: long"),
        ("let f = (x: long) { x }; print f│(1)", "f(x: long)"),
        ("let A = T | project Name; A│ | take 1", "| Name | string |"),
        ("T | where Name ha│s 'x'", "a has b"),
        ("T | evaluate bag_un│pack(Bag)", "bag_unpack("),
        ("T | render time│chart", "over time"),
        ("print 1│h", "timespan"),
        ("T | join (U) on Name | where Other│ > 1", "Other: real"),
    ] {
        let found = hovered(marked).unwrap_or_else(|| panic!("{marked}: nothing"));
        assert!(found.contains(part), "{marked}: {found}");
    }
    assert_eq!(hovered("T |│ take 1"), None);
    assert_eq!(hovered("│"), None);
}

#[test]
fn signature_help_tracks_the_current_argument() {
    let help = |marked: &str| {
        let (text, at) = cursor(marked);
        editor::signature_help(&text, at, &schemas(), now()).map(|help| {
            let call = &help.calls[help.active];
            (help.name.clone(), help.parameter.map(|index| call.parameters[index].name.clone()))
        })
    };
    let some = |name: &str, parameter: &str| Some((name.to_owned(), Some(parameter.to_owned())));
    assert_eq!(help("print strlen(│"), some("strlen", "source"));
    assert_eq!(help("print datetime_add('day', │"), some("datetime_add", "amount"));
    assert_eq!(help("let f = (x: long, y: string = 'a') { x }; print f(1, │"), some("f", "y"));
    assert_eq!(help("let f = (x: long, y: string = 'a') { x }; print f(y = │"), some("f", "y"));
    assert_eq!(help("print strlen(tolower(│"), Some(("tolower".to_owned(), help("print tolower(│").and_then(|help| help.1))));
    assert_eq!(help("print strlen(tolower('a'), │"), Some(("strlen".to_owned(), None)));
    assert_eq!(help("T | where Name in (│"), None);
    assert_eq!(help("T | evaluate bag_unpack(│").map(|help| help.0), Some("bag_unpack".to_owned()));
    assert_eq!(help("T | take 1 │"), None);
}

#[track_caller]
fn tidy(text: &str, expected: &str) {
    assert_eq!(editor::format(text).as_deref(), Some(expected), "{text}");
    assert_eq!(editor::format(expected).as_deref(), Some(expected), "what is tidy stays so: {expected}");
}

#[test]
fn formatted_text_has_one_step_per_line() {
    tidy("T|where a>1|take 10", "T\n| where a > 1\n| take 10");
    tidy("T\n\n|  where   a == 1  // why\n | take 1", "T\n| where a == 1 // why\n| take 1");
    tidy("let a=1;let b = 2 ;T | take a", "let a = 1;\nlet b = 2;\nT\n| take a");
    tidy("T | join kind=inner (U|where x==1|project y) on y", "T\n| join kind=inner (\n    U\n    | where x == 1\n    | project y\n) on y");
    tidy("// first\nT // second\n// third\n| take 1\n// last", "// first\nT // second\n// third\n| take 1\n// last");
    tidy("let f = (x:long) { T | where a > x };\nf(1)", "let f = (x:long) {\n    T\n    | where a > x\n};\nf(1)");
    tidy("T | where a == 1\n and b == 2\n        or c == 3", "T\n| where a == 1\n    and b == 2\n    or c == 3");
    tidy("T | where x in (\n'a',\n  'b'\n)", "T\n| where x in (\n    'a',\n    'b'\n)");
    tidy("T | project-away a* | extend b = a-1, c=-1", "T\n| project-away a*\n| extend b = a-1, c = -1");
    tidy("print dynamic({\"a\":[1,2]}), x[0], y.z, 1..2", "print dynamic({\"a\":[1, 2]}), x[0], y.z, 1..2");
    tidy("T\n| take 1\n", "T\n| take 1\n");
    tidy("", "");
    assert_eq!(editor::format("T | where a == 'x"), None);
}

/// Kinds and texts of the tokens, which determine the meaning of a text.
fn tokens(text: &str) -> Vec<(TokenKind, String)> {
    lex(text)
        .0
        .iter()
        .filter(|token| token.kind != TokenKind::End)
        .map(|token| (token.kind, text[token.start..token.end].to_owned()))
        .collect()
}

fn comments(text: &str) -> Vec<String> {
    editor::highlight(text)
        .into_iter()
        .filter(|(_, paint)| *paint == editor::Paint::Comment)
        .map(|(place, _)| text[place].trim_end().to_owned())
        .collect()
}

#[test]
fn formatting_preserves_published_queries() {
    let Some(rows) = shared::corpus() else { return };
    let mut formatted = 0;
    for row in &rows {
        let text = shared::query(row);
        let Some(tidy) = editor::format(text) else { continue };
        formatted += 1;
        assert_eq!(tokens(text), tokens(&tidy), "{}", row["id"]);
        assert_eq!(comments(text), comments(&tidy), "{}", row["id"]);
        let again = editor::format(&tidy).expect("what is tidy is laid out again");
        assert_eq!(tidy, again, "{}: laid out twice", row["id"]);
        // The diagnostics must also be equal: significant white space was preserved.
        let codes = |text: &str| kql::syntax::parse(text).diagnostics.iter().map(|wrong| wrong.code).collect::<Vec<_>>();
        assert_eq!(codes(text), codes(&tidy), "{}", row["id"]);
    }
    println!("formatted {formatted} of {} published queries", rows.len());
    assert!(formatted * 100 >= rows.len() * 97, "{formatted} of {}", rows.len());
}

/// Every prefix of some hundred published queries, with completion, hover and signature help at many positions.
#[test]
fn incomplete_queries_are_handled() {
    let Some(rows) = shared::corpus() else { return };
    let tables: TableSchemas =
        shared::text("schemas/tables.json").map(|text| serde_json::from_str(&text).expect("schemas")).unwrap_or_default();
    let worker = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
        let texts: Vec<&str> = rows.iter().map(shared::query).filter(|text| text.len() < 1200).step_by(8).take(100).collect();
        let mut prefixes = 0;
        for (index, text) in texts.iter().enumerate() {
            for (at, _) in text.char_indices() {
                let _ = check(&text[..at], &tables, now());
                prefixes += 1;
                // Completion binds the preceding text, so it is tested at each position of some queries, and at a few positions of all.
                if index % 50 == 0 || at % 211 == 0 {
                    let found = editor::complete(text, at, &tables, now());
                    assert!(found.replaces.end == at && found.replaces.start <= at);
                    let _ = editor::signature_help(text, at, &tables, now());
                }
                if at % 197 == 0 {
                    let _ = editor::hover(text, at, &tables, now());
                    let _ = editor::hover(&text[..at], at, &tables, now());
                    let _ = editor::format(&text[..at]);
                    let _ = editor::highlight(&text[..at]);
                    let _ = editor::symbols(&text[..at]);
                }
            }
        }
        println!("{prefixes} prefixes of {} queries", texts.len());
        assert!(prefixes > 20_000);
    });
    worker.expect("a thread").join().expect("no panic");
}

/// Recall of completion: the next token of a published query is nearly always among the completions.
#[test]
fn completion_recall_on_published_queries() {
    let Some(rows) = shared::corpus() else { return };
    let Some(tables) = shared::text("schemas/tables.json") else { return };
    let tables: TableSchemas = serde_json::from_str(&tables).expect("schemas");
    let clean = rows.iter().filter(|row| row["official"]["errors"].as_array().is_some_and(Vec::is_empty));
    let texts: Vec<&str> = clean.map(shared::query).filter(|text| text.len() < 2500).step_by(5).take(40).collect();
    let (mut asked, mut offered) = (0, 0);
    let mut missed = std::collections::BTreeMap::<String, usize>::new();
    for text in &texts {
        let (all, _) = lex(text);
        for (index, token) in all.iter().enumerate() {
            let next = all.get(index + 1).map_or("", |next| &text[next.start..next.end]);
            let before = index.checked_sub(1).map_or("", |before| &text[all[before].start..all[before].end]);
            let word = &text[token.start..token.end];
            // New names cannot be known, nor can properties of bags.
            if token.kind != TokenKind::Word
                || next == "=" && before != "|"
                || before == "."
                || before == "let"
                || next == ":"
                || before == "-"
                || next == "-"
            {
                continue;
            }
            let found = editor::complete(text, token.start, &tables, now());
            asked += 1;
            if found.items.iter().any(|item| item.label == word || item.label.starts_with(&format!("{word} "))) {
                offered += 1;
            } else {
                *missed.entry(word.to_owned()).or_default() += 1;
            }
        }
    }
    let mut missed: Vec<_> = missed.into_iter().collect();
    missed.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
    println!("offered {offered} of {asked} words that people wrote; missed most: {:?}", &missed[..missed.len().min(25)]);
    assert!(asked > 1000 && offered * 100 >= asked * 85, "{offered} of {asked}: {:?}", &missed[..missed.len().min(60)]);
}

fn renamed(marked: &str, new: &str) -> Result<String, RenameError> {
    let (mut text, at) = cursor(marked);
    let edits = editor::rename(&text, at, new, &schemas(), now())?;
    for edit in edits.into_iter().rev() {
        text.replace_range(edit.place, &edit.text);
    }
    Ok(text)
}

#[test]
fn rename_updates_all_uses() {
    let same = |marked: &str, new: &str, expected: &str| assert_eq!(renamed(marked, new).as_deref(), Ok(expected), "{marked}");
    same("let a│ = 1; T | where Count > a | extend b = a", "limit", "let limit = 1; T | where Count > limit | extend b = limit");
    same("let A = T | take 1; union A│, A", "B", "let B = T | take 1; union B, B");
    same("let f = (x│: long) { x + 1 }; print f(1)", "y", "let f = (y: long) { y + 1 }; print f(1)");
    same("let a = 1; let f = () { let a│ = 2; a }; print f() + a", "b", "let a = 1; let f = () { let b = 2; b }; print f() + a");
    same(
        "T | extend n│ = Count | where n > 1 | summarize sum(Count) by n",
        "m",
        "T | extend m = Count | where m > 1 | summarize sum(Count) by m",
    );
    same("T | extend n = Count | where n│ > 1", "a b", "T | extend ['a b'] = Count | where ['a b'] > 1");
    same("T | project Name│ = tolower(Name) | where Name == 'x'", "Lower", "T | project Lower = tolower(Name) | where Lower == 'x'");
    same("T | summarize c│ = count() by Name | sort by c", "n", "T | summarize n = count() by Name | sort by n");
    same(
        "let S = T | extend k│ = Name; S | join (S) on k | where k == 'x'",
        "key",
        "let S = T | extend key = Name; S | join (S) on key | where key == 'x'",
    );
}

#[test]
fn rename_is_rejected_if_semantics_change() {
    assert_eq!(renamed("T│ | take 1", "V"), Err(RenameError::NothingHere));
    assert_eq!(renamed("T | where Name│ == 'x'", "V"), Err(RenameError::NothingHere));
    assert_eq!(renamed("T | extend n│ = Count | where Count > n", "Count"), Err(RenameError::Taken("Count".to_owned())));
    assert_eq!(renamed("let a│ = 1; let b = 2; print a + b", "b"), Err(RenameError::Taken("b".to_owned())));
    assert_eq!(renamed("T | extend n│ = Missing", "m"), Err(RenameError::Unproven("n".to_owned())));
    // The hidden column would become visible again.
    assert_eq!(renamed("T | extend Name│ = 1 | where Name > 0", "n"), Err(RenameError::Reaches("Name".to_owned())));
    assert_eq!(renamed("let a│ = 1; print a", ""), Err(RenameError::Empty));
}

#[test]
fn definitions_and_symbols_are_found() {
    let defined = |marked: &str| {
        let (text, at) = cursor(marked);
        editor::definition(&text, at, &schemas(), now()).map(|place| place.start)
    };
    assert_eq!(defined("let a = 1; print a│"), Some(4));
    assert_eq!(defined("let f = (x: long) { x│ }; print f(1)"), Some(9));
    assert_eq!(defined("T | extend n = 1 | where n│ > 0"), Some(11));
    assert_eq!(defined("T | where Name│ == 'x'"), None);
    let symbols = editor::symbols("let a = 1; let f = (x: long) { T | as Z | count }; let A = T | take 1; A");
    let shown: Vec<(&str, SymbolKind)> = symbols.iter().map(|symbol| (symbol.name.as_str(), symbol.kind)).collect();
    use SymbolKind::*;
    assert_eq!(shown, [("a", Value), ("x", Parameter), ("Z", As), ("f", Function), ("A", Table)]);
}
