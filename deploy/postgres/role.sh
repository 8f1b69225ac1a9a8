#!/usr/bin/env bash
# Run once, by the entrypoint of a new database: the role with which the service comes in. It owns its database and may
# nothing else on the instance.
set -euo pipefail
psql -qX -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -v database="$POSTGRES_DB" <<'SQL'
\set password `cat /run/secrets/password`
CREATE ROLE dmp LOGIN PASSWORD :'password';
ALTER DATABASE :"database" OWNER TO dmp;
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
SQL
