//! Sets of document types, as a decision carries them: one bit for each type of value set J07.
//!
//! Union and complement are single instructions, so a decision allocates nothing until it is rendered. A code that the
//! value set does not know is in no set.

use api::codes::DOCUMENT_TYPES;
use api::consent::v1 as pb;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::LazyLock;

/// As many types as a set can tell apart.
pub(crate) const TYPES_MAX: usize = u128::BITS as usize;

/// The types, sorted by code: each has the bit of its place.
static CODES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let codes: BTreeSet<&str> = DOCUMENT_TYPES.iter().map(|concept| concept.code).collect();
    codes.into_iter().collect()
});

/// All of them: every grant asks for it several times.
static EVERY: LazyLock<TypeSet> =
    LazyLock::new(|| (0..CODES.len()).fold(TypeSet::NONE, |set, place| set | TypeSet(1 << place)));

/// A set of document types.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct TypeSet(u128);

impl TypeSet {
    /// No type.
    pub const NONE: Self = Self(0);

    /// Every type.
    pub fn every() -> Self {
        *EVERY
    }

    /// The one type of this code; `None` for a code that the value set does not know.
    pub fn of(code: &str) -> Option<Self> {
        let place = CODES.binary_search(&code).ok()?;
        Some(Self(1 << place))
    }

    /// Whether it holds nothing.
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// Whether all of `other` is in it.
    pub fn holds(self, other: Self) -> bool {
        self | other == self
    }

    /// Without those of `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The codes, sorted.
    pub fn codes(self) -> impl Iterator<Item = &'static str> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let place = left.trailing_zeros();
            // Clears the lowest bit; without one there is no place to look at.
            left &= left.checked_sub(1)?;
            CODES.get(place as usize).copied()
        })
    }

    /// As the contract carries it, in the shorter of the two forms.
    pub(crate) fn to_proto(self) -> pb::DocumentTypes {
        let others = Self::every().without(self);
        let all_but = others.0.count_ones() < self.0.count_ones();
        let listed = if all_but { others } else { self };
        pb::DocumentTypes {
            all_but,
            type_codes: listed.codes().map(str::to_owned).collect(),
        }
    }
}

impl std::ops::BitOr for TypeSet {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for TypeSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.codes()).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    /// A value set that outgrew the bits would make two types one.
    #[test]
    fn every_type_has_a_bit_of_its_own() {
        assert!(DOCUMENT_TYPES.len() <= TYPES_MAX);
        assert_eq!(TypeSet::every().codes().count(), DOCUMENT_TYPES.len());
    }

    #[test]
    fn the_contract_gets_the_shorter_form_and_sorted_codes() {
        let two = TypeSet::of("SYNTH").unwrap() | TypeSet::of("11502-2").unwrap();
        let listed = two.to_proto();
        assert_eq!(
            (listed.all_but, listed.type_codes),
            (false, vec!["11502-2".to_owned(), "SYNTH".to_owned()])
        );
        let rest = TypeSet::every().without(two).to_proto();
        assert_eq!(
            (rest.all_but, rest.type_codes),
            (true, vec!["11502-2".to_owned(), "SYNTH".to_owned()])
        );
        let every = TypeSet::every().to_proto();
        assert_eq!((every.all_but, every.type_codes.len()), (true, 0));
        let none = TypeSet::NONE.to_proto();
        assert_eq!((none.all_but, none.type_codes.len()), (false, 0));
    }

    #[test]
    fn an_unknown_code_is_in_no_set() {
        assert_eq!(TypeSet::of("nothing"), None);
    }
}
