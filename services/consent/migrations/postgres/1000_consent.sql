-- One row a dossier: the revision of its facts. Each write takes the row first, so that writes about one person have
-- an order and writes about different persons never wait for each other.
CREATE TABLE dossier_revisions (
    dmp_id   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    revision BIGINT NOT NULL
);

-- Everything the person or the law says, with the revision that brought it and the one that ended it. Rows are never
-- deleted; ending fills the `ended` columns and `revision_to`, once. What held at revision r is
-- revision_from <= r AND (revision_to IS NULL OR revision_to > r).
CREATE TABLE facts (
    dmp_id        TEXT COLLATE "C" NOT NULL,
    fact_id       UUID   NOT NULL,
    kind          TEXT COLLATE "C" NOT NULL,
    subject       TEXT COLLATE "C" NOT NULL,
    details       BYTEA  NOT NULL,
    valid_until   BIGINT,
    recorded_at   BIGINT NOT NULL,
    recorded_by   TEXT   NOT NULL,
    revision_from BIGINT NOT NULL,
    revision_to   BIGINT,
    ended_at      BIGINT,
    ended_by      TEXT,
    PRIMARY KEY (dmp_id, fact_id)
);

-- A decision asks for a handful of subjects of one dossier; and no two live facts of a kind are about the same subject.
CREATE UNIQUE INDEX facts_live ON facts (dmp_id, subject, kind) WHERE revision_to IS NULL;

-- Listings, newest first.
CREATE INDEX facts_by_revision ON facts (dmp_id, revision_from, fact_id);
