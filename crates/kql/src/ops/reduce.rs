//! `reduce by` — groups similar strings by pattern. Source: the public KQL reference, `reduce-operator`, and the algorithm it cites: R.
//! Vaarandi, "A Data Clustering Algorithm for Mining Patterns From Event Logs" (2003).
//!
//! A text consists of terms and separators. A term is frequent if it occurs at the same position in at least `threshold` of the rows, and
//! in at least two; numbers are never frequent, as in the documented examples. Infrequent terms become `*`, and texts with the same pattern
//! form a group, if it also has `threshold` of the rows; all other texts are in `others`. Terms end at non-alphanumeric characters.
//! `characters` inverts this for the characters it lists: in the reference's examples a letter ends a term, and `-` does not. Only
//! separators next to a frequent term are part of the pattern, and those in `characters` only if not next to a `*`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringViewArray};
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use hashbrown::HashMap;

use super::layout::Layout;
use super::{EvalError, Evaluator, OpState, Runtime, TableOp};
use crate::plan::{ColumnId, Expr, Field};

/// Maximum number of terms per text; the rest of a longer text is `*`.
const MOST_TERMS: usize = 1000;

/// The group of texts without a frequent pattern.
const OTHERS: &str = "others";

/// A bound `reduce`.
#[derive(Clone, Debug)]
pub struct Reduce {
    /// A string.
    pub by: Expr,
    /// Between 0 and 1.
    pub threshold: f64,
    pub characters: String,
    /// `kind=source`: output the rows, each with its group.
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
    /// Distinct texts with their row counts.
    texts: HashMap<Box<str>, i64>,
    /// The input rows, if they are in the output.
    kept: Vec<(RecordBatch, ArrayRef)>,
    bytes: usize,
}

/// A group of similar texts.
struct Group {
    count: i64,
    representative: String,
    /// Number of rows with the representative.
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
            // Largest group first, `others` last.
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
        // The result also needs a pattern per text.
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
    /// The groups by pattern, and the pattern of each grouped text.
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
        // Whether the previous term is frequent.
        let mut counted = None;
        let mut after = "";
        for (place, term) in self.terms(text).enumerate() {
            let counts = place < MOST_TERMS && counts.contains_key(&(place, term.text));
            match (counted, counts) {
                // Between two frequent terms, all separators are kept.
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
            // A text without terms is its own pattern.
            None => pattern.push_str(text),
        }
        pattern
    }
}

/// A term with its surrounding separators.
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
    fn frequent_terms_are_kept() {
        // The patterns in the table on the page `reduce-operator`: `San *` and `* -on- *`.
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
    fn characters_invert_separators() {
        // The last example of the page: identifiers that contain `-` are single terms.
        let texts = ["job a-1 done", "job b-2 done"];
        assert_eq!(reduced(0.1, "-_", &texts), [("job * done".to_owned(), 2, "job a-1 done".to_owned())]);
        assert_eq!(reduced(0.1, "", &["xZ1", "xZ2"]), [(OTHERS.to_owned(), 2, String::new())]);
        assert_eq!(reduced(0.1, "Z", &["xZ1", "xZ2"]), [("x*".to_owned(), 2, "xZ1".to_owned())]);
    }
}
