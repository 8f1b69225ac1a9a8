//! Gives identifiers, a batch in one transaction, in few statements.

use api::identity::{DmpId, Ins};
use futures::future::BoxFuture;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use store::random::Random;
use store::time::Timestamp;
use store::{Db, Engine};

use crate::beneficiaries;
use crate::beneficiary::{Beneficiary, Enrolment, Known, Outcome};
use crate::error::{Error, Result};
use crate::matricules;

/// How often identifiers are drawn for one batch. With 10^8 beneficiaries, a batch of 1,000 draws a taken one once in
/// nine million: a second draw that meets one as well is a defect of the random generator.
const DRAWS_MAX: usize = 4;

/// Enrols a batch in one transaction of its own; outcomes come in order, after the durable commit.
pub(crate) async fn enrol_batch<DB: Engine>(
    db: &Db<DB>,
    batch: Vec<Enrolment>,
    random: &Random,
    now: Timestamp,
) -> Result<Vec<Outcome>> {
    let batch: Arc<[Enrolment]> = batch.into();
    drawing_again(|| {
        let (batch, random) = (batch.clone(), random.clone());
        Box::pin(
            db.write(move |connection| Box::pin(async move { enrol::<DB>(connection, &batch, &random, now).await })),
        )
    })
    .await
}

/// Begins again, with other identifiers, when one of those drawn was taken; what was begun has been rolled back.
pub(crate) async fn drawing_again<'a, T>(mut attempt: impl FnMut() -> BoxFuture<'a, Result<T>>) -> Result<T> {
    for _ in 1..DRAWS_MAX {
        match attempt().await {
            Err(Error::IdentifiersTaken) => {}
            ended => return ended,
        }
    }
    attempt().await
}

/// Enrols a batch inside a transaction. A matricule that is there twice in a batch is enrolled by the first.
///
/// # Errors
/// [`Error::IdentifiersTaken`] when an identifier drawn is somebody's: the transaction must be rolled back then.
pub(crate) async fn enrol<DB: Engine>(
    connection: &mut DB::Connection,
    batch: &[Enrolment],
    random: &Random,
    now: Timestamp,
) -> Result<Vec<Outcome>> {
    let drawn = draw(batch, random);
    let claimed = matricules::claim::<DB>(connection, &drawn, now).await?;
    let enrolled: Vec<Beneficiary> = drawn
        .into_iter()
        .filter(|(dmp_id, _)| claimed.contains(dmp_id.as_str()))
        .map(|(dmp_id, enrolment)| enrolled(dmp_id, enrolment, now))
        .collect();
    if beneficiaries::insert::<DB>(connection, &enrolled).await? != enrolled.len() {
        return Err(Error::IdentifiersTaken);
    }
    let mut enrolled: BTreeMap<Ins, Beneficiary> = enrolled
        .into_iter()
        .map(|beneficiary| (beneficiary.ins.clone(), beneficiary))
        .collect();
    let others = others(batch, &enrolled);
    let known = beneficiaries::by_matricules::<DB>(connection, &others).await?;
    batch
        .iter()
        .map(|enrolment| outcome(enrolment, &mut enrolled, &known))
        .collect()
}

/// An identifier for each distinct matricule, in the order of the matricules.
fn draw<'a>(batch: &'a [Enrolment], random: &Random) -> Vec<(DmpId, &'a Enrolment)> {
    let mut distinct = BTreeMap::new();
    for enrolment in batch {
        distinct.entry(&enrolment.ins).or_insert(enrolment);
    }
    distinct
        .into_values()
        .map(|enrolment| (DmpId::generate(random.bytes()), enrolment))
        .collect()
}

fn enrolled(dmp_id: DmpId, enrolment: &Enrolment, now: Timestamp) -> Beneficiary {
    let Enrolment { ins, traits, status } = enrolment.clone();
    Beneficiary {
        dmp_id,
        ins,
        traits,
        status,
        version: 1,
        created_at: now,
    }
}

/// The matricules that somebody has, were it by an earlier entry of the same batch.
fn others<'a>(batch: &'a [Enrolment], enrolled: &BTreeMap<Ins, Beneficiary>) -> Vec<&'a Ins> {
    let mut seen = BTreeSet::new();
    let again = batch.iter().map(|enrolment| &enrolment.ins);
    let mut others: Vec<&Ins> = again
        .filter(|ins| !seen.insert(*ins) || !enrolled.contains_key(*ins))
        .collect();
    others.sort_unstable();
    others.dedup();
    others
}

/// The first entry of a matricule takes what was enrolled for it; all others meet what stands in the register.
fn outcome(
    enrolment: &Enrolment,
    enrolled: &mut BTreeMap<Ins, Beneficiary>,
    known: &HashMap<Ins, Known>,
) -> Result<Outcome> {
    if let Some(beneficiary) = enrolled.remove(&enrolment.ins) {
        return Ok(Outcome::Enrolled(beneficiary));
    }
    // Neither claimed nor known: the identifier drawn has a current matricule, so it is somebody's.
    let known = known.get(&enrolment.ins).ok_or(Error::IdentifiersTaken)?;
    Ok(known.outcome_of(enrolment))
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests fail by panicking"
    )]
    use super::*;
    use crate::strict_traits::tests::traits;
    use api::identity::{InsOid, InsStatus};
    use testkit::{Database, TestEngine, on_both_databases};

    on_both_databases! {
        an_identifier_that_is_taken_is_never_given_again,
        drawing_ends,
        a_retired_matricule_leads_to_its_beneficiary,
    }

    fn enrolment(number: u32) -> Enrolment {
        let ins = Ins::from_matricule(&format!("2790351215{number:03}"), InsOid::Nir).unwrap();
        Enrolment {
            ins,
            traits: traits(),
            status: InsStatus::Qualified,
        }
    }

    async fn open<DB: TestEngine>(database: &Database<DB>) -> Db<DB> {
        database
            .open(&<crate::Identifier as serve::Service>::migrations())
            .await
    }

    fn enrolled(outcomes: &[Outcome]) -> Vec<DmpId> {
        let identifiers = outcomes.iter().map(|outcome| match outcome {
            Outcome::Enrolled(beneficiary) => beneficiary.dmp_id.clone(),
            other => panic!("{other:?}"),
        });
        identifiers.collect()
    }

    /// The second batch draws what the first has drawn: it must draw again, and write nothing twice.
    async fn an_identifier_that_is_taken_is_never_given_again<DB: TestEngine>(database: Database<DB>) {
        let db = open(&database).await;
        let now = database.clock.now();
        let batch = |numbers: std::ops::Range<u32>| numbers.map(enrolment).collect::<Vec<_>>();
        let first = enrol_batch(&db, batch(100..103), &Random::seeded(1), now)
            .await
            .unwrap();
        let second = enrol_batch(&db, batch(200..203), &Random::seeded(1), now)
            .await
            .unwrap();
        let mut identifiers = [enrolled(&first), enrolled(&second)].concat();
        identifiers.sort();
        identifiers.dedup();
        assert_eq!(identifiers.len(), 6);
        let again = enrol_batch(&db, batch(100..103), &Random::seeded(2), now)
            .await
            .unwrap();
        assert!(
            again
                .iter()
                .all(|outcome| matches!(outcome, Outcome::AlreadyEnrolled(_)))
        );
    }

    /// A random generator that repeats itself is an error, not an endless loop, and leaves nothing behind.
    async fn drawing_ends<DB: TestEngine>(database: Database<DB>) {
        let db = open(&database).await;
        let now = database.clock.now();
        enrol_batch(&db, vec![enrolment(100)], &Random::seeded(1), now)
            .await
            .unwrap();
        let stuck =
            drawing_again(|| {
                let (batch, random) = ([enrolment(200)], Random::seeded(1));
                Box::pin(db.write(move |connection| {
                    Box::pin(async move { enrol::<DB>(connection, &batch, &random, now).await })
                }))
            });
        assert!(matches!(stuck.await, Err(Error::IdentifiersTaken)));
        let mut connection = db.read().await.unwrap();
        let asked = enrolment(200).ins;
        assert!(
            beneficiaries::by_matricules::<DB>(&mut connection, &[&asked])
                .await
                .unwrap()
                .is_empty()
        );
    }

    /// Somebody awaiting a NIR has a NIA first: both lead to the one identifier (R1111-8-1).
    async fn a_retired_matricule_leads_to_its_beneficiary<DB: TestEngine>(database: Database<DB>) {
        let db = open(&database).await;
        let now = database.clock.now();
        let [nia, nir] = [InsOid::Nia, InsOid::Nir].map(|oid| Ins::from_matricule("2790351215100", oid).unwrap());
        let waiting = Enrolment {
            ins: nia.clone(),
            ..enrolment(100)
        };
        let dmp_id = enrolled(
            &enrol_batch(&db, vec![waiting.clone()], &Random::seeded(1), now)
                .await
                .unwrap(),
        )
        .remove(0);
        let (holder, current) = (dmp_id.clone(), nir.clone());
        let succeeded: Result<()> = db
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query("UPDATE matricules SET retirement = 1 WHERE dmp_id = $1")
                        .bind(holder.as_str())
                        .execute(&mut *connection)
                        .await?;
                    let drawn = [(
                        holder,
                        &Enrolment {
                            ins: current,
                            ..enrolment(100)
                        },
                    )];
                    assert_eq!(matricules::claim::<DB>(connection, &drawn, now).await?.len(), 1);
                    Ok(())
                })
            })
            .await;
        succeeded.unwrap();
        let mut connection = db.read().await.unwrap();
        let known = beneficiaries::by_matricules::<DB>(&mut connection, &[&nia, &nir])
            .await
            .unwrap();
        assert!(known[&nia].retired_matricule && !known[&nir].retired_matricule);
        for ins in [&nia, &nir] {
            assert_eq!(
                (&known[ins].beneficiary.dmp_id, &known[ins].beneficiary.ins),
                (&dmp_id, &nir)
            );
        }
        let again = enrol_batch(&db, vec![waiting], &Random::seeded(2), now).await.unwrap();
        assert!(matches!(&again[..], [Outcome::AlreadyEnrolled(same)] if *same == dmp_id));
    }
}
