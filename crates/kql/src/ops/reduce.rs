//! `reduce by` — texts that look alike, as patterns. Source: the public KQL reference, `reduce-operator`, and the method it names: R. Vaarandi,
//! "A Data Clustering Algorithm for Mining Patterns From Event Logs" (2003).
//!
//! A text is terms and what separates them. A term counts where it stands at the same place in at least `threshold` of the rows, and in two
//! at least; a number never does, as the printed examples show. What does not count becomes `*`, and texts that then read the same are a
//! group, if the group too has `threshold` of the rows; all others are `others`. A term ends at what is neither letter nor digit.
//! `characters` turns that around for the characters it names: the reference's examples have a letter end a term, and `-` not end one.
//! Of separators only those beside a term that counts are shown, and of those in `characters` not those beside a `*`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringViewArray};
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use hashbrown::HashMap;

use super::layout::Layout;
use super::{EvalError, Evaluator, OpState, Runtime, TableOp};
use crate::plan::{ColumnId, Expr, Field};

/// Terms of a text that are looked at; the rest of a longer text is `*`.
const MOST_TERMS: usize = 1000;

/// What is not like enough others.
const OTHERS: &str = "others";

/// A bound `reduce`.
#[derive(Clone, Debug)]
pub struct Reduce {
    /// A string.
    pub by: Expr,
    /// Between 0 and 1.
    pub threshold: f64,
    pub characters: String,
    /// `kind=source`: the rows go on, each with its group.
    pub source: bool,
    /// `Pattern`, `Count`, `Representative`.
    pub own: [ColumnId; 3],
}

impl TableOp for Reduce {
    fn name(&self) -> &'static str {
        "reduce"
    }

    fn exprs(&self) -> Vec<&Expr> {
        vec![&self.by]
    }

    fn map_exprs(&self, f: &mut dyn FnMut(&Expr) -> Expr) -> Box<dyn TableOp> {
        Box::new(Self { by: f(&self.by), ..self.clone() })
    }

    fn per_row(&self) -> bool {
        false
    }

    fn start(&self, inputs: &[Vec<Field>], outputs: &[Field], runtime: &Runtime) -> Result<Box<dyn OpState>, EvalError> {
        let passed: &[Field] = if self.source { &inputs[0] } else { &[] };
        Ok(Box::new(Running {
            by: Evaluator::new(&self.by, &inputs[0], runtime)?,
            layout: Layout::new(passed, outputs, &self.own)?,
            texts: HashMap::new(),
            kept: Vec::new(),
            bytes: 0,
            op: self.clone(),
        }))
    }
}

struct Running {
    op: Reduce,
    by: Evaluator,
    layout: Layout,
    /// Distinct texts and how many rows have each.
    texts: HashMap<Box<str>, i64>,
    /// The rows, where they go on.
    kept: Vec<(RecordBatch, ArrayRef)>,
    bytes: usize,
}

/// A group of texts that look alike.
struct Group {
    count: i64,
    representative: String,
    /// Rows with the representative.
    most: i64,
}

impl OpState for Running {
    fn push(&mut self, _: usize, batch: &RecordBatch, _: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        let column = self.by.eval(batch)?;
        for text in column.as_string_view() {
            let text = text.unwrap_or_default();
            match self.texts.get_mut(text) {
                Some(count) => *count += 1,
                None => {
                    self.bytes += text.len() + 64;
                    self.texts.insert(text.into(), 1);
                }
            }
        }
        if self.op.source {
            self.bytes += batch.get_array_memory_size();
            self.kept.push((batch.clone(), column));
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        let (groups, of) = self.op.groups(&self.texts);
        if !self.op.source {
            let mut sorted: Vec<(&String, &Group)> = groups.iter().collect();
            // The largest first, and what is like nothing last.
            sorted.sort_by_key(|(pattern, group)| (*pattern == OTHERS, -group.count, (*pattern).clone()));
            let own = columns(&sorted);
            if !sorted.is_empty() {
                out.push(self.layout.batch(&RecordBatch::new_empty(Arc::new(Schema::empty())), None, &own, sorted.len())?);
            }
            return Ok(());
        }
        for (batch, texts) in std::mem::take(&mut self.kept) {
            let texts = texts.as_string_view();
            let group = |row: usize| {
                let text = if texts.is_valid(row) { texts.value(row) } else { "" };
                groups.get_key_value(of.get(text).map_or(OTHERS, String::as_str))
            };
            let rows: Vec<(&String, &Group)> = (0..batch.num_rows()).filter_map(group).collect();
            out.push(self.layout.batch(&batch, None, &columns(&rows), batch.num_rows())?);
        }
        Ok(())
    }

    fn size(&self) -> usize {
        // In the end there is a pattern for each text, too.
        2 * self.bytes
    }
}

fn columns(groups: &[(&String, &Group)]) -> [ArrayRef; 3] {
    [
        Arc::new(StringViewArray::from_iter_values(groups.iter().map(|(pattern, _)| pattern))),
        Arc::new(Int64Array::from_iter_values(groups.iter().map(|(_, group)| group.count))),
        Arc::new(StringViewArray::from_iter_values(groups.iter().map(|(_, group)| &group.representative))),
    ]
}

impl Reduce {
    /// The groups by their patterns, and the pattern of each text that is in one.
    fn groups<'t>(&self, texts: &'t HashMap<Box<str>, i64>) -> (HashMap<String, Group>, HashMap<&'t str, String>) {
        let rows: i64 = texts.values().sum();
        let least = ((self.threshold * rows as f64).ceil() as i64).max(2);
        let mut counts: HashMap<(usize, &str), i64> = HashMap::new();
        for (text, count) in texts {
            for (place, term) in self.terms(text).enumerate().take(MOST_TERMS) {
                *counts.entry((place, term.text)).or_insert(0) += count;
            }
        }
        counts.retain(|(_, term), count| *count >= least && !term.chars().all(|c| c.is_ascii_digit()));
        let mut groups: HashMap<String, Group> = HashMap::new();
        let mut of: HashMap<&str, String> = HashMap::new();
        for (text, count) in texts {
            let pattern = self.pattern(text, &counts);
            let group = groups.entry(pattern.clone()).or_insert_with(|| Group { count: 0, representative: String::new(), most: 0 });
            group.count += count;
            if (*count, std::cmp::Reverse(&**text)) > (group.most, std::cmp::Reverse(group.representative.as_str())) {
                (group.most, group.representative) = (*count, text.to_string());
            }
            of.insert(text, pattern);
        }
        let is_group = |pattern: &str, group: &Group| group.count >= least && pattern.chars().any(|c| c != '*');
        let rest: i64 = groups.iter().filter(|(pattern, group)| !is_group(pattern, group)).map(|(_, group)| group.count).sum();
        groups.retain(|pattern, group| is_group(pattern, group));
        of.retain(|_, pattern| groups.contains_key(pattern));
        if rest > 0 {
            groups.insert(OTHERS.to_owned(), Group { count: rest, representative: String::new(), most: 0 });
        }
        (groups, of)
    }

    fn ends_term(&self, c: char) -> bool {
        c.is_alphanumeric() == self.characters.contains(c)
    }

    fn terms<'t>(&self, text: &'t str) -> impl Iterator<Item = Term<'t>> {
        let mut rest = text;
        std::iter::from_fn(move || {
            let start = rest.find(|c| !self.ends_term(c))?;
            let (before, tail) = rest.split_at(start);
            let end = tail.find(|c| self.ends_term(c)).unwrap_or(tail.len());
            let (term, tail) = tail.split_at(end);
            let next = tail.find(|c| !self.ends_term(c)).unwrap_or(tail.len());
            rest = tail;
            Some(Term { before, text: term, after: &tail[..next] })
        })
    }

    fn pattern(&self, text: &str, counts: &HashMap<(usize, &str), i64>) -> String {
        let shown = |separator: &str| separator.chars().filter(|c| !self.characters.contains(*c)).collect::<String>();
        let mut pattern = String::new();
        // Whether a term that counts stands before.
        let mut counted = None;
        let mut after = "";
        for (place, term) in self.terms(text).enumerate() {
            let counts = place < MOST_TERMS && counts.contains_key(&(place, term.text));
            match (counted, counts) {
                // Two terms that count: what stands between them, whatever it is.
                (Some(true), true) | (None, true) => pattern.push_str(term.before),
                (Some(true), false) | (Some(false), true) => pattern.push_str(&shown(term.before)),
                (Some(false) | None, false) => {}
            }
            match counts {
                true => pattern.push_str(term.text),
                false if counted == Some(false) => {}
                false => pattern.push('*'),
            }
            counted = Some(counts);
            after = term.after;
        }
        match counted {
            Some(true) => pattern.push_str(after),
            Some(false) => {}
            // A text of separators only is what it is.
            None => pattern.push_str(text),
        }
        pattern
    }
}

/// A term with the separators around it.
struct Term<'t> {
    before: &'t str,
    text: &'t str,
    after: &'t str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Type;

    fn reduced(threshold: f64, characters: &str, texts: &[&str]) -> Vec<(String, i64, String)> {
        let by = Expr::constant(crate::Value::null(Type::String));
        let own = [ColumnId(1), ColumnId(2), ColumnId(3)];
        let op = Reduce { by, threshold, characters: characters.to_owned(), source: false, own };
        let mut counts: HashMap<Box<str>, i64> = HashMap::new();
        texts.iter().for_each(|text| *counts.entry((*text).into()).or_insert(0) += 1);
        let (groups, _) = op.groups(&counts);
        let mut rows: Vec<_> = groups.into_iter().map(|(pattern, group)| (pattern, group.count, group.representative)).collect();
        rows.sort();
        rows
    }

    #[test]
    fn terms_that_many_rows_share_stay() {
        // The forms of the table on the page `reduce-operator`: `San *` and `* -on- *`.
        let texts = ["San Bernard", "San Diego", "One -on- One", "Two -on- Six", "Rome"];
        assert_eq!(
            reduced(0.4, "", &texts),
            [
                ("* -on- *".to_owned(), 2, "One -on- One".to_owned()),
                ("San *".to_owned(), 2, "San Bernard".to_owned()),
                (OTHERS.to_owned(), 1, String::new())
            ]
        );
    }

    #[test]
    fn characters_turn_the_meaning_around() {
        // The last example of the page: identifiers with `-` in them are one term each.
        let texts = ["job a-1 done", "job b-2 done"];
        assert_eq!(reduced(0.1, "-_", &texts), [("job * done".to_owned(), 2, "job a-1 done".to_owned())]);
        assert_eq!(reduced(0.1, "", &["xZ1", "xZ2"]), [(OTHERS.to_owned(), 2, String::new())]);
        assert_eq!(reduced(0.1, "Z", &["xZ1", "xZ2"]), [("x*".to_owned(), 2, "xZ1".to_owned())]);
    }
}
