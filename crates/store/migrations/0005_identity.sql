-- What the embedded cloud is called: tenant, subscription, workspace id. One row a name, written once.
CREATE TABLE cloud_names (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- Applications that may ask for tokens. `secrets` and `certificates` are JSON lists; no secret is ever stored, only its hash.
CREATE TABLE app_registrations (
    app_id       TEXT NOT NULL PRIMARY KEY COLLATE NOCASE,
    object_id    TEXT NOT NULL UNIQUE COLLATE NOCASE,
    display_name TEXT NOT NULL,
    created      INTEGER NOT NULL,
    secrets      TEXT NOT NULL,
    certificates TEXT NOT NULL
) STRICT;

-- Who holds which role where. `scope` is a resource id; `name` is the assignment's GUID.
CREATE TABLE role_assignments (
    name          TEXT NOT NULL PRIMARY KEY COLLATE NOCASE,
    scope         TEXT NOT NULL COLLATE NOCASE,
    definition_id TEXT NOT NULL,
    principal_id  TEXT NOT NULL COLLATE NOCASE,
    created       INTEGER NOT NULL,
    created_by    TEXT NOT NULL
) STRICT;
CREATE INDEX role_assignments_of ON role_assignments (principal_id);
