//! A little of everything that makes a metric: calls that work and calls that do not, a feed that is followed, a
//! certificate that is shown.

use api::consent::v1::consent_service_client::ConsentServiceClient;
use api::consent::v1::{WatchConsentRequest, WatchConsentResponse};
use journeys::{CONSULTATION, Stage};
use serve::config::{NoSettings, Settings};
use serve::follow::{Followed, WatchRequest, follow};
use serve::{Context, Peer, Running, Service, StartError, Starting};
use store::random::Random;
use store::time::Clock;
use store::{Engine, Migrations};
use testkit::{Bench, actor};
use tokio::net::TcpListener;
use tokio::sync::{OnceCell, Semaphore};
use tonic::service::Routes;
use tonic::{Status, Streaming};

use crate::exported::{self, Exported};

/// A permit for each message that the follower has taken.
static TAKEN: Semaphore = Semaphore::const_new(0);

/// Plays, once for all tests, and answers what was exported.
pub(crate) async fn run() -> Exported {
    static PLAYED: OnceCell<Exported> = OnceCell::const_new();
    PLAYED.get_or_init(play).await.clone()
}

async fn play() -> Exported {
    exported::begin();
    let stage = Stage::on(Bench::new(testkit::Engine::Sqlite).unwrap()).await;
    let follower = start_follower(&stage).await;
    TAKEN.acquire().await.unwrap().forget();
    let (dmp_id, _consent) = stage.open_dossier().await;
    let physician = actor::physician(actor::PHYSICIAN);
    stage.list(&physician, &dmp_id).await.unwrap_err();
    stage.authorize(&dmp_id, actor::PHYSICIAN).await;
    // What the authorisation told the follower: by then the feed has given positions.
    TAKEN.acquire().await.unwrap().forget();
    stage.submit(&physician, &dmp_id, CONSULTATION).await.unwrap();
    stage.list(&physician, &dmp_id).await.unwrap();
    let exported = exported::collect();
    follower.stop().await;
    stage.suite.stop().await;
    exported
}

async fn start_follower(stage: &Stage) -> Running {
    // It follows with a key of the suite: the messaging service follows consent too.
    let mut common = stage.home.common("messaging").unwrap();
    common.database.url = stage.home.database("follower");
    common.peers = [("consent".to_owned(), stage.suite.endpoints.consent.clone())].into();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = Settings {
        common,
        service: NoSettings {},
    };
    let (clock, random) = (stage.bench.clock.clone(), stage.bench.random.clone());
    Follower::start_on(listener, settings, clock, random).await.unwrap()
}

/// A service that does nothing but follow the consent service, and show a certificate.
struct Follower;

impl Service for Follower {
    const NAME: &'static str = "follower";
    const PACKAGE: &'static str = "dmp.consent.v1";
    type Config = NoSettings;

    fn migrations() -> Migrations {
        Migrations::new([store::own_migrations()])
    }

    fn start_on(listener: TcpListener, settings: Settings<NoSettings>, clock: Clock, random: Random) -> Starting {
        Box::pin(serve::start_on::<Self>(listener, settings, clock, random))
    }

    async fn routes<DB: Engine>(context: Context<DB>, _config: NoSettings) -> Result<Routes, StartError> {
        let now = context.clock.now();
        context.status.certificate("server", move || Some(now));
        follow(&context, Consents(context.peers.get("consent")?));
        Ok(Routes::default())
    }
}

#[derive(Clone)]
struct Consents(Peer);

impl<DB: Engine> Followed<DB> for Consents {
    type Response = WatchConsentResponse;
    type Event = ();

    const CONSUMER: &'static str = "consents";

    fn peer(&self) -> &Peer {
        &self.0
    }

    async fn open(&self, request: WatchRequest) -> Result<Streaming<WatchConsentResponse>, Status> {
        let watch = WatchConsentRequest {
            dmp_id: String::new(),
            resume_token: request.resume_token.clone(),
        };
        let opened = ConsentServiceClient::new(self.0.channel())
            .watch_consent(request.of(watch)?)
            .await?;
        Ok(opened.into_inner())
    }

    fn taken(response: WatchConsentResponse) -> (String, Option<()>) {
        TAKEN.add_permits(1);
        (response.resume_token, response.event.map(|_| ()))
    }

    async fn apply(&self, _connection: &mut DB::Connection, _event: ()) -> serve::Result<()> {
        Ok(())
    }
}
