//! What the journal is told of a message: its deposit, each recipient's retrieval, each reading; and of a notice: that
//! it was told, and that notice was taken.
//!
//! A message has a chain of its own (the journal's subject is its `message_id`): the deposit comes first, nothing about
//! the message can be left out unseen, both sides hold receipts of one chain, and erasing a message's proofs touches no
//! other message. A mailbox's chain would make a sender gather a message's proofs from up to 51 chains, of which 50 tell
//! about other people's mail.

use api::messaging::v1 as pb;
use prost::Message;
use serve::Actor;
use store::time::{Timestamp, to_proto};
use uuid::Uuid;

use crate::mailbox::Mailbox;
use crate::messages::Proved;
use crate::notice::Notice;

/// Most proofs of a message: its deposit, and two for each of 50 recipients.
pub(crate) const PROOFS_MAX: usize = 101;

/// The chain of a message.
pub(crate) fn chain(message_id: Uuid) -> String {
    message_id.to_string()
}

/// Something to be proved.
pub(crate) struct Fact<'a> {
    pub(crate) entry_id: Uuid,
    pub(crate) kind: pb::ProofKind,
    pub(crate) message_id: Uuid,
    /// The sender's for a deposit, the recipient's otherwise.
    pub(crate) mailbox: &'a Mailbox,
    pub(crate) actor: &'a Actor,
    pub(crate) body_sha256: &'a [u8],
    pub(crate) at: Timestamp,
}

impl Fact<'_> {
    /// As the journal writes it.
    pub(crate) fn entry(&self) -> journal::Entry {
        let proof = pb::Proof {
            entry_id: self.entry_id.to_string(),
            kind: self.kind.into(),
            message_id: self.message_id.to_string(),
            mailbox_id: self.mailbox.id.to_string(),
            address: self.mailbox.address.as_str().to_owned(),
            actor: Some(self.actor.to_proto()),
            body_sha256: self.body_sha256.to_vec(),
            occurred_at: Some(to_proto(self.at)),
        };
        journal::Entry {
            entry_id: self.entry_id,
            subject: chain(self.message_id),
            payload: proof.encode_to_vec(),
        }
    }
}

/// One of a notice's two proofs. A notice has a chain of its own, as a message has: the telling comes first.
pub(crate) struct NoticeFact<'a> {
    pub(crate) notice: &'a Notice,
    pub(crate) this: Proved,
    /// Who took notice; `None` for the telling.
    pub(crate) acknowledged_by: Option<&'a Actor>,
}

impl NoticeFact<'_> {
    /// As the journal writes it.
    pub(crate) fn entry(&self) -> journal::Entry {
        let proof = pb::NoticeProof {
            entry_id: self.this.entry_id.to_string(),
            notice_id: self.notice.id.to_string(),
            recipient: self.notice.recipient.as_str().to_owned(),
            exceptional_access_id: self.notice.exceptional_access_id.to_string(),
            acknowledged_by: self.acknowledged_by.map(Actor::to_proto),
            occurred_at: Some(to_proto(self.this.at)),
        };
        journal::Entry {
            entry_id: self.this.entry_id,
            subject: self.notice.id.to_string(),
            payload: proof.encode_to_vec(),
        }
    }
}
