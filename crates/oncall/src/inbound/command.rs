//! Parser for answers: `ack`, `take`, `escalate [n]`, `close [fp|tp|bp] [comment]`; anything else is a comment.
//!
//! The first word decides, so that the effect of an answer is obvious. If it is the page's code ([`coded`]), the code alone acknowledges; a
//! verb or its letter may follow, and other words become a comment.

use model::Classification;

use crate::answer::Action;

/// Actions of a text, in order. Empty if there are none.
pub fn actions(text: &str) -> Vec<Action> {
    let text = text.trim();
    let (first, rest) = word(text);
    let mut actions = Vec::new();
    let comment = match verb(first) {
        None => text,
        Some(Verb::Acknowledge) => {
            actions.push(Action::Acknowledge);
            rest
        }
        Some(Verb::Take) => {
            actions.push(Action::Take);
            rest
        }
        Some(Verb::Escalate) => {
            let (step, rest) = step(rest);
            actions.push(Action::Escalate { step });
            rest
        }
        Some(Verb::Close) => {
            let (class, after) = word(rest);
            let classification = classification(class);
            let comment = if classification.is_some() { after } else { rest };
            actions.push(Action::Close { classification, comment: said(comment) });
            ""
        }
    };
    actions.extend(said(comment).map(|text| Action::Comment { text }));
    actions
}

/// An answer with a page's code: `4821`, `4821 T`, `ack 4821`.
#[derive(Clone, Debug, PartialEq)]
pub struct Coded {
    pub code: String,
    /// At least one.
    pub actions: Vec<Action>,
    /// Only a code and a verb, so that it cannot be a sentence that happens to begin with a number.
    pub bare: bool,
}

/// Parses an answer that begins with a code, or with a verb and a code. Tolerates digits and spaces of all scripts, a letter right after
/// the code, trailing symbols and a quoted message.
pub fn coded(text: &str) -> Option<Coded> {
    let text = normalized(text);
    let (first, rest) = word(&text);
    if let Some((code, letter)) = code_of(first) {
        let rest = if letter.is_empty() { rest.to_owned() } else { format!("{letter} {rest}") };
        return Some(after_code(code, &rest));
    }
    by_letter(first)?;
    let (second, after) = word(rest);
    let (code, "") = code_of(second)? else { return None };
    Some(after_code(code, &format!("{first} {after}")))
}

/// Splits a word into code and verb letters: `4821`, `4821t`.
fn code_of(word: &str) -> Option<(&str, &str)> {
    let end = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    let (code, behind) = word.split_at(end);
    let fits = (4..=8).contains(&code.len()) && (behind.is_empty() || by_letter(behind).is_some());
    fits.then_some((code, behind))
}

fn after_code(code: &str, rest: &str) -> Coded {
    let rest = unquoted(rest, code);
    let (first, after) = word(&rest);
    let (full, bare) = match by_letter(first) {
        Some(Verb::Acknowledge) => (format!("ack {after}"), after.is_empty()),
        Some(Verb::Take) => (format!("take {after}"), after.is_empty()),
        Some(Verb::Escalate) => (format!("escalate {after}"), step(after).1.trim().is_empty()),
        Some(Verb::Close) => (format!("close {after}"), after.is_empty() || classification(word(after).0).is_some()),
        // Symbols without words, such as a thumbs-up: treat as acknowledged.
        None if !rest.contains(char::is_alphanumeric) && !rest.contains(REFUSING) => (String::from("ack"), true),
        None => (rest.clone(), false),
    };
    Coded { code: code.to_owned(), actions: actions(&full), bare }
}

/// Emoji that mean no.
const REFUSING: [char; 6] = ['👎', '❌', '🚫', '⛔', '✖', '🛑'];

/// The text after a code, without the message quoted by the phone: ours ends in `Reply CODE to acknowledge`.
fn unquoted(rest: &str, code: &str) -> String {
    let rest = super::reply::written(rest);
    let lower = rest.to_lowercase();
    if !lower.contains(&format!("reply {code} to acknowledge")) {
        return rest;
    }
    // Everything that is not a verb is part of the quote.
    let (first, _) = word(&rest);
    if by_letter(first).is_some() { first.to_owned() } else { String::new() }
}

/// Normalises digits and spaces and removes invisible characters.
fn normalized(text: &str) -> String {
    let plain = |c: char| match c {
        // The fullwidth forms of printable ASCII (Unicode block FF00).
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0),
        '\n' | '\r' | '\t' => Some(c),
        c if c.is_whitespace() => Some(' '),
        // Zero-width characters, directional marks, and emoji modifiers (keycap, presentation).
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fe00}'..='\u{fe0f}' | '\u{20e3}' => {
            None
        }
        c => Some(digit(c).unwrap_or(c)),
    };
    text.chars().filter_map(plain).collect()
}

/// The ASCII digit of a decimal digit in another script that phone keyboards produce.
fn digit(c: char) -> Option<char> {
    // Arabic-Indic, Extended Arabic-Indic (Persian, Urdu), Devanagari, Bengali, Thai.
    let zero = [0x0660, 0x06f0, 0x0966, 0x09e6, 0x0e50].into_iter().find(|zero| (*zero..*zero + 10).contains(&(c as u32)))?;
    char::from_digit(c as u32 - zero, 10)
}

/// The verb of a word or, in answers with a code, of a letter.
pub(super) fn by_letter(word: &str) -> Option<Verb> {
    match word.to_ascii_lowercase().as_str() {
        "a" | "ok" => Some(Verb::Acknowledge),
        "t" => Some(Verb::Take),
        "e" => Some(Verb::Escalate),
        "c" => Some(Verb::Close),
        word => verb(word),
    }
}

/// The command of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Acknowledge,
    Take,
    Escalate,
    Close,
}

pub(super) fn verb(word: &str) -> Option<Verb> {
    match word.to_ascii_lowercase().as_str() {
        "ack" | "acknowledge" | "acknowledged" => Some(Verb::Acknowledge),
        "take" => Some(Verb::Take),
        "escalate" => Some(Verb::Escalate),
        "close" | "closed" | "resolve" | "resolved" => Some(Verb::Close),
        _ => None,
    }
}

/// Parses a classification as users write it.
pub(super) fn classification(word: &str) -> Option<Classification> {
    match word.to_ascii_lowercase().as_str() {
        "tp" | "truepositive" => Some(Classification::TruePositive),
        "bp" | "benignpositive" => Some(Classification::BenignPositive),
        "fp" | "falsepositive" => Some(Classification::FalsePositive),
        "undetermined" => Some(Classification::Undetermined),
        _ => None,
    }
}

/// Splits off the first word without surrounding punctuation.
pub(super) fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let core = word.trim_matches(|c: char| c.is_ascii_punctuation() || matches!(c, '“' | '”' | '…' | '–'));
    // `close:fp` and `ack,thanks` are two words.
    match core.find([',', ':', ';']).filter(|at| *at > 0) {
        Some(at) => {
            let from = text.find(core).unwrap_or_default() + at;
            (&core[..at], text[from + 1..].trim_start())
        }
        None => (core, rest.trim_start()),
    }
}

fn step(rest: &str) -> (Option<u32>, &str) {
    let mut at = rest;
    for _ in 0..3 {
        let (next, after) = word(at);
        match next.to_ascii_lowercase().as_str() {
            "to" | "step" => at = after,
            number => {
                return match number.parse() {
                    Ok(number) => (Some(number), after),
                    Err(_) => (None, rest),
                };
            }
        }
    }
    (None, rest)
}

/// Maximum length of a comment taken from an answer. Sentinel allows 30,000 characters, far more than users type.
const MAX_COMMENT: usize = 4000;

fn said(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).take(MAX_COMMENT).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comment(text: &str) -> Action {
        Action::Comment { text: text.to_owned() }
    }

    fn close(classification: Option<Classification>, comment: Option<&str>) -> Action {
        Action::Close { classification, comment: comment.map(str::to_owned) }
    }

    /// The grammar in the module documentation.
    #[test]
    fn the_first_word_decides() {
        for (text, expected) in [
            ("ack", vec![Action::Acknowledge]),
            ("  Ack!\n", vec![Action::Acknowledge]),
            ("ACKNOWLEDGE.", vec![Action::Acknowledge]),
            ("ack, looking into it", vec![Action::Acknowledge, comment("looking into it")]),
            ("take", vec![Action::Take]),
            ("Take\n\nOn my way.", vec![Action::Take, comment("On my way.")]),
            ("escalate", vec![Action::Escalate { step: None }]),
            ("escalate 2", vec![Action::Escalate { step: Some(2) }]),
            ("escalate to step 3 please", vec![Action::Escalate { step: Some(3) }, comment("please")]),
            ("escalate now", vec![Action::Escalate { step: None }, comment("now")]),
            ("close", vec![close(None, None)]),
            ("close fp", vec![close(Some(Classification::FalsePositive), None)]),
            ("close: TP, was Bo's laptop", vec![close(Some(Classification::TruePositive), Some("was Bo's laptop"))]),
            ("close bp\ntest of the scanner", vec![close(Some(Classification::BenignPositive), Some("test of the scanner"))]),
            ("close it was nothing", vec![close(None, Some("it was nothing"))]),
            ("I will look at it", vec![comment("I will look at it")]),
            ("acknowledging receipt", vec![comment("acknowledging receipt")]),
            ("\"ack\"", vec![Action::Acknowledge]),
            ("", vec![]),
            (" \n ", vec![]),
        ] {
            assert_eq!(actions(text), expected, "{text:?}");
        }
    }

    /// Formats of phones and mail readers; the first ones are those our messages suggest.
    #[test]
    fn a_code_is_read_as_people_type_it() {
        for (text, action, bare) in [
            ("4821", Action::Acknowledge, true),
            (" 4821. ", Action::Acknowledge, true),
            ("4821 T", Action::Take, true),
            ("4821 E", Action::Escalate { step: None }, true),
            ("4821 E 2", Action::Escalate { step: Some(2) }, true),
            ("4821t", Action::Take, true),
            ("4821T", Action::Take, true),
            ("4821ack", Action::Acknowledge, true),
            ("\u{ff14}\u{ff18}\u{ff12}\u{ff11}\u{3000}\u{ff34}", Action::Take, true),
            ("\u{664}\u{668}\u{662}\u{661}", Action::Acknowledge, true),
            ("4821\u{a0}T", Action::Take, true),
            ("4821\u{202f}t", Action::Take, true),
            ("\u{200e}4821", Action::Acknowledge, true),
            ("4821 \u{1f44d}", Action::Acknowledge, true),
            ("4821 \u{1f44d}\u{1f3fd}!", Action::Acknowledge, true),
            ("4\u{fe0f}\u{20e3}8\u{fe0f}\u{20e3}2\u{fe0f}\u{20e3}1\u{fe0f}\u{20e3}", Action::Acknowledge, true),
            ("4821 \u{1f44e}", comment("\u{1f44e}"), false),
            ("4821\n> [High] Incident 12: leaked. Reply 4821 to acknowledge, 4821 T to take", Action::Acknowledge, true),
            ("4821 T\n\nOn Fri, Nov 20, 2026 at 9:00 AM SOC <+4759440000> wrote:\n> x", Action::Take, true),
            (
                "4821 \"[High] Incident 12: leaked. Reply 4821 to acknowledge, 4821 T to take, 4821 E to escalate\"",
                Action::Acknowledge,
                true,
            ),
            ("4821 T [High] Incident 12: leaked. Reply 4821 to acknowledge, 4821 T to take", Action::Take, true),
            ("4821 c fp scanner", close(Some(Classification::FalsePositive), Some("scanner")), true),
            ("4821 on my way", comment("on my way"), false),
            ("ack 4821", Action::Acknowledge, true),
            ("t 4821", Action::Take, true),
            ("escalate 4821 2", Action::Escalate { step: Some(2) }, true),
        ] {
            let found = coded(text).unwrap_or_else(|| panic!("{text:?} names no code"));
            assert_eq!((found.code.as_str(), found.actions.first(), found.bare), ("4821", Some(&action), bare), "{text:?}");
        }
        for text in ["", "ack", "482", "4821th of May", "481234567", "ack 12", "hello 4821", "on 4821"] {
            assert_eq!(coded(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_comment_has_no_control_characters_and_an_end() {
        assert_eq!(actions("so\u{0}me\u{1b}[31m"), [comment("some[31m")]);
        let [Action::Comment { text }] = &actions(&"x".repeat(100_000))[..] else { panic!() };
        assert_eq!(text.len(), MAX_COMMENT);
    }
}
