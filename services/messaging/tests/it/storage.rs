//! What the database holds.

use api::messaging::v1 as pb;
use messaging::Messaging;
use serve::Service;
use sqlx::{AssertSqlSafe, Connection, Row};
use testkit::actor::PHYSICIAN;
use testkit::{Bench, Engine, assert_schemas_agree, on_both_engines};

use crate::notices;
use crate::world::{BRUNO, World, anne, bruno};

on_both_engines! {
    what_a_message_says_never_touches_the_database_in_clear,
    what_a_notice_tells_never_touches_the_database_in_clear,
}

#[tokio::test(flavor = "multi_thread")]
async fn both_engines_have_the_same_schema() {
    assert_schemas_agree(&Messaging::migrations()).await;
}

/// Design §10: content is encrypted before it touches a disk; subjects and the dossier in question are content too.
async fn what_a_message_says_never_touches_the_database_in_clear(bench: Bench) {
    let world = World::new(bench).await;
    let dmp_id = api::identity::DmpId::generate([5; 16]).to_string();
    let request = pb::SendMessageRequest {
        subject: "zanzibar-subject".to_owned(),
        body: "zanzibar-body".repeat(1000),
        dmp_id: dmp_id.clone(),
        request_read_receipt: true,
        ..world.draft(&[BRUNO])
    };
    let message = world
        .send(&anne(), request.clone())
        .await
        .unwrap()
        .message
        .unwrap()
        .message_id;
    world.send(&anne(), request).await.unwrap();
    world.inbox(&bruno(), &world.bruno_box).await;
    world.get(&bruno(), &world.bruno_box, &message).await.unwrap();
    world.mark_read(&bruno(), &world.bruno_box, &message).await.unwrap();
    let stored = stored(&world).await;
    for secret in ["zanzibar", dmp_id.as_str()] {
        assert!(!contains(&stored, secret.as_bytes()), "{secret}");
        assert!(
            !contains(&stored, hex::encode(secret).as_bytes()),
            "{secret}, in hexadecimal"
        );
    }
    // The search itself works: an address stands in its mailbox's row.
    assert!(contains(&stored, BRUNO.as_bytes()));
}

/// Who came in, by which entry of the dossier's journal, and, in a physician's notice, whose dossier it is. To whom a
/// notice is told stands in clear, as owners of mailboxes do: it is looked up by it.
async fn what_a_notice_tells_never_touches_the_database_in_clear(bench: Bench) {
    let world = World::new(bench).await;
    let used = notices::break_glass(&world.bench);
    let mut watch = world.watch_notices(&anne(), "", "").await.unwrap();
    world.script().tell(used.clone());
    while watch.message().await.unwrap().unwrap().notice.is_none() {}
    let told = world.notices_of(&anne(), "").await.unwrap().remove(0);
    world.acknowledge(&anne(), &told.notice_id).await.unwrap();
    let actor = used.actor.unwrap();
    let everywhere = stored(&world).await;
    for secret in [
        &actor.subject,
        &actor.professional_id,
        &actor.structure_id,
        &used.first_entry_id,
    ] {
        assert!(!contains(&everywhere, secret.as_bytes()), "{secret}");
        assert!(!contains(&everywhere, hex::encode(secret).as_bytes()), "{secret}");
    }
    assert!(contains(&everywhere, told.notice_id.as_bytes()));
    let physicians = stored_for(&world).await;
    for secret in [
        used.dmp_id.as_bytes(),
        hex::encode(&used.dmp_id).to_uppercase().as_bytes(),
    ] {
        assert!(!contains(physicians.as_bytes(), secret));
    }
    assert!(contains(physicians.as_bytes(), PHYSICIAN.as_bytes()));
}

/// The row of Anne's only notice and the event of it, as text; bytes are in hexadecimal.
async fn stored_for(world: &World) -> String {
    let url = world.started.settings.common.database.url.reveal().to_owned();
    match world.bench.engine {
        Engine::Sqlite => {
            let statement = "SELECT n.recipient || hex(n.exceptional_access_id) || hex(n.notice_id) || n.told_at
                 || hex(n.telling_id) || hex(n.content_key) || hex(n.content) || o.key || hex(o.payload)
                 FROM notices n JOIN outbox o ON o.key = n.recipient WHERE n.recipient = $1";
            let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
            let row = sqlx::query(statement).bind(PHYSICIAN).fetch_one(&mut connection);
            row.await.unwrap().get(0)
        }
        Engine::Postgres => {
            let statement = "SELECT UPPER(CAST(n AS TEXT) || CAST(o AS TEXT))
                 FROM notices n JOIN outbox o ON o.key = n.recipient WHERE n.recipient = $1";
            let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
            let row = sqlx::query(statement).bind(PHYSICIAN).fetch_one(&mut connection);
            row.await.unwrap().get(0)
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Everything that the database keeps: SQLite's files byte by byte, PostgreSQL's rows as text.
async fn stored(world: &World) -> Vec<u8> {
    let url = world.started.settings.common.database.url.reveal().to_owned();
    match world.bench.engine {
        Engine::Sqlite => {
            let path = url.strip_prefix("sqlite://").unwrap();
            let read = |suffix: &str| std::fs::read(format!("{path}{suffix}")).unwrap_or_default();
            [read(""), read("-wal")].concat()
        }
        Engine::Postgres => {
            let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
            let tables = "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'";
            let mut all = Vec::new();
            for table in sqlx::query(tables).fetch_all(&mut connection).await.unwrap() {
                let rows = format!("SELECT CAST(t AS TEXT) AS row FROM {} t", table.get::<String, _>(0));
                for row in sqlx::query(AssertSqlSafe(rows))
                    .fetch_all(&mut connection)
                    .await
                    .unwrap()
                {
                    all.extend(row.get::<String, _>(0).into_bytes());
                }
            }
            all
        }
    }
}
