//! An acknowledged write is there; a refused one is not.

use crate::{count, insert, migrations};
use std::time::Duration;
use store::{Db, Engine, Error};
use testkit::{Database, TestEngine};
use tokio::sync::oneshot;

testkit::on_both_databases! {
    what_is_acknowledged_is_read_by_others,
    a_refused_write_leaves_nothing_and_spares_its_neighbours,
    a_panicking_write_leaves_nothing_and_spares_its_neighbours,
    a_write_outlives_the_caller_that_went_away,
    a_write_goes_on_while_the_callers_threads_are_busy,
    cancelled_callers_hide_no_later_write,
    a_full_queue_refuses_at_once,
    acknowledged_writes_survive_a_reopening,
    a_closed_database_is_unavailable,
    a_database_says_how_it_is,
}

async fn write<DB: Engine>(db: &Db<DB>, id: String) -> store::Result<()> {
    db.write(move |connection| Box::pin(async move { insert::<DB>(connection, &id).await }))
        .await
}

async fn what_is_acknowledged_is_read_by_others<DB: TestEngine>(database: Database<DB>) {
    let db = database.open(&migrations()).await;
    for round in 0..20 {
        write(&db, format!("note {round}")).await.unwrap();
        assert_eq!(count(&db).await, round + 1);
    }
}

async fn a_refused_write_leaves_nothing_and_spares_its_neighbours<DB: TestEngine>(database: Database<DB>) {
    let db = database.open(&migrations()).await;
    let writes = (0..60).map(|number| {
        let db = db.clone();
        tokio::spawn(async move {
            db.write(move |connection| {
                Box::pin(async move {
                    insert::<DB>(connection, &format!("note {number}")).await?;
                    if number % 3 == 0 { Err(Error::PageToken) } else { Ok(()) }
                })
            })
            .await
            .is_ok()
        })
    });
    let mut kept = 0;
    for write in writes.collect::<Vec<_>>() {
        kept += i64::from(write.await.unwrap());
    }
    assert_eq!((kept, count(&db).await), (40, 40));
}

async fn a_panicking_write_leaves_nothing_and_spares_its_neighbours<DB: TestEngine>(database: Database<DB>) {
    let db = database.open(&migrations()).await;
    let panicking = db.write(|connection| {
        Box::pin(async move {
            insert::<DB>(connection, "lost").await?;
            if connection_is_there() {
                panic!("a defect in a job")
            }
            Ok::<_, Error>(())
        })
    });
    let (panicked, kept) = tokio::join!(panicking, write(&db, "kept".to_owned()));
    assert!(matches!(panicked, Err(Error::Panicked)));
    kept.unwrap();
    assert_eq!(count(&db).await, 1);
}

fn connection_is_there() -> bool {
    true
}

/// A write has threads of its own: the only one of its caller's does not look at it here until it has been worked on.
async fn a_write_goes_on_while_the_callers_threads_are_busy<DB: TestEngine>(database: Database<DB>) {
    let db = database.open(&migrations()).await;
    let (worked, has_worked) = std::sync::mpsc::channel();
    let writing = db.write(move |connection| {
        Box::pin(async move {
            insert::<DB>(connection, "note").await?;
            let _told = worked.send(());
            Ok::<_, Error>(())
        })
    });
    let mut writing = Box::pin(writing);
    assert!(futures::poll!(&mut writing).is_pending());
    has_worked.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
    writing.await.unwrap();
    assert_eq!(count(&db).await, 1);
}

/// tonic drops a handler when its client goes away; what had begun must still end.
async fn a_write_outlives_the_caller_that_went_away<DB: TestEngine>(database: Database<DB>) {
    let db = database.open(&migrations()).await;
    let (begun, has_begun) = oneshot::channel();
    let (go_on, may_go_on) = oneshot::channel::<()>();
    let caller = tokio::spawn({
        let db = db.clone();
        async move {
            db.write(move |connection| {
                Box::pin(async move {
                    begun.send(()).unwrap();
                    may_go_on.await.unwrap();
                    insert::<DB>(connection, "kept").await
                })
            })
            .await
        }
    });
    has_begun.await.unwrap();
    caller.abort();
    go_on.send(()).unwrap();
    // The writer takes turns (SQLite) or ends by itself (PostgreSQL): a later write of the same row must meet it.
    let again = loop {
        let again = write(&db, "kept".to_owned()).await;
        if again.is_err() {
            break again;
        }
    };
    assert!(again.is_err(), "the abandoned write is there");
    assert_eq!(count(&db).await, 1);
}

/// sqlx 0.9.0 leaves a PostgreSQL connection inside a transaction when `begin` is cancelled, and every later
/// acknowledged write on it stays invisible. Writes that never run on their caller's task cannot do that.
async fn cancelled_callers_hide_no_later_write<DB: TestEngine>(database: Database<DB>) {
    let db = database.open(&migrations()).await;
    for round in 0..150 {
        let cancelled = write(&db, format!("cancelled {round}"));
        // Polled once and dropped: as a handler that loses its client.
        let _ = tokio::time::timeout(std::time::Duration::from_micros(round * 7 % 300), cancelled).await;
    }
    for round in 0..50 {
        write(&db, format!("kept {round}")).await.unwrap();
    }
    let mut connection = db.read().await.unwrap();
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM notes WHERE id >= 'kept' AND id < 'kepu'")
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    assert_eq!(kept, 50);
}

async fn a_full_queue_refuses_at_once<DB: TestEngine>(mut database: Database<DB>) {
    database.options.write_queue = 4;
    let db = database.open(&migrations()).await;
    let (go_on, may_go_on) = tokio::sync::watch::channel(false);
    let mut writes = tokio::task::JoinSet::new();
    for number in 0..64 {
        let (db, mut may_go_on) = (db.clone(), may_go_on.clone());
        writes.spawn(async move {
            db.write(move |connection| {
                Box::pin(async move {
                    may_go_on.wait_for(|go_on| *go_on).await.unwrap();
                    insert::<DB>(connection, &format!("note {number}")).await
                })
            })
            .await
        });
    }
    // At most four wait and one runs (SQLite): the others are refused before any of these has ended.
    for _ in 0..59 {
        assert!(matches!(
            writes.join_next().await.unwrap().unwrap(),
            Err(Error::Busy { limit: 4 })
        ));
    }
    go_on.send(true).unwrap();
    let rest = writes.join_all().await;
    let kept = rest.iter().filter(|write| write.is_ok()).count();
    assert!(kept >= 4, "{kept} admitted");
    assert_eq!(count(&db).await, i64::try_from(kept).unwrap());
}

async fn acknowledged_writes_survive_a_reopening<DB: TestEngine>(database: Database<DB>) {
    let db = database.open(&migrations()).await;
    write(&db, "kept".to_owned()).await.unwrap();
    db.close().await;
    assert_eq!(count(&database.open(&migrations()).await).await, 1);
}

async fn a_closed_database_is_unavailable<DB: TestEngine>(database: Database<DB>) {
    let db = database.open(&migrations()).await;
    db.close().await;
    assert!(matches!(db.ping().await, Err(Error::Unavailable(_))));
    assert!(matches!(
        write(&db, "lost".to_owned()).await,
        Err(Error::Unavailable(_))
    ));
}

/// What an operator is told is what is: the migrations applied, the connections held, the writes that wait.
async fn a_database_says_how_it_is<DB: TestEngine>(database: Database<DB>) {
    let db = database.open(&migrations()).await;
    let state = db.state().await.unwrap();
    assert!(
        state.schema.starts_with(&[1, 2]) && state.schema.is_sorted(),
        "{:?}",
        state.schema
    );
    assert_eq!(db.pools().map(|pool| pool.name), ["read", "write"]);

    let readers = database.options.readers;
    let held = futures::future::join_all((0..readers).map(|_| db.read())).await;
    let [read, _] = db.pools();
    assert_eq!((read.used, read.idle, read.max), (readers, 0, readers));
    drop(held);

    assert_eq!(db.writes_waiting(), 0);
    let (begun, began) = oneshot::channel();
    let (go_on, gone_on) = oneshot::channel::<()>();
    let writes = tokio::spawn({
        let db = db.clone();
        async move {
            let first = db.write(|_| {
                Box::pin(async move {
                    begun.send(()).unwrap();
                    gone_on.await.unwrap();
                    Ok::<_, Error>(())
                })
            });
            let second = write(&db, "second".to_owned());
            tokio::try_join!(first, second).unwrap();
        }
    });
    began.await.unwrap();
    // The second is asked for right after the first, by a task that may just be at it; on SQLite the first, which has begun,
    // waits no more.
    let both = if DB::GROUPED { 1 } else { 2 };
    let asked = async {
        while db.writes_waiting() != both {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asked).await.unwrap();
    go_on.send(()).unwrap();
    writes.await.unwrap();
}
