//! What is asked of the identifier service, on behalf of the caller: whose matricule it is, and whose host.

use api::common::v1::Reason;
use api::identifier::v1 as pb;
use api::identifier::v1::host_service_client::HostServiceClient;
use api::identifier::v1::identifier_service_client::IdentifierServiceClient;
use api::identity::DmpId;
use serve::{Call, Context, Failure, Peer, StartError};
use store::Engine;
use store::random::Random;
use tonic::Code;

use crate::error::{Error, Fault, Result};
use crate::metadata::cda::Patient;

/// The identifier service. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Identifiers {
    peer: Peer,
    random: Random,
}

impl Identifiers {
    pub(crate) fn new<DB: Engine>(context: &Context<DB>) -> Result<Self, StartError> {
        Ok(Self {
            peer: context.peers.get("identifier")?,
            random: context.random.clone(),
        })
    }

    /// Places a dossier at `host_id`, or finds it placed there; the host must be accredited at this moment.
    ///
    /// The request has an id of its own each time: a remembered answer would speak of an accreditation that may have
    /// ended since.
    ///
    /// # Errors
    /// HOST_NOT_ACCREDITED, PLACED_ELSEWHERE, NOT_FOUND, as the register answers; PEER_UNAVAILABLE.
    pub(crate) async fn place(&self, call: &Call, dmp_id: &DmpId, host_id: &str) -> Result<()> {
        let message = pb::PlaceDossierRequest {
            request_id: self.random.uuid().to_string(),
            dmp_id: dmp_id.as_str().to_owned(),
            host_id: host_id.to_owned(),
        };
        let request = self.peer.request(call, message)?;
        let placed = HostServiceClient::new(self.peer.channel()).place_dossier(request).await;
        let placement = placed.map_err(|status| self.peer.failure(&status))?.into_inner();
        if placement.host_id != host_id {
            let message = "the dossier is placed at another host";
            return Err(Failure::precondition(Reason::PlacedElsewhere, message)
                .with("host_id", placement.host_id)
                .into());
        }
        if !placement.host_accredited {
            let message = "the host is not accredited for dossiers at this moment (L1111-8)";
            return Err(Failure::precondition(Reason::HostNotAccredited, message)
                .with("host_id", host_id)
                .into());
        }
        Ok(())
    }

    /// Makes sure that `patient` is the person of `dmp_id`. Answers whether the matricule is a retired one of theirs.
    ///
    /// # Errors
    /// WRONG_PATIENT when the matricule is nobody's, somebody else's, or theirs under other traits; PEER_UNAVAILABLE.
    pub(crate) async fn confirm(&self, call: &Call, dmp_id: &DmpId, patient: &Patient) -> Result<bool> {
        let message = pb::ResolveIdentifierRequest {
            ins: Some(pb::Ins {
                matricule: patient.ins.as_str().to_owned(),
                oid: patient.ins.oid().as_str().to_owned(),
            }),
            traits: Some(patient.traits.clone()),
        };
        let request = self.peer.request(call, message)?;
        let resolved = IdentifierServiceClient::new(self.peer.channel())
            .resolve_identifier(request)
            .await;
        let found = match resolved {
            Ok(response) => response.into_inner(),
            Err(status) => return Err(unresolved(self.peer.failure(&status))),
        };
        if found.dmp_id != dmp_id.as_str() {
            return Err(Error::WrongPatient(Vec::new()));
        }
        if !found.differing_traits.is_empty() {
            return Err(Error::WrongPatient(found.differing_traits));
        }
        Ok(found.retired_matricule)
    }
}

/// A matricule that nobody has is not the holder's; one that the register does not read is the document's fault.
fn unresolved(failure: Failure) -> Error {
    match (failure.code, failure.reason) {
        (Code::NotFound, Reason::NotFound) => Error::WrongPatient(Vec::new()),
        (Code::InvalidArgument, Reason::InvalidFields) => {
            let faults = failure.violations.iter().map(|violation| {
                let field = violation.field.rsplit('.').next().unwrap_or_default();
                Fault::new(
                    format!("PATIENT_{}_{}", field.to_uppercase(), violation.reason),
                    "ClinicalDocument/recordTarget/patientRole",
                )
            });
            Error::Document(faults.collect())
        }
        _ => failure.into(),
    }
}
