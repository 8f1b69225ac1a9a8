//! A stage as what is put under load: for each of the test binaries here.

use journeys::Stage;
use load::{Endpoints, Target};

pub(crate) fn target(stage: &Stage) -> Target {
    let endpoints = stage.suite.endpoints.clone();
    Target {
        endpoints: Endpoints {
            identifier: endpoints.identifier,
            consent: endpoints.consent,
            dossier: endpoints.dossier,
            messaging: endpoints.messaging,
        },
        tls: None,
        issuer: stage.home.people().unwrap(),
        clock: stage.bench.clock.clone(),
        random: stage.bench.random.clone(),
        folder: stage.bench.folder().to_owned(),
    }
}
