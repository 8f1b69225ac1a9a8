-- Published versions of the habilitation matrix. Rows are never changed nor deleted: decisions of any age name them.
CREATE TABLE matrices (
    version      TEXT    NOT NULL PRIMARY KEY,
    valid_from   INTEGER NOT NULL,
    valid_until  INTEGER,
    content      TEXT    NOT NULL,
    published_by TEXT    NOT NULL,
    published_at INTEGER NOT NULL
) STRICT;

-- Each decision asks which one is in force; and no two begin at the same moment.
CREATE UNIQUE INDEX matrices_by_start ON matrices (valid_from);

-- One row, taken by whoever publishes, so that publications have an order and none overlaps another unseen.
CREATE TABLE matrix_lock (
    singleton INTEGER NOT NULL PRIMARY KEY CHECK (singleton = 1)
) STRICT;
INSERT INTO matrix_lock (singleton) VALUES (1);

-- A candidate is tried on every live authorisation, dossier by dossier.
CREATE INDEX facts_by_kind ON facts (kind, dmp_id, fact_id) WHERE revision_to IS NULL;
