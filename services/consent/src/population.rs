//! A candidate for the habilitation matrix, tried on everybody who is authorised. Counts only: nobody is named.

use api::consent::v1::Operation;
use serve::Actor;
use std::collections::BTreeMap;
use store::time::Timestamp;
use store::{Db, Engine, Result};

use crate::circle::Circles;
use crate::decision::{Book, Case, Facts, Permission, open};
use crate::fact::{Fact, Grantee, What};
use crate::facts;
use crate::matrix::Matrix;
use crate::party::Party;
use crate::rules::EVERY_OPERATION;
use crate::type_set::TypeSet;

/// Pairs read at once: what a count holds in memory, whatever the population.
const PAGE: i64 = 200;

/// What changes alike for a number of pairs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Effect {
    /// The professionals' profession.
    pub(crate) profession: String,
    /// What is done.
    pub(crate) operation: Operation,
    /// Types gained.
    pub(crate) gained: TypeSet,
    /// Types lost.
    pub(crate) lost: TypeSet,
}

/// What a candidate would change.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Pairs by effect: as many entries as professions and kinds of pairs, not as pairs.
    pub(crate) effects: BTreeMap<Effect, i64>,
    /// Pairs seen.
    pub(crate) pairs: i64,
    /// Those whose profession is not known.
    pub(crate) unknown_profession: i64,
}

/// The two versions, and for which moment they are compared.
pub(crate) struct Trial<'a> {
    /// The version that holds.
    pub(crate) before: &'a Matrix,
    /// The candidate.
    pub(crate) after: &'a Matrix,
    /// Who belongs to which circle.
    pub(crate) circles: &'a Circles,
    /// The moment.
    pub(crate) moment: Timestamp,
}

impl Trial<'_> {
    /// Counts over every live authorisation of a professional, page by page; a connection is held for one page only.
    pub(crate) async fn count<DB: Engine>(&self, db: &Db<DB>) -> Result<Count> {
        let (mut count, mut last): (Count, Option<Fact>) = (Count::default(), None);
        loop {
            let mut connection = db.read().await?;
            let after = last.as_ref().map(|fact| (&fact.dmp_id, fact.id));
            let page = facts::population::<DB>(&mut connection, after, self.moment, PAGE).await?;
            for fact in &page {
                self.count_one::<DB>(&mut connection, fact, &mut count).await?;
            }
            let is_last = (page.len() as i64) < PAGE;
            last = page.into_iter().next_back();
            if is_last {
                return Ok(count);
            }
        }
    }

    async fn count_one<DB: Engine>(
        &self,
        connection: &mut DB::Connection,
        fact: &Fact,
        count: &mut Count,
    ) -> Result<()> {
        count.pairs += 1;
        let What::Authorization(authorization) = &fact.what else {
            return Ok(());
        };
        let Grantee::Professional(professional) = &authorization.grantee else {
            return Ok(());
        };
        let Some(profession) = &authorization.profession else {
            count.unknown_profession += 1;
            return Ok(());
        };
        let mut actor = Party::Professional(professional.clone()).actor();
        actor.profession = Some(profession.clone());
        let reach = |matrix: &Matrix| matrix.reach(actor.role, actor.profession.as_deref());
        // Most versions leave most professions as they are: nothing to decide for those.
        if reach(self.before) == reach(self.after) {
            return Ok(());
        }
        let facts = facts::of_actor::<DB>(connection, &fact.dmp_id, &actor).await?;
        let open_by = |matrix| self.open_by(matrix, &actor, fact, &facts);
        let (before, after) = (open_by(self.before), open_by(self.after));
        for operation in EVERY_OPERATION {
            let (before, after) = (types(&before, *operation), types(&after, *operation));
            if before != after {
                let effect = Effect {
                    profession: profession.clone(),
                    operation: *operation,
                    gained: after.without(before),
                    lost: before.without(after),
                };
                *count.effects.entry(effect).or_default() += 1;
            }
        }
        Ok(())
    }

    fn open_by(&self, matrix: &Matrix, actor: &Actor, fact: &Fact, facts: &Facts) -> Vec<Permission> {
        let book = Book {
            matrix,
            circles: self.circles,
        };
        let case = Case::new(actor, &fact.dmp_id, facts, Operation::ReadDocuments, self.moment, book);
        open(&case.in_secret(fact.secret))
    }
}

fn types(open: &[Permission], operation: Operation) -> TypeSet {
    let found = open.iter().find(|permission| permission.operation == operation);
    found.map(|permission| permission.types).unwrap_or_default()
}
