-- Answers already given, so that a repeated request is answered and not done again (AIP-155).
CREATE TABLE requests (
    caller      TEXT COLLATE "C" NOT NULL,
    request_id  UUID   NOT NULL,
    method      TEXT   NOT NULL,
    digest      BYTEA  NOT NULL,
    response    BYTEA,
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (caller, request_id)
);
CREATE INDEX requests_by_age ON requests (recorded_at);

-- State changes on their way out; `position` is given once the row is committed, so no reader skips a late commit.
CREATE TABLE outbox (
    id         BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    feed       TEXT COLLATE "C" NOT NULL,
    key        TEXT COLLATE "C" NOT NULL,
    payload    BYTEA  NOT NULL,
    created_at BIGINT NOT NULL,
    position   BIGINT
);
CREATE UNIQUE INDEX outbox_by_position ON outbox (position);
CREATE INDEX outbox_by_key ON outbox (feed, key, position);
CREATE INDEX outbox_unsequenced ON outbox (id) WHERE position IS NULL;

-- One row: the last position given, and the last one forgotten.
CREATE TABLE feed_head (
    singleton BIGINT NOT NULL PRIMARY KEY CHECK (singleton = 1),
    head     BIGINT NOT NULL,
    floor    BIGINT NOT NULL
);
INSERT INTO feed_head (singleton, head, floor) VALUES (1, 0, 0);

-- How far a consumer has come in another service's feed; written in the transaction of the effect.
CREATE TABLE feed_cursors (
    consumer TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    position BIGINT NOT NULL
);
