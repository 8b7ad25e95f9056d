-- Which file an analytics rule came from, and what the file said when it was last applied. `etag` is the rule's as the file made it: a rule
-- with another one was changed, and one that is not there was deleted, in another way since.
CREATE TABLE rule_files (
    rule_id TEXT NOT NULL PRIMARY KEY COLLATE NOCASE,
    file    TEXT NOT NULL,
    digest  TEXT NOT NULL,
    etag    TEXT NOT NULL
) STRICT;
