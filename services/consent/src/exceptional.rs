//! A use of an exceptional mode: what one professional did with one dossier by break-glass, or by the emergency call
//! centre, around one moment (L1111-17 I). It is told once, and looked at again once (R1111-48).

use api::common::v1 as common;
use api::common::v1::AccessMode;
use api::consent::v1 as pb;
use api::dossier::v1 as dossier;
use api::identity::{Check, DmpId, ProfessionalId};
use jiff::SignedDuration;
use serve::Actor;
use std::fmt;
use store::time::{Timestamp, from_proto, to_proto};
use uuid::Uuid;

/// For how long after a use's first access others belong to it.
const USE: SignedDuration = SignedDuration::from_hours(24);

/// What all accesses of a use have in common. What is done in secret connections is a use of its own: nothing of it,
/// not even a number, reaches a representative with what is not secret (L1111-5).
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Circumstances {
    pub(crate) dmp_id: DmpId,
    pub(crate) professional: ProfessionalId,
    /// Break-glass or emergency call centre.
    pub(crate) mode: AccessMode,
    /// In secret connections.
    pub(crate) secret: bool,
}

impl fmt::Debug for Circumstances {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Circumstances({}, …)", self.mode.as_str_name())
    }
}

/// An access, as the dossier service's journal has it.
#[derive(Clone, PartialEq)]
pub(crate) struct Access {
    pub(crate) circumstances: Circumstances,
    pub(crate) actor: common::Actor,
    /// Health data.
    pub(crate) reason: String,
    pub(crate) entry_id: Uuid,
    pub(crate) at: Timestamp,
}

impl fmt::Debug for Access {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Access({}, …)", self.entry_id)
    }
}

impl Access {
    /// Reads what the dossier service tells; `None` for what cannot be a professional's access in an exceptional mode.
    pub(crate) fn told(access: dossier::Access) -> Option<Self> {
        let context = access.context?;
        let mode = context.mode();
        let exceptional = matches!(mode, AccessMode::BreakGlass | AccessMode::Centre15);
        let actor = access.actor?;
        let circumstances = Circumstances {
            dmp_id: DmpId::parse(&access.dmp_id, Check::Lenient).ok()?,
            professional: Actor::from_proto(&actor).ok()?.professional?,
            mode,
            secret: access.secret,
        };
        exceptional.then_some(Self {
            circumstances,
            actor,
            reason: context.reason,
            entry_id: Uuid::parse_str(&access.entry_id).ok()?,
            at: from_proto(access.occurred_at.as_ref()?)?,
        })
    }
}

/// A use.
#[derive(Clone, PartialEq)]
pub(crate) struct Use {
    pub(crate) id: Uuid,
    pub(crate) circumstances: Circumstances,
    /// Who came in, as at the first access.
    pub(crate) actor: common::Actor,
    /// The holder's treating physicians at the first access, but for the professional itself.
    pub(crate) treating_physicians: Vec<ProfessionalId>,
    /// Why, in the words of the first access.
    pub(crate) sealed_reason: Vec<u8>,
    pub(crate) first_at: Timestamp,
    pub(crate) last_at: Timestamp,
    pub(crate) accesses: i64,
    pub(crate) first_entry_id: Uuid,
    /// Until when (exclusive) it is to be looked at again.
    pub(crate) due_at: Timestamp,
    pub(crate) review: Option<Review>,
}

impl fmt::Debug for Use {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Use({}, …)", self.id)
    }
}

/// A second look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Review {
    pub(crate) at: Timestamp,
    pub(crate) finding: pb::Finding,
    pub(crate) sealed_remark: Vec<u8>,
}

impl Use {
    /// The use that an access begins; its second look is due `deadline` after it.
    pub(crate) fn begun(
        id: Uuid,
        access: &Access,
        sealed_reason: Vec<u8>,
        treating_physicians: Vec<ProfessionalId>,
        deadline: SignedDuration,
    ) -> Self {
        Self {
            id,
            circumstances: access.circumstances.clone(),
            actor: access.actor.clone(),
            treating_physicians,
            sealed_reason,
            first_at: access.at,
            last_at: access.at,
            accesses: 1,
            first_entry_id: access.entry_id,
            due_at: after(access.at, deadline),
            review: None,
        }
    }

    /// Whether an access belongs to this use. None does once it was looked at: it would never be.
    pub(crate) fn gathers(&self, access: &Access) -> bool {
        self.review.is_none() && self.circumstances == access.circumstances && access.at < after(self.first_at, USE)
    }

    /// As the contract carries it: without what is sealed, and without the treating physicians.
    pub(crate) fn to_proto(&self) -> pb::ExceptionalAccess {
        let review = self.review.as_ref();
        pb::ExceptionalAccess {
            exceptional_access_id: self.id.to_string(),
            dmp_id: self.circumstances.dmp_id.to_string(),
            actor: Some(self.actor.clone()),
            mode: self.circumstances.mode.into(),
            reason: String::new(),
            secret: self.circumstances.secret,
            first_at: Some(to_proto(self.first_at)),
            last_at: Some(to_proto(self.last_at)),
            accesses: self.accesses,
            first_entry_id: self.first_entry_id.to_string(),
            due_at: Some(to_proto(self.due_at)),
            reviewed_at: review.map(|review| to_proto(review.at)),
            finding: review.map_or(pb::Finding::Unspecified, |review| review.finding).into(),
            remark: String::new(),
            treating_physician_ids: Vec::new(),
        }
    }

    /// What is told of it, at its first access or with its finding.
    pub(crate) fn event(&self) -> pb::ExceptionalAccess {
        let physicians = self.treating_physicians.iter();
        pb::ExceptionalAccess {
            treating_physician_ids: physicians.map(|id| id.as_str().to_owned()).collect(),
            ..self.to_proto()
        }
    }
}

/// The end of the calendar is an end, too.
fn after(moment: Timestamp, time: SignedDuration) -> Timestamp {
    moment.checked_add(time).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;
    use crate::cases;

    fn told() -> dossier::Access {
        dossier::Access {
            entry_id: Uuid::from_u128(5).to_string(),
            dmp_id: cases::dmp_id().to_string(),
            actor: Some(cases::professional("10", "SM26").to_proto()),
            context: Some(common::AccessContext {
                mode: AccessMode::BreakGlass.into(),
                reason: "unconscious".into(),
                secret_connection: false,
            }),
            occurred_at: Some(to_proto(cases::moment())),
            ..dossier::Access::default()
        }
    }

    fn access() -> Access {
        Access::told(told()).unwrap()
    }

    fn begun() -> Use {
        let deadline = SignedDuration::from_hours(72);
        Use::begun(Uuid::from_u128(1), &access(), Vec::new(), Vec::new(), deadline)
    }

    #[test]
    fn a_use_gathers_accesses_within_24_hours_of_its_first() {
        let at = |time| Access {
            at: cases::moment() + time,
            ..access()
        };
        let micro = SignedDuration::from_micros(1);
        assert!(begun().gathers(&at(SignedDuration::ZERO)));
        assert!(begun().gathers(&at(USE - micro)));
        assert!(!begun().gathers(&at(USE)));
        // Clocks of two instances differ a little.
        assert!(begun().gathers(&at(-micro)));
    }

    #[test]
    fn a_use_is_of_one_professional_dossier_mode_and_secrecy() {
        let with = |change: fn(&mut Circumstances)| {
            let mut access = access();
            change(&mut access.circumstances);
            access
        };
        let others = [
            with(|of| of.dmp_id = DmpId::generate([2; 16])),
            with(|of| of.professional = cases::other_professional()),
            with(|of| of.mode = AccessMode::Centre15),
            with(|of| of.secret = true),
        ];
        for other in others {
            assert!(!begun().gathers(&other));
        }
    }

    /// What comes after a finding was not looked at by it.
    #[test]
    fn a_use_that_was_looked_at_gathers_no_more() {
        let reviewed = Use {
            review: Some(Review {
                at: cases::moment(),
                finding: pb::Finding::Justified,
                sealed_remark: Vec::new(),
            }),
            ..begun()
        };
        assert!(!reviewed.gathers(&access()));
    }

    #[test]
    fn a_second_look_is_due_after_the_deadline() {
        assert_eq!(begun().due_at, cases::later(3));
        let last = Access {
            at: Timestamp::MAX,
            ..access()
        };
        let late = Use::begun(
            Uuid::nil(),
            &last,
            Vec::new(),
            Vec::new(),
            SignedDuration::from_hours(1),
        );
        assert_eq!(late.due_at, Timestamp::MAX);
    }

    #[test]
    fn what_is_no_exceptional_access_is_not_taken_for_one() {
        let with = |change: fn(&mut dossier::Access)| {
            let mut access = told();
            change(&mut access);
            Access::told(access)
        };
        assert_eq!(with(|access| access.context = None), None);
        assert_eq!(with(|access| access.actor = Some(cases::holder().to_proto())), None);
        assert_eq!(with(|access| access.entry_id = "entry".into()), None);
        assert_eq!(with(|access| access.dmp_id.clear()), None);
        assert_eq!(with(|access| access.occurred_at = None), None);
        let normal = |access: &mut dossier::Access| access.context = Some(common::AccessContext::default());
        assert_eq!(with(normal), None);
    }

    /// R1111-48; and no word of why.
    #[test]
    fn an_event_says_whom_to_tell_and_not_why() {
        let told = Use {
            treating_physicians: vec![cases::other_professional()],
            ..begun()
        };
        let event = told.event();
        assert_eq!(event.treating_physician_ids, [cases::other_professional().as_str()]);
        assert!(event.reason.is_empty() && event.remark.is_empty());
        assert!(!format!("{:?} {:?}", access(), told).contains("81000"));
    }
}
