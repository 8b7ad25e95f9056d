-- The body holds the whole incident; the other columns repeat what is searched and sorted by.
CREATE TABLE incidents (
    id             TEXT NOT NULL PRIMARY KEY,
    number         INTEGER NOT NULL UNIQUE,
    etag           TEXT NOT NULL,
    title          TEXT NOT NULL,
    description    TEXT NOT NULL,
    severity       TEXT NOT NULL,
    severity_rank  INTEGER NOT NULL,
    status         TEXT NOT NULL,
    classification TEXT,
    owner_name     TEXT,
    owner_email    TEXT,
    owner_upn      TEXT,
    owner_id       TEXT,
    provider_name  TEXT NOT NULL,
    provider_id    TEXT NOT NULL,
    created        INTEGER NOT NULL,
    modified       INTEGER NOT NULL,
    first_activity INTEGER,
    last_activity  INTEGER,
    closed         INTEGER,
    group_key      TEXT,
    alerts         INTEGER NOT NULL,
    body           TEXT NOT NULL
) STRICT;
CREATE INDEX incidents_by_status ON incidents (status, number);
CREATE INDEX incidents_by_created ON incidents (created);
CREATE INDEX incidents_by_modified ON incidents (modified);
CREATE INDEX incidents_by_group ON incidents (group_key, number) WHERE group_key IS NOT NULL;

-- The last number given, kept apart so that a deleted incident's number stays used.
CREATE TABLE incident_numbers (
    one  INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    last INTEGER NOT NULL
) STRICT;
INSERT INTO incident_numbers (one, last) VALUES (1, 0);

CREATE TABLE incident_alerts (
    incident TEXT NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    alert    TEXT NOT NULL REFERENCES alerts (id),
    position INTEGER NOT NULL,
    PRIMARY KEY (incident, alert)
) STRICT, WITHOUT ROWID;
CREATE INDEX incident_alerts_by_alert ON incident_alerts (alert);

-- Comments, tasks and relations: `kind` says which.
CREATE TABLE incident_parts (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    incident TEXT NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    kind     TEXT NOT NULL,
    id       TEXT NOT NULL,
    body     TEXT NOT NULL,
    UNIQUE (incident, kind, id)
) STRICT;
