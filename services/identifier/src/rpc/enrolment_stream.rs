//! EnrolBeneficiaries: batches in, durable results out, in order.
//!
//! [`IN_FLIGHT_MAX`] batches are worked on at the most; the next is read when the oldest has been answered, so a slow
//! reader slows its own sender and nothing piles up. A batch that cannot be taken ends the stream after the results of
//! those before it.

use api::identifier::v1 as pb;
use api::identifier::v1::enrolment_outcome::Result as Became;
use futures::future::ready;
use futures::{Stream, StreamExt};
use serve::{Failure, Violations};
use std::sync::Arc;
use store::Engine;
use store::time::Timestamp;
use tonic::Status;

use super::identifier_service::Register;
use super::parse;
use crate::beneficiary::{Enrolment, Outcome};
use crate::config::Checks;
use crate::enrolments;

/// Entries in one batch.
const BATCH_ENTRIES_MAX: usize = 1_000;

/// Batches worked on at once.
const IN_FLIGHT_MAX: usize = 4;

/// The answers to `batches`, until the end of the batches or the first failure.
pub(super) fn answers<DB: Engine>(
    register: Arc<Register<DB>>,
    batches: impl Stream<Item = Result<pb::EnrolBeneficiariesRequest, Status>> + Send + 'static,
) -> impl Stream<Item = Result<pb::EnrolBeneficiariesResponse, Status>> + Send + 'static {
    let batches = batches.scan(None, |last, sent| {
        ready(Some(sent.and_then(|batch| admit(last, batch))))
    });
    let answers = until_failure(batches)
        .map(move |batch| answer(register.clone(), batch))
        .buffered(IN_FLIGHT_MAX);
    until_failure(answers).scan(0, |total, answered| {
        ready(Some(answered.map(|answer| counted(total, answer))))
    })
}

/// Ends a stream after its first failure.
fn until_failure<T>(stream: impl Stream<Item = Result<T, Status>>) -> impl Stream<Item = Result<T, Status>> {
    stream.scan(false, |failed, item| {
        let over = std::mem::replace(failed, item.is_err());
        ready((!over).then_some(item))
    })
}

/// Takes a batch of the right size whose number is above the one before.
fn admit(
    last: &mut Option<u64>,
    batch: pb::EnrolBeneficiariesRequest,
) -> Result<pb::EnrolBeneficiariesRequest, Status> {
    let mut violations = Violations::default();
    if last.is_some_and(|last| batch.batch <= last) {
        violations.add("batch", "NOT_RISING", "must be above the number of the batch before");
    }
    if batch.enrolments.is_empty() {
        violations.add("enrolments", "REQUIRED", "at least one must be given");
    }
    if batch.enrolments.len() > BATCH_ENTRIES_MAX {
        violations.add(
            "enrolments",
            "TOO_MANY",
            format!("must be {BATCH_ENTRIES_MAX} at the most"),
        );
    }
    violations.finish()?;
    *last = Some(batch.batch);
    Ok(batch)
}

/// Enrols a batch; an entry that breaks a rule refuses itself only.
async fn answer<DB: Engine>(
    register: Arc<Register<DB>>,
    batch: Result<pb::EnrolBeneficiariesRequest, Status>,
) -> Result<pb::EnrolBeneficiariesResponse, Status> {
    let pb::EnrolBeneficiariesRequest { batch, enrolments } = batch?;
    let now = register.clock.now();
    let entries: Vec<Entry> = enrolments
        .iter()
        .map(|entry| read(entry, register.checks, now))
        .collect();
    let accepted = entries
        .iter()
        .filter_map(|entry| entry.as_ref().ok().cloned())
        .collect();
    let enrolled = enrolments::enrol_batch(&register.db, accepted, &register.random, now).await;
    let mut enrolled = enrolled.map_err(Failure::from)?.into_iter();
    let outcomes = entries.into_iter().map(|entry| match entry {
        Ok(_) => enrolled.next().map(rendered),
        Err(fields) => Some(pb::EnrolmentOutcome {
            result: Became::Refused.into(),
            dmp_id: String::new(),
            fields,
        }),
    });
    let outcomes: Option<Vec<_>> = outcomes.collect();
    let outcomes = outcomes.ok_or_else(|| Failure::internal("an enrolment without an outcome"))?;
    Ok(pb::EnrolBeneficiariesResponse {
        batch,
        outcomes,
        enrolled_total: 0,
    })
}

/// An entry of a batch, or `field: REASON` for each rule that it breaks.
type Entry = Result<Enrolment, Vec<String>>;

fn read(entry: &pb::Enrolment, checks: Checks, now: Timestamp) -> Entry {
    let mut violations = Violations::default();
    let parts = (entry.ins.as_ref(), entry.traits.as_ref(), entry.identity_status);
    let enrolment = parse::enrolment(&mut violations, parts, checks, now);
    violations
        .gather((enrolment,))
        .map(|(enrolment,)| enrolment)
        .map_err(|failure| {
            let broken = failure.violations.into_iter();
            broken
                .map(|violation| format!("{}: {}", violation.field, violation.reason))
                .collect()
        })
}

fn rendered(outcome: Outcome) -> pb::EnrolmentOutcome {
    let (result, dmp_id) = match outcome {
        Outcome::Enrolled(beneficiary) => (Became::Enrolled, beneficiary.dmp_id.as_str().to_owned()),
        Outcome::AlreadyEnrolled(dmp_id) => (Became::AlreadyEnrolled, dmp_id.as_str().to_owned()),
        Outcome::Conflict(_) => (Became::Conflict, String::new()),
    };
    pb::EnrolmentOutcome {
        result: result.into(),
        dmp_id,
        fields: Vec::new(),
    }
}

/// Adds the identifiers of this batch to those of the batches before.
fn counted(total: &mut u64, answer: pb::EnrolBeneficiariesResponse) -> pb::EnrolBeneficiariesResponse {
    let enrolled = answer
        .outcomes
        .iter()
        .filter(|outcome| outcome.result() == Became::Enrolled)
        .count();
    *total += enrolled as u64;
    pb::EnrolBeneficiariesResponse {
        enrolled_total: *total,
        ..answer
    }
}
