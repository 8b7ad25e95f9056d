//! `parse-kv` — extract columns from key–value text. Source: the public KQL reference, `parse-kv-operator`.
//!
//! The first value of a key is used. White space around keys and values is trimmed. A value of the wrong type is null.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::record_batch::RecordBatch;
use model::Type;
use regex::Regex;

use super::layout::Layout;
use super::{EvalError, Evaluator, OpState, Runtime, TableOp};
use crate::Value;
use crate::plan::{ColumnId, Expr, Field};
use crate::value::cells::Cells;
use crate::value::text;

/// A bound `parse-kv`. All other output fields are passed through.
#[derive(Clone, Debug)]
pub struct ParseKv {
    /// A string.
    pub source: Expr,
    pub columns: Vec<KvColumn>,
    pub form: KvForm,
}

#[derive(Clone, Debug)]
pub struct KvColumn {
    pub key: String,
    pub id: ColumnId,
    pub ty: Type,
}

/// How keys and values are separated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvForm {
    Delimited {
        /// If both are absent, every non-alphanumeric character is a delimiter.
        delimiters: Option<Delimiters>,
        /// Opening and closing quotes; a single character in `quote=` is both.
        quotes: Vec<(char, char)>,
        escapes: Vec<char>,
        /// An unquoted value extends to the next known key.
        greedy: bool,
    },
    /// `regex=`: the first group is the key, the second the value.
    Regex(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delimiters {
    pub pair: String,
    pub kv: String,
}

impl TableOp for ParseKv {
    fn name(&self) -> &'static str {
        "parse-kv"
    }

    fn exprs(&self) -> Vec<&Expr> {
        vec![&self.source]
    }

    fn map_exprs(&self, f: &mut dyn FnMut(&Expr) -> Expr) -> Box<dyn TableOp> {
        Box::new(Self { source: f(&self.source), ..self.clone() })
    }

    fn passes(&self, field: ColumnId) -> bool {
        self.columns.iter().all(|column| column.id != field)
    }

    fn per_row(&self) -> bool {
        true
    }

    fn start(&self, inputs: &[Vec<Field>], outputs: &[Field], runtime: &Runtime) -> Result<Box<dyn OpState>, EvalError> {
        let own: Vec<ColumnId> = self.columns.iter().map(|column| column.id).collect();
        let regex = match &self.form {
            KvForm::Regex(pattern) => {
                let regex = Regex::new(pattern).map_err(|error| EvalError::Prepare { function: "parse-kv", message: error.to_string() })?;
                if regex.captures_len() != 3 {
                    return Err(EvalError::Prepare { function: "parse-kv", message: format!("`{pattern}` must have two groups") });
                }
                Some(regex)
            }
            KvForm::Delimited { .. } => None,
        };
        Ok(Box::new(Running {
            source: Evaluator::new(&self.source, &inputs[0], runtime)?,
            op: self.clone(),
            regex,
            layout: Layout::new(&inputs[0], outputs, &own)?,
        }))
    }
}

struct Running {
    source: Evaluator,
    op: ParseKv,
    regex: Option<Regex>,
    layout: Layout,
}

impl OpState for Running {
    fn push(&mut self, _: usize, batch: &RecordBatch, out: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        let source = self.source.eval(batch)?;
        let texts = source.as_string_view();
        let columns = &self.op.columns;
        let mut cells: Vec<Cells> = columns.iter().map(|column| Cells::new(column.ty, batch.num_rows())).collect();
        let mut found: Vec<Option<String>> = vec![None; columns.len()];
        for row in 0..batch.num_rows() {
            found.iter_mut().for_each(|value| *value = None);
            let text = if texts.is_valid(row) { texts.value(row) } else { "" };
            let mut take = |key: &str, value: &str| {
                for (column, value_so_far) in columns.iter().zip(&mut found) {
                    if column.key == key && value_so_far.is_none() {
                        *value_so_far = Some(value.to_owned());
                    }
                }
            };
            match (&self.regex, &self.op.form) {
                (Some(regex), _) => {
                    for captures in regex.captures_iter(text) {
                        if let (Some(key), Some(value)) = (captures.get(1), captures.get(2)) {
                            take(key.as_str().trim(), value.as_str().trim());
                        }
                    }
                }
                (None, KvForm::Delimited { delimiters, quotes, escapes, greedy }) => {
                    let known = |key: &str| columns.iter().any(|column| column.key == key);
                    Reader { text, at: 0, delimiters: delimiters.as_ref(), quotes, escapes, greedy: *greedy }.read(&known, &mut take);
                }
                (None, KvForm::Regex(_)) => {}
            }
            for ((cells, column), value) in cells.iter_mut().zip(columns).zip(&found) {
                cells.push(&value.as_ref().map_or(Value::null(column.ty), |value| text::parse(value, column.ty)));
            }
        }
        let own: Vec<ArrayRef> = cells.into_iter().map(Cells::finish).collect();
        out.push(self.layout.batch(batch, None, &own, batch.num_rows())?);
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        Ok(())
    }
}

/// Reads pairs from one text. A key starts at the beginning and after a pair delimiter.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    delimiters: Option<&'a Delimiters>,
    quotes: &'a [(char, char)],
    escapes: &'a [char],
    greedy: bool,
}

impl Reader<'_> {
    fn read(mut self, known: &dyn Fn(&str) -> bool, take: &mut dyn FnMut(&str, &str)) {
        match self.delimiters {
            Some(delimiters) => self.read_delimited(delimiters, known, take),
            None => self.read_words(known, take),
        }
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn read_delimited(&mut self, delimiters: &Delimiters, known: &dyn Fn(&str) -> bool, take: &mut dyn FnMut(&str, &str)) {
        let (pair, kv) = (delimiters.pair.as_str(), delimiters.kv.as_str());
        while self.at < self.text.len() {
            // The key extends to the next key–value delimiter, unless the pair ends first.
            let key = match self.quoted() {
                Some(key) => key,
                None => {
                    let rest = self.rest();
                    let end = [pair, kv].iter().filter_map(|delimiter| find(rest, delimiter)).min().unwrap_or(rest.len());
                    let key = rest[..end].trim().to_owned();
                    self.at += end;
                    key
                }
            };
            self.skip_space(pair);
            if !self.skip(kv) {
                // No value: skip to the next pair.
                match find(self.rest(), pair) {
                    Some(end) => self.at += end + pair.len(),
                    None => return,
                }
                continue;
            }
            let value = match self.quoted() {
                Some(value) => value,
                None => {
                    let rest = self.rest();
                    let end = if self.greedy { next_pair(rest, pair, kv, known) } else { find(rest, pair) }.unwrap_or(rest.len());
                    let value = rest[..end].trim().to_owned();
                    self.at += end;
                    value
                }
            };
            take(&key, &value);
            match find(self.rest(), pair) {
                Some(end) => self.at += end + pair.len(),
                None => return,
            }
        }
    }

    /// Without delimiters: a word, a delimiter, and a word or quoted text form a pair.
    fn read_words(&mut self, known: &dyn Fn(&str) -> bool, take: &mut dyn FnMut(&str, &str)) {
        while self.at < self.text.len() {
            let key = match self.quoted() {
                Some(key) => key,
                None => self.word(),
            };
            if key.is_empty() {
                self.at += self.rest().chars().next().map_or(0, char::len_utf8);
                continue;
            }
            if !known(&key) {
                continue;
            }
            // Key and value are separated by one non-space character, possibly surrounded by white space.
            self.skip_space("");
            let Some(delimiter) = self.rest().chars().next().filter(|c| !c.is_alphanumeric()) else { continue };
            if self.quotes.iter().any(|(open, close)| *open == delimiter || *close == delimiter) {
                continue;
            }
            self.at += delimiter.len_utf8();
            self.skip_space("");
            let value = match self.quoted() {
                Some(value) => value,
                None => self.word(),
            };
            if !value.is_empty() {
                take(&key, &value);
            }
        }
    }

    fn word(&mut self) -> String {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let word = rest[..end].to_owned();
        self.at += end;
        word
    }

    fn skip(&mut self, delimiter: &str) -> bool {
        let found = self.rest().starts_with(delimiter);
        if found {
            self.at += delimiter.len();
        }
        found
    }

    /// Skips white space, unless it is the delimiter itself.
    fn skip_space(&mut self, delimiter: &str) {
        while let Some(c) = self.rest().chars().next().filter(|c| c.is_whitespace()) {
            if !delimiter.is_empty() && self.rest().starts_with(delimiter) {
                return;
            }
            self.at += c.len_utf8();
        }
    }

    /// Parses a quoted text at this position, after white space; returns it unquoted and unescaped.
    fn quoted(&mut self) -> Option<String> {
        let before = self.rest().len() - self.rest().trim_start().len();
        let rest = &self.rest()[before..];
        let first = rest.chars().next()?;
        let (_, close) = *self.quotes.iter().find(|(open, _)| *open == first)?;
        let mut value = String::new();
        let mut chars = rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            if self.escapes.contains(&c) {
                if let Some((_, escaped)) = chars.next() {
                    value.push(escaped);
                }
            } else if c == close {
                self.at += before + at + c.len_utf8();
                return Some(value);
            } else {
                value.push(c);
            }
        }
        None
    }
}

/// The position of `needle`; an empty one is never found.
fn find(text: &str, needle: &str) -> Option<usize> {
    if needle.is_empty() { None } else { text.find(needle) }
}

/// The position of the next pair delimiter that is followed by a known key and its delimiter.
fn next_pair(text: &str, pair: &str, kv: &str, known: &dyn Fn(&str) -> bool) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + find(&text[from..], pair)?;
        let behind = &text[at + pair.len()..];
        if find(behind, kv).is_some_and(|end| known(behind[..end].trim())) {
            return Some(at);
        }
        from = at + pair.len();
    }
}
