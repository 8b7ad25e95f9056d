//! What is wrong with a plan. Every kind reports its own problems; on call is checked as a whole.

use oncall::check::{MAX_PROBLEMS, Problem};
use oncall::document::did_you_mean;

use crate::error::ApplyError;
use crate::kinds;
use crate::plan::Plan;
use crate::refusal::Refusal;

/// Maximum length of a problem's path and text: they may quote text as long as the document.
const MAX_TEXT: usize = 400;
/// Maximum lookups of similar names in one check.
const MAX_LOOKUPS: u32 = 50;

/// Problems, and warnings about what is allowed and probably not meant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checked {
    pub problems: Vec<Problem>,
    pub warnings: Vec<Problem>,
}

/// Checks a plan. `Err` only if the check itself failed.
pub async fn check(plan: &Plan<'_>) -> Result<Checked, ApplyError> {
    let mut found = Findings::default();
    for kind in kinds::all() {
        for (name, _) in plan.wanted.of(kind.name()) {
            if let Some(help) = kind.check_name(name) {
                found.add(format!("{}.{name}", kind.name()), format!("this is no name of a {}", kind.singular()), help);
            }
        }
        kind.check(plan, &mut found).await;
    }
    let (mut problems, mut warnings) = (found.finish(), Vec::new());
    if let Some(oncall) = kinds::oncall::check(plan).await? {
        problems.extend(oncall.problems);
        warnings.extend(oncall.warnings);
    }
    Ok(Checked { problems, warnings })
}

/// Collects problems, with limits.
pub struct Findings {
    problems: Vec<Problem>,
    /// Problems beyond [`MAX_PROBLEMS`].
    more: usize,
    lookups: u32,
}

impl Default for Findings {
    fn default() -> Self {
        Self { problems: Vec::new(), more: 0, lookups: MAX_LOOKUPS }
    }
}

impl Findings {
    /// Adds a problem: where, what, and what to do.
    pub fn add(&mut self, path: impl Into<String>, problem: impl Into<String>, help: impl Into<String>) {
        if self.problems.len() >= MAX_PROBLEMS {
            self.more += 1;
            return;
        }
        let [path, problem, help] = [path.into(), problem.into(), help.into()].map(|text: String| shortened(&text));
        self.problems.push(Problem { path, problem, help });
    }

    /// Adds `there is no …` with the nearest of the names that exist.
    pub fn missing<'a>(&mut self, path: impl Into<String>, what: &str, name: &str, among: impl Iterator<Item = &'a str> + Clone) {
        let mut help = String::new();
        if self.lookups > 0 {
            self.lookups -= 1;
            help = match did_you_mean(name, among.clone()) {
                Some(near) => format!("Did you mean `{near}`?"),
                None => {
                    let known: Vec<String> = among.take(8).map(|name| format!("`{name}`")).collect();
                    if known.is_empty() { format!("There is no {what} yet") } else { format!("There are: {}", known.join(", ")) }
                }
            };
        }
        self.add(path, format!("there is no {what} `{name}`"), help);
    }

    /// Adds the errors of a check that Azure's APIs share. Their targets name properties of a resource; paths name fields of `object`.
    pub fn refused(&mut self, object: &str, refusal: &Refusal) {
        let mut add = |target: Option<&str>, message: &str| {
            let field = target.unwrap_or_default();
            let field = field.strip_prefix("properties").unwrap_or(field);
            let field = field.strip_prefix(".schema").unwrap_or(field).trim_start_matches('.');
            let path = match field {
                "" | "name" => object.to_owned(),
                field => format!("{object}.{field}"),
            };
            self.add(path, message.trim_end_matches('.'), "");
        };
        if refusal.details.is_empty() {
            add(refusal.target.as_deref(), &refusal.message);
        }
        for detail in &refusal.details {
            add(detail.target.as_deref(), &detail.message);
        }
    }

    fn finish(mut self) -> Vec<Problem> {
        if self.more > 0 {
            let problem = format!("{} more problems are not listed", self.more);
            self.problems.push(Problem { path: String::new(), problem, help: "Correct these first".to_owned() });
        }
        self.problems
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_of_azures_errors_become_fields() {
        let mut found = Findings::default();
        for target in ["properties.schema.columns[0].type", "properties.dataFlows[1]", "properties", "name"] {
            found.refused("tables.T", &Refusal::bad_request("X", "It is wrong.").target(target));
        }
        let said: Vec<String> = found.finish().iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "`tables.T.columns[0].type`: It is wrong",
                "`tables.T.dataFlows[1]`: It is wrong",
                "`tables.T`: It is wrong",
                "`tables.T`: It is wrong",
            ]
        );
    }

    #[test]
    fn problems_are_counted_beyond_the_limit() {
        let mut found = Findings::default();
        for n in 0..MAX_PROBLEMS + 5 {
            found.missing("x", "table", &format!("T{n}"), ["T_CL"].into_iter());
        }
        let problems = found.finish();
        assert_eq!((problems.len(), problems[MAX_PROBLEMS].problem.as_str()), (MAX_PROBLEMS + 1, "5 more problems are not listed"));
    }
}
