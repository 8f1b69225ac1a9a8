//! How messages are sent, listed and read.

use api::messaging::v1 as pb;
use jiff::SignedDuration;
use testkit::actor::{self, HOSPITAL};
use testkit::{Bench, on_both_engines, refusal};
use tonic::Code;

use crate::world::{ANNE, BRUNO, DOMAIN, TEAM, World, anne, bruno, stranger};

on_both_engines! {
    a_message_arrives_in_every_recipients_mailbox,
    a_repeated_request_sends_once,
    a_recipient_that_takes_nothing_leaves_nothing_behind,
    of_several_such_recipients_the_first_is_told,
    a_closed_mailbox_takes_and_sends_nothing_and_stays_readable,
    a_mailbox_closed_meanwhile_gets_no_message_after_its_closing,
    patients_are_not_written_to,
    what_is_not_ones_own_is_not_found,
    the_administrator_reads_no_content,
    an_address_given_twice_gets_one_message,
    limits_are_met_exactly,
    what_is_wrong_with_a_message_is_told_together,
    messages_that_cross_all_arrive,
    a_listing_is_paged_newest_first,
    unread_messages_can_be_listed_alone,
    one_can_write_to_oneself,
    a_reply_names_a_message_of_ones_own_mailbox,
}

fn ids(response: &pb::ListMessagesResponse) -> Vec<String> {
    response
        .messages
        .iter()
        .map(|header| header.message_id.clone())
        .collect()
}

fn sent_of(mailbox_id: &str) -> pb::ListMessagesRequest {
    pb::ListMessagesRequest {
        mailbox_id: mailbox_id.to_owned(),
        folder: pb::Folder::Sent.into(),
        ..Default::default()
    }
}

async fn a_message_arrives_in_every_recipients_mailbox(bench: Bench) {
    let world = World::new(bench).await;
    let dmp_id = api::identity::DmpId::generate([3; 16]).to_string();
    let request = pb::SendMessageRequest {
        dmp_id: dmp_id.clone(),
        ..world.draft(&["Bruno@medecin.mssante.fr", TEAM])
    };
    let sent = world.send(&anne(), request.clone()).await.unwrap().message.unwrap();
    assert_eq!(
        (sent.sender.as_str(), sent.recipients.clone()),
        (ANNE, vec![BRUNO.to_owned(), TEAM.to_owned()])
    );
    assert_eq!(
        (sent.subject.as_str(), sent.dmp_id.as_str()),
        ("Compte rendu", dmp_id.as_str())
    );
    assert_eq!(sent.body_size, request.body.len() as i64);
    assert_eq!(sent.sent_at, Some(store::time::to_proto(world.bench.clock.now())));
    for (claims, mailbox) in [
        (bruno(), &world.bruno_box),
        (actor::establishment_system(), &world.team_box),
    ] {
        assert_eq!(
            world.inbox(&claims, mailbox).await.messages,
            std::slice::from_ref(&sent)
        );
        let read = world.get(&claims, mailbox, &sent.message_id).await.unwrap();
        assert_eq!(read.body, request.body);
        assert_eq!(
            pb::MessageHeader {
                retrieved_at: None,
                ..read.message.unwrap()
            },
            sent
        );
    }
    assert!(world.inbox(&anne(), &world.anne_box).await.messages.is_empty());
    assert_eq!(
        world.list(&anne(), sent_of(&world.anne_box)).await.unwrap().messages,
        std::slice::from_ref(&sent)
    );
    let own = world.get(&anne(), &world.anne_box, &sent.message_id).await.unwrap();
    assert_eq!((own.body, own.receipt), (request.body, None));
}

async fn a_repeated_request_sends_once(bench: Bench) {
    let world = World::new(bench).await;
    let request = world.draft(&[BRUNO]);
    let first = world.send(&anne(), request.clone()).await.unwrap();
    world.bench.time.advance(SignedDuration::from_secs(60));
    let sender = anne();
    let sending = (0..8).map(|_| world.send(&sender, request.clone()));
    for again in futures::future::join_all(sending).await {
        assert_eq!(again.unwrap(), first);
    }
    assert_eq!(world.inbox(&bruno(), &world.bruno_box).await.messages.len(), 1);
    let changed = pb::SendMessageRequest {
        body: "Autre".to_owned(),
        ..request
    };
    assert_eq!(
        refusal(&world.send(&anne(), changed).await.unwrap_err()).reason,
        "REQUEST_ID_REUSED"
    );
}

async fn a_recipient_that_takes_nothing_leaves_nothing_behind(bench: Bench) {
    let world = World::new(bench).await;
    let request = world.draft(&[BRUNO, "inconnu@medecin.mssante.fr", TEAM]);
    let status = world.send(&anne(), request.clone()).await.unwrap_err();
    assert!(!format!("{status:?}").contains("inconnu"));
    let refused = refusal(&status);
    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (Code::FailedPrecondition, "MAILBOX_UNAVAILABLE")
    );
    assert_eq!(
        (
            refused.metadata["recipient"].as_str(),
            refused.metadata["state"].as_str()
        ),
        ("1", "UNKNOWN")
    );
    assert!(world.inbox(&bruno(), &world.bruno_box).await.messages.is_empty());
    assert!(world.inbox(&bruno(), &world.team_box).await.messages.is_empty());
    assert!(
        world
            .list(&anne(), sent_of(&world.anne_box))
            .await
            .unwrap()
            .messages
            .is_empty()
    );
    // Nor is the refusal remembered: the same request takes effect once its recipient exists.
    world
        .open(
            "inconnu@medecin.mssante.fr",
            pb::MailboxType::Application,
            HOSPITAL,
            false,
        )
        .await
        .unwrap();
    world.send(&anne(), request).await.unwrap();
    assert_eq!(world.inbox(&bruno(), &world.bruno_box).await.messages.len(), 1);
}

async fn of_several_such_recipients_the_first_is_told(bench: Bench) {
    let world = World::new(bench).await;
    world.close(&bruno(), &world.bruno_box).await.unwrap();
    let request = world.draft(&[TEAM, "z@medecin.mssante.fr", BRUNO, "a@medecin.mssante.fr"]);
    assert_eq!(
        refusal(&world.send(&anne(), request).await.unwrap_err()).metadata["recipient"],
        "1"
    );
    let request = world.draft(&[TEAM, BRUNO, "a@medecin.mssante.fr"]);
    let refused = refusal(&world.send(&anne(), request).await.unwrap_err());
    assert_eq!(
        (
            refused.metadata["recipient"].as_str(),
            refused.metadata["state"].as_str()
        ),
        ("1", "CLOSED")
    );
}

async fn a_closed_mailbox_takes_and_sends_nothing_and_stays_readable(bench: Bench) {
    let world = World::new(bench).await;
    let message = world.anne_writes(&[BRUNO]).await;
    world.close(&bruno(), &world.bruno_box).await.unwrap();
    let refused = refusal(&world.send(&anne(), world.draft(&[BRUNO])).await.unwrap_err());
    assert_eq!(
        (refused.reason.as_str(), refused.metadata["state"].as_str()),
        ("MAILBOX_UNAVAILABLE", "CLOSED")
    );
    let from_closed = pb::SendMessageRequest {
        mailbox_id: world.bruno_box.clone(),
        ..world.draft(&[ANNE])
    };
    let refused = refusal(&world.send(&bruno(), from_closed).await.unwrap_err());
    assert_eq!(refused.reason, "MAILBOX_UNAVAILABLE");
    assert!(!refused.metadata.contains_key("recipient"));
    assert_eq!(
        ids(&world.inbox(&bruno(), &world.bruno_box).await),
        std::slice::from_ref(&message)
    );
    world.get(&bruno(), &world.bruno_box, &message).await.unwrap();
    world.mark_read(&bruno(), &world.bruno_box, &message).await.unwrap();
}

async fn a_mailbox_closed_meanwhile_gets_no_message_after_its_closing(bench: Bench) {
    let world = World::new(bench).await;
    let (sender, closer) = (anne(), bruno());
    let sending = (0..16).map(|_| world.send(&sender, world.draft(&[BRUNO])));
    let closing = world.close(&closer, &world.bruno_box);
    let (sent, closed) = futures::join!(futures::future::join_all(sending), closing);
    closed.unwrap();
    let acknowledged = sent.iter().filter(|sent| sent.is_ok()).count();
    for refused in sent.into_iter().filter_map(Result::err) {
        assert_eq!(refusal(&refused).reason, "MAILBOX_UNAVAILABLE");
    }
    assert_eq!(
        world.inbox(&bruno(), &world.bruno_box).await.messages.len(),
        acknowledged
    );
    assert_eq!(
        refusal(&world.send(&anne(), world.draft(&[BRUNO])).await.unwrap_err()).reason,
        "MAILBOX_UNAVAILABLE"
    );
}

/// The routing table of confidentiality: every case it does not name is an error with its official code.
async fn patients_are_not_written_to(bench: Bench) {
    let world = World::new(bench).await;
    let request = world.draft(&[BRUNO, "279035121518989@PATIENT.mssante.fr"]);
    let status = world.send(&anne(), request).await.unwrap_err();
    assert!(!format!("{status:?}").contains("279035121518989"));
    let refused = refusal(&status);
    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (Code::FailedPrecondition, "ROUTING_FORBIDDEN")
    );
    assert_eq!(
        (
            refused.metadata["mss_code"].as_str(),
            refused.metadata["recipient"].as_str()
        ),
        ("906", "1")
    );
    assert!(!refused.metadata["label"].is_empty());
    assert!(world.inbox(&bruno(), &world.bruno_box).await.messages.is_empty());
}

/// Absent and not visible are not told apart.
async fn what_is_not_ones_own_is_not_found(bench: Bench) {
    let world = World::new(bench).await;
    let message = world.anne_writes(&[BRUNO]).await;
    let (mailbox, nobody) = (world.bruno_box.clone(), world.bench.request_id());
    let mut answers = Vec::new();
    for (claims, mailbox) in [(stranger(), &mailbox), (anne(), &mailbox), (stranger(), &nobody)] {
        let draft = pb::SendMessageRequest {
            mailbox_id: mailbox.clone(),
            ..world.draft(&[ANNE])
        };
        let listing = pb::ListMessagesRequest {
            mailbox_id: mailbox.clone(),
            ..Default::default()
        };
        let refused = [
            world.send(&claims, draft).await.unwrap_err(),
            world.list(&claims, listing).await.unwrap_err(),
            world.get(&claims, mailbox, &message).await.unwrap_err(),
            world.mark_read(&claims, mailbox, &message).await.unwrap_err(),
            world.receipts(&claims, mailbox, &message).await.unwrap_err(),
            world.watch(&claims, mailbox, "").await.unwrap_err(),
            world.close(&claims, mailbox).await.unwrap_err(),
        ];
        answers.push(refused.map(|status| (refusal(&status), status.message().to_owned())));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
    for (refused, _) in &answers[0] {
        assert_eq!(
            (refused.code, refused.metadata["resource"].as_str()),
            (Code::NotFound, "mailbox")
        );
    }
    // Somebody else's message through one's own mailbox.
    let refused = refusal(&world.get(&anne(), &world.team_box, &message).await.unwrap_err());
    assert_eq!(
        (refused.code, refused.metadata["resource"].as_str()),
        (Code::NotFound, "message")
    );
    assert_eq!(
        refusal(&world.receipts(&anne(), &world.team_box, &message).await.unwrap_err()).code,
        Code::NotFound
    );
    // Its sender cannot say that it was read.
    assert_eq!(
        refusal(&world.mark_read(&anne(), &world.anne_box, &message).await.unwrap_err()).code,
        Code::NotFound
    );
}

/// L1111-14, fourth sentence: the Caisse nationale administers, and never reads content.
async fn the_administrator_reads_no_content(bench: Bench) {
    let world = World::new(bench).await;
    let message = world.anne_writes(&[BRUNO]).await;
    // Even with a token that names the owner's structure.
    let administrator = serve::Claims {
        structure: HOSPITAL.to_owned(),
        ..actor::administrator()
    };
    for claims in [
        administrator,
        actor::auditor(),
        actor::excluded_party(),
        actor::representative("somebody"),
    ] {
        let listing = pb::ListMessagesRequest {
            mailbox_id: world.team_box.clone(),
            ..Default::default()
        };
        for refused in [
            world.send(&claims, world.draft(&[BRUNO])).await.unwrap_err(),
            world.list(&claims, listing).await.unwrap_err(),
            world.get(&claims, &world.bruno_box, &message).await.unwrap_err(),
            world.mark_read(&claims, &world.bruno_box, &message).await.unwrap_err(),
            world.receipts(&claims, &world.bruno_box, &message).await.unwrap_err(),
            world.watch(&claims, &world.bruno_box, "").await.unwrap_err(),
        ] {
            assert_eq!(refusal(&refused).reason, "ROLE_FORBIDDEN");
        }
    }
}

async fn an_address_given_twice_gets_one_message(bench: Bench) {
    let world = World::new(bench).await;
    let sent = world
        .send(&anne(), world.draft(&[BRUNO, "BRUNO@medecin.mssante.fr", TEAM, BRUNO]))
        .await
        .unwrap();
    assert_eq!(sent.message.unwrap().recipients, [BRUNO, TEAM]);
    assert_eq!(world.inbox(&bruno(), &world.bruno_box).await.messages.len(), 1);
}

async fn limits_are_met_exactly(bench: Bench) {
    let world = World::new(bench).await;
    let largest = pb::SendMessageRequest {
        body: "é".repeat(1 << 19),
        ..world.draft(&[BRUNO])
    };
    let sent = world.send(&anne(), largest.clone()).await.unwrap().message.unwrap();
    assert_eq!(sent.body_size, 1 << 20);
    assert!(
        world
            .get(&bruno(), &world.bruno_box, &sent.message_id)
            .await
            .unwrap()
            .body
            == largest.body
    );
    let larger = pb::SendMessageRequest {
        body: format!("{}a", largest.body),
        ..world.draft(&[BRUNO])
    };
    let refused = refusal(&world.send(&anne(), larger).await.unwrap_err());
    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (Code::ResourceExhausted, "TOO_LARGE")
    );
    assert_eq!(
        (refused.metadata["limit"].as_str(), refused.metadata["unit"].as_str()),
        ("1048576", "bytes")
    );
    let many: Vec<String> = (0..51).map(|number| format!("a{number}@{DOMAIN}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let refused = refusal(&world.send(&anne(), world.draft(&many)).await.unwrap_err());
    assert!(refused.has_field("recipients", "TOO_MANY"));
    let refused = refusal(&world.send(&anne(), world.draft(&many[..50])).await.unwrap_err());
    assert_eq!(refused.reason, "MAILBOX_UNAVAILABLE");
}

async fn what_is_wrong_with_a_message_is_told_together(bench: Bench) {
    let world = World::new(bench).await;
    let empty = pb::SendMessageRequest {
        subject: String::new(),
        body: String::new(),
        ..world.draft(&["no address", BRUNO])
    };
    let refused = refusal(&world.send(&anne(), empty).await.unwrap_err());
    assert_eq!(refused.code, Code::InvalidArgument);
    let expected = [
        ("recipients[0]", "NOT_AN_ADDRESS"),
        ("subject", "REQUIRED"),
        ("body", "REQUIRED"),
    ];
    assert_eq!(
        refused.fields,
        expected.map(|(field, reason)| (field.to_owned(), reason.to_owned()))
    );
    let negative = pb::ListMessagesRequest {
        page_size: -1,
        folder: 9,
        ..sent_of(&world.anne_box)
    };
    let refused = refusal(&world.list(&anne(), negative).await.unwrap_err());
    assert!(refused.has_field("page_size", "NEGATIVE") && refused.has_field("folder", "UNKNOWN_VALUE"));
    let unread = pb::ListMessagesRequest {
        unread_only: true,
        ..sent_of(&world.anne_box)
    };
    assert!(refusal(&world.list(&anne(), unread).await.unwrap_err()).has_field("unread_only", "NOT_FOR_SENT"));
}

/// Mailboxes are locked in the order of addresses: two messages that cross do not wait for each other for ever.
async fn messages_that_cross_all_arrive(bench: Bench) {
    let world = World::new(bench).await;
    let sending = (0..32).map(|number| {
        let world = &world;
        async move {
            let from_bruno = pb::SendMessageRequest {
                mailbox_id: world.bruno_box.clone(),
                ..world.draft(&[ANNE, TEAM])
            };
            match number % 2 {
                0 => world.send(&anne(), world.draft(&[BRUNO, TEAM])).await,
                _ => world.send(&bruno(), from_bruno).await,
            }
        }
    });
    for sent in futures::future::join_all(sending).await {
        sent.unwrap();
    }
    assert_eq!(world.inbox(&anne(), &world.anne_box).await.messages.len(), 16);
    assert_eq!(world.inbox(&bruno(), &world.bruno_box).await.messages.len(), 16);
    assert_eq!(world.inbox(&bruno(), &world.team_box).await.messages.len(), 32);
}

async fn a_listing_is_paged_newest_first(bench: Bench) {
    let world = World::new(bench).await;
    let mut sent = Vec::new();
    for _ in 0..5 {
        sent.push(world.anne_writes(&[BRUNO]).await);
    }
    sent.reverse();
    let first = pb::ListMessagesRequest {
        page_size: 2,
        mailbox_id: world.bruno_box.clone(),
        ..Default::default()
    };
    let mut request = first.clone();
    let (mut seen, mut watch_tokens) = (Vec::new(), Vec::new());
    loop {
        let page = world.list(&bruno(), request.clone()).await.unwrap();
        seen.extend(ids(&page));
        watch_tokens.push(page.watch_token);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
        // What arrives while pages are turned belongs to the next listing.
        world.anne_writes(&[BRUNO]).await;
        let foreign = pb::ListMessagesRequest {
            unread_only: true,
            ..request.clone()
        };
        assert_eq!(
            refusal(&world.list(&bruno(), foreign).await.unwrap_err()).reason,
            "PAGE_TOKEN_INVALID"
        );
    }
    assert_eq!(seen, sent);
    watch_tokens.dedup();
    assert_eq!(watch_tokens.len(), 1);
    assert_eq!(
        ids(&world.list(&anne(), sent_of(&world.anne_box)).await.unwrap())[2..],
        sent
    );
}

async fn unread_messages_can_be_listed_alone(bench: Bench) {
    let world = World::new(bench).await;
    let (first, second) = (world.anne_writes(&[BRUNO]).await, world.anne_writes(&[BRUNO]).await);
    world.get(&bruno(), &world.bruno_box, &first).await.unwrap();
    let unread = pb::ListMessagesRequest {
        unread_only: true,
        mailbox_id: world.bruno_box.clone(),
        ..Default::default()
    };
    // Retrieved is not read.
    assert_eq!(
        ids(&world.list(&bruno(), unread.clone()).await.unwrap()),
        [second.clone(), first.clone()]
    );
    let read = world
        .mark_read(&bruno(), &world.bruno_box, &first)
        .await
        .unwrap()
        .message
        .unwrap();
    assert_eq!(read.read_at, Some(store::time::to_proto(world.bench.clock.now())));
    assert_eq!(ids(&world.list(&bruno(), unread).await.unwrap()), [second]);
    let listed = world.inbox(&bruno(), &world.bruno_box).await;
    assert!(listed.messages[0].read_at.is_none() && listed.messages[1].read_at.is_some());
}

async fn one_can_write_to_oneself(bench: Bench) {
    let world = World::new(bench).await;
    let message = world.anne_writes(&[ANNE]).await;
    assert_eq!(
        ids(&world.inbox(&anne(), &world.anne_box).await),
        std::slice::from_ref(&message)
    );
    assert_eq!(
        ids(&world.list(&anne(), sent_of(&world.anne_box)).await.unwrap()),
        std::slice::from_ref(&message)
    );
    assert!(
        world
            .get(&anne(), &world.anne_box, &message)
            .await
            .unwrap()
            .receipt
            .is_some()
    );
    assert_eq!(
        world.receipts(&anne(), &world.anne_box, &message).await.unwrap().len(),
        2
    );
}

async fn a_reply_names_a_message_of_ones_own_mailbox(bench: Bench) {
    let world = World::new(bench).await;
    let message = world.anne_writes(&[BRUNO]).await;
    let reply = pb::SendMessageRequest {
        mailbox_id: world.bruno_box.clone(),
        in_reply_to: message.clone(),
        ..world.draft(&[ANNE])
    };
    assert_eq!(
        world
            .send(&bruno(), reply.clone())
            .await
            .unwrap()
            .message
            .unwrap()
            .in_reply_to,
        message
    );
    let foreign = pb::SendMessageRequest {
        request_id: world.bench.request_id(),
        mailbox_id: world.team_box.clone(),
        ..reply
    };
    assert_eq!(
        refusal(&world.send(&bruno(), foreign).await.unwrap_err()).metadata["resource"],
        "message"
    );
}
