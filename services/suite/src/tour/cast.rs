//! Who acts in the tour: the claims of their tokens, and the people whom it invents.

use api::common::v1::Role;
use api::identifier::v1::{Ins as SentIns, Sex, StrictTraits};
use api::identity::{Check, Ins, InsOid, ProfessionalId};
use serve::Claims;
use store::random::Random;

use super::TourError;
use super::patient::Patient;

/// The practice of the invented physicians: a FINESS number that nobody has.
const PRACTICE: &str = "1990000127";

/// A physician whom the tour invents.
pub(super) struct Physician {
    pub(super) id: String,
    pub(super) given_name: &'static str,
    pub(super) family_name: &'static str,
    pub(super) claims: Claims,
}

impl Physician {
    fn invent(given_name: &'static str, family_name: &'static str, random: &Random) -> Result<Self, TourError> {
        let id = invent_rpps(random)?;
        let claims = professional(&id, "10", "SM26", Some(PRACTICE));
        Ok(Self {
            id,
            given_name,
            family_name,
            claims,
        })
    }

    pub(super) fn name(&self) -> String {
        format!("Dr {} {}", self.given_name, self.family_name)
    }
}

/// The people whom the tour invents, anew each time: nobody knows them, authorised them or closed their dossier before.
pub(super) struct Cast {
    /// Comes from outside, is refused, then authorised, then reads.
    pub(super) reader: Physician,
    /// Deposits what names no professional, and writes messages.
    pub(super) depositor: Physician,
    /// Whom the holder does not want.
    pub(super) unwanted: Physician,
    /// Whom nobody authorised, and who breaks the glass.
    pub(super) rescuer: Physician,
    /// Opens a dossier, and closes it in the end.
    pub(super) opener: Patient,
    /// Has an identifier, and never wanted a dossier.
    pub(super) abstainer: Patient,
    /// Has a dossier that its physician never looked at.
    pub(super) neglected: Patient,
}

impl Cast {
    pub(super) fn invent(random: &Random) -> Result<Self, TourError> {
        Ok(Self {
            reader: Physician::invent("Camille", "LECTRICE", random)?,
            depositor: Physician::invent("Sacha", "SCRIPTEUR", random)?,
            unwanted: Physician::invent("Dominique", "IMPORTUN", random)?,
            rescuer: Physician::invent("Morgan", "URGENTISTE", random)?,
            opener: invent_patient("OUVERTURE", "ALIX", random)?,
            abstainer: invent_patient("ABSTENTION", "CHARLIE", random)?,
            neglected: invent_patient("OUBLI", "NOA", random)?,
        })
    }

    /// The invented physicians.
    pub(super) fn physicians(&self) -> [&Physician; 4] {
        [&self.reader, &self.depositor, &self.unwanted, &self.rescuer]
    }

    /// The invented beneficiaries.
    pub(super) fn patients_mut(&mut self) -> [&mut Patient; 3] {
        [&mut self.opener, &mut self.abstainer, &mut self.neglected]
    }
}

/// The Caisse nationale.
pub(super) fn administrator() -> Claims {
    Claims::new("tour-administrator", Role::Administrator)
}

/// The beneficiary of `dmp_id`.
pub(super) fn holder(dmp_id: &str) -> Claims {
    Claims {
        dmp_id: dmp_id.to_owned(),
        acr: "eidas2".to_owned(),
        ..Claims::new(format!("tour-holder-{dmp_id}"), Role::Holder)
    }
}

/// A parent of the minor of `dmp_id`.
pub(super) fn parent(dmp_id: &str) -> Claims {
    Claims {
        acr: "eidas2".to_owned(),
        ..Claims::new(format!("tour-parent-{dmp_id}"), Role::Representative)
    }
}

/// A professional with a personal card.
pub(super) fn professional(id: &str, profession: &str, specialty: &str, structure: Option<&str>) -> Claims {
    Claims {
        professional: id.to_owned(),
        profession: profession.into(),
        specialty: specialty.to_owned(),
        structure: structure.unwrap_or_default().to_owned(),
        acr: "eidas1".to_owned(),
        amr: "CARD".into(),
        ..Claims::new(format!("tour-professional-{id}"), Role::Professional)
    }
}

/// A number below `limit`; the slight unevenness of the remainder does no harm here.
fn below(limit: u64, random: &Random) -> u64 {
    u64::from_be_bytes(random.bytes()) % limit
}

/// An RPPS number that starts with 99, where none is given, with its Luhn digit.
fn invent_rpps(random: &Random) -> Result<String, TourError> {
    let body = format!("899{:08}", below(100_000_000, random));
    let candidates = (0..10).map(|digit| format!("{body}{digit}"));
    let mut sound = candidates.filter(|text| ProfessionalId::parse(text, Check::Strict).is_ok());
    sound.next().ok_or(TourError::Invention)
}

/// A matricule under the test OID, of a woman born in the 20th century.
fn invent_patient(family: &str, given: &str, random: &Random) -> Result<Patient, TourError> {
    let (year, month, day) = (40 + below(60, random), 1 + below(12, random), 1 + below(28, random));
    let (commune, order) = (1 + below(900, random), 1 + below(990, random));
    let matricule = format!("2{year:02}{month:02}69{commune:03}{order:03}");
    let ins = Ins::from_matricule(&matricule, InsOid::Test).map_err(|_| TourError::Invention)?;
    let traits = StrictTraits {
        birth_family_name: format!("SPECIMEN-{family}"),
        birth_given_names: given.to_owned(),
        birth_date: format!("19{year:02}{month:02}{day:02}"),
        sex: Sex::Female.into(),
        birth_place_code: format!("69{commune:03}"),
    };
    let ins = SentIns {
        matricule: ins.as_str().to_owned(),
        oid: InsOid::Test.as_str().to_owned(),
    };
    Ok(Patient::new(ins, traits))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    /// Whoever is invented passes the strictest checking, whatever the random numbers are.
    #[test]
    fn invented_people_are_well_formed_and_differ() {
        let random = Random::seeded(1);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let mut cast = Cast::invent(&random).unwrap();
            assert!(
                cast.physicians()
                    .iter()
                    .all(|physician| seen.insert(physician.id.clone()))
            );
            for patient in cast.patients_mut() {
                let oid = InsOid::parse(&patient.ins.oid).unwrap();
                assert!(Ins::parse(&patient.ins.matricule, oid, Check::Strict).is_ok());
            }
        }
    }
}
