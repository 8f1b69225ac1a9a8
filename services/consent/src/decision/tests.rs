//! The rules, each by what it promises; then all of them against an oracle that was written without looking at them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use api::codes::AUTHOR_SPECIALTIES;
use api::consent::v1::{OppositionKind, Purpose};
use proptest::prelude::*;
use std::collections::BTreeSet;

use super::*;
use crate::cases::{self, fact, later};
use crate::fact::What;
use crate::rules::{Effect, RULES};
use crate::standing::grounds;

use AccessMode::{BreakGlass, Centre15, Normal};
use Operation::{
    ChangeVisibility, CloseDossier, ExplainAccess, ManageConsents, ManageProfessionals, OpenDossier, ReadDocuments,
    ReadJournal, RetireDocuments, SeeStatus, SubmitDocuments, WithdrawConsents,
};

const MODES: [AccessMode; 3] = [Normal, BreakGlass, Centre15];

fn consented() -> Fact {
    fact(cases::consent(Purpose::Creation))
}

fn authorized() -> Fact {
    fact(cases::authorization()).until(later(10))
}

fn facts(live: impl Into<Vec<Fact>>) -> Facts {
    Facts {
        revision: 7,
        live: live.into(),
    }
}

fn decided(actor: &Actor, live: &[Fact], operation: Operation, mode: AccessMode) -> Decision {
    let case = Case::new(
        actor,
        &cases::dmp_id(),
        &facts(live),
        operation,
        cases::moment(),
        cases::book(),
    );
    decide(&case.in_mode(mode))
}

fn granted(actor: &Actor, live: &[Fact], operation: Operation, mode: AccessMode) -> Grant {
    match decided(actor, live, operation, mode) {
        Decision {
            outcome: Outcome::Granted(grant),
            ..
        } => grant,
        refused => panic!("{operation:?} {mode:?}: {:?}", refused.bases),
    }
}

fn refused_by(actor: &Actor, live: &[Fact], operation: Operation, mode: AccessMode) -> &'static str {
    let decision = decided(actor, live, operation, mode);
    assert!(
        matches!(decision.outcome, Outcome::Refused(_)),
        "{operation:?} {mode:?}: {:?}",
        decision.bases
    );
    assert_eq!(decision.bases.len(), 1);
    decision.bases[0].rule
}

fn types(grant: &Grant, operation: Operation) -> TypeSet {
    let permission = grant
        .permissions
        .iter()
        .find(|permission| permission.operation == operation);
    permission.map(|permission| permission.types).unwrap_or_default()
}

fn type_of(code: &str) -> TypeSet {
    TypeSet::of(code).unwrap()
}

fn physician() -> Actor {
    cases::professional("10", "SM26")
}

fn regulator() -> Actor {
    cases::professional("10", "SM59")
}

// --- The person.

/// L1111-19: direct access to the whole content; R1111-53: but for what waits for its announcement.
#[test]
fn the_holder_reads_all_of_the_own_dossier_but_what_is_not_yet_announced() {
    let grant = granted(&cases::holder(), &[consented()], ReadDocuments, Normal);
    assert_eq!(types(&grant, ReadDocuments), TypeSet::every());
    let sees = Sees {
        masked: true,
        hidden_from_holder: false,
        hidden_from_representatives: true,
    };
    assert_eq!((grant.sees, grant.valid_until), (sees, None));
}

/// L1110-4: somebody else's dossier is medical secrecy.
#[test]
fn a_holder_does_nothing_with_another_persons_dossier() {
    let mut stranger = cases::holder();
    stranger.dmp_id = Some(DmpId::generate([9; 16]));
    for operation in EVERY_OPERATION {
        let rule = refused_by(&stranger, &[consented()], *operation, Normal);
        assert_eq!(rule, "default-refuse", "{operation:?}");
    }
}

/// L1111-14, third sentence; L1111-19; L1111-18.
#[test]
fn the_holder_manages_consents_and_professionals_and_closes() {
    for operation in [
        ManageConsents,
        WithdrawConsents,
        ManageProfessionals,
        CloseDossier,
        OpenDossier,
        ChangeVisibility,
    ] {
        granted(&cases::holder(), &[consented()], operation, Normal);
    }
}

/// The person deposits what is meant for it, not a report.
#[test]
fn the_person_deposits_its_own_kinds_of_documents_only() {
    let submit = types(
        &granted(&cases::holder(), &[consented()], SubmitDocuments, Normal),
        SubmitDocuments,
    );
    assert!(submit.holds(type_of("EXPPAT_3") | type_of("DOCPAT01")));
    assert!(!submit.holds(type_of("11488-4")));
}

/// L1111-14, third sentence: the representative speaks for the person; R1111-33, R1111-50: and does not see everything.
#[test]
fn a_representative_does_what_the_holder_does_and_never_sees_what_is_hidden_from_representatives() {
    let live = [consented(), fact(cases::representation()).until(later(5))];
    for operation in EVERY_OPERATION {
        let holder = decided(&cases::holder(), &live, *operation, Normal);
        let parent = decided(&cases::representative(), &live, *operation, Normal);
        let open = |decision: &Decision| matches!(decision.outcome, Outcome::Granted(_));
        assert_eq!(open(&holder), open(&parent), "{operation:?}");
    }
    let grant = granted(&cases::representative(), &live, ReadDocuments, Normal);
    let sees = Sees {
        masked: true,
        hidden_from_holder: false,
        hidden_from_representatives: false,
    };
    assert_eq!((grant.sees, grant.valid_until), (sees, Some(later(5))));
}

/// Parental authority ends by itself at majority.
#[test]
fn a_representation_past_its_term_opens_nothing() {
    for held in [
        fact(cases::representation()).until(later(0)),
        fact(cases::representation()).ended(),
    ] {
        let live = [consented(), held];
        for operation in EVERY_OPERATION {
            let rule = refused_by(&cases::representative(), &live, *operation, Normal);
            assert_eq!(rule, "representation-not-live", "{operation:?}");
        }
    }
}

/// L1111-14, third sentence: "sous réserve du consentement exprès".
#[test]
fn without_consent_to_its_creation_nobody_opens_reads_or_feeds_a_dossier() {
    let live = [
        authorized(),
        fact(cases::treating()),
        fact(cases::representation()).until(later(5)),
    ];
    let actors = [cases::holder(), cases::representative(), physician()];
    for (actor, operation) in actors.iter().flat_map(|actor| {
        let content = [
            ReadDocuments,
            SubmitDocuments,
            OpenDossier,
            ChangeVisibility,
            RetireDocuments,
        ];
        content.map(|operation| (actor, operation))
    }) {
        assert_eq!(
            refused_by(actor, &live, operation, Normal),
            "creation-not-consented",
            "{actor:?} {operation:?}"
        );
    }
    assert_eq!(
        refused_by(&physician(), &live, ReadDocuments, BreakGlass),
        "creation-not-consented"
    );
    assert_eq!(
        refused_by(&cases::actor(Role::EstablishmentSystem), &[], OpenDossier, Normal),
        "creation-not-consented"
    );
}

/// L1111-14, L1111-19: consents can always be given and withdrawn, and who came in can always be seen.
#[test]
fn without_consent_the_person_still_manages_consents_and_reads_journal_and_status() {
    let live = [fact(cases::representation()).until(later(5))];
    for actor in [cases::holder(), cases::representative()] {
        for operation in [
            ManageConsents,
            WithdrawConsents,
            ManageProfessionals,
            ReadJournal,
            SeeStatus,
            CloseDossier,
        ] {
            granted(&actor, &live, operation, Normal);
        }
    }
}

// --- Who never comes in.

/// L1111-18: "même avec l'accord de la personne".
#[test]
fn an_excluded_party_is_always_refused() {
    let live = [consented(), authorized()];
    for (operation, mode) in EVERY_OPERATION
        .iter()
        .flat_map(|operation| MODES.map(|mode| (*operation, mode)))
    {
        let rule = refused_by(&cases::actor(Role::ExcludedParty), &live, operation, mode);
        assert_eq!(rule, "excluded-party", "{operation:?} {mode:?}");
    }
}

/// L1111-14, fourth sentence: administers, and never reads.
#[test]
fn the_administrator_never_reads_or_writes_content() {
    let administrator = cases::actor(Role::Administrator);
    for operation in [
        ReadDocuments,
        SubmitDocuments,
        ReadJournal,
        ChangeVisibility,
        RetireDocuments,
    ] {
        let rule = refused_by(&administrator, &[consented()], operation, Normal);
        assert_eq!(rule, "administrator-never-content", "{operation:?}");
    }
}

/// L1111-14: the insurer's desk collects consents, opens, and closes on demand.
#[test]
fn the_desk_records_consents_opens_and_closes() {
    for operation in [ManageConsents, OpenDossier, CloseDossier, SeeStatus] {
        granted(&cases::actor(Role::Administrator), &[consented()], operation, Normal);
    }
    for operation in [WithdrawConsents, ManageProfessionals] {
        refused_by(&cases::actor(Role::Administrator), &[consented()], operation, Normal);
    }
}

/// L1110-4; L1111-14: the regulator checks decisions, and sees no content.
#[test]
fn the_auditor_has_decisions_explained_and_does_nothing_else_with_a_dossier() {
    for operation in EVERY_OPERATION {
        if *operation == ExplainAccess {
            granted(&cases::actor(Role::Auditor), &[consented()], ExplainAccess, Normal);
            continue;
        }
        let rule = refused_by(&cases::actor(Role::Auditor), &[consented()], *operation, Normal);
        assert_eq!(rule, "auditor-never-content", "{operation:?}");
    }
}

/// L1110-4: nobody is named, so nothing is shown.
#[test]
fn an_establishments_system_feeds_and_opens_and_never_reads() {
    let system = cases::actor(Role::EstablishmentSystem);
    let submit = types(
        &granted(&system, &[consented()], SubmitDocuments, Normal),
        SubmitDocuments,
    );
    assert!(submit.holds(type_of("34112-3")) && !submit.holds(type_of("DOCPAT01")));
    for operation in [OpenDossier, ManageConsents, SeeStatus, RetireDocuments] {
        granted(&system, &[consented()], operation, Normal);
    }
    for operation in [ReadDocuments, ReadJournal, ChangeVisibility] {
        assert_eq!(
            refused_by(&system, &[consented()], operation, Normal),
            "establishment-system-never-reads"
        );
    }
}

/// L1111-18 in the text of 2016; L1111-17 IV in today's.
#[test]
fn occupational_medicine_stays_out_unless_the_person_consents() {
    let live = [consented(), authorized()];
    let physician = cases::professional("10", "SM25");
    for operation in EVERY_OPERATION {
        assert_eq!(
            refused_by(&physician, &live, *operation, Normal),
            "occupational-medicine",
            "{operation:?}"
        );
    }
    let agreed = [
        consented(),
        authorized(),
        fact(cases::consent(Purpose::OccupationalMedicine)),
    ];
    granted(&physician, &agreed, ReadDocuments, Normal);
    let withdrawn = [
        consented(),
        authorized(),
        fact(cases::consent(Purpose::OccupationalMedicine)).ended(),
    ];
    assert_eq!(
        refused_by(&physician, &withdrawn, ReadDocuments, Normal),
        "occupational-medicine"
    );
}

/// L1111-19: "whatever else holds": authorised, treating, in danger of life. TD 0.2: told INTERDIT.
#[test]
fn a_blocked_professional_is_refused_whatever_else_holds() {
    let live = [consented(), authorized(), fact(cases::treating()), fact(cases::block())];
    for (operation, mode) in EVERY_OPERATION
        .iter()
        .flat_map(|operation| MODES.map(|mode| (*operation, mode)))
    {
        if operation != SeeStatus {
            assert_eq!(
                refused_by(&regulator(), &live, operation, mode),
                "blocked-professional",
                "{operation:?} {mode:?}"
            );
        }
    }
    let status = decided(&regulator(), &live, SeeStatus, Normal);
    assert!(matches!(&status.outcome, Outcome::Granted(grant) if grant.permissions.len() == 1));
    assert_eq!(status.authorization_state, AuthorizationState::Blocked);
}

// --- Professionals.

/// L1111-17, R1111-46.
#[test]
fn an_authorised_professional_reads_what_the_matrix_gives_and_nothing_masked() {
    let live = [consented(), authorized()];
    let podiatrist = cases::professional("80", "");
    let grant = granted(&podiatrist, &live, ReadDocuments, Normal);
    let read = types(&grant, ReadDocuments);
    assert!(read.holds(type_of("11488-4")) && !read.holds(type_of("15508-5")));
    let sees = Sees {
        masked: false,
        hidden_from_holder: true,
        hidden_from_representatives: true,
    };
    assert_eq!((grant.sees, grant.valid_until), (sees, Some(later(10))));
}

/// DMP1: an authorisation lasts a year; then its holder is told EXPIRE.
#[test]
fn an_expired_authorisation_opens_nothing_and_is_told_as_expired() {
    let live = [consented(), fact(cases::authorization()).until(later(0))];
    let decision = decided(&physician(), &live, ReadDocuments, Normal);
    assert_eq!(decision.bases, vec![DEFAULT]);
    assert_eq!(decision.authorization_state, AuthorizationState::Expired);
}

/// L1111-5: openly, it would show in the open chain of the journal, which representatives read.
#[test]
fn a_secret_authorisation_counts_in_secret_connections_only() {
    let secret = Fact {
        secret: true,
        ..authorized()
    };
    let (live, dmp_id) = (facts([consented(), secret]), cases::dmp_id());
    let physician = physician();
    let case = Case::new(
        &physician,
        &dmp_id,
        &live,
        ReadDocuments,
        cases::moment(),
        cases::book(),
    );
    assert_eq!(verdict(&case).unwrap_err(), DEFAULT);
    let secretly = decide(&case.in_secret(true));
    assert_eq!(secretly.bases[0].rule, "authorised-professional");
    assert_eq!(decide(&case).authorization_state, AuthorizationState::Absent);
    assert_eq!(secretly.authorization_state, AuthorizationState::Valid);
}

/// TD 0.2.
#[test]
fn every_decision_tells_a_professional_how_it_stands() {
    let live = [consented(), authorized(), fact(cases::treating())];
    let decision = decided(&physician(), &live, SubmitDocuments, Normal);
    assert_eq!(decision.authorization_state, AuthorizationState::Valid);
    assert!(decision.treating_physician && decision.creation_consented);
    let decision = decided(&physician(), &[], ReadDocuments, Normal);
    assert_eq!(decision.authorization_state, AuthorizationState::Absent);
    assert!(!decision.treating_physician && !decision.creation_consented);
    let holder = decided(&cases::holder(), &live, ReadDocuments, Normal);
    assert_eq!(holder.authorization_state, AuthorizationState::Unspecified);
}

/// TD 2.1: authorisations matter for consultation only.
#[test]
fn a_professional_feeds_an_existing_dossier_without_being_authorised() {
    let grant = granted(&physician(), &[consented()], SubmitDocuments, Normal);
    assert!(types(&grant, ReadDocuments).is_empty());
    assert_eq!(grant.sees, Sees::default());
    assert_eq!(
        refused_by(&physician(), &[consented()], ReadDocuments, Normal),
        "default-refuse"
    );
}

/// R1111-46: rights come from the matrix; what it does not know has none.
#[test]
fn a_profession_outside_of_the_matrix_reads_and_submits_nothing() {
    let live = [consented(), authorized()];
    for operation in [ReadDocuments, SubmitDocuments] {
        assert_eq!(
            refused_by(&cases::professional("99", ""), &live, operation, Normal),
            "outside-matrix"
        );
    }
    // Physicists of medicine read images, and submit nothing.
    assert_eq!(
        refused_by(&cases::professional("32", ""), &live, SubmitDocuments, Normal),
        "outside-matrix"
    );
}

/// R1111-38 (2016), R1111-42.
#[test]
fn a_treating_physician_reads_everything() {
    let grant = granted(
        &physician(),
        &[consented(), fact(cases::treating())],
        ReadDocuments,
        Normal,
    );
    assert_eq!(types(&grant, ReadDocuments), TypeSet::every());
    let sees = Sees {
        masked: true,
        hidden_from_holder: true,
        hidden_from_representatives: true,
    };
    assert_eq!(
        (grant.sees, grant.obligations.len(), grant.valid_until),
        (sees, 0, None)
    );
    granted(
        &physician(),
        &[consented(), fact(cases::treating())],
        ReadJournal,
        Normal,
    );
    refused_by(&physician(), &[consented(), authorized()], ReadJournal, Normal);
}

/// TD 1.1, TD 1.4.
#[test]
fn a_professional_collects_consents_opens_and_closes_and_never_withdraws() {
    for operation in [ManageConsents, OpenDossier, CloseDossier, SeeStatus] {
        granted(&physician(), &[consented()], operation, Normal);
    }
    granted(&physician(), &[], ManageConsents, Normal);
    assert_eq!(
        refused_by(&physician(), &[consented()], WithdrawConsents, Normal),
        "default-refuse"
    );
}

fn managing(actor: &Actor, live: &[Fact], concern: Concern) -> bool {
    let case = Case::new(
        actor,
        &cases::dmp_id(),
        &facts(live),
        ManageProfessionals,
        cases::moment(),
        cases::book(),
    );
    verdict(&case.about(concern)).is_ok()
}

/// TD 0.3: its own authorisation, for an existing dossier; the list is the holder's.
#[test]
fn a_professional_enters_itself_and_nobody_else() {
    let live = [consented()];
    assert!(managing(&physician(), &live, Concern::Anything));
    assert!(managing(&physician(), &live, Concern::OwnEntry));
    assert!(managing(&physician(), &live, Concern::OwnDesignation));
    assert!(!managing(&physician(), &live, Concern::SomebodyElse));
    assert!(!managing(&physician(), &[], Concern::OwnEntry));
    assert!(!managing(&physician(), &[], Concern::OwnDesignation));
    for concern in [Concern::Anything, Concern::OwnEntry, Concern::SomebodyElse] {
        assert!(managing(&cases::holder(), &[], concern));
        assert!(!managing(&cases::actor(Role::Administrator), &live, concern));
    }
}

/// L1110-4: a professional hears why it may come in or not, and nothing about its colleagues.
#[test]
fn a_professional_has_its_own_access_explained_and_nobody_elses() {
    let explains = |actor: &Actor, live: &[Fact], concern| {
        let facts = facts(live);
        let (dmp_id, moment) = (cases::dmp_id(), cases::moment());
        let case = Case::new(actor, &dmp_id, &facts, ExplainAccess, moment, cases::book());
        verdict(&case.about(concern)).is_ok()
    };
    assert!(explains(&physician(), &[], Concern::OwnEntry));
    assert!(!explains(
        &physician(),
        &[consented(), fact(cases::treating())],
        Concern::SomebodyElse
    ));
    assert!(!explains(&physician(), &[fact(cases::block())], Concern::OwnEntry));
    for actor in [cases::holder(), cases::actor(Role::Auditor)] {
        assert!(explains(&actor, &[], Concern::SomebodyElse));
    }
}

/// L1110-12, L1111-17 II: deemed authorised during the care, within the matrix, and no longer.
#[test]
fn a_member_of_the_care_team_is_deemed_authorised_while_the_care_lasts() {
    let podiatrist = cases::professional("80", "");
    for member in [cases::care_team(), cases::structure_care_team()] {
        let live = [consented(), fact(member.clone()).until(later(3))];
        let decision = decided(&podiatrist, &live, ReadDocuments, Normal);
        assert_eq!(decision.bases[0].rule, "care-team");
        assert_eq!(decision.authorization_state, AuthorizationState::Valid);
        let grant = granted(&podiatrist, &live, ReadDocuments, Normal);
        assert_eq!((grant.sees.masked, grant.valid_until), (false, Some(later(3))));
        assert!(!types(&grant, ReadDocuments).holds(type_of("15508-5")));
        let over = [consented(), fact(member).until(later(0))];
        assert_eq!(refused_by(&podiatrist, &over, ReadDocuments, Normal), "default-refuse");
    }
}

/// R1111-46: a member may collect consent for another professional; nobody else may.
#[test]
fn a_member_of_the_care_team_collects_consent_for_a_colleague() {
    let team = [consented(), fact(cases::care_team()).until(later(3))];
    assert!(managing(&physician(), &team, Concern::Colleague));
    assert!(!managing(&physician(), &team, Concern::SomebodyElse));
    assert!(!managing(
        &physician(),
        &[consented(), authorized()],
        Concern::Colleague
    ));
    assert!(!managing(&physician(), &team[1..], Concern::Colleague));
    assert!(managing(&physician(), &[consented()], Concern::OwnTeam));
    assert!(!managing(&physician(), &[], Concern::OwnTeam));
    assert!(!managing(
        &cases::actor(Role::EstablishmentSystem),
        &team,
        Concern::OwnTeam
    ));
}

/// R1111-43 of 2016: other *authorised* professionals.
#[test]
fn equal_rights_are_the_treating_physicians_and_need_an_authorisation() {
    let nurse = cases::professional("60", "");
    let live = [consented(), authorized(), fact(cases::equal_rights())];
    let grant = granted(&nurse, &live, ReadDocuments, Normal);
    let treating = granted(
        &physician(),
        &[consented(), fact(cases::treating())],
        ReadDocuments,
        Normal,
    );
    assert_eq!(
        (grant.sees, types(&grant, ReadDocuments)),
        (treating.sees, TypeSet::every())
    );
    assert_eq!(grant.valid_until, Some(later(10)));
    granted(&nurse, &live, ReadJournal, Normal);
    let alone = [consented(), fact(cases::equal_rights())];
    assert_eq!(refused_by(&nurse, &alone, ReadDocuments, Normal), "default-refuse");
    let over = [
        consented(),
        fact(cases::authorization()).until(later(0)),
        fact(cases::equal_rights()),
    ];
    assert_eq!(refused_by(&nurse, &over, ReadDocuments, Normal), "default-refuse");
}

/// R1111-38 speaks of a physician.
#[test]
fn only_a_physician_becomes_treating_physician() {
    let nurse = cases::professional("60", "");
    assert!(managing(&nurse, &[consented()], Concern::OwnEntry));
    assert!(!managing(&nurse, &[consented()], Concern::OwnDesignation));
}

/// L1111-18: child protection reads and writes, and so does every physician but those whom the law names.
#[test]
fn no_specialty_but_occupational_medicine_is_shut_out() {
    let live = [consented(), authorized()];
    let physicians = AUTHOR_SPECIALTIES
        .iter()
        .filter_map(|concept| concept.code.strip_prefix("G15_10/"));
    let shut_out: Vec<&str> = physicians
        .filter(|specialty| {
            let physician = cases::professional("10", specialty);
            let open = |operation| {
                matches!(
                    decided(&physician, &live, operation, Normal).outcome,
                    Outcome::Granted(_)
                )
            };
            assert_eq!(open(ReadDocuments), open(SubmitDocuments), "{specialty}");
            !open(ReadDocuments)
        })
        .collect();
    assert_eq!(shut_out, ["C41", "CAPA11", "SM25"]);
}

// --- The two exceptional modes.

/// L1111-17 I (a), R1111-48.
#[test]
fn break_glass_opens_without_authorisation_and_obliges_to_tell() {
    let grant = granted(&physician(), &[consented()], ReadDocuments, BreakGlass);
    let all = vec![
        Obligation::NotifyHolder,
        Obligation::NotifyTreatingPhysicians,
        Obligation::SecondLook,
    ];
    assert_eq!(grant.obligations, all);
    let sees = Sees {
        masked: false,
        hidden_from_holder: true,
        hidden_from_representatives: true,
    };
    assert_eq!(grant.sees, sees);
    assert_eq!(
        granted(&physician(), &[consented()], SubmitDocuments, BreakGlass).obligations,
        all
    );
}

/// Break-glass demands the personal card.
#[test]
fn break_glass_demands_the_personal_card() {
    for level in [
        AuthenticationLevel::Unspecified,
        AuthenticationLevel::Low,
        AuthenticationLevel::Substantial,
    ] {
        let mut physician = physician();
        physician.authentication_level = level;
        let rule = refused_by(&physician, &[consented(), authorized()], ReadDocuments, BreakGlass);
        assert_eq!(rule, "break-glass-personal-card");
    }
}

/// L1111-17 I: "consulté ou alimenté".
#[test]
fn an_opposition_to_break_glass_shuts_reading_and_feeding_by_it() {
    let live = [
        consented(),
        authorized(),
        fact(cases::opposition(OppositionKind::BreakGlass)),
    ];
    for operation in [ReadDocuments, SubmitDocuments] {
        assert_eq!(
            refused_by(&physician(), &live, operation, BreakGlass),
            "break-glass-opposed"
        );
        granted(&physician(), &live, operation, Normal);
    }
}

/// L1111-17 I: two independent oppositions.
#[test]
fn the_two_oppositions_are_independent() {
    let break_glass = [consented(), fact(cases::opposition(OppositionKind::BreakGlass))];
    let centre_15 = [consented(), fact(cases::opposition(OppositionKind::Centre15))];
    granted(&regulator(), &break_glass, ReadDocuments, Centre15);
    granted(&regulator(), &centre_15, ReadDocuments, BreakGlass);
    assert_eq!(
        refused_by(&regulator(), &break_glass, ReadDocuments, BreakGlass),
        "break-glass-opposed"
    );
    assert_eq!(
        refused_by(&regulator(), &centre_15, ReadDocuments, Centre15),
        "centre-15-opposed"
    );
    let withdrawn = [consented(), fact(cases::opposition(OppositionKind::BreakGlass)).ended()];
    granted(&regulator(), &withdrawn, ReadDocuments, BreakGlass);
}

/// L1111-17 I (b): the regulating physician consults; a centre does not feed.
#[test]
fn centre_15_is_for_the_regulating_physician_and_for_reading() {
    let grant = granted(&regulator(), &[consented()], ReadDocuments, Centre15);
    assert_eq!(grant.obligations.len(), 3);
    assert_eq!(
        refused_by(&physician(), &[consented()], ReadDocuments, Centre15),
        "centre-15-regulating-physician"
    );
    assert_eq!(
        refused_by(&regulator(), &[consented()], SubmitDocuments, Centre15),
        "default-refuse"
    );
}

/// L1111-17 I speaks of professionals.
#[test]
fn the_exceptional_modes_are_for_professionals() {
    for mode in [BreakGlass, Centre15] {
        let rule = refused_by(&cases::holder(), &[consented()], ReadDocuments, mode);
        assert_eq!(rule, "exceptional-modes-are-for-professionals");
    }
}

/// A refusal says what each other mode would open, and oblige to.
#[test]
fn a_refusal_tells_a_professional_what_the_other_modes_would_do() {
    let live = [consented(), fact(cases::opposition(OppositionKind::Centre15))];
    let Outcome::Refused(alternatives) = decided(&regulator(), &live, ReadDocuments, Normal).outcome else {
        panic!("not refused");
    };
    let modes: Vec<AccessMode> = alternatives.iter().map(|alternative| alternative.mode).collect();
    assert_eq!(modes, [BreakGlass, Centre15]);
    assert_eq!(alternatives[0].outcome.as_ref().unwrap().len(), 3);
    assert_eq!(alternatives[1].outcome.as_ref().unwrap_err().rule, "centre-15-opposed");

    let Outcome::Refused(none) = decided(&cases::actor(Role::Auditor), &live, ReadDocuments, Normal).outcome else {
        panic!("not refused");
    };
    assert_eq!(none, vec![]);
}

// --- The table and the decision as such.

/// A lawyer reads forbids first, and each rule has a name, an article and words.
#[test]
fn the_table_is_readable() {
    let forbids = RULES.iter().filter(|rule| rule.scope().is_none()).count();
    assert!(
        RULES
            .iter()
            .take(forbids)
            .all(|rule| matches!(rule.effect, Effect::Forbid))
    );
    let names: BTreeSet<&str> = RULES.iter().map(|rule| rule.id).chain([DEFAULT.rule]).collect();
    assert_eq!(names.len(), RULES.len() + 1);
    for rule in RULES {
        assert!(!rule.article.is_empty() && rule.summary.ends_with('.'), "{}", rule.id);
        assert!(
            !rule.roles.is_empty() && !rule.operations.is_empty() && !rule.modes.is_empty(),
            "{}",
            rule.id
        );
    }
}

#[test]
fn a_decision_names_what_it_stands_on() {
    let decision = decided(
        &physician(),
        &[consented(), authorized()],
        ReadDocuments,
        AccessMode::Unspecified,
    );
    assert_eq!((decision.revision, decision.matrix_version.as_str()), (7, "2026-1"));
    assert_eq!((decision.decided_at, decision.mode), (cases::moment(), Normal));
    assert_eq!(decision.bases[0].rule, "authorised-professional");
}

/// Before the first version of the matrix nothing that needs it is open; what the law gives without it still is.
#[test]
fn without_a_matrix_in_force_professionals_are_refused() {
    let early = "2015-01-01T00:00:00Z".parse().unwrap();
    let nothing = Matrix::nothing();
    let book = Book {
        matrix: &nothing,
        ..cases::book()
    };
    let live = facts([consented(), fact(cases::authorization()).until(later(10))]);
    let case = |actor: &Actor| verdict(&Case::new(actor, &cases::dmp_id(), &live, ReadDocuments, early, book)).is_ok();
    assert!(!case(&physician()));
    assert!(case(&cases::holder()));
}

// --- Every cell against an oracle.

#[derive(Debug, Clone, Copy, PartialEq)]
enum Term {
    Absent,
    Running,
    Over,
}

const TERMS: [Term; 3] = [Term::Absent, Term::Running, Term::Over];

/// A caller and a dossier, in plain words.
#[derive(Debug, Clone, Copy)]
struct World {
    role: Role,
    own_dossier: bool,
    profession: &'static str,
    specialty: &'static str,
    card: bool,
    creation: bool,
    occupational: bool,
    opposed_break_glass: bool,
    opposed_centre_15: bool,
    opposed_secret_acts: bool,
    blocked: bool,
    treating: bool,
    authorization: Term,
    structure_authorization: Term,
    care_team: Term,
    structure_care_team: Term,
    equal_rights: bool,
    representation: Term,
    /// Whether what is asked is asked in a secret connection.
    secret: bool,
}

impl World {
    fn actor(&self) -> Actor {
        let mut actor = match self.role {
            Role::Holder => cases::holder(),
            Role::Representative => cases::representative(),
            Role::Professional => cases::professional(self.profession, self.specialty),
            role => cases::actor(role),
        };
        if self.role == Role::Holder && !self.own_dossier {
            actor.dmp_id = Some(DmpId::generate([9; 16]));
        }
        actor.authentication_level = if self.card {
            AuthenticationLevel::PersonalCard
        } else {
            AuthenticationLevel::Substantial
        };
        actor
    }

    fn facts(&self) -> Facts {
        let mut live = Vec::new();
        let mut if_so = |so: bool, what: What| live.extend(so.then(|| fact(what)));
        if_so(self.creation, cases::consent(Purpose::Creation));
        if_so(self.occupational, cases::consent(Purpose::OccupationalMedicine));
        if_so(self.opposed_break_glass, cases::opposition(OppositionKind::BreakGlass));
        if_so(self.opposed_centre_15, cases::opposition(OppositionKind::Centre15));
        if_so(self.opposed_secret_acts, cases::opposition(OppositionKind::SecretActs));
        if_so(self.blocked, cases::block());
        if_so(self.treating, cases::treating());
        if_so(self.equal_rights, cases::equal_rights());
        let mut until = |term: Term, what: What| match term {
            Term::Absent => {}
            Term::Running => live.push(fact(what).until(later(1))),
            Term::Over => live.push(fact(what).until(later(-1))),
        };
        until(self.authorization, cases::authorization());
        until(self.structure_authorization, cases::structure_authorization());
        until(self.care_team, cases::care_team());
        until(self.structure_care_team, cases::structure_care_team());
        until(self.representation, cases::representation());
        facts(live)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Every,
    Matrix,
}

/// What the oracle says is open: on which types, and what must be done afterwards.
type Open = Option<(Width, bool)>;

const OPEN: Open = Some((Width::Every, false));
const BY_MATRIX: Open = Some((Width::Matrix, false));
const BY_MATRIX_AND_TELL: Open = Some((Width::Matrix, true));

fn oracle(world: &World, operation: Operation, mode: AccessMode) -> Open {
    let needs_a_dossier = matches!(
        operation,
        ReadDocuments | SubmitDocuments | OpenDossier | ChangeVisibility | RetireDocuments
    );
    if needs_a_dossier && !world.creation {
        return None;
    }
    if world.role == Role::Professional {
        let unrecorded = operation == SubmitDocuments && world.secret && world.opposed_secret_acts;
        return if unrecorded {
            None
        } else {
            oracle_for_a_professional(world, operation, mode)
        };
    }
    if mode != Normal || world.secret {
        return None;
    }
    match world.role {
        Role::Holder if world.own_dossier => oracle_for_the_person(operation),
        Role::Representative if world.representation == Term::Running => oracle_for_the_person(operation),
        Role::EstablishmentSystem => match operation {
            SubmitDocuments => BY_MATRIX,
            RetireDocuments | OpenDossier | SeeStatus | ManageConsents => OPEN,
            _ => None,
        },
        Role::Administrator => match operation {
            OpenDossier | CloseDossier | SeeStatus | ManageConsents => OPEN,
            _ => None,
        },
        Role::Auditor if operation == ExplainAccess => OPEN,
        _ => None,
    }
}

fn oracle_for_the_person(operation: Operation) -> Open {
    if operation == SubmitDocuments { BY_MATRIX } else { OPEN }
}

fn oracle_for_a_professional(world: &World, operation: Operation, mode: AccessMode) -> Open {
    if world.specialty == "SM25" && !world.occupational {
        return None;
    }
    if mode == BreakGlass && !world.card {
        return None;
    }
    if mode == Centre15 && !(world.profession == "10" && world.specialty == "SM59") {
        return None;
    }
    if operation == SeeStatus {
        return OPEN;
    }
    if world.blocked {
        return None;
    }
    let known = world.profession != "99";
    if mode == BreakGlass {
        let opens = known && !world.opposed_break_glass && matches!(operation, ReadDocuments | SubmitDocuments);
        return if opens { BY_MATRIX_AND_TELL } else { None };
    }
    if mode == Centre15 {
        let opens = !world.opposed_centre_15 && operation == ReadDocuments;
        return if opens { BY_MATRIX_AND_TELL } else { None };
    }
    let treating = world.treating && world.profession == "10";
    let authorized = world.authorization == Term::Running || world.structure_authorization == Term::Running;
    let equal = world.equal_rights && authorized;
    let cares = world.care_team == Term::Running || world.structure_care_team == Term::Running;
    match operation {
        ReadDocuments if equal && known => OPEN,
        ChangeVisibility | ReadJournal if equal => OPEN,
        ReadDocuments | ChangeVisibility if treating => OPEN,
        ReadDocuments if (authorized || cares) && known => BY_MATRIX,
        ChangeVisibility if authorized || cares => BY_MATRIX,
        SubmitDocuments if known => BY_MATRIX,
        RetireDocuments | OpenDossier | CloseDossier | ManageConsents | ExplainAccess => OPEN,
        ReadJournal if treating => OPEN,
        ManageProfessionals if world.creation => OPEN,
        _ => None,
    }
}

/// Which hidden documents an open reading shows.
fn oracle_sees(world: &World, mode: AccessMode) -> Sees {
    if oracle(world, ReadDocuments, mode).is_none() {
        return Sees::default();
    }
    let treating = world.treating && world.profession == "10";
    let authorized = world.authorization == Term::Running || world.structure_authorization == Term::Running;
    let as_treating = mode == Normal && (treating || world.equal_rights && authorized);
    Sees {
        masked: world.role != Role::Professional || as_treating,
        hidden_from_holder: world.role == Role::Professional,
        hidden_from_representatives: world.role != Role::Representative,
    }
}

fn bits(number: u32) -> impl Fn(u32) -> bool {
    move |place| number >> place & 1 == 1
}

fn worlds() -> Vec<World> {
    let mut worlds = Vec::new();
    for role in [
        Role::Unspecified,
        Role::Holder,
        Role::Representative,
        Role::EstablishmentSystem,
    ]
    .into_iter()
    .chain([Role::Administrator, Role::Auditor, Role::Service, Role::ExcludedParty])
    {
        for (representation, number) in TERMS
            .into_iter()
            .flat_map(|term| (0..64).map(move |number| (term, number)))
        {
            let bit = bits(number);
            worlds.push(World {
                role,
                own_dossier: bit(0),
                profession: "10",
                specialty: "SM59",
                card: bit(1),
                creation: bit(2),
                occupational: bit(3),
                opposed_break_glass: bit(4),
                opposed_centre_15: bit(4),
                opposed_secret_acts: false,
                blocked: bit(5),
                treating: bit(5),
                authorization: if bit(5) { Term::Running } else { Term::Absent },
                structure_authorization: Term::Absent,
                care_team: if bit(5) { Term::Running } else { Term::Absent },
                structure_care_team: Term::Absent,
                equal_rights: bit(5),
                representation,
                secret: false,
            });
        }
    }
    let professions = ["10", "80", "99"]
        .into_iter()
        .flat_map(|profession| ["", "SM25", "SM59"].map(|s| (profession, s)));
    let terms = || {
        TERMS.into_iter().map(|own| (own, Term::Absent)).chain([
            (Term::Absent, Term::Running),
            (Term::Absent, Term::Over),
            (Term::Over, Term::Running),
        ])
    };
    for ((profession, specialty), (authorization, structure_authorization)) in
        professions.flat_map(|profession| terms().map(move |terms| (profession, terms)))
    {
        for number in 0..128 {
            let bit = bits(number);
            worlds.push(World {
                role: Role::Professional,
                own_dossier: false,
                profession,
                specialty,
                card: bit(0),
                creation: bit(1),
                occupational: bit(2),
                opposed_break_glass: bit(3),
                opposed_centre_15: bit(4),
                opposed_secret_acts: false,
                blocked: bit(5),
                treating: bit(6),
                authorization,
                structure_authorization,
                care_team: Term::Absent,
                structure_care_team: Term::Absent,
                equal_rights: false,
                representation: Term::Absent,
                secret: false,
            });
        }
    }
    worlds.extend(worlds_of_teams());
    let secrecy = [(false, false), (false, true), (true, false), (true, true)];
    let each = worlds.into_iter().flat_map(|world| {
        secrecy.map(|(secret, opposed_secret_acts)| World {
            secret,
            opposed_secret_acts,
            ..world
        })
    });
    each.collect()
}

/// Memberships and equal rights, beside authorisations, for those whom they concern and those whom they do not.
fn worlds_of_teams() -> Vec<World> {
    let states = [
        (Term::Running, Term::Absent),
        (Term::Over, Term::Running),
        (Term::Absent, Term::Over),
        (Term::Absent, Term::Absent),
    ];
    let parties = [("10", ""), ("10", "SM25"), ("80", ""), ("99", "")];
    let mut worlds = Vec::new();
    for ((profession, specialty), (care_team, structure_care_team)) in
        parties.into_iter().flat_map(|party| states.map(|state| (party, state)))
    {
        for number in 0..256 {
            let bit = bits(number);
            worlds.push(World {
                role: Role::Professional,
                own_dossier: false,
                profession,
                specialty,
                card: bit(0),
                creation: bit(1),
                occupational: bit(2),
                opposed_break_glass: bit(3),
                opposed_centre_15: false,
                opposed_secret_acts: false,
                blocked: bit(4),
                treating: bit(5),
                authorization: if bit(6) { Term::Running } else { Term::Over },
                structure_authorization: Term::Absent,
                care_team,
                structure_care_team,
                equal_rights: bit(7),
                representation: Term::Absent,
                secret: false,
            });
        }
    }
    worlds
}

/// Every role × every mode × every operation × every state. The oracle knows nothing of the table; every rule of the
/// table decides some cell, so that none could be dropped unnoticed.
#[test]
fn every_cell_agrees_with_the_oracle() {
    let (book, dmp_id) = (cases::book(), cases::dmp_id());
    let (mut cells, mut open, mut deciding) = (0, 0, BTreeSet::new());
    for world in worlds() {
        let (actor, facts) = (world.actor(), world.facts());
        let reach = book.matrix.reach(actor.role, actor.profession.as_deref());
        let case = Case::new(&actor, &dmp_id, &facts, SeeStatus, cases::moment(), book);
        for (operation, mode) in EVERY_OPERATION
            .iter()
            .flat_map(|operation| MODES.map(|mode| (*operation, mode)))
        {
            let case = case.doing(operation).in_mode(mode).in_secret(world.secret);
            let expected = oracle(&world, operation, mode);
            cells += 1;
            if let Err(basis) = verdict(&case) {
                assert_eq!(expected, None, "{world:?} {operation:?} {mode:?} {basis:?}");
                deciding.insert(basis.rule);
                continue;
            }
            let decision = decide(&case);
            deciding.extend(decision.bases.iter().map(|basis| basis.rule));
            let (Outcome::Granted(grant), Some((width, tell))) = (decision.outcome, expected) else {
                panic!("{world:?} {operation:?} {mode:?} {:?}", decision.bases);
            };
            open += 1;
            let by_matrix = if operation == SubmitDocuments {
                reach.submit
            } else {
                reach.read
            };
            let width = if width == Width::Every {
                TypeSet::every()
            } else {
                by_matrix
            };
            assert_eq!(types(&grant, operation), width, "{world:?} {operation:?} {mode:?}");
            assert_eq!(!grant.obligations.is_empty(), tell, "{world:?} {operation:?} {mode:?}");
            assert_eq!(
                grant.sees,
                oracle_sees(&world, mode),
                "{world:?} {operation:?} {mode:?}"
            );
            for other in EVERY_OPERATION {
                let listed = grant
                    .permissions
                    .iter()
                    .any(|permission| permission.operation == *other);
                assert_eq!(
                    listed,
                    oracle(&world, *other, mode).is_some(),
                    "{world:?} {operation:?} {other:?} {mode:?}"
                );
            }
        }
    }
    assert!(cells > 1_000_000 && open > 60_000, "{cells} cells, {open} of them open");
    deciding.extend(deciding_of_secret_acts());
    let all: BTreeSet<&str> = RULES.iter().map(|rule| rule.id).chain([DEFAULT.rule]).collect();
    assert_eq!(deciding, all);
}

/// The same cross for the one opposition that is not everybody's to record: which rules decide.
fn deciding_of_secret_acts() -> BTreeSet<&'static str> {
    let (book, dmp_id) = (cases::book(), cases::dmp_id());
    let mut deciding = BTreeSet::new();
    for world in worlds() {
        let (actor, facts) = (world.actor(), world.facts());
        let case = Case::new(&actor, &dmp_id, &facts, SeeStatus, cases::moment(), book);
        let case = case.in_secret(world.secret).about(Concern::SecretActs);
        for (operation, mode) in [ManageConsents, WithdrawConsents]
            .into_iter()
            .flat_map(|operation| MODES.map(|mode| (operation, mode)))
        {
            let decided = verdict(&case.doing(operation).in_mode(mode));
            let expected = world.role == Role::Holder && world.own_dossier && mode == Normal && !world.secret;
            assert_eq!(decided.is_ok(), expected, "{world:?} {operation:?} {mode:?}");
            deciding.extend(decided.err().map(|basis| basis.rule));
        }
    }
    deciding
}

/// A decision reads the rules that speak of it: all of them, in the order of the table.
#[test]
fn no_rule_is_lost_in_the_sorting_of_the_table() {
    let (book, dmp_id) = (cases::book(), cases::dmp_id());
    let mut read = 0;
    for role in (0..32).filter_map(|number| Role::try_from(number).ok()) {
        let facts = facts([]);
        let case = Case::new(&cases::actor(role), &dmp_id, &facts, SeeStatus, cases::moment(), book);
        for (operation, mode) in (0..32)
            .filter_map(|number| Operation::try_from(number).ok())
            .flat_map(|operation| MODES.map(|mode| (operation, mode)))
        {
            let case = case.doing(operation).in_mode(mode);
            let sorted: Vec<&str> = speaking_of(&case).iter().map(|rule| rule.id).collect();
            let speaks = |rule: &&Rule| rule.speaks_of(role, mode, operation);
            let table: Vec<&str> = RULES.iter().filter(speaks).map(|rule| rule.id).collect();
            assert_eq!(sorted, table, "{role:?} {operation:?} {mode:?}");
            read += sorted.len();
        }
    }
    let pairs = |rule: &Rule| rule.roles.len() * rule.operations.len() * rule.modes.len();
    assert_eq!(read, RULES.iter().map(pairs).sum::<usize>());
}

// --- Broken tables.

/// Visits the cells of the cross of which a rule speaks, until one is found.
fn some_cell_of(rule: &Rule, mut found: impl FnMut(&Case) -> bool) -> bool {
    let (book, dmp_id) = (cases::book(), cases::dmp_id());
    let concerned = worlds().into_iter().filter(|world| rule.roles.contains(&world.role));
    for world in concerned {
        let (actor, facts) = (world.actor(), world.facts());
        let case = Case::new(&actor, &dmp_id, &facts, SeeStatus, cases::moment(), book);
        for (operation, mode) in rule
            .operations
            .iter()
            .flat_map(|operation| rule.modes.iter().map(move |mode| (operation, mode)))
        {
            let case = case.doing(*operation).in_mode(*mode).in_secret(world.secret);
            if CONCERNS.iter().any(|concern| found(&case.about(*concern))) {
                return true;
            }
        }
    }
    false
}

const CONCERNS: [Concern; 7] = [
    Concern::Anything,
    Concern::OwnEntry,
    Concern::OwnDesignation,
    Concern::OwnTeam,
    Concern::Colleague,
    Concern::SomebodyElse,
    Concern::SecretActs,
];

/// Whether some cell is decided otherwise when the rule is read in another way.
fn some_cell_differs(rule: &Rule, reading: impl Fn(&Rule, &Case) -> bool + Copy) -> bool {
    let broken = |other: &Rule, case: &Case| {
        if other.id == rule.id {
            reading(other, case)
        } else {
            as_written(other, case)
        }
    };
    let ruling = |verdict: Result<Vec<&'static Rule>, Basis>| {
        let permits = |permits: Vec<&'static Rule>| permits.iter().map(|rule| rule.id).collect::<Vec<_>>();
        verdict.map(permits).map_err(|basis| basis.rule)
    };
    some_cell_of(rule, |case| ruling(verdict_by(case, broken)) != ruling(verdict(case)))
}

/// A table without the rule, and one in which the rule holds when it must not, decide some cell otherwise: no rule is
/// there for nothing, and none could be lost or turned round unnoticed.
#[test]
fn no_rule_can_be_dropped_or_turned_round_unnoticed() {
    for rule in RULES {
        assert!(some_cell_differs(rule, |_, _| false), "{} dropped", rule.id);
        let turned = |rule: &Rule, case: &Case| !as_written(rule, case);
        assert!(some_cell_differs(rule, turned), "{} turned round", rule.id);
    }
}

/// An explanation names the facts that a rule looks at; so a rule must look at no others.
#[test]
fn a_rule_looks_at_the_facts_it_names_and_at_no_others() {
    let (book, dmp_id) = (cases::book(), cases::dmp_id());
    let mut moved = BTreeSet::new();
    for world in worlds() {
        let (actor, all) = (world.actor(), world.facts());
        let whole = Case::new(&actor, &dmp_id, &all, SeeStatus, cases::moment(), book).in_secret(world.secret);
        let grounds: Vec<_> = grounds(&actor, &dmp_id, &all.live, book.circles).collect();
        let on_facts_that = |wanted: &dyn Fn(&Fact) -> bool| {
            let wanted: Vec<Fact> = all.live.iter().filter(|fact| wanted(fact)).cloned().collect();
            Case::new(&actor, &dmp_id, &facts(wanted), SeeStatus, cases::moment(), book).in_secret(world.secret)
        };
        // Many rules name the same facts.
        let mut split: Vec<(&[Ground], Case, Case)> = Vec::new();
        for rule in RULES.iter().filter(|rule| rule.roles.contains(&actor.role)) {
            if !split.iter().any(|(on, ..)| *on == rule.on) {
                let named = |fact: &Fact| {
                    grounds
                        .iter()
                        .any(|(ground, other)| rule.on.contains(ground) && *other == fact)
                };
                split.push((rule.on, on_facts_that(&named), on_facts_that(&|fact| !named(fact))));
            }
            let (_, only_named, none_named) = split.iter().find(|(on, ..)| *on == rule.on).unwrap();
            assert_eq!(said(rule, only_named), said(rule, &whole), "{} in {world:?}", rule.id);
            if said(rule, none_named) != said(rule, &whole) {
                moved.insert(rule.id);
            }
        }
    }
    let standing_on_facts: BTreeSet<&str> = RULES
        .iter()
        .filter(|rule| !rule.on.is_empty())
        .map(|rule| rule.id)
        .collect();
    assert_eq!(moved, standing_on_facts);
}

/// Whether the rule's condition holds for each operation, and until when.
fn said(rule: &Rule, case: &Case) -> Vec<(bool, Option<Timestamp>)> {
    let until = rule.scope().and_then(|scope| (scope.until)(case));
    let operations = rule.operations.iter();
    operations
        .map(|operation| ((rule.when)(&case.doing(*operation)), until))
        .collect()
}

/// Every rule that held is told, also those that did not decide, each with its facts.
#[test]
fn an_explanation_names_the_overruled_and_their_facts() {
    let (actor, book, dmp_id) = (physician(), cases::book(), cases::dmp_id());
    let live = facts([consented(), authorized(), fact(cases::treating()), fact(cases::block())]);
    let case = Case::new(&actor, &dmp_id, &live, ReadDocuments, cases::moment(), book);
    let grounds: Vec<_> = grounds(&actor, &dmp_id, &live.live, book.circles).collect();
    let spoken = explain(&case, &grounds);
    let told: Vec<_> = spoken
        .iter()
        .map(|spoken| (spoken.rule.id, spoken.decides, spoken.facts.clone()))
        .collect();
    let [_, authorized, treating, block] = live.live.as_slice() else {
        panic!("four facts");
    };
    assert_eq!(
        told,
        [
            ("blocked-professional", true, vec![block]),
            ("treating-physician", false, vec![treating]),
            ("authorised-professional", false, vec![authorized]),
        ]
    );
    // What is missing has no fact to name.
    let nothing = facts([]);
    let case = Case::new(&actor, &dmp_id, &nothing, ReadDocuments, cases::moment(), book);
    let spoken = explain(&case, &[]);
    assert_eq!((spoken.len(), spoken[0].rule.id), (1, "creation-not-consented"));
    assert!(spoken[0].decides && spoken[0].facts.is_empty());
}

/// The last of several ends counts for who may read, and no end outlasts them all.
#[test]
fn an_access_lasts_as_long_as_the_last_of_its_rules() {
    let (dmp_id, book) = (cases::dmp_id(), cases::book());
    let last = |live: &[Fact]| {
        let live = facts(live);
        let (bases, end) = lasting(&Case::new(
            &physician(),
            &dmp_id,
            &live,
            ReadDocuments,
            cases::moment(),
            book,
        ))
        .unwrap();
        (bases.len(), end)
    };
    assert_eq!(last(&[consented(), authorized()]), (1, Some(later(10))));
    assert_eq!(last(&[consented(), authorized(), fact(cases::treating())]), (2, None));
}

// --- No sequence of facts widens what must stay shut.

fn any_fact() -> impl Strategy<Value = Fact> {
    let what = prop_oneof![
        Just(cases::consent(Purpose::Creation)),
        Just(cases::consent(Purpose::OccupationalMedicine)),
        Just(cases::consent(Purpose::OutsideCareTeam)),
        Just(cases::opposition(OppositionKind::BreakGlass)),
        Just(cases::opposition(OppositionKind::Centre15)),
        Just(cases::opposition(OppositionKind::SecretActs)),
        Just(cases::authorization()),
        Just(cases::structure_authorization()),
        Just(cases::block()),
        Just(cases::treating()),
        Just(cases::care_team()),
        Just(cases::structure_care_team()),
        Just(cases::equal_rights()),
        Just(cases::representation()),
    ];
    (what, -2..400_i64, any::<bool>(), any::<bool>()).prop_map(|(what, days, ended, secret)| {
        // What can be said in secret.
        let secret = matches!(what, What::Authorization(_)) && secret || what.is_always_secret();
        let fact = Fact {
            secret,
            ..fact(what).until(later(days))
        };
        if ended { fact.ended() } else { fact }
    })
}

fn any_professional() -> impl Strategy<Value = Actor> {
    let professions = prop::sample::select(vec!["10", "21", "40", "60", "80", "99"]);
    let specialties = prop::sample::select(vec!["", "SM25", "SM26", "SM59"]);
    (professions, specialties).prop_map(|(profession, specialty)| cases::professional(profession, specialty))
}

fn any_operation() -> impl Strategy<Value = Operation> {
    prop::sample::select(EVERY_OPERATION)
}

fn any_mode() -> impl Strategy<Value = AccessMode> {
    prop::sample::select(MODES.to_vec())
}

/// A mode, and whether the connection is secret.
fn any_way() -> impl Strategy<Value = (AccessMode, bool)> {
    (any_mode(), any::<bool>())
}

fn opens(actor: &Actor, live: &[Fact], operation: Operation, (mode, secret): (AccessMode, bool)) -> bool {
    let case = Case::new(
        actor,
        &cases::dmp_id(),
        &facts(live),
        operation,
        cases::moment(),
        cases::book(),
    );
    verdict(&case.in_mode(mode).in_secret(secret)).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// L1111-19: nothing that is said besides opens anything to a blocked professional.
    #[test]
    fn no_facts_widen_the_access_of_a_blocked_professional(
        actor in any_professional(), mut live in prop::collection::vec(any_fact(), 0..12),
        operation in any_operation(), way in any_way(), place: prop::sample::Index,
    ) {
        live.insert(place.index(live.len() + 1), fact(cases::block()));
        prop_assert!(!opens(&actor, &live, operation, way) || operation == SeeStatus);
    }

    /// L1111-18: nothing that is said at all opens anything to an excluded party or a regulator.
    #[test]
    fn no_facts_let_an_excluded_party_in(
        live in prop::collection::vec(any_fact(), 0..12), operation in any_operation(), way in any_way(),
        role in prop::sample::select(vec![Role::ExcludedParty, Role::Auditor, Role::Service, Role::Unspecified]),
    ) {
        let mut actor = cases::professional("10", "SM59");
        actor.role = role;
        actor.dmp_id = Some(cases::dmp_id());
        let explains = role == Role::Auditor && operation == ExplainAccess;
        prop_assert!(explains || !opens(&actor, &live, operation, way));
    }

    /// A block or an opposition narrows: it never opens what was shut without it.
    #[test]
    fn a_narrowing_fact_never_opens_anything(
        actor in any_professional(), live in prop::collection::vec(any_fact(), 0..12),
        operation in any_operation(), way in any_way(),
        narrowing in prop_oneof![
            Just(cases::block()),
            Just(cases::opposition(OppositionKind::BreakGlass)),
            Just(cases::opposition(OppositionKind::Centre15)),
            Just(cases::opposition(OppositionKind::SecretActs)),
        ],
    ) {
        let narrowed: Vec<Fact> = live.iter().cloned().chain([fact(narrowing)]).collect();
        prop_assert!(opens(&actor, &live, operation, way) || !opens(&actor, &narrowed, operation, way));
    }

    /// L1111-5: what is secret moves nothing that a representative is told about itself.
    #[test]
    fn a_representative_is_decided_alike_with_and_without_secrets(
        live in prop::collection::vec(any_fact(), 0..12), operation in any_operation(), mode in any_mode(),
    ) {
        let open: Vec<Fact> = live.iter().filter(|fact| !fact.secret).cloned().collect();
        let parent = cases::representative();
        prop_assert_eq!(decided(&parent, &live, operation, mode), decided(&parent, &open, operation, mode));
    }

    /// L1111-5: a secret connection is discretion, and no way in but for those whom the minor has let in secretly.
    #[test]
    fn a_secret_connection_opens_nothing_more_but_by_a_secret_authorisation(
        actor in any_professional(), live in prop::collection::vec(any_fact(), 0..12),
        operation in any_operation(), mode in any_mode(),
    ) {
        let let_in = |fact: &Fact| fact.secret && matches!(fact.what, What::Authorization(_));
        let live: Vec<Fact> = live.into_iter().filter(|fact| !let_in(fact)).collect();
        let open = opens(&actor, &live, operation, (mode, false));
        prop_assert!(open || !opens(&actor, &live, operation, (mode, true)));
    }

    /// The order in which facts are read says nothing.
    #[test]
    fn a_decision_does_not_depend_on_the_order_of_facts(
        actor in any_professional(), live in prop::collection::vec(any_fact(), 0..12),
        operation in any_operation(), mode in any_mode(),
    ) {
        let reversed: Vec<Fact> = live.iter().rev().cloned().collect();
        prop_assert_eq!(decided(&actor, &live, operation, mode), decided(&actor, &reversed, operation, mode));
    }
}
