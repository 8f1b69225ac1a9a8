//! The strict traits of an identity, and when two spellings are the same trait.
//!
//! Civil status writes a name in more than one way: names are compared folded, as [`fold_letters`] does it (upper
//! case, accents and cedillas dropped, ligatures written out; spaces, hyphens and apostrophes vanish), and kept as they
//! were written. Everything else is compared exactly. Nothing here shows a trait in `Debug`.

use api::identity::{BirthDate, IdentityError, fold_letters};
use std::fmt;

/// Longest name, in characters.
pub(crate) const NAME_LENGTH_MAX: usize = 100;

/// A birth name, or all given names.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Name(String);

impl Name {
    /// 1 to [`NAME_LENGTH_MAX`] characters with at least one letter, of any script; no digit, no control character.
    pub(crate) fn parse(text: &str) -> Result<Self, IdentityError> {
        if !(1..=NAME_LENGTH_MAX).contains(&text.chars().count()) {
            return Err(IdentityError::Length);
        }
        if text.chars().any(|letter| letter.is_numeric() || letter.is_control()) {
            return Err(IdentityError::Characters);
        }
        if !text.chars().any(char::is_alphabetic) {
            return Err(IdentityError::NoLetter);
        }
        Ok(Self(text.to_owned()))
    }

    /// As civil status wrote it.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both are spellings of one name.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        self == other || self.folded() == other.folded()
    }

    /// A name that has letters beyond the folding table keeps them: it equals no folded name of somebody else.
    fn folded(&self) -> String {
        fold_letters(&self.0).unwrap_or_else(|_| {
            let letters = self.0.chars().flat_map(char::to_uppercase);
            letters.filter(|letter| letter.is_alphabetic()).collect()
        })
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Name(…)")
    }
}

/// INSEE code of a place of birth: 5 digits, of which the first two may be 2A or 2B.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct BirthPlace(String);

impl BirthPlace {
    const LENGTH: usize = 5;

    pub(crate) fn parse(text: &str) -> Result<Self, IdentityError> {
        if text.chars().count() != Self::LENGTH {
            return Err(IdentityError::Length);
        }
        let corsican = text.strip_prefix("2A").or_else(|| text.strip_prefix("2B"));
        if !corsican.unwrap_or(text).bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(IdentityError::Characters);
        }
        Ok(Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BirthPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("BirthPlace(…)")
    }
}

/// HL7 AdministrativeGender (2.16.840.1.113883.5.1).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sex {
    Female,
    Male,
    Unknown,
}

impl Sex {
    pub(crate) const ALL: [Self; 3] = [Self::Female, Self::Male, Self::Unknown];

    /// HL7's code, as stored.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Female => "F",
            Self::Male => "M",
            Self::Unknown => "UN",
        }
    }
}

impl fmt::Debug for Sex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Sex(…)")
    }
}

/// The five strict traits of one person.
#[derive(Clone, Debug)]
pub(crate) struct StrictTraits {
    pub(crate) birth_family_name: Name,
    pub(crate) birth_given_names: Name,
    pub(crate) birth_date: BirthDate,
    pub(crate) sex: Sex,
    /// `None` when unknown.
    pub(crate) birth_place: Option<BirthPlace>,
}

impl StrictTraits {
    /// Whether every trait is the same; a place known on one side only is a difference.
    pub(crate) fn are_same_as(&self, other: &Self) -> bool {
        self.birth_place == other.birth_place && GivenTraits::from(other.clone()).differing_from(self).is_empty()
    }
}

/// Those of the strict traits that somebody gave, to be compared.
#[derive(Clone, Debug, Default)]
pub(crate) struct GivenTraits {
    pub(crate) birth_family_name: Option<Name>,
    pub(crate) birth_given_names: Option<Name>,
    pub(crate) birth_date: Option<BirthDate>,
    pub(crate) sex: Option<Sex>,
    pub(crate) birth_place: Option<BirthPlace>,
}

impl GivenTraits {
    /// Names, as in the contract, of the given traits that are not `ours`. A trait not given never differs.
    pub(crate) fn differing_from(&self, ours: &StrictTraits) -> Vec<&'static str> {
        let name_differs =
            |given: &Option<Name>, ours: &Name| given.as_ref().is_some_and(|name| !name.is_same_as(ours));
        let place = self.birth_place.as_ref();
        let compared = [
            (
                "birth_family_name",
                name_differs(&self.birth_family_name, &ours.birth_family_name),
            ),
            (
                "birth_given_names",
                name_differs(&self.birth_given_names, &ours.birth_given_names),
            ),
            (
                "birth_date",
                self.birth_date.is_some_and(|date| date != ours.birth_date),
            ),
            ("sex", self.sex.is_some_and(|sex| sex != ours.sex)),
            (
                "birth_place_code",
                place.is_some() && place != ours.birth_place.as_ref(),
            ),
        ];
        compared
            .into_iter()
            .filter_map(|(name, differs)| differs.then_some(name))
            .collect()
    }
}

impl From<StrictTraits> for GivenTraits {
    fn from(traits: StrictTraits) -> Self {
        Self {
            birth_family_name: Some(traits.birth_family_name),
            birth_given_names: Some(traits.birth_given_names),
            birth_date: Some(traits.birth_date),
            sex: Some(traits.sex),
            birth_place: traits.birth_place,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests fail by panicking"
    )]
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    pub(crate) fn traits() -> StrictTraits {
        StrictTraits {
            birth_family_name: name("D'ARTAGNAN-LEFÈVRE"),
            birth_given_names: name("Zoé Anne"),
            birth_date: BirthDate::parse("19790328").unwrap(),
            sex: Sex::Female,
            birth_place: Some(BirthPlace::parse("2A004").unwrap()),
        }
    }

    /// Référentiel national d'identitovigilance: case, accents, hyphens and apostrophes make no other person.
    #[test]
    fn spellings_of_one_name_are_the_same() {
        for spelling in [
            "D'ARTAGNAN-LEFÈVRE",
            "d artagnan lefevre",
            "D’Artagnan Lefe\u{300}vre",
            "DARTAGNANLEFEVRE",
        ] {
            assert!(name(spelling).is_same_as(&name("D'ARTAGNAN-LEFÈVRE")), "{spelling}");
        }
        assert!(!name("DARTAGNAN").is_same_as(&name("D'ARTAGNAN-LEFÈVRE")));
    }

    /// "pour l'ensemble des bénéficiaires": letters beyond the folding table enrol, and equal nobody else's name.
    #[test]
    fn a_name_beyond_the_folding_table_is_itself_only() {
        assert!(name("Nguyễn").is_same_as(&name("NGUYỄN")));
        assert!(!name("Nguyễn").is_same_as(&name("NGUYEN")));
        assert!(!name("Мария").is_same_as(&name("Мари")));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        assert_eq!(Name::parse(""), Err(IdentityError::Length));
        assert_eq!(Name::parse(&"A".repeat(101)), Err(IdentityError::Length));
        assert_eq!(Name::parse("ANNE2"), Err(IdentityError::Characters));
        assert_eq!(Name::parse("ANNE\n"), Err(IdentityError::Characters));
        assert_eq!(Name::parse(" -'"), Err(IdentityError::NoLetter));
        assert!(Name::parse(&"É".repeat(100)).is_ok());
    }

    #[test]
    fn a_place_of_birth_is_an_insee_code() {
        for code in ["51215", "2A004", "2B033", "99100", "97411"] {
            assert!(BirthPlace::parse(code).is_ok(), "{code}");
        }
        for (code, error) in [
            ("", IdentityError::Length),
            ("5121", IdentityError::Length),
            ("512150", IdentityError::Length),
            ("2C004", IdentityError::Characters),
            ("2a004", IdentityError::Characters),
            ("A2004", IdentityError::Characters),
        ] {
            assert_eq!(BirthPlace::parse(code), Err(error), "{code}");
        }
    }

    #[test]
    fn each_trait_that_differs_is_named_and_only_those_given_are_compared() {
        let ours = traits();
        assert!(GivenTraits::default().differing_from(&ours).is_empty());
        assert!(GivenTraits::from(ours.clone()).differing_from(&ours).is_empty());
        let others = GivenTraits {
            birth_family_name: Some(name("ATHOS")),
            birth_given_names: Some(name("ZOE")),
            birth_date: Some(BirthDate::parse("19790329").unwrap()),
            sex: Some(Sex::Unknown),
            birth_place: Some(BirthPlace::parse("51215").unwrap()),
        };
        let all = [
            "birth_family_name",
            "birth_given_names",
            "birth_date",
            "sex",
            "birth_place_code",
        ];
        assert_eq!(others.differing_from(&ours), all);
    }

    #[test]
    fn a_place_known_on_one_side_only_is_another_identity_to_look_at() {
        let without = StrictTraits {
            birth_place: None,
            ..traits()
        };
        assert!(traits().are_same_as(&traits()));
        assert!(!without.are_same_as(&traits()));
        assert!(!traits().are_same_as(&without));
    }

    #[test]
    fn debug_shows_no_trait() {
        let shown = format!("{:?}", traits());
        for part in ["ARTAGNAN", "Zoé", "1979", "2A004", "Female"] {
            assert!(!shown.contains(part), "{shown}");
        }
    }

    proptest! {
        #[test]
        fn being_the_same_name_is_mutual_and_any_name_is_itself(one in "\\PC{1,12}", other in "\\PC{1,12}") {
            if let (Ok(one), Ok(other)) = (Name::parse(&one), Name::parse(&other)) {
                prop_assert!(one.is_same_as(&one.clone()));
                prop_assert_eq!(one.is_same_as(&other), other.is_same_as(&one));
            }
        }

        #[test]
        fn no_text_makes_the_readers_panic(text in "\\PC{0,120}") {
            let _ = Name::parse(&text);
            let _ = BirthPlace::parse(&text);
        }
    }
}
