-- handled: 0 not yet, 1 done, 2 put aside because the body does not read back.
CREATE TABLE alerts (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    id        TEXT NOT NULL UNIQUE,
    rule_id   TEXT NOT NULL,
    generated INTEGER NOT NULL,
    handled   INTEGER NOT NULL DEFAULT 0,
    body      TEXT NOT NULL
) STRICT;
CREATE INDEX alerts_pending ON alerts (seq) WHERE handled = 0;
CREATE INDEX alerts_of_rule ON alerts (rule_id, generated);
