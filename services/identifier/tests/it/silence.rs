//! Nothing that identifies a person reaches a log line.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use api::identifier::v1 as pb;
use api::identity::{Ins, InsOid};
use testkit::{Bench, on_both_engines};
use tokio_stream::StreamExt;
use tracing_subscriber::EnvFilter;

use crate::people::{Stage, ins, person};

on_both_engines! { no_log_line_names_a_person }

/// Somebody whose name, date and number are nobody else's in these tests.
const PERSONAL: [&str; 5] = ["XYLANDER", "QUETZALIE", "19521117", "2521199341077", "2B341"];

static LINES: AtomicU64 = AtomicU64::new(0);
static NAMING: AtomicU64 = AtomicU64::new(0);

/// Looks at what is logged, in place of keeping it.
struct Listener;

impl io::Write for Listener {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        LINES.fetch_add(1, Ordering::SeqCst);
        let text = String::from_utf8_lossy(line);
        if PERSONAL.iter().any(|part| text.contains(part)) {
            NAMING.fetch_add(1, Ordering::SeqCst);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn listen() {
    let filter = EnvFilter::new("debug,identifier=trace,serve=trace,store=trace");
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Listener);
    // The other engine's half of this test may have been first.
    let _first = subscriber.try_init();
}

async fn no_log_line_names_a_person(bench: Bench) {
    listen();
    let stage = Stage::new(bench).await;
    let whole = Ins::from_matricule(PERSONAL[3], InsOid::Nir).unwrap();
    let traits = pb::StrictTraits {
        birth_family_name: PERSONAL[0].to_owned(),
        birth_given_names: PERSONAL[1].to_owned(),
        birth_date: PERSONAL[2].to_owned(),
        sex: pb::Sex::Female.into(),
        birth_place_code: PERSONAL[4].to_owned(),
    };
    let somebody = pb::Enrolment {
        ins: Some(ins(whole.as_str(), InsOid::Nir)),
        traits: Some(traits),
        ..person(1)
    };
    let mut wrong = somebody.clone();
    wrong.ins = Some(ins(&format!("{}00", PERSONAL[3]), InsOid::Nir));
    let enrol = |enrolment: &pb::Enrolment| {
        let pb::Enrolment {
            ins,
            traits,
            identity_status,
        } = enrolment.clone();
        let request_id = stage.bench.request_id();
        stage.enrol(pb::EnrolBeneficiaryRequest {
            request_id,
            ins,
            traits,
            identity_status,
        })
    };
    assert!(enrol(&wrong).await.is_err());
    assert!(enrol(&somebody).await.is_ok());
    assert!(enrol(&somebody).await.is_err());
    let request = pb::ResolveIdentifierRequest {
        ins: somebody.ins.clone(),
        traits: somebody.traits.clone(),
    };
    assert!(
        stage
            .identifiers()
            .resolve_identifier(stage.asked(request))
            .await
            .is_ok()
    );
    assert!(stage.resolve(wrong.ins.clone().unwrap()).await.is_err());
    let batch = pb::EnrolBeneficiariesRequest {
        batch: 1,
        enrolments: vec![somebody, wrong],
    };
    let request = stage.asked(tokio_stream::iter([batch.clone(), batch]));
    let mut answers = stage
        .identifiers()
        .enrol_beneficiaries(request)
        .await
        .unwrap()
        .into_inner();
    assert!(answers.next().await.unwrap().is_ok());
    assert!(
        answers.next().await.unwrap().is_err(),
        "the second batch has the number of the first"
    );
    assert!(LINES.load(Ordering::SeqCst) > 10, "nothing was listened to");
    assert_eq!(NAMING.load(Ordering::SeqCst), 0);
}
