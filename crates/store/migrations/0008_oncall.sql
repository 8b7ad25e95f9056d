-- Users, schedules, policies: what was applied, by kind and name. The body is JSON, as in a document.
CREATE TABLE oncall_objects (
    kind     TEXT NOT NULL,
    name     TEXT NOT NULL,
    etag     TEXT NOT NULL,
    modified INTEGER NOT NULL,
    body     TEXT NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

-- Incidents that changed since on call looked at them. An incident that changes again gets another `seq`, so that a look that began
-- before does not strike it out. Filled by triggers: no change of an incident can forget it. What was there before on call is not paged.
CREATE TABLE incidents_to_page (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    incident TEXT NOT NULL UNIQUE
) STRICT;
CREATE TRIGGER incidents_to_page_opened AFTER INSERT ON incidents
BEGIN
    DELETE FROM incidents_to_page WHERE incident = NEW.id;
    INSERT INTO incidents_to_page (incident) VALUES (NEW.id);
END;
CREATE TRIGGER incidents_to_page_changed AFTER UPDATE ON incidents
BEGIN
    DELETE FROM incidents_to_page WHERE incident = NEW.id;
    INSERT INTO incidents_to_page (incident) VALUES (NEW.id);
END;
CREATE TRIGGER incidents_to_page_deleted AFTER DELETE ON incidents
BEGIN
    DELETE FROM incidents_to_page WHERE incident = OLD.id;
    INSERT INTO incidents_to_page (incident) VALUES (OLD.id);
END;

-- The body holds the whole; the other columns repeat what is searched. `due`: when something is to be decided; null: nothing comes.
CREATE TABLE escalations (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    incident   TEXT NOT NULL,
    generation INTEGER NOT NULL,
    status     TEXT NOT NULL,
    due        INTEGER,
    group_key  TEXT,
    body       TEXT NOT NULL,
    UNIQUE (incident, generation)
) STRICT;
CREATE INDEX escalations_due ON escalations (due) WHERE due IS NOT NULL;
CREATE INDEX escalations_of_groups ON escalations (seq) WHERE group_key IS NOT NULL;
CREATE INDEX escalations_open ON escalations (seq) WHERE status <> 'closed';

-- `not_before`: when a planned page is to be sent; null: it is not planned any more.
CREATE TABLE pages (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    escalation  TEXT NOT NULL,
    incident    TEXT NOT NULL,
    channel     TEXT NOT NULL,
    address     TEXT NOT NULL,
    reply_code  TEXT NOT NULL,
    status      TEXT NOT NULL,
    due         INTEGER NOT NULL,
    not_before  INTEGER,
    provider_id TEXT,
    body        TEXT NOT NULL
) STRICT;
CREATE INDEX pages_planned ON pages (not_before) WHERE not_before IS NOT NULL;
CREATE INDEX pages_by_due ON pages (due);
CREATE INDEX pages_claimed ON pages (seq) WHERE status = 'claimed';
CREATE INDEX pages_of_escalation ON pages (escalation, seq);
CREATE INDEX pages_of_incident ON pages (incident, seq);
CREATE INDEX pages_of_address ON pages (address, seq);
CREATE INDEX pages_of_code ON pages (reply_code, seq);
CREATE INDEX pages_of_provider ON pages (provider_id) WHERE provider_id IS NOT NULL;

-- Where the work on each alert of an incident stands.
CREATE TABLE alert_responses (
    incident TEXT NOT NULL,
    alert    TEXT NOT NULL,
    state    TEXT NOT NULL,
    at       INTEGER NOT NULL,
    body     TEXT NOT NULL,
    PRIMARY KEY (incident, alert)
) STRICT, WITHOUT ROWID;

-- What answers want done to incidents, written with the answer and struck out once it is done.
CREATE TABLE incident_wishes (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    id       TEXT NOT NULL UNIQUE,
    incident TEXT NOT NULL,
    body     TEXT NOT NULL
) STRICT;

-- When each heartbeat was last heard of, and the incident that its silence opened.
CREATE TABLE heartbeats (
    name     TEXT NOT NULL PRIMARY KEY,
    heard    INTEGER NOT NULL,
    incident TEXT
) STRICT, WITHOUT ROWID;
