-- Each entry seals itself and the one before it, so that an entry that was altered or removed is found out.
ALTER TABLE audit ADD COLUMN seal TEXT NOT NULL DEFAULT '';
