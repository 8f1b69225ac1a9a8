//! Fourth sentence: secure communication between professionals, with three proofs.

use api::messaging::v1::{
    AllowDomainRequest, GetMessageRequest, ListMessagesRequest, ListReceiptsRequest, MailboxType, MarkReadRequest,
    OpenMailboxRequest, Professional, ProofKind, RegisterProfessionalRequest, SearchDirectoryRequest,
    SendMessageRequest,
};
use std::collections::BTreeSet;

use super::Played;
use super::answer::{Halt, either, granted};
use super::cast::{self, Physician};
use super::clients::Clients;
use super::story::Story;
use crate::verify::sentence;

/// A domain that no operator can have (RFC 2606).
const DOMAIN: &str = "visite.mssante.example";

const BODY: &str = "Cher confrère, merci de bien vouloir revoir ce patient dans un mois.";

struct Mailbox {
    id: String,
    address: String,
}

pub(super) async fn play(story: &mut Story<'_>) -> Played {
    story.told.chapter(
        "7 · Secure messages between professionals",
        "Elle participe également à la conception, à la mise en œuvre et à l'administration d'un système de communication \
         sécurisée permettant l'échange d'informations entre les professionnels de santé.",
    )?;
    allow_domain(&story.clients).await?;
    let sender = open(&story.clients, &story.cast.depositor).await?;
    let recipient = open(&story.clients, &story.cast.reader).await?;
    directory(story, &recipient).await?;
    let message_id = exchange(story, &sender, &recipient).await?;
    stranger_refused(story, &recipient, &message_id).await?;
    three_proofs(story, &sender, &message_id).await
}

async fn allow_domain(clients: &Clients<'_>) -> Result<(), Halt> {
    let request = AllowDomainRequest {
        request_id: clients.request_id(),
        domain: DOMAIN.to_owned(),
    };
    let answered = clients
        .mailboxes()
        .allow_domain(clients.ask(&cast::administrator(), request)?)
        .await;
    match either(answered)? {
        Ok(_) => Ok(()),
        Err(refusal) if refusal.reason == "ALREADY_EXISTS" => Ok(()),
        Err(refusal) => Err(Halt::Chapter(format!("putting a domain on the white list: {refusal}"))),
    }
}

/// Registers a physician in the directory and opens its mailbox.
async fn open(clients: &Clients<'_>, physician: &Physician) -> Result<Mailbox, Halt> {
    let professional = Professional {
        professional_id: physician.id.clone(),
        family_name: physician.family_name.to_owned(),
        given_name: physician.given_name.to_owned(),
        profession: "10".to_owned(),
        specialty: "SM26".to_owned(),
        structure_ids: Vec::new(),
        updated_at: None,
    };
    let request = RegisterProfessionalRequest {
        request_id: clients.request_id(),
        professional: Some(professional),
    };
    let answered = clients
        .directory()
        .register_professional(clients.ask(&cast::administrator(), request)?)
        .await;
    granted("registering a professional", answered)?;
    let request = OpenMailboxRequest {
        request_id: clients.request_id(),
        address: format!("{}.{}@{DOMAIN}", physician.family_name.to_lowercase(), physician.id),
        r#type: MailboxType::Person.into(),
        owner_id: physician.id.clone(),
        unlisted: false,
        description: "Boîte de la visite".to_owned(),
    };
    let answered = clients
        .mailboxes()
        .open_mailbox(clients.ask(&cast::administrator(), request)?)
        .await;
    let mailbox = granted("opening a mailbox", answered)?;
    Ok(Mailbox {
        id: mailbox.mailbox_id,
        address: mailbox.address,
    })
}

/// The directory gives the address by the professional's identifier.
async fn directory(story: &mut Story<'_>, recipient: &Mailbox) -> Played {
    let Story {
        clients, told, cast, ..
    } = story;
    let request = SearchDirectoryRequest {
        query: cast.reader.id.clone(),
        ..SearchDirectoryRequest::default()
    };
    let answered = clients
        .directory()
        .search_directory(clients.ask(&cast.depositor.claims, request)?)
        .await;
    let found = granted("searching the directory", answered)?.found;
    if found.iter().any(|found| found.addresses.contains(&recipient.address)) {
        told.done(&format!(
            "The directory gives {} the address {}.",
            cast.depositor.name(),
            recipient.address
        ))?;
    } else {
        told.failed("the directory does not give the address of a listed mailbox")?;
    }
    Ok(())
}

/// Deposit, retrieval, reading; each with its receipt.
async fn exchange(story: &mut Story<'_>, sender: &Mailbox, recipient: &Mailbox) -> Result<String, Halt> {
    let Story {
        clients,
        told,
        cast,
        proofs_of_messages,
        ..
    } = story;
    let (writer, reader) = (&cast.depositor, &cast.reader);
    let request = SendMessageRequest {
        request_id: clients.request_id(),
        mailbox_id: sender.id.clone(),
        recipients: vec![recipient.address.clone()],
        subject: "Avis".to_owned(),
        body: BODY.to_owned(),
        request_read_receipt: true,
        ..SendMessageRequest::default()
    };
    let sent = granted(
        "sending",
        clients
            .messages()
            .send_message(clients.ask(&writer.claims, request)?)
            .await,
    )?;
    let message_id = sent.message.map(|message| message.message_id).unwrap_or_default();
    told.check(
        "the deposit",
        proofs_of_messages.keep(&message_id, sent.receipt.as_ref()),
    )?;
    let request = ListMessagesRequest {
        mailbox_id: recipient.id.clone(),
        ..ListMessagesRequest::default()
    };
    let answered = clients
        .messages()
        .list_messages(clients.ask(&reader.claims, request)?)
        .await;
    let inbox = granted("listing an inbox", answered)?.messages;
    if !inbox.iter().any(|message| message.message_id == message_id) {
        told.failed("a message just sent is not in its recipient's inbox")?;
    }
    let request = GetMessageRequest {
        mailbox_id: recipient.id.clone(),
        message_id: message_id.clone(),
    };
    let got = granted(
        "retrieving",
        clients
            .messages()
            .get_message(clients.ask(&reader.claims, request)?)
            .await,
    )?;
    told.check(
        "the retrieval",
        proofs_of_messages.keep(&message_id, got.receipt.as_ref()),
    )?;
    if got.body != BODY {
        told.failed("the message retrieved is not the message sent")?;
    }
    let request = MarkReadRequest {
        request_id: clients.request_id(),
        mailbox_id: recipient.id.clone(),
        message_id: message_id.clone(),
    };
    let read = granted(
        "marking as read",
        clients
            .messages()
            .mark_read(clients.ask(&reader.claims, request)?)
            .await,
    )?;
    told.check(
        "the reading",
        proofs_of_messages.keep(&message_id, read.receipt.as_ref()),
    )?;
    told.done(&format!(
        "{} writes to {}, who retrieves it, and says that it was read.",
        writer.name(),
        reader.name()
    ))?;
    Ok(message_id)
}

/// A mailbox is its owner's, and nobody else's.
async fn stranger_refused(story: &mut Story<'_>, mailbox: &Mailbox, message_id: &str) -> Played {
    let request = GetMessageRequest {
        mailbox_id: mailbox.id.clone(),
        message_id: message_id.to_owned(),
    };
    let request = story.clients.ask(&story.cast.unwanted.claims, request)?;
    let answered = story.clients.messages().get_message(request).await;
    let what = format!("{} asks for the message of somebody else", story.cast.unwanted.name());
    story.must_refuse(&what, answered, &["NOT_FOUND", "ACCESS_REFUSED", "ROLE_FORBIDDEN"])?;
    Ok(())
}

async fn three_proofs(story: &mut Story<'_>, sender: &Mailbox, message_id: &str) -> Played {
    let Story {
        clients,
        told,
        cast,
        proofs_of_messages,
        names,
        ..
    } = story;
    let request = ListReceiptsRequest {
        mailbox_id: sender.id.clone(),
        message_id: message_id.to_owned(),
    };
    let answered = clients
        .messages()
        .list_receipts(clients.ask(&cast.depositor.claims, request)?)
        .await;
    let entries = granted("listing the proofs of a message", answered)?.entries;
    let mut kinds = BTreeSet::new();
    for entry in &entries {
        let Some(proof) = &entry.proof else { continue };
        kinds.insert(proof.kind());
        told.check(
            "a proof of a message",
            proofs_of_messages.verified(entry.receipt.as_ref()).map(drop),
        )?;
    }
    if kinds != BTreeSet::from([ProofKind::Deposit, ProofKind::Retrieval, ProofKind::Reading]) || entries.len() != 3 {
        told.failed("a message that was sent, retrieved and read has not exactly three proofs")?;
        return Ok(());
    }
    told.done("The sender holds three proofs, and each is in the signed log of the messaging service:")?;
    for proof in entries.iter().filter_map(|entry| entry.proof.as_ref()) {
        told.because(&sentence::of_proof(proof, names))?;
    }
    let listed: BTreeSet<_> = entries
        .iter()
        .filter_map(|entry| Some(&entry.receipt.as_ref()?.entry_id))
        .collect();
    let kept = proofs_of_messages.of(message_id);
    if kept
        .iter()
        .any(|receipt| !listed.contains(&receipt.entry_id.to_string()))
    {
        told.failed("a receipt given before is of a proof that is not listed")?;
    }
    Ok(())
}
