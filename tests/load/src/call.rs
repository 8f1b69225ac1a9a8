//! One call, chosen with all that it says, so that it can be repeated word for word; and what is done with its answer.

use api::consent::v1 as consent;
use api::dossier::v1 as dossier;
use api::identifier::v1 as identifier;
use api::messaging::v1 as messaging;
use dossier::read_document_response::Part as Read;
use dossier::submit_document_request::Part;
use tonic::Status;

use crate::dice::Dice;
use crate::document::{compose, sha256, unique_id};
use crate::ledger::Entry;
use crate::operation::{Ending, Operation};
use crate::person::{Person, administrator, holder, physician};
use crate::population::{Fickle, Mailbox, Population, creation_consent};
use crate::scenario::Scenario;
use crate::target::Clients;

/// Chunks of a deposit; a service takes up to 1 MiB.
const CHUNK_BYTES: usize = 256 << 10;

/// What a message says; its last part makes it differ from every other.
const BODY: &str = "Cher confrère, merci de bien vouloir revoir ce patient dans un mois. Référence ";

/// A call with all that it says.
#[derive(Debug)]
pub(crate) enum Call {
    Resolve {
        professional_id: String,
        ins: identifier::Ins,
    },
    Authorize {
        dmp_id: String,
        professional_id: String,
    },
    Submit {
        request_id: String,
        dossier: usize,
        dmp_id: String,
        professional_id: String,
        unique_id: String,
        content: Vec<u8>,
        sha256: Vec<u8>,
    },
    List {
        dmp_id: String,
        professional_id: String,
    },
    Read {
        dmp_id: String,
        professional_id: String,
        unique_id: String,
        verify: bool,
    },
    Send {
        request_id: String,
        from: Mailbox,
        recipient: usize,
        address: String,
        body: String,
    },
    Retrieve {
        mailbox: Mailbox,
        message_id: String,
    },
    Watch {
        mailbox: Mailbox,
    },
    Consent {
        request_id: String,
        fickle: Fickle,
    },
    Withdraw {
        request_id: String,
        fickle: Fickle,
        consent_id: String,
    },
    Enrol {
        request_id: String,
        person: Person,
    },
}

/// What a call brought.
#[derive(Debug, Default)]
pub(crate) struct Brought {
    /// Bytes of content, one way or the other.
    pub(crate) bytes: u64,
    /// What must be found again from now on.
    pub(crate) acknowledged: Option<Entry>,
    /// The message that was sent, for whoever waits for its arrival.
    pub(crate) message_id: Option<String>,
    /// The consent that was recorded.
    consent_id: Option<String>,
}

impl Brought {
    fn bytes(bytes: usize) -> Self {
        Self {
            bytes: bytes as u64,
            ..Self::default()
        }
    }
}

impl Call {
    /// Chooses a call of this kind. When nobody can be found for a consent or a withdrawal, the other of the two is
    /// chosen; `None` when there is nobody at all.
    pub(crate) fn choose(
        operation: Operation,
        scenario: &Scenario,
        population: &Population,
        clients: &Clients,
        dice: &Dice,
    ) -> Option<Self> {
        let about_dossier = |dossier| {
            let (dmp_id, mailbox) = population.dossier(dossier)?;
            Some((dmp_id.to_owned(), mailbox.professional_id.clone()))
        };
        match operation {
            Operation::Resolve => {
                let physician = population.mailboxes.get(population.any_physician(dice))?;
                Some(Self::Resolve {
                    professional_id: physician.professional_id.clone(),
                    ins: Person::invent(population.seed, population.anybody(dice))?.ins(),
                })
            }
            Operation::Authorize => {
                let (dmp_id, professional_id) = about_dossier(population.any_dossier(dice))?;
                Some(Self::Authorize {
                    dmp_id,
                    professional_id,
                })
            }
            Operation::Submit => {
                let dossier = population.any_dossier(dice);
                let (dmp_id, professional_id) = about_dossier(dossier)?;
                let sizes: Vec<(usize, u32)> = scenario
                    .documents
                    .iter()
                    .map(|size| (size.bytes, size.weight))
                    .collect();
                let extension = clients.request_id();
                let content = compose(
                    &Person::invent(population.seed, dossier)?,
                    &professional_id,
                    &extension,
                    dice.weighted(&sizes)?,
                    dice.below(usize::MAX >> 12),
                    &population.filler,
                );
                Some(Self::Submit {
                    request_id: clients.request_id(),
                    dossier,
                    dmp_id,
                    professional_id,
                    unique_id: unique_id(&extension),
                    sha256: sha256(&content),
                    content,
                })
            }
            Operation::List => {
                let (dmp_id, professional_id) = about_dossier(population.any_dossier(dice))?;
                Some(Self::List {
                    dmp_id,
                    professional_id,
                })
            }
            Operation::Read => {
                let dossier = population.any_dossier(dice);
                let Some(unique_id) = population.any_document(dossier, dice) else {
                    return Self::choose(Operation::List, scenario, population, clients, dice);
                };
                let (dmp_id, professional_id) = about_dossier(dossier)?;
                Some(Self::Read {
                    dmp_id,
                    professional_id,
                    unique_id,
                    verify: scenario.verify,
                })
            }
            Operation::Send => {
                let (sender, recipient) = (population.any_physician(dice), population.any_physician(dice));
                let request_id = clients.request_id();
                Some(Self::Send {
                    body: format!("{BODY}{request_id}"),
                    request_id,
                    from: population.mailboxes.get(sender)?.clone(),
                    recipient,
                    address: population.mailboxes.get(recipient)?.address.clone(),
                })
            }
            Operation::Retrieve => {
                let (physician, message_id) = population.waiting(dice)?;
                Some(Self::Retrieve {
                    mailbox: population.mailboxes.get(physician)?.clone(),
                    message_id,
                })
            }
            Operation::Watch | Operation::Delivery => Some(Self::Watch {
                mailbox: population.mailboxes.get(population.any_physician(dice))?.clone(),
            }),
            Operation::Consent => Self::consent(population, clients, dice, false),
            Operation::Withdraw => Self::consent(population, clients, dice, true),
            Operation::Enrol => Some(Self::Enrol {
                request_id: clients.request_id(),
                person: population.newcomer()?,
            }),
        }
    }

    fn consent(population: &Population, clients: &Clients, dice: &Dice, withdraw: bool) -> Option<Self> {
        let wanted = population.take_fickle(withdraw, dice);
        let mut fickle = wanted.or_else(|| population.take_fickle(!withdraw, dice))?;
        let request_id = fickle.unanswered.take().unwrap_or_else(|| clients.request_id());
        Some(match fickle.consent_id.clone() {
            Some(consent_id) => Self::Withdraw {
                request_id,
                fickle,
                consent_id,
            },
            None => Self::Consent { request_id, fickle },
        })
    }

    /// What kind it is.
    pub(crate) fn operation(&self) -> Operation {
        match self {
            Self::Resolve { .. } => Operation::Resolve,
            Self::Authorize { .. } => Operation::Authorize,
            Self::Submit { .. } => Operation::Submit,
            Self::List { .. } => Operation::List,
            Self::Read { .. } => Operation::Read,
            Self::Send { .. } => Operation::Send,
            Self::Retrieve { .. } => Operation::Retrieve,
            Self::Watch { .. } => Operation::Watch,
            Self::Consent { .. } => Operation::Consent,
            Self::Withdraw { .. } => Operation::Withdraw,
            Self::Enrol { .. } => Operation::Enrol,
        }
    }

    /// Whether it changes something, so that a good client repeats it until it is acknowledged.
    pub(crate) fn writes(&self) -> bool {
        matches!(
            self,
            Self::Submit { .. } | Self::Send { .. } | Self::Consent { .. } | Self::Withdraw { .. } | Self::Enrol { .. }
        )
    }

    /// Makes the call once.
    pub(crate) async fn attempt(&self, clients: &Clients) -> Result<Brought, Ending> {
        match self {
            Self::Resolve { professional_id, ins } => resolve(clients, professional_id, ins).await,
            Self::Authorize {
                dmp_id,
                professional_id,
            } => authorize(clients, dmp_id, professional_id).await,
            Self::Submit {
                request_id,
                dmp_id,
                professional_id,
                unique_id,
                content,
                sha256,
                ..
            } => {
                let parts = submission(request_id, dmp_id, content, sha256.clone());
                let request = clients.ask(&physician(professional_id), tokio_stream::iter(parts))?;
                let answer = clients.documents().submit_document(request).await?.into_inner();
                if answer.document.is_none_or(|document| document.sha256 != *sha256) {
                    return Err(Ending::Wrong("document"));
                }
                let receipt = answer.receipt.and_then(|receipt| receipt.entry_id.parse().ok());
                let entry_id = receipt.ok_or(Ending::Wrong("receipt"))?;
                Ok(Brought {
                    acknowledged: Some(Entry::document(dmp_id, professional_id, unique_id, sha256, entry_id)),
                    ..Brought::bytes(content.len())
                })
            }
            Self::List {
                dmp_id,
                professional_id,
            } => list(clients, dmp_id, professional_id).await,
            Self::Read {
                dmp_id,
                professional_id,
                unique_id,
                verify,
            } => {
                let (content, told) = read(clients, dmp_id, professional_id, unique_id).await?;
                if *verify && sha256(&content) != told {
                    return Err(Ending::Wrong("content"));
                }
                Ok(Brought::bytes(content.len()))
            }
            Self::Send {
                request_id,
                from,
                address,
                body,
                ..
            } => send(clients, request_id, from, address, body).await,
            Self::Retrieve { mailbox, message_id } => {
                let body = message(clients, mailbox, message_id).await?;
                Ok(Brought::bytes(body.len()))
            }
            Self::Watch { mailbox } => first_word(clients, mailbox).await,
            Self::Consent { request_id, fickle } => {
                let request = clients.ask(&holder(&fickle.dmp_id), creation_consent(&fickle.dmp_id, request_id))?;
                let given = clients.consents().record_consent(request).await?.into_inner();
                Ok(Brought {
                    acknowledged: Some(Entry::consent(&fickle.dmp_id, &given.consent_id)),
                    consent_id: Some(given.consent_id),
                    ..Brought::default()
                })
            }
            Self::Withdraw {
                request_id,
                fickle,
                consent_id,
            } => {
                let request = consent::WithdrawConsentRequest {
                    request_id: request_id.clone(),
                    dmp_id: fickle.dmp_id.clone(),
                    consent_id: consent_id.clone(),
                };
                let request = clients.ask(&holder(&fickle.dmp_id), request)?;
                clients.consents().withdraw_consent(request).await?;
                Ok(Brought {
                    acknowledged: Some(Entry::withdrawal(&fickle.dmp_id, consent_id)),
                    ..Brought::default()
                })
            }
            Self::Enrol { request_id, person } => enrol(clients, request_id, person).await,
        }
    }

    /// Lets the calls to come know how this one ended.
    pub(crate) fn remember(self, ended: Result<Brought, Ending>, population: &Population) {
        match (self, ended) {
            (Self::Submit { dossier, unique_id, .. }, Ok(_)) => population.deposited(dossier, unique_id),
            (Self::Send { recipient, .. }, Ok(brought)) => {
                if let Some(message_id) = brought.message_id {
                    population.arrived(recipient, message_id);
                }
            }
            (Self::Consent { fickle, .. }, Ok(brought)) => population.release(Fickle {
                consent_id: brought.consent_id,
                ..fickle
            }),
            (Self::Withdraw { fickle, .. }, Ok(_)) => population.release(Fickle {
                consent_id: None,
                ..fickle
            }),
            (Self::Consent { request_id, fickle } | Self::Withdraw { request_id, fickle, .. }, Err(_)) => {
                population.release(Fickle {
                    unanswered: Some(request_id),
                    ..fickle
                });
            }
            _ => {}
        }
    }
}

impl From<serve::Failure> for Ending {
    /// A request that cannot be made.
    fn from(_: serve::Failure) -> Self {
        Self::Wrong("token")
    }
}

impl From<Status> for Ending {
    fn from(status: Status) -> Self {
        Self::of(&status)
    }
}

/// The messages of a deposit.
pub(crate) fn submission(
    request_id: &str,
    dmp_id: &str,
    content: &[u8],
    sha256: Vec<u8>,
) -> Vec<dossier::SubmitDocumentRequest> {
    let header = dossier::SubmitDocumentHeader {
        request_id: request_id.to_owned(),
        dmp_id: dmp_id.to_owned(),
        media_type: "text/xml".to_owned(),
        sha256,
        size: i64::try_from(content.len()).unwrap_or_default(),
        visibility: Some(dossier::Visibility::default()),
        ..dossier::SubmitDocumentHeader::default()
    };
    let chunks = content.chunks(CHUNK_BYTES).map(|chunk| Part::Chunk(chunk.to_vec()));
    std::iter::once(Part::Header(header))
        .chain(chunks)
        .map(|part| dossier::SubmitDocumentRequest { part: Some(part) })
        .collect()
}

async fn resolve(clients: &Clients, professional_id: &str, ins: &identifier::Ins) -> Result<Brought, Ending> {
    let request = identifier::ResolveIdentifierRequest {
        ins: Some(ins.clone()),
        traits: None,
    };
    let request = clients.ask(&physician(professional_id), request)?;
    clients.identifiers().resolve_identifier(request).await?;
    Ok(Brought::default())
}

async fn enrol(clients: &Clients, request_id: &str, person: &Person) -> Result<Brought, Ending> {
    let request = identifier::EnrolBeneficiaryRequest {
        request_id: request_id.to_owned(),
        ins: Some(person.ins()),
        traits: Some(person.traits()),
        identity_status: identifier::IdentityStatus::Qualified.into(),
    };
    let request = clients.ask(&administrator(), request)?;
    let enrolled = clients.identifiers().enrol_beneficiary(request).await?.into_inner();
    Ok(Brought {
        acknowledged: Some(Entry::beneficiary(&enrolled.dmp_id, &person.matricule)),
        ..Brought::default()
    })
}

async fn authorize(clients: &Clients, dmp_id: &str, professional_id: &str) -> Result<Brought, Ending> {
    let request = consent::AuthorizeRequest {
        dmp_id: dmp_id.to_owned(),
        operation: consent::Operation::ReadDocuments.into(),
        context: None,
    };
    let request = clients.ask(&physician(professional_id), request)?;
    let decision = clients.decisions().authorize(request).await?.into_inner();
    match decision.outcome {
        Some(consent::decision::Outcome::Grant(_)) => Ok(Brought::default()),
        _ => Err(Ending::Wrong("decision")),
    }
}

async fn list(clients: &Clients, dmp_id: &str, professional_id: &str) -> Result<Brought, Ending> {
    let request = dossier::ListDocumentsRequest {
        dmp_id: dmp_id.to_owned(),
        ..dossier::ListDocumentsRequest::default()
    };
    let request = clients.ask(&physician(professional_id), request)?;
    let listed = clients.documents().list_documents(request).await?.into_inner();
    if listed.receipt.is_none() {
        return Err(Ending::Wrong("receipt"));
    }
    Ok(Brought::default())
}

/// A document's content, with the digest that its metadata tell.
pub(crate) async fn read(
    clients: &Clients,
    dmp_id: &str,
    professional_id: &str,
    unique_id: &str,
) -> Result<(Vec<u8>, Vec<u8>), Ending> {
    let request = dossier::ReadDocumentRequest {
        dmp_id: dmp_id.to_owned(),
        unique_id: unique_id.to_owned(),
        context: None,
    };
    let request = clients.ask(&physician(professional_id), request)?;
    let mut answers = clients.documents().read_document(request).await?.into_inner();
    let (mut content, mut told) = (Vec::new(), None);
    while let Some(answer) = answers.message().await? {
        match answer.part {
            Some(Read::Head(head)) => told = head.document,
            Some(Read::Chunk(chunk)) => content.extend(chunk),
            None => {}
        }
    }
    let told = told.ok_or(Ending::Wrong("head"))?;
    if usize::try_from(told.size) != Ok(content.len()) {
        return Err(Ending::Wrong("size"));
    }
    Ok((content, told.sha256))
}

async fn send(
    clients: &Clients,
    request_id: &str,
    from: &Mailbox,
    address: &str,
    body: &str,
) -> Result<Brought, Ending> {
    let request = messaging::SendMessageRequest {
        request_id: request_id.to_owned(),
        mailbox_id: from.mailbox_id.clone(),
        recipients: vec![address.to_owned()],
        subject: "Avis".to_owned(),
        body: body.to_owned(),
        ..messaging::SendMessageRequest::default()
    };
    let request = clients.ask(&physician(&from.professional_id), request)?;
    let sent = clients.messages().send_message(request).await?.into_inner();
    let message_id = sent.message.ok_or(Ending::Wrong("message"))?.message_id;
    Ok(Brought {
        acknowledged: Some(Entry::message(from, &message_id, body)),
        message_id: Some(message_id),
        ..Brought::bytes(body.len())
    })
}

/// A message's body.
pub(crate) async fn message(clients: &Clients, mailbox: &Mailbox, message_id: &str) -> Result<String, Ending> {
    let request = messaging::GetMessageRequest {
        mailbox_id: mailbox.mailbox_id.clone(),
        message_id: message_id.to_owned(),
    };
    let request = clients.ask(&physician(&mailbox.professional_id), request)?;
    Ok(clients.messages().get_message(request).await?.into_inner().body)
}

/// A watch says something at once.
async fn first_word(clients: &Clients, mailbox: &Mailbox) -> Result<Brought, Ending> {
    let request = messaging::WatchMailboxRequest {
        mailbox_id: mailbox.mailbox_id.clone(),
        resume_token: String::new(),
    };
    let request = clients.ask(&physician(&mailbox.professional_id), request)?;
    let mut told = clients.messages().watch_mailbox(request).await?.into_inner();
    told.message().await?.ok_or(Ending::Wrong("watch"))?;
    Ok(Brought::default())
}
