//! `dmp.messaging.v1.DirectoryService`.

use api::common::v1::Role;
use api::messaging::v1 as pb;
use api::messaging::v1::directory_service_server::DirectoryService;
use pb::search_directory_response::{Found, found};
use serve::{Call, Failure, Violations};
use store::page::{Key, Page, PageLimits};
use store::{Engine, RequestKey, once};
use tonic::{Request, Response, Status};

use super::Rpc;
use crate::error::Error;
use crate::parties::{self, Range, Registered};
use crate::party::{self, Party, PartyId, Query};

const REGISTER_PROFESSIONAL: &str = "dmp.messaging.v1.DirectoryService/RegisterProfessional";
const REGISTER_STRUCTURE: &str = "dmp.messaging.v1.DirectoryService/RegisterStructure";

const REGISTRARS: [Role; 1] = [Role::Administrator];
const SEARCHERS: [Role; 3] = [Role::Professional, Role::EstablishmentSystem, Role::Administrator];

const PAGES: PageLimits = PageLimits { default: 50, max: 100 };

#[tonic::async_trait]
impl<DB: Engine> DirectoryService for Rpc<DB> {
    async fn register_professional(
        &self,
        request: Request<pb::RegisterProfessionalRequest>,
    ) -> Result<Response<pb::Professional>, Status> {
        let call = Call::of(&request)?.clone();
        Ok(Response::new(
            self.do_register_professional(&call, request.into_inner()).await?,
        ))
    }

    async fn register_structure(
        &self,
        request: Request<pb::RegisterStructureRequest>,
    ) -> Result<Response<pb::Structure>, Status> {
        let call = Call::of(&request)?.clone();
        Ok(Response::new(
            self.do_register_structure(&call, request.into_inner()).await?,
        ))
    }

    async fn search_directory(
        &self,
        request: Request<pb::SearchDirectoryRequest>,
    ) -> Result<Response<pb::SearchDirectoryResponse>, Status> {
        let call = Call::of(&request)?.clone();
        Ok(Response::new(self.do_search(&call, request.into_inner()).await?))
    }
}

impl<DB: Engine> Rpc<DB> {
    async fn do_register_professional(
        &self,
        call: &Call,
        request: pb::RegisterProfessionalRequest,
    ) -> Result<pb::Professional, Failure> {
        call.require_role(&REGISTRARS)?;
        let mut violations = Violations::default();
        let request_id = violations.uuid("request_id", &request.request_id);
        let professional = violations.required("professional", request.professional.as_ref());
        let party = professional
            .and_then(|professional| Party::parse_professional(professional, self.config.checks, &mut violations));
        let (request_id, party) = violations.gather((request_id, party))?;
        let key = RequestKey::new(call.actor.caller_key(), REGISTER_PROFESSIONAL, request_id, &request);
        let now = self.clock.now();
        Ok(once::<DB, _, Error, _, _>(&self.db, key, now, move |connection| {
            Box::pin(async move {
                parties::register::<DB>(connection, &party, now).await?;
                Ok(party.to_professional(now))
            })
        })
        .await?
        .response)
    }

    async fn do_register_structure(
        &self,
        call: &Call,
        request: pb::RegisterStructureRequest,
    ) -> Result<pb::Structure, Failure> {
        call.require_role(&REGISTRARS)?;
        let mut violations = Violations::default();
        let request_id = violations.uuid("request_id", &request.request_id);
        let structure = violations.required("structure", request.structure.as_ref());
        let party =
            structure.and_then(|structure| Party::parse_structure(structure, self.config.checks, &mut violations));
        let (request_id, party) = violations.gather((request_id, party))?;
        let key = RequestKey::new(call.actor.caller_key(), REGISTER_STRUCTURE, request_id, &request);
        let now = self.clock.now();
        Ok(once::<DB, _, Error, _, _>(&self.db, key, now, move |connection| {
            Box::pin(async move {
                parties::register::<DB>(connection, &party, now).await?;
                Ok(party.to_structure(now))
            })
        })
        .await?
        .response)
    }

    async fn do_search(
        &self,
        call: &Call,
        request: pb::SearchDirectoryRequest,
    ) -> Result<pb::SearchDirectoryResponse, Failure> {
        call.require_role(&SEARCHERS)?;
        let mut violations = Violations::default();
        let query = violations.check("query", Query::parse(&request.query));
        let profession = violations.optional("profession", &request.profession, party::parse_profession);
        violations.page_size(request.page_size);
        let (query, profession) = violations.gather((query, profession))?;
        let page = Page::parse(
            request.page_size,
            &request.page_token,
            PAGES,
            &pb::SearchDirectoryRequest {
                page_size: 0,
                page_token: String::new(),
                ..request.clone()
            },
        )?;

        let mut connection = self.db.read().await?;
        let registered = find::<DB>(&mut connection, &query, profession.as_deref(), &page).await?;
        let key = |row: &Registered| Key {
            number: 0,
            text: row.search_key.clone(),
        };
        let (registered, next_page_token) = page.cut(registered, key);
        let found = with_addresses::<DB>(&mut connection, registered).await?;
        Ok(pb::SearchDirectoryResponse { found, next_page_token })
    }
}

async fn find<DB: Engine>(
    connection: &mut DB::Connection,
    query: &Query,
    profession: Option<&str>,
    page: &Page,
) -> Result<Vec<Registered>, store::Error> {
    let (from, to) = match query {
        Query::Ids(ids) => return find_ids::<DB>(connection, ids, profession).await,
        Query::Keys(from, to) => (from, to),
    };
    let after = page.after.as_ref().map(|key| key.text.as_str()).unwrap_or_default();
    let range = Range {
        from,
        to,
        after,
        limit: page.fetch_limit(),
    };
    parties::range::<DB>(connection, &range, profession).await
}

async fn find_ids<DB: Engine>(
    connection: &mut DB::Connection,
    ids: &[PartyId],
    profession: Option<&str>,
) -> Result<Vec<Registered>, store::Error> {
    let mut found = Vec::new();
    for id in ids {
        found.extend(parties::find::<DB>(connection, id).await?);
    }
    found.retain(|registered| profession.is_none_or(|profession| registered.party.profession == profession));
    Ok(found)
}

/// A page of parties with where they practise and which addresses the directory shows of them.
async fn with_addresses<DB: Engine>(
    connection: &mut DB::Connection,
    registered: Vec<Registered>,
) -> Result<Vec<Found>, store::Error> {
    let ids: Vec<PartyId> = registered.iter().map(|row| row.party.id.clone()).collect();
    let mut practices = parties::practices::<DB>(connection, &ids).await?;
    let mut addresses = parties::listed_addresses::<DB>(connection, &ids).await?;
    let found = registered.into_iter().map(
        |Registered {
             mut party, updated_at, ..
         }| {
            let addresses = addresses.remove(&party.id).unwrap_or_default();
            let shown = match party.id {
                PartyId::Structure(_) => found::Party::Structure(party.to_structure(updated_at)),
                PartyId::Professional(_) => {
                    party.structures = practices.remove(party.id.as_str()).unwrap_or_default();
                    found::Party::Professional(party.to_professional(updated_at))
                }
            };
            let addresses = addresses.iter().map(|address| address.as_str().to_owned()).collect();
            Found {
                party: Some(shown),
                addresses,
            }
        },
    );
    Ok(found.collect())
}
