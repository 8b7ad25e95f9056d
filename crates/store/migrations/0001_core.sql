-- Who this database is, so that positions written elsewhere for another one are never taken for ours.
CREATE TABLE identity (
    id   TEXT NOT NULL PRIMARY KEY
) STRICT;

-- Who changed what, from where. Only ever appended to.
CREATE TABLE audit (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    at        INTEGER NOT NULL,
    aggregate TEXT NOT NULL,
    id        TEXT NOT NULL,
    action    TEXT NOT NULL,
    actor     TEXT NOT NULL,
    changes   TEXT NOT NULL
) STRICT;
CREATE INDEX audit_of ON audit (aggregate, id, seq);

-- Rows that still have to reach the tables of the workspace, written with the change they tell of.
CREATE TABLE outbox (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    table_name TEXT NOT NULL,
    row       TEXT NOT NULL
) STRICT;
