-- The life of each dossier of this host. `changes` counts every write under it: taking it by UPDATE is also the lock
-- under which they happen one after the other. `key` is the dossier's key, wrapped by the host's.
CREATE TABLE dossiers (
    dmp_id         TEXT    NOT NULL PRIMARY KEY,
    opened_at      INTEGER NOT NULL,
    closed_at      INTEGER,
    closure_reason INTEGER,
    kept_until     INTEGER,
    key            BLOB    NOT NULL,
    revision       INTEGER NOT NULL,
    changes        INTEGER NOT NULL,
    CHECK ((closed_at IS NULL) = (closure_reason IS NULL) AND (closed_at IS NULL) = (kept_until IS NULL))
) STRICT;

-- The registry: an XDS DocumentEntry a row. What listings filter and order by has a column; the rest of what a document
-- says of itself is in `description`, encoded as the contract carries it. `announce_by` ends `hidden_from_holder`.
CREATE TABLE documents (
    dmp_id                      TEXT    NOT NULL,
    unique_id                   TEXT    NOT NULL,
    logical_id                  BLOB    NOT NULL,
    entry_uuid                  BLOB    NOT NULL,
    status                      INTEGER NOT NULL,
    type_code                   TEXT    NOT NULL,
    class_code                  TEXT    NOT NULL,
    masked                      INTEGER NOT NULL,
    hidden_from_holder          INTEGER NOT NULL,
    hidden_from_representatives INTEGER NOT NULL,
    announce_by                 INTEGER NOT NULL,
    service_start               INTEGER NOT NULL,
    media_type                  TEXT    NOT NULL,
    size                        INTEGER NOT NULL,
    sha256                      BLOB    NOT NULL,
    submitted_by                TEXT    NOT NULL,
    submitted_at                INTEGER NOT NULL,
    description                 BLOB    NOT NULL,
    PRIMARY KEY (dmp_id, unique_id)
) STRICT;
CREATE INDEX documents_by_act ON documents (dmp_id, service_start DESC, unique_id);

-- Who wrote each document: to list by author, and because an author sees what is masked.
CREATE TABLE document_authors (
    dmp_id    TEXT NOT NULL,
    author_id TEXT NOT NULL,
    unique_id TEXT NOT NULL,
    PRIMARY KEY (dmp_id, author_id, unique_id)
) STRICT;

-- The key of each content, wrapped by its dossier's key, and how many chunks there are.
CREATE TABLE document_keys (
    dmp_id     TEXT    NOT NULL,
    logical_id BLOB    NOT NULL,
    key        BLOB    NOT NULL,
    chunks     INTEGER NOT NULL,
    PRIMARY KEY (dmp_id, logical_id)
) STRICT;

-- Sealed content, beside its metadata so that one transaction writes both or neither.
CREATE TABLE document_contents (
    dmp_id     TEXT    NOT NULL,
    logical_id BLOB    NOT NULL,
    chunk      INTEGER NOT NULL,
    sealed     BLOB    NOT NULL,
    PRIMARY KEY (dmp_id, logical_id, chunk)
) STRICT;

-- Where the use of the dossier is possible (L1111-14, seventh sentence): covered as soon as there is a date.
CREATE TABLE territories (
    code          TEXT    NOT NULL PRIMARY KEY,
    name          TEXT    NOT NULL,
    covered_since INTEGER
) STRICT;

-- Care episodes as reported: what the duty is measured on.
CREATE TABLE care_episodes (
    physician_id TEXT    NOT NULL,
    started_at   INTEGER NOT NULL,
    dmp_id       TEXT    NOT NULL,
    ended_at     INTEGER NOT NULL,
    PRIMARY KEY (physician_id, started_at, dmp_id)
) STRICT;

-- Physicians' consultations and updates, each with the journal entry that proves it. Written only in the transaction
-- that stages that entry: there is no row here without an entry in the log.
CREATE TABLE duty_uses (
    physician_id TEXT    NOT NULL,
    dmp_id       TEXT    NOT NULL,
    occurred_at  INTEGER NOT NULL,
    entry_id     BLOB    NOT NULL,
    PRIMARY KEY (physician_id, dmp_id, occurred_at, entry_id)
) STRICT;
