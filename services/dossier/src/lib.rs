//! The dossier: its life, its documents, who came in, and the physicians' duty to use it (CSP L1111-14).
//!
//! What this service guarantees:
//! - Nothing of a dossier is shown or written without a decision of the consent service made for that access: reading
//!   and writing need a value that only the gate gives. Consent unreachable means refused.
//! - Every access is in the journal, durably, before its answer leaves; refusals too. A change and its entry are one
//!   transaction. A journal that cannot record means that nothing is shown.
//! - What is done in a secret connection, or with documents hidden from representatives, stands in the dossier's secret
//!   chain and nowhere else. A representative finds no trace of it: not in a listing, not in the open chain and its
//!   proofs, not in an error.
//! - Each access that obliges to a second look is told once, in order, to the services that watch: its event commits with
//!   its journal entry.
//! - What somebody saw at a past moment is shown again as it was then, and of it only what the caller may see today.
//! - A listing filters in its statement by what the caller may see: pages and their ends tell nothing of the rest.
//! - A document is there whole, checked and encrypted, or not at all, whatever fails when. The same document twice is
//!   one document. A document of another person is refused.
//! - A dossier is open at one accredited host with a live express consent, or it is not open. Closed, it is kept ten
//!   years and shows nothing but its journal.
//! - The duty counts no consultation or update that the journal does not prove.
//!
//! Nothing is kept in memory: several instances may serve the same database.

mod authorization;
pub mod cda;
mod chain;
mod config;
mod content;
mod contents;
mod document;
mod documents;
mod dossier;
mod dossiers;
mod duty;
mod duty_uses;
mod episodes;
mod error;
mod identifiers;
mod metadata;
mod past;
mod rpc;
mod territories;
mod territory;
mod upload;
mod view;
mod visibility;
mod without;

pub use config::{Checks, Config, Limits};

use api::dossier::v1::document_service_server::DocumentServiceServer;
use api::dossier::v1::dossier_service_server::DossierServiceServer;
use api::dossier::v1::duty_service_server::DutyServiceServer;
use api::dossier::v1::journal_service_server::JournalServiceServer;
use journal::{Journal, LogKey};
use serve::Starting;
use serve::config::Settings;
use serve::{Context, StartError};
use store::random::Random;
use store::sealed::Key;
use store::time::Clock;
use store::{Engine, Feed, Migration, Migrations};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::authorization::Gate;
use crate::content::HostKey;
use crate::identifiers::Identifiers;

/// The tables of this service.
const OWN_MIGRATIONS: &[Migration] = store::migrations![(1000, "1000_dossier"), (1001, "1001_past")];

/// Bytes of a journal entry: a page of 500 documents, each named by up to 128 characters.
const JOURNAL_PAYLOAD_BYTES: usize = 512 * 1024;

/// `dmp.dossier.v1`: DossierService, DocumentService, JournalService and DutyService.
#[derive(Debug)]
pub struct Dossier;

impl serve::Service for Dossier {
    const NAME: &'static str = "dossier";
    const PACKAGE: &'static str = "dmp.dossier.v1";
    type Config = Config;

    fn migrations() -> Migrations {
        Migrations::new([store::own_migrations(), journal::own_migrations(), OWN_MIGRATIONS])
    }

    fn start_on(listener: TcpListener, settings: Settings<Self::Config>, clock: Clock, random: Random) -> Starting {
        Box::pin(serve::start_on::<Self>(listener, settings, clock, random))
    }

    async fn routes<DB: Engine>(context: Context<DB>, config: Config) -> Result<Routes, StartError> {
        let feed = start_feed(&context).await?;
        context.status.feed(&feed);
        let gate = Gate::new(&context, open_journal(&context, &config).await?, feed.clone())?;
        let identifiers = Identifiers::new(&context)?;
        let key = HostKey::new(host_key(&config)?, context.random.clone());
        seed_territories(&context).await?;
        let dossiers =
            rpc::dossier_service::Dossiers::new(&context, &config, gate.clone(), identifiers.clone(), key.clone())?;
        let documents = rpc::document_service::Documents::new(&context, &config, gate.clone(), identifiers, key);
        let accesses = rpc::journal_service::Accesses::new(&context, &config, gate, feed);
        let duties = rpc::duty_service::Duties::new(&context, config.checks);
        Ok(Routes::new(DossierServiceServer::new(dossiers))
            .add_service(DocumentServiceServer::new(documents))
            .add_service(JournalServiceServer::new(accesses))
            .add_service(DutyServiceServer::new(duties)))
    }
}

fn host_key(config: &Config) -> Result<Key, StartError> {
    Key::from_file(&config.key_file).map_err(|error| StartError::Service(format!("`dossier.key_file`: {error}")))
}

async fn open_journal<DB: Engine>(context: &Context<DB>, config: &Config) -> Result<Journal<DB>, StartError> {
    let failed = |error: &dyn std::fmt::Display| StartError::Service(format!("`dossier.log_key_file`: {error}"));
    let text = std::fs::read_to_string(&config.log_key_file).map_err(|error| failed(&error))?;
    let key = LogKey::parse(text.trim_end()).map_err(|error| failed(&error))?;
    let limits = journal::Limits {
        queue: config.limits.journal_queue,
        payload_bytes: JOURNAL_PAYLOAD_BYTES,
        ..journal::Limits::default()
    };
    let (db, clock, random) = (context.db.clone(), context.clock.clone(), context.random.clone());
    let journal = Journal::open(db, clock, random, key, limits).await;
    let journal = journal.map_err(|error| StartError::Service(format!("the journal does not open: {error}")))?;
    context.status.journal(&journal, Journal::status);
    let closing = journal.clone();
    context.background(|stop| async move {
        stop.cancelled().await;
        closing.close().await;
    });
    Ok(journal)
}

/// Starts the sequencer of the feed; it ends after the last call has.
async fn start_feed<DB: Engine>(context: &Context<DB>) -> Result<Feed<DB>, StartError> {
    let ended = CancellationToken::new();
    let feed = Feed::start(context.db.clone(), ended.clone()).await?;
    context.background(|stop| async move {
        stop.cancelled().await;
        ended.cancel();
    });
    Ok(feed)
}

async fn seed_territories<DB: Engine>(context: &Context<DB>) -> Result<(), StartError> {
    let seeded = context
        .db
        .write(|connection| Box::pin(territories::seed::<DB>(connection)));
    seeded.await.map_err(StartError::Database)
}
