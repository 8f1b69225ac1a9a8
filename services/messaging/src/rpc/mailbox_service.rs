//! `dmp.messaging.v1.MailboxService`.

use api::common::v1::Role;
use api::messaging::v1 as pb;
use api::messaging::v1::mailbox_service_server::MailboxService;
use serve::{Call, Failure, Violations};
use store::page::{Key, Page, PageLimits};
use store::time::to_proto;
use store::{Engine, RequestKey, once};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::Rpc;
use crate::address::{Address, DomainName};
use crate::error::Error;
use crate::mailbox::{DESCRIPTION_MAX, Kind, Mailbox, Owned};
use crate::mailboxes;
use crate::parties;
use crate::party::PartyId;

const ALLOW_DOMAIN: &str = "dmp.messaging.v1.MailboxService/AllowDomain";
const OPEN_MAILBOX: &str = "dmp.messaging.v1.MailboxService/OpenMailbox";
const CLOSE_MAILBOX: &str = "dmp.messaging.v1.MailboxService/CloseMailbox";

const ADMINISTRATORS: [Role; 1] = [Role::Administrator];
const ADMINISTRATORS_AND_OWNERS: [Role; 3] = [Role::Administrator, Role::Professional, Role::EstablishmentSystem];

/// Why nothing of the patients' domain is opened here.
const PATIENT_DOMAIN: (&str, &str) = ("PATIENT_DOMAIN", "must not be of the patients' domain");

#[tonic::async_trait]
impl<DB: Engine> MailboxService for Rpc<DB> {
    async fn allow_domain(&self, request: Request<pb::AllowDomainRequest>) -> Result<Response<pb::Domain>, Status> {
        let call = Call::of(&request)?.clone();
        Ok(Response::new(self.do_allow_domain(&call, request.into_inner()).await?))
    }

    async fn open_mailbox(&self, request: Request<pb::OpenMailboxRequest>) -> Result<Response<pb::Mailbox>, Status> {
        let call = Call::of(&request)?.clone();
        Ok(Response::new(self.do_open_mailbox(&call, request.into_inner()).await?))
    }

    async fn close_mailbox(&self, request: Request<pb::CloseMailboxRequest>) -> Result<Response<pb::Mailbox>, Status> {
        let call = Call::of(&request)?.clone();
        Ok(Response::new(self.do_close_mailbox(&call, request.into_inner()).await?))
    }

    async fn list_mailboxes(
        &self,
        request: Request<pb::ListMailboxesRequest>,
    ) -> Result<Response<pb::ListMailboxesResponse>, Status> {
        let call = Call::of(&request)?.clone();
        Ok(Response::new(
            self.do_list_mailboxes(&call, request.into_inner()).await?,
        ))
    }
}

impl<DB: Engine> Rpc<DB> {
    async fn do_allow_domain(&self, call: &Call, request: pb::AllowDomainRequest) -> Result<pb::Domain, Failure> {
        call.require_role(&ADMINISTRATORS)?;
        let mut violations = Violations::default();
        let request_id = violations.uuid("request_id", &request.request_id);
        let domain = violations.check("domain", DomainName::parse(&request.domain));
        let domain = domain.and_then(|domain| {
            let allowed = if domain == self.patients {
                Err(PATIENT_DOMAIN)
            } else {
                Ok(domain)
            };
            violations.check("domain", allowed)
        });
        let (request_id, domain) = violations.gather((request_id, domain))?;
        let key = RequestKey::new(call.actor.caller_key(), ALLOW_DOMAIN, request_id, &request);
        let now = self.clock.now();
        Ok(once::<DB, _, Error, _, _>(&self.db, key, now, move |connection| {
            Box::pin(async move {
                let allowed_at = mailboxes::allow_domain::<DB>(connection, &domain, now).await?;
                Ok(pb::Domain {
                    domain: domain.as_str().to_owned(),
                    allowed_at: Some(to_proto(allowed_at)),
                })
            })
        })
        .await?
        .response)
    }

    async fn do_open_mailbox(&self, call: &Call, request: pb::OpenMailboxRequest) -> Result<pb::Mailbox, Failure> {
        call.require_role(&ADMINISTRATORS)?;
        let (request_id, mailbox) = self.parse_mailbox(&request)?;
        let key = RequestKey::new(call.actor.caller_key(), OPEN_MAILBOX, request_id, &request);
        let limit = self.config.limits.mailboxes_per_owner;
        let now = mailbox.opened_at;
        Ok(once::<DB, _, Error, _, _>(&self.db, key, now, move |connection| {
            Box::pin(async move {
                open::<DB>(connection, &mailbox, limit).await?;
                Ok(mailbox.to_proto())
            })
        })
        .await?
        .response)
    }

    fn parse_mailbox(&self, request: &pb::OpenMailboxRequest) -> Result<(Uuid, Mailbox), Failure> {
        let mut violations = Violations::default();
        let request_id = violations.uuid("request_id", &request.request_id);
        let address = violations.check("address", Address::parse(&request.address));
        let address = address.and_then(|address| {
            let opened = if address.is_in(&self.patients) {
                Err(PATIENT_DOMAIN)
            } else {
                Ok(address)
            };
            violations.check("address", opened)
        });
        let kind = violations
            .choice::<pb::MailboxType>("type", request.r#type)
            .and_then(Kind::from_proto);
        let owner = match kind {
            Some(kind) => violations.check("owner_id", kind.parse_owner(&request.owner_id, self.config.checks)),
            // Which identifier it must be depends on the type.
            None => None,
        };
        let description = violations.text("description", &request.description, 0..=DESCRIPTION_MAX);
        let read = violations.gather((request_id, address, kind, owner, description))?;
        let (request_id, address, kind, owner, description) = read;
        let mailbox = Mailbox {
            id: self.random.uuid(),
            address,
            kind,
            owner,
            unlisted: request.unlisted,
            description,
            opened_at: self.clock.now(),
            closed_at: None,
        };
        Ok((request_id, mailbox))
    }

    async fn do_close_mailbox(&self, call: &Call, request: pb::CloseMailboxRequest) -> Result<pb::Mailbox, Failure> {
        call.require_role(&ADMINISTRATORS_AND_OWNERS)?;
        let mut violations = Violations::default();
        let request_id = violations.uuid("request_id", &request.request_id);
        let mailbox_id = violations.uuid("mailbox_id", &request.mailbox_id);
        let (request_id, mailbox_id) = violations.gather((request_id, mailbox_id))?;
        {
            let mut connection = self.db.read().await?;
            let mailbox = mailboxes::find::<DB>(&mut connection, mailbox_id).await?;
            let may = |mailbox: &Mailbox| call.actor.role == Role::Administrator || mailbox.is_owned_by(&call.actor);
            mailbox.filter(may).ok_or(Error::NotFound("mailbox"))?;
        }
        let key = RequestKey::new(call.actor.caller_key(), CLOSE_MAILBOX, request_id, &request);
        let now = self.clock.now();
        Ok(once::<DB, _, Error, _, _>(&self.db, key, now, move |connection| {
            Box::pin(async move {
                let closed = mailboxes::close::<DB>(connection, mailbox_id, now).await?;
                Ok(closed.ok_or(Error::ClosedAlready)?.to_proto())
            })
        })
        .await?
        .response)
    }

    async fn do_list_mailboxes(
        &self,
        call: &Call,
        request: pb::ListMailboxesRequest,
    ) -> Result<pb::ListMailboxesResponse, Failure> {
        call.require_role(&ADMINISTRATORS_AND_OWNERS)?;
        let mut violations = Violations::default();
        violations.page_size(request.page_size);
        violations.finish()?;
        let query = pb::ListMailboxesRequest::default();
        let page = Page::parse(request.page_size, &request.page_token, PageLimits::default(), &query)?;
        let after = page.after.as_ref().map(|key| key.text.as_str()).unwrap_or_default();
        // `None` lists all: the administrator, who owns none.
        let owned = Owned::by(&call.actor);

        let mut connection = self.db.read().await?;
        let mailboxes = mailboxes::list::<DB>(&mut connection, owned.as_ref(), after, page.fetch_limit()).await?;
        let key = |mailbox: &Mailbox| Key {
            number: 0,
            text: mailbox.address.as_str().to_owned(),
        };
        let (mailboxes, next_page_token) = page.cut(mailboxes, key);
        let mailboxes = mailboxes.iter().map(Mailbox::to_proto).collect();
        Ok(pb::ListMailboxesResponse {
            mailboxes,
            next_page_token,
        })
    }
}

async fn open<DB: Engine>(connection: &mut DB::Connection, mailbox: &Mailbox, limit: usize) -> Result<(), Error> {
    if !mailboxes::is_allowed::<DB>(connection, mailbox.address.domain()).await? {
        return Err(Error::DomainNotAllowed);
    }
    check_owner::<DB>(connection, &mailbox.owner, limit).await?;
    if !mailboxes::insert::<DB>(connection, mailbox).await? {
        return Err(Error::AddressTaken);
    }
    Ok(())
}

/// The owner's row is locked, so that two mailboxes opened at once do not pass the limit together.
async fn check_owner<DB: Engine>(connection: &mut DB::Connection, owner: &PartyId, limit: usize) -> Result<(), Error> {
    if !parties::lock::<DB>(connection, owner).await? {
        return Err(Error::NotFound("owner"));
    }
    let open = mailboxes::count_open::<DB>(connection, owner).await?;
    if usize::try_from(open).unwrap_or(usize::MAX) >= limit {
        return Err(Error::TooManyMailboxes { limit });
    }
    Ok(())
}
