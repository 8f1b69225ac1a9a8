-- Everybody who has an identifier, with or without a dossier (L1111-14, second sentence).
CREATE TABLE beneficiaries (
    dmp_id          TEXT    NOT NULL PRIMARY KEY,
    family_name     TEXT    NOT NULL,
    given_names     TEXT    NOT NULL,
    birth_date      TEXT    NOT NULL,
    sex             TEXT    NOT NULL,
    birth_place     TEXT,
    identity_status TEXT    NOT NULL,
    version         INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Whose a matricule is or was. The same digits under another OID are another identity, hence the key.
-- `retirement` is 0 for the one current matricule of a beneficiary, and counts the retired ones from 1.
-- A matricule is claimed before its beneficiary is written, so that of two enrolments at once one loses early:
-- the reference is checked at the commit.
CREATE TABLE matricules (
    oid         TEXT    NOT NULL,
    matricule   TEXT    NOT NULL,
    dmp_id      TEXT    NOT NULL REFERENCES beneficiaries (dmp_id) DEFERRABLE INITIALLY DEFERRED,
    retirement  INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (oid, matricule)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX matricules_of_beneficiary ON matricules (dmp_id, retirement);

-- Hosts of health data (L1111-8). A suspension covers all accreditations of the host.
CREATE TABLE hosts (
    host_id      BLOB    NOT NULL PRIMARY KEY,
    name         TEXT    NOT NULL,
    structure_id TEXT    NOT NULL UNIQUE,
    endpoint     TEXT,
    suspended_at INTEGER,
    version      INTEGER NOT NULL,
    created_at   INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX hosts_by_name ON hosts (name, host_id);

-- What a host may hold, and when. `sequence` orders a host's accreditations as they were recorded.
CREATE TABLE accreditations (
    accreditation_id   BLOB    NOT NULL PRIMARY KEY,
    host_id            BLOB    NOT NULL REFERENCES hosts (host_id),
    sequence           INTEGER NOT NULL,
    covers_dossier     INTEGER NOT NULL,
    covers_messaging   INTEGER NOT NULL,
    valid_from         INTEGER NOT NULL,
    valid_until        INTEGER NOT NULL,
    decision_reference TEXT    NOT NULL,
    withdrawn_at       INTEGER,
    CHECK (valid_from < valid_until)
) STRICT;
CREATE UNIQUE INDEX accreditations_of_host ON accreditations (host_id, sequence);

-- Where each beneficiary's single dossier lives: the key makes it single.
CREATE TABLE placements (
    dmp_id    TEXT    NOT NULL PRIMARY KEY REFERENCES beneficiaries (dmp_id),
    host_id   BLOB    NOT NULL REFERENCES hosts (host_id),
    placed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX placements_at_host ON placements (host_id, dmp_id);
