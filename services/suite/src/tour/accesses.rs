//! Who came in: the holder reads it in sentences, and proves that nothing is missing.

use api::common::v1 as pb;
use api::dossier::v1::list_accesses_response::Entry;
use api::dossier::v1::{
    CompletenessProof, GetCompletenessProofRequest, GetConsistencyProofRequest, ListAccessesRequest,
};
use journal::entry::Link;
use journal::{Checkpoint, History, Verified, VerifyError, hashes_of};
use serve::Claims;
use std::collections::BTreeSet;

use super::Played;
use super::answer::{Halt, granted};
use super::clients::Clients;
use super::evidence::Evidence;
use super::story::Story;
use crate::verify::sentence::{self, many};

/// Small, so that real histories come in several pages. Each page is an access too, and so another entry: a page must
/// hold more than one.
const PAGE: i32 = 40;

/// Tells the entries of a page otherwise than they were.
type Lie = fn(&mut Vec<pb::HistoryEntry>);

/// Sentences shown of a history.
const SHOWN: usize = 12;

pub(super) async fn play(story: &mut Story<'_>) -> Played {
    story
        .told
        .chapter("6 · Who came in", "… dans le respect du secret médical …")?;
    story
        .told
        .because("L1111-19, R1111-43: every action is traced, and the holder reads the traces at any time.")?;
    let main = story.main_patient();
    let main = (
        main.dmp_id.clone().unwrap_or_default(),
        main.name(),
        main.voice(story.clients.now()),
    );
    let (dmp_id, name, Some(voice)) = main else {
        return Ok(());
    };
    let listed = listing(story, &dmp_id, &name, &voice).await?;
    let pages = pages(&story.clients, &voice, &dmp_id).await?;
    // Where the truth does not hold, that lies do not hold either would prove nothing.
    if complete(story, &dmp_id, &pages, &listed)? {
        tampering(story, &dmp_id, &pages)?;
    }
    others(story, &dmp_id).await?;
    only_grows(story).await
}

/// The holder's listing, newest first, each entry with a receipt that holds.
async fn listing(story: &mut Story<'_>, dmp_id: &str, name: &str, voice: &Claims) -> Result<Vec<Entry>, Halt> {
    let Story {
        clients,
        told,
        evidence,
        names,
        ..
    } = story;
    let mut entries: Vec<Entry> = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListAccessesRequest {
            dmp_id: dmp_id.to_owned(),
            page_size: PAGE,
            page_token,
            secret: false,
        };
        let answered = clients.journal().list_accesses(clients.ask(voice, request)?).await;
        let page = granted("listing accesses", answered)?;
        told.check("listing accesses", evidence.keep(dmp_id, page.receipt.as_ref()))?;
        entries.extend(page.entries);
        if page.next_page_token.is_empty() {
            break;
        }
        page_token = page.next_page_token;
    }
    told.done(&format!("{name} lists {} accesses; the newest:", entries.len()))?;
    for access in entries.iter().take(SHOWN).filter_map(|entry| entry.access.as_ref()) {
        told.because(&sentence::of_access(access, names))?;
    }
    let faults = entries
        .iter()
        .filter_map(|entry| evidence.verified(entry.receipt.as_ref()).err());
    let faults: BTreeSet<String> = faults.collect();
    for fault in &faults {
        told.failed(&format!("an entry of the listing: {fault}"))?;
    }
    if faults.is_empty() {
        told.done("Every entry comes with a receipt, and every receipt holds under the log's public key.")?;
    }
    Ok(entries)
}

/// The whole chain, page by page. Each page is an access, so the chain grows a little while it is read.
async fn pages(clients: &Clients<'_>, voice: &Claims, dmp_id: &str) -> Result<Vec<CompletenessProof>, Halt> {
    let mut pages: Vec<CompletenessProof> = Vec::new();
    let mut from_sequence = 1;
    loop {
        let request = GetCompletenessProofRequest {
            dmp_id: dmp_id.to_owned(),
            from_sequence,
            page_size: PAGE,
            secret: false,
        };
        let answered = clients
            .journal()
            .get_completeness_proof(clients.ask(voice, request)?)
            .await;
        let page = granted("proving a history", answered)?;
        let last = page.history.as_ref().and_then(|history| history.entries.last());
        let next = last.map_or(from_sequence, |entry| entry.chain_sequence.saturating_add(1));
        let (more, stuck) = (page.more, next <= from_sequence);
        pages.push(page);
        if !more {
            return Ok(pages);
        }
        if stuck {
            return Err(Halt::Chapter(
                "a page of a history holds nothing, and says that more follows".into(),
            ));
        }
        from_sequence = next;
    }
}

/// Verifies a chain from its first entry on, with the log's public key and nothing else.
fn verify(pages: &[CompletenessProof], dmp_id: &str, evidence: &Evidence) -> Result<Verified, String> {
    let mut after = Link::BEGINNING;
    let mut entries = Vec::new();
    let mut checkpoint = None;
    for (index, page) in pages.iter().enumerate() {
        let wrong = |fault: &dyn std::fmt::Display| format!("page {}: {fault}", index + 1);
        let history = page.history.as_ref().ok_or_else(|| wrong(&"no history"))?;
        let history = History::from_proto(history).map_err(|error| wrong(&error))?;
        let verified = history
            .verify(evidence.key(), dmp_id, after)
            .map_err(|error| wrong(&error))?;
        after = verified.head();
        entries.extend(verified.entries);
        checkpoint = Some(verified.checkpoint);
    }
    let checkpoint = checkpoint.ok_or("there is no page")?;
    Ok(Verified {
        checkpoint,
        after: Link::BEGINNING,
        entries,
    })
}

/// Every receipt that the tour kept of the dossier must be of an entry shown. One that is newer than the history is no
/// contradiction.
fn check_receipts(verified: &Verified, dmp_id: &str, evidence: &Evidence) -> Result<usize, VerifyError> {
    let kept = evidence
        .of(dmp_id)
        .iter()
        .filter(|receipt| receipt.leaf_index < verified.checkpoint.size);
    let mut checked = 0;
    for receipt in kept {
        verified.check_receipt(receipt, evidence.key())?;
        checked += 1;
    }
    Ok(checked)
}

/// Whether the history holds from its first entry on.
fn complete(story: &mut Story<'_>, dmp_id: &str, pages: &[CompletenessProof], listed: &[Entry]) -> Result<bool, Halt> {
    let Story { told, evidence, .. } = story;
    let verified = match verify(pages, dmp_id, evidence) {
        Ok(verified) => verified,
        Err(fault) => {
            told.failed(&format!("the history does not hold: {fault}"))?;
            return Ok(false);
        }
    };
    let proved: BTreeSet<String> = verified
        .entries
        .iter()
        .map(|entry| entry.entry_id.to_string())
        .collect();
    let unproved = listed.iter().filter_map(|entry| entry.access.as_ref());
    let unproved = unproved.filter(|access| !proved.contains(&access.entry_id)).count();
    if unproved > 0 {
        told.failed(&format!("{unproved} accesses of the listing are not in the history"))?;
    }
    told.done(&format!(
        "The whole history, {} in {}, holds from the first on: nothing left out, put in or moved.",
        many(verified.entries.len(), "entry"),
        many(pages.len(), "page")
    ))?;
    match check_receipts(&verified, dmp_id, evidence) {
        Ok(checked) => told.done(&format!(
            "{checked} receipts kept during this tour are of entries shown, unchanged."
        ))?,
        Err(fault) => told.failed(&format!("a receipt kept during this tour: {fault}"))?,
    }
    Ok(true)
}

/// What a liar would do, and that it is found.
fn tampering(story: &mut Story<'_>, dmp_id: &str, pages: &[CompletenessProof]) -> Played {
    let Story { told, evidence, .. } = story;
    let lies: [(&str, Lie); 3] = [
        ("One byte of one entry is changed", |entries| flip(entries)),
        ("One entry is left out", leave_out),
        ("Two are swapped", |entries| swap(entries)),
    ];
    for (lie, tell) in lies {
        match verify(&lied(pages, tell), dmp_id, evidence) {
            Ok(_) => told.failed(&format!("{lie}, and the history still holds"))?,
            Err(fault) => told.refused(&format!("{lie}: found — {fault}."))?,
        }
    }
    let cut = lied(pages, |entries| entries.truncate(entries.len() / 2));
    match verify(&cut, dmp_id, evidence).map(|verified| check_end(&verified, dmp_id, evidence)) {
        Ok(Ok(())) | Err(_) => told.failed("The end is cut off, and no kept receipt tells")?,
        Ok(Err(fault)) => told.refused(&format!("The end is cut off: found by a kept receipt — {fault}."))?,
    }
    Ok(())
}

fn check_end(verified: &Verified, dmp_id: &str, evidence: &Evidence) -> Result<(), VerifyError> {
    check_receipts(verified, dmp_id, evidence).map(|_| ())
}

/// The first page alone, told otherwise.
fn lied(pages: &[CompletenessProof], tell: Lie) -> Vec<CompletenessProof> {
    let mut first = pages.first().cloned().unwrap_or_default();
    if let Some(history) = &mut first.history {
        tell(&mut history.entries);
    }
    vec![first]
}

fn flip(entries: &mut [pb::HistoryEntry]) {
    let middle = entries.len() / 2;
    let content = entries
        .get_mut(middle)
        .and_then(|entry| entry.present_or_erased.as_mut());
    if let Some(pb::history_entry::PresentOrErased::Content(content)) = content
        && let Some(byte) = content.payload.first_mut()
    {
        *byte ^= 1;
    }
}

fn leave_out(entries: &mut Vec<pb::HistoryEntry>) {
    if entries.len() > 2 {
        entries.remove(1);
    }
}

fn swap(entries: &mut [pb::HistoryEntry]) {
    if entries.len() > 2 {
        entries.swap(0, 1);
    }
}

/// The histories of all other open dossiers, without a word when they hold.
async fn others(story: &mut Story<'_>, main: &str) -> Played {
    let now = story.clients.now();
    let Story {
        clients,
        told,
        patients,
        cast,
        evidence,
        ..
    } = story;
    let open = patients
        .iter()
        .chain([&cast.opener, &cast.neglected])
        .filter(|patient| patient.open);
    let mut held = 0;
    for patient in open.filter(|patient| patient.dmp_id.as_deref() != Some(main)) {
        let (Some(dmp_id), Some(voice)) = (&patient.dmp_id, patient.voice(now)) else {
            continue;
        };
        let pages = pages(clients, &voice, dmp_id).await?;
        let checked = verify(&pages, dmp_id, evidence)
            .and_then(|verified| check_receipts(&verified, dmp_id, evidence).map_err(|fault| fault.to_string()));
        match checked {
            Ok(_) => held += 1,
            Err(fault) => told.failed(&format!("the history of {}: {fault}", patient.name()))?,
        }
    }
    told.done(&format!(
        "So does the history of {} of this tour.",
        many(held, "other dossier")
    ))?;
    Ok(())
}

/// The log of now begins with the log of the tour's beginning, unchanged.
async fn only_grows(story: &mut Story<'_>) -> Played {
    let Story {
        clients,
        told,
        evidence,
        cast,
        first_checkpoint,
        ..
    } = story;
    let Some(first) = first_checkpoint else { return Ok(()) };
    let request = GetConsistencyProofRequest {
        from_size: first.size,
        to_size: 0,
    };
    let request = clients.ask(&cast.reader.claims, request)?;
    let proof = granted(
        "proving that the log only grew",
        clients.journal().get_consistency_proof(request).await,
    )?;
    match extends(first, &proof, evidence) {
        Ok(later) => told.done(&format!(
            "The log of {} entries begins with the log of {} seen at the tour's beginning, unchanged.",
            later.size, first.size
        ))?,
        Err(fault) => told.failed(&format!("the log is not shown to have only grown: {fault}"))?,
    }
    Ok(())
}

fn extends(first: &Checkpoint, proof: &pb::ConsistencyProof, evidence: &Evidence) -> Result<Checkpoint, String> {
    let later = Checkpoint::open(&proof.checkpoint, evidence.key()).map_err(|error| error.to_string())?;
    let hashes = hashes_of(&proof.hashes, "hashes").map_err(|error| error.to_string())?;
    later.extends(first, &hashes).map_err(|fork| fork.to_string())?;
    Ok(later)
}
