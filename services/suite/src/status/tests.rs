#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
use super::*;
use prost_types::Timestamp;

const NOW: i64 = 1_790_000_000;

fn ago(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp {
        seconds: NOW - seconds,
        nanos: 0,
    })
}

fn status() -> pb::Status {
    let pool = |name: &str, max| pb::PoolStatus {
        name: name.to_owned(),
        used: 1,
        idle: 1,
        max,
    };
    pb::Status {
        name: "dossier".to_owned(),
        version: "0.1.0".to_owned(),
        started_at: ago(3 * 3600),
        now: ago(0),
        serving: true,
        draining: false,
        calls_in_flight: 3,
        database: Some(pb::DatabaseStatus {
            engine: "PostgreSQL".to_owned(),
            answers: true,
            answered_in: Some(prost_types::Duration {
                seconds: 0,
                nanos: 1_260_000,
            }),
            schema_versions: vec![1, 2],
            pools: vec![pool("read", 8), pool("write", 16)],
            writes_waiting: 5,
        }),
        feeds: vec![pb::FeedStatus {
            answers: true,
            head: 120,
            waiting: 1,
            oldest_at: ago(1),
        }],
        followed: vec![pb::FollowedStatus {
            consumer: "consent".to_owned(),
            peer: "consent".to_owned(),
            connected: true,
            last_message_at: ago(14),
        }],
        journals: vec![pb::JournalStatus {
            answers: true,
            origin: "dmp.localhost/dossier".to_owned(),
            tree_size: 845,
            last_checkpoint_at: ago(600),
            entries_waiting: 2,
        }],
        certificates: vec![pb::CertificateStatus {
            name: "server".to_owned(),
            not_after: ago(-90 * 86_400),
        }],
    }
}

fn report(status: Result<pb::Status, String>) -> Report {
    Report::of(&[Answer {
        name: "dossier",
        status,
    }])
}

#[test]
fn a_healthy_service_is_one_line_and_what_it_does() {
    let report = report(Ok(status()));
    let lines: Vec<&str> = report.text.lines().collect();
    assert_eq!(
        lines,
        [
            "SERVICE     HEALTH    UP      CALLS  DATABASE    ANSWERS   POOL   WRITES  FEED        JOURNAL",
            "dossier     serving   3 h     3      PostgreSQL  1.3 ms    2/24   5       120 +1      845 +2",
            "",
            "dossier writes dmp.localhost/dossier: 845 entries, the last checkpoint 10 min ago",
            "dossier follows consent (consent): connected, the last message 14 s ago",
            "dossier shows its server certificate for 90 d more",
        ]
    );
    assert!(report.healthy);
}

/// A service that is away is what the operator looks for: it is told with its reason, in the table's width.
#[test]
fn a_service_that_does_not_answer_is_told_with_its_reason() {
    let long = "Connection refused (os error 111)\nand more ".repeat(9);
    let report = report(Err(long));
    assert!(!report.healthy);
    assert!(
        report
            .text
            .contains("dossier     away      Connection refused (os error 111) and more"),
        "{}",
        report.text
    );
    assert!(
        report.text.contains("dossier does not answer: Connection refused"),
        "{}",
        report.text
    );
    assert!(
        report.text.lines().all(|line| line.chars().count() <= 100),
        "{}",
        report.text
    );
}

#[test]
fn the_longest_numbers_still_fit() {
    let mut status = status();
    status.calls_in_flight = 10_240;
    status.feeds[0].head = 12_345_678;
    status.journals[0].tree_size = 12_345_678;
    let text = report(Ok(status)).text;
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

type Change = fn(&mut pb::Status);

/// Each thing that is not as it should be makes the whole unhealthy, and is said.
#[test]
fn whatever_is_wrong_is_said() {
    let cases: [(Change, &str); 9] = [
        (|status| status.draining = true, "dossier is stopping"),
        (
            |status| status.database.as_mut().unwrap().answers = false,
            "dossier: its database does not answer",
        ),
        (
            |status| status.feeds[0].oldest_at = ago(11),
            "dossier: an event has waited 11 s for its position in the feed",
        ),
        (
            |status| status.feeds[0] = Default::default(),
            "dossier: its feed does not answer",
        ),
        (
            |status| status.journals[0].answers = false,
            "dossier: the journal dmp.localhost/dossier does not answer",
        ),
        (
            |status| status.followed[0].last_message_at = ago(61),
            "dossier has not heard of consent for 61 s",
        ),
        (
            |status| status.followed[0].last_message_at = None,
            "dossier has not heard of consent for 3 h",
        ),
        (
            |status| status.certificates[0].not_after = ago(-6 * 86_400),
            "dossier: its server certificate expires in 6 d",
        ),
        (
            |status| status.certificates[0].not_after = ago(1),
            "dossier: its server certificate has expired",
        ),
    ];
    for (change, said) in cases {
        let mut status = status();
        change(&mut status);
        let report = report(Ok(status));
        assert!(!report.healthy, "{said}");
        assert!(
            report.text.lines().any(|line| line == said),
            "{said} in {}",
            report.text
        );
    }
}

/// A follower that has just started has heard of nobody yet, which is no trouble.
#[test]
fn a_young_follower_may_still_be_silent() {
    let mut status = status();
    (status.started_at, status.followed[0].last_message_at) = (ago(5), None);
    assert!(report(Ok(status)).healthy);
}

#[test]
fn different_versions_are_noticed() {
    let mut newer = status();
    newer.version = "0.2.0".to_owned();
    let answers = [("consent", status()), ("dossier", newer)].map(|(name, status)| Answer {
        name,
        status: Ok(status),
    });
    let report = Report::of(&answers);
    assert!(
        !report.healthy && report.text.contains("consent 0.1.0, dossier 0.2.0"),
        "{}",
        report.text
    );
}
