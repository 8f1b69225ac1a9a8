//! `dmp.messaging.v1.MessageService`.

use api::messaging::v1 as pb;
use api::messaging::v1::message_service_server::MessageService;
use aws_lc_rs::digest;
use futures::stream::BoxStream;
use journal::Journal;
use prost::Message;
use serve::watch::{Scope, watch};
use serve::{Actor, Call, Failure, Violations, without};
use store::page::{Key, Page, PageLimits};
use store::time::{Timestamp, from_proto, to_proto};
use store::{Effect, Engine, NewRow, RequestKey, once};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::mailbox_watch::MailboxWatch;
use super::{OWNERS, Rpc, remembered_receipt};
use crate::address::Address;
use crate::error::{Error, Unavailable};
use crate::event::{Event, MAILBOXES};
use crate::letter;
use crate::mailbox::Mailbox;
use crate::mailboxes::{self, Place};
use crate::message::{Draft, Recipient};
use crate::messages::{self, Held, NewMessage, Proved};
use crate::proof::{self, Fact, PROOFS_MAX};
use crate::vault::Part;

const SEND_MESSAGE: &str = "dmp.messaging.v1.MessageService/SendMessage";
const MARK_READ: &str = "dmp.messaging.v1.MessageService/MarkRead";

/// Bytes of headers in one answer, which leaves as much for everything else.
const PAGE_BYTES_MAX: usize = serve::MESSAGE_BYTES_MAX / 2;

#[tonic::async_trait]
impl<DB: Engine> MessageService for Rpc<DB> {
    type WatchMailboxStream = BoxStream<'static, Result<pb::WatchMailboxResponse, Status>>;

    async fn send_message(
        &self,
        request: Request<pb::SendMessageRequest>,
    ) -> Result<Response<pb::SendMessageResponse>, Status> {
        let call = Call::of(&request)?.clone();
        Ok(Response::new(self.do_send(&call, request.into_inner()).await?))
    }

    async fn list_messages(
        &self,
        request: Request<pb::ListMessagesRequest>,
    ) -> Result<Response<pb::ListMessagesResponse>, Status> {
        let call = Call::of(&request)?.clone();
        Ok(Response::new(self.do_list(&call, request.into_inner()).await?))
    }

    async fn get_message(
        &self,
        request: Request<pb::GetMessageRequest>,
    ) -> Result<Response<pb::GetMessageResponse>, Status> {
        let call = Call::of(&request)?.clone();
        Ok(Response::new(self.do_get(&call, request.into_inner()).await?))
    }

    async fn mark_read(&self, request: Request<pb::MarkReadRequest>) -> Result<Response<pb::MarkReadResponse>, Status> {
        let call = Call::of(&request)?.clone();
        Ok(Response::new(self.do_mark_read(&call, request.into_inner()).await?))
    }

    async fn list_receipts(
        &self,
        request: Request<pb::ListReceiptsRequest>,
    ) -> Result<Response<pb::ListReceiptsResponse>, Status> {
        let call = Call::of(&request)?.clone();
        Ok(Response::new(self.do_list_receipts(&call, request.into_inner()).await?))
    }

    async fn watch_mailbox(
        &self,
        request: Request<pb::WatchMailboxRequest>,
    ) -> Result<Response<Self::WatchMailboxStream>, Status> {
        let call = Call::of(&request)?.clone();
        Ok(Response::new(self.do_watch(&call, request.into_inner()).await?))
    }
}

/// A message ready to be stored: sealed, its deposit written down.
struct Outgoing {
    sender: Address,
    recipients: Vec<Recipient>,
    message: NewMessage,
    deposit: journal::Entry,
    sent_at: Timestamp,
}

impl<DB: Engine> Rpc<DB> {
    async fn do_send(&self, call: &Call, request: pb::SendMessageRequest) -> Result<pb::SendMessageResponse, Failure> {
        call.require_role(&OWNERS)?;
        let (request_id, draft) = Draft::parse(&request, self.config.limits)?;
        let sender = self.check_sender(&call.actor, &draft).await?;
        let key = RequestKey::new(call.actor.caller_key(), SEND_MESSAGE, request_id, &request);
        // Sealed before the transaction: on SQLite all writers wait for the one that has it.
        let outgoing = self.prepare(&call.actor, &sender, &draft)?;
        let (journal, now) = (self.journal.clone(), outgoing.sent_at);
        let remembered = once::<DB, _, Error, _, _>(&self.db, key, now, move |connection| {
            Box::pin(async move { deliver::<DB>(connection, &journal, outgoing).await })
        })
        .await?
        .response;
        self.feed.nudge();
        self.sent(&sender, &draft, &remembered).await
    }

    /// The sender's mailbox, if the caller may write from it, and to whom the draft says.
    async fn check_sender(&self, actor: &Actor, draft: &Draft) -> Result<Mailbox, Error> {
        let mut connection = self.db.read().await?;
        let sender = self.own_mailbox(&mut connection, actor, draft.mailbox_id).await?;
        if let Some(recipient) = draft.first_patient(&self.patients) {
            return Err(Error::PatientRecipient { recipient });
        }
        if let Some(answered) = draft.in_reply_to {
            // A reply to what the mailbox never held would tell that such a message exists.
            messages::find::<DB>(&mut connection, sender.id, answered)
                .await?
                .ok_or(Error::NotFound("message"))?;
        }
        Ok(sender)
    }

    fn prepare(&self, actor: &Actor, sender: &Mailbox, draft: &Draft) -> Result<Outgoing, Error> {
        let (id, deposit_id, sent_at) = (self.random.uuid(), self.random.uuid(), self.clock.now());
        let header = draft.header(id, &sender.address, sent_at).encode_to_vec();
        let body_sha256 = digest::digest(&digest::SHA256, draft.body.as_bytes()).as_ref().to_vec();
        let deposit = Fact {
            entry_id: deposit_id,
            kind: pb::ProofKind::Deposit,
            message_id: id,
            mailbox: sender,
            actor,
            body_sha256: &body_sha256,
            at: sent_at,
        };
        let deposit = deposit.entry();
        let message = NewMessage {
            id,
            deposit_id,
            reading_wanted: draft.reading_wanted,
            header: self.vault.seal(Part::Header, id, &header)?,
            body: self.vault.seal(Part::Body, id, draft.body.as_bytes())?,
            body_sha256,
        };
        Ok(Outgoing {
            sender: sender.address.clone(),
            recipients: draft.recipients.clone(),
            message,
            deposit,
            sent_at,
        })
    }

    /// The whole answer, from what is remembered of it: the header follows from the request, which is the same, and
    /// the receipt from the journal.
    async fn sent(
        &self,
        sender: &Mailbox,
        draft: &Draft,
        remembered: &pb::SendMessageResponse,
    ) -> Result<pb::SendMessageResponse, Failure> {
        let corrupt = || store::Error::Corrupt("requests.response");
        let message = remembered.message.as_ref().ok_or_else(corrupt)?;
        let message_id = Uuid::parse_str(&message.message_id).map_err(|_| corrupt())?;
        let sent_at = message.sent_at.as_ref().and_then(from_proto).ok_or_else(corrupt)?;
        let mut receipt = remembered.receipt.clone().ok_or_else(corrupt)?;
        if !without::journal() {
            let entry_id = Uuid::parse_str(&receipt.entry_id).map_err(|_| corrupt())?;
            receipt = (&self.journal.settle(entry_id).await.map_err(Error::from)?).into();
        }
        Ok(pb::SendMessageResponse {
            message: Some(draft.header(message_id, &sender.address, sent_at)),
            receipt: Some(receipt),
        })
    }

    async fn do_list(
        &self,
        call: &Call,
        request: pb::ListMessagesRequest,
    ) -> Result<pb::ListMessagesResponse, Failure> {
        call.require_role(&OWNERS)?;
        let mut violations = Violations::default();
        let mailbox_id = violations.uuid("mailbox_id", &request.mailbox_id);
        let folder = folder(&request, &mut violations);
        violations.page_size(request.page_size);
        let (mailbox_id, folder) = violations.gather((mailbox_id, folder))?;
        let mut page = Page::parse(
            request.page_size,
            &request.page_token,
            PageLimits::default(),
            &pb::ListMessagesRequest {
                page_size: 0,
                page_token: String::new(),
                ..request.clone()
            },
        )?;
        // The feed's head before the rows are read: what is committed later is later in the feed too. All pages of a
        // listing give the first one's, because what arrives meanwhile is on none of them.
        let head = match &page.after {
            None => self.feed.head(),
            Some(key) => key.text.parse().map_err(|_| store::Error::PageToken)?,
        };
        let before = page.after.as_ref().map_or(i64::MAX, |key| key.number);

        let held = {
            let mut connection = self.db.read().await?;
            self.own_mailbox(&mut connection, &call.actor, mailbox_id).await?;
            match folder {
                pb::Folder::Sent => {
                    messages::sent::<DB>(&mut connection, mailbox_id, before, page.fetch_limit()).await?
                }
                _ => {
                    let limit = page.fetch_limit();
                    messages::received::<DB>(&mut connection, mailbox_id, request.unread_only, before, limit).await?
                }
            }
        };
        let wanted = held.get(..page.size).unwrap_or(&held);
        let messages = letter::open_page(&self.vault, wanted, PAGE_BYTES_MAX)?;
        page.size = messages.len().max(1);
        let (_, next_page_token) = page.cut(held, |held| Key {
            number: sequence(held, folder),
            text: head.to_string(),
        });
        Ok(pb::ListMessagesResponse {
            messages,
            next_page_token,
            watch_token: scope(mailbox_id).token(head),
        })
    }

    async fn do_get(&self, call: &Call, request: pb::GetMessageRequest) -> Result<pb::GetMessageResponse, Failure> {
        call.require_role(&OWNERS)?;
        let mut violations = Violations::default();
        let mailbox_id = violations.uuid("mailbox_id", &request.mailbox_id);
        let message_id = violations.uuid("message_id", &request.message_id);
        let (mailbox_id, message_id) = violations.gather((mailbox_id, message_id))?;
        let (mailbox, found) = {
            let mut connection = self.db.read().await?;
            let mailbox = self.own_mailbox(&mut connection, &call.actor, mailbox_id).await?;
            let found = messages::find_with_body::<DB>(&mut connection, mailbox_id, message_id).await?;
            (mailbox, found)
        };
        let (mut held, body) = found.ok_or(Error::NotFound("message"))?;
        // Opened first: a body that does not open was not retrieved. It leaves after the proof is durable.
        let text = letter::open_body(&self.vault, &held, &body)?;
        let receipt = match &held.delivery {
            None => None,
            Some(_) => Some(self.retrieve(&call.actor, &mailbox, &mut held, &body.sha256).await?),
        };
        Ok(pb::GetMessageResponse {
            message: Some(letter::open_header(&self.vault, &held)?),
            body: text,
            receipt: receipt.as_ref().map(Into::into),
        })
    }

    /// The receipt of a recipient's retrieval, which is this one when there was none before.
    async fn retrieve(
        &self,
        actor: &Actor,
        mailbox: &Mailbox,
        held: &mut Held,
        body_sha256: &[u8],
    ) -> Result<journal::Receipt, Error> {
        if let Some(known) = held.delivery.as_ref().and_then(|delivery| delivery.retrieval) {
            return self.receipt(known.entry_id).await;
        }
        let retrieval = self.record_retrieval(actor, mailbox, held, body_sha256).await?;
        if let Some(delivery) = &mut held.delivery {
            delivery.retrieval = Some(retrieval);
        }
        Ok(self.journal.settle(retrieval.entry_id).await?)
    }

    async fn record_retrieval(
        &self,
        actor: &Actor,
        mailbox: &Mailbox,
        held: &Held,
        body_sha256: &[u8],
    ) -> Result<Proved, Error> {
        // A message's chain begins with its deposit, also when its sender has not been answered yet.
        if !self.journal.holds(held.deposit_id).await? {
            self.journal.settle(held.deposit_id).await?;
        }
        let (mailbox_id, message_id, sender_id) = (mailbox.id, held.message_id, held.sender_id);
        let this = Proved {
            at: self.clock.now(),
            entry_id: self.random.uuid(),
        };
        let entry = self.fact(pb::ProofKind::Retrieval, this, actor, mailbox, message_id, body_sha256);
        let journal = self.journal.clone();
        let first = self
            .db
            .write(move |connection| {
                Box::pin(async move {
                    let first = messages::retrieve::<DB>(connection, mailbox_id, message_id, this).await?;
                    let first = first.ok_or(Error::NotFound("message"))?;
                    if first == this {
                        let retrieved = told(sender_id, Event::Retrieved(message_id), this.at);
                        store::insert::<DB>(connection, vec![journal.staged(&entry)?, retrieved]).await?;
                    }
                    Ok::<_, Error>(first)
                })
            })
            .await?;
        self.feed.nudge();
        Ok(first)
    }

    async fn do_mark_read(&self, call: &Call, request: pb::MarkReadRequest) -> Result<pb::MarkReadResponse, Failure> {
        call.require_role(&OWNERS)?;
        let mut violations = Violations::default();
        let request_id = violations.uuid("request_id", &request.request_id);
        let mailbox_id = violations.uuid("mailbox_id", &request.mailbox_id);
        let message_id = violations.uuid("message_id", &request.message_id);
        let (request_id, mailbox_id, message_id) = violations.gather((request_id, mailbox_id, message_id))?;
        let key = RequestKey::new(call.actor.caller_key(), MARK_READ, request_id, &request);
        let (mailbox, held, body_sha256) = {
            let mut connection = self.db.read().await?;
            let mailbox = self.own_mailbox(&mut connection, &call.actor, mailbox_id).await?;
            let held = messages::find::<DB>(&mut connection, mailbox_id, message_id).await?;
            // Who only sent it cannot say that it was read.
            let held = held
                .filter(|held| held.delivery.is_some())
                .ok_or(Error::NotFound("message"))?;
            let body_sha256 = messages::body_sha256::<DB>(&mut connection, message_id).await?;
            (mailbox, held, body_sha256)
        };
        let reading = self
            .record_reading(&call.actor, key, &mailbox, &held, &body_sha256)
            .await?;
        self.feed.nudge();
        let receipt = self.receipt(reading).await?;
        let mut connection = self.db.read().await?;
        let held = messages::find::<DB>(&mut connection, mailbox_id, message_id).await?;
        let held = held.ok_or(Error::NotFound("message"))?;
        let message = Some(letter::open_header(&self.vault, &held)?);
        Ok(pb::MarkReadResponse {
            message,
            receipt: Some((&receipt).into()),
        })
    }

    /// The journal entry of the first reading, which is this one when there was none before.
    async fn record_reading(
        &self,
        actor: &Actor,
        key: RequestKey,
        mailbox: &Mailbox,
        held: &Held,
        body_sha256: &[u8],
    ) -> Result<Uuid, Error> {
        let retrieval = held.delivery.as_ref().and_then(|delivery| delivery.retrieval);
        // In the message's chain a reading follows its retrieval, also when that one is on its way only.
        self.receipt(retrieval.ok_or(Error::NotRetrieved)?.entry_id).await?;
        let (mailbox_id, message_id) = (mailbox.id, held.message_id);
        let wants_to_know = held.reading_wanted.then_some(held.sender_id);
        let this = Proved {
            at: self.clock.now(),
            entry_id: self.random.uuid(),
        };
        let entry = self.fact(pb::ProofKind::Reading, this, actor, mailbox, message_id, body_sha256);
        let journal = self.journal.clone();
        let remembered = once::<DB, api::common::v1::Receipt, Error, _, _>(&self.db, key, this.at, move |connection| {
            Box::pin(async move {
                let first = messages::read::<DB>(connection, mailbox_id, message_id, this).await?;
                let first = first.ok_or(Error::NotRetrieved)?;
                let mut rows = Vec::new();
                if first == this {
                    rows.push(journal.staged(&entry)?);
                    rows.extend(wants_to_know.map(|sender_id| told(sender_id, Event::Read(message_id), this.at)));
                }
                // Of the answer only the entry is remembered: the rest names people, and is read again.
                let response = remembered_receipt(first.entry_id);
                Ok(Effect { response, rows })
            })
        })
        .await?
        .response;
        Ok(Uuid::parse_str(&remembered.entry_id).map_err(|_| store::Error::Corrupt("requests.response"))?)
    }

    fn fact(
        &self,
        kind: pb::ProofKind,
        this: Proved,
        actor: &Actor,
        mailbox: &Mailbox,
        message_id: Uuid,
        body_sha256: &[u8],
    ) -> journal::Entry {
        Fact {
            entry_id: this.entry_id,
            kind,
            message_id,
            mailbox,
            actor,
            body_sha256,
            at: this.at,
        }
        .entry()
    }

    async fn do_list_receipts(
        &self,
        call: &Call,
        request: pb::ListReceiptsRequest,
    ) -> Result<pb::ListReceiptsResponse, Failure> {
        call.require_role(&OWNERS)?;
        let mut violations = Violations::default();
        let mailbox_id = violations.uuid("mailbox_id", &request.mailbox_id);
        let message_id = violations.uuid("message_id", &request.message_id);
        let (mailbox_id, message_id) = violations.gather((mailbox_id, message_id))?;
        let is_sender = {
            let mut connection = self.db.read().await?;
            self.own_mailbox(&mut connection, &call.actor, mailbox_id).await?;
            let held = messages::find::<DB>(&mut connection, mailbox_id, message_id).await?;
            held.ok_or(Error::NotFound("message"))?.sender_id == mailbox_id
        };
        let history = self
            .journal
            .history(&proof::chain(message_id), 0, PROOFS_MAX)
            .await
            .map_err(Error::from)?;
        let origin = self.journal.verifier().name();
        let mut entries = Vec::with_capacity(history.entries.len());
        for proven in history.entries {
            let entry = proved_entry(proven, origin, &history.checkpoint)?;
            let own = entry
                .proof
                .as_ref()
                .is_some_and(|proof| proof.mailbox_id == mailbox_id.to_string());
            if is_sender || own {
                entries.push(entry);
            }
        }
        Ok(pb::ListReceiptsResponse { entries })
    }

    async fn do_watch(
        &self,
        call: &Call,
        request: pb::WatchMailboxRequest,
    ) -> Result<BoxStream<'static, Result<pb::WatchMailboxResponse, Status>>, Failure> {
        call.require_role(&OWNERS)?;
        let mut violations = Violations::default();
        let mailbox_id = violations.uuid("mailbox_id", &request.mailbox_id);
        let position = mailbox_id.and_then(|mailbox_id| {
            violations.optional("resume_token", &request.resume_token, |token| {
                scope(mailbox_id).position(token)
            })
        });
        let (mailbox_id, position) = violations.gather((mailbox_id, position))?;
        let position = position.unwrap_or_else(|| self.feed.head());
        let watched = MailboxWatch {
            rpc: self.clone(),
            actor: call.actor.clone(),
            mailbox_id,
        };
        let (feed, settings) = (self.feed.clone(), self.config.watch);
        watch(feed, settings, scope(mailbox_id), position, watched).await
    }
}

/// Stores a message and puts it into every recipient's mailbox, or fails and leaves nothing.
async fn deliver<DB: Engine>(
    connection: &mut DB::Connection,
    journal: &Journal<DB>,
    outgoing: Outgoing,
) -> Result<Effect<pb::SendMessageResponse>, Error> {
    let (from, to) = take_places::<DB>(connection, &outgoing.sender, &outgoing.recipients).await?;
    let (message_id, deposit_id, sent_at) = (outgoing.message.id, outgoing.message.deposit_id, outgoing.sent_at);
    let mut rows = Vec::from(messages::rows(outgoing.message, from));
    for place in to {
        rows.push(messages::delivery(message_id, place));
        rows.push(told(place.mailbox_id, Event::Arrived(message_id), sent_at));
    }
    if !without::journal() {
        rows.push(journal.staged(&outgoing.deposit)?);
    }
    // What is remembered of the answer names nobody.
    let message = pb::MessageHeader {
        message_id: message_id.to_string(),
        sent_at: Some(to_proto(sent_at)),
        ..pb::MessageHeader::default()
    };
    let receipt = remembered_receipt(deposit_id);
    let response = pb::SendMessageResponse {
        message: Some(message),
        receipt: Some(receipt),
    };
    Ok(Effect { response, rows })
}

/// Takes a number in the sender's mailbox and in every recipient's. In the order of addresses, so that messages that
/// cross each other never wait for each other; of several recipients that take nothing, the first of the request is
/// told.
async fn take_places<DB: Engine>(
    connection: &mut DB::Connection,
    sender: &Address,
    recipients: &[Recipient],
) -> Result<(Place, Vec<Place>), Error> {
    let mut wanted: Vec<(&Address, Option<usize>)> = recipients
        .iter()
        .map(|recipient| (&recipient.address, Some(recipient.index)))
        .collect();
    wanted.push((sender, None));
    wanted.sort();
    let (mut from, mut to, mut unavailable) = (None, Vec::new(), Vec::new());
    for (address, recipient) in wanted {
        let place = mailboxes::take_place::<DB>(connection, address).await?;
        let open = place.filter(|place| place.open);
        match (recipient, open) {
            (None, place) => from = place,
            (Some(_), Some(place)) => to.push(place),
            (Some(recipient), None) => unavailable.push(Unavailable {
                recipient,
                known: place.is_some(),
            }),
        }
    }
    let from = from.ok_or(Error::SenderClosed)?;
    match unavailable.into_iter().min() {
        Some(first) => Err(Error::RecipientUnavailable(first)),
        None => Ok((from, to)),
    }
}

/// The row that tells the watchers of a mailbox.
fn told(mailbox_id: Uuid, event: Event, now: Timestamp) -> NewRow {
    store::event(MAILBOXES, &mailbox_id.to_string(), event.encode(), now)
}

/// What a watcher of a mailbox watches; a listing's token is one of it.
fn scope(mailbox_id: Uuid) -> Scope {
    Scope::of(MAILBOXES, mailbox_id.to_string())
}

fn folder(request: &pb::ListMessagesRequest, violations: &mut Violations) -> Option<pb::Folder> {
    let folder = pb::Folder::try_from(request.folder);
    let folder = violations.check(
        "folder",
        folder.map_err(|_| ("UNKNOWN_VALUE", "must be one of the enumeration's values")),
    );
    let read_by_others = request.unread_only && folder == Some(pb::Folder::Sent);
    if read_by_others {
        violations.add(
            "unread_only",
            "NOT_FOR_SENT",
            "asks what was read in this mailbox: received messages only",
        );
    }
    folder
}

/// A message's number in the folder that lists it.
fn sequence(held: &Held, folder: pb::Folder) -> i64 {
    match (folder, &held.delivery) {
        (pb::Folder::Sent, _) | (_, None) => held.sent_sequence,
        (_, Some(delivery)) => delivery.sequence,
    }
}

/// An entry of a message's chain, with a receipt under the newest checkpoint.
fn proved_entry(
    proven: journal::history::Proven,
    origin: &str,
    checkpoint: &str,
) -> Result<pb::list_receipts_response::Entry, Error> {
    let entry = proven.entry;
    let payload = entry.content.payload();
    let proof = payload.map(pb::Proof::decode).transpose();
    let receipt = journal::Receipt {
        entry_id: entry.entry_id,
        origin: origin.to_owned(),
        leaf_index: entry.leaf_index,
        leaf_hash: entry.leaf_hash,
        sequence: entry.sequence,
        recorded_at: entry.recorded_at,
        checkpoint: checkpoint.to_owned(),
        inclusion: proven.inclusion,
    };
    let proof = proof.map_err(|_| store::Error::Corrupt("journal_entries.payload"))?;
    Ok(pb::list_receipts_response::Entry {
        proof,
        receipt: Some((&receipt).into()),
    })
}
