//! DutyService.

use api::common::v1::Role;
use api::dossier::v1 as pb;
use api::dossier::v1::duty_service_server::DutyService;
use api::identity::{Check, DmpId, ProfessionalId};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use serve::{Actor, Call, Context, Failure, Violations};
use store::page::{Page, PageLimits};
use store::time::Clock;
use store::{Db, Engine, RequestKey};
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use crate::authorization::PHYSICIAN;
use crate::config::Checks;
use crate::duty::{self, CareEpisode, Fulfilment, Period};
use crate::error::{Error, Result};
use crate::{episodes, territories};

const REPORT_CARE_EPISODES: &str = "dmp.dossier.v1.DutyService/ReportCareEpisodes";
const SET_TERRITORY_COVERAGE: &str = "dmp.dossier.v1.DutyService/SetTerritoryCoverage";

/// Episodes of one batch.
const BATCH_MAX: usize = 1_000;

/// Answers the calls of DutyService.
pub(crate) struct Duties<DB: Engine> {
    db: Db<DB>,
    clock: Clock,
    checks: Checks,
}

impl<DB: Engine> Clone for Duties<DB> {
    fn clone(&self) -> Self {
        Self {
            db: self.db.clone(),
            clock: self.clock.clone(),
            checks: self.checks,
        }
    }
}

#[tonic::async_trait]
impl<DB: Engine> DutyService for Duties<DB> {
    type ReportCareEpisodesStream = BoxStream<'static, Result<pb::ReportCareEpisodesResponse, Status>>;

    /// One batch after the other: the next is taken from the stream once the last is durable and its answer taken, so
    /// that neither side can make the other hold more than one.
    async fn report_care_episodes(
        &self,
        request: Request<Streaming<pb::ReportCareEpisodesRequest>>,
    ) -> Result<Response<Self::ReportCareEpisodesStream>, Status> {
        let call = Call::of(&request)?.clone();
        require_reporter(&call)?;
        let batches = (request.into_inner(), self.clone(), call);
        let answers = stream::try_unfold(batches, |(mut batches, duties, call)| async move {
            let Some(batch) = batches
                .message()
                .await
                .map_err(|status| Error::Transport(Box::new(status)))?
            else {
                return Ok(None);
            };
            let answer = duties.report(&call, batch).await?;
            Ok(Some((answer, (batches, duties, call))))
        });
        Ok(Response::new(answers.map_err(|error: Error| error.into()).boxed()))
    }

    async fn set_territory_coverage(
        &self,
        request: Request<pb::SetTerritoryCoverageRequest>,
    ) -> Result<Response<pb::Territory>, Status> {
        let call = Call::of(&request)?;
        call.require_role(&[Role::Administrator])?;
        Ok(Response::new(self.cover(call, request.get_ref()).await?))
    }

    async fn list_territories(
        &self,
        request: Request<pb::ListTerritoriesRequest>,
    ) -> Result<Response<pb::ListTerritoriesResponse>, Status> {
        // Every authenticated caller: there is a call only where there is one.
        Call::of(&request)?;
        Ok(Response::new(self.territories(request.get_ref()).await?))
    }

    async fn get_duty(&self, request: Request<pb::GetDutyRequest>) -> Result<Response<pb::Duty>, Status> {
        Ok(Response::new(self.duty(Call::of(&request)?, request.get_ref()).await?))
    }
}

impl<DB: Engine> Duties<DB> {
    pub(crate) fn new(context: &Context<DB>, checks: Checks) -> Self {
        Self {
            db: context.db.clone(),
            clock: context.clock.clone(),
            checks,
        }
    }

    async fn report(
        &self,
        call: &Call,
        batch: pb::ReportCareEpisodesRequest,
    ) -> Result<pb::ReportCareEpisodesResponse> {
        let (request_id, episodes) = self.batch(call, &batch)?;
        let key = RequestKey::new(call.actor.caller_key(), REPORT_CARE_EPISODES, request_id, &batch);
        let answered = store::once(&self.db, key, self.clock.now(), move |connection| {
            Box::pin(async move {
                let mut recorded = 0;
                for episode in &episodes {
                    recorded += i64::from(episodes::insert::<DB>(connection, episode).await?);
                }
                let known = i64::try_from(episodes.len()).unwrap_or(i64::MAX) - recorded;
                let request_id = request_id.to_string();
                Ok::<_, Error>(pb::ReportCareEpisodesResponse {
                    request_id,
                    recorded,
                    already_known: known,
                })
            })
        });
        let answer = answered.await?.response;
        // As the caller wrote it: a UUID has more than one spelling.
        Ok(pb::ReportCareEpisodesResponse {
            request_id: batch.request_id,
            ..answer
        })
    }

    fn batch(&self, call: &Call, batch: &pb::ReportCareEpisodesRequest) -> Result<(Uuid, Vec<CareEpisode>)> {
        let mut violations = Violations::default();
        let request_id = violations.uuid("request_id", &batch.request_id);
        if !(1..=BATCH_MAX).contains(&batch.episodes.len()) {
            violations.add("episodes", "COUNT", "must be 1 to 1,000");
            violations.finish()?;
            return Ok((Uuid::nil(), Vec::new()));
        }
        let read = batch.episodes.iter().enumerate();
        let read: Vec<_> = read
            .map(|(index, sent)| self.episode(&mut violations, index, sent))
            .collect();
        let (request_id, episodes) = violations.gather((request_id, read.into_iter().collect::<Option<Vec<_>>>()))?;
        let others = |episode: &CareEpisode| !is_own(&call.actor, &episode.physician);
        if call.actor.role == Role::Professional && episodes.iter().any(others) {
            return Err(Failure::role_forbidden(call.actor.role, call.method()).into());
        }
        Ok((request_id, episodes))
    }

    fn episode(&self, violations: &mut Violations, index: usize, sent: &pb::CareEpisode) -> Option<CareEpisode> {
        let field = |name: &str| format!("episodes[{index}].{name}");
        let physician = ProfessionalId::parse(&sent.physician_id, self.checks.professional_id);
        let physician = violations.check(field("physician_id"), physician);
        let dmp_id = violations.check(field("dmp_id"), DmpId::parse(&sent.dmp_id, Check::Strict));
        let started_at = violations.time(field("started_at"), sent.started_at.as_ref());
        let ended_at = violations.time(field("ended_at"), sent.ended_at.as_ref());
        if started_at.zip(ended_at).is_some_and(|(start, end)| end <= start) {
            violations.add(field("ended_at"), "NOT_AFTER_START", "must be after started_at");
        }
        Some(CareEpisode {
            physician: physician?,
            dmp_id: dmp_id?,
            started_at: started_at?,
            ended_at: ended_at?,
        })
    }

    async fn cover(&self, call: &Call, request: &pb::SetTerritoryCoverageRequest) -> Result<pb::Territory> {
        let mut violations = Violations::default();
        let request_id = violations.uuid("request_id", &request.request_id);
        let code = violations.text("code", &request.code, 1..=3);
        let (request_id, code) = violations.gather((request_id, code))?;
        let key = RequestKey::new(call.actor.caller_key(), SET_TERRITORY_COVERAGE, request_id, request);
        let (covered, now) = (request.covered, self.clock.now());
        let answered = store::once(&self.db, key, now, move |connection| {
            Box::pin(async move {
                let territory = territories::hold::<DB>(connection, &code).await?;
                let territory = territory
                    .ok_or(Error::NotFound("territory"))?
                    .with_coverage(covered, now);
                territories::set_coverage::<DB>(connection, &territory).await?;
                Ok::<_, Error>(territory.to_proto())
            })
        });
        Ok(answered.await?.response)
    }

    async fn territories(&self, request: &pb::ListTerritoriesRequest) -> Result<pb::ListTerritoriesResponse> {
        let mut violations = Violations::default();
        violations.page_size(request.page_size);
        violations.finish()?;
        let query = pb::ListTerritoriesRequest::default();
        let page = Page::parse(request.page_size, &request.page_token, PageLimits::default(), &query)?;
        let mut connection = self.db.read().await?;
        let (territories, next_page_token) = territories::list::<DB>(&mut connection, &page).await?;
        let territories = territories.iter().map(|territory| territory.to_proto()).collect();
        Ok(pb::ListTerritoriesResponse {
            territories,
            next_page_token,
        })
    }

    async fn duty(&self, call: &Call, request: &pb::GetDutyRequest) -> Result<pb::Duty> {
        let mut violations = Violations::default();
        violations.page_size(request.page_size);
        let physician = ProfessionalId::parse(&request.physician_id, Check::Lenient);
        let physician = violations.check("physician_id", physician);
        let from = violations.time("from", request.from.as_ref());
        let to = violations.time("to", request.to.as_ref());
        if from.zip(to).is_some_and(|(from, to)| to <= from) {
            violations.add("to", "NOT_AFTER_FROM", "must be after from");
        }
        let (physician, from, to) = violations.gather((physician, from, to))?;
        require_reader(call, &physician)?;
        let query = pb::GetDutyRequest {
            page_size: 0,
            page_token: String::new(),
            ..request.clone()
        };
        let page = Page::parse(request.page_size, &request.page_token, PageLimits::default(), &query)?;
        let mut connection = self.db.read().await?;
        let uncovered = territories::uncovered::<DB>(&mut connection).await?;
        let period = Period { from, to };
        let tally = episodes::tally::<DB>(&mut connection, &physician, period).await?;
        let (listed, next_page_token) = episodes::list::<DB>(&mut connection, &physician, period, &page).await?;
        Ok(pb::Duty {
            physician_id: physician.as_str().to_owned(),
            force: duty::force(uncovered).into(),
            uncovered_territories: uncovered,
            episodes: tally.episodes,
            met: tally.met,
            without_dossier: tally.without_dossier,
            unmet: unmet(&listed),
            next_page_token,
            evidence_entry_ids: evidence(&listed),
        })
    }
}

fn unmet(listed: &[(CareEpisode, Fulfilment)]) -> Vec<pb::CareEpisode> {
    let unmet = listed.iter().filter(|(_, fulfilment)| *fulfilment == Fulfilment::Unmet);
    unmet.map(|(episode, _)| episode.to_proto()).collect()
}

fn evidence(listed: &[(CareEpisode, Fulfilment)]) -> Vec<String> {
    let proved = |(_, fulfilment): &(CareEpisode, Fulfilment)| match fulfilment {
        Fulfilment::Met(entry_id) => Some(entry_id.to_string()),
        _ => None,
    };
    listed.iter().filter_map(proved).collect()
}

fn is_physician(actor: &Actor) -> bool {
    actor.role == Role::Professional && actor.profession.as_deref() == Some(PHYSICIAN)
}

fn is_own(actor: &Actor, physician: &ProfessionalId) -> bool {
    actor.professional.as_ref() == Some(physician)
}

/// An establishment's system, the administrator, or a physician.
fn require_reporter(call: &Call) -> Result<()> {
    if is_physician(&call.actor) {
        return Ok(());
    }
    Ok(call.require_role(&[Role::EstablishmentSystem, Role::Administrator])?)
}

/// The physician whose duty it is, the administrator, the auditor.
fn require_reader(call: &Call, physician: &ProfessionalId) -> Result<()> {
    if is_physician(&call.actor) && is_own(&call.actor, physician) {
        return Ok(());
    }
    Ok(call.require_role(&[Role::Administrator, Role::Auditor])?)
}
