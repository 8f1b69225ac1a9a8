//! DocumentService.

mod listing;
mod submission;

use api::consent::v1::Operation;
use api::dossier::v1 as pb;
use api::dossier::v1::AccessAction;
use api::dossier::v1::document_service_server::DocumentService;
use api::dossier::v1::read_document_response::Part;
use api::identity::DmpId;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use serve::{Call, Context, Violations};
use std::sync::Arc;
use store::random::Random;
use store::time::Clock;
use store::{Db, Engine, Gather};
use tonic::{Request, Response, Status, Streaming};

use super::dmp_id;
use crate::authorization::{AccessContext, Asked, Entered, Gate, Granted};
use crate::chain::Named;
use crate::config::Config;
use crate::content::{ContentKey, HostKey};
use crate::document::Document;
use crate::dossier::{Dossier, require_open};
use crate::error::{Error, Result};
use crate::identifiers::Identifiers;
use crate::metadata::UniqueId;
use crate::upload::Uploads;
use crate::{contents, documents, dossiers};

/// Answers the calls of DocumentService.
pub(crate) struct Documents<DB: Engine> {
    db: Db<DB>,
    clock: Clock,
    random: Random,
    gate: Gate<DB>,
    /// Dossiers as they stand, read for all who ask at the same time.
    dossiers: Gather<DmpId, Option<Dossier>>,
    identifiers: Identifiers,
    key: HostKey,
    uploads: Uploads,
    config: Arc<Config>,
}

#[tonic::async_trait]
impl<DB: Engine> DocumentService for Documents<DB> {
    type ReadDocumentStream = BoxStream<'static, Result<pb::ReadDocumentResponse, Status>>;

    async fn submit_document(
        &self,
        request: Request<Streaming<pb::SubmitDocumentRequest>>,
    ) -> Result<Response<pb::SubmitDocumentResponse>, Status> {
        let call = Call::of(&request)?.clone();
        Ok(Response::new(self.submit(&call, &mut request.into_inner()).await?))
    }

    async fn get_document(
        &self,
        request: Request<pb::GetDocumentRequest>,
    ) -> Result<Response<pb::GetDocumentResponse>, Status> {
        let call = Call::of(&request)?;
        let asked = Wanted::parse_get(call, request.get_ref())?;
        let (_, document, entered) = self.enter_and_find(call, asked, AccessAction::GetDocument).await?;
        Ok(Response::new(self.head(&document, &entered)))
    }

    async fn list_documents(
        &self,
        request: Request<pb::ListDocumentsRequest>,
    ) -> Result<Response<pb::ListDocumentsResponse>, Status> {
        Ok(Response::new(self.list(Call::of(&request)?, request.get_ref()).await?))
    }

    async fn read_document(
        &self,
        request: Request<pb::ReadDocumentRequest>,
    ) -> Result<Response<Self::ReadDocumentStream>, Status> {
        let call = Call::of(&request)?;
        let asked = Wanted::parse_read(call, request.get_ref())?;
        let (dossier, document, entered) = self.enter_and_find(call, asked, AccessAction::ReadDocument).await?;
        let (key, first) = self.open(&entered, &dossier, &document).await?;
        let head = pb::ReadDocumentResponse {
            part: Some(Part::Head(self.head(&document, &entered))),
        };
        let chunks = chunks(self.db.clone(), document, key, first).map_err(Status::from);
        Ok(Response::new(stream::iter([Ok(head)]).chain(chunks).boxed()))
    }
}

/// One document asked for.
struct Wanted {
    dmp_id: DmpId,
    unique_id: UniqueId,
    context: AccessContext,
}

impl Wanted {
    fn parse_get(call: &Call, request: &pb::GetDocumentRequest) -> Result<Self> {
        Self::parse(call, &request.dmp_id, &request.unique_id, request.context.as_ref())
    }

    fn parse_read(call: &Call, request: &pb::ReadDocumentRequest) -> Result<Self> {
        Self::parse(call, &request.dmp_id, &request.unique_id, request.context.as_ref())
    }

    fn parse(
        call: &Call,
        dossier: &str,
        document: &str,
        context: Option<&api::common::v1::AccessContext>,
    ) -> Result<Self> {
        let mut violations = Violations::default();
        let dmp_id = dmp_id(&mut violations, dossier);
        let unique_id = violations.check("unique_id", UniqueId::parse(document));
        let context = AccessContext::parse(&mut violations, &call.actor, context);
        let (dmp_id, unique_id, context) = violations.gather((dmp_id, unique_id, context))?;
        Ok(Self {
            dmp_id,
            unique_id,
            context,
        })
    }
}

impl<DB: Engine> Documents<DB> {
    pub(crate) fn new(
        context: &Context<DB>,
        config: &Config,
        gate: Gate<DB>,
        identifiers: Identifiers,
        key: HostKey,
    ) -> Self {
        Self {
            db: context.db.clone(),
            clock: context.clock.clone(),
            random: context.random.clone(),
            dossiers: gather(&context.db),
            gate,
            identifiers,
            key,
            uploads: Uploads::new(config.limits),
            config: Arc::new(config.clone()),
        }
    }

    /// The document asked for and its dossier, the access to it taken down.
    async fn enter_and_find(
        &self,
        call: &Call,
        asked: Wanted,
        action: AccessAction,
    ) -> Result<(Dossier, Document, Entered)> {
        let Wanted {
            dmp_id,
            unique_id,
            context,
        } = asked;
        let asked = Asked::new(call, dmp_id, action, context).about(unique_id.clone());
        let granted = self.gate.enter(call, Operation::ReadDocuments, asked).await?;
        let (dossier, document) = match self.find(&granted, &unique_id).await {
            Ok(found) => found,
            Err(error) => return Err(self.gate.turn_away(&granted, error).await),
        };
        let granted = granted.about(&document);
        let entered = self.gate.record(&granted, Named::one(&document)).await?;
        Ok((dossier, document, entered))
    }

    async fn find(&self, granted: &Granted, unique_id: &UniqueId) -> Result<(Dossier, Document)> {
        let dossier = self.open_dossier(granted).await?;
        let mut connection = self.db.read().await?;
        let document = documents::find::<DB>(&mut connection, granted, unique_id.as_str(), self.clock.now()).await?;
        Ok((dossier, document.ok_or(Error::NotFound("document"))?))
    }

    /// The dossier, when it is open.
    async fn open_dossier(&self, granted: &Granted) -> Result<Dossier> {
        require_open(self.dossiers.get(granted.dmp_id().clone()).await?)
    }

    async fn open(
        &self,
        entered: &Entered,
        dossier: &Dossier,
        document: &Document,
    ) -> Result<(ContentKey, Option<Vec<u8>>)> {
        let dossier_key = self.key.unwrap(&dossier.key, &dossier.dmp_id)?;
        contents::open::<DB>(&mut *self.db.read().await?, entered, &dossier_key, document).await
    }

    fn head(&self, document: &Document, entered: &Entered) -> pb::GetDocumentResponse {
        pb::GetDocumentResponse {
            document: Some(document.to_proto(self.clock.now())),
            receipt: Some(entered.receipt()),
        }
    }
}

fn gather<DB: Engine>(db: &Db<DB>) -> Gather<DmpId, Option<Dossier>> {
    Gather::start(db.clone(), |connection, asked: Vec<DmpId>| {
        Box::pin(async move {
            let found = dossiers::all::<DB>(connection, &asked).await?;
            let of = |dmp_id: &DmpId| found.iter().find(|dossier| dossier.dmp_id == *dmp_id).cloned();
            Ok(asked.iter().map(of).collect())
        })
    })
}

/// The content, opened chunk by chunk as its reader takes it: one chunk in memory, no connection held in between. The
/// first one is there already.
fn chunks<DB: Engine>(
    db: Db<DB>,
    document: Document,
    key: ContentKey,
    first: Option<Vec<u8>>,
) -> impl futures::Stream<Item = Result<pb::ReadDocumentResponse>> {
    let reading = (db, document, key, 0, first);
    stream::try_unfold(reading, |(db, document, key, number, first)| async move {
        if number == key.chunks() {
            return Ok(None);
        }
        let sealed = match first {
            Some(sealed) => sealed,
            None => {
                let mut connection = db.read().await?;
                contents::chunk::<DB>(&mut connection, &document.dmp_id, document.logical_id, number).await?
            }
        };
        let chunk = key.open(number, &sealed)?;
        let response = pb::ReadDocumentResponse {
            part: Some(Part::Chunk(chunk)),
        };
        Ok(Some((response, (db, document, key, number + 1, None))))
    })
}
