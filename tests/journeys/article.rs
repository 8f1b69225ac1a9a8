//! The article, told from its first sentence to its last.

use dmp::suite::Plan;
use dmp::tour::{Outcome, SourceDocument, Visit, tour};
use journal::VerifierKey;
use journeys::Stage;
use std::path::PathBuf;
use testkit::Bench;

testkit::on_both_engines! {
    the_article_is_kept_from_its_first_sentence_to_its_last,
    a_second_tour_on_the_same_suite_is_kept_too,
}

async fn play(stage: &Stage, documents: Vec<SourceDocument>) -> (Outcome, String) {
    let key = |service| {
        let text = std::fs::read_to_string(stage.home.journal_verifier(service)).unwrap();
        VerifierKey::parse(text.trim_end()).unwrap()
    };
    let visit = Visit {
        endpoints: &stage.suite.endpoints,
        issuer: stage.people(),
        clock: &stage.bench.clock,
        random: &stage.bench.random,
        dossier_log: key("dossier"),
        messaging_log: key("messaging"),
        colour: false,
    };
    let mut told = Vec::new();
    let outcome = tour(visit, documents, &mut told).await.unwrap();
    (outcome, String::from_utf8(told).unwrap())
}

/// L1111-14, all seven sentences, on the documents that the tour carries.
async fn the_article_is_kept_from_its_first_sentence_to_its_last(bench: Bench) {
    let stage = Stage::on(bench).await;
    let (outcome, told) = play(&stage, Vec::new()).await;
    assert_eq!(outcome.failures, Vec::<String>::new(), "{told}");
    assert!(outcome.accepted.len() >= 4, "{told}");
}

async fn a_second_tour_on_the_same_suite_is_kept_too(bench: Bench) {
    let stage = Stage::on(bench).await;
    for _ in 0..2 {
        let (outcome, told) = play(&stage, Vec::new()).await;
        assert_eq!(outcome.failures, Vec::<String>::new(), "{told}");
    }
}

/// Real documents, where this machine has them: each is accepted with complete metadata or refused with the exact
/// reason. They carry no licence and are no part of the project.
#[tokio::test(flavor = "multi_thread")]
async fn every_real_document_is_accepted_or_refused_with_its_reason() {
    let documents = real_documents();
    if documents.is_empty() {
        return;
    }
    let count = documents.len();
    let stage = Stage::planned(Bench::new(testkit::Engine::Sqlite).unwrap(), Plan::default()).await;
    let (outcome, told) = play(&stage, documents).await;
    assert_eq!(outcome.failures, Vec::<String>::new(), "{told}");
    assert_eq!(outcome.accepted.len() + outcome.refused.len(), count, "{told}");
    assert!(outcome.accepted.len() > count / 2, "{told}");
}

fn real_documents() -> Vec<SourceDocument> {
    #[expect(
        clippy::disallowed_methods,
        reason = "says where the data is; the suite's own configuration is elsewhere"
    )]
    let folder = std::env::var("DMP_TEST_DATA").map_or_else(
        |_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    );
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder.join("cda"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.sort();
    let document = |path: &PathBuf| SourceDocument {
        name: path.file_name().unwrap().to_string_lossy().into_owned(),
        content: std::fs::read(path).unwrap(),
    };
    files.iter().map(document).collect()
}
