//! One dossier and those around it.

use api::common::v1::{AccessContext, AccessMode, Actor};
use api::consent::v1::access_service_client::AccessServiceClient;
use api::consent::v1::authorization_service_client::AuthorizationServiceClient;
use api::consent::v1::consent_service_client::ConsentServiceClient;
use api::consent::v1::representation_service_client::RepresentationServiceClient;
use api::consent::v1::*;
use api::identity::DmpId;
use consent::{Config, Consent as ConsentServiceUnderTest};
use jiff::{SignedDuration, Timestamp};
use journal::{LogKey, VerifierKey};
use serve::Claims;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use testkit::{Bench, Engine, Refusal, Started, actor, refusal};
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use crate::dossier::Dossier;

pub(crate) type Answer<T> = Result<T, Refusal>;

pub(crate) const REASON: &str = "unconscious, at immediate risk";

const RECEIPTS: &str = "consent.test/receipts";

pub(crate) struct Scene {
    pub(crate) bench: Bench,
    pub(crate) service: Started<ConsentServiceUnderTest>,
    pub(crate) dmp_id: String,
    /// Tells of accesses in exceptional modes.
    pub(crate) dossier: Dossier,
}

/// The answer, or the refusal taken apart.
pub(crate) fn answer<T>(result: Result<Response<T>, Status>) -> Answer<T> {
    result.map(Response::into_inner).map_err(|status| refusal(&status))
}

pub(crate) fn time(moment: Timestamp) -> prost_types::Timestamp {
    store::time::to_proto(moment)
}

/// Settings on this bench.
pub(crate) fn config(bench: &Bench) -> Config {
    let receipt_key = LogKey::from_seed(RECEIPTS, [9; 32]).unwrap();
    Config {
        key_file: bench.file("consent.key", &[42; 32]),
        receipt_key_file: bench.file("receipt.key", receipt_key.to_private_text().as_bytes()),
        ..Config::default()
    }
}

/// What checks the service's receipts.
pub(crate) fn receipt_verifier() -> VerifierKey {
    LogKey::from_seed(RECEIPTS, [9; 32]).unwrap().verifier().clone()
}

impl Scene {
    pub(crate) async fn new(bench: Bench) -> Self {
        let config = config(&bench);
        Self::with(bench, config).await
    }

    pub(crate) async fn with(bench: Bench, config: Config) -> Self {
        let dossier = Dossier::start().await;
        bench.peer("dossier", &dossier.server.url);
        let service = bench.start::<ConsentServiceUnderTest>(config).await;
        let dmp_id = DmpId::generate(bench.random.bytes()).to_string();
        Self {
            bench,
            service,
            dmp_id,
            dossier,
        }
    }

    /// The same database under a new process.
    pub(crate) async fn restarted(self) -> Self {
        let settings = self.service.stop().await;
        let service = self.bench.start_with(settings).await;
        Self { service, ..self }
    }

    /// The same with a consent to the dossier's creation.
    pub(crate) async fn consented(bench: Bench) -> Self {
        let scene = Self::new(bench).await;
        scene.consent(Purpose::Creation).await.unwrap();
        scene
    }

    pub(crate) fn another_dossier(&self) -> String {
        DmpId::generate(self.bench.random.bytes()).to_string()
    }

    pub(crate) fn consents(&self) -> ConsentServiceClient<Channel> {
        ConsentServiceClient::new(self.service.channel())
    }

    pub(crate) fn representations(&self) -> RepresentationServiceClient<Channel> {
        RepresentationServiceClient::new(self.service.channel())
    }

    pub(crate) fn authorizations(&self) -> AuthorizationServiceClient<Channel> {
        AuthorizationServiceClient::new(self.service.channel())
    }

    pub(crate) fn access(&self) -> AccessServiceClient<Channel> {
        AccessServiceClient::new(self.service.channel())
    }

    pub(crate) fn holder(&self) -> Claims {
        actor::holder(&self.dmp_id)
    }

    pub(crate) fn physician(&self) -> Claims {
        actor::physician(actor::PHYSICIAN)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.bench.clock.now()
    }

    pub(crate) fn later(&self, hours: i64) -> prost_types::Timestamp {
        time(self.now() + SignedDuration::from_hours(hours))
    }

    /// What the holder says online.
    pub(crate) fn online(&self, purpose: Purpose) -> RecordConsentRequest {
        RecordConsentRequest {
            request_id: self.bench.request_id(),
            dmp_id: self.dmp_id.clone(),
            purpose: purpose.into(),
            giver: Some(Giver {
                capacity: Capacity::Person.into(),
                representation_id: String::new(),
            }),
            mode: ConsentMode::Online.into(),
            evidence: Some(Evidence {
                kind: "online-session".into(),
                sha256: vec![7; 32],
            }),
        }
    }

    /// What somebody collected from the person.
    pub(crate) fn collected(&self, purpose: Purpose) -> RecordConsentRequest {
        RecordConsentRequest {
            mode: ConsentMode::OralCollected.into(),
            evidence: Some(Evidence {
                kind: "collector-attestation".into(),
                sha256: Vec::new(),
            }),
            ..self.online(purpose)
        }
    }

    pub(crate) async fn record(&self, claims: &Claims, request: RecordConsentRequest) -> Answer<Consent> {
        answer(
            self.consents()
                .record_consent(self.bench.request(claims, request))
                .await,
        )
    }

    pub(crate) async fn consent(&self, purpose: Purpose) -> Answer<Consent> {
        self.record(&self.holder(), self.online(purpose)).await
    }

    pub(crate) async fn withdraw(&self, claims: &Claims, consent_id: &str) -> Answer<Consent> {
        let request = WithdrawConsentRequest {
            request_id: self.bench.request_id(),
            dmp_id: self.dmp_id.clone(),
            consent_id: consent_id.to_owned(),
        };
        answer(
            self.consents()
                .withdraw_consent(self.bench.request(claims, request))
                .await,
        )
    }

    pub(crate) async fn withdraw_creation(&self) -> Consent {
        let request = ListConsentsRequest {
            dmp_id: self.dmp_id.clone(),
            ..Default::default()
        };
        let listed = answer(
            self.consents()
                .list_consents(self.bench.request(&self.holder(), request))
                .await,
        )
        .unwrap();
        let creation = listed
            .consents
            .iter()
            .find(|consent| consent.purpose() == Purpose::Creation)
            .unwrap();
        self.withdraw(&self.holder(), &creation.consent_id).await.unwrap()
    }

    pub(crate) async fn oppose(&self, claims: &Claims, kind: OppositionKind) -> Answer<Opposition> {
        let request = RecordOppositionRequest {
            request_id: self.bench.request_id(),
            dmp_id: self.dmp_id.clone(),
            kind: kind.into(),
        };
        answer(
            self.consents()
                .record_opposition(self.bench.request(claims, request))
                .await,
        )
    }

    pub(crate) async fn withdraw_opposition(&self, claims: &Claims, opposition_id: &str) -> Answer<Opposition> {
        let request = WithdrawOppositionRequest {
            request_id: self.bench.request_id(),
            dmp_id: self.dmp_id.clone(),
            opposition_id: opposition_id.to_owned(),
        };
        answer(
            self.consents()
                .withdraw_opposition(self.bench.request(claims, request))
                .await,
        )
    }

    pub(crate) fn authorization(&self, professional: &str) -> AuthorizeProfessionalRequest {
        AuthorizeProfessionalRequest {
            request_id: self.bench.request_id(),
            dmp_id: self.dmp_id.clone(),
            professional_id: professional.to_owned(),
            ..Default::default()
        }
    }

    pub(crate) async fn authorize_with(
        &self,
        claims: &Claims,
        request: AuthorizeProfessionalRequest,
    ) -> Answer<Authorization> {
        answer(
            self.authorizations()
                .authorize_professional(self.bench.request(claims, request))
                .await,
        )
    }

    pub(crate) async fn authorize(&self, claims: &Claims, professional: &str) -> Answer<Authorization> {
        self.authorize_with(claims, self.authorization(professional)).await
    }

    pub(crate) async fn authorize_structure(&self, structure: &str) -> Answer<Authorization> {
        let request = AuthorizeProfessionalRequest {
            structure_id: structure.into(),
            ..self.authorization("")
        };
        self.authorize_with(&self.holder(), request).await
    }

    pub(crate) async fn revoke(&self, claims: &Claims, id: &str) -> Answer<Authorization> {
        let request = RevokeAuthorizationRequest {
            request_id: self.bench.request_id(),
            dmp_id: self.dmp_id.clone(),
            authorization_id: id.to_owned(),
        };
        answer(
            self.authorizations()
                .revoke_authorization(self.bench.request(claims, request))
                .await,
        )
    }

    pub(crate) async fn block(&self, claims: &Claims, professional: &str) -> Answer<Authorization> {
        let request = BlockProfessionalRequest {
            request_id: self.bench.request_id(),
            dmp_id: self.dmp_id.clone(),
            professional_id: professional.to_owned(),
        };
        answer(
            self.authorizations()
                .block_professional(self.bench.request(claims, request))
                .await,
        )
    }

    pub(crate) async fn unblock(&self, claims: &Claims, id: &str) -> Answer<Authorization> {
        let request = UnblockProfessionalRequest {
            request_id: self.bench.request_id(),
            dmp_id: self.dmp_id.clone(),
            authorization_id: id.to_owned(),
        };
        answer(
            self.authorizations()
                .unblock_professional(self.bench.request(claims, request))
                .await,
        )
    }

    pub(crate) async fn designate(&self, claims: &Claims, professional: &str) -> Answer<Authorization> {
        let request = DesignateTreatingPhysicianRequest {
            request_id: self.bench.request_id(),
            dmp_id: self.dmp_id.clone(),
            professional_id: professional.to_owned(),
        };
        answer(
            self.authorizations()
                .designate_treating_physician(self.bench.request(claims, request))
                .await,
        )
    }

    pub(crate) async fn end_treating(&self, claims: &Claims, id: &str) -> Answer<Authorization> {
        let request = EndTreatingPhysicianRequest {
            request_id: self.bench.request_id(),
            dmp_id: self.dmp_id.clone(),
            authorization_id: id.to_owned(),
        };
        answer(
            self.authorizations()
                .end_treating_physician(self.bench.request(claims, request))
                .await,
        )
    }

    pub(crate) async fn professionals(&self, claims: &Claims, show_ended: bool) -> Answer<Vec<Authorization>> {
        let request = ListProfessionalsRequest {
            dmp_id: self.dmp_id.clone(),
            show_ended,
            ..Default::default()
        };
        let listed = answer(
            self.authorizations()
                .list_professionals(self.bench.request(claims, request))
                .await,
        )?;
        Ok(listed.authorizations)
    }

    /// How a token names its bearer as a representative.
    pub(crate) fn representative(&self, subject: &str) -> String {
        format!("{}|{subject}", self.bench.people_issuer())
    }

    pub(crate) fn registration(&self, subject: &str) -> RegisterRepresentativeRequest {
        RegisterRepresentativeRequest {
            request_id: self.bench.request_id(),
            dmp_id: self.dmp_id.clone(),
            representative: self.representative(subject),
            capacity: Capacity::Parent.into(),
            valid_until: Some(self.later(24 * 100)),
        }
    }

    pub(crate) async fn register_with(
        &self,
        claims: &Claims,
        request: RegisterRepresentativeRequest,
    ) -> Answer<Representation> {
        answer(
            self.representations()
                .register_representative(self.bench.request(claims, request))
                .await,
        )
    }

    pub(crate) async fn register(&self, subject: &str) -> Answer<Representation> {
        self.register_with(&actor::administrator(), self.registration(subject))
            .await
    }

    pub(crate) fn asking(&self, operation: Operation, mode: AccessMode) -> AuthorizeRequest {
        let reason = if mode == AccessMode::Normal { "" } else { REASON };
        AuthorizeRequest {
            dmp_id: self.dmp_id.clone(),
            operation: operation.into(),
            context: Some(AccessContext {
                mode: mode.into(),
                reason: reason.to_owned(),
                ..AccessContext::default()
            }),
        }
    }

    pub(crate) async fn ask(&self, claims: &Claims, request: AuthorizeRequest) -> Answer<Decision> {
        answer(self.access().authorize(self.bench.request(claims, request)).await)
    }

    /// The bearer of these claims, as a journal keeps it.
    pub(crate) fn actor_of(&self, claims: &Claims) -> Actor {
        actor::seen(claims, self.bench.people_issuer())
    }

    pub(crate) async fn explain(
        &self,
        claims: &Claims,
        request: ExplainAccessRequest,
    ) -> Answer<ExplainAccessResponse> {
        answer(self.access().explain_access(self.bench.request(claims, request)).await)
    }

    /// The question why documents may be read, or not, by the bearer of `about`.
    pub(crate) fn why(&self, about: &Claims) -> ExplainAccessRequest {
        ExplainAccessRequest {
            dmp_id: self.dmp_id.clone(),
            actor: Some(self.actor_of(about)),
            operation: Operation::ReadDocuments.into(),
            ..Default::default()
        }
    }

    /// The question that gave this decision, asked again.
    pub(crate) fn again(&self, about: &Claims, operation: Operation, decision: &Decision) -> ReplayDecisionRequest {
        ReplayDecisionRequest {
            dmp_id: self.dmp_id.clone(),
            actor: Some(self.actor_of(about)),
            operation: operation.into(),
            mode: decision.mode,
            revision: decision.revision,
            matrix_version: decision.matrix_version.clone(),
            decided_at: decision.decided_at,
            secret_connection: decision.secret_connection,
        }
    }

    /// Everything that the database keeps: SQLite's files byte by byte, PostgreSQL's rows as text.
    pub(crate) async fn stored(&self) -> Vec<u8> {
        let url = self.service.settings.common.database.url.reveal().to_owned();
        match self.bench.engine {
            Engine::Sqlite => {
                let path = url.strip_prefix("sqlite://").unwrap();
                let read = |suffix: &str| std::fs::read(format!("{path}{suffix}")).unwrap_or_default();
                [read(""), read("-wal")].concat()
            }
            Engine::Postgres => {
                let mut connection = PgConnection::connect(&url).await.unwrap();
                let tables = "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'";
                let mut all = Vec::new();
                for table in sqlx::query(tables).fetch_all(&mut connection).await.unwrap() {
                    let rows = format!("SELECT CAST(t AS TEXT) AS row FROM {} t", table.get::<String, _>(0));
                    let rows = sqlx::query(AssertSqlSafe(rows))
                        .fetch_all(&mut connection)
                        .await
                        .unwrap();
                    all.extend(rows.iter().flat_map(|row| row.get::<String, _>(0).into_bytes()));
                }
                all
            }
        }
    }

    /// Whether this text stands in the database, as it is or in hexadecimal.
    pub(crate) async fn keeps_in_clear(&self, text: &str) -> bool {
        let stored = self.stored().await;
        let holds = |part: &[u8]| stored.windows(part.len()).any(|window| window == part);
        holds(text.as_bytes()) || holds(hex::encode(text).as_bytes())
    }

    pub(crate) async fn replay(&self, claims: &Claims, request: ReplayDecisionRequest) -> Answer<Decision> {
        answer(self.access().replay_decision(self.bench.request(claims, request)).await)
    }

    /// Whether documents may be read now, in the normal mode.
    pub(crate) async fn reads(&self, claims: &Claims) -> bool {
        granted(
            &self
                .ask(claims, self.asking(Operation::ReadDocuments, AccessMode::Normal))
                .await
                .unwrap(),
        )
    }

    pub(crate) async fn state(&self, claims: &Claims) -> AuthorizationState {
        let asked = self.asking(Operation::SeeStatus, AccessMode::Normal);
        self.ask(claims, asked).await.unwrap().authorization_state()
    }
}

/// A consent as lists and events tell it.
pub(crate) fn without_receipt(consent: Consent) -> Consent {
    Consent {
        receipt: String::new(),
        ..consent
    }
}

pub(crate) fn granted(decision: &Decision) -> bool {
    matches!(decision.outcome, Some(decision::Outcome::Grant(_)))
}

/// Demands a refusal by this rule of law, as errors carry it.
#[track_caller]
pub(crate) fn assert_refused<T: std::fmt::Debug>(answer: Answer<T>, rule: &str, article: &str) {
    let refusal = answer.unwrap_err();
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::PermissionDenied, "ACCESS_REFUSED")
    );
    assert_eq!(
        (refusal.metadata["rule"].as_str(), refusal.metadata["article"].as_str()),
        (rule, article)
    );
}

#[track_caller]
pub(crate) fn assert_failed<T: std::fmt::Debug>(answer: Answer<T>, code: Code, reason: &str) -> Refusal {
    let refusal = answer.unwrap_err();
    assert_eq!((refusal.code, refusal.reason.as_str()), (code, reason), "{refusal:?}");
    refusal
}

#[track_caller]
pub(crate) fn assert_not_live<T: std::fmt::Debug>(answer: Answer<T>, state: &str) {
    let refusal = assert_failed(answer, Code::FailedPrecondition, "STATE_CONFLICT");
    assert_eq!(refusal.metadata["state"], state);
}

#[track_caller]
pub(crate) fn assert_not_found<T: std::fmt::Debug>(answer: Answer<T>, resource: &str) {
    let refusal = assert_failed(answer, Code::NotFound, "NOT_FOUND");
    assert_eq!(refusal.metadata["resource"], resource);
}
