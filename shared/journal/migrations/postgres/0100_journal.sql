-- The logs of this database; `tree_size` is also the row that whoever appends must hold.
CREATE TABLE journal_logs (
    log_id       BIGINT  NOT NULL PRIMARY KEY,
    origin       TEXT    NOT NULL UNIQUE,
    verifier_key TEXT    NOT NULL,
    tree_size    BIGINT  NOT NULL
);

-- One row a leaf. An erased entry keeps `content`, its commitment, in place of `salt` and `payload`.
CREATE TABLE journal_entries (
    log_id      BIGINT  NOT NULL,
    leaf_index  BIGINT  NOT NULL,
    entry_id    UUID    NOT NULL,
    subject     TEXT COLLATE "C" NOT NULL,
    sequence    BIGINT  NOT NULL,
    previous    BYTEA   NOT NULL,
    recorded_at BIGINT  NOT NULL,
    salt        BYTEA,
    payload     BYTEA,
    content     BYTEA,
    leaf_hash   BYTEA   NOT NULL,
    PRIMARY KEY (log_id, leaf_index),
    CHECK ((salt IS NULL) = (payload IS NULL) AND (salt IS NULL) = (content IS NOT NULL))
);
CREATE UNIQUE INDEX journal_entries_by_subject ON journal_entries (subject, log_id, sequence);
CREATE UNIQUE INDEX journal_entries_by_id ON journal_entries (entry_id, log_id);

-- Complete subtrees above the leaves; they never change.
CREATE TABLE journal_nodes (
    log_id   BIGINT  NOT NULL,
    level    BIGINT  NOT NULL,
    position BIGINT  NOT NULL,
    hash     BYTEA   NOT NULL,
    PRIMARY KEY (log_id, level, position)
);

-- Every checkpoint ever signed and given out.
CREATE TABLE journal_checkpoints (
    log_id    BIGINT  NOT NULL,
    tree_size BIGINT  NOT NULL,
    note      TEXT    NOT NULL,
    PRIMARY KEY (log_id, tree_size)
);

-- Written with a service's own state change, on their way into the log.
CREATE TABLE journal_staged (
    log_id    BIGINT  NOT NULL,
    entry_id  UUID    NOT NULL,
    subject   TEXT COLLATE "C" NOT NULL,
    payload   BYTEA   NOT NULL,
    staged_at BIGINT  NOT NULL,
    PRIMARY KEY (entry_id, log_id)
);
CREATE INDEX journal_staged_by_age ON journal_staged (log_id, staged_at, entry_id);
