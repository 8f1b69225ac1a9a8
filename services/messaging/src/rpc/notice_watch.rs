//! What a watcher of notices is told.

use api::messaging::v1 as pb;
use serve::watch::Watched;
use serve::{Call, Failure};
use store::{Engine, feed};

use super::Rpc;
use crate::event;
use crate::notice::Reader;

/// One watcher of one recipient's notices.
pub(super) struct NoticeWatch<DB: Engine> {
    pub(super) rpc: Rpc<DB>,
    pub(super) call: Call,
    pub(super) reader: Reader,
}

impl<DB: Engine> Watched for NoticeWatch<DB> {
    type Told = pb::Notice;
    type Response = pb::WatchNoticesResponse;

    async fn admit(&self) -> Result<(), Failure> {
        self.rpc.admit_reader(&self.call, &self.reader).await
    }

    /// The notice as it is now; `None` for one that the watcher does not see.
    async fn tell(&self, event: &feed::Event) -> Result<Option<pb::Notice>, Failure> {
        let id = event::decode_notice(&event.payload).ok_or(store::Error::Corrupt("outbox.payload"))?;
        match self.rpc.find_notice(id).await? {
            Some(notice) if self.reader.sees(&notice) => Ok(Some(self.rpc.told(&notice).await?)),
            _ => Ok(None),
        }
    }

    fn response(&self, resume_token: String, notice: Option<pb::Notice>) -> pb::WatchNoticesResponse {
        pb::WatchNoticesResponse { resume_token, notice }
    }
}
