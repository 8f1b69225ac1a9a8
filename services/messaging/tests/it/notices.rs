//! Who is told of a break-glass or of an access by the emergency call centre, and what is proved of it.

use api::common::v1 as common;
use api::consent::v1::{ExceptionalAccess, Finding, Operation};
use api::identity::DmpId;
use api::messaging::v1 as pb;
use common::AccessMode;
use jiff::SignedDuration;
use journal::entry::Link;
use journal::{Checkpoint, History, Journal, LogKey};
use messaging::Messaging;
use prost::Message;
use serve::{Claims, Service};
use sqlx::Connection;
use std::collections::BTreeSet;
use std::time::Duration;
use store::time::to_proto;
use testkit::actor::{self, OTHER_PHYSICIAN, PHYSICIAN};
use testkit::{Bench, Engine, Refusal, on_both_engines, refusal};
use tonic::{Code, Status, Streaming};
use uuid::Uuid;

use crate::peers::{granted, refused};
use crate::proofs::checked;
use crate::world::{LOG_ORIGIN, World, anne, bruno, stranger, verifier};

on_both_engines! {
    the_holder_and_the_treating_physicians_are_told,
    the_feed_is_asked_for_in_the_services_own_name,
    each_recipient_is_told_once_whatever_breaks,
    two_instances_tell_once,
    all_are_told_or_nobody_yet,
    a_use_that_cannot_be_read_is_not_passed_over,
    a_finding_tells_nobody,
    nobody_is_told_of_others,
    a_representative_is_told_what_consent_permits,
    a_minors_secret_is_told_to_no_representative,
    a_watch_asks_consent_before_each_telling,
    a_watch_goes_on_from_a_listing,
    a_token_is_good_for_its_recipient_only,
    a_listing_is_newest_first_and_whole,
    notice_is_taken_once,
    a_representative_takes_notice_for_the_holder,
    telling_and_acknowledgement_are_one_verified_chain,
    a_telling_whose_process_died_is_proved_after_its_restart,
    an_acknowledgement_follows_the_telling,
}

/// The holder of every test.
fn dmp_id() -> String {
    DmpId::generate([5; 16]).to_string()
}

fn holder() -> Claims {
    actor::holder(&dmp_id())
}

fn parent() -> Claims {
    actor::representative("parent")
}

/// A stranger's break-glass into the holder's dossier, of whom Anne and Bruno are treating physicians.
pub(crate) fn break_glass(bench: &Bench) -> ExceptionalAccess {
    let now = to_proto(bench.clock.now());
    ExceptionalAccess {
        exceptional_access_id: bench.random.uuid().to_string(),
        dmp_id: dmp_id(),
        actor: Some(common::Actor {
            role: common::Role::Professional.into(),
            subject: "zanzibar-subject".to_owned(),
            issuer: bench.people_issuer().to_owned(),
            professional_id: stranger().professional,
            profession: "10".to_owned(),
            structure_id: stranger().structure,
            authentication_level: common::AuthenticationLevel::PersonalCard.into(),
            ..common::Actor::default()
        }),
        mode: AccessMode::BreakGlass.into(),
        first_at: Some(now),
        last_at: Some(now),
        accesses: 1,
        first_entry_id: bench.random.uuid().to_string(),
        due_at: Some(now),
        treating_physician_ids: vec![PHYSICIAN.to_owned(), OTHER_PHYSICIAN.to_owned()],
        ..ExceptionalAccess::default()
    }
}

/// The same, asked by a minor to be kept from its representatives.
fn secret(bench: &Bench) -> ExceptionalAccess {
    ExceptionalAccess {
        secret: true,
        ..break_glass(bench)
    }
}

/// A watcher that was there before anything happened.
async fn watcher(world: &World, claims: &Claims, dmp_id: &str) -> Streaming<pb::WatchNoticesResponse> {
    let mut watch = world.watch_notices(claims, dmp_id, "").await.unwrap();
    // Once it has been told its token it misses nothing.
    assert_eq!(watch.message().await.unwrap().unwrap().notice, None);
    watch
}

/// The next notice and the token after it.
async fn next(watch: &mut Streaming<pb::WatchNoticesResponse>) -> (pb::Notice, String) {
    let next = async {
        loop {
            let response = watch.message().await.unwrap().expect("the watch goes on");
            if let Some(notice) = response.notice {
                return (notice, response.resume_token);
            }
        }
    };
    let next = tokio::time::timeout(Duration::from_secs(20), next).await;
    next.expect("nobody was told")
}

/// How a watch ends.
async fn ended(watch: &mut Streaming<pb::WatchNoticesResponse>) -> Refusal {
    loop {
        match watch.message().await {
            Ok(response) => assert_eq!(response.expect("a status").notice, None),
            Err(status) => return refusal(&status),
        }
    }
}

/// Tells of a use and waits until its holder is told.
async fn told_of(world: &World, used: &ExceptionalAccess) -> pb::Notice {
    let mut watch = watcher(world, &holder(), "").await;
    world.script().tell(used.clone());
    next(&mut watch).await.0
}

fn uses(notices: &[pb::Notice]) -> Vec<String> {
    notices
        .iter()
        .map(|notice| notice.exceptional_access_id.clone())
        .collect()
}

fn reason(status: &Status) -> (Code, String) {
    let refused = refusal(status);
    (refused.code, refused.reason)
}

/// R1111-48: who, how, when, and the journal entry where the reason stands; with the proof that it was told.
async fn the_holder_and_the_treating_physicians_are_told(bench: Bench) {
    let world = World::new(bench).await;
    let used = break_glass(&world.bench);
    told_of(&world, &used).await;
    let mut ids = BTreeSet::new();
    for claims in [holder(), anne(), bruno()] {
        let notices = world.notices_of(&claims, "").await.unwrap();
        assert_eq!(notices.len(), 1);
        let notice = &notices[0];
        assert_eq!(checked(notice.receipt.as_ref()).sequence, 1);
        let expected = pb::Notice {
            notice_id: notice.notice_id.clone(),
            dmp_id: used.dmp_id.clone(),
            exceptional_access_id: used.exceptional_access_id.clone(),
            actor: used.actor.clone(),
            mode: used.mode,
            occurred_at: used.first_at,
            first_entry_id: used.first_entry_id.clone(),
            told_at: Some(to_proto(world.bench.clock.now())),
            acknowledged_at: None,
            receipt: notice.receipt.clone(),
            secret: false,
        };
        assert_eq!(*notice, expected);
        ids.insert(notice.notice_id.clone());
    }
    assert_eq!(ids.len(), 3);
}

async fn the_feed_is_asked_for_in_the_services_own_name(bench: Bench) {
    let world = World::new(bench).await;
    let opened = world.script().opened(1).await;
    assert!(opened[0].contains_key("authorization") && !opened[0].contains_key(serve::ON_BEHALF_OF));
}

/// Streams that break between events, events told twice, findings among them, and restarts of the service.
async fn each_recipient_is_told_once_whatever_breaks(bench: Bench) {
    let mut world = World::new(bench).await;
    let listed = world.list_notices(&holder(), pb::ListNoticesRequest::default()).await;
    let token = listed.unwrap().resume_token;
    world.script().break_after([0, 2, 1, 3, 0, 1, 2]);
    let mut expected = Vec::new();
    for round in 0..3 {
        for _ in 0..4 {
            let used = break_glass(&world.bench);
            expected.push(used.exceptional_access_id.clone());
            world.script().tell(used.clone());
            world.script().tell(used.clone());
            world.script().tell(ExceptionalAccess {
                reviewed_at: used.first_at,
                finding: Finding::Justified.into(),
                ..used
            });
        }
        if round < 2 {
            world = world.restarted().await;
        }
    }
    let last = break_glass(&world.bench);
    expected.push(last.exceptional_access_id.clone());
    world.script().tell(last);
    let mut watch = world.watch_notices(&holder(), "", &token).await.unwrap();
    let mut told = Vec::new();
    while told.last() != expected.last() {
        told.push(next(&mut watch).await.0.exceptional_access_id);
    }
    assert_eq!(told, expected);
    assert_eq!(world.script().breaks_left(), 0);
    expected.sort();
    for claims in [holder(), anne(), bruno()] {
        let mut listed = uses(&world.notices_of(&claims, "").await.unwrap());
        listed.sort();
        assert_eq!(listed, expected);
    }
    // No proof of a telling that was none either: all in the log are of these notices.
    assert_eq!(proofs(&world).await, 3 * expected.len() as u64);
}

/// Both follow the feed; whichever is faster tells, and watchers of both are told each notice once.
async fn two_instances_tell_once(bench: Bench) {
    let world = World::new(bench).await;
    world.script().opened(1).await;
    world.script().break_after([1, 1, 2, 2, 3]);
    let second = world
        .bench
        .start_with::<Messaging>(world.started.settings.clone())
        .await;
    world.script().opened(2).await;
    let mut here = watcher(&world, &holder(), "").await;
    let request = world.bench.request(&anne(), pb::WatchNoticesRequest::default());
    let mut there = pb::notice_service_client::NoticeServiceClient::new(second.channel());
    let mut there = there.watch_notices(request).await.unwrap().into_inner();
    assert_eq!(there.message().await.unwrap().unwrap().notice, None);
    let mut expected = Vec::new();
    for _ in 0..12 {
        let used = break_glass(&world.bench);
        expected.push(used.exceptional_access_id.clone());
        world.script().tell(used);
    }
    for watch in [&mut here, &mut there] {
        let mut told = Vec::new();
        for _ in 0..12 {
            told.push(next(watch).await.0.exceptional_access_id);
        }
        assert_eq!(told, expected);
    }
    for claims in [holder(), anne(), bruno()] {
        assert_eq!(world.notices_of(&claims, "").await.unwrap().len(), expected.len());
    }
}

/// One recipient's notice that cannot be written holds up the others', and its proof and news with it.
async fn all_are_told_or_nobody_yet(bench: Bench) {
    let world = World::new(bench).await;
    world
        .tamper(match world.bench.engine {
            Engine::Sqlite => {
                "CREATE TRIGGER full BEFORE INSERT ON notices WHEN NEW.recipient = '810000000025'
                 BEGIN SELECT RAISE(ABORT, 'full'); END"
            }
            Engine::Postgres => {
                "ALTER TABLE notices ADD CONSTRAINT full_disk CHECK (recipient <> '810000000025') NOT VALID"
            }
        })
        .await;
    let mut watch = watcher(&world, &holder(), "").await;
    world.script().tell(break_glass(&world.bench));
    // It was tried, failed, and is tried again.
    world.script().opened(world.script().watches() + 1).await;
    for claims in [holder(), anne(), bruno()] {
        assert_eq!(world.notices_of(&claims, "").await.unwrap(), []);
    }
    world
        .tamper(match world.bench.engine {
            Engine::Sqlite => "DROP TRIGGER full",
            Engine::Postgres => "ALTER TABLE notices DROP CONSTRAINT full_disk",
        })
        .await;
    next(&mut watch).await;
    for claims in [holder(), anne(), bruno()] {
        assert_eq!(world.notices_of(&claims, "").await.unwrap().len(), 1);
    }
}

/// Skipped, it would leave its holder untold for ever.
async fn a_use_that_cannot_be_read_is_not_passed_over(bench: Bench) {
    let world = World::new(bench).await;
    let mut watch = watcher(&world, &holder(), "").await;
    let used = break_glass(&world.bench);
    world.script().tell(ExceptionalAccess {
        actor: None,
        ..used.clone()
    });
    world.script().opened(world.script().watches() + 1).await;
    assert_eq!(world.notices_of(&holder(), "").await.unwrap(), []);
    world.script().mend(used.clone());
    assert_eq!(
        next(&mut watch).await.0.exceptional_access_id,
        used.exceptional_access_id
    );
}

async fn a_finding_tells_nobody(bench: Bench) {
    let world = World::new(bench).await;
    let mut watch = watcher(&world, &holder(), "").await;
    let finding = ExceptionalAccess {
        reviewed_at: Some(to_proto(world.bench.clock.now())),
        finding: Finding::Unjustified.into(),
        ..break_glass(&world.bench)
    };
    world.script().tell(finding);
    let used = break_glass(&world.bench);
    world.script().tell(used.clone());
    assert_eq!(
        next(&mut watch).await.0.exceptional_access_id,
        used.exceptional_access_id
    );
    assert_eq!(world.notices_of(&holder(), "").await.unwrap().len(), 1);
}

/// Somebody else's notice is answered like one that is not there.
async fn nobody_is_told_of_others(bench: Bench) {
    let world = World::new(bench).await;
    let mut used = break_glass(&world.bench);
    used.treating_physician_ids = vec![PHYSICIAN.to_owned()];
    let holders = told_of(&world, &used).await;
    let annes = world.notices_of(&anne(), "").await.unwrap().remove(0);
    let other_holder = actor::holder(DmpId::generate([6; 16]).as_str());
    for claims in [bruno(), stranger(), other_holder.clone()] {
        assert_eq!(world.notices_of(&claims, "").await.unwrap(), []);
    }
    let absent = world.acknowledge(&anne(), &world.bench.request_id()).await.unwrap_err();
    for (claims, notice) in [
        (anne(), &holders),
        (bruno(), &annes),
        (holder(), &annes),
        (other_holder, &holders),
        (parent(), &annes),
    ] {
        let refused = world.acknowledge(&claims, &notice.notice_id).await.unwrap_err();
        assert_eq!(
            (refused.code(), refused.message(), refused.details()),
            (absent.code(), absent.message(), absent.details())
        );
    }
    assert_eq!(reason(&absent), (Code::NotFound, "NOT_FOUND".to_owned()));
    for claims in [
        actor::administrator(),
        actor::auditor(),
        actor::establishment_system(),
        actor::excluded_party(),
    ] {
        let forbidden = (Code::PermissionDenied, "ROLE_FORBIDDEN".to_owned());
        assert_eq!(reason(&world.notices_of(&claims, "").await.unwrap_err()), forbidden);
        assert_eq!(
            reason(&world.acknowledge(&claims, &holders.notice_id).await.unwrap_err()),
            forbidden
        );
        assert_eq!(
            reason(&world.watch_notices(&claims, "", "").await.unwrap_err()),
            forbidden
        );
    }
    for claims in [holder(), anne()] {
        let refused = refusal(&world.notices_of(&claims, &dmp_id()).await.unwrap_err());
        assert!(refused.has_field("dmp_id", "NOT_TAKEN"));
    }
}

/// R1111-33: representatives exercise the holder's rights, as far as consent's rules say.
async fn a_representative_is_told_what_consent_permits(bench: Bench) {
    let world = World::new(bench).await;
    let notice = told_of(&world, &break_glass(&world.bench)).await;
    let request = pb::ListNoticesRequest {
        dmp_id: dmp_id(),
        ..Default::default()
    };
    let request = world.bench.request(&parent(), request);
    let bearer = request.metadata().get("authorization").unwrap().clone();
    let listed = world.notices().list_notices(request).await.unwrap().into_inner();
    assert_eq!(listed.notices, std::slice::from_ref(&notice));
    let (asked, metadata) = world.script().authorize.seen().pop().unwrap();
    assert_eq!(
        (asked.dmp_id, asked.operation),
        (dmp_id(), i32::from(Operation::ReadJournal))
    );
    let forwarded = metadata.get(serve::ON_BEHALF_OF).unwrap().to_str().unwrap();
    assert_eq!(bearer.to_str().unwrap(), format!("Bearer {forwarded}"));

    world
        .script()
        .authorize
        .answer(|_| Ok(refused("representative-unknown", "R1111-33")));
    let refusals = [
        world.notices_of(&parent(), &dmp_id()).await.unwrap_err(),
        world.watch_notices(&parent(), &dmp_id(), "").await.unwrap_err(),
    ];
    for status in &refusals {
        let refused = refusal(status);
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (Code::PermissionDenied, "ACCESS_REFUSED")
        );
        assert_eq!(
            (refused.metadata["rule"].as_str(), refused.metadata["article"].as_str()),
            ("representative-unknown", "R1111-33")
        );
    }
    let hidden = world.acknowledge(&parent(), &notice.notice_id).await.unwrap_err();
    assert_eq!(reason(&hidden), (Code::NotFound, "NOT_FOUND".to_owned()));

    // Neither silence nor a grant of something else opens anything.
    world.script().authorize.answer(|_| Ok(granted(Operation::SeeStatus)));
    let unanswered = world.notices_of(&parent(), &dmp_id()).await.unwrap_err();
    world.script().authorize.answer(|_| Err(Status::unavailable("away")));
    let away = [
        unanswered,
        world.notices_of(&parent(), &dmp_id()).await.unwrap_err(),
        world.watch_notices(&parent(), &dmp_id(), "").await.unwrap_err(),
        world.acknowledge(&parent(), &notice.notice_id).await.unwrap_err(),
    ];
    for status in &away {
        assert_eq!(reason(status), (Code::Unavailable, "PEER_UNAVAILABLE".to_owned()));
    }
    // The holder and the physicians need nobody's leave.
    assert_eq!(world.notices_of(&holder(), "").await.unwrap().len(), 1);
    assert_eq!(world.notices_of(&anne(), "").await.unwrap().len(), 1);

    for (dmp_id, expected) in [("", "REQUIRED"), ("1", "WRONG_LENGTH")] {
        let refused = refusal(&world.notices_of(&parent(), dmp_id).await.unwrap_err());
        assert!(refused.has_field("dmp_id", expected), "{expected}");
    }
}

/// L1111-5: the minor and the treating physicians are told, representatives are not.
async fn a_minors_secret_is_told_to_no_representative(bench: Bench) {
    let world = World::new(bench).await;
    let mut watch = watcher(&world, &parent(), &dmp_id()).await;
    let kept = told_of(&world, &secret(&world.bench)).await;
    assert!(kept.secret);
    let open = told_of(&world, &break_glass(&world.bench)).await;
    assert_eq!(next(&mut watch).await.0, open);
    assert_eq!(
        world.notices_of(&parent(), &dmp_id()).await.unwrap(),
        std::slice::from_ref(&open)
    );
    let hidden = world.acknowledge(&parent(), &kept.notice_id).await.unwrap_err();
    let absent = world
        .acknowledge(&parent(), &world.bench.request_id())
        .await
        .unwrap_err();
    assert_eq!(
        (hidden.code(), hidden.message(), hidden.details()),
        (absent.code(), absent.message(), absent.details())
    );
    for claims in [holder(), anne()] {
        assert_eq!(world.notices_of(&claims, "").await.unwrap().len(), 2);
    }
}

/// Nothing is told on the strength of what was so when the watch began.
async fn a_watch_asks_consent_before_each_telling(bench: Bench) {
    let world = World::new(bench).await;
    let mut watch = watcher(&world, &parent(), &dmp_id()).await;
    told_of(&world, &break_glass(&world.bench)).await;
    next(&mut watch).await;
    world
        .script()
        .authorize
        .answer(|_| Ok(refused("representation-ended", "R1111-33")));
    told_of(&world, &break_glass(&world.bench)).await;
    let refused = ended(&mut watch).await;
    assert_eq!(
        (refused.reason.as_str(), refused.metadata["rule"].as_str()),
        ("ACCESS_REFUSED", "representation-ended")
    );
}

async fn a_watch_goes_on_from_a_listing(bench: Bench) {
    let world = World::new(bench).await;
    told_of(&world, &break_glass(&world.bench)).await;
    let listed = world
        .list_notices(&anne(), pb::ListNoticesRequest::default())
        .await
        .unwrap();
    assert_eq!(listed.notices.len(), 1);
    let later: Vec<_> = (0..5).map(|_| break_glass(&world.bench)).collect();
    for used in &later {
        told_of(&world, used).await;
    }
    let mut token = listed.resume_token;
    let mut told = Vec::new();
    while told.len() < later.len() {
        // The connection breaks after each notice.
        let mut watch = world.watch_notices(&anne(), "", &token).await.unwrap();
        let (notice, after) = next(&mut watch).await;
        told.push(notice);
        token = after;
    }
    assert_eq!(
        uses(&told),
        later
            .iter()
            .map(|used| used.exceptional_access_id.clone())
            .collect::<Vec<_>>()
    );
    let mut watch = world.watch_notices(&anne(), "", &token).await.unwrap();
    let used = break_glass(&world.bench);
    world.script().tell(used.clone());
    assert_eq!(
        next(&mut watch).await.0.exceptional_access_id,
        used.exceptional_access_id
    );
}

async fn a_token_is_good_for_its_recipient_only(bench: Bench) {
    let world = World::new(bench).await;
    let listed = world
        .list_notices(&anne(), pb::ListNoticesRequest::default())
        .await
        .unwrap();
    let mailbox = world.inbox(&anne(), &world.anne_box).await.watch_token;
    for (claims, token) in [
        (bruno(), listed.resume_token.as_str()),
        (holder(), &listed.resume_token),
        (anne(), &mailbox),
        (anne(), "é"),
    ] {
        let refused = refusal(&world.watch_notices(&claims, "", token).await.unwrap_err());
        assert!(refused.has_field("resume_token", "NOT_A_TOKEN"));
    }
    world.watch_notices(&anne(), "", &listed.resume_token).await.unwrap();
}

async fn a_listing_is_newest_first_and_whole(bench: Bench) {
    let world = World::new(bench).await;
    let mut expected = Vec::new();
    for number in 0..7 {
        // Some at one moment, some later.
        if number % 2 == 0 {
            world.bench.time.advance(SignedDuration::from_secs(1));
        }
        expected.push(told_of(&world, &break_glass(&world.bench)).await);
    }
    expected.sort_by_key(|notice| {
        let told_at = notice.told_at.unwrap();
        std::cmp::Reverse((told_at.seconds, told_at.nanos, notice.notice_id.clone()))
    });
    let mut pages = Vec::new();
    let mut request = pb::ListNoticesRequest {
        page_size: 2,
        ..Default::default()
    };
    let first_token = world
        .list_notices(&holder(), request.clone())
        .await
        .unwrap()
        .resume_token;
    loop {
        let page = world.list_notices(&holder(), request.clone()).await.unwrap();
        assert_eq!(page.resume_token, first_token);
        pages.push(page.notices.len());
        for notice in page.notices {
            assert_eq!(notice, expected.remove(0));
        }
        if page.next_page_token.is_empty() {
            break;
        }
        if pages.len() == 1 {
            // What comes meanwhile is on no page; the watch from the listing's token tells it.
            told_of(&world, &break_glass(&world.bench)).await;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(pages, [2, 2, 2, 1]);
    let mut watch = world.watch_notices(&holder(), "", &first_token).await.unwrap();
    next(&mut watch).await;
    request.unacknowledged_only = true;
    assert_eq!(
        reason(&world.list_notices(&holder(), request).await.unwrap_err()),
        (Code::InvalidArgument, "PAGE_TOKEN_INVALID".to_owned())
    );
}

/// The first time stands, with its proof, however many ask and in whatever order.
async fn notice_is_taken_once(bench: Bench) {
    let world = World::new(bench).await;
    let told = told_of(&world, &break_glass(&world.bench)).await;
    world.bench.time.advance(SignedDuration::from_secs(60));
    let taken_at = to_proto(world.bench.clock.now());
    let request = pb::AcknowledgeNoticeRequest {
        request_id: world.bench.request_id(),
        notice_id: told.notice_id.clone(),
    };
    let claims = holder();
    let taking = (0..8).map(|_| world.acknowledge(&claims, &told.notice_id));
    let taken: Vec<_> = futures::future::join_all(taking)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert!(taken.iter().all(|answer| *answer == taken[0]));
    assert_eq!(checked(taken[0].receipt.as_ref()).sequence, 2);
    let expected = pb::Notice {
        acknowledged_at: Some(taken_at),
        receipt: taken[0].receipt.clone(),
        ..told
    };
    assert_eq!(taken[0], expected);

    world.bench.time.advance(SignedDuration::from_secs(60));
    for _ in 0..2 {
        let again = world.bench.request(&claims, request.clone());
        let again = world.notices().acknowledge_notice(again).await.unwrap().into_inner();
        assert_eq!(again, expected);
    }
    let annes = world.notices_of(&anne(), "").await.unwrap().remove(0);
    world.acknowledge(&anne(), &annes.notice_id).await.unwrap();

    assert_eq!(world.notices_of(&holder(), "").await.unwrap(), [expected]);
    let unacknowledged = pb::ListNoticesRequest {
        unacknowledged_only: true,
        ..Default::default()
    };
    for (claims, left) in [(holder(), 0), (anne(), 0), (bruno(), 1)] {
        let listed = world.list_notices(&claims, unacknowledged.clone()).await.unwrap();
        assert_eq!(listed.notices.len(), left);
    }
}

async fn a_representative_takes_notice_for_the_holder(bench: Bench) {
    let world = World::new(bench).await;
    let told = told_of(&world, &break_glass(&world.bench)).await;
    let taken = world.acknowledge(&parent(), &told.notice_id).await.unwrap();
    assert_eq!(
        world.notices_of(&holder(), "").await.unwrap(),
        std::slice::from_ref(&taken)
    );
    assert_eq!(world.acknowledge(&holder(), &told.notice_id).await.unwrap(), taken);
    let history = history(&world, &told.notice_id).await;
    assert_eq!(history.entries.len(), 2);
    let proof = pb::NoticeProof::decode(history.entries[1].entry.content.payload().unwrap()).unwrap();
    let by = proof.acknowledged_by.unwrap();
    assert_eq!(
        (by.role(), by.subject.as_str()),
        (common::Role::Representative, "parent")
    );
}

/// Verified offline with the log's public key: both receipts stand in the notice's own chain, and nothing else does.
async fn telling_and_acknowledgement_are_one_verified_chain(bench: Bench) {
    let world = World::new(bench).await;
    let used = break_glass(&world.bench);
    told_of(&world, &used).await;
    let told = world.notices_of(&bruno(), "").await.unwrap().remove(0);
    world.bench.time.advance(SignedDuration::from_secs(60));
    let taken = world.acknowledge(&bruno(), &told.notice_id).await.unwrap();
    let history = history(&world, &told.notice_id).await;
    let verified = history.verify(&verifier(), &told.notice_id, Link::BEGINNING).unwrap();
    assert_eq!(verified.entries.len(), 2);
    for (proven, (notice, at)) in history
        .entries
        .iter()
        .zip([(&told, told.told_at), (&taken, taken.acknowledged_at)])
    {
        let receipt = checked(notice.receipt.as_ref());
        verified.check_receipt(&receipt, &verifier()).unwrap();
        let proof = pb::NoticeProof::decode(proven.entry.content.payload().unwrap()).unwrap();
        let expected = pb::NoticeProof {
            entry_id: receipt.entry_id.to_string(),
            notice_id: told.notice_id.clone(),
            recipient: OTHER_PHYSICIAN.to_owned(),
            exceptional_access_id: used.exceptional_access_id.clone(),
            acknowledged_by: proof.acknowledged_by.clone(),
            occurred_at: at,
        };
        assert_eq!(proof, expected);
        let by = proof.acknowledged_by.map(|by| by.professional_id);
        assert_eq!(by, notice.acknowledged_at.map(|_| OTHER_PHYSICIAN.to_owned()));
    }
}

/// Nothing is shown that cannot be proved, and nothing told is lost with the process that told it.
async fn a_telling_whose_process_died_is_proved_after_its_restart(bench: Bench) {
    let world = World::new(bench).await;
    let mut watch = watcher(&world, &holder(), "").await;
    world.block_journal().await;
    world.script().tell(break_glass(&world.bench));
    let unproved = (Code::Unavailable, "JOURNAL_UNAVAILABLE".to_owned());
    let refused = ended(&mut watch).await;
    assert_eq!((refused.code, refused.reason), unproved);
    assert_eq!(reason(&world.notices_of(&holder(), "").await.unwrap_err()), unproved);
    world.unblock_journal().await;
    let world = world.restarted().await;
    let notices = world.notices_of(&holder(), "").await.unwrap();
    assert_eq!(notices.len(), 1);
    assert_eq!(checked(notices[0].receipt.as_ref()).sequence, 1);
}

/// In a notice's chain the telling comes first, also when its proof is still on its way as notice is taken.
async fn an_acknowledgement_follows_the_telling(bench: Bench) {
    let world = World::new(bench).await;
    let mut watch = watcher(&world, &holder(), "").await;
    world.block_journal().await;
    world.script().tell(break_glass(&world.bench));
    assert_eq!(ended(&mut watch).await.reason, "JOURNAL_UNAVAILABLE");
    let id = only_notice_of(&world, &dmp_id()).await;
    world.unblock_journal().await;
    let taken = world.acknowledge(&holder(), &id).await.unwrap();
    assert_eq!(checked(taken.receipt.as_ref()).sequence, 2);
}

/// The id of a recipient's notice, of which nobody has been told yet.
async fn only_notice_of(world: &World, recipient: &str) -> String {
    let statement = "SELECT notice_id FROM notices WHERE recipient = $1";
    let url = world.started.settings.common.database.url.reveal();
    let id: Uuid = match world.bench.engine {
        Engine::Sqlite => {
            let mut connection = sqlx::SqliteConnection::connect(url).await.unwrap();
            let id = sqlx::query_scalar(statement).bind(recipient);
            id.fetch_one(&mut connection).await.unwrap()
        }
        Engine::Postgres => {
            let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
            let id = sqlx::query_scalar(statement).bind(recipient);
            id.fetch_one(&mut connection).await.unwrap()
        }
    };
    id.to_string()
}

/// A notice's chain, read from the service's database.
async fn history(world: &World, notice_id: &str) -> History {
    match world.bench.engine {
        Engine::Sqlite => log::<store::Sqlite>(world).await.history(notice_id, 0, 10).await,
        Engine::Postgres => log::<store::Postgres>(world).await.history(notice_id, 0, 10).await,
    }
    .unwrap()
}

/// How many proofs the log holds, staged ones included.
async fn proofs(world: &World) -> u64 {
    let newest = match world.bench.engine {
        Engine::Sqlite => log::<store::Sqlite>(world).await.latest_checkpoint().await,
        Engine::Postgres => log::<store::Postgres>(world).await.latest_checkpoint().await,
    };
    Checkpoint::open(&newest.unwrap(), &verifier()).unwrap().size
}

/// The service's log, opened beside it: what was staged is written then.
async fn log<DB: store::Engine>(world: &World) -> Journal<DB> {
    let options = store::Options::new(world.started.settings.common.database.url.reveal());
    let db = store::Db::<DB>::open(&options, &Messaging::migrations()).await.unwrap();
    let (clock, random) = (world.bench.clock.clone(), world.bench.random.clone());
    let key = LogKey::from_seed(LOG_ORIGIN, [7; 32]).unwrap();
    Journal::open(db, clock, random, key, journal::Limits::default())
        .await
        .unwrap()
}
