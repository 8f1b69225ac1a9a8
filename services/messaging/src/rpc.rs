//! The four gRPC services over one set of parts.

mod directory_service;
mod mailbox_service;
mod mailbox_watch;
mod message_service;
mod notice_service;
mod notice_watch;

use api::common::v1::{Receipt, Role};
use api::messaging::v1::directory_service_server::DirectoryServiceServer;
use api::messaging::v1::mailbox_service_server::MailboxServiceServer;
use api::messaging::v1::message_service_server::MessageServiceServer;
use api::messaging::v1::notice_service_server::NoticeServiceServer;
use journal::Journal;
use serve::config::Invalid;
use serve::{Actor, Context, Peer, StartError};
use std::sync::Arc;
use store::random::Random;
use store::time::Clock;
use store::{Db, Engine, Feed};
use tonic::service::Routes;
use uuid::Uuid;

use crate::address::DomainName;
use crate::error::Error;
use crate::mailbox::Mailbox;
use crate::mailboxes;
use crate::settings::Config;
use crate::vault::Vault;

/// Who can own a mailbox.
const OWNERS: [Role; 2] = [Role::Professional, Role::EstablishmentSystem];

/// What handlers work with; cheap to clone.
pub(crate) struct Rpc<DB: Engine> {
    db: Db<DB>,
    clock: Clock,
    random: Random,
    journal: Journal<DB>,
    feed: Feed<DB>,
    vault: Vault,
    consent: Peer,
    patients: DomainName,
    config: Arc<Config>,
}

impl<DB: Engine> Clone for Rpc<DB> {
    fn clone(&self) -> Self {
        Self {
            db: self.db.clone(),
            clock: self.clock.clone(),
            random: self.random.clone(),
            journal: self.journal.clone(),
            feed: self.feed.clone(),
            vault: self.vault.clone(),
            consent: self.consent.clone(),
            patients: self.patients.clone(),
            config: self.config.clone(),
        }
    }
}

pub(crate) fn routes<DB: Engine>(
    context: &Context<DB>,
    config: Config,
    vault: Vault,
    consent: Peer,
    journal: Journal<DB>,
    feed: Feed<DB>,
) -> Result<Routes, StartError> {
    let patients = DomainName::parse(&config.patient_domain);
    let patients = patients.map_err(|error| Invalid::new("messaging.patient_domain", error.to_string()))?;
    let rpc = Rpc {
        vault,
        consent,
        db: context.db.clone(),
        clock: context.clock.clone(),
        random: context.random.clone(),
        journal,
        feed,
        patients,
        config: Arc::new(config),
    };
    Ok(Routes::new(DirectoryServiceServer::new(rpc.clone()))
        .add_service(MailboxServiceServer::new(rpc.clone()))
        .add_service(MessageServiceServer::new(rpc.clone()))
        .add_service(NoticeServiceServer::new(rpc)))
}

impl<DB: Engine> Rpc<DB> {
    /// A mailbox for which `actor` may act.
    async fn own_mailbox(
        &self,
        connection: &mut DB::Connection,
        actor: &Actor,
        mailbox_id: Uuid,
    ) -> Result<Mailbox, Error> {
        let mailbox = mailboxes::find::<DB>(connection, mailbox_id).await?;
        mailbox
            .filter(|mailbox| mailbox.is_owned_by(actor))
            .ok_or(Error::NotFound("mailbox"))
    }

    /// The receipt of an entry that is in the log, or on its way: then it is waited for.
    async fn receipt(&self, entry_id: Uuid) -> Result<journal::Receipt, Error> {
        match self.journal.receipt(entry_id).await? {
            Some(receipt) => Ok(receipt),
            None => Ok(self.journal.settle(entry_id).await?),
        }
    }
}

/// As much of a receipt as can be remembered before its entry is in the log.
fn remembered_receipt(entry_id: Uuid) -> Receipt {
    Receipt {
        entry_id: entry_id.to_string(),
        ..Default::default()
    }
}
