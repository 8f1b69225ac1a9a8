//! What is gathered is answered as if each had read for itself.

use crate::{count, insert, migrations};
use futures::future::join_all;
use store::{Db, Error, Gather, NewRow, Value};
use testkit::{Database, TestEngine};

testkit::on_both_databases! {
    each_is_answered_what_it_asked_for,
    what_is_answered_was_read_after_it_was_asked_for,
    what_cannot_be_read_for_one_fails_for_that_one_alone,
    rows_of_several_tables_are_written_together,
    what_is_too_much_for_a_message_is_written_whole_or_not_at_all,
}

/// Whether there is a note of this name. One name is unreadable, and one makes the reading panic.
fn notes<DB: TestEngine>(db: &Db<DB>) -> Gather<String, bool> {
    Gather::start(db.clone(), |connection, names: Vec<String>| {
        Box::pin(async move {
            let mut there = Vec::new();
            for name in names {
                match name.as_str() {
                    "unreadable" => return Err(Error::Corrupt("notes")),
                    "panicking" => panic!("a defect in a reading"),
                    _ => {}
                }
                let note = sqlx::query("SELECT id FROM notes WHERE id = $1").bind(name);
                there.push(note.fetch_optional(&mut *connection).await?.is_some());
            }
            Ok(there)
        })
    })
}

async fn write<DB: TestEngine>(db: &Db<DB>, name: String) {
    let written = db.write(move |connection| Box::pin(async move { insert::<DB>(connection, &name).await }));
    written.await.unwrap();
}

async fn each_is_answered_what_it_asked_for<DB: TestEngine>(database: Database<DB>) {
    let db = database.open(&migrations()).await;
    for number in (0..200).step_by(2) {
        write(&db, format!("note {number}")).await;
    }
    let notes = notes(&db);
    let answers = join_all((0..200).map(|number| notes.get(format!("note {number}")))).await;
    for (number, there) in answers.into_iter().enumerate() {
        assert_eq!(there.unwrap(), number % 2 == 0, "note {number}");
    }
}

/// However many ask at the same time: a reading under way is no answer to who comes later.
async fn what_is_answered_was_read_after_it_was_asked_for<DB: TestEngine>(database: Database<DB>) {
    let db = database.open(&migrations()).await;
    let notes = notes(&db);
    let own = async {
        for number in 0..50 {
            let name = format!("note {number}");
            write(&db, name.clone()).await;
            assert!(notes.get(name).await.unwrap(), "note {number} was acknowledged");
        }
    };
    let others = join_all((0..8).map(|_| async {
        for number in 0..50 {
            notes.get(format!("note {number}")).await.unwrap();
        }
    }));
    tokio::join!(own, others);
}

async fn what_cannot_be_read_for_one_fails_for_that_one_alone<DB: TestEngine>(database: Database<DB>) {
    let db = database.open(&migrations()).await;
    write(&db, "note".to_owned()).await;
    let notes = notes(&db);
    let names = ["note", "unreadable", "note", "panicking", "absent"];
    let [first, unreadable, second, panicking, absent] = names.map(|name| notes.get(name.to_owned()));
    let (first, unreadable, second, panicking, absent) = tokio::join!(first, unreadable, second, panicking, absent);
    assert!(first.unwrap() && second.unwrap() && !absent.unwrap());
    assert!(matches!(unreadable, Err(Error::Corrupt("notes"))));
    assert!(matches!(panicking, Err(Error::Panicked)));
    assert!(notes.get("note".to_owned()).await.unwrap(), "the defect cost no lane");
}

async fn rows_of_several_tables_are_written_together<DB: TestEngine>(database: Database<DB>) {
    let db = database.open(&migrations()).await;
    let note = |number: i64| NewRow {
        columns: "notes (id, body)",
        values: vec![Value::Text(format!("note {number}")), Value::Text("body".to_owned())],
    };
    let place = |number: i64| NewRow {
        columns: "feed_places (consumer, resume_token)",
        values: vec![
            Value::Text(format!("consumer {number}")),
            Value::Text(number.to_string()),
        ],
    };
    let rows: Vec<NewRow> = (0..300).map(note).chain((0..3).map(place)).collect();
    db.write(move |connection| Box::pin(async move { store::insert::<DB>(connection, rows).await }))
        .await
        .unwrap();
    assert_eq!(count(&db).await, 300);
    let mut connection = db.read().await.unwrap();
    let places: Vec<String> = sqlx::query_scalar("SELECT resume_token FROM feed_places ORDER BY consumer")
        .fetch_all(&mut *connection)
        .await
        .unwrap();
    assert_eq!(places, ["0", "1", "2"]);
}

/// What is too much for one message goes in several, and is there or not as a whole all the same.
async fn what_is_too_much_for_a_message_is_written_whole_or_not_at_all<DB: TestEngine>(database: Database<DB>) {
    let db = database.open(&migrations()).await;
    let large = |number: i64| NewRow {
        columns: "notes (id, body)",
        values: vec![Value::Text(format!("note {number}")), Value::Text("x".repeat(300_000))],
    };
    let write = |rows: Vec<NewRow>| db.write(move |connection| Box::pin(store::insert::<DB>(connection, rows)));
    write((0..10).map(large).collect()).await.unwrap();
    assert_eq!(count(&db).await, 10);
    let again = (10..20).chain([0]).map(large).collect();
    assert!(write(again).await.unwrap_err().is_there_already());
    assert_eq!(count(&db).await, 10);
    write(Vec::new()).await.unwrap();
}
