//! Values of operator options, taken from the binder's tables where available.

use crate::bind::operators::{join, mv_expand};

const TRUTH: &[&str] = &["true", "false"];

/// The values of `option` of `operator`; empty if unrestricted.
pub fn values(operator: &str, option: &str) -> Vec<&'static str> {
    let fixed: &[&str] = match (operator, option) {
        ("join", "kind") => return join::KINDS.iter().map(|(name, _)| *name).collect(),
        ("mv-expand" | "mv-apply" | "mvexpand" | "mvapply", "kind" | "bagexpansion") => {
            return mv_expand::KINDS.iter().map(|(name, _)| *name).collect();
        }
        ("lookup", "kind") => &["leftouter", "inner"],
        ("union", "kind") => &["outer", "inner"],
        ("union", "isfuzzy") => TRUTH,
        ("parse", "kind") => &["simple", "regex", "relaxed"],
        ("parse-where", "kind") => &["simple", "regex"],
        ("make-series", "kind") => &["nonempty"],
        ("search", "kind") => &["case_sensitive", "case_insensitive"],
        ("partition", "kind") => &["native", "shuffle", "legacy"],
        ("render", "kind") => &["default", "stacked", "stacked100", "unstacked", "map"],
        _ => &[],
    };
    fixed.to_vec()
}
