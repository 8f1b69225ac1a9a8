-- Published versions of the habilitation matrix. Rows are never changed nor deleted: decisions of any age name them.
CREATE TABLE matrices (
    version      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    valid_from   BIGINT NOT NULL,
    valid_until  BIGINT,
    content      TEXT NOT NULL,
    published_by TEXT NOT NULL,
    published_at BIGINT NOT NULL
);

-- Each decision asks which one is in force; and no two begin at the same moment.
CREATE UNIQUE INDEX matrices_by_start ON matrices (valid_from);

-- One row, taken by whoever publishes, so that publications have an order and none overlaps another unseen.
CREATE TABLE matrix_lock (
    singleton INTEGER NOT NULL PRIMARY KEY CHECK (singleton = 1)
);
INSERT INTO matrix_lock (singleton) VALUES (1);

-- A candidate is tried on every live authorisation, dossier by dossier.
CREATE INDEX facts_by_kind ON facts (kind, dmp_id, fact_id) WHERE revision_to IS NULL;
