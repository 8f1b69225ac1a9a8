-- Uses of the exceptional modes, each to be looked at again (R1111-48). `details` holds the actor and the treating
-- physicians of the first access. Rows are never deleted; a finding fills the last four columns, once.
CREATE TABLE exceptional_uses (
    use_id          UUID NOT NULL PRIMARY KEY,
    dmp_id          TEXT COLLATE "C" NOT NULL,
    professional_id TEXT COLLATE "C" NOT NULL,
    mode            TEXT COLLATE "C" NOT NULL,
    secret          BOOLEAN NOT NULL,
    details         BYTEA NOT NULL,
    sealed_reason   BYTEA NOT NULL,
    first_at        BIGINT NOT NULL,
    last_at         BIGINT NOT NULL,
    accesses        BIGINT NOT NULL,
    first_entry_id  UUID NOT NULL,
    due_at          BIGINT NOT NULL,
    reviewed_at     BIGINT,
    reviewed_by     TEXT,
    finding         TEXT COLLATE "C",
    sealed_remark   BYTEA
);

-- Listings, those due first: of all dossiers what is to be looked at, or everything; of one dossier.
CREATE INDEX exceptional_uses_open ON exceptional_uses (due_at, use_id) WHERE reviewed_at IS NULL;
CREATE INDEX exceptional_uses_due ON exceptional_uses (due_at, use_id);
CREATE INDEX exceptional_uses_of_dossier ON exceptional_uses (dmp_id, due_at, use_id);

-- The last use of each professional, dossier, mode and secrecy. Whoever takes an access takes this row first, so that
-- no two make a use of it.
CREATE TABLE exceptional_last_uses (
    dmp_id          TEXT COLLATE "C" NOT NULL,
    professional_id TEXT COLLATE "C" NOT NULL,
    mode            TEXT COLLATE "C" NOT NULL,
    secret          BOOLEAN NOT NULL,
    use_id          UUID,
    PRIMARY KEY (dmp_id, professional_id, mode, secret)
);

-- The journal entries that were taken, and into which use: an entry told again has no effect.
CREATE TABLE exceptional_entries (
    entry_id UUID NOT NULL PRIMARY KEY,
    use_id   UUID NOT NULL
);
