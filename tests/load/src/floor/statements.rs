//! Every SQL statement of the floors: those that the services run for the same call, word for word, which a test compares
//! with what the services' driver tells; and those that fill an empty database before.

pub(crate) const RESOLVE: &str =
    "SELECT m.oid AS asked_oid, m.matricule AS asked_matricule, m.retirement AS asked_retirement, b.dmp_id AS dmp_id,
     b.family_name AS family_name, b.given_names AS given_names, b.birth_date AS birth_date, b.sex AS sex,
     b.birth_place AS birth_place, b.identity_status AS identity_status, b.version AS version,
     b.created_at AS created_at, c.oid AS oid, c.matricule AS matricule FROM (VALUES ($1, $2)) AS v
     LEFT JOIN matricules AS m ON m.oid = v.column1 AND m.matricule = v.column2
     LEFT JOIN beneficiaries AS b ON b.dmp_id = m.dmp_id
     LEFT JOIN matricules AS c ON c.dmp_id = m.dmp_id AND +c.retirement = $3";
pub(crate) const LAST_REVISION: &str = "SELECT v.column1 AS place, r.revision FROM (VALUES ($1, $2)) AS v
     LEFT JOIN dossier_revisions r ON r.dmp_id = v.column2";
pub(crate) const DOSSIER: &str = "SELECT * FROM dossiers WHERE dmp_id IN ($1)";
pub(crate) const LIST: &str =
    "SELECT d.logical_id, d.entry_uuid, d.status, d.masked, d.hidden_from_holder, d.hidden_from_representatives,
     d.announce_by, d.media_type, d.size, d.sha256, d.submitted_by, d.submitted_at, d.description FROM documents d
     WHERE d.dmp_id = $1 AND d.type_code NOT IN ($2, $3)
     AND (d.submitted_by = $4 OR EXISTS (SELECT 1 FROM document_authors a
          WHERE a.dmp_id = d.dmp_id AND a.unique_id = d.unique_id AND a.author_id = $5)
     OR (d.masked = FALSE)) AND d.status IN ($6) ORDER BY d.service_start DESC, d.unique_id LIMIT $7";
pub(crate) const REMEMBER: &str =
    "INSERT INTO requests (caller, request_id, method, digest, response, recorded_at) SELECT * FROM (VALUES ($1, $2, $3, $4, $5, $6)) AS v
     WHERE v.column1 IS NOT NULL";
pub(crate) const FIND: &str =
    "SELECT d.logical_id, d.entry_uuid, d.status, d.masked, d.hidden_from_holder, d.hidden_from_representatives,
     d.announce_by, d.media_type, d.size, d.sha256, d.submitted_by, d.submitted_at, d.description FROM documents d
     WHERE d.dmp_id = $1 AND d.unique_id = $2";
pub(crate) const CHANGE: &str = "UPDATE dossiers SET changes = changes + 1 WHERE dmp_id = $1 RETURNING *";
pub(crate) const DOCUMENT: &str =
    "INSERT INTO documents (dmp_id, unique_id, logical_id, entry_uuid, status, type_code, class_code, masked,
     hidden_from_holder, hidden_from_representatives, announce_by, service_start, media_type, size, sha256,
     submitted_by, submitted_at, description) SELECT * FROM (VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)) AS v
     WHERE v.column1 IS NOT NULL";
pub(crate) const AUTHOR: &str =
    "INSERT INTO document_authors (dmp_id, author_id, unique_id) SELECT * FROM (VALUES ($1, $2, $3)) AS v
     WHERE v.column1 IS NOT NULL";
pub(crate) const KEY: &str =
    "INSERT INTO document_keys (dmp_id, logical_id, key, chunks) SELECT * FROM (VALUES ($1, $2, $3, $4)) AS v
     WHERE v.column1 IS NOT NULL";
pub(crate) const CONTENT: &str =
    "INSERT INTO document_contents (dmp_id, logical_id, chunk, sealed) SELECT * FROM (VALUES ($1, $2, $3, $4)) AS v
     WHERE v.column1 IS NOT NULL";
pub(crate) const DUTY_USE: &str =
    "INSERT INTO duty_uses (physician_id, dmp_id, occurred_at, entry_id) SELECT * FROM (VALUES ($1, $2, $3, $4)) AS v
     WHERE v.column1 IS NOT NULL";
pub(crate) const MAILBOX: &str = "SELECT * FROM mailboxes WHERE mailbox_id = $1";
pub(crate) const NUMBER: &str =
    "UPDATE mailboxes SET sequence = sequence + 1 WHERE address = $1 RETURNING mailbox_id, sequence, closed_at";
pub(crate) const MESSAGE: &str =
    "INSERT INTO messages (message_id, mailbox_id, sequence, deposit_id, reading_wanted, header_key, header) SELECT * FROM (VALUES ($1, $2, $3, $4, $5, $6, $7)) AS v
     WHERE v.column1 IS NOT NULL";
pub(crate) const BODY: &str =
    "INSERT INTO bodies (message_id, sha256, body_key, body) SELECT * FROM (VALUES ($1, $2, $3, $4)) AS v
     WHERE v.column1 IS NOT NULL";
pub(crate) const DELIVERY: &str =
    "INSERT INTO deliveries (mailbox_id, sequence, message_id) SELECT * FROM (VALUES ($1, $2, $3)) AS v
     WHERE v.column1 IS NOT NULL";
pub(crate) const PUBLISH: &str =
    "INSERT INTO outbox (feed, key, payload, created_at) SELECT * FROM (VALUES ($1, $2, $3, $4)) AS v
     WHERE v.column1 IS NOT NULL";
pub(crate) const HEADS: &str =
    "SELECT e.subject AS subject, e.sequence AS sequence, e.leaf_hash AS leaf_hash FROM (VALUES ($1)) AS v
     LEFT JOIN journal_entries e ON e.subject = v.column1 AND e.log_id = $2
     AND e.sequence = (SELECT MAX(m.sequence) FROM journal_entries m WHERE m.subject = v.column1 AND m.log_id = $3)";
pub(crate) const ENTRY: &str =
    "INSERT INTO journal_entries (log_id, leaf_index, entry_id, subject, sequence, previous, recorded_at,
     salt, payload, content, leaf_hash) SELECT * FROM (VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)) AS v
     WHERE v.column1 IS NOT NULL";
pub(crate) const NODE: &str =
    "INSERT INTO journal_nodes (log_id, level, position, hash) SELECT * FROM (VALUES ($1, $2, $3, $4)) AS v
     WHERE v.column1 IS NOT NULL";
pub(crate) const ADVANCE: &str =
    "UPDATE journal_logs SET tree_size = $1 WHERE log_id = $2 AND tree_size = $3
     AND NOT EXISTS (SELECT 1 FROM journal_staged WHERE +log_id = $4 AND entry_id IN ($5)) RETURNING tree_size AS tree_size";
pub(crate) const CHECKPOINT: &str =
    "INSERT INTO journal_checkpoints (log_id, tree_size, note) SELECT * FROM (VALUES ($1, $2, $3)) AS v
     WHERE v.column1 IS NOT NULL";

pub(crate) const PERSON: &str =
    "INSERT INTO beneficiaries (dmp_id, family_name, given_names, birth_date, sex, birth_place, identity_status, version,
     created_at, updated_at) VALUES ($1, $2, $3, '19850412', 'F', '69123', 'QUALIFIED', 1, 0, 0)";
pub(crate) const MATRICULE: &str =
    "INSERT INTO matricules (oid, matricule, dmp_id, retirement, recorded_at) VALUES ($1, $2, $3, 0, 0)";
pub(crate) const REVISION: &str = "INSERT INTO dossier_revisions (dmp_id, revision) VALUES ($1, 2)";
pub(crate) const OPEN: &str =
    "INSERT INTO dossiers (dmp_id, opened_at, key, revision, changes) VALUES ($1, 0, $2, 1, 0)";
pub(crate) const PARTY: &str =
    "INSERT INTO parties (kind, party_id, name, given_name, profession, specialty, search_key, updated_at)
     VALUES ('PROFESSIONAL', $1, 'CHARGE', 'Camille', '10', 'SM26', $2, 0)";
pub(crate) const OPEN_MAILBOX: &str =
    "INSERT INTO mailboxes (mailbox_id, address, type, owner_kind, owner_id, unlisted, description, sequence, opened_at)
     VALUES ($1, $2, 'PER', 'PROFESSIONAL', $3, $4, '', 0, 0)";
pub(crate) const LOG: &str =
    "INSERT INTO journal_logs (log_id, origin, verifier_key, tree_size) VALUES ($1, 'load.example/floor', '', 0)";
