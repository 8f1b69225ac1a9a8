//! MatrixService.

use api::common::v1::AccessMode;
use api::consent::v1::decision::Outcome;
use api::consent::v1::matrix_service_client::MatrixServiceClient;
use api::consent::v1::what_if_response::Effect;
use api::consent::v1::*;
use jiff::{SignedDuration, Timestamp};
use serve::{Claims, Service};
use store::{Db, Engine, Options, Postgres, Sqlite};
use testkit::{Bench, actor};
use tonic::Code;
use tonic::transport::Channel;

use crate::scene::{Answer, Scene, answer, assert_failed, assert_not_found, time};

testkit::on_both_engines! {
    the_program_brings_the_first_version,
    a_published_version_takes_over_at_its_moment_on_every_instance,
    an_instance_that_has_not_looked_since_misses_no_takeover,
    what_a_newer_program_brings_is_known_to_the_others_after_half_a_minute,
    a_publication_survives_a_restart,
    every_wrong_line_is_named_and_nothing_is_published,
    no_version_is_replaced_unseen,
    of_concurrent_publications_one_wins,
    what_changes_between_versions_is_told,
    a_candidate_is_counted_on_the_population,
    a_population_of_several_pages_is_counted_once,
    only_the_administrator_publishes,
}

impl Scene {
    fn matrices(&self) -> MatrixServiceClient<Channel> {
        MatrixServiceClient::new(self.service.channel())
    }

    async fn publish(&self, claims: &Claims, text: &str, supersedes: &str) -> Answer<Matrix> {
        let request = PublishMatrixRequest {
            request_id: self.bench.request_id(),
            text: text.to_owned(),
            supersedes: supersedes.to_owned(),
        };
        answer(
            self.matrices()
                .publish_matrix(self.bench.request(claims, request))
                .await,
        )
    }

    async fn matrix(&self, version: &str) -> Answer<Matrix> {
        let request = GetMatrixRequest {
            version: version.to_owned(),
            moment: None,
        };
        answer(
            self.matrices()
                .get_matrix(self.bench.request(&actor::auditor(), request))
                .await,
        )
    }

    /// A version that begins this many hours from now.
    fn version(&self, name: &str, hours: i64, rows: &str) -> String {
        let from = self.now() + SignedDuration::from_hours(hours);
        format!("version\t{name}\nvalid_from\t{from}\n{rows}\n")
    }

    async fn what_if(&self, text: &str) -> Answer<WhatIfResponse> {
        let request = WhatIfRequest {
            text: text.to_owned(),
            against: String::new(),
        };
        answer(
            self.matrices()
                .what_if(self.bench.request(&actor::auditor(), request))
                .await,
        )
    }
}

fn read(decision: &Decision) -> DocumentTypes {
    let Some(Outcome::Grant(grant)) = &decision.outcome else {
        return DocumentTypes::default();
    };
    let mut permissions = grant.permissions.iter();
    let read = permissions.find(|permission| permission.operation() == Operation::ReadDocuments);
    read.unwrap().document_types.clone().unwrap()
}

async fn the_program_brings_the_first_version(bench: Bench) {
    let scene = Scene::new(bench).await;
    let first = scene.matrix("").await.unwrap();
    assert_eq!(
        (first.version.as_str(), first.published_by.as_str()),
        ("2026-1", "program")
    );
    assert!(first.text.contains("\n10,50\t*\tread+submit\n") && first.valid_until.is_none());
    assert_eq!(scene.matrix("2026-1").await.unwrap(), first);
    assert_not_found(scene.matrix("2027-1").await, "matrix");
    let early = GetMatrixRequest {
        version: String::new(),
        moment: Some(time("2015-01-01T00:00:00Z".parse().unwrap())),
    };
    let early = scene
        .matrices()
        .get_matrix(scene.bench.request(&scene.holder(), early))
        .await;
    assert_not_found(answer(early), "matrix");
}

/// R1111-46: the matrix in force at the moment of the decision, whichever instance decides.
async fn a_published_version_takes_over_at_its_moment_on_every_instance(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let settings = scene.service.settings.clone();
    let second = scene.bench.start_with::<consent::Consent>(settings).await;
    let mut other = access_service_client::AccessServiceClient::new(second.channel());
    scene.authorize(&scene.holder(), actor::PHYSICIAN).await.unwrap();
    let asked = || scene.asking(Operation::ReadDocuments, AccessMode::Normal);
    let before = scene.ask(&scene.physician(), asked()).await.unwrap();
    let started = scene.now();

    let text = scene.version("2026-2", 1, "10\ttype:SYNTH\tread");
    let published = scene.publish(&actor::administrator(), &text, "2026-1").await.unwrap();
    assert_eq!(published.published_by, "administrator:administrator");
    assert_eq!(scene.matrix("2026-2").await.unwrap(), published);
    scene
        .bench
        .time
        .advance(SignedDuration::from_hours(1) - SignedDuration::from_micros(1));
    let still = answer(other.authorize(scene.bench.request(&scene.physician(), asked())).await).unwrap();
    assert_eq!((still.matrix_version.as_str(), read(&still)), ("2026-1", read(&before)));
    scene.bench.time.advance(SignedDuration::from_micros(1));
    let only = DocumentTypes {
        all_but: false,
        type_codes: vec!["SYNTH".into()],
    };
    let here = scene.ask(&scene.physician(), asked()).await.unwrap();
    let there = answer(other.authorize(scene.bench.request(&scene.physician(), asked())).await).unwrap();
    for after in [here, there] {
        assert_eq!((after.matrix_version.as_str(), read(&after)), ("2026-2", only.clone()));
    }
    // The past keeps its own.
    let again = scene.again(&scene.physician(), Operation::ReadDocuments, &before);
    assert_eq!(scene.replay(&scene.physician(), again).await.unwrap(), before);
    let why = ExplainAccessRequest {
        moment: Some(time(started)),
        ..scene.why(&scene.physician())
    };
    assert_eq!(
        scene.explain(&scene.holder(), why).await.unwrap().decision,
        Some(before)
    );
}

/// The shortest notice, the longest ignorance: whenever the other instance has looked last, it changes in time.
async fn an_instance_that_has_not_looked_since_misses_no_takeover(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let settings = scene.service.settings.clone();
    let second = scene.bench.start_with::<consent::Consent>(settings).await;
    let mut other = access_service_client::AccessServiceClient::new(second.channel());
    let mut version_there = async || {
        let asked = scene.asking(Operation::SeeStatus, AccessMode::Normal);
        let asked = scene.bench.request(&scene.physician(), asked);
        answer(other.authorize(asked).await).unwrap().matrix_version
    };
    let notice = SignedDuration::from_secs(60);
    let mut known = "2026-1".to_owned();
    for (number, looks_after_seconds) in [0, 29, 30, 31, 59].into_iter().enumerate() {
        assert_eq!(version_there().await, known);
        let from = scene.now() + notice;
        let name = format!("next-{number}");
        let text = format!("version\t{name}\nvalid_from\t{from}\n10\t*\tread\n");
        scene.publish(&actor::administrator(), &text, &known).await.unwrap();
        let looks = SignedDuration::from_secs(looks_after_seconds);
        scene.bench.time.advance(looks);
        assert_eq!(version_there().await, known, "{looks_after_seconds} s");
        scene
            .bench
            .time
            .advance(notice - looks - SignedDuration::from_micros(1));
        if number % 2 == 0 {
            assert_eq!(version_there().await, known, "{looks_after_seconds} s");
        }
        scene.bench.time.advance(SignedDuration::from_micros(1));
        assert_eq!(version_there().await, name, "{looks_after_seconds} s");
        known = name;
    }
}

/// Without notice a version counts once an instance looks again: after 30 s, or when its clock was set back.
async fn what_a_newer_program_brings_is_known_to_the_others_after_half_a_minute(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let version = async || {
        let asked = scene.asking(Operation::SeeStatus, AccessMode::Normal);
        scene.ask(&scene.physician(), asked).await.unwrap().matrix_version
    };
    let step = SignedDuration::from_micros(1);
    assert_eq!(version().await, "2026-1");
    bring(&scene, "brought-1", -2).await;
    scene.bench.time.advance(SignedDuration::from_secs(30));
    assert_eq!(version().await, "2026-1");
    scene.bench.time.advance(step);
    assert_eq!(version().await, "brought-1");
    bring(&scene, "brought-2", -1).await;
    assert_eq!(version().await, "brought-1");
    scene.bench.time.advance(-step);
    assert_eq!(version().await, "brought-2");
}

/// A version as another program has put it there: in force since some hours ago, as soon as it is known.
async fn bring(scene: &Scene, name: &str, hours: i64) {
    let options = Options::new(scene.service.settings.common.database.url.reveal());
    let text = scene.version(name, hours, "10\t*\tread");
    let from = scene.now() + SignedDuration::from_hours(hours);
    match scene.bench.engine {
        testkit::Engine::Sqlite => bring_into::<Sqlite>(&options, name.to_owned(), text, from).await,
        testkit::Engine::Postgres => bring_into::<Postgres>(&options, name.to_owned(), text, from).await,
    }
}

async fn bring_into<DB: Engine>(options: &Options, name: String, text: String, from: Timestamp) {
    let db = Db::<DB>::open(options, &consent::Consent::migrations()).await.unwrap();
    let brought = db.write(move |connection| {
        Box::pin(async move {
            sqlx::query(
                "INSERT INTO matrices (version, valid_from, content, published_by, published_at)
                 VALUES ($1, $2, $3, 'program', $2)",
            )
            .bind(name)
            .bind(store::time::to_micros(from))
            .bind(text)
            .execute(connection)
            .await?;
            Ok::<_, store::Error>(())
        })
    });
    brought.await.unwrap();
    db.close().await;
}

async fn a_publication_survives_a_restart(bench: Bench) {
    let scene = Scene::new(bench).await;
    let text = scene.version("2026-2", 1, "10\ttype:SYNTH\tread");
    let published = scene.publish(&actor::administrator(), &text, "2026-1").await.unwrap();
    scene.bench.time.advance(SignedDuration::from_hours(2));
    let scene = scene.restarted().await;
    assert_eq!(scene.matrix("").await.unwrap(), published);
}

async fn every_wrong_line_is_named_and_nothing_is_published(bench: Bench) {
    let scene = Scene::new(bench).await;
    let text = scene.version("2026-2", 1, "11\t*\tread\n10\t*\tread\n10\tclass:12\tread");
    let refusal = assert_failed(
        scene.publish(&actor::administrator(), &text, "2026-1").await,
        Code::InvalidArgument,
        "INVALID_FIELDS",
    );
    let fields: Vec<&str> = refusal.fields.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["text[3]", "text[5]"]);
    let without_name = scene
        .publish(&actor::administrator(), "10\t*\tread", "")
        .await
        .unwrap_err();
    assert!(without_name.has_field("text", "NOT_A_MATRIX"));
    let large = "#".repeat((256 << 10) + 1);
    let large = scene.publish(&actor::administrator(), &large, "").await.unwrap_err();
    assert!(large.has_field("text", "LENGTH"));
    let soon = scene.version("2026-2", 0, "10\t*\tread");
    let soon = scene
        .publish(&actor::administrator(), &soon, "2026-1")
        .await
        .unwrap_err();
    assert!(soon.has_field("text", "TOO_SOON"));
    assert_not_found(scene.matrix("2026-2").await, "matrix");
}

async fn no_version_is_replaced_unseen(bench: Bench) {
    let scene = Scene::new(bench).await;
    let administrator = actor::administrator();
    let second = scene.version("2026-2", 10, "10\t*\tread");
    let conflict = |published: Answer<Matrix>| {
        let refusal = assert_failed(published, Code::FailedPrecondition, "STATE_CONFLICT");
        (refusal.metadata["state"].clone(), refusal.metadata["version"].clone())
    };
    let told = |state: &str, version: &str| (state.to_owned(), version.to_owned());
    assert_eq!(
        conflict(scene.publish(&administrator, &second, "").await),
        told("SUPERSEDES", "2026-1")
    );
    scene.publish(&administrator, &second, "2026-1").await.unwrap();
    assert_failed(
        scene.publish(&administrator, &second, "2026-2").await,
        Code::AlreadyExists,
        "ALREADY_EXISTS",
    );
    // Before the one that is to come, without an end.
    let between = scene.version("2026-3", 5, "10\t*\tread");
    assert_eq!(
        conflict(scene.publish(&administrator, &between, "2026-1").await),
        told("OVERLAPS", "2026-2")
    );
    let same_start = scene.version("2026-4", 10, "10\t*\tread");
    assert_eq!(
        conflict(scene.publish(&administrator, &same_start, "2026-1").await),
        told("OVERLAPS", "2026-2")
    );
}

async fn of_concurrent_publications_one_wins(bench: Bench) {
    let scene = std::sync::Arc::new(Scene::new(bench).await);
    let publishing: Vec<_> = (0..6)
        .map(|number| {
            let scene = scene.clone();
            tokio::spawn(async move {
                let text = scene.version(&format!("candidate-{number}"), 1, "10\t*\tread");
                scene.publish(&actor::administrator(), &text, "2026-1").await
            })
        })
        .collect();
    let mut published = 0;
    for publication in publishing {
        match publication.await.unwrap() {
            Ok(_) => published += 1,
            Err(refusal) => assert_eq!(refusal.reason, "STATE_CONFLICT"),
        }
    }
    assert_eq!(published, 1);
}

async fn what_changes_between_versions_is_told(bench: Bench) {
    let scene = Scene::new(bench).await;
    let diff = |request: DiffMatrixRequest| {
        let request = scene.bench.request(&actor::auditor(), request);
        let mut matrices = scene.matrices();
        async move { answer(matrices.diff_matrix(request).await) }
    };
    let first = scene.version("a", 1, "10\ttype:SYNTH,type:11488-4\tread");
    let first = scene.publish(&actor::administrator(), &first, "2026-1").await.unwrap();
    let to_text = scene.version("b", 2, "10\ttype:SYNTH\tread+submit");
    let changed = diff(DiffMatrixRequest {
        from_version: first.version.clone(),
        to_text,
        ..Default::default()
    })
    .await
    .unwrap();
    let change = |operation: Operation, gained: &[&str], lost: &[&str]| MatrixChange {
        party: "10".into(),
        operation: operation.into(),
        gained: gained.iter().map(|code| (*code).to_owned()).collect(),
        lost: lost.iter().map(|code| (*code).to_owned()).collect(),
    };
    assert_eq!(
        changed.changes,
        [
            change(Operation::ReadDocuments, &[], &["11488-4"]),
            change(Operation::SubmitDocuments, &["SYNTH"], &[]),
        ]
    );
    assert_eq!((changed.from_version.as_str(), changed.to_version.as_str()), ("a", "b"));
    let now = diff(DiffMatrixRequest {
        to_version: "2026-1".into(),
        ..Default::default()
    });
    let now = now.await.unwrap();
    assert_eq!((now.changes, now.from_version.as_str()), (vec![], "2026-1"));
    let unknown = DiffMatrixRequest {
        to_version: "z".into(),
        ..Default::default()
    };
    assert_not_found(diff(unknown).await, "matrix");
}

/// Issue of the house: who gains and loses what, counted on the real population, before publication.
async fn a_candidate_is_counted_on_the_population(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let authorize = |professional: &str, profession: &str| AuthorizeProfessionalRequest {
        profession: profession.into(),
        ..scene.authorization(professional)
    };
    let holder = scene.holder();
    let nurse = scene
        .authorize_with(&holder, authorize("810000000033", "60"))
        .await
        .unwrap();
    assert_eq!(nurse.profession, "60");
    // Whom the person lets in openly and secretly is one pair.
    let secretly = AuthorizeProfessionalRequest {
        secret: true,
        ..authorize("810000000033", "60")
    };
    scene.authorize_with(&holder, secretly).await.unwrap();
    // Its own profession, from its token.
    let own = scene.authorize(&scene.physician(), actor::PHYSICIAN).await.unwrap();
    assert_eq!(own.profession, "10");
    scene.authorize(&holder, actor::OTHER_PHYSICIAN).await.unwrap();
    scene.authorize_structure(actor::HOSPITAL).await.unwrap();
    // Read already by another rule; and let in no longer.
    scene
        .authorize_with(&holder, authorize("810000000041", "10"))
        .await
        .unwrap();
    scene.designate(&holder, "810000000041").await.unwrap();
    let ended = scene
        .authorize_with(&holder, authorize("810000000058", "10"))
        .await
        .unwrap();
    scene.revoke(&holder, &ended.authorization_id).await.unwrap();
    // A dossier without a live consent to its creation: nobody reads, so nobody loses.
    let elsewhere = AuthorizeProfessionalRequest {
        dmp_id: scene.another_dossier(),
        ..authorize("810000000066", "10")
    };
    let its_holder = actor::holder(&elsewhere.dmp_id);
    scene.authorize_with(&its_holder, elsewhere).await.unwrap();

    let without = |line: &str| {
        let first = include_str!("../../matrix/2026-1.tsv");
        first.replace("version\t2026-1", "version\tcandidate") + line
    };
    let counted = scene.what_if(&without("10\ttype:SYNTH\tnone\n")).await.unwrap();
    assert_eq!((counted.pairs, counted.unknown_profession), (5, 1));
    assert_eq!(counted.against, "2026-1");
    let lost = |operation: Operation, pairs| Effect {
        profession: "10".into(),
        operation: operation.into(),
        gained: vec![],
        lost: vec!["SYNTH".into()],
        pairs,
    };
    let expected = [
        lost(Operation::ReadDocuments, 1),
        // The treating physician submits by the matrix as everybody does.
        lost(Operation::SubmitDocuments, 2),
        lost(Operation::ChangeVisibility, 1),
    ];
    assert_eq!(counted.effects, expected);
    let gained = scene
        .what_if(&without("60\ttype:57833-6\tread+submit\n"))
        .await
        .unwrap();
    let effect = Effect {
        profession: "60".into(),
        operation: Operation::SubmitDocuments.into(),
        gained: vec!["57833-6".into()],
        lost: vec![],
        pairs: 1,
    };
    assert_eq!(gained.effects, [effect]);
    let same = scene.what_if(&without("")).await.unwrap();
    assert_eq!((same.effects, same.pairs), (vec![], 5));
}

async fn a_population_of_several_pages_is_counted_once(bench: Bench) {
    let scene = Scene::consented(bench).await;
    for number in 0..203_u64 {
        let request = AuthorizeProfessionalRequest {
            profession: "60".into(),
            ..scene.authorization(&format!("8{number:011}"))
        };
        scene.authorize_with(&scene.holder(), request).await.unwrap();
    }
    let candidate = scene.version("candidate", 1, "60\ttype:SYNTH\tread+submit");
    let counted = scene.what_if(&candidate).await.unwrap();
    assert_eq!((counted.pairs, counted.unknown_profession), (203, 0));
    assert!(!counted.effects.is_empty() && counted.effects.iter().all(|effect| effect.pairs == 203));
}

async fn only_the_administrator_publishes(bench: Bench) {
    let scene = Scene::new(bench).await;
    let text = scene.version("2026-2", 1, "10\t*\tread");
    for claims in [
        scene.holder(),
        scene.physician(),
        actor::auditor(),
        actor::excluded_party(),
    ] {
        let refused = scene.publish(&claims, &text, "2026-1").await;
        assert_failed(refused, Code::PermissionDenied, "ROLE_FORBIDDEN");
    }
    let request = WhatIfRequest {
        text,
        against: String::new(),
    };
    let refused = scene
        .matrices()
        .what_if(scene.bench.request(&scene.physician(), request))
        .await;
    assert_failed(answer(refused), Code::PermissionDenied, "ROLE_FORBIDDEN");
}
