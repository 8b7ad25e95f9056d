//! The words of an answer: `ack`, `take`, `escalate [n]`, `close [fp|tp|bp] [comment]`; anything else is a comment.
//!
//! The first word decides, so that what an answer does can be told by looking at it.

use model::Classification;

use crate::answer::Action;

/// What a text says to do, in order. Empty where it says nothing.
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

/// The verb that a word is, for SMS also by its letter.
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

/// Reads a classification as people write it.
pub(super) fn classification(word: &str) -> Option<Classification> {
    match word.to_ascii_lowercase().as_str() {
        "tp" | "truepositive" => Some(Classification::TruePositive),
        "bp" | "benignpositive" => Some(Classification::BenignPositive),
        "fp" | "falsepositive" => Some(Classification::FalsePositive),
        "undetermined" => Some(Classification::Undetermined),
        _ => None,
    }
}

/// The first word without the punctuation around it, and what follows.
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

/// At most this much of an answer becomes a comment: what Sentinel takes (30,000 characters) is far more than anybody writes by hand.
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

    /// The grammar of the module's first line.
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

    #[test]
    fn a_comment_has_no_control_characters_and_an_end() {
        assert_eq!(actions("so\u{0}me\u{1b}[31m"), [comment("some[31m")]);
        let [Action::Comment { text }] = &actions(&"x".repeat(100_000))[..] else { panic!() };
        assert_eq!(text.len(), MAX_COMMENT);
    }
}
