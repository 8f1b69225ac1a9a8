//! The identifier of the dossier, the register of hosts, and where each dossier lives (CSP L1111-14, L1111-8).
//!
//! What this service guarantees:
//! - An identifier exists for every beneficiary enrolled, is unguessable, means nothing, and is no proof of a dossier.
//! - A matricule and its OID lead to one beneficiary at most, whoever enrols at the same time and wherever; the same
//!   digits under another OID are another identity. Enrolment answers only what is durable.
//! - A population is enrolled as a stream that may break anywhere: sending it again changes nothing and answers the
//!   same identifiers. Other traits under a known matricule change nothing and are reported as a conflict.
//! - A dossier has one place. It is placed only at a host accredited at that moment, whatever happens side by side.
//! - No trait and no matricule leaves through an error, a log line, a span or a metric.
//!
//! Nothing is kept in memory: several instances may serve the same database.

mod accreditation;
mod accreditations;
mod beneficiaries;
mod beneficiary;
mod config;
mod enrolments;
mod error;
mod host;
mod hosts;
mod matricules;
mod placement;
mod placements;
mod rpc;
mod strict_traits;

pub use config::{Checks, Config};

use api::identifier::v1::host_service_server::HostServiceServer;
use api::identifier::v1::identifier_service_server::IdentifierServiceServer;
use serve::Starting;
use serve::config::Settings;
use serve::{Context, StartError};
use store::random::Random;
use store::time::Clock;
use store::{Engine, Migration, Migrations};
use tokio::net::TcpListener;
use tonic::service::Routes;

/// The tables of this service.
const OWN_MIGRATIONS: &[Migration] = store::migrations![(1000, "1000_identifier")];

/// `dmp.identifier.v1`: IdentifierService and HostService.
#[derive(Debug)]
pub struct Identifier;

impl serve::Service for Identifier {
    const NAME: &'static str = "identifier";
    const PACKAGE: &'static str = "dmp.identifier.v1";
    type Config = Config;

    fn migrations() -> Migrations {
        Migrations::new([store::own_migrations(), OWN_MIGRATIONS])
    }

    fn start_on(listener: TcpListener, settings: Settings<Self::Config>, clock: Clock, random: Random) -> Starting {
        Box::pin(serve::start_on::<Self>(listener, settings, clock, random))
    }

    async fn routes<DB: Engine>(context: Context<DB>, config: Config) -> Result<Routes, StartError> {
        let identifiers = rpc::identifier_service::Identifiers::new(&context, config.checks);
        let hosts = rpc::host_service::Hosts::new(&context, config.checks);
        Ok(Routes::new(IdentifierServiceServer::new(identifiers)).add_service(HostServiceServer::new(hosts)))
    }
}
