//! Whether a representative may be told of a dossier's notices: the consent service decides, asked anew each time.

use api::common::v1::Reason;
use api::consent::v1 as consent;
use api::consent::v1::Operation;
use api::consent::v1::access_service_client::AccessServiceClient;
use api::consent::v1::decision::Outcome;
use api::identity::DmpId;
use serve::{Call, Failure, Peer};
use std::time::Duration;
use tonic::{Code, Status};

/// How long consent may take: a watch lives for an hour, and must not wait for that long.
const ASK_TIME_MAX: Duration = Duration::from_secs(5);

/// What is kept back of a call's time, so that consent's silence can still be answered.
const ANSWER_TIME_MAX: Duration = Duration::from_millis(500);

/// Asks whether the caller may read who came into a dossier, right now.
///
/// # Errors
/// ACCESS_REFUSED with rule and article; PEER_UNAVAILABLE when consent does not answer.
pub(crate) async fn admit(peer: &Peer, call: &Call, dmp_id: &DmpId) -> Result<(), Failure> {
    let decision = ask(peer, call, dmp_id).await?;
    match &decision.outcome {
        Some(Outcome::Grant(grant)) if permits(grant) => Ok(()),
        Some(Outcome::Refusal(_)) => Err(access_refused(&decision)),
        // An answer that does not answer: closed, as if there were none.
        _ => Err(Failure::peer_unavailable(peer.name())),
    }
}

async fn ask(peer: &Peer, call: &Call, dmp_id: &DmpId) -> Result<consent::Decision, Failure> {
    let message = consent::AuthorizeRequest {
        dmp_id: dmp_id.as_str().to_owned(),
        operation: Operation::ReadJournal.into(),
        context: None,
    };
    let mut request = peer.request(call, message)?;
    let remaining = call.remaining();
    let kept_back = ANSWER_TIME_MAX.min(remaining / 5);
    request.set_timeout(remaining.saturating_sub(kept_back).min(ASK_TIME_MAX));
    let answer = AccessServiceClient::new(peer.channel()).authorize(request).await;
    answer
        .map(tonic::Response::into_inner)
        .map_err(|status| unanswered(peer, call, &status))
}

/// Our own limit on consent's time is not the caller's deadline.
fn unanswered(peer: &Peer, call: &Call, status: &Status) -> Failure {
    let failure = peer.failure(status);
    if failure.code == Code::DeadlineExceeded && !call.remaining().is_zero() {
        return Failure::peer_unavailable(peer.name());
    }
    failure
}

fn permits(grant: &consent::Grant) -> bool {
    let operation = i32::from(Operation::ReadJournal);
    grant
        .permissions
        .iter()
        .any(|permission| permission.operation == operation)
}

/// The refusal with its rule. Other modes, of which a refusal may tell, are a professional's.
fn access_refused(decision: &consent::Decision) -> Failure {
    let message = "a rule refuses this access";
    match decision.bases.first() {
        None => Failure::new(Code::PermissionDenied, Reason::AccessRefused, message),
        Some(basis) => {
            let message = format!("{message}: {}", basis.summary);
            Failure::new(Code::PermissionDenied, Reason::AccessRefused, message)
                .with("rule", basis.rule.as_str())
                .with("article", basis.article.as_str())
        }
    }
}
