//! A decision: who may do what with a dossier, and by which rule. Pure and total: the same case gives the same decision,
//! at any time and on any machine, so that asking again is replaying.

use api::common::v1::{AccessMode, AuthenticationLevel, Role};
use api::consent::v1::{AuthorizationState, Obligation, Operation};
use api::identity::DmpId;
use serve::Actor;
use store::time::Timestamp;

use crate::circle::Circles;
use crate::fact::Fact;
use crate::matrix::{Matrix, Reach};
use crate::rules::{DEFAULT, EVERY_OPERATION, Effect, Rule, Scope, Sees, Types, speaking_of};
use crate::standing::{Ground, Standing};
use crate::type_set::TypeSet;

/// What a decision stands on besides the case: data with versions.
#[derive(Debug, Clone, Copy)]
pub struct Book<'a> {
    /// The habilitation matrix in force at the moment of the decision.
    pub matrix: &'a Matrix,
    /// Who belongs to which circle.
    pub circles: &'a Circles,
}

/// A dossier's live facts, as of one revision.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// The revision; 0 when nothing was ever recorded.
    pub revision: i64,
    /// Those that can concern the actor.
    pub live: Vec<Fact>,
}

/// Whom a change of the list of professionals is about, as seen from the actor; or which opposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concern {
    /// Not said: whether any such change is open.
    Anything,
    /// The actor's own authorisation; or the end of any entry of its own.
    OwnEntry,
    /// The actor's own designation as treating physician.
    OwnDesignation,
    /// The care team of the structure in which the actor acts.
    OwnTeam,
    /// Another professional, for whom the actor has collected the person's consent.
    Colleague,
    /// Somebody else.
    SomebodyElse,
    /// A minor's opposition to the recording of secret acts.
    SecretActs,
}

/// Everything that a decision depends on.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The actor's role.
    pub role: Role,
    /// How surely the actor is known.
    pub authentication_level: AuthenticationLevel,
    /// How the actor stands with the dossier.
    pub standing: Standing,
    /// What is to be done.
    pub operation: Operation,
    /// In which mode.
    pub mode: AccessMode,
    /// Whether in a secret connection.
    pub secret: bool,
    /// About whom, for changes of the list of professionals.
    pub concern: Concern,
    /// For which moment.
    pub moment: Timestamp,
    /// On which revision of the facts.
    pub revision: i64,
    /// The matrix in force.
    pub matrix: &'a Matrix,
    reach: Reach,
}

impl<'a> Case<'a> {
    /// The case of `actor`, who wants to do `operation` with the dossier at `moment`, in the normal mode and openly.
    pub fn new(
        actor: &Actor,
        dmp_id: &DmpId,
        facts: &Facts,
        operation: Operation,
        moment: Timestamp,
        book: Book<'a>,
    ) -> Self {
        let matrix = book.matrix;
        Self {
            role: actor.role,
            authentication_level: actor.authentication_level,
            standing: Standing::of(actor, dmp_id, &facts.live, moment, book.circles),
            operation,
            mode: AccessMode::Normal,
            secret: false,
            concern: Concern::Anything,
            moment,
            revision: facts.revision,
            matrix,
            reach: matrix.reach(actor.role, actor.profession.as_deref()),
        }
    }

    /// The same case in another mode; a mode that is not said is the normal one.
    #[must_use]
    pub fn in_mode(self, mode: AccessMode) -> Self {
        let mode = if mode == AccessMode::Unspecified {
            AccessMode::Normal
        } else {
            mode
        };
        Self { mode, ..self }
    }

    /// The same case in a secret connection, when `secret` says so.
    #[must_use]
    pub fn in_secret(self, secret: bool) -> Self {
        let standing = if secret {
            self.standing.in_secret()
        } else {
            self.standing
        };
        Self {
            standing,
            secret,
            ..self
        }
    }

    /// The same case for another operation.
    #[must_use]
    pub fn doing(self, operation: Operation) -> Self {
        Self { operation, ..self }
    }

    /// The same case, about somebody.
    #[must_use]
    pub fn about(self, concern: Concern) -> Self {
        Self { concern, ..self }
    }

    /// What the matrix gives for the operation: whoever feeds needs the right to submit, all else the right to read.
    pub fn types_by_matrix(&self) -> TypeSet {
        if self.operation == Operation::SubmitDocuments {
            self.reach.submit
        } else {
            self.reach.read
        }
    }

    fn types(&self, scope: &Scope) -> TypeSet {
        match scope.types {
            Types::Every => TypeSet::every(),
            Types::ByMatrix => self.types_by_matrix(),
        }
    }
}

/// A rule that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Basis {
    /// Its stable name.
    pub rule: &'static str,
    /// The article it applies.
    pub article: &'static str,
    /// The rule in words.
    pub summary: &'static str,
}

/// What one operation is granted for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// The operation.
    pub operation: Operation,
    /// On which types of documents.
    pub types: TypeSet,
}

/// What the actor may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Operation by operation, in the order of the contract.
    pub permissions: Vec<Permission>,
    /// Which hidden documents are shown, when documents may be read.
    pub sees: Sees,
    /// What the access asked for obliges to.
    pub obligations: Vec<Obligation>,
    /// The nearest end of what the decision rests on.
    pub valid_until: Option<Timestamp>,
}

/// What another mode would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alternative {
    /// The mode.
    pub mode: AccessMode,
    /// To what it would oblige; or why it would not open.
    pub outcome: Result<Vec<Obligation>, Basis>,
}

/// Allowed or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Allowed.
    Granted(Grant),
    /// Refused; for a professional, with what the other modes would do.
    Refused(Vec<Alternative>),
}

/// A decision, with all that is needed to make it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Allowed or not.
    pub outcome: Outcome,
    /// The rules that permit; or the one that forbids, or the default.
    pub bases: Vec<Basis>,
    /// The revision of the facts.
    pub revision: i64,
    /// The version of the matrix.
    pub matrix_version: String,
    /// The moment.
    pub decided_at: Timestamp,
    /// The mode.
    pub mode: AccessMode,
    /// Whether for a secret connection.
    pub secret_connection: bool,
    /// How a professional stands with the dossier; unspecified for others.
    pub authorization_state: AuthorizationState,
    /// Whether the actor is a treating physician of the holder.
    pub treating_physician: bool,
    /// Whether a live consent to the dossier's creation stands.
    pub creation_consented: bool,
}

/// The permits that open the case; or the forbid that shuts it, or the default.
///
/// # Errors
/// What refuses.
pub fn verdict(case: &Case) -> Result<Vec<&'static Rule>, Basis> {
    verdict_by(case, as_written)
}

/// [`verdict`] by another reading of the table: tests ask what a table with a broken rule would say. Only the rules
/// that speak of the case are read, and none after the first that forbids.
fn verdict_by(case: &Case, holds: impl Fn(&Rule, &Case) -> bool) -> Result<Vec<&'static Rule>, Basis> {
    let mut permits = Vec::new();
    for rule in speaking_of(case).iter().filter(|rule| holds(rule, case)) {
        match rule.effect {
            Effect::Forbid => return Err(rule.basis()),
            Effect::Permit(_) => permits.push(*rule),
        }
    }
    if permits.is_empty() { Err(DEFAULT) } else { Ok(permits) }
}

/// Whether a rule that speaks of a case holds for it: [`as_written`], everywhere but in tests.
fn as_written(rule: &Rule, case: &Case) -> bool {
    (rule.when)(case)
}

/// Decides the case.
pub fn decide(case: &Case) -> Decision {
    let (outcome, bases) = match verdict(case) {
        Ok(permits) => (
            Outcome::Granted(grant(case, &permits)),
            permits.iter().map(|rule| rule.basis()).collect(),
        ),
        Err(basis) => (Outcome::Refused(alternatives(case)), vec![basis]),
    };
    let professional = case.role == Role::Professional;
    let unsaid = AuthorizationState::Unspecified;
    Decision {
        outcome,
        bases,
        revision: case.revision,
        matrix_version: case.matrix.version.clone(),
        decided_at: case.moment,
        mode: case.mode,
        secret_connection: case.secret,
        authorization_state: if professional {
            case.standing.authorization_state()
        } else {
            unsaid
        },
        treating_physician: case.standing.treating,
        creation_consented: case.standing.creation_consented,
    }
}

fn grant(case: &Case, permits: &[&Rule]) -> Grant {
    let ends = scopes(permits)
        .filter_map(|scope| (scope.until)(case))
        .chain(case.matrix.valid_until);
    Grant {
        permissions: open(case),
        sees: seen(&case.doing(Operation::ReadDocuments)),
        obligations: obligations(permits),
        valid_until: ends.min(),
    }
}

/// What is open in the mode of the case, operation by operation, whichever was asked for.
pub(crate) fn open(case: &Case) -> Vec<Permission> {
    let operations = EVERY_OPERATION.iter();
    operations
        .filter_map(|operation| permission(&case.doing(*operation)))
        .collect()
}

fn permission(case: &Case) -> Option<Permission> {
    let permits = verdict(case).ok()?;
    let types = scopes(&permits)
        .map(|scope| case.types(scope))
        .fold(TypeSet::NONE, |all, types| all | types);
    Some(Permission {
        operation: case.operation,
        types,
    })
}

/// What is seen is what any of the rules shows by which documents may be read; nothing where none may.
fn seen(reading: &Case) -> Sees {
    let permits = verdict(reading).unwrap_or_default();
    scopes(&permits).fold(Sees::default(), |seen, scope| Sees {
        masked: seen.masked || scope.sees.masked,
        hidden_from_holder: seen.hidden_from_holder || scope.sees.hidden_from_holder,
        hidden_from_representatives: seen.hidden_from_representatives || scope.sees.hidden_from_representatives,
    })
}

fn obligations(permits: &[&Rule]) -> Vec<Obligation> {
    let mut obligations: Vec<Obligation> = scopes(permits).flat_map(|scope| scope.obligations).copied().collect();
    obligations.sort_unstable();
    obligations.dedup();
    obligations
}

fn scopes<'a>(permits: &'a [&Rule]) -> impl Iterator<Item = &'a Scope> {
    permits.iter().filter_map(|rule| rule.scope())
}

/// What the modes that were not asked would do: the same case, decided in each. Only professionals have modes.
fn alternatives(case: &Case) -> Vec<Alternative> {
    if case.role != Role::Professional {
        return Vec::new();
    }
    let modes = [AccessMode::Normal, AccessMode::BreakGlass, AccessMode::Centre15];
    let others = modes.into_iter().filter(|mode| *mode != case.mode);
    others
        .map(|mode| Alternative {
            mode,
            outcome: verdict(&case.in_mode(mode)).map(|permits| obligations(&permits)),
        })
        .collect()
}

/// A rule that held for a case.
#[derive(Debug, Clone)]
pub struct Spoken<'f> {
    /// The rule.
    pub rule: &'static Rule,
    /// Whether the decision names it; if not, a forbid overruled it, or stands before it.
    pub decides: bool,
    /// The facts it looked at, in the order of the revisions that brought them. None for a rule that no fact moves, or
    /// that held because a fact is missing.
    pub facts: Vec<&'f Fact>,
}

/// Every rule that held for the case, permits that a forbid overruled included, in the order of the table. `grounds`
/// are those of the case's actor, dossier and facts.
pub fn explain<'f>(case: &Case, grounds: &[(Ground, &'f Fact)]) -> Vec<Spoken<'f>> {
    let decision = decide(case);
    let spoken = speaking_of(case).iter().copied().filter(|rule| as_written(rule, case));
    spoken
        .map(|rule| Spoken {
            rule,
            decides: decision.bases.contains(&rule.basis()),
            facts: looked_at(rule, grounds),
        })
        .collect()
}

fn looked_at<'f>(rule: &Rule, grounds: &[(Ground, &'f Fact)]) -> Vec<&'f Fact> {
    let of_rule = grounds.iter().filter(|(ground, _)| rule.on.contains(ground));
    let mut facts: Vec<&Fact> = of_rule.map(|(_, fact)| *fact).collect();
    facts.sort_by_key(|fact| (fact.revision, fact.id));
    facts
}

/// The rules by which the case is open, and until when the last of them holds: `None` when one holds without end.
///
/// # Errors
/// What refuses.
pub fn lasting(case: &Case) -> Result<(Vec<Basis>, Option<Timestamp>), Basis> {
    let permits = verdict(case)?;
    let mut ends: Vec<Option<Timestamp>> = scopes(&permits).map(|scope| (scope.until)(case)).collect();
    ends.sort_unstable();
    // `None` sorts first, and outlasts every end.
    let endless = ends.first().is_none_or(Option::is_none);
    let last = ends.pop().flatten().filter(|_| !endless);
    Ok((permits.iter().map(|rule| rule.basis()).collect(), last))
}

#[cfg(test)]
mod tests;
