-- When a document was put out of force by another: before that moment it was approved. Not known of those replaced before
-- this column was there, which so count as deprecated at every moment.
ALTER TABLE documents ADD COLUMN deprecated_at BIGINT;

-- What somebody saw at a past moment is listed by deposit.
CREATE INDEX documents_by_deposit ON documents (dmp_id, submitted_at, unique_id);
