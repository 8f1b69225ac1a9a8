//! What is deposited is there whole, once, sealed, and about the right person.

use crate::house::{Deposit, House, other_physician, parts, physician, refused, sample, sample_with};
use crate::peers::{granted, on_types, resolved};
use api::consent::v1::DocumentTypes;
use api::dossier::v1 as pb;
use api::dossier::v1::{AccessAction, AccessOutcome, DocumentStatus};
use aws_lc_rs::digest;
use serve::Failure;
use testkit::{Bench, Engine, on_both_engines};
use tonic::{Code, Status};

const CONSULTATION: &str = "2.25.202606482717155381104283791516410327641.1^CONSULTATION-1.1";
pub(crate) const LABORATORY_1: &str = "2.25.202606482717155381104283791516410327641.1^BIOLOGIE-1.1";
pub(crate) const LABORATORY_2: &str = "2.25.202606482717155381104283791516410327641.1^BIOLOGIE-1.2";

on_both_engines! {
    a_cda_document_is_filed_with_complete_metadata_and_read_back_byte_for_byte,
    every_sample_is_filed,
    a_large_pdf_is_read_back_in_chunks_of_at_most_64_kib,
    the_same_document_twice_is_one_document,
    a_repeated_request_is_answered_and_not_done_again,
    a_replacement_deprecates_what_its_author_had_deposited,
    nobody_else_replaces_a_document,
    a_replacement_of_what_was_never_here_is_a_first_version,
    a_document_of_another_person_is_refused,
    a_type_that_the_matrix_does_not_give_is_refused,
    what_a_holder_deposits_needs_no_place_of_care,
    content_is_sealed_before_it_touches_a_disk,
}

/// design.md §8: CDA header read into XDS metadata.
async fn a_cda_document_is_filed_with_complete_metadata_and_read_back_byte_for_byte(bench: Bench) {
    let house = House::open(bench).await;
    let content = sample("consultation.xml");
    let answer = house.submit(&physician(), &house.cda(content.clone())).await.unwrap();
    assert!(!answer.already_there);
    let document = answer.document.unwrap();
    assert_complete(&document);
    assert_eq!(document.unique_id, CONSULTATION);
    assert_eq!(document.r#type.as_ref().unwrap().code, "11488-4");
    assert_eq!(document.class.as_ref().unwrap().code, "10");
    assert_eq!(document.status(), DocumentStatus::Approved);
    assert_eq!(document.submitted_by, "professional:810000000017");
    assert_eq!(document.sha256, digest::digest(&digest::SHA256, &content).as_ref());
    assert_eq!(document.size, i64::try_from(content.len()).unwrap());
    assert_eq!(document.authors[0].author_id, "899900123458");
    assert_eq!(
        document.legal_authenticator.as_ref().unwrap().organization_id,
        "1990000127"
    );
    assert!(document.findings.is_empty(), "{:?}", document.findings);

    let resolved = house.script().resolve.seen();
    let (asked, _) = resolved.last().unwrap();
    assert_eq!(asked.ins.as_ref().unwrap().matricule, "285046912304201");
    let traits = asked.traits.as_ref().unwrap();
    assert_eq!(
        (traits.birth_family_name.as_str(), traits.birth_date.as_str()),
        ("SPECIMEN-ARDOISE", "19850412")
    );
    assert_eq!(
        (traits.birth_given_names.as_str(), traits.birth_place_code.as_str()),
        ("MAELLE JEANNE", "69123")
    );

    let (head, chunks) = house.read(&other_physician(), CONSULTATION).await.unwrap();
    assert_eq!(head.document.as_ref(), Some(&document));
    assert_eq!(chunks.concat(), content);
    assert_eq!(
        house.get(&other_physician(), CONSULTATION).await.unwrap().document,
        Some(document)
    );
    let access = house
        .accesses()
        .await
        .into_iter()
        .find(|it| it.action() == AccessAction::ReadDocument)
        .unwrap();
    assert_eq!(
        (access.document_ids.as_slice(), access.outcome()),
        ([CONSULTATION.to_owned()].as_slice(), AccessOutcome::Granted)
    );
    assert_eq!(
        (access.consent_revision, access.matrix_version.as_str()),
        (7, "2026-01")
    );
    assert_eq!(access.bases[0].rule, "some-rule");
    assert_eq!(Some(access.entry_id), head.receipt.map(|receipt| receipt.entry_id));
}

/// Everything that the contract says of a document, said.
pub(crate) fn assert_complete(document: &pb::Document) {
    for (name, coding) in [
        ("type", &document.r#type),
        ("class", &document.class),
        ("practice_setting", &document.practice_setting),
        ("healthcare_facility_type", &document.healthcare_facility_type),
        ("confidentiality", &document.confidentiality),
    ] {
        let coding = coding.as_ref().unwrap_or_else(|| panic!("no {name}"));
        assert!(
            !coding.code.is_empty() && !coding.system.is_empty() && !coding.label.is_empty(),
            "{name}"
        );
    }
    let texts = [
        ("entry_uuid", &document.entry_uuid),
        ("logical_id", &document.logical_id),
        ("unique_id", &document.unique_id),
        ("dmp_id", &document.dmp_id),
        ("title", &document.title),
        ("language", &document.language),
        ("media_type", &document.media_type),
        ("submitted_by", &document.submitted_by),
        ("etag", &document.etag),
    ];
    assert!(texts.iter().all(|(_, text)| !text.is_empty()), "{texts:?}");
    assert!(!document.authors.is_empty() && document.creation_time.is_some() && document.service_start.is_some());
    assert!(document.size > 0 && document.sha256.len() == 32 && document.submitted_at.is_some());
    assert!(document.visibility.is_some() && document.status() != DocumentStatus::Unspecified);
    if document.media_type == "text/xml" {
        assert!(!document.template_ids.is_empty() && document.legal_authenticator.is_some());
    }
}

async fn every_sample_is_filed(bench: Bench) {
    let house = House::open(bench).await;
    for name in [
        "consultation.xml",
        "laboratory.xml",
        "laboratory-replacement.xml",
        "discharge-letter.xml",
    ] {
        let content = sample(name);
        let document = house.deposit(&house.cda(content.clone())).await;
        assert_complete(&document);
        let (_, chunks) = house.read(&physician(), &document.unique_id).await.unwrap();
        assert_eq!(chunks.concat(), content, "{name}");
    }
    assert_eq!(
        house.listed(&physician()).await.len(),
        3,
        "one of the four was replaced"
    );
}

async fn a_large_pdf_is_read_back_in_chunks_of_at_most_64_kib(bench: Bench) {
    let house = House::open(bench).await;
    let content: Vec<u8> = b"%PDF-1.7\n"
        .iter()
        .copied()
        .chain((0..300_000_u32).map(|at| (at % 251) as u8))
        .collect();
    let mut deposit = house.text("urn:uuid:8d5e778c-e155-4685-95c6-5ff65a362964", 1, "");
    deposit.header.media_type = "application/pdf".to_owned();
    deposit.header.size = i64::try_from(content.len()).unwrap();
    deposit.header.sha256 = digest::digest(&digest::SHA256, &content).as_ref().to_vec();
    deposit.content = content.clone();
    let document = house.deposit(&deposit).await;
    assert_complete(&document);
    assert_eq!(document.authors[0].author_id, testkit::actor::PHYSICIAN);
    let (_, chunks) = house.read(&physician(), &document.unique_id).await.unwrap();
    assert!(chunks.iter().all(|chunk| chunk.len() <= 64 * 1024));
    assert_eq!(chunks.concat(), content);
}

/// "Empty and unchanged documents forbidden" (homologation #176); one `unique_id`, one document.
async fn the_same_document_twice_is_one_document(bench: Bench) {
    let house = House::open(bench).await;
    let first = house
        .submit(&physician(), &house.cda(sample("consultation.xml")))
        .await
        .unwrap();
    // Another request, another depositor.
    let again = house
        .submit(&other_physician(), &house.cda(sample("consultation.xml")))
        .await
        .unwrap();
    assert!(again.already_there);
    assert_eq!(again.document, first.document);
    assert_ne!(again.receipt, first.receipt, "it is an access of its own");
    let other = house.cda(sample_with("consultation.xml", "<title>", "<title>Autre "));
    let refusal = refused(house.submit(&physician(), &other).await);
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::AlreadyExists, "ALREADY_EXISTS")
    );
    assert_eq!(refusal.metadata["resource"], "document");
    assert_eq!(house.last_access().await.outcome(), AccessOutcome::Refused);
    assert_eq!(house.listed(&physician()).await, [CONSULTATION]);
}

/// AIP-155; error.proto: REQUEST_ID_REUSED.
async fn a_repeated_request_is_answered_and_not_done_again(bench: Bench) {
    let house = House::open(bench).await;
    let deposit = house.cda(sample("consultation.xml"));
    let first = house.submit(&physician(), &deposit).await.unwrap();
    // Told or not, the hash is the same content's: the request is the same.
    let mut told = deposit.clone();
    told.header.sha256 = digest::digest(&digest::SHA256, &deposit.content).as_ref().to_vec();
    told.header.size = i64::try_from(deposit.content.len()).unwrap();
    assert_eq!(house.submit(&physician(), &told).await.unwrap(), first);
    let other = Deposit {
        content: sample("laboratory.xml"),
        ..deposit.clone()
    };
    let refusal = refused(house.submit(&physician(), &other).await);
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::InvalidArgument, "REQUEST_ID_REUSED")
    );
    // Another caller's request_id is another one.
    assert!(house.submit(&other_physician(), &deposit).await.unwrap().already_there);
    assert_eq!(house.listed(&physician()).await.len(), 1);
}

/// rules.md 2.2: entryUUID changes at each change of the metadata, logicalId at a replacement only.
async fn a_replacement_deprecates_what_its_author_had_deposited(bench: Bench) {
    let house = House::open(bench).await;
    let old = house.deposit(&house.cda(sample("laboratory.xml"))).await;
    let new = house.deposit(&house.cda(sample("laboratory-replacement.xml"))).await;
    assert_eq!(
        (old.unique_id.as_str(), new.unique_id.as_str()),
        (LABORATORY_1, LABORATORY_2)
    );
    assert_eq!(
        (new.replaces.as_str(), new.set_id == old.set_id, new.version_number),
        (LABORATORY_1, true, 2)
    );
    assert!(new.logical_id != old.logical_id && new.entry_uuid != old.entry_uuid);
    assert!(new.findings.is_empty(), "{:?}", new.findings);
    let replaced = house.get(&physician(), LABORATORY_1).await.unwrap().document.unwrap();
    assert_eq!(replaced.status(), DocumentStatus::Deprecated);
    assert_eq!(replaced.logical_id, old.logical_id);
    assert!(replaced.entry_uuid != old.entry_uuid && replaced.etag != old.etag);
    assert_eq!(house.listed(&physician()).await, [LABORATORY_2], "current documents");
    let deprecated = pb::ListDocumentsRequest {
        statuses: vec![DocumentStatus::Deprecated.into()],
        ..house.list_request()
    };
    let listed = house.list(&physician(), deprecated).await.unwrap().documents;
    let listed: Vec<pb::Document> = listed.into_iter().map(pb::Document::from).collect();
    assert_eq!(listed, [replaced]);
    // What was replaced is not replaced again.
    let third = sample_with("laboratory-replacement.xml", "BIOLOGIE-1.2", "BIOLOGIE-1.3");
    let refusal = refused(house.submit(&physician(), &house.cda(third)).await);
    assert_eq!(refusal.reason, "REPLACEMENT_INVALID");
    // The first version comes again, late: it is there, and stays out of force.
    let late = house
        .submit(&physician(), &house.cda(sample("laboratory.xml")))
        .await
        .unwrap();
    assert!(late.already_there && late.document.unwrap().status() == DocumentStatus::Deprecated);
}

async fn nobody_else_replaces_a_document(bench: Bench) {
    let house = House::open(bench).await;
    let old = house.deposit(&house.cda(sample("laboratory.xml"))).await;
    let refusal = refused(
        house
            .submit(&other_physician(), &house.cda(sample("laboratory-replacement.xml")))
            .await,
    );
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::FailedPrecondition, "REPLACEMENT_INVALID")
    );
    assert_eq!(refusal.metadata["unique_id"], LABORATORY_1);
    assert_eq!(house.get(&physician(), LABORATORY_1).await.unwrap().document, Some(old));
    assert_eq!(house.listed(&physician()).await, [LABORATORY_1]);
    // Its author may, whoever had deposited it.
    let author = testkit::actor::professional("899900543218", "10", "SM03");
    house
        .submit(&author, &house.cda(sample("laboratory-replacement.xml")))
        .await
        .unwrap();
    assert_eq!(house.listed(&physician()).await, [LABORATORY_2]);
}

async fn a_replacement_of_what_was_never_here_is_a_first_version(bench: Bench) {
    let house = House::open(bench).await;
    let document = house.deposit(&house.cda(sample("laboratory-replacement.xml"))).await;
    assert_eq!(document.findings, ["relatedDocument: REPLACED_DOCUMENT_ABSENT"]);
    assert_eq!(document.status(), DocumentStatus::Approved);
    assert_eq!(
        house.get(&physician(), LABORATORY_2).await.unwrap().document,
        Some(document)
    );
}

/// design.md §8: a document whose patient is not the dossier's is refused.
async fn a_document_of_another_person_is_refused(bench: Bench) {
    let house = House::open(bench).await;
    let consultation = || house.cda(sample("consultation.xml"));
    house
        .script()
        .resolve
        .answer(|_| Ok(resolved("12345678901234567890", &[])));
    let refusal = refused(house.submit(&physician(), &consultation()).await);
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::FailedPrecondition, "WRONG_PATIENT")
    );
    house
        .script()
        .resolve
        .answer(|_| Err(Status::from(Failure::not_found("beneficiary"))));
    assert_eq!(
        refused(house.submit(&physician(), &consultation()).await).reason,
        "WRONG_PATIENT"
    );
    let holder = house.dmp_id.clone();
    house
        .script()
        .resolve
        .answer(move |_| Ok(resolved(&holder, &["birth_date", "sex"])));
    let refusal = refused(house.submit(&physician(), &consultation()).await);
    assert_eq!(
        (refusal.reason.as_str(), refusal.metadata["differing"].as_str()),
        ("WRONG_PATIENT", "birth_date,sex")
    );
    let access = house.last_access().await;
    assert_eq!(
        (access.outcome(), access.bases[0].rule.as_str()),
        (AccessOutcome::Refused, "WRONG_PATIENT")
    );
    assert!(house.listed(&physician()).await.is_empty());
    // A matricule that was theirs once is theirs.
    let holder = house.dmp_id.clone();
    house.script().resolve.answer(move |_| {
        Ok(api::identifier::v1::ResolveIdentifierResponse {
            retired_matricule: true,
            ..resolved(&holder, &[])
        })
    });
    let document = house.deposit(&consultation()).await;
    assert_eq!(document.findings, ["recordTarget/patientRole/id: RETIRED_MATRICULE"]);
}

/// R1111-46: within the arrêté's matrix.
async fn a_type_that_the_matrix_does_not_give_is_refused(bench: Bench) {
    let house = House::open(bench).await;
    let only = |all_but, code: &str| {
        on_types(DocumentTypes {
            all_but,
            type_codes: vec![code.to_owned()],
        })
    };
    for grant in [
        only(false, "11502-2"),
        only(true, "11488-4"),
        on_types(DocumentTypes::default()),
    ] {
        house.script().authorize.answer(move |_| Ok(granted(grant.clone())));
        for deposit in [house.cda(sample("consultation.xml")), house.text("2.25.9", 1, "texte")] {
            let refusal = refused(house.submit(&physician(), &deposit).await);
            assert_eq!(
                (refusal.code, refusal.reason.as_str()),
                (Code::PermissionDenied, "ACCESS_REFUSED")
            );
            assert_eq!(
                (refusal.metadata["rule"].as_str(), refusal.metadata["article"].as_str()),
                ("matrix", "R1111-46")
            );
        }
    }
    house
        .script()
        .authorize
        .answer(move |_| Ok(granted(only(false, "11488-4"))));
    assert!(house.listed(&physician()).await.is_empty());
    house.deposit(&house.cda(sample("consultation.xml"))).await;
}

async fn what_a_holder_deposits_needs_no_place_of_care(bench: Bench) {
    let house = House::open(bench).await;
    let mut deposit = house.text("2.25.90", 1, "Mes directives anticipées.");
    let given = deposit.header.given.as_mut().unwrap();
    (given.practice_setting_code, given.healthcare_facility_type_code) = (String::new(), String::new());
    given.type_code = "EXPPAT_3".to_owned();
    let refusal = refused(house.submit(&physician(), &deposit).await);
    assert!(refusal.has_field("given.practice_setting_code", "REQUIRED"));
    assert!(refusal.has_field("given.healthcare_facility_type_code", "REQUIRED"));
    let document = house.submit(&house.holder(), &deposit).await.unwrap().document.unwrap();
    assert_complete(&document);
    assert_eq!(document.practice_setting.unwrap().code, "EXP_PATIENT");
    assert_eq!(document.submitted_by, format!("holder:{}", house.dmp_id));
}

/// reliability.md P11, and design.md §8: encrypted before it touches a disk.
async fn content_is_sealed_before_it_touches_a_disk(bench: Bench) {
    if bench.engine != Engine::Sqlite {
        return;
    }
    let house = House::open(bench).await;
    let canary = "canari jaune sur fond bleu";
    house.deposit(&house.text("2.25.7", 1, canary)).await;
    let files: Vec<_> = std::fs::read_dir(house.bench.folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let databases = files.iter().filter(|path| path.to_string_lossy().contains(".db"));
    let bytes: Vec<u8> = databases.flat_map(|path| std::fs::read(path).unwrap()).collect();
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("2.25.7"), "the search works");
    assert!(!holds(canary));
    assert!(!holds(&canary[..10]));
    assert_eq!(parts(&house.text("2.25.7", 1, canary)).len(), 2);
}
