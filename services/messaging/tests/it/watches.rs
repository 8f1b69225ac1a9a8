//! What a watcher of a mailbox is told.

use api::messaging::v1 as pb;
use messaging::Messaging;
use pb::watch_mailbox_response::Event;
use serve::watch::WatchSettings;
use std::collections::BTreeSet;
use std::time::Duration;
use testkit::{Bench, Refusal, on_both_engines, refusal};
use tonic::transport::Endpoint;
use tonic::{Code, Streaming};

use crate::world::{ANNE, BRUNO, DOMAIN, TEAM, World, anne, bruno, config};

on_both_engines! {
    an_arrival_is_told_with_its_header,
    a_listing_and_the_watch_after_it_miss_nothing,
    a_watch_resumes_without_gap_or_duplicate,
    a_token_is_good_for_its_mailbox_only,
    a_token_too_old_is_told_to_list_again,
    a_retrieval_is_always_told_and_a_reading_when_wanted,
    a_heartbeat_proves_an_idle_watch_alive,
    a_slow_reader_is_disconnected_and_misses_nothing,
    a_watch_ends_when_the_process_stops,
    a_watch_ends_when_the_mailbox_is_no_longer_the_watchers,
    a_second_instance_tells_what_the_first_was_sent,
}

/// The next event and the token after it; heartbeats are passed over.
async fn next(stream: &mut Streaming<pb::WatchMailboxResponse>) -> (Event, String) {
    loop {
        let response = stream.message().await.unwrap().expect("the watch goes on");
        if let Some(event) = response.event {
            return (event, response.resume_token);
        }
    }
}

/// How the watch ends, after what it still tells.
async fn ended(stream: &mut Streaming<pb::WatchMailboxResponse>) -> Refusal {
    loop {
        match stream.message().await {
            Ok(response) => assert!(response.is_some(), "the watch ended without a status"),
            Err(status) => return refusal(&status),
        }
    }
}

async fn next_arrival(stream: &mut Streaming<pb::WatchMailboxResponse>) -> (String, String) {
    match next(stream).await {
        (Event::Arrived(header), token) => (header.message_id, token),
        (other, _) => panic!("not an arrival: {other:?}"),
    }
}

async fn an_arrival_is_told_with_its_header(bench: Bench) {
    let world = World::new(bench).await;
    let mut watch = world.watch(&bruno(), &world.bruno_box, "").await.unwrap();
    world.anne_writes(&[TEAM]).await;
    let sent = world
        .send(&anne(), world.draft(&[BRUNO]))
        .await
        .unwrap()
        .message
        .unwrap();
    assert_eq!(next(&mut watch).await.0, Event::Arrived(sent));
}

/// Every listing made while messages arrive, together with the watch from its token, has every message once.
async fn a_listing_and_the_watch_after_it_miss_nothing(bench: Bench) {
    let world = World::new(bench).await;
    let sending = async {
        let mut sent = Vec::new();
        for _ in 0..8 {
            sent.extend(futures::future::join_all((0..8).map(|_| world.anne_writes(&[BRUNO]))).await);
        }
        sent
    };
    let listing = async {
        let mut listings = Vec::new();
        while listings
            .last()
            .is_none_or(|last: &pb::ListMessagesResponse| last.messages.len() < 48)
        {
            listings.push(world.inbox(&bruno(), &world.bruno_box).await);
        }
        listings
    };
    let (sent, listings) = futures::join!(sending, listing);
    for listed in listings {
        let mut watch = world
            .watch(&bruno(), &world.bruno_box, &listed.watch_token)
            .await
            .unwrap();
        let mut seen: BTreeSet<String> = listed.messages.into_iter().map(|header| header.message_id).collect();
        let mut told = BTreeSet::new();
        while !sent.iter().all(|id| seen.contains(id)) {
            let next = tokio::time::timeout(Duration::from_secs(10), next_arrival(&mut watch)).await;
            let (id, _) = next.expect("a message is neither listed nor told");
            assert!(told.insert(id.clone()), "told twice");
            seen.insert(id);
        }
    }
}

async fn a_watch_resumes_without_gap_or_duplicate(bench: Bench) {
    let world = World::new(bench).await;
    let mut token = world.inbox(&bruno(), &world.bruno_box).await.watch_token;
    let sending = async {
        let mut sent = Vec::new();
        for _ in 0..30 {
            // Among messages that do not concern this mailbox.
            world.anne_writes(&[TEAM]).await;
            sent.push(world.anne_writes(&[BRUNO]).await);
        }
        sent
    };
    let watching = async {
        let mut told = Vec::new();
        while told.len() < 30 {
            // The connection breaks after every third event.
            let mut watch = world.watch(&bruno(), &world.bruno_box, &token).await.unwrap();
            for _ in 0..3 {
                let (id, after) = next_arrival(&mut watch).await;
                told.push(id);
                token = after;
            }
        }
        told
    };
    let (sent, told) = futures::join!(sending, watching);
    assert_eq!(told, sent);
}

async fn a_token_is_good_for_its_mailbox_only(bench: Bench) {
    let world = World::new(bench).await;
    let token = world.inbox(&bruno(), &world.bruno_box).await.watch_token;
    for (mailbox, token) in [
        (&world.team_box, token.as_str()),
        (&world.bruno_box, "AAAA"),
        (&world.bruno_box, "é"),
    ] {
        let refused = refusal(&world.watch(&bruno(), mailbox, token).await.unwrap_err());
        assert_eq!(refused.code, Code::InvalidArgument);
        assert!(refused.has_field("resume_token", "NOT_A_TOKEN"));
    }
    world.watch(&bruno(), &world.bruno_box, &token).await.unwrap();
}

async fn a_token_too_old_is_told_to_list_again(bench: Bench) {
    let world = World::new(bench).await;
    let token = world.inbox(&bruno(), &world.bruno_box).await.watch_token;
    let mut watch = world.watch(&bruno(), &world.bruno_box, &token).await.unwrap();
    let sent = world.anne_writes(&[BRUNO]).await;
    assert_eq!(next_arrival(&mut watch).await.0, sent);
    world.tamper("UPDATE feed_head SET floor = head").await;
    let mut watch = world.watch(&bruno(), &world.bruno_box, &token).await.unwrap();
    let refused = ended(&mut watch).await;
    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (Code::OutOfRange, "FEED_COMPACTED")
    );
    let listed = world.inbox(&bruno(), &world.bruno_box).await;
    assert_eq!(listed.messages[0].message_id, sent);
    let mut watch = world
        .watch(&bruno(), &world.bruno_box, &listed.watch_token)
        .await
        .unwrap();
    let sent = world.anne_writes(&[BRUNO]).await;
    assert_eq!(next_arrival(&mut watch).await.0, sent);
}

/// RFC 8098: a reading is told to a sender that asked for it.
async fn a_retrieval_is_always_told_and_a_reading_when_wanted(bench: Bench) {
    let world = World::new(bench).await;
    let token = world.inbox(&anne(), &world.anne_box).await.watch_token;
    let plain = world.anne_writes(&[BRUNO]).await;
    let wanted = pb::SendMessageRequest {
        request_read_receipt: true,
        ..world.draft(&[BRUNO])
    };
    let wanted = world.send(&anne(), wanted).await.unwrap().message.unwrap().message_id;
    for message in [&plain, &wanted] {
        for _ in 0..2 {
            world.get(&bruno(), &world.bruno_box, message).await.unwrap();
            world.mark_read(&bruno(), &world.bruno_box, message).await.unwrap();
        }
    }
    let mut watch = world.watch(&anne(), &world.anne_box, &token).await.unwrap();
    assert_eq!(next(&mut watch).await.0, Event::Retrieved(plain));
    assert_eq!(next(&mut watch).await.0, Event::Retrieved(wanted.clone()));
    assert_eq!(next(&mut watch).await.0, Event::Read(wanted));
    // Nothing else came in between: the next event is the next thing that happens.
    let from_bruno = pb::SendMessageRequest {
        mailbox_id: world.bruno_box.clone(),
        ..world.draft(&[ANNE])
    };
    let answer = world
        .send(&bruno(), from_bruno)
        .await
        .unwrap()
        .message
        .unwrap()
        .message_id;
    assert_eq!(next_arrival(&mut watch).await.0, answer);
}

async fn a_heartbeat_proves_an_idle_watch_alive(bench: Bench) {
    let mut config = config(&bench);
    config.watch.heartbeat_ms = 20;
    let world = World::with(bench, config).await;
    let mut watch = world.watch(&bruno(), &world.bruno_box, "").await.unwrap();
    let first = watch.message().await.unwrap().unwrap();
    assert_eq!(first.event, None);
    // What happens elsewhere is no event here, and moves the token on.
    world.anne_writes(&[TEAM]).await;
    let moved = async {
        loop {
            let heartbeat = watch.message().await.unwrap().unwrap();
            assert_eq!(heartbeat.event, None);
            if heartbeat.resume_token != first.resume_token {
                return heartbeat.resume_token;
            }
        }
    };
    let token = moved.await;
    let sent = world.anne_writes(&[BRUNO]).await;
    let mut resumed = world.watch(&bruno(), &world.bruno_box, &token).await.unwrap();
    assert_eq!(next_arrival(&mut resumed).await.0, sent);
}

async fn a_slow_reader_is_disconnected_and_misses_nothing(bench: Bench) {
    const MESSAGES: usize = 64;
    let mut config = config(&bench);
    config.watch = WatchSettings {
        heartbeat_ms: 50,
        buffer: 1,
        patience_ms: 100,
    };
    let world = World::with(bench, config).await;
    let token = world.inbox(&bruno(), &world.bruno_box).await.watch_token;
    let recipients = crowd(&world).await;
    let recipients: Vec<&str> = recipients.iter().map(String::as_str).chain([BRUNO]).collect();
    let mut sent = Vec::new();
    for _ in 0..MESSAGES / 8 {
        sent.extend(futures::future::join_all((0..8).map(|_| world.anne_writes(&recipients))).await);
    }

    // A reader with the smallest windows of HTTP/2, which takes nothing.
    let endpoint = Endpoint::from_shared(world.started.url()).unwrap();
    let endpoint = endpoint
        .initial_stream_window_size(65_535)
        .initial_connection_window_size(65_535);
    let mut client = pb::message_service_client::MessageServiceClient::new(endpoint.connect().await.unwrap());
    let request = pb::WatchMailboxRequest {
        mailbox_id: world.bruno_box.clone(),
        resume_token: token.clone(),
    };
    let mut slow = client
        .watch_mailbox(world.bench.request(&bruno(), request))
        .await
        .unwrap()
        .into_inner();
    // Meanwhile a prompt reader counts the time: twenty heartbeats are ten times the patience.
    let mut prompt = world.watch(&anne(), &world.anne_box, "").await.unwrap();
    for _ in 0..20 {
        prompt.message().await.unwrap().unwrap();
    }

    let (mut told, mut last) = (Vec::new(), token);
    let ended = loop {
        match slow.message().await {
            Ok(Some(response)) => {
                last = response.resume_token;
                let Some(Event::Arrived(header)) = response.event else {
                    continue;
                };
                told.push(header.message_id);
            }
            Ok(None) => panic!("the watch ended without a status"),
            Err(status) => break refusal(&status),
        }
    };
    assert_eq!(
        (ended.code, ended.reason.as_str()),
        (Code::ResourceExhausted, "OVERLOADED")
    );
    assert!(told.len() < MESSAGES, "everything was buffered");
    let mut watch = world.watch(&bruno(), &world.bruno_box, &last).await.unwrap();
    while told.len() < MESSAGES {
        told.push(next_arrival(&mut watch).await.0);
    }
    let (told, sent): (BTreeSet<_>, BTreeSet<_>) = (told.into_iter().collect(), sent.into_iter().collect());
    assert_eq!(told, sent);
}

/// Addresses so long that the header of a message to all of them takes 12 KiB.
async fn crowd(world: &World) -> Vec<String> {
    let domain = format!("{}.{}.{}.{DOMAIN}", "a".repeat(60), "b".repeat(60), "c".repeat(40));
    world.allow(&domain).await.unwrap();
    let mut addresses = Vec::new();
    for number in 0..49 {
        let address = format!("{number:02}-e@{domain}");
        world
            .open(&address, pb::MailboxType::Application, testkit::actor::HOSPITAL, true)
            .await
            .unwrap();
        addresses.push(address);
    }
    addresses
}

async fn a_watch_ends_when_the_process_stops(bench: Bench) {
    let world = World::new(bench).await;
    let mut watch = world.watch(&bruno(), &world.bruno_box, "").await.unwrap();
    world.started.running.shutdown();
    let refused = ended(&mut watch).await;
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "DRAINING"));
}

/// Nothing is told on the strength of what was so when the watch began.
async fn a_watch_ends_when_the_mailbox_is_no_longer_the_watchers(bench: Bench) {
    let world = World::new(bench).await;
    let mut watch = world.watch(&bruno(), &world.bruno_box, "").await.unwrap();
    assert_eq!(watch.message().await.unwrap().unwrap().event, None);
    // 810000000017 is Anne.
    world
        .tamper("UPDATE mailboxes SET owner_id = '810000000017' WHERE address = 'bruno@medecin.mssante.fr'")
        .await;
    world.anne_writes(&[BRUNO]).await;
    let refused = refusal(&watch.message().await.unwrap_err());
    assert_eq!((refused.code, refused.reason.as_str()), (Code::NotFound, "NOT_FOUND"));
}

async fn a_second_instance_tells_what_the_first_was_sent(bench: Bench) {
    let world = World::new(bench).await;
    let second = world
        .bench
        .start_with::<Messaging>(world.started.settings.clone())
        .await;
    let mut client = pb::message_service_client::MessageServiceClient::new(second.channel());
    let request = pb::WatchMailboxRequest {
        mailbox_id: world.bruno_box.clone(),
        ..Default::default()
    };
    let mut watch = client
        .watch_mailbox(world.bench.request(&bruno(), request))
        .await
        .unwrap()
        .into_inner();
    let sent = world.anne_writes(&[BRUNO]).await;
    assert_eq!(next_arrival(&mut watch).await.0, sent);
    let request = pb::GetMessageRequest {
        mailbox_id: world.bruno_box.clone(),
        message_id: sent.clone(),
    };
    let there = client
        .get_message(world.bench.request(&bruno(), request))
        .await
        .unwrap()
        .into_inner();
    let here = world.get(&bruno(), &world.bruno_box, &sent).await.unwrap();
    assert_eq!(there, here);
}
