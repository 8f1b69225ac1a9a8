//! Access tokens: what they claim, and how ours are minted.
//!
//! A [`TokenIssuer`] signs with Ed25519 (JWS `EdDSA`, RFC 8037). `dmp token` mints for people, each service mints short
//! tokens for itself. Claims bear the names of Pro Santé Connect where it has one.

use api::common::v1::{AuthenticationLevel, Role};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, OctetKeyPairParameters,
    OctetKeyPairType, PublicKeyUse, ThumbprintHash,
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;
use store::random::Random;
use store::time::{Clock, Timestamp};
use zeroize::Zeroizing;

use crate::actor::{Actor, InvalidActor, Texts};
use crate::failure::role_name;
use crate::{Failure, Result};

/// How long a service's own token lives: long enough to be worth keeping, short enough to need no revocation.
const SERVICE_TOKEN_LIFETIME: Duration = Duration::from_secs(300);

/// A token as sent. Its `Debug` and its errors never show it.
#[derive(Clone, PartialEq, Eq)]
pub struct BearerToken(Arc<Zeroizing<String>>);

impl BearerToken {
    pub(crate) fn new(token: impl Into<String>) -> Self {
        Self(Arc::new(Zeroizing::new(token.into())))
    }

    /// The token itself, to be sent and nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("BearerToken(…)")
    }
}

/// What a token says of its bearer.
#[derive(Clone, Serialize, Deserialize)]
pub struct Claims {
    /// The subject: stable for one person or system at its issuer, without meaning.
    pub sub: String,
    /// The role, in capitals as in the contract: `PROFESSIONAL`.
    pub dmp_role: String,
    /// Ps_idNat.
    #[serde(rename = "SubjectNameID", default, skip_serializing_if = "String::is_empty")]
    pub professional: String,
    /// Profession code (TRE_G15), with or without `^` and its OID, as Pro Santé Connect writes it.
    #[serde(rename = "SubjectRole", default, skip_serializing_if = "OneOrMany::is_empty")]
    pub profession: OneOrMany,
    /// Specialty code (TRE_R38).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub specialty: String,
    /// Struct_idNat.
    #[serde(rename = "SubjectOrganizationID", default, skip_serializing_if = "String::is_empty")]
    pub structure: String,
    /// Level of authentication: `eidas1`, `eidas2`, `eidas3`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub acr: String,
    /// Means of authentication (RFC 8176); `CARD` is the personal card of a professional.
    #[serde(default, skip_serializing_if = "OneOrMany::is_empty")]
    pub amr: OneOrMany,
    /// A holder's own dossier.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dmp_id: String,
}

/// A claim that issuers write as a text or as a list of texts.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// A text.
    One(String),
    /// A list.
    Many(Vec<String>),
}

impl OneOrMany {
    fn is_empty(&self) -> bool {
        self.values().iter().all(String::is_empty)
    }

    fn values(&self) -> &[String] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl From<&str> for OneOrMany {
    fn from(value: &str) -> Self {
        Self::One(value.to_owned())
    }
}

impl Claims {
    /// Claims of a caller of this role; set the others that the role needs: `dmp_id` for a holder, `professional` and
    /// `profession` for a professional.
    pub fn new(subject: impl Into<String>, role: Role) -> Self {
        Self {
            sub: subject.into(),
            dmp_role: role_name(role).to_owned(),
            professional: String::new(),
            profession: OneOrMany::default(),
            specialty: String::new(),
            structure: String::new(),
            acr: String::new(),
            amr: OneOrMany::default(),
            dmp_id: String::new(),
        }
    }

    /// The role claimed; `None` for one that is not the contract's.
    pub fn role(&self) -> Option<Role> {
        Role::from_str_name(&format!("ROLE_{}", self.dmp_role)).filter(|role| *role != Role::Unspecified)
    }

    /// The level of authentication claimed: the card counts whatever `acr` says, for issuers rate it as `eidas1`.
    pub fn authentication_level(&self) -> AuthenticationLevel {
        if self.amr.values().iter().any(|means| means == "CARD") {
            return AuthenticationLevel::PersonalCard;
        }
        match self.acr.as_str() {
            "eidas1" => AuthenticationLevel::Low,
            "eidas2" | "eidas3" => AuthenticationLevel::Substantial,
            _ => AuthenticationLevel::Unspecified,
        }
    }

    /// The one profession; a token that claims several does not say in which the caller acts.
    fn profession(&self) -> Result<&str, InvalidActor> {
        let [profession] = self.profession.values() else {
            return if self.profession.is_empty() {
                Ok("")
            } else {
                Err(InvalidActor("profession"))
            };
        };
        Ok(profession
            .split_once('^')
            .map_or(profession.as_str(), |(code, _system)| code))
    }

    pub(crate) fn actor(&self, issuer: &str) -> Result<Actor, InvalidActor> {
        Texts {
            role: self.role().ok_or(InvalidActor("role"))?,
            subject: &self.sub,
            issuer,
            professional: &self.professional,
            profession: self.profession()?,
            specialty: &self.specialty,
            structure: &self.structure,
            authentication_level: self.authentication_level(),
            dmp_id: &self.dmp_id,
            via_service: "",
        }
        .actor()
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Claims({}, …)", self.dmp_role)
    }
}

/// Why a signing key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read the key file")]
    Unreadable(#[from] std::io::Error),
    /// It is not an Ed25519 private key.
    #[error("not an Ed25519 private key in PKCS#8 (PEM or DER)")]
    Malformed,
}

/// Signs tokens under one issuer's name.
#[derive(Clone)]
pub struct TokenIssuer {
    issuer: String,
    audience: String,
    key: EncodingKey,
    public: Jwk,
}

#[derive(Serialize)]
struct Signed<'a> {
    iss: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
    #[serde(flatten)]
    claims: &'a Claims,
}

impl TokenIssuer {
    /// A new Ed25519 private key, PKCS#8 in PEM: keep it in a file that only its owner reads.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] when the cryptographic library refuses its own key, which it never does.
    pub fn generate_key(random: &Random) -> Result<Zeroizing<String>, KeyError> {
        let seed = Zeroizing::new(random.bytes::<32>());
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_ref()).map_err(|_| KeyError::Malformed)?;
        let der = pair.to_pkcs8v1().map_err(|_| KeyError::Malformed)?;
        let text = Zeroizing::new(STANDARD.encode(der.as_ref()));
        Ok(Zeroizing::new(format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", *text)))
    }

    /// Signs with `key` (PKCS#8, PEM or DER) as `issuer`, for `audience`.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] for any other key.
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>, key: &[u8]) -> Result<Self, KeyError> {
        install_cryptography();
        let der = der_of(key)?;
        let pair = Ed25519KeyPair::from_pkcs8(&der).map_err(|_| KeyError::Malformed)?;
        let public = public_key(&pair)?;
        Ok(Self {
            issuer: issuer.into(),
            audience: audience.into(),
            key: EncodingKey::from_ed_der(&der),
            public,
        })
    }

    /// As [`TokenIssuer::new`], with the key of a file.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_file(
        issuer: impl Into<String>,
        audience: impl Into<String>,
        key: &std::path::Path,
    ) -> Result<Self, KeyError> {
        Self::new(issuer, audience, &Zeroizing::new(std::fs::read(key)?))
    }

    /// The public key, as verifiers take it (RFC 7517). Its `kid` is the key's thumbprint (RFC 7638).
    pub fn jwks(&self) -> JwkSet {
        JwkSet {
            keys: vec![self.public.clone()],
        }
    }

    /// The name under which it signs.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// A token for `claims`, good from now on and for `lifetime`.
    ///
    /// # Errors
    /// INTERNAL when signing fails.
    pub fn mint(&self, claims: &Claims, lifetime: Duration, clock: &Clock) -> Result<BearerToken> {
        let iat = clock.now().as_second();
        let exp = iat.saturating_add(i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX));
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid.clone_from(&self.public.common.key_id);
        let signed = Signed {
            iss: &self.issuer,
            aud: &self.audience,
            iat,
            exp,
            claims,
        };
        let token = jsonwebtoken::encode(&header, &signed, &self.key);
        token
            .map(BearerToken::new)
            .map_err(|_| Failure::internal("a token could not be signed"))
    }
}

impl fmt::Debug for TokenIssuer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TokenIssuer({})", self.issuer)
    }
}

const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";

fn der_of(key: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let Some(text) = std::str::from_utf8(key)
        .ok()
        .map(str::trim)
        .filter(|text| text.starts_with(PEM_BEGIN))
    else {
        return Ok(Zeroizing::new(key.to_vec()));
    };
    let body = text
        .strip_prefix(PEM_BEGIN)
        .and_then(|rest| rest.strip_suffix(PEM_END))
        .ok_or(KeyError::Malformed)?;
    let body: Zeroizing<String> = Zeroizing::new(body.split_whitespace().collect());
    STANDARD
        .decode(body.as_bytes())
        .map(Zeroizing::new)
        .map_err(|_| KeyError::Malformed)
}

fn public_key(pair: &Ed25519KeyPair) -> Result<Jwk, KeyError> {
    let mut public = Jwk {
        common: CommonParameters {
            public_key_use: Some(PublicKeyUse::Signature),
            key_algorithm: Some(KeyAlgorithm::EdDSA),
            ..CommonParameters::default()
        },
        algorithm: AlgorithmParameters::OctetKeyPair(OctetKeyPairParameters {
            key_type: OctetKeyPairType::OctetKeyPair,
            curve: EllipticCurve::Ed25519,
            x: URL_SAFE_NO_PAD.encode(pair.public_key()),
        }),
    };
    public.common.key_id = Some(
        public
            .thumbprint(ThumbprintHash::SHA256)
            .map_err(|_| KeyError::Malformed)?,
    );
    Ok(public)
}

/// jsonwebtoken panics at its first use when another crate's features leave it two backends to choose from.
pub(crate) fn install_cryptography() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // An error means that one is installed already: jsonwebtoken is built with this one only.
        let _installed_before = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    });
}

/// A service's own tokens: minted when needed, kept until a third of their life is left.
#[derive(Clone)]
pub struct ServiceTokens {
    issuer: TokenIssuer,
    claims: Claims,
    clock: Clock,
    kept: Arc<Mutex<Option<Kept>>>,
}

struct Kept {
    token: BearerToken,
    renew_at: Timestamp,
    minted_at: Timestamp,
}

impl ServiceTokens {
    /// Tokens of the service called `name`.
    pub fn new(issuer: TokenIssuer, name: &str, clock: Clock) -> Self {
        Self {
            issuer,
            claims: Claims::new(name, Role::Service),
            clock,
            kept: Arc::default(),
        }
    }

    /// A token with at least a third of its life left.
    ///
    /// # Errors
    /// INTERNAL when signing fails.
    pub fn token(&self) -> Result<BearerToken> {
        let now = self.clock.now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock set back makes a kept token one of the future, which no verifier takes.
        if let Some(kept) = kept
            .as_ref()
            .filter(|kept| kept.minted_at <= now && now < kept.renew_at)
        {
            return Ok(kept.token.clone());
        }
        let token = self.issuer.mint(&self.claims, SERVICE_TOKEN_LIFETIME, &self.clock)?;
        let renew_at = now
            .saturating_add(SERVICE_TOKEN_LIFETIME * 2 / 3)
            .unwrap_or(Timestamp::MAX);
        *kept = Some(Kept {
            token: token.clone(),
            renew_at,
            minted_at: now,
        });
        Ok(token)
    }
}

impl fmt::Debug for ServiceTokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ServiceTokens({})", self.claims.sub)
    }
}
