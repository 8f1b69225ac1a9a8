//! A population put into the services' databases by SQL: rows that nobody asks for, in every table that a population makes
//! grow, spread evenly over the keys so that whoever is really there is among them.
//!
//! Rows are made in the order of their keys: a million people take a minute or two.

use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use std::str::FromStr;
use store::{Engine, Postgres, Sqlite};

/// Before each statement: $1 people, with their identifiers.
const PEOPLE: &str = "WITH RECURSIVE numbers (n) AS
         (SELECT CAST(0 AS BIGINT) UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < $1),
     people AS (SELECT n, CAST(100000000000000000 + n * (899999999999999999 / $1) AS TEXT) || '00' AS dmp_id FROM numbers) ";

/// Events that have their position already.
const HEAD: &str = "UPDATE feed_head SET head = (SELECT COALESCE(MAX(position), 0) FROM outbox)";

const IDENTIFIER: &[&str] = &[
    "INSERT INTO beneficiaries (dmp_id, family_name, given_names, birth_date, sex, birth_place, identity_status, version,
     created_at, updated_at)
     SELECT dmp_id, 'SPECIMEN-CHARGE', 'CAMILLE', '19850412', 'F', '69123', 'QUALIFIED', 1, 0, 0 FROM people",
    "INSERT INTO matricules (oid, matricule, dmp_id, retirement, recorded_at)
     SELECT '1.2.250.1.213.1.4.10', '2' || substr(dmp_id, 1, 14), dmp_id, 0, 0 FROM people",
    "INSERT INTO placements (dmp_id, host_id, placed_at)
     SELECT dmp_id, (SELECT host_id FROM hosts LIMIT 1), 0 FROM people",
    REQUESTS,
];

const CONSENT: &[&str] = &[
    "INSERT INTO dossier_revisions (dmp_id, revision) SELECT dmp_id, 2 FROM people",
    "INSERT INTO facts (dmp_id, fact_id, kind, subject, details, recorded_at, recorded_by, revision_from, secret)
     SELECT dmp_id, uuid(dmp_id || '00000000000' || k.column1), k.column2, k.column3, {zeros}, 0, 'holder', k.column1, FALSE
     FROM people CROSS JOIN (VALUES (1, 'consent', 'PURPOSE_CREATION'), (2, 'authorization', '899700000000')) AS k",
    "INSERT INTO outbox (feed, key, payload, created_at, position)
     SELECT 'consent', dmp_id, {zeros}, 0, (SELECT head FROM feed_head) + n + 1 FROM people",
    REQUESTS,
];

const DOSSIER: &[&str] = &[
    "INSERT INTO dossiers (dmp_id, opened_at, key, revision, changes) SELECT dmp_id, 0, {zeros}, 1, 3 FROM people",
    "INSERT INTO documents (dmp_id, unique_id, logical_id, entry_uuid, status, type_code, class_code, masked,
     hidden_from_holder, hidden_from_representatives, announce_by, service_start, media_type, size, sha256,
     submitted_by, submitted_at, description)
     SELECT dmp_id, '2.25.1^' || k.column1, uuid(dmp_id || '00000000000' || k.column1),
     uuid(dmp_id || '00000000001' || k.column1), 1, '11488-4', '10', FALSE, FALSE, FALSE, 0, k.column1, 'text/xml', 60,
     {zeros}, 'professional:899700000000', k.column1, {zeros}
     FROM people CROSS JOIN (VALUES (0), (1), (2)) AS k",
    "INSERT INTO document_authors (dmp_id, author_id, unique_id) SELECT dmp_id, '899700000000', '2.25.1^' || k.column1
     FROM people CROSS JOIN (VALUES (0), (1), (2)) AS k",
    "INSERT INTO document_keys (dmp_id, logical_id, key, chunks)
     SELECT dmp_id, uuid(dmp_id || '00000000000' || k.column1), {zeros}, 1
     FROM people CROSS JOIN (VALUES (0), (1), (2)) AS k",
    "INSERT INTO document_contents (dmp_id, logical_id, chunk, sealed)
     SELECT dmp_id, uuid(dmp_id || '00000000000' || k.column1), 0, {zeros}
     FROM people CROSS JOIN (VALUES (0), (1), (2)) AS k",
    "INSERT INTO duty_uses (physician_id, dmp_id, occurred_at, entry_id)
     SELECT '899700000000', dmp_id, 0, uuid(dmp_id || '000000000000') FROM people",
    ENTRIES,
    NODES,
    REQUESTS,
];

/// Each of these people has a mailbox; there are a tenth as many as elsewhere.
const MESSAGING: &[&str] = &[
    "INSERT INTO parties (kind, party_id, name, given_name, profession, specialty, search_key, updated_at)
     SELECT 'PROFESSIONAL', dmp_id, 'CHARGE', 'Camille', '10', 'SM26', 'CHARGE ' || dmp_id, 0 FROM people",
    "INSERT INTO mailboxes (mailbox_id, address, type, owner_kind, owner_id, unlisted, description, sequence, opened_at)
     SELECT uuid(dmp_id || '000000000000'), dmp_id || '@etrangers.mssante.example', 'PER', 'PROFESSIONAL', dmp_id, FALSE,
     '', 20, 0 FROM people",
    "INSERT INTO messages (message_id, mailbox_id, sequence, deposit_id, reading_wanted, header_key, header)
     SELECT uuid(dmp_id || '00000000000' || k.column1), uuid(dmp_id || '000000000000'), k.column1,
     uuid(dmp_id || '00000000001' || k.column1), FALSE, {zeros}, {zeros}
     FROM people CROSS JOIN (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) AS k",
    "INSERT INTO bodies (message_id, sha256, body_key, body)
     SELECT uuid(dmp_id || '00000000000' || k.column1), {zeros}, {zeros}, {zeros}
     FROM people CROSS JOIN (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) AS k",
    "INSERT INTO deliveries (mailbox_id, sequence, message_id)
     SELECT uuid(dmp_id || '000000000000'), 10 + k.column1, uuid(dmp_id || '00000000000' || k.column1)
     FROM people CROSS JOIN (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) AS k",
    "INSERT INTO outbox (feed, key, payload, created_at, position)
     SELECT 'mailbox', dmp_id, {zeros}, 0, (SELECT head FROM feed_head) + 10 * n + k.column1
     FROM people CROSS JOIN (VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9), (10)) AS k",
    ENTRIES,
    NODES,
    REQUESTS,
];

const REQUESTS: &str = "INSERT INTO requests (caller, request_id, method, digest, response, recorded_at)
     SELECT dmp_id, uuid(dmp_id || '000000000000'), 'strangers', {zeros}, {zeros}, 0 FROM people";

/// Of a log of their own: the tree of the service's log must stay what was signed.
const ENTRIES: &str = "INSERT INTO journal_entries (log_id, leaf_index, entry_id, subject, sequence, previous, recorded_at,
     salt, payload, content, leaf_hash)
     SELECT 1000, 3 * n + k.column1, uuid(dmp_id || '00000000000' || k.column1), dmp_id, 1 + k.column1, {zeros}, 0, {zeros},
     {zeros}, NULL, {zeros} FROM people CROSS JOIN (VALUES (0), (1), (2)) AS k";
const NODES: &str = "INSERT INTO journal_nodes (log_id, level, position, hash)
     SELECT 1000, k.column1, n, {zeros} FROM people CROSS JOIN (VALUES (1), (2)) AS k";

/// Fills the database of a service that does not run with what so many strangers leave there.
pub(crate) async fn fill(service: &str, url: &str, people: i64) {
    let (statements, people) = match service {
        "identifier" => (IDENTIFIER, people),
        "consent" => (CONSENT, people),
        "dossier" => (DOSSIER, people),
        "messaging" => (MESSAGING, (people / 10).max(1)),
        other => panic!("there is no service called {other}"),
    };
    let mut texts: Vec<String> = statements.iter().map(|text| format!("{PEOPLE}{text}")).collect();
    texts.push(HEAD.to_owned());
    run(url, &texts, people).await;
}

/// Runs statements that may bind one number, as $1, with no more durability than at their end.
pub(crate) async fn run(url: &str, statements: &[String], number: i64) {
    match url.strip_prefix("sqlite://") {
        Some(path) => {
            let options = SqliteConnectOptions::from_str(url).unwrap().foreign_keys(false);
            let options = options
                .journal_mode(SqliteJournalMode::Off)
                .synchronous(SqliteSynchronous::Off)
                .pragma("cache_size", "-262144");
            let mut connection = options.connect().await.unwrap();
            for statement in statements {
                let statement = statement.replace("uuid(", "unhex(").replace("{zeros}", "zeroblob(60)");
                execute::<Sqlite>(&mut connection, statement, number).await;
            }
            connection.close().await.unwrap();
            // What the system still has to write would disturb whoever measures afterwards.
            std::fs::File::open(path).unwrap().sync_all().unwrap();
        }
        None => {
            let mut connection = PgConnection::connect(url).await.unwrap();
            for setting in ["synchronous_commit = off", "session_replication_role = replica"] {
                command(&mut connection, &format!("SET {setting}")).await;
            }
            for statement in statements {
                let statement = statement.replace("{zeros}", "decode(repeat('00', 60), 'hex')");
                execute::<Postgres>(&mut connection, statement, number).await;
            }
            for last in ["VACUUM (ANALYZE)", "CHECKPOINT"] {
                command(&mut connection, last).await;
            }
            connection.close().await.unwrap();
        }
    }
}

async fn execute<DB: Engine>(connection: &mut DB::Connection, statement: String, number: i64) {
    let binds = statement.contains("$1");
    let query = sqlx::query::<DB>(AssertSqlSafe(statement));
    let query = if binds { query.bind(number) } else { query };
    connection.execute(query).await.unwrap();
}

async fn command(connection: &mut PgConnection, text: &str) {
    connection.execute(AssertSqlSafe(text.to_owned())).await.unwrap();
}
