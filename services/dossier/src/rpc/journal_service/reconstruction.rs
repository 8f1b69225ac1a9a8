//! ReconstructView: what an actor saw, or would have seen, at a past moment.

use api::common::v1 as common;
use api::common::v1::{AccessMode, Role};
use api::consent::v1 as consent;
use api::consent::v1::Operation;
use api::consent::v1::decision::Outcome;
use api::dossier::v1 as pb;
use api::dossier::v1::AccessAction;
use api::identity::DmpId;
use serve::{Actor, Breach, Call, InvalidActor, Violations};
use store::Engine;
use store::page::{Page, PageLimits};
use store::time::{Timestamp, from_proto};

use super::super::dmp_id;
use super::Accesses;
use crate::authorization::{AccessContext, Asked, Granted, access_mode};
use crate::chain::Named;
use crate::error::Result;
use crate::past::{Past, PastDocument};
use crate::view::View;
use crate::{documents, dossiers};

/// What is asked: about whom, how, for when.
struct Question {
    dmp_id: DmpId,
    about: Actor,
    mode: AccessMode,
    secret_connection: bool,
    moment: Option<Timestamp>,
}

impl<DB: Engine> Accesses<DB> {
    pub(super) async fn reconstruct(
        &self,
        call: &Call,
        request: &pb::ReconstructViewRequest,
    ) -> Result<pb::ReconstructViewResponse> {
        let question = Question::parse(call, request)?;
        let query = pb::ReconstructViewRequest {
            page_size: 0,
            page_token: String::new(),
            ..request.clone()
        };
        let page = Page::parse(request.page_size, &request.page_token, PageLimits::default(), &query)?;
        let (dmp_id, action) = (question.dmp_id.clone(), AccessAction::ReconstructView);
        let asked = Asked::new(call, dmp_id, action, AccessContext::normal()).or_secret(question.secret_connection);
        let granted = self.gate.enter(call, Operation::ExplainAccess, asked).await?;
        let decision = self.gate.explain(call, &granted, question.to_proto(request)).await?;
        let (seen, next_page_token) = match question.past(&decision, self.clock.now()) {
            Some(past) => self.seen(&granted, &past, &page).await?,
            None => (Vec::new(), String::new()),
        };
        let shown = seen.iter().map(|document| {
            (
                document.unique_id.as_str(),
                document.visibility.hidden_from_representatives,
            )
        });
        let entered = self.gate.record(&granted, Named::all(shown)).await?;
        let render = if granted.is_told_identifiers_only() {
            PastDocument::to_proto_identifier
        } else {
            PastDocument::to_proto
        };
        Ok(pb::ReconstructViewResponse {
            decision: Some(decision),
            documents: seen.iter().map(render).collect(),
            next_page_token,
            receipt: Some(entered.receipt()),
        })
    }

    /// Nobody saw anything in a dossier that was not open; and of one that is closed now nothing is shown but what its
    /// journal names anyway, identifiers.
    async fn seen(&self, granted: &Granted, past: &Past, page: &Page) -> Result<(Vec<PastDocument>, String)> {
        let mut connection = self.db.read().await?;
        let now = self.clock.now();
        let dossier = dossiers::get::<DB>(&mut connection, granted.dmp_id()).await?;
        let shown = dossier.is_some_and(|dossier| {
            dossier.is_open_at(past.moment) && (dossier.closure.is_none() || granted.is_told_identifiers_only())
        });
        if !shown {
            return Ok((Vec::new(), String::new()));
        }
        documents::past::<DB>(&mut connection, granted, past, page, now).await
    }
}

impl Question {
    fn parse(call: &Call, request: &pb::ReconstructViewRequest) -> Result<Self> {
        let mut violations = Violations::default();
        violations.page_size(request.page_size);
        let dmp_id = dmp_id(&mut violations, &request.dmp_id);
        let about = match &request.actor {
            None => Some((*call.actor).clone()),
            Some(sent) => violations.check("actor", Actor::from_proto(sent).map_err(NotAnActor)),
        };
        let context = request.context.clone().unwrap_or_default();
        let mode = access_mode(&mut violations, &context);
        let secret_connection = secret_connection(&mut violations, &call.actor, &context);
        let moment = match request.moment.as_ref() {
            None => Some(None),
            sent => violations.time("moment", sent).map(Some),
        };
        let values = (dmp_id, about, mode, secret_connection, moment);
        let (dmp_id, about, mode, secret_connection, moment) = violations.gather(values)?;
        Ok(Self {
            dmp_id,
            about,
            mode,
            secret_connection,
            moment,
        })
    }

    /// As consent is asked: whom and when it is about go as they were sent.
    fn to_proto(&self, request: &pb::ReconstructViewRequest) -> consent::ExplainAccessRequest {
        consent::ExplainAccessRequest {
            dmp_id: self.dmp_id.as_str().to_owned(),
            actor: request.actor.clone(),
            operation: Operation::ReadDocuments.into(),
            mode: self.mode.into(),
            moment: request.moment,
            revision: 0,
            secret_connection: self.secret_connection,
        }
    }

    /// What was seen under the decision; `None` when it refuses. The moment is the decision's where none was named.
    fn past(&self, decision: &consent::Decision, now: Timestamp) -> Option<Past> {
        let Some(Outcome::Grant(grant)) = &decision.outcome else {
            return None;
        };
        let decided_at = decision.decided_at.as_ref().and_then(from_proto);
        Some(Past {
            view: View::new(&self.about, grant),
            moment: self.moment.or(decided_at).unwrap_or(now),
        })
    }
}

/// Of secret connections no representative asks, whether or not there were any.
fn secret_connection(violations: &mut Violations, caller: &Actor, context: &common::AccessContext) -> Option<bool> {
    if context.secret_connection && caller.role == Role::Representative {
        violations.add("context.secret_connection", "NOT_YOURS", "is not for representatives");
        return None;
    }
    Some(context.secret_connection)
}

/// Which part of an actor cannot be.
struct NotAnActor(InvalidActor);

impl Breach for NotAnActor {
    fn reason(&self) -> &str {
        "NOT_AN_ACTOR"
    }

    fn description(&self) -> String {
        self.0.to_string()
    }
}
