//! How far an identity can be trusted (national identity-vigilance reference frame, RNIV).

/// The status of an identity. It rises with the two proofs: the INSi service, and a document of high trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InsStatus {
    /// Neither proof ("provisoire").
    Provisional,
    /// Traits retrieved from INSi only ("récupérée").
    Retrieved,
    /// Traits checked against a document of high trust only ("validée").
    Validated,
    /// Both ("qualifiée").
    Qualified,
}

impl InsStatus {
    /// The status that the two proofs give.
    pub const fn from_proofs(retrieved_from_insi: bool, checked_against_document: bool) -> Self {
        match (retrieved_from_insi, checked_against_document) {
            (false, false) => Self::Provisional,
            (true, false) => Self::Retrieved,
            (false, true) => Self::Validated,
            (true, true) => Self::Qualified,
        }
    }

    /// Whether the traits come from INSi.
    pub const fn is_retrieved_from_insi(self) -> bool {
        matches!(self, Self::Retrieved | Self::Qualified)
    }

    /// Whether a document of high trust was seen.
    pub const fn is_checked_against_document(self) -> bool {
        matches!(self, Self::Validated | Self::Qualified)
    }

    /// Whether the matricule may leave with the data: of a qualified identity only.
    pub const fn may_send_matricule(self) -> bool {
        matches!(self, Self::Qualified)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RNIV: only a qualified identity may be sent with its matricule.
    #[test]
    fn only_a_qualified_identity_may_be_sent_with_its_matricule() {
        assert!(InsStatus::Qualified.may_send_matricule());
        for status in [InsStatus::Provisional, InsStatus::Retrieved, InsStatus::Validated] {
            assert!(!status.may_send_matricule());
        }
    }

    #[test]
    fn a_status_is_its_two_proofs() {
        for insi in [false, true] {
            for document in [false, true] {
                let status = InsStatus::from_proofs(insi, document);
                assert_eq!(status.is_retrieved_from_insi(), insi);
                assert_eq!(status.is_checked_against_document(), document);
                assert_eq!(status.may_send_matricule(), insi && document);
            }
        }
    }
}
