//! Rename of a `let`, a parameter, an `as` or a column created in the query.
//!
//! Occurrences are determined from the text and the binding trace, and then verified: the query with a unique name substituted, and the
//! query with the new name, must both bind to the same plan. Otherwise the rename is rejected with a reason.

use model::{DiagnosticKind, Timestamp};

use super::names::{Resolved, Target};
use super::{boundary, written};
use crate::bind::{Bound, Schema, bind};
use crate::syntax::ast::Place;
use crate::syntax::parse;

/// Replaces the text at `place`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    pub place: Place,
    pub text: String,
}

/// Why a rename is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenameError {
    #[error("there is no name here that the query gives: tables, their columns and functions of the language keep theirs")]
    NothingHere,
    #[error("a name cannot be empty")]
    Empty,
    #[error(
        "the query is wrong or its columns are known only when it runs, so nothing proves that renaming column `{0}` keeps its meaning"
    )]
    Unproven(String),
    #[error(
        "column `{0}` is also used where it has another name or comes from elsewhere, so that renaming it would change what the query means"
    )]
    Reaches(String),
    #[error("the query would mean something else with the name `{0}`: choose one that nothing else has")]
    Taken(String),
}

/// A name that does not occur in practice, for verification.
const PROBE: &str = "renamed_9d1c6f2e";

/// The name at `offset`, if it can be renamed.
pub fn renameable(text: &str, offset: usize, schema: &dyn Schema, now: Timestamp) -> Option<Place> {
    let resolved = Resolved::of(text, schema, now);
    let (name, target) = resolved.at(boundary(text, offset))?;
    target.map(|_| name.place)
}

/// The edits that rename the name at `offset` to `new`, in source order.
pub fn rename(text: &str, offset: usize, new: &str, schema: &dyn Schema, now: Timestamp) -> Result<Vec<Edit>, RenameError> {
    if new.is_empty() {
        return Err(RenameError::Empty);
    }
    let resolved = Resolved::of(text, schema, now);
    let (name, target) = resolved.at(boundary(text, offset)).ok_or(RenameError::NothingHere)?;
    let target = target.ok_or(RenameError::NothingHere)?;
    let old = name.text.clone();
    let candidates = match &target {
        Target::Variable(index) => vec![variable(&resolved, *index)],
        Target::Column(_) => vec![column(&resolved, &name), everywhere(&resolved, &old)],
    };
    let proof = Proof { text, schema, now };
    let before = proof.bound(&[], "");
    let is_column = matches!(target, Target::Column(_));
    if is_column && before.plan.is_none() {
        return Err(RenameError::Unproven(old));
    }
    let probed = candidates.into_iter().find_map(|places| {
        let probed = proof.bound(&places, PROBE);
        same(&before, &old, &probed, PROBE).then_some((places, probed))
    });
    let Some((places, probed)) = probed else {
        return Err(if is_column { RenameError::Reaches(old) } else { RenameError::Taken(new.to_owned()) });
    };
    if new != old && (proof.mentions(new) || !same(&proof.bound(&places, new), new, &probed, PROBE)) {
        return Err(RenameError::Taken(new.to_owned()));
    }
    let new = written(new);
    Ok(places.into_iter().map(|place| Edit { place, text: new.clone() }).collect())
}

/// The definition and all uses of a variable.
fn variable(resolved: &Resolved, index: usize) -> Vec<Place> {
    let mut places = vec![resolved.names.definitions[index].place.clone()];
    let hidden = |place: &Place| resolved.trace.columns.contains_key(&place.start);
    let uses = resolved.names.uses.iter().filter(|used| used.definition == Some(index) && !(used.scalar && hidden(&used.name.place)));
    places.extend(uses.map(|used| used.name.place.clone()));
    sorted(places)
}

/// Where the column is created and used, by its ids.
fn column(resolved: &Resolved, name: &crate::syntax::ast::Name) -> Vec<Place> {
    let group = resolved.group(name);
    let columns = &resolved.trace.columns;
    let uses = resolved.names.uses.iter().filter(|used| used.name.text == name.text);
    let used = uses
        .filter(|used| columns.get(&used.name.place.start).is_some_and(|columns| columns.iter().any(|column| group.contains(&column.id))));
    let made = resolved.names.made.iter().filter(|made| made.name.text == name.text);
    let made = made.filter(|made| made.name.place == name.place || resolved.ids_made(made).iter().any(|id| group.contains(id)));
    sorted(used.map(|used| used.name.place.clone()).chain(made.map(|made| made.name.place.clone())).collect())
}

/// Every equal name that is not a variable.
fn everywhere(resolved: &Resolved, old: &str) -> Vec<Place> {
    let uses = resolved.names.uses.iter().filter(|used| used.scalar && used.definition.is_none() && used.name.text == old);
    let made = resolved.names.made.iter().filter(|made| made.name.text == old);
    sorted(uses.map(|used| used.name.place.clone()).chain(made.map(|made| made.name.place.clone())).collect())
}

fn sorted(mut places: Vec<Place>) -> Vec<Place> {
    places.sort_by_key(|place| place.start);
    places.dedup();
    places
}

struct Proof<'a> {
    text: &'a str,
    schema: &'a dyn Schema,
    now: Timestamp,
}

impl Proof<'_> {
    /// Binds the query with `new` substituted at `places`.
    fn bound(&self, places: &[Place], new: &str) -> Bound {
        let mut text = String::with_capacity(self.text.len() + places.len() * new.len());
        let mut at = 0;
        for place in places {
            text.push_str(&self.text[at..place.start]);
            text.push_str(&written(new));
            at = place.end;
        }
        text.push_str(&self.text[at..]);
        bind(&parse(&text), self.schema, self.now)
    }

    /// True if the new name already occurs in the text.
    fn mentions(&self, new: &str) -> bool {
        let (tokens, _) = crate::syntax::lexer::lex(self.text);
        tokens.iter().any(|token| &self.text[token.start..token.end] == new)
    }
}

/// True if two queries are equal except for one name, which is unique in the second.
fn same(first: &Bound, name: &str, second: &Bound, unique: &str) -> bool {
    match (&first.plan, &second.plan) {
        (Some(first), Some(second)) => {
            let name = name.escape_debug().to_string();
            format!("{first:?}") == format!("{second:?}").replace(unique, &name)
        }
        // Neither has a plan: their diagnostics must be equal.
        (None, None) => verdict(first) == verdict(second),
        _ => false,
    }
}

fn verdict(bound: &Bound) -> Vec<(&'static str, DiagnosticKind)> {
    bound.diagnostics.iter().map(|diagnostic| (diagnostic.code, diagnostic.kind)).collect()
}
