//! Who may come in, asked anew for each access, and taken down before anything is shown.
//!
//! [`Gate`] is the only way to a dossier. [`Gate::enter`] asks the consent service and gives a [`Granted`], without which
//! no statement on documents can be called. [`Gate::record`] takes the access down and gives an [`Entered`], without
//! which no content opens. Neither can be made elsewhere. What is refused is taken down too, with the rule that refused;
//! when consent cannot be asked, the access is refused and taken down as undecided. When the journal cannot record,
//! that is the answer, whatever else it would have been.
//!
//! There is no cache: an acknowledged withdrawal governs every access that starts afterwards.

use api::common::v1 as common;
use api::common::v1::{AccessMode, Reason, Role};
use api::consent::v1 as consent;
use api::consent::v1::Operation;
use api::consent::v1::access_service_client::AccessServiceClient;
use api::consent::v1::decision::Outcome;
use api::dossier::v1 as pb;
use api::dossier::v1::{AccessAction, AccessOutcome};
use api::identity::DmpId;
use journal::{Entry, Journal};
use prost::Message;
use serve::{Actor, Call, Context, Failure, Peer, StartError, Violations, role_name};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use store::random::Random;
use store::time::{Clock, Timestamp, to_proto};
use store::{Db, Engine};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::duty_uses;
use crate::error::{Error, Result, rule_name};

/// TRE_G15: physicians, on whom alone the duty of L162-5 lies.
pub(crate) const PHYSICIAN: &str = "10";

/// The rule of the consent service that refuses for want of a live consent to the dossier's creation.
const CREATION_NOT_CONSENTED: &str = "creation-not-consented";

/// What is kept back of a call's time when consent is asked, so that its silence can still be journaled and answered.
const ANSWER_TIME_MAX: Duration = Duration::from_millis(500);

/// Length of a reason in words.
const REASON_LENGTH: std::ops::RangeInclusive<usize> = 10..=1_000;

/// Mode and reason of an access. The reason is health data: journaled, never shown in `Debug`.
#[derive(Clone)]
pub(crate) struct AccessContext {
    mode: AccessMode,
    reason: String,
    secret_connection: bool,
}

impl AccessContext {
    /// The normal mode, for calls that have no other.
    pub(crate) fn normal() -> Self {
        Self {
            mode: AccessMode::Normal,
            reason: String::new(),
            secret_connection: false,
        }
    }

    /// Reads mode and reason: normal by default; any other mode says why.
    pub(crate) fn parse(violations: &mut Violations, sent: Option<&common::AccessContext>) -> Option<Self> {
        let Some(sent) = sent else { return Some(Self::normal()) };
        let mode = match sent.mode {
            0 => Some(AccessMode::Normal),
            number => violations.choice("context.mode", number),
        };
        let reason = match mode {
            Some(AccessMode::Normal) if sent.reason.is_empty() => Some(String::new()),
            _ => violations.text("context.reason", &sent.reason, REASON_LENGTH),
        };
        Some(Self {
            mode: mode?,
            reason: reason?,
            secret_connection: sent.secret_connection,
        })
    }

    fn to_proto(&self) -> common::AccessContext {
        common::AccessContext {
            mode: self.mode.into(),
            reason: self.reason.clone(),
            secret_connection: self.secret_connection,
        }
    }
}

impl fmt::Debug for AccessContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "AccessContext({:?}, …)", self.mode)
    }
}

/// What somebody asks to do with a dossier.
#[derive(Debug, Clone)]
struct Asked {
    actor: Arc<Actor>,
    dmp_id: DmpId,
    action: AccessAction,
    context: AccessContext,
}

/// On what a decision stands.
#[derive(Clone, Default)]
struct Ground {
    bases: Vec<consent::Basis>,
    revision: i64,
    matrix_version: String,
    decided_at: Option<prost_types::Timestamp>,
}

/// Leave to do one thing with one dossier. Only [`Gate::enter`] makes it.
#[derive(Clone)]
pub(crate) struct Granted {
    asked: Asked,
    operation: Operation,
    grant: consent::Grant,
    ground: Ground,
    standing: Standing,
}

/// How a professional stands with the dossier (TD 0.2).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    /// As the consent service numbers it.
    pub(crate) authorization_state: i32,
    pub(crate) treating_physician: bool,
}

/// What the bearer of a grant sees, as listings filter by it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sight {
    pub(crate) masked: bool,
    pub(crate) hidden_from_holder: bool,
    pub(crate) hidden_from_representatives: bool,
}

/// Proof that an access is in the journal. Only the gate makes it.
#[derive(Debug, Clone)]
pub(crate) struct Entered {
    receipt: common::Receipt,
}

impl Entered {
    /// The journal's receipt.
    pub(crate) fn receipt(&self) -> common::Receipt {
        self.receipt.clone()
    }
}

impl Granted {
    /// The dossier.
    pub(crate) fn dmp_id(&self) -> &DmpId {
        &self.asked.dmp_id
    }

    /// Who acts.
    pub(crate) fn actor(&self) -> &Actor {
        &self.asked.actor
    }

    /// How the professional stands with the dossier.
    pub(crate) fn standing(&self) -> Standing {
        self.standing
    }

    /// The types of documents that it is good for; `None` when it is for none.
    pub(crate) fn document_types(&self) -> Option<&consent::DocumentTypes> {
        let operation = i32::from(self.operation);
        let permission = self
            .grant
            .permissions
            .iter()
            .find(|permission| permission.operation == operation)?;
        permission.document_types.as_ref()
    }

    /// Whether it is good for documents of this type.
    pub(crate) fn covers(&self, type_code: &str) -> bool {
        let listed = |types: &consent::DocumentTypes| types.type_codes.iter().any(|code| code == type_code);
        self.document_types()
            .is_some_and(|types| listed(types) != types.all_but)
    }

    /// What the bearer sees beyond that.
    pub(crate) fn sight(&self) -> Sight {
        Sight {
            masked: self.grant.sees_masked,
            hidden_from_holder: self.grant.sees_hidden_from_holder,
            hidden_from_representatives: self.grant.sees_hidden_from_representatives,
        }
    }

    /// Who deposits under it, as `role:identifier`: the same for one person, or one structure's systems, every time.
    pub(crate) fn depositor(&self) -> String {
        let actor = self.actor();
        let identifier = match actor.role {
            Role::Professional => actor.professional.as_ref().map(|id| id.as_str().to_owned()),
            Role::Holder => actor.dmp_id.as_ref().map(|id| id.as_str().to_owned()),
            Role::EstablishmentSystem => actor.structure.as_ref().map(|id| id.as_str().to_owned()),
            _ => None,
        };
        let role = role_name(actor.role).to_lowercase();
        format!("{role}:{}", identifier.unwrap_or_else(|| actor.caller_key()))
    }

    /// The identifier under which the bearer may be an author of documents.
    pub(crate) fn author_id(&self) -> Option<&str> {
        self.actor().professional.as_ref().map(|id| id.as_str())
    }

    /// The physician whose duty the access counts for, when it is a consultation or an update.
    fn duty_of(&self) -> Option<&str> {
        use AccessAction::{GetDocument, ListDocuments, ReadDocument, SubmitDocument};
        let counts = matches!(
            self.asked.action,
            GetDocument | ListDocuments | ReadDocument | SubmitDocument
        );
        let physician =
            self.actor().role == Role::Professional && self.actor().profession.as_deref() == Some(PHYSICIAN);
        if counts && physician { self.author_id() } else { None }
    }
}

/// The way in. Cheap to clone.
pub(crate) struct Gate<DB: Engine> {
    consent: Peer,
    db: Db<DB>,
    journal: Journal<DB>,
    clock: Clock,
    random: Random,
}

impl<DB: Engine> Clone for Gate<DB> {
    fn clone(&self) -> Self {
        Self {
            consent: self.consent.clone(),
            db: self.db.clone(),
            journal: self.journal.clone(),
            clock: self.clock.clone(),
            random: self.random.clone(),
        }
    }
}

impl<DB: Engine> Gate<DB> {
    pub(crate) fn new(context: &Context<DB>, journal: Journal<DB>) -> Result<Self, StartError> {
        Ok(Self {
            consent: context.peers.get("consent")?,
            db: context.db.clone(),
            journal,
            clock: context.clock.clone(),
            random: context.random.clone(),
        })
    }

    /// The journal, to read it.
    pub(crate) fn journal(&self) -> &Journal<DB> {
        &self.journal
    }

    /// Asks whether the caller may do `operation`, right now. A refusal is journaled before it is answered.
    ///
    /// # Errors
    /// ACCESS_REFUSED with rule, article and what each other mode would do; CONSENT_MISSING when a dossier is to be opened
    /// that nobody has consented to; PEER_UNAVAILABLE when consent does not answer; the journal's.
    pub(crate) async fn enter(
        &self,
        call: &Call,
        dmp_id: DmpId,
        operation: Operation,
        context: AccessContext,
        action: AccessAction,
    ) -> Result<Granted> {
        let asked = Asked {
            actor: call.actor.clone(),
            dmp_id,
            action,
            context,
        };
        let decision = match self.ask(call, &asked, operation).await {
            Ok(decision) => decision,
            Err(failure) => return Err(self.undecided(&asked, failure).await),
        };
        let ground = Ground {
            bases: decision.bases,
            revision: decision.revision,
            matrix_version: decision.matrix_version,
            decided_at: decision.decided_at,
        };
        let standing = Standing {
            authorization_state: decision.authorization_state,
            treating_physician: decision.treating_physician,
        };
        match decision.outcome {
            Some(Outcome::Grant(grant)) if permits(&grant, operation) => {
                let granted = Granted {
                    asked,
                    operation,
                    grant,
                    ground,
                    standing,
                };
                if operation == Operation::OpenDossier && !decision.creation_consented {
                    return Err(self
                        .refused(&granted.asked, granted.ground.clone(), consent_missing())
                        .await);
                }
                Ok(granted)
            }
            Some(Outcome::Refusal(refusal)) => {
                let unconsented = !decision.creation_consented && names_rule(&ground, CREATION_NOT_CONSENTED);
                let failure = if operation == Operation::OpenDossier && unconsented {
                    consent_missing()
                } else {
                    access_refused(&ground, &refusal)
                };
                Err(self.refused(&asked, ground, failure).await)
            }
            // An answer that does not answer: closed, as if there were none.
            _ => Err(self.undecided(&asked, Failure::peer_unavailable("consent")).await),
        }
    }

    /// Takes an access down that shows `documents`. Nothing of them may leave before this has answered.
    ///
    /// A physician's use for the duty is written in the transaction that stages the entry, so it is there exactly when
    /// the journal has, or will have, the entry that proves it.
    pub(crate) async fn record(&self, granted: &Granted, documents: Vec<String>) -> Result<Entered> {
        if granted.duty_of().is_none() {
            let (_, entry) = self.entry_of(granted, documents);
            return Ok(Entered {
                receipt: (&self.journal.append(entry).await?).into(),
            });
        }
        let (gate, granted) = (self.clone(), granted.clone());
        let staged = self
            .db
            .write(move |connection| Box::pin(async move { gate.stage(connection, &granted, documents).await }));
        let receipt = self.settle(staged.await?).await?;
        Ok(Entered { receipt })
    }

    /// Puts an access on its way into the journal inside the transaction of the change that it is; answers the entry's id.
    pub(crate) async fn stage(
        &self,
        connection: &mut DB::Connection,
        granted: &Granted,
        documents: Vec<String>,
    ) -> Result<Uuid> {
        let (occurred_at, entry) = self.entry_of(granted, documents);
        self.journal.stage(connection, &entry).await?;
        if let Some(physician) = granted.duty_of() {
            duty_uses::insert::<DB>(connection, physician, granted.dmp_id(), occurred_at, entry.entry_id).await?;
        }
        Ok(entry.entry_id)
    }

    /// The receipt of a staged access, once it is in the log.
    pub(crate) async fn settle(&self, entry_id: Uuid) -> Result<common::Receipt> {
        Ok((&self.journal.settle(entry_id).await?).into())
    }

    /// As [`Gate::settle`], for an answer that carries the entry's id only: one just made, or one remembered.
    pub(crate) async fn settle_answer(&self, receipt: Option<common::Receipt>) -> Result<Option<common::Receipt>> {
        let entry_id = receipt.and_then(|receipt| Uuid::parse_str(&receipt.entry_id).ok());
        let entry_id = entry_id.ok_or(store::Error::Corrupt("requests.response"))?;
        self.settle(entry_id).await.map(Some)
    }

    /// Takes down what was decided against an access after the gate let it in: a document of somebody else, a dossier
    /// that is closed, a document that is not there. Answers `error`, or the journal's. What merely failed is not taken
    /// down: nothing was shown and nothing done.
    pub(crate) async fn turn_away(&self, granted: &Granted, error: Error) -> Error {
        let Some(reason) = error.decided() else { return error };
        let rule = if matches!(error, Error::OutsideMatrix) {
            "matrix"
        } else {
            rule_name(reason)
        };
        let basis = consent::Basis {
            rule: rule.to_owned(),
            summary: error.to_string(),
            ..consent::Basis::default()
        };
        let ground = Ground {
            bases: vec![basis],
            ..granted.ground.clone()
        };
        match self.append(&granted.asked, AccessOutcome::Refused, ground).await {
            Ok(()) => error,
            Err(unrecorded) => unrecorded,
        }
    }

    async fn ask(&self, call: &Call, asked: &Asked, operation: Operation) -> Result<consent::Decision, Failure> {
        let message = consent::AuthorizeRequest {
            dmp_id: asked.dmp_id.as_str().to_owned(),
            operation: operation.into(),
            context: Some(asked.context.to_proto()),
        };
        let mut request = self.consent.request(call, message)?;
        let remaining = call.remaining();
        request.set_timeout(remaining.saturating_sub(ANSWER_TIME_MAX.min(remaining / 5)));
        let answer = AccessServiceClient::new(self.consent.channel())
            .authorize(request)
            .await;
        answer
            .map(tonic::Response::into_inner)
            .map_err(|status| self.unanswered(call, &status))
    }

    /// Our own limit on consent's time is not the caller's deadline.
    fn unanswered(&self, call: &Call, status: &Status) -> Failure {
        let failure = self.consent.failure(status);
        if failure.code == Code::DeadlineExceeded && !call.remaining().is_zero() {
            return Failure::peer_unavailable(self.consent.name());
        }
        failure
    }

    async fn refused(&self, asked: &Asked, ground: Ground, failure: Failure) -> Error {
        match self.append(asked, AccessOutcome::Refused, ground).await {
            Ok(()) => failure.into(),
            Err(unrecorded) => unrecorded,
        }
    }

    async fn undecided(&self, asked: &Asked, failure: Failure) -> Error {
        match self.append(asked, AccessOutcome::Undecided, Ground::default()).await {
            Ok(()) => failure.into(),
            Err(unrecorded) => unrecorded,
        }
    }

    async fn append(&self, asked: &Asked, outcome: AccessOutcome, ground: Ground) -> Result<()> {
        let (_, entry) = self.entry(asked, outcome, ground, Vec::new());
        self.journal.append(entry).await?;
        Ok(())
    }

    fn entry_of(&self, granted: &Granted, documents: Vec<String>) -> (Timestamp, Entry) {
        self.entry(
            &granted.asked,
            AccessOutcome::Granted,
            granted.ground.clone(),
            documents,
        )
    }

    /// The journal's entry of an access, and the moment that it states.
    fn entry(
        &self,
        asked: &Asked,
        outcome: AccessOutcome,
        ground: Ground,
        documents: Vec<String>,
    ) -> (Timestamp, Entry) {
        let (entry_id, now) = (self.random.uuid(), self.clock.now());
        let access = pb::Access {
            entry_id: entry_id.to_string(),
            dmp_id: asked.dmp_id.as_str().to_owned(),
            actor: Some(asked.actor.to_proto()),
            action: asked.action.into(),
            outcome: outcome.into(),
            context: Some(asked.context.to_proto()),
            document_ids: documents,
            bases: ground.bases,
            consent_revision: ground.revision,
            matrix_version: ground.matrix_version,
            decided_at: ground.decided_at,
            occurred_at: Some(to_proto(now)),
        };
        let subject = asked.dmp_id.as_str().to_owned();
        (
            now,
            Entry {
                entry_id,
                subject,
                payload: access.encode_to_vec(),
            },
        )
    }
}

fn permits(grant: &consent::Grant, operation: Operation) -> bool {
    grant
        .permissions
        .iter()
        .any(|permission| permission.operation == i32::from(operation))
}

fn names_rule(ground: &Ground, rule: &str) -> bool {
    ground.bases.iter().any(|basis| basis.rule == rule)
}

fn consent_missing() -> Failure {
    let message = "there is no live express consent to the dossier's creation (L1111-14)";
    Failure::precondition(Reason::ConsentMissing, message).with("purpose", "CREATION")
}

/// The refusal with its rule, and what each other mode would open and oblige to.
fn access_refused(ground: &Ground, refusal: &consent::Refusal) -> Failure {
    let message = "a rule refuses this access";
    let mut failure = Failure::new(Code::PermissionDenied, Reason::AccessRefused, message);
    if let Some(basis) = ground.bases.first() {
        failure.message = format!("{message}: {}", basis.summary);
        failure = failure
            .with("rule", basis.rule.as_str())
            .with("article", basis.article.as_str());
    }
    for alternative in &refusal.alternatives {
        let mode = alternative
            .mode()
            .as_str_name()
            .trim_start_matches("ACCESS_MODE_")
            .to_lowercase();
        failure = failure.with(format!("mode_{mode}"), outcome_of(alternative));
    }
    failure
}

/// `opens`, with what it obliges to; or `refused_by=` and the rule.
fn outcome_of(alternative: &consent::refusal::Alternative) -> String {
    if !alternative.opens {
        let rule = alternative
            .refused_by
            .as_ref()
            .map(|basis| basis.rule.as_str())
            .unwrap_or_default();
        return format!("refused_by={rule}");
    }
    let obligations = alternative
        .obligations()
        .map(|it| it.as_str_name().trim_start_matches("OBLIGATION_"));
    let obligations: Vec<&str> = obligations.collect();
    match obligations.as_slice() {
        [] => "opens".to_owned(),
        obligations => format!("opens;{}", obligations.join(",")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
    use super::*;
    use proptest::prelude::*;

    fn granted(types: consent::DocumentTypes) -> Granted {
        let actor = Actor::from_proto(&common::Actor {
            role: Role::Professional.into(),
            subject: "someone".to_owned(),
            issuer: "https://issuer.test".to_owned(),
            professional_id: "810000000017".to_owned(),
            profession: PHYSICIAN.to_owned(),
            ..common::Actor::default()
        });
        let permission = consent::Permission {
            operation: Operation::SubmitDocuments.into(),
            document_types: Some(types),
        };
        Granted {
            asked: Asked {
                actor: Arc::new(actor.unwrap()),
                dmp_id: DmpId::generate([1; 16]),
                action: AccessAction::SubmitDocument,
                context: AccessContext::normal(),
            },
            operation: Operation::SubmitDocuments,
            grant: consent::Grant {
                permissions: vec![permission],
                ..consent::Grant::default()
            },
            ground: Ground::default(),
            standing: Standing {
                authorization_state: 0,
                treating_physician: false,
            },
        }
    }

    proptest! {
        /// The contract's DocumentTypes: a list, or every type but a list.
        #[test]
        fn a_type_is_covered_by_the_list_or_by_everything_but_the_list(
            codes in proptest::collection::vec("[0-9]{1,3}", 0..6), asked in "[0-9]{1,3}", all_but: bool,
        ) {
            let listed = codes.contains(&asked);
            let types = consent::DocumentTypes { all_but, type_codes: codes };
            prop_assert_eq!(granted(types).covers(&asked), if all_but { !listed } else { listed });
        }
    }

    /// A grant without types, or for another operation, covers no document.
    #[test]
    fn a_grant_for_another_operation_covers_nothing() {
        let mut other = granted(consent::DocumentTypes {
            all_but: true,
            type_codes: Vec::new(),
        });
        assert!(other.covers("11502-2"));
        other.operation = Operation::ReadDocuments;
        assert!(!other.covers("11502-2"));
        other.operation = Operation::SubmitDocuments;
        other.grant.permissions[0].document_types = None;
        assert!(!other.covers("11502-2"));
    }

    /// actor.proto: a reason of 10 to 1,000 characters outside of the normal mode.
    #[test]
    fn every_mode_but_the_normal_one_says_why() {
        let parse = |mode: AccessMode, reason: &str| {
            let mut violations = Violations::default();
            let sent = common::AccessContext {
                mode: mode.into(),
                reason: reason.to_owned(),
                ..common::AccessContext::default()
            };
            AccessContext::parse(&mut violations, Some(&sent))
                .filter(|_| violations.is_empty())
                .is_some()
        };
        assert!(parse(AccessMode::Unspecified, "") && parse(AccessMode::Normal, ""));
        assert!(!parse(AccessMode::BreakGlass, "") && !parse(AccessMode::Centre15, "too short"));
        assert!(parse(AccessMode::BreakGlass, "unconscious, allergies unknown"));
        assert!(!parse(AccessMode::BreakGlass, &"x".repeat(1_001)));
    }

    /// rules.md 1.2: only what the physician did is used for the duty, and only a physician has one.
    #[test]
    fn the_duty_is_a_physicians_and_counts_consultations_and_updates() {
        let mut access = granted(consent::DocumentTypes::default());
        assert_eq!(access.duty_of(), Some("810000000017"));
        access.asked.action = AccessAction::SeeStatus;
        assert_eq!(access.duty_of(), None);
        access.asked.action = AccessAction::ReadDocument;
        let mut pharmacist = access.actor().clone();
        pharmacist.profession = Some("21".to_owned());
        access.asked.actor = Arc::new(pharmacist);
        assert_eq!(access.duty_of(), None);
    }
}
