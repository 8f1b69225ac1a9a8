//! JournalService: who came in, with everything needed to check the answer offline.

mod reconstruction;
mod watch;

use api::common::v1 as common;
use api::common::v1::Role;
use api::consent::v1::Operation;
use api::dossier::v1 as pb;
use api::dossier::v1::AccessAction;
use api::dossier::v1::journal_service_server::JournalService;
use api::dossier::v1::list_accesses_response::Entry as ListedEntry;
use api::identity::DmpId;
use futures::stream::BoxStream;
use journal::history::Proven;
use journal::{Checkpoint, Journal, Receipt, Recorded, bytes_of};
use prost::Message;
use serve::watch::WatchSettings;
use serve::{Actor, Call, Context, Violations};
use store::page::{Key, Page, PageLimits};
use store::time::Clock;
use store::{Db, Engine, Error as Stored, Feed};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::dmp_id;
use crate::authorization::{AccessContext, Asked, Gate, Granted};
use crate::chain::{Chain, Named};
use crate::config::Config;
use crate::error::{Error, Result};

/// Entries of a proof by default, and at the most.
const PROOF_LIMITS: PageLimits = PageLimits { default: 100, max: 500 };

/// Bytes of accesses on one page: what keeps the answer, proofs included, below the largest message.
const PAGE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Entries looked at, at a time, for the head of a chain under a checkpoint.
const HEAD_PAGE: usize = 100;

/// Answers the calls of JournalService.
pub(crate) struct Accesses<DB: Engine> {
    db: Db<DB>,
    clock: Clock,
    gate: Gate<DB>,
    feed: Feed<DB>,
    watch: WatchSettings,
}

#[tonic::async_trait]
impl<DB: Engine> JournalService for Accesses<DB> {
    async fn list_accesses(
        &self,
        request: Request<pb::ListAccessesRequest>,
    ) -> Result<Response<pb::ListAccessesResponse>, Status> {
        Ok(Response::new(self.list(Call::of(&request)?, request.get_ref()).await?))
    }

    async fn get_receipt(&self, request: Request<pb::GetReceiptRequest>) -> Result<Response<common::Receipt>, Status> {
        Ok(Response::new(
            self.receipt(Call::of(&request)?, request.get_ref()).await?,
        ))
    }

    async fn get_checkpoint(
        &self,
        request: Request<pb::GetCheckpointRequest>,
    ) -> Result<Response<pb::Checkpoint>, Status> {
        // Every authenticated caller: there is a call only where there is one.
        Call::of(&request)?;
        let (note, tree_size) = self.newest().await?;
        let verifier_key = self.journal().verifier().to_string();
        Ok(Response::new(pb::Checkpoint {
            checkpoint: note,
            verifier_key,
            tree_size,
        }))
    }

    async fn get_inclusion_proof(
        &self,
        request: Request<pb::GetInclusionProofRequest>,
    ) -> Result<Response<common::InclusionProof>, Status> {
        Call::of(&request)?;
        Ok(Response::new(self.inclusion(request.get_ref()).await?))
    }

    async fn get_consistency_proof(
        &self,
        request: Request<pb::GetConsistencyProofRequest>,
    ) -> Result<Response<common::ConsistencyProof>, Status> {
        Call::of(&request)?;
        Ok(Response::new(self.consistency(request.get_ref()).await?))
    }

    async fn get_completeness_proof(
        &self,
        request: Request<pb::GetCompletenessProofRequest>,
    ) -> Result<Response<pb::CompletenessProof>, Status> {
        Ok(Response::new(
            self.completeness(Call::of(&request)?, request.get_ref()).await?,
        ))
    }

    async fn reconstruct_view(
        &self,
        request: Request<pb::ReconstructViewRequest>,
    ) -> Result<Response<pb::ReconstructViewResponse>, Status> {
        Ok(Response::new(
            self.reconstruct(Call::of(&request)?, request.get_ref()).await?,
        ))
    }

    type WatchExceptionalAccessesStream = BoxStream<'static, Result<pb::WatchExceptionalAccessesResponse, Status>>;

    async fn watch_exceptional_accesses(
        &self,
        request: Request<pb::WatchExceptionalAccessesRequest>,
    ) -> Result<Response<Self::WatchExceptionalAccessesStream>, Status> {
        Ok(Response::new(self.watch(Call::of(&request)?, request.get_ref()).await?))
    }
}

impl<DB: Engine> Accesses<DB> {
    pub(crate) fn new(context: &Context<DB>, config: &Config, gate: Gate<DB>, feed: Feed<DB>) -> Self {
        Self {
            db: context.db.clone(),
            clock: context.clock.clone(),
            gate,
            feed,
            watch: config.watch,
        }
    }

    fn journal(&self) -> &Journal<DB> {
        self.gate.journal()
    }

    /// Looking into a chain is taken down in that chain.
    async fn enter(&self, call: &Call, dmp_id: DmpId, action: AccessAction, chain: Chain) -> Result<Granted> {
        let asked = Asked::new(call, dmp_id, action, AccessContext::normal()).or_secret(chain == Chain::Secret);
        self.gate.enter(call, Operation::ReadJournal, asked).await
    }

    /// The entries are read before this listing is entered: it is an access that the next listing shows.
    async fn list(&self, call: &Call, request: &pb::ListAccessesRequest) -> Result<pb::ListAccessesResponse> {
        let mut violations = Violations::default();
        violations.page_size(request.page_size);
        let dmp_id = dmp_id(&mut violations, &request.dmp_id);
        let chain = chain(&mut violations, &call.actor, request.secret);
        let (dmp_id, chain) = violations.gather((dmp_id, chain))?;
        let query = pb::ListAccessesRequest {
            page_size: 0,
            page_token: String::new(),
            ..request.clone()
        };
        let page = Page::parse(request.page_size, &request.page_token, PageLimits::default(), &query)?;
        let granted = self.enter(call, dmp_id, AccessAction::ListAccesses, chain).await?;
        let (entries, next_page_token) = self.page(&chain.subject(granted.dmp_id()), page).await?;
        let history = self.journal().proven(entries).await?;
        let listed = history
            .entries
            .iter()
            .map(|proven| self.listed(proven, granted.dmp_id(), chain, &history.checkpoint));
        let entries = listed.collect::<Result<Vec<_>>>()?;
        let entered = self.gate.record(&granted, Named::default()).await?;
        Ok(pb::ListAccessesResponse {
            entries,
            next_page_token,
            receipt: Some(entered.receipt()),
        })
    }

    /// One more than the page is read in two steps: the log gives at most a page's worth at a time.
    async fn page(&self, subject: &str, mut page: Page) -> Result<(Vec<Recorded>, String)> {
        let before = page.after.as_ref().and_then(|key| u64::try_from(key.number).ok());
        let mut entries = self.journal().entries_before(subject, before, page.size).await?;
        if entries.len() == page.size
            && let Some(last) = entries.last()
        {
            let next = self.journal().entries_before(subject, Some(last.sequence), 1).await?;
            entries.extend(next);
        }
        page.size = within_bytes(&entries).min(page.size);
        Ok(page.cut(entries, |entry| Key {
            number: i64::try_from(entry.sequence).unwrap_or(i64::MAX),
            text: String::new(),
        }))
    }

    fn listed(&self, proven: &Proven, dmp_id: &DmpId, chain: Chain, checkpoint: &str) -> Result<ListedEntry> {
        let entry = &proven.entry;
        let access = match entry.content.payload() {
            Some(payload) => pb::Access::decode(payload).map_err(|_| Stored::Corrupt("an access of the journal"))?,
            // Erased: that there was an access, and when, is all that is left.
            None => pb::Access {
                entry_id: entry.entry_id.to_string(),
                dmp_id: dmp_id.as_str().to_owned(),
                secret: chain == Chain::Secret,
                ..pb::Access::default()
            },
        };
        let receipt = Receipt {
            entry_id: entry.entry_id,
            origin: self.journal().verifier().name().to_owned(),
            leaf_index: entry.leaf_index,
            leaf_hash: entry.leaf_hash,
            sequence: entry.sequence,
            recorded_at: entry.recorded_at,
            checkpoint: checkpoint.to_owned(),
            inclusion: proven.inclusion.clone(),
        };
        Ok(ListedEntry {
            access: Some(access),
            receipt: Some((&receipt).into()),
        })
    }

    async fn receipt(&self, call: &Call, request: &pb::GetReceiptRequest) -> Result<common::Receipt> {
        let mut violations = Violations::default();
        let dmp_id = dmp_id(&mut violations, &request.dmp_id);
        let entry_id = violations.uuid("entry_id", &request.entry_id);
        let (dmp_id, entry_id) = violations.gather((dmp_id, entry_id))?;
        let secret = self.is_secret(call, &dmp_id, entry_id).await?;
        let chain = Chain::of(secret);
        let granted = self.enter(call, dmp_id, AccessAction::ProveAccesses, chain).await?;
        match self.find(&chain.subject(granted.dmp_id()), entry_id).await {
            Ok(receipt) => {
                self.gate.record(&granted, Named::default()).await?;
                Ok(receipt)
            }
            Err(error) => Err(self.gate.turn_away(&granted, error).await),
        }
    }

    /// Whether an entry stands in the secret chain. Asked before anybody is let in, so that even a refused question about
    /// it stands there; to a representative it is not there, and the question stands where one about nothing does.
    async fn is_secret(&self, call: &Call, dmp_id: &DmpId, entry_id: Uuid) -> Result<bool> {
        if call.actor.role == Role::Representative {
            return Ok(false);
        }
        let entry = self.journal().entry(entry_id).await?;
        Ok(entry.is_some_and(|entry| entry.subject == Chain::Secret.subject(dmp_id)))
    }

    async fn find(&self, subject: &str, entry_id: Uuid) -> Result<common::Receipt> {
        let entry = self
            .journal()
            .entry(entry_id)
            .await?
            .filter(|entry| entry.subject == subject);
        entry.ok_or(Error::NotFound("entry"))?;
        let receipt = self
            .journal()
            .receipt(entry_id)
            .await?
            .ok_or(Error::NotFound("entry"))?;
        Ok((&receipt).into())
    }

    /// The newest checkpoint and its size.
    async fn newest(&self) -> Result<(String, u64)> {
        let note = self.journal().latest_checkpoint().await?;
        let checkpoint = Checkpoint::open(&note, self.journal().verifier());
        let size = checkpoint
            .map_err(|_| Stored::Corrupt("the journal's checkpoint"))?
            .size;
        Ok((note, size))
    }

    /// The checkpoint of a tree: the newest's, or none that is kept for just that size.
    async fn tree(&self, size: u64) -> Result<(u64, String)> {
        let (note, newest) = self.newest().await?;
        match size {
            0 => Ok((newest, note)),
            size if size == newest => Ok((size, note)),
            size => Ok((size, String::new())),
        }
    }

    async fn inclusion(&self, request: &pb::GetInclusionProofRequest) -> Result<common::InclusionProof> {
        let (tree_size, checkpoint) = self.tree(request.tree_size).await?;
        let hashes = self.journal().inclusion_proof(request.leaf_index, tree_size).await?;
        let leaf = self.journal().tile(0, request.leaf_index / 256).await?;
        let place = usize::try_from(request.leaf_index % 256).unwrap_or_default();
        let leaf = leaf.get(place).ok_or(Stored::Corrupt("the journal's leaves"))?;
        Ok(common::InclusionProof {
            leaf_index: request.leaf_index,
            tree_size,
            leaf_hash: leaf.as_bytes().to_vec(),
            hashes: bytes_of(&hashes),
            checkpoint,
        })
    }

    async fn consistency(&self, request: &pb::GetConsistencyProofRequest) -> Result<common::ConsistencyProof> {
        let mut violations = Violations::default();
        if request.from_size == 0 {
            violations.add(
                "from_size",
                "TOO_SMALL",
                "must be at least 1: every tree extends the empty one",
            );
        }
        violations.finish()?;
        let (to_size, checkpoint) = self.tree(request.to_size).await?;
        let hashes = self.journal().consistency_proof(request.from_size, to_size).await?;
        Ok(common::ConsistencyProof {
            from_size: request.from_size,
            to_size,
            hashes: bytes_of(&hashes),
            checkpoint,
        })
    }

    async fn completeness(
        &self,
        call: &Call,
        request: &pb::GetCompletenessProofRequest,
    ) -> Result<pb::CompletenessProof> {
        let mut violations = Violations::default();
        violations.page_size(request.page_size);
        let dmp_id = dmp_id(&mut violations, &request.dmp_id);
        let chain = chain(&mut violations, &call.actor, request.secret);
        let (dmp_id, chain) = violations.gather((dmp_id, chain))?;
        let page = Page::parse(
            request.page_size,
            "",
            PROOF_LIMITS,
            &pb::GetCompletenessProofRequest::default(),
        )?;
        let granted = self.enter(call, dmp_id, AccessAction::ProveAccesses, chain).await?;
        let subject = chain.subject(granted.dmp_id());
        let proof = self.proof(&subject, request.from_sequence, page.size).await?;
        self.gate.record(&granted, Named::default()).await?;
        Ok(proof)
    }

    async fn proof(&self, subject: &str, from_sequence: u64, limit: usize) -> Result<pb::CompletenessProof> {
        let before = from_sequence.saturating_sub(1);
        let mut history = self.journal().history(subject, before, limit).await?;
        let kept = within_bytes(history.entries.iter().map(|proven| &proven.entry));
        history.entries.truncate(kept);
        let checkpoint = Checkpoint::open(&history.checkpoint, self.journal().verifier());
        let size = checkpoint
            .map_err(|_| Stored::Corrupt("the journal's checkpoint"))?
            .size;
        let head_sequence = self.head(subject, size).await?;
        let last = history.entries.last().map_or(before, |proven| proven.entry.sequence);
        Ok(pb::CompletenessProof {
            history: Some(history.to_proto(subject, self.journal().verifier().name())),
            head_sequence,
            more: last < head_sequence,
        })
    }

    /// The last sequence of a chain among the first `size` leaves. Entries written since the checkpoint are passed over.
    async fn head(&self, subject: &str, size: u64) -> Result<u64> {
        let mut before = None;
        loop {
            let entries = self.journal().entries_before(subject, before, HEAD_PAGE).await?;
            if let Some(head) = entries.iter().find(|entry| entry.leaf_index < size) {
                return Ok(head.sequence);
            }
            let Some(last) = entries.last() else { return Ok(0) };
            before = Some(last.sequence);
        }
    }
}

/// The chain asked for. The secret one is refused to representatives, whether or not there is anything in it.
fn chain(violations: &mut Violations, caller: &Actor, secret: bool) -> Option<Chain> {
    if secret && caller.role == Role::Representative {
        violations.add("secret", "NOT_YOURS", "is not for representatives");
        return None;
    }
    Some(Chain::of(secret))
}

/// How many of these entries, at least one, one answer may carry: an entry of a long listing is large itself.
fn within_bytes<'a>(entries: impl IntoIterator<Item = &'a Recorded>) -> usize {
    let sizes = entries
        .into_iter()
        .map(|entry| entry.content.payload().map_or(0, <[u8]>::len));
    let total = sizes.scan(0, |total, size| {
        *total += size;
        Some(*total)
    });
    total.take_while(|total| *total <= PAGE_BYTES_MAX).count().max(1)
}
