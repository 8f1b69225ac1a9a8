//! AccessService: decides, and prints the rules. What it says of the past stands in [`super::past`].

use api::common::v1::{AccessContext, AccessMode};
use api::consent::v1 as pb;
use api::consent::v1::Operation;
use api::consent::v1::access_service_server::AccessService;
use api::identity::{Check, DmpId};
use serve::{Actor, Call, Failure, Violations};
use std::sync::Arc;
use store::Engine;
use store::time::Timestamp;
use tonic::{Request, Response, Status};

use super::{Rpc, actor_of, render};
use crate::act::Means;
use crate::circumstances::{self, Circumstances};
use crate::decision::{Case, Decision, decide};
use crate::error::Result;
use crate::matrix::Matrix;
use crate::rules::{DEFAULT, RULES};

/// Length of a reason, in characters.
const REASON_MIN: usize = 10;
const REASON_MAX: usize = 1000;

/// Questions in one batch.
const QUESTIONS_MAX: usize = 100;

#[tonic::async_trait]
impl<DB: Engine> AccessService for Rpc<DB> {
    async fn authorize(&self, request: Request<pb::AuthorizeRequest>) -> Result<Response<pb::Decision>, Status> {
        let actor = actor_of(Call::of(&request)?)?;
        let asked = Asked::parse(request.get_ref())?;
        let asker = (asked.dmp_id.clone(), actor.clone());
        let circumstances = self.circumstances.get(asker).await.map_err(Failure::from)?;
        let decision = asked.decide(&actor, &circumstances, &self.means);
        Ok(Response::new(render::decision(&decision)))
    }

    async fn batch_authorize(
        &self,
        request: Request<pb::BatchAuthorizeRequest>,
    ) -> Result<Response<pb::BatchAuthorizeResponse>, Status> {
        let actor = actor_of(Call::of(&request)?)?;
        let questions = questions(request.get_ref())?;
        let askers = questions.iter().map(|asked| (asked.dmp_id.clone(), actor.clone()));
        let askers: Vec<_> = askers.collect();
        let mut connection = self.db.read().await.map_err(Failure::from)?;
        let read = circumstances::read::<DB>(&mut connection, &self.means, &askers).await;
        drop(connection);
        let read = read.map_err(Failure::from)?;
        let answers = questions
            .iter()
            .zip(&read)
            .map(|(asked, circumstances)| asked.decide(&actor, circumstances, &self.means));
        Ok(Response::new(pb::BatchAuthorizeResponse {
            decisions: answers.map(|decision| render::decision(&decision)).collect(),
        }))
    }

    async fn explain_access(
        &self,
        request: Request<pb::ExplainAccessRequest>,
    ) -> Result<Response<pb::ExplainAccessResponse>, Status> {
        let actor = actor_of(Call::of(&request)?)?;
        Ok(Response::new(self.explain(&actor, request.get_ref()).await?))
    }

    async fn replay_decision(
        &self,
        request: Request<pb::ReplayDecisionRequest>,
    ) -> Result<Response<pb::Decision>, Status> {
        let actor = actor_of(Call::of(&request)?)?;
        Ok(Response::new(self.replay(&actor, request.get_ref()).await?))
    }

    async fn list_who_can_access(
        &self,
        request: Request<pb::ListWhoCanAccessRequest>,
    ) -> Result<Response<pb::ListWhoCanAccessResponse>, Status> {
        let actor = actor_of(Call::of(&request)?)?;
        Ok(Response::new(self.who_can_access(&actor, request.get_ref()).await?))
    }

    async fn list_rules(
        &self,
        request: Request<pb::ListRulesRequest>,
    ) -> Result<Response<pb::ListRulesResponse>, Status> {
        Call::of(&request)?;
        let default = render::printed(DEFAULT, "forbid");
        let mut connection = self.db.read().await.map_err(Failure::from)?;
        let matrix = self.matrix_at(&mut connection, self.means.clock.now()).await?;
        Ok(Response::new(pb::ListRulesResponse {
            rules: RULES.iter().map(render::rule).chain([default]).collect(),
            matrix_version: matrix.version.clone(),
        }))
    }
}

impl<DB: Engine> Rpc<DB> {
    async fn matrix_at(&self, connection: &mut DB::Connection, moment: Timestamp) -> Result<Arc<Matrix>, Failure> {
        Ok(self.means.matrices.at::<DB>(connection, moment).await?)
    }
}

struct Asked {
    dmp_id: DmpId,
    operation: Operation,
    mode: AccessMode,
    secret: bool,
}

impl Asked {
    fn parse(request: &pb::AuthorizeRequest) -> Result<Self, Failure> {
        let mut violations = Violations::default();
        let asked = Self::checked(&mut violations, request, "");
        violations.gather((asked,)).map(|(asked,)| asked)
    }

    /// The question, or its violations under field names that begin with `at`.
    fn checked(violations: &mut Violations, request: &pb::AuthorizeRequest, at: &str) -> Option<Self> {
        let dmp_id = violations.check(format!("{at}dmp_id"), DmpId::parse(&request.dmp_id, Check::Strict));
        let operation = violations.choice(format!("{at}operation"), request.operation);
        let mode = mode(violations, request.context.as_ref(), at);
        Some(Self {
            dmp_id: dmp_id?,
            operation: operation?,
            mode: mode?,
            secret: request
                .context
                .as_ref()
                .is_some_and(|context| context.secret_connection),
        })
    }

    fn decide(&self, actor: &Actor, circumstances: &Circumstances, means: &Means) -> Decision {
        let Circumstances { facts, moment, matrix } = circumstances;
        let book = means.book(matrix);
        let case = Case::new(actor, &self.dmp_id, facts, self.operation, *moment, book);
        decide(&case.in_mode(self.mode).in_secret(self.secret))
    }
}

fn questions(request: &pb::BatchAuthorizeRequest) -> Result<Vec<Asked>, Failure> {
    let mut violations = Violations::default();
    if request.requests.is_empty() || request.requests.len() > QUESTIONS_MAX {
        violations.add(
            "requests",
            "LENGTH",
            format!("must have 1 to {QUESTIONS_MAX} questions"),
        );
    }
    let numbered = request.requests.iter().take(QUESTIONS_MAX).enumerate();
    let asked = numbered
        .map(|(place, request)| Asked::checked(&mut violations, request, &format!("requests[{place}].")))
        .collect::<Vec<_>>();
    let asked = asked.into_iter().collect::<Option<Vec<_>>>();
    violations.gather((asked,)).map(|(asked,)| asked)
}

/// The mode; outside of the normal one the reason, in words, is demanded. It is not kept here: the journal keeps it.
fn mode(violations: &mut Violations, context: Option<&AccessContext>, at: &str) -> Option<AccessMode> {
    let Some(context) = context else {
        return Some(AccessMode::Normal);
    };
    let known = AccessMode::try_from(context.mode).map_err(|_| ("UNKNOWN_VALUE", "must be one of the modes"));
    let mode = violations.check(format!("{at}context.mode"), known)?;
    let normal = matches!(mode, AccessMode::Unspecified | AccessMode::Normal);
    let length = if normal {
        0..=REASON_MAX
    } else {
        REASON_MIN..=REASON_MAX
    };
    // Blanks give no reason.
    violations.text(format!("{at}context.reason"), context.reason.trim(), length)?;
    Some(mode)
}
