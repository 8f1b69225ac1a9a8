//! What one decision costs in process, by how many facts the dossier has: about other professionals, and about the actor.
//!
//! `CARGO_PROFILE_DEV_OPT_LEVEL=3 cargo run -p consent --example decision --target-dir target/measured`
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measurement reads the machine's clock, prints, and fails by panicking"
)]

use api::common::v1::{AccessMode, AuthenticationLevel, Role};
use api::consent::v1::{Capacity, ConsentMode, Operation, Purpose};
use api::identity::{Check, DmpId, ProfessionalId};
use consent::Circles;
use consent::decision::{Book, Case, Facts, decide};
use consent::fact::{Authorization, Consent, Evidence, Fact, Grantee, Recorder, What};
use consent::matrix::Matrix;
use consent::rules::{EVERY_OPERATION, RULES};
use serve::Actor;
use std::hint::black_box;
use std::time::{Duration, Instant};
use store::time::Timestamp;
use uuid::Uuid;

/// How long each figure is measured, and in batches of how many decisions. The quickest batch counts: what slows the
/// others down is the machine's other work.
const MEASURED: Duration = Duration::from_millis(300);
const BATCH: u32 = 16;

fn main() {
    let matrix = Matrix::parse(include_str!("../matrix/2026-1.tsv")).unwrap();
    let circles = Circles::embedded([]).unwrap();
    let book = Book {
        matrix: &matrix,
        circles: &circles,
    };
    println!(
        "{:>7} {:>16} {:>16}   (ns a decision)",
        "facts", "about others", "about the actor"
    );
    for count in [1, 10, 100, 1_000, 10_000] {
        let others = nanoseconds(&facts(count, |number| professional(1 + number)), book);
        let own = nanoseconds(&facts(count, |_| professional(0)), book);
        println!("{count:>7} {others:>16.0} {own:>16.0}");
    }
    println!("rules read a decision, at the most: {}", rules_read());
}

/// A decision about reading: how the actor stands, whether it may, what else it may.
fn nanoseconds(facts: &Facts, book: Book<'_>) -> f64 {
    let (actor, dmp_id, moment) = (physician(), dmp_id(), moment());
    let decide_once = || {
        let case = Case::new(
            black_box(&actor),
            &dmp_id,
            facts,
            Operation::ReadDocuments,
            moment,
            book,
        );
        black_box(decide(&case.in_mode(AccessMode::Normal)));
    };
    let (start, mut quickest) = (Instant::now(), MEASURED);
    while start.elapsed() < MEASURED {
        let batch = Instant::now();
        (0..BATCH).for_each(|_| decide_once());
        quickest = quickest.min(batch.elapsed());
    }
    quickest.as_secs_f64() * 1e9 / f64::from(BATCH)
}

/// The rules that speak of a professional's operations in the normal mode: once each for the permissions, once more for
/// the one asked for and for what is seen.
fn rules_read() -> usize {
    let speaking = |operation: &&Operation| {
        let speak = RULES
            .iter()
            .filter(|rule| rule.speaks_of(Role::Professional, AccessMode::Normal, **operation));
        speak.count()
    };
    let twice = [Operation::ReadDocuments; 2];
    EVERY_OPERATION
        .iter()
        .chain(&twice)
        .map(|operation| speaking(&operation))
        .sum()
}

/// A consent and an authorisation of the actor, with as many authorisations besides as make the count.
fn facts(count: usize, whom: impl Fn(usize) -> ProfessionalId) -> Facts {
    let authorization = |professional| {
        What::Authorization(Authorization {
            grantee: Grantee::Professional(professional),
            profession: None,
        })
    };
    let consent = What::Consent(Consent {
        purpose: Purpose::Creation,
        capacity: Capacity::Person,
        representation: None,
        mode: ConsentMode::Online,
        evidence: Evidence {
            kind: "online-session".into(),
            sha256: Some([7; 32]),
        },
    });
    let said = [consent, authorization(professional(0))].into_iter();
    let said = said
        .chain((0..count).map(|number| authorization(whom(number))))
        .take(count);
    Facts {
        revision: 1,
        live: said.map(fact).collect(),
    }
}

fn fact(what: What) -> Fact {
    Fact {
        id: Uuid::nil(),
        dmp_id: dmp_id(),
        what,
        recorded_at: moment(),
        recorded_by: Recorder::of(&physician()),
        revision: 1,
        valid_until: Some("2027-11-22T10:00:00Z".parse().unwrap()),
        end: None,
        secret: false,
    }
}

fn moment() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

fn dmp_id() -> DmpId {
    DmpId::generate([1; 16])
}

fn professional(number: usize) -> ProfessionalId {
    ProfessionalId::parse(&format!("8{number:011}"), Check::Lenient).unwrap()
}

fn physician() -> Actor {
    Actor {
        role: Role::Professional,
        subject: "somebody".into(),
        issuer: "https://issuer.test".into(),
        professional: Some(professional(0)),
        profession: Some("10".into()),
        specialty: Some("SM26".into()),
        structure: None,
        authentication_level: AuthenticationLevel::PersonalCard,
        dmp_id: None,
        via_service: None,
    }
}
