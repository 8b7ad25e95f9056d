//! No text may make parsing or binding panic, hang or overflow the stack. Inputs are published queries and small hand-written ones with
//! tokens and bytes deleted, duplicated, replaced and inserted; seeds are fixed, so that failures are reproducible.

use std::time::{Duration, Instant};

use kql::check::{TableSchemas, check};
use kql::syntax::lexer::lex;
use kql::syntax::{MAX_DEPTH, parse};
use model::Timestamp;

use crate::shared;
use crate::syntax::accepted;

/// Marsaglia's xorshift: sufficiently random and portable.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }
}

/// `text` with one token or byte changed.
fn mutate(text: &str, random: &mut Random) -> String {
    let (tokens, _) = lex(text);
    let mut pieces: Vec<&str> = tokens.iter().map(|token| &text[token.start..token.end]).filter(|piece| !piece.is_empty()).collect();
    if pieces.is_empty() {
        return text.to_owned();
    }
    let (at, other) = (random.below(pieces.len()), random.below(pieces.len()));
    match random.below(7) {
        0 => drop(pieces.remove(at)),
        1 => pieces.insert(at, pieces[at]),
        2 => pieces.swap(at, other),
        3 => pieces[at] = pieces[other],
        4 => pieces.insert(at, ["(", ")", "[", "{", "|", "\"", "..", ";", "first", "=", "*", "regex"][random.below(12)]),
        5 => pieces.truncate(at),
        _ => {
            let mut bytes = text.as_bytes().to_vec();
            let at = random.below(bytes.len());
            bytes[at] = random.below(256) as u8;
            return String::from_utf8_lossy(&bytes).into_owned();
        }
    }
    pieces.join(" ")
}

/// Asserts what must hold for any text.
fn survives(text: &str, schemas: &TableSchemas) {
    let started = Instant::now();
    let bound = check(text, schemas, Timestamp::UNIX_EPOCH);
    for wrong in &bound.diagnostics {
        assert!(wrong.start <= wrong.end && wrong.end <= text.len(), "{wrong:?} in {text:?}");
        assert!(text.is_char_boundary(wrong.start) && text.is_char_boundary(wrong.end), "{wrong:?} in {text:?}");
        assert!(!wrong.message.is_empty());
    }
    // A generous limit: it detects superlinear growth even on a busy machine.
    assert!(started.elapsed() < Duration::from_secs(5), "{:?} for {text:?}", started.elapsed());
}

/// Runs on a stack as small as that of server threads.
fn on_a_small_stack(run: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(2 << 20).spawn(run).expect("a thread").join().expect("no panic");
}

#[test]
fn mutated_queries_are_handled() {
    on_a_small_stack(|| {
        let mut texts = accepted();
        if let Some(rows) = shared::corpus() {
            texts.extend(rows.iter().map(shared::query).filter(|text| text.len() < 3000).step_by(4).map(str::to_owned));
        }
        let schemas = TableSchemas::default();
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for _ in 0..3000 {
            let mut text = texts[random.below(texts.len())].clone();
            for _ in 0..=random.below(3) {
                text = mutate(&text, &mut random);
            }
            survives(&text, &schemas);
        }
    });
}

#[test]
fn nesting_is_limited() {
    // Each has a prefix, a repeated middle and a repeated suffix.
    let shapes: &[(&str, &str, &str)] = &[
        ("print ", "(", ")"),
        ("print ", "f(", ")"),
        ("print ", "-(", ")"),
        ("print x", "[x", "]"),
        ("print dynamic(", "[", "]"),
        ("print dynamic(", "{\"a\":", "}"),
        ("T ", "| join (T ", ") on a"),
        ("T ", "| where a in (T ", ")"),
        ("T ", "| mv-apply a on (take 1 ", ")"),
        ("T ", "| partition by a { T ", "}"),
        ("print ", "toscalar(", ")"),
        ("T | where a ", "between (1 .. (a ", "))"),
        ("", "let f = () {", "}"),
        ("T ", "| fork (take 1 ", ")"),
        ("", "macro-expand g as x (", ")"),
        ("externaldata(a:string)[", "externaldata(a:string)[", "]"),
        ("print a", ".b", ""),
        ("print 1", "+1", ""),
        ("print a", "[0]", ""),
        ("print a", ".f()", ""),
    ];
    for (start, middle, end) in shapes.iter().copied() {
        on_a_small_stack(move || {
            for times in [10, MAX_DEPTH / 6, MAX_DEPTH / 4 - 2, 1000, 20_000] {
                let text = format!("{start}{}{}", middle.repeat(times), end.repeat(times));
                survives(&text, &TableSchemas::default());
                let deep = parse(&text).diagnostics.iter().filter(|wrong| wrong.code == "KQL0011").count();
                // In between, either result is allowed.
                if times < MAX_DEPTH / 5 || times >= 1000 {
                    assert_eq!(deep, usize::from(times >= 1000), "{times} × {middle}");
                }
            }
        });
    }
}

#[test]
fn long_condition_chains_are_not_nesting() {
    on_a_small_stack(|| {
        for op in ["or", "and"] {
            let text = format!("T | where {}", vec!["a == 1"; 5000].join(&format!(" {op} ")));
            assert!(parse(&text).diagnostics.is_empty());
            survives(&text, &TableSchemas::default());
        }
    });
}

#[test]
fn number_of_diagnostics_is_limited() {
    let parsed = parse(&"T | where ) ".repeat(10_000));
    assert!(parsed.diagnostics.len() <= 101, "{}", parsed.diagnostics.len());
}
