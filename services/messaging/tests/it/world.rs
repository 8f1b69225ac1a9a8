//! A messaging service with a hospital and two physicians, and the calls that tests make.

use api::messaging::v1 as pb;
use api::messaging::v1::directory_service_client::DirectoryServiceClient;
use api::messaging::v1::mailbox_service_client::MailboxServiceClient;
use api::messaging::v1::message_service_client::MessageServiceClient;
use api::messaging::v1::notice_service_client::NoticeServiceClient;
use journal::{LogKey, VerifierKey};
use messaging::{Config, Messaging};
use serve::Claims;
use testkit::actor::{self, HOSPITAL, OTHER_PHYSICIAN, PHYSICIAN};
use testkit::{Bench, Engine, Started};
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::peers::{Consent, Script};

pub(crate) const DOMAIN: &str = "medecin.mssante.fr";
pub(crate) const ANNE: &str = "anne@medecin.mssante.fr";
pub(crate) const BRUNO: &str = "bruno@medecin.mssante.fr";
pub(crate) const TEAM: &str = "equipe@medecin.mssante.fr";

pub(crate) const LOG_ORIGIN: &str = "messaging.test/log";

pub(crate) struct World {
    pub(crate) bench: Bench,
    pub(crate) started: Started<Messaging>,
    pub(crate) consent: Consent,
    /// Mailbox of [`ANNE`], a physician.
    pub(crate) anne_box: String,
    /// Mailbox of [`BRUNO`], another physician.
    pub(crate) bruno_box: String,
    /// Mailbox of [`TEAM`], of the hospital in which both act.
    pub(crate) team_box: String,
}

pub(crate) fn config(bench: &Bench) -> Config {
    let key_file = bench.file("messaging.key", &[42; 32]);
    let log_key = LogKey::from_seed(LOG_ORIGIN, [7; 32]).unwrap();
    let log_key_file = bench.file("messaging-log.key", log_key.to_private_text().as_bytes());
    Config {
        key_file,
        log_key_file,
        ..Config::default()
    }
}

pub(crate) fn verifier() -> VerifierKey {
    LogKey::from_seed(LOG_ORIGIN, [7; 32]).unwrap().verifier().clone()
}

pub(crate) fn anne() -> Claims {
    actor::physician(PHYSICIAN)
}

pub(crate) fn bruno() -> Claims {
    actor::physician(OTHER_PHYSICIAN)
}

/// A physician of another structure, who owns nothing here.
pub(crate) fn stranger() -> Claims {
    Claims {
        structure: "1750000026".to_owned(),
        ..actor::physician("810000000033")
    }
}

impl World {
    pub(crate) async fn new(bench: Bench) -> Self {
        let config = config(&bench);
        Self::with(bench, config).await
    }

    pub(crate) async fn with(bench: Bench, config: Config) -> Self {
        let consent = Consent::start().await;
        bench.peer("consent", &consent.server.url);
        let started = bench.start::<Messaging>(config).await;
        let mut world = Self {
            bench,
            started,
            consent,
            anne_box: String::new(),
            bruno_box: String::new(),
            team_box: String::new(),
        };
        world.allow(DOMAIN).await.unwrap();
        world.register_physician(PHYSICIAN, "Durand", "Anne").await.unwrap();
        world
            .register_physician(OTHER_PHYSICIAN, "Petit", "Bruno")
            .await
            .unwrap();
        world.register_structure(HOSPITAL, "Hôpital Saint-Louis").await.unwrap();
        world.anne_box = world.open_person(ANNE, PHYSICIAN).await.unwrap();
        world.bruno_box = world.open_person(BRUNO, OTHER_PHYSICIAN).await.unwrap();
        world.team_box = world
            .open(TEAM, pb::MailboxType::Organization, HOSPITAL, false)
            .await
            .unwrap()
            .mailbox_id;
        world
    }

    pub(crate) fn directory(&self) -> DirectoryServiceClient<Channel> {
        DirectoryServiceClient::new(self.started.channel())
    }

    pub(crate) fn mailboxes(&self) -> MailboxServiceClient<Channel> {
        MailboxServiceClient::new(self.started.channel())
    }

    pub(crate) fn messages(&self) -> MessageServiceClient<Channel> {
        MessageServiceClient::new(self.started.channel())
    }

    pub(crate) async fn allow(&self, domain: &str) -> Result<pb::Domain, Status> {
        let request = pb::AllowDomainRequest {
            request_id: self.bench.request_id(),
            domain: domain.to_owned(),
        };
        let request = self.bench.request(&actor::administrator(), request);
        Ok(self.mailboxes().allow_domain(request).await?.into_inner())
    }

    pub(crate) async fn register_physician(
        &self,
        id: &str,
        family: &str,
        given: &str,
    ) -> Result<pb::Professional, Status> {
        self.register_professional(pb::Professional {
            professional_id: id.to_owned(),
            family_name: family.to_owned(),
            given_name: given.to_owned(),
            profession: "10".to_owned(),
            specialty: "SM26".to_owned(),
            structure_ids: vec![HOSPITAL.to_owned()],
            updated_at: None,
        })
        .await
    }

    pub(crate) async fn register_professional(
        &self,
        professional: pb::Professional,
    ) -> Result<pb::Professional, Status> {
        let request = pb::RegisterProfessionalRequest {
            request_id: self.bench.request_id(),
            professional: Some(professional),
        };
        let request = self.bench.request(&actor::administrator(), request);
        Ok(self.directory().register_professional(request).await?.into_inner())
    }

    pub(crate) async fn register_structure(&self, id: &str, name: &str) -> Result<pb::Structure, Status> {
        let structure = pb::Structure {
            structure_id: id.to_owned(),
            name: name.to_owned(),
            updated_at: None,
        };
        let request = pb::RegisterStructureRequest {
            request_id: self.bench.request_id(),
            structure: Some(structure),
        };
        let request = self.bench.request(&actor::administrator(), request);
        Ok(self.directory().register_structure(request).await?.into_inner())
    }

    pub(crate) async fn open_person(&self, address: &str, owner: &str) -> Result<String, Status> {
        Ok(self
            .open(address, pb::MailboxType::Person, owner, false)
            .await?
            .mailbox_id)
    }

    pub(crate) async fn open(
        &self,
        address: &str,
        kind: pb::MailboxType,
        owner: &str,
        unlisted: bool,
    ) -> Result<pb::Mailbox, Status> {
        let request = pb::OpenMailboxRequest {
            request_id: self.bench.request_id(),
            address: address.to_owned(),
            r#type: kind.into(),
            owner_id: owner.to_owned(),
            unlisted,
            description: String::new(),
        };
        let request = self.bench.request(&actor::administrator(), request);
        Ok(self.mailboxes().open_mailbox(request).await?.into_inner())
    }

    pub(crate) async fn close(&self, claims: &Claims, mailbox_id: &str) -> Result<pb::Mailbox, Status> {
        let request = pb::CloseMailboxRequest {
            request_id: self.bench.request_id(),
            mailbox_id: mailbox_id.to_owned(),
        };
        Ok(self
            .mailboxes()
            .close_mailbox(self.bench.request(claims, request))
            .await?
            .into_inner())
    }

    /// A message from Anne, complete and correct.
    pub(crate) fn draft(&self, recipients: &[&str]) -> pb::SendMessageRequest {
        pb::SendMessageRequest {
            request_id: self.bench.request_id(),
            mailbox_id: self.anne_box.clone(),
            recipients: recipients.iter().map(|address| (*address).to_owned()).collect(),
            subject: "Compte rendu".to_owned(),
            body: "Cher confrère, …".to_owned(),
            ..pb::SendMessageRequest::default()
        }
    }

    pub(crate) async fn send(
        &self,
        claims: &Claims,
        request: pb::SendMessageRequest,
    ) -> Result<pb::SendMessageResponse, Status> {
        Ok(self
            .messages()
            .send_message(self.bench.request(claims, request))
            .await?
            .into_inner())
    }

    /// Anne writes to these addresses; answers the message's id.
    pub(crate) async fn anne_writes(&self, recipients: &[&str]) -> String {
        self.send(&anne(), self.draft(recipients))
            .await
            .unwrap()
            .message
            .unwrap()
            .message_id
    }

    pub(crate) async fn list(
        &self,
        claims: &Claims,
        request: pb::ListMessagesRequest,
    ) -> Result<pb::ListMessagesResponse, Status> {
        Ok(self
            .messages()
            .list_messages(self.bench.request(claims, request))
            .await?
            .into_inner())
    }

    pub(crate) async fn inbox(&self, claims: &Claims, mailbox_id: &str) -> pb::ListMessagesResponse {
        let request = pb::ListMessagesRequest {
            mailbox_id: mailbox_id.to_owned(),
            ..Default::default()
        };
        self.list(claims, request).await.unwrap()
    }

    pub(crate) async fn get(
        &self,
        claims: &Claims,
        mailbox_id: &str,
        message_id: &str,
    ) -> Result<pb::GetMessageResponse, Status> {
        let request = pb::GetMessageRequest {
            mailbox_id: mailbox_id.to_owned(),
            message_id: message_id.to_owned(),
        };
        Ok(self
            .messages()
            .get_message(self.bench.request(claims, request))
            .await?
            .into_inner())
    }

    pub(crate) async fn mark_read(
        &self,
        claims: &Claims,
        mailbox_id: &str,
        message_id: &str,
    ) -> Result<pb::MarkReadResponse, Status> {
        let request = pb::MarkReadRequest {
            request_id: self.bench.request_id(),
            mailbox_id: mailbox_id.to_owned(),
            message_id: message_id.to_owned(),
        };
        Ok(self
            .messages()
            .mark_read(self.bench.request(claims, request))
            .await?
            .into_inner())
    }

    pub(crate) async fn receipts(
        &self,
        claims: &Claims,
        mailbox_id: &str,
        message_id: &str,
    ) -> Result<Vec<pb::list_receipts_response::Entry>, Status> {
        let request = pb::ListReceiptsRequest {
            mailbox_id: mailbox_id.to_owned(),
            message_id: message_id.to_owned(),
        };
        Ok(self
            .messages()
            .list_receipts(self.bench.request(claims, request))
            .await?
            .into_inner()
            .entries)
    }

    pub(crate) async fn watch(
        &self,
        claims: &Claims,
        mailbox_id: &str,
        resume_token: &str,
    ) -> Result<Streaming<pb::WatchMailboxResponse>, Status> {
        let request = pb::WatchMailboxRequest {
            mailbox_id: mailbox_id.to_owned(),
            resume_token: resume_token.to_owned(),
        };
        Ok(self
            .messages()
            .watch_mailbox(self.bench.request(claims, request))
            .await?
            .into_inner())
    }

    pub(crate) fn script(&self) -> &Script {
        &self.consent.script
    }

    pub(crate) fn notices(&self) -> NoticeServiceClient<Channel> {
        NoticeServiceClient::new(self.started.channel())
    }

    pub(crate) async fn list_notices(
        &self,
        claims: &Claims,
        request: pb::ListNoticesRequest,
    ) -> Result<pb::ListNoticesResponse, Status> {
        Ok(self
            .notices()
            .list_notices(self.bench.request(claims, request))
            .await?
            .into_inner())
    }

    /// The caller's own notices, or those of a dossier.
    pub(crate) async fn notices_of(&self, claims: &Claims, dmp_id: &str) -> Result<Vec<pb::Notice>, Status> {
        let request = pb::ListNoticesRequest {
            dmp_id: dmp_id.to_owned(),
            ..Default::default()
        };
        Ok(self.list_notices(claims, request).await?.notices)
    }

    pub(crate) async fn acknowledge(&self, claims: &Claims, notice_id: &str) -> Result<pb::Notice, Status> {
        let request = pb::AcknowledgeNoticeRequest {
            request_id: self.bench.request_id(),
            notice_id: notice_id.to_owned(),
        };
        Ok(self
            .notices()
            .acknowledge_notice(self.bench.request(claims, request))
            .await?
            .into_inner())
    }

    pub(crate) async fn watch_notices(
        &self,
        claims: &Claims,
        dmp_id: &str,
        resume_token: &str,
    ) -> Result<Streaming<pb::WatchNoticesResponse>, Status> {
        let request = pb::WatchNoticesRequest {
            dmp_id: dmp_id.to_owned(),
            resume_token: resume_token.to_owned(),
        };
        Ok(self
            .notices()
            .watch_notices(self.bench.request(claims, request))
            .await?
            .into_inner())
    }

    /// The same database under a new process.
    pub(crate) async fn restarted(self) -> Self {
        let Self {
            bench,
            started,
            consent,
            anne_box,
            bruno_box,
            team_box,
        } = self;
        let settings = started.stop().await;
        let started = bench.start_with(settings).await;
        Self {
            bench,
            started,
            consent,
            anne_box,
            bruno_box,
            team_box,
        }
    }

    /// Lets the journal take nothing any more, as a full disk would.
    pub(crate) async fn block_journal(&self) {
        self.tamper(match self.bench.engine {
            Engine::Sqlite => {
                "CREATE TRIGGER full BEFORE INSERT ON journal_entries BEGIN SELECT RAISE(ABORT, 'full'); END"
            }
            Engine::Postgres => "ALTER TABLE journal_entries ADD CONSTRAINT full_disk CHECK (log_id < 0) NOT VALID",
        })
        .await;
    }

    /// Undoes [`World::block_journal`].
    pub(crate) async fn unblock_journal(&self) {
        self.tamper(match self.bench.engine {
            Engine::Sqlite => "DROP TRIGGER full",
            Engine::Postgres => "ALTER TABLE journal_entries DROP CONSTRAINT full_disk",
        })
        .await;
    }

    /// Runs a statement on the service's database, as somebody with the run of it could.
    pub(crate) async fn tamper(&self, statement: &'static str) {
        use sqlx::{Connection, Executor};
        let url = self.started.settings.common.database.url.reveal();
        match self.bench.engine {
            Engine::Sqlite => {
                let mut connection = sqlx::SqliteConnection::connect(url).await.unwrap();
                connection.execute(sqlx::query(statement)).await.unwrap();
            }
            Engine::Postgres => {
                let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
                connection.execute(sqlx::query(statement)).await.unwrap();
            }
        }
    }
}
