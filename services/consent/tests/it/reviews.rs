//! ReviewService: the second look.

use api::common::v1::{AccessContext, AccessMode};
use api::consent::v1::review_service_client::ReviewServiceClient;
use api::consent::v1::*;
use api::dossier::v1 as dossier;
use consent::Review;
use jiff::SignedDuration;
use serve::Claims;
use testkit::{Bench, Refusal, actor, refusal};
use tonic::transport::Channel;
use tonic::{Code, Streaming};

use crate::scene::{Answer, REASON, Scene, answer, assert_failed, assert_not_found, assert_refused, config, time};

testkit::on_both_engines! {
    a_use_gathers_accesses_within_24_hours_and_is_told_once,
    treating_physicians_are_told_but_for_the_one_who_came_in,
    each_access_has_its_effect_once_whatever_fails,
    two_instances_take_each_access_once,
    an_access_told_again_has_no_effect,
    uses_are_listed_those_due_first,
    a_use_is_overdue_when_its_deadline_has_passed,
    a_finding_is_never_changed,
    a_finding_is_told_in_its_place,
    what_follows_a_finding_is_looked_at_too,
    the_auditor_alone_reviews,
    who_may_know_who_came_in_lists_the_uses_of_a_dossier,
    representatives_are_told_nothing_of_secret_uses,
    reason_and_remark_are_neither_kept_in_clear_nor_told,
    services_alone_watch,
    every_field_that_is_wrong_is_listed,
}

const REMARK: &str = "the call was received, as its record shows";

type Told = Streaming<WatchExceptionalAccessesResponse>;

fn hours(count: i64) -> SignedDuration {
    SignedDuration::from_hours(count)
}

impl Scene {
    fn reviews(&self) -> ReviewServiceClient<Channel> {
        ReviewServiceClient::new(self.service.channel())
    }

    /// An access by break-glass, now.
    fn access_by(&self, claims: &Claims) -> dossier::Access {
        dossier::Access {
            entry_id: self.bench.request_id(),
            dmp_id: self.dmp_id.clone(),
            actor: Some(self.actor_of(claims)),
            action: dossier::AccessAction::ReadDocument.into(),
            outcome: dossier::AccessOutcome::Granted.into(),
            context: Some(AccessContext {
                mode: AccessMode::BreakGlass.into(),
                reason: REASON.into(),
                secret_connection: false,
            }),
            occurred_at: Some(time(self.now())),
            ..Default::default()
        }
    }

    fn secret_access_by(&self, claims: &Claims) -> dossier::Access {
        let mut access = self.access_by(claims);
        access.context.as_mut().unwrap().secret_connection = true;
        access.secret = true;
        access
    }

    /// An access by somebody new, which begins a use of its own: once that is told, all told before have been taken.
    fn sentinel(&self, number: u32) -> dossier::Access {
        self.access_by(&actor::physician(&format!("8{number:011}")))
    }

    /// All uses and findings, from the beginning.
    async fn watch_uses(&self) -> Told {
        self.watch_uses_after("").await
    }

    async fn watch_uses_after(&self, token: &str) -> Told {
        let request = WatchExceptionalAccessesRequest {
            resume_token: token.to_owned(),
        };
        let request = self.bench.service_request("messaging", None, request);
        self.reviews()
            .watch_exceptional_accesses(request)
            .await
            .unwrap()
            .into_inner()
    }

    /// Tells of an access that begins a use, and waits until it is told on.
    async fn begins(&self, access: dossier::Access) -> ExceptionalAccess {
        let mut watch = self.watch_uses().await;
        let entry_id = access.entry_id.clone();
        self.dossier.tell(access);
        loop {
            let told = next(&mut watch).await;
            if told.first_entry_id == entry_id {
                return told;
            }
        }
    }

    async fn list_uses(
        &self,
        claims: &Claims,
        request: ListExceptionalAccessesRequest,
    ) -> Answer<ListExceptionalAccessesResponse> {
        let request = self.bench.request(claims, request);
        answer(self.reviews().list_exceptional_accesses(request).await)
    }

    fn of_this_dossier(&self) -> ListExceptionalAccessesRequest {
        ListExceptionalAccessesRequest {
            dmp_id: self.dmp_id.clone(),
            ..Default::default()
        }
    }

    async fn uses(&self, request: ListExceptionalAccessesRequest) -> Vec<ExceptionalAccess> {
        let listed = self.list_uses(&actor::auditor(), request).await.unwrap();
        listed.exceptional_accesses
    }

    fn finding(&self, id: &str) -> ReviewExceptionalAccessRequest {
        ReviewExceptionalAccessRequest {
            request_id: self.bench.request_id(),
            exceptional_access_id: id.to_owned(),
            finding: Finding::Justified.into(),
            remark: REMARK.into(),
        }
    }

    async fn review(&self, claims: &Claims, request: ReviewExceptionalAccessRequest) -> Answer<ExceptionalAccess> {
        let request = self.bench.request(claims, request);
        answer(self.reviews().review_exceptional_access(request).await)
    }
}

/// The next use or finding; answers without one are passed over.
async fn next(watch: &mut Told) -> ExceptionalAccess {
    loop {
        let response = watch.message().await.unwrap().expect("the watch goes on");
        if let Some(told) = response.exceptional_access {
            return told;
        }
    }
}

fn ids(uses: &[ExceptionalAccess]) -> Vec<&str> {
    uses.iter().map(|one| one.exceptional_access_id.as_str()).collect()
}

/// R1111-48: whoever reads ten documents at a bedside is told of once.
async fn a_use_gathers_accesses_within_24_hours_and_is_told_once(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let mut watch = scene.watch_uses().await;
    let first_at = scene.now();
    let first = scene.access_by(&scene.physician());
    scene.dossier.tell(first.clone());
    let begun = next(&mut watch).await;
    assert_eq!((&begun.dmp_id, &begun.actor), (&scene.dmp_id, &first.actor));
    assert_eq!(
        (begun.mode(), begun.secret, begun.accesses),
        (AccessMode::BreakGlass, false, 1)
    );
    assert_eq!(
        (begun.first_at, begun.last_at, begun.due_at),
        (
            Some(time(first_at)),
            Some(time(first_at)),
            Some(time(first_at + hours(72)))
        )
    );
    assert_eq!((&begun.first_entry_id, begun.reviewed_at), (&first.entry_id, None));
    for _ in 0..9 {
        scene.bench.time.advance(SignedDuration::from_mins(159));
        scene.dossier.tell(dossier::Access {
            context: Some(AccessContext {
                reason: "another document is needed".into(),
                ..first.context.clone().unwrap()
            }),
            ..scene.access_by(&scene.physician())
        });
    }
    let last_at = scene.now();
    // By the emergency call centre it is another use, and so it is a day after the first access.
    let mut by_call = scene.access_by(&scene.physician());
    by_call.context.as_mut().unwrap().mode = AccessMode::Centre15.into();
    scene.dossier.tell(by_call.clone());
    scene.bench.time.set(first_at + hours(24));
    let next_day = scene.access_by(&scene.physician());
    scene.dossier.tell(next_day.clone());
    assert_eq!(next(&mut watch).await.first_entry_id, by_call.entry_id);
    assert_eq!(next(&mut watch).await.first_entry_id, next_day.entry_id);
    let listed = scene.uses(scene.of_this_dossier()).await;
    assert_eq!(listed.len(), 3);
    let expected = ExceptionalAccess {
        accesses: 10,
        last_at: Some(time(last_at)),
        reason: REASON.into(),
        ..begun
    };
    assert_eq!(listed[0], expected);
}

/// R1111-48: holder and treating physicians, as they are at that moment.
async fn treating_physicians_are_told_but_for_the_one_who_came_in(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let third = "810000000033";
    for physician in [actor::PHYSICIAN, actor::OTHER_PHYSICIAN, third] {
        scene.designate(&scene.holder(), physician).await.unwrap();
    }
    let begun = scene.begins(scene.access_by(&scene.physician())).await;
    assert_eq!(begun.treating_physician_ids, [actor::OTHER_PHYSICIAN, third]);
    scene.block(&scene.holder(), third).await.unwrap();
    let begun = scene.begins(scene.sentinel(1)).await;
    assert_eq!(begun.treating_physician_ids, [actor::PHYSICIAN, actor::OTHER_PHYSICIAN]);
    assert_eq!(
        scene.uses(scene.of_this_dossier()).await[0].treating_physician_ids,
        [""; 0]
    );
}

/// Streams break off, the service starts again: nothing is missed, nothing is taken twice.
async fn each_access_has_its_effect_once_whatever_fails(bench: Bench) {
    const USES: u32 = 12;
    let mut scene = Scene::consented(bench).await;
    scene.dossier.cut(&[2, 1, 3, 1, 4, 2]);
    let mut expected = Vec::new();
    for number in 0..USES {
        if number == USES / 2 {
            // Those before may or may not have been taken.
            scene = scene.restarted().await;
        }
        for _ in 0..2 {
            let access = scene.sentinel(number);
            expected.push(access.entry_id.clone());
            scene.dossier.tell(access);
        }
    }
    let mut watch = scene.watch_uses().await;
    let mut told = Vec::new();
    while told.len() < USES as usize {
        told.push(next(&mut watch).await.first_entry_id);
    }
    let firsts: Vec<String> = expected.into_iter().step_by(2).collect();
    assert_eq!(told, firsts);
    // The second access of the last use is taken before this one.
    scene.dossier.tell(scene.sentinel(USES));
    next(&mut watch).await;
    let counts: Vec<i64> = scene
        .uses(scene.of_this_dossier())
        .await
        .iter()
        .map(|one| one.accesses)
        .collect();
    assert_eq!(
        (counts.iter().sum::<i64>(), counts.iter().max()),
        (i64::from(2 * USES + 1), Some(&2))
    );
    // Whoever comes back goes on from its place.
    let opened = scene.dossier.opened();
    assert_eq!(opened[0], "");
    assert!(opened.len() > 2 && opened.last().unwrap() != "", "{opened:?}");
}

async fn two_instances_take_each_access_once(bench: Bench) {
    const ACCESSES: i64 = 30;
    let scene = Scene::consented(bench).await;
    let second = scene
        .bench
        .start_with::<consent::Consent>(scene.service.settings.clone())
        .await;
    scene.dossier.cut(&[2, 3, 1, 2]);
    for _ in 0..ACCESSES {
        scene.dossier.tell(scene.access_by(&scene.physician()));
    }
    scene.dossier.tell(scene.sentinel(1));
    let mut watch = scene.watch_uses().await;
    let first = next(&mut watch).await;
    let sentinel = next(&mut watch).await;
    let listed = scene.uses(scene.of_this_dossier()).await;
    let of = |id: &str| listed.iter().find(|one| one.exceptional_access_id == id).unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(of(&first.exceptional_access_id).accesses, ACCESSES);
    assert_eq!(of(&sentinel.exceptional_access_id).accesses, 1);
    second.stop().await;
}

/// A feed that is read again from an earlier place.
async fn an_access_told_again_has_no_effect(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let first = scene.access_by(&scene.physician());
    scene.begins(first.clone()).await;
    scene.bench.time.advance(hours(30));
    scene.dossier.tell(first);
    scene.begins(scene.sentinel(1)).await;
    let listed = scene.uses(scene.of_this_dossier()).await;
    assert_eq!(listed.iter().map(|one| one.accesses).collect::<Vec<_>>(), [1, 1]);
}

async fn uses_are_listed_those_due_first(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let mut begun = Vec::new();
    for number in 1..=5 {
        begun.push(scene.begins(scene.sentinel(number)).await);
        // Two of them are due at the same moment.
        if number != 3 {
            scene.bench.time.advance(hours(1));
        }
    }
    begun.sort_by_key(|one| (one.due_at.unwrap().seconds, one.exceptional_access_id.clone()));
    let mut request = ListExceptionalAccessesRequest {
        page_size: 2,
        ..Default::default()
    };
    let mut listed = Vec::new();
    loop {
        let page = scene.list_uses(&actor::auditor(), request.clone()).await.unwrap();
        assert!(page.exceptional_accesses.len() <= 2);
        listed.extend(page.exceptional_accesses);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(ids(&listed), ids(&begun));
    assert!(listed.iter().all(|one| one.reason == REASON));
    // Of another dossier there are none, and a token is good for its query only.
    let elsewhere = ListExceptionalAccessesRequest {
        dmp_id: scene.another_dossier(),
        ..Default::default()
    };
    assert!(scene.uses(elsewhere).await.is_empty());
    let other = ListExceptionalAccessesRequest {
        show_reviewed: true,
        ..request
    };
    let refused = scene.list_uses(&actor::auditor(), other).await;
    assert_eq!(refused.unwrap_err().code, Code::InvalidArgument);
}

async fn a_use_is_overdue_when_its_deadline_has_passed(bench: Bench) {
    let config = consent::Config {
        review: Review { deadline_hours: 2 },
        ..config(&bench)
    };
    let scene = Scene::with(bench, config).await;
    scene.consent(Purpose::Creation).await.unwrap();
    let (one, other) = (
        scene.begins(scene.sentinel(1)).await,
        scene.begins(scene.sentinel(2)).await,
    );
    assert_eq!(one.due_at, Some(time(scene.now() + hours(2))));
    let overdue = || ListExceptionalAccessesRequest {
        overdue_only: true,
        show_reviewed: true,
        ..scene.of_this_dossier()
    };
    scene.bench.time.advance(hours(2) - SignedDuration::from_micros(1));
    assert!(scene.uses(overdue()).await.is_empty());
    scene.bench.time.advance(SignedDuration::from_micros(1));
    assert_eq!(scene.uses(overdue()).await.len(), 2);
    let reviewed = scene.finding(&one.exceptional_access_id);
    scene.review(&actor::auditor(), reviewed).await.unwrap();
    assert_eq!(
        ids(&scene.uses(overdue()).await),
        [other.exceptional_access_id.as_str()]
    );
}

async fn a_finding_is_never_changed(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let begun = scene.begins(scene.access_by(&scene.physician())).await;
    let id = &begun.exceptional_access_id;
    scene.bench.time.advance(hours(1));
    let request = scene.finding(id);
    let found = scene.review(&actor::auditor(), request.clone()).await.unwrap();
    assert_eq!(
        (found.finding(), found.remark.as_str(), found.reviewed_at),
        (Finding::Justified, REMARK, Some(time(scene.now())))
    );
    scene.bench.time.advance(hours(1));
    // The same request is answered as before; another one changes nothing.
    assert_eq!(scene.review(&actor::auditor(), request).await.unwrap(), found);
    let other = ReviewExceptionalAccessRequest {
        finding: Finding::Unjustified.into(),
        ..scene.finding(id)
    };
    let refused = scene.review(&actor::auditor(), other).await;
    let refused = assert_failed(refused, Code::FailedPrecondition, "STATE_CONFLICT");
    assert_eq!(refused.metadata["state"], "REVIEWED");
    assert!(scene.uses(scene.of_this_dossier()).await.is_empty());
    let shown = ListExceptionalAccessesRequest {
        show_reviewed: true,
        ..scene.of_this_dossier()
    };
    let expected = ExceptionalAccess {
        reason: REASON.into(),
        ..found
    };
    assert_eq!(scene.uses(shown).await, [expected]);
    let nothing = scene.finding(&scene.bench.request_id());
    assert_not_found(scene.review(&actor::auditor(), nothing).await, "exceptional access");
}

async fn a_finding_is_told_in_its_place(bench: Bench) {
    let scene = Scene::consented(bench).await;
    scene.designate(&scene.holder(), actor::OTHER_PHYSICIAN).await.unwrap();
    let begun = scene.begins(scene.access_by(&scene.physician())).await;
    let mut watch = scene.watch_uses().await;
    let token = loop {
        let response = watch.message().await.unwrap().unwrap();
        if response.exceptional_access.is_some() {
            break response.resume_token;
        }
    };
    let unjustified = ReviewExceptionalAccessRequest {
        finding: Finding::Unjustified.into(),
        ..scene.finding(&begun.exceptional_access_id)
    };
    scene.review(&actor::auditor(), unjustified).await.unwrap();
    let after = scene.begins(scene.sentinel(1)).await;
    let mut watch = scene.watch_uses_after(&token).await;
    let expected = ExceptionalAccess {
        reviewed_at: Some(time(scene.now())),
        finding: Finding::Unjustified.into(),
        ..begun
    };
    assert_eq!(expected.treating_physician_ids, [actor::OTHER_PHYSICIAN]);
    assert_eq!(next(&mut watch).await, expected);
    assert_eq!(next(&mut watch).await, after);
}

/// A finding is about what it has seen.
async fn what_follows_a_finding_is_looked_at_too(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let begun = scene.begins(scene.access_by(&scene.physician())).await;
    let found = scene.finding(&begun.exceptional_access_id);
    scene.review(&actor::auditor(), found).await.unwrap();
    let again = scene.begins(scene.access_by(&scene.physician())).await;
    assert_ne!(again.exceptional_access_id, begun.exceptional_access_id);
    let open = scene.uses(scene.of_this_dossier()).await;
    assert_eq!(ids(&open), [again.exceptional_access_id.as_str()]);
}

async fn the_auditor_alone_reviews(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let begun = scene.begins(scene.access_by(&scene.physician())).await;
    let others = [
        scene.holder(),
        actor::representative("parent"),
        scene.physician(),
        actor::establishment_system(),
        actor::administrator(),
        actor::excluded_party(),
    ];
    for claims in others {
        let refused = scene.review(&claims, scene.finding(&begun.exceptional_access_id)).await;
        assert_failed(refused, Code::PermissionDenied, "ROLE_FORBIDDEN");
    }
}

async fn who_may_know_who_came_in_lists_the_uses_of_a_dossier(bench: Bench) {
    let scene = Scene::consented(bench).await;
    scene.register("parent").await.unwrap();
    scene.designate(&scene.holder(), actor::OTHER_PHYSICIAN).await.unwrap();
    scene.begins(scene.access_by(&scene.physician())).await;
    let treating = actor::physician(actor::OTHER_PHYSICIAN);
    for claims in [scene.holder(), actor::representative("parent"), treating] {
        let listed = scene.list_uses(&claims, scene.of_this_dossier()).await.unwrap();
        assert_eq!(listed.exceptional_accesses.len(), 1);
        // All dossiers are for the auditor.
        let all = scene
            .list_uses(&claims, ListExceptionalAccessesRequest::default())
            .await;
        let all = assert_failed(all, Code::InvalidArgument, "INVALID_FIELDS");
        assert_eq!(all.fields[0].0, "dmp_id");
    }
    // Whoever came in by break-glass reads no journal by it.
    let listed = scene.list_uses(&scene.physician(), scene.of_this_dossier()).await;
    assert_refused(listed, "default-refuse", "L1110-4");
    let stranger = actor::representative("stranger");
    let listed = scene.list_uses(&stranger, scene.of_this_dossier()).await;
    assert_refused(listed, "representation-not-live", "L1111-14");
    for claims in [
        actor::administrator(),
        actor::establishment_system(),
        actor::excluded_party(),
    ] {
        let listed = scene.list_uses(&claims, scene.of_this_dossier()).await;
        assert_failed(listed, Code::PermissionDenied, "ROLE_FORBIDDEN");
    }
}

/// L1111-5, R1111-50: not the use, not its number, and nothing of it in another one.
async fn representatives_are_told_nothing_of_secret_uses(bench: Bench) {
    let scene = Scene::consented(bench).await;
    scene.register("parent").await.unwrap();
    let secret = scene.begins(scene.secret_access_by(&scene.physician())).await;
    assert!(secret.secret);
    // The same professional, outside of a secret connection: of its own, so that nothing of the secret one is in it.
    let open = scene.begins(scene.access_by(&scene.physician())).await;
    assert!(!open.secret);
    scene.dossier.tell(scene.secret_access_by(&scene.physician()));
    scene.begins(scene.sentinel(1)).await;
    let parent = actor::representative("parent");
    for page_size in [0, 1] {
        let request = ListExceptionalAccessesRequest {
            page_size,
            show_reviewed: true,
            ..scene.of_this_dossier()
        };
        let listed = scene.list_uses(&parent, request.clone()).await.unwrap();
        assert!(
            listed
                .exceptional_accesses
                .iter()
                .all(|one| !one.secret && one.accesses == 1)
        );
    }
    let listed = scene.list_uses(&parent, scene.of_this_dossier()).await.unwrap();
    assert_eq!(listed.exceptional_accesses.len(), 2);
    let holder = scene.list_uses(&scene.holder(), scene.of_this_dossier()).await.unwrap();
    let uses = holder.exceptional_accesses;
    assert_eq!(uses.len(), 3);
    let of_secret = uses.iter().find(|one| one.secret).unwrap();
    assert_eq!(
        (&of_secret.exceptional_access_id, of_secret.accesses),
        (&secret.exceptional_access_id, 2)
    );
}

/// Tables, events and remembered answers.
async fn reason_and_remark_are_neither_kept_in_clear_nor_told(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let mut access = scene.access_by(&scene.physician());
    access.context.as_mut().unwrap().reason = "quixotic seizure".into();
    let begun = scene.begins(access).await;
    let found = ReviewExceptionalAccessRequest {
        remark: "zanzibar remark".into(),
        ..scene.finding(&begun.exceptional_access_id)
    };
    let answered = scene.review(&actor::auditor(), found).await.unwrap();
    assert_eq!(
        (answered.reason.as_str(), answered.remark.as_str()),
        ("", "zanzibar remark")
    );
    let mut watch = scene.watch_uses().await;
    for _ in 0..2 {
        let told = next(&mut watch).await;
        assert!(told.reason.is_empty() && told.remark.is_empty());
    }
    for secret in ["quixotic", "zanzibar"] {
        assert!(!scene.keeps_in_clear(secret).await, "{secret}");
    }
    // The search itself works.
    assert!(scene.keeps_in_clear(&scene.dmp_id).await);
}

async fn services_alone_watch(bench: Bench) {
    let scene = Scene::consented(bench).await;
    let refused =
        async |request| -> Refusal { refusal(&scene.reviews().watch_exceptional_accesses(request).await.unwrap_err()) };
    let message = WatchExceptionalAccessesRequest::default;
    for request in [
        scene.bench.request(&scene.holder(), message()),
        scene.bench.request(&actor::auditor(), message()),
        scene
            .bench
            .service_request("messaging", Some(&scene.holder()), message()),
    ] {
        let refusal = refused(request).await;
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (Code::PermissionDenied, "ROLE_FORBIDDEN")
        );
    }
    let wrong = WatchExceptionalAccessesRequest {
        resume_token: "AAAA".into(),
    };
    let refusal = refused(scene.bench.service_request("messaging", None, wrong)).await;
    assert!(refusal.has_field("resume_token", "NOT_A_TOKEN"));
}

async fn every_field_that_is_wrong_is_listed(bench: Bench) {
    let scene = Scene::new(bench).await;
    let wrong = ReviewExceptionalAccessRequest {
        request_id: "x".into(),
        exceptional_access_id: String::new(),
        finding: 0,
        remark: format!("short{}", " ".repeat(20)),
    };
    let refusal = scene.review(&actor::auditor(), wrong).await.unwrap_err();
    let fields: Vec<&str> = refusal.fields.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["request_id", "exceptional_access_id", "finding", "remark"]);
    let wrong = ListExceptionalAccessesRequest {
        dmp_id: "nothing".into(),
        page_size: -1,
        ..Default::default()
    };
    let refusal = scene.list_uses(&actor::auditor(), wrong).await.unwrap_err();
    let fields: Vec<&str> = refusal.fields.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["dmp_id", "page_size"]);
}
