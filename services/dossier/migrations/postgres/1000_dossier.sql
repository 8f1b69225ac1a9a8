-- The life of each dossier of this host. `changes` counts every write under it: taking it by UPDATE is also the lock
-- under which they happen one after the other. `key` is the dossier's key, wrapped by the host's.
CREATE TABLE dossiers (
    dmp_id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    opened_at      BIGINT           NOT NULL,
    closed_at      BIGINT,
    closure_reason BIGINT,
    kept_until     BIGINT,
    key            BYTEA            NOT NULL,
    revision       BIGINT           NOT NULL,
    changes        BIGINT           NOT NULL,
    CHECK ((closed_at IS NULL) = (closure_reason IS NULL) AND (closed_at IS NULL) = (kept_until IS NULL))
);

-- The registry: an XDS DocumentEntry a row. What listings filter and order by has a column; the rest of what a document
-- says of itself is in `description`, encoded as the contract carries it. `announce_by` ends `hidden_from_holder`.
CREATE TABLE documents (
    dmp_id                      TEXT COLLATE "C" NOT NULL,
    unique_id                   TEXT COLLATE "C" NOT NULL,
    logical_id                  UUID             NOT NULL,
    entry_uuid                  UUID             NOT NULL,
    status                      BIGINT           NOT NULL,
    type_code                   TEXT COLLATE "C" NOT NULL,
    class_code                  TEXT COLLATE "C" NOT NULL,
    masked                      BOOLEAN          NOT NULL,
    hidden_from_holder          BOOLEAN          NOT NULL,
    hidden_from_representatives BOOLEAN          NOT NULL,
    announce_by                 BIGINT           NOT NULL,
    service_start               BIGINT           NOT NULL,
    media_type                  TEXT COLLATE "C" NOT NULL,
    size                        BIGINT           NOT NULL,
    sha256                      BYTEA            NOT NULL,
    submitted_by                TEXT COLLATE "C" NOT NULL,
    submitted_at                BIGINT           NOT NULL,
    description                 BYTEA            NOT NULL,
    PRIMARY KEY (dmp_id, unique_id)
);
CREATE INDEX documents_by_act ON documents (dmp_id, service_start DESC, unique_id);

-- Who wrote each document: to list by author, and because an author sees what is masked.
CREATE TABLE document_authors (
    dmp_id    TEXT COLLATE "C" NOT NULL,
    author_id TEXT COLLATE "C" NOT NULL,
    unique_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (dmp_id, author_id, unique_id)
);

-- The key of each content, wrapped by its dossier's key, and how many chunks there are.
CREATE TABLE document_keys (
    dmp_id     TEXT COLLATE "C" NOT NULL,
    logical_id UUID             NOT NULL,
    key        BYTEA            NOT NULL,
    chunks     BIGINT           NOT NULL,
    PRIMARY KEY (dmp_id, logical_id)
);

-- Sealed content, beside its metadata so that one transaction writes both or neither.
CREATE TABLE document_contents (
    dmp_id     TEXT COLLATE "C" NOT NULL,
    logical_id UUID             NOT NULL,
    chunk      BIGINT           NOT NULL,
    sealed     BYTEA            NOT NULL,
    PRIMARY KEY (dmp_id, logical_id, chunk)
);

-- Where the use of the dossier is possible (L1111-14, seventh sentence): covered as soon as there is a date.
CREATE TABLE territories (
    code          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name          TEXT COLLATE "C" NOT NULL,
    covered_since BIGINT
);

-- Care episodes as reported: what the duty is measured on.
CREATE TABLE care_episodes (
    physician_id TEXT COLLATE "C" NOT NULL,
    started_at   BIGINT           NOT NULL,
    dmp_id       TEXT COLLATE "C" NOT NULL,
    ended_at     BIGINT           NOT NULL,
    PRIMARY KEY (physician_id, started_at, dmp_id)
);

-- Physicians' consultations and updates, each with the journal entry that proves it. Written only in the transaction
-- that stages that entry: there is no row here without an entry in the log.
CREATE TABLE duty_uses (
    physician_id TEXT COLLATE "C" NOT NULL,
    dmp_id       TEXT COLLATE "C" NOT NULL,
    occurred_at  BIGINT           NOT NULL,
    entry_id     UUID             NOT NULL,
    PRIMARY KEY (physician_id, dmp_id, occurred_at, entry_id)
);
