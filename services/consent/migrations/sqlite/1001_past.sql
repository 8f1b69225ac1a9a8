-- A decision about the past asks for the same handful of subjects of one dossier, ended facts included.
CREATE INDEX facts_by_subject ON facts (dmp_id, subject, revision_from);
