//! ReviewService: every use of an exceptional mode is looked at again (R1111-48).

use api::common::v1::Role;
use api::consent::v1 as pb;
use api::consent::v1::review_service_server::ReviewService;
use api::consent::v1::{Finding, Operation};
use api::identity::{Check, DmpId};
use futures::stream::BoxStream;
use prost::Message;
use serve::watch::{Scope, Watched, watch};
use serve::{Call, Failure, Violations};
use store::Engine;
use store::feed::Event;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{Rpc, dmp_id, page, request_key};
use crate::error::{Error, Result};
use crate::exceptional::{Review, Use};
use crate::exceptionals::{self, FEED, Listing};
use crate::fact::Recorder;
use crate::vault::Place;

const REVIEW: &str = "dmp.consent.v1.ReviewService/ReviewExceptionalAccess";

/// Length of a remark, in characters.
const REMARK: std::ops::RangeInclusive<usize> = 10..=1000;

#[tonic::async_trait]
impl<DB: Engine> ReviewService for Rpc<DB> {
    type WatchExceptionalAccessesStream = BoxStream<'static, Result<pb::WatchExceptionalAccessesResponse, Status>>;

    async fn list_exceptional_accesses(
        &self,
        request: Request<pb::ListExceptionalAccessesRequest>,
    ) -> Result<Response<pb::ListExceptionalAccessesResponse>, Status> {
        let call = Call::of(&request)?;
        call.require_role(&[Role::Auditor, Role::Holder, Role::Representative, Role::Professional])?;
        let message = request.get_ref();
        let dossier = listed(call.actor.role, message)?;
        let query = pb::ListExceptionalAccessesRequest {
            page_size: 0,
            page_token: String::new(),
            ..message.clone()
        };
        let page = page(message.page_size, &message.page_token, &query)?;
        let mut connection = self.db.read().await.map_err(Error::from)?;
        // The auditor looks at all of them; everybody else as who may know who came in.
        if let Some(dossier) = dossier.as_ref().filter(|_| call.actor.role != Role::Auditor) {
            self.admit(&mut connection, &call.actor, dossier, Operation::ReadJournal)
                .await?;
        }
        let listing = Listing {
            dmp_id: dossier.as_ref(),
            secret: call.actor.role != Role::Representative,
            reviewed: message.show_reviewed,
            overdue_at: message.overdue_only.then(|| self.means.clock.now()),
        };
        let (uses, next_page_token) = exceptionals::list::<DB>(&mut connection, &listing, &page)
            .await
            .map_err(Error::from)?;
        let exceptional_accesses = uses.iter().map(|one| self.opened(one)).collect::<Result<_>>()?;
        Ok(Response::new(pb::ListExceptionalAccessesResponse {
            exceptional_accesses,
            next_page_token,
        }))
    }

    async fn review_exceptional_access(
        &self,
        request: Request<pb::ReviewExceptionalAccessRequest>,
    ) -> Result<Response<pb::ExceptionalAccess>, Status> {
        let call = Call::of(&request)?;
        call.require_role(&[Role::Auditor])?;
        let by = Recorder::of(&call.actor);
        let actor = call.actor.clone();
        let message = request.into_inner();
        let (request_id, id, finding, remark) = reviewed(&message)?;
        let key = request_key(&actor, REVIEW, request_id, &message);
        let (clock, vault, text) = (self.means.clock.clone(), self.keys.vault.clone(), remark.clone());
        let answered = self
            .once(key, move |connection| {
                Box::pin(async move {
                    let review = Review {
                        at: clock.now(),
                        finding,
                        sealed_remark: vault.seal(Place::Remark(id), text.as_bytes())?,
                    };
                    let Some(reviewed) = exceptionals::review::<DB>(connection, id, &review, &by).await? else {
                        return Err(not_open::<DB>(connection, id).await?);
                    };
                    exceptionals::tell::<DB>(connection, &reviewed, review.at).await?;
                    Ok(reviewed.to_proto())
                })
            })
            .await?;
        // What is remembered of the answer is without the remark; the request is the same, and so is its own.
        Ok(Response::new(pb::ExceptionalAccess { remark, ..answered }))
    }

    async fn watch_exceptional_accesses(
        &self,
        request: Request<pb::WatchExceptionalAccessesRequest>,
    ) -> Result<Response<Self::WatchExceptionalAccessesStream>, Status> {
        Call::of(&request)?.require_role(&[Role::Service])?;
        let scope = Scope::all(FEED);
        let mut violations = Violations::default();
        let token = &request.get_ref().resume_token;
        let position = violations.optional("resume_token", token, |token| scope.position(token));
        let (position,) = violations.gather((position,))?;
        let told = watch(self.feed.clone(), self.watch, scope, position.unwrap_or(0), Watcher).await?;
        Ok(Response::new(told))
    }
}

impl<DB: Engine> Rpc<DB> {
    /// A use with what is sealed of it: why, and what was found in words.
    fn opened(&self, one: &Use) -> Result<pb::ExceptionalAccess> {
        let vault = &self.keys.vault;
        let remark = match &one.review {
            Some(review) => vault.open_text(Place::Remark(one.id), &review.sealed_remark)?,
            None => String::new(),
        };
        Ok(pb::ExceptionalAccess {
            reason: vault.open_text(Place::Reason(one.id), &one.sealed_reason)?,
            remark,
            ..one.to_proto()
        })
    }
}

/// A service, on its own behalf: it is told everything.
struct Watcher;

impl Watched for Watcher {
    type Told = pb::ExceptionalAccess;
    type Response = pb::WatchExceptionalAccessesResponse;

    async fn admit(&self) -> Result<(), Failure> {
        Ok(())
    }

    async fn tell(&self, event: &Event) -> Result<Option<Self::Told>, Failure> {
        let told = pb::ExceptionalAccess::decode(event.payload.as_slice());
        Ok(Some(told.map_err(|_| store::Error::Corrupt("outbox.payload"))?))
    }

    fn response(&self, resume_token: String, exceptional_access: Option<Self::Told>) -> Self::Response {
        pb::WatchExceptionalAccessesResponse {
            resume_token,
            exceptional_access,
        }
    }
}

/// The dossier whose uses are listed; none for all of them, which is for the auditor.
fn listed(role: Role, message: &pb::ListExceptionalAccessesRequest) -> Result<Option<DmpId>, Failure> {
    let mut violations = Violations::default();
    let dossier = match role {
        Role::Auditor => violations.optional("dmp_id", &message.dmp_id, |text| DmpId::parse(text, Check::Strict)),
        _ => dmp_id(&mut violations, &message.dmp_id).map(Some),
    };
    violations.page_size(message.page_size);
    violations.gather((dossier,)).map(|(dossier,)| dossier)
}

fn reviewed(message: &pb::ReviewExceptionalAccessRequest) -> Result<(Uuid, Uuid, Finding, String), Failure> {
    let mut violations = Violations::default();
    let request_id = violations.uuid("request_id", &message.request_id);
    let id = violations.uuid("exceptional_access_id", &message.exceptional_access_id);
    let finding = violations.choice::<Finding>("finding", message.finding);
    // Blanks are no words.
    let remark = violations.text("remark", message.remark.trim(), REMARK);
    violations.gather((request_id, id, finding, remark))
}

/// Why a use takes no finding.
async fn not_open<DB: Engine>(connection: &mut DB::Connection, id: Uuid) -> Result<Error> {
    Ok(match exceptionals::find::<DB>(connection, id).await? {
        Some(_) => Error::Reviewed,
        None => Error::NotFound("exceptional access"),
    })
}
