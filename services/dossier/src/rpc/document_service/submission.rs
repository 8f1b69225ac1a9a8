//! SubmitDocument: header, gate, content, metadata, patient, and one transaction in the end.

use api::common::v1::Role;
use api::consent::v1::Operation;
use api::dossier::v1 as pb;
use api::dossier::v1::{AccessAction, DocumentStatus};
use api::identity::DmpId;
use serve::{Actor, Call, Violations};
use store::time::Timestamp;
use store::{Effect, Engine, RequestKey};
use tonic::Streaming;
use uuid::Uuid;

use super::super::dmp_id;
use super::super::dossier_service::staged;
use super::Documents;
use crate::authorization::{AccessContext, Asked, Gate, Granted};
use crate::cda;
use crate::chain::Named;
use crate::config::Config;
use crate::content::Sealed;
use crate::document::{Document, Facts, MediaType};
use crate::dossier::{Dossier, require_open};
use crate::error::{Error, Fault, Result};
use crate::metadata::cda::{Filed, Patient};
use crate::metadata::{self, Metadata};
use crate::upload::{self, Upload};
use crate::visibility::{Visibility, announce_by};
use crate::{contents, documents, dossiers};

const SUBMIT_DOCUMENT: &str = "dmp.dossier.v1.DocumentService/SubmitDocument";

const SHA256_BYTES: usize = 32;

/// A header whose fields are right.
struct Announced {
    request_id: Uuid,
    dmp_id: DmpId,
    media_type: MediaType,
    visibility: Visibility,
    /// For a document without metadata of its own.
    given: Option<Metadata>,
    context: AccessContext,
}

/// A document whose metadata are known.
struct Filing {
    media_type: MediaType,
    metadata: Metadata,
    visibility: Visibility,
    /// Who it is about, when it says so itself.
    patient: Option<Patient>,
}

/// A document ready to be written: checked, about the right person, sealed.
struct Deposit {
    document: Document,
    sealed: Sealed,
}

impl<DB: Engine> Documents<DB> {
    pub(super) async fn submit(
        &self,
        call: &Call,
        stream: &mut Streaming<pb::SubmitDocumentRequest>,
    ) -> Result<pb::SubmitDocumentResponse> {
        let header = self.uploads.header(stream).await?;
        let announced = parse(&header, call)?;
        let (dmp_id, context) = (announced.dmp_id.clone(), announced.context.clone());
        let asked = Asked::new(call, dmp_id, AccessAction::SubmitDocument, context)
            .or_secret(announced.visibility.hidden_from_representatives);
        // Before the content: who may not deposit cannot make us hold it.
        let granted = self.gate.enter(call, Operation::SubmitDocuments, asked).await?;
        match self.take(call, &granted, announced, header, stream).await {
            Ok(answer) => Ok(answer),
            Err(error) => Err(self.gate.turn_away(&granted, error).await),
        }
    }

    async fn take(
        &self,
        call: &Call,
        granted: &Granted,
        announced: Announced,
        mut header: pb::SubmitDocumentHeader,
        stream: &mut Streaming<pb::SubmitDocumentRequest>,
    ) -> Result<pb::SubmitDocumentResponse> {
        let dossier = self.open_dossier(granted).await?;
        if announced
            .given
            .as_ref()
            .is_some_and(|given| !granted.covers(&given.document_type.code))
        {
            return Err(Error::OutsideMatrix);
        }
        let upload = self.uploads.content(stream, &header).await?;
        // What makes a repeated request the same: its header, with the content's hash whether announced or not.
        (header.size, header.sha256) = (size_of(&upload), upload.sha256.clone());
        let key = RequestKey::new(call.actor.caller_key(), SUBMIT_DOCUMENT, announced.request_id, &header);
        let deposit = self.prepare(call, granted, announced, upload, &dossier).await?;
        self.write(granted.clone(), key, deposit).await
    }

    /// Everything about a document that can be decided without its dossier being held.
    async fn prepare(
        &self,
        call: &Call,
        granted: &Granted,
        announced: Announced,
        upload: Upload,
        dossier: &Dossier,
    ) -> Result<Deposit> {
        let media_type = announced.media_type;
        metadata::given::check_content(media_type, &upload.content).map_err(|fault| Error::Document(vec![fault]))?;
        let (upload, filing) = match announced.given {
            Some(metadata) => {
                let filing = Filing {
                    media_type,
                    metadata,
                    visibility: announced.visibility,
                    patient: None,
                };
                (upload, filing)
            }
            None => self.file(upload, announced.visibility).await?,
        };
        let hidden = filing.visibility.hidden_from_representatives;
        let deposit = self.complete(call, granted, filing, upload, dossier).await;
        deposit.map_err(|error| error.hidden_if(hidden))
    }

    /// Holds what is filed against the caller's rights and the dossier's holder, and seals it.
    async fn complete(
        &self,
        call: &Call,
        granted: &Granted,
        filing: Filing,
        upload: Upload,
        dossier: &Dossier,
    ) -> Result<Deposit> {
        let Filing {
            media_type,
            mut metadata,
            visibility,
            patient,
        } = filing;
        if let Some(patient) = patient {
            check_stated(visibility, granted)?;
            if self.identifiers.confirm(call, granted.dmp_id(), &patient).await? {
                metadata
                    .findings
                    .push("recordTarget/patientRole/id: RETIRED_MATRICULE".to_owned());
            }
        }
        if !granted.covers(&metadata.document_type.code) {
            return Err(Error::OutsideMatrix);
        }
        let facts = Facts {
            media_type,
            size: size_of(&upload),
            sha256: upload.sha256.clone(),
        };
        let document = self.document(granted, metadata, visibility, facts);
        let sealed = self.seal(dossier, document.logical_id, upload).await?;
        Ok(Deposit { document, sealed })
    }

    /// Reads a CDA document's header.
    async fn file(&self, upload: Upload, stated: Visibility) -> Result<(Upload, Filing)> {
        let config = self.config.clone();
        let (upload, filed) = upload::work(upload.content.len(), move || {
            let filed = file(&upload.content, &config);
            (upload, filed)
        })
        .await?;
        let filed = filed?;
        let filing = Filing {
            media_type: MediaType::Cda,
            metadata: filed.metadata,
            visibility: stated.and(filed.visibility),
            patient: Some(filed.patient),
        };
        Ok((upload, filing))
    }

    fn document(&self, granted: &Granted, metadata: Metadata, visibility: Visibility, facts: Facts) -> Document {
        let now = self.clock.now();
        Document {
            dmp_id: granted.dmp_id().clone(),
            logical_id: self.random.uuid(),
            entry_uuid: self.random.uuid(),
            status: DocumentStatus::Approved,
            visibility,
            announce_by: announce_by(now, self.config.announcement_months),
            facts,
            submitted_by: granted.depositor(),
            submitted_at: now,
            metadata,
        }
    }

    async fn seal(&self, dossier: &Dossier, logical_id: Uuid, upload: Upload) -> Result<Sealed> {
        let key = self.key.unwrap(&dossier.key, &dossier.dmp_id)?;
        let sealed = upload::work(upload.content.len(), move || key.seal(logical_id, &upload.content));
        Ok(sealed.await??)
    }

    async fn write(&self, granted: Granted, key: RequestKey, deposit: Deposit) -> Result<pb::SubmitDocumentResponse> {
        let (gate, now, next_uuid) = (self.gate.clone(), deposit.document.submitted_at, self.random.uuid());
        let hidden = deposit.document.visibility.hidden_from_representatives;
        let staging = granted.clone();
        let answered = store::once(&self.db, key, now, move |connection| {
            Box::pin(async move { write::<DB>(connection, &gate, &staging, deposit, next_uuid, now).await })
        });
        let answered = answered.await.map_err(|error: Error| error.hidden_if(hidden))?;
        let answer: pb::SubmitDocumentResponse = answered.response;
        let receipt = self.gate.settle_answer(&granted, answer.receipt.clone()).await?;
        Ok(pb::SubmitDocumentResponse { receipt, ..answer })
    }
}

/// The transaction of a deposit: repetition, replacement, metadata, content and journal entry, all or nothing.
async fn write<DB: Engine>(
    connection: &mut DB::Connection,
    gate: &Gate<DB>,
    granted: &Granted,
    deposit: Deposit,
    next_uuid: Uuid,
    now: Timestamp,
) -> Result<Effect<pb::SubmitDocumentResponse>> {
    let Deposit { mut document, sealed } = deposit;
    require_open(dossiers::hold::<DB>(connection, granted.dmp_id()).await?)?;
    let there = documents::find_for_deposit::<DB>(connection, granted, document.unique_id()).await?;
    let already_there = there.is_some();
    let mut rows = Vec::new();
    let document = match there {
        // To a representative what is hidden from it is not shown, even by one who has it.
        Some(there) if granted.is_kept_from(&there) => return Err(Error::Exists("document")),
        Some(there) if there.facts.sha256 == document.facts.sha256 => there,
        Some(there) => {
            return Err(Error::Exists("document").hidden_if(there.visibility.hidden_from_representatives));
        }
        None => {
            replace::<DB>(connection, granted, &mut document, next_uuid, now).await?;
            rows.extend(documents::rows(granted, &document));
            rows.extend(contents::rows(granted, document.logical_id, sealed));
            document
        }
    };
    let (entry_id, staged_rows) = gate.stage(&granted.about(&document), Named::one(&document))?;
    rows.extend(staged_rows);
    let response = pb::SubmitDocumentResponse {
        document: Some(document.to_proto(now)),
        already_there,
        receipt: staged(entry_id),
    };
    Ok(Effect { response, rows })
}

/// Puts what `document` replaces out of force. What this dossier never had is no obstacle: the document is a first
/// version here, and says so. A document hidden from representatives replaces, and is replaced by, such documents only:
/// they would see that something took the place of what they knew, or learn what was there before.
async fn replace<DB: Engine>(
    connection: &mut DB::Connection,
    granted: &Granted,
    document: &mut Document,
    next_uuid: Uuid,
    now: Timestamp,
) -> Result<()> {
    let Some(replaced) = document.metadata.replaces.clone() else {
        return Ok(());
    };
    let old = documents::find_for_deposit::<DB>(connection, granted, replaced.as_str()).await?;
    let Some(old) = old.filter(|old| !granted.is_kept_from(old)) else {
        let finding = "relatedDocument: REPLACED_DOCUMENT_ABSENT".to_owned();
        document.metadata.findings.push(finding);
        return Ok(());
    };
    let hidden = old.visibility.hidden_from_representatives;
    if !old.may_be_replaced_by(&document.submitted_by, granted.author_id()) {
        return Err(Error::Replacement(replaced.as_str().to_owned()).hidden_if(hidden));
    }
    if hidden != document.visibility.hidden_from_representatives {
        let fault = Fault::new("HIDDEN_UNLIKE_REPLACED", "ClinicalDocument/relatedDocument");
        return Err(Error::Document(vec![fault]).hidden_if(true));
    }
    documents::deprecate::<DB>(connection, granted, old.unique_id(), next_uuid, now).await
}

fn size_of(upload: &Upload) -> i64 {
    i64::try_from(upload.content.len()).unwrap_or(i64::MAX)
}

/// From a CDA document's bytes to what is filed.
fn file(content: &[u8], config: &Config) -> Result<Filed> {
    let limits = cda::Limits {
        document_bytes: config.limits.document_bytes,
        ..cda::Limits::default()
    };
    let header = cda::read_header(content, &limits).map_err(|error| Error::Document(faults(&error)))?;
    metadata::cda::read(&header, config.checks).map_err(Error::Document)
}

fn faults(error: &cda::CdaError) -> Vec<Fault> {
    let violations = error.violations();
    if violations.is_empty() {
        return vec![Fault::new(error.reason(), error.field().unwrap_or_default())];
    }
    violations
        .iter()
        .map(|violation| Fault::new(violation.reason(), violation.field.as_str()))
        .collect()
}

fn parse(header: &pb::SubmitDocumentHeader, call: &Call) -> Result<Announced> {
    let mut violations = Violations::default();
    let request_id = violations.uuid("request_id", &header.request_id);
    let dmp_id = dmp_id(&mut violations, &header.dmp_id);
    let media = MediaType::parse(&header.media_type);
    let supported = media.ok_or(("UNSUPPORTED", "must be text/xml, application/pdf or text/plain"));
    let media_type = violations.check("media_type", supported);
    if !matches!(header.sha256.len(), 0 | SHA256_BYTES) {
        violations.add("sha256", "LENGTH", "must have 32 bytes");
    }
    if header.size < 0 {
        violations.add("size", "NEGATIVE", "must be 0 (not told) or more");
    }
    let visibility = Visibility::from_proto(header.visibility.as_ref());
    if !visibility.is_allowed() {
        let rule = "a document is never both masked from professionals and hidden from the holder";
        violations.add("visibility", "MASKED_AND_HIDDEN_FROM_HOLDER", rule);
    }
    let secret = header.context.as_ref().is_some_and(|context| context.secret_connection);
    // A CDA document may hide itself: of that its own header says more, once it is read.
    check_secrecy(
        &mut violations,
        visibility,
        &call.actor,
        secret && media != Some(MediaType::Cda),
    );
    let given = given(&mut violations, header, media, call);
    let context = AccessContext::parse(&mut violations, &call.actor, header.context.as_ref());
    let values = (request_id, dmp_id, media_type, given, context);
    let (request_id, dmp_id, media_type, given, context) = violations.gather(values)?;
    Ok(Announced {
        request_id,
        dmp_id,
        media_type,
        visibility,
        given,
        context,
    })
}

/// What a CDA document and its deposit state together.
fn check_stated(visibility: Visibility, granted: &Granted) -> Result<()> {
    if !visibility.is_allowed() {
        let fault = Fault::new("MASKED_AND_HIDDEN_FROM_HOLDER", "ClinicalDocument/confidentialityCode");
        return Err(Error::Document(vec![fault]));
    }
    let mut violations = Violations::default();
    let secret = granted.is_secret_connection();
    check_secrecy(&mut violations, visibility, granted.actor(), secret);
    Ok(violations.finish()?)
}

/// What is deposited in a secret connection is hidden from representatives; what a representative deposits is not.
fn check_secrecy(violations: &mut Violations, visibility: Visibility, caller: &Actor, secret_connection: bool) {
    let hidden = visibility.hidden_from_representatives;
    if secret_connection && !hidden {
        let rule = "what is deposited in a secret connection must be hidden from representatives";
        violations.add("visibility", "SECRET_CONNECTION", rule);
    }
    if hidden && caller.role == Role::Representative {
        violations.add(
            "visibility",
            "NOT_YOURS",
            "a representative hides nothing from representatives",
        );
    }
}

/// Given metadata, for exactly the documents that have none of their own.
fn given(
    violations: &mut Violations,
    header: &pb::SubmitDocumentHeader,
    media_type: Option<MediaType>,
    call: &Call,
) -> Option<Option<Metadata>> {
    match (media_type, &header.given) {
        (Some(MediaType::Cda), Some(_)) => {
            violations.add("given", "NOT_FOR_CDA", "a CDA document's metadata come from its header");
            None
        }
        (Some(MediaType::Cda), None) => Some(None),
        (_, None) => {
            violations.add(
                "given",
                "REQUIRED",
                "must be given for a document without metadata of its own",
            );
            None
        }
        (_, Some(given)) => metadata::given::read(violations, given, &call.actor).map(Some),
    }
}
