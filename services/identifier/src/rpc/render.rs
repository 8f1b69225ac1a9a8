//! From the types of the domain to the contract's messages.

use api::identifier::v1 as pb;
use api::identity::{Ins, InsStatus};
use store::time::{Timestamp, to_proto};

use crate::accreditation::{Accreditation, HostingScope};
use crate::beneficiary::Beneficiary;
use crate::host::Host;
use crate::placement::Placement;
use crate::strict_traits::{Sex, StrictTraits};

pub(super) fn beneficiary(beneficiary: &Beneficiary) -> pb::Beneficiary {
    pb::Beneficiary {
        dmp_id: beneficiary.dmp_id.as_str().to_owned(),
        ins: Some(ins(&beneficiary.ins)),
        traits: Some(traits(&beneficiary.traits)),
        identity_status: status(beneficiary.status).into(),
        etag: beneficiary.etag(),
        created_at: Some(to_proto(beneficiary.created_at)),
    }
}

fn ins(ins: &Ins) -> pb::Ins {
    pb::Ins {
        matricule: ins.as_str().to_owned(),
        oid: ins.oid().as_str().to_owned(),
    }
}

fn traits(traits: &StrictTraits) -> pb::StrictTraits {
    let sex = match traits.sex {
        Sex::Female => pb::Sex::Female,
        Sex::Male => pb::Sex::Male,
        Sex::Unknown => pb::Sex::Unknown,
    };
    pb::StrictTraits {
        birth_family_name: traits.birth_family_name.as_str().to_owned(),
        birth_given_names: traits.birth_given_names.as_str().to_owned(),
        birth_date: traits.birth_date.to_yyyymmdd(),
        sex: sex.into(),
        birth_place_code: traits
            .birth_place
            .as_ref()
            .map(|place| place.as_str().to_owned())
            .unwrap_or_default(),
    }
}

pub(super) fn status(status: InsStatus) -> pb::IdentityStatus {
    match status {
        InsStatus::Provisional => pb::IdentityStatus::Provisional,
        InsStatus::Retrieved => pb::IdentityStatus::Retrieved,
        InsStatus::Validated => pb::IdentityStatus::Validated,
        InsStatus::Qualified => pb::IdentityStatus::Qualified,
    }
}

/// A host, and for what it is accredited `now`.
pub(super) fn host(host: &Host, now: Timestamp) -> pb::Host {
    let all = [HostingScope::Dossier, HostingScope::Messaging];
    let accredited = all.into_iter().filter(|scope| host.is_accredited_for(*scope, now));
    pb::Host {
        host_id: host.id.to_string(),
        name: host.name.clone(),
        structure_id: host.structure.as_str().to_owned(),
        endpoint: host
            .endpoint
            .as_ref()
            .map(|endpoint| endpoint.as_str().to_owned())
            .unwrap_or_default(),
        accreditations: host.accreditations.iter().map(accreditation).collect(),
        suspended_at: host.suspended_at.map(to_proto),
        accredited_now: accredited.map(scope).collect(),
        etag: host.etag(),
    }
}

fn accreditation(accreditation: &Accreditation) -> pb::Accreditation {
    pb::Accreditation {
        accreditation_id: accreditation.id.to_string(),
        scopes: accreditation.scopes.iter().map(scope).collect(),
        valid_from: Some(to_proto(accreditation.valid_from)),
        valid_until: Some(to_proto(accreditation.valid_until)),
        decision_reference: accreditation.decision_reference.clone(),
        withdrawn_at: accreditation.withdrawn_at.map(to_proto),
    }
}

fn scope(scope: HostingScope) -> i32 {
    match scope {
        HostingScope::Dossier => pb::HostingScope::Dossier.into(),
        HostingScope::Messaging => pb::HostingScope::Messaging.into(),
    }
}

/// A placement, and whether its host is accredited for dossiers `now`.
pub(super) fn placement(placement: &Placement, host: &Host, now: Timestamp) -> pb::Placement {
    pb::Placement {
        dmp_id: placement.dmp_id.as_str().to_owned(),
        host_id: placement.host_id.to_string(),
        placed_at: Some(to_proto(placement.placed_at)),
        host_accredited: host.is_accredited_for(HostingScope::Dossier, now),
    }
}
