-- Whoever can own a mailbox, as the national directory knows them: professionals and structures in one table, since
-- they are searched together. `search_key` is the folded name, then kind and identifier: the order of the directory.
CREATE TABLE parties (
    kind       TEXT    NOT NULL CHECK (kind IN ('PROFESSIONAL', 'STRUCTURE')),
    party_id   TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    given_name TEXT    NOT NULL,
    profession TEXT    NOT NULL,
    specialty  TEXT    NOT NULL,
    search_key TEXT    NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (kind, party_id)
) STRICT;
CREATE UNIQUE INDEX parties_by_name ON parties (search_key);
CREATE INDEX parties_by_profession ON parties (profession, search_key);

-- Where professionals practise. A structure may be named before it is registered: extracts come in any order.
CREATE TABLE practices (
    professional_id TEXT    NOT NULL,
    position        INTEGER NOT NULL,
    structure_id    TEXT    NOT NULL,
    PRIMARY KEY (professional_id, position)
) STRICT;

-- The white list: only addresses of these domains may be opened.
CREATE TABLE domains (
    domain     TEXT    NOT NULL PRIMARY KEY,
    allowed_at INTEGER NOT NULL
) STRICT;

-- `sequence` numbers what a mailbox sends and receives; taking the next one is the lock on the mailbox. A closed
-- mailbox keeps its row for ever, so that its address never becomes somebody else's.
CREATE TABLE mailboxes (
    mailbox_id  BLOB    NOT NULL PRIMARY KEY,
    address     TEXT    NOT NULL,
    type        TEXT    NOT NULL CHECK (type IN ('PER', 'CAB', 'ORG', 'APP')),
    owner_kind  TEXT    NOT NULL,
    owner_id    TEXT    NOT NULL,
    unlisted    INTEGER NOT NULL,
    description TEXT    NOT NULL,
    sequence    INTEGER NOT NULL,
    opened_at   INTEGER NOT NULL,
    closed_at   INTEGER,
    FOREIGN KEY (owner_kind, owner_id) REFERENCES parties (kind, party_id)
) STRICT;
CREATE UNIQUE INDEX mailboxes_by_address ON mailboxes (address);
CREATE INDEX mailboxes_by_owner ON mailboxes (owner_kind, owner_id, address);

-- One row a message, under the sender's mailbox. Its header (addresses, subject, dossier) is sealed under a key of its
-- own, which the service's key wraps.
CREATE TABLE messages (
    message_id     BLOB    NOT NULL PRIMARY KEY,
    mailbox_id     BLOB    NOT NULL REFERENCES mailboxes (mailbox_id),
    sequence       INTEGER NOT NULL,
    deposit_id     BLOB    NOT NULL,
    reading_wanted INTEGER NOT NULL,
    header_key     BLOB    NOT NULL,
    header         BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX messages_by_mailbox ON messages (mailbox_id, sequence);

-- Bodies, sealed: apart, so that a listing never touches them.
CREATE TABLE bodies (
    message_id BLOB NOT NULL PRIMARY KEY REFERENCES messages (message_id),
    sha256     BLOB NOT NULL,
    body_key   BLOB NOT NULL,
    body       BLOB NOT NULL
) STRICT;

-- A message in a recipient's mailbox. `retrieval_id` and `reading_id` are the journal entries that prove the times
-- beside them.
CREATE TABLE deliveries (
    mailbox_id   BLOB    NOT NULL REFERENCES mailboxes (mailbox_id),
    sequence     INTEGER NOT NULL,
    message_id   BLOB    NOT NULL REFERENCES messages (message_id),
    retrieved_at INTEGER,
    retrieval_id BLOB,
    read_at      INTEGER,
    reading_id   BLOB,
    PRIMARY KEY (mailbox_id, sequence),
    CHECK ((retrieved_at IS NULL) = (retrieval_id IS NULL) AND (read_at IS NULL) = (reading_id IS NULL))
) STRICT;
CREATE UNIQUE INDEX deliveries_by_message ON deliveries (mailbox_id, message_id);
CREATE INDEX deliveries_unread ON deliveries (mailbox_id, sequence) WHERE read_at IS NULL;
