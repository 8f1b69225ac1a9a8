//! What a minor keeps from its representatives (L1111-5, R1111-33, R1111-50).

use api::common::v1::AccessContext;
use api::consent::v1 as consent;
use api::dossier::v1 as dossier;
use journeys::{CONSULTATION, Stage};
use serve::Claims;
use testkit::{Bench, actor, refusal};

testkit::on_both_engines! {
    what_a_minor_keeps_secret_reaches_no_representative,
}

/// Everything that a parent can ask for, without what necessarily moves: revisions, and the traces of its own asking.
async fn told_to(stage: &Stage, parent: &Claims, dmp_id: &str) -> Vec<String> {
    let documents = stage.list(parent, dmp_id).await.unwrap().documents;
    let request = consent::ListProfessionalsRequest {
        dmp_id: dmp_id.to_owned(),
        show_ended: true,
        ..Default::default()
    };
    let professionals = stage
        .authorizations()
        .list_professionals(stage.request(parent, request))
        .await
        .unwrap();
    let request = consent::ListWhoCanAccessRequest {
        dmp_id: dmp_id.to_owned(),
        ..Default::default()
    };
    let access = stage
        .decisions()
        .list_who_can_access(stage.request(parent, request))
        .await
        .unwrap();
    let request = dossier::ListAccessesRequest {
        dmp_id: dmp_id.to_owned(),
        page_size: 500,
        ..Default::default()
    };
    let accesses = stage
        .journal()
        .list_accesses(stage.request(parent, request))
        .await
        .unwrap()
        .into_inner();
    let others = accesses.entries.into_iter().filter_map(|entry| entry.access);
    let others = others.filter(|access| access.actor.as_ref().is_some_and(|actor| actor.subject != parent.sub));
    let notices = stage.notices(parent, dmp_id).await;
    vec![
        format!("{documents:?}"),
        format!("{:?}", professionals.into_inner().authorizations),
        format!("{:?}", access.into_inner().parties),
        format!("{:?}", others.collect::<Vec<_>>()),
        format!("{notices:?}"),
    ]
}

async fn registered_parent(stage: &Stage, dmp_id: &str) -> Claims {
    let parent = actor::representative("parent");
    let until = stage.bench.clock.now() + jiff::SignedDuration::from_hours(24 * 365);
    let request = consent::RegisterRepresentativeRequest {
        request_id: stage.bench.request_id(),
        dmp_id: dmp_id.to_owned(),
        representative: format!("{}|{}", stage.people().issuer(), parent.sub),
        capacity: consent::Capacity::Parent.into(),
        valid_until: Some(store::time::to_proto(until)),
    };
    let request = stage.request(&actor::administrator(), request);
    stage.representations().register_representative(request).await.unwrap();
    parent
}

async fn submit_in_secret(stage: &Stage, dmp_id: &str, hidden: bool) -> Result<String, tonic::Status> {
    use dossier::submit_document_request::Part;
    let header = dossier::SubmitDocumentHeader {
        request_id: stage.bench.request_id(),
        dmp_id: dmp_id.to_owned(),
        media_type: "text/xml".to_owned(),
        visibility: Some(dossier::Visibility {
            hidden_from_representatives: hidden,
            ..Default::default()
        }),
        context: Some(secretly()),
        ..Default::default()
    };
    let parts = [Part::Header(header), Part::Chunk(CONSULTATION.to_vec())];
    let parts = parts.map(|part| dossier::SubmitDocumentRequest { part: Some(part) });
    let request = stage.request(&actor::physician(actor::PHYSICIAN), tokio_stream::iter(parts));
    let submitted = stage.documents().submit_document(request).await?.into_inner();
    Ok(submitted.document.unwrap().unique_id)
}

fn secretly() -> AccessContext {
    AccessContext {
        secret_connection: true,
        ..Default::default()
    }
}

async fn what_a_minor_keeps_secret_reaches_no_representative(bench: Bench) {
    let stage = Stage::on(bench).await;
    let (dmp_id, _) = stage.open_dossier().await;
    let parent = registered_parent(&stage, &dmp_id).await;
    let before = told_to(&stage, &parent, &dmp_id).await;

    let physician = actor::physician(actor::PHYSICIAN);
    let request = consent::AuthorizeProfessionalRequest {
        request_id: stage.bench.request_id(),
        dmp_id: dmp_id.clone(),
        professional_id: actor::PHYSICIAN.to_owned(),
        secret: true,
        ..Default::default()
    };
    let request = stage.request(&actor::holder(&dmp_id), request);
    stage.authorizations().authorize_professional(request).await.unwrap();
    // rules.md §2.1, #113: in a secret connection nothing is deposited that representatives see.
    let open = submit_in_secret(&stage, &dmp_id, false).await.unwrap_err();
    assert_eq!(refusal(&open).reason, "INVALID_FIELDS");
    let unique_id = submit_in_secret(&stage, &dmp_id, true).await.unwrap();
    let request = dossier::ListDocumentsRequest {
        dmp_id: dmp_id.clone(),
        context: Some(secretly()),
        ..Default::default()
    };
    let listed = stage
        .documents()
        .list_documents(stage.request(&physician, request))
        .await
        .unwrap();
    assert_eq!(listed.into_inner().documents[0].unique_id, unique_id);

    let after = told_to(&stage, &parent, &dmp_id).await;
    assert_eq!(before, after);
    assert!(stage.read(&parent, &dmp_id, &unique_id).await.is_err());
    // The minor sees all of it.
    let holder = actor::holder(&dmp_id);
    assert_eq!(stage.list(&holder, &dmp_id).await.unwrap().documents.len(), 1);
    let request = dossier::ListAccessesRequest {
        dmp_id: dmp_id.clone(),
        secret: true,
        ..Default::default()
    };
    let secret = stage
        .journal()
        .list_accesses(stage.request(&holder, request.clone()))
        .await
        .unwrap();
    let secret = secret.into_inner().entries;
    assert!(
        secret
            .iter()
            .any(|entry| entry.access.as_ref().unwrap().document_ids == [unique_id.clone()])
    );
    let refused = stage
        .journal()
        .list_accesses(stage.request(&parent, request))
        .await
        .unwrap_err();
    assert!(refusal(&refused).has_field("secret", "NOT_YOURS"));
}
