//! What goes over the wire is what was signed.

use api::common::v1 as pb;
use journal::entry::{Content, Link};
use journal::{History, Receipt};

use crate::history::{ORIGIN, SUBJECT, key, written};

/// A history and a receipt come out of their messages as they went in, erased entries too, and still hold.
#[test]
fn messages_carry_everything_that_is_proved() {
    let written = written(20);
    let mut history = written.history();
    let entry = &mut history.entries[1].entry;
    entry.content = Content::Erased {
        commitment: entry.content.commitment(),
    };
    let read = History::from_proto(&history.to_proto(SUBJECT, ORIGIN)).unwrap();
    assert_eq!(read, history);
    let verified = read.verify(key().verifier(), SUBJECT, Link::BEGINNING).unwrap();

    let receipt = written.receipt(3);
    let read = Receipt::try_from(&pb::Receipt::from(&receipt)).unwrap();
    assert_eq!(read, receipt);
    verified.check_receipt(&read, key().verifier()).unwrap();
}

/// A field that is missing or of the wrong length is named, before anything is verified.
#[test]
fn malformed_messages_are_refused() {
    let message = written(20).history().to_proto(SUBJECT, ORIGIN);
    let refused = |change: fn(&mut pb::HistoryEntry)| {
        let mut message = message.clone();
        change(&mut message.entries[2]);
        History::from_proto(&message).unwrap_err().0
    };
    assert_eq!(refused(|entry| entry.entry_id = "7".into()), "entry_id");
    assert_eq!(
        refused(|entry| entry.previous_leaf_hash = vec![0; 31]),
        "previous_leaf_hash"
    );
    assert_eq!(refused(|entry| entry.leaf_hash = vec![0; 33]), "leaf_hash");
    assert_eq!(refused(|entry| entry.recorded_at = None), "recorded_at");
    assert_eq!(refused(|entry| entry.present_or_erased = None), "content");
    assert_eq!(refused(|entry| entry.inclusion = vec![vec![]]), "inclusion");
}

/// A nanosecond added on the wire is not lost in rounding: the entry no longer is the one that was signed.
#[test]
fn a_finer_time_is_refused() {
    let mut message = written(20).history().to_proto(SUBJECT, ORIGIN);
    message.entries[0].recorded_at.as_mut().unwrap().nanos += 1;
    let history = History::from_proto(&message).unwrap();
    assert!(history.verify(key().verifier(), SUBJECT, Link::BEGINNING).is_err());
}
