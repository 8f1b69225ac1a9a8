-- Whether representatives are told nothing of it (L1111-5). Nothing was said in secret before.
ALTER TABLE facts ADD COLUMN secret BOOLEAN NOT NULL DEFAULT FALSE;

-- What is said in secret stands beside what is said openly: neither ends nor hides the other.
DROP INDEX facts_live;
CREATE UNIQUE INDEX facts_live ON facts (dmp_id, subject, kind, secret) WHERE revision_to IS NULL;
