//! Changes of facts leave as events, in the transaction of the change.

use api::consent::v1::*;
use serve::Service;
use store::{Db, Engine, Feed, Options, Postgres, Sqlite};
use testkit::{Bench, actor};
use tokio_util::sync::CancellationToken;

use crate::scene::{Scene, without_receipt};

testkit::on_both_engines! {
    every_change_leaves_one_event_for_each_fact_it_touched,
    an_event_says_what_is_secret,
}

async fn every_change_leaves_one_event_for_each_fact_it_touched(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let given = scene.authorize(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    scene.oppose(&scene.holder(), OppositionKind::BreakGlass).await.unwrap();
    scene.register("parent").await.unwrap();
    // Refusals and repetitions change nothing.
    scene.consent(Purpose::Creation).await.unwrap_err();
    let withdrawn = scene.withdraw_creation().await;
    let options = Options::new(scene.service.settings.common.database.url.reveal());
    let events = match scene.bench.engine {
        testkit::Engine::Sqlite => events::<Sqlite>(&options, &scene.dmp_id, 6).await,
        testkit::Engine::Postgres => events::<Postgres>(&options, &scene.dmp_id, 6).await,
    };
    let kinds: Vec<&str> = events
        .iter()
        .map(|any| any.type_url.rsplit('.').next().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "Consent",
            "Authorization",
            "Opposition",
            "Representation",
            "Consent",
            "Authorization"
        ]
    );
    assert_eq!(decode::<Consent>(&events[4]), without_receipt(withdrawn.clone()));
    assert_eq!(decode::<Authorization>(&events[1]), given);
    let ended = Authorization {
        ended_at: withdrawn.withdrawn_at,
        revision: withdrawn.revision,
        ..given
    };
    assert_eq!(decode::<Authorization>(&events[5]), ended);
}

/// L1111-5: who tells the events must know which are not for representatives.
async fn an_event_says_what_is_secret(bench: Bench) {
    let scene = Scene::new(bench).await;
    let request = AuthorizeProfessionalRequest {
        secret: true,
        ..scene.authorization(actor::PHYSICIAN)
    };
    let given = scene.authorize_with(&scene.holder(), request).await.unwrap();
    let opposed = scene.oppose(&scene.holder(), OppositionKind::SecretActs).await.unwrap();
    let ended = scene.revoke(&scene.holder(), &given.authorization_id).await.unwrap();
    let options = Options::new(scene.service.settings.common.database.url.reveal());
    let events = match scene.bench.engine {
        testkit::Engine::Sqlite => events::<Sqlite>(&options, &scene.dmp_id, 3).await,
        testkit::Engine::Postgres => events::<Postgres>(&options, &scene.dmp_id, 3).await,
    };
    assert!(given.secret && ended.secret);
    assert_eq!(decode::<Authorization>(&events[0]), given);
    assert_eq!(decode::<Opposition>(&events[1]), opposed);
    assert_eq!(decode::<Authorization>(&events[2]), ended);
}

fn decode<M: prost::Message + Default>(any: &prost_types::Any) -> M {
    M::decode(any.value.as_slice()).unwrap()
}

async fn events<DB: Engine>(options: &Options, dmp_id: &str, count: i64) -> Vec<prost_types::Any> {
    let db = Db::<DB>::open(options, &consent::Consent::migrations()).await.unwrap();
    let drain = CancellationToken::new();
    let feed = Feed::start(db, drain.clone()).await.unwrap();
    assert!(feed.wait_past(count - 1).await);
    let events = feed.read("consent", Some(dmp_id), 0, count + 10).await.unwrap();
    drain.cancel();
    events
        .iter()
        .map(|event| prost::Message::decode(event.payload.as_slice()).unwrap())
        .collect()
}
