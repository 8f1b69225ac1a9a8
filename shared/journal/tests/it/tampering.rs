//! Somebody with the database's password changes what is stored. Each change is found: by whoever checks a history or a
//! receipt, by the audit, or because the log refuses to open.

use journal::audit::Flaw;
use journal::entry::Link;
use journal::{Error, Hash, Journal, Limits, Receipt, Refusal};
use sqlx::Row;
use store::{Db, Engine};
use testkit::{Database, TestEngine, on_both_databases};
use uuid::Uuid;

use crate::fixture::{ORIGIN, Value, clock, db, entry, fill, key, open, open_with, tamper};

on_both_databases! {
    every_changed_column_of_an_entry_is_found,
    every_changed_hash_of_the_tree_is_found,
    every_changed_checkpoint_is_found,
    a_log_that_is_not_what_it_signed_is_refused,
    an_entry_taken_out_is_found,
    a_restored_backup_is_refused_against_a_witness,
    a_rewritten_log_is_refused_against_a_witness,
}

const ENTRIES: u128 = 24;

async fn filled<DB: Engine>(db: &Db<DB>) -> (Journal<DB>, Vec<Receipt>) {
    let journal = open(db).await;
    fill(&journal, ENTRIES).await;
    let mut receipts = Vec::new();
    for n in 0..ENTRIES {
        receipts.push(journal.receipt(Uuid::from_u128(n)).await.unwrap().unwrap());
    }
    (journal, receipts)
}

/// Whether the owners of the receipts, each asking for the history of their subject, find nothing to object to.
async fn all_histories_hold<DB: Engine>(journal: &Journal<DB>, receipts: &[Receipt]) -> bool {
    for (at, subject) in ["a", "b", "c"].into_iter().enumerate() {
        let Ok(history) = journal.history(subject, 0, 500).await else {
            return false;
        };
        let Ok(verified) = history.verify(key().verifier(), subject, Link::BEGINNING) else {
            return false;
        };
        let mut own = receipts.iter().skip(at).step_by(3);
        if !own.all(|receipt| verified.check_receipt(receipt, key().verifier()).is_ok()) {
            return false;
        }
    }
    true
}

async fn audit_is_clean<DB: Engine>(journal: &Journal<DB>) -> bool {
    journal
        .audit()
        .await
        .is_ok_and(|audit| audit.flaws.is_empty() && audit.entries == ENTRIES as u64)
}

async fn backup<DB: Engine>(db: &Db<DB>, table: &str) {
    tamper(db, &format!("CREATE TABLE backup AS SELECT * FROM {table}"), vec![]).await;
}

async fn restore<DB: Engine>(db: &Db<DB>, table: &str) {
    tamper(db, &format!("DELETE FROM {table}"), vec![]).await;
    tamper(db, &format!("INSERT INTO {table} SELECT * FROM backup"), vec![]).await;
}

/// P4: no column of an entry can be changed unseen, be it in the middle of a chain, at its end, or at the end of the log.
async fn every_changed_column_of_an_entry_is_found<DB: TestEngine>(database: Database<DB>) {
    let db = db(&database).await;
    let (journal, receipts) = filled(&db).await;
    backup(&db, "journal_entries").await;
    let changes = [
        ("log_id = $1", Value::Number(99)),
        ("leaf_index = $1", Value::Number(1000)),
        ("entry_id = $1", Value::Id(Uuid::from_u128(777))),
        ("subject = $1", Value::Text("z")),
        ("sequence = $1", Value::Number(1000)),
        ("previous = $1", Value::Bytes(vec![1; 32])),
        ("previous = $1", Value::Bytes(vec![1; 31])),
        ("recorded_at = recorded_at + $1", Value::Number(1)),
        ("salt = $1", Value::Bytes(vec![1; 32])),
        ("salt = $1", Value::Bytes(vec![1; 31])),
        ("payload = $1", Value::Bytes(b"nothing happened".to_vec())),
        ("salt = NULL, payload = NULL, content = $1", Value::Bytes(vec![1; 32])),
        ("leaf_hash = $1", Value::Bytes(vec![1; 32])),
    ];
    for leaf in [0, 10, 20, 23] {
        for (change, value) in &changes {
            assert!(all_histories_hold(&journal, &receipts).await && audit_is_clean(&journal).await);
            let statement = format!("UPDATE journal_entries SET {change} WHERE leaf_index = {leaf}");
            tamper(&db, &statement, vec![value.clone()]).await;
            assert!(!all_histories_hold(&journal, &receipts).await, "leaf {leaf}: {change}");
            assert!(!audit_is_clean(&journal).await, "leaf {leaf}: {change}");
            restore(&db, "journal_entries").await;
        }
    }
}

/// P4: no stored hash can be changed or taken out unseen.
async fn every_changed_hash_of_the_tree_is_found<DB: TestEngine>(database: Database<DB>) {
    let db = db(&database).await;
    let (journal, _) = filled(&db).await;
    backup(&db, "journal_nodes").await;
    let mut connection = db.read().await.unwrap();
    let rows = sqlx::query("SELECT level, position FROM journal_nodes")
        .fetch_all(&mut *connection)
        .await
        .unwrap();
    drop(connection);
    assert_eq!(rows.len(), 22, "24 leaves complete 12 + 6 + 3 + 1 subtrees");
    for row in &rows {
        let place: (i64, i64) = (row.try_get("level").unwrap(), row.try_get("position").unwrap());
        let at = vec![Value::Number(place.0), Value::Number(place.1)];
        let changed = [at.clone(), vec![Value::Bytes(vec![1; 32])]].concat();
        tamper(
            &db,
            "UPDATE journal_nodes SET hash = $3 WHERE level = $1 AND position = $2",
            changed,
        )
        .await;
        assert!(!audit_is_clean(&journal).await);
        restore(&db, "journal_nodes").await;
        tamper(&db, "DELETE FROM journal_nodes WHERE level = $1 AND position = $2", at).await;
        let flaws = journal.audit().await.unwrap().flaws;
        assert!(matches!(flaws[..], [Flaw::Node(node)] if (i64::from(node.level), node.position as i64) == place));
        restore(&db, "journal_nodes").await;
    }
    assert!(audit_is_clean(&journal).await);
    // What the log serves from a false hash holds nowhere: 24 leaves stand under a subtree of 16 and one of 8.
    tamper(
        &db,
        "UPDATE journal_nodes SET hash = $1 WHERE level = 4",
        vec![Value::Bytes(vec![1; 32])],
    )
    .await;
    let history = journal.history("a", 0, 500).await.unwrap();
    assert!(history.verify(key().verifier(), "a", Link::BEGINNING).is_err());
    assert!(matches!(
        open_with(&db, Limits::default(), &[]).await,
        Err(Error::Refused(Refusal::Root))
    ));
}

/// P4: no checkpoint can be changed unseen, old or new.
async fn every_changed_checkpoint_is_found<DB: TestEngine>(database: Database<DB>) {
    let db = db(&database).await;
    let (journal, _) = filled(&db).await;
    backup(&db, "journal_checkpoints").await;
    let newest = journal.latest_checkpoint().await.unwrap();
    for size in 1..=ENTRIES as i64 {
        // Replaced by another true checkpoint, and by one of a forger.
        let forged = journal::Checkpoint {
            origin: ORIGIN.into(),
            size: size as u64,
            root: Hash::ZERO,
            extensions: vec![],
        };
        let forged = forged
            .sign(&journal::LogKey::from_seed(ORIGIN, [9; 32]).unwrap())
            .unwrap();
        for note in [newest.clone(), forged] {
            let statement = format!("UPDATE journal_checkpoints SET note = $1 WHERE tree_size = {size}");
            let same = size == ENTRIES as i64 && note == newest;
            tamper_text(&db, &statement, note).await;
            let receipt = journal
                .receipt(Uuid::from_u128(size as u128 - 1))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(receipt.verify(key().verifier()).is_ok(), same);
            assert_eq!(audit_is_clean(&journal).await, same);
            restore(&db, "journal_checkpoints").await;
        }
    }
}

async fn tamper_text<DB: Engine>(db: &Db<DB>, statement: &str, text: String) {
    let statement = statement.to_owned();
    db.write(move |connection| {
        Box::pin(async move {
            sqlx::query(sqlx::AssertSqlSafe(statement))
                .bind(text)
                .execute(connection)
                .await?;
            Ok::<_, store::Error>(())
        })
    })
    .await
    .unwrap();
}

/// P8: a log whose state is not the one it last signed is not continued, and says why.
async fn a_log_that_is_not_what_it_signed_is_refused<DB: TestEngine>(database: Database<DB>) {
    let db = db(&database).await;
    let (journal, _) = filled(&db).await;
    journal.close().await;
    let refusal = async || match open_with(&db, Limits::default(), &[]).await {
        Err(Error::Refused(refusal)) => Some(refusal),
        Err(other) => panic!("{other:?}"),
        Ok(_) => None,
    };
    let undone = async |table: &str, statement: &str| {
        backup(&db, table).await;
        tamper(&db, statement, vec![]).await;
        let refused = refusal().await;
        restore(&db, table).await;
        tamper(&db, "DROP TABLE backup", vec![]).await;
        assert_eq!(refusal().await, None, "restored after: {statement}");
        refused
    };
    let size = |stored, signed| Some(Refusal::Size { stored, signed });
    assert_eq!(
        undone("journal_logs", "UPDATE journal_logs SET tree_size = 23").await,
        size(23, 24)
    );
    assert_eq!(
        undone("journal_logs", "UPDATE journal_logs SET verifier_key = 'k'").await,
        Some(Refusal::Key)
    );
    assert_eq!(
        undone("journal_entries", "DELETE FROM journal_entries WHERE leaf_index = 23").await,
        size(23, 24)
    );
    assert_eq!(
        undone("journal_entries", "DELETE FROM journal_entries").await,
        size(0, 24)
    );
    let last = "DELETE FROM journal_checkpoints WHERE tree_size = 24";
    assert_eq!(undone("journal_checkpoints", last).await, size(24, 23));
    let all = "DELETE FROM journal_checkpoints";
    assert_eq!(undone("journal_checkpoints", all).await, Some(Refusal::NoCheckpoint));
    let false_note = "UPDATE journal_checkpoints SET note = 'x' WHERE tree_size = 24";
    assert!(matches!(
        undone("journal_checkpoints", false_note).await,
        Some(Refusal::Checkpoint(_))
    ));
    let older =
        "UPDATE journal_checkpoints SET note = (SELECT c.note FROM journal_checkpoints c WHERE c.tree_size = 23)
                 WHERE tree_size = 24";
    assert_eq!(undone("journal_checkpoints", older).await, size(24, 23));
    assert_eq!(
        undone("journal_nodes", "DELETE FROM journal_nodes WHERE level = 4").await,
        Some(Refusal::Tree)
    );

    let other = journal::LogKey::from_seed(ORIGIN, [8; 32]).unwrap();
    let random = store::random::Random::system();
    let opened = Journal::open(db.clone(), clock(), random, other, Limits::default()).await;
    assert!(matches!(opened, Err(Error::Refused(Refusal::Key))));
}

/// P4: an entry taken out of the middle is found by its owner and by the audit.
async fn an_entry_taken_out_is_found<DB: TestEngine>(database: Database<DB>) {
    let db = db(&database).await;
    let (journal, receipts) = filled(&db).await;
    tamper(&db, "DELETE FROM journal_entries WHERE leaf_index = 10", vec![]).await;
    assert!(!all_histories_hold(&journal, &receipts).await);
    let flaws = journal.audit().await.unwrap().flaws;
    assert!(flaws.contains(&Flaw::Missing { leaf_index: 10 }), "{flaws:?}");
}

/// Brings the tables back to what they were at `size` entries, as a backup does.
async fn rewind<DB: Engine>(db: &Db<DB>, size: i64) {
    let mut connection = db.read().await.unwrap();
    let rows = sqlx::query("SELECT level, position FROM journal_nodes")
        .fetch_all(&mut *connection)
        .await
        .unwrap();
    drop(connection);
    for row in rows {
        let (level, position): (i64, i64) = (row.try_get("level").unwrap(), row.try_get("position").unwrap());
        if (position + 1) << level > size {
            let place = vec![Value::Number(level), Value::Number(position)];
            tamper(
                db,
                "DELETE FROM journal_nodes WHERE level = $1 AND position = $2",
                place,
            )
            .await;
        }
    }
    for statement in [
        "DELETE FROM journal_entries WHERE leaf_index >= $1",
        "DELETE FROM journal_checkpoints WHERE tree_size > $1",
        "UPDATE journal_logs SET tree_size = $1",
    ] {
        tamper(db, statement, vec![Value::Number(size)]).await;
    }
}

/// P8: a database brought back from a backup looks whole by itself; a checkpoint kept elsewhere finds it out.
async fn a_restored_backup_is_refused_against_a_witness<DB: TestEngine>(database: Database<DB>) {
    let db = db(&database).await;
    let (journal, receipts) = filled(&db).await;
    let witnessed = [
        receipts[0].checkpoint.clone(),
        journal.latest_checkpoint().await.unwrap(),
    ];
    journal.close().await;
    open_with(&db, Limits::default(), &witnessed)
        .await
        .unwrap()
        .close()
        .await;
    for size in [23, 16, 7, 1] {
        rewind(&db, size).await;
        let refused = open_with(&db, Limits::default(), &witnessed).await.err();
        let Some(Error::Refused(refusal)) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(
            refusal,
            Refusal::Behind {
                stored: size as u64,
                witnessed: 24
            }
        );
        open_with(&db, Limits::default(), &[]).await.unwrap().close().await;
    }
    // A log that is gone altogether is found out too.
    tamper(&db, "UPDATE journal_logs SET origin = 'elsewhere'", vec![]).await;
    let refused = open_with(&db, Limits::default(), &witnessed).await.err();
    assert!(matches!(
        refused,
        Some(Error::Refused(Refusal::Behind { stored: 0, .. }))
    ));
}

/// P8: a log that went on differently after a restore is found out for ever.
async fn a_rewritten_log_is_refused_against_a_witness<DB: TestEngine>(database: Database<DB>) {
    let db = db(&database).await;
    let (journal, receipts) = filled(&db).await;
    journal.close().await;
    rewind(&db, 9).await;
    let journal = open(&db).await;
    for n in 100..140 {
        journal.append(entry("a", n)).await.unwrap();
    }
    journal.close().await;
    for size in 10..=ENTRIES as usize {
        let witnessed = [receipts[size - 1].checkpoint.clone()];
        let refused = open_with(&db, Limits::default(), &witnessed).await.err();
        let Some(Error::Refused(Refusal::Forked(fork))) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!((fork.old, fork.new), (size as u64, 49));
    }
    open_with(&db, Limits::default(), &[receipts[8].checkpoint.clone()])
        .await
        .unwrap();
    let foreign = ["not a note".to_owned()];
    let refused = open_with(&db, Limits::default(), &foreign).await.err();
    assert!(matches!(refused, Some(Error::Refused(Refusal::Witnessed(_)))));
    assert!(!all_histories_hold(&journal, &receipts).await);
}
