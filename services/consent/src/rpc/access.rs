//! AccessService: decides, and prints the rules.

use api::common::v1::{AccessContext, AccessMode};
use api::consent::v1 as pb;
use api::consent::v1::Operation;
use api::consent::v1::access_service_server::AccessService;
use api::identity::DmpId;
use serve::{Call, Failure, Violations};
use store::Engine;
use tonic::{Request, Response, Status};

use super::{Rpc, actor_of, dmp_id, render};
use crate::decision::{Case, decide};
use crate::error::Result;
use crate::facts;
use crate::rules::{DEFAULT, RULES};

/// Length of a reason, in characters.
const REASON_MIN: usize = 10;
const REASON_MAX: usize = 1000;

#[tonic::async_trait]
impl<DB: Engine> AccessService for Rpc<DB> {
    async fn authorize(&self, request: Request<pb::AuthorizeRequest>) -> Result<Response<pb::Decision>, Status> {
        let actor = actor_of(Call::of(&request)?)?;
        let asked = Asked::parse(request.get_ref())?;
        let mut connection = self.db.read().await.map_err(Failure::from)?;
        let facts = facts::of_actor::<DB>(&mut connection, &asked.dmp_id, &actor)
            .await
            .map_err(Failure::from)?;
        drop(connection);
        // After the read: a term that ends meanwhile has ended.
        let moment = self.means.clock.now();
        let case = Case::new(&actor, &asked.dmp_id, &facts, asked.operation, moment, &self.means.book);
        Ok(Response::new(render::decision(&decide(&case.in_mode(asked.mode)))))
    }

    async fn list_rules(
        &self,
        request: Request<pb::ListRulesRequest>,
    ) -> Result<Response<pb::ListRulesResponse>, Status> {
        Call::of(&request)?;
        let default = render::printed(DEFAULT, "forbid");
        Ok(Response::new(pb::ListRulesResponse {
            rules: RULES.iter().map(render::rule).chain([default]).collect(),
            matrix_version: self.means.book.matrices.at(self.means.clock.now()).version.clone(),
        }))
    }
}

struct Asked {
    dmp_id: DmpId,
    operation: Operation,
    mode: AccessMode,
}

impl Asked {
    fn parse(request: &pb::AuthorizeRequest) -> Result<Self, Failure> {
        let mut violations = Violations::default();
        let dmp_id = dmp_id(&mut violations, &request.dmp_id);
        let operation = violations.choice("operation", request.operation);
        let mode = mode(&mut violations, request.context.as_ref());
        let (dmp_id, operation, mode) = violations.gather((dmp_id, operation, mode))?;
        Ok(Self {
            dmp_id,
            operation,
            mode,
        })
    }
}

/// The mode; outside of the normal one the reason, in words, is demanded. It is not kept here: the journal keeps it.
fn mode(violations: &mut Violations, context: Option<&AccessContext>) -> Option<AccessMode> {
    let Some(context) = context else {
        return Some(AccessMode::Normal);
    };
    let known = AccessMode::try_from(context.mode).map_err(|_| ("UNKNOWN_VALUE", "must be one of the modes"));
    let mode = violations.check("context.mode", known)?;
    let normal = matches!(mode, AccessMode::Unspecified | AccessMode::Normal);
    let length = if normal {
        0..=REASON_MAX
    } else {
        REASON_MIN..=REASON_MAX
    };
    // Blanks give no reason.
    violations.text("context.reason", context.reason.trim(), length)?;
    Some(mode)
}
