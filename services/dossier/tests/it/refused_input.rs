//! Bad input: its canonical code, its reason, its field, and nothing left behind.

use crate::house::{Deposit, House, parts, physician, refused, sample, sample_with};
use api::dossier::v1 as pb;
use api::dossier::v1::submit_document_request::Part;
use dossier::{Checks, Limits};
use futures::StreamExt;
use testkit::{Bench, Refusal, on_both_engines};
use tonic::{Code, Request};

on_both_engines! {
    a_hostile_or_broken_cda_is_refused_with_its_exact_reason,
    unknown_codes_and_identities_are_refused_each_with_its_place,
    an_empty_or_mislabelled_file_is_refused,
    a_broken_stream_leaves_nothing,
    whatever_is_too_large_is_refused_before_it_is_held,
    every_wrong_field_of_a_header_is_told_together,
    every_wrong_field_of_a_listing_is_told_together,
    strict_checking_refuses_what_lenient_checking_notes,
    test_identities_are_for_tests,
    bytes_that_are_no_message_are_refused,
}

async fn nothing_is_there(house: &House) {
    assert!(house.listed(&physician()).await.is_empty());
    assert!(house.listed(&house.holder()).await.is_empty());
}

async fn invalid(house: &House, content: impl Into<Vec<u8>>) -> (String, String) {
    let refusal = refused(house.submit(&physician(), &house.cda(content)).await);
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::InvalidArgument, "DOCUMENT_INVALID"),
        "{refusal:?}"
    );
    let (detail, field) = (
        refusal.metadata["detail"].clone(),
        refusal.metadata.get("field").cloned(),
    );
    assert_ne!(
        field.as_deref(),
        Some(""),
        "a fault of the whole document names no field"
    );
    let field = field.unwrap_or_default();
    assert!(refusal.has_field(&field, &detail), "the first fault is listed too");
    (detail, field)
}

/// The hostile samples, each with the reason its README states.
async fn a_hostile_or_broken_cda_is_refused_with_its_exact_reason(bench: Bench) {
    let house = House::open(bench).await;
    let cases = [
        ("bomb", "XML_DTD_FORBIDDEN", ""),
        ("external-entity", "XML_DTD_FORBIDDEN", ""),
        ("truncated", "XML_MALFORMED", ""),
        ("invalid-utf8", "XML_NOT_UTF8", ""),
        ("wrong-namespace", "CDA_NOT_A_CLINICAL_DOCUMENT", ""),
        ("two-patients", "CDA_SEVERAL_PATIENTS", "ClinicalDocument/recordTarget"),
        ("missing-author", "CDA_ELEMENT_MISSING", "ClinicalDocument/author"),
        ("empty-body", "CDA_BODY_EMPTY", "ClinicalDocument/component"),
        ("bad-ins-key", "INS_KEY", "ClinicalDocument/recordTarget/patientRole/id"),
    ];
    for (name, detail, field) in cases {
        let found = invalid(&house, sample(&format!("hostile/{name}.xml"))).await;
        assert_eq!(found.0, detail, "{name}");
        assert!(found.1.starts_with(field), "{name}: {}", found.1);
    }
    assert_eq!(invalid(&house, "<a>".repeat(1_000)).await.0, "XML_TOO_DEEP");
    assert_eq!(
        invalid(&house, *b"\x00\xff\xfe not a document").await.0,
        "XML_ENCODING_UNSUPPORTED"
    );
    assert_eq!(invalid(&house, "just words").await.0, "XML_MALFORMED");
    assert!(house.script().resolve.seen().is_empty(), "no patient was looked for");
    nothing_is_there(&house).await;
}

async fn unknown_codes_and_identities_are_refused_each_with_its_place(bench: Bench) {
    let house = House::open(bench).await;
    let cases = [
        (
            r#"code code="11488-4""#,
            r#"code code="11488-9""#,
            "UNKNOWN_TYPE_CODE",
            "ClinicalDocument/code",
        ),
        (
            r#"code code="11488-4""#,
            r#"code code="FEUILLE-DE-STYLE""#,
            "UNKNOWN_TYPE_CODE",
            "ClinicalDocument/code",
        ),
        (
            r#"confidentialityCode code="N""#,
            r#"confidentialityCode code="X""#,
            "UNKNOWN_CONFIDENTIALITY_CODE",
            "ClinicalDocument/confidentialityCode",
        ),
        (
            r#"standardIndustryClassCode code="AMBULATOIRE""#,
            r#"standardIndustryClassCode code="LUNAIRE""#,
            "UNKNOWN_PRACTICE_SETTING",
            "ClinicalDocument/documentationOf/",
        ),
        (
            r#"code code="SA07""#,
            r#"code code="SA99""#,
            "UNKNOWN_FACILITY_TYPE",
            "ClinicalDocument/componentOf/",
        ),
        (
            r#"extension="285046912304201""#,
            r#"extension="2850469123042""#,
            "INS_WRONG_LENGTH",
            "ClinicalDocument/recordTarget/patientRole/id",
        ),
        (
            r#"extension="285046912304201""#,
            r#"extension="285006912304201""#,
            "INS_IMPLAUSIBLE_MONTH",
            "ClinicalDocument/recordTarget/patientRole/id",
        ),
        (
            r#"root="1.2.250.1.213.1.4.10""#,
            r#"root="1.2.250.1.213.1.4.13""#,
            "INS_MISSING",
            "ClinicalDocument/recordTarget/patientRole/id",
        ),
    ];
    for (from, to, detail, field) in cases {
        let found = invalid(&house, sample_with("consultation.xml", from, to)).await;
        assert_eq!(found.0, detail, "{to}");
        assert!(found.1.starts_with(field), "{to}: {}", found.1);
    }
    let long = format!(r#"extension="{}""#, "X".repeat(100));
    let found = invalid(
        &house,
        sample_with("consultation.xml", r#"extension="CONSULTATION-1.1""#, &long),
    )
    .await;
    assert_eq!(
        found,
        ("CDA_VALUE_TOO_LONG".to_owned(), "ClinicalDocument/id".to_owned())
    );
    let spaced = sample_with(
        "consultation.xml",
        r#"extension="CONSULTATION-1.1""#,
        r#"extension="CONSULTATION 1.1""#,
    );
    assert_eq!(
        invalid(&house, spaced).await,
        (
            "UNIQUE_ID_WRONG_CHARACTERS".to_owned(),
            "ClinicalDocument/id".to_owned()
        )
    );
    // Several faults are told together.
    let twice = sample_with("consultation.xml", r#"code code="11488-4""#, r#"code code="0""#);
    let twice = String::from_utf8(twice)
        .unwrap()
        .replace(r#"code code="SA07""#, r#"code code="SA99""#);
    let refusal = refused(house.submit(&physician(), &house.cda(twice)).await);
    assert_eq!(refusal.fields.len(), 2, "{:?}", refusal.fields);
    nothing_is_there(&house).await;
}

async fn an_empty_or_mislabelled_file_is_refused(bench: Bench) {
    let house = House::open(bench).await;
    let labelled = |media_type: &str, content: &[u8]| {
        let mut deposit = house.text("2.25.1", 1, "");
        deposit.header.media_type = media_type.to_owned();
        deposit.content = content.to_vec();
        deposit
    };
    for (deposit, detail) in [
        (labelled("application/pdf", b""), "DOCUMENT_EMPTY"),
        (labelled("application/pdf", b"PDF"), "NOT_A_PDF"),
        (labelled("text/plain", b" \n"), "DOCUMENT_EMPTY"),
        (labelled("text/plain", b"caf\xe9"), "TEXT_NOT_UTF8"),
        (house.cda(""), "DOCUMENT_EMPTY"),
    ] {
        let refusal = refused(house.submit(&physician(), &deposit).await);
        assert_eq!(
            (refusal.reason.as_str(), refusal.metadata["detail"].as_str()),
            ("DOCUMENT_INVALID", detail)
        );
    }
    nothing_is_there(&house).await;
}

fn stream_invalid(refusal: &Refusal) -> &str {
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::InvalidArgument, "STREAM_INVALID"),
        "{refusal:?}"
    );
    &refusal.metadata["detail"]
}

/// document_service.proto: a stream that ends early leaves nothing.
async fn a_broken_stream_leaves_nothing(bench: Bench) {
    let house = House::open(bench).await;
    let whole = house.cda(sample("consultation.xml"));
    let size = i64::try_from(whole.content.len()).unwrap();
    let with = |change: &dyn Fn(&mut pb::SubmitDocumentHeader), parts: &dyn Fn(Vec<Part>) -> Vec<Part>| {
        let mut deposit = whole.clone();
        deposit.header.request_id = house.bench.request_id();
        change(&mut deposit.header);
        parts(crate::house::parts(&deposit))
    };
    let half = |parts: Vec<Part>| {
        let Part::Chunk(chunk) = &parts[1] else {
            panic!("a chunk")
        };
        vec![parts[0].clone(), Part::Chunk(chunk[..chunk.len() / 2].to_vec())]
    };
    let same = |parts: Vec<Part>| parts;
    let cases = [
        (vec![], "HEADER_MISSING"),
        (with(&|_| (), &|parts| parts[1..].to_vec()), "HEADER_MISSING"),
        (with(&|header| header.size = size, &half), "ENDED_EARLY"),
        (with(&|header| header.size = size - 1, &same), "SIZE_MISMATCH"),
        (with(&|header| header.sha256 = vec![1; 32], &same), "HASH_MISMATCH"),
        (
            with(&|_| (), &|parts| {
                vec![parts[0].clone(), parts[1].clone(), parts[0].clone()]
            }),
            "HEADER_REPEATED",
        ),
        (
            with(&|_| (), &|parts| vec![parts[0].clone(), Part::Chunk(vec![])]),
            "CHUNK_EMPTY",
        ),
    ];
    for (parts, detail) in cases {
        let refusal = refused(house.submit_parts(&physician(), parts).await);
        assert_eq!(stream_invalid(&refusal), detail);
    }
    let empty = futures::stream::iter([pb::SubmitDocumentRequest { part: None }]);
    let refusal = refused(
        house
            .documents()
            .submit_document(house.bench.request(&physician(), empty))
            .await,
    );
    assert_eq!(stream_invalid(&refusal), "PART_MISSING");
    // A caller that goes away in the middle.
    let parts = with(&|_| (), &half)
        .into_iter()
        .map(|part| pb::SubmitDocumentRequest { part: Some(part) });
    let endless = futures::stream::iter(parts.collect::<Vec<_>>()).chain(futures::stream::pending());
    let mut request = house.bench.request(&physician(), endless);
    request.set_timeout(std::time::Duration::from_millis(500));
    let gone = house.documents().submit_document(request).await.unwrap_err();
    assert!(
        matches!(gone.code(), Code::DeadlineExceeded | Code::Cancelled),
        "{gone:?}"
    );
    // Not announced, cut in the middle: the document itself tells.
    let refusal = refused(house.submit_parts(&physician(), with(&|_| (), &half)).await);
    assert_eq!(
        (refusal.reason.as_str(), refusal.metadata["detail"].as_str()),
        ("DOCUMENT_INVALID", "XML_MALFORMED")
    );
    nothing_is_there(&house).await;
}

/// issue: a 100 MB header; reliability.md P12.
async fn whatever_is_too_large_is_refused_before_it_is_held(bench: Bench) {
    let limits = Limits {
        document_bytes: 300_000,
        upload_bytes: 400_000,
        ..Limits::default()
    };
    let house = House::with(bench, |config| config.limits = limits).await;
    house.open_dossier(&house.bench.request_id()).await.unwrap();
    let too_large = |refusal: Refusal| {
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (Code::ResourceExhausted, "TOO_LARGE")
        );
        (refusal.metadata["limit"].clone(), refusal.metadata["unit"].clone())
    };
    let mut announced = house.cda(sample("consultation.xml"));
    announced.header.size = 100_000_000;
    let refusal = refused(house.submit(&physician(), &announced).await);
    assert_eq!(too_large(refusal), ("300000".to_owned(), "bytes".to_owned()));
    let long = sample_with(
        "consultation.xml",
        "<title>",
        &format!("<title>{}", "x".repeat(400_000)),
    );
    let refusal = refused(house.submit(&physician(), &house.cda(long)).await);
    assert_eq!(too_large(refusal), ("300000".to_owned(), "bytes".to_owned()));
    let chunk = vec![
        Part::Header(house.cda("").header),
        Part::Chunk(vec![b' '; (1 << 20) + 1]),
    ];
    let refusal = refused(house.submit_parts(&physician(), chunk).await);
    assert_eq!(
        too_large(refusal),
        ("1048576".to_owned(), "bytes of a chunk".to_owned())
    );
    let message = vec![Part::Header(house.cda("").header), Part::Chunk(vec![b' '; 5 << 20])];
    let refusal = refused(house.submit_parts(&physician(), message).await);
    assert_eq!(too_large(refusal).1, "bytes");
    let mut header = house.cda("").header;
    header.sha256 = vec![0; 5 << 20];
    let refusal = refused(house.submit_parts(&physician(), vec![Part::Header(header)]).await);
    too_large(refusal);
    nothing_is_there(&house).await;
    // What was refused gave its bytes back.
    house.deposit(&house.cda(sample("consultation.xml"))).await;
}

async fn every_wrong_field_of_a_header_is_told_together(bench: Bench) {
    let house = House::open(bench).await;
    let header = pb::SubmitDocumentHeader {
        request_id: "1".to_owned(),
        dmp_id: "12345678901234567890".to_owned(),
        media_type: "image/png".to_owned(),
        sha256: vec![0; 31],
        size: -1,
        given: Some(pb::GivenMetadata {
            unique_id: "un document".to_owned(),
            type_code: "0".to_owned(),
            service_stop: Some(prost_types::Timestamp {
                seconds: i64::MAX,
                nanos: 0,
            }),
            practice_setting_code: "X".to_owned(),
            healthcare_facility_type_code: "X".to_owned(),
            language: "français".to_owned(),
            ..Default::default()
        }),
        context: Some(crate::house::break_glass("vite")),
        ..Default::default()
    };
    let refusal = refused(
        house
            .submit(
                &physician(),
                &Deposit {
                    header,
                    content: b"x".to_vec(),
                },
            )
            .await,
    );
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::InvalidArgument, "INVALID_FIELDS")
    );
    let expected = [
        ("request_id", "NOT_A_UUID"),
        ("dmp_id", "WRONG_KEY"),
        ("media_type", "UNSUPPORTED"),
        ("sha256", "LENGTH"),
        ("size", "NEGATIVE"),
        ("given.unique_id", "WRONG_CHARACTERS"),
        ("given.type_code", "UNKNOWN_CODE"),
        ("given.title", "REQUIRED"),
        ("given.creation_time", "REQUIRED"),
        ("given.service_stop", "NOT_A_TIME"),
        ("given.practice_setting_code", "UNKNOWN_CODE"),
        ("given.healthcare_facility_type_code", "UNKNOWN_CODE"),
        ("given.language", "NOT_A_LANGUAGE"),
        ("context.reason", "LENGTH"),
    ];
    for (field, reason) in expected {
        assert!(
            refusal.has_field(field, reason),
            "{field} {reason} not in {:?}",
            refusal.fields
        );
    }
    assert_eq!(refusal.fields.len(), expected.len(), "{:?}", refusal.fields);
    let mut both = house.cda(sample("consultation.xml"));
    both.header.given = Some(pb::GivenMetadata::default());
    assert!(refused(house.submit(&physician(), &both).await).has_field("given", "NOT_FOR_CDA"));
    let mut neither = house.text("2.25.1", 1, "texte");
    neither.header.given = None;
    assert!(refused(house.submit(&physician(), &neither).await).has_field("given", "REQUIRED"));
    let mut technical = house.text("2.25.1", 1, "texte");
    technical.header.given.as_mut().unwrap().type_code = "FEUILLE-DE-STYLE".to_owned();
    assert!(refused(house.submit(&physician(), &technical).await).has_field("given.type_code", "TYPE_NOT_FILED"));
    nothing_is_there(&house).await;
}

async fn every_wrong_field_of_a_listing_is_told_together(bench: Bench) {
    let house = House::open(bench).await;
    let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let request = pb::ListDocumentsRequest {
        dmp_id: "1".to_owned(),
        page_size: -1,
        type_codes: vec!["11488-4".to_owned(), "x".to_owned()],
        class_codes: vec!["10".to_owned(); 51],
        service_from: time(2),
        service_to: time(1),
        statuses: vec![1, 0, 9],
        author_id: "x".repeat(129),
        ..Default::default()
    };
    let refusal = refused(house.list(&physician(), request).await);
    let expected = [
        ("page_size", "NEGATIVE"),
        ("dmp_id", "WRONG_LENGTH"),
        ("type_codes[1]", "UNKNOWN_CODE"),
        ("class_codes", "TOO_MANY"),
        ("service_to", "BEFORE_FROM"),
        ("statuses[1]", "UNKNOWN_VALUE"),
        ("statuses[2]", "UNKNOWN_VALUE"),
        ("author_id", "LENGTH"),
    ];
    let expected = expected.map(|(field, reason)| (field.to_owned(), reason.to_owned()));
    assert_eq!(refusal.fields, expected);
    let no_id = refused(house.get(&physician(), "").await);
    assert!(no_id.has_field("unique_id", "REQUIRED"));
}

/// rules.md §3: 35 of 40 published Ps_idNat fail their check digit: strictness is a setting.
async fn strict_checking_refuses_what_lenient_checking_notes(bench: Bench) {
    let strict = Checks {
        professional_id: api::identity::Check::Strict,
        accept_test_identities: true,
        ..Checks::default()
    };
    let lenient = Checks {
        ins: api::identity::Check::Lenient,
        accept_test_identities: true,
        ..Checks::default()
    };
    let wrong = sample_with("consultation.xml", "899900123458", "899900123459");
    let wrong = String::from_utf8(wrong).unwrap().replace("1990000127", "1990000128");
    let house = House::with(bench, |config| config.checks = strict).await;
    house.open_dossier(&house.bench.request_id()).await.unwrap();
    assert_eq!(
        invalid(&house, wrong.clone()).await,
        ("RPPS_CHECK_DIGIT".to_owned(), "ClinicalDocument/author/id".to_owned())
    );
    nothing_is_there(&house).await;
    let mut settings = house.service.settings.clone();
    let House {
        bench,
        service,
        peers,
        dmp_id,
    } = house;
    service.stop().await;
    settings.service.checks = lenient;
    let service = bench.start_with::<dossier::Dossier>(settings).await;
    let house = House {
        bench,
        service,
        peers,
        dmp_id,
    };
    let document = house.deposit(&house.cda(wrong)).await;
    let expected = [
        "author/id: RPPS_CHECK_DIGIT",
        "author/representedOrganization/id: FINESS_CHECK_DIGIT",
        "legalAuthenticator/assignedEntity/id: RPPS_CHECK_DIGIT",
        "legalAuthenticator/assignedEntity/representedOrganization/id: FINESS_CHECK_DIGIT",
    ];
    assert_eq!(document.findings, expected);
    let bad_key = String::from_utf8(sample("hostile/bad-ins-key.xml")).unwrap();
    let bad_key = bad_key.replace("CONSULTATION-1.1", "CONSULTATION-1.2");
    let document = house.deposit(&house.cda(bad_key)).await;
    assert_eq!(document.findings, ["recordTarget/patientRole/id: INS_KEY"]);
}

async fn test_identities_are_for_tests(bench: Bench) {
    let house = House::with(bench, |config| config.checks.accept_test_identities = false).await;
    house.open_dossier(&house.bench.request_id()).await.unwrap();
    assert_eq!(invalid(&house, sample("consultation.xml")).await.0, "INS_TEST_IDENTITY");
    nothing_is_there(&house).await;
}

/// issue: invalid UTF-8 in a field, bytes that are no message at all.
async fn bytes_that_are_no_message_are_refused(bench: Bench) {
    let house = House::open(bench).await;
    let mut raw = tonic::client::Grpc::new(house.service.channel());
    for (path, bytes) in [
        // dmp_id with a byte that is no UTF-8, and a truncated field.
        ("/dmp.dossier.v1.DocumentService/ListDocuments", vec![0x0a, 0x01, 0xff]),
        ("/dmp.dossier.v1.DocumentService/ListDocuments", vec![0x0a, 0x7f]),
    ] {
        raw.ready().await.unwrap();
        let request: Request<Vec<u8>> = house.bench.request(&physician(), bytes);
        let path = path.parse().unwrap();
        let refusal = refused(raw.unary::<_, Vec<u8>, _>(request, path, raw_codec::Raw).await);
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (Code::InvalidArgument, "INVALID_FIELDS")
        );
        assert!(refusal.has_field("", "NOT_PROTOBUF"));
    }
    let deposit = house.cda(sample("consultation.xml"));
    assert_eq!(parts(&deposit).len(), 2);
    nothing_is_there(&house).await;
}

/// Sends bytes as they are.
mod raw_codec {
    use tonic::Status;
    use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

    #[derive(Default)]
    pub(crate) struct Raw;

    impl Codec for Raw {
        type Encode = Vec<u8>;
        type Decode = Vec<u8>;
        type Encoder = Self;
        type Decoder = Self;

        fn encoder(&mut self) -> Self {
            Self
        }

        fn decoder(&mut self) -> Self {
            Self
        }
    }

    impl Encoder for Raw {
        type Item = Vec<u8>;
        type Error = Status;

        fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
            prost::bytes::BufMut::put_slice(buffer, &item);
            Ok(())
        }
    }

    impl Decoder for Raw {
        type Item = Vec<u8>;
        type Error = Status;

        fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
            let length = prost::bytes::Buf::remaining(buffer);
            let mut bytes = vec![0; length];
            prost::bytes::Buf::copy_to_slice(buffer, &mut bytes);
            Ok(Some(bytes))
        }
    }
}
