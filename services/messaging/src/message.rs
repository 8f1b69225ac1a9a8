//! A message on its way in: what a sender writes, and the header that everybody sees of it.

use api::identity::{Check, DmpId};
use api::messaging::v1 as pb;
use serve::{Failure, Violations};
use std::fmt;
use store::time::{Timestamp, to_proto};
use uuid::Uuid;

use crate::address::{Address, DomainName};
use crate::settings::Limits;

/// Longest subject, in characters.
const SUBJECT_MAX: usize = 200;

/// An address to deliver to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recipient {
    /// Its index in the request, by which errors name it.
    pub(crate) index: usize,
    pub(crate) address: Address,
}

/// What a sender writes, read and within the limits.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    /// The sender's mailbox.
    pub(crate) mailbox_id: Uuid,
    /// Each address once, in the order of the request.
    pub(crate) recipients: Vec<Recipient>,
    pub(crate) subject: String,
    pub(crate) body: String,
    pub(crate) dmp_id: Option<DmpId>,
    pub(crate) in_reply_to: Option<Uuid>,
    /// Whether the sender is told of a human reading.
    pub(crate) reading_wanted: bool,
}

impl fmt::Debug for Draft {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "Draft({} recipients, {} bytes)",
            self.recipients.len(),
            self.body.len()
        )
    }
}

impl Draft {
    /// Reads a request; answers its `request_id` too.
    ///
    /// # Errors
    /// Every field violation together; TOO_LARGE for a body past the limit.
    pub(crate) fn parse(request: &pb::SendMessageRequest, limits: Limits) -> Result<(Uuid, Self), Failure> {
        if request.body.len() > limits.body_bytes {
            return Err(Failure::too_large(limits.body_bytes as u64, "bytes"));
        }
        let mut violations = Violations::default();
        let request_id = violations.uuid("request_id", &request.request_id);
        let mailbox_id = violations.uuid("mailbox_id", &request.mailbox_id);
        let recipients = recipients(&request.recipients, limits.recipients, &mut violations);
        let subject = subject(&request.subject, &mut violations);
        let body = if request.body.is_empty() {
            None
        } else {
            Some(request.body.clone())
        };
        let body = violations.required("body", body);
        let dmp_id = violations.optional("dmp_id", &request.dmp_id, |text| DmpId::parse(text, Check::Strict));
        let in_reply_to = violations.optional("in_reply_to", &request.in_reply_to, message_id);
        let read = (request_id, mailbox_id, recipients, subject, body, dmp_id, in_reply_to);
        let (request_id, mailbox_id, recipients, subject, body, dmp_id, in_reply_to) = violations.gather(read)?;
        let reading_wanted = request.request_read_receipt;
        Ok((
            request_id,
            Self {
                mailbox_id,
                recipients,
                subject,
                body,
                dmp_id,
                in_reply_to,
                reading_wanted,
            },
        ))
    }

    /// The index in the request of the first recipient that is a patient.
    pub(crate) fn first_patient(&self, patients: &DomainName) -> Option<usize> {
        self.recipients
            .iter()
            .find(|recipient| recipient.address.is_in(patients))
            .map(|recipient| recipient.index)
    }

    /// What is seen of the message without opening it. The same draft always gives the same header.
    pub(crate) fn header(&self, message_id: Uuid, sender: &Address, sent_at: Timestamp) -> pb::MessageHeader {
        pb::MessageHeader {
            message_id: message_id.to_string(),
            sender: sender.as_str().to_owned(),
            recipients: self
                .recipients
                .iter()
                .map(|recipient| recipient.address.as_str().to_owned())
                .collect(),
            subject: self.subject.clone(),
            sent_at: Some(to_proto(sent_at)),
            dmp_id: self
                .dmp_id
                .as_ref()
                .map(|id| id.as_str().to_owned())
                .unwrap_or_default(),
            in_reply_to: self.in_reply_to.map(|id| id.to_string()).unwrap_or_default(),
            body_size: i64::try_from(self.body.len()).unwrap_or(i64::MAX),
            retrieved_at: None,
            read_at: None,
        }
    }
}

fn message_id(text: &str) -> Result<Uuid, (&'static str, &'static str)> {
    Uuid::parse_str(text).map_err(|_| ("NOT_A_UUID", "must be a UUID (RFC 9562)"))
}

/// A subject is a line of a message's header wherever the message goes: a line break would begin another one.
fn subject(text: &str, violations: &mut Violations) -> Option<String> {
    let text = violations.text("subject", text, 1..=SUBJECT_MAX)?;
    let one_line = if text.contains(char::is_control) {
        Err(("CONTROL_CHARACTER", "must be one line"))
    } else {
        Ok(text)
    };
    violations.check("subject", one_line)
}

/// Reads the recipients. An address given twice, in whatever case, is one recipient.
fn recipients(texts: &[String], max: usize, violations: &mut Violations) -> Option<Vec<Recipient>> {
    if texts.is_empty() {
        return violations.required("recipients", None);
    }
    if texts.len() > max {
        violations.add("recipients", "TOO_MANY", format!("at most {max}"));
        return None;
    }
    let read = texts.iter().enumerate().map(|(index, text)| {
        let address = violations.check(format!("recipients[{index}]"), Address::parse(text));
        address.map(|address| Recipient { index, address })
    });
    // Every address is read before the first missing one counts: all violations are told together.
    let read: Vec<Option<Recipient>> = read.collect();
    let mut recipients: Vec<Recipient> = Vec::with_capacity(read.len());
    for recipient in read {
        let recipient = recipient?;
        if recipients.iter().all(|known| known.address != recipient.address) {
            recipients.push(recipient);
        }
    }
    Some(recipients)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
    use super::*;
    use api::common::v1::Reason;

    const ID: &str = "8c5bd5de-3ab0-4c0e-9d8f-0d8d4a0a4f0f";

    fn request() -> pb::SendMessageRequest {
        pb::SendMessageRequest {
            request_id: ID.to_owned(),
            mailbox_id: ID.to_owned(),
            recipients: vec![
                "A@mssante.fr".to_owned(),
                "b@mssante.fr".to_owned(),
                "a@MSSANTE.fr".to_owned(),
            ],
            subject: "Compte rendu".to_owned(),
            body: "Texte".to_owned(),
            ..pb::SendMessageRequest::default()
        }
    }

    fn violations(change: impl FnOnce(&mut pb::SendMessageRequest)) -> Vec<(String, String)> {
        let mut request = request();
        change(&mut request);
        let failure = Draft::parse(&request, Limits::default()).unwrap_err();
        failure
            .violations
            .into_iter()
            .map(|violation| (violation.field, violation.reason))
            .collect()
    }

    #[test]
    fn an_address_given_twice_is_one_recipient_under_its_first_index() {
        let (_, draft) = Draft::parse(&request(), Limits::default()).unwrap();
        let recipients: Vec<(usize, &str)> = draft
            .recipients
            .iter()
            .map(|recipient| (recipient.index, recipient.address.as_str()))
            .collect();
        assert_eq!(recipients, [(0, "a@mssante.fr"), (1, "b@mssante.fr")]);
    }

    #[test]
    fn all_violations_are_told_together() {
        let found = violations(|request| {
            *request = pb::SendMessageRequest {
                recipients: vec!["a@mssante.fr".to_owned(), "nobody".to_owned()],
                dmp_id: "1".to_owned(),
                in_reply_to: "x".to_owned(),
                ..pb::SendMessageRequest::default()
            };
        });
        let fields: Vec<&str> = found.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "request_id",
                "mailbox_id",
                "recipients[1]",
                "subject",
                "body",
                "dmp_id",
                "in_reply_to"
            ]
        );
    }

    #[test]
    fn a_subject_is_one_line_of_1_to_200_characters() {
        let reason = |subject: &str| violations(|request| request.subject = subject.to_owned()).remove(0);
        assert_eq!(reason(""), ("subject".to_owned(), "REQUIRED".to_owned()));
        assert_eq!(reason(&"é".repeat(201)), ("subject".to_owned(), "LENGTH".to_owned()));
        assert_eq!(
            reason("a\r\nBcc: b"),
            ("subject".to_owned(), "CONTROL_CHARACTER".to_owned())
        );
        let mut longest = request();
        longest.subject = "é".repeat(200);
        Draft::parse(&longest, Limits::default()).unwrap();
    }

    #[test]
    fn a_message_has_1_to_50_recipients() {
        assert_eq!(
            violations(|request| request.recipients.clear()),
            [("recipients".to_owned(), "REQUIRED".to_owned())]
        );
        let many = |count: usize| {
            (0..count)
                .map(|number| format!("a{number}@mssante.fr"))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            violations(|request| request.recipients = many(51)),
            [("recipients".to_owned(), "TOO_MANY".to_owned())]
        );
        let mut most = request();
        most.recipients = many(50);
        Draft::parse(&most, Limits::default()).unwrap();
    }

    #[test]
    fn a_body_has_1_byte_to_1_mebibyte() {
        let mut largest = request();
        largest.body = "a".repeat(1 << 20);
        Draft::parse(&largest, Limits::default()).unwrap();
        largest.body.push('a');
        let failure = Draft::parse(&largest, Limits::default()).unwrap_err();
        assert_eq!(
            (failure.reason, failure.metadata["limit"].as_str()),
            (Reason::TooLarge, "1048576")
        );
    }

    #[test]
    fn a_draft_says_nothing_of_its_content() {
        let (_, draft) = Draft::parse(&request(), Limits::default()).unwrap();
        assert_eq!(format!("{draft:?}"), "Draft(2 recipients, 5 bytes)");
    }
}
