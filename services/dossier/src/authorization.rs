//! Who may come in, asked anew for each access, and taken down before anything is shown.
//!
//! [`Gate`] is the only way to a dossier. [`Gate::enter`] asks the consent service and gives a [`Granted`], without which
//! no statement on documents can be called. [`Gate::record`] takes the access down and gives an [`Entered`], without
//! which no content opens. Neither can be made elsewhere. What is refused is taken down too, with the rule that refused;
//! when consent cannot be asked, the access is refused and taken down as undecided. When the journal cannot record,
//! that is the answer, whatever else it would have been.
//!
//! What is done in a secret connection, or with documents hidden from representatives, is taken down in the dossier's
//! secret chain and nowhere else ([`Chain`]). An access that obliges to a second look leaves as an event, in the
//! transaction that stages its entry.
//!
//! No decision is kept: an acknowledged withdrawal governs every access that starts afterwards.

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
use serve::{Actor, Call, Context, Failure, Peer, StartError, Violations};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use store::random::Random;
use store::time::{Clock, Timestamp, to_proto};
use store::{Db, Engine, Feed, NewRow};
use tonic::{Code, Request, Status};
use uuid::Uuid;

use crate::chain::{Chain, Named};
use crate::document::Document;
use crate::error::{Error, Result};
use crate::metadata::UniqueId;
use crate::view::{View, author_id, depositor, document_types};
use crate::{documents, duty_uses, without};

/// The feed of exceptional accesses: encoded `Access`es, by dossier.
pub(crate) const EXCEPTIONAL_ACCESSES: &str = "exceptional-access";

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

    /// Reads mode and reason: normal by default; any other mode says why. Secret connections are a professional's.
    pub(crate) fn parse(
        violations: &mut Violations,
        caller: &Actor,
        sent: Option<&common::AccessContext>,
    ) -> Option<Self> {
        let Some(sent) = sent else { return Some(Self::normal()) };
        if sent.secret_connection && caller.role != Role::Professional {
            violations.add("context.secret_connection", "NOT_YOURS", "is for professionals");
        }
        let mode = access_mode(violations, sent);
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

/// The mode of a context, the normal one by default.
pub(crate) fn access_mode(violations: &mut Violations, sent: &common::AccessContext) -> Option<AccessMode> {
    match sent.mode {
        0 => Some(AccessMode::Normal),
        number => violations.choice("context.mode", number),
    }
}

/// What somebody asks to do with a dossier.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    actor: Arc<Actor>,
    dmp_id: DmpId,
    action: AccessAction,
    context: AccessContext,
    /// Where it is taken down, as far as that is known before anything is looked at.
    chain: Chain,
    /// The one document that it is about: what is refused about one hidden from representatives is a secret too.
    document: Option<UniqueId>,
}

impl Asked {
    /// What the caller asks, to be taken down in the chain of its connection.
    pub(crate) fn new(call: &Call, dmp_id: DmpId, action: AccessAction, context: AccessContext) -> Self {
        Self {
            actor: call.actor.clone(),
            dmp_id,
            action,
            chain: Chain::of(context.secret_connection),
            context,
            document: None,
        }
    }

    /// The same, about one document.
    pub(crate) fn about(self, document: UniqueId) -> Self {
        Self {
            document: Some(document),
            ..self
        }
    }

    /// The same, taken down in the secret chain when `secret` says so.
    pub(crate) fn or_secret(self, secret: bool) -> Self {
        let chain = Chain::of(secret || self.chain == Chain::Secret);
        Self { chain, ..self }
    }
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

    /// Whether it is good for documents of this type.
    pub(crate) fn covers(&self, type_code: &str) -> bool {
        let listed = |types: &consent::DocumentTypes| types.type_codes.iter().any(|code| code == type_code);
        document_types(&self.grant, self.operation).is_some_and(|types| listed(types) != types.all_but)
    }

    /// What the bearer sees.
    pub(crate) fn view(&self) -> View {
        View::new(self.actor(), &self.grant)
    }

    /// The same access, as one to this document: its visibility says in which chain it is taken down.
    pub(crate) fn about(&self, document: &Document) -> Self {
        let secret = self.asked.context.secret_connection || document.visibility.hidden_from_representatives;
        let mut about = self.clone();
        about.asked.chain = Chain::of(secret);
        about
    }

    /// Whether the connection is a secret one.
    pub(crate) fn is_secret_connection(&self) -> bool {
        self.asked.context.secret_connection
    }

    /// Whether nothing may tell the bearer that this document is there: a representative, and what is hidden from
    /// representatives.
    pub(crate) fn is_kept_from(&self, document: &Document) -> bool {
        self.actor().role == Role::Representative && document.visibility.hidden_from_representatives
    }

    /// Whether the bearer, who may read nothing, is told identifiers of documents and nothing else: the auditor.
    pub(crate) fn is_told_identifiers_only(&self) -> bool {
        self.actor().role == Role::Auditor
    }

    /// Who deposits under it.
    pub(crate) fn depositor(&self) -> String {
        depositor(self.actor())
    }

    /// The identifier under which the bearer may be an author of documents.
    pub(crate) fn author_id(&self) -> Option<&str> {
        author_id(self.actor())
    }

    /// Whether it was given in a mode of last resort, and must be looked at again (L1111-17 I).
    fn is_exceptional(&self) -> bool {
        self.grant.obligations().any(|it| it == consent::Obligation::SecondLook)
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
    feed: Feed<DB>,
    clock: Clock,
    random: Random,
}

/// The entries of one access.
struct Taken {
    occurred_at: Timestamp,
    /// The one whose receipt is given, and which proves.
    first: Entry,
    /// In the secret chain, for what the first may not name.
    hidden: Option<Entry>,
}

impl Taken {
    /// What goes with an access: a physician's use for the duty, the event of an exceptional access.
    fn beside(&self, granted: &Granted) -> Vec<NewRow> {
        let (first, at) = (&self.first, self.occurred_at);
        let duty_use = granted
            .duty_of()
            .map(|physician| duty_uses::row(physician, granted.dmp_id(), at, first.entry_id));
        let event = || {
            store::event(
                EXCEPTIONAL_ACCESSES,
                granted.dmp_id().as_str(),
                first.payload.clone(),
                at,
            )
        };
        duty_use
            .into_iter()
            .chain(granted.is_exceptional().then(event))
            .collect()
    }
}

impl<DB: Engine> Clone for Gate<DB> {
    fn clone(&self) -> Self {
        Self {
            consent: self.consent.clone(),
            db: self.db.clone(),
            journal: self.journal.clone(),
            feed: self.feed.clone(),
            clock: self.clock.clone(),
            random: self.random.clone(),
        }
    }
}

impl<DB: Engine> Gate<DB> {
    pub(crate) fn new(context: &Context<DB>, journal: Journal<DB>, feed: Feed<DB>) -> Result<Self, StartError> {
        Ok(Self {
            consent: context.peers.get("consent")?,
            db: context.db.clone(),
            journal,
            feed,
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
    pub(crate) async fn enter(&self, call: &Call, operation: Operation, asked: Asked) -> Result<Granted> {
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

    /// The decision that consent would have made at a past moment. It opens nothing.
    ///
    /// # Errors
    /// Consent's own, a refusal among them, which is taken down; PEER_UNAVAILABLE, taken down as undecided; the journal's.
    pub(crate) async fn explain(
        &self,
        call: &Call,
        granted: &Granted,
        question: consent::ExplainAccessRequest,
    ) -> Result<consent::Decision> {
        let answer = match self.question(call, question) {
            Ok(request) => {
                AccessServiceClient::new(self.consent.channel())
                    .explain_access(request)
                    .await
            }
            Err(failure) => return Err(self.undecided(&granted.asked, failure).await),
        };
        let failure = match answer.map(|answer| answer.into_inner().decision) {
            Ok(Some(decision)) => return Ok(decision),
            Ok(None) => Failure::peer_unavailable(self.consent.name()),
            Err(status) => self.unanswered(call, &status),
        };
        match failure.reason {
            Reason::AccessRefused => Err(self.turn_away(granted, failure.into()).await),
            Reason::InvalidFields => Err(failure.into()),
            _ => Err(self.undecided(&granted.asked, failure).await),
        }
    }

    /// Takes an access down that shows the named documents. Nothing of them may leave before this has answered.
    ///
    /// In an open connection documents hidden from representatives are named in an entry of their own, in the secret
    /// chain; both are durable before this answers, and the receipt is the open one's. What goes with an access, a
    /// physician's use for the duty and the event of an exceptional access, is written in the transaction that gives its
    /// entry a place, or that stages it where there are two: it is there exactly when the journal has, or will have, the
    /// entry that proves it.
    pub(crate) async fn record(&self, granted: &Granted, named: Named) -> Result<Entered> {
        if serve::without::journal() {
            let receipt = common::Receipt::default();
            return Ok(Entered { receipt });
        }
        let taken = self.taken(granted, named);
        if taken.hidden.is_none() {
            return self.record_one(granted, taken).await;
        }
        let (first, hidden) = (taken.first.entry_id, taken.hidden.as_ref().map(|entry| entry.entry_id));
        let rows = self.rows(granted, &taken)?;
        let staged = self
            .db
            .write(move |connection| Box::pin(async move { store::insert::<DB>(connection, rows).await }));
        staged.await?;
        self.nudge(granted);
        let second = async {
            match hidden {
                Some(entry_id) => self.settle(entry_id).await.map(drop),
                None => Ok(()),
            }
        };
        let (receipt, ()) = futures::try_join!(self.settle(first), second)?;
        Ok(Entered { receipt })
    }

    /// One entry, and what goes with it in the transaction that gives it its place: one commit for both.
    async fn record_one(&self, granted: &Granted, taken: Taken) -> Result<Entered> {
        let beside = taken.beside(granted);
        let receipt = self.journal.append_with(taken.first, beside).await?;
        self.nudge(granted);
        Ok(Entered {
            receipt: (&receipt).into(),
        })
    }

    /// The rows that put an access on its way into the journal, to be written in the transaction of the change that it is,
    /// with what leaves with it; and the entry's id. The staged entry is durable with the commit.
    pub(crate) fn stage(&self, granted: &Granted, named: Named) -> Result<(Uuid, Vec<NewRow>)> {
        if serve::without::journal() {
            return Ok((self.random.uuid(), Vec::new()));
        }
        let taken = self.taken(granted, named);
        Ok((taken.first.entry_id, self.rows(granted, &taken)?))
    }

    fn rows(&self, granted: &Granted, taken: &Taken) -> Result<Vec<NewRow>> {
        let mut rows = taken.beside(granted);
        for entry in [Some(&taken.first), taken.hidden.as_ref()].into_iter().flatten() {
            rows.push(self.journal.staged(entry)?);
        }
        Ok(rows)
    }

    /// Tells the sequencer of what left with an access, after the commit.
    fn nudge(&self, granted: &Granted) {
        if granted.is_exceptional() {
            self.feed.nudge();
        }
    }

    /// The receipt of a staged access, once it is in the log.
    async fn settle(&self, entry_id: Uuid) -> Result<common::Receipt> {
        Ok((&self.journal.settle(entry_id).await?).into())
    }

    /// As [`Gate::settle`], for an answer that carries the entry's id only: one just made, or one remembered.
    pub(crate) async fn settle_answer(
        &self,
        granted: &Granted,
        receipt: Option<common::Receipt>,
    ) -> Result<Option<common::Receipt>> {
        if serve::without::journal() {
            return Ok(receipt);
        }
        self.nudge(granted);
        let entry_id = receipt.and_then(|receipt| Uuid::parse_str(&receipt.entry_id).ok());
        let entry_id = entry_id.ok_or(store::Error::Corrupt("requests.response"))?;
        self.settle(entry_id).await.map(Some)
    }

    /// Takes down what was decided against an access after the gate let it in: a document of somebody else, a dossier
    /// that is closed, a document that is not there. Answers `error`, or the journal's. What merely failed is not taken
    /// down: nothing was shown and nothing done.
    /// What rests on a document hidden from representatives is taken down in the secret chain.
    pub(crate) async fn turn_away(&self, granted: &Granted, error: Error) -> Error {
        let Some(basis) = error.basis() else { return error };
        let ground = Ground {
            bases: vec![basis],
            ..granted.ground.clone()
        };
        let asked = granted.asked.clone().or_secret(error.is_hidden());
        match self.append(&asked, AccessOutcome::Refused, ground).await {
            Ok(()) => error,
            Err(unrecorded) => unrecorded,
        }
    }

    async fn ask(&self, call: &Call, asked: &Asked, operation: Operation) -> Result<consent::Decision, Failure> {
        if let Some(decision) = without::decision(operation) {
            return Ok(decision);
        }
        let message = consent::AuthorizeRequest {
            dmp_id: asked.dmp_id.as_str().to_owned(),
            operation: operation.into(),
            context: Some(asked.context.to_proto()),
        };
        let request = self.question(call, message)?;
        let answer = AccessServiceClient::new(self.consent.channel())
            .authorize(request)
            .await;
        answer
            .map(tonic::Response::into_inner)
            .map_err(|status| self.unanswered(call, &status))
    }

    /// A question to consent on behalf of the caller, with time kept back for the answer to it.
    fn question<M>(&self, call: &Call, message: M) -> Result<Request<M>, Failure> {
        let mut request = self.consent.request(call, message)?;
        let remaining = call.remaining();
        request.set_timeout(remaining.saturating_sub(ANSWER_TIME_MAX.min(remaining / 5)));
        Ok(request)
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
        if serve::without::journal() {
            return Ok(());
        }
        let (chain, now) = (self.chain_of(asked).await?, self.clock.now());
        let entry = self.entry(asked, chain, outcome, ground, Vec::new(), now);
        self.journal.append(entry).await?;
        Ok(())
    }

    /// Where an access is taken down that shows nothing. To a representative what is hidden from representatives is not
    /// there: the attempt stands where one at nothing does.
    async fn chain_of(&self, asked: &Asked) -> Result<Chain> {
        let Some(document) = asked
            .document
            .as_ref()
            .filter(|_| asked.actor.role != Role::Representative)
        else {
            return Ok(asked.chain);
        };
        let mut connection = self.db.read().await?;
        let hidden = documents::is_hidden_from_representatives::<DB>(&mut connection, &asked.dmp_id, document).await?;
        Ok(Chain::of(hidden || asked.chain == Chain::Secret))
    }

    /// The entries of an access that was let in.
    fn taken(&self, granted: &Granted, named: Named) -> Taken {
        let (asked, occurred_at) = (&granted.asked, self.clock.now());
        let entry = |chain, documents| {
            let ground = granted.ground.clone();
            self.entry(asked, chain, AccessOutcome::Granted, ground, documents, occurred_at)
        };
        let (named, hidden) = named.split(asked.chain);
        Taken {
            occurred_at,
            first: entry(asked.chain, named),
            hidden: (!hidden.is_empty()).then(|| entry(Chain::Secret, hidden)),
        }
    }

    /// The journal's entry of an access.
    fn entry(
        &self,
        asked: &Asked,
        chain: Chain,
        outcome: AccessOutcome,
        ground: Ground,
        documents: Vec<String>,
        now: Timestamp,
    ) -> Entry {
        let entry_id = self.random.uuid();
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
            secret: chain == Chain::Secret,
        };
        Entry {
            entry_id,
            subject: chain.subject(&asked.dmp_id),
            payload: access.encode_to_vec(),
        }
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
                chain: Chain::Open,
                document: None,
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
        let physician = granted(consent::DocumentTypes::default());
        let parse = |mode: AccessMode, reason: &str| {
            let mut violations = Violations::default();
            let sent = common::AccessContext {
                mode: mode.into(),
                reason: reason.to_owned(),
                ..common::AccessContext::default()
            };
            AccessContext::parse(&mut violations, physician.actor(), Some(&sent))
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
