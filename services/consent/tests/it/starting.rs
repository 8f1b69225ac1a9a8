//! What the service needs before it serves.

use consent::{Config, Consent};
use serve::StartError;
use testkit::Bench;

use crate::scene::config;

testkit::on_both_engines! {
    without_its_keys_and_the_dossier_service_it_does_not_start,
}

async fn start(bench: &Bench, config: Config) -> StartError {
    let settings = bench.settings::<Consent>(config).await;
    let started = serve::start::<Consent>(settings, bench.clock.clone(), bench.random.clone()).await;
    started.expect_err("it starts")
}

/// Exceptional accesses that nobody hears of would never be looked at again (R1111-48).
async fn without_its_keys_and_the_dossier_service_it_does_not_start(bench: Bench) {
    let missing = start(&bench, config(&bench)).await;
    assert!(
        matches!(&missing, StartError::Peer(peer) if peer.0 == "dossier"),
        "{missing}"
    );
    bench.peer("dossier", "http://127.0.0.1:1");
    let short = bench.file("short.key", &[1; 31]);
    let wrong = [
        ("consent.key_file", Config::default()),
        (
            "consent.key_file",
            Config {
                key_file: short.clone(),
                ..config(&bench)
            },
        ),
        (
            "consent.receipt_key_file",
            Config {
                receipt_key_file: short,
                ..config(&bench)
            },
        ),
    ];
    for (key, config) in wrong {
        let refused = start(&bench, config).await;
        let StartError::Setting(invalid) = &refused else {
            panic!("{refused}");
        };
        assert_eq!(invalid.key, key);
    }
}
