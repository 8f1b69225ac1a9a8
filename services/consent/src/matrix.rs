//! The habilitation matrix (R1111-46): which party may read, or submit, which types of documents. Versioned data.
//!
//! A version is checked completely before it counts: every unknown profession, class or type is named by its line. A
//! moment for which no version is in force gets one that gives nothing: closed, not open.

use api::codes::{DOCUMENT_CLASSES, DOCUMENT_TYPES, PROFESSIONS, class_of};
use api::common::v1::Role;
use api::consent::v1::Operation;
use api::oid::DOCUMENT_CLASS;
use std::collections::{BTreeMap, BTreeSet};
use store::time::Timestamp;

use crate::type_set::{TYPES_MAX, TypeSet};

/// The versions that this program carries, oldest first.
pub(crate) const EMBEDDED: &[&str] = &[include_str!("../matrix/2026-1.tsv")];

/// The name of what stands in where no version is in force; no version may have it.
pub(crate) const NOTHING: &str = "none";

/// Problems told at once; whoever has more mends these first.
const PROBLEMS_MAX: usize = 20;

/// Length of a version's name.
const NAME_BYTES_MAX: usize = 64;

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
#[error("line {line}: {problem}")]
pub struct MatrixError {
    /// The line, from 1; 0 for the text as a whole.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
}

/// What changes for a party from one version to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The party: a profession, or what stands in its place.
    pub party: String,
    /// Reading or submitting.
    pub operation: Operation,
    /// Types gained.
    pub gained: TypeSet,
    /// Types lost.
    pub lost: TypeSet,
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
    /// Every line that is wrong, as far as [`PROBLEMS_MAX`]; then what is wrong with the whole.
    pub fn parse(text: &str) -> Result<Self, Vec<MatrixError>> {
        let mut draft = Draft::default();
        let rows = (1..).zip(text.lines());
        let wrong = |(line, row): (usize, &str)| {
            let problem = draft.take(line, row).err()?;
            Some(MatrixError { line, problem })
        };
        let says_something = |(_, row): &(usize, &str)| !row.is_empty() && !row.starts_with('#');
        let problems: Vec<_> = rows
            .filter(says_something)
            .filter_map(wrong)
            .take(PROBLEMS_MAX)
            .collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        draft.finish().map_err(|problem| vec![MatrixError { line: 0, problem }])
    }

    /// What changes from this version to another, by party, reading first.
    pub fn changes(&self, other: &Self) -> Vec<Change> {
        let parties: BTreeSet<&String> = self.parties.keys().chain(other.parties.keys()).collect();
        let changes = parties.into_iter().flat_map(|party| {
            let of = |matrix: &Self| matrix.parties.get(party).copied().unwrap_or_default();
            let (before, after) = (of(self), of(other));
            [
                Change::of(party, Operation::ReadDocuments, before.read, after.read),
                Change::of(party, Operation::SubmitDocuments, before.submit, after.submit),
            ]
        });
        changes.filter(Change::is_one).collect()
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

    /// Stands in where no version is in force.
    pub fn nothing() -> Self {
        Self {
            version: NOTHING.to_owned(),
            valid_from: Timestamp::MIN,
            valid_until: None,
            parties: BTreeMap::new(),
        }
    }
}

impl Change {
    fn of(party: &str, operation: Operation, before: TypeSet, after: TypeSet) -> Self {
        Self {
            party: party.to_owned(),
            operation,
            gained: after.without(before),
            lost: before.without(after),
        }
    }

    fn is_one(&self) -> bool {
        !(self.gained.is_empty() && self.lost.is_empty())
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
            "version" => self.version = Some(name_of(value)?),
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
        if DOCUMENT_TYPES.len() > TYPES_MAX {
            return Err("the value set has more document types than a set of types can hold".to_owned());
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

fn name_of(value: &str) -> Result<String, String> {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if value.is_empty() || value.len() > NAME_BYTES_MAX || !value.bytes().all(sound) || value == NOTHING {
        return Err(format!(
            "a version's name has 1 to {NAME_BYTES_MAX} letters, digits, `.`, `-`, `_`"
        ));
    }
    Ok(value.to_owned())
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

/// When a published version is in force, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// The version.
    pub version: String,
    /// Since when.
    pub from: Timestamp,
    /// Until when (exclusive).
    pub until: Option<Timestamp>,
}

impl Matrix {
    /// The version's own term.
    pub fn term(&self) -> Term {
        Term {
            version: self.version.clone(),
            from: self.valid_from,
            until: self.valid_until,
        }
    }
}

/// The version in force at a moment: the latest that has begun, if it has not ended.
pub fn in_force(terms: &[Term], moment: Timestamp) -> Option<&Term> {
    let begun = terms.iter().filter(|term| term.from <= moment);
    let latest = begun.max_by_key(|term| term.from);
    latest.filter(|term| term.until.is_none_or(|end| moment < end))
}

/// The version from which a new one would take over; `None` where none is in force when it begins.
///
/// # Errors
/// The version that would be in force at the same time. One without an end of its own gives way to a later one.
pub fn takes_over<'t>(terms: &'t [Term], new: &Term) -> Result<Option<&'t Term>, &'t Term> {
    let before_the_others = |other: &&Term| new.until.is_some_and(|end| end <= other.from);
    let later = terms.iter().filter(|term| term.from >= new.from);
    if let Some(overlapped) = later.into_iter().find(|other| !before_the_others(other)) {
        return Err(overlapped);
    }
    match in_force(terms, new.from) {
        Some(standing) if standing.until.is_some() => Err(standing),
        standing => Ok(standing),
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
        Matrix::parse(EMBEDDED[0]).unwrap()
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
        let [error] = Matrix::parse(&format!("{HEAD}{row}")).unwrap_err().try_into().unwrap();
        (error.line, error.problem)
    }

    #[test]
    fn a_line_with_an_unknown_code_is_refused_and_named() {
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
            let matrix = Matrix::parse(&format!("{HEAD}{text}")).unwrap();
            let reach = matrix.reach(Role::Professional, Some("10"));
            assert!(reach.read.holds(types(&["11488-4", "SYNTH"])) && !reach.read.holds(types(&["15508-5"])));
            assert!(reach.submit.holds(types(&["SYNTH"])) && !reach.submit.holds(types(&["11488-4"])));
        }
    }

    #[test]
    fn every_wrong_line_is_named_at_once() {
        let text = format!("{HEAD}11\t*\tread\n10\t*\tread\n10\tclass:12\tread\n10\t*\twrite");
        let errors = Matrix::parse(&text).unwrap_err();
        assert_eq!(errors.iter().map(|error| error.line).collect::<Vec<_>>(), [3, 5, 6]);
        let many = format!("{HEAD}{}", "11\t*\tread\n".repeat(100));
        assert_eq!(Matrix::parse(&many).unwrap_err().len(), PROBLEMS_MAX);
        let missing = Matrix::parse("10\t*\tread").unwrap_err();
        assert_eq!((missing.len(), missing[0].line), (1, 0));
        for name in ["none", "", "a b", "é"] {
            let text = format!("version\t{name}\nvalid_from\t2026-01-01T00:00:00Z\n");
            assert_eq!(Matrix::parse(&text).unwrap_err()[0].line, 1, "{name}");
        }
    }

    fn term(version: &str, from: &str, until: Option<&str>) -> Term {
        let day = |day: &str| format!("{day}T00:00:00Z").parse().unwrap();
        Term {
            version: version.to_owned(),
            from: day(from),
            until: until.map(day),
        }
    }

    #[test]
    fn a_version_is_in_force_from_its_first_moment_until_before_its_last() {
        let terms = [
            term("b", "2026-06-01", None),
            term("a", "2026-01-01", Some("2026-05-01")),
            term("c", "2027-01-01", Some("2028-01-01")),
        ];
        let version = |moment: &str| in_force(&terms, moment.parse().unwrap()).map(|term| term.version.as_str());
        assert_eq!(version("2025-12-31T23:59:59Z"), None);
        assert_eq!(version("2026-01-01T00:00:00Z"), Some("a"));
        assert_eq!(version("2026-05-01T00:00:00Z"), None);
        assert_eq!(version("2026-06-01T00:00:00Z"), Some("b"));
        assert_eq!(version("2027-01-01T00:00:00Z"), Some("c"));
        // What gave way does not come back.
        assert_eq!(version("2028-01-01T00:00:00Z"), None);
    }

    #[test]
    fn a_new_version_takes_over_from_one_without_end_and_overlaps_no_other() {
        let terms = [
            term("a", "2026-01-01", None),
            term("b", "2027-01-01", Some("2028-01-01")),
        ];
        let name = |found: Result<Option<&Term>, &Term>| {
            found
                .map(|term| term.map(|term| term.version.clone()))
                .map_err(|term| term.version.clone())
        };
        let (a, b) = ("a".to_owned(), "b".to_owned());
        let new = |from, until| name(takes_over(&terms, &term("new", from, until)));
        assert_eq!(new("2026-06-01", Some("2027-01-01")), Ok(Some(a.clone())));
        assert_eq!(new("2026-06-01", Some("2027-01-02")), Err(b.clone()));
        assert_eq!(new("2026-06-01", None), Err(b.clone()));
        assert_eq!(new("2027-01-01", None), Err(b.clone()));
        assert_eq!(new("2027-06-01", None), Err(b));
        assert_eq!(new("2028-01-01", None), Ok(None));
        assert_eq!(new("2025-01-01", None), Err(a));
        assert_eq!(new("2025-01-01", Some("2026-01-01")), Ok(None));
    }

    #[test]
    fn changes_are_told_by_party_and_operation() {
        let of = |rows: &str| Matrix::parse(&format!("{HEAD}{rows}")).unwrap();
        let before = of("10\ttype:SYNTH,type:11488-4\tread\n60\ttype:SYNTH\tread");
        let after = of("10\ttype:SYNTH\tread+submit\n80\ttype:11502-2\tread\n60\ttype:SYNTH\tread");
        let change = |party: &str, operation, gained: &[&str], lost: &[&str]| Change {
            party: party.to_owned(),
            operation,
            gained: types(gained),
            lost: types(lost),
        };
        assert_eq!(
            before.changes(&after),
            [
                change("10", Operation::ReadDocuments, &[], &["11488-4"]),
                change("10", Operation::SubmitDocuments, &["SYNTH"], &[]),
                change("80", Operation::ReadDocuments, &["11502-2"], &[]),
            ]
        );
        assert_eq!(before.changes(&before), []);
    }
}
