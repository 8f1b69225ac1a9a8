//! The population of a load, settled in the suite: identifiers, dossiers, documents, mailboxes.
//!
//! It is the same for the same seed and sizes, and settling it twice changes nothing: people enrolled already answer with
//! their identifier, and a dossier whose last document is there is left alone. What was settled is remembered in a file,
//! and believed after a sample of it was found.

use api::consent::v1 as consent;
use api::dossier::v1 as dossier;
use api::identifier::v1 as identifier;
use api::identifier::v1::enrolment_outcome::Result as Enrolled;
use api::messaging::v1 as messaging;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use tonic::{Code, Status};

use crate::LoadError;
use crate::call::submission;
use crate::dice::{Dice, Zipf};
use crate::document::{Filler, compose, first_extension, sha256, unique_id};
use crate::operation::Ending;
use crate::patience::{PATIENCE, PAUSE, patiently};
use crate::person::{Person, administrator, holder, physician, physician_id};
use crate::scenario::{Scenario, Sizes};
use crate::target::{Clients, Target};

/// A domain that no operator can have (RFC 2606).
const DOMAIN: &str = "charge.mssante.example";

/// Enrolments of a batch, and settlers at work at once.
const BATCH: usize = 500;
const SETTLERS: usize = 16;

/// Size of the documents that are there before the first call.
const FIRST_DOCUMENT_BYTES: usize = 20_000;

/// Documents of a dossier that a load remembers to read.
const REMEMBERED_MAX: usize = 64;
/// Messages that wait to be retrieved; older ones are forgotten.
const WAITING_MAX: usize = 10_000;
/// People who give and withdraw consents all the time.
const FICKLE_MAX: usize = 256;

/// What the suite said while the population was settled: enough to find it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Settled {
    seed: u64,
    sizes: Sizes,
    endpoints: crate::Endpoints,
    /// Identifiers by number.
    people: Vec<String>,
    mailboxes: Vec<Mailbox>,
}

/// A physician's mailbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Mailbox {
    pub(crate) professional_id: String,
    pub(crate) mailbox_id: String,
    pub(crate) address: String,
    /// A message that is there before the first call.
    pub(crate) first_message: String,
}

/// A person with the consent that it gives and withdraws.
#[derive(Debug, Clone)]
pub(crate) struct Fickle {
    pub(crate) dmp_id: String,
    pub(crate) consent_id: Option<String>,
    /// The `request_id` of a call that was not answered: whether it did something is not known until it is made again.
    pub(crate) unanswered: Option<String>,
}

/// Who can be called about, and what is known of them so far.
#[derive(Debug)]
pub(crate) struct Population {
    pub(crate) seed: u64,
    pub(crate) people: Vec<String>,
    pub(crate) mailboxes: Vec<Mailbox>,
    pub(crate) filler: Filler,
    dossiers: Zipf,
    physicians: Zipf,
    everybody: Zipf,
    documents: Vec<Mutex<VecDeque<String>>>,
    waiting: Mutex<VecDeque<(usize, String)>>,
    fickle: Mutex<Vec<Fickle>>,
    /// The number of whoever is enrolled next.
    newcomers: AtomicUsize,
}

impl Population {
    /// Settles the scenario's population, or finds it.
    pub(crate) async fn settle(
        target: &Target,
        clients: &Clients,
        scenario: &Scenario,
        (share, shares): (usize, usize),
    ) -> Result<Self, LoadError> {
        let settling = Settling {
            clients,
            scenario,
            filler: &Filler::new(scenario.seed, FIRST_DOCUMENT_BYTES),
        };
        let remembered = target.folder.join("load-population.json");
        let settled = match settling.remembered(&remembered, target).await {
            Some(settled) => settled,
            None => {
                let settled = settling.all(target).await?;
                let text = serde_json::to_string(&settled).map_err(|error| LoadError::Report(error.to_string()))?;
                if let Err(error) = std::fs::write(&remembered, text) {
                    // It only costs the next load the same time again.
                    eprintln!("the population is not remembered: {}: {error}", remembered.display());
                }
                settled
            }
        };
        let fickle = settling.fickle(&settled.people, share, shares).await?;
        let Sizes {
            dossiers,
            documents,
            zipf,
            ..
        } = scenario.population;
        let first = |dossier| {
            let numbers = 0..documents.min(REMEMBERED_MAX);
            let ids = numbers.map(|number| unique_id(&first_extension(scenario.seed, dossier, number)));
            Mutex::new(ids.collect())
        };
        Ok(Self {
            seed: scenario.seed,
            dossiers: Zipf::new(dossiers, zipf),
            physicians: Zipf::new(settled.mailboxes.len(), zipf),
            everybody: Zipf::new(settled.people.len(), zipf),
            documents: (0..dossiers).map(first).collect(),
            waiting: Mutex::default(),
            fickle: Mutex::new(fickle),
            // From anywhere behind the population: what another load enrolled would be there already.
            newcomers: AtomicUsize::new(settled.people.len() + u32::from_be_bytes(target.random.bytes()) as usize),
            people: settled.people,
            mailboxes: settled.mailboxes,
            filler: Filler::new(
                scenario.seed,
                scenario.documents.iter().map(|size| size.bytes).max().unwrap_or(0),
            ),
        })
    }

    /// An active dossier, by its number.
    pub(crate) fn any_dossier(&self, dice: &Dice) -> usize {
        self.dossiers.pick(dice)
    }

    /// Anybody, by its number.
    pub(crate) fn anybody(&self, dice: &Dice) -> usize {
        self.everybody.pick(dice)
    }

    /// Somebody whom the suite does not know.
    pub(crate) fn newcomer(&self) -> Option<Person> {
        Person::invent(self.seed, self.newcomers.fetch_add(1, Ordering::Relaxed))
    }

    /// A physician, by its number.
    pub(crate) fn any_physician(&self, dice: &Dice) -> usize {
        self.physicians.pick(dice)
    }

    /// The identifier of a dossier, and the physician whom its holder authorised.
    pub(crate) fn dossier(&self, number: usize) -> Option<(&str, &Mailbox)> {
        let mailbox = self.mailboxes.get(number % self.mailboxes.len().max(1))?;
        Some((self.people.get(number)?, mailbox))
    }

    /// A document of a dossier, by its unique id.
    pub(crate) fn any_document(&self, dossier: usize, dice: &Dice) -> Option<String> {
        let documents = locked(self.documents.get(dossier)?);
        documents.get(dice.below(documents.len())).cloned()
    }

    /// A document was deposited.
    pub(crate) fn deposited(&self, dossier: usize, unique_id: String) {
        if let Some(documents) = self.documents.get(dossier) {
            push(&mut locked(documents), unique_id, REMEMBERED_MAX);
        }
    }

    /// A message arrived at a physician.
    pub(crate) fn arrived(&self, physician: usize, message_id: String) {
        push(&mut locked(&self.waiting), (physician, message_id), WAITING_MAX);
    }

    /// The message that has waited longest to be retrieved, or one that is known from the beginning.
    pub(crate) fn waiting(&self, dice: &Dice) -> Option<(usize, String)> {
        if let Some(waiting) = locked(&self.waiting).pop_front() {
            return Some(waiting);
        }
        let physician = self.any_physician(dice);
        Some((physician, self.mailboxes.get(physician)?.first_message.clone()))
    }

    /// Somebody who has given its consent, or has not: nobody else changes it until [`Population::release`].
    pub(crate) fn take_fickle(&self, consenting: bool, dice: &Dice) -> Option<Fickle> {
        let mut fickle = locked(&self.fickle);
        let begin = dice.below(fickle.len());
        let mut places = (begin..fickle.len()).chain(0..begin);
        let found = places.find(|place| {
            fickle
                .get(*place)
                .is_some_and(|one| one.consent_id.is_some() == consenting)
        })?;
        Some(fickle.swap_remove(found))
    }

    /// Gives it back.
    pub(crate) fn release(&self, fickle: Fickle) {
        locked(&self.fickle).push(fickle);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn push<T>(queue: &mut VecDeque<T>, item: T, max: usize) {
    if queue.len() >= max {
        queue.pop_front();
    }
    queue.push_back(item);
}

struct Settling<'a> {
    clients: &'a Clients,
    scenario: &'a Scenario,
    filler: &'a Filler,
}

impl Settling<'_> {
    /// What the file says, when it is about this population and a sample of it is there.
    async fn remembered(&self, path: &Path, target: &Target) -> Option<Settled> {
        let text = std::fs::read_to_string(path).ok()?;
        let settled: Settled = serde_json::from_str(&text).ok()?;
        let same = settled.seed == self.scenario.seed
            && settled.sizes == self.scenario.population
            && settled.endpoints == target.endpoints;
        let last = self.scenario.population.dossiers.checked_sub(1)?;
        for number in [0, last / 2, last] {
            if !same || !self.is_ready(&settled.people, number).await.ok()? {
                return None;
            }
        }
        Some(settled)
    }

    async fn all(&self, target: &Target) -> Result<Settled, LoadError> {
        let people = self.enrol().await?;
        let numbers = 0..self.scenario.population.dossiers;
        let opening = numbers.map(|number| self.open(&people, number));
        let mut opened = 0_usize;
        let mut opening = stream::iter(opening).buffer_unordered(SETTLERS);
        while let Some(done) = opening.next().await {
            done?;
            opened += 1;
            if opened.is_multiple_of(1_000) {
                eprintln!("settling: {opened} dossiers");
            }
        }
        drop(opening);
        Ok(Settled {
            seed: self.scenario.seed,
            sizes: self.scenario.population.clone(),
            endpoints: target.endpoints.clone(),
            mailboxes: self.mailboxes().await?,
            people,
        })
    }

    fn person(&self, number: usize) -> Result<Person, LoadError> {
        Person::invent(self.scenario.seed, number).ok_or(LoadError::Invention)
    }

    /// Enrols everybody through the stream; a broken one is begun again, which changes nothing.
    async fn enrol(&self) -> Result<Vec<String>, LoadError> {
        let mut tries = 0;
        loop {
            match self.enrolled().await {
                Ok(people) => return Ok(people),
                Err(Failed::Ending(ending)) if ending.is_clear() && tries < PATIENCE => {
                    tries += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(Failed::Ending(ending)) => return Err(LoadError::settling("enrolling", &ending)),
                Err(Failed::Load(error)) => return Err(error),
            }
        }
    }

    async fn enrolled(&self) -> Result<Vec<String>, Failed> {
        let numbers: Vec<usize> = (0..self.scenario.population.beneficiaries).collect();
        let batches = numbers
            .chunks(BATCH)
            .map(|batch| self.batch(batch))
            .collect::<Result<Vec<_>, _>>()?;
        let request = self
            .clients
            .ask_at_leisure(&administrator(), tokio_stream::iter(batches))?;
        let mut answers = self
            .clients
            .identifiers()
            .enrol_beneficiaries(request)
            .await?
            .into_inner();
        let mut people = Vec::with_capacity(numbers.len());
        while let Some(answer) = answers.message().await? {
            for outcome in answer.outcomes {
                match outcome.result() {
                    Enrolled::Enrolled | Enrolled::AlreadyEnrolled => people.push(outcome.dmp_id),
                    other => return Err(LoadError::Settling("enrolling", format!("{other:?}")).into()),
                }
            }
        }
        if people.len() != numbers.len() {
            return Err(Failed::Ending(Ending::Torn));
        }
        Ok(people)
    }

    fn batch(&self, numbers: &[usize]) -> Result<identifier::EnrolBeneficiariesRequest, LoadError> {
        let enrolment = |number: &usize| {
            let person = self.person(*number)?;
            Ok(identifier::Enrolment {
                ins: Some(person.ins()),
                traits: Some(person.traits()),
                identity_status: identifier::IdentityStatus::Qualified.into(),
            })
        };
        Ok(identifier::EnrolBeneficiariesRequest {
            batch: numbers.first().map_or(0, |number| *number as u64),
            enrolments: numbers.iter().map(enrolment).collect::<Result<_, LoadError>>()?,
        })
    }

    /// Whether a dossier has all that it is given here.
    async fn is_ready(&self, people: &[String], number: usize) -> Result<bool, LoadError> {
        let Some(last) = self.scenario.population.documents.checked_sub(1) else {
            return Ok(false);
        };
        let (dmp_id, professional_id) = self.pair(people, number)?;
        let request = || dossier::GetDocumentRequest {
            dmp_id: dmp_id.clone(),
            unique_id: unique_id(&first_extension(self.scenario.seed, number, last)),
            context: None,
        };
        let there = patiently(async || {
            let request = self.clients.ask(&physician(&professional_id), request())?;
            Ok(self.clients.documents().get_document(request).await?)
        });
        Ok(there.await.is_ok())
    }

    fn pair(&self, people: &[String], number: usize) -> Result<(String, String), LoadError> {
        let dmp_id = people.get(number).cloned().ok_or(LoadError::Invention)?;
        let physician = number % self.scenario.population.physicians;
        let professional_id = physician_id(self.scenario.seed, physician).ok_or(LoadError::Invention)?;
        Ok((dmp_id, professional_id))
    }

    /// Consent, dossier, authorisation and documents of one person, unless they are there.
    async fn open(&self, people: &[String], number: usize) -> Result<(), LoadError> {
        if self.is_ready(people, number).await? {
            return Ok(());
        }
        let (dmp_id, professional_id) = self.pair(people, number)?;
        let clients = self.clients;
        let (own, doctor) = (holder(&dmp_id), physician(&professional_id));
        let request_ids = [clients.request_id(), clients.request_id(), clients.request_id()];
        let [for_consent, for_dossier, for_physician] = &request_ids;
        let step = |what| move |ending: Ending| LoadError::settling(what, &ending);
        unless_there(
            patiently(async || {
                let request = clients.ask(&own, creation_consent(&dmp_id, for_consent))?;
                Ok(clients.consents().record_consent(request).await?)
            })
            .await,
        )
        .map_err(step("recording a consent"))?;
        unless_there(
            patiently(async || {
                let request = dossier::OpenDossierRequest {
                    request_id: for_dossier.clone(),
                    dmp_id: dmp_id.clone(),
                };
                Ok(clients.dossiers().open_dossier(clients.ask(&own, request)?).await?)
            })
            .await,
        )
        .map_err(step("opening a dossier"))?;
        patiently(async || {
            let request = consent::AuthorizeProfessionalRequest {
                request_id: for_physician.clone(),
                dmp_id: dmp_id.clone(),
                professional_id: professional_id.clone(),
                ..consent::AuthorizeProfessionalRequest::default()
            };
            let request = clients.ask(&own, request)?;
            Ok(clients.authorizations().authorize_professional(request).await?)
        })
        .await
        .map_err(step("authorising a physician"))?;
        let person = self.person(number)?;
        // The same author whatever the sizes are: other sizes of a population must not make other documents.
        let author = physician_id(self.scenario.seed, 0).ok_or(LoadError::Invention)?;
        for document in 0..self.scenario.population.documents {
            let extension = first_extension(self.scenario.seed, number, document);
            let content = compose(
                &person,
                &author,
                &extension,
                FIRST_DOCUMENT_BYTES,
                number.wrapping_mul(31) + document,
                self.filler,
            );
            let request_id = clients.request_id();
            patiently(async || {
                let parts = submission(&request_id, &dmp_id, &content, sha256(&content));
                let request = clients.ask(&doctor, tokio_stream::iter(parts))?;
                Ok(clients.documents().submit_document(request).await?)
            })
            .await
            .map_err(step("depositing a document"))?;
        }
        Ok(())
    }

    async fn mailboxes(&self) -> Result<Vec<Mailbox>, LoadError> {
        let request_id = self.clients.request_id();
        unless_there(
            patiently(async || {
                let request = messaging::AllowDomainRequest {
                    request_id: request_id.clone(),
                    domain: DOMAIN.to_owned(),
                };
                let request = self.clients.ask(&administrator(), request)?;
                Ok(self.clients.mailboxes().allow_domain(request).await?)
            })
            .await,
        )
        .map_err(|ending| LoadError::settling("allowing a domain", &ending))?;
        let numbers = 0..self.scenario.population.physicians;
        stream::iter(numbers.map(|number| self.mailbox(number)))
            .buffered(SETTLERS)
            .try_collect()
            .await
    }

    /// Registers a physician, opens its mailbox, and puts a message into it.
    async fn mailbox(&self, number: usize) -> Result<Mailbox, LoadError> {
        let professional_id = physician_id(self.scenario.seed, number).ok_or(LoadError::Invention)?;
        let address = format!("charge.{professional_id}@{DOMAIN}");
        let (clients, doctor) = (self.clients, physician(&professional_id));
        let request_ids = [clients.request_id(), clients.request_id(), clients.request_id()];
        let [for_registration, for_mailbox, for_message] = &request_ids;
        let step = |what| move |ending: Ending| LoadError::settling(what, &ending);
        patiently(async || {
            let request = messaging::RegisterProfessionalRequest {
                request_id: for_registration.clone(),
                professional: Some(messaging::Professional {
                    professional_id: professional_id.clone(),
                    family_name: "CHARGE".to_owned(),
                    given_name: "Camille".to_owned(),
                    profession: "10".to_owned(),
                    specialty: "SM26".to_owned(),
                    ..messaging::Professional::default()
                }),
            };
            let request = clients.ask(&administrator(), request)?;
            Ok(clients.directory().register_professional(request).await?)
        })
        .await
        .map_err(step("registering a physician"))?;
        unless_there(
            patiently(async || {
                let request = messaging::OpenMailboxRequest {
                    request_id: for_mailbox.clone(),
                    address: address.clone(),
                    r#type: messaging::MailboxType::Person.into(),
                    owner_id: professional_id.clone(),
                    unlisted: false,
                    description: String::new(),
                };
                let request = clients.ask(&administrator(), request)?;
                Ok(clients.mailboxes().open_mailbox(request).await?)
            })
            .await,
        )
        .map_err(step("opening a mailbox"))?;
        let listed = patiently(async || {
            let request = clients.ask(&doctor, messaging::ListMailboxesRequest::default())?;
            Ok(clients.mailboxes().list_mailboxes(request).await?)
        })
        .await
        .map_err(step("finding a mailbox"))?;
        let mut mailboxes = listed.into_inner().mailboxes.into_iter();
        let mailbox = mailboxes
            .find(|mailbox| mailbox.address == address)
            .ok_or(LoadError::Invention)?;
        let sent = patiently(async || {
            let request = messaging::SendMessageRequest {
                request_id: for_message.clone(),
                mailbox_id: mailbox.mailbox_id.clone(),
                recipients: vec![address.clone()],
                subject: "Avis".to_owned(),
                body: "Premier message.".to_owned(),
                ..messaging::SendMessageRequest::default()
            };
            Ok(clients.messages().send_message(clients.ask(&doctor, request)?).await?)
        })
        .await
        .map_err(step("sending a message"))?;
        Ok(Mailbox {
            professional_id: professional_id.clone(),
            mailbox_id: mailbox.mailbox_id,
            address,
            first_message: sent.into_inner().message.unwrap_or_default().message_id,
        })
    }

    /// Those without a dossier who give and withdraw their consent, with the consent that they have now.
    async fn fickle(&self, people: &[String], share: usize, shares: usize) -> Result<Vec<Fickle>, LoadError> {
        if self.scenario.mix.consent + self.scenario.mix.withdraw == 0 {
            return Ok(Vec::new());
        }
        // From the end, where a smaller population of the same seed has no dossier either.
        let people = people
            .iter()
            .skip(self.scenario.population.dossiers)
            .rev()
            .take(FICKLE_MAX);
        let own = people.enumerate().filter(|(number, _)| number % shares == share);
        let asking = own.map(|(_, dmp_id)| self.fickle_one(dmp_id));
        stream::iter(asking).buffer_unordered(SETTLERS).try_collect().await
    }

    async fn fickle_one(&self, dmp_id: &str) -> Result<Fickle, LoadError> {
        let listed = patiently(async || {
            let request = consent::ListConsentsRequest {
                dmp_id: dmp_id.to_owned(),
                ..consent::ListConsentsRequest::default()
            };
            let request = self.clients.ask(&holder(dmp_id), request)?;
            Ok(self.clients.consents().list_consents(request).await?)
        });
        let listed = listed
            .await
            .map_err(|ending| LoadError::settling("listing consents", &ending))?;
        let live = listed.into_inner().consents.into_iter().next();
        Ok(Fickle {
            dmp_id: dmp_id.to_owned(),
            consent_id: live.map(|consent| consent.consent_id),
            unanswered: None,
        })
    }
}

/// The holder's own consent to the creation of its dossier.
pub(crate) fn creation_consent(dmp_id: &str, request_id: &str) -> consent::RecordConsentRequest {
    consent::RecordConsentRequest {
        request_id: request_id.to_owned(),
        dmp_id: dmp_id.to_owned(),
        purpose: consent::Purpose::Creation.into(),
        giver: Some(consent::Giver {
            capacity: consent::Capacity::Person.into(),
            representation_id: String::new(),
        }),
        mode: consent::ConsentMode::Online.into(),
        evidence: Some(consent::Evidence {
            kind: "online-session".to_owned(),
            sha256: vec![7; 32],
        }),
    }
}

/// Why a step of settling failed.
enum Failed {
    Ending(Ending),
    Load(LoadError),
}

impl From<Status> for Failed {
    fn from(status: Status) -> Self {
        Self::Ending(Ending::of(&status))
    }
}

impl From<serve::Failure> for Failed {
    fn from(failure: serve::Failure) -> Self {
        Self::Load(LoadError::Token(failure))
    }
}

impl From<LoadError> for Failed {
    fn from(error: LoadError) -> Self {
        Self::Load(error)
    }
}

/// What was there already is as good.
fn unless_there<T>(ended: Result<T, Ending>) -> Result<(), Ending> {
    match ended {
        Err(Ending::Refused(Code::AlreadyExists, _)) => Ok(()),
        ended => ended.map(drop),
    }
}
