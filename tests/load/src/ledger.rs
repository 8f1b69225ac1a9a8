//! What was acknowledged must be found again: the ledger of a load that runs while services are killed and cut off.
//!
//! Each acknowledged write is a line, appended before the next call is thought of. Afterwards everything is read back,
//! with its digest; what is not there is lost, and nothing may be. The journal of every dossier named must prove itself
//! complete, with the entry of each acknowledged deposit.

use api::consent::v1 as consent;
use api::identifier::v1 as identifier;
use futures::{StreamExt, stream};
use journal::VerifierKey;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use uuid::Uuid;

use crate::LoadError;
use crate::call::{message, read};
use crate::document::sha256;
use crate::history::{Unproved, prove};
use crate::operation::Ending;
use crate::patience::patiently;
use crate::person::{administrator, holder};
use crate::population::Mailbox;
use crate::target::{Clients, Target};

/// Entries read back at once.
const READERS: usize = 16;
/// Connections to each service, and how long a reading may take.
const CONNECTIONS: usize = 4;
const DEADLINE: Duration = Duration::from_secs(30);

/// Something acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Entry {
    /// A document, with who may read it and what it must be.
    Document {
        dmp_id: String,
        professional_id: String,
        unique_id: String,
        sha256: String,
        /// Of the journal, as the receipt names it.
        entry_id: Uuid,
    },
    /// A consent that was recorded.
    Consent { dmp_id: String, consent_id: String },
    /// A consent that was withdrawn.
    Withdrawal { dmp_id: String, consent_id: String },
    /// A message, through the sender's mailbox.
    Message {
        professional_id: String,
        mailbox_id: String,
        message_id: String,
        sha256: String,
    },
    /// Somebody who was enrolled.
    Beneficiary { dmp_id: String, matricule: String },
}

impl Entry {
    pub(crate) fn document(
        dmp_id: &str,
        professional_id: &str,
        unique_id: &str,
        sha256: &[u8],
        entry_id: Uuid,
    ) -> Self {
        Self::Document {
            dmp_id: dmp_id.to_owned(),
            professional_id: professional_id.to_owned(),
            unique_id: unique_id.to_owned(),
            sha256: hex::encode(sha256),
            entry_id,
        }
    }

    pub(crate) fn consent(dmp_id: &str, consent_id: &str) -> Self {
        Self::Consent {
            dmp_id: dmp_id.to_owned(),
            consent_id: consent_id.to_owned(),
        }
    }

    pub(crate) fn withdrawal(dmp_id: &str, consent_id: &str) -> Self {
        Self::Withdrawal {
            dmp_id: dmp_id.to_owned(),
            consent_id: consent_id.to_owned(),
        }
    }

    pub(crate) fn message(from: &Mailbox, message_id: &str, body: &str) -> Self {
        Self::Message {
            professional_id: from.professional_id.clone(),
            mailbox_id: from.mailbox_id.clone(),
            message_id: message_id.to_owned(),
            sha256: hex::encode(sha256(body.as_bytes())),
        }
    }

    pub(crate) fn beneficiary(dmp_id: &str, matricule: &str) -> Self {
        Self::Beneficiary {
            dmp_id: dmp_id.to_owned(),
            matricule: matricule.to_owned(),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Document { .. } => "document",
            Self::Consent { .. } => "consent",
            Self::Withdrawal { .. } => "withdrawal",
            Self::Message { .. } => "message",
            Self::Beneficiary { .. } => "beneficiary",
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let entry = match words.as_slice() {
            [kind, dmp_id, professional_id, unique_id, sha256, entry_id] if kind == "document" => Self::Document {
                dmp_id: dmp_id.clone(),
                professional_id: professional_id.clone(),
                unique_id: unique_id.clone(),
                sha256: sha256.clone(),
                entry_id: entry_id.parse().ok()?,
            },
            [kind, dmp_id, consent_id] if kind == "consent" => Self::consent(dmp_id, consent_id),
            [kind, dmp_id, consent_id] if kind == "withdrawal" => Self::withdrawal(dmp_id, consent_id),
            [kind, professional_id, mailbox_id, message_id, sha256] if kind == "message" => Self::Message {
                professional_id: professional_id.clone(),
                mailbox_id: mailbox_id.clone(),
                message_id: message_id.clone(),
                sha256: sha256.clone(),
            },
            [kind, dmp_id, matricule] if kind == "beneficiary" => Self::beneficiary(dmp_id, matricule),
            _ => return None,
        };
        Some(entry)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        match self {
            Self::Document {
                dmp_id,
                professional_id,
                unique_id,
                sha256,
                entry_id,
            } => write!(
                formatter,
                "{kind} {dmp_id} {professional_id} {unique_id} {sha256} {entry_id}"
            ),
            Self::Consent { dmp_id, consent_id } | Self::Withdrawal { dmp_id, consent_id } => {
                write!(formatter, "{kind} {dmp_id} {consent_id}")
            }
            Self::Message {
                professional_id,
                mailbox_id,
                message_id,
                sha256,
            } => write!(formatter, "{kind} {professional_id} {mailbox_id} {message_id} {sha256}"),
            Self::Beneficiary { dmp_id, matricule } => write!(formatter, "{kind} {dmp_id} {matricule}"),
        }
    }
}

/// A ledger that is written.
#[derive(Debug)]
pub(crate) struct Ledger(Mutex<File>);

impl Ledger {
    /// Goes on with a file, or begins one.
    pub(crate) fn open(path: &Path) -> Result<Self, LoadError> {
        let file = OpenOptions::new().append(true).create(true).open(path);
        Ok(Self(Mutex::new(file.map_err(|source| LoadError::file(path, source))?)))
    }

    /// Enters what was acknowledged. The line is with the system when this returns: it outlives this process.
    pub(crate) fn enter(&self, entry: &Entry) -> std::io::Result<()> {
        let line = format!("{entry}\n");
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_all(line.as_bytes())
    }
}

/// What a check found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Entries by kind.
    pub entries: BTreeMap<&'static str, usize>,
    /// Entries that are not there as they were acknowledged.
    pub lost: Vec<String>,
    /// Entries and journals that could not be asked about.
    pub unanswered: Vec<String>,
    /// Dossiers whose journal proved itself complete, with an entry for each acknowledged deposit.
    pub proved: usize,
    /// Those whose journal did not, and why.
    pub unproved: Vec<String>,
}

/// Reads back everything that a ledger names, and verifies the journals of its dossiers with the log's public key.
///
/// # Errors
/// [`LoadError`] when the file cannot be read, or is no ledger.
pub async fn check(path: &Path, target: &Target, key: &VerifierKey) -> Result<Found, LoadError> {
    let clients = &Clients::new(target, CONNECTIONS, DEADLINE)?;
    let entries = entries(path)?;
    let mut found = Found::default();
    for entry in &entries {
        *found.entries.entry(entry.kind()).or_default() += 1;
    }
    let asking = entries
        .iter()
        .map(|entry| async move { (entry, patiently(async || is_there(entry, clients).await).await) });
    let mut asking = stream::iter(asking).buffer_unordered(READERS);
    while let Some((entry, answer)) = asking.next().await {
        match answer {
            Ok(true) => {}
            // Whatever the service says of it, but that it is away: it is not there.
            Ok(false) => found.lost.push(entry.to_string()),
            Err(ending) if !ending.is_clear() => found.lost.push(format!("{entry}: {ending}")),
            Err(ending) => found.unanswered.push(format!("{entry}: {ending}")),
        }
    }
    let dossiers = deposits(&entries);
    let proving = dossiers
        .iter()
        .map(|(dmp_id, deposits)| async move { (dmp_id, prove(clients, dmp_id, deposits, key).await) });
    let mut proving = stream::iter(proving).buffer_unordered(READERS);
    while let Some((dmp_id, proved)) = proving.next().await {
        match proved {
            Ok(()) => found.proved += 1,
            Err(Unproved::Unanswered(ending)) => found.unanswered.push(format!("journal {dmp_id}: {ending}")),
            Err(fault) => found.unproved.push(format!("journal {dmp_id}: {fault}")),
        }
    }
    Ok(found)
}

/// The lines of a ledger, each once.
fn entries(path: &Path) -> Result<BTreeSet<Entry>, LoadError> {
    let text = std::fs::read_to_string(path).map_err(|source| LoadError::file(path, source))?;
    // A process that was killed may have left half a line: it was not acknowledged to anybody.
    let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    lines
        .map(|line| Entry::parse(line).ok_or_else(|| LoadError::Ledger(line.to_owned())))
        .collect()
}

/// By dossier, the journal's entries of the deposits that were acknowledged.
fn deposits(entries: &BTreeSet<Entry>) -> BTreeMap<&str, BTreeSet<Uuid>> {
    let mut dossiers = BTreeMap::<&str, BTreeSet<Uuid>>::new();
    for entry in entries {
        if let Entry::Document { dmp_id, entry_id, .. } = entry {
            dossiers.entry(dmp_id).or_default().insert(*entry_id);
        }
    }
    dossiers
}

/// Whether an entry is as it was acknowledged.
async fn is_there(entry: &Entry, clients: &Clients) -> Result<bool, Ending> {
    match entry {
        Entry::Document {
            dmp_id,
            professional_id,
            unique_id,
            sha256: expected,
            ..
        } => {
            let (content, _) = read(clients, dmp_id, professional_id, unique_id).await?;
            Ok(hex::encode(sha256(&content)) == *expected)
        }
        // Whether it is withdrawn is the withdrawal's line to say: one may have taken effect and not been acknowledged.
        Entry::Consent { dmp_id, consent_id } => Ok(consent_of(clients, dmp_id, consent_id).await?.dmp_id == *dmp_id),
        Entry::Withdrawal { dmp_id, consent_id } => {
            Ok(consent_of(clients, dmp_id, consent_id).await?.withdrawn_at.is_some())
        }
        Entry::Message {
            professional_id,
            mailbox_id,
            message_id,
            sha256: expected,
        } => {
            let mailbox = Mailbox {
                professional_id: professional_id.clone(),
                mailbox_id: mailbox_id.clone(),
                address: String::new(),
                first_message: String::new(),
            };
            let body = message(clients, &mailbox, message_id).await?;
            Ok(hex::encode(sha256(body.as_bytes())) == *expected)
        }
        Entry::Beneficiary { dmp_id, matricule } => {
            let ins = beneficiary(clients, dmp_id).await?.ins;
            Ok(ins.is_some_and(|ins| ins.matricule == *matricule))
        }
    }
}

async fn beneficiary(clients: &Clients, dmp_id: &str) -> Result<identifier::Beneficiary, Ending> {
    let request = identifier::GetBeneficiaryRequest {
        dmp_id: dmp_id.to_owned(),
    };
    let request = clients.ask(&administrator(), request)?;
    Ok(clients.identifiers().get_beneficiary(request).await?.into_inner())
}

async fn consent_of(clients: &Clients, dmp_id: &str, consent_id: &str) -> Result<consent::Consent, Ending> {
    let request = consent::GetConsentRequest {
        dmp_id: dmp_id.to_owned(),
        consent_id: consent_id.to_owned(),
    };
    let request = clients.ask(&holder(dmp_id), request)?;
    Ok(clients.consents().get_consent(request).await?.into_inner())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    /// Whatever is written is read again as it was.
    #[test]
    fn entries_are_lines() {
        let mailbox = Mailbox {
            professional_id: "899".to_owned(),
            mailbox_id: "m".to_owned(),
            address: "a".to_owned(),
            first_message: String::new(),
        };
        let entries = [
            Entry::document("1", "899", "2.25.1^X", &[1, 2], Uuid::from_u128(7)),
            Entry::consent("1", "c"),
            Entry::withdrawal("1", "c"),
            Entry::message(&mailbox, "n", "body"),
            Entry::beneficiary("1", "285"),
        ];
        for entry in entries {
            assert_eq!(Entry::parse(&entry.to_string()), Some(entry));
        }
        assert_eq!(Entry::parse("document 1"), None);
    }
}
