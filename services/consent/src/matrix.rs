//! The habilitation matrix (R1111-46): which party may read, or submit, which types of documents. Versioned data.
//!
//! A version is read and checked when the process starts: an unknown profession, class or type stops it and names the
//! line. A moment for which no version is in force gets one that gives nothing: closed, not open.

use api::codes::{DOCUMENT_CLASSES, DOCUMENT_TYPES, PROFESSIONS, class_of};
use api::common::v1::Role;
use api::oid::DOCUMENT_CLASS;
use std::collections::BTreeMap;
use store::time::Timestamp;

use crate::type_set::{TYPES_MAX, TypeSet};

/// The versions that this program carries, oldest first.
const VERSIONS: &[(&str, &str)] = &[("matrix/2026-1.tsv", include_str!("../matrix/2026-1.tsv"))];

/// Who speaks for the person: the holder and its representatives.
const HOLDER: &str = "HOLDER";
/// A system without a named professional.
const ESTABLISHMENT: &str = "ESTABLISHMENT";
/// The class of technical documents, which no DMP holds (J06).
const TECHNICAL_CLASS: &str = "99";

/// What a party may do with which types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reach {
    /// Types it may read.
    pub read: TypeSet,
    /// Types it may submit.
    pub submit: TypeSet,
}

/// One version of the matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matrix {
    /// Its name, for instance `2026-1`: decisions carry it.
    pub version: String,
    /// Since when it is in force.
    pub valid_from: Timestamp,
    /// Until when (exclusive); `None` while nothing is known to follow.
    pub valid_until: Option<Timestamp>,
    parties: BTreeMap<String, Reach>,
}

/// Where a matrix is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}, line {line}: {problem}")]
pub struct MatrixError {
    /// The file.
    pub file: &'static str,
    /// The line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
}

/// How closely a line looks at a type: the closest one decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Closeness {
    Everything,
    Class,
    Type,
}

/// What a line says of one type for one party.
struct Cell {
    closeness: Closeness,
    line: usize,
    read: bool,
    submit: bool,
}

/// What stands in a file, before it is a matrix.
#[derive(Default)]
struct Draft {
    version: Option<String>,
    valid_from: Option<Timestamp>,
    valid_until: Option<Timestamp>,
    cells: BTreeMap<(String, &'static str), Cell>,
}

impl Matrix {
    /// Reads a version.
    ///
    /// # Errors
    /// [`MatrixError`] at the first line that is wrong.
    pub fn parse(file: &'static str, text: &str) -> Result<Self, MatrixError> {
        let at = |line| move |problem| MatrixError { file, line, problem };
        let mut draft = Draft::default();
        for (line, row) in (1..).zip(text.lines()) {
            if !row.is_empty() && !row.starts_with('#') {
                draft.take(line, row).map_err(at(line))?;
            }
        }
        draft.finish().map_err(at(0))
    }

    /// What the version gives to a caller: by profession, or by what stands in its place.
    pub fn reach(&self, role: Role, profession: Option<&str>) -> Reach {
        let party = match role {
            Role::Holder | Role::Representative => Some(HOLDER),
            Role::EstablishmentSystem => Some(ESTABLISHMENT),
            Role::Professional => profession,
            _ => None,
        };
        party
            .and_then(|party| self.parties.get(party))
            .copied()
            .unwrap_or_default()
    }

    fn in_force(&self, moment: Timestamp) -> bool {
        self.valid_from <= moment && self.valid_until.is_none_or(|end| moment < end)
    }

    /// Stands in where no version is in force.
    fn nothing() -> Self {
        Self {
            version: "none".to_owned(),
            valid_from: Timestamp::MIN,
            valid_until: None,
            parties: BTreeMap::new(),
        }
    }
}

impl Draft {
    fn take(&mut self, line: usize, row: &str) -> Result<(), String> {
        match row.split('\t').collect::<Vec<_>>().as_slice() {
            [name, value] => self.direct(name, value),
            [parties, documents, rights] => self.fill(line, parties, documents, rights),
            columns => Err(format!("two or three columns are needed, not {}", columns.len())),
        }
    }

    fn direct(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "version" => self.version = Some(value.to_owned()),
            "valid_from" => self.valid_from = Some(moment(value)?),
            "valid_until" => self.valid_until = Some(moment(value)?),
            _ => return Err(format!("unknown directive `{name}`")),
        }
        Ok(())
    }

    fn fill(&mut self, line: usize, parties: &str, documents: &str, rights: &str) -> Result<(), String> {
        let (read, submit) = rights_of(rights)?;
        for party in parties.split(',') {
            check_party(party)?;
            for document in documents.split(',') {
                let (closeness, types) = types_of(document)?;
                for code in types {
                    self.set(
                        party,
                        code,
                        Cell {
                            closeness,
                            line,
                            read,
                            submit,
                        },
                    )?;
                }
            }
        }
        Ok(())
    }

    fn set(&mut self, party: &str, code: &'static str, cell: Cell) -> Result<(), String> {
        let place = (party.to_owned(), code);
        let standing = self
            .cells
            .get(&place)
            .filter(|standing| standing.closeness >= cell.closeness);
        match standing {
            Some(standing) if standing.closeness == cell.closeness => Err(format!(
                "line {} says already what {party} may do with {code}",
                standing.line
            )),
            Some(_closer) => Ok(()),
            None => {
                self.cells.insert(place, cell);
                Ok(())
            }
        }
    }

    fn finish(self) -> Result<Matrix, String> {
        let mut parties: BTreeMap<String, Reach> = BTreeMap::new();
        for ((party, code), cell) in self.cells {
            let reach = parties.entry(party).or_default();
            let this = TypeSet::of(code).unwrap_or_default();
            reach.read = if cell.read { reach.read | this } else { reach.read };
            reach.submit = if cell.submit { reach.submit | this } else { reach.submit };
        }
        let valid_from = self.valid_from.ok_or("`valid_from` is missing")?;
        if self.valid_until.is_some_and(|end| end <= valid_from) {
            return Err("`valid_until` must be later than `valid_from`".to_owned());
        }
        Ok(Matrix {
            version: self.version.ok_or("`version` is missing")?,
            valid_from,
            valid_until: self.valid_until,
            parties,
        })
    }
}

fn moment(value: &str) -> Result<Timestamp, String> {
    value
        .parse()
        .map_err(|_| "a moment looks like 2026-01-01T00:00:00Z".to_owned())
}

fn rights_of(rights: &str) -> Result<(bool, bool), String> {
    match rights {
        "none" => Ok((false, false)),
        "read" => Ok((true, false)),
        "submit" => Ok((false, true)),
        "read+submit" => Ok((true, true)),
        _ => Err(format!("unknown rights `{rights}`")),
    }
}

fn check_party(party: &str) -> Result<(), String> {
    let known = matches!(party, HOLDER | ESTABLISHMENT) || PROFESSIONS.find(party).is_some();
    if known {
        Ok(())
    } else {
        Err(format!("unknown profession `{party}`"))
    }
}

fn types_of(document: &str) -> Result<(Closeness, Vec<&'static str>), String> {
    if document == "*" {
        return Ok((Closeness::Everything, types_where(is_of_dmp)));
    }
    match document.split_once(':') {
        Some(("class", class)) if DOCUMENT_CLASSES.find(class).is_some() => {
            let of_class = |code: &str| class_of(code).is_some_and(|found| found.code == class);
            Ok((Closeness::Class, types_where(of_class)))
        }
        Some(("class", class)) => Err(format!("unknown document class `{class}`")),
        Some(("type", code)) => match DOCUMENT_TYPES.find(code) {
            Some(concept) => Ok((Closeness::Type, vec![concept.code])),
            None => Err(format!("unknown document type `{code}`")),
        },
        _ => Err(format!("`{document}` is neither `*` nor class:… nor type:…")),
    }
}

fn types_where(wanted: impl Fn(&str) -> bool) -> Vec<&'static str> {
    DOCUMENT_TYPES
        .iter()
        .map(|concept| concept.code)
        .filter(|code| wanted(code))
        .collect()
}

fn is_of_dmp(code: &str) -> bool {
    class_of(code).is_some_and(|class| class.system == DOCUMENT_CLASS && class.code != TECHNICAL_CLASS)
}

/// Every version there is.
#[derive(Debug, Clone)]
pub struct Matrices {
    versions: Vec<Matrix>,
    nothing: Matrix,
}

impl Matrices {
    /// The versions that this program carries.
    ///
    /// # Errors
    /// [`MatrixError`] when one is wrong, or when two are in force at the same time.
    pub fn embedded() -> Result<Self, MatrixError> {
        Self::of(VERSIONS)
    }

    fn of(texts: &[(&'static str, &str)]) -> Result<Self, MatrixError> {
        let mut versions: Vec<Matrix> = Vec::new();
        for (file, text) in texts {
            let matrix = Matrix::parse(file, text)?;
            let problem = |problem: &str| MatrixError {
                file,
                line: 0,
                problem: problem.to_owned(),
            };
            if DOCUMENT_TYPES.len() > TYPES_MAX {
                return Err(problem(
                    "the value set has more document types than a set of types can hold",
                ));
            }
            if versions.iter().any(|other| other.version == matrix.version) {
                return Err(problem("this version exists already"));
            }
            if versions
                .last()
                .is_some_and(|last| last.valid_until.is_none_or(|end| end > matrix.valid_from))
            {
                return Err(problem("it is in force at the same time as the version before it"));
            }
            versions.push(matrix);
        }
        Ok(Self {
            versions,
            nothing: Matrix::nothing(),
        })
    }

    /// The version in force at a moment; one that gives nothing where there is none.
    pub fn at(&self, moment: Timestamp) -> &Matrix {
        let mut newest_first = self.versions.iter().rev();
        newest_first
            .find(|matrix| matrix.in_force(moment))
            .unwrap_or(&self.nothing)
    }

    /// The version of this name, as decisions carry it.
    pub fn version(&self, name: &str) -> Option<&Matrix> {
        let mut all = self.versions.iter().chain([&self.nothing]);
        all.find(|matrix| matrix.version == name)
    }
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

    fn types(codes: &[&str]) -> TypeSet {
        codes
            .iter()
            .map(|code| TypeSet::of(code).unwrap())
            .fold(TypeSet::NONE, |all, one| all | one)
    }

    fn embedded() -> Matrix {
        let matrices = Matrices::embedded().unwrap();
        matrices.at("2026-11-22T12:00:00Z".parse().unwrap()).clone()
    }

    fn profession(code: &str) -> Reach {
        embedded().reach(Role::Professional, Some(code))
    }

    /// Annex to the arrêté of 26 October 2023, as far as it is known.
    #[test]
    fn a_podiatrist_reads_no_delivery_report() {
        assert!(!profession("80").read.holds(types(&["15508-5"])));
        assert!(profession("80").read.holds(types(&["11488-4"])));
        assert!(profession("10").read.holds(types(&["15508-5"])));
    }

    /// Annex to the arrêté of 26 October 2023, as far as it is known.
    #[test]
    fn a_dentist_reads_no_advance_directives() {
        assert!(!profession("40").read.holds(types(&["EXPPAT_3"])));
        assert!(profession("10").read.holds(types(&["EXPPAT_3"])));
    }

    /// L1110-4: an establishment's system feeds without a named professional, so it must read nothing.
    #[test]
    fn an_establishment_reads_nothing() {
        let reach = embedded().reach(Role::EstablishmentSystem, None);
        assert!(reach.read.is_empty() && reach.submit.holds(types(&["34112-3", "11490-0", "11502-2"])));
    }

    /// J06: technical documents travel in exchanges, no DMP holds them.
    #[test]
    fn nobody_submits_a_technical_document() {
        let matrix = embedded();
        let technical = types(&["FEUILLE-DE-STYLE", "E1762"]);
        assert!(
            matrix
                .parties
                .values()
                .all(|reach| reach.submit.without(technical) == reach.submit)
        );
    }

    #[test]
    fn what_the_patient_deposits_nobody_else_deposits() {
        let matrix = embedded();
        let own = types(&["DOCPAT01", "DOCPAT08", "EXPPAT_2"]);
        assert!(matrix.reach(Role::Holder, None).submit.holds(own));
        let others = matrix.parties.iter().filter(|(party, _)| party.as_str() != HOLDER);
        for (party, reach) in others {
            assert_eq!(reach.submit.without(own), reach.submit, "{party}");
        }
    }

    #[test]
    fn every_profession_of_the_nomenclature_has_a_line() {
        for concept in PROFESSIONS.iter() {
            assert!(embedded().parties.contains_key(concept.code), "{}", concept.code);
        }
    }

    /// R1111-46: a profession outside of the matrix has no rights at all.
    #[test]
    fn an_unknown_profession_and_every_other_role_get_nothing() {
        assert_eq!(profession("99"), Reach::default());
        assert_eq!(embedded().reach(Role::Professional, None), Reach::default());
        for role in [
            Role::Administrator,
            Role::Auditor,
            Role::ExcludedParty,
            Role::Service,
            Role::Unspecified,
        ] {
            assert_eq!(embedded().reach(role, Some("10")), Reach::default());
        }
        // A profession that spells a party's name is no party.
        assert_eq!(embedded().reach(Role::Administrator, Some(HOLDER)), Reach::default());
    }

    const HEAD: &str = "version\tx\nvalid_from\t2026-01-01T00:00:00Z\n";

    fn problem(row: &str) -> (usize, String) {
        let error = Matrix::parse("x.tsv", &format!("{HEAD}{row}")).unwrap_err();
        assert_eq!(error.file, "x.tsv");
        (error.line, error.problem)
    }

    #[test]
    fn a_line_with_an_unknown_code_refuses_to_start_and_is_named() {
        assert_eq!(problem("11\t*\tread"), (3, "unknown profession `11`".into()));
        assert_eq!(
            problem("# why\n10\tclass:12\tread"),
            (4, "unknown document class `12`".into())
        );
        assert_eq!(problem("10\ttype:0-0\tread"), (3, "unknown document type `0-0`".into()));
        assert_eq!(problem("10\t*\twrite"), (3, "unknown rights `write`".into()));
        assert_eq!(
            problem("10\tall\tread"),
            (3, "`all` is neither `*` nor class:… nor type:…".into())
        );
        assert_eq!(
            problem("10\t*\tread\tmore"),
            (3, "two or three columns are needed, not 4".into())
        );
        assert_eq!(problem("rights\tread"), (3, "unknown directive `rights`".into()));
        assert_eq!(problem("valid_until\t2026-01-01T00:00:00Z").0, 0);
    }

    #[test]
    fn a_line_that_says_the_same_place_twice_is_refused() {
        let (line, problem) = problem("10\tclass:10\tread\n10\tclass:10\tread");
        assert_eq!((line, problem.starts_with("line 3 says already")), (4, true));
    }

    #[test]
    fn the_closest_line_decides_in_whatever_order_they_stand() {
        let rows = ["10\t*\tread+submit", "10\tclass:10\tread", "10\ttype:15508-5\tnone"];
        let (written, reversed) = (
            rows.join("\n"),
            rows.iter().rev().copied().collect::<Vec<_>>().join("\n"),
        );
        for text in [written, reversed] {
            let matrix = Matrix::parse("x.tsv", &format!("{HEAD}{text}")).unwrap();
            let reach = matrix.reach(Role::Professional, Some("10"));
            assert!(reach.read.holds(types(&["11488-4", "SYNTH"])) && !reach.read.holds(types(&["15508-5"])));
            assert!(reach.submit.holds(types(&["SYNTH"])) && !reach.submit.holds(types(&["11488-4"])));
        }
    }

    #[test]
    fn a_matrix_is_in_force_from_its_first_moment_until_before_its_last() {
        let first = "version\ta\nvalid_from\t2026-01-01T00:00:00Z\nvalid_until\t2026-06-01T00:00:00Z\n";
        let second = "version\tb\nvalid_from\t2026-06-01T00:00:00Z\n";
        let matrices = Matrices::of(&[("a", first), ("b", second)]).unwrap();
        let version = |moment: &str| matrices.at(moment.parse().unwrap()).version.clone();
        assert_eq!(version("2025-12-31T23:59:59Z"), "none");
        assert_eq!(version("2026-01-01T00:00:00Z"), "a");
        assert_eq!(version("2026-05-31T23:59:59Z"), "a");
        assert_eq!(version("2026-06-01T00:00:00Z"), "b");
        assert!(Matrices::of(&[("b", second), ("a", first)]).is_err());
        assert!(Matrices::of(&[("a", first), ("a", first)]).is_err());
    }
}
