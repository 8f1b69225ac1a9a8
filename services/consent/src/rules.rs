//! The rules: one table, to be read by a lawyer.
//!
//! A rule speaks of certain roles, operations and modes, and holds when what it says about the case is true. One forbid
//! beats every permit; what no rule permits is refused ([`DEFAULT`]). Forbids stand first, in the order in which a
//! refusal names them. The table is the law: nothing else in this crate decides who may do what with a dossier.

use api::common::v1::{AccessMode, AuthenticationLevel, Role};
use api::consent::v1::{Obligation, Operation};
use std::sync::LazyLock;
use store::time::Timestamp;

use crate::decision::{Basis, Case, Concern};
use crate::standing::Ground;

use AccessMode::{BreakGlass, Centre15, Normal};
use Operation::{
    ChangeVisibility, CloseDossier, ExplainAccess, ManageConsents, ManageProfessionals, OpenDossier, ReadDocuments,
    ReadJournal, RetireDocuments, SeeStatus, SubmitDocuments, WithdrawConsents,
};
use Role::{Administrator, Auditor, EstablishmentSystem, ExcludedParty, Holder, Professional, Representative, Service};

/// A rule.
#[derive(Debug)]
pub struct Rule {
    /// Its stable name.
    pub id: &'static str,
    /// The article it applies.
    pub article: &'static str,
    /// What it says, in words.
    pub summary: &'static str,
    /// Whether it forbids or permits.
    pub effect: Effect,
    /// Whom it speaks of.
    pub roles: &'static [Role],
    /// Of what it speaks.
    pub operations: &'static [Operation],
    /// In which modes.
    pub modes: &'static [AccessMode],
    /// Which facts it looks at, whether they must be there or must be missing. It changes with no other fact.
    pub on: &'static [Ground],
    /// What must be true besides.
    pub when: fn(&Case) -> bool,
}

/// What a rule does.
#[derive(Debug)]
pub enum Effect {
    /// It refuses, whatever permits.
    Forbid,
    /// It opens, within its scope.
    Permit(Scope),
}

/// What a permit opens.
#[derive(Debug)]
pub struct Scope {
    /// On which types of documents.
    pub types: Types,
    /// Which documents it shows among those that somebody hid.
    pub sees: Sees,
    /// What its use obliges to.
    pub obligations: &'static [Obligation],
    /// When the fact it rests on ends.
    pub until: fn(&Case) -> Option<Timestamp>,
}

/// On which types of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Types {
    /// All of them, or the operation is not about documents.
    Every,
    /// Those that the habilitation matrix gives to the party for the operation.
    ByMatrix,
}

/// Which hidden documents are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sees {
    /// Those masked from professionals.
    pub masked: bool,
    /// Those not yet shown to the holder.
    pub hidden_from_holder: bool,
    /// Those hidden from legal representatives.
    pub hidden_from_representatives: bool,
}

const NOTHING_HIDDEN: Sees = Sees {
    masked: false,
    hidden_from_holder: false,
    hidden_from_representatives: false,
};
const AS_HOLDER: Sees = Sees {
    masked: true,
    hidden_from_holder: false,
    hidden_from_representatives: true,
};
const AS_REPRESENTATIVE: Sees = Sees {
    masked: true,
    hidden_from_holder: false,
    hidden_from_representatives: false,
};
const AS_PROFESSIONAL: Sees = Sees {
    masked: false,
    hidden_from_holder: true,
    hidden_from_representatives: true,
};
const AS_TREATING_PHYSICIAN: Sees = Sees {
    masked: true,
    hidden_from_holder: true,
    hidden_from_representatives: true,
};

/// What follows an exceptional access (R1111-48).
const TELL_AND_REVIEW: &[Obligation] = &[
    Obligation::NotifyHolder,
    Obligation::NotifyTreatingPhysicians,
    Obligation::SecondLook,
];

/// A scope that is not about documents, without end and without obligation.
const PLAIN: Scope = Scope {
    types: Types::Every,
    sees: NOTHING_HIDDEN,
    obligations: &[],
    until: never,
};

/// What refuses where no rule permits: medical secrecy.
pub const DEFAULT: Basis = Basis {
    rule: "default-refuse",
    article: "L1110-4",
    summary: "Medical secrecy covers everything about the person; no rule opens this to this caller.",
};

const EVERY_ROLE: &[Role] = &[
    Role::Unspecified,
    Holder,
    Representative,
    Professional,
    EstablishmentSystem,
    Administrator,
    Auditor,
    Service,
    ExcludedParty,
];
const ALL_BUT_PROFESSIONALS: &[Role] = &[
    Role::Unspecified,
    Holder,
    Representative,
    EstablishmentSystem,
    Administrator,
    Auditor,
    Service,
    ExcludedParty,
];
const ALL_BUT_THE_HOLDER: &[Role] = &[
    Role::Unspecified,
    Representative,
    Professional,
    EstablishmentSystem,
    Administrator,
    Auditor,
    Service,
    ExcludedParty,
];
const EVERY_MODE: &[AccessMode] = &[Normal, BreakGlass, Centre15];

/// Every operation, in the order of the contract.
pub const EVERY_OPERATION: &[Operation] = &[
    ReadDocuments,
    SubmitDocuments,
    OpenDossier,
    CloseDossier,
    SeeStatus,
    ReadJournal,
    ManageConsents,
    ManageProfessionals,
    ChangeVisibility,
    RetireDocuments,
    WithdrawConsents,
    ExplainAccess,
];
const ALL_BUT_STATUS: &[Operation] = &[
    ReadDocuments,
    SubmitDocuments,
    OpenDossier,
    CloseDossier,
    ReadJournal,
    ManageConsents,
    ManageProfessionals,
    ChangeVisibility,
    RetireDocuments,
    WithdrawConsents,
    ExplainAccess,
];

const ALL_BUT_EXPLANATIONS: &[Operation] = &[
    ReadDocuments,
    SubmitDocuments,
    OpenDossier,
    CloseDossier,
    SeeStatus,
    ReadJournal,
    ManageConsents,
    ManageProfessionals,
    ChangeVisibility,
    RetireDocuments,
    WithdrawConsents,
];

/// The rules in force.
pub const RULES: &[Rule] = &[
    // Who never comes in.
    Rule {
        id: "excluded-party",
        article: "L1111-18",
        summary: "Insurers, employers and contract assessors never come in, even with the person's agreement.",
        effect: Effect::Forbid,
        roles: &[ExcludedParty],
        operations: EVERY_OPERATION,
        modes: EVERY_MODE,
        on: &[],
        when: always,
    },
    Rule {
        id: "auditor-never-content",
        article: "L1110-4",
        summary: "The regulator reads registers, proofs and indicators; with a person's dossier it does nothing but have \
                  decisions explained.",
        effect: Effect::Forbid,
        roles: &[Auditor],
        operations: ALL_BUT_EXPLANATIONS,
        modes: EVERY_MODE,
        on: &[],
        when: always,
    },
    Rule {
        id: "administrator-never-content",
        article: "L1111-14",
        summary: "The Caisse nationale administers the dossier (fourth sentence); it neither reads nor writes content.",
        effect: Effect::Forbid,
        roles: &[Administrator],
        operations: &[
            ReadDocuments,
            SubmitDocuments,
            ReadJournal,
            ChangeVisibility,
            RetireDocuments,
        ],
        modes: EVERY_MODE,
        on: &[],
        when: always,
    },
    Rule {
        id: "establishment-system-never-reads",
        article: "L1110-4",
        summary: "A system without a named professional feeds the dossier; it never reads it.",
        effect: Effect::Forbid,
        roles: &[EstablishmentSystem],
        operations: &[ReadDocuments, ReadJournal, ChangeVisibility],
        modes: EVERY_MODE,
        on: &[],
        when: always,
    },
    Rule {
        id: "blocked-professional",
        article: "L1111-19",
        summary: "Whom the holder has blocked stays out, whatever else holds, and is told so and nothing more (TD 0.2).",
        effect: Effect::Forbid,
        roles: &[Professional],
        operations: ALL_BUT_STATUS,
        modes: EVERY_MODE,
        on: &[Ground::Block],
        when: |case| case.standing.blocked,
    },
    Rule {
        id: "occupational-medicine",
        article: "L1111-18, L1111-17 IV",
        summary: "Occupational medicine stays out (text of 2016), unless the person expressly consents (today's text).",
        effect: Effect::Forbid,
        roles: &[Professional],
        operations: EVERY_OPERATION,
        modes: EVERY_MODE,
        on: &[Ground::OccupationalMedicineConsent],
        when: |case| case.standing.occupational_medicine && !case.standing.occupational_medicine_consented,
    },
    Rule {
        id: "representation-not-live",
        article: "L1111-14",
        summary: "A representative speaks for the person while the representation lasts: until majority, or its date.",
        effect: Effect::Forbid,
        roles: &[Representative],
        operations: EVERY_OPERATION,
        modes: EVERY_MODE,
        on: &[Ground::Representation],
        when: |case| !case.standing.representative,
    },
    // Without consent there is no dossier.
    Rule {
        id: "creation-not-consented",
        article: "L1111-14",
        summary: "Without a live express consent to its creation (third sentence) nobody opens, reads or feeds a dossier.",
        effect: Effect::Forbid,
        roles: EVERY_ROLE,
        operations: &[
            OpenDossier,
            ReadDocuments,
            SubmitDocuments,
            ChangeVisibility,
            RetireDocuments,
        ],
        modes: EVERY_MODE,
        on: &[Ground::CreationConsent],
        when: |case| !case.standing.creation_consented,
    },
    Rule {
        id: "outside-matrix",
        article: "R1111-46",
        summary: "A party to whom the habilitation matrix gives no type of document reads, or submits, none.",
        effect: Effect::Forbid,
        roles: &[Professional, EstablishmentSystem],
        operations: &[ReadDocuments, SubmitDocuments],
        modes: EVERY_MODE,
        on: &[],
        when: |case| case.types_by_matrix().is_empty(),
    },
    // The two exceptional modes and their two oppositions.
    Rule {
        id: "exceptional-modes-are-for-professionals",
        article: "L1111-17 I",
        summary: "Break-glass and the emergency call centre are ways in for professionals alone.",
        effect: Effect::Forbid,
        roles: ALL_BUT_PROFESSIONALS,
        operations: EVERY_OPERATION,
        modes: &[BreakGlass, Centre15],
        on: &[],
        when: always,
    },
    Rule {
        id: "break-glass-opposed",
        article: "L1111-17 I",
        summary: "The person has opposed that the dossier be consulted or fed by break-glass.",
        effect: Effect::Forbid,
        roles: &[Professional],
        operations: &[ReadDocuments, SubmitDocuments],
        modes: &[BreakGlass],
        on: &[Ground::OppositionToBreakGlass],
        when: |case| case.standing.opposed_to_break_glass,
    },
    Rule {
        id: "break-glass-personal-card",
        article: "L1110-4-1",
        summary: "Break-glass demands the professional's personal card.",
        effect: Effect::Forbid,
        roles: &[Professional],
        operations: EVERY_OPERATION,
        modes: &[BreakGlass],
        on: &[],
        when: |case| case.authentication_level != AuthenticationLevel::PersonalCard,
    },
    Rule {
        id: "centre-15-opposed",
        article: "L1111-17 I",
        summary: "The person has opposed that the emergency call centre consult the dossier.",
        effect: Effect::Forbid,
        roles: &[Professional],
        operations: &[ReadDocuments],
        modes: &[Centre15],
        on: &[Ground::OppositionToCentre15],
        when: |case| case.standing.opposed_to_centre_15,
    },
    Rule {
        id: "centre-15-regulating-physician",
        article: "L1111-17 I",
        summary: "Only the regulating physician of an emergency call centre comes in by a call.",
        effect: Effect::Forbid,
        roles: &[Professional],
        operations: EVERY_OPERATION,
        modes: &[Centre15],
        on: &[],
        when: |case| !case.standing.regulates_calls,
    },
    // What a minor keeps secret from representatives.
    Rule {
        id: "secret-connections-are-for-professionals",
        article: "L1111-5, R1111-33",
        summary: "A secret connection, of which representatives learn nothing, is for the professional whom the minor \
                  sees.",
        effect: Effect::Forbid,
        roles: ALL_BUT_PROFESSIONALS,
        operations: EVERY_OPERATION,
        modes: EVERY_MODE,
        on: &[],
        when: |case| case.secret,
    },
    Rule {
        id: "secret-acts-opposed",
        article: "R1111-50",
        summary: "The minor has opposed that what is done in secret be recorded: nothing is deposited in a secret \
                  connection.",
        effect: Effect::Forbid,
        roles: &[Professional],
        operations: &[SubmitDocuments],
        modes: EVERY_MODE,
        on: &[Ground::OppositionToSecretActs],
        when: |case| case.secret && case.standing.opposed_to_secret_acts,
    },
    Rule {
        id: "secret-acts-are-the-minors",
        article: "R1111-50",
        summary: "The minor alone opposes the recording of secret acts, and withdraws that opposition: whoever speaks \
                  for the minor is not told of it.",
        effect: Effect::Forbid,
        roles: ALL_BUT_THE_HOLDER,
        operations: &[ManageConsents, WithdrawConsents],
        modes: EVERY_MODE,
        on: &[],
        when: |case| case.concern == Concern::SecretActs,
    },
    // The person.
    Rule {
        id: "holder-reads-own",
        article: "L1111-19",
        summary: "The holder reads the own dossier, but for documents waiting for a professional to announce them.",
        effect: Effect::Permit(Scope {
            sees: AS_HOLDER,
            ..PLAIN
        }),
        roles: &[Holder],
        operations: &[ReadDocuments],
        modes: &[Normal],
        on: &[],
        when: |case| case.standing.holder,
    },
    Rule {
        id: "representative-reads",
        article: "R1111-33, R1111-50",
        summary: "A representative reads as the holder does, but for documents hidden from representatives.",
        effect: Effect::Permit(Scope {
            sees: AS_REPRESENTATIVE,
            until: representation_end,
            ..PLAIN
        }),
        roles: &[Representative],
        operations: &[ReadDocuments],
        modes: &[Normal],
        on: &[Ground::Representation],
        when: |case| case.standing.representative,
    },
    Rule {
        id: "person-reads-journal",
        article: "L1111-19",
        summary: "The person knows at any time whether the dossier exists, who came in, who may, and by which rule.",
        effect: Effect::Permit(Scope {
            until: representation_end,
            ..PLAIN
        }),
        roles: &[Holder, Representative],
        operations: &[SeeStatus, ReadJournal, ExplainAccess],
        modes: &[Normal],
        on: &[Ground::Representation],
        when: |case| case.standing.speaks_for_the_person(),
    },
    Rule {
        id: "person-consents",
        article: "L1111-14",
        summary: "The person gives and withdraws consents and oppositions, and has the dossier opened (third sentence).",
        effect: Effect::Permit(Scope {
            until: representation_end,
            ..PLAIN
        }),
        roles: &[Holder, Representative],
        operations: &[ManageConsents, WithdrawConsents, OpenDossier],
        modes: &[Normal],
        on: &[Ground::Representation],
        when: |case| case.standing.speaks_for_the_person(),
    },
    Rule {
        id: "person-decides-who",
        article: "L1111-19",
        summary: "The person authorises, blocks and designates professionals, and changes that list at any time.",
        effect: Effect::Permit(Scope {
            until: representation_end,
            ..PLAIN
        }),
        roles: &[Holder, Representative],
        operations: &[ManageProfessionals],
        modes: &[Normal],
        on: &[Ground::Representation],
        when: |case| case.standing.speaks_for_the_person(),
    },
    Rule {
        id: "person-masks",
        article: "R1111-49",
        summary: "The person masks documents from professionals, and reveals them again.",
        effect: Effect::Permit(Scope {
            until: representation_end,
            ..PLAIN
        }),
        roles: &[Holder, Representative],
        operations: &[ChangeVisibility],
        modes: &[Normal],
        on: &[Ground::Representation],
        when: |case| case.standing.speaks_for_the_person(),
    },
    Rule {
        id: "person-deposits",
        article: "L1111-15",
        summary: "The person deposits documents of the kinds meant for it.",
        effect: Effect::Permit(Scope {
            types: Types::ByMatrix,
            until: representation_end,
            ..PLAIN
        }),
        roles: &[Holder, Representative],
        operations: &[SubmitDocuments],
        modes: &[Normal],
        on: &[Ground::Representation],
        when: |case| case.standing.speaks_for_the_person(),
    },
    Rule {
        id: "person-closes",
        article: "L1111-18",
        summary: "The person closes the dossier at any time; it is kept ten years.",
        effect: Effect::Permit(Scope {
            until: representation_end,
            ..PLAIN
        }),
        roles: &[Holder, Representative],
        operations: &[CloseDossier],
        modes: &[Normal],
        on: &[Ground::Representation],
        when: |case| case.standing.speaks_for_the_person(),
    },
    // Professionals.
    Rule {
        id: "treating-physician",
        article: "R1111-38, R1111-42",
        summary: "The treating physician reads everything, masked and unannounced documents included, and the journal.",
        effect: Effect::Permit(Scope {
            sees: AS_TREATING_PHYSICIAN,
            ..PLAIN
        }),
        roles: &[Professional],
        operations: &[ReadDocuments, ReadJournal, ChangeVisibility],
        modes: &[Normal],
        on: &[Ground::Designation, Ground::OccupationalMedicineConsent],
        when: |case| case.standing.treating,
    },
    Rule {
        id: "authorised-professional",
        article: "L1111-17, R1111-46",
        summary: "An authorised professional reads, and masks, what the matrix gives to the profession.",
        effect: Effect::Permit(Scope {
            types: Types::ByMatrix,
            sees: AS_PROFESSIONAL,
            until: authorization_end,
            ..PLAIN
        }),
        roles: &[Professional],
        operations: &[ReadDocuments, ChangeVisibility],
        modes: &[Normal],
        on: &[Ground::Authorization, Ground::OccupationalMedicineConsent],
        when: |case| case.standing.authorized,
    },
    Rule {
        id: "care-team",
        article: "L1110-12, L1111-17 II",
        summary: "During the care, each member of the care team is deemed authorised, within the matrix.",
        effect: Effect::Permit(Scope {
            types: Types::ByMatrix,
            sees: AS_PROFESSIONAL,
            until: care_team_end,
            ..PLAIN
        }),
        roles: &[Professional],
        operations: &[ReadDocuments, ChangeVisibility],
        modes: &[Normal],
        on: &[Ground::CareTeam, Ground::OccupationalMedicineConsent],
        when: |case| case.standing.care_team,
    },
    Rule {
        id: "equal-rights",
        article: "R1111-43 (2016)",
        summary: "An authorised professional to whom the holder gave the treating physician's rights has them while the \
                  authorisation lasts.",
        effect: Effect::Permit(Scope {
            sees: AS_TREATING_PHYSICIAN,
            until: authorization_end,
            ..PLAIN
        }),
        roles: &[Professional],
        operations: &[ReadDocuments, ReadJournal, ChangeVisibility],
        modes: &[Normal],
        on: &[
            Ground::EqualRights,
            Ground::Authorization,
            Ground::OccupationalMedicineConsent,
        ],
        when: |case| case.standing.equal_rights && case.standing.authorized,
    },
    Rule {
        id: "feeding",
        article: "L1111-15",
        summary: "Whoever cares for the person feeds an existing dossier within the matrix; authorisations matter for \
                  consultation only (TD 2.1).",
        effect: Effect::Permit(Scope {
            types: Types::ByMatrix,
            ..PLAIN
        }),
        roles: &[Professional, EstablishmentSystem],
        operations: &[SubmitDocuments],
        modes: &[Normal],
        on: &[],
        when: always,
    },
    Rule {
        id: "author-retires-own",
        article: "L1111-15",
        summary: "Whoever deposited a document archives or deletes it: its author, and nobody else (TD 3.3c, 3.3d).",
        effect: Effect::Permit(Scope {
            until: representation_end,
            ..PLAIN
        }),
        roles: &[Holder, Representative, Professional, EstablishmentSystem],
        operations: &[RetireDocuments],
        modes: &[Normal],
        on: &[Ground::Representation],
        when: |case| case.role != Holder || case.standing.holder,
    },
    Rule {
        id: "break-glass",
        article: "L1111-17 I, R1111-48",
        summary: "A professional consults or feeds, within the matrix, when the person cannot express a will and is at \
                  immediate risk; holder and treating physicians are told, and the use is looked at again.",
        effect: Effect::Permit(Scope {
            types: Types::ByMatrix,
            sees: AS_PROFESSIONAL,
            obligations: TELL_AND_REVIEW,
            ..PLAIN
        }),
        roles: &[Professional],
        operations: &[ReadDocuments, SubmitDocuments],
        modes: &[BreakGlass],
        on: &[],
        when: always,
    },
    Rule {
        id: "centre-15",
        article: "L1111-17 I, R1111-48",
        summary: "The regulating physician who receives a call consults; holder and treating physicians are told, and \
                  the use is looked at again.",
        effect: Effect::Permit(Scope {
            types: Types::ByMatrix,
            sees: AS_PROFESSIONAL,
            obligations: TELL_AND_REVIEW,
            ..PLAIN
        }),
        roles: &[Professional],
        operations: &[ReadDocuments],
        modes: &[Centre15],
        on: &[],
        when: always,
    },
    Rule {
        id: "professional-sees-status",
        article: "L1110-4",
        summary: "Whoever cares for the person may ask whether a dossier exists and how it stands with it (TD 0.2).",
        effect: Effect::Permit(PLAIN),
        roles: &[Professional, EstablishmentSystem],
        operations: &[SeeStatus],
        modes: EVERY_MODE,
        on: &[],
        when: always,
    },
    Rule {
        id: "professional-hears-why",
        article: "L1110-4",
        summary: "A professional is told by which rules it may come in or not: itself, and nobody else.",
        effect: Effect::Permit(PLAIN),
        roles: &[Professional],
        operations: &[ExplainAccess],
        modes: &[Normal],
        on: &[],
        when: |case| matches!(case.concern, Concern::Anything | Concern::OwnEntry),
    },
    Rule {
        id: "consent-collected",
        article: "L1111-14",
        summary: "A professional, an establishment or the desk records the consent it has collected, and opens (TD 1.1).",
        effect: Effect::Permit(PLAIN),
        roles: &[Professional, EstablishmentSystem, Administrator],
        operations: &[ManageConsents, OpenDossier],
        modes: &[Normal],
        on: &[],
        when: always,
    },
    Rule {
        id: "closes-on-demand",
        article: "L1111-18",
        summary: "A professional or the desk closes the dossier on the person's demand (TD 1.4).",
        effect: Effect::Permit(PLAIN),
        roles: &[Professional, Administrator],
        operations: &[CloseDossier],
        modes: &[Normal],
        on: &[],
        when: always,
    },
    Rule {
        id: "professional-enters-itself",
        article: "L1111-17",
        summary: "A professional records its own authorisation with the consent it has collected, and removes it (TD \
                  0.3), for an existing dossier; the holder sees it.",
        effect: Effect::Permit(PLAIN),
        roles: &[Professional],
        operations: &[ManageProfessionals],
        modes: &[Normal],
        on: &[Ground::CreationConsent],
        when: |case| case.standing.creation_consented && matches!(case.concern, Concern::Anything | Concern::OwnEntry),
    },
    Rule {
        id: "structure-takes-care",
        article: "L1110-12",
        summary: "A professional declares that the structure in which it acts takes care of the person, and that it no \
                  longer does, for an existing dossier; the holder sees it.",
        effect: Effect::Permit(PLAIN),
        roles: &[Professional],
        operations: &[ManageProfessionals],
        modes: &[Normal],
        on: &[Ground::CreationConsent],
        when: |case| case.standing.creation_consented && matches!(case.concern, Concern::Anything | Concern::OwnTeam),
    },
    Rule {
        id: "team-collects-consent",
        article: "R1111-46",
        summary: "A member of the care team collects the person's consent for another professional.",
        effect: Effect::Permit(PLAIN),
        roles: &[Professional],
        operations: &[ManageProfessionals],
        modes: &[Normal],
        on: &[
            Ground::CreationConsent,
            Ground::CareTeam,
            Ground::OccupationalMedicineConsent,
        ],
        when: |case| {
            case.standing.creation_consented
                && case.standing.care_team
                && matches!(case.concern, Concern::Anything | Concern::Colleague)
        },
    },
    Rule {
        id: "physician-becomes-treating",
        article: "R1111-38",
        summary: "A physician becomes treating physician with the person's consent (TD 0.3), for an existing dossier.",
        effect: Effect::Permit(PLAIN),
        roles: &[Professional],
        operations: &[ManageProfessionals],
        modes: &[Normal],
        on: &[Ground::CreationConsent],
        when: |case| {
            case.standing.creation_consented
                && case.standing.physician
                && matches!(case.concern, Concern::Anything | Concern::OwnDesignation)
        },
    },
    // The desk and the regulator.
    Rule {
        id: "auditor-hears-why",
        article: "L1111-14",
        summary: "The regulator has any decision explained: rules, and which facts they stood on; never content.",
        effect: Effect::Permit(PLAIN),
        roles: &[Auditor],
        operations: &[ExplainAccess],
        modes: &[Normal],
        on: &[],
        when: always,
    },
    Rule {
        id: "administrator-sees-status",
        article: "L1111-14",
        summary: "The Caisse nationale, which administers (fourth sentence), may ask whether a dossier exists.",
        effect: Effect::Permit(PLAIN),
        roles: &[Administrator],
        operations: &[SeeStatus],
        modes: &[Normal],
        on: &[],
        when: always,
    },
];

/// The rules by the roles, modes and operations of which they speak: the table, sorted once into as many short lists, so
/// that a decision reads a few rules for each operation and not all of them.
static SORTED: LazyLock<Vec<Vec<&'static Rule>>> = LazyLock::new(|| {
    let questions = EVERY_ROLE.iter().flat_map(|role| {
        let of_role = EVERY_MODE.iter().map(move |mode| (role, mode));
        of_role.flat_map(|(role, mode)| EVERY_OPERATION.iter().map(move |operation| (role, mode, operation)))
    });
    questions
        .map(|(role, mode, operation)| {
            RULES
                .iter()
                .filter(|rule| rule.speaks_of(*role, *mode, *operation))
                .collect()
        })
        .collect()
});

/// The rules that speak of the case, in the order of the table.
pub(crate) fn speaking_of(case: &Case) -> &'static [&'static Rule] {
    place(case.role, case.mode, case.operation)
        .and_then(|place| SORTED.get(place))
        .map_or(&[], Vec::as_slice)
}

/// Where [`SORTED`] has the rules; `None` for what no rule can name.
fn place(role: Role, mode: AccessMode, operation: Operation) -> Option<usize> {
    let role = EVERY_ROLE.iter().position(|other| *other == role)?;
    let mode = EVERY_MODE.iter().position(|other| *other == mode)?;
    let operation = EVERY_OPERATION.iter().position(|other| *other == operation)?;
    Some((role * EVERY_MODE.len() + mode) * EVERY_OPERATION.len() + operation)
}

impl Rule {
    /// Whether the rule speaks of such cases, whatever else must be true.
    pub fn speaks_of(&self, role: Role, mode: AccessMode, operation: Operation) -> bool {
        self.roles.contains(&role) && self.modes.contains(&mode) && self.operations.contains(&operation)
    }

    /// What the rule opens; `None` for a forbid.
    pub fn scope(&self) -> Option<&Scope> {
        match &self.effect {
            Effect::Forbid => None,
            Effect::Permit(scope) => Some(scope),
        }
    }

    /// The rule as a decision names it.
    pub fn basis(&self) -> Basis {
        Basis {
            rule: self.id,
            article: self.article,
            summary: self.summary,
        }
    }
}

fn always(_case: &Case) -> bool {
    true
}

fn never(_case: &Case) -> Option<Timestamp> {
    None
}

fn representation_end(case: &Case) -> Option<Timestamp> {
    case.standing.representation_end
}

fn authorization_end(case: &Case) -> Option<Timestamp> {
    case.standing.authorization_end
}

fn care_team_end(case: &Case) -> Option<Timestamp> {
    case.standing.care_team_end
}
