//! Diagnostic codes of the binder, and helpers for messages: what, where, and the nearest valid name.

use model::{Diagnostic, DiagnosticKind};

use super::Binder;
use crate::plan::Field;
use crate::syntax::ast::Place;

pub const UNKNOWN_TABLE: &str = "KQL0101";
pub const UNKNOWN_NAME: &str = "KQL0102";
pub const UNKNOWN_FUNCTION: &str = "KQL0103";
pub const ARGUMENT_COUNT: &str = "KQL0104";
pub const WRONG_TYPE: &str = "KQL0105";
pub const NOT_CONSTANT: &str = "KQL0106";
pub const MISPLACED_AGGREGATE: &str = "KQL0107";
pub const NOT_SERIALIZED: &str = "KQL0108";
pub const UNSUPPORTED: &str = "KQL0109";
pub const DUPLICATE_NAME: &str = "KQL0110";
pub const TABLE_WANTED: &str = "KQL0111";
pub const SCALAR_WANTED: &str = "KQL0112";
pub const TOO_DEEP: &str = "KQL0113";
pub const TOO_LARGE: &str = "KQL0114";
pub const RECURSION: &str = "KQL0115";
pub const EXTERNAL_DATA: &str = "KQL0116";
pub const NO_QUERY: &str = "KQL0117";
pub const BAD_OPTION: &str = "KQL0118";
pub const RUN: &str = "KQL0119";
pub const NOT_A_KEY: &str = "KQL0120";
pub const GRAPH_WANTED: &str = "KQL0121";
pub const ASSERTION: &str = "KQL0122";
pub const SEVERAL_TABLES: &str = "KQL0123";
pub const ELSEWHERE: &str = "KQL0124";

/// Maximum number of diagnostics kept.
const MOST_DIAGNOSTICS: usize = 1000;

/// Maximum number of diagnostics with a suggestion: searching thousands of column names takes time.
pub(super) const MOST_SUGGESTIONS: usize = 100;

/// Maximum number of names in a help line.
const SHOWN: usize = 12;

impl Binder<'_> {
    pub(super) fn report(&mut self, code: &'static str, place: &Place, message: impl Into<String>) {
        self.report_with(code, place, message, None);
    }

    pub(super) fn report_with(&mut self, code: &'static str, place: &Place, message: impl Into<String>, help: Option<String>) {
        let mut message = message.into();
        // Locations inside a stored function refer to another text, so the call's location is used.
        let place = match self.calling.last() {
            Some((name, at)) => {
                message = format!("in function `{name}`: {message}");
                at.clone()
            }
            None => place.clone(),
        };
        if self.diagnostics.len() >= MOST_DIAGNOSTICS {
            return;
        }
        // A tabular `let` is bound at its definition and at each use: report each error once.
        let again = self.diagnostics.iter().any(|known| known.code == code && known.start == place.start && known.end == place.end);
        if !again {
            self.diagnostics.push(Diagnostic { code, kind: DiagnosticKind::Semantic, message, help, start: place.start, end: place.end });
        }
    }

    /// Reports that `what` is valid KQL but not supported.
    pub(super) fn unsupported(&mut self, place: &Place, what: &str) {
        self.report(UNSUPPORTED, place, format!("{what} is not supported here yet"));
    }
}

/// `did you mean …` with the nearest of `names`, if there is a near one.
pub fn did_you_mean<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<String> {
    let mut nearest = Nearest::to(name);
    names.for_each(|name| nearest.try_name(name));
    nearest.help()
}

/// Letter counts of a name; some letters share a bucket.
type Letters = [u8; 32];

fn letters(name: &str) -> Letters {
    let mut counts = [0_u8; 32];
    for byte in name.as_bytes() {
        // The lower five bits of a letter are the same in both cases.
        let bucket = usize::from(byte & 31);
        counts[bucket] = counts[bucket].saturating_add(1);
    }
    counts
}

/// Finds the intended name, possibly among thousands: the expensive edit distance is computed only if the letter counts do not already
/// exceed the limit. Ties are broken by length, then by order.
pub struct Nearest {
    lower: String,
    is_ascii: bool,
    letters: Letters,
    best: Option<(usize, usize, String)>,
}

impl Nearest {
    pub fn to(name: &str) -> Self {
        let lower = name.to_lowercase();
        let letters = letters(&lower);
        let is_ascii = lower.is_ascii();
        Self { lower, is_ascii, letters, best: None }
    }

    pub fn try_name(&mut self, name: &str) {
        let most = 1 + if name.is_ascii() { name.len() } else { name.chars().count() } / 4;
        // Each edit replaces at most one letter. Outside ASCII a letter is several bytes and case mapping differs.
        if self.is_ascii && name.is_ascii() {
            if name.len().abs_diff(self.lower.len()) > most {
                return;
            }
            let other = letters(name);
            let (mut missing, mut excess) = (0, 0);
            for bucket in 0..other.len() {
                missing += usize::from(other[bucket].saturating_sub(self.letters[bucket]));
                excess += usize::from(self.letters[bucket].saturating_sub(other[bucket]));
            }
            if missing.max(excess) > most {
                return;
            }
        }
        let distance = strsim::damerau_levenshtein(&self.lower, &name.to_lowercase());
        let better = |(known, length, best): &(usize, usize, String)| (distance, name.len(), name) < (*known, *length, best.as_str());
        if distance <= most && self.best.as_ref().is_none_or(better) {
            self.best = Some((distance, name.len(), name.to_owned()));
        }
    }

    pub fn help(self) -> Option<String> {
        self.best.map(|(_, _, name)| format!("did you mean `{name}`?"))
    }
}

/// The available columns, for a help line.
pub fn columns_here(fields: &[Field]) -> String {
    let names: Vec<&str> = fields.iter().filter(|field| !field.is_hidden()).map(|field| &*field.name).collect();
    match names.len() {
        0 => "there are no columns here".to_owned(),
        n if n > SHOWN => format!("columns here: {}, … ({n})", names[..SHOWN].join(", ")),
        _ => format!("columns here: {}", names.join(", ")),
    }
}
