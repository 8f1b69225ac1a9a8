//! The receipts that the tour keeps, and what the log's public key says of them.

use api::common::v1 as pb;
use journal::{Receipt, VerifierKey};
use std::collections::BTreeMap;

/// Receipts kept, by the dossier or message they are about; each was verified when it came.
pub(super) struct Evidence {
    key: VerifierKey,
    kept: BTreeMap<String, Vec<Receipt>>,
}

impl Evidence {
    pub(super) fn new(key: VerifierKey) -> Self {
        Self {
            key,
            kept: BTreeMap::new(),
        }
    }

    pub(super) fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// Verifies a receipt and keeps it. The error says what is wrong with it.
    pub(super) fn keep(&mut self, subject: &str, receipt: Option<&pb::Receipt>) -> Result<(), String> {
        let receipt = self.verified(receipt)?;
        self.kept.entry(subject.to_owned()).or_default().push(receipt);
        Ok(())
    }

    /// Verifies a receipt without keeping it.
    pub(super) fn verified(&self, receipt: Option<&pb::Receipt>) -> Result<Receipt, String> {
        let receipt = receipt.ok_or("the answer carries no receipt")?;
        let receipt = Receipt::try_from(receipt).map_err(|error| format!("the receipt cannot be read: {error}"))?;
        receipt
            .verify(&self.key)
            .map_err(|error| format!("the receipt does not hold: {error}"))?;
        Ok(receipt)
    }

    /// Those kept of a subject.
    pub(super) fn of(&self, subject: &str) -> &[Receipt] {
        self.kept.get(subject).map(Vec::as_slice).unwrap_or_default()
    }
}
