-- Data collection rules as the API stored them. Names are unique in their resource group and ignore case.
CREATE TABLE data_collection_rules (
    immutable_id   TEXT NOT NULL PRIMARY KEY COLLATE NOCASE,
    resource_group TEXT NOT NULL COLLATE NOCASE,
    name           TEXT NOT NULL COLLATE NOCASE,
    kind           TEXT,
    location       TEXT NOT NULL,
    tags           TEXT NOT NULL,
    etag           TEXT NOT NULL,
    created        INTEGER NOT NULL,
    modified       INTEGER NOT NULL,
    properties     TEXT NOT NULL,
    UNIQUE (resource_group, name)
) STRICT;
