-- Whoever can own a mailbox, as the national directory knows them: professionals and structures in one table, since
-- they are searched together. `search_key` is the folded name, then kind and identifier: the order of the directory.
CREATE TABLE parties (
    kind       TEXT COLLATE "C" NOT NULL CHECK (kind IN ('PROFESSIONAL', 'STRUCTURE')),
    party_id   TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    given_name TEXT COLLATE "C" NOT NULL,
    profession TEXT COLLATE "C" NOT NULL,
    specialty  TEXT COLLATE "C" NOT NULL,
    search_key TEXT COLLATE "C" NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (kind, party_id)
);
CREATE UNIQUE INDEX parties_by_name ON parties (search_key);
CREATE INDEX parties_by_profession ON parties (profession, search_key);

-- Where professionals practise. A structure may be named before it is registered: extracts come in any order.
CREATE TABLE practices (
    professional_id TEXT COLLATE "C" NOT NULL,
    position        BIGINT NOT NULL,
    structure_id    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (professional_id, position)
);

-- The white list: only addresses of these domains may be opened.
CREATE TABLE domains (
    domain     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    allowed_at BIGINT NOT NULL
);

-- `sequence` numbers what a mailbox sends and receives; taking the next one is the lock on the mailbox. A closed
-- mailbox keeps its row for ever, so that its address never becomes somebody else's.
CREATE TABLE mailboxes (
    mailbox_id  UUID NOT NULL PRIMARY KEY,
    address     TEXT COLLATE "C" NOT NULL,
    type        TEXT COLLATE "C" NOT NULL CHECK (type IN ('PER', 'CAB', 'ORG', 'APP')),
    owner_kind  TEXT COLLATE "C" NOT NULL,
    owner_id    TEXT COLLATE "C" NOT NULL,
    unlisted    BOOLEAN NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    sequence    BIGINT NOT NULL,
    opened_at   BIGINT NOT NULL,
    closed_at   BIGINT,
    FOREIGN KEY (owner_kind, owner_id) REFERENCES parties (kind, party_id)
);
CREATE UNIQUE INDEX mailboxes_by_address ON mailboxes (address);
CREATE INDEX mailboxes_by_owner ON mailboxes (owner_kind, owner_id, address);

-- One row a message, under the sender's mailbox. Its header (addresses, subject, dossier) is sealed under a key of its
-- own, which the service's key wraps.
CREATE TABLE messages (
    message_id     UUID NOT NULL PRIMARY KEY,
    mailbox_id     UUID NOT NULL REFERENCES mailboxes (mailbox_id),
    sequence       BIGINT NOT NULL,
    deposit_id     UUID NOT NULL,
    reading_wanted BOOLEAN NOT NULL,
    header_key     BYTEA NOT NULL,
    header         BYTEA NOT NULL
);
CREATE UNIQUE INDEX messages_by_mailbox ON messages (mailbox_id, sequence);

-- Bodies, sealed: apart, so that a listing never touches them.
CREATE TABLE bodies (
    message_id UUID NOT NULL PRIMARY KEY REFERENCES messages (message_id),
    sha256     BYTEA NOT NULL,
    body_key   BYTEA NOT NULL,
    body       BYTEA NOT NULL
);

-- A message in a recipient's mailbox. `retrieval_id` and `reading_id` are the journal entries that prove the times
-- beside them.
CREATE TABLE deliveries (
    mailbox_id   UUID NOT NULL REFERENCES mailboxes (mailbox_id),
    sequence     BIGINT NOT NULL,
    message_id   UUID NOT NULL REFERENCES messages (message_id),
    retrieved_at BIGINT,
    retrieval_id UUID,
    read_at      BIGINT,
    reading_id   UUID,
    PRIMARY KEY (mailbox_id, sequence),
    CHECK ((retrieved_at IS NULL) = (retrieval_id IS NULL) AND (read_at IS NULL) = (reading_id IS NULL))
);
CREATE UNIQUE INDEX deliveries_by_message ON deliveries (mailbox_id, message_id);
CREATE INDEX deliveries_unread ON deliveries (mailbox_id, sequence) WHERE read_at IS NULL;
