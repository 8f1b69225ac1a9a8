//! Invented people and hosts, and clients that speak for the Caisse nationale.

use api::identifier::v1 as pb;
use api::identifier::v1::host_service_client::HostServiceClient;
use api::identifier::v1::identifier_service_client::IdentifierServiceClient;
use api::identity::{Ins, InsOid};
use identifier::{Config, Identifier};
use prost_types::Timestamp;
use testkit::{Bench, Started, actor};
use tonic::Status;
use tonic::transport::Channel;

pub(crate) type Identifiers = IdentifierServiceClient<Channel>;
pub(crate) type Hosts = HostServiceClient<Channel>;

/// A bench with one instance of the service.
pub(crate) struct Stage {
    pub(crate) bench: Bench,
    pub(crate) service: Started<Identifier>,
}

impl Stage {
    pub(crate) async fn new(bench: Bench) -> Self {
        Self::with(bench, Config::default()).await
    }

    pub(crate) async fn with(bench: Bench, config: Config) -> Self {
        let service = bench.start::<Identifier>(config).await;
        Self { bench, service }
    }

    pub(crate) fn identifiers(&self) -> Identifiers {
        IdentifierServiceClient::new(self.service.channel())
    }

    pub(crate) fn hosts(&self) -> Hosts {
        HostServiceClient::new(self.service.channel())
    }

    /// A request of the Caisse nationale.
    pub(crate) fn asked<M>(&self, message: M) -> tonic::Request<M> {
        self.bench.request(&actor::administrator(), message)
    }

    pub(crate) async fn enrol(&self, request: pb::EnrolBeneficiaryRequest) -> Result<pb::Beneficiary, Status> {
        let answer = self.identifiers().enrol_beneficiary(self.asked(request)).await;
        answer.map(tonic::Response::into_inner)
    }

    /// The identifier of a newly enrolled person.
    pub(crate) async fn enrolled(&self, number: usize) -> String {
        self.enrol(self.enrolment_of(number)).await.unwrap().dmp_id
    }

    pub(crate) fn enrolment_of(&self, number: usize) -> pb::EnrolBeneficiaryRequest {
        let pb::Enrolment {
            ins,
            traits,
            identity_status,
        } = person(number);
        pb::EnrolBeneficiaryRequest {
            request_id: self.bench.request_id(),
            ins,
            traits,
            identity_status,
        }
    }

    pub(crate) async fn resolve(&self, ins: pb::Ins) -> Result<pb::ResolveIdentifierResponse, Status> {
        let request = pb::ResolveIdentifierRequest {
            ins: Some(ins),
            traits: None,
        };
        let answer = self.identifiers().resolve_identifier(self.asked(request)).await;
        answer.map(tonic::Response::into_inner)
    }

    pub(crate) async fn register(&self, request: pb::RegisterHostRequest) -> Result<pb::Host, Status> {
        self.hosts()
            .register_host(self.asked(request))
            .await
            .map(tonic::Response::into_inner)
    }

    /// A newly registered host, without accreditation.
    pub(crate) async fn host(&self, number: usize) -> pb::Host {
        self.register(self.registration_of(number)).await.unwrap()
    }

    pub(crate) fn registration_of(&self, number: usize) -> pb::RegisterHostRequest {
        pb::RegisterHostRequest {
            request_id: self.bench.request_id(),
            name: format!("Hébergeur {number:03}"),
            structure_id: siren(number),
            endpoint: format!("https://dossier.host-{number}.example:443"),
        }
    }

    pub(crate) async fn accredit(&self, request: pb::AccreditHostRequest) -> Result<pb::Host, Status> {
        self.hosts()
            .accredit_host(self.asked(request))
            .await
            .map(tonic::Response::into_inner)
    }

    /// An accreditation for dossiers, from now on and for three years.
    pub(crate) fn accreditation_of(&self, host_id: &str) -> pb::AccreditHostRequest {
        pb::AccreditHostRequest {
            request_id: self.bench.request_id(),
            host_id: host_id.to_owned(),
            scopes: vec![pb::HostingScope::Dossier.into()],
            valid_from: None,
            valid_until: Some(self.in_seconds(3 * 365 * 24 * 3600)),
            decision_reference: "Décision du 2 mars 2026".to_owned(),
        }
    }

    /// A newly registered host, accredited for dossiers.
    pub(crate) async fn accredited_host(&self, number: usize) -> pb::Host {
        let host = self.host(number).await;
        self.accredit(self.accreditation_of(&host.host_id)).await.unwrap()
    }

    pub(crate) async fn suspend(&self, host_id: &str) -> Result<pb::Host, Status> {
        let request = pb::SuspendAccreditationRequest {
            request_id: self.bench.request_id(),
            host_id: host_id.to_owned(),
        };
        self.hosts()
            .suspend_accreditation(self.asked(request))
            .await
            .map(tonic::Response::into_inner)
    }

    pub(crate) async fn withdraw(&self, host_id: &str, accreditation_id: &str) -> Result<pb::Host, Status> {
        let request = pb::WithdrawAccreditationRequest {
            request_id: self.bench.request_id(),
            host_id: host_id.to_owned(),
            accreditation_id: accreditation_id.to_owned(),
        };
        self.hosts()
            .withdraw_accreditation(self.asked(request))
            .await
            .map(tonic::Response::into_inner)
    }

    pub(crate) async fn place(&self, dmp_id: &str, host_id: &str) -> Result<pb::Placement, Status> {
        let request = self.placement_of(dmp_id, host_id);
        self.hosts()
            .place_dossier(self.asked(request))
            .await
            .map(tonic::Response::into_inner)
    }

    pub(crate) fn placement_of(&self, dmp_id: &str, host_id: &str) -> pb::PlaceDossierRequest {
        pb::PlaceDossierRequest {
            request_id: self.bench.request_id(),
            dmp_id: dmp_id.to_owned(),
            host_id: host_id.to_owned(),
        }
    }

    /// The bench's time and so many seconds.
    pub(crate) fn in_seconds(&self, seconds: i64) -> Timestamp {
        Timestamp {
            seconds: self.bench.clock.now().as_second() + seconds,
            nanos: 0,
        }
    }
}

/// A person, as surely known as can be; another one for each number below 900,000.
pub(crate) fn person(number: usize) -> pb::Enrolment {
    let matricule = format!(
        "27903{:02}{:03}{:03}",
        1 + number / 90_000,
        100 + number / 100 % 900,
        1 + number % 100
    );
    let ins = Ins::from_matricule(&matricule, InsOid::Nir).unwrap();
    pb::Enrolment {
        ins: Some(pb::Ins {
            matricule: ins.as_str().to_owned(),
            oid: InsOid::Nir.as_str().to_owned(),
        }),
        traits: Some(traits()),
        identity_status: pb::IdentityStatus::Qualified.into(),
    }
}

pub(crate) fn traits() -> pb::StrictTraits {
    pb::StrictTraits {
        birth_family_name: "L'HÉRITIER-DUBŒUF".to_owned(),
        birth_given_names: "ZOÉ ANNE".to_owned(),
        birth_date: "19790328".to_owned(),
        sex: pb::Sex::Female.into(),
        birth_place_code: "51215".to_owned(),
    }
}

pub(crate) fn ins(matricule: &str, oid: InsOid) -> pb::Ins {
    pb::Ins {
        matricule: matricule.to_owned(),
        oid: oid.as_str().to_owned(),
    }
}

/// Some SIREN number with its Luhn digit, as a Struct_idNat.
fn siren(number: usize) -> String {
    let body = format!("{:08}", 90_000_000 + number);
    let doubled = |digit: u32| if digit * 2 > 9 { digit * 2 - 9 } else { digit * 2 };
    let digits = body.chars().map(|digit| digit.to_digit(10).unwrap());
    let sum: u32 = digits
        .enumerate()
        .map(|(place, digit)| if place % 2 == 1 { doubled(digit) } else { digit })
        .sum();
    format!("2{body}{}", (10 - sum % 10) % 10)
}
