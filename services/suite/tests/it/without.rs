//! Guarantees are left out in a build for measuring only, and not even there where others could reach it.

use api::common::v1::Role;
use api::consent::v1::ListRulesRequest;
use api::consent::v1::access_service_client::AccessServiceClient;
use dmp::home::Home;
use serve::{Claims, TokenIssuer, bearer, cleartext_channel};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;
use store::random::Random;
use store::time::Clock;
use tonic::{Request, Status};

use crate::process::{Process, dmp};

/// A process that is told to leave everything out.
fn without(guarantees: &str) -> Command {
    let mut command = dmp();
    command.env("DMP_WITHOUT", guarantees);
    command
}

/// Calls a running suite with a token that says what the administrator's says, of a key that nobody trusts.
async fn call_with_a_foreign_token(folder: &Path) -> Result<(), Status> {
    let home = Home::open(folder, &Random::system()).unwrap();
    let key = TokenIssuer::generate_key(&Random::system()).unwrap();
    let stranger = TokenIssuer::new(home.people().unwrap().issuer(), "dmp", key.as_bytes()).unwrap();
    let claims = Claims::new("somebody", Role::Administrator);
    let token = stranger.mint(&claims, Duration::from_secs(60), &Clock::system());
    let mut request = Request::new(ListRulesRequest::default());
    let told = bearer(&token.unwrap()).unwrap();
    request.metadata_mut().insert("authorization", told);
    let channel = cleartext_channel("consent", &home.read_endpoints().unwrap().consent).unwrap();
    AccessServiceClient::new(channel).list_rules(request).await.map(drop)
}

/// Starts one service that listens wherever its settings say, in the clear.
fn serve(mut command: Command, listen: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("identifier.toml");
    let url = format!("sqlite://{}", folder.path().join("identifier.db").display());
    std::fs::write(
        &file,
        format!("listen = \"{listen}\"\nallow_cleartext = true\ndatabase.url = \"{url}\"\n"),
    )
    .unwrap();
    command.args(["serve", "identifier", "--config"]).arg(file);
    command.output().unwrap()
}

fn version() -> String {
    String::from_utf8(dmp().arg("--version").output().unwrap().stdout).unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[cfg(not(feature = "without-guarantees"))]
mod whole {
    use super::*;

    /// Told to leave everything out, the suite verifies tokens as ever, and a service knows no such setting.
    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_can_be_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let everything = without("token,consent,journal,encryption");
        let _suite = Process::start_as(everything, folder.path(), &Default::default());
        let refused = call_with_a_foreign_token(folder.path()).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unauthenticated, "{refused:?}");

        let service = serve(without("token"), "127.0.0.1:0");
        assert!(!service.status.success());
        assert!(said(&service).contains("without"), "{}", said(&service));
        assert!(!version().contains("PRODUCTION"), "{}", version());
    }
}

#[cfg(feature = "without-guarantees")]
mod measured {
    use super::*;

    #[test]
    fn it_says_that_it_is_not_for_production() {
        assert!(version().contains("NOT FOR PRODUCTION"), "{}", version());
    }

    /// Whatever its settings say, and even when it leaves nothing out.
    #[test]
    fn it_listens_on_loopback_only() {
        for command in [dmp(), without("token")] {
            let refused = serve(command, "0.0.0.0:0");
            assert!(!refused.status.success());
            assert!(said(&refused).contains("loopback"), "{}", said(&refused));
        }
    }

    #[test]
    fn a_word_that_names_no_guarantee_stops_it() {
        let refused = without("tokens").arg("rules").output().unwrap();
        assert!(!refused.status.success());
        assert!(said(&refused).contains("DMP_WITHOUT"), "{}", said(&refused));
    }

    /// What is measured is really left out, and only when it is asked for.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_token_is_believed_when_it_is_not_to_be_verified() {
        for (guarantees, believed) in [("", false), ("token", true)] {
            let folder = tempfile::tempdir().unwrap();
            let _suite = Process::start_as(without(guarantees), folder.path(), &Default::default());
            let answered = call_with_a_foreign_token(folder.path()).await;
            assert_eq!(answered.is_ok(), believed, "{answered:?}");
        }
    }
}
