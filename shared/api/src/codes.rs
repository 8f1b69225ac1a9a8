//! Code tables of the field, embedded in the program: a code, the system it belongs to, a label for people.
//!
//! Guarantees: tables never change while the program runs; a code found here is spelled exactly as published. The data
//! stand in `codes/*.tsv`, one concept per line, so that an update of the nomenclature is an update of data. Labels are
//! French, as published: they are shown to people, never interpreted.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A code of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Concept {
    /// The code as published.
    pub code: &'static str,
    /// The code system: a dotted OID, or `URN` or `ASTM` where the nomenclature has no OID.
    pub system: &'static str,
    /// The published label, in French.
    pub label: &'static str,
}

/// A code table. Codes are unique within a table, whatever their system.
#[derive(Debug)]
pub struct Table {
    concepts: BTreeMap<&'static str, Concept>,
}

impl Table {
    /// The concept of a code in its system. Case matters.
    pub fn get(&self, code: &str, system: &str) -> Option<&Concept> {
        self.find(code).filter(|concept| concept.system == system)
    }

    /// The concept of a code, its system unknown.
    pub fn find(&self, code: &str) -> Option<&Concept> {
        self.concepts.get(code)
    }

    /// Every concept, by code.
    pub fn iter(&self) -> impl Iterator<Item = &Concept> {
        self.concepts.values()
    }

    /// How many concepts there are.
    pub fn len(&self) -> usize {
        self.concepts.len()
    }

    /// Whether there is no concept at all.
    pub fn is_empty(&self) -> bool {
        self.concepts.is_empty()
    }

    fn parse(text: &'static str) -> Self {
        let concepts = rows(text).filter_map(concept_of);
        Self {
            concepts: concepts.map(|concept| (concept.code, concept)).collect(),
        }
    }
}

/// The lines that hold data: neither empty nor comments.
fn rows(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// A line that is no concept is left out; a test counts them, for there must be none.
fn concept_of(row: &'static str) -> Option<Concept> {
    let mut fields = row.split('\t');
    let concept = Concept {
        code: fields.next()?,
        system: fields.next()?,
        label: fields.next()?,
    };
    fields.next().is_none().then_some(concept)
}

/// Declares tables: for each a static, and a function that looks a code up in it.
macro_rules! tables {
    ($($(#[$meta:meta])* $table:ident, $lookup:ident, $file:literal;)+) => {
        $(
            $(#[$meta])*
            pub static $table: LazyLock<Table> =
                LazyLock::new(|| Table::parse(include_str!(concat!("../codes/", $file))));

            #[doc = concat!("The concept of a code and its system in [`", stringify!($table), "`].")]
            pub fn $lookup(code: &str, system: &str) -> Option<&'static Concept> {
                $table.get(code, system)
            }
        )+

        /// Every table with the text it is made from.
        #[cfg(test)]
        const ALL: &[(&LazyLock<Table>, &str, &str)] =
            &[$((&$table, include_str!(concat!("../codes/", $file)), $file)),+];
    };
}

tables! {
    /// Document types (XDS typeCode), value set J07.
    DOCUMENT_TYPES, document_type, "document_type.tsv";
    /// Document classes (XDS classCode): value set J57, and the technical documents of J06, which no DMP holds.
    DOCUMENT_CLASSES, document_class, "document_class.tsv";
    /// Practice settings (XDS practiceSettingCode), value set J04.
    PRACTICE_SETTINGS, practice_setting, "practice_setting.tsv";
    /// Types of healthcare facilities (XDS healthcareFacilityTypeCode), value set J02.
    FACILITY_TYPES, facility_type, "facility_type.tsv";
    /// Professions and specialties of authors (XDS authorSpecialty), value set J01.
    AUTHOR_SPECIALTIES, author_specialty, "author_specialty.tsv";
    /// Confidentiality (XDS confidentialityCode), value set J08.
    CONFIDENTIALITIES, confidentiality, "confidentiality.tsv";
    /// Modes of access to a record, TRE_R248.
    ACCESS_MODES, access_mode, "access_mode.tsv";
    /// Health professions, TRE_G15 as far as value set J01 names them.
    PROFESSIONS, profession, "profession.tsv";
    /// Relations of a person to the patient, value set J11.
    RELATIONS, relation, "relation.tsv";
    /// Functions in the care of the patient (treating physician and others), value set J47.
    FUNCTIONS, function, "function.tsv";
}

const TYPE_CLASS: &str = include_str!("../codes/type_class.tsv");

/// Class by type.
static CLASS_BY_TYPE: LazyLock<BTreeMap<&'static str, &'static str>> =
    LazyLock::new(|| rows(TYPE_CLASS).filter_map(|row| row.split_once('\t')).collect());

/// The class of a document type, by the association in `codes/type_class.tsv`.
pub fn class_of(type_code: &str) -> Option<&'static Concept> {
    CLASS_BY_TYPE
        .get(type_code)
        .and_then(|class| DOCUMENT_CLASSES.find(class))
}

/// The profession behind an author's specialty: `G15_10/SM26` is a physician (`10`). None for students (`G16_…`) and
/// for authors without a health profession.
pub fn profession_of_specialty(specialty_code: &str) -> Option<&'static Concept> {
    let profession = specialty_code.strip_prefix("G15_")?;
    let (code, _) = profession.split_once('/').unwrap_or((profession, ""));
    PROFESSIONS.find(code)
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
    use crate::oid;

    /// A concept dropped by the reader, or written twice, would be refused in a document without anybody knowing why.
    #[test]
    fn every_line_of_every_table_is_a_concept() {
        for (table, text, file) in ALL {
            assert_eq!(table.len(), rows(text).count(), "{file}");
            for concept in table.iter() {
                assert!(
                    !concept.code.is_empty() && concept.code.trim() == concept.code,
                    "{file} {concept:?}"
                );
                assert!(
                    !concept.label.is_empty() && concept.label.trim() == concept.label,
                    "{file} {concept:?}"
                );
                let system = concept.system;
                assert!(
                    oid::is_well_formed(system) || matches!(system, "URN" | "ASTM"),
                    "{file} {concept:?}"
                );
            }
        }
    }

    #[test]
    fn the_tables_are_complete() {
        let sizes = ALL
            .iter()
            .map(|(table, _, file)| (*file, table.len()))
            .collect::<BTreeMap<_, _>>();
        let expected = [
            ("document_type.tsv", 114),
            ("document_class.tsv", 13),
            ("practice_setting.tsv", 12),
            ("facility_type.tsv", 69),
            ("author_specialty.tsv", 396),
            ("confidentiality.tsv", 6),
            ("access_mode.tsv", 3),
            ("profession.tsv", 29),
            ("relation.tsv", 37),
            ("function.tsv", 10),
        ];
        assert_eq!(sizes, expected.into_iter().collect());
    }

    #[test]
    fn a_code_counts_only_in_its_own_system() {
        let biology = document_type("11502-2", oid::LOINC).unwrap();
        assert_eq!(biology.label, "CR d'examens biologiques");
        assert_eq!(document_type("11502-2", oid::DOCUMENT_TYPE), None);
        assert_eq!(document_type("11502-2 ", oid::LOINC), None);
        assert!(document_type("SYNTH", oid::DOCUMENT_TYPE).is_some());
        assert_eq!(document_type("synth", oid::DOCUMENT_TYPE), None);
        assert!(confidentiality("MASQUE_PS", oid::DMP_CONFIDENTIALITY).is_some());
        assert!(confidentiality("N", oid::HL7_CONFIDENTIALITY).is_some());
        assert!(access_mode("bris_de_glace", oid::ACCESS_MODE).is_some());
        assert!(function("PCP", oid::HL7_PARTICIPATION_FUNCTION).is_some());
        assert!(relation("TUTEUR", oid::LEGAL_PROTECTION).is_some());
        assert!(practice_setting("AMBULATOIRE", oid::PRACTICE_SETTING).is_some());
        assert!(facility_type("SA01", oid::FACILITY_TYPE).is_some());
    }

    /// The class of a document is deduced from its type: every type must have one, and only one.
    #[test]
    fn every_document_type_has_a_class_that_exists() {
        for concept in DOCUMENT_TYPES.iter() {
            assert!(class_of(concept.code).is_some(), "{}", concept.code);
        }
        assert_eq!(CLASS_BY_TYPE.len(), rows(TYPE_CLASS).count());
        assert_eq!(CLASS_BY_TYPE.len(), DOCUMENT_TYPES.len());
        assert_eq!(class_of("unknown"), None);
    }

    #[test]
    fn well_known_types_have_their_published_class() {
        let pairs = [
            ("11502-2", "10"),
            ("60591-5", "11"),
            ("18748-4", "31"),
            ("57833-6", "42"),
            ("60593-1", "43"),
            ("PROT_ALD", "44"),
            ("80565-5", "45"),
            ("87273-9", "52"),
            ("REMB", "60"),
            ("EXPPAT_3", "90"),
            ("PIECE-IDENTITE", "95"),
            ("E1762", oid::CLASS_DIGITAL_SIGNATURE),
        ];
        for (type_code, class) in pairs {
            assert_eq!(
                class_of(type_code).map(|concept| concept.code),
                Some(class),
                "{type_code}"
            );
        }
    }

    /// An author's specialty begins with the code of a profession.
    #[test]
    fn every_specialty_of_a_professional_names_its_profession() {
        for concept in AUTHOR_SPECIALTIES
            .iter()
            .filter(|concept| concept.code.starts_with("G15_"))
        {
            assert!(profession_of_specialty(concept.code).is_some(), "{}", concept.code);
        }
        let physician = profession("10", oid::PROFESSION).unwrap();
        assert_eq!(profession_of_specialty("G15_10/SM26"), Some(physician));
        assert_eq!(profession_of_specialty("G15_10"), Some(physician));
        assert_eq!(profession_of_specialty("G16_10"), None);
        assert_eq!(profession_of_specialty("EXP_PATIENT"), None);
    }
}
