//! HostService.

use api::common::v1::Role;
use api::identifier::v1 as pb;
use api::identifier::v1::host_service_server::HostService;
use futures::future::BoxFuture;
use serve::{Call, Context, Violations};
use store::page::{Page, PageLimits};
use store::random::Random;
use store::time::{Clock, Timestamp};
use store::{Db, Engine, RequestKey};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{parse, render, require, require_own};
use crate::accreditation::{Accreditation, HostingScope};
use crate::config::Checks;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::placement::Placement;
use crate::{accreditations, beneficiaries, hosts, placements};

const REGISTER_HOST: &str = "dmp.identifier.v1.HostService/RegisterHost";
const ACCREDIT_HOST: &str = "dmp.identifier.v1.HostService/AccreditHost";
const SUSPEND_ACCREDITATION: &str = "dmp.identifier.v1.HostService/SuspendAccreditation";
const WITHDRAW_ACCREDITATION: &str = "dmp.identifier.v1.HostService/WithdrawAccreditation";
const PLACE_DOSSIER: &str = "dmp.identifier.v1.HostService/PlaceDossier";

/// Length of names and of references to decisions.
const TEXT_LENGTH: std::ops::RangeInclusive<usize> = 1..=200;

/// Answers the calls of HostService.
pub(crate) struct Hosts<DB: Engine> {
    db: Db<DB>,
    clock: Clock,
    random: Random,
    checks: Checks,
}

#[tonic::async_trait]
impl<DB: Engine> HostService for Hosts<DB> {
    async fn register_host(&self, request: Request<pb::RegisterHostRequest>) -> Result<Response<pb::Host>, Status> {
        let call = Call::of(&request)?;
        require(call, &[Role::Administrator])?;
        Ok(Response::new(self.register(call, request.get_ref()).await?))
    }

    async fn accredit_host(&self, request: Request<pb::AccreditHostRequest>) -> Result<Response<pb::Host>, Status> {
        let call = Call::of(&request)?;
        require(call, &[Role::Administrator])?;
        Ok(Response::new(self.accredit(call, request.get_ref()).await?))
    }

    async fn suspend_accreditation(
        &self,
        request: Request<pb::SuspendAccreditationRequest>,
    ) -> Result<Response<pb::Host>, Status> {
        let call = Call::of(&request)?;
        require(call, &[Role::Administrator])?;
        Ok(Response::new(self.suspend(call, request.get_ref()).await?))
    }

    async fn withdraw_accreditation(
        &self,
        request: Request<pb::WithdrawAccreditationRequest>,
    ) -> Result<Response<pb::Host>, Status> {
        let call = Call::of(&request)?;
        require(call, &[Role::Administrator])?;
        Ok(Response::new(self.withdraw(call, request.get_ref()).await?))
    }

    async fn list_hosts(
        &self,
        request: Request<pb::ListHostsRequest>,
    ) -> Result<Response<pb::ListHostsResponse>, Status> {
        // Every authenticated caller: there is a call only where there is one.
        Call::of(&request)?;
        Ok(Response::new(self.list(request.get_ref()).await?))
    }

    async fn place_dossier(
        &self,
        request: Request<pb::PlaceDossierRequest>,
    ) -> Result<Response<pb::Placement>, Status> {
        let call = Call::of(&request)?;
        require(call, &[Role::Service, Role::Administrator])?;
        Ok(Response::new(self.place(call, request.get_ref()).await?))
    }

    async fn get_placement(
        &self,
        request: Request<pb::GetPlacementRequest>,
    ) -> Result<Response<pb::Placement>, Status> {
        use Role::{Administrator, Auditor, EstablishmentSystem, Holder, Professional, Service};
        let call = Call::of(&request)?;
        require(
            call,
            &[
                Professional,
                EstablishmentSystem,
                Administrator,
                Auditor,
                Service,
                Holder,
            ],
        )?;
        Ok(Response::new(self.placement(call, request.get_ref()).await?))
    }
}

impl<DB: Engine> Hosts<DB> {
    pub(crate) fn new(context: &Context<DB>, checks: Checks) -> Self {
        let (db, clock, random) = (context.db.clone(), context.clock.clone(), context.random.clone());
        Self {
            db,
            clock,
            random,
            checks,
        }
    }

    /// Changes a host once, however often the request comes, and answers it as it is then.
    async fn once(
        &self,
        key: RequestKey,
        now: Timestamp,
        change: impl for<'c> FnOnce(&'c mut DB::Connection) -> BoxFuture<'c, Result<Host>> + Send + 'static,
    ) -> serve::Result<pb::Host> {
        let answered = store::once(&self.db, key, now, move |connection| {
            Box::pin(async move { change(connection).await.map(|host| render::host(&host, now)) })
        });
        Ok(answered.await?.response)
    }

    async fn register(&self, call: &Call, request: &pb::RegisterHostRequest) -> serve::Result<pb::Host> {
        let now = self.clock.now();
        let mut violations = Violations::default();
        let request_id = violations.uuid("request_id", &request.request_id);
        let name = violations.text("name", &request.name, TEXT_LENGTH);
        let structure = parse::structure(&mut violations, &request.structure_id, self.checks);
        let endpoint = parse::endpoint(&mut violations, &request.endpoint);
        let (request_id, name, structure, endpoint) = violations.gather((request_id, name, structure, endpoint))?;
        let (id, accreditations) = (self.random.uuid(), Vec::new());
        let host = Host {
            id,
            name,
            structure,
            endpoint,
            accreditations,
            suspended_at: None,
            version: 1,
        };
        let key = RequestKey::new(call.actor.caller_key(), REGISTER_HOST, request_id, request);
        let change = self.once(key, now, move |connection| {
            Box::pin(async move {
                hosts::insert::<DB>(connection, &host, now).await?;
                Ok(host)
            })
        });
        change.await
    }

    async fn accredit(&self, call: &Call, request: &pb::AccreditHostRequest) -> serve::Result<pb::Host> {
        let now = self.clock.now();
        let mut violations = Violations::default();
        let request_id = violations.uuid("request_id", &request.request_id);
        let host_id = violations.uuid("host_id", &request.host_id);
        let accreditation = self.accreditation(&mut violations, request, now);
        let (request_id, host_id, accreditation) = violations.gather((request_id, host_id, accreditation))?;
        let key = RequestKey::new(call.actor.caller_key(), ACCREDIT_HOST, request_id, request);
        let change = self.once(key, now, move |connection| {
            Box::pin(async move {
                let mut host = hosts::hold::<DB>(connection, host_id).await?;
                host.accredit(accreditation.clone())?;
                accreditations::insert::<DB>(connection, host_id, host.version, &accreditation).await?;
                hosts::set_suspension::<DB>(connection, &host).await?;
                Ok(host)
            })
        });
        change.await
    }

    fn accreditation(
        &self,
        violations: &mut Violations,
        request: &pb::AccreditHostRequest,
        now: Timestamp,
    ) -> Option<Accreditation> {
        let scopes = parse::scopes(violations, &request.scopes);
        let valid_from = match &request.valid_from {
            None => Some(now),
            from => violations.time("valid_from", from.as_ref()),
        };
        let valid_until = violations.time("valid_until", request.valid_until.as_ref());
        if valid_from.zip(valid_until).is_some_and(|(from, until)| until <= from) {
            violations.add("valid_until", "NOT_AFTER_VALID_FROM", "must be after valid_from");
        }
        let decision_reference = violations.text("decision_reference", &request.decision_reference, TEXT_LENGTH);
        Some(Accreditation {
            id: self.random.uuid(),
            scopes: scopes?,
            valid_from: valid_from?,
            valid_until: valid_until?,
            decision_reference: decision_reference?,
            withdrawn_at: None,
        })
    }

    async fn suspend(&self, call: &Call, request: &pb::SuspendAccreditationRequest) -> serve::Result<pb::Host> {
        let now = self.clock.now();
        let mut violations = Violations::default();
        let request_id = violations.uuid("request_id", &request.request_id);
        let host_id = violations.uuid("host_id", &request.host_id);
        let (request_id, host_id) = violations.gather((request_id, host_id))?;
        let key = RequestKey::new(call.actor.caller_key(), SUSPEND_ACCREDITATION, request_id, request);
        let change = self.once(key, now, move |connection| {
            Box::pin(async move {
                let mut host = hosts::hold::<DB>(connection, host_id).await?;
                host.suspend(now)?;
                hosts::set_suspension::<DB>(connection, &host).await?;
                Ok(host)
            })
        });
        change.await
    }

    async fn withdraw(&self, call: &Call, request: &pb::WithdrawAccreditationRequest) -> serve::Result<pb::Host> {
        let now = self.clock.now();
        let mut violations = Violations::default();
        let request_id = violations.uuid("request_id", &request.request_id);
        let host_id = violations.uuid("host_id", &request.host_id);
        let accreditation = violations.uuid("accreditation_id", &request.accreditation_id);
        let (request_id, host_id, accreditation) = violations.gather((request_id, host_id, accreditation))?;
        let key = RequestKey::new(call.actor.caller_key(), WITHDRAW_ACCREDITATION, request_id, request);
        let change = self.once(key, now, move |connection| {
            Box::pin(async move {
                let mut host = hosts::hold::<DB>(connection, host_id).await?;
                host.withdraw(accreditation, now)?;
                accreditations::withdraw::<DB>(connection, accreditation, now).await?;
                Ok(host)
            })
        });
        change.await
    }

    async fn list(&self, request: &pb::ListHostsRequest) -> serve::Result<pb::ListHostsResponse> {
        let now = self.clock.now();
        let mut violations = Violations::default();
        violations.page_size(request.page_size);
        let scope = parse::scope_filter(&mut violations, request.accredited_for);
        violations.finish()?;
        let query = pb::ListHostsRequest {
            accredited_for: request.accredited_for,
            ..Default::default()
        };
        let page = Page::parse(request.page_size, &request.page_token, PageLimits::default(), &query)?;
        let mut connection = self.db.read().await?;
        let (hosts, next_page_token) = hosts::list::<DB>(&mut connection, &page, scope, now).await?;
        let hosts = hosts.iter().map(|host| render::host(host, now)).collect();
        Ok(pb::ListHostsResponse { hosts, next_page_token })
    }

    async fn place(&self, call: &Call, request: &pb::PlaceDossierRequest) -> serve::Result<pb::Placement> {
        let now = self.clock.now();
        let mut violations = Violations::default();
        let request_id = violations.uuid("request_id", &request.request_id);
        let dmp_id = parse::dmp_id(&mut violations, &request.dmp_id);
        let host_id = violations.uuid("host_id", &request.host_id);
        let (request_id, dmp_id, host_id) = violations.gather((request_id, dmp_id, host_id))?;
        let key = RequestKey::new(call.actor.caller_key(), PLACE_DOSSIER, request_id, request);
        let asked = Placement {
            dmp_id,
            host_id,
            placed_at: now,
        };
        let answered = store::once(&self.db, key, now, move |connection| {
            Box::pin(async move { place::<DB>(connection, asked).await })
        });
        Ok(answered.await?.response)
    }

    async fn placement(&self, call: &Call, request: &pb::GetPlacementRequest) -> serve::Result<pb::Placement> {
        let mut violations = Violations::default();
        let dmp_id = parse::dmp_id(&mut violations, &request.dmp_id);
        let (dmp_id,) = violations.gather((dmp_id,))?;
        require_own(call, &dmp_id, "placement")?;
        let mut connection = self.db.read().await?;
        let placement = placements::get::<DB>(&mut connection, &dmp_id)
            .await?
            .ok_or(Error::NotFound("placement"))?;
        let host = registered::<DB>(&mut connection, placement.host_id).await?;
        Ok(render::placement(&placement, &host, self.clock.now()))
    }
}

/// Places a dossier inside a transaction.
///
/// The host is read, not held: a placement that begins after a suspension was acknowledged sees it, and holding the
/// host would make all its placements wait for each other.
async fn place<DB: Engine>(connection: &mut DB::Connection, asked: Placement) -> Result<pb::Placement> {
    if !beneficiaries::exists::<DB>(connection, &asked.dmp_id).await? {
        return Err(Error::NotFound("beneficiary"));
    }
    let (host, now) = (registered::<DB>(connection, asked.host_id).await?, asked.placed_at);
    if !host.is_accredited_for(HostingScope::Dossier, now) {
        return Err(Error::HostNotAccredited(host.id));
    }
    let standing = placements::place::<DB>(connection, asked).await?;
    Ok(render::placement(&standing, &host, now))
}

async fn registered<DB: Engine>(connection: &mut DB::Connection, id: Uuid) -> Result<Host> {
    hosts::get::<DB>(connection, id).await?.ok_or(Error::NotFound("host"))
}
