//! The build for measuring.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use super::VARIABLE;
use crate::config::Invalid;
use crate::{Actor, Claims, Failure, Result};

/// Tokens kept; when there are more, all are read anew.
const BELIEVED_MAX: usize = 16_384;

/// What this process leaves out: nothing before it is declared.
static LEFT_OUT: OnceLock<LeftOut> = OnceLock::new();

static BELIEVED: RwLock<BTreeMap<String, Arc<Actor>>> = RwLock::new(BTreeMap::new());

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct LeftOut {
    token: bool,
    consent: bool,
    journal: bool,
    encryption: bool,
}

impl LeftOut {
    fn parse(text: &str) -> Result<Self, Invalid> {
        let mut left_out = Self::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let guarantee = match word {
                "token" => &mut left_out.token,
                "consent" => &mut left_out.consent,
                "journal" => &mut left_out.journal,
                "encryption" => &mut left_out.encryption,
                _ => return Err(Invalid::new(VARIABLE, "must name token, consent, journal, encryption")),
            };
            *guarantee = true;
        }
        Ok(left_out)
    }

    fn now() -> Self {
        LEFT_OUT.get().copied().unwrap_or_default()
    }
}

/// Whether the consent service is left unasked: everybody is let in to everything.
pub fn consent() -> bool {
    LeftOut::now().consent
}

/// Whether the journal is left empty: no access is taken down, nor what would have been written with it (a physician's use for
/// the duty, the event of an exceptional access), nor the deposit of a message, which so is sent but cannot be retrieved;
/// receipts are blank.
pub fn journal() -> bool {
    LeftOut::now().journal
}

/// Whether content is stored as it is. A database that was written so is to be thrown away.
pub fn encryption() -> bool {
    LeftOut::now().encryption
}

/// Reads [`VARIABLE`], once for the process.
///
/// # Errors
/// [`Invalid`] for a word that names no guarantee.
pub fn declare<V: IntoIterator<Item = (OsString, OsString)>>(environment: fn() -> V) -> Result<(), Invalid> {
    let given = environment().into_iter().find(|(name, _)| name == VARIABLE);
    let text = given.map(|(_, text)| text).unwrap_or_default();
    // What is not Unicode names no guarantee either.
    let left_out = LeftOut::parse(&text.to_string_lossy())?;
    LEFT_OUT.get_or_init(|| left_out);
    Ok(())
}

/// Whether a variable is a setting, and not this one.
pub fn is_setting(variable: &str) -> bool {
    variable != VARIABLE
}

/// Such a build serves this machine only.
pub(crate) fn check_listen(address: SocketAddr) -> Result<(), Invalid> {
    if address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    let expected = "must be on loopback: this build can leave guarantees out, and is NOT FOR PRODUCTION";
    Err(Invalid::new("listen", expected))
}

/// Says what is left out, on the way to serving.
pub(crate) fn warn(name: &str) {
    let LeftOut {
        token,
        consent,
        journal,
        encryption,
    } = LeftOut::now();
    tracing::warn!(
        name,
        without_token = token,
        without_consent = consent,
        without_journal = journal,
        without_encryption = encryption,
        "NOT FOR PRODUCTION: this build can leave guarantees out"
    );
}

/// Who a token says that its bearer is; `None` where tokens are verified.
///
/// Left out are: its signature and its key; whether its issuer is configured and may give this role; its audience; its
/// times and how long it lives, for which no clock is asked; its length and its extensions (`crit`); and the fingerprint under
/// which a verified token is remembered: it is found by its text. What stays is its reading, once: claims that make an
/// [`Actor`]. And what goes for the request as a whole: one bearer; only a service acts for somebody, and over TLS shows its own
/// certificate.
pub(crate) fn believed(token: &str) -> Option<Result<Arc<Actor>>> {
    LeftOut::now().token.then(|| believe(token))
}

fn believe(token: &str) -> Result<Arc<Actor>> {
    // A statement of its own: in a `match` the lock would be held while the other one is asked for.
    let known = BELIEVED
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .get(token)
        .cloned();
    if let Some(actor) = known {
        return Ok(actor);
    }
    let actor = Arc::new(read(token)?);
    let mut believed = BELIEVED.write().unwrap_or_else(PoisonError::into_inner);
    if believed.len() >= BELIEVED_MAX {
        believed.clear();
    }
    believed.insert(token.to_owned(), actor.clone());
    Ok(actor)
}

#[derive(Deserialize)]
struct Said {
    iss: String,
    #[serde(flatten)]
    claims: Claims,
}

fn read(token: &str) -> Result<Actor> {
    let said: Said =
        jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| Failure::token_invalid("MALFORMED"))?;
    said.claims
        .actor(&said.iss)
        .map_err(|_| Failure::token_invalid("CLAIMS"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::config::Common;

    #[test]
    fn a_word_that_names_no_guarantee_is_refused() {
        let some = LeftOut::parse("token, journal").unwrap();
        assert!(some.token && some.journal && !some.consent && !some.encryption);
        assert_eq!(LeftOut::parse("").unwrap(), LeftOut::default());
        assert_eq!(LeftOut::parse("token,tls").unwrap_err().key, VARIABLE);
    }

    /// Whatever the configuration says.
    #[test]
    fn it_listens_on_loopback_only() {
        let on = |address: &str| Common {
            listen: address.parse().unwrap(),
            allow_cleartext: true,
            ..Common::default()
        };
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7001", "[::ffff:192.0.2.1]:7001"] {
            assert_eq!(on(address).check_address(on(address).listen).unwrap_err().key, "listen");
        }
        for address in ["127.0.0.1:7001", "[::1]:7001"] {
            on(address).check_address(on(address).listen).unwrap();
        }
    }
}
