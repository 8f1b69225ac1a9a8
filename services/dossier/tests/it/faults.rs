//! Each thing this service leans on, taken away: closed, told, and nothing half done (reliability.md P3, P7).

use crate::exceptional;
use crate::house::{House, break_glass, physician, refused, sample};
use api::common::v1::AccessMode;
use api::dossier::v1::{AccessAction, AccessOutcome};
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};
use std::time::Duration;
use testkit::{Bench, Engine, on_both_engines};
use tonic::Code;

on_both_engines! {
    without_consent_nothing_opens_and_that_is_in_the_journal,
    consents_silence_is_answered_and_journaled_before_the_deadline,
    without_the_identifier_service_no_cda_is_deposited,
    a_journal_that_cannot_record_shows_nothing,
    a_full_journal_sheds_and_shows_nothing,
    an_exceptional_access_is_told_exactly_if_it_is_in_the_journal,
    two_instances_on_one_database_agree,
}

async fn without_consent_nothing_opens_and_that_is_in_the_journal(bench: Bench) {
    let house = House::open(bench).await;
    house.deposit(&house.text("2.25.1", 1, "texte")).await;
    let count = house.accesses().await.len();
    house
        .script()
        .authorize
        .answer(|_| Err(tonic::Status::unavailable("gone")));
    let physician = physician();
    for refusal in [
        refused(house.get(&physician, "2.25.1").await),
        refused(house.read(&physician, "2.25.1").await),
        refused(house.list(&physician, house.list_request()).await),
        refused(house.submit(&physician, &house.text("2.25.2", 1, "texte")).await),
        refused(house.close_dossier(&house.bench.request_id()).await),
    ] {
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (Code::Unavailable, "PEER_UNAVAILABLE")
        );
        assert!(refusal.metadata["service"] == "consent" && refusal.retry);
    }
    house
        .script()
        .authorize
        .answer(|_| Ok(crate::peers::granted(crate::peers::everything())));
    let accesses = house.accesses().await;
    // The five, and the listing of accesses before them.
    assert_eq!(accesses.len(), count + 6);
    assert!(
        accesses[..5]
            .iter()
            .all(|access| access.outcome() == AccessOutcome::Undecided)
    );
    assert_eq!(accesses[4].action(), AccessAction::GetDocument);
    assert_eq!(house.listed(&physician).await, ["2.25.1"]);
    // A peer that is gone altogether is the same.
    let House {
        bench,
        service,
        peers,
        dmp_id,
    } = house;
    let mut settings = service.stop().await;
    settings.common.peers.insert("consent".to_owned(), nobody().await);
    let service = bench.start_with::<dossier::Dossier>(settings).await;
    let house = House {
        bench,
        service,
        peers,
        dmp_id,
    };
    let refusal = refused(house.get(&physician, "2.25.1").await);
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::Unavailable, "PEER_UNAVAILABLE")
    );
}

/// An address at which nobody listens any more.
async fn nobody() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

async fn consents_silence_is_answered_and_journaled_before_the_deadline(bench: Bench) {
    let house = House::open(bench).await;
    house.script().authorize.silent(true);
    let mut request = house.bench.request(&physician(), house.list_request());
    request.set_timeout(Duration::from_secs(2));
    let refusal = refused(house.documents().list_documents(request).await);
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::Unavailable, "PEER_UNAVAILABLE")
    );
    house.script().authorize.silent(false);
    let access = house.last_access().await;
    assert_eq!(
        (access.action(), access.outcome()),
        (AccessAction::ListDocuments, AccessOutcome::Undecided)
    );
}

async fn without_the_identifier_service_no_cda_is_deposited(bench: Bench) {
    let house = House::open(bench).await;
    house
        .script()
        .resolve
        .answer(|_| Err(tonic::Status::unavailable("gone")));
    let deposit = house.cda(sample("consultation.xml"));
    let refusal = refused(house.submit(&physician(), &deposit).await);
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::Unavailable, "PEER_UNAVAILABLE")
    );
    assert_eq!(refusal.metadata["service"], "identifier");
    assert!(house.listed(&physician()).await.is_empty());
    // The same request again, once it is back.
    let holder = house.dmp_id.clone();
    house
        .script()
        .resolve
        .answer(move |_| Ok(crate::peers::resolved(&holder, &[])));
    assert!(!house.submit(&physician(), &deposit).await.unwrap().already_there);
}

/// Keeps the journal from writing until it is dropped or ended: another process holds what it needs.
enum Blocker {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Blocker {
    async fn new(house: &House) -> Self {
        let url = house.service.settings.common.database.url.reveal();
        match house.bench.engine {
            Engine::Sqlite => {
                let mut connection = SqliteConnection::connect(url).await.unwrap();
                connection.execute("BEGIN IMMEDIATE").await.unwrap();
                Self::Sqlite(connection)
            }
            Engine::Postgres => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                connection.execute("BEGIN").await.unwrap();
                connection
                    .execute("LOCK TABLE journal_logs IN ACCESS EXCLUSIVE MODE")
                    .await
                    .unwrap();
                Self::Postgres(connection)
            }
        }
    }

    async fn end(self) {
        match self {
            Self::Sqlite(mut connection) => connection.execute("ROLLBACK").await.map(drop).unwrap(),
            Self::Postgres(mut connection) => connection.execute("ROLLBACK").await.map(drop).unwrap(),
        }
    }
}

/// A house whose database gives up soon, with one document.
async fn impatient(bench: Bench, journal_queue: usize, patience_ms: u64) -> House {
    let house = House::with(bench, |config| config.limits.journal_queue = journal_queue).await;
    house.open_dossier(&house.bench.request_id()).await.unwrap();
    house.deposit(&house.text("2.25.1", 1, "texte")).await;
    let House {
        bench,
        service,
        peers,
        dmp_id,
    } = house;
    let mut settings = service.stop().await;
    settings.common.database.acquire_timeout_ms = patience_ms;
    settings.common.database.statement_timeout_ms = patience_ms;
    let service = bench.start_with::<dossier::Dossier>(settings).await;
    House {
        bench,
        service,
        peers,
        dmp_id,
    }
}

/// error.proto, JOURNAL_UNAVAILABLE: the journal cannot record, so nothing may be shown.
async fn a_journal_that_cannot_record_shows_nothing(bench: Bench) {
    let house = impatient(bench, 1024, 200).await;
    let before = house.accesses().await.len();
    let blocker = Blocker::new(&house).await;
    let holder = house.holder();
    for refusal in [
        refused(house.get(&holder, "2.25.1").await),
        refused(house.read(&holder, "2.25.1").await),
        refused(house.list(&holder, house.list_request()).await),
    ] {
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (Code::Unavailable, "JOURNAL_UNAVAILABLE"),
            "{refusal:?}"
        );
        assert!(refusal.retry);
    }
    // A refusal that cannot be taken down is no answer either.
    house
        .script()
        .authorize
        .answer(|_| Ok(crate::peers::refused("some-rule", "L1111-17")));
    assert_eq!(
        refused(house.get(&holder, "2.25.1").await).reason,
        "JOURNAL_UNAVAILABLE"
    );
    house
        .script()
        .authorize
        .answer(|_| Ok(crate::peers::granted(crate::peers::everything())));
    let deposit = house.text("2.25.2", 1, "texte");
    let refusal = refused(house.submit(&physician(), &deposit).await);
    assert_eq!(refusal.code, Code::Unavailable, "{refusal:?}");
    blocker.end().await;
    // The deposit was not done, or was and is answered: the same request tells.
    house.submit(&physician(), &deposit).await.unwrap();
    assert_eq!(house.read(&holder, "2.25.1").await.unwrap().1.concat(), b"texte");
    assert!(house.accesses().await.len() > before);
}

async fn a_full_journal_sheds_and_shows_nothing(bench: Bench) {
    let house = impatient(bench, 1, 3_000).await;
    let blocker = Blocker::new(&house).await;
    let holder = house.holder();
    let calls = (0..6).map(|_| house.get(&holder, "2.25.1"));
    let outcomes = async { futures::future::join_all(calls).await };
    let answers = outcomes.await;
    blocker.end().await;
    let reasons: Vec<String> = answers.into_iter().map(|answer| refused(answer).reason).collect();
    assert!(
        reasons
            .iter()
            .all(|reason| ["OVERLOADED", "JOURNAL_UNAVAILABLE"].contains(&reason.as_str())),
        "{reasons:?}"
    );
    assert!(reasons.iter().any(|reason| reason == "OVERLOADED"), "{reasons:?}");
    house.get(&holder, "2.25.1").await.unwrap();
}

/// L1111-17 I: whatever fails between the access and its answer, the second look has what the journal has.
async fn an_exceptional_access_is_told_exactly_if_it_is_in_the_journal(bench: Bench) {
    let house = impatient(bench, 1024, 200).await;
    exceptional::exceptional_modes(&house);
    let context = || Some(break_glass("inconsciente, allergies inconnues"));
    let blocker = Blocker::new(&house).await;
    for _ in 0..3 {
        let refusal = refused(house.get_in(&physician(), "2.25.1", context()).await);
        assert_eq!(refusal.code, Code::Unavailable, "{refusal:?}");
    }
    blocker.end().await;
    // Whatever was staged is in the log after a start.
    let house = house.restarted().await;
    let last = house.get_in(&physician(), "2.25.1", context()).await.unwrap();
    let mut journaled = house.accesses().await;
    journaled.retain(|access| access.context.as_ref().unwrap().mode() != AccessMode::Normal);
    assert_eq!(journaled[0].entry_id, last.receipt.unwrap().entry_id);
    let mut watching = exceptional::watch(&house, "").await;
    let mut told = Vec::new();
    for _ in &journaled {
        told.push(exceptional::next(&mut watching).await.0);
    }
    // What was staged at one moment has no order in the log.
    told.sort_by(|one, other| one.entry_id.cmp(&other.entry_id));
    journaled.sort_by(|one, other| one.entry_id.cmp(&other.entry_id));
    assert_eq!(told, journaled);
    house.get_in(&physician(), "2.25.1", context()).await.unwrap();
    let newest = house.last_access().await;
    assert_eq!(
        exceptional::next(&mut watching).await.0,
        newest,
        "and nothing in between"
    );
}

/// brief: nothing in memory that another instance must know.
async fn two_instances_on_one_database_agree(bench: Bench) {
    let house = House::open(bench).await;
    let other = house
        .bench
        .start_with::<dossier::Dossier>(house.service.settings.clone())
        .await;
    let deposit = house.cda(sample("consultation.xml"));
    let first = house.submit(&physician(), &deposit).await.unwrap();
    let House {
        bench,
        service,
        peers,
        dmp_id,
    } = house;
    let twin = House {
        bench,
        service: other,
        peers,
        dmp_id,
    };
    assert_eq!(
        twin.submit(&physician(), &deposit).await.unwrap(),
        first,
        "the other instance answers the repetition"
    );
    let (_, chunks) = twin
        .read(&physician(), &first.document.unwrap().unique_id)
        .await
        .unwrap();
    assert_eq!(chunks.concat(), deposit.content);
    let receipts = twin.accesses().await.len();
    drop(service);
    assert_eq!(receipts, 3, "opened, deposited, read: one chain");
}
