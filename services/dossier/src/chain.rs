//! The two chains of a dossier in the journal. What is done in a secret connection, or with documents hidden from
//! representatives, stands in the secret one and nowhere else: no representative reads it or learns that it is there
//! (L1111-5, R1111-50).

use api::identity::DmpId;

use crate::document::Document;

/// In which of its dossier's chains an access stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chain {
    /// The one that the holder, representatives and treating physicians read.
    Open,
    /// The one that no representative reads.
    Secret,
}

impl Chain {
    /// The chain of what is, or is not, kept from representatives.
    pub(crate) const fn of(secret: bool) -> Self {
        if secret { Self::Secret } else { Self::Open }
    }

    /// What the journal knows the chain by. An identifier of a dossier has no `/`, so that no two chains are one.
    pub(crate) fn subject(self, dmp_id: &DmpId) -> String {
        match self {
            Self::Open => dmp_id.as_str().to_owned(),
            Self::Secret => format!("{}/secret", dmp_id.as_str()),
        }
    }
}

/// The documents that an access shows, by their unique_id and by the chain that may name them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Named {
    open: Vec<String>,
    hidden: Vec<String>,
}

impl Named {
    /// One document.
    pub(crate) fn one(document: &Document) -> Self {
        Self::all([(document.unique_id(), document.visibility.hidden_from_representatives)])
    }

    /// Documents, each with whether it is hidden from representatives.
    pub(crate) fn all<'a>(documents: impl IntoIterator<Item = (&'a str, bool)>) -> Self {
        let mut named = Self::default();
        for (unique_id, hidden) in documents {
            let chain = if hidden { &mut named.hidden } else { &mut named.open };
            chain.push(unique_id.to_owned());
        }
        named
    }

    /// What the entry of an access in `chain` names, and what a second one in the secret chain does.
    pub(crate) fn split(mut self, chain: Chain) -> (Vec<String>, Vec<String>) {
        if chain == Chain::Open {
            return (self.open, self.hidden);
        }
        self.open.append(&mut self.hidden);
        (self.open, Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R1111-50: what is hidden is named in the secret chain and nowhere else.
    #[test]
    fn hidden_documents_are_named_in_the_secret_chain_only() {
        let named = || Named::all([("1", false), ("2", true), ("3", false)]);
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        assert_eq!(named().split(Chain::Open), (ids(&["1", "3"]), ids(&["2"])));
        assert_eq!(named().split(Chain::Secret), (ids(&["1", "3", "2"]), ids(&[])));
    }

    #[test]
    fn no_two_chains_are_one() {
        let (one, other) = (DmpId::generate([1; 16]), DmpId::generate([2; 16]));
        let mut subjects: Vec<_> = [&one, &other]
            .iter()
            .flat_map(|dmp_id| [Chain::Open, Chain::Secret].map(|chain| chain.subject(dmp_id)))
            .collect();
        subjects.sort();
        subjects.dedup();
        assert_eq!(subjects.len(), 4);
        assert!(!one.as_str().contains('/'));
    }
}
