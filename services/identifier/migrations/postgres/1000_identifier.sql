-- Everybody who has an identifier, with or without a dossier (L1111-14, second sentence).
CREATE TABLE beneficiaries (
    dmp_id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    family_name     TEXT    NOT NULL,
    given_names     TEXT    NOT NULL,
    birth_date      TEXT    NOT NULL,
    sex             TEXT    NOT NULL,
    birth_place     TEXT,
    identity_status TEXT    NOT NULL,
    version         BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL
);

-- Whose a matricule is or was. The same digits under another OID are another identity, hence the key.
-- `retirement` is 0 for the one current matricule of a beneficiary, and counts the retired ones from 1.
-- A matricule is claimed before its beneficiary is written, so that of two enrolments at once one loses early:
-- the reference is checked at the commit.
CREATE TABLE matricules (
    oid         TEXT COLLATE "C" NOT NULL,
    matricule   TEXT COLLATE "C" NOT NULL,
    dmp_id      TEXT COLLATE "C" NOT NULL REFERENCES beneficiaries (dmp_id) DEFERRABLE INITIALLY DEFERRED,
    retirement  BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (oid, matricule)
);
CREATE UNIQUE INDEX matricules_of_beneficiary ON matricules (dmp_id, retirement);

-- Hosts of health data (L1111-8). A suspension covers all accreditations of the host.
CREATE TABLE hosts (
    host_id      UUID   NOT NULL PRIMARY KEY,
    name         TEXT COLLATE "C" NOT NULL,
    structure_id TEXT COLLATE "C" NOT NULL UNIQUE,
    endpoint     TEXT,
    suspended_at BIGINT,
    version      BIGINT NOT NULL,
    created_at   BIGINT NOT NULL
);
CREATE UNIQUE INDEX hosts_by_name ON hosts (name, host_id);

-- What a host may hold, and when. `sequence` orders a host's accreditations as they were recorded.
CREATE TABLE accreditations (
    accreditation_id   UUID   NOT NULL PRIMARY KEY,
    host_id            UUID   NOT NULL REFERENCES hosts (host_id),
    sequence           BIGINT NOT NULL,
    covers_dossier     BOOLEAN NOT NULL,
    covers_messaging   BOOLEAN NOT NULL,
    valid_from         BIGINT NOT NULL,
    valid_until        BIGINT NOT NULL,
    decision_reference TEXT    NOT NULL,
    withdrawn_at       BIGINT,
    CHECK (valid_from < valid_until)
);
CREATE UNIQUE INDEX accreditations_of_host ON accreditations (host_id, sequence);

-- Where each beneficiary's single dossier lives: the key makes it single.
CREATE TABLE placements (
    dmp_id    TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES beneficiaries (dmp_id),
    host_id   UUID   NOT NULL REFERENCES hosts (host_id),
    placed_at BIGINT NOT NULL
);
CREATE INDEX placements_at_host ON placements (host_id, dmp_id);
