//! Who is calling: bearer tokens of configured issuers, and nothing else.
//!
//! - Each issuer has its keys, its audience and the roles that its tokens may carry: the services' issuer cannot make a
//!   physician, the physicians' issuer cannot make a service.
//! - Each key has one algorithm (EdDSA, ES256 or PS256), decided by the key and never by the token: `none`, and a
//!   public key taken for an HMAC secret (RFC 8725 §2.1), have nothing to hold on to.
//! - Time is checked against the [`Clock`] handed over, on every call, also for a token seen before.
//! - With TLS, a service's token counts only together with that service's certificate.
//! - A service that acts for somebody sends both its own token and that person's: `dmp-on-behalf-of`.

use api::common::v1::{Reason, Role};
use aws_lc_rs::digest;
use http::{HeaderMap, header};
use jiff::SignedDuration;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, Validation};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::time::{Clock, Timestamp};
use tonic::Code;

use crate::config::{Invalid, IssuerSettings, KeySource, Limits};
use crate::reload::{Content, Keyed, Live, Reloads};
use crate::tls::Proof;
use crate::token::{BearerToken, Claims, install_cryptography};
use crate::without::believed;
use crate::{Actor, Failure, Result};

pub(crate) const AUTHORIZATION: &str = "authorization";

/// Metadata by which a service hands on its caller's token.
pub const ON_BEHALF_OF: &str = "dmp-on-behalf-of";

/// Smallest RSA modulus taken (2048 bits; RFC 7518 §3.5).
const RSA_MODULUS_BYTES_MIN: usize = 256;

/// Tokens remembered as verified, per generation: a signature costs more to check than everything else here.
const REMEMBERED_MAX: usize = 4096;

/// Verifies tokens.
pub(crate) struct Authenticator {
    issuers: HashMap<String, Issuer>,
    clock: Clock,
    skew: SignedDuration,
    lifetime_max: SignedDuration,
    token_bytes_max: usize,
    remembered: Mutex<Remembered>,
}

/// Who calls, and the token to forward.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) actor: Arc<Actor>,
    pub(crate) token: BearerToken,
}

struct Issuer {
    roles: Vec<Role>,
    keys: Live<Keys>,
}

struct Keys(Vec<Key>);

struct Key {
    id: Option<String>,
    decoding: DecodingKey,
    validation: Validation,
}

/// A token whose signature, issuer, audience, role and identifiers hold; its time is looked at on each use.
#[derive(Clone)]
struct Verified {
    actor: Arc<Actor>,
    times: Times,
    /// The keys of its issuer at that time: with others, its signature is checked anew.
    keys: Arc<Keys>,
}

#[derive(Clone, Copy, Deserialize)]
struct Times {
    iat: i64,
    exp: i64,
    #[serde(default)]
    nbf: Option<i64>,
}

#[derive(Deserialize)]
struct Token {
    #[serde(flatten)]
    times: Times,
    #[serde(flatten)]
    claims: Claims,
}

#[derive(Deserialize)]
struct Unverified {
    iss: String,
}

impl Authenticator {
    /// Reads the keys of all issuers, those in files again whenever they change.
    pub(crate) fn new(
        issuers: &[IssuerSettings],
        limits: &Limits,
        clock: Clock,
        reloads: &mut Reloads,
    ) -> Result<Self, Invalid> {
        install_cryptography();
        let mut by_name = HashMap::new();
        for (index, settings) in issuers.iter().enumerate() {
            let issuer = Issuer::new(settings, &format!("issuers[{index}]"), reloads)?;
            if by_name.insert(settings.issuer.clone(), issuer).is_some() {
                return Err(Invalid::new(
                    format!("issuers[{index}].issuer"),
                    "each issuer may be listed once",
                ));
            }
        }
        Ok(Self {
            issuers: by_name,
            clock,
            skew: seconds(limits.clock_skew_seconds),
            lifetime_max: seconds(limits.token_lifetime_seconds),
            token_bytes_max: limits.token_bytes,
            remembered: Mutex::default(),
        })
    }

    /// The caller of a request: the bearer, or who a service calls for. A service's own token counts only on a connection
    /// that proves to be its own.
    pub(crate) fn authenticate(&self, headers: &HeaderMap, proof: &Proof) -> Result<Caller> {
        let authorization = single(headers, header::AUTHORIZATION.as_str())?.ok_or_else(Failure::token_missing)?;
        let (scheme, token) = authorization
            .split_once(' ')
            .ok_or_else(|| Failure::token_invalid("NOT_BEARER"))?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Failure::token_invalid("NOT_BEARER"));
        }
        let bearer = self.verify(token)?;
        if bearer.role == Role::Service {
            proof.admits(&bearer.subject)?;
        }
        let Some(forwarded) = single(headers, ON_BEHALF_OF)? else {
            return Ok(Caller {
                actor: bearer,
                token: BearerToken::new(token),
            });
        };
        if bearer.role != Role::Service {
            return Err(Failure::token_invalid("ON_BEHALF_WITHOUT_SERVICE"));
        }
        let mut actor = Arc::unwrap_or_clone(self.verify(forwarded)?);
        // A service acts for people and systems. For itself it shows its own certificate, which a token handed on lacks.
        if actor.role == Role::Service {
            return Err(Failure::token_invalid("ON_BEHALF_OF_A_SERVICE"));
        }
        actor.via_service = Some(bearer.subject.clone());
        Ok(Caller {
            actor: Arc::new(actor),
            token: BearerToken::new(forwarded),
        })
    }

    fn verify(&self, token: &str) -> Result<Arc<Actor>> {
        if let Some(believed) = believed(token) {
            return believed;
        }
        if token.len() > self.token_bytes_max {
            return Err(Failure::token_invalid("TOO_LONG"));
        }
        let fingerprint = fingerprint(token);
        // A statement of its own: in a `match` the lock would be held while the signature is checked.
        let known = self.remembered().find(&fingerprint);
        let verified = match known.filter(|known| self.still_counts(known)) {
            Some(verified) => verified,
            None => self.verify_and_remember(token, fingerprint)?,
        };
        self.check_times(verified.times)?;
        Ok(verified.actor)
    }

    fn still_counts(&self, verified: &Verified) -> bool {
        let issuer = self.issuers.get(&verified.actor.issuer);
        issuer.is_some_and(|issuer| Arc::ptr_eq(&issuer.keys.now(), &verified.keys))
    }

    fn verify_and_remember(&self, token: &str, fingerprint: Fingerprint) -> Result<Verified> {
        let verified = self.verify_once(token)?;
        self.remembered().keep(fingerprint, verified.clone());
        Ok(verified)
    }

    fn verify_once(&self, token: &str) -> Result<Verified> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| Failure::token_invalid("MALFORMED"))?;
        // RFC 7515 §4.1.11: an extension that must be understood, and is not, makes the token invalid.
        if header.crit.is_some() {
            return Err(Failure::token_invalid("CRITICAL_EXTENSION"));
        }
        // Read before the signature is checked, to find the issuer's keys and for nothing else.
        let unverified: Unverified =
            jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| Failure::token_invalid("MALFORMED"))?;
        let issuer = self
            .issuers
            .get(&unverified.iss)
            .ok_or_else(|| Failure::token_invalid("UNKNOWN_ISSUER"))?;
        let keys = issuer.keys.now();
        let key = keys
            .find(header.kid.as_deref())
            .ok_or_else(|| Failure::token_invalid("UNKNOWN_KEY"))?;
        let token: Token = jsonwebtoken::decode(token, &key.decoding, &key.validation)
            .map_err(refusal)?
            .claims;
        self.check_lifetime(token.times)?;
        let actor = token
            .claims
            .actor(&unverified.iss)
            .map_err(|_| Failure::token_invalid("CLAIMS"))?;
        if !issuer.roles.contains(&actor.role) {
            return Err(Failure::token_invalid("ROLE_NOT_OF_ISSUER"));
        }
        Ok(Verified {
            actor: Arc::new(actor),
            times: token.times,
            keys,
        })
    }

    fn check_lifetime(&self, times: Times) -> Result<()> {
        let lifetime = SignedDuration::from_secs(times.exp.saturating_sub(times.iat));
        if !lifetime.is_positive() || lifetime > self.lifetime_max {
            return Err(Failure::token_invalid("LIFETIME"));
        }
        Ok(())
    }

    fn check_times(&self, times: Times) -> Result<()> {
        let now = self.clock.now();
        let (latest, earliest) = (now.saturating_sub(self.skew), now.saturating_add(self.skew));
        let (Ok(latest), Ok(earliest)) = (latest, earliest) else {
            return Err(Failure::internal("the clock stands at the end of time"));
        };
        let expires = instant(times.exp)?;
        if expires <= latest {
            return Err(expired("the access token has expired").with("expired_at", expires.to_string()));
        }
        let begins = instant(times.nbf.map_or(times.iat, |nbf| nbf.max(times.iat)))?;
        if begins > earliest {
            return Err(expired("the access token is not yet valid").with("not_before", begins.to_string()));
        }
        Ok(())
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn seconds(seconds: u64) -> SignedDuration {
    SignedDuration::try_from(Duration::from_secs(seconds)).unwrap_or(SignedDuration::MAX)
}

fn instant(seconds: i64) -> Result<Timestamp> {
    Timestamp::from_second(seconds).map_err(|_| Failure::token_invalid("TIMES"))
}

fn expired(message: &str) -> Failure {
    Failure::new(Code::Unauthenticated, Reason::TokenExpired, message)
}

fn refusal(error: jsonwebtoken::errors::Error) -> Failure {
    use jsonwebtoken::errors::ErrorKind;
    Failure::token_invalid(match error.kind() {
        ErrorKind::InvalidSignature => "SIGNATURE",
        ErrorKind::InvalidAlgorithm => "ALGORITHM",
        ErrorKind::InvalidAudience => "AUDIENCE",
        ErrorKind::InvalidIssuer => "UNKNOWN_ISSUER",
        ErrorKind::Json(_) | ErrorKind::MissingRequiredClaim(_) => "CLAIMS",
        _ => "MALFORMED",
    })
}

/// The one value of a sensitive header. Two of them are two readings of who calls, so neither counts.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value
            .to_str()
            .map(Some)
            .map_err(|_| Failure::token_invalid("MALFORMED")),
        (Some(_), Some(_)) => Err(Failure::token_invalid("DUPLICATE")),
    }
}

impl Issuer {
    /// `at` is the key of these settings.
    fn new(settings: &IssuerSettings, at: &str, reloads: &mut Reloads) -> Result<Self, Invalid> {
        let invalid = |expected: String| Invalid::new(at, expected);
        let keys = match settings.source().map_err(invalid)? {
            KeySource::Here(set) => Live::fixed(Keys::new(set, settings).map_err(invalid)?),
            KeySource::File(path) => {
                let (settings, at) = (settings.clone(), at.to_owned());
                let file = Keyed::new(format!("{at}.jwks_file"), path);
                reloads.load(vec![file], move |contents| {
                    let keys = read_jwks(contents).and_then(|set| Keys::new(&set, &settings));
                    keys.map_err(|expected| Invalid::new(format!("{at}.jwks_file"), expected))
                })?
            }
        };
        Ok(Self {
            roles: settings.roles().map_err(invalid)?,
            keys,
        })
    }
}

impl Keys {
    fn new(set: &JwkSet, settings: &IssuerSettings) -> Result<Self, String> {
        let keys = set
            .keys
            .iter()
            .map(|jwk| Key::new(jwk, settings))
            .collect::<Result<Vec<_>, _>>()?;
        if keys.len() > 1 && keys.iter().any(|key| key.id.is_none()) {
            return Err("each of several keys needs its `kid`".to_owned());
        }
        Ok(Self(keys))
    }

    /// A token may leave out `kid` only when there is nothing to choose.
    fn find(&self, id: Option<&str>) -> Option<&Key> {
        match (id, self.0.as_slice()) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (Some(id), [only]) if only.id.is_none() => Some(only).filter(|_| !id.is_empty()),
            (Some(id), keys) => keys.iter().find(|key| key.id.as_deref() == Some(id)),
        }
    }
}

impl Key {
    fn new(jwk: &Jwk, settings: &IssuerSettings) -> Result<Self, String> {
        let algorithm = algorithm(jwk).ok_or("keys must be Ed25519 (EdDSA), P-256 (ES256) or RSA (PS256)")?;
        let decoding = DecodingKey::from_jwk(jwk).map_err(|_| "a key of the set cannot be read")?;
        if is_weak(&decoding) {
            return Err("RSA keys need 2048 bits or more".to_owned());
        }
        let mut validation = Validation::new(algorithm);
        // Checked in `check_times`, against the clock that is handed over.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        validation.set_issuer(&[&settings.issuer]);
        validation.set_audience(&[&settings.audience]);
        Ok(Self {
            id: jwk.common.key_id.clone(),
            decoding,
            validation,
        })
    }
}

/// The one algorithm of a key, from its type; what the set declares must agree.
fn algorithm(jwk: &Jwk) -> Option<Algorithm> {
    let (algorithm, name) = match &jwk.algorithm {
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::RSA(_) => (Algorithm::PS256, KeyAlgorithm::PS256),
        _ => return None,
    };
    jwk.common
        .key_algorithm
        .is_none_or(|declared| declared == name)
        .then_some(algorithm)
}

fn is_weak(key: &DecodingKey) -> bool {
    match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, .. } => n.len() < RSA_MODULUS_BYTES_MIN,
        DecodingKeyKind::SecretOrDer(_) => false,
    }
}

type Fingerprint = [u8; digest::SHA256_OUTPUT_LEN];

fn fingerprint(token: &str) -> Fingerprint {
    let mut fingerprint = Fingerprint::default();
    let hash = digest::digest(&digest::SHA256, token.as_bytes());
    fingerprint
        .iter_mut()
        .zip(hash.as_ref())
        .for_each(|(to, from)| *to = *from);
    fingerprint
}

/// Verified tokens in two generations: when the young one is full it becomes the old one, and the old one is
/// forgotten. What is used stays, and there are never more than twice [`REMEMBERED_MAX`].
#[derive(Default)]
struct Remembered {
    young: HashMap<Fingerprint, Verified>,
    old: HashMap<Fingerprint, Verified>,
}

impl Remembered {
    fn find(&mut self, token: &Fingerprint) -> Option<Verified> {
        if let Some(verified) = self.young.get(token) {
            return Some(verified.clone());
        }
        let verified = self.old.remove(token)?;
        self.keep(*token, verified.clone());
        Some(verified)
    }

    fn keep(&mut self, token: Fingerprint, verified: Verified) {
        if self.young.len() >= REMEMBERED_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(token, verified);
    }
}

/// Reads a key set (RFC 7517).
fn read_jwks(contents: &[Content]) -> Result<JwkSet, String> {
    let set: Option<JwkSet> = contents.first().and_then(|text| serde_json::from_slice(text).ok());
    let set = set.ok_or("not a JSON Web Key Set (RFC 7517)")?;
    if set.keys.is_empty() {
        return Err("the key set is empty".to_owned());
    }
    Ok(set)
}
