-- The logs of this database; `tree_size` is also the row that whoever appends must hold.
CREATE TABLE journal_logs (
    log_id       INTEGER NOT NULL PRIMARY KEY,
    origin       TEXT    NOT NULL UNIQUE,
    verifier_key TEXT    NOT NULL,
    tree_size    INTEGER NOT NULL
) STRICT;

-- One row a leaf. An erased entry keeps `content`, its commitment, in place of `salt` and `payload`.
CREATE TABLE journal_entries (
    log_id      INTEGER NOT NULL,
    leaf_index  INTEGER NOT NULL,
    entry_id    BLOB    NOT NULL,
    subject     TEXT    NOT NULL,
    sequence    INTEGER NOT NULL,
    previous    BLOB    NOT NULL,
    recorded_at INTEGER NOT NULL,
    salt        BLOB,
    payload     BLOB,
    content     BLOB,
    leaf_hash   BLOB    NOT NULL,
    PRIMARY KEY (log_id, leaf_index),
    CHECK ((salt IS NULL) = (payload IS NULL) AND (salt IS NULL) = (content IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX journal_entries_by_subject ON journal_entries (subject, log_id, sequence);
CREATE UNIQUE INDEX journal_entries_by_id ON journal_entries (entry_id, log_id);

-- Complete subtrees above the leaves; they never change.
CREATE TABLE journal_nodes (
    log_id   INTEGER NOT NULL,
    level    INTEGER NOT NULL,
    position INTEGER NOT NULL,
    hash     BLOB    NOT NULL,
    PRIMARY KEY (log_id, level, position)
) STRICT, WITHOUT ROWID;

-- Every checkpoint ever signed and given out.
CREATE TABLE journal_checkpoints (
    log_id    INTEGER NOT NULL,
    tree_size INTEGER NOT NULL,
    note      TEXT    NOT NULL,
    PRIMARY KEY (log_id, tree_size)
) STRICT;

-- Written with a service's own state change, on their way into the log.
CREATE TABLE journal_staged (
    log_id    INTEGER NOT NULL,
    entry_id  BLOB    NOT NULL,
    subject   TEXT    NOT NULL,
    payload   BLOB    NOT NULL,
    staged_at INTEGER NOT NULL,
    PRIMARY KEY (entry_id, log_id)
) STRICT;
CREATE INDEX journal_staged_by_age ON journal_staged (log_id, staged_at, entry_id);
