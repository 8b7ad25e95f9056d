//! Rule files: parses them and plans the changes that bring the store in line. Pure functions.
//!
//! A file defines its rule until the rule is changed in another way. Such a change is an override: it persists, also across restarts, until
//! the file changes. A rule whose file was removed is disabled. A file that cannot be parsed leaves its rule unchanged. (docs/adr/0010)

use std::collections::HashMap;

use model::chain;
use serde_json::{Map, Value};
use store::{AnalyticsRuleRecord, RuleFile};
use uuid::Uuid;

use crate::rule::AnalyticsRule;
use crate::yaml;

/// Maximum size of a rule file.
pub const MAX_RULE_FILE: u64 = 1 << 20;
/// Prefix of names of built-in files. Their rules stay when they are no longer included.
pub const BUILT_IN: &str = "built-in:";

/// A file's name and text, or why it cannot be read.
#[derive(Clone, Debug)]
pub struct RuleText {
    pub file: String,
    pub text: Result<String, String>,
}

/// A rule and its file.
#[derive(Clone, Debug)]
pub struct FileRule {
    pub file: String,
    pub rule: AnalyticsRule,
    pub properties: Map<String, Value>,
    pub digest: String,
}

/// The content of all files.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    pub rules: Vec<FileRule>,
    /// Invalid files, each with the reason.
    pub broken: Vec<(String, String)>,
    pub warnings: Vec<String>,
}

/// Parses the texts in order. If two files have the same id, the first one wins.
pub fn scan(texts: &[RuleText]) -> Scan {
    let mut scan = Scan::default();
    let mut seen: HashMap<String, String> = HashMap::new();
    for RuleText { file, text } in texts {
        let loaded = match text {
            Ok(text) => yaml::parse(file, text).map_err(|error| chain(&error)),
            Err(problem) => Err(format!("{file}: {problem}")),
        };
        let properties = |rule: &AnalyticsRule| match serde_json::to_value(&rule.properties) {
            Ok(Value::Object(properties)) => Ok(properties),
            _ => Err(format!("{file}: the rule's properties are no object")),
        };
        match loaded.and_then(|loaded| properties(&loaded.rule).map(|properties| (loaded, properties))) {
            Ok((loaded, properties)) => {
                scan.warnings.extend(loaded.warnings);
                let id = loaded.rule.id.to_lowercase();
                if let Some(first) = seen.get(&id) {
                    let problem = format!("{file}: has the id `{}` of `{first}`; give it one of its own", loaded.rule.id);
                    scan.broken.push((file.clone(), problem));
                    continue;
                }
                seen.insert(id, file.clone());
                let digest = digest(loaded.rule.kind_name(), &properties);
                scan.rules.push(FileRule { file: file.clone(), rule: loaded.rule, properties, digest });
            }
            Err(problem) => scan.broken.push((file.clone(), problem)),
        }
    }
    scan
}

fn digest(kind: &str, properties: &Map<String, Value>) -> String {
    let text = format!("{kind}\n{}", serde_json::to_string(properties).unwrap_or_default());
    Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()).to_string()
}

/// A planned change for one rule.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Write the rule from the file. `overridden`: it had been changed in another way since the file was applied.
    Put { file: String, overridden: bool },
    /// The rule already matches the file; only record the file.
    Adopt { file: String, etag: Uuid },
    /// It was changed or deleted in another way, and the file is unchanged.
    KeepOverride { file: String, deleted: bool },
    /// Its file was removed.
    Disable { file: String },
}

/// The steps, by rule id, in file order. Unchanged rules have none.
///
/// `complete`: all rule folders were read, so that a missing file was removed.
pub fn plan(scan: &Scan, known: &[RuleFile], rules: &[AnalyticsRuleRecord], complete: bool) -> Vec<(String, Step)> {
    let known: HashMap<String, &RuleFile> = known.iter().map(|file| (file.rule_id.to_lowercase(), file)).collect();
    let rules: HashMap<String, &AnalyticsRuleRecord> = rules.iter().map(|rule| (rule.id.to_lowercase(), rule)).collect();
    let mut steps = Vec::new();
    for found in &scan.rules {
        let key = found.rule.id.to_lowercase();
        let (known, rule) = (known.get(&key), rules.get(&key));
        let same = rule.is_some_and(|rule| rule.properties == found.properties && rule.kind == found.rule.kind_name());
        let file = found.file.clone();
        let step = match (known, rule) {
            (Some(known), Some(rule)) if same && known.etag == rule.etag && known.file == file && known.digest == found.digest => continue,
            (_, Some(rule)) if same => Step::Adopt { file, etag: rule.etag },
            (Some(known), Some(rule)) if known.digest == found.digest && known.etag != rule.etag => {
                Step::KeepOverride { file, deleted: false }
            }
            (Some(known), None) if known.digest == found.digest => Step::KeepOverride { file, deleted: true },
            (known, rule) => {
                let changed = |known: &&RuleFile| rule.is_none_or(|rule| rule.etag != known.etag);
                Step::Put { file, overridden: known.is_some_and(changed) }
            }
        };
        steps.push((found.rule.id.clone(), step));
    }
    let here = |known: &RuleFile| {
        let id = known.rule_id.to_lowercase();
        scan.rules.iter().any(|found| found.rule.id.to_lowercase() == id) || scan.broken.iter().any(|(file, _)| *file == known.file)
    };
    let mut gone: Vec<&&RuleFile> = known.values().filter(|known| complete && !known.file.starts_with(BUILT_IN) && !here(known)).collect();
    gone.sort_by(|a, b| a.rule_id.cmp(&b.rule_id));
    steps.extend(gone.into_iter().map(|known| (known.rule_id.clone(), Step::Disable { file: known.file.clone() })));
    steps
}

#[cfg(test)]
mod tests {
    use model::Timestamp;

    use super::*;

    const RULE: &str = "id: one\nname: Many tries\nkind: NRT\nseverity: High\nquery: T\n";

    fn text(file: &str, text: &str) -> RuleText {
        RuleText { file: file.to_owned(), text: Ok(text.to_owned()) }
    }

    fn record(found: &FileRule, etag: Uuid) -> AnalyticsRuleRecord {
        AnalyticsRuleRecord {
            id: found.rule.id.clone(),
            kind: found.rule.kind_name().to_owned(),
            enabled: true,
            etag,
            created: Timestamp::UNIX_EPOCH,
            modified: Timestamp::UNIX_EPOCH,
            properties: found.properties.clone(),
        }
    }

    fn known(found: &FileRule, etag: Uuid) -> RuleFile {
        RuleFile { rule_id: found.rule.id.clone(), file: found.file.clone(), digest: found.digest.clone(), etag }
    }

    #[test]
    fn broken_files_and_second_ids_are_told_and_cost_no_other_rule() {
        let scan = scan(&[
            text("a.yaml", RULE),
            text("b.yaml", &RULE.replace("id: one", "id: ONE")),
            text("c.yaml", "name: ["),
            text("d.yaml", &RULE.replace("id: one", "id: two")),
            RuleText { file: "e.yaml".to_owned(), text: Err("permission denied".to_owned()) },
        ]);
        assert_eq!(scan.rules.iter().map(|found| found.file.as_str()).collect::<Vec<_>>(), ["a.yaml", "d.yaml"]);
        assert_eq!(scan.broken[0], ("b.yaml".to_owned(), "b.yaml: has the id `ONE` of `a.yaml`; give it one of its own".to_owned()));
        assert!(scan.broken[1].1.starts_with("c.yaml, line "), "{}", scan.broken[1].1);
        assert_eq!(scan.broken[2].1, "e.yaml: permission denied");
    }

    #[test]
    fn a_change_in_another_way_stays_until_the_file_changes() {
        let (first, second) = (scan(&[text("a.yaml", RULE)]), scan(&[text("a.yaml", &RULE.replace("High", "Low"))]));
        let found = &first.rules[0];
        let (ours, theirs) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let step = |scan: &Scan, known: &[RuleFile], rules: &[AnalyticsRuleRecord]| {
            plan(scan, known, rules, true).into_iter().map(|(_, step)| step).next()
        };
        let file = || "a.yaml".to_owned();
        assert_eq!(step(&first, &[], &[]), Some(Step::Put { file: file(), overridden: false }));
        assert_eq!(step(&first, &[known(found, ours)], &[record(found, ours)]), None);
        let mut changed = record(found, theirs);
        changed.properties.insert("severity".to_owned(), "Medium".into());
        assert_eq!(step(&first, &[known(found, ours)], &[changed.clone()]), Some(Step::KeepOverride { file: file(), deleted: false }));
        assert_eq!(step(&first, &[known(found, ours)], &[]), Some(Step::KeepOverride { file: file(), deleted: true }));
        assert_eq!(step(&second, &[known(found, ours)], &[changed]), Some(Step::Put { file: file(), overridden: true }));
        assert_eq!(step(&second, &[known(found, ours)], &[record(found, ours)]), Some(Step::Put { file: file(), overridden: false }));
        assert_eq!(step(&second, &[known(found, ours)], &[]), Some(Step::Put { file: file(), overridden: true }));
        // As left by an earlier version, or changed back manually.
        assert_eq!(step(&first, &[], &[record(found, theirs)]), Some(Step::Adopt { file: file(), etag: theirs }));
    }

    #[test]
    fn a_file_that_is_gone_disables_its_rule_and_one_that_is_broken_does_not() {
        let first = scan(&[text("a.yaml", RULE)]);
        let (found, etag) = (&first.rules[0], Uuid::from_u128(1));
        let (known, rule) = (vec![known(found, etag)], vec![record(found, etag)]);
        let disable = vec![("one".to_owned(), Step::Disable { file: "a.yaml".to_owned() })];
        assert_eq!(plan(&Scan::default(), &known, &rule, true), disable);
        assert_eq!(plan(&Scan::default(), &known, &rule, false), [], "a folder that cannot be read says nothing");
        assert_eq!(plan(&scan(&[text("a.yaml", "name: [")]), &known, &rule, true), []);
        let built_in = vec![RuleFile { file: format!("{BUILT_IN}a.yaml"), ..known[0].clone() }];
        assert_eq!(plan(&Scan::default(), &built_in, &rule, true), []);
    }
}
