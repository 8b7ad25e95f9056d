-- `id` is the resource name as first written; names ignore case.
CREATE TABLE analytics_rules (
    id           TEXT NOT NULL PRIMARY KEY COLLATE NOCASE,
    kind         TEXT NOT NULL,
    display_name TEXT NOT NULL,
    enabled      INTEGER NOT NULL,
    etag         TEXT NOT NULL,
    created      INTEGER NOT NULL,
    modified     INTEGER NOT NULL,
    properties   TEXT NOT NULL
) STRICT;

-- Where each rule's runs stand. Not a child of the rules: rules that come from content files run too.
CREATE TABLE analytics_rule_runs (
    rule_id TEXT NOT NULL PRIMARY KEY COLLATE NOCASE,
    state   TEXT NOT NULL
) STRICT;
