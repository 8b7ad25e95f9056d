-- How entries are sealed. Version 2 also covers the entry's number; the service seals existing entries again when it finds version 1.
CREATE TABLE audit_chain (
    version INTEGER NOT NULL
) STRICT;
INSERT INTO audit_chain (version) VALUES (1);

CREATE INDEX audit_at ON audit (at, seq);
