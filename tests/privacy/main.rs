//! Nothing that identifies a person reaches a log, a span or an error text.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use api::dossier::v1::ListDocumentsRequest;
use journeys::{CONSULTATION, SAMPLE_MATRICULE, Stage};
use serve::telemetry;
use testkit::{Bench, Engine, actor};

/// CNIL's recommendation on logging, and house rule 8: the whole suite works at its most talkative level, through
/// accepted and refused calls, and says no matricule, no name, no title, no professional's number and no token.
#[tokio::test(flavor = "multi_thread")]
async fn telemetry_never_names_a_person() {
    let captured = telemetry::capture();
    let stage = Stage::on(Bench::new(Engine::Sqlite).unwrap()).await;
    let (dmp_id, consent) = stage.open_dossier().await;
    let physician = actor::physician(actor::PHYSICIAN);
    let mut errors = Vec::new();
    errors.extend(stage.list(&physician, &dmp_id).await.err());
    stage.authorize(&dmp_id, actor::PHYSICIAN).await;
    let document = stage
        .submit(&physician, &dmp_id, CONSULTATION)
        .await
        .unwrap()
        .document
        .unwrap();
    stage.read(&physician, &dmp_id, &document.unique_id).await.unwrap();
    errors.extend(stage.read(&physician, &dmp_id, "1.2.3^unknown").await.err());
    let stranger = include_bytes!("../../shared/testkit/samples/hostile/bad-ins-key.xml");
    errors.extend(stage.submit(&physician, &dmp_id, stranger).await.err());
    errors.extend(stage.submit(&physician, &dmp_id, b"<not").await.err());
    stage.withdraw(&consent).await;
    errors.extend(stage.list(&physician, &dmp_id).await.err());
    stage.accesses(&dmp_id).await;
    let token = stage.request(&physician, ());
    let token = token
        .metadata()
        .get("authorization")
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    stage.suite.stop().await;

    assert_eq!(errors.len(), 5, "every refused call was refused");
    let shown = format!("{}{errors:?}", captured.text());
    assert!(shown.contains("DocumentService"), "the capture works");
    let named = [
        SAMPLE_MATRICULE,
        "2850469123042",
        "SPECIMEN",
        "ARDOISE",
        "MAELLE",
        "INVENTAIRE",
        actor::PHYSICIAN,
        "10000000017",
    ];
    let secret = token.trim_start_matches("Bearer ").rsplit_once('.').unwrap().0;
    for forbidden in named
        .into_iter()
        .chain([secret, dmp_id.as_str(), document.title.as_str()])
    {
        let line = shown.lines().find(|line| line.contains(forbidden));
        assert!(line.is_none(), "{forbidden} in: {}", line.unwrap_or_default());
    }
}

/// A trace that a caller begins, as W3C Trace Context writes it.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// design.md §12: one trace goes from the caller through both services to the last statement, and names nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_from_the_caller_to_the_last_statement() {
    let captured = telemetry::capture();
    let stage = Stage::on(Bench::new(Engine::Sqlite).unwrap()).await;
    let (dmp_id, _consent) = stage.open_dossier().await;
    stage.authorize(&dmp_id, actor::PHYSICIAN).await;
    let asked = ListDocumentsRequest {
        dmp_id: dmp_id.clone(),
        ..ListDocumentsRequest::default()
    };
    let mut request = stage.request(&actor::physician(actor::PHYSICIAN), asked);
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01").parse().unwrap();
    request.metadata_mut().insert("traceparent", parent);
    stage.documents().list_documents(request).await.unwrap();
    stage.suite.stop().await;

    let lines = captured.of_trace(TRACE);
    let steps = [
        ["rpc ", "ListDocuments"],
        ["rpc ", "AccessService/Authorize"],
        ["store.read", "\"consent\""],
        ["sqlx::query", "f.fact_id"],
        ["journal.append", "\"dossier\""],
        ["journal.batch", "asked=1"],
        ["store.write", "\"dossier\""],
        ["sqlx::query", "INSERT INTO journal_entries"],
        ["sqlx::query", "FROM documents"],
    ];
    for step in steps {
        let found = lines.iter().any(|line| step.iter().all(|part| line.contains(part)));
        assert!(found, "{step:?} in:\n{}", lines.join("\n"));
    }
    for forbidden in [dmp_id.as_str(), actor::PHYSICIAN, SAMPLE_MATRICULE, "SPECIMEN"] {
        let line = lines.iter().find(|line| line.contains(forbidden));
        assert!(line.is_none(), "{forbidden} in: {}", line.unwrap());
    }
}
