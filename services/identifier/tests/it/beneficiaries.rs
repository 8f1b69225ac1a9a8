//! Enrolling one beneficiary, reading it, finding it by its matricule.

use std::collections::HashSet;

use api::identifier::v1 as pb;
use api::identity::{Check, DmpId, Ins, InsOid};
use identifier::{Checks, Config, Identifier};
use jiff::SignedDuration;
use testkit::{Bench, actor, on_both_engines, refusal};
use tonic::Code;

use crate::people::{Stage, ins, person, traits};

on_both_engines! {
    an_identifier_is_given_and_read_back,
    an_identity_is_provisional_until_said_otherwise,
    every_violation_is_reported_at_once,
    a_wrong_key_is_refused_strictly,
    a_wrong_key_is_taken_leniently,
    test_identities_are_enrolled_only_where_accepted,
    a_corsican_nir_and_a_temporary_nia_are_enrolled,
    the_same_digits_under_another_oid_are_another_identity,
    a_matricule_has_one_identifier,
    enrolled_by_many_at_once_a_matricule_gets_one_identifier,
    a_repeated_request_answers_the_same_identifier,
    a_request_id_is_not_good_for_another_request,
    a_matricule_resolves_to_its_identifier,
    resolving_names_the_traits_that_differ_and_shows_none,
    who_is_not_there_is_not_found_and_nothing_hints_at_it,
    each_method_has_its_roles,
    a_holder_reads_itself_only,
    nothing_of_a_person_is_in_a_refusal,
    two_instances_serve_one_register,
    an_identifier_survives_the_process,
}

fn lenient() -> Config {
    Config {
        checks: Checks {
            ins: Check::Lenient,
            accept_test_identities: true,
            ..Checks::default()
        },
    }
}

fn accepting_test_identities() -> Config {
    Config {
        checks: Checks {
            accept_test_identities: true,
            ..Checks::default()
        },
    }
}

async fn get(stage: &Stage, dmp_id: &str) -> Result<pb::Beneficiary, tonic::Status> {
    let request = stage.asked(pb::GetBeneficiaryRequest {
        dmp_id: dmp_id.to_owned(),
    });
    stage
        .identifiers()
        .get_beneficiary(request)
        .await
        .map(tonic::Response::into_inner)
}

/// L1111-14, second sentence: an identifier is created for the beneficiary; it means nothing.
async fn an_identifier_is_given_and_read_back(bench: Bench) {
    let stage = Stage::new(bench).await;
    let enrolled = stage.enrol(stage.enrolment_of(1)).await.unwrap();
    assert!(DmpId::parse(&enrolled.dmp_id, Check::Strict).is_ok());
    assert_eq!(
        (enrolled.ins.clone(), enrolled.traits.clone()),
        (person(1).ins, Some(traits()))
    );
    assert_eq!(enrolled.identity_status(), pb::IdentityStatus::Qualified);
    assert_eq!(enrolled.created_at, Some(stage.in_seconds(0)));
    assert!(!enrolled.etag.is_empty());
    stage.bench.time.advance(SignedDuration::from_mins(1));
    assert_eq!(get(&stage, &enrolled.dmp_id).await.unwrap(), enrolled);
    let other = stage.enrol(stage.enrolment_of(2)).await.unwrap();
    assert_ne!(other.dmp_id, enrolled.dmp_id);
}

/// Référentiel national d'identitovigilance: neither proof is "provisoire".
async fn an_identity_is_provisional_until_said_otherwise(bench: Bench) {
    use pb::IdentityStatus::{Provisional, Qualified, Retrieved, Unspecified, Validated};
    let stage = Stage::new(bench).await;
    for (number, said, kept) in [
        (1, Unspecified, Provisional),
        (2, Provisional, Provisional),
        (3, Retrieved, Retrieved),
        (4, Validated, Validated),
        (5, Qualified, Qualified),
    ] {
        let request = pb::EnrolBeneficiaryRequest {
            identity_status: said.into(),
            ..stage.enrolment_of(number)
        };
        let enrolled = stage.enrol(request).await.unwrap();
        assert_eq!(get(&stage, &enrolled.dmp_id).await.unwrap().identity_status(), kept);
        assert_eq!(
            stage.resolve(enrolled.ins.unwrap()).await.unwrap().identity_status(),
            kept
        );
    }
}

/// A caller mends its request once, not field by field.
async fn every_violation_is_reported_at_once(bench: Bench) {
    let stage = Stage::new(bench).await;
    let empty = refusal(&stage.enrol(pb::EnrolBeneficiaryRequest::default()).await.unwrap_err());
    assert_eq!(
        (empty.code, empty.reason.as_str()),
        (Code::InvalidArgument, "INVALID_FIELDS")
    );
    for (field, reason) in [
        ("request_id", "NOT_A_UUID"),
        ("ins", "REQUIRED"),
        ("traits", "REQUIRED"),
    ] {
        assert!(empty.has_field(field, reason), "{empty:?}");
    }
    let hollow = pb::EnrolBeneficiaryRequest {
        request_id: "1".to_owned(),
        ins: Some(pb::Ins {
            matricule: "27903512151898".to_owned(),
            oid: "1.2.250.1.213.1.4.13".to_owned(),
        }),
        traits: Some(pb::StrictTraits::default()),
        identity_status: 9,
    };
    let hollow = refusal(&stage.enrol(hollow).await.unwrap_err());
    let expected = [
        ("request_id", "NOT_A_UUID"),
        // The NIR as social security number may be the insured person's: no INS.
        ("ins.oid", "UNKNOWN_OID"),
        ("ins.matricule", "WRONG_LENGTH"),
        ("traits.birth_family_name", "REQUIRED"),
        ("traits.birth_given_names", "REQUIRED"),
        ("traits.birth_date", "REQUIRED"),
        ("traits.sex", "REQUIRED"),
        ("identity_status", "UNKNOWN_VALUE"),
    ];
    for (field, reason) in expected {
        assert!(hollow.has_field(field, reason), "{field} {reason} in {hollow:?}");
    }
    assert_eq!(hollow.fields.len(), expected.len());
    let wrong = pb::StrictTraits {
        birth_family_name: "DUPONT 2".to_owned(),
        birth_given_names: "É".repeat(101),
        birth_date: "20270101".to_owned(),
        sex: 7,
        birth_place_code: "2C004".to_owned(),
    };
    let wrong = pb::EnrolBeneficiaryRequest {
        traits: Some(wrong),
        ..stage.enrolment_of(1)
    };
    let wrong = refusal(&stage.enrol(wrong).await.unwrap_err());
    for (field, reason) in [
        ("traits.birth_family_name", "WRONG_CHARACTERS"),
        ("traits.birth_given_names", "WRONG_LENGTH"),
        ("traits.birth_date", "IN_THE_FUTURE"),
        ("traits.sex", "UNKNOWN_VALUE"),
        ("traits.birth_place_code", "WRONG_CHARACTERS"),
    ] {
        assert!(wrong.has_field(field, reason), "{field} {reason} in {wrong:?}");
    }
    assert_eq!(wrong.fields.len(), 5);
}

/// Key = 97 − (13 digits mod 97); these published test matricules have wrong ones.
const WRONG_KEYS: [&str; 3] = ["221042545611404", "222127505611201", "276059205062865"];

async fn a_wrong_key_is_refused_strictly(bench: Bench) {
    let stage = Stage::with(bench, accepting_test_identities()).await;
    for matricule in WRONG_KEYS {
        let sent = ins(matricule, InsOid::Test);
        let request = pb::EnrolBeneficiaryRequest {
            ins: Some(sent.clone()),
            ..stage.enrolment_of(1)
        };
        let refused = refusal(&stage.enrol(request).await.unwrap_err());
        assert_eq!(refused.fields, [("ins.matricule".to_owned(), "WRONG_KEY".to_owned())]);
        let refused = refusal(&stage.resolve(sent).await.unwrap_err());
        assert!(refused.has_field("ins.matricule", "WRONG_KEY"));
    }
}

async fn a_wrong_key_is_taken_leniently(bench: Bench) {
    let stage = Stage::with(bench, lenient()).await;
    for matricule in WRONG_KEYS {
        let sent = ins(matricule, InsOid::Test);
        let request = pb::EnrolBeneficiaryRequest {
            ins: Some(sent.clone()),
            ..stage.enrolment_of(1)
        };
        let enrolled = stage.enrol(request).await.unwrap();
        assert_eq!(enrolled.ins, Some(sent.clone()));
        assert_eq!(stage.resolve(sent).await.unwrap().dmp_id, enrolled.dmp_id);
    }
    // The rest is demanded either way.
    for (matricule, reason) in [
        ("22104254561140", "WRONG_LENGTH"),
        ("279195121518989", "IMPLAUSIBLE_MONTH"),
    ] {
        let sent = Some(ins(matricule, InsOid::Test));
        let request = pb::EnrolBeneficiaryRequest {
            ins: sent,
            ..stage.enrolment_of(1)
        };
        assert!(refusal(&stage.enrol(request).await.unwrap_err()).has_field("ins.matricule", reason));
    }
}

/// OIDs .10 and .11 are fictive people: never among real ones.
async fn test_identities_are_enrolled_only_where_accepted(bench: Bench) {
    let stage = Stage::new(bench).await;
    let accepting = stage.bench.start::<Identifier>(accepting_test_identities()).await;
    let mut there = api::identifier::v1::identifier_service_client::IdentifierServiceClient::new(accepting.channel());
    for oid in [InsOid::Test, InsOid::Demo] {
        let sent = Some(ins("279035121518989", oid));
        let request = pb::EnrolBeneficiaryRequest {
            ins: sent,
            ..stage.enrolment_of(1)
        };
        let refused = refusal(&stage.enrol(request.clone()).await.unwrap_err());
        assert_eq!(refused.fields, [("ins.oid".to_owned(), "TEST_IDENTITY".to_owned())]);
        assert!(there.enrol_beneficiary(stage.asked(request)).await.is_ok());
    }
}

/// 2A counts as 19 and 2B as 18; a NIA, leading 7 or 8, is the number of somebody not yet in the register.
async fn a_corsican_nir_and_a_temporary_nia_are_enrolled(bench: Bench) {
    let stage = Stage::new(bench).await;
    let matricules = [
        ("179032A004123", InsOid::Nir),
        ("279032B033045", InsOid::Nir),
        ("7790351215189", InsOid::Nia),
    ];
    for (matricule, oid) in matricules {
        let whole = Ins::from_matricule(matricule, oid).unwrap();
        let sent = ins(whole.as_str(), oid);
        let request = pb::EnrolBeneficiaryRequest {
            ins: Some(sent.clone()),
            ..stage.enrolment_of(1)
        };
        let enrolled = stage.enrol(request).await.unwrap();
        assert_eq!(stage.resolve(sent).await.unwrap().dmp_id, enrolled.dmp_id);
    }
    // A temporary number is no NIR.
    let temporary = Ins::from_matricule("7790351215189", InsOid::Nia).unwrap();
    let sent = Some(ins(temporary.as_str(), InsOid::Nir));
    let request = pb::EnrolBeneficiaryRequest {
        ins: sent,
        ..stage.enrolment_of(1)
    };
    assert!(refusal(&stage.enrol(request).await.unwrap_err()).has_field("ins.matricule", "WRONG_LEADING_DIGIT"));
}

/// A matricule and its OID always travel together.
async fn the_same_digits_under_another_oid_are_another_identity(bench: Bench) {
    let stage = Stage::with(bench, accepting_test_identities()).await;
    let mut identifiers = HashSet::new();
    for oid in InsOid::ALL {
        let sent = ins("279035121518989", oid);
        let missing = refusal(&stage.resolve(sent.clone()).await.unwrap_err());
        assert_eq!(missing.reason, "NOT_FOUND");
        let request = pb::EnrolBeneficiaryRequest {
            ins: Some(sent.clone()),
            ..stage.enrolment_of(1)
        };
        let enrolled = stage.enrol(request).await.unwrap();
        assert_eq!(stage.resolve(sent).await.unwrap().dmp_id, enrolled.dmp_id);
        identifiers.insert(enrolled.dmp_id);
    }
    assert_eq!(identifiers.len(), InsOid::ALL.len());
}

async fn a_matricule_has_one_identifier(bench: Bench) {
    let stage = Stage::new(bench).await;
    let enrolled = stage.enrol(stage.enrolment_of(1)).await.unwrap();
    let others = pb::StrictTraits {
        birth_family_name: "MARTIN".to_owned(),
        ..traits()
    };
    for traits in [traits(), others] {
        let again = pb::EnrolBeneficiaryRequest {
            traits: Some(traits),
            ..stage.enrolment_of(1)
        };
        let refused = refusal(&stage.enrol(again).await.unwrap_err());
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (Code::AlreadyExists, "ALREADY_EXISTS")
        );
        assert_eq!(refused.metadata["resource"], "beneficiary");
        assert_eq!(refused.metadata["dmp_id"], enrolled.dmp_id);
    }
    assert_eq!(get(&stage, &enrolled.dmp_id).await.unwrap(), enrolled);
}

async fn enrolled_by_many_at_once_a_matricule_gets_one_identifier(bench: Bench) {
    let stage = Stage::new(bench).await;
    let requests: Vec<_> = (0..8).map(|_| stage.enrolment_of(1)).collect();
    let answers = futures::future::join_all(requests.into_iter().map(|request| stage.enrol(request))).await;
    let (enrolled, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((enrolled.len(), refused.len()), (1, 7));
    let dmp_id = &enrolled[0].as_ref().unwrap().dmp_id;
    for refused in refused {
        assert_eq!(&refusal(&refused.unwrap_err()).metadata["dmp_id"], dmp_id);
    }
}

/// AIP-155.
async fn a_repeated_request_answers_the_same_identifier(bench: Bench) {
    let stage = Stage::new(bench).await;
    let request = stage.enrolment_of(1);
    let first = stage.enrol(request.clone()).await.unwrap();
    stage.bench.time.advance(SignedDuration::from_mins(5));
    assert_eq!(stage.enrol(request.clone()).await.unwrap(), first);
    let at_once = futures::future::join_all((0..4).map(|_| stage.enrol(request.clone()))).await;
    assert!(at_once.into_iter().all(|answer| answer.unwrap() == first));
}

async fn a_request_id_is_not_good_for_another_request(bench: Bench) {
    let stage = Stage::new(bench).await;
    let request = stage.enrolment_of(1);
    stage.enrol(request.clone()).await.unwrap();
    let other = pb::EnrolBeneficiaryRequest {
        request_id: request.request_id,
        ..stage.enrolment_of(2)
    };
    let refused = refusal(&stage.enrol(other).await.unwrap_err());
    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (Code::InvalidArgument, "REQUEST_ID_REUSED")
    );
    assert_eq!(
        stage.resolve(person(2).ins.unwrap()).await.unwrap_err().code(),
        Code::NotFound
    );
}

async fn a_matricule_resolves_to_its_identifier(bench: Bench) {
    let stage = Stage::new(bench).await;
    let dmp_id = stage.enrolled(1).await;
    let found = stage.resolve(person(1).ins.unwrap()).await.unwrap();
    assert_eq!(found.dmp_id, dmp_id);
    assert_eq!(found.identity_status(), pb::IdentityStatus::Qualified);
    assert!(!found.retired_matricule);
    assert!(found.differing_traits.is_empty());
    let none = pb::ResolveIdentifierRequest::default();
    let refused = stage
        .identifiers()
        .resolve_identifier(stage.asked(none))
        .await
        .unwrap_err();
    assert_eq!(refusal(&refused).fields, [("ins".to_owned(), "REQUIRED".to_owned())]);
}

/// Spellings are compared as civil status writes them: case, accents, hyphens and apostrophes make no difference.
async fn resolving_names_the_traits_that_differ_and_shows_none(bench: Bench) {
    let stage = Stage::new(bench).await;
    stage.enrolled(1).await;
    let spelled = pb::StrictTraits {
        birth_family_name: "l heritier duboeuf".to_owned(),
        birth_given_names: "Zoe-Anne".to_owned(),
        ..traits()
    };
    let other = pb::StrictTraits {
        birth_family_name: "MARTIN".to_owned(),
        birth_given_names: "ZOÉ".to_owned(),
        birth_date: "19790028".to_owned(),
        sex: pb::Sex::Male.into(),
        birth_place_code: "2A004".to_owned(),
    };
    let birth_date_only = pb::StrictTraits {
        birth_date: "19790329".to_owned(),
        ..pb::StrictTraits::default()
    };
    let all = [
        "birth_family_name",
        "birth_given_names",
        "birth_date",
        "sex",
        "birth_place_code",
    ];
    for (given, differing) in [
        (traits(), &[][..]),
        (spelled, &[]),
        (pb::StrictTraits::default(), &[]),
        (birth_date_only, &["birth_date"]),
        (other, &all),
    ] {
        let request = pb::ResolveIdentifierRequest {
            ins: person(1).ins,
            traits: Some(given),
        };
        let found = stage
            .identifiers()
            .resolve_identifier(stage.asked(request))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(found.differing_traits, differing);
    }
    let wrong = pb::StrictTraits {
        birth_date: "1979".to_owned(),
        sex: 9,
        ..pb::StrictTraits::default()
    };
    let request = pb::ResolveIdentifierRequest {
        ins: person(1).ins,
        traits: Some(wrong),
    };
    let refused = refusal(
        &stage
            .identifiers()
            .resolve_identifier(stage.asked(request))
            .await
            .unwrap_err(),
    );
    assert!(refused.has_field("traits.birth_date", "WRONG_LENGTH"));
    assert!(refused.has_field("traits.sex", "UNKNOWN_VALUE"));
}

async fn who_is_not_there_is_not_found_and_nothing_hints_at_it(bench: Bench) {
    let stage = Stage::new(bench).await;
    stage.enrolled(1).await;
    let unknown = refusal(&stage.resolve(person(2).ins.unwrap()).await.unwrap_err());
    let nobody = DmpId::generate([9; 16]);
    let absent = refusal(&get(&stage, nobody.as_str()).await.unwrap_err());
    for refused in [unknown, absent] {
        assert_eq!((refused.code, refused.reason.as_str()), (Code::NotFound, "NOT_FOUND"));
        assert_eq!(
            refused.metadata.into_iter().collect::<Vec<_>>(),
            [("resource".into(), "beneficiary".into())]
        );
    }
    let mistyped = refusal(&get(&stage, "10000000000000000082").await.unwrap_err());
    assert_eq!(mistyped.fields, [("dmp_id".to_owned(), "WRONG_KEY".to_owned())]);
}

async fn each_method_has_its_roles(bench: Bench) {
    let stage = Stage::new(bench).await;
    let dmp_id = stage.enrolled(1).await;
    let callers = [
        ("ADMINISTRATOR", actor::administrator()),
        ("PROFESSIONAL", actor::physician(actor::PHYSICIAN)),
        ("ESTABLISHMENT_SYSTEM", actor::establishment_system()),
        ("AUDITOR", actor::auditor()),
        ("HOLDER", actor::holder(&dmp_id)),
        ("REPRESENTATIVE", actor::representative("parent")),
        ("EXCLUDED_PARTY", actor::excluded_party()),
    ];
    let (get, resolve) = (
        pb::GetBeneficiaryRequest { dmp_id: dmp_id.clone() },
        pb::ResolveIdentifierRequest {
            ins: person(1).ins,
            traits: None,
        },
    );
    let mut client = stage.identifiers();
    for (role, claims) in &callers {
        let admitted = |method: &str, roles: &[&str], error: Option<tonic::Status>| {
            let method = format!("dmp.identifier.v1.IdentifierService/{method}");
            match error.map(|status| refusal(&status)) {
                None => assert!(roles.contains(role), "{role} {method}"),
                Some(refused) if !roles.contains(role) => {
                    assert_eq!(
                        (refused.code, refused.reason.as_str()),
                        (Code::PermissionDenied, "ROLE_FORBIDDEN")
                    );
                    assert_eq!(
                        (&refused.metadata["role"], &refused.metadata["method"]),
                        (&(*role).into(), &method)
                    );
                }
                Some(refused) => panic!("{role} {method} {refused:?}"),
            }
        };
        let number = 100 + role.len();
        let enrolment = stage.bench.request(claims, stage.enrolment_of(number));
        admitted(
            "EnrolBeneficiary",
            &["ADMINISTRATOR"],
            client.enrol_beneficiary(enrolment).await.err(),
        );
        let batches = stage.bench.request(claims, tokio_stream::empty());
        admitted(
            "EnrolBeneficiaries",
            &["ADMINISTRATOR"],
            client.enrol_beneficiaries(batches).await.err(),
        );
        let request = stage.bench.request(claims, get.clone());
        admitted(
            "GetBeneficiary",
            &["ADMINISTRATOR", "HOLDER"],
            client.get_beneficiary(request).await.err(),
        );
        let request = stage.bench.request(claims, resolve.clone());
        let roles = ["ADMINISTRATOR", "PROFESSIONAL", "ESTABLISHMENT_SYSTEM"];
        admitted(
            "ResolveIdentifier",
            &roles,
            client.resolve_identifier(request).await.err(),
        );
    }
    // A service, on its own behalf and for somebody: it reads, and enrols nobody.
    let physician = actor::physician(actor::PHYSICIAN);
    for behalf in [None, Some(&physician)] {
        let request = stage.bench.service_request("dossier", behalf, get.clone());
        assert!(client.get_beneficiary(request).await.is_ok());
        let request = stage.bench.service_request("dossier", behalf, resolve.clone());
        assert!(client.resolve_identifier(request).await.is_ok());
        let request = stage.bench.service_request("dossier", behalf, stage.enrolment_of(200));
        assert_eq!(
            client.enrol_beneficiary(request).await.unwrap_err().code(),
            Code::PermissionDenied
        );
    }
    // L1111-18: whoever is kept out does not come in through a service either.
    let kept_out = actor::excluded_party();
    let request = stage.bench.service_request("dossier", Some(&kept_out), get);
    assert_eq!(
        client.get_beneficiary(request).await.unwrap_err().code(),
        Code::PermissionDenied
    );
}

/// L1111-19: a holder has its own data, and nobody else's; the answer does not tell whether the other exists.
async fn a_holder_reads_itself_only(bench: Bench) {
    let stage = Stage::new(bench).await;
    let (own, other) = (stage.enrolled(1).await, stage.enrolled(2).await);
    let nobody = DmpId::generate([9; 16]).as_str().to_owned();
    let holder = actor::holder(&own);
    let mut client = stage.identifiers();
    let request = stage
        .bench
        .request(&holder, pb::GetBeneficiaryRequest { dmp_id: own.clone() });
    assert_eq!(client.get_beneficiary(request).await.unwrap().into_inner().dmp_id, own);
    let mut refusals = Vec::new();
    for dmp_id in [other, nobody] {
        let request = stage.bench.request(&holder, pb::GetBeneficiaryRequest { dmp_id });
        refusals.push(refusal(&client.get_beneficiary(request).await.unwrap_err()));
    }
    assert_eq!(refusals[0].reason, "NOT_FOUND");
    assert_eq!(refusals[0], refusals[1]);
}

async fn nothing_of_a_person_is_in_a_refusal(bench: Bench) {
    let stage = Stage::new(bench).await;
    stage.enrolled(1).await;
    let wrong = pb::StrictTraits {
        birth_date: "99999999".to_owned(),
        ..traits()
    };
    let wrong = pb::EnrolBeneficiaryRequest {
        ins: Some(ins("279035121518988", InsOid::Nir)),
        traits: Some(wrong),
        ..stage.enrolment_of(1)
    };
    let refusals = [
        stage.enrol(wrong).await.unwrap_err(),
        stage.enrol(stage.enrolment_of(1)).await.unwrap_err(),
        stage.resolve(person(2).ins.unwrap()).await.unwrap_err(),
    ];
    let matricule = person(1).ins.unwrap().matricule;
    for status in refusals {
        // A status shows its details as bytes.
        let shown = format!("{status:?} {}", String::from_utf8_lossy(status.details()));
        for personal in [
            matricule.as_str(),
            "2790351215189",
            "99999999",
            "HÉRITIER",
            "ZOÉ",
            "19790328",
        ] {
            assert!(!shown.contains(personal), "{shown}");
        }
    }
}

/// No state in memory: a second instance on the same database is as good as the first.
async fn two_instances_serve_one_register(bench: Bench) {
    let stage = Stage::new(bench).await;
    let second = stage
        .bench
        .start_with::<Identifier>(stage.service.settings.clone())
        .await;
    let mut there = api::identifier::v1::identifier_service_client::IdentifierServiceClient::new(second.channel());
    let request = stage.enrolment_of(1);
    let enrolled = stage.enrol(request.clone()).await.unwrap();
    assert_eq!(
        there
            .enrol_beneficiary(stage.asked(request))
            .await
            .unwrap()
            .into_inner(),
        enrolled
    );
    let again = there
        .enrol_beneficiary(stage.asked(stage.enrolment_of(1)))
        .await
        .unwrap_err();
    assert_eq!(refusal(&again).metadata["dmp_id"], enrolled.dmp_id);
}

async fn an_identifier_survives_the_process(bench: Bench) {
    let Stage { bench, service } = Stage::new(bench).await;
    let before = Stage { bench, service };
    let request = before.enrolment_of(1);
    let enrolled = before.enrol(request.clone()).await.unwrap();
    let Stage { bench, service } = before;
    let settings = service.stop().await;
    let service = bench.start_with::<Identifier>(settings).await;
    let after = Stage { bench, service };
    assert_eq!(get(&after, &enrolled.dmp_id).await.unwrap(), enrolled);
    assert_eq!(after.enrol(request).await.unwrap(), enrolled);
}
