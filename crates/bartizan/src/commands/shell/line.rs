//! A multi-line line editor with history.
//!
//! The state is independent of the terminal: keys go in, and actions come out. Only [`Lines`] draws and reads keys.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use console::{Key, Term};

/// Callbacks about the text.
pub trait Help {
    /// Whether Enter submits it.
    fn is_whole(&self, text: &str) -> bool;

    /// Start of the current word, and its completions: display text and inserted text.
    fn candidates(&self, text: &str, at: usize) -> (usize, Vec<(String, String)>);

    /// The text with highlighting.
    fn painted(&self, text: &str) -> String;
}

/// Result of reading.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    Text(String),
    /// Ctrl-C: the input is discarded.
    Dropped,
    End,
}

/// Effect of a key.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Redraw,
    Send,
    Drop,
    End,
    Clear,
    /// Completions to list.
    Show(Vec<String>),
}

/// Maximum history entries.
const REMEMBERED: usize = 2000;

/// Previous queries, the newest last.
#[derive(Default)]
pub struct History(Vec<String>);

impl History {
    /// Loads a file with one JSON string per line; empty if it does not exist.
    pub fn load(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        Self(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    pub fn add(&mut self, text: &str) {
        if self.0.last().is_none_or(|last| last != text) {
            self.0.push(text.to_owned());
        }
    }

    /// Readable by its owner only: queries contain names of people and machines.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let newest = &self.0[self.0.len().saturating_sub(REMEMBERED)..];
        let lines: String = newest.iter().map(|text| serde_json::Value::from(text.as_str()).to_string() + "\n").collect();
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path)?.write_all(lines.as_bytes())
    }
}

/// The text being edited.
#[derive(Default)]
struct Edited {
    text: String,
    /// The cursor, in bytes.
    at: usize,
    /// The index in the history; `None` for the new text.
    recalled: Option<usize>,
    /// The new text while the history is browsed.
    kept: String,
    /// The search text of Ctrl-R.
    sought: Option<String>,
}

impl Edited {
    fn key(&mut self, key: Key, history: &History, help: &dyn Help) -> Step {
        if key != Key::Char('\x12') {
            self.sought = None;
        }
        match key {
            Key::Enter if help.is_whole(&self.text) => return Step::Send,
            Key::Enter => self.insert("\n"),
            // Alt+Enter.
            Key::UnknownEscSeq(keys) if matches!(keys[..], ['\n' | '\r']) => self.insert("\n"),
            Key::Tab => return self.complete(help),
            Key::Backspace => {
                let from = self.before();
                self.remove(from, self.at);
            }
            Key::Del => {
                let to = self.behind();
                self.remove(self.at, to);
            }
            Key::ArrowLeft => self.at = self.before(),
            Key::ArrowRight => self.at = self.behind(),
            Key::Home => self.at = self.line_start(),
            Key::End => self.at = self.line_end(),
            Key::ArrowUp if self.line_start() > 0 => self.move_line(true),
            Key::ArrowDown if self.line_end() < self.text.len() => self.move_line(false),
            Key::ArrowUp => self.recall(history, true),
            Key::ArrowDown => self.recall(history, false),
            Key::CtrlC => return Step::Drop,
            Key::Char('\x04') if self.text.is_empty() => return Step::End,
            Key::Char('\x04') => {
                let to = self.behind();
                self.remove(self.at, to);
            }
            Key::Char('\x0b') => self.remove(self.at, self.line_end()),
            Key::Char('\x15') => self.remove(self.line_start(), self.at),
            Key::Char('\x17') => {
                let head = self.text[..self.at].trim_end();
                let from = head.rfind(|c: char| c.is_whitespace() || c == '(').map_or(0, |at| at + 1);
                self.remove(from, self.at);
            }
            Key::Char('\x0c') => return Step::Clear,
            Key::Char('\x12') => self.seek(history),
            Key::Char(c) if !c.is_control() => self.insert(c.encode_utf8(&mut [0; 4])),
            _ => {}
        }
        Step::Redraw
    }

    fn insert(&mut self, text: &str) {
        self.text.insert_str(self.at, text);
        self.at += text.len();
    }

    fn remove(&mut self, from: usize, to: usize) {
        if from < to {
            self.text.replace_range(from..to, "");
            self.at = from;
        }
    }

    fn before(&self) -> usize {
        self.text[..self.at].char_indices().next_back().map_or(0, |(at, _)| at)
    }

    fn behind(&self) -> usize {
        self.text[self.at..].chars().next().map_or(self.at, |c| self.at + c.len_utf8())
    }

    fn line_start(&self) -> usize {
        self.text[..self.at].rfind('\n').map_or(0, |at| at + 1)
    }

    fn line_end(&self) -> usize {
        self.text[self.at..].find('\n').map_or(self.text.len(), |at| self.at + at)
    }

    /// Moves to the same column of the line above or below, or to its end.
    fn move_line(&mut self, up: bool) {
        let column = self.text[self.line_start()..self.at].chars().count();
        self.at = if up { self.line_start() - 1 } else { self.line_end() + 1 };
        let (start, end) = (self.line_start(), self.line_end());
        self.at = self.text[start..end].char_indices().nth(column).map_or(end, |(at, _)| start + at);
    }

    fn recall(&mut self, history: &History, older: bool) {
        let place = match (self.recalled, older) {
            (None, true) => history.0.len().checked_sub(1),
            (None, false) => None,
            (Some(0), true) => Some(0),
            (Some(place), true) => Some(place - 1),
            (Some(place), false) => Some(place + 1).filter(|place| *place < history.0.len()),
        };
        if self.recalled.is_none() {
            self.kept = self.text.clone();
        }
        self.recalled = place;
        self.text = place.and_then(|place| history.0.get(place)).unwrap_or(&self.kept).clone();
        self.at = self.text.len();
    }

    /// Finds the newest query that contains the text; repeated, an older one.
    fn seek(&mut self, history: &History) {
        let sought = self.sought.get_or_insert_with(|| self.text.clone()).clone();
        let until = self.recalled.unwrap_or(history.0.len());
        if let Some(place) = history.0[..until].iter().rposition(|text| text.contains(&sought)) {
            if self.recalled.is_none() {
                self.kept = self.text.clone();
            }
            self.recalled = Some(place);
            self.text = history.0[place].clone();
            self.at = self.text.len();
        }
    }

    /// Inserts the common prefix of all candidates; if it adds nothing, lists them.
    fn complete(&mut self, help: &dyn Help) -> Step {
        let (start, candidates) = help.candidates(&self.text, self.at);
        let Some(((_, first), rest)) = candidates.split_first() else { return Step::Redraw };
        let mut common = first.len();
        for (_, other) in rest {
            common = first.bytes().zip(other.bytes()).take(common).take_while(|(a, b)| a == b).count();
        }
        while !first.is_char_boundary(common) {
            common -= 1;
        }
        if common > self.at - start || candidates.len() == 1 {
            let text = first[..if candidates.len() == 1 { first.len() } else { common }].to_owned();
            self.remove(start, self.at);
            self.insert(&text);
            return Step::Redraw;
        }
        Step::Show(candidates.into_iter().map(|(shown, _)| shown).collect())
    }
}

/// Reads queries from a terminal, or plain lines otherwise.
pub struct Lines {
    terminal: Option<Term>,
    /// Rows between the first one of the text and the cursor's, as last drawn.
    row: usize,
}

const PROMPT: &str = "kql> ";
const FURTHER: &str = "  -> ";
/// Maximum candidates listed.
const SHOWN: usize = 60;

impl Lines {
    pub fn new() -> Self {
        Self { terminal: (io::stdin().is_terminal() && io::stdout().is_terminal()).then(Term::stdout), row: 0 }
    }

    pub fn is_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    pub fn read(&mut self, history: &History, help: &dyn Help) -> io::Result<Read> {
        let Some(term) = self.terminal.clone() else { return plain(help) };
        let mut edited = Edited::default();
        self.row = 0;
        self.draw(&term, &edited, help)?;
        loop {
            let key = match term.read_key_raw() {
                Ok(key) => key,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Read::End),
                Err(error) => return Err(error),
            };
            match edited.key(key, history, help) {
                Step::Redraw => self.draw(&term, &edited, help)?,
                Step::Clear => {
                    term.clear_screen()?;
                    self.row = 0;
                    self.draw(&term, &edited, help)?;
                }
                Step::Show(candidates) => {
                    self.leave(&term, &mut edited, help)?;
                    for line in in_columns(&candidates, usize::from(term.size().1)) {
                        term.write_line(&line)?;
                    }
                    self.row = 0;
                    self.draw(&term, &edited, help)?;
                }
                Step::Send => {
                    edited.at = edited.text.len();
                    self.leave(&term, &mut edited, help)?;
                    return Ok(Read::Text(edited.text));
                }
                Step::Drop => {
                    self.leave(&term, &mut edited, help)?;
                    return Ok(Read::Dropped);
                }
                Step::End => {
                    term.write_line("")?;
                    return Ok(Read::End);
                }
            }
        }
    }

    /// Moves to the line below the text.
    fn leave(&mut self, term: &Term, edited: &mut Edited, help: &dyn Help) -> io::Result<()> {
        let at = std::mem::replace(&mut edited.at, edited.text.len());
        self.draw(term, edited, help)?;
        edited.at = at;
        term.write_line("")
    }

    fn draw(&mut self, term: &Term, edited: &Edited, help: &dyn Help) -> io::Result<()> {
        let width = usize::from(term.size().1).max(20);
        if self.row > 0 {
            term.move_cursor_up(self.row)?;
        }
        let lines = |text: &str| text.split('\n').collect::<Vec<_>>().join(&format!("\n{FURTHER}"));
        let (row, column) = place(&edited.text[..edited.at], width);
        let (last, _) = place(&edited.text, width);
        term.write_str(&format!("\r\x1b[J{PROMPT}{}", lines(&help.painted(&edited.text))))?;
        // A full last row leaves the cursor on it, but the position counts as the start of the next.
        if place(&edited.text, width).1 == 0 {
            term.write_str("\n")?;
        }
        term.write_str("\r")?;
        if last > row {
            term.move_cursor_up(last - row)?;
        }
        if column > 0 {
            term.move_cursor_right(column)?;
        }
        self.row = row;
        term.flush()
    }
}

/// The row and column after `text`, drawn with its prompts in rows of `width` columns.
fn place(text: &str, width: usize) -> (usize, usize) {
    let mut rows = 0;
    let mut column = 0;
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            rows += 1;
        }
        let columns = PROMPT.len() + console::measure_text_width(line);
        rows += columns / width;
        column = columns % width;
    }
    (rows, column)
}

/// Candidates in columns.
fn in_columns(candidates: &[String], width: usize) -> Vec<String> {
    let shown = &candidates[..candidates.len().min(SHOWN)];
    let wide = shown.iter().map(|text| console::measure_text_width(text)).max().unwrap_or(0) + 2;
    let across = (width / wide.max(1)).max(1);
    let mut lines: Vec<String> = shown
        .chunks(across)
        .map(|row| row.iter().map(|text| console::pad_str(text, wide, console::Alignment::Left, None).into_owned()).collect::<String>())
        .map(|line| line.trim_end().to_owned())
        .collect();
    if candidates.len() > SHOWN {
        lines.push(format!("… and {} more", candidates.len() - SHOWN));
    }
    lines
}

/// Reads lines of a pipe or a file until the query is complete.
fn plain(help: &dyn Help) -> io::Result<Read> {
    let mut text = String::new();
    let mut input = io::stdin().lock();
    loop {
        if input.read_line(&mut text)? == 0 {
            return Ok(if text.trim().is_empty() { Read::End } else { Read::Text(text) });
        }
        if help.is_whole(text.trim_end_matches(['\n', '\r'])) || text.ends_with("\n\n") {
            return Ok(Read::Text(text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Words;

    impl Help for Words {
        fn is_whole(&self, text: &str) -> bool {
            !text.ends_with('|')
        }

        fn candidates(&self, text: &str, at: usize) -> (usize, Vec<(String, String)>) {
            let start = text[..at].rfind(' ').map_or(0, |at| at + 1);
            let words = ["summarize", "sum(", "sort"].into_iter().filter(|word| word.starts_with(&text[start..at]));
            (start, words.map(|word| (word.to_owned(), word.to_owned())).collect())
        }

        fn painted(&self, text: &str) -> String {
            text.to_owned()
        }
    }

    fn typed(edited: &mut Edited, history: &History, text: &str) -> Step {
        let mut step = Step::Redraw;
        for c in text.chars() {
            let key = match c {
                '\n' => Key::Enter,
                '\t' => Key::Tab,
                '←' => Key::ArrowLeft,
                '→' => Key::ArrowRight,
                '↑' => Key::ArrowUp,
                '↓' => Key::ArrowDown,
                '⌫' => Key::Backspace,
                '⌦' => Key::Del,
                c => Key::Char(c),
            };
            step = edited.key(key, history, &Words);
        }
        step
    }

    #[test]
    fn text_is_written_corrected_and_sent() {
        let history = History::default();
        for (keys, text) in [
            ("abc←←X", "aXbc"),
            ("é😀⌫⌫b", "b"),
            ("abc←←⌦", "ac"),
            ("a b c\x17", "a b "),
            ("abc←\x0b", "ab"),
            ("abc←\x15", "c"),
            ("T |\nab↑→→↓X", "T |\nabX"),
        ] {
            let mut edited = Edited::default();
            typed(&mut edited, &history, keys);
            assert_eq!(edited.text, text, "{keys:?}");
            assert!(edited.text.is_char_boundary(edited.at));
        }
        let mut edited = Edited::default();
        assert_eq!(typed(&mut edited, &history, "T |\n"), Step::Redraw);
        assert_eq!(typed(&mut edited, &history, "take 1\n"), Step::Send);
        assert_eq!(edited.text, "T |\ntake 1");
        assert_eq!(Edited::default().key(Key::Char('\x04'), &history, &Words), Step::End);
        assert_eq!(edited.key(Key::CtrlC, &history, &Words), Step::Drop);
    }

    #[test]
    fn what_was_asked_comes_back() {
        let mut history = History::default();
        ["first", "second one", "second one", "third"].iter().for_each(|text| history.add(text));
        for (keys, text) in [("new↑", "third"), ("↑↑↑↑", "first"), ("new↑↑↓↓", "new"), ("second\x12", "second one"), ("r\x12\x12", "first")]
        {
            let mut edited = Edited::default();
            typed(&mut edited, &history, keys);
            assert_eq!(edited.text, text, "{keys:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/history");
        history.add("of two\nlines");
        history.save(&path).unwrap();
        assert_eq!(History::load(&path).0, ["first", "second one", "third", "of two\nlines"]);
    }

    #[test]
    fn completion_writes_what_is_common_then_shows() {
        let history = History::default();
        let mut edited = Edited::default();
        assert_eq!(typed(&mut edited, &history, "T su\t"), Step::Redraw);
        assert_eq!(edited.text, "T sum");
        assert_eq!(typed(&mut edited, &history, "\t"), Step::Show(vec!["summarize".to_owned(), "sum(".to_owned()]));
        typed(&mut edited, &history, "m\t");
        assert_eq!(edited.text, "T summarize");
    }

    #[test]
    fn places_on_the_screen_follow_the_width() {
        assert_eq!(place("abc", 20), (0, 8));
        assert_eq!(place("abc\nd", 20), (1, 6));
        assert_eq!(place(&"x".repeat(15), 20), (1, 0));
        assert_eq!(place(&"x".repeat(20), 20), (1, 5));
        assert_eq!(in_columns(&["a".into(), "bb".into(), "c".into()], 9), ["a   bb", "c"]);
    }
}
