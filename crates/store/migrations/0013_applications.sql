-- Reply URLs, audience, app roles, scopes and required permissions of an application, as JSON.
ALTER TABLE app_registrations ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';

-- Authorization codes, refresh tokens and device codes, by the SHA-256 of their text. `family` groups a code with all refresh tokens that
-- follow from it; of a device code it is the SHA-256 of the user code.
CREATE TABLE oauth_grants (
    hash    TEXT NOT NULL PRIMARY KEY,
    kind    TEXT NOT NULL,
    family  TEXT NOT NULL,
    app_id  TEXT NOT NULL COLLATE NOCASE,
    state   TEXT NOT NULL,
    body    TEXT NOT NULL,
    expires INTEGER NOT NULL
) STRICT;
CREATE INDEX oauth_grants_of ON oauth_grants (family);
CREATE INDEX oauth_grants_until ON oauth_grants (expires);

-- Permissions consented to: delegated scopes and app roles. An empty `principal` is everyone in the tenant.
CREATE TABLE consents (
    app_id    TEXT NOT NULL COLLATE NOCASE,
    resource  TEXT NOT NULL COLLATE NOCASE,
    kind      TEXT NOT NULL,
    value     TEXT NOT NULL,
    principal TEXT NOT NULL COLLATE NOCASE,
    id        TEXT NOT NULL COLLATE NOCASE,
    granted   INTEGER NOT NULL,
    granted_by TEXT NOT NULL,
    PRIMARY KEY (app_id, resource, kind, value, principal)
) STRICT;

-- The last answer of an administrator to a request for consent.
CREATE TABLE consent_answers (
    app_id   TEXT NOT NULL PRIMARY KEY COLLATE NOCASE,
    answer   TEXT NOT NULL,
    answered INTEGER NOT NULL,
    answered_by TEXT NOT NULL
) STRICT;

-- Client assertions in use, by the SHA-256 of application and `jti`, until they expire.
CREATE TABLE client_assertions (
    id      TEXT NOT NULL PRIMARY KEY,
    digest  TEXT NOT NULL,
    address TEXT NOT NULL,
    expires INTEGER NOT NULL
) STRICT;
CREATE INDEX client_assertions_until ON client_assertions (expires);
