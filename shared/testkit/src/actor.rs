//! Callers, as the claims of their tokens. All of them are invented.

use api::common::v1::{Actor, Role};
use serve::{Claims, OneOrMany};

/// A physician's Ps_idNat with a valid Luhn digit.
pub const PHYSICIAN: &str = "810000000017";
/// Another physician's.
pub const OTHER_PHYSICIAN: &str = "810000000025";
/// A hospital's Struct_idNat with a valid Luhn digit.
pub const HOSPITAL: &str = "1750000010";

/// The beneficiary of `dmp_id`.
pub fn holder(dmp_id: &str) -> Claims {
    Claims {
        dmp_id: dmp_id.to_owned(),
        acr: "eidas2".to_owned(),
        ..Claims::new(format!("holder-{dmp_id}"), Role::Holder)
    }
}

/// Somebody who may represent others, as facts of the consent service say.
pub fn representative(subject: &str) -> Claims {
    Claims {
        acr: "eidas2".to_owned(),
        ..Claims::new(subject, Role::Representative)
    }
}

/// A general practitioner with a personal card.
pub fn physician(professional_id: &str) -> Claims {
    professional(professional_id, "10", "SM26")
}

/// A professional with a personal card, acting in [`HOSPITAL`].
pub fn professional(professional_id: &str, profession: &str, specialty: &str) -> Claims {
    Claims {
        professional: professional_id.to_owned(),
        profession: profession.into(),
        specialty: specialty.to_owned(),
        structure: HOSPITAL.to_owned(),
        acr: "eidas1".to_owned(),
        amr: "CARD".into(),
        ..Claims::new(format!("professional-{professional_id}"), Role::Professional)
    }
}

/// The information system of [`HOSPITAL`].
pub fn establishment_system() -> Claims {
    Claims {
        structure: HOSPITAL.to_owned(),
        ..Claims::new("hospital-system", Role::EstablishmentSystem)
    }
}

/// The Caisse nationale.
pub fn administrator() -> Claims {
    Claims::new("administrator", Role::Administrator)
}

/// The regulator.
pub fn auditor() -> Claims {
    Claims::new("auditor", Role::Auditor)
}

/// An insurer: whom L1111-18 keeps out.
pub fn excluded_party() -> Claims {
    Claims::new("insurer", Role::ExcludedParty)
}

/// Who the services take the bearer of such a token for, when `issuer` made it.
pub fn seen(claims: &Claims, issuer: &str) -> Actor {
    let profession = match &claims.profession {
        OneOrMany::One(profession) => profession.clone(),
        OneOrMany::Many(professions) => professions.first().cloned().unwrap_or_default(),
    };
    Actor {
        role: claims.role().unwrap_or_default().into(),
        subject: claims.sub.clone(),
        professional_id: claims.professional.clone(),
        profession,
        specialty: claims.specialty.clone(),
        structure_id: claims.structure.clone(),
        authentication_level: claims.authentication_level().into(),
        dmp_id: claims.dmp_id.clone(),
        issuer: issuer.to_owned(),
        via_service: String::new(),
    }
}
