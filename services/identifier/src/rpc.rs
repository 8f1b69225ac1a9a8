//! Parses, calls, renders: one file for each gRPC service.

mod enrolment_stream;
pub(crate) mod host_service;
pub(crate) mod identifier_service;
mod parse;
mod render;

use api::common::v1::Role;
use api::identity::DmpId;
use serve::{Call, Failure};

/// Refuses callers of other roles. [`Role::Service`] also admits whoever calls through a service, which has decided on
/// the call already; those whom L1111-18 keeps out are refused all the same.
fn require(call: &Call, roles: &[Role]) -> serve::Result<()> {
    if roles.contains(&Role::Service) && is_through_service(call) {
        return Ok(());
    }
    call.require_role(roles)
}

fn is_through_service(call: &Call) -> bool {
    call.actor.via_service.is_some() && call.actor.role != Role::ExcludedParty
}

/// A holder that asks for somebody else's finds nothing: it learns not even whether the identifier exists.
fn require_own(call: &Call, dmp_id: &DmpId, resource: &str) -> serve::Result<()> {
    let holder = call.actor.role == Role::Holder && !is_through_service(call);
    if holder && call.actor.dmp_id.as_ref() != Some(dmp_id) {
        return Err(Failure::not_found(resource));
    }
    Ok(())
}
