-- Answers already given, so that a repeated request is answered and not done again (AIP-155).
CREATE TABLE requests (
    caller      TEXT    NOT NULL,
    request_id  BLOB    NOT NULL,
    method      TEXT    NOT NULL,
    digest      BLOB    NOT NULL,
    response    BLOB,
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (caller, request_id)
) STRICT;
CREATE INDEX requests_by_age ON requests (recorded_at);

-- State changes on their way out; `position` is given once the row is committed, so no reader skips a late commit.
CREATE TABLE outbox (
    id         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    feed       TEXT    NOT NULL,
    key        TEXT    NOT NULL,
    payload    BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    position   INTEGER
) STRICT;
CREATE UNIQUE INDEX outbox_by_position ON outbox (position);
CREATE INDEX outbox_by_key ON outbox (feed, key, position);
CREATE INDEX outbox_unsequenced ON outbox (id) WHERE position IS NULL;

-- One row: the last position given, and the last one forgotten.
CREATE TABLE feed_head (
    singleton INTEGER NOT NULL PRIMARY KEY CHECK (singleton = 1),
    head     INTEGER NOT NULL,
    floor    INTEGER NOT NULL
) STRICT;
INSERT INTO feed_head (singleton, head, floor) VALUES (1, 0, 0);

-- How far a consumer has come in another service's feed; written in the transaction of the effect.
CREATE TABLE feed_cursors (
    consumer TEXT    NOT NULL PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT;
