//! Fuzzes the lexer and the parser with any text: the lexer loses nothing, and the parser terminates with spans inside the text.
#![no_main]

use std::time::Duration;

use kql::syntax::lexer::lex;
use kql::syntax::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (tokens, _) = lex(&text);
    // Only blanks and comments may be between tokens; no text is skipped or covered twice.
    let mut at = 0;
    for token in &tokens {
        assert!(token.start >= at && token.end >= token.start && token.end <= text.len());
        let between = &text[at..token.start];
        let blank = |c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}');
        assert!(between.trim_matches(blank).is_empty() || between.contains("//"), "{between:?} is lost");
        at = token.end;
    }
    fuzz::within(Duration::from_secs(1), "parsing", || {
        for wrong in parse(&text).diagnostics {
            assert!(wrong.start <= wrong.end && wrong.end <= text.len());
            assert!(text.is_char_boundary(wrong.start) && text.is_char_boundary(wrong.end));
        }
    });
});
