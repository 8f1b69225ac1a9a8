-- What a person was told of an exceptional use of a dossier: one row a use and recipient, which is a dossier's identifier
-- for its holder, or a Ps_idNat; no text is both. `telling_id` and `acknowledgement_id` are the journal entries that
-- prove the times beside them. Everything else that is told (dossier, actor, mode, first access) is sealed in `content`
-- under a key of its own, which the service's key wraps.
CREATE TABLE notices (
    exceptional_access_id BLOB    NOT NULL,
    recipient             TEXT    NOT NULL,
    notice_id             BLOB    NOT NULL,
    secret                INTEGER NOT NULL,
    told_at               INTEGER NOT NULL,
    telling_id            BLOB    NOT NULL,
    acknowledged_at       INTEGER,
    acknowledgement_id    BLOB,
    content_key           BLOB    NOT NULL,
    content               BLOB    NOT NULL,
    PRIMARY KEY (exceptional_access_id, recipient),
    CHECK ((acknowledged_at IS NULL) = (acknowledgement_id IS NULL))
) STRICT;
CREATE UNIQUE INDEX notices_by_id ON notices (notice_id);
CREATE INDEX notices_by_recipient ON notices (recipient, told_at, notice_id);
CREATE INDEX notices_unacknowledged ON notices (recipient, told_at, notice_id) WHERE acknowledged_at IS NULL;
