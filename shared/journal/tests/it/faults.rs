//! What the log does when it cannot do its work.

use std::sync::Arc;

use journal::entry::Link;
use journal::{Checkpoint, Error, Journal, Limits};
use store::{Db, Engine};
use testkit::{Database, TestEngine, on_both_databases};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::fixture::{Value, db, entry, fill, key, open, open_with, tamper};

on_both_databases! {
    a_full_queue_is_an_error_at_once,
    a_database_that_is_gone_is_no_receipt,
    a_failed_batch_is_forgotten_whole,
    a_caller_that_goes_away_cancels_nothing,
    an_id_used_twice_blocks_nobody,
    two_processes_write_one_log,
}

/// Holds the log as a slow database would, until told otherwise.
fn hold<DB: Engine>(db: &Db<DB>) -> (Arc<Notify>, Arc<Notify>) {
    let (held, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (db, tell, wait) = (db.clone(), held.clone(), release.clone());
    tokio::spawn(async move {
        db.write(move |connection| {
            Box::pin(async move {
                sqlx::query("UPDATE journal_logs SET tree_size = tree_size")
                    .execute(connection)
                    .await?;
                tell.notify_one();
                wait.notified().await;
                Ok::<_, store::Error>(())
            })
        })
        .await
        .unwrap();
    });
    (held, release)
}

async fn size<DB: Engine>(journal: &Journal<DB>) -> u64 {
    Checkpoint::open(&journal.latest_checkpoint().await.unwrap(), journal.verifier())
        .unwrap()
        .size
}

/// When nothing moves, one batch and one queue wait and everybody else hears so at once; nobody waiting is lost.
async fn a_full_queue_is_an_error_at_once<DB: TestEngine>(database: Database<DB>) {
    let db = db(&database).await;
    let journal = open_with(
        &db,
        Limits {
            queue: 2,
            batch: 1,
            ..Limits::default()
        },
        &[],
    )
    .await
    .unwrap();
    let (held, release) = hold(&db);
    held.notified().await;
    let mut callers = JoinSet::new();
    for n in 0..10 {
        let journal = journal.clone();
        callers.spawn(async move { journal.append(entry("a", n)).await });
    }
    // One is being written and two wait: at least seven are refused while the database stands still.
    for _ in 0..7 {
        assert!(matches!(
            callers.join_next().await.unwrap().unwrap(),
            Err(Error::Full { limit: 2 })
        ));
    }
    release.notify_one();
    let written = callers.join_all().await.iter().filter(|answer| answer.is_ok()).count();
    assert!(written > 0);
    assert_eq!(size(&journal).await, written as u64);
}

/// No database, no receipt: the answer is UNAVAILABLE, never a receipt of something that may be lost.
async fn a_database_that_is_gone_is_no_receipt<DB: TestEngine>(database: Database<DB>) {
    let db = db(&database).await;
    let journal = open(&db).await;
    fill(&journal, 2).await;
    db.close().await;
    for n in 10..13 {
        assert!(matches!(journal.append(entry("a", n)).await, Err(Error::Unavailable)));
        assert!(matches!(
            journal.settle(uuid::Uuid::from_u128(n)).await,
            Err(Error::Unavailable)
        ));
    }
    assert!(matches!(journal.sweep().await, Err(Error::Unavailable)));
}

/// A batch that fails leaves nothing behind, in the database or in the writer's memory: the next one follows on what is stored.
async fn a_failed_batch_is_forgotten_whole<DB: TestEngine>(database: Database<DB>) {
    let db = db(&database).await;
    let journal = open(&db).await;
    fill(&journal, 5).await;
    // A row in the way of the next leaf makes its transaction fail after the entry has had its place.
    let statement = "INSERT INTO journal_checkpoints (log_id, tree_size, note) VALUES (1, 6, 'x')";
    tamper(&db, statement, vec![]).await;
    assert!(matches!(journal.append(entry("a", 10)).await, Err(Error::Unavailable)));
    // The log no longer is what it signed: it is not continued.
    assert!(matches!(journal.append(entry("a", 11)).await, Err(Error::Unavailable)));
    assert!(matches!(
        open_with(&db, Limits::default(), &[]).await,
        Err(Error::Refused(_))
    ));
    tamper(
        &db,
        "DELETE FROM journal_checkpoints WHERE tree_size = $1",
        vec![Value::Number(6)],
    )
    .await;
    let receipt = journal.append(entry("a", 12)).await.unwrap();
    assert_eq!((receipt.leaf_index, receipt.sequence), (5, 3));
    assert!(journal.entry(uuid::Uuid::from_u128(10)).await.unwrap().is_none());
    assert_eq!(journal.audit().await.unwrap().flaws, []);
}

/// An access whose caller hangs up is still written: too much is traced rather than too little.
async fn a_caller_that_goes_away_cancels_nothing<DB: TestEngine>(database: Database<DB>) {
    let db = db(&database).await;
    let journal = open(&db).await;
    let (held, release) = hold(&db);
    held.notified().await;
    for n in 0..20 {
        tokio::select! {
            biased;
            _ = journal.append(entry("a", n)) => panic!("nothing can be written now"),
            () = std::future::ready(()) => {}
        }
    }
    release.notify_one();
    journal.append(entry("b", 100)).await.unwrap();
    assert_eq!(size(&journal).await, 21);
}

/// An id that got both into the log and among the staged entries (a service that raced with itself) is written once, and does
/// not stand in the way of others.
async fn an_id_used_twice_blocks_nobody<DB: TestEngine>(database: Database<DB>) {
    let db = db(&database).await;
    let journal = open(&db).await;
    fill(&journal, 3).await;
    let statement =
        "INSERT INTO journal_staged (log_id, entry_id, subject, payload, staged_at) VALUES (1, $1, 'a', $2, 0)";
    let id = uuid::Uuid::from_u128(0);
    tamper(&db, statement, vec![Value::Id(id), Value::Bytes(b"access 0".to_vec())]).await;
    assert_eq!(journal.sweep().await.unwrap(), 1);
    assert_eq!(journal.sweep().await.unwrap(), 0);
    assert_eq!(journal.settle(id).await.unwrap().leaf_index, 0);
    assert_eq!(size(&journal).await, 3);
}

/// Two writers of one log, as two processes are: neither overwrites the other, no index is given twice, all receipts hold.
async fn two_processes_write_one_log<DB: TestEngine>(database: Database<DB>) {
    let db = db(&database).await;
    let journals = [open(&db).await, open(&db).await];
    let mut callers = JoinSet::new();
    for n in 0..60 {
        let journal = journals[n as usize % 2].clone();
        callers.spawn(async move { journal.append(entry("a", n)).await.unwrap() });
    }
    let receipts = callers.join_all().await;
    let mut indices: Vec<u64> = receipts.iter().map(|receipt| receipt.leaf_index).collect();
    indices.sort_unstable();
    assert_eq!(indices, (0..60).collect::<Vec<_>>());
    let verified = journals[0].history("a", 0, 100).await.unwrap();
    let verified = verified.verify(key().verifier(), "a", Link::BEGINNING).unwrap();
    for receipt in &receipts {
        verified.check_receipt(receipt, key().verifier()).unwrap();
    }
    assert_eq!(journals[1].audit().await.unwrap().flaws, []);
}
