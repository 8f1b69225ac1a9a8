//! The journals of the dossiers that a ledger names: each proves itself complete with the log's public key alone, and has an
//! entry for every write that was acknowledged.

use api::dossier::v1 as dossier;
use journal::{History, Link, Malformed, VerifierKey, VerifyError};
use std::collections::BTreeSet;
use uuid::Uuid;

use crate::operation::Ending;
use crate::patience::patiently;
use crate::person::holder;
use crate::target::Clients;

/// Entries of a page: as many as the service gives.
const PAGE_ENTRIES: i32 = 500;

/// Why a journal proves nothing, or too little.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unproved {
    /// It could not be asked for.
    #[error("{0}")]
    Unanswered(Ending),
    /// It is no history.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It does not hold.
    #[error(transparent)]
    Untrue(#[from] VerifyError),
    /// It ends elsewhere than the service says.
    #[error("it ends at sequence {shown}, and the service says that it does at {head}")]
    End {
        /// Last sequence shown.
        shown: u64,
        /// The end as told.
        head: u64,
    },
    /// An acknowledged write is not in it.
    #[error("it has no entry {0}, whose receipt was given")]
    Missing(Uuid),
}

/// Verifies a dossier's journal from its first entry to its last, and that it has these entries.
pub(crate) async fn prove(
    clients: &Clients,
    dmp_id: &str,
    acknowledged: &BTreeSet<Uuid>,
    key: &VerifierKey,
) -> Result<(), Unproved> {
    let mut missing = acknowledged.clone();
    let mut after = Link::BEGINNING;
    loop {
        let page = page(clients, dmp_id, after).await?;
        let history = page.history.ok_or(Malformed("history"))?;
        let verified = History::from_proto(&history)?.verify(key, dmp_id, after)?;
        after = verified.head();
        for entry in &verified.entries {
            missing.remove(&entry.entry_id);
        }
        // A page that shows nothing and promises more would go on for ever.
        if page.more && !verified.entries.is_empty() {
            continue;
        }
        if page.more || page.head_sequence != after.sequence {
            return Err(Unproved::End {
                shown: after.sequence,
                head: page.head_sequence,
            });
        }
        return match missing.pop_first() {
            Some(entry_id) => Err(Unproved::Missing(entry_id)),
            None => Ok(()),
        };
    }
}

async fn page(clients: &Clients, dmp_id: &str, after: Link) -> Result<dossier::CompletenessProof, Unproved> {
    let asked = patiently(async || {
        let request = dossier::GetCompletenessProofRequest {
            dmp_id: dmp_id.to_owned(),
            from_sequence: after.sequence + 1,
            page_size: PAGE_ENTRIES,
            secret: false,
        };
        let request = clients.ask(&holder(dmp_id), request)?;
        Ok(clients.journals().get_completeness_proof(request).await?.into_inner())
    });
    asked.await.map_err(Unproved::Unanswered)
}
