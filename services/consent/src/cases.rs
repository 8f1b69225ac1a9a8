//! Actors and facts for the unit tests of this crate. All of them are invented.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use api::common::v1::{AuthenticationLevel, Role};
use api::consent::v1::{Capacity, ConsentMode, OppositionKind, Purpose};
use api::identity::{Check, DmpId, ProfessionalId, StructureId};
use jiff::SignedDuration;
use serve::Actor;
use std::sync::LazyLock;
use store::time::Timestamp;
use uuid::Uuid;

use crate::circle::Circles;
use crate::decision::Book;
use crate::fact::{
    Authorization, Consent, End, Evidence, Fact, Grantee, Recorder, Representation, Representative, What,
};
use crate::matrix::{EMBEDDED, Matrix};

pub(crate) const MOMENT: &str = "2026-11-22T10:00:00Z";
const ISSUER: &str = "https://issuer.test";

pub(crate) fn moment() -> Timestamp {
    MOMENT.parse().unwrap()
}

pub(crate) fn later(days: i64) -> Timestamp {
    moment() + SignedDuration::from_hours(24 * days)
}

pub(crate) fn dmp_id() -> DmpId {
    DmpId::generate([1; 16])
}

/// The data that the program carries, read once.
pub(crate) fn book() -> Book<'static> {
    static DATA: LazyLock<(Matrix, Circles)> = LazyLock::new(|| {
        let matrix = Matrix::parse(EMBEDDED[0]).unwrap();
        (matrix, Circles::embedded([]).unwrap())
    });
    Book {
        matrix: &DATA.0,
        circles: &DATA.1,
    }
}

pub(crate) fn actor(role: Role) -> Actor {
    Actor {
        role,
        subject: "somebody".into(),
        issuer: ISSUER.into(),
        professional: None,
        profession: None,
        specialty: None,
        structure: None,
        authentication_level: AuthenticationLevel::Substantial,
        dmp_id: None,
        via_service: None,
    }
}

pub(crate) fn holder() -> Actor {
    Actor {
        dmp_id: Some(dmp_id()),
        ..actor(Role::Holder)
    }
}

pub(crate) fn representative() -> Actor {
    Actor {
        subject: "parent".into(),
        ..actor(Role::Representative)
    }
}

/// With a personal card, acting in a hospital.
pub(crate) fn professional(profession: &str, specialty: &str) -> Actor {
    Actor {
        professional: Some(the_professional()),
        profession: Some(profession.into()),
        specialty: Some(specialty.into()).filter(|text: &String| !text.is_empty()),
        structure: Some(the_structure()),
        authentication_level: AuthenticationLevel::PersonalCard,
        ..actor(Role::Professional)
    }
}

fn the_professional() -> ProfessionalId {
    ProfessionalId::parse("810000000017", Check::Strict).unwrap()
}

pub(crate) fn other_professional() -> ProfessionalId {
    ProfessionalId::parse("810000000025", Check::Strict).unwrap()
}

fn the_structure() -> StructureId {
    StructureId::parse("1750000010", Check::Strict).unwrap()
}

pub(crate) fn consent(purpose: Purpose) -> What {
    What::Consent(Consent {
        purpose,
        capacity: Capacity::Person,
        representation: None,
        mode: ConsentMode::Online,
        evidence: Evidence {
            kind: "online-session".into(),
            sha256: Some([7; 32]),
        },
    })
}

pub(crate) fn opposition(kind: OppositionKind) -> What {
    What::Opposition(kind)
}

pub(crate) fn authorization() -> What {
    authorization_of(Grantee::Professional(the_professional()))
}

pub(crate) fn structure_authorization() -> What {
    authorization_of(Grantee::Structure(the_structure()))
}

fn authorization_of(grantee: Grantee) -> What {
    What::Authorization(Authorization {
        grantee,
        profession: None,
    })
}

pub(crate) fn block() -> What {
    What::Block(the_professional())
}

pub(crate) fn treating() -> What {
    What::TreatingPhysician(the_professional())
}

pub(crate) fn care_team() -> What {
    What::CareTeam(Grantee::Professional(the_professional()))
}

pub(crate) fn structure_care_team() -> What {
    What::CareTeam(Grantee::Structure(the_structure()))
}

pub(crate) fn equal_rights() -> What {
    What::EqualRights(the_professional())
}

pub(crate) fn representation() -> What {
    What::Representation(Representation {
        representative: Representative::parse(&format!("{ISSUER}|parent")).unwrap(),
        capacity: Capacity::Parent,
    })
}

/// A live fact without a term.
pub(crate) fn fact(what: What) -> Fact {
    Fact {
        id: Uuid::from_u128(1),
        dmp_id: dmp_id(),
        what,
        recorded_at: later(-30),
        recorded_by: Recorder::of(&holder()),
        revision: 1,
        valid_until: None,
        end: None,
        secret: false,
    }
}

pub(crate) fn of_another_dossier(fact: Fact) -> Fact {
    Fact {
        dmp_id: DmpId::generate([2; 16]),
        ..fact
    }
}

impl Fact {
    pub(crate) fn until(self, end: Timestamp) -> Self {
        Self {
            valid_until: Some(end),
            ..self
        }
    }

    pub(crate) fn ended(self) -> Self {
        Self {
            end: Some(End {
                at: later(-1),
                revision: 2,
            }),
            ..self
        }
    }
}
