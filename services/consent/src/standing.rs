//! How an actor stands with a dossier at a moment: what the rules ask of the facts, worked out once.

use api::common::v1::Role;
use api::consent::v1::{AuthorizationState, OppositionKind, Purpose};
use api::identity::{DmpId, ProfessionalId};
use serve::Actor;
use store::time::Timestamp;

use crate::circle::{Circles, is_physician};
use crate::fact::{Fact, Grantee, What};

/// What the facts say of one actor and one dossier at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// The holder, and the dossier is the holder's own.
    pub holder: bool,
    /// A representative whose representation holds.
    pub representative: bool,
    /// Until when it does.
    pub representation_end: Option<Timestamp>,
    /// A professional whom the holder has blocked.
    pub blocked: bool,
    /// A physician designated as treating physician.
    pub treating: bool,
    /// A professional who may consult, by name or through the structure in which it acts.
    pub authorized: bool,
    /// Until when; the later one of two authorisations.
    pub authorization_end: Option<Timestamp>,
    /// There was such an authorisation, and its term is over.
    pub authorization_expired: bool,
    /// A professional who may consult in secret connections: elsewhere the authorisation would show in the open chain of
    /// the dossier's journal, and so to representatives.
    pub authorized_in_secret: bool,
    /// Until when.
    pub secret_authorization_end: Option<Timestamp>,
    /// A member of the care team, by name or through the structure in which it acts.
    pub care_team: bool,
    /// Until when; the later one of two memberships.
    pub care_team_end: Option<Timestamp>,
    /// A professional to whom the holder gave the rights of the treating physician.
    pub equal_rights: bool,
    /// A physician, whatever the facts say.
    pub physician: bool,
    /// A professional of occupational medicine.
    pub occupational_medicine: bool,
    /// A physician who can regulate the calls of an emergency call centre.
    pub regulates_calls: bool,
    /// A live express consent to the dossier's creation.
    pub creation_consented: bool,
    /// A live express consent to access by occupational medicine.
    pub occupational_medicine_consented: bool,
    /// A live opposition to break-glass.
    pub opposed_to_break_glass: bool,
    /// A live opposition to the emergency call centre.
    pub opposed_to_centre_15: bool,
    /// A live opposition to the recording of what is done in secret connections.
    pub opposed_to_secret_acts: bool,
}

impl Standing {
    /// Reads the facts, once and in place; for occupational medicine, once more. Those of others, of another dossier's,
    /// ended or past their term say nothing.
    pub fn of(actor: &Actor, dmp_id: &DmpId, facts: &[Fact], moment: Timestamp, circles: &Circles) -> Self {
        let mut standing = Self {
            holder: actor.role == Role::Holder && actor.dmp_id.as_ref() == Some(dmp_id),
            physician: is_physician(actor),
            occupational_medicine: circles.is_of_occupational_medicine(actor),
            regulates_calls: circles.regulates_calls(actor),
            ..Self::default()
        };
        for (ground, fact) in grounds(actor, dmp_id, facts, circles) {
            standing.take(ground, fact, fact.holds(moment));
        }
        standing
    }

    /// The same in a secret connection, where secret authorisations count too.
    pub(crate) fn in_secret(self) -> Self {
        Self {
            authorized: self.authorized || self.authorized_in_secret,
            authorization_end: self.authorization_end.max(self.secret_authorization_end),
            ..self
        }
    }

    fn take(&mut self, ground: Ground, fact: &Fact, holds: bool) {
        match ground {
            Ground::Authorization if fact.secret => {
                self.authorized_in_secret |= holds;
                self.secret_authorization_end = self.secret_authorization_end.max(fact.valid_until.filter(|_| holds));
            }
            Ground::Authorization if !holds => self.authorization_expired = true,
            _ if !holds => {}
            Ground::CreationConsent => self.creation_consented = true,
            Ground::OccupationalMedicineConsent => self.occupational_medicine_consented = true,
            Ground::OppositionToBreakGlass => self.opposed_to_break_glass = true,
            Ground::OppositionToCentre15 => self.opposed_to_centre_15 = true,
            Ground::OppositionToSecretActs => self.opposed_to_secret_acts = true,
            Ground::Representation => {
                self.representative = true;
                self.representation_end = self.representation_end.max(fact.valid_until);
            }
            Ground::Authorization => {
                self.authorized = true;
                self.authorization_end = self.authorization_end.max(fact.valid_until);
            }
            Ground::Block => self.blocked = true,
            Ground::Designation => self.treating = true,
            Ground::CareTeam => {
                self.care_team = true;
                self.care_team_end = self.care_team_end.max(fact.valid_until);
            }
            Ground::EqualRights => self.equal_rights = true,
        }
    }

    /// The person, by itself or through a representative.
    pub fn speaks_for_the_person(&self) -> bool {
        self.holder || self.representative
    }

    /// As TD 0.2 answers it. A block is stronger than an authorisation, one that holds than one that has expired; a
    /// member of the care team is deemed authorised.
    pub fn authorization_state(&self) -> AuthorizationState {
        if self.blocked {
            AuthorizationState::Blocked
        } else if self.authorized || self.care_team {
            AuthorizationState::Valid
        } else if self.authorization_expired {
            AuthorizationState::Expired
        } else {
            AuthorizationState::Absent
        }
    }
}

/// What a fact is to an actor: the part of the standing that it fills. Rules name what they look at by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// A consent to the dossier's creation.
    CreationConsent,
    /// A consent to occupational medicine, for those who practise it.
    OccupationalMedicineConsent,
    /// An opposition to break-glass.
    OppositionToBreakGlass,
    /// An opposition to the emergency call centre.
    OppositionToCentre15,
    /// An opposition to the recording of secret acts.
    OppositionToSecretActs,
    /// The actor's own representation.
    Representation,
    /// An authorisation of the actor, by name or through its structure.
    Authorization,
    /// A block of the actor.
    Block,
    /// The actor's designation as treating physician.
    Designation,
    /// A membership in the care team, by name or through the actor's structure.
    CareTeam,
    /// Rights of the treating physician, given to the actor.
    EqualRights,
}

/// The live facts that say something about the actor, and what each of them is to it; their terms may be over.
pub fn grounds<'f>(
    actor: &Actor,
    dmp_id: &DmpId,
    facts: &'f [Fact],
    circles: &Circles,
) -> impl Iterator<Item = (Ground, &'f Fact)> {
    let live = facts.iter().filter(|fact| fact.end.is_none() && fact.dmp_id == *dmp_id);
    let occupational_medicine = circles.is_of_occupational_medicine(actor);
    let reader = Reader {
        actor,
        occupational_medicine,
        grants_since: if occupational_medicine {
            consented_since(live.clone())
        } else {
            0
        },
    };
    live.filter_map(move |fact| reader.ground(fact).map(|ground| (ground, fact)))
}

/// The actor to whom facts are read.
struct Reader<'a> {
    actor: &'a Actor,
    occupational_medicine: bool,
    /// The revision before which a grant does not count.
    grants_since: i64,
}

impl Reader<'_> {
    fn ground(&self, fact: &Fact) -> Option<Ground> {
        match &fact.what {
            What::Consent(consent) => self.ground_of_consent(consent.purpose),
            What::Opposition(OppositionKind::BreakGlass) => Some(Ground::OppositionToBreakGlass),
            What::Opposition(OppositionKind::Centre15) => Some(Ground::OppositionToCentre15),
            What::Opposition(OppositionKind::SecretActs) => Some(Ground::OppositionToSecretActs),
            What::Opposition(OppositionKind::Unspecified) => None,
            What::Representation(held) => held.representative.is(self.actor).then_some(Ground::Representation),
            What::Authorization(authorization) => {
                (lets_in(&authorization.grantee, self.actor) && self.counts(fact)).then_some(Ground::Authorization)
            }
            What::Block(professional) => is(self.actor, professional).then_some(Ground::Block),
            What::TreatingPhysician(professional) => {
                let designated = is_physician(self.actor) && is(self.actor, professional);
                (designated && self.counts(fact)).then_some(Ground::Designation)
            }
            What::CareTeam(member) => (lets_in(member, self.actor) && self.counts(fact)).then_some(Ground::CareTeam),
            What::EqualRights(professional) => {
                (is(self.actor, professional) && self.counts(fact)).then_some(Ground::EqualRights)
            }
            What::TrustedPerson(_) => None,
        }
    }

    fn ground_of_consent(&self, purpose: Purpose) -> Option<Ground> {
        match purpose {
            Purpose::Creation => Some(Ground::CreationConsent),
            Purpose::OccupationalMedicine => self
                .occupational_medicine
                .then_some(Ground::OccupationalMedicineConsent),
            // Given and kept, and no rule asks for them yet.
            Purpose::Hosting | Purpose::Feeding | Purpose::OutsideCareTeam | Purpose::Unspecified => None,
        }
    }

    fn counts(&self, grant: &Fact) -> bool {
        grant.revision >= self.grants_since
    }
}

/// Since which revision occupational medicine may come in. Whoever withdraws that consent and gives it again must not
/// find older authorisations at work: nothing tells, when it is withdrawn, whose they are.
fn consented_since<'a>(live: impl Iterator<Item = &'a Fact>) -> i64 {
    let consents = live.filter(
        |fact| matches!(&fact.what, What::Consent(consent) if consent.purpose == Purpose::OccupationalMedicine),
    );
    consents.map(|fact| fact.revision).max().unwrap_or(0)
}

fn is(actor: &Actor, professional: &ProfessionalId) -> bool {
    actor.role == Role::Professional && actor.professional.as_ref() == Some(professional)
}

fn lets_in(grantee: &Grantee, actor: &Actor) -> bool {
    match grantee {
        Grantee::Professional(professional) => is(actor, professional),
        Grantee::Structure(structure) => {
            actor.role == Role::Professional && actor.structure.as_ref() == Some(structure)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;
    use crate::cases::{self, MOMENT, fact, later};

    fn standing(actor: &Actor, facts: &[Fact]) -> Standing {
        Standing::of(
            actor,
            &cases::dmp_id(),
            facts,
            cases::moment(),
            &Circles::embedded([]).unwrap(),
        )
    }

    /// TD 0.2: NON_EXISTE, VALIDE, EXPIRE, INTERDIT.
    #[test]
    fn a_professional_is_told_the_four_states() {
        let physician = cases::professional("10", "SM26");
        let authorized = |days| fact(cases::authorization()).until(later(days));
        let state = |facts: &[Fact]| standing(&physician, facts).authorization_state();
        assert_eq!(state(&[]), AuthorizationState::Absent);
        assert_eq!(state(&[authorized(1)]), AuthorizationState::Valid);
        assert_eq!(state(&[authorized(0)]), AuthorizationState::Expired);
        assert_eq!(
            state(&[authorized(1), fact(cases::block())]),
            AuthorizationState::Blocked
        );
        assert_eq!(state(&[authorized(1).ended()]), AuthorizationState::Absent);
    }

    /// The authorisation of a structure lets in whoever acts there, as the token says, and nobody else.
    #[test]
    fn a_structure_lets_in_those_who_act_in_it() {
        let mut physician = cases::professional("10", "SM26");
        let through = [fact(cases::structure_authorization()).until(later(3))];
        assert!(standing(&physician, &through).authorized);
        assert_eq!(standing(&physician, &through).authorization_end, Some(later(3)));
        physician.structure = None;
        assert!(!standing(&physician, &through).authorized);
        let mut system = cases::actor(Role::EstablishmentSystem);
        system.structure = cases::professional("10", "").structure;
        assert!(!standing(&system, &through).authorized);
    }

    #[test]
    fn the_later_of_two_authorisations_counts() {
        let facts = [
            fact(cases::authorization()).until(later(2)),
            fact(cases::structure_authorization()).until(later(5)),
        ];
        assert_eq!(
            standing(&cases::professional("10", ""), &facts).authorization_end,
            Some(later(5))
        );
    }

    /// Facts name somebody: they say nothing about a namesake in another role, nor about another dossier.
    #[test]
    fn facts_of_others_say_nothing() {
        let facts = [
            fact(cases::authorization()).until(later(1)),
            fact(cases::treating()),
            fact(cases::block()),
        ];
        let mut other = cases::professional("10", "SM26");
        other.professional = cases::other_professional().into();
        assert_eq!(standing(&other, &facts), standing(&other, &[]));
        let elsewhere: Vec<Fact> = facts.iter().cloned().map(cases::of_another_dossier).collect();
        let physician = cases::professional("10", "SM26");
        assert_eq!(standing(&physician, &elsewhere), standing(&physician, &[]));
        let mut patient = cases::holder();
        patient.professional = physician.professional;
        assert_eq!(standing(&patient, &facts), standing(&patient, &[]));
    }

    /// R1111-38 speaks of a physician: the designation of anybody else opens nothing.
    #[test]
    fn only_a_physician_can_be_a_treating_physician() {
        assert!(standing(&cases::professional("10", ""), &[fact(cases::treating())]).treating);
        assert!(!standing(&cases::professional("60", ""), &[fact(cases::treating())]).treating);
    }

    /// A consent given later revives no older authorisation (L1111-17 IV with the contract's WithdrawConsent).
    #[test]
    fn occupational_medicine_needs_a_grant_that_is_not_older_than_the_consent() {
        let at = |revision, fact: Fact| Fact { revision, ..fact };
        let consent = || at(5, fact(cases::consent(Purpose::OccupationalMedicine)));
        let granted = |revision| {
            [
                consent(),
                at(revision, fact(cases::authorization())),
                at(revision, fact(cases::treating())),
            ]
        };
        let occupational = cases::professional("10", "SM25");
        let older = standing(&occupational, &granted(4));
        assert!(!older.authorized && !older.treating && !older.authorization_expired);
        let newer = standing(&occupational, &granted(6));
        assert!(newer.authorized && newer.treating);
        // Everybody else's authorisations have nothing to do with that consent.
        assert!(standing(&cases::professional("10", "SM26"), &granted(4)).authorized);
    }

    /// Parental authority ends by itself at majority: at its term, not a microsecond later.
    #[test]
    fn a_representation_ends_at_its_term() {
        let parent = cases::representative();
        let facts = [fact(cases::representation()).until(MOMENT.parse().unwrap())];
        assert!(!standing(&parent, &facts).representative);
        let facts = [fact(cases::representation()).until(later(1))];
        assert!(standing(&parent, &facts).representative);
        assert!(!standing(&cases::holder(), &facts).representative);
    }
}
