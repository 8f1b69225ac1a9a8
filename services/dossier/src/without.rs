//! The decision that is made up where the consent service is left unasked: in a build for measuring only.

use api::consent::v1::{Decision, Operation};

/// Lets everybody in to everything, unless it is to be asked.
#[cfg(feature = "without-guarantees")]
pub(crate) fn decision(operation: Operation) -> Option<Decision> {
    use api::consent::v1::decision::Outcome;
    use api::consent::v1::{DocumentTypes, Grant, Permission};

    let permission = |operation: Operation| Permission {
        operation: operation.into(),
        document_types: Some(DocumentTypes {
            all_but: true,
            type_codes: Vec::new(),
        }),
    };
    // What is listed is narrowed by the types that may be read, whatever else is done.
    let grant = || Grant {
        permissions: [operation, Operation::ReadDocuments].map(permission).to_vec(),
        sees_masked: true,
        sees_hidden_from_holder: true,
        sees_hidden_from_representatives: true,
        ..Grant::default()
    };
    serve::without::consent().then(|| Decision {
        outcome: Some(Outcome::Grant(grant())),
        creation_consented: true,
        ..Decision::default()
    })
}

/// There is none: the consent service is asked.
#[cfg(not(feature = "without-guarantees"))]
pub(crate) const fn decision(_operation: Operation) -> Option<Decision> {
    None
}
