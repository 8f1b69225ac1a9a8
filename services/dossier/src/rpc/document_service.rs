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
use crate::contents::Beginning;
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
        let wanted = Wanted::parse_get(call, request.get_ref())?;
        let found = self.enter_and_find(call, wanted).await?;
        Ok(Response::new(self.head(&found.document, &found.entered)))
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
        let wanted = Wanted::parse_read(call, request.get_ref())?;
        let Found {
            dossier,
            document,
            content,
            entered,
        } = self.enter_and_find(call, wanted).await?;
        let dossier_key = self.key.unwrap(&dossier.key, &dossier.dmp_id).map_err(Error::from)?;
        let (key, first) = content.open(&entered, &dossier_key, &document)?;
        let head = pb::ReadDocumentResponse {
            part: Some(Part::Head(self.head(&document, &entered))),
        };
        let chunks = chunks(self.db.clone(), document, key, first).map_err(Status::from);
        Ok(Response::new(stream::iter([Ok(head)]).chain(chunks).boxed()))
    }
}

/// One document asked for.
struct Wanted {
    action: AccessAction,
    dmp_id: DmpId,
    unique_id: UniqueId,
    context: AccessContext,
}

impl Wanted {
    fn parse_get(call: &Call, request: &pb::GetDocumentRequest) -> Result<Self> {
        let asked = (request.dmp_id.as_str(), request.unique_id.as_str());
        Self::parse(call, AccessAction::GetDocument, asked, request.context.as_ref())
    }

    fn parse_read(call: &Call, request: &pb::ReadDocumentRequest) -> Result<Self> {
        let asked = (request.dmp_id.as_str(), request.unique_id.as_str());
        Self::parse(call, AccessAction::ReadDocument, asked, request.context.as_ref())
    }

    fn parse(
        call: &Call,
        action: AccessAction,
        (dossier, document): (&str, &str),
        context: Option<&api::common::v1::AccessContext>,
    ) -> Result<Self> {
        let mut violations = Violations::default();
        let dmp_id = dmp_id(&mut violations, dossier);
        let unique_id = violations.check("unique_id", UniqueId::parse(document));
        let context = AccessContext::parse(&mut violations, &call.actor, context);
        let (dmp_id, unique_id, context) = violations.gather((dmp_id, unique_id, context))?;
        Ok(Self {
            action,
            dmp_id,
            unique_id,
            context,
        })
    }
}

/// The document that was asked for, the access to it taken down.
struct Found {
    dossier: Dossier,
    document: Document,
    /// Of a document to be read.
    content: Beginning,
    entered: Entered,
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

    /// Lets the caller in and finds what it wants.
    async fn enter_and_find(&self, call: &Call, wanted: Wanted) -> Result<Found> {
        let Wanted {
            action,
            dmp_id,
            unique_id,
            context,
        } = wanted;
        let asked = Asked::new(call, dmp_id, action, context).about(unique_id.clone());
        let granted = self.gate.enter(call, Operation::ReadDocuments, asked).await?;
        let with_content = action == AccessAction::ReadDocument;
        let (dossier, document, content) = match self.find(&granted, &unique_id, with_content).await {
            Ok(found) => found,
            Err(error) => return Err(self.gate.turn_away(&granted, error).await),
        };
        let granted = granted.about(&document);
        let entered = self.gate.record(&granted, Named::one(&document)).await?;
        Ok(Found {
            dossier,
            document,
            content,
            entered,
        })
    }

    async fn find(
        &self,
        granted: &Granted,
        unique_id: &UniqueId,
        with_content: bool,
    ) -> Result<(Dossier, Document, Beginning)> {
        let dossier = self.open_dossier(granted).await?;
        let (unique_id, now) = (unique_id.as_str(), self.clock.now());
        let mut connection = self.db.read().await?;
        let found = if with_content {
            documents::find_with_content::<DB>(&mut connection, granted, unique_id, now).await?
        } else {
            let found = documents::find::<DB>(&mut connection, granted, unique_id, now).await?;
            found.map(|document| (document, Beginning::default()))
        };
        let (document, content) = found.ok_or(Error::NotFound("document"))?;
        Ok((dossier, document, content))
    }

    /// The dossier, when it is open.
    async fn open_dossier(&self, granted: &Granted) -> Result<Dossier> {
        require_open(self.dossiers.get(granted.dmp_id().clone()).await?)
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
