//! What the log takes down, and what it gives out.

use std::collections::BTreeSet;
use std::time::Duration;

use journal::entry::{Content, Link};
use journal::{Checkpoint, Entry, Error, Hash, Journal, Limits, Receipt};
use store::time::Timestamp;
use store::{Db, Engine, NewRow, Value};
use testkit::{Database, TestEngine, on_both_databases};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::fixture::{ORIGIN, clock, db, entry, fill, key, open, open_with};
use crate::naive;

on_both_databases! {
    receipts_of_concurrent_writers_are_dense_and_hold,
    a_receipt_is_the_same_for_ever,
    an_entry_is_written_once,
    a_change_and_its_entry_commit_together,
    what_is_remembered_of_a_staged_entry_proves_nothing,
    a_chain_continues_where_another_instance_has_written,
    what_goes_with_an_entry_is_there_exactly_when_the_entry_is,
    what_a_crash_left_staged_is_written,
    a_forgotten_entry_is_swept,
    proofs_are_those_of_the_definitions,
    a_history_is_proved_page_by_page,
    pages_go_both_ways,
    an_erased_history_still_holds,
    what_is_out_of_bounds_is_refused,
    a_closed_log_finished_its_work,
    logs_of_one_database_are_apart,
    a_log_says_where_it_stands,
}

async fn leaves<DB: Engine>(journal: &Journal<DB>) -> Vec<Hash> {
    let mut leaves = Vec::new();
    for index in 0.. {
        let tile = journal.tile(0, index).await.unwrap();
        let full = tile.len() == 256;
        leaves.extend(tile);
        if !full {
            break;
        }
    }
    leaves
}

async fn checkpoint<DB: Engine>(journal: &Journal<DB>) -> Checkpoint {
    Checkpoint::open(&journal.latest_checkpoint().await.unwrap(), journal.verifier()).unwrap()
}

async fn stage<DB: Engine>(db: &Db<DB>, journal: &Journal<DB>, entry: Entry, commit: bool) -> journal::Result<()> {
    let journal = journal.clone();
    db.write(move |connection| {
        Box::pin(async move {
            journal.stage(connection, &entry).await?;
            if commit { Ok(()) } else { Err(Error::NoSuchTree) }
        })
    })
    .await
}

/// 200 callers at once: no index twice and none left out, every chain whole, and every receipt holds by itself.
async fn receipts_of_concurrent_writers_are_dense_and_hold<DB: TestEngine>(database: Database<DB>) {
    let db = db(&database).await;
    let journal = open(&db).await;
    let mut callers = JoinSet::new();
    for n in 0..200 {
        let journal = journal.clone();
        callers.spawn(async move {
            journal
                .append(entry(["a", "b", "c", "d"][n % 4], n as u128))
                .await
                .unwrap()
        });
    }
    let receipts: Vec<Receipt> = callers.join_all().await;
    let indices: BTreeSet<u64> = receipts.iter().map(|receipt| receipt.leaf_index).collect();
    assert_eq!(indices, (0..200).collect());
    let last = checkpoint(&journal).await;
    assert_eq!(last.size, 200);
    for receipt in &receipts {
        let signed = receipt.verify(key().verifier()).unwrap();
        let growth = journal.consistency_proof(signed.size, last.size).await.unwrap();
        last.extends(&signed, &growth).unwrap();
    }
    for subject in ["a", "b", "c", "d"] {
        let history = journal.history(subject, 0, 500).await.unwrap();
        let verified = history.verify(key().verifier(), subject, Link::BEGINNING).unwrap();
        assert_eq!(verified.entries.len(), 50);
        for entry in &verified.entries {
            let receipt = receipts
                .iter()
                .find(|receipt| receipt.entry_id == entry.entry_id)
                .unwrap();
            verified.check_receipt(receipt, key().verifier()).unwrap();
        }
    }
    assert_eq!(naive::mth(&leaves(&journal).await), last.root);
    assert_eq!(journal.audit().await.unwrap().flaws, []);
}

/// The receipt read back later is the one that was given.
async fn a_receipt_is_the_same_for_ever<DB: TestEngine>(database: Database<DB>) {
    let db = db(&database).await;
    let journal = open(&db).await;
    let mut callers = JoinSet::new();
    for n in 0..30 {
        let journal = journal.clone();
        callers.spawn(async move { journal.append(entry("a", n)).await.unwrap() });
    }
    for given in callers.join_all().await {
        assert_eq!(journal.receipt(given.entry_id).await.unwrap(), Some(given));
    }
    assert_eq!(journal.receipt(Uuid::from_u128(999)).await.unwrap(), None);
    assert_eq!(
        journal.checkpoint_from(30).await.unwrap().unwrap().1,
        journal.latest_checkpoint().await.unwrap()
    );
    assert_eq!(journal.checkpoint_from(0).await.unwrap().unwrap().0, 0);
    assert_eq!(journal.checkpoint_from(31).await.unwrap(), None);
}

/// The same entry again is the same entry; another one under its id is refused, also within one batch.
async fn an_entry_is_written_once<DB: TestEngine>(database: Database<DB>) {
    let db = db(&database).await;
    let journal = open(&db).await;
    let mut callers = JoinSet::new();
    for _ in 0..20 {
        let journal = journal.clone();
        callers.spawn(async move { journal.append(entry("a", 1)).await.unwrap() });
    }
    let receipts = callers.join_all().await;
    assert!(receipts.iter().all(|receipt| *receipt == receipts[0]));
    assert_eq!(checkpoint(&journal).await.size, 1);

    let other_payload = Entry {
        payload: b"other".to_vec(),
        ..entry("a", 1)
    };
    assert!(matches!(journal.append(other_payload).await, Err(Error::EntryIdReused)));
    assert!(matches!(journal.append(entry("b", 1)).await, Err(Error::EntryIdReused)));
    let both = tokio::join!(journal.append(entry("a", 2)), journal.append(entry("b", 2)));
    assert!(matches!(both, (Ok(_), Err(Error::EntryIdReused))));
    assert_eq!(checkpoint(&journal).await.size, 2);
}

/// A staged entry is in the log exactly if the transaction of its change committed.
async fn a_change_and_its_entry_commit_together<DB: TestEngine>(database: Database<DB>) {
    let db = db(&database).await;
    let journal = open(&db).await;
    assert!(stage(&db, &journal, entry("a", 1), false).await.is_err());
    assert!(matches!(
        journal.settle(Uuid::from_u128(1)).await,
        Err(Error::NotStaged)
    ));

    stage(&db, &journal, entry("a", 1), true).await.unwrap();
    assert!(matches!(
        stage(&db, &journal, entry("a", 1), true).await,
        Err(Error::EntryIdReused)
    ));
    let receipt = journal.settle(Uuid::from_u128(1)).await.unwrap();
    receipt.verify(key().verifier()).unwrap();
    assert_eq!(journal.settle(Uuid::from_u128(1)).await.unwrap(), receipt);
    assert!(matches!(
        stage(&db, &journal, entry("a", 1), true).await,
        Err(Error::EntryIdReused)
    ));
    assert_eq!(
        journal
            .entry(receipt.entry_id)
            .await
            .unwrap()
            .unwrap()
            .content
            .payload(),
        Some(&b"access 1"[..])
    );

    // A staged entry and the same one appended are one entry; another one under its id is refused, and it is not lost.
    stage(&db, &journal, entry("a", 2), true).await.unwrap();
    assert!(matches!(journal.append(entry("b", 2)).await, Err(Error::EntryIdReused)));
    assert_eq!(journal.append(entry("a", 2)).await.unwrap().sequence, 2);
    assert_eq!(journal.settle(Uuid::from_u128(2)).await.unwrap().sequence, 2);
    assert_eq!(journal.sweep().await.unwrap(), 0);
    assert_eq!(checkpoint(&journal).await.size, 2);
}

/// A process remembers what it has staged, but only the database knows whether it is staged still, or ever was.
async fn what_is_remembered_of_a_staged_entry_proves_nothing<DB: TestEngine>(database: Database<DB>) {
    let db = db(&database).await;
    let journal = open(&db).await;
    let stage = async |n, commit| {
        let row = journal.staged(&entry("a", n)).unwrap();
        let staged = db.write(move |connection| {
            Box::pin(async move {
                store::insert::<DB>(connection, vec![row]).await?;
                if commit { Ok(()) } else { Err(Error::NoSuchTree) }
            })
        });
        assert_eq!(staged.await.is_ok(), commit);
        Uuid::from_u128(n)
    };
    // Rolled back, beside one that nobody has seen and one that is staged: only the first is not there.
    let (gone, there) = (stage(1, false).await, stage(2, true).await);
    let answers = tokio::join!(
        journal.settle(gone),
        journal.append(entry("a", 3)),
        journal.settle(there)
    );
    assert!(matches!(answers.0, Err(Error::NotStaged)));
    let sequences = BTreeSet::from([answers.1.unwrap().sequence, answers.2.unwrap().sequence]);
    assert_eq!(sequences, BTreeSet::from([1, 2]));
    // Taken down by another instance meanwhile.
    let swept = stage(4, true).await;
    let other = open(&db).await;
    let receipt = other.receipt(swept).await.unwrap().unwrap();
    assert_eq!(journal.settle(swept).await.unwrap(), receipt);
    assert_eq!(journal.sweep().await.unwrap(), 0);
    assert_eq!(checkpoint(&journal).await.size, 3);
    assert_eq!(journal.audit().await.unwrap().flaws, []);
}

/// Where a chain ends is remembered only as long as nobody else has written into the log.
async fn a_chain_continues_where_another_instance_has_written<DB: TestEngine>(database: Database<DB>) {
    let db = db(&database).await;
    let (one, other) = (open(&db).await, open(&db).await);
    for n in 0..12 {
        let journal = if n % 3 == 0 { &other } else { &one };
        let receipt = journal.append(entry("a", n)).await.unwrap();
        assert_eq!(u128::from(receipt.sequence), n + 1);
    }
    assert_eq!(one.audit().await.unwrap().flaws, []);
}

/// One commit for an entry and what goes with it: never one without the other, and never twice.
async fn what_goes_with_an_entry_is_there_exactly_when_the_entry_is<DB: TestEngine>(database: Database<DB>) {
    let db = db(&database).await;
    let journal = open(&db).await;
    let beside = |payload: u8, fails: bool| {
        let event = store::event("beside", "k", vec![payload], Timestamp::UNIX_EPOCH);
        let refused = NewRow {
            columns: "feed_places (consumer, resume_token)",
            values: vec![Value::Text("twice".to_owned()), Value::Text("1".to_owned())],
        };
        if fails {
            vec![event, refused.clone(), refused]
        } else {
            vec![event]
        }
    };
    let written = async || {
        let mut connection = db.read().await.unwrap();
        sqlx::query_scalar::<DB, i64>("SELECT COUNT(*) FROM outbox")
            .fetch_one(&mut *connection)
            .await
            .unwrap()
    };
    let first = journal.append_with(entry("a", 1), beside(1, false)).await.unwrap();
    let again = journal.append_with(entry("a", 1), beside(1, false)).await.unwrap();
    assert_eq!((first.leaf_index, written().await), (again.leaf_index, 1));
    let failed = journal.append_with(entry("a", 2), beside(2, true)).await;
    assert!(matches!(failed, Err(Error::Unavailable)));
    assert!(journal.entry(entry("a", 2).entry_id).await.unwrap().is_none());
    assert_eq!(written().await, 1);
    let reused = journal.append_with(entry("b", 1), beside(3, false)).await;
    assert!(matches!(reused, Err(Error::EntryIdReused)));
    assert_eq!(written().await, 1);
}

/// A crash between a change and its receipt loses nothing: the log takes it down when it opens, in the order of staging.
async fn what_a_crash_left_staged_is_written<DB: TestEngine>(database: Database<DB>) {
    let db = db(&database).await;
    let limits = Limits {
        batch: 2,
        ..Limits::default()
    };
    let journal = open_with(&db, limits, &[]).await.unwrap();
    fill(&journal, 4).await;
    journal.close().await;
    for n in 10..15 {
        stage(&db, &journal, entry("a", n), true).await.unwrap();
    }
    drop(journal);

    let journal = open_with(&db, limits, &[]).await.unwrap();
    let ids: Vec<Uuid> = journal
        .entries("a", 2, 10)
        .await
        .unwrap()
        .iter()
        .map(|entry| entry.entry_id)
        .collect();
    assert_eq!(ids, (10..15).map(Uuid::from_u128).collect::<Vec<_>>());
    assert_eq!(journal.settle(Uuid::from_u128(12)).await.unwrap().sequence, 5);
    assert_eq!(journal.sweep().await.unwrap(), 0);
    assert_eq!(journal.audit().await.unwrap().flaws, []);
}

/// A handler that dies between its change and its receipt loses nothing either: the running log finds what was staged.
async fn a_forgotten_entry_is_swept<DB: TestEngine>(database: Database<DB>) {
    let db = db(&database).await;
    let never = Limits {
        sweep_every: std::time::Duration::from_secs(3600),
        ..Limits::default()
    };
    let journal = open_with(&db, never, &[]).await.unwrap();
    for n in 0..3 {
        stage(&db, &journal, entry("a", n), true).await.unwrap();
    }
    assert_eq!(journal.sweep().await.unwrap(), 3);
    assert_eq!(journal.sweep().await.unwrap(), 0);
    assert_eq!(journal.settle(Uuid::from_u128(1)).await.unwrap().sequence, 2);

    let often = Limits {
        sweep_every: std::time::Duration::from_millis(5),
        ..Limits::default()
    };
    let journal = open_with(&db, often, &[]).await.unwrap();
    stage(&db, &journal, entry("a", 3), true).await.unwrap();
    let swept = async {
        while journal.entry(Uuid::from_u128(3)).await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), swept)
        .await
        .unwrap();
}

/// Every proof the log gives is that of RFC 9162's definitions, for every leaf and every size it ever had; tiles are its tree.
async fn proofs_are_those_of_the_definitions<DB: TestEngine>(database: Database<DB>) {
    let db = db(&database).await;
    let journal = open(&db).await;
    fill(&journal, 21).await;
    let mut callers = JoinSet::new();
    for n in 21..300 {
        let journal = journal.clone();
        callers.spawn(async move { journal.append(entry("d", n)).await.unwrap() });
    }
    callers.join_all().await;
    let leaves = leaves(&journal).await;
    assert_eq!(leaves.len(), 300);
    for size in (1..=40).chain([255, 256, 257, 299, 300]) {
        let part = &leaves[..size as usize];
        for index in (0..size).step_by(size as usize / 20 + 1).chain([size - 1]) {
            let proof = journal.inclusion_proof(index, size).await.unwrap();
            assert_eq!(proof, naive::path(index as usize, part));
            assert_eq!(
                journal.consistency_proof(index, size).await.unwrap(),
                naive::proof(index as usize, part)
            );
        }
    }
    assert_eq!(journal.tile(1, 0).await.unwrap(), [naive::mth(&leaves[..256])]);
    assert_eq!(journal.tile(1, 1).await.unwrap(), []);
    for beyond in [
        journal.inclusion_proof(0, 301).await,
        journal.inclusion_proof(300, 300).await,
    ] {
        assert!(matches!(beyond, Err(Error::NoSuchTree)));
    }
    assert!(matches!(
        journal.consistency_proof(300, 299).await,
        Err(Error::NoSuchTree)
    ));
    assert!(matches!(
        journal.consistency_proof(0, 301).await,
        Err(Error::NoSuchTree)
    ));
    assert!(matches!(journal.tile(9, 0).await, Err(Error::NoSuchTree)));
}

/// A long history is given in pages, each of which follows on the one before it.
async fn a_history_is_proved_page_by_page<DB: TestEngine>(database: Database<DB>) {
    let db = db(&database).await;
    let journal = open(&db).await;
    fill(&journal, 40).await;
    let mut head = Link::BEGINNING;
    let mut pages = 0;
    loop {
        let history = journal.history("b", head.sequence, 4).await.unwrap();
        let verified = history.verify(key().verifier(), "b", head).unwrap();
        if verified.entries.is_empty() {
            break;
        }
        (head, pages) = (verified.head(), pages + 1);
    }
    assert_eq!((head.sequence, pages), (13, 4));
    let empty = journal.history("nobody", 0, 10).await.unwrap();
    assert!(
        empty
            .verify(key().verifier(), "nobody", Link::BEGINNING)
            .unwrap()
            .entries
            .is_empty()
    );
    let mut newest_first = journal.entries_before("b", None, 3).await.unwrap();
    newest_first.reverse();
    let before = journal.entries("b", 9, 1).await.unwrap()[0].link();
    let history = journal.proven(newest_first).await.unwrap();
    assert_eq!(history.verify(key().verifier(), "b", before).unwrap().head(), head);
}

/// Pages are read oldest first or newest first, and are never longer than the limit.
async fn pages_go_both_ways<DB: TestEngine>(database: Database<DB>) {
    let db = db(&database).await;
    let journal = open_with(
        &db,
        Limits {
            page: 5,
            ..Limits::default()
        },
        &[],
    )
    .await
    .unwrap();
    fill(&journal, 24).await;
    let sequences = |page: Vec<journal::Recorded>| page.iter().map(|entry| entry.sequence).collect::<Vec<u64>>();
    assert_eq!(sequences(journal.entries("c", 0, 3).await.unwrap()), [1, 2, 3]);
    assert_eq!(sequences(journal.entries("c", 3, 100).await.unwrap()), [4, 5, 6, 7, 8]);
    assert_eq!(sequences(journal.entries("c", 8, 100).await.unwrap()), [0; 0]);
    assert_eq!(
        sequences(journal.entries_before("c", None, 3).await.unwrap()),
        [8, 7, 6]
    );
    assert_eq!(
        sequences(journal.entries_before("c", Some(6), 100).await.unwrap()),
        [5, 4, 3, 2, 1]
    );
    assert_eq!(
        sequences(journal.entries_before("c", Some(1), 100).await.unwrap()),
        [0; 0]
    );
}

/// Erasing destroys what entries said, and nothing of what can be proved of them; the chain goes on.
async fn an_erased_history_still_holds<DB: TestEngine>(database: Database<DB>) {
    let db = db(&database).await;
    let journal = open_with(
        &db,
        Limits {
            page: 3,
            ..Limits::default()
        },
        &[],
    )
    .await
    .unwrap();
    fill(&journal, 15).await;
    let receipt = journal.receipt(Uuid::from_u128(4)).await.unwrap().unwrap();
    let mut erased = Vec::new();
    while erased.last() != Some(&0) {
        let handle = journal.clone();
        let page = db
            .write(move |connection| Box::pin(async move { handle.erase(connection, "b").await }))
            .await;
        erased.push(page.unwrap());
    }
    assert_eq!(erased, [3, 2, 0]);

    let journal = open(&db).await;
    assert_eq!(journal.append(entry("b", 100)).await.unwrap().sequence, 6);
    let history = journal.history("b", 0, 100).await.unwrap();
    let verified = history.verify(key().verifier(), "b", Link::BEGINNING).unwrap();
    assert_eq!(verified.entries.iter().filter(|entry| entry.erased).count(), 5);
    assert!(matches!(history.entries[0].entry.content, Content::Erased { .. }));
    verified.check_receipt(&receipt, key().verifier()).unwrap();
    assert_eq!(journal.receipt(Uuid::from_u128(4)).await.unwrap(), Some(receipt));
    // The same id again is still not written twice.
    assert_eq!(journal.append(entry("b", 4)).await.unwrap().sequence, 2);
    let audit = journal.audit().await.unwrap();
    assert_eq!((audit.entries, audit.erased, audit.flaws), (16, 5, vec![]));
}

/// Limits are refused at the door, and the smallest entry is an entry.
async fn what_is_out_of_bounds_is_refused<DB: TestEngine>(database: Database<DB>) {
    let db = db(&database).await;
    let journal = open_with(
        &db,
        Limits {
            payload_bytes: 100,
            ..Limits::default()
        },
        &[],
    )
    .await
    .unwrap();
    let long = "s".repeat(201);
    for subject in ["", &long, "nul\0"] {
        assert!(matches!(
            journal.append(entry(subject, 1)).await,
            Err(Error::OutOfBounds("subject"))
        ));
    }
    let large = Entry {
        payload: vec![0; 101],
        ..entry("a", 1)
    };
    assert!(matches!(
        journal.append(large.clone()).await,
        Err(Error::OutOfBounds("payload"))
    ));
    assert!(matches!(
        stage(&db, &journal, large, true).await,
        Err(Error::OutOfBounds("payload"))
    ));
    let empty = Entry {
        payload: Vec::new(),
        ..entry(&"s".repeat(200), 1)
    };
    assert_eq!(journal.append(empty.clone()).await.unwrap().leaf_index, 0);
    stage(
        &db,
        &journal,
        Entry {
            entry_id: Uuid::from_u128(2),
            ..empty.clone()
        },
        true,
    )
    .await
    .unwrap();
    assert_eq!(journal.settle(Uuid::from_u128(2)).await.unwrap().sequence, 2);
    let history = journal.history(&empty.subject, 0, 10).await.unwrap();
    assert_eq!(
        history
            .verify(key().verifier(), &empty.subject, Link::BEGINNING)
            .unwrap()
            .entries
            .len(),
        2
    );
}

/// Closing finishes what waits, and takes nothing more.
async fn a_closed_log_finished_its_work<DB: TestEngine>(database: Database<DB>) {
    let db = db(&database).await;
    let journal = open(&db).await;
    let mut callers = JoinSet::new();
    for n in 0..50 {
        let journal = journal.clone();
        callers.spawn(async move { journal.append(entry("a", n)).await });
    }
    tokio::task::yield_now().await;
    journal.close().await;
    let written = callers.join_all().await.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(checkpoint(&journal).await.size, written as u64);
    assert!(matches!(journal.append(entry("a", 99)).await, Err(Error::Unavailable)));
    journal.close().await;
}

/// Two logs in one database do not see one another.
async fn logs_of_one_database_are_apart<DB: TestEngine>(database: Database<DB>) {
    let db = db(&database).await;
    let first = open(&db).await;
    let other = journal::LogKey::from_seed("dmp.example/other", [8; 32]).unwrap();
    let (clock, random) = (crate::fixture::clock(), store::random::Random::system());
    let second = Journal::open(db.clone(), clock, random, other, Limits::default())
        .await
        .unwrap();
    fill(&first, 6).await;
    fill(&second, 3).await;
    assert_eq!(first.history("a", 0, 10).await.unwrap().entries.len(), 2);
    let history = second.history("a", 0, 10).await.unwrap();
    assert!(history.verify(first.verifier(), "a", Link::BEGINNING).is_err());
    assert_eq!(
        history
            .verify(second.verifier(), "a", Link::BEGINNING)
            .unwrap()
            .entries
            .len(),
        1
    );
    assert_eq!((checkpoint(&first).await.size, checkpoint(&second).await.size), (6, 3));
}

/// Both engines have the same tables.
#[tokio::test(flavor = "multi_thread")]
async fn schemas_agree() {
    testkit::assert_schemas_agree(&crate::fixture::migrations()).await;
}

/// What an operator is told of a log, also when its database does not answer.
async fn a_log_says_where_it_stands<DB: TestEngine>(database: Database<DB>) {
    let db = db(&database).await;
    let journal = open(&db).await;
    let patience = Duration::from_secs(30);
    let empty = journal.clone().status(patience).await;
    assert_eq!(
        (empty.answers, empty.tree_size, empty.last_checkpoint_at),
        (true, 0, None)
    );
    fill(&journal, 5).await;
    let status = journal.clone().status(patience).await;
    assert_eq!((status.origin.as_str(), status.tree_size), (ORIGIN, 5));
    assert_eq!(status.last_checkpoint_at, Some(store::time::to_proto(clock().now())));
    assert_eq!(status.entries_waiting, 0);
    db.close().await;
    let status = journal.status(patience).await;
    assert_eq!(
        (status.answers, status.origin.as_str(), status.tree_size),
        (false, ORIGIN, 0)
    );
}
