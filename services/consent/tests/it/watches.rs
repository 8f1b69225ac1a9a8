//! ConsentService.WatchConsent.

use api::consent::v1::consent_service_client::ConsentServiceClient;
use api::consent::v1::watch_consent_response::Event;
use api::consent::v1::*;
use consent::Config;
use jiff::SignedDuration;
use serve::watch::WatchSettings;
use serve::{Claims, Service};
use store::{Db, Engine, Options, Postgres, Sqlite};
use testkit::{Bench, Refusal, actor, refusal};
use tonic::{Code, Streaming};

use crate::scene::{Scene, assert_refused, config, without_receipt};

testkit::on_both_engines! {
    every_change_is_told_in_order,
    a_listing_after_the_first_answer_misses_nothing,
    a_watch_resumes_without_gap_or_duplicate,
    a_service_watches_all_dossiers,
    a_watch_is_for_who_speaks_for_the_person,
    a_representation_that_ends_ends_the_watch,
    a_token_is_good_for_its_dossier_only,
    a_token_too_old_is_told_to_list_again,
    a_heartbeat_proves_an_idle_watch_alive,
    a_watch_ends_when_the_process_stops,
    a_second_instance_tells_what_the_first_was_told,
}

type Told = Streaming<WatchConsentResponse>;

impl Scene {
    async fn watch(&self, claims: &Claims, token: &str) -> Result<Told, Refusal> {
        let request = self.bench.request(claims, self.watching(token));
        let watch = self.consents().watch_consent(request).await;
        watch
            .map(tonic::Response::into_inner)
            .map_err(|status| refusal(&status))
    }

    fn watching(&self, token: &str) -> WatchConsentRequest {
        WatchConsentRequest {
            dmp_id: self.dmp_id.clone(),
            resume_token: token.to_owned(),
        }
    }
}

/// The next event and the token after it; answers without an event are passed over.
async fn next(watch: &mut Told) -> (Event, String) {
    loop {
        let response = watch.message().await.unwrap().expect("the watch goes on");
        if let Some(event) = response.event {
            return (event, response.resume_token);
        }
    }
}

/// How a watch ends.
async fn end(watch: &mut Told) -> Refusal {
    loop {
        match watch.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the watch ended without a status"),
            Err(status) => return refusal(&status),
        }
    }
}

async fn every_change_is_told_in_order(bench: Bench) {
    let scene = Scene::new(bench).await;
    let mut watch = scene.watch(&scene.holder(), "").await.unwrap();
    let first = watch.message().await.unwrap().unwrap();
    assert!(first.event.is_none() && !first.resume_token.is_empty());
    let consent = scene.consent(Purpose::Creation).await.unwrap();
    let given = scene.authorize(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    let opposed = scene.oppose(&scene.holder(), OppositionKind::BreakGlass).await.unwrap();
    let held = scene.register("parent").await.unwrap();
    let withdrawn = scene.withdraw_creation().await;
    let ended = Authorization {
        ended_at: withdrawn.withdrawn_at,
        revision: withdrawn.revision,
        ..given.clone()
    };
    let expected = [
        Event::Consent(without_receipt(consent)),
        Event::Authorization(given),
        Event::Opposition(opposed),
        Event::Representation(held),
        Event::Consent(without_receipt(withdrawn)),
        Event::Authorization(ended),
    ];
    for event in expected {
        assert_eq!(next(&mut watch).await.0, event);
    }
}

async fn a_listing_after_the_first_answer_misses_nothing(bench: Bench) {
    let scene = Scene::new(bench).await;
    let mut watch = scene.watch(&scene.holder(), "").await.unwrap();
    watch.message().await.unwrap().unwrap();
    let given = scene.authorize(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    let listed = scene.professionals(&scene.holder(), false).await.unwrap();
    assert_eq!(listed.as_slice(), std::slice::from_ref(&given));
    assert_eq!(next(&mut watch).await.0, Event::Authorization(given));
}

async fn a_watch_resumes_without_gap_or_duplicate(bench: Bench) {
    const CHANGES: usize = 24;
    let scene = Scene::new(bench).await;
    let mut watch = scene.watch(&scene.holder(), "").await.unwrap();
    let mut token = watch.message().await.unwrap().unwrap().resume_token;
    drop(watch);
    let changing = async {
        let mut given = Vec::new();
        for number in 0..CHANGES {
            // Among changes that do not concern this dossier.
            let elsewhere = scene.another_dossier();
            let request = RegisterRepresentativeRequest {
                dmp_id: elsewhere,
                ..scene.registration("parent")
            };
            scene.register_with(&actor::administrator(), request).await.unwrap();
            let professional = format!("8{number:011}");
            given.push(scene.authorize(&scene.holder(), &professional).await.unwrap());
        }
        given
    };
    let watching = async {
        let mut told = Vec::new();
        while told.len() < CHANGES {
            // The connection breaks after every third event.
            let mut watch = scene.watch(&scene.holder(), &token).await.unwrap();
            for _ in 0..3 {
                let (event, after) = next(&mut watch).await;
                let Event::Authorization(given) = event else {
                    panic!("{event:?}");
                };
                told.push(given);
                token = after;
            }
        }
        told
    };
    let (given, told) = tokio::join!(changing, watching);
    assert_eq!(told, given);
}

async fn a_service_watches_all_dossiers(bench: Bench) {
    let scene = Scene::new(bench).await;
    let all = WatchConsentRequest::default();
    let request = scene.bench.service_request("dossier", None, all.clone());
    let mut watch = scene.consents().watch_consent(request).await.unwrap().into_inner();
    let here = scene.consent(Purpose::Creation).await.unwrap();
    let elsewhere = RegisterRepresentativeRequest {
        dmp_id: scene.another_dossier(),
        ..scene.registration("parent")
    };
    let elsewhere = scene.register_with(&actor::administrator(), elsewhere).await.unwrap();
    assert_eq!(next(&mut watch).await.0, Event::Consent(without_receipt(here)));
    assert_eq!(next(&mut watch).await.0, Event::Representation(elsewhere));
    // On behalf of somebody it is that somebody.
    for request in [
        scene
            .bench
            .service_request("dossier", Some(&scene.holder()), all.clone()),
        scene.bench.request(&scene.holder(), all),
    ] {
        let refused = refusal(&scene.consents().watch_consent(request).await.unwrap_err());
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (Code::PermissionDenied, "ROLE_FORBIDDEN")
        );
    }
}

async fn a_watch_is_for_who_speaks_for_the_person(bench: Bench) {
    let scene = Scene::consented(bench).await;
    scene.designate(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    let others = [
        scene.physician(),
        actor::auditor(),
        actor::administrator(),
        actor::excluded_party(),
    ];
    for claims in others {
        let refused = scene.watch(&claims, "").await.unwrap_err();
        assert_eq!(refused.reason, "ROLE_FORBIDDEN");
    }
    let stranger = scene.watch(&actor::holder(&scene.another_dossier()), "").await;
    assert_refused(stranger.map(drop), "default-refuse", "L1110-4");
    let nobody = scene.watch(&actor::representative("stranger"), "").await;
    assert_refused(nobody.map(drop), "representation-not-live", "L1111-14");
}

/// Parental authority ends by itself; a watch that began before must not outlive it.
async fn a_representation_that_ends_ends_the_watch(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let request = RegisterRepresentativeRequest {
        valid_until: Some(scene.later(1)),
        ..scene.registration("parent")
    };
    scene.register_with(&actor::administrator(), request).await.unwrap();
    let mut watch = scene.watch(&actor::representative("parent"), "").await.unwrap();
    let given = scene.authorize(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    // What was said just before may still be on its way.
    let told = loop {
        match next(&mut watch).await.0 {
            Event::Authorization(told) => break told,
            Event::Consent(_) | Event::Representation(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(told, given);
    scene.bench.time.advance(SignedDuration::from_hours(1));
    scene.authorize(&scene.holder(), actor::OTHER_PHYSICIAN).await.unwrap();
    let ended = watch.message().await.unwrap_err();
    assert_refused::<()>(Err(refusal(&ended)), "representation-not-live", "L1111-14");
}

async fn a_token_is_good_for_its_dossier_only(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let mut watch = scene.watch(&scene.holder(), "").await.unwrap();
    let token = watch.message().await.unwrap().unwrap().resume_token;
    let elsewhere = scene.another_dossier();
    let request = WatchConsentRequest {
        dmp_id: elsewhere.clone(),
        resume_token: token,
    };
    let request = scene.bench.request(&actor::holder(&elsewhere), request);
    let refused = refusal(&scene.consents().watch_consent(request).await.unwrap_err());
    assert!(refused.has_field("resume_token", "NOT_A_TOKEN"));
    let refused = scene.watch(&scene.holder(), "AAAA").await.unwrap_err();
    assert!(refused.has_field("resume_token", "NOT_A_TOKEN"));
}

async fn compact(scene: &Scene) {
    let options = Options::new(scene.service.settings.common.database.url.reveal());
    match scene.bench.engine {
        testkit::Engine::Sqlite => compact_all::<Sqlite>(&options).await,
        testkit::Engine::Postgres => compact_all::<Postgres>(&options).await,
    }
}

async fn compact_all<DB: Engine>(options: &Options) {
    let db = Db::<DB>::open(options, &consent::Consent::migrations()).await.unwrap();
    let compacted = db.write(|connection| {
        Box::pin(async move {
            sqlx::query("UPDATE feed_head SET floor = head")
                .execute(connection)
                .await?;
            Ok::<_, store::Error>(())
        })
    });
    compacted.await.unwrap();
    db.close().await;
}

async fn a_token_too_old_is_told_to_list_again(bench: Bench) {
    let scene = Scene::new(bench).await;
    let mut watch = scene.watch(&scene.holder(), "").await.unwrap();
    let token = watch.message().await.unwrap().unwrap().resume_token;
    scene.consent(Purpose::Creation).await.unwrap();
    next(&mut watch).await;
    compact(&scene).await;
    let mut late = scene.watch(&scene.holder(), &token).await.unwrap();
    let ended = end(&mut late).await;
    assert_eq!(
        (ended.code, ended.reason.as_str()),
        (Code::OutOfRange, "FEED_COMPACTED")
    );
}

async fn a_heartbeat_proves_an_idle_watch_alive(bench: Bench) {
    let config = Config {
        watch: WatchSettings {
            heartbeat_ms: 20,
            ..WatchSettings::default()
        },
        ..config(&bench)
    };
    let scene = Scene::with(bench, config).await;
    let mut watch = scene.watch(&scene.holder(), "").await.unwrap();
    for _ in 0..3 {
        assert_eq!(watch.message().await.unwrap().unwrap().event, None);
    }
}

async fn a_watch_ends_when_the_process_stops(bench: Bench) {
    let scene = Scene::new(bench).await;
    let mut watch = scene.watch(&scene.holder(), "").await.unwrap();
    watch.message().await.unwrap().unwrap();
    scene.service.running.shutdown();
    let ended = end(&mut watch).await;
    assert_eq!((ended.code, ended.reason.as_str()), (Code::Unavailable, "DRAINING"));
}

async fn a_second_instance_tells_what_the_first_was_told(bench: Bench) {
    let scene = Scene::new(bench).await;
    let settings = scene.service.settings.clone();
    let second = scene.bench.start_with::<consent::Consent>(settings).await;
    let mut client = ConsentServiceClient::new(second.channel());
    let request = scene.bench.request(&scene.holder(), scene.watching(""));
    let mut watch = client.watch_consent(request).await.unwrap().into_inner();
    watch.message().await.unwrap().unwrap();
    let consent = scene.consent(Purpose::Creation).await.unwrap();
    assert_eq!(next(&mut watch).await.0, Event::Consent(without_receipt(consent)));
}
