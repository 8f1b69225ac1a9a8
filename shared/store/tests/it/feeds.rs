//! A feed shows every committed event, once, and never skips a late commit.

use crate::migrations;
use std::collections::HashSet;
use store::{Db, Error, Feed, FeedState, feed, publish};
use testkit::{Database, TestEngine};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

testkit::on_both_databases! {
    every_committed_event_appears_once_under_concurrency,
    a_late_commit_is_not_skipped,
    a_refused_change_publishes_nothing,
    events_of_another_key_are_left_out,
    a_compacted_position_says_resync,
    a_cursor_moves_with_its_effect,
    a_cursor_leaves_each_place_once,
    a_reader_of_one_key_sleeps_through_the_others_events,
    a_feed_says_what_waits_for_a_position,
}

async fn emit<DB: TestEngine>(db: &Db<DB>, database: &Database<DB>, key: &'static str, payload: u8) {
    let now = database.clock.now();
    db.write(move |connection| Box::pin(publish::<DB>(connection, "test", key, vec![payload], now)))
        .await
        .unwrap();
}

async fn started<DB: TestEngine>(database: &Database<DB>) -> (Db<DB>, Feed<DB>) {
    let db = database.open(&migrations()).await;
    let feed = Feed::start(db.clone(), CancellationToken::new()).await.unwrap();
    (db, feed)
}

async fn every_committed_event_appears_once_under_concurrency<DB: TestEngine>(database: Database<DB>) {
    let (db, feed) = started(&database).await;
    let reader = tokio::spawn({
        let feed = feed.clone();
        async move {
            let (mut seen, mut position) = (Vec::new(), 0);
            while seen.len() < 200 {
                assert!(feed.wait_past(position).await);
                for event in feed.read("test", None, position, 16).await.unwrap() {
                    assert!(event.position > position);
                    position = event.position;
                    seen.push(event.payload);
                }
            }
            seen
        }
    });
    futures::future::join_all((0..200).map(|number| emit(&db, &database, "k", number))).await;
    feed.nudge();
    let seen = reader.await.unwrap();
    assert_eq!(seen.len(), seen.iter().collect::<HashSet<_>>().len());
}

async fn a_late_commit_is_not_skipped<DB: TestEngine>(database: Database<DB>) {
    if DB::GROUPED {
        return; // One writer: nothing commits late.
    }
    let (db, feed) = started(&database).await;
    let (inserted, has_inserted) = oneshot::channel();
    let (commit, may_commit) = oneshot::channel::<()>();
    let now = database.clock.now();
    let late = tokio::spawn({
        let db = db.clone();
        async move {
            db.write(move |connection| {
                Box::pin(async move {
                    publish::<DB>(connection, "test", "k", vec![1], now).await?;
                    inserted.send(()).unwrap();
                    may_commit.await.unwrap();
                    Ok::<_, Error>(())
                })
            })
            .await
        }
    });
    has_inserted.await.unwrap();
    emit(&db, &database, "k", 2).await;
    feed.nudge();
    assert!(feed.wait_past(0).await);
    let first = feed.read("test", None, 0, 10).await.unwrap();
    commit.send(()).unwrap();
    late.await.unwrap().unwrap();
    feed.nudge();
    assert!(feed.wait_past(first[0].position).await);
    let then = feed.read("test", None, first[0].position, 10).await.unwrap();
    assert_eq!(
        (first[0].payload.as_slice(), then[0].payload.as_slice()),
        ([2].as_slice(), [1].as_slice())
    );
}

async fn a_refused_change_publishes_nothing<DB: TestEngine>(database: Database<DB>) {
    let (db, feed) = started(&database).await;
    let now = database.clock.now();
    let refused = db
        .write(move |connection| {
            Box::pin(async move {
                publish::<DB>(connection, "test", "k", vec![1], now).await?;
                Err::<(), _>(Error::PageToken)
            })
        })
        .await;
    assert!(refused.is_err());
    emit(&db, &database, "k", 2).await;
    feed.nudge();
    assert!(feed.wait_past(0).await);
    assert_eq!(feed.read("test", None, 0, 10).await.unwrap().len(), 1);
}

async fn events_of_another_key_are_left_out<DB: TestEngine>(database: Database<DB>) {
    let (db, feed) = started(&database).await;
    emit(&db, &database, "a", 1).await;
    emit(&db, &database, "b", 2).await;
    feed.nudge();
    assert!(feed.wait_past(1).await);
    let events = feed.read("test", Some("b"), 0, 10).await.unwrap();
    assert_eq!(events.iter().map(|event| event.payload[0]).collect::<Vec<_>>(), [2]);
}

async fn a_compacted_position_says_resync<DB: TestEngine>(database: Database<DB>) {
    let (db, feed) = started(&database).await;
    emit(&db, &database, "k", 1).await;
    emit(&db, &database, "k", 2).await;
    feed.nudge();
    assert!(feed.wait_past(1).await);
    feed.compact(1).await.unwrap();
    assert!(matches!(
        feed.read("test", None, 0, 10).await,
        Err(Error::FeedCompacted)
    ));
    assert_eq!(feed.read("test", None, 1, 10).await.unwrap().len(), 1);
}

async fn a_cursor_moves_with_its_effect<DB: TestEngine>(database: Database<DB>) {
    let (db, _) = started(&database).await;
    let refused = db
        .write(|connection| {
            Box::pin(async move {
                feed::advance::<DB>(connection, "reader", None, "nine").await?;
                Err::<(), _>(Error::PageToken)
            })
        })
        .await;
    assert!(refused.is_err());
    assert_eq!(place(&db).await, None);
    assert!(moved(&db, None, "three").await);
    assert_eq!(place(&db).await.as_deref(), Some("three"));
}

/// Two instances follow one feed: only one of them moves on from a place.
async fn a_cursor_leaves_each_place_once<DB: TestEngine>(database: Database<DB>) {
    let (db, _) = started(&database).await;
    let first = futures::future::join_all((0..4).map(|_| moved(&db, None, "one"))).await;
    assert_eq!(first.into_iter().filter(|moved| *moved).count(), 1);
    let second = futures::future::join_all((0..4).map(|_| moved(&db, Some("one"), "two"))).await;
    assert_eq!(second.into_iter().filter(|moved| *moved).count(), 1);
    assert!(!moved(&db, None, "three").await);
    assert_eq!(place(&db).await.as_deref(), Some("two"));
}

async fn place<DB: TestEngine>(db: &Db<DB>) -> Option<String> {
    let mut connection = db.read().await.unwrap();
    feed::cursor::<DB>(&mut connection, "reader").await.unwrap()
}

async fn moved<DB: TestEngine>(db: &Db<DB>, from: Option<&'static str>, to: &'static str) -> bool {
    db.write(move |connection| Box::pin(feed::advance::<DB>(connection, "reader", from, to)))
        .await
        .unwrap()
}

async fn a_reader_of_one_key_sleeps_through_the_others_events<DB: TestEngine>(database: Database<DB>) {
    let drain = CancellationToken::new();
    let db = database.open(&migrations()).await;
    let feed = Feed::start(db.clone(), drain.clone()).await.unwrap();
    let (mut own, mut all) = (feed.subscribe("test", Some("a")), feed.subscribe("test", None));
    emit(&db, &database, "b", 1).await;
    feed.nudge();
    assert!(all.woken().await);
    // Whoever is concerned is woken before the head moves on for the next event.
    assert!(futures::poll!(std::pin::pin!(own.woken())).is_pending());
    emit(&db, &database, "a", 2).await;
    feed.nudge();
    assert!(own.woken().await && all.woken().await);
    drain.cancel();
    assert!(!own.woken().await && !all.woken().await);
    assert!(!feed.subscribe("test", None).woken().await);
}

/// An operator sees that a sequencer does not go on.
async fn a_feed_says_what_waits_for_a_position<DB: TestEngine>(database: Database<DB>) {
    let db = database.open(&migrations()).await;
    let stopped = CancellationToken::new();
    let feed = Feed::start(db.clone(), stopped.clone()).await.unwrap();
    let stands = |head, waiting, oldest| FeedState { head, waiting, oldest };
    assert_eq!(feed.state().await.unwrap(), stands(0, 0, None));
    emit(&db, &database, "k", 1).await;
    assert!(feed.wait_past(0).await);
    assert_eq!(feed.state().await.unwrap(), stands(1, 0, None));

    stopped.cancel();
    while feed.wait_past(i64::MAX).await {}
    let written = database.clock.now();
    emit(&db, &database, "k", 2).await;
    database.time.advance(jiff::SignedDuration::from_secs(7));
    emit(&db, &database, "k", 3).await;
    assert_eq!(feed.state().await.unwrap(), stands(1, 2, Some(written)));
}
