//! A territory of the register: whether the use of the dossier is possible there (L1111-14, seventh sentence).

use api::dossier::v1 as pb;
use store::time::{Timestamp, to_proto};

/// The register as it begins, with nothing covered.
const REGISTER: &str = include_str!("../data/territories.tsv");

/// A department, or an overseas territory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Territory {
    pub(crate) code: String,
    pub(crate) name: String,
    /// Since when it is covered, if it is.
    pub(crate) covered_since: Option<Timestamp>,
}

impl Territory {
    /// As covered, or not, from `now` on. One covered already keeps its date.
    pub(crate) fn with_coverage(self, covered: bool, now: Timestamp) -> Self {
        let covered_since = if covered {
            self.covered_since.or(Some(now))
        } else {
            None
        };
        Self { covered_since, ..self }
    }

    pub(crate) fn to_proto(&self) -> pb::Territory {
        pb::Territory {
            code: self.code.clone(),
            name: self.name.clone(),
            covered: self.covered_since.is_some(),
            covered_since: self.covered_since.map(to_proto),
        }
    }
}

/// Code and name of every territory of the register.
pub(crate) fn register() -> impl Iterator<Item = (&'static str, &'static str)> {
    let rows = REGISTER
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    rows.filter_map(|row| row.split_once('\t'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use std::collections::BTreeSet;

    /// 96 metropolitan departments, 5 overseas, 3 overseas collectivities.
    #[test]
    fn the_register_is_whole() {
        let codes: BTreeSet<&str> = register().map(|(code, _)| code).collect();
        assert_eq!((codes.len(), register().count()), (104, 104));
        for code in ["01", "2A", "2B", "95", "971", "974", "976", "978"] {
            assert!(codes.contains(code), "{code}");
        }
        assert!(!codes.contains("20"));
        assert!(register().all(|(code, name)| (2..=3).contains(&code.len()) && !name.is_empty()));
    }

    #[test]
    fn covering_twice_keeps_the_first_date_and_uncovering_forgets_it() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let territory = Territory {
            code: "2A".to_owned(),
            name: "Corse-du-Sud".to_owned(),
            covered_since: None,
        };
        let covered = territory.with_coverage(true, at("2026-01-01T00:00:00Z"));
        let again = covered.clone().with_coverage(true, at("2026-02-01T00:00:00Z"));
        assert_eq!(again, covered);
        assert_eq!(
            again.with_coverage(false, at("2026-03-01T00:00:00Z")).covered_since,
            None
        );
    }
}
