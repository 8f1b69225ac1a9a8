//! What a watcher of a mailbox is told, as it waits in the outbox: ids only. Whatever names a person is read, and
//! opened, when the event is told.

use api::messaging::v1 as pb;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pb::watch_mailbox_response::Event as Told;
use prost::Message;
use uuid::Uuid;

/// The feed of mailboxes; its keys are their ids.
pub(crate) const FEED: &str = "mailbox";

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

/// Where a watcher stands in a mailbox's feed, as its reader keeps it: good for that mailbox only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ResumeToken {
    pub(crate) mailbox_id: Uuid,
    /// Position of the last event seen.
    pub(crate) position: i64,
}

impl ResumeToken {
    pub(crate) fn encode(self) -> String {
        URL_SAFE_NO_PAD.encode([self.mailbox_id.as_bytes().as_slice(), &self.position.to_be_bytes()].concat())
    }

    /// `None` for what is no token of ours.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (mailbox_id, position) = bytes.split_first_chunk::<16>()?;
        let position = i64::from_be_bytes(position.try_into().ok()?);
        (position >= 0).then_some(Self {
            mailbox_id: Uuid::from_bytes(*mailbox_id),
            position,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_event_comes_out_of_the_outbox_as_it_went_in() {
        let id = Uuid::from_bytes([7; 16]);
        for event in [Event::Arrived(id), Event::Retrieved(id), Event::Read(id)] {
            assert_eq!(Event::decode(&event.encode()), Some(event));
        }
        assert_eq!(Event::decode(b""), None);
        assert_eq!(Event::decode(b"\xff"), None);
    }

    proptest! {
        #[test]
        fn a_token_is_read_as_it_was_given(mailbox in any::<[u8; 16]>(), position in 0..i64::MAX) {
            let token = ResumeToken { mailbox_id: Uuid::from_bytes(mailbox), position };
            prop_assert_eq!(ResumeToken::decode(&token.encode()), Some(token));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,48}") {
            let _ = ResumeToken::decode(&text);
        }
    }
}
