//! Formatter: one pipe step per line, single spaces, four columns of indentation per level. Line breaks within a step and comments are
//! kept; formatted text is unchanged.
//!
//! Only white space changes: the tokens before and after are compared each time. White space that could be significant (before a
//! parenthesis, around `-`, `*` and `.`) is neither added nor removed.

use crate::syntax::keywords;
use crate::syntax::lexer::{Token, TokenKind, lex};

const INDENT: usize = 4;

/// The formatted text; `None` if a string or literal is unterminated or a character is invalid.
pub fn format(text: &str) -> Option<String> {
    let (tokens, wrong) = lex(text);
    if !wrong.is_empty() {
        return None;
    }
    let tokens: Vec<Token> = tokens.into_iter().filter(|token| token.kind != TokenKind::End).collect();
    let tidy =
        Layout { text, piped: piped(&tokens), tokens: &tokens, out: String::with_capacity(text.len()), frames: vec![Frame::TOP], line: 0 }
            .run();
    // Safety check: never return a text that lexes differently.
    let (after, wrong) = lex(&tidy);
    let after = after.iter().filter(|token| token.kind != TokenKind::End);
    let same = after.clone().count() == tokens.len()
        && after.zip(&tokens).all(|(a, b)| a.kind == b.kind && tidy[a.start..a.end] == text[b.start..b.end]);
    (wrong.is_empty() && same).then_some(tidy)
}

/// An open bracket.
#[derive(Clone, Copy)]
struct Frame {
    /// It contains pipe steps or statements, each on its own line.
    pipes: bool,
    /// Indentation of lines that start in it.
    indent: usize,
    /// A step or statement has started: its continuation lines are indented by one more level.
    begun: bool,
}

impl Frame {
    const TOP: Frame = Frame { pipes: true, indent: 0, begun: false };
}

/// For each opening bracket, whether it directly contains a pipe or statements.
fn piped(tokens: &[Token]) -> Vec<bool> {
    let mut found = vec![false; tokens.len()];
    let mut open: Vec<usize> = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        match token.kind {
            TokenKind::Sign("(" | "[" | "{") => open.push(index),
            TokenKind::Sign(")" | "]" | "}") => drop(open.pop()),
            TokenKind::Sign("|") => open.last().iter().for_each(|opener| found[**opener] = true),
            TokenKind::Sign(";") => {
                if let Some(opener) = open.last()
                    && tokens[*opener].kind == TokenKind::Sign("{")
                {
                    found[*opener] = true;
                }
            }
            _ => {}
        }
    }
    found
}

struct Layout<'t> {
    text: &'t str,
    tokens: &'t [Token],
    piped: Vec<bool>,
    out: String,
    frames: Vec<Frame>,
    /// Indentation of the current line.
    line: usize,
}

impl Layout<'_> {
    fn run(mut self) -> String {
        let mut end = 0;
        for index in 0..self.tokens.len() {
            let token = self.tokens[index];
            self.gap(index, end, token.start);
            self.token(index);
            end = token.end;
        }
        self.rest(end);
        self.out
    }

    fn sign(&self, index: usize) -> &'static str {
        match self.tokens.get(index).map(|token| token.kind) {
            Some(TokenKind::Sign(sign)) => sign,
            _ => "",
        }
    }

    fn frame(&self) -> Frame {
        self.frames.last().copied().unwrap_or(Frame::TOP)
    }

    fn token(&mut self, index: usize) {
        let token = self.tokens[index];
        self.out.push_str(&self.text[token.start..token.end]);
        match self.sign(index) {
            "(" | "[" | "{" => self.frames.push(Frame { pipes: self.piped[index], indent: self.line + INDENT, begun: false }),
            ")" | "]" | "}" => {
                if self.frames.len() > 1 {
                    self.frames.pop();
                }
                self.begin();
            }
            ";" => {
                let pipes = self.frame().pipes;
                if let Some(frame) = self.frames.last_mut() {
                    frame.begun = !pipes;
                }
            }
            _ => self.begin(),
        }
    }

    fn begin(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            frame.begun = true;
        }
    }

    /// Writes white space and comments before token `index`.
    fn gap(&mut self, index: usize, start: usize, end: usize) {
        let gap = &self.text[start..end];
        let first = index == 0;
        let forced = !first && self.breaks(index);
        // A bar stays on the line of its operator.
        let joined = !first && self.sign(index - 1) == "|" && !gap.contains("//");
        let broken = (forced || gap.contains('\n')) && !joined;
        if let Some(comment) = gap.find("//") {
            self.comments(&gap[..comment], &gap[comment..], index);
            return;
        }
        if first {
            return;
        }
        if broken {
            if gap.matches('\n').count() > 1 && self.sign(index) != "|" {
                self.out.push('\n');
            }
            self.new_line(index);
        } else if self.spaced(index, !gap.is_empty()) {
            self.out.push(' ');
        }
    }

    fn comments(&mut self, before: &str, comments: &str, index: usize) {
        let mut own_line = self.out.is_empty() || before.contains('\n');
        let mut blank = before.matches('\n').count() > 1 && !self.out.is_empty();
        let mut lines = comments.split('\n').peekable();
        while let Some(line) = lines.next() {
            let comment = line.trim();
            if comment.is_empty() {
                blank |= lines.peek().is_some() && own_line;
                own_line = true;
                continue;
            }
            if own_line {
                if blank {
                    self.out.push('\n');
                }
                if !self.out.is_empty() {
                    self.new_line_for_comment(index);
                }
            } else {
                self.out.push(' ');
            }
            self.out.push_str(comment);
            (own_line, blank) = (true, false);
        }
        if index < self.tokens.len() {
            if blank {
                self.out.push('\n');
            }
            self.new_line(index);
        }
    }

    /// Comments are indented like the following line.
    fn new_line_for_comment(&mut self, index: usize) {
        let indent = self.indent(index);
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n(' ', indent));
    }

    fn indent(&self, index: usize) -> usize {
        let frame = self.frame();
        if index >= self.tokens.len() {
            return 0;
        }
        match self.sign(index) {
            ")" | "]" | "}" if self.frames.len() > 1 => frame.indent - INDENT,
            "|" => frame.indent,
            _ if frame.pipes && frame.begun => frame.indent + INDENT,
            _ => frame.indent,
        }
    }

    fn new_line(&mut self, index: usize) {
        let indent = self.indent(index);
        while self.out.ends_with(' ') {
            self.out.pop();
        }
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n(' ', indent));
        self.line = indent;
    }

    /// True if token `index` always starts a line.
    fn breaks(&self, index: usize) -> bool {
        let frame = self.frame();
        match (self.sign(index - 1), self.sign(index)) {
            (_, "|") => true,
            (_, ";") => false,
            ("(" | "[" | "{", _) | (_, ")" | "]" | "}") => frame.pipes && self.frames.len() > 1,
            (";", _) => frame.pipes,
            _ => false,
        }
    }

    /// True if a space precedes token `index` on the same line.
    fn spaced(&self, index: usize, gap: bool) -> bool {
        let (before, here) = (self.sign(index - 1), self.sign(index));
        match (before, here) {
            (_, "," | ";" | ")" | "]") | ("(" | "[", _) | (_, ":") => false,
            ("|" | "," | ";", _) => true,
            // These may be parts of graph arrows.
            ("-", ">") | ("<", "-") | ("-", "-") => gap,
            (_, "==" | "!=" | "=~" | "!~" | "<>" | "<=" | ">=" | "=>" | "<" | ">")
            | ("==" | "!=" | "=~" | "!~" | "<>" | "<=" | ">=" | "=>", _) => true,
            ("<" | ">", _) => gap || !self.arrow(index - 1),
            (_, "=") => gap || !self.is_option(index - 1),
            ("=", _) => gap || !(index > 1 && self.is_option(index - 2)),
            _ => gap,
        }
    }

    /// The `>` and `<` of `-->` and `<--`.
    fn arrow(&self, index: usize) -> bool {
        index > 0 && self.sign(index - 1) == "-" || self.sign(index + 1) == "-"
    }

    /// Words before `=` that cannot be names are options: `kind=inner`.
    fn is_option(&self, index: usize) -> bool {
        self.tokens.get(index).is_some_and(|token| {
            let hint = index > 1 && self.sign(index - 1) == ".";
            token.kind == TokenKind::Word && (hint || !keywords::may_name(&self.text[token.start..token.end]))
        })
    }

    /// Writes what follows the last token.
    fn rest(&mut self, end: usize) {
        let gap = &self.text[end..];
        if let Some(comment) = gap.find("//") {
            self.comments(&gap[..comment], &gap[comment..], self.tokens.len());
        }
        if gap.ends_with('\n') && !self.out.is_empty() && !self.out.ends_with('\n') {
            self.out.push('\n');
        }
    }
}
