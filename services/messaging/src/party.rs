//! Professionals and structures: who can own a mailbox, and how a directory is ordered and searched.

use api::identity::{Check, ProfessionalId, StructureId, fold_letters};
use api::messaging::v1 as pb;
use serve::Violations;
use std::fmt;
use store::time::{Timestamp, to_proto};

use crate::settings::Checks;

/// Most structures of a professional.
const STRUCTURES_MAX: usize = 20;

/// Longest code taken where the nomenclature is not at hand.
const CODE_BYTES_MAX: usize = 16;

/// Fewest characters by which a name is searched: one letter would be a way to read the directory whole.
const PREFIX_MIN: usize = 2;

/// Longest name, in characters.
const NAME_MAX: usize = 200;

/// The identifier of a professional (Ps_idNat) or of a structure (Struct_idNat).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum PartyId {
    Professional(ProfessionalId),
    Structure(StructureId),
}

impl PartyId {
    /// The kind's name, as stored.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Professional(_) => "PROFESSIONAL",
            Self::Structure(_) => "STRUCTURE",
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Professional(id) => id.as_str(),
            Self::Structure(id) => id.as_str(),
        }
    }

    /// As stored. Lenient: what was strict enough once stays what it is.
    pub(crate) fn from_stored(kind: &str, id: &str) -> Option<Self> {
        match kind {
            "PROFESSIONAL" => ProfessionalId::parse(id, Check::Lenient).ok().map(Self::Professional),
            "STRUCTURE" => StructureId::parse(id, Check::Lenient).ok().map(Self::Structure),
            _ => None,
        }
    }
}

/// A professional or a structure.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Party {
    pub(crate) id: PartyId,
    /// Family name, or a structure's name.
    pub(crate) name: String,
    /// Empty for a structure.
    pub(crate) given_name: String,
    /// TRE_G15; empty for a structure.
    pub(crate) profession: String,
    /// TRE_R38; empty when none.
    pub(crate) specialty: String,
    /// Where a professional practises.
    pub(crate) structures: Vec<StructureId>,
}

impl fmt::Debug for Party {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Party({}, …)", self.id.kind())
    }
}

impl Party {
    pub(crate) fn parse_professional(
        professional: &pb::Professional,
        checks: Checks,
        violations: &mut Violations,
    ) -> Option<Self> {
        let path = |field: &str| format!("professional.{field}");
        let id = ProfessionalId::parse(&professional.professional_id, checks.professional_id);
        let id = violations.check(path("professional_id"), id);
        let name = name(&path("family_name"), &professional.family_name, violations);
        let given_name = line(&path("given_name"), &professional.given_name, 0, violations);
        // Its form only: our table has the professions of value set J01, and TRE_G15 has more.
        let profession = violations.check(path("profession"), code(&professional.profession));
        let specialty = violations.optional(path("specialty"), &professional.specialty, code);
        let structures = structures(&professional.structure_ids, checks, violations);
        Some(Self {
            id: PartyId::Professional(id?),
            name: name?,
            given_name: given_name?,
            profession: profession?,
            specialty: specialty?.unwrap_or_default(),
            structures: structures?,
        })
    }

    pub(crate) fn parse_structure(
        structure: &pb::Structure,
        checks: Checks,
        violations: &mut Violations,
    ) -> Option<Self> {
        let id = StructureId::parse(&structure.structure_id, checks.structure_id);
        let id = violations.check("structure.structure_id", id);
        let name = name("structure.name", &structure.name, violations);
        Some(Self {
            id: PartyId::Structure(id?),
            name: name?,
            given_name: String::new(),
            profession: String::new(),
            specialty: String::new(),
            structures: Vec::new(),
        })
    }

    pub(crate) fn to_professional(&self, updated_at: Timestamp) -> pb::Professional {
        pb::Professional {
            professional_id: self.id.as_str().to_owned(),
            family_name: self.name.clone(),
            given_name: self.given_name.clone(),
            profession: self.profession.clone(),
            specialty: self.specialty.clone(),
            structure_ids: self.structures.iter().map(|id| id.as_str().to_owned()).collect(),
            updated_at: Some(to_proto(updated_at)),
        }
    }

    pub(crate) fn to_structure(&self, updated_at: Timestamp) -> pb::Structure {
        pb::Structure {
            structure_id: self.id.as_str().to_owned(),
            name: self.name.clone(),
            updated_at: Some(to_proto(updated_at)),
        }
    }

    /// The place in the directory's order: folded name, folded given name, kind and identifier. Unique. A space ends
    /// each part and sorts before whatever a folded name can hold, so that a shorter name comes first.
    pub(crate) fn search_key(&self) -> String {
        format!(
            "{} {} {} {}",
            fold(&self.name),
            fold(&self.given_name),
            self.id.kind(),
            self.id.as_str()
        )
    }
}

fn name(field: &str, text: &str, violations: &mut Violations) -> Option<String> {
    let text = line(field, text, 1, violations)?;
    let folded = if fold(&text).is_empty() {
        Err(("NO_LETTER", "must hold a letter or a digit"))
    } else {
        Ok(text)
    };
    violations.check(field, folded)
}

/// A text of one line.
fn line(field: &str, text: &str, min: usize, violations: &mut Violations) -> Option<String> {
    let text = violations.text(field, text, min..=NAME_MAX)?;
    let one_line = if text.contains(char::is_control) {
        Err(("CONTROL_CHARACTER", "must be one line"))
    } else {
        Ok(text)
    };
    violations.check(field, one_line)
}

fn code(text: &str) -> Result<String, (&'static str, &'static str)> {
    let sound = (1..=CODE_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if sound {
        Ok(text.to_owned())
    } else {
        Err(("NOT_A_CODE", "must be a code of its nomenclature"))
    }
}

fn structures(ids: &[String], checks: Checks, violations: &mut Violations) -> Option<Vec<StructureId>> {
    if ids.len() > STRUCTURES_MAX {
        violations.add(
            "professional.structure_ids",
            "TOO_MANY",
            format!("at most {STRUCTURES_MAX}"),
        );
        return None;
    }
    let read = ids.iter().enumerate().map(|(index, id)| {
        let id = StructureId::parse(id, checks.structure_id);
        violations.check(format!("professional.structure_ids[{index}]"), id)
    });
    // Every identifier is read before the first missing one counts: all violations are told together.
    let read: Vec<Option<StructureId>> = read.collect();
    let mut structures: Vec<StructureId> = Vec::new();
    for id in read {
        let id = id?;
        if !structures.contains(&id) {
            structures.push(id);
        }
    }
    Some(structures)
}

/// A name without accents, case, spaces and punctuation. Letters that no table folds stay as they are, in capitals: a
/// directory must be able to hold every name that it is given.
fn fold(name: &str) -> String {
    let mut folded = String::with_capacity(name.len());
    for character in name.chars() {
        let mut buffer = [0; 4];
        match fold_letters(character.encode_utf8(&mut buffer)) {
            Ok(letters) => folded.push_str(&letters),
            Err(_) if character.is_alphanumeric() => folded.extend(character.to_uppercase()),
            Err(_) => {}
        }
    }
    folded
}

/// What a directory is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Query {
    /// Whoever has one of these identifiers: a text may be one of either kind.
    Ids(Vec<PartyId>),
    /// Whoever has a place in the directory's order from the first key (inclusive) to the second (exclusive).
    Keys(String, String),
}

impl Query {
    /// Reads a whole identifier, or the start of a name.
    pub(crate) fn parse(text: &str) -> Result<Self, (&'static str, &'static str)> {
        let professional = ProfessionalId::parse(text, Check::Lenient).map(PartyId::Professional);
        let structure = StructureId::parse(text, Check::Lenient).map(PartyId::Structure);
        let ids: Vec<PartyId> = professional.into_iter().chain(structure).collect();
        if !ids.is_empty() {
            return Ok(Self::Ids(ids));
        }
        if text.chars().count() > NAME_MAX {
            return Err(("LENGTH", "must have at most 200 characters"));
        }
        let prefix = fold(text);
        if prefix.chars().count() < PREFIX_MIN {
            return Err((
                "LENGTH",
                "must hold at least 2 letters or digits, or be a whole identifier",
            ));
        }
        // The last character of all comes after every key that starts with the prefix.
        let end = format!("{prefix}{}", char::MAX);
        Ok(Self::Keys(prefix, end))
    }
}

/// A profession by which a search is narrowed.
pub(crate) fn parse_profession(text: &str) -> Result<String, (&'static str, &'static str)> {
    code(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use proptest::prelude::*;

    fn party(name: &str) -> Party {
        let id = PartyId::Structure(StructureId::parse("1750000018", Check::Lenient).unwrap());
        let empty = String::new;
        Party {
            id,
            name: name.to_owned(),
            given_name: empty(),
            profession: empty(),
            specialty: empty(),
            structures: vec![],
        }
    }

    fn finds(query: &str, name: &str) -> bool {
        let Query::Keys(from, to) = Query::parse(query).unwrap() else {
            return false;
        };
        (from..to).contains(&party(name).search_key())
    }

    /// SearchDirectory: "without regard to case or accents".
    #[test]
    fn a_start_of_a_name_finds_it_in_any_case_and_accent() {
        for query in [
            "hôpital",
            "HOPITAL",
            "Hopital Saint",
            "hopital-saint-lo",
            "Hôpital Saint-Louis 2",
        ] {
            assert!(finds(query, "Hôpital Saint-Louis 2"), "{query}");
        }
        for query in ["opital", "Hopital Louis", "Saint-Louis"] {
            assert!(!finds(query, "Hôpital Saint-Louis 2"), "{query}");
        }
        assert!(finds("le", "Lefèvre") && finds("LEF", "Lefèvre") && !finds("leg", "Lefèvre"));
        assert!(finds("œu", "Œuvre") && finds("oe", "Œuvre"));
    }

    #[test]
    fn a_shorter_name_comes_first() {
        assert!(party("Le Gal").search_key() < party("Le Gall").search_key());
        assert!(party("Le Gall").search_key() < party("Legallais").search_key());
    }

    #[test]
    fn an_identifier_is_not_taken_for_a_name() {
        let professional = Query::parse("810000000017").unwrap();
        assert!(matches!(professional, Query::Ids(ids) if ids.first().map(PartyId::kind) == Some("PROFESSIONAL")));
        let structure = Query::parse("1750000018").unwrap();
        assert!(matches!(structure, Query::Ids(ids) if ids.last().map(PartyId::kind) == Some("STRUCTURE")));
        assert!(matches!(Query::parse("2024").unwrap(), Query::Keys(..)));
    }

    #[test]
    fn a_search_for_next_to_nothing_is_refused() {
        for text in ["", "a", "é", " - ", "'a"] {
            assert!(Query::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_start_of_every_name_finds_it(name in "\\PC{2,20}", length in 2usize..20) {
            let start: String = name.chars().take(length).collect();
            if let Ok(Query::Keys(..)) = Query::parse(&start) {
                prop_assert!(finds(&start, &name));
            }
        }
    }
}
