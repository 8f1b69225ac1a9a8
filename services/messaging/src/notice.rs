//! A notice: that a dossier was opened by break-glass or by the emergency call centre, and who is to be told (R1111-48).

use api::common::v1::{AccessMode, Role};
use api::consent::v1::ExceptionalAccess;
use api::identity::{Check, DmpId, ProfessionalId};
use api::messaging::v1 as pb;
use prost::Message;
use serve::Actor;
use std::fmt;
use store::time::{Timestamp, from_proto, to_proto};
use uuid::Uuid;

use crate::messages::Proved;
use crate::vault::Sealed;

/// To whom a notice is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recipient {
    /// The holder of this dossier.
    Holder(DmpId),
    /// A treating physician.
    Professional(ProfessionalId),
}

impl Recipient {
    /// Whose notices are an actor's own; `None` for roles that are told nothing themselves.
    pub(crate) fn own(actor: &Actor) -> Option<Self> {
        match actor.role {
            Role::Holder => actor.dmp_id.clone().map(Self::Holder),
            Role::Professional => actor.professional.clone().map(Self::Professional),
            _ => None,
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Holder(id) => id.as_str(),
            Self::Professional(id) => id.as_str(),
        }
    }

    /// As stored. A dossier's identifier is 20 digits, and no Ps_idNat is: one text says which of the two it is.
    pub(crate) fn from_stored(text: &str) -> Option<Self> {
        match DmpId::parse(text, Check::Lenient) {
            Ok(id) => Some(Self::Holder(id)),
            Err(_) => ProfessionalId::parse(text, Check::Lenient).ok().map(Self::Professional),
        }
    }
}

/// An exceptional use of a dossier, as the consent service tells of it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ExceptionalUse {
    pub(crate) id: Uuid,
    /// Told to no representative (L1111-5).
    pub(crate) secret: bool,
    dmp_id: DmpId,
    actor: Actor,
    mode: AccessMode,
    first_at: Timestamp,
    first_entry_id: Uuid,
    treating_physicians: Vec<ProfessionalId>,
}

impl fmt::Debug for ExceptionalUse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ExceptionalUse({}, …)", self.id)
    }
}

impl ExceptionalUse {
    /// Reads an event; `None` for one that says less than the contract promises.
    pub(crate) fn parse(told: &ExceptionalAccess) -> Option<Self> {
        let physicians = told.treating_physician_ids.iter();
        let physicians = physicians.map(|id| ProfessionalId::parse(id, Check::Lenient).ok());
        Some(Self {
            id: Uuid::parse_str(&told.exceptional_access_id).ok()?,
            secret: told.secret,
            dmp_id: DmpId::parse(&told.dmp_id, Check::Lenient).ok()?,
            actor: Actor::from_proto(told.actor.as_ref()?).ok()?,
            mode: exceptional(told.mode())?,
            first_at: told.first_at.as_ref().and_then(from_proto)?,
            first_entry_id: Uuid::parse_str(&told.first_entry_id).ok()?,
            treating_physicians: physicians.collect::<Option<_>>()?,
        })
    }

    /// Who is to be told: the holder, and the treating physicians.
    pub(crate) fn recipients(&self) -> Vec<Recipient> {
        let physicians = self.treating_physicians.iter().cloned().map(Recipient::Professional);
        let holder = Recipient::Holder(self.dmp_id.clone());
        std::iter::once(holder).chain(physicians).collect()
    }

    /// What of a notice is sealed, as [`Notice::told`] reads it.
    pub(crate) fn content(&self) -> Vec<u8> {
        pb::Notice {
            dmp_id: self.dmp_id.as_str().to_owned(),
            actor: Some(self.actor.to_proto()),
            mode: self.mode.into(),
            occurred_at: Some(to_proto(self.first_at)),
            first_entry_id: self.first_entry_id.to_string(),
            ..pb::Notice::default()
        }
        .encode_to_vec()
    }
}

fn exceptional(mode: AccessMode) -> Option<AccessMode> {
    matches!(mode, AccessMode::BreakGlass | AccessMode::Centre15).then_some(mode)
}

/// A notice as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) id: Uuid,
    pub(crate) exceptional_access_id: Uuid,
    pub(crate) recipient: Recipient,
    pub(crate) secret: bool,
    pub(crate) telling: Proved,
    pub(crate) acknowledgement: Option<Proved>,
    pub(crate) content: Sealed,
}

impl Notice {
    /// The newest of its proofs.
    pub(crate) fn proof(&self) -> Proved {
        self.acknowledgement.unwrap_or(self.telling)
    }

    /// As its reader sees it, from its opened content; the receipt is still to come. `None` for content that this
    /// version did not write.
    pub(crate) fn told(&self, content: &[u8]) -> Option<pb::Notice> {
        let content = pb::Notice::decode(content).ok()?;
        Some(pb::Notice {
            notice_id: self.id.to_string(),
            exceptional_access_id: self.exceptional_access_id.to_string(),
            told_at: Some(to_proto(self.telling.at)),
            acknowledged_at: self.acknowledgement.map(|proved| to_proto(proved.at)),
            secret: self.secret,
            ..content
        })
    }
}

/// Somebody who reads notices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reader {
    /// Whose notices.
    pub(crate) recipient: Recipient,
    /// Whether a representative reads them, and not their recipient: the consent service says whether it may.
    pub(crate) represented: bool,
}

impl Reader {
    /// Whether a notice is one of theirs. What a minor keeps secret is told to no representative (L1111-5).
    pub(crate) fn sees(&self, notice: &Notice) -> bool {
        notice.recipient == self.recipient && !(self.represented && notice.secret)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use api::common::v1 as common;
    use proptest::prelude::*;
    use testkit::actor::{OTHER_PHYSICIAN, PHYSICIAN};

    fn event() -> ExceptionalAccess {
        ExceptionalAccess {
            exceptional_access_id: Uuid::from_bytes([1; 16]).to_string(),
            dmp_id: DmpId::generate([2; 16]).to_string(),
            actor: Some(common::Actor {
                role: Role::Professional.into(),
                subject: "subject".to_owned(),
                issuer: "issuer".to_owned(),
                professional_id: PHYSICIAN.to_owned(),
                profession: "10".to_owned(),
                ..common::Actor::default()
            }),
            mode: AccessMode::Centre15.into(),
            first_at: Some(to_proto(Timestamp::UNIX_EPOCH)),
            first_entry_id: Uuid::from_bytes([3; 16]).to_string(),
            treating_physician_ids: vec![OTHER_PHYSICIAN.to_owned()],
            ..ExceptionalAccess::default()
        }
    }

    fn notice(recipient: Recipient, secret: bool) -> Notice {
        Notice {
            id: Uuid::nil(),
            exceptional_access_id: Uuid::nil(),
            recipient,
            secret,
            telling: Proved {
                at: Timestamp::UNIX_EPOCH,
                entry_id: Uuid::nil(),
            },
            acknowledgement: None,
            content: Sealed {
                key: Vec::new(),
                content: Vec::new(),
            },
        }
    }

    /// R1111-48: the holder and the treating physicians.
    #[test]
    fn the_holder_and_every_treating_physician_are_told() {
        let told = event();
        let recipients = ExceptionalUse::parse(&told).unwrap().recipients();
        let recipients: Vec<&str> = recipients.iter().map(Recipient::as_str).collect();
        assert_eq!(recipients, [told.dmp_id.as_str(), OTHER_PHYSICIAN]);
    }

    /// Nobody is left untold by an event that was read in part.
    #[test]
    fn an_event_that_says_too_little_is_not_read() {
        let breaks: [fn(&mut ExceptionalAccess); 7] = [
            |told| told.exceptional_access_id.clear(),
            |told| told.dmp_id.clear(),
            |told| told.actor = None,
            |told| told.mode = AccessMode::Normal.into(),
            |told| told.first_at = None,
            |told| told.first_entry_id.clear(),
            |told| told.treating_physician_ids.push("nobody".to_owned()),
        ];
        for change in breaks {
            let mut told = event();
            change(&mut told);
            assert_eq!(ExceptionalUse::parse(&told), None);
        }
    }

    #[test]
    fn a_recipient_is_stored_by_its_identifier() {
        let holder = Recipient::Holder(DmpId::generate([2; 16]));
        let staff = ProfessionalId::parse("3750100125/12345678901234567890", Check::Lenient).unwrap();
        for recipient in [holder, Recipient::Professional(staff)] {
            assert_eq!(Recipient::from_stored(recipient.as_str()), Some(recipient));
        }
        assert_eq!(Recipient::from_stored("nobody"), None);
    }

    /// L1111-5: representatives learn nothing of what a minor keeps secret; the minor and the physicians do.
    #[test]
    fn a_notice_is_its_recipients_and_a_secret_one_no_representatives() {
        let holder = Recipient::Holder(DmpId::generate([2; 16]));
        let other = Recipient::Holder(DmpId::generate([4; 16]));
        for (recipient, represented, secret, sees) in [
            (&holder, false, false, true),
            (&holder, false, true, true),
            (&holder, true, false, true),
            (&holder, true, true, false),
            (&other, false, false, false),
            (&other, true, false, false),
        ] {
            let reader = Reader {
                recipient: recipient.clone(),
                represented,
            };
            let case = format!("{represented} {secret}");
            assert_eq!(reader.sees(&notice(holder.clone(), secret)), sees, "{case}");
        }
    }

    proptest! {
        /// The two kinds of recipients share a column: no text may be both.
        #[test]
        fn no_dossier_is_a_professional(bytes in any::<[u8; 16]>()) {
            prop_assert!(ProfessionalId::parse(DmpId::generate(bytes).as_str(), Check::Lenient).is_err());
        }
    }
}
