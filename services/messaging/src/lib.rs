//! Messages between professionals (L1111-14, fourth sentence): a directory, mailboxes, messages with three proofs. And
//! what the suite itself tells the holder and the treating physicians of an emergency access (R1111-48).
//!
//! - **Sent once, delivered to all or none.** A message, its deliveries, the news of them and the proof of its deposit
//!   are one transaction; a repeated `request_id` answers the first message.
//! - **Proved before it is shown.** A body leaves only after its retrieval is durable in the journal. Deposit,
//!   retrieval and reading are each proved once, in the message's own chain ([`proof`]).
//! - **Sealed before it is stored.** Bodies, subjects, recipients and the dossier a message is about never touch the
//!   database in clear ([`vault`]), nor does the outbox carry them ([`event`]).
//! - **Told once.** Each recipient has one notice of an exceptional use, proved like a message, whatever fails between
//!   the consent service and here ([`teller`]).
//! - **Nothing missed.** A watch from a listing's token, or from the last event taken, tells every later event once and
//!   in order ([`serve::watch`]).
//! - **Not told apart.** A mailbox, message or notice that is not the caller's is answered like one that does not exist.

mod address;
mod authorization;
mod error;
mod event;
mod letter;
mod mailbox;
mod mailboxes;
mod message;
mod messages;
mod notice;
mod notices;
mod parties;
mod party;
mod proof;
mod rpc;
mod settings;
mod teller;
mod vault;

use journal::{Journal, LogKey};
use serve::Starting;
use serve::config::Invalid;
use serve::config::Settings;
use serve::follow::follow;
use serve::{Context, StartError};
use store::random::Random;
use store::sealed::Key;
use store::time::Clock;
use store::{Engine, Feed, Migration, Migrations};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::teller::Teller;
use crate::vault::Vault;

pub use settings::{Checks, Config, Limits};

/// The tables of this service.
const OWN: &[Migration] = store::migrations![(1000, "1000_messaging"), (1001, "1001_notices")];

/// The messaging service.
#[derive(Debug)]
pub struct Messaging;

impl serve::Service for Messaging {
    const NAME: &'static str = "messaging";
    const PACKAGE: &'static str = "dmp.messaging.v1";
    type Config = Config;

    fn migrations() -> Migrations {
        Migrations::new([store::own_migrations(), journal::own_migrations(), OWN])
    }

    fn start_on(listener: TcpListener, settings: Settings<Self::Config>, clock: Clock, random: Random) -> Starting {
        Box::pin(serve::start_on::<Self>(listener, settings, clock, random))
    }

    async fn routes<DB: Engine>(context: Context<DB>, config: Config) -> Result<Routes, StartError> {
        let key = Key::from_file(&config.key_file);
        let key =
            key.map_err(|error| Invalid::new("messaging.key_file", format!("must be a key of 32 bytes: {error}")))?;
        let vault = Vault::new(key, context.random.clone());
        let consent = context.peers.get("consent")?;
        let journal = open_journal(&context, &config).await?;
        let feed = start_feed(&context, journal.clone()).await?;
        context.status.journal(&journal, Journal::status);
        context.status.feed(&feed);
        let teller = Teller::new(&context, consent.clone(), journal.clone(), feed.clone(), vault.clone());
        let routes = rpc::routes(&context, config, vault, consent, journal, feed)?;
        follow(&context, teller);
        Ok(routes)
    }
}

async fn open_journal<DB: Engine>(context: &Context<DB>, config: &Config) -> Result<Journal<DB>, StartError> {
    let key = std::fs::read_to_string(&config.log_key_file)
        .ok()
        .and_then(|text| LogKey::parse(text.trim()).ok());
    let expected = "must name a readable file with a signing key, PRIVATE+KEY+<origin>+…";
    let key = key.ok_or_else(|| Invalid::new("messaging.log_key_file", expected))?;
    let (clock, random) = (context.clock.clone(), context.random.clone());
    let journal = Journal::open(context.db.clone(), clock, random, key, journal::Limits::default()).await;
    journal.map_err(|error| StartError::Service(format!("the journal does not open: {error}")))
}

/// Starts the sequencer; it ends after the last call has, and the journal's writer with it.
async fn start_feed<DB: Engine>(context: &Context<DB>, journal: Journal<DB>) -> Result<Feed<DB>, StartError> {
    let ended = CancellationToken::new();
    let feed = Feed::start(context.db.clone(), ended.clone()).await?;
    context.background(|stop| async move {
        stop.cancelled().await;
        ended.cancel();
        journal.close().await;
    });
    Ok(feed)
}
