//! Taking a document in: a header, then chunks, and never more in memory than is allowed to all uploads together.

use api::dossier::v1 as pb;
use api::dossier::v1::submit_document_request::Part;
use aws_lc_rs::digest;
use futures::{Stream, StreamExt};
use serve::Failure;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use crate::config::Limits;
use crate::error::{Error, Result};

/// Up to so many bytes are read or sealed in less time than handing them to another thread takes. More, up to 16 MiB, are
/// no work for a thread that answers calls.
const READ_HERE_MAX: usize = 64 << 10;

/// Works on a content of so many bytes where it disturbs nobody.
///
/// # Errors
/// INTERNAL when the work panics.
pub(crate) async fn work<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    if bytes <= READ_HERE_MAX {
        return Ok(work());
    }
    let worked = tokio::task::spawn_blocking(work).await;
    Ok(worked.map_err(|_| Failure::internal("working on a document panicked"))?)
}

/// What all uploads share. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Uploads {
    places: Arc<Semaphore>,
    limits: Limits,
}

/// A content taken in whole. Its bytes count against the limit until it is dropped.
pub(crate) struct Upload {
    pub(crate) content: Vec<u8>,
    pub(crate) sha256: Vec<u8>,
    _places: Option<OwnedSemaphorePermit>,
}

impl Uploads {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limits.upload_bytes)),
            limits,
        }
    }

    /// The stream's first part.
    ///
    /// # Errors
    /// STREAM_INVALID when it is no header; TOO_LARGE when it announces more than is taken.
    pub(crate) async fn header<S>(&self, stream: &mut S) -> Result<pb::SubmitDocumentHeader>
    where
        S: Stream<Item = Result<pb::SubmitDocumentRequest, Status>> + Unpin,
    {
        match next(stream).await? {
            Some(Part::Header(header)) => match usize::try_from(header.size) {
                Ok(size) if size > self.limits.document_bytes => Err(self.too_large()),
                _ => Ok(header),
            },
            _ => Err(Error::Stream("HEADER_MISSING")),
        }
    }

    /// The rest of the stream, held against what `header` announced.
    ///
    /// # Errors
    /// STREAM_INVALID, TOO_LARGE, OVERLOADED; nothing of it is kept then.
    pub(crate) async fn content<S>(&self, stream: &mut S, header: &pb::SubmitDocumentHeader) -> Result<Upload>
    where
        S: Stream<Item = Result<pb::SubmitDocumentRequest, Status>> + Unpin,
    {
        let (mut content, mut places) = (Vec::new(), None);
        while let Some(part) = next(stream).await? {
            let Part::Chunk(chunk) = part else {
                return Err(Error::Stream("HEADER_REPEATED"));
            };
            self.check_chunk(&chunk, content.len())?;
            self.reserve(&mut places, chunk.len())?;
            content.extend_from_slice(&chunk);
        }
        let sha256 = digest::digest(&digest::SHA256, &content).as_ref().to_vec();
        check_announced(header, content.len(), &sha256)?;
        Ok(Upload {
            content,
            sha256,
            _places: places,
        })
    }

    fn check_chunk(&self, chunk: &[u8], taken: usize) -> Result<()> {
        if chunk.is_empty() {
            return Err(Error::Stream("CHUNK_EMPTY"));
        }
        if chunk.len() > self.limits.chunk_bytes {
            return Err(Error::TooLarge {
                limit: self.limits.chunk_bytes as u64,
                unit: "bytes of a chunk",
            });
        }
        if taken + chunk.len() > self.limits.document_bytes {
            return Err(self.too_large());
        }
        Ok(())
    }

    /// Never waits: an upload that holds bytes and waits for more could wait for another that does the same.
    fn reserve(&self, places: &mut Option<OwnedSemaphorePermit>, bytes: usize) -> Result<()> {
        let overloaded = Error::Overloaded {
            limit: self.limits.upload_bytes,
        };
        let Ok(count) = u32::try_from(bytes) else {
            return Err(overloaded);
        };
        let Ok(more) = self.places.clone().try_acquire_many_owned(count) else {
            return Err(overloaded);
        };
        match places {
            Some(places) => places.merge(more),
            None => *places = Some(more),
        }
        Ok(())
    }

    fn too_large(&self) -> Error {
        Error::TooLarge {
            limit: self.limits.document_bytes as u64,
            unit: "bytes",
        }
    }
}

async fn next<S>(stream: &mut S) -> Result<Option<Part>>
where
    S: Stream<Item = Result<pb::SubmitDocumentRequest, Status>> + Unpin,
{
    match stream.next().await {
        None => Ok(None),
        Some(Ok(request)) => request.part.map(Some).ok_or(Error::Stream("PART_MISSING")),
        Some(Err(status)) => Err(Error::Transport(Box::new(status))),
    }
}

fn check_announced(header: &pb::SubmitDocumentHeader, size: usize, sha256: &[u8]) -> Result<()> {
    let announced = usize::try_from(header.size).unwrap_or_default();
    if announced > size {
        return Err(Error::Stream("ENDED_EARLY"));
    }
    if announced != 0 && announced < size {
        return Err(Error::Stream("SIZE_MISMATCH"));
    }
    if !header.sha256.is_empty() && header.sha256 != sha256 {
        return Err(Error::Stream("HASH_MISMATCH"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]
    use super::*;
    use futures::FutureExt;
    use proptest::prelude::*;

    fn limits() -> Limits {
        Limits {
            document_bytes: 100,
            chunk_bytes: 40,
            upload_bytes: 120,
            ..Limits::default()
        }
    }

    fn part(part: Part) -> Result<pb::SubmitDocumentRequest, Status> {
        Ok(pb::SubmitDocumentRequest { part: Some(part) })
    }

    fn chunks(sizes: &[usize]) -> impl Stream<Item = Result<pb::SubmitDocumentRequest, Status>> + Unpin {
        let parts: Vec<_> = sizes.iter().map(|size| part(Part::Chunk(vec![7; *size]))).collect();
        futures::stream::iter(parts)
    }

    fn take(uploads: &Uploads, sizes: &[usize], header: &pb::SubmitDocumentHeader) -> Result<Upload> {
        uploads.content(&mut chunks(sizes), header).now_or_never().unwrap()
    }

    fn refused(sizes: &[usize], header: &pb::SubmitDocumentHeader) -> &'static str {
        match take(&Uploads::new(limits()), sizes, header) {
            Err(Error::Stream(detail)) => detail,
            Err(Error::TooLarge { unit, .. }) => unit,
            Err(Error::Overloaded { .. }) => "overloaded",
            Err(_) | Ok(_) => "taken",
        }
    }

    /// document_service.proto: chunks of at most 1 MiB, 16 MiB a document, checked against size and hash when given.
    #[test]
    fn a_stream_must_be_as_announced() {
        let none = pb::SubmitDocumentHeader::default();
        let sized = |size| pb::SubmitDocumentHeader {
            size,
            ..Default::default()
        };
        assert_eq!(refused(&[40, 20], &none), "taken");
        assert_eq!(refused(&[41], &none), "bytes of a chunk");
        assert_eq!(refused(&[40, 40, 21], &none), "bytes");
        assert_eq!(refused(&[40, 0], &none), "CHUNK_EMPTY");
        assert_eq!(refused(&[40, 20], &sized(60)), "taken");
        assert_eq!(refused(&[40], &sized(60)), "ENDED_EARLY");
        assert_eq!(refused(&[40, 21], &sized(60)), "SIZE_MISMATCH");
        let hashed = pb::SubmitDocumentHeader {
            sha256: vec![0; 32],
            ..Default::default()
        };
        assert_eq!(refused(&[40], &hashed), "HASH_MISMATCH");
    }

    #[test]
    fn a_stream_begins_with_its_header_and_has_one() {
        let uploads = Uploads::new(limits());
        let header = |size| {
            Part::Header(pb::SubmitDocumentHeader {
                size,
                ..Default::default()
            })
        };
        let first = |parts: Vec<_>| {
            uploads
                .header(&mut futures::stream::iter(parts))
                .now_or_never()
                .unwrap()
        };
        assert!(first(vec![part(header(100))]).is_ok());
        assert!(matches!(
            first(vec![part(header(101))]),
            Err(Error::TooLarge { limit: 100, .. })
        ));
        assert!(matches!(first(vec![]), Err(Error::Stream("HEADER_MISSING"))));
        assert!(matches!(
            first(vec![part(Part::Chunk(vec![1]))]),
            Err(Error::Stream("HEADER_MISSING"))
        ));
        assert!(matches!(
            first(vec![Ok(pb::SubmitDocumentRequest { part: None })]),
            Err(Error::Stream("PART_MISSING"))
        ));
        let mut twice = futures::stream::iter(vec![part(Part::Chunk(vec![1])), part(header(1))]);
        let none = pb::SubmitDocumentHeader::default();
        let taken = uploads.content(&mut twice, &none).now_or_never().unwrap();
        assert!(matches!(taken, Err(Error::Stream("HEADER_REPEATED"))));
    }

    /// reliability.md P12: bytes held by all uploads together are bounded, and given back.
    #[test]
    fn uploads_beyond_the_common_limit_are_refused_at_once_and_their_bytes_given_back() {
        let uploads = Uploads::new(limits());
        let header = pb::SubmitDocumentHeader::default();
        let held = take(&uploads, &[40, 40], &header).unwrap();
        assert!(matches!(
            take(&uploads, &[40, 1], &header),
            Err(Error::Overloaded { limit: 120 })
        ));
        assert_eq!(
            uploads.places.available_permits(),
            40,
            "a refused upload gives back what it had taken"
        );
        drop(held);
        assert_eq!(uploads.places.available_permits(), 120);
    }

    proptest! {
        /// Whatever the chunks, the content is their concatenation, or nothing is held.
        #[test]
        fn what_is_taken_is_what_was_sent(sizes in proptest::collection::vec(1_usize..=40, 0..6)) {
            let uploads = Uploads::new(limits());
            let total: usize = sizes.iter().sum();
            match take(&uploads, &sizes, &pb::SubmitDocumentHeader::default()) {
                Ok(upload) => prop_assert_eq!(upload.content.len(), total),
                Err(_) => prop_assert!(total > 100),
            }
            prop_assert_eq!(uploads.places.available_permits(), 120);
        }
    }
}
