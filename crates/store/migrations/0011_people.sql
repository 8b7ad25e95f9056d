-- People who sign in. `name` is as written; `name_key` is its normal form, by which it is unique and found. `password_hash` is an argon2id
-- PHC string; `totp` and `totp_pending` are sealed with a key outside this file; `recovery_codes` is a JSON list of hashes.
CREATE TABLE accounts (
    object_id            TEXT    NOT NULL PRIMARY KEY COLLATE NOCASE,
    tenant_id            TEXT    NOT NULL COLLATE NOCASE,
    name                 TEXT    NOT NULL,
    name_key             TEXT    NOT NULL,
    display_name         TEXT    NOT NULL,
    email                TEXT,
    password_hash        TEXT,
    -- Set by somebody else: must be changed before anything else.
    must_change_password INTEGER NOT NULL,
    -- Generated at the first start and repeated in `connect.json`.
    bootstrap_password   INTEGER NOT NULL,
    totp                 TEXT,
    totp_pending         TEXT,
    -- The time step of the last accepted code: no code is accepted twice.
    totp_step            INTEGER NOT NULL,
    recovery_codes       TEXT    NOT NULL,
    disabled             INTEGER NOT NULL,
    created              INTEGER NOT NULL,
    changed              INTEGER NOT NULL,
    last_sign_in         INTEGER,
    UNIQUE (tenant_id, name_key)
) STRICT;

CREATE TABLE directory_groups (
    object_id   TEXT    NOT NULL PRIMARY KEY COLLATE NOCASE,
    tenant_id   TEXT    NOT NULL COLLATE NOCASE,
    name        TEXT    NOT NULL,
    name_key    TEXT    NOT NULL,
    description TEXT    NOT NULL,
    created     INTEGER NOT NULL,
    UNIQUE (tenant_id, name_key)
) STRICT;

CREATE TABLE group_members (
    group_id   TEXT    NOT NULL COLLATE NOCASE REFERENCES directory_groups (object_id) ON DELETE CASCADE,
    account_id TEXT    NOT NULL COLLATE NOCASE REFERENCES accounts (object_id) ON DELETE CASCADE,
    added      INTEGER NOT NULL,
    PRIMARY KEY (group_id, account_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_members_of ON group_members (account_id);

-- Sessions of people. `secret_hash` is the SHA-256 of the secret in the cookie, `id` a public name for lists.
CREATE TABLE sessions (
    id            TEXT    NOT NULL PRIMARY KEY COLLATE NOCASE,
    secret_hash   TEXT    NOT NULL UNIQUE,
    account_id    TEXT    NOT NULL COLLATE NOCASE REFERENCES accounts (object_id) ON DELETE CASCADE,
    created       INTEGER NOT NULL,
    last_seen     INTEGER NOT NULL,
    expires       INTEGER NOT NULL,
    address       TEXT    NOT NULL,
    user_agent    TEXT    NOT NULL,
    second_factor INTEGER NOT NULL,
    revoked       INTEGER
) STRICT;
CREATE INDEX sessions_of ON sessions (account_id);
