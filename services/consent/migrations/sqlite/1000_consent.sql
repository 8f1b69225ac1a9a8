-- One row a dossier: the revision of its facts. Each write takes the row first, so that writes about one person have
-- an order and writes about different persons never wait for each other.
CREATE TABLE dossier_revisions (
    dmp_id   TEXT    NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL
) STRICT;

-- Everything the person or the law says, with the revision that brought it and the one that ended it. Rows are never
-- deleted; ending fills the `ended` columns and `revision_to`, once. What held at revision r is
-- revision_from <= r AND (revision_to IS NULL OR revision_to > r).
CREATE TABLE facts (
    dmp_id        TEXT    NOT NULL,
    fact_id       BLOB    NOT NULL,
    kind          TEXT    NOT NULL,
    subject       TEXT    NOT NULL,
    details       BLOB    NOT NULL,
    valid_until   INTEGER,
    recorded_at   INTEGER NOT NULL,
    recorded_by   TEXT    NOT NULL,
    revision_from INTEGER NOT NULL,
    revision_to   INTEGER,
    ended_at      INTEGER,
    ended_by      TEXT,
    PRIMARY KEY (dmp_id, fact_id)
) STRICT;

-- A decision asks for a handful of subjects of one dossier; and no two live facts of a kind are about the same subject.
CREATE UNIQUE INDEX facts_live ON facts (dmp_id, subject, kind) WHERE revision_to IS NULL;

-- Listings, newest first.
CREATE INDEX facts_by_revision ON facts (dmp_id, revision_from, fact_id);
