-- What a person was told of an exceptional use of a dossier: one row a use and recipient, which is a dossier's identifier
-- for its holder, or a Ps_idNat; no text is both. `telling_id` and `acknowledgement_id` are the journal entries that
-- prove the times beside them. Everything else that is told (dossier, actor, mode, first access) is sealed in `content`
-- under a key of its own, which the service's key wraps.
CREATE TABLE notices (
    exceptional_access_id UUID NOT NULL,
    recipient             TEXT COLLATE "C" NOT NULL,
    notice_id             UUID NOT NULL,
    secret                BOOLEAN NOT NULL,
    told_at               BIGINT NOT NULL,
    telling_id            UUID NOT NULL,
    acknowledged_at       BIGINT,
    acknowledgement_id    UUID,
    content_key           BYTEA NOT NULL,
    content               BYTEA NOT NULL,
    PRIMARY KEY (exceptional_access_id, recipient),
    CHECK ((acknowledged_at IS NULL) = (acknowledgement_id IS NULL))
);
CREATE UNIQUE INDEX notices_by_id ON notices (notice_id);
CREATE INDEX notices_by_recipient ON notices (recipient, told_at, notice_id);
CREATE INDEX notices_unacknowledged ON notices (recipient, told_at, notice_id) WHERE acknowledged_at IS NULL;
