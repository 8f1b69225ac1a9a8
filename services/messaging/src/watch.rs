//! A watch of one mailbox: every event after a position, in order, each once, until somebody ends it.
//!
//! Events wait for their reader in a bounded buffer. A reader that leaves it full for too long is disconnected, and
//! misses nothing: it resumes from the last token that it took. What a full buffer holds is a position and a few
//! headers, never the feed.

use api::messaging::v1 as pb;
use futures::{Stream, StreamExt, stream};
use pb::watch_mailbox_response::Event as Told;
use serve::Failure;
use store::{Db, Engine, Feed};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::Status;
use uuid::Uuid;

use crate::error::{Error, slow_reader};
use crate::event::{Event, FEED, ResumeToken};
use crate::letter;
use crate::messages;
use crate::settings;
use crate::vault::Vault;

/// Events read at once.
const BATCH: i64 = 64;

/// What a watch needs to tell events.
pub(crate) struct Watch<DB: Engine> {
    pub(crate) db: Db<DB>,
    pub(crate) feed: Feed<DB>,
    pub(crate) vault: Vault,
    pub(crate) settings: settings::Watch,
    pub(crate) mailbox_id: Uuid,
}

/// Why a watch ends.
enum End {
    /// The reader has gone.
    Gone,
    Failed(Failure),
}

impl<E: Into<Error>> From<E> for End {
    fn from(error: E) -> Self {
        Self::Failed(error.into().into())
    }
}

impl<DB: Engine> Watch<DB> {
    /// Tells what comes after `position`.
    pub(crate) fn start(self, position: i64) -> impl Stream<Item = Result<pb::WatchMailboxResponse, Status>> + Send {
        let (sender, receiver) = mpsc::channel(self.settings.buffer);
        let telling = tokio::spawn(async move { self.tell(position, sender).await });
        let told = stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|response| (Ok(response), receiver))
        });
        let ending = stream::once(telling).filter_map(|ended| async move {
            match ended {
                Ok(End::Gone) => None,
                Ok(End::Failed(failure)) => Some(Err(failure.into())),
                Err(_) => Some(Err(Failure::internal("a watch panicked").into())),
            }
        });
        told.chain(ending)
    }

    async fn tell(self, position: i64, sender: mpsc::Sender<pb::WatchMailboxResponse>) -> End {
        let mut reader = Reader {
            sender,
            told_at: Instant::now(),
            settings: self.settings,
        };
        let mut position = position;
        loop {
            position = match self.catch_up(position, &mut reader).await {
                Ok(position) => position,
                Err(end) => return end,
            };
            tokio::select! {
                () = reader.sender.closed() => return End::Gone,
                more = self.feed.wait_past(position) => if !more {
                    return End::Failed(Failure::draining());
                },
                () = sleep_until(reader.told_at + self.settings.heartbeat()) => {
                    let heartbeat = self.response(position, None);
                    if let Err(end) = reader.take(heartbeat).await {
                        return end;
                    }
                }
            }
        }
    }

    /// Tells everything after `position` that the feed has, and answers up to where it has looked.
    async fn catch_up(&self, mut position: i64, reader: &mut Reader) -> Result<i64, End> {
        loop {
            let head = self.feed.head();
            let events = self
                .feed
                .read(FEED, Some(&self.mailbox_id.to_string()), position, BATCH)
                .await?;
            let is_last = (events.len() as i64) < BATCH;
            for event in events {
                position = event.position;
                if let Some(told) = self.told(&event.payload).await? {
                    reader.take(self.response(position, Some(told))).await?;
                }
            }
            if is_last {
                // Nothing for this mailbox lies between its last event and the head that was known before the read.
                return Ok(position.max(head));
            }
        }
    }

    /// An event with what it says of a message; `None` for one whose message is no longer there.
    async fn told(&self, payload: &[u8]) -> Result<Option<Told>, Error> {
        let event = Event::decode(payload).ok_or(store::Error::Corrupt("outbox.payload"))?;
        match event {
            Event::Retrieved(message_id) => Ok(Some(Told::Retrieved(message_id.to_string()))),
            Event::Read(message_id) => Ok(Some(Told::Read(message_id.to_string()))),
            Event::Arrived(message_id) => {
                let held = {
                    let mut connection = self.db.read().await?;
                    messages::find::<DB>(&mut connection, self.mailbox_id, message_id).await?
                };
                held.map(|held| letter::open_header(&self.vault, &held).map(Told::Arrived))
                    .transpose()
            }
        }
    }

    fn response(&self, position: i64, event: Option<Told>) -> pb::WatchMailboxResponse {
        let token = ResumeToken {
            mailbox_id: self.mailbox_id,
            position,
        };
        pb::WatchMailboxResponse {
            resume_token: token.encode(),
            event,
        }
    }
}

/// The buffer's end towards the reader.
struct Reader {
    sender: mpsc::Sender<pb::WatchMailboxResponse>,
    /// When it was last told something.
    told_at: Instant,
    settings: settings::Watch,
}

impl Reader {
    async fn take(&mut self, response: pb::WatchMailboxResponse) -> Result<(), End> {
        match timeout(self.settings.patience(), self.sender.send(response)).await {
            Ok(Ok(())) => {
                self.told_at = Instant::now();
                Ok(())
            }
            Ok(Err(_gone)) => Err(End::Gone),
            Err(_too_slow) => Err(End::Failed(slow_reader(self.settings.buffer))),
        }
    }
}
