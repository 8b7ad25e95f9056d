//! Keywords, and which of them may be names. KQL's keywords are contextual: most may be column names.
//!
//! The lists record what Microsoft's parser accepts unquoted as a reference (`where by == 1` is rejected) and as a declaration
//! (`extend by = 1` is accepted).

/// Keywords that may be names anywhere.
const NAMES: &[&str] = &[
    "__partitionby",
    "access",
    "alias",
    "best_effort",
    "bin",
    "bool",
    "consume",
    "count",
    "database",
    "dataformat",
    "datetime_pattern",
    "declare",
    "default",
    "distinct",
    "edges",
    "entity_group",
    "evaluate",
    "extend",
    "facet",
    "filter",
    "fork",
    "from",
    "getschema",
    "graph",
    "guid",
    "id",
    "inline_external_table",
    "join",
    "let",
    "limit",
    "lookup",
    "mvapply",
    "mvexpand",
    "nodes",
    "null",
    "nulls",
    "on",
    "optional",
    "order",
    "output",
    "pack",
    "parse",
    "partition",
    "pattern",
    "plotly",
    "query_parameters",
    "range",
    "reduce",
    "regex",
    "render",
    "restrict",
    "scan",
    "serialize",
    "sort",
    "step",
    "summarize",
    "take",
    "top",
    "typeof",
    "uuid",
    "view",
    "with",
    "with_node_id",
];

/// Keywords allowed as names only in declarations, before `=` or `:`.
const DECLARED: &[&str] = &[
    "accumulate",
    "as",
    "by",
    "contains",
    "datatable",
    "earliest",
    "externaldata",
    "find",
    "has",
    "in",
    "invoke",
    "latest",
    "materialize",
    "mdm",
    "of",
    "print",
    "sample",
    "sample-distinct",
    "search",
    "set",
    "sql",
    "title",
    "to",
    "top-hitters",
    "top-nested",
    "toscalar",
    "totable",
    "verbose",
    "viewers",
    "where",
];

/// Keywords allowed as names only in references.
const REFERRED: &[&str] = &["kind", "with_source", "withsource"];

/// All other keywords: never names without `['…']`.
const RESERVED: &[&str] = &[
    "3Dchart",
    "__contextual_datatable",
    "__crossCluster",
    "__crossDB",
    "__executeAndCache",
    "__id",
    "__isFuzzy",
    "__noWithSource",
    "__packedColumn",
    "__projectAway",
    "__sourceColumnIndex",
    "and",
    "anomalychart",
    "areachart",
    "asc",
    "bagexpansion",
    "barchart",
    "between",
    "boolean",
    "byte",
    "cachingpolicy",
    "callout",
    "cancel",
    "card",
    "char",
    "columnchart",
    "contains_cs",
    "containscs",
    "cycles",
    "dataexport",
    "datascope",
    "date",
    "datetime",
    "decimal",
    "decodeblocks",
    "desc",
    "double",
    "dynamic",
    "encodingpolicy",
    "endswith",
    "endswith_cs",
    "expandoutput",
    "extent_tags_retention",
    "external_data",
    "first",
    "flags",
    "float",
    "force_remote",
    "harddelete",
    "hardretention",
    "has_all",
    "has_any",
    "has_cs",
    "hasprefix",
    "hasprefix_cs",
    "hassuffix",
    "hassuffix_cs",
    "hotcache",
    "int",
    "int16",
    "int32",
    "int64",
    "int8",
    "isfuzzy",
    "journal",
    "ladderchart",
    "last",
    "like",
    "likecs",
    "linechart",
    "long",
    "matches",
    "missing",
    "nooptimization",
    "notcontains",
    "notcontainscs",
    "notlike",
    "notlikecs",
    "or",
    "others",
    "pathformat",
    "piechart",
    "pivotchart",
    "project",
    "queries",
    "query_results",
    "real",
    "relaxed",
    "restricted_view_access",
    "row_level_security",
    "rowstore",
    "rowstore_references",
    "rowstore_sealinfo",
    "rowstorepolicy",
    "rowstores",
    "scatterchart",
    "seal",
    "seals",
    "shards",
    "simple",
    "softdelete",
    "softretention",
    "stackedareachart",
    "startswith",
    "startswith_cs",
    "statistics",
    "storedqueryresultcontainers",
    "string",
    "tablepurge",
    "time",
    "timechart",
    "timeline",
    "timepivot",
    "timespan",
    "treemap",
    "uint",
    "uint16",
    "uint32",
    "uint64",
    "uint8",
    "ulong",
    "union",
    "uniqueid",
    "unrestrictedviewers",
    "views",
    "with_itemindex",
    "with_match_id",
    "with_step_name",
    "writeaheadlog",
];

/// Words that continue or close an expression: if one occurs in place of an operand, the operand is missing.
const CONNECTIVES: &[&str] = &[
    "and",
    "asc",
    "between",
    "by",
    "contains",
    "contains_cs",
    "containscs",
    "desc",
    "endswith",
    "endswith_cs",
    "has",
    "has_all",
    "has_any",
    "has_cs",
    "hasprefix",
    "hasprefix_cs",
    "hassuffix",
    "hassuffix_cs",
    "in",
    "like",
    "likecs",
    "matches",
    "notcontains",
    "notcontainscs",
    "notlike",
    "notlikecs",
    "of",
    "or",
    "startswith",
    "startswith_cs",
    "to",
    "where",
];

/// True if `word` may be used as a reference.
pub fn may_refer(word: &str) -> bool {
    !listed(RESERVED, word) && !listed(DECLARED, word)
}

/// True if `word` may be declared as a name before `=` or `:`.
pub fn may_declare(word: &str) -> bool {
    !listed(RESERVED, word) && !listed(REFERRED, word)
}

/// True if `word` may be declared as a name that nothing follows: `let x`, `as x`.
pub fn may_name(word: &str) -> bool {
    may_refer(word) && may_declare(word)
}

/// True for words that continue or close an expression.
pub fn is_connective(word: &str) -> bool {
    listed(CONNECTIVES, word)
}

/// True for every keyword, whether or not it may be a name.
pub fn is_keyword(word: &str) -> bool {
    [NAMES, DECLARED, REFERRED, RESERVED].iter().any(|list| listed(list, word))
}

fn listed(list: &[&str], word: &str) -> bool {
    list.binary_search(&word).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted() {
        for list in [NAMES, DECLARED, REFERRED, RESERVED, CONNECTIVES] {
            for pair in list.windows(2) {
                assert!(pair[0] < pair[1], "{} {}", pair[0], pair[1]);
            }
        }
    }

    #[test]
    fn context_decides() {
        // Expected results: Microsoft's parser.
        assert!(may_refer("count") && may_declare("count"));
        assert!(may_declare("where") && !may_refer("where"));
        assert!(may_refer("kind") && !may_declare("kind"));
        assert!(!may_declare("first") && !may_refer("first"));
        assert!(may_name("Account") && !is_keyword("Account"));
    }
}
