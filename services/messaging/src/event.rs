//! What a watcher of a mailbox or of notices is told, as it waits in the outbox: ids only. Whatever names a person is
//! read, and opened, when the event is told.

use api::messaging::v1 as pb;
use pb::watch_mailbox_response::Event as Told;
use prost::Message;
use uuid::Uuid;

/// The feed of mailboxes; its keys are their ids.
pub(crate) const MAILBOXES: &str = "mailbox";

/// The feed of notices; its keys are their recipients.
pub(crate) const NOTICES: &str = "notice";

/// Something that happened to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// It arrived in this mailbox.
    Arrived(Uuid),
    /// It was sent from this mailbox, and a recipient retrieved it.
    Retrieved(Uuid),
    /// It was sent from this mailbox, and a person read it.
    Read(Uuid),
}

impl Event {
    /// As the outbox carries it.
    pub(crate) fn encode(self) -> Vec<u8> {
        let told = match self {
            Self::Arrived(id) => Told::Arrived(pb::MessageHeader {
                message_id: id.to_string(),
                ..Default::default()
            }),
            Self::Retrieved(id) => Told::Retrieved(id.to_string()),
            Self::Read(id) => Told::Read(id.to_string()),
        };
        pb::WatchMailboxResponse {
            resume_token: String::new(),
            event: Some(told),
        }
        .encode_to_vec()
    }

    /// `None` for bytes that this version did not write.
    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let id = |text: &str| Uuid::parse_str(text).ok();
        match pb::WatchMailboxResponse::decode(payload).ok()?.event? {
            Told::Arrived(header) => id(&header.message_id).map(Self::Arrived),
            Told::Retrieved(message_id) => id(&message_id).map(Self::Retrieved),
            Told::Read(message_id) => id(&message_id).map(Self::Read),
        }
    }
}

/// That a notice was told, as the outbox carries it.
pub(crate) fn encode_notice(id: Uuid) -> Vec<u8> {
    let notice = pb::Notice {
        notice_id: id.to_string(),
        ..Default::default()
    };
    pb::WatchNoticesResponse {
        resume_token: String::new(),
        notice: Some(notice),
    }
    .encode_to_vec()
}

/// `None` for bytes that this version did not write.
pub(crate) fn decode_notice(payload: &[u8]) -> Option<Uuid> {
    let notice = pb::WatchNoticesResponse::decode(payload).ok()?.notice?;
    Uuid::parse_str(&notice.notice_id).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn an_event_comes_out_of_the_outbox_as_it_went_in() {
        let id = Uuid::from_bytes([7; 16]);
        for event in [Event::Arrived(id), Event::Retrieved(id), Event::Read(id)] {
            assert_eq!(Event::decode(&event.encode()), Some(event));
        }
        assert_eq!(decode_notice(&encode_notice(id)), Some(id));
        for other in [&b""[..], b"\xff"] {
            assert_eq!((Event::decode(other), decode_notice(other)), (None, None));
        }
    }
}
