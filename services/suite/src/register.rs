//! The register of hosts, as the administrator uses it: `dmp host`, and the first start of an embedded suite.

use api::common::v1::Role;
use api::identifier::v1 as pb;
use api::identifier::v1::host_service_client::HostServiceClient;
use jiff::ToSpan;
use jiff::tz::TimeZone;
use serve::{Claims, Failure, TokenIssuer, bearer};
use std::time::Duration;
use store::random::Random;
use store::time::{self, Clock};
use tonic::Request;
use tonic::transport::Channel;

use crate::endpoints::{EndpointError, Endpoints};

/// How long an accreditation lasts: what the decree of 2018 gave to certified hosts.
const ACCREDITATION_YEARS: i64 = 3;

/// How long a call to the register may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// As many hosts as one page holds.
const PAGE: i32 = 500;

/// A host of dossiers, as it is to stand in the register.
#[derive(Debug, Clone, Copy)]
pub struct Host<'a> {
    /// Its name, for a host that is not registered yet.
    pub name: &'a str,
    /// Its Struct_idNat, by which it is found.
    pub structure_id: &'a str,
    /// The decision that its accreditation rests on.
    pub decision: &'a str,
}

/// Why the register does not have the host.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The identifier service cannot be called.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// It refuses, or does not answer.
    #[error("the register of hosts refuses: {}", .0.message)]
    Refused(Failure),
}

impl From<Failure> for RegisterError {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

/// The register of hosts, with an administrator's tokens.
#[derive(Debug)]
pub struct Register<'a> {
    channel: Channel,
    issuer: TokenIssuer,
    clock: &'a Clock,
}

impl<'a> Register<'a> {
    /// The register of the suite at `endpoints`; nothing is connected yet.
    ///
    /// # Errors
    /// [`RegisterError::Endpoint`].
    pub fn new(endpoints: &Endpoints, issuer: TokenIssuer, clock: &'a Clock) -> Result<Self, RegisterError> {
        Ok(Self {
            channel: endpoints.channels(clock)?.identifier,
            issuer,
            clock,
        })
    }

    /// Finds the host by its structure or registers it, accredits it where it was never, or where time alone has ended
    /// its accreditation, and answers its identifier. What an authority has suspended or withdrawn stays so.
    ///
    /// # Errors
    /// [`RegisterError::Refused`].
    pub async fn host(&self, wanted: &Host<'_>, random: &Random) -> Result<String, RegisterError> {
        let host = match self.find(wanted.structure_id).await? {
            Some(host) => host,
            None => self.register(wanted, random).await?,
        };
        if may_be_accredited(&host) {
            self.accredit(&host.host_id, wanted.decision, random).await?;
        }
        Ok(host.host_id)
    }

    async fn find(&self, structure_id: &str) -> Result<Option<pb::Host>, Failure> {
        let mut page_token = String::new();
        loop {
            let request = pb::ListHostsRequest {
                page_size: PAGE,
                page_token,
                ..pb::ListHostsRequest::default()
            };
            let listed = self.client().list_hosts(self.request(request)?).await;
            let page = listed.map_err(failure)?.into_inner();
            let found = page.hosts.into_iter().find(|host| host.structure_id == structure_id);
            if found.is_some() || page.next_page_token.is_empty() {
                return Ok(found);
            }
            page_token = page.next_page_token;
        }
    }

    async fn register(&self, wanted: &Host<'_>, random: &Random) -> Result<pb::Host, Failure> {
        let request = pb::RegisterHostRequest {
            request_id: random.uuid().to_string(),
            name: wanted.name.to_owned(),
            structure_id: wanted.structure_id.to_owned(),
            endpoint: String::new(),
        };
        let registered = self.client().register_host(self.request(request)?).await;
        Ok(registered.map_err(failure)?.into_inner())
    }

    async fn accredit(&self, host_id: &str, decision: &str, random: &Random) -> Result<(), Failure> {
        let now = self.clock.now();
        let until = now
            .to_zoned(TimeZone::UTC)
            .saturating_add(ACCREDITATION_YEARS.years())
            .timestamp();
        let request = pb::AccreditHostRequest {
            request_id: random.uuid().to_string(),
            host_id: host_id.to_owned(),
            scopes: vec![pb::HostingScope::Dossier.into(), pb::HostingScope::Messaging.into()],
            valid_from: Some(time::to_proto(now)),
            valid_until: Some(time::to_proto(until)),
            decision_reference: decision.to_owned(),
        };
        let accredited = self.client().accredit_host(self.request(request)?).await;
        accredited.map(drop).map_err(failure)
    }

    fn client(&self) -> HostServiceClient<Channel> {
        HostServiceClient::new(self.channel.clone())
    }

    fn request<M>(&self, message: M) -> Result<Request<M>, Failure> {
        let claims = Claims::new("register-of-hosts", Role::Administrator);
        let token = self.issuer.mint(&claims, CALL_TIMEOUT * 2, self.clock)?;
        let mut request = Request::new(message);
        request.set_timeout(CALL_TIMEOUT);
        request.metadata_mut().insert("authorization", bearer(&token)?);
        Ok(request)
    }
}

/// A new accreditation would end a suspension, and undo a withdrawal: only an authority does that.
fn may_be_accredited(host: &pb::Host) -> bool {
    let untouched = host.suspended_at.is_none() && host.accreditations.iter().all(|one| one.withdrawn_at.is_none());
    untouched && !host.accredited_now.contains(&pb::HostingScope::Dossier.into())
}

fn failure(status: tonic::Status) -> Failure {
    Failure::from_status("identifier", &status)
}
