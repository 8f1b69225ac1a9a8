//! What somebody sees of a dossier's documents: what a grant says, and what is its own. The same for now and for the past.

use api::common::v1::Role;
use api::consent::v1 as consent;
use api::consent::v1::Operation;
use serve::{Actor, role_name};

/// What listings filter by.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// The types that may be read; `None` where none may.
    pub(crate) types: Option<consent::DocumentTypes>,
    pub(crate) masked: bool,
    pub(crate) hidden_from_holder: bool,
    pub(crate) hidden_from_representatives: bool,
    /// What one deposited or wrote oneself is seen however it is hidden.
    pub(crate) depositor: String,
    pub(crate) author_id: Option<String>,
}

impl View {
    /// What `actor` sees under `grant`.
    pub(crate) fn new(actor: &Actor, grant: &consent::Grant) -> Self {
        Self {
            types: document_types(grant, Operation::ReadDocuments).cloned(),
            masked: grant.sees_masked,
            hidden_from_holder: grant.sees_hidden_from_holder,
            hidden_from_representatives: grant.sees_hidden_from_representatives,
            depositor: depositor(actor),
            author_id: author_id(actor).map(str::to_owned),
        }
    }
}

/// The types of documents that a grant is good for; `None` when it does not permit the operation, or on none.
pub(crate) fn document_types(grant: &consent::Grant, operation: Operation) -> Option<&consent::DocumentTypes> {
    let mut permissions = grant.permissions.iter();
    let permission = permissions.find(|permission| permission.operation == i32::from(operation))?;
    permission.document_types.as_ref()
}

/// Who deposits, as `role:identifier`: the same for one person, or one structure's systems, every time.
pub(crate) fn depositor(actor: &Actor) -> String {
    let identifier = match actor.role {
        Role::Professional => actor.professional.as_ref().map(|id| id.as_str().to_owned()),
        Role::Holder => actor.dmp_id.as_ref().map(|id| id.as_str().to_owned()),
        Role::EstablishmentSystem => actor.structure.as_ref().map(|id| id.as_str().to_owned()),
        _ => None,
    };
    let role = role_name(actor.role).to_lowercase();
    format!("{role}:{}", identifier.unwrap_or_else(|| actor.caller_key()))
}

/// The identifier under which somebody may be an author of documents.
pub(crate) fn author_id(actor: &Actor) -> Option<&str> {
    actor.professional.as_ref().map(|id| id.as_str())
}
