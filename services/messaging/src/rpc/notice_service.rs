//! `dmp.messaging.v1.NoticeService`.

use api::common::v1::{Reason, Receipt, Role};
use api::identity::{Check, DmpId};
use api::messaging::v1 as pb;
use api::messaging::v1::notice_service_server::NoticeService;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use serve::watch::{Scope, watch};
use serve::{Call, Failure, Violations};
use store::page::{Key, Page, PageLimits};
use store::time::to_micros;
use store::{Engine, RequestKey, once};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::notice_watch::NoticeWatch;
use super::{Rpc, remembered_receipt};
use crate::authorization;
use crate::error::Error;
use crate::event::NOTICES;
use crate::messages::Proved;
use crate::notice::{Notice, Reader, Recipient};
use crate::notices::{self, Place};
use crate::proof::NoticeFact;
use crate::vault::Part;

const ACKNOWLEDGE_NOTICE: &str = "dmp.messaging.v1.NoticeService/AcknowledgeNotice";

const READERS: [Role; 3] = [Role::Holder, Role::Representative, Role::Professional];

/// Receipts asked for at once: those that are still on their way share a commit of the journal.
const RECEIPTS_AT_ONCE: usize = 16;

#[tonic::async_trait]
impl<DB: Engine> NoticeService for Rpc<DB> {
    type WatchNoticesStream = BoxStream<'static, Result<pb::WatchNoticesResponse, Status>>;

    async fn list_notices(
        &self,
        request: Request<pb::ListNoticesRequest>,
    ) -> Result<Response<pb::ListNoticesResponse>, Status> {
        let call = Call::of(&request)?.clone();
        Ok(Response::new(self.do_list_notices(&call, request.into_inner()).await?))
    }

    async fn acknowledge_notice(
        &self,
        request: Request<pb::AcknowledgeNoticeRequest>,
    ) -> Result<Response<pb::Notice>, Status> {
        let call = Call::of(&request)?.clone();
        Ok(Response::new(self.do_acknowledge(&call, request.into_inner()).await?))
    }

    async fn watch_notices(
        &self,
        request: Request<pb::WatchNoticesRequest>,
    ) -> Result<Response<Self::WatchNoticesStream>, Status> {
        let call = Call::of(&request)?.clone();
        Ok(Response::new(self.do_watch_notices(call, request.into_inner()).await?))
    }
}

impl<DB: Engine> Rpc<DB> {
    async fn do_list_notices(
        &self,
        call: &Call,
        request: pb::ListNoticesRequest,
    ) -> Result<pb::ListNoticesResponse, Failure> {
        call.require_role(&READERS)?;
        let mut violations = Violations::default();
        let reader = reader(call, &request.dmp_id, &mut violations);
        violations.page_size(request.page_size);
        let (reader,) = violations.gather((reader,))?;
        let page = Page::parse(
            request.page_size,
            &request.page_token,
            PageLimits::default(),
            &pb::ListNoticesRequest {
                page_size: 0,
                page_token: String::new(),
                ..request.clone()
            },
        )?;
        self.admit_reader(call, &reader).await?;
        // As for messages: the feed's head before the rows are read, and the first page's for all pages.
        let (head, before) = match &page.after {
            None => (self.feed.head(), (i64::MAX, Uuid::max())),
            Some(key) => place(key).ok_or(store::Error::PageToken)?,
        };
        let notices = {
            let mut connection = self.db.read().await?;
            let limit = page.fetch_limit();
            notices::list::<DB>(&mut connection, &reader, request.unacknowledged_only, before, limit).await?
        };
        let (notices, next_page_token) = page.cut(notices, |notice| Key {
            number: to_micros(notice.telling.at),
            text: format!("{head}/{}", notice.id),
        });
        let told = stream::iter(notices).map(|notice| async move { self.told(&notice).await });
        Ok(pb::ListNoticesResponse {
            notices: told.buffered(RECEIPTS_AT_ONCE).try_collect().await?,
            next_page_token,
            resume_token: scope(&reader.recipient).token(head),
        })
    }

    async fn do_acknowledge(&self, call: &Call, request: pb::AcknowledgeNoticeRequest) -> Result<pb::Notice, Failure> {
        call.require_role(&READERS)?;
        let mut violations = Violations::default();
        let request_id = violations.uuid("request_id", &request.request_id);
        let notice_id = violations.uuid("notice_id", &request.notice_id);
        let (request_id, notice_id) = violations.gather((request_id, notice_id))?;
        let key = RequestKey::new(call.actor.caller_key(), ACKNOWLEDGE_NOTICE, request_id, &request);
        let notice = self.readable(call, notice_id).await?;
        self.record_acknowledgement(call, key, &notice).await?;
        let notice = self.find_notice(notice_id).await?.ok_or(Error::NotFound("notice"))?;
        Ok(self.told(&notice).await?)
    }

    async fn do_watch_notices(
        &self,
        call: Call,
        request: pb::WatchNoticesRequest,
    ) -> Result<BoxStream<'static, Result<pb::WatchNoticesResponse, Status>>, Failure> {
        call.require_role(&READERS)?;
        let mut violations = Violations::default();
        let reader = reader(&call, &request.dmp_id, &mut violations);
        let position = reader.as_ref().and_then(|reader| {
            let scope = scope(&reader.recipient);
            violations.optional("resume_token", &request.resume_token, |token| scope.position(token))
        });
        let (reader, position) = violations.gather((reader, position))?;
        let position = position.unwrap_or_else(|| self.feed.head());
        let scope = scope(&reader.recipient);
        let watched = NoticeWatch {
            rpc: self.clone(),
            call,
            reader,
        };
        watch(self.feed.clone(), self.config.watch, scope, position, watched).await
    }

    /// Whether a reader may read now: a recipient its own, a representative what consent says.
    pub(super) async fn admit_reader(&self, call: &Call, reader: &Reader) -> Result<(), Failure> {
        match &reader.recipient {
            Recipient::Holder(dmp_id) if reader.represented => authorization::admit(&self.consent, call, dmp_id).await,
            _ => Ok(()),
        }
    }

    pub(super) async fn find_notice(&self, id: Uuid) -> Result<Option<Notice>, Error> {
        let mut connection = self.db.read().await?;
        Ok(notices::find::<DB>(&mut connection, id).await?)
    }

    /// A notice as its reader sees it: after its proof is in the journal.
    pub(super) async fn told(&self, notice: &Notice) -> Result<pb::Notice, Error> {
        let content = self.vault.open(Part::Notice, notice.id, &notice.content)?;
        let told = notice.told(&content).ok_or(store::Error::Corrupt("notices.content"))?;
        let receipt = self.receipt(notice.proof().entry_id).await?;
        Ok(pb::Notice {
            receipt: Some((&receipt).into()),
            ..told
        })
    }

    /// A notice that the caller may take notice of. Somebody else's is answered like one that is not there, whatever
    /// rule refuses it.
    async fn readable(&self, call: &Call, id: Uuid) -> Result<Notice, Failure> {
        let notice = self.find_notice(id).await?.ok_or(Error::NotFound("notice"))?;
        let reader = acknowledger(call, &notice).filter(|reader| reader.sees(&notice));
        let reader = reader.ok_or(Error::NotFound("notice"))?;
        match self.admit_reader(call, &reader).await {
            Err(refused) if refused.reason == Reason::AccessRefused => Err(Error::NotFound("notice").into()),
            Err(failure) => Err(failure),
            Ok(()) => Ok(notice),
        }
    }

    /// Takes notice, unless it was taken before.
    async fn record_acknowledgement(&self, call: &Call, key: RequestKey, notice: &Notice) -> Result<(), Error> {
        // In the notice's chain an acknowledgement follows the telling, also when that one is on its way only.
        self.receipt(notice.telling.entry_id).await?;
        let this = Proved {
            at: self.clock.now(),
            entry_id: self.random.uuid(),
        };
        let entry = NoticeFact {
            notice,
            this,
            acknowledged_by: Some(&call.actor),
        }
        .entry();
        let (journal, id) = (self.journal.clone(), notice.id);
        once::<DB, Receipt, Error, _, _>(&self.db, key, this.at, move |connection| {
            Box::pin(async move {
                let first = notices::acknowledge::<DB>(connection, id, this).await?;
                let first = first.ok_or(Error::NotFound("notice"))?;
                if first == this {
                    journal.stage(connection, &entry).await?;
                }
                // Of the answer only the entry is remembered: the rest names people, and is read again.
                Ok(remembered_receipt(first.entry_id))
            })
        })
        .await?;
        Ok(())
    }
}

/// What watchers of a recipient's notices watch; a listing's token is one of it.
fn scope(recipient: &Recipient) -> Scope {
    Scope::of(NOTICES, recipient.as_str())
}

/// Whose notices the caller asks for: its own, or those of the dossier that a representative names.
fn reader(call: &Call, dmp_id: &str, violations: &mut Violations) -> Option<Reader> {
    match Recipient::own(&call.actor) {
        Some(_) if !dmp_id.is_empty() => {
            violations.add(
                "dmp_id",
                "NOT_TAKEN",
                "must be empty: the caller's own notices are told",
            );
            None
        }
        Some(recipient) => Some(Reader {
            recipient,
            represented: false,
        }),
        None if dmp_id.is_empty() => violations.required("dmp_id", None),
        None => {
            let dmp_id = violations.check("dmp_id", DmpId::parse(dmp_id, Check::Strict))?;
            Some(Reader {
                recipient: Recipient::Holder(dmp_id),
                represented: true,
            })
        }
    }
}

/// As whom the caller would take notice: a representative as one of the notice's holder.
fn acknowledger(call: &Call, notice: &Notice) -> Option<Reader> {
    match (Recipient::own(&call.actor), &notice.recipient) {
        (Some(recipient), _) => Some(Reader {
            recipient,
            represented: false,
        }),
        (None, Recipient::Holder(_)) => Some(Reader {
            recipient: notice.recipient.clone(),
            represented: true,
        }),
        (None, Recipient::Professional(_)) => None,
    }
}

/// Where a page goes on, with the feed's head of its listing.
fn place(key: &Key) -> Option<(i64, Place)> {
    let (head, id) = key.text.split_once('/')?;
    Some((head.parse().ok()?, (key.number, Uuid::parse_str(id).ok()?)))
}
