//! A repeated request takes effect once (AIP-155).

use crate::{count, insert, migrations};
use prost_types::Timestamp as Body;
use store::{Answered, Db, Error, RequestKey, once};
use testkit::{Database, TestEngine};
use uuid::Uuid;

testkit::on_both_databases! {
    a_repeated_request_is_answered_and_not_done_again,
    the_same_id_for_another_request_is_refused,
    the_same_id_from_another_caller_is_another_request,
    a_refused_request_may_be_sent_again,
    twins_at_the_same_moment_take_effect_once,
    a_twin_that_fails_on_what_the_other_did_gives_its_answer,
    old_requests_are_forgotten,
}

fn key(caller: &str, id: u128, seconds: i64) -> RequestKey {
    RequestKey::new(caller, "/test/Write", Uuid::from_u128(id), &Body { seconds, nanos: 0 })
}

async fn send<DB: TestEngine>(database: &Database<DB>, db: &Db<DB>, key: RequestKey) -> store::Result<Answered<Body>> {
    let id = database.random.uuid().to_string();
    once(db, key, database.clock.now(), move |connection| {
        Box::pin(async move {
            insert::<DB>(connection, &id).await?;
            Ok(Body { seconds: 42, nanos: 0 })
        })
    })
    .await
}

async fn a_repeated_request_is_answered_and_not_done_again<DB: TestEngine>(database: Database<DB>) {
    let db = database.open(&migrations()).await;
    let first = send(&database, &db, key("a", 1, 5)).await.unwrap();
    let again = send(&database, &db, key("a", 1, 5)).await.unwrap();
    assert_eq!((first.replayed, again.replayed), (false, true));
    assert_eq!(first.response, again.response);
    assert_eq!(count(&db).await, 1);
}

async fn the_same_id_for_another_request_is_refused<DB: TestEngine>(database: Database<DB>) {
    let db = database.open(&migrations()).await;
    send(&database, &db, key("a", 1, 5)).await.unwrap();
    assert!(matches!(
        send(&database, &db, key("a", 1, 6)).await,
        Err(Error::RequestIdReused)
    ));
    assert_eq!(count(&db).await, 1);
}

async fn the_same_id_from_another_caller_is_another_request<DB: TestEngine>(database: Database<DB>) {
    let db = database.open(&migrations()).await;
    send(&database, &db, key("a", 1, 5)).await.unwrap();
    assert!(!send(&database, &db, key("b", 1, 5)).await.unwrap().replayed);
    assert_eq!(count(&db).await, 2);
}

async fn a_refused_request_may_be_sent_again<DB: TestEngine>(database: Database<DB>) {
    let db = database.open(&migrations()).await;
    let refused: store::Result<Answered<Body>> = once(&db, key("a", 1, 5), database.clock.now(), |_| {
        Box::pin(async { Err::<Body, _>(Error::PageToken) })
    })
    .await;
    assert!(refused.is_err());
    assert!(!send(&database, &db, key("a", 1, 5)).await.unwrap().replayed);
}

async fn twins_at_the_same_moment_take_effect_once<DB: TestEngine>(database: Database<DB>) {
    let db = database.open(&migrations()).await;
    let answers = futures::future::join_all((0..32).map(|_| send(&database, &db, key("a", 1, 5)))).await;
    let done = answers
        .iter()
        .filter(|answer| !answer.as_ref().unwrap().replayed)
        .count();
    assert_eq!((done, count(&db).await), (1, 1));
}

async fn a_twin_that_fails_on_what_the_other_did_gives_its_answer<DB: TestEngine>(database: Database<DB>) {
    let db = database.open(&migrations()).await;
    let now = database.clock.now();
    let ask = |request: u128| {
        once(&db, key("a", request, 5), now, |connection| {
            Box::pin(async move {
                insert::<DB>(connection, "the only one").await?;
                Ok::<_, Error>(Body { seconds: 42, nanos: 0 })
            })
        })
    };
    let answers = futures::future::join_all((0..16).map(|_| ask(1))).await;
    let done = answers
        .iter()
        .filter(|answer| !answer.as_ref().unwrap().replayed)
        .count();
    assert_eq!((done, count(&db).await), (1, 1));
    // One that is nobody's twin is told what went wrong.
    assert!(ask(2).await.unwrap_err().is_there_already());
}

async fn old_requests_are_forgotten<DB: TestEngine>(database: Database<DB>) {
    let db = database.open(&migrations()).await;
    send(&database, &db, key("a", 1, 5)).await.unwrap();
    database.time.advance(jiff::SignedDuration::from_hours(24 * 31));
    let month_ago = database.clock.now() - jiff::SignedDuration::from_hours(24 * 30);
    assert_eq!(store::forget_requests_before(&db, month_ago, 100).await.unwrap(), 1);
    assert!(!send(&database, &db, key("a", 1, 5)).await.unwrap().replayed);
}
