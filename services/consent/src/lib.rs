//! Who may do what with a dossier, by which rule (L1111-14, L1110-4).
//!
//! - What the person or the law says is a fact, with the revision of the dossier that brought it and the one that ended
//!   it. Nothing is overwritten; revisions of one dossier rise strictly, in the order of the acknowledgements.
//! - A decision is a pure function of the facts at a revision, the actor, the operation, the mode, the moment and the
//!   version of the habilitation matrix. The rules are one table ([`rules::RULES`]); one forbid beats every permit, and
//!   what no rule permits is refused.
//! - The habilitation matrix is data: a version is checked completely, published for a moment to come, never changed,
//!   and can be tried on the population before.
//! - A narrowing that was acknowledged governs every decision that starts afterwards, on every instance: each decision asks
//!   the database for the dossier's revision, and facts that were read before are used only if they are of that revision.
//!   The timetable of the matrix is used for half of its notice.
//! - Every use of an exceptional mode, as the dossier service tells it, is told on and looked at again (R1111-48).
//! - What is said of a person's health, or of a third person, is sealed before it is stored ([`vault`]).
//! - Every change leaves as an event, in the transaction of the change, and is told to those who watch.

mod act;
mod circle;
mod circumstances;
mod config;
pub mod decision;
mod error;
mod exceptional;
mod exceptional_feed;
mod exceptionals;
pub mod fact;
mod facts;
mod matrices;
pub mod matrix;
mod overdue;
mod party;
mod population;
pub mod receipt;
mod rpc;
pub mod rules;
mod standing;
mod term;
mod type_set;
mod vault;

#[cfg(test)]
mod cases;

use api::consent::v1::access_service_server::AccessServiceServer;
use api::consent::v1::authorization_service_server::AuthorizationServiceServer;
use api::consent::v1::consent_service_server::ConsentServiceServer;
use api::consent::v1::matrix_service_server::MatrixServiceServer;
use api::consent::v1::representation_service_server::RepresentationServiceServer;
use api::consent::v1::review_service_server::ReviewServiceServer;
use journal::LogKey;
use serve::Starting;
use serve::config::{Invalid, Settings};
use serve::follow::follow;
use serve::{Context, Service, StartError};
use std::sync::Arc;
use store::random::Random;
use store::sealed::Key;
use store::time::Clock;
use store::{Engine, Feed, Migration, Migrations};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

pub use circle::Circles;
pub use config::{Config, Review};
pub use standing::{Ground, Standing, grounds};
pub use type_set::TypeSet;

use act::Means;
use circumstances::Memory;
use exceptional_feed::ExceptionalFeed;
use matrices::Shelf;
use rpc::{Keys, Rpc};
use vault::Vault;

const OWN_MIGRATIONS: &[Migration] = store::migrations![
    (1000, "1000_consent"),
    (1001, "1001_past"),
    (1002, "1002_matrices"),
    (1003, "1003_secrecy"),
    (1004, "1004_exceptional"),
];

/// The consent service.
#[derive(Debug)]
pub struct Consent;

impl Service for Consent {
    const NAME: &'static str = "consent";
    const PACKAGE: &'static str = "dmp.consent.v1";
    type Config = Config;

    fn migrations() -> Migrations {
        Migrations::new([store::own_migrations(), OWN_MIGRATIONS])
    }

    fn start_on(listener: TcpListener, settings: Settings<Self::Config>, clock: Clock, random: Random) -> Starting {
        Box::pin(serve::start_on::<Self>(listener, settings, clock, random))
    }

    async fn routes<DB: Engine>(context: Context<DB>, config: Config) -> Result<Routes, StartError> {
        let published = matrices::publish_embedded(&context.db, context.clock.now()).await;
        published.map_err(|error| StartError::Service(error.to_string()))?;
        let circles = Circles::embedded(config.centres_15()?).map_err(StartError::Service)?;
        let keys = keys(&context, &config)?;
        let dossier = context.peers.get("dossier")?;
        let feed = start_feed(&context).await?;
        context.status.feed(&feed);
        let exceptional = ExceptionalFeed {
            peer: dossier,
            feed: feed.clone(),
            vault: keys.vault.clone(),
            clock: context.clock.clone(),
            random: context.random.clone(),
            deadline: config.review.deadline(),
        };
        follow(&context, exceptional);
        let (db, clock) = (context.db.clone(), context.clock.clone());
        context.background(|stop| overdue::watch(db, clock, store::observe::service(Self::NAME), stop));
        let rpc = Rpc::new(
            context.db,
            feed,
            config.watch,
            keys,
            Means {
                matrices: Arc::new(Shelf::new(context.clock.clone())),
                memory: Arc::new(Memory::new()),
                circles: Arc::new(circles),
                clock: context.clock,
                random: context.random,
            },
        );
        Ok(Routes::new(ConsentServiceServer::new(rpc.clone()))
            .add_service(RepresentationServiceServer::new(rpc.clone()))
            .add_service(AuthorizationServiceServer::new(rpc.clone()))
            .add_service(AccessServiceServer::new(rpc.clone()))
            .add_service(ReviewServiceServer::new(rpc.clone()))
            .add_service(MatrixServiceServer::new(rpc)))
    }
}

/// Reads the keys from their files.
fn keys<DB: Engine>(context: &Context<DB>, config: &Config) -> Result<Keys, StartError> {
    let key = Key::from_file(&config.key_file);
    let key = key.map_err(|error| Invalid::new("consent.key_file", format!("must be a key of 32 bytes: {error}")))?;
    let receipts = std::fs::read_to_string(&config.receipt_key_file)
        .ok()
        .and_then(|text| LogKey::parse(text.trim()).ok());
    let expected = "must name a readable file with a signing key, PRIVATE+KEY+<name>+…";
    let receipts = receipts.ok_or_else(|| Invalid::new("consent.receipt_key_file", expected))?;
    Ok(Keys {
        vault: Vault::new(key, context.random.clone()),
        receipts: Arc::new(receipts),
    })
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
