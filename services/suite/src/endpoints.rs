//! Where the four services of a suite answer, and the channels to them.

use serde::{Deserialize, Serialize};
use serve::tls::{Client, TlsError};
use std::io;
use std::path::PathBuf;
use store::time::Clock;
use tonic::transport::Channel;

/// Where the four services answer: all over TLS, or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoints {
    /// As `http://127.0.0.1:7001`, or `https://…` with [`Endpoints::trust`].
    pub identifier: String,
    /// As `http://127.0.0.1:7002`.
    pub consent: String,
    /// As `http://127.0.0.1:7003`.
    pub dossier: String,
    /// As `http://127.0.0.1:7004`.
    pub messaging: String,
    /// File with the certificates of the authorities that count (PEM); in `endpoints.toml` relative to its folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<PathBuf>,
    /// The domain in which the services have their names, as `dmp.example`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_domain: Option<String>,
}

/// Why a suite cannot be called.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// One of two settings without the other.
    #[error("`trust` and `trust_domain` go together: whose certificates count, and for which names")]
    Incomplete,
    /// The authorities' certificates cannot be read.
    #[error("`trust`: {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The authorities' certificates are none, or the trust domain has no such name.
    #[error("`{key}`")]
    Tls {
        /// Which setting.
        key: &'static str,
        /// Why.
        source: TlsError,
    },
    /// An address is none, or is not for TLS where the others are.
    #[error("the address of the {service} service must be {expected}")]
    Address {
        /// Which service.
        service: &'static str,
        /// What would be right.
        expected: &'static str,
    },
}

/// A channel to each service, connected when first used.
#[derive(Debug, Clone)]
pub struct Channels {
    /// To the identifier service.
    pub identifier: Channel,
    /// To the consent service.
    pub consent: Channel,
    /// To the dossier service.
    pub dossier: Channel,
    /// To the messaging service.
    pub messaging: Channel,
}

impl Endpoints {
    /// Channels to the services, for whoever comes with a token and no certificate. Over TLS each leads to the service of
    /// that name and to nobody else.
    ///
    /// # Errors
    /// [`EndpointError`]; a service that is away is found out when it is called.
    pub fn channels(&self, clock: &Clock) -> Result<Channels, EndpointError> {
        let tls = self.client(clock)?;
        let channel = |service: &'static str, address: &str| {
            let (made, expected) = match &tls {
                Some(tls) => (tls.channel(service, address), "https://host:port, as `trust` is given"),
                None => (
                    serve::cleartext_channel(service, address),
                    "http://host:port, or https://host:port with `trust` and `trust_domain`",
                ),
            };
            made.map_err(|_| EndpointError::Address { service, expected })
        };
        Ok(Channels {
            identifier: channel("identifier", &self.identifier)?,
            consent: channel("consent", &self.consent)?,
            dossier: channel("dossier", &self.dossier)?,
            messaging: channel("messaging", &self.messaging)?,
        })
    }

    fn client(&self, clock: &Clock) -> Result<Option<Client>, EndpointError> {
        let (path, domain) = match (&self.trust, &self.trust_domain) {
            (None, None) => return Ok(None),
            (Some(path), Some(domain)) => (path, domain),
            _ => return Err(EndpointError::Incomplete),
        };
        let trust = std::fs::read(path).map_err(|source| EndpointError::Unreadable {
            path: path.clone(),
            source,
        })?;
        let client = Client::new(&trust, domain, clock.clone()).map_err(|source| EndpointError::Tls {
            key: match source {
                TlsError::TrustDomain => "trust_domain",
                _ => "trust",
            },
            source,
        })?;
        Ok(Some(client))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    fn cleartext() -> Endpoints {
        let address = || "http://127.0.0.1:7001".to_owned();
        Endpoints {
            identifier: address(),
            consent: address(),
            dossier: address(),
            messaging: address(),
            trust: None,
            trust_domain: None,
        }
    }

    fn refused(change: impl FnOnce(&mut Endpoints)) -> String {
        let mut endpoints = cleartext();
        change(&mut endpoints);
        let error = endpoints.channels(&Clock::system()).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error}: {}", source.unwrap_or_default())
    }

    /// A mistake is told by its setting before anything is called.
    #[tokio::test]
    async fn settings_that_cannot_be_right_are_named() {
        cleartext().channels(&Clock::system()).unwrap();
        let said = refused(|endpoints| endpoints.dossier = "https://127.0.0.1:7003".to_owned());
        assert!(
            said.contains("dossier") && said.contains("https://host:port with `trust`"),
            "{said}"
        );
        let said = refused(|endpoints| endpoints.consent = "somewhere".to_owned());
        assert!(said.contains("consent"), "{said}");
        let said = refused(|endpoints| endpoints.trust = Some("authority.pem".into()));
        assert!(said.contains("go together"), "{said}");
        let domain = || Some("dmp.localhost".to_owned());
        let said = refused(|endpoints| {
            (endpoints.trust, endpoints.trust_domain) = (Some("no-such-authority.pem".into()), domain());
        });
        assert!(said.contains("no-such-authority.pem: No such file"), "{said}");
        let said = refused(|endpoints| {
            (endpoints.trust, endpoints.trust_domain) = (Some("Cargo.toml".into()), domain());
        });
        assert!(said.contains("`trust`: must hold certificates"), "{said}");
    }
}
