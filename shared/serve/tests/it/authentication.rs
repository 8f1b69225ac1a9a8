//! Who gets in, and with which words everybody else stays out.

use api::common::v1::{AuthenticationLevel, Reason, Role};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::SignedDuration;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use serve::{Claims, ON_BEHALF_OF, TokenIssuer};
use std::time::Duration;
use store::random::Random;
use tonic::{Code, Request, Status};

use crate::probe::{SERVICE, invoke, invoke_path};
use crate::suite::{
    AUDIENCE, DMP_ID, PEOPLE, PROFESSIONAL, Process, SERVICES, SUBJECT, Suite, detail, refusal, with_metadata,
    with_token,
};

/// Keys and values of a request's metadata.
type Metadata<'a> = &'a [(&'static str, &'a str)];

async fn refused(process: &Process, request: Request<api::common::v1::Actor>) -> Status {
    invoke(process.channel(), "WhoAmI", request)
        .await
        .expect_err("must be refused")
}

/// The claims of a good token, for a test to spoil.
fn good(suite: &Suite) -> Value {
    let now = suite.clock.now().as_second();
    json!({
        "iss": PEOPLE, "aud": AUDIENCE, "iat": now, "exp": now + 600, "sub": SUBJECT, "dmp_role": "PROFESSIONAL",
        "SubjectNameID": PROFESSIONAL, "SubjectRole": ["10^1.2.250.1.213.1.1.5.5"],
    })
}

/// Signs whatever is asked for, with the key of the people's issuer.
fn forge(suite: &Suite, claims: &Value) -> String {
    let der: String = suite.people_key.lines().filter(|line| !line.starts_with('-')).collect();
    let key = EncodingKey::from_ed_der(&STANDARD.decode(der).unwrap());
    jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), claims, &key).unwrap()
}

fn spoiled(suite: &Suite, claim: &str, value: Value) -> String {
    let mut claims = good(suite);
    claims[claim] = value;
    forge(suite, &claims)
}

/// design.md §5: every call carries a bearer token of a configured issuer.
#[tokio::test]
async fn a_known_caller_becomes_an_actor() {
    let suite = Suite::new();
    let process = suite.start().await;
    let actor = invoke(process.channel(), "WhoAmI", suite.request())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(actor.role(), Role::Professional);
    assert_eq!((actor.subject.as_str(), actor.issuer.as_str()), (SUBJECT, PEOPLE));
    assert_eq!(
        (actor.professional_id.as_str(), actor.profession.as_str()),
        (PROFESSIONAL, "10")
    );
    assert_eq!(actor.authentication_level(), AuthenticationLevel::PersonalCard);
    assert_eq!(actor.via_service, "");

    let forged_well = with_token(&forge(&suite, &good(&suite)));
    assert!(
        invoke(process.channel(), "WhoAmI", forged_well).await.is_ok(),
        "the spoiled tokens differ by one claim"
    );
}

/// error.proto, UNAUTHENTICATED: RFC 6750 and RFC 8725.
#[tokio::test]
async fn whoever_is_not_known_is_refused_with_the_reason() {
    let suite = Suite::new();
    let process = suite.start().await;
    let now = suite.clock.now().as_second();
    let token = suite.token(&suite.professional());
    let bearer = format!("Bearer {token}");
    let stranger_key = TokenIssuer::generate_key(&Random::seeded(9)).unwrap();
    let stranger = TokenIssuer::new("https://elsewhere.test", AUDIENCE, stranger_key.as_bytes()).unwrap();
    let impostor = TokenIssuer::new(PEOPLE, AUDIENCE, stranger_key.as_bytes()).unwrap();
    let mint = |issuer: &TokenIssuer, claims: &Claims| {
        issuer
            .mint(claims, Duration::from_secs(60), &suite.clock)
            .unwrap()
            .reveal()
            .to_owned()
    };
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    parts[1] = URL_SAFE_NO_PAD.encode(spoiled_payload(&suite));
    let tampered = parts.join(".");
    let none = [
        URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#),
        parts[1].clone(),
        String::new(),
    ]
    .join(".");
    let public = serde_json::to_value(suite.people.jwks()).unwrap()["keys"][0]["x"]
        .as_str()
        .unwrap()
        .to_owned();
    let hmac_key = EncodingKey::from_secret(&URL_SAFE_NO_PAD.decode(public).unwrap());
    let confused = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &good(&suite), &hmac_key).unwrap();
    let critical = critical_extension(&suite);

    let invalid = |detail| (Reason::TokenInvalid, detail);
    let expired = (Reason::TokenExpired, "");
    let table: Vec<(&str, String, (Reason, &str))> = vec![
        ("not a token", "abc".into(), invalid("MALFORMED")),
        ("tampered payload", tampered, invalid("SIGNATURE")),
        ("alg none", none, invalid("MALFORMED")),
        ("HMAC keyed with the public key", confused, invalid("ALGORITHM")),
        ("critical extension", critical, invalid("CRITICAL_EXTENSION")),
        (
            "foreign issuer",
            mint(&stranger, &suite.professional()),
            invalid("UNKNOWN_ISSUER"),
        ),
        (
            "our issuer's name, another key",
            mint(&impostor, &suite.professional()),
            invalid("UNKNOWN_KEY"),
        ),
        (
            "another audience",
            spoiled(&suite, "aud", json!("bank")),
            invalid("AUDIENCE"),
        ),
        ("no audience", spoiled(&suite, "aud", Value::Null), invalid("CLAIMS")),
        (
            "role of another issuer",
            spoiled(&suite, "dmp_role", json!("SERVICE")),
            invalid("ROLE_NOT_OF_ISSUER"),
        ),
        (
            "unknown role",
            spoiled(&suite, "dmp_role", json!("KING")),
            invalid("CLAIMS"),
        ),
        (
            "professional without number",
            spoiled(&suite, "SubjectNameID", json!("")),
            invalid("CLAIMS"),
        ),
        (
            "professional without profession",
            spoiled(&suite, "SubjectRole", json!([])),
            invalid("CLAIMS"),
        ),
        (
            "two professions",
            spoiled(&suite, "SubjectRole", json!(["10", "21"])),
            invalid("CLAIMS"),
        ),
        (
            "holder without dossier",
            mint(&suite.people, &Claims::new("h", Role::Holder)),
            invalid("CLAIMS"),
        ),
        (
            "lives too long",
            spoiled(&suite, "exp", json!(now + 3601)),
            invalid("LIFETIME"),
        ),
        (
            "lives not at all",
            spoiled(&suite, "exp", json!(now)),
            invalid("LIFETIME"),
        ),
        ("no birth", spoiled(&suite, "iat", Value::Null), invalid("CLAIMS")),
        ("not yet", spoiled(&suite, "nbf", json!(now + 31)), expired),
        ("too long a text", "x".repeat(8193), invalid("TOO_LONG")),
    ];
    for (case, token, (reason, expected)) in table {
        let status = refused(&process, with_token(&token)).await;
        assert_eq!(
            (refusal(&status), &*detail(&status, "detail")),
            ((Code::Unauthenticated, reason), expected),
            "{case}"
        );
    }

    let metadata: [(&str, Metadata<'_>, Reason, &str); 4] = [
        ("nothing", &[], Reason::TokenMissing, ""),
        (
            "another scheme",
            &[("authorization", "Basic dXNlcjpwdw==")],
            Reason::TokenInvalid,
            "NOT_BEARER",
        ),
        (
            "two tokens",
            &[("authorization", &bearer), ("authorization", &bearer)],
            Reason::TokenInvalid,
            "DUPLICATE",
        ),
        (
            "on behalf of somebody, by no service",
            &[("authorization", &bearer), (ON_BEHALF_OF, &token)],
            Reason::TokenInvalid,
            "ON_BEHALF_WITHOUT_SERVICE",
        ),
    ];
    for (case, metadata, reason, expected) in metadata {
        let status = refused(&process, with_metadata(metadata)).await;
        assert_eq!(
            (refusal(&status), &*detail(&status, "detail")),
            ((Code::Unauthenticated, reason), expected),
            "{case}"
        );
    }
}

fn spoiled_payload(suite: &Suite) -> String {
    let mut claims = good(suite);
    claims["SubjectNameID"] = json!("810000000000");
    claims.to_string()
}

fn critical_extension(suite: &Suite) -> String {
    let mut header = Header::new(Algorithm::EdDSA);
    header.crit = Some(vec!["exp-of-tomorrow".to_owned()]);
    let der: String = suite.people_key.lines().filter(|line| !line.starts_with('-')).collect();
    let key = EncodingKey::from_ed_der(&STANDARD.decode(der).unwrap());
    jsonwebtoken::encode(&header, &good(suite), &key).unwrap()
}

/// A token is looked at anew on each call: one that was good a moment ago expires all the same.
#[tokio::test]
async fn time_is_the_clocks() {
    let suite = Suite::new();
    let process = suite.start().await;
    let token = suite.token(&suite.professional());
    assert!(invoke(process.channel(), "WhoAmI", with_token(&token)).await.is_ok());

    suite.manual.advance(SignedDuration::from_secs(600 + 29));
    assert!(
        invoke(process.channel(), "WhoAmI", with_token(&token)).await.is_ok(),
        "within the clocks' difference"
    );
    suite.manual.advance(SignedDuration::from_secs(1));
    let status = refused(&process, with_token(&token)).await;
    assert_eq!(refusal(&status), (Code::Unauthenticated, Reason::TokenExpired));
    assert_eq!(detail(&status, "expired_at"), "2026-11-22T12:10:00Z");

    suite.manual.advance(SignedDuration::from_secs(-630 - 31));
    let status = refused(&process, with_token(&token)).await;
    assert_eq!(refusal(&status), (Code::Unauthenticated, Reason::TokenExpired));
    assert_eq!(detail(&status, "not_before"), "2026-11-22T12:00:00Z");
}

/// design.md §5: service to service, plus the actor on whose behalf.
#[tokio::test]
async fn a_service_acts_for_the_one_whose_token_it_hands_on() {
    let suite = Suite::new();
    let process = suite.start().await;
    let service = format!("Bearer {}", suite.service_token("dossier"));
    let mut holder = Claims::new(SUBJECT, Role::Holder);
    holder.dmp_id = DMP_ID.to_owned();
    let holder = suite.token(&holder);
    let request = with_metadata(&[("authorization", &service), (ON_BEHALF_OF, &holder)]);
    let actor = invoke(process.channel(), "WhoAmI", request).await.unwrap().into_inner();
    assert_eq!((actor.role(), actor.via_service.as_str()), (Role::Holder, "dossier"));
    assert_eq!((actor.dmp_id.as_str(), actor.issuer.as_str()), (DMP_ID, PEOPLE));

    let alone = with_metadata(&[("authorization", &service)]);
    let actor = invoke(process.channel(), "WhoAmI", alone).await.unwrap().into_inner();
    assert_eq!(
        (actor.role(), actor.subject.as_str(), actor.issuer.as_str()),
        (Role::Service, "dossier", SERVICES)
    );

    let spoiled = with_metadata(&[("authorization", &service), (ON_BEHALF_OF, "abc")]);
    assert_eq!(
        refusal(&refused(&process, spoiled).await),
        (Code::Unauthenticated, Reason::TokenInvalid)
    );
    let twice = with_metadata(&[
        ("authorization", &service),
        (ON_BEHALF_OF, &holder),
        (ON_BEHALF_OF, &holder),
    ]);
    assert_eq!(detail(&refused(&process, twice).await, "detail"), "DUPLICATE");
}

/// error.proto, ROLE_FORBIDDEN: metadata role, method.
#[tokio::test]
async fn a_known_caller_of_another_role_is_refused() {
    let suite = Suite::new();
    let process = suite.start().await;
    let status = invoke(process.channel(), "Administer", suite.request())
        .await
        .unwrap_err();
    assert_eq!(refusal(&status), (Code::PermissionDenied, Reason::RoleForbidden));
    assert_eq!(detail(&status, "role"), "PROFESSIONAL");
    assert_eq!(detail(&status, "method"), "dmp.test.v1.ProbeService/Administer");
    let administrator = suite.token(&Claims::new("cnam", Role::Administrator));
    assert!(
        invoke(process.channel(), "Administer", with_token(&administrator))
            .await
            .is_ok()
    );
}

/// reliability.md §2, protocol trickster: authorisation by path is only safe when each method has one path.
#[tokio::test]
async fn only_the_contracts_own_paths_exist() {
    let suite = Suite::new();
    let process = suite.start().await;
    let known = format!("/{SERVICE}/WhoAmI");
    for path in [
        format!("{known}?x=1"),
        format!("{known}?"),
        format!("{known}/"),
        format!("/{known}"),
        known.to_lowercase(),
        known.replace("Who", "%57ho"),
        format!("/{SERVICE}/Nothing"),
        "/dmp.consent.v1.ConsentService/GetConsent".to_owned(),
        "/".to_owned(),
    ] {
        let status = invoke_path(process.channel(), &path, suite.request())
            .await
            .unwrap_err();
        assert_eq!(refusal(&status), (Code::Unimplemented, Reason::Unimplemented), "{path}");
    }
}

/// AIP-155: a request id is remembered per caller, whichever service the call came through.
#[tokio::test]
async fn a_callers_key_is_stable_and_says_nothing() {
    let suite = Suite::new();
    let process = suite.start().await;
    invoke(process.channel(), "WhoAmI", suite.request()).await.unwrap();
    let direct = process.gate.seen.lock().unwrap().clone().unwrap();
    let token = suite.token(&suite.professional());
    let service = format!("Bearer {}", suite.service_token("dossier"));
    let request = with_metadata(&[("authorization", &service), (ON_BEHALF_OF, &token)]);
    invoke(process.channel(), "WhoAmI", request).await.unwrap();
    let through = process.gate.seen.lock().unwrap().clone().unwrap();
    assert_eq!(direct.actor.caller_key(), through.actor.caller_key());
    assert!(!direct.actor.caller_key().contains(SUBJECT));
    let mut other = serve::Actor::clone(&direct.actor);
    other.issuer = SERVICES.to_owned();
    assert_ne!(
        direct.actor.caller_key(),
        other.caller_key(),
        "the same subject at another issuer is somebody else"
    );
    let read_back = serve::Actor::from_proto(&direct.actor.to_proto()).unwrap();
    assert_eq!(read_back, *direct.actor);
}
