//! Reliability promise P5: what was acknowledged is there after kill -9.

use crate::apart::Apart;
use crate::process::Process;
use api::consent::v1 as consent;
use api::identifier::v1 as identifier;
use api::messaging::v1 as messaging;
use journeys::{CONSULTATION, Clients, databases};
use serve::Claims;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use testkit::{Bench, actor};
use tokio::sync::{Mutex, Notify};
use tokio::time::sleep;

testkit::on_both_engines! {
    every_acknowledged_enrolment_survives_kill_9,
    every_acknowledged_document_and_access_survives_kill_9,
    every_exceptional_use_is_told_once_across_kills,
}

/// Acknowledgements received before the kill.
const BEFORE_THE_KILL: usize = 60;

/// What a client waits between two tries, when a service is away.
const BACKOFF: Duration = Duration::from_millis(10);

async fn every_acknowledged_enrolment_survives_kill_9(bench: Bench) {
    let (folder, databases) = (bench.folder().join("home"), databases(bench.engine).await);
    let process = Process::start(&folder, &databases);
    let clients = Process::clients(&folder);
    let acknowledged: Arc<Mutex<Vec<identifier::Beneficiary>>> = Arc::default();
    let enough = Arc::new(Notify::new());
    let number = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (clients, acknowledged, enough, number) =
                (clients.clone(), acknowledged.clone(), enough.clone(), number.clone());
            tokio::spawn(async move {
                // Until the suite is gone.
                while let Ok(beneficiary) = clients.enrol(&matricule(number.fetch_add(1, Ordering::SeqCst))).await {
                    let mut acknowledged = acknowledged.lock().await;
                    acknowledged.push(beneficiary);
                    if acknowledged.len() == BEFORE_THE_KILL {
                        enough.notify_one();
                    }
                }
            })
        })
        .collect();
    enough.notified().await;
    process.kill();
    for caller in callers {
        caller.await.unwrap();
    }

    let _process = Process::start(&folder, &databases);
    let clients = Process::clients(&folder);
    let acknowledged = acknowledged.lock().await;
    assert!(acknowledged.len() >= BEFORE_THE_KILL);
    for beneficiary in acknowledged.iter() {
        let request = identifier::GetBeneficiaryRequest {
            dmp_id: beneficiary.dmp_id.clone(),
        };
        let request = clients.request(&actor::administrator(), request);
        let found = clients
            .identifiers()
            .get_beneficiary(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(&found, beneficiary);
    }
}

/// P3 and P5 together: a document whose deposit was answered is there, and so is every access that was answered.
async fn every_acknowledged_document_and_access_survives_kill_9(bench: Bench) {
    let (folder, databases) = (bench.folder().join("home"), databases(bench.engine).await);
    let process = Process::start(&folder, &databases);
    let clients = Process::clients(&folder);
    let (dmp_id, _) = clients.open_dossier().await;
    clients.authorize(&dmp_id, actor::PHYSICIAN).await;
    let physician = actor::physician(actor::PHYSICIAN);
    let (deposited, receipts) = deposit_until_killed(&clients, &dmp_id, process).await;

    let _process = Process::start(&folder, &databases);
    let clients = Process::clients(&folder);
    for (unique_id, content) in &deposited {
        assert_eq!(&clients.read(&physician, &dmp_id, unique_id).await.unwrap().0, content);
    }
    let accesses = clients.accesses(&dmp_id).await;
    for receipt in &receipts {
        assert!(
            accesses.iter().any(|access| access.entry_id == *receipt),
            "an answered access is in the journal"
        );
    }
}

/// Deposits documents and reads them back, and kills the suite in the middle. Answers what was acknowledged: documents,
/// and the journal entries of deposits and readings.
async fn deposit_until_killed(
    clients: &Clients,
    dmp_id: &str,
    process: Process,
) -> (Vec<(String, Vec<u8>)>, Vec<String>) {
    let physician = actor::physician(actor::PHYSICIAN);
    let (mut deposited, mut receipts) = (Vec::new(), Vec::new());
    let mut process = Some(process);
    for version in 1.. {
        let content = another_consultation(version);
        let Ok(answer) = clients.submit(&physician, dmp_id, &content).await else {
            break;
        };
        let unique_id = answer.document.unwrap().unique_id;
        receipts.push(answer.receipt.unwrap().entry_id);
        deposited.push((unique_id.clone(), content));
        if version == 10 {
            // While the next deposits are on their way.
            let process = process.take().unwrap();
            std::thread::spawn(|| process.kill());
        }
        let Ok((_, receipt)) = clients.read(&physician, dmp_id, &unique_id).await else {
            break;
        };
        receipts.push(receipt.entry_id);
    }
    assert!(deposited.len() >= 10);
    (deposited, receipts)
}

/// The sample consultation under another identifier.
fn another_consultation(version: usize) -> Vec<u8> {
    let text = std::str::from_utf8(CONSULTATION).unwrap();
    text.replace("CONSULTATION-1", &format!("CONSULTATION-1{version}"))
        .into_bytes()
}

/// A well-formed matricule of nobody: key = 97 - (13 digits mod 97).
fn matricule(number: usize) -> String {
    let digits = 2_790_351_000_000 + number as u64;
    format!("{digits}{:02}", 97 - digits % 97)
}

/// R1111-48: whatever is killed between the bedside and the mailbox, each use is told once and looked at once.
async fn every_exceptional_use_is_told_once_across_kills(bench: Bench) {
    let (folder, databases) = (bench.folder().join("home"), databases(bench.engine).await);
    let mut apart = Apart::start(&folder, databases).await;
    let clients = apart.clients.clone();
    let (dmp_id, _) = clients.open_dossier().await;
    let holder = actor::holder(&dmp_id);
    for (number, victim) in ["messaging", "consent", "dossier"].iter().cycle().take(9).enumerate() {
        let comes_in = break_glass_until_let_in(&clients, &dmp_id, number);
        let killed = async { apart.kill(victim) };
        tokio::join!(comes_in, killed);
    }
    // Events are taken in order: once the last use is told, so is every one before it.
    let last = break_glass_until_let_in(&clients, &dmp_id, 9).await;
    let told = told_of(&clients, &holder, &last).await;
    let by = |notice: &messaging::Notice| notice.actor.as_ref().unwrap().professional_id.clone();
    let told: Vec<String> = told.iter().rev().map(by).collect();
    assert_eq!(told, (0..10).map(stranger).collect::<Vec<_>>());
    let request = consent::ListExceptionalAccessesRequest {
        page_size: 500,
        ..Default::default()
    };
    let request = clients.request(&actor::auditor(), request);
    let uses = clients.reviews().list_exceptional_accesses(request).await.unwrap();
    assert_eq!(uses.into_inner().exceptional_accesses.len(), 10);
}

/// Ps_idNat of one of ten professionals whom nobody authorised.
fn stranger(number: usize) -> String {
    format!("81000000010{number}")
}

/// Comes in by break-glass, as often as it takes until a service answers.
async fn break_glass_until_let_in(clients: &Clients, dmp_id: &str, number: usize) -> String {
    let professional = actor::physician(&stranger(number));
    while clients
        .break_glass(&professional, dmp_id, "unconscious, at immediate risk")
        .await
        .is_err()
    {
        sleep(BACKOFF).await;
    }
    professional.professional
}

/// All notices of the holder, once the use of `professional` is among them. The watch is taken up again when its service
/// is killed.
async fn told_of(clients: &Clients, holder: &Claims, professional: &str) -> Vec<messaging::Notice> {
    loop {
        let request = clients.request(holder, messaging::WatchNoticesRequest::default());
        let Ok(watch) = clients.notice_service().watch_notices(request).await else {
            sleep(BACKOFF).await;
            continue;
        };
        let mut watch = watch.into_inner();
        // The first message comes before anything that happens from now on.
        while let Ok(Some(_)) = watch.message().await {
            let notices = clients.notices(holder, "").await;
            let is_told = |notice: &messaging::Notice| notice.actor.as_ref().unwrap().professional_id == professional;
            if notices.iter().any(is_told) {
                return notices;
            }
        }
    }
}
